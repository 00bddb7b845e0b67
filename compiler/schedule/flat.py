"""Elementwise groups that run along one stretch of memory: kernels that get their length when they
are called.

A group is flat when every element of its results is made of the elements at the same place of
operands of the same shape, and of single numbers. Shapes don't matter then, only how many elements
there are. So groups that differ in their shapes alone share one kernel, and an optimizer's updates,
one for every parameter, are one loop over all of them."""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass
from typing import Final

from intaglio.compiler.dims import Dim, Shape, Size, floordiv, loop_variable, product, substitute
from intaglio.compiler.ir import Graph, Literal, Node, Value
from intaglio.compiler.loop import (
    Buffer,
    Call,
    Expr,
    Index,
    Kernel,
    Load,
    Local,
    Operand,
    Position,
    Unfusable,
    symbol_of,
)
from intaglio.compiler.op import op_named
from intaglio.compiler.passes.keys import attribute_key
from intaglio.compiler.schedule.compose import Composer
from intaglio.compiler.schedule.cost import kernel_nanoseconds
from intaglio.compiler.schedule.domain import Axis, axes_of
from intaglio.compiler.schedule.maps import stored_kernel
from intaglio.compiler.schedule.memory_use import read_in_place, used_buffers
from intaglio.compiler.schedule.nest import walk
from intaglio.compiler.schedule.storage import dense

LENGTH_NAME: Final = "n"
LENGTH: Final = Dim(LENGTH_NAME, min=1)
"""The number of elements, in the text of a kernel: its only size."""


@dataclass(frozen=True)
class Flat:
    """What makes groups alike, and the shape of one of them."""

    key: Hashable
    shape: Shape

    @property
    def length(self) -> Size:
        """How many elements it has."""
        return product(self.shape)


class FlatGroups:
    """Tells which groups are flat. What was found of an op on operands of some types is
    remembered."""

    def __init__(self) -> None:
        self._known: dict[Hashable, bool] = {}
        self._found: dict[Graph, Flat | None] = {}

    def of(self, graph: Graph) -> Flat | None:
        """What a group of nodes is, if it is flat."""
        if graph not in self._found:
            self._found[graph] = self._find(graph)
        return self._found[graph]

    def _find(self, graph: Graph) -> Flat | None:
        shape = graph.outputs[0].type.shape if graph.outputs else ()
        if _is_single(shape) or any(v.type.shape != shape for v in graph.outputs):
            return None
        numbers: dict[Value, int] = {}
        parts: list[Hashable] = []
        for value in graph.inputs:
            if not (value.type.shape == shape or _is_single(value.type.shape)):
                return None
            numbers[value] = len(numbers)
            parts.append((value.type.dtype, value.type.shape == shape))
        for node in graph.nodes:
            part = self._node(node, shape, numbers)
            if part is None:
                return None
            parts.append(part)
            numbers[node.output] = len(numbers)
        outputs = tuple(numbers[v] for v in graph.outputs)
        return Flat((len(graph.inputs), *parts, outputs), shape)

    def _node(self, node: Node, shape: Shape, numbers: dict[Value, int]) -> Hashable | None:
        """What a node computes, whatever the shape; None where the shape matters."""
        op = op_named(node.op)
        if op.element is None or op.checks or len(node.outputs) != 1:
            return None
        wide = node.output.type.shape == shape
        if not (wide or _is_single(node.output.type.shape)):
            return None
        literal = node.attributes.get("value")
        if isinstance(literal, Literal) and literal.array.size != 1:
            return None
        attributes = tuple(
            (name, "shape" if value == shape else attribute_key(value))
            for name, value in sorted(node.attributes.items())
        )
        operands = tuple(numbers[v] for v in node.inputs)
        types = tuple(v.type for v in node.inputs)
        key = (node.op, attributes, types, node.output.type)
        found = self._known.get(key)
        if found is None:
            found = self._known[key] = _is_in_place(node, wide)
        if not found:
            return None
        if op.moves(**node.attributes) and types == (node.output.type.with_shape(*types[0].shape),):
            return "move", operands, wide
        return node.op, attributes, operands, node.output.type.dtype, wide


def _is_single(shape: Shape) -> bool:
    return all(size == 1 for size in shape)


def _is_in_place(node: Node, wide: bool) -> bool:
    """Whether an element of the result is made of the operands' elements at the same place, and of
    single numbers; the place itself does not matter."""
    axes, position = axes_of(node.output.type.shape)
    inside = True

    def operand(value: Value) -> Operand:
        single = _is_single(value.type.shape)

        def at(place: tuple[Position, ...], condition: Expr | None) -> Expr:
            nonlocal inside
            same = single or wide and place == position
            inside = inside and same and condition is None
            return Local(value.type.dtype)

        return Operand(value.type, at)

    op = op_named(node.op)
    assert op.element is not None
    try:
        made = op.element(position, *map(operand, node.inputs), **node.attributes)
    except Unfusable:
        return False
    return inside and not any(isinstance(e, Index) for e in walk([made]))


class FlatKernel:
    """A kernel over `LENGTH` elements; `buffers` are those of the group's inputs, then of its
    outputs, `used` the kernel with those that it touches."""

    def __init__(self, kernel: Kernel, buffers: tuple[Buffer, ...]) -> None:
        self.kernel, self.buffers = kernel, buffers
        self._touched = used_buffers(kernel)
        kept = tuple(b for b in buffers if b in self._touched)
        self.used = Kernel(kept, kernel.body, kernel.scratch)
        self.in_place = read_in_place(self.used)

    def rereads(self, buffer: Buffer) -> bool:
        """Whether the kernel loads from a buffer."""
        return self._touched[buffer]

    def chunks(self, length: Size) -> Size:
        """How many chunks so many elements have."""
        loop = self.kernel.body
        extent, grain = (_at(size, length) for size in (loop.extent, loop.grain))
        return floordiv(extent + grain - 1, grain)

    def nanoseconds(self, length: Size) -> Size:
        """What one core needs for them, roughly."""
        return _at(kernel_nanoseconds(self.kernel), length)


def flat_kernel(graph: Graph) -> FlatKernel:
    """The kernel of a flat group."""
    shape = graph.outputs[0].type.shape
    inputs = {v: Buffer(v.type.dtype, v.type.shape, dense(v.type.shape)) for v in graph.inputs}
    variable = loop_variable("i", LENGTH)
    flat: dict[Buffer, Buffer] = {}
    for value, buffer in inputs.items():
        sizes: tuple[Shape, Shape] = ((LENGTH,), (1,)) if value.type.shape == shape else ((), ())
        flat[buffer] = Buffer(buffer.dtype, *sizes)
    outputs = [Buffer(v.type.dtype, (LENGTH,), (1,), "output") for v in graph.outputs]
    composer = Composer(graph, inputs)
    done: dict[Expr, Expr] = {}

    def flattened(expr: Expr) -> Expr:
        found = done.get(expr)
        if found is None:
            found = expr
            if isinstance(expr, Load):
                buffer = flat[expr.buffer]
                found = Load(buffer, (variable,) if buffer.shape else ())
            elif isinstance(expr, Call):
                found = Call(expr.function, tuple(map(flattened, expr.arguments)), expr.dtype)
            found = done[expr] = composer.intern(found)
        return found

    _, position = axes_of(shape)
    stores = [
        (buffer, (variable,), flattened(composer.at(value, position)))
        for value, buffer in zip(graph.outputs, outputs, strict=True)
    ]
    reads = list(flat.values())
    kernel = stored_kernel(composer, [Axis(variable, LENGTH)], stores, reads)
    return FlatKernel(kernel, (*reads, *outputs))


def _at(size: Size, length: Size) -> Size:
    return substitute(size, {symbol_of(LENGTH): length})


def shared_keys(graph: Graph, groups: FlatGroups) -> set[Hashable]:
    """What groups of a fused graph, of several lengths, have in common."""
    shapes: dict[Hashable, set[Shape]] = {}
    for node in graph.nodes:
        body = node.attributes.get("body")
        if node.op != "fused" or not isinstance(body, Graph):
            body = Graph(tuple(dict.fromkeys(node.inputs)), (node,), node.outputs)
        elif node.attributes["kind"] != "map":
            continue
        found = groups.of(body)
        if found is not None:
            shapes.setdefault(found.key, set()).add(found.shape)
    return {key for key, many in shapes.items() if len(many) > 1}
