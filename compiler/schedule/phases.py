"""Cuts the vector axis where indices divide by a step: lane i of x[i // 2] would jump, but the even
and the odd positions, taken apart, each read side by side.

With `i = q * step + r` the algebra of sizes turns `i // step` into `q + ...` and `i % step` into
something without q. So r becomes one more outer axis, lanes run along q, and stores go `step`
apart. It serves what gathers from coarser grids: pooling's derivatives, upsampling."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from typing import Final

from intaglio.compiler.codegen.indices import mentions
from intaglio.compiler.dims import Quotient, Size, Symbol, floordiv, loop_variable, modulo, terms_of
from intaglio.compiler.loop import Expr, symbol_of
from intaglio.compiler.schedule.domain import Axis
from intaglio.compiler.schedule.nest import sizes_in, walk

MOST_PHASES: Final = 16
"""Larger steps leave too few lanes side by side."""


def phases_of(
    axis: Axis, exprs: Iterable[Expr], places: Iterable[Size]
) -> tuple[Axis, Axis, Size] | None:
    """(phase axis, shorter axis, the old variable in terms of both), when indices in these
    expressions, or places of stores, divide the axis' variable by a step; None otherwise."""
    symbol = symbol_of(axis.variable)
    steps = {
        step
        for size in (*places, *(s for e in walk(exprs) for s in sizes_in(e)))
        for step in _steps(size, symbol)
    }
    step = math.lcm(*steps) if steps else 1
    if not 1 < step <= MOST_PHASES:
        return None
    phase = Axis(loop_variable("r", step), step)
    length = axis.extent
    if modulo(length, step) == 0:
        count = floordiv(length, step)
    else:
        count = floordiv(length + (step - 1) - phase.variable, step)
    inner = Axis(loop_variable("q", floordiv(length + (step - 1), step)), count)
    return phase, inner, inner.variable * step + phase.variable


def _steps(size: Size, symbol: Symbol) -> Iterator[int]:
    """The numbers by which a size divides something with the symbol in it."""
    for monomial, _ in terms_of(size):
        for atom in monomial:
            if not isinstance(atom, Quotient) or not mentions(atom.left, symbol):
                continue
            if atom.kind in ("//", "%") and isinstance(atom.right, int):
                yield atom.right
            yield from _steps(atom.left, symbol)
