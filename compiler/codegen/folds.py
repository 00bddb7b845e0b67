"""How folds start, join and are counted: what the loops of every target agree on."""

from __future__ import annotations

from typing import Final

from intaglio.compiler.codegen.numbers import compute_type, constant
from intaglio.compiler.dims import UNBOUNDED, Size, bounds, compare
from intaglio.compiler.dtypes import boolean
from intaglio.compiler.loop import Fold

JOINS: Final = {
    "sum": "add",
    "prod": "mul",
    "max": "maximum",
    "min": "minimum",
    "any": "or",
    "all": "and",
}
"""The function that joins two partial results of each kind of fold."""


def is_at_most(size: Size, limit: int) -> bool:
    """Whether a size is certainly no larger than a number."""
    return bounds(size)[1] <= limit or compare(size, limit) in (-1, 0)


def start_of(fold: Fold, serial: bool) -> str:
    """The scalar that a fold starts from: its identity.

    A serial sum starts from minus zero, so that the first element's own bits are the start."""
    dtype = fold.local.dtype
    if fold.kind == "sum":
        return constant(-0.0 if serial and dtype.kind == "f" else 0, dtype)
    if fold.kind == "prod":
        return constant(1, dtype)
    if dtype == boolean:
        return "0" if fold.kind in ("any", "max") else "1"
    if dtype.kind == "f":
        return constant(float("-inf") if fold.kind == "max" else float("inf"), dtype)
    bits = 8 * dtype.size
    low, high = (
        (0, (1 << bits) - 1) if dtype.kind == "u" else (-(1 << bits - 1), (1 << bits - 1) - 1)
    )
    return constant(low if fold.kind == "max" else high, dtype)


def join_of(fold: Fold) -> str:
    """The prelude's function that joins two partial results."""
    if fold.local.dtype == boolean:
        return {"max": "or", "min": "and"}.get(fold.kind, JOINS[fold.kind]) + "_bool"
    return f"{JOINS[fold.kind]}_{compute_type(fold.local.dtype)}"


def levels_of(chunks: Size) -> int:
    """How many partial results a binary carry over so many chunks holds at most."""
    return min(bounds(chunks)[1], UNBOUNDED).bit_length() + 1
