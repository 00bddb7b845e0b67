"""Where values lie: a buffer, an offset, and strides; and which ops are only another look at it."""

from __future__ import annotations

from dataclasses import dataclass

from intaglio.compiler.codegen.indices import affine
from intaglio.compiler.dims import Dim, Shape, Size
from intaglio.compiler.ir import Node
from intaglio.compiler.loop import Buffer, Load, Operand, Unfusable, symbol_of
from intaglio.compiler.op import op_named
from intaglio.compiler.schedule.compose import Interner
from intaglio.compiler.schedule.domain import axes_of


def dense(shape: Shape) -> Shape:
    """Row-major strides in elements."""
    strides: list[Size] = []
    step: Size = 1
    for size in reversed(shape):
        strides.append(step)
        step = step * size
    return tuple(reversed(strides))


@dataclass(frozen=True, slots=True)
class View:
    """Elements of a buffer (by number): the first lies at `offset`, the others by `strides`, all in
    elements. `other` is set for what a loop carries: its buffer in odd rounds of `round`."""

    buffer: int
    offset: Size
    strides: Shape
    other: int | None = None
    round: Size | None = None

    def is_dense(self, shape: Shape) -> bool:
        """Whether the elements lie row-major without gaps."""
        return all(
            size == 1 or mine == ideal
            for size, mine, ideal in zip(shape, self.strides, dense(shape), strict=True)
        )


def view_of(node: Node, source: View) -> View | None:
    """The result of a node as a view of its only operand; None when it must be computed."""
    op = op_named(node.op)
    if len(node.inputs) != 1 or len(node.outputs) != 1 or op.element is None:
        return None
    operand, result = node.inputs[0].type, node.output.type
    if operand.dtype != result.dtype:
        return None
    if op.keeps_order and source.is_dense(operand.shape):
        strides = dense(result.shape)
        return View(source.buffer, source.offset, strides, source.other, source.round)
    axes, position = axes_of(result.shape)
    buffer = Buffer(operand.dtype, operand.shape, source.strides)
    at = Operand(operand, lambda index, guard: Load(buffer, index, guard))
    try:
        element = Interner()(op.element(position, at, **node.attributes))
    except Unfusable:
        return None
    if not isinstance(element, Load) or element.guard is not None:
        return None
    offset: Size = source.offset
    for place, size, stride in zip(element.index, operand.shape, source.strides, strict=True):
        if not isinstance(place, int | Dim):
            return None
        offset = offset + (place * stride if size != 1 else 0)
    strides_of = {}
    for axis in axes:
        parts = affine(offset, symbol_of(axis.variable))
        if parts is None:
            return None
        offset, strides_of[axis.variable] = parts
    strides = tuple(0 if p == 0 else strides_of[p] for p in position)  # type: ignore[index]
    return View(source.buffer, offset, strides, source.other, source.round)
