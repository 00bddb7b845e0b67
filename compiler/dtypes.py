"""Element types: their names in dumps and files, their NumPy twins, and how sums of them are
accumulated."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import ml_dtypes
import numpy as np
from numpy.typing import DTypeLike

from intaglio.compiler.errors import DTypeError


@dataclass(frozen=True, slots=True, eq=False)
class DType:
    """An element type. There is one object per type, equal only to itself.

    `name` is the short name of dumps and files (`f32`), `long_name` the public one (`float32`),
    `kind` one of `b` (bool), `u` (unsigned), `i` (signed), `f` (floating); `size` is in bytes."""

    name: str
    long_name: str
    kind: str
    size: int
    numpy: np.dtype[np.generic]

    def __str__(self) -> str:
        return self.name

    def __repr__(self) -> str:
        return f"intaglio.{self.long_name}"

    def __reduce__(self) -> tuple[object, ...]:
        return dtype_named, (self.name,)

    @property
    def is_floating_point(self) -> bool:
        """Whether values of this type have a derivative."""
        return self.kind == "f"

    @property
    def is_integer(self) -> bool:
        """Whether this is a signed or unsigned integer type (bool is not)."""
        return self.kind in "iu"

    @property
    def itemsize(self) -> int:
        """Bytes per element."""
        return self.size

    @property
    def is_half(self) -> bool:
        """Whether this is a float of 16 bits: it is computed in f32 and rounded once per op."""
        return self.kind == "f" and self.size == 2

    @property
    def accumulator(self) -> DType:
        """The type in which sums and products are carried: f32 for the short floats, i64 for
        integers and bool."""
        if self.kind == "f":
            return float32 if self.size < 4 else self
        return int64


def _make(name: str, long_name: str, kind: str, numpy: DTypeLike) -> DType:
    twin = np.dtype(numpy)
    return DType(name, long_name, kind, twin.itemsize, twin)


float64: Final = _make("f64", "float64", "f", np.float64)
float32: Final = _make("f32", "float32", "f", np.float32)
float16: Final = _make("f16", "float16", "f", np.float16)
bfloat16: Final = _make("bf16", "bfloat16", "f", ml_dtypes.bfloat16)
int64: Final = _make("i64", "int64", "i", np.int64)
int32: Final = _make("i32", "int32", "i", np.int32)
int16: Final = _make("i16", "int16", "i", np.int16)
int8: Final = _make("i8", "int8", "i", np.int8)
uint8: Final = _make("u8", "uint8", "u", np.uint8)
uint32: Final = _make("u32", "uint32", "u", np.uint32)
boolean: Final = _make("bool", "bool", "b", np.bool_)

DTYPES: Final[tuple[DType, ...]] = (
    float64, float32, float16, bfloat16, int64, int32, int16, int8, uint8, uint32, boolean,
)  # fmt: skip
_BY_NAME: Final = {d.name: d for d in DTYPES} | {d.long_name: d for d in DTYPES}
_BY_NUMPY: Final = {d.numpy: d for d in DTYPES}


def dtype_named(name: str) -> DType:
    """The dtype with this short or long name; raises `DTypeError` for another."""
    found = _BY_NAME.get(name)
    if found is None:
        known = " ".join(d.name for d in DTYPES)
        raise DTypeError(f"no dtype is called {name!r}; there are {known}")
    return found


def dtype_of(numpy: DTypeLike) -> DType:
    """The dtype whose NumPy twin is `numpy` (native byte order); raises `DTypeError` when there is
    none."""
    found = _BY_NUMPY.get(np.dtype(numpy))
    if found is None:
        known = " ".join(d.name for d in DTYPES)
        raise DTypeError(f"NumPy's {np.dtype(numpy)} has no counterpart here; there are {known}")
    return found
