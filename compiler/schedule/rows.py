"""Kernels over rows: rows in parallel, lanes along the row, one loop over the row per phase.

What a later phase needs again is computed again when it is cheap, else kept in a scratch row. A
row that is not one dim in memory is copied to scratch, value by value, and folded from there."""

from __future__ import annotations

from collections.abc import Container, Mapping, Sequence

from intaglio.compiler.dims import Symbol, loop_variable, product
from intaglio.compiler.dtypes import DType
from intaglio.compiler.loop import (
    Buffer,
    Call,
    Expr,
    Fold,
    Kernel,
    Load,
    Loop,
    Position,
    symbol_of,
)
from intaglio.compiler.schedule.cost import KEEP, RELOAD, Costs
from intaglio.compiler.schedule.domain import Axis, count_rows, grain_for
from intaglio.compiler.schedule.nest import Nest, sizes_in, variables_of, walk
from intaglio.compiler.schedule.reduction_group import Group, Step, Target
from intaglio.compiler.schedule.storage import dense


class RowKernel:
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


def _depends(expr: Expr, symbols: set[Symbol]) -> bool:
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
