"""Kernels of elementwise groups: every result element is an expression of loads.

All results have one shape. Its dims are joined where memory allows it; the innermost becomes the
vector loop, the rest, and tiles of a long innermost dim, the parallel loop. A dim that memory holds
in blocks is two: the blocks, and innermost the place in a block."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from intaglio.compiler.dims import (
    Dim,
    Shape,
    Size,
    floordiv,
    loop_variable,
    minimum,
    modulo,
    product,
    substitute,
)
from intaglio.compiler.ir import Graph, Value
from intaglio.compiler.loop import Buffer, Expr, Kernel, Loop, Position, symbol_of
from intaglio.compiler.schedule.compose import Composer, Rewriter
from intaglio.compiler.schedule.domain import (
    TILE,
    Axis,
    address_of,
    addresses,
    axes_of,
    collapse,
    count_rows,
    grain_for,
    tile_extent,
    tiles_for,
)
from intaglio.compiler.schedule.nest import Nest, variables_of
from intaglio.compiler.schedule.phases import phases_of

SHORT = 16
"""An innermost dim below this is no good vector loop when there is a longer dim."""


def map_kernel(
    graph: Graph, memory: Mapping[Value, Buffer], results: Sequence[tuple[Value, Buffer]]
) -> Kernel:
    """The kernel that stores the results (of one shape, dims of 1 aside) of an elementwise graph.

    `memory` holds the graph's inputs; `results` are values and where they go. Raises `Unfusable`
    when an element rule can't be composed."""
    composer = Composer(graph, memory)
    shape = results[0][0].type.shape
    axes, place = _cut(*axes_of(shape), _block_of(shape, memory, results))
    known = [p for p in place if p != 0]
    stores: list[tuple[Buffer, tuple[Position, ...], Expr]] = []
    for value, buffer in results:
        left = iter(known)
        position = tuple(0 if s == 1 else next(left) for s in value.type.shape)
        stores.append((buffer, buffer.place(position), composer.at(value, position)))
    return stored_kernel(composer, axes, stores, list(memory.values()))


def _block_of(
    shape: Shape, memory: Mapping[Value, Buffer], results: Sequence[tuple[Value, Buffer]]
) -> tuple[int, int] | None:
    """The dim of the results that memory holds in blocks, and the blocks' size."""
    for value, buffer in (*results, *memory.items()):
        for block in buffer.blocks:
            found = value.type.shape
            if len(found) == len(shape) and found[block.dim] == shape[block.dim] != 1:
                return block.dim, block.size
    return None


def _cut(
    axes: Sequence[Axis], position: tuple[Position, ...], block: tuple[int, int] | None
) -> tuple[tuple[Axis, ...], tuple[Position, ...]]:
    """The axes with that of a blocked dim cut in two: the blocks where it was, the place in a block
    innermost; and the position in terms of these."""
    if block is None:
        return tuple(axes), position
    dim, size = block
    (whole,) = (a for a in axes if a.variable == position[dim])
    count = floordiv(whole.extent + (size - 1), size)
    number = loop_variable("o", count)
    start: Size = 0 if count == 1 else number * size
    length: Size = size if modulo(whole.extent, size) == 0 else minimum(size, whole.extent - start)
    inner = Axis(loop_variable("l", length), length)
    outer = [] if count == 1 else [Axis(number, count)]
    place = list(position)
    place[dim] = start + inner.variable
    kept = [b for a in axes for b in (outer if a is whole else [a])]
    return (*kept, inner), tuple(place)


def stored_kernel(
    composer: Composer,
    axes: Sequence[Axis],
    stores: Sequence[tuple[Buffer, tuple[Position, ...], Expr]],
    reads: Sequence[Buffer],
) -> Kernel:
    """The kernel that stores expressions over all positions of some axes."""
    found = addresses(e for _, _, e in stores)
    found += [address_of(buffer, position) for buffer, position, _ in stores]
    axes, values = collapse(axes, found)
    rewrite = Rewriter(composer.intern, values)
    outer, inner = _split(axes)
    stores = [
        (buffer, tuple(map(rewrite.position, position)), rewrite(expr))
        for buffer, position, expr in stores
    ]
    cut = inner and phases_of(inner, (e for _, _, e in stores), _places(stores))
    if inner and cut:
        phase, shorter, whole = cut
        divide = Rewriter(composer.intern, {symbol_of(inner.variable): whole})
        stores = [(b, tuple(map(divide.position, p)), divide(e)) for b, p, e in stores]
        outer, inner = [*outer, phase], shorter
    length: Size = inner.extent if inner else 1
    longest = substitute(length, dict.fromkeys(variables_of(length), 0))
    tiles = tiles_for(product(tuple(a.extent for a in outer)), longest)
    tile = Axis(loop_variable("t", tiles), tiles)
    rows = count_rows([*outer, tile] if tiles != 1 else outer)
    nest = Nest(rows.variable)
    for variable, value in rows.binds:
        nest.bind(variable, value)
    size = tile_extent(length, tiles, tile.variable)
    vector = loop_variable("v", size)
    start: Size = tile.variable * TILE if tiles != 1 else 0
    last = Rewriter(composer.intern, {symbol_of(inner.variable): start + vector} if inner else {})
    nest.enter(vector)
    for buffer, position, expr in stores:
        nest.store(buffer, [last.position(p) for p in position], last(expr))
    nest.leave(vector, size, "vector")
    loop = Loop(rows.variable, rows.extent, "parallel", nest.finish(), (), grain_for(size))
    buffers = list(dict.fromkeys([*reads, *(b for b, _, _ in stores)]))
    return Kernel(tuple(buffers), loop)


def _places(stores: Sequence[tuple[Buffer, tuple[Position, ...], Expr]]) -> list[Size]:
    """The sizes by which stores find their places."""
    return [p for _, position, _ in stores for p in position if isinstance(p, int | Dim)]


def _split(axes: Sequence[Axis]) -> tuple[list[Axis], Axis | None]:
    """The outer axes, and the one that lanes run along."""
    if not axes:
        return [], None
    best = len(axes) - 1
    if isinstance(axes[best].extent, int) and axes[best].extent < SHORT:
        known = [a.extent if isinstance(a.extent, int) else 1 << 40 for a in axes]
        best = max(
            range(len(axes)), key=lambda k: (known[k] >= 4 * known[best], k == best, known[k])
        )
    return [a for k, a in enumerate(axes) if k != best], axes[best]
