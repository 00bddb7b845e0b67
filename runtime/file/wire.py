"""A look at an encoded message before it is parsed, and the proof after it that its encoding is the
only one.

The parser takes up to a hundred times the memory of what it reads, so the encoding is walked first,
without making objects: fields are counted, and those the schema does not have are refused by
number. After parsing, encoding again has to give the same bytes: that leaves no room for fields
given twice, in another order, as explicit defaults, or for numbers written longer than needed."""

from __future__ import annotations

from typing import Any, Final, TypeVar

from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.message import DecodeError, Message

from intaglio.compiler.errors import FormatError
from intaglio.runtime.file import limits
from intaglio.runtime.file.errors import at_most

M = TypeVar("M", bound=Message)
_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5
_TEXTUAL: Final = (FieldDescriptor.TYPE_STRING, FieldDescriptor.TYPE_BYTES)
_DEPTH: Final = 64  # the parser stops at 100


def parse(empty: M, data: bytes) -> M:
    """The message that `data` encodes, in `empty`'s class; raises `FormatError` unless it is its
    one encoding."""
    name = empty.DESCRIPTOR.name
    scan(empty.DESCRIPTOR, data)
    try:
        empty.ParseFromString(data)
    except DecodeError as error:
        raise FormatError(f"{name}: not a protobuf message: {error}") from None
    if empty.SerializeToString(deterministic=True) != data:
        raise FormatError(f"{name}: not encoded in the one canonical way")
    return empty


def scan(descriptor: Any, data: bytes) -> None:
    """Refuse an encoding with unknown fields, or with more fields, messages or packed numbers than
    the limits allow. `descriptor` is that of the message; its class depends on how protobuf was
    built."""
    fields = messages = packed = 0
    todo = [(0, len(data), descriptor, 0)]
    while todo:
        at, end, kind, depth = todo.pop()
        known = kind.fields_by_number
        while at < end:
            tag, at = _varint(data, at, end)
            fields += 1
            field = known.get(tag >> 3)
            if field is None:
                raise FormatError(f"{kind.name}: unknown field {tag >> 3}")
            wire = tag & 7
            if wire == _VARINT:
                _, at = _varint(data, at, end)
            elif wire == _BYTES:
                length, at = _varint(data, at, end)
                if length > end - at:
                    raise FormatError(f"{kind.name}.{field.name}: longer than what contains it")
                if field.message_type is not None:
                    messages += 1
                    todo.append((at, at + length, field.message_type, depth + 1))
                elif field.type not in _TEXTUAL:
                    packed += length
                at += length
            elif wire in (_FIXED64, _FIXED32):
                at += 8 if wire == _FIXED64 else 4
            else:
                raise FormatError(f"{kind.name}.{field.name}: unknown wire type {wire}")
            if fields > limits.FIELDS or messages > limits.MESSAGES:
                at_most(fields, limits.FIELDS, f"{kind.name}: encoded fields")
                at_most(messages, limits.MESSAGES, f"{kind.name}.{field.name}: encoded messages")
            at_most(packed, limits.PACKED_BYTES, f"{kind.name}.{field.name}: packed bytes")
        if at != end:
            raise FormatError(f"{kind.name}: a field is longer than what contains it")
        at_most(depth, _DEPTH, f"{kind.name}: nested messages")


def _varint(data: bytes, at: int, end: int) -> tuple[int, int]:
    value = shift = 0
    while at < end and shift < 64:
        byte = data[at]
        at += 1
        value |= (byte & 127) << shift
        if byte < 128:
            return value, at
        shift += 7
    raise FormatError("a number in the encoding is cut off or too long")
