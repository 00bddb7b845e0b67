"""Kernels of groups with reductions: maps and folds over rows, or over columns, in one pass.

All reductions of a group reduce the same axes of the same shape; the axes that are kept count the
*rows*. A kernel runs over the rows in parallel; within a row it has *phases*, one loop over the
reduced axes each: phase q computes the folds that depend on q earlier ones, and stores what depends
on no later one. So a softmax written from primitives is three short loops over a row in cache.

When the last axis is reduced, lanes run along the row. Otherwise (columns) lanes run along the
innermost kept axis, and each lane folds its own column. What a later phase needs again is computed
again when it is cheap, else kept in a scratch row. Few but long rows are split: chunk results go to
memory, and a second kernel joins them in the same fixed order."""

from __future__ import annotations

from collections.abc import Container, Mapping, Sequence
from dataclasses import dataclass, field

from intaglio.compiler.codegen.c import SERIAL_CHUNK, VECTOR_CHUNK
from intaglio.compiler.dims import (
    Shape,
    Size,
    compare,
    floordiv,
    loop_variable,
    minimum,
    product,
)
from intaglio.compiler.dtypes import DType, int32, int64
from intaglio.compiler.ir import Graph, Node, Value
from intaglio.compiler.loop import (
    Buffer,
    Call,
    Expr,
    Fold,
    Index,
    Kernel,
    Load,
    Local,
    Loop,
    Position,
    Unfusable,
    call,
    cast,
    number,
    symbol_of,
)
from intaglio.compiler.op import op_named
from intaglio.compiler.schedule.compose import Composer, Rewriter
from intaglio.compiler.schedule.cost import KEEP, RELOAD, Costs
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
)
from intaglio.compiler.schedule.nest import Nest, sizes_in, variables_of, walk

COLUMN_TILE = 256
"""Columns that one iteration of a column kernel works on."""
FEW_ROWS = 64
"""With fewer rows than this, long rows are split into chunks."""


def reduction_of(node: Node) -> tuple[str, tuple[int, ...]] | None:
    """The kind and axes of a reduction; None for another node."""
    rule = getattr(op_named(node.op), "reduction", None)
    return None if rule is None else rule(**node.attributes)


def dense(shape: Shape) -> Shape:
    """Row-major strides in elements."""
    strides: list[Size] = []
    step: Size = 1
    for size in reversed(shape):
        strides.append(step)
        step = step * size
    return tuple(reversed(strides))


def fold_dtype(dtype: DType) -> DType:
    """The type that a fold is carried in: short integers in i32."""
    return int32 if dtype.kind in "iu" and dtype.size < 4 else dtype


@dataclass
class Step:
    """A fold to be made: the local that holds its result, its kind, what it joins, and the number
    of folds it depends on."""

    local: Local
    kind: str
    value: Expr
    phase: int


@dataclass(frozen=True)
class Target:
    """An element to be stored."""

    buffer: Buffer
    position: tuple[Position, ...]
    value: Expr


@dataclass(frozen=True)
class Space:
    """The iteration space: axes kept and reduced, and the positions they make."""

    shape: Shape
    reduced: tuple[int, ...]
    kept_axes: tuple[Axis, ...]
    reduced_axes: tuple[Axis, ...]
    position: tuple[Position, ...]

    @property
    def by_row(self) -> bool:
        """Whether the last axis is reduced, which decides the order of folds."""
        return bool(self.shape) and len(self.shape) - 1 in self.reduced

    @property
    def kept_position(self) -> tuple[Position, ...]:
        """The position of a reduction's result."""
        return tuple(p for k, p in enumerate(self.position) if k not in self.reduced)


def space_of(graph: Graph) -> Space:
    """The space of a group's reductions; `Unfusable` when they differ."""
    found: set[tuple[Shape, tuple[int, ...]]] = set()
    for node in graph.nodes:
        kind = reduction_of(node)
        if kind is not None:
            found.add((node.inputs[0].type.shape, kind[1]))
    if len(found) != 1:
        raise Unfusable("reductions over different axes or shapes")
    ((shape, reduced),) = found
    axes, position = axes_of(shape)
    by_variable = {a.variable: a for a in axes}
    parts: tuple[list[Axis], list[Axis]] = ([], [])
    for k, p in enumerate(position):
        if p != 0:
            parts[k in reduced].append(by_variable[p])  # type: ignore[index]
    return Space(shape, reduced, tuple(parts[0]), tuple(parts[1]), position)


class Group:
    """A group composed into folds and stores, not yet in loops."""

    def __init__(
        self,
        graph: Graph,
        memory: Mapping[Value, Buffer],
        results: Sequence[tuple[Value, Buffer]],
    ) -> None:
        self.space = space_of(graph)
        self.graph = graph
        self.folds: list[Step] = []
        self._results: dict[Value, Expr] = {}
        self._phases: dict[Local, int] = {}
        self.composer = Composer(graph, memory, self._known)
        for node in graph.nodes:
            if reduction_of(node) is not None:
                self._reduce(node)
        self.full: list[tuple[Target, int]] = []
        self.rows: list[Target] = []
        for value, buffer in results:
            self._target(value, buffer)

    # ------------------------------------------------------------------------------- composition

    def _known(self, value: Value, index: tuple[Position, ...]) -> Expr | None:
        found = self._results.get(value)
        if found is None:
            return None
        if index != self.space.kept_position:
            raise Unfusable("the result of a reduction is wanted in another row")
        return found

    def _reduce(self, node: Node) -> None:
        kind, axes = reduction_of(node) or ("", ())
        source = node.inputs[0]
        element = self.composer.at(source, self.space.position)
        carried = fold_dtype(element.dtype)
        if kind in ("argmax", "argmin"):
            result = self._find_extreme(kind, axes[0], element)
        else:
            result = self._fold(kind, cast(element, carried))
        wanted = node.output.type.dtype
        self._results[node.output] = self.composer.intern(cast(result, wanted))

    def _fold(self, kind: str, value: Expr) -> Expr:
        local = Local(value.dtype)
        value = self.composer.intern(value)
        self._phases[local] = phase = self.phase(value) + 1
        self.folds.append(Step(local, kind, value, phase - 1))
        return local

    def _find_extreme(self, kind: str, axis: int, element: Expr) -> Expr:
        """The first position of the largest or smallest element; NaN comes before all numbers."""
        carried = fold_dtype(element.dtype)
        extreme = cast(self._fold(kind[3:], cast(element, carried)), element.dtype)
        matches: Expr = call("eq", element, extreme)
        if element.dtype.is_floating_point:
            matches = call("or", matches, call("ne", element, element))
        size = self.space.shape[axis]
        short = compare(size, (1 << 31) - 1)
        dtype = int32 if short is not None and short <= 0 else int64
        position = self.space.position[axis]
        assert not isinstance(position, Call | Load | Local)
        last = number((1 << (8 * dtype.size - 1)) - 1, dtype)
        place = Index(position, dtype)  # type: ignore[arg-type]
        return cast(self._fold("min", call("select", matches, place, last)), int64)

    def phase(self, expr: Expr) -> int:
        """How many folds in sequence the expression depends on."""
        return max(
            (self._phases.get(e, 0) for e in walk([expr]) if isinstance(e, Local)), default=0
        )

    def _target(self, value: Value, buffer: Buffer) -> None:
        sizes = tuple(s for s in value.type.shape if s != 1)
        kept = tuple(a.extent for a in self.space.kept_axes)
        whole = tuple(s for s in self.space.shape if s != 1)
        if sizes == kept:
            variables = [a.variable for a in self.space.kept_axes]
        elif sizes == whole:
            variables = [p for p in self.space.position if p != 0]  # type: ignore[misc]
        else:
            raise Unfusable("a result that is neither a row's nor an element's")
        left = iter(variables)
        position = tuple(0 if s == 1 else next(left) for s in value.type.shape)
        target = Target(buffer, position, self.composer.at(value, position))
        if sizes == kept:
            self.rows.append(target)
        else:
            self.full.append((target, self.phase(target.value)))

    @property
    def phases(self) -> int:
        """The number of loops over the reduced axes."""
        return 1 + max([f.phase for f in self.folds] + [p for _, p in self.full])

    def rewrite(self, rewriter: Rewriter) -> None:
        """Replace index variables everywhere."""

        def renewed(target: Target) -> Target:
            place = tuple(map(rewriter.position, target.position))
            return Target(target.buffer, place, rewriter(target.value))

        for fold in self.folds:
            fold.value = rewriter(fold.value)
        self.full = [(renewed(t), p) for t, p in self.full]
        self.rows = [renewed(t) for t in self.rows]

    def addresses(self) -> list[Size]:
        """Every address and index used as data."""
        targets = [t for t, _ in self.full] + self.rows
        found = addresses([*(f.value for f in self.folds), *(t.value for t in targets)])
        return found + [address_of(t.buffer, t.position) for t in targets]


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
    build = _RowKernel if group.space.by_row else _ColumnKernel
    return Kernels([build(group, kept, reduced, buffers).kernel()])


# ------------------------------------------------------------------------------------- row kernels


class _RowKernel:
    """Rows in parallel, lanes along the row."""

    def __init__(
        self,
        group: Group,
        kept: Sequence[Axis],
        reduced: Sequence[Axis],
        buffers: Sequence[Buffer],
    ) -> None:
        self.group, self.kept, self.buffers = group, kept, buffers
        self.reduced = list(reduced) or [Axis(loop_variable("v", 1), 1)]
        self.scratch: list[Buffer] = []

    def kernel(self) -> Kernel:
        """The kernel."""
        group = self.group
        rows = count_rows(self.kept)
        nest = Nest(rows.variable)
        for variable, value in rows.binds:
            nest.bind(variable, value)
        kept = self._stash()
        for phase in range(group.phases):
            self._phase(nest, phase, kept.get(phase, []))
        for target in group.rows:
            nest.store(target.buffer, target.position, target.value)
        length = product(tuple(a.extent for a in self.reduced))
        loop = Loop(rows.variable, rows.extent, "parallel", nest.finish(), (), grain_for(length))
        return Kernel(tuple(self.buffers), loop, tuple(self.scratch))

    def _row_buffer(self, dtype: DType) -> Buffer:
        shape = tuple(a.extent for a in self.reduced)
        self.scratch.append(Buffer(dtype, shape, dense(shape), "scratch"))
        return self.scratch[-1]

    def _stash(self) -> dict[int, list[tuple[Buffer, Expr]]]:
        """Let later phases load what an earlier one computed at some cost; what to store, by
        phase."""
        group, costs = self.group, Costs()
        found: dict[int, list[tuple[Buffer, Expr]]] = {}
        place = tuple(a.variable for a in self.reduced)
        symbols = {symbol_of(v) for v in place}
        for phase in range(group.phases - 1):
            now = set(walk(self._roots(phase)))
            kept: dict[Expr, Expr] = {}
            for later in range(phase + 1, group.phases):
                stored = {t.value: t for t, p in reversed(group.full) if p == phase}
                for expr in _topmost(self._roots(later), now, costs, stored):
                    if expr in kept or not _depends(expr, symbols):
                        continue
                    if expr in stored:
                        kept[expr] = Load(stored[expr].buffer, stored[expr].position)
                    else:
                        buffer = self._row_buffer(expr.dtype)
                        found.setdefault(phase, []).append((buffer, expr))
                        kept[expr] = Load(buffer, place)
            if kept:
                self._replace(kept, phase)
        return found

    def _roots(self, phase: int) -> list[Expr]:
        group = self.group
        roots = [f.value for f in group.folds if f.phase == phase]
        return roots + [t.value for t, p in group.full if p == phase]

    def _replace(self, kept: Mapping[Expr, Expr], phase: int) -> None:
        replace = _Replace(self.group, kept)
        for fold in self.group.folds:
            if fold.phase > phase:
                fold.value = replace(fold.value)
        self.group.full = [
            (Target(t.buffer, t.position, replace(t.value)) if p > phase else t, p)
            for t, p in self.group.full
        ]

    def _phase(self, nest: Nest, phase: int, kept: Sequence[tuple[Buffer, Expr]]) -> None:
        folds = [f for f in self.group.folds if f.phase == phase]
        stores = [(t.buffer, t.position, t.value) for t, p in self.group.full if p == phase]
        place = tuple(a.variable for a in self.reduced)
        stores += [(buffer, place, value) for buffer, value in kept]
        if len(self.reduced) == 1:
            self._loops(nest, stores, folds)
            return
        joined: list[tuple[Step, Buffer]] = []
        for fold in folds:
            buffer = self._row_buffer(fold.value.dtype)
            stores.append((buffer, place, fold.value))
            joined.append((fold, buffer))
        self._loops(nest, stores, [])
        if joined:
            self._join_flat(nest, joined)

    def _loops(
        self,
        nest: Nest,
        stores: Sequence[tuple[Buffer, tuple[Position, ...], Expr]],
        folds: Sequence[Step],
    ) -> None:
        *outer, inner = self.reduced
        for axis in outer:
            nest.enter(axis.variable)
        nest.enter(inner.variable)
        made = [Fold(f.local, f.kind, nest.place(f.value)) for f in folds]
        for buffer, position, value in stores:
            nest.store(buffer, position, value)
        nest.leave(inner.variable, inner.extent, "vector", made)
        for axis in reversed(outer):
            nest.leave(axis.variable, axis.extent, "serial")

    def _join_flat(self, nest: Nest, joined: Sequence[tuple[Step, Buffer]]) -> None:
        """Fold rows that are not one dim in memory from their copies in scratch."""
        length = product(tuple(a.extent for a in self.reduced))
        flat = loop_variable("v", length)
        nest.enter(flat)
        folds = []
        for fold, buffer in joined:
            place = (0,) * (len(buffer.shape) - 1)
            folds.append(Fold(fold.local, fold.kind, nest.place(Load(buffer, (*place, flat)))))
        nest.leave(flat, length, "vector", folds)


def _depends(expr: Expr, symbols: set[object]) -> bool:
    return any(
        s in symbols for e in walk([expr]) for size in sizes_in(e) for s in variables_of(size)
    )


def _topmost(
    roots: Sequence[Expr], among: set[Expr], costs: Costs, stored: Container[Expr]
) -> list[Expr]:
    """The largest expressions of a set under some roots that are costly enough to be kept."""
    found: list[Expr] = []
    seen: set[Expr] = set()
    waiting = list(roots)
    while waiting:
        expr = waiting.pop()
        if expr in seen:
            continue
        seen.add(expr)
        enough = RELOAD if expr in stored else KEEP
        if expr in among and costs(expr) >= enough and isinstance(expr, Call):
            found.append(expr)
        elif isinstance(expr, Call):
            waiting += expr.arguments
    return found


class _Replace:
    """Replaces whole expressions by others."""

    def __init__(self, group: Group, kept: Mapping[Expr, Expr]) -> None:
        self._intern = group.composer.intern
        self._done: dict[Expr, Expr] = dict(kept)

    def __call__(self, expr: Expr) -> Expr:
        """The expression with the replacements made."""
        found = self._done.get(expr)
        if found is None:
            found = expr
            if isinstance(expr, Call):
                parts = tuple(map(self, expr.arguments))
                found = self._intern(Call(expr.function, parts, expr.dtype))
            self._done[expr] = found
        return found


# ---------------------------------------------------------------------------------- column kernels


class _ColumnKernel:
    """Columns in parallel, lanes along the innermost kept axis, each lane folding its own."""

    def __init__(
        self,
        group: Group,
        kept: Sequence[Axis],
        reduced: Sequence[Axis],
        buffers: Sequence[Buffer],
    ) -> None:
        self.group, self.buffers, self.reduced = group, buffers, list(reduced)
        self.outer, self.inner = list(kept[:-1]), kept[-1] if kept else None

    def kernel(self) -> Kernel:
        """The kernel."""
        group = self.group
        length: Size = self.inner.extent if self.inner else 1
        tiles = floordiv(length + (COLUMN_TILE - 1), COLUMN_TILE)
        tile = Axis(loop_variable("t", tiles), tiles)
        rows = count_rows([*self.outer, tile])
        nest = Nest(rows.variable)
        for variable, value in rows.binds:
            nest.bind(variable, value)
        size = minimum(COLUMN_TILE, length - tile.variable * COLUMN_TILE)
        vector = loop_variable("v", size)
        start = tile.variable * COLUMN_TILE + vector
        values = {symbol_of(self.inner.variable): start} if self.inner else {}
        group.rewrite(Rewriter(group.composer.intern, values))
        nest.enter(vector)
        for phase in range(group.phases):
            self._phase(nest, phase)
        for target in group.rows:
            nest.store(target.buffer, target.position, target.value)
        nest.leave(vector, size, "vector")
        depth = product(tuple(a.extent for a in self.reduced))
        grain = grain_for(minimum(COLUMN_TILE, length) * depth)
        loop = Loop(rows.variable, rows.extent, "parallel", nest.finish(), (), grain)
        return Kernel(tuple(self.buffers), loop)

    def _phase(self, nest: Nest, phase: int) -> None:
        folds = [f for f in self.group.folds if f.phase == phase]
        stores = [t for t, p in self.group.full if p == phase]
        if not folds and not stores:
            return
        count = count_rows(self.reduced)
        nest.enter(count.variable)
        for variable, value in count.binds:
            nest.bind(variable, value)
        made = [Fold(f.local, f.kind, nest.place(f.value)) for f in folds]
        for target in stores:
            nest.store(target.buffer, target.position, target.value)
        nest.leave(count.variable, count.extent, "serial", made)


# ------------------------------------------------------------------------- few rows, split in chunks


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
        return _RowKernel(part, [*kept, chunk], [axis], [*reads, *parts]).kernel()
    return _ColumnKernel(part, [chunk, *kept], [axis], [*reads, *parts]).kernel()


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
    return Kernel(tuple([*parts, *buffers]), loop)


__all__ = ["TILE", "Kernels", "dense", "reduction_kernels", "reduction_of", "tile_extent"]
