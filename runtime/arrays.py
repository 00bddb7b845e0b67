"""Arrays at the border of native code: what callers hand in is checked or copied here, before any
C runs.

A function's operand must have the very dtype that its type says (no value is ever cast), and comes
out dense, aligned and in native byte order: as it is where it already is so, else as a copy."""

from __future__ import annotations

import ctypes
import itertools
from typing import Any, Final

import numpy as np

from intaglio.compiler.dtypes import DType, dtype_of
from intaglio.compiler.errors import DeviceError, DTypeError, ShapeError
from intaglio.compiler.types import TensorType

Array = np.ndarray[Any, Any]

DENSE: Final = 0x1 | 0x100
"""NumPy's flag bits of an array that is C-contiguous and aligned."""
_HEAD: Final = object.__basicsize__
_word = ctypes.c_void_p.from_address


def _slow_address(array: Array) -> int:
    number: int = array.__array_interface__["data"][0]
    return number


def _fast_address(array: Array) -> int:
    # NumPy's C API fixes that the pointer to the data follows the object's head; reading it there
    # takes 0.1 us where `array.ctypes.data` takes 1 us.
    return _word(id(array) + _HEAD).value or 0


_probes = [np.zeros(n, np.uint8)[k:] for n, k in itertools.product((1, 8, 64), (0, 1))]
address: Final = (
    _fast_address if all(_fast_address(p) == _slow_address(p) for p in _probes) else _slow_address
)
"""`address(array)` is the address of an array's first element."""


def is_dense(array: Array) -> bool:
    """Whether native code may read the array as it lies."""
    return array.flags.num & DENSE == DENSE


def is_writable(array: Any) -> bool:
    """Whether an array, here or on a device, may be written."""
    return bool(array.flags.writeable if array.__class__ is np.ndarray else array.writable)


def span(array: Any) -> tuple[int, int]:
    """The address at which an array, here or on a device, begins, and the one behind its end."""
    if array.__class__ is np.ndarray:
        start = address(array)
        return start, start + array.nbytes
    found: tuple[int, int] = array.span
    return found


def as_operand(value: object, type: TensorType, name: str) -> Array:
    """The value as a dense array of this type's dtype and rank; sizes are checked later, against
    each other.

    Takes arrays, anything with DLPack or `__array__`, and plain numbers for 0-d operands. Raises
    `DTypeError`, `ShapeError` or `DeviceError`, which name the operand and say what to do."""
    array = value if value.__class__ is np.ndarray else _import(value, type, name)
    assert isinstance(array, np.ndarray)
    wanted = type.dtype.numpy
    if array.dtype != wanted:
        native = array.dtype.newbyteorder("=")
        if native != wanted:
            raise DTypeError(
                f"{name} is {_dtype_text(array)}, and {type} is wanted; values are never cast "
                f"silently: convert it first, {name}.astype({_spelling(type.dtype)})"
            )
        array = array.astype(native)
    if array.ndim != type.rank:
        shape = ",".join(map(str, array.shape))
        raise ShapeError(f"{name} is {type.dtype}[{shape}], and {type} is wanted")
    return array if is_dense(array) else np.array(array, order="C", copy=True)


def _spelling(dtype: DType) -> str:
    return '"bfloat16"' if dtype.name == "bf16" else f"np.{dtype.numpy.name}"


def _dtype_text(array: Array) -> str:
    shape = ",".join(map(str, array.shape))
    try:
        return f"{dtype_of(array.dtype)}[{shape}]"
    except DTypeError:
        return f"{array.dtype}[{shape}]"


def _import(value: object, type: TensorType, name: str) -> Array:
    """An array from something else; without a copy where that is possible."""
    if isinstance(value, bool | int | float):
        return _from_number(value, type, name)
    if isinstance(value, np.ndarray | np.generic):
        return np.asarray(value)
    if hasattr(value, "__dlpack_device__"):
        kind = int(value.__dlpack_device__()[0])
        if kind not in (1, 3):  # kDLCPU, kDLCUDAHost
            raise DeviceError(f"{name} lies on a device, and the CPU is wanted: copy it first")
        if not hasattr(value, "__array__"):
            return np.from_dlpack(value)  # type: ignore[arg-type]  # it has the protocol, as asked
    if hasattr(value, "__array__"):
        return np.asarray(value)
    raise DTypeError(
        f"{name} is a Python {value.__class__.__name__}, and {type} is wanted: give an array, "
        f"np.asarray({name.rpartition(': ')[2]}, {_spelling(type.dtype)})"
    )


def _from_number(value: float, type: TensorType, name: str) -> Array:
    kinds = {bool: "b", int: "iuf", float: "f"}[
        value.__class__ if value.__class__ in (bool, int) else float
    ]
    if type.rank or type.dtype.kind not in kinds:
        raise DTypeError(f"{name} is the number {value!r}, and {type} is wanted")
    try:
        return np.array(value, type.dtype.numpy)
    except OverflowError:
        raise DTypeError(f"{name} = {value} does not fit {type}") from None


def overlap(low: int, high: int, other: Array) -> bool:
    """Whether the bytes of `other` meet those from `low` to `high` (exclusive)."""
    start = address(other)
    return start < high and low < start + other.nbytes
