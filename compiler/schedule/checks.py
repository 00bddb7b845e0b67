"""Kernels that check data before other kernels use it as indices."""

from __future__ import annotations

from collections.abc import Mapping

from intaglio.compiler.dims import Size
from intaglio.compiler.dtypes import int64
from intaglio.compiler.ir import Graph, Value
from intaglio.compiler.loop import Buffer, Check, Kernel, Loop, cast
from intaglio.compiler.schedule.compose import Composer
from intaglio.compiler.schedule.domain import CHUNK_ELEMENTS, axes_of, count_rows
from intaglio.compiler.schedule.nest import Nest


def check_kernel(graph: Graph, memory: Mapping[Value, Buffer], index: Value, bound: Size) -> Kernel:
    """Records an error for the first element of `index` outside `0 <= i < bound` that it meets."""
    axes, position = axes_of(index.type.shape)
    rows = count_rows(axes)
    nest = Nest(rows.variable)
    for variable, value in rows.binds:
        nest.bind(variable, value)
    element = Composer(graph, memory).at(index, position)
    nest.statement(Check(nest.place(cast(element, int64)), bound))
    loop = Loop(rows.variable, rows.extent, "parallel", nest.finish(), (), CHUNK_ELEMENTS)
    return Kernel(tuple(memory.values()), loop)
