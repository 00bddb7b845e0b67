"""What a file says about itself: who wrote it, and its author's remarks by name."""

from __future__ import annotations

import struct
from collections.abc import Mapping

from intaglio.compiler.errors import FormatError
from intaglio.runtime.file import limits, wire
from intaglio.runtime.file.errors import at_most, shown
from intaglio.schemas import program_pb2 as pb

Remark = str | int | float | bool
_INT64 = range(-(1 << 63), 1 << 63)


def encode(producer: str, metadata: Mapping[str, object]) -> bytes:
    """The section's bytes; raises `FormatError` for a remark that is neither text, number nor
    bool."""
    about = pb.About(producer=producer)
    for key in sorted(metadata):
        about.metadata.append(_remark(key, metadata[key]))
    data = about.SerializeToString(deterministic=True)
    decode(data)
    return data


def _remark(key: str, value: object) -> pb.Metadata:
    field = f"metadata[{shown(key)}]"
    try:
        match value:
            case bool():
                return pb.Metadata(key=key, flag=value)
            case int() if value in _INT64:
                return pb.Metadata(key=key, integer=value)
            case float():
                return pb.Metadata(key=key, number=bits_of(value))
            case str():
                return pb.Metadata(key=key, text=value)
    except ValueError as error:
        raise FormatError(f"{field}: can't be saved: {error}") from None
    raise FormatError(
        f"{field}: {type(value).__name__} can't be saved: give a text, a bool, a float, or an int"
        " of at most 64 bits"
    )


def decode(data: bytes) -> tuple[str, dict[str, Remark]]:
    """The producer's version and the remarks; raises `FormatError` for anything else."""
    about = wire.parse(pb.About(), data)
    at_most(len(about.producer), limits.TEXT_BYTES, "producer: characters")
    found: dict[str, Remark] = {}
    last = None
    for made in about.metadata:
        field = f"metadata[{shown(made.key)}]"
        at_most(len(made.key), limits.TEXT_BYTES, f"{field}: characters of the name")
        if last is not None and made.key <= last:
            raise FormatError(f"{field}: the names are not sorted, each once")
        last = made.key
        found[made.key] = _value(made, field)
    return about.producer, found


def _value(made: pb.Metadata, field: str) -> Remark:
    match made.WhichOneof("value"):
        case "text":
            at_most(len(made.text), limits.METADATA_TEXT_BYTES, f"{field}: characters")
            return made.text
        case "integer":
            return made.integer
        case "number":
            return float_of(made.number)
        case "flag":
            return made.flag
    raise FormatError(f"{field}: has no value")


def bits_of(number: float) -> int:
    """The bits of a double, as an unsigned number."""
    bits: int = struct.unpack("<Q", struct.pack("<d", number))[0]
    return bits


def float_of(bits: int) -> float:
    """The double with these bits."""
    number: float = struct.unpack("<d", struct.pack("<Q", bits))[0]
    return number
