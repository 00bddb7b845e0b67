"""The iteration space of a kernel: its dims, which of them are one in memory, and how it is cut.

Two neighbouring dims are one when in every address, and in every index used as data, a step of the
outer one is as long as the whole inner one. The kernel then runs over a single longer dim."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from intaglio.compiler.codegen.indices import affine
from intaglio.compiler.dims import (
    Dim,
    Shape,
    Size,
    Symbol,
    compare,
    floordiv,
    loop_variable,
    maximum,
    minimum,
    product,
    substitute,
)
from intaglio.compiler.loop import Buffer, Expr, Index, Load, Position, symbol_of
from intaglio.compiler.schedule.nest import variables_of, walk

CHUNK_ELEMENTS = 4096
"""Elements that a chunk of work has at least (16 KB of f32)."""
TILE = 16384
"""Elements of a long innermost dim that one iteration works on."""


@dataclass(frozen=True)
class Axis:
    """One dim of an iteration space."""

    variable: Dim
    extent: Size


def axes_of(shape: Shape) -> tuple[tuple[Axis, ...], tuple[Position, ...]]:
    """An axis for each dim that is not the literal 1, and the position they make in the shape."""
    axes: list[Axis] = []
    position: list[Position] = []
    for size in shape:
        if size == 1:
            position.append(0)
            continue
        axes.append(Axis(loop_variable("i", size), size))
        position.append(axes[-1].variable)
    return tuple(axes), tuple(position)


def addresses(exprs: Iterable[Expr]) -> list[Size]:
    """What must stay affine for dims to be joined: the addresses of loads, and indices as data."""
    found: list[Size] = []
    for expr in walk(exprs):
        if isinstance(expr, Index):
            found.append(expr.size)
        elif isinstance(expr, Load):
            found.append(address_of(expr.buffer, expr.index))
    return found


def address_of(buffer: Buffer, index: Sequence[Position]) -> Size:
    """The part of an element's address that is made of sizes."""
    total: Size = 0
    for position, stride in zip(index, buffer.strides, strict=True):
        if isinstance(position, int | Dim):
            total = total + position * stride
    return total


def collapse(
    axes: Sequence[Axis], found: Sequence[Size]
) -> tuple[tuple[Axis, ...], dict[Symbol, Size]]:
    """The axes with neighbours joined wherever all addresses allow it, and what the old variables
    are in terms of the new ones."""
    values: dict[Symbol, Size] = {}
    joined: list[Axis] = []
    pinned = {s for a in axes for s in variables_of(a.extent)}  # on which other axes depend
    for axis in axes:
        pair = {symbol_of(a.variable) for a in (*joined[-1:], axis)}
        if joined and not pair & pinned and _joinable(joined[-1], axis, found, values):
            before = joined.pop()
            extent = before.extent * axis.extent
            made = Axis(loop_variable("i", extent), extent)
            for symbol, value in values.items():
                if value == before.variable:
                    values[symbol] = 0
            values[symbol_of(before.variable)] = 0
            values[symbol_of(axis.variable)] = made.variable
            joined.append(made)
        else:
            joined.append(axis)
    return tuple(joined), values


def _joinable(outer: Axis, inner: Axis, found: Sequence[Size], values: dict[Symbol, Size]) -> bool:
    # an axis that was joined before stands for its innermost original variable
    symbol = symbol_of(outer.variable)
    for old, value in values.items():
        if value == outer.variable:
            symbol = old
    for size in found:
        left = affine(size, symbol)
        right = affine(size, symbol_of(inner.variable))
        if left is None or right is None or left[1] != right[1] * inner.extent:
            return False
    return True


@dataclass(frozen=True)
class Rows:
    """How outer axes and tiles of the innermost are counted by one parallel variable."""

    variable: Dim
    extent: Size
    binds: tuple[tuple[Dim, Size], ...]


def count_rows(axes: Sequence[Axis]) -> Rows:
    """One variable that counts all positions of some axes, and their own variables made from it."""
    extent = product(tuple(a.extent for a in axes))
    variable = loop_variable("i", extent)
    if extent == 0:
        return Rows(variable, extent, tuple((axis.variable, 0) for axis in axes))
    binds: list[tuple[Dim, Size]] = []
    step: Size = 1
    for k, axis in reversed(list(enumerate(axes))):
        value: Size = floordiv(variable, step) if step != 1 else variable
        binds.append((axis.variable, value % axis.extent if k > 0 else value))
        step = step * axis.extent
    return Rows(variable, extent, tuple(reversed(binds)))


def grain_for(elements: Size) -> Size:
    """Iterations of so many elements (those of the first one, where they differ) that make a chunk
    worth handing to a thread."""
    elements = substitute(elements, dict.fromkeys(variables_of(elements), 0))
    if isinstance(elements, int):
        return max(1, CHUNK_ELEMENTS // max(1, elements))
    return maximum(1, floordiv(CHUNK_ELEMENTS, maximum(1, elements)))


def tiles_for(outer: Size, inner: Size) -> Size:
    """Into how many tiles the innermost dim is cut so that threads have something to share."""
    small = compare(inner, 2 * TILE)
    if small is not None and small <= 0:
        return 1
    many = compare(outer, 64)
    if many is not None and many >= 0 and isinstance(inner, int) and inner <= 1 << 20:
        return 1
    return floordiv(inner + (TILE - 1), TILE)


def tile_extent(inner: Size, tiles: Size, tile: Size) -> Size:
    """Elements in a tile."""
    return inner if tiles == 1 else minimum(TILE, inner - tile * TILE)
