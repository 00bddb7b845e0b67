"""torch's and Python's names of the dtypes, and their limits."""

from __future__ import annotations

import builtins
from typing import Any, Final

import ml_dtypes

from intaglio.compiler.dtypes import (
    DType,
    boolean,
    dtype_of,
    float16,
    float32,
    float64,
    int16,
    int32,
    int64,
)

float: Final = float32
double: Final = float64
half: Final = float16
short: Final = int16
int: Final = int32
long: Final = int64
bool: Final = boolean
dtype = DType

_PYTHON: Final[dict[Any, DType]] = {
    builtins.float: float32,
    builtins.int: int64,
    builtins.bool: boolean,
}


def as_dtype(value: Any) -> DType:
    """The dtype that a dtype, Python type or NumPy dtype means."""
    if isinstance(value, DType):
        return value
    found = _PYTHON.get(value)
    return found if found is not None else dtype_of(value)


class finfo:
    """Limits of a floating-point dtype: `eps`, `max`, `min`, `tiny`, `resolution`, `bits`."""

    def __init__(self, dtype: DType = float32) -> None:
        limits: Any = ml_dtypes.finfo(dtype.numpy)  # type: ignore[no-untyped-call]  # it has no annotations
        self.dtype, self.bits = dtype, dtype.size * 8
        self.eps, self.max = builtins.float(limits.eps), builtins.float(limits.max)
        self.min, self.tiny = builtins.float(limits.min), builtins.float(limits.tiny)
        self.smallest_normal, self.resolution = self.tiny, builtins.float(limits.resolution)


class iinfo:
    """Limits of an integer dtype: `min`, `max`, `bits`."""

    def __init__(self, dtype: DType) -> None:
        self.dtype, self.bits = dtype, dtype.size * 8
        signed = dtype.kind == "i"
        self.min = -(1 << (self.bits - 1)) if signed else 0
        self.max = (1 << (self.bits - signed)) - 1
