"""The kernel of `dynamic_update_slice`: a box is written into a result that holds the operand
already.

The result is seen with its dims twice: once for where the box begins, which is data, and once for
the place inside of the box, so that neighbours in the box are neighbours for the lanes."""

from __future__ import annotations

from collections.abc import Mapping

from intaglio.compiler.dims import floordiv, loop_variable, minimum
from intaglio.compiler.ir import Node, Value
from intaglio.compiler.loop import Buffer, Kernel, Load, Loop, Operand, Position, symbol_of
from intaglio.compiler.ops.update import clamped
from intaglio.compiler.schedule.compose import Interner, Rewriter
from intaglio.compiler.schedule.domain import Axis, axes_of, count_rows, grain_for
from intaglio.compiler.schedule.nest import Nest

LANES = 4096
"""Elements of the innermost dim that one iteration takes."""


def twice(result: Buffer) -> Buffer:
    """The result with its dims twice."""
    shape, strides = result.shape, result.strides
    return Buffer(result.dtype, (*shape, *shape), (*strides, *strides), "output")


def update_box_kernel(node: Node, memory: Mapping[Value, Buffer], wide: Buffer) -> Kernel:
    """Writes the update into `wide`, the result with its dims twice."""
    update, start = (memory[v] for v in node.inputs[1:])
    rank = len(update.shape)
    intern = Interner()
    at = Operand(node.inputs[2].type, lambda index, guard: Load(start, index, guard))
    first = [clamped(at, k, wide.shape[k] - update.shape[k]) for k in range(rank)]
    axes, place = axes_of(update.shape)
    inner = axes[-1] if axes else Axis(loop_variable("v", 1), 1)
    tiles = floordiv(inner.extent + (LANES - 1), LANES)
    tile = Axis(loop_variable("t", tiles), tiles)
    rows = count_rows([*axes[:-1], tile])
    nest = Nest(rows.variable)
    for variable, value in rows.binds:
        nest.bind(variable, value)
    size = minimum(LANES, inner.extent - tile.variable * LANES)
    lane = loop_variable("v", size)
    rewrite = Rewriter(intern, {symbol_of(inner.variable): tile.variable * LANES + lane})
    here: list[Position] = [rewrite.position(p) for p in place]
    starts: list[Position] = [intern.position(p) for p in first]
    nest.enter(lane)
    nest.store(wide, [*starts, *here], intern(Load(update, tuple(here))))
    nest.leave(lane, size, "vector")
    grain = grain_for(minimum(LANES, inner.extent))
    loop = Loop(rows.variable, rows.extent, "parallel", nest.finish(), (), grain)
    return Kernel((update, start, wide), loop)
