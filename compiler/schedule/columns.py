"""Kernels over columns: lanes run along the innermost kept axis, and each lane folds its own."""

from __future__ import annotations

from collections.abc import Sequence

from intaglio.compiler.dims import Size, floordiv, loop_variable, minimum, product
from intaglio.compiler.loop import Buffer, Fold, Kernel, Loop, symbol_of
from intaglio.compiler.schedule.compose import Rewriter
from intaglio.compiler.schedule.domain import Axis, count_rows, grain_for
from intaglio.compiler.schedule.nest import Nest
from intaglio.compiler.schedule.reduction_group import Group

COLUMN_TILE = 256
"""Columns that one iteration of a column kernel works on."""


class ColumnKernel:
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
