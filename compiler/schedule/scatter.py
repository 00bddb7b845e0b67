"""Kernels of ops that add, set or join at positions that are data, in the order of the index.

`index_add` splits the dims off the axis over threads, the scatters too: every thread goes through
the index in order and writes to its own part of the result, so that neither threads nor lanes
change the order in which an element's terms are joined. Where threads abound, each goes through the
index for one of several parts of the result only: the positions that are its number modulo `parts`.
A first kernel copies the operand, unless the result already lies in its memory."""

from __future__ import annotations

from collections.abc import Mapping

from intaglio.compiler.dims import Size, floordiv, loop_variable, minimum, product
from intaglio.compiler.dtypes import int64
from intaglio.compiler.ir import Node, Value
from intaglio.compiler.loop import (
    Buffer,
    Expr,
    Index,
    Kernel,
    Load,
    Loop,
    Position,
    call,
    cast,
    number,
    symbol_of,
)
from intaglio.compiler.schedule.compose import Interner, Rewriter
from intaglio.compiler.schedule.domain import Axis, axes_of, count_rows, grain_for
from intaglio.compiler.schedule.nest import Nest

LANES = 256
"""Elements of the innermost dim that one thread takes at a time."""
_JOINS: Mapping[str, str | None] = {
    "scatter_add": "add", "scatter": None, "max": "maximum", "min": "minimum", "prod": "mul"
}  # fmt: skip


def index_add_kernel(
    node: Node, memory: Mapping[Value, Buffer], result: Buffer, parts: int = 1
) -> Kernel:
    """Adds slices of the source to a result that holds the operand already."""
    axis = node.attributes["axis"]
    assert isinstance(axis, int)
    index, source = (memory[v] for v in node.inputs[1:])
    count, place = axes_of(index.shape)
    before, low = axes_of(result.shape[:axis])
    after, high = axes_of(result.shape[axis + 1 :])
    at = cast(Load(index, place), int64)
    return _joining_kernel(
        (*before, *after), count, (*low, at, *high), Load(source, (*low, *place, *high)),
        result, [index, source], at, parts, "add",
    )  # fmt: skip


def scatter_kernel(
    node: Node, memory: Mapping[Value, Buffer], result: Buffer, parts: int = 1
) -> Kernel:
    """Joins elements of the source to a result that holds the operand already, or sets them."""
    kind = str(node.attributes.get("kind", node.op))
    axis = node.attributes["axis"]
    assert isinstance(axis, int)
    index, source = (memory[v] for v in node.inputs[1:])
    axes, place = axes_of(index.shape)
    rows = [a for a in axes if a.variable != place[axis]]
    count = [a for a in axes if a.variable == place[axis]]
    at = cast(Load(index, place), int64)
    return _joining_kernel(
        rows, count, (*place[:axis], at, *place[axis + 1 :]), Load(source, place),
        result, [index, source], at, parts, _JOINS[kind],
    )  # fmt: skip


def _joining_kernel(
    rows: tuple[Axis, ...] | list[Axis],
    count: tuple[Axis, ...] | list[Axis],
    target: tuple[object, ...],
    term: Load,
    result: Buffer,
    reads: list[Buffer],
    at: Expr,
    parts: int,
    join: str | None,
) -> Kernel:
    """result[target] = join(result[target], term), or just term, for all of `count` in order,
    `rows` being independent. With several parts (a power of two) an iteration writes only where
    `at` is its part's number modulo `parts`."""
    intern = Interner()
    outer, inner = list(rows[:-1]), (rows[-1] if rows else None)
    length: Size = inner.extent if inner else 1
    tiles = floordiv(length + (LANES - 1), LANES)
    tile = Axis(loop_variable("t", tiles), tiles)
    part = Axis(loop_variable("p", parts), parts)
    counted = count_rows([*outer, tile] if parts == 1 else [*outer, tile, part])
    nest = Nest(counted.variable)
    for variable, value in counted.binds:
        nest.bind(variable, value)
    size = minimum(LANES, length - tile.variable * LANES)
    lane = loop_variable("v", size)
    start = tile.variable * LANES + lane
    rewrite = Rewriter(intern, {symbol_of(inner.variable): start} if inner else {})
    steps = count_rows(list(count))
    nest.enter(steps.variable)
    for variable, value in steps.binds:
        nest.bind(variable, value)
    nest.enter(lane)
    guard = None
    if parts > 1:
        number_of = call("and", at, number(parts - 1, int64))
        guard = rewrite(intern(call("eq", number_of, Index(part.variable))))
    place: list[Position] = [rewrite.position(intern.position(p)) for p in target]  # type: ignore[arg-type]
    made = rewrite(intern(term))
    assert isinstance(made, Load)
    made = intern(Load(made.buffer, made.index, guard))
    if join is not None:
        made = intern(call(join, intern(Load(result, tuple(place), guard)), made))
    nest.store(result, place, made, guard)
    nest.leave(lane, size, "vector")
    nest.leave(steps.variable, steps.extent, "serial")
    work = minimum(LANES, length) * product(tuple(a.extent for a in count))
    loop = Loop(counted.variable, counted.extent, "parallel", nest.finish(), (), grain_for(work))
    return Kernel((*reads, result), loop)
