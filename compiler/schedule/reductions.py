"""The kernels of groups with reductions: over rows, over columns, or split.

When the last axis is reduced, lanes run along the row; otherwise along the columns. So a softmax
written from primitives is one kernel of three short loops over a row in cache. Few but long rows
are split: chunk results go to memory, and a second kernel joins them in the same fixed order."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from intaglio.compiler.codegen.c import SERIAL_CHUNK, VECTOR_CHUNK
from intaglio.compiler.dims import compare, floordiv, loop_variable, minimum, product
from intaglio.compiler.ir import Graph, Value
from intaglio.compiler.loop import Buffer, Fold, Kernel, Load, Local, Loop, Position, symbol_of
from intaglio.compiler.schedule.columns import COLUMN_TILE, ColumnKernel
from intaglio.compiler.schedule.compose import Rewriter
from intaglio.compiler.schedule.domain import Axis, collapse, count_rows
from intaglio.compiler.schedule.nest import Nest
from intaglio.compiler.schedule.reduction_group import Group, Step, Target, reduction_of
from intaglio.compiler.schedule.rows import RowKernel
from intaglio.compiler.schedule.storage import dense

FEW_ROWS = 64
"""With fewer rows than this, long rows are split into chunks."""


@dataclass
class Kernels:
    """The kernels of a group in order, and the buffers between them."""

    kernels: list[Kernel] = field(default_factory=list)
    temporaries: list[Buffer] = field(default_factory=list)


def reduction_kernels(
    graph: Graph, memory: Mapping[Value, Buffer], results: Sequence[tuple[Value, Buffer]]
) -> Kernels:
    """The kernels of a group with reductions; `Unfusable` when it is no such group."""
    group = Group(graph, memory, results)
    found = group.addresses()
    kept, values = collapse(group.space.kept_axes, found)
    reduced, more = collapse(group.space.reduced_axes, found)
    group.rewrite(Rewriter(group.composer.intern, values | more))
    buffers = list(dict.fromkeys([*memory.values(), *(b for _, b in results)]))
    if splits(group, kept, reduced):
        return _split(group, kept, reduced, buffers)
    build = RowKernel if group.space.by_row else ColumnKernel
    return Kernels([build(group, kept, reduced, buffers).kernel()])


def splits(group: Group, kept: Sequence[Axis], reduced: Sequence[Axis]) -> bool:
    """Whether there are too few rows, or columns, for the threads, and they are long."""
    if group.phases != 1 or group.full or len(reduced) != 1:
        return False
    rows = product(tuple(a.extent for a in kept))
    length = reduced[0].extent
    if group.space.by_row:
        few, short = FEW_ROWS, compare(length, 4 * VECTOR_CHUNK)
    else:
        few, short = 2048, compare(length, 8 * SERIAL_CHUNK)
    return isinstance(rows, int) and rows <= few and not (short is not None and short <= 0)


def _split(
    group: Group, kept: Sequence[Axis], reduced: Sequence[Axis], buffers: Sequence[Buffer]
) -> Kernels:
    """Chunk results to memory, then their join and whatever follows it."""
    (axis,) = reduced
    size = VECTOR_CHUNK if group.space.by_row else SERIAL_CHUNK
    chunks = floordiv(axis.extent + (size - 1), size)
    chunk = Axis(loop_variable("c", chunks), chunks)
    extents = tuple(a.extent for a in kept)
    shape = (*extents, chunks) if group.space.by_row else (chunks, *extents)
    parts = [Buffer(f.local.dtype, shape, dense(shape), "output") for f in group.folds]
    place = tuple(a.variable for a in kept)
    at = (*place, chunk.variable) if group.space.by_row else (chunk.variable, *place)
    inner = Axis(axis.variable, minimum(size, axis.extent - chunk.variable * size))
    first = _chunk_kernel(group, kept, chunk, inner, size, parts, at, buffers)
    second = _join_kernel(group, kept, chunk, parts, at, buffers)
    return Kernels([first, second], parts)


def _chunk_kernel(
    group: Group,
    kept: Sequence[Axis],
    chunk: Axis,
    inner: Axis,
    size: int,
    parts: Sequence[Buffer],
    at: tuple[Position, ...],
    buffers: Sequence[Buffer],
) -> Kernel:
    """Fold each chunk of each row."""
    part = Group.__new__(Group)
    part.space, part.graph, part.composer = group.space, group.graph, group.composer
    part._phases = group._phases
    moved = loop_variable("v", inner.extent)
    values = {symbol_of(inner.variable): chunk.variable * size + moved}
    rewriter = Rewriter(group.composer.intern, values)
    part.folds = [Step(Local(f.local.dtype), f.kind, rewriter(f.value), 0) for f in group.folds]
    part.full = []
    part.rows = [
        Target(buffer, at, fold.local) for fold, buffer in zip(part.folds, parts, strict=True)
    ]
    axis = Axis(moved, inner.extent)
    reads = [b for b in buffers if b.role == "input"]
    if group.space.by_row:
        return RowKernel(part, [*kept, chunk], [axis], [*reads, *parts]).kernel()
    lanes = kept or [Axis(loop_variable("k", 1), 1)]  # chunks are not lanes: the last is shorter
    return ColumnKernel(part, [chunk, *lanes], [axis], [*reads, *parts]).kernel()


def _join_kernel(
    group: Group,
    kept: Sequence[Axis],
    chunk: Axis,
    parts: Sequence[Buffer],
    at: tuple[Position, ...],
    buffers: Sequence[Buffer],
) -> Kernel:
    """Join the chunks of each row, and store what follows from the results."""
    if not group.space.by_row and kept:
        *outer, inner = kept
        tiles = floordiv(inner.extent + (COLUMN_TILE - 1), COLUMN_TILE)
        tile = Axis(loop_variable("t", tiles), tiles)
        rows = count_rows([*outer, tile])
        size = minimum(COLUMN_TILE, inner.extent - tile.variable * COLUMN_TILE)
        lane = loop_variable("v", size)
        values = {symbol_of(inner.variable): tile.variable * COLUMN_TILE + lane}
    else:
        rows, values, lane, size = count_rows(kept), {}, None, 1
    rewriter = Rewriter(group.composer.intern, values)
    nest = Nest(rows.variable)
    for variable, value in rows.binds:
        nest.bind(variable, value)
    if lane is not None:
        nest.enter(lane)
    nest.enter(chunk.variable)
    folds = []
    for fold, buffer in zip(group.folds, parts, strict=True):
        loaded = nest.place(Load(buffer, tuple(map(rewriter.position, at))))
        folds.append(Fold(fold.local, fold.kind, loaded, tree=True))
    nest.leave(chunk.variable, chunk.extent, "serial", folds)
    for target in group.rows:
        position = tuple(map(rewriter.position, target.position))
        nest.store(target.buffer, position, rewriter(target.value))
    if lane is not None:
        nest.leave(lane, size, "vector")
    loop = Loop(rows.variable, rows.extent, "parallel", nest.finish())
    return Kernel((*parts, *buffers), loop)


__all__ = ["Kernels", "reduction_kernels", "reduction_of"]
