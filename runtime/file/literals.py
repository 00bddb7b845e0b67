"""The bytes of arrays in a file: how literals and states are taken apart, laid out, and checked.

Bytes are little-endian, in row-major order, and every array starts at a multiple of 64. Where each
one starts follows from the types of those before it, so the file holds no offsets."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Any, Final

import numpy as np

from intaglio.compiler.dtypes import DType, boolean, dtype_of
from intaglio.compiler.errors import DTypeError, FormatError
from intaglio.compiler.types import TensorType
from intaglio.runtime.file.header import padded

Array = np.ndarray[Any, Any]
_STEP: Final = 1 << 22

if sys.byteorder != "little":
    raise ImportError("intaglio needs a little-endian machine: model files are mapped as they are")


def static_bytes(type: TensorType, field: str) -> int:
    """The bytes that a tensor of this type takes in the file; its sizes must be numbers."""
    total = type.dtype.size
    for size in type.shape:
        if not isinstance(size, int):
            raise FormatError(f"{field}: {type} has a size that is not a number")
        total *= size
    return total


def layout(types: Sequence[TensorType], field: str) -> tuple[list[tuple[int, int]], int]:
    """Offset and length of each tensor in its section, and the section's length."""
    spans, at = [], 0
    for k, type in enumerate(types):
        length = static_bytes(type, f"{field}[{k}]")
        spans.append((at, length))
        at += padded(length)
    return spans, at


def tensors(raw: Array, types: Sequence[TensorType], field: str) -> list[Array]:
    """The tensors of a section (u8[n], starting at a multiple of 64), as views."""
    spans, length = layout(types, field)
    if length != raw.size:
        raise FormatError(f"{field}: takes {length} bytes, its section has {raw.size}")
    found = []
    for k, ((offset, size), type) in enumerate(zip(spans, types, strict=True)):
        end = offset + size
        found.append(tensor(raw[offset:end], type, f"{field}[{k}]"))
        if raw[end : padded(end)].any():
            raise FormatError(f"{field}[{k}]: its padding is not zero")
    return found


def tensor(raw: Array, type: TensorType, field: str) -> Array:
    """The tensor whose bytes are `raw` (u8[n]): a view."""
    if type.dtype is boolean:
        check_booleans(raw, field)
    return raw.view(type.dtype.numpy).reshape(type.shape)


def check_booleans(data: Array, field: str) -> None:
    """Refuse bytes of booleans that are neither 0 nor 1: what C does with those is undefined."""
    for at in range(0, data.size, _STEP):
        if data[at : at + _STEP].max() > 1:
            raise FormatError(f"{field}: a boolean is neither 0 nor 1")


def native(array: Array, field: str) -> tuple[Array, DType]:
    """The array in row-major order and native byte order, and its dtype."""
    try:
        plain = array.astype(array.dtype.newbyteorder("="), copy=False)
        dtype = dtype_of(plain.dtype)
    except DTypeError as error:
        raise FormatError(f"{field}: {error}") from None
    return np.asarray(plain, order="C"), dtype


def raw_bytes(array: Array) -> memoryview:
    """The bytes of an array in row-major order, without copying them."""
    return array.reshape(-1).view(np.uint8).data
