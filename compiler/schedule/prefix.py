"""Kernels that go along an axis and store every value on the way (`cumulative`, `recurrence`).

Each row is one chain in order. Where the axis is the innermost dim a row is one scalar chain, and
rows are split over threads; otherwise neighbouring rows are the lanes of a block whose chains go
side by side."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np

from intaglio.compiler.dims import Size, floordiv, loop_variable, minimum
from intaglio.compiler.dtypes import DType
from intaglio.compiler.ir import Node, Value
from intaglio.compiler.loop import (
    Assign,
    Buffer,
    Declare,
    Expr,
    Kernel,
    Load,
    Local,
    Loop,
    Position,
    call,
    cast,
    number,
)
from intaglio.compiler.ops.prefix import chain_type
from intaglio.compiler.schedule.compose import Interner
from intaglio.compiler.schedule.domain import Axis, axes_of, count_rows, grain_for
from intaglio.compiler.schedule.nest import Nest

LANES = 256
"""Neighbouring rows that one iteration takes."""
Join = Callable[[Expr, Sequence[Expr]], Expr]
"""The next value of a chain, from the last one and the operands' elements."""


def prefix_kernel(node: Node, memory: Mapping[Value, Buffer], result: Buffer) -> Kernel:
    """The kernel of a node with such an op."""
    axis, reverse = node.attributes["axis"], node.attributes["reverse"]
    assert isinstance(axis, int)
    operands = [memory[v] for v in node.inputs]
    dtype = result.dtype
    if node.op == "recurrence":
        chain, first = dtype, number(0, dtype)
        join: Join = _multiply_add
    else:
        kind = str(node.attributes["kind"])
        chain = chain_type(dtype, kind)
        first, join = number(_start(kind, chain), chain), _JOINS[kind]
    return _Chains(result, operands, axis, bool(reverse)).kernel(chain, first, join)


class _Chains:
    """The loops of a kernel: rows, lanes, and along the axis."""

    def __init__(
        self, result: Buffer, operands: Sequence[Buffer], axis: int, reverse: bool
    ) -> None:
        self.result, self.operands = result, operands
        self.length = result.shape[axis]
        self.time = loop_variable("t", self.length)
        axes, place = axes_of(result.shape)
        mine = place[axis]
        rows = [a for a in axes if a.variable != mine]
        self.wide = bool(rows) and axes[-1].variable != mine
        self.inner = rows.pop() if self.wide else Axis(loop_variable("v", 1), 1)
        self.rows = rows
        at: Size = self.length - 1 - self.time if reverse else self.time
        self.place: list[Position] = [*place[:axis], at, *place[axis + 1 :]]

    def kernel(self, chain: DType, first: Expr, join: Join) -> Kernel:
        """The kernel that goes along with `join` from `first`."""
        width = self.inner.extent
        tiles = floordiv(width + (LANES - 1), LANES)
        tile = Axis(loop_variable("t", tiles), tiles)
        counted = count_rows([*self.rows, tile])
        nest = Nest(counted.variable)
        for variable, value in counted.binds:
            nest.bind(variable, value)
        size = minimum(LANES, width - tile.variable * LANES)
        lane = loop_variable("v", size)
        place = [
            tile.variable * LANES + lane if self.wide and p is self.inner.variable else p
            for p in self.place
        ]
        if self.wide:
            nest.enter(lane)
        self._chain(nest, place, chain, first, join)
        if self.wide:
            nest.leave(lane, size, "vector")
        grain = grain_for(minimum(LANES, width) * self.length)
        loop = Loop(counted.variable, counted.extent, "parallel", nest.finish(), (), grain)
        return Kernel((*self.operands, self.result), loop)

    def _chain(
        self, nest: Nest, place: Sequence[Position], chain: DType, first: Expr, join: Join
    ) -> None:
        intern, last = Interner(), Local(chain)
        nest.define(last)
        nest.statement(Declare(last, first))
        nest.enter(self.time)
        loads = [cast(Load(b, tuple(place)), chain) for b in self.operands]
        made = nest.place(intern(join(last, loads)))
        nest.statement(Assign(last, made))
        nest.store(self.result, place, intern(cast(made, self.result.dtype)))
        nest.leave(self.time, self.length, "serial")


def _start(kind: str, dtype: DType) -> float | int:
    """What joined with x gives x, to the last bit."""
    if kind == "prod":
        return 1
    if kind == "sum":
        return -0.0 if dtype.kind == "f" else 0
    if dtype.kind == "f":
        return float("inf") if kind == "min" else float("-inf")
    limits = np.iinfo(dtype.numpy.str)
    return int(limits.max if kind == "min" else limits.min)


def _multiply_add(last: Expr, elements: Sequence[Expr]) -> Expr:
    return call("fma", elements[0], last, elements[1])


def _log_sum(last: Expr, elements: Sequence[Expr]) -> Expr:
    """The larger one plus log1p(exp(smaller - larger)); equal infinities differ by nothing."""
    (x,) = elements
    high, low = call("maximum", last, x), call("minimum", last, x)
    gap = call("select", call("eq", low, high), number(0, x.dtype), call("sub", low, high))
    return call("add", high, call("log1p", call("exp", gap)))


def _plain(function: str) -> Join:
    return lambda last, elements: call(function, last, elements[0])


_JOINS: Mapping[str, Join] = {
    "sum": _plain("add"),
    "prod": _plain("mul"),
    "max": _plain("maximum"),
    "min": _plain("minimum"),
    "logsumexp": _log_sum,
}
