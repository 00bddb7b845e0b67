"""How elements of short floats are composed: f16 and bf16 are computed in f32 and rounded once per
op.

An op's rule sees its operands as f32 and what it gives is rounded to nearest even, so that a chain
of ops has the same bits in one kernel as in many. Where a value is known to be one that the short
type can say (a maximum, a selection, a sign flipped) nothing has to be rounded."""

from __future__ import annotations

from typing import Final

from intaglio.compiler.codegen.numbers import rounded
from intaglio.compiler.dtypes import DType, float32
from intaglio.compiler.loop import Call, Const, Expr

EXACT: Final = {
    "select": (1, 2),
    "minimum": (0, 1),
    "maximum": (0, 1),
    "neg": (0,),
    "abs": (0,),
    "sign": (0,),
    "copysign": (0,),
    "floor": (0,),
    "ceil": (0,),
    "trunc": (0,),
    "round": (0,),
}
"""Functions whose result a short type can say where it can say these arguments."""
DEEPEST: Final = 6
"""How many such functions are seen through."""


def widened(value: Expr) -> Expr:
    """A value of a short float as f32; other values as they are."""
    if not value.dtype.is_half:
        return value
    if isinstance(value, Call) and value.function == "exactly":
        return value.arguments[0]
    if isinstance(value, Const):
        return Const(rounded(value.value, value.dtype), float32)
    return Call("cast", (value,), float32)


def narrowed(value: Expr, dtype: DType) -> Expr:
    """An f32 value rounded to a short float; a value of another type, or for another type, as it
    is."""
    if not dtype.is_half or value.dtype is not float32:
        return value
    if isinstance(value, Call) and value.function == "cast" and value.arguments[0].dtype is dtype:
        return value.arguments[0]
    exact = is_representable(value, dtype)
    return Call("exactly" if exact else "cast", (value,), dtype)


def is_representable(value: Expr, dtype: DType, depth: int = DEEPEST) -> bool:
    """Whether an f32 value certainly is one of a short float's."""
    if isinstance(value, Const):
        return rounded(value.value, dtype) == value.value
    if not isinstance(value, Call) or depth == 0:
        return False
    if value.function == "cast":
        return value.arguments[0].dtype is dtype
    read = EXACT.get(value.function)
    return read is not None and all(
        is_representable(value.arguments[k], dtype, depth - 1) for k in read
    )
