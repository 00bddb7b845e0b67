"""Groups that run along one stretch of memory: kernels that get their length when they are called.

A group is flat when every element of its results is made of the elements at the same place of
operands of the same shape, and of single numbers; or when its results are single numbers, made of
such elements by reductions over all of them. Shapes don't matter then, only how many elements
there are. So groups that differ in their shapes alone share one kernel, and an optimizer's updates,
one for every parameter, are one loop over all of them; so are the sums of squares of a joint
norm."""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass
from typing import Final

from intaglio.compiler.dims import Dim, Shape, Size, compare, floordiv, product, substitute
from intaglio.compiler.ir import Graph, Literal, Node, Value
from intaglio.compiler.loop import (
    Buffer,
    Expr,
    Index,
    Kernel,
    Local,
    Operand,
    Position,
    Unfusable,
    symbol_of,
)
from intaglio.compiler.op import op_named
from intaglio.compiler.passes.keys import attribute_key
from intaglio.compiler.schedule.cost import kernel_nanoseconds
from intaglio.compiler.schedule.domain import axes_of
from intaglio.compiler.schedule.maps import map_kernel
from intaglio.compiler.schedule.memory_use import read_in_place, used_buffers
from intaglio.compiler.schedule.nest import walk
from intaglio.compiler.schedule.reductions import Kernels, reduction_kernels, reduction_of
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
        folds = [n for n in graph.nodes if reduction_of(n) is not None]
        wide = folds[0].inputs[:1] if folds else graph.outputs[:1]
        shape = wide[0].type.shape if wide else ()
        outer = () if folds else shape
        if len(set(graph.outputs)) < len(graph.outputs):
            return None
        if _is_single(shape) or any(_squeezed(v.type.shape, shape) != outer for v in graph.outputs):
            return None
        if folds and compare(product(shape), 0) != 1:
            return None  # a result that is made of nothing has to be written, too
        numbers: dict[Value, int] = {}
        parts: list[Hashable] = []
        for value in graph.inputs:
            if _squeezed(value.type.shape, shape) is None:
                return None
            numbers[value] = len(numbers)
            parts.append((value.type.dtype, value.type.shape == shape))
        folded: set[Value] = set()
        for node in graph.nodes:
            part = self._node(node, shape, numbers)
            if part is None:
                return None
            if node in folds or not folded.isdisjoint(node.inputs):
                folded.update(node.outputs)
            if node.output in folded and node.output.type.shape == shape:
                return None  # another loop over the elements, after the first
            parts.append(part)
            numbers[node.output] = len(numbers)
        outputs = tuple(numbers[v] for v in graph.outputs)
        return Flat((len(graph.inputs), *parts, outputs), shape)

    def _node(self, node: Node, shape: Shape, numbers: dict[Value, int]) -> Hashable | None:
        """What a node computes, whatever the shape; None where the shape matters."""
        op = op_named(node.op)
        kind = reduction_of(node)
        if op.checks or len(node.outputs) != 1 or op.element is None and kind is None:
            return None
        wide = node.output.type.shape == shape
        literal = node.attributes.get("value")
        if isinstance(literal, Literal) and literal.array.shape != ():
            return None
        if _squeezed(node.output.type.shape, shape) is None:
            return None
        operands = tuple(numbers[v] for v in node.inputs)
        if kind is not None:
            (source,) = node.inputs
            whole = source.type.shape == shape and node.attributes.get("axes") == kind[1]
            whole = whole and len(kind[1]) == len(shape)
            return (node.op, *operands, node.output.type.dtype) if whole else None
        attributes = tuple(
            (name, "shape" if value == shape else attribute_key(value))
            for name, value in sorted(node.attributes.items())
        )
        types = tuple(v.type for v in node.inputs)
        key = (node.op, attributes, types, node.output.type)
        found = self._known.get(key)
        if found is None:
            found = self._known[key] = _is_in_place(node, wide)
        if not found:
            return None
        if _is_move(node):
            return "move", operands, wide
        return node.op, attributes, operands, node.output.type.dtype, wide


def _squeezed(shape: Shape, whole: Shape) -> Shape | None:
    """The shape of the whole group, or that of a single number; None for any other."""
    return shape if shape == whole else () if _is_single(shape) else None


def _is_move(node: Node) -> bool:
    """Whether a node's result is its only operand, in as many places as there are."""
    same = len(node.inputs) == 1 and node.inputs[0].type.dtype == node.output.type.dtype
    return same and op_named(node.op).moves(**node.attributes)


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
    """A kernel whose only size is `LENGTH`, with the buffers that it touches."""

    def __init__(self, kernel: Kernel) -> None:
        self._touched = used_buffers(kernel)
        kept = tuple(b for b in kernel.buffers if b in self._touched)
        self.kernel = Kernel(kept, kernel.body, kernel.scratch)
        self.in_place = read_in_place(self.kernel)

    @property
    def reads(self) -> list[Buffer]:
        """The buffers it loads from."""
        return [b for b in self.kernel.buffers if b.role == "input" or self._touched[b]]

    @property
    def writes(self) -> list[Buffer]:
        """The buffers it stores to."""
        return [b for b in self.kernel.buffers if b.role == "output"]

    def chunks(self, length: Size) -> Size:
        """How many chunks so many elements have."""
        if length == 0:
            return 0
        loop = self.kernel.body
        extent, grain = (at_length(size, length) for size in (loop.extent, loop.grain))
        return floordiv(extent + grain - 1, grain)

    def nanoseconds(self, length: Size) -> Size:
        """What one core needs for them, roughly."""
        return at_length(kernel_nanoseconds(self.kernel), length)


class FlatKernels:
    """The kernels of a flat group: `buffers` are those of its inputs, then of its outputs;
    `temporaries` lie between the kernels."""

    def __init__(self, graph: Graph) -> None:
        self._here: dict[Value, Value] = {}
        flat = self._flattened(graph)
        inputs = {v: _buffer(v, "input") for v in flat.inputs}
        outputs = [(v, _buffer(v, "output")) for v in flat.outputs]
        if any(reduction_of(n) for n in flat.nodes):
            made = reduction_kernels(flat, inputs, outputs)
        else:
            made = Kernels([map_kernel(flat, inputs, outputs)])
        self.kernels = tuple(map(FlatKernel, made.kernels))
        self.buffers = (*inputs.values(), *(b for _, b in outputs))
        self.temporaries = tuple(made.temporaries)

    def _flattened(self, graph: Graph) -> Graph:
        """The group on operands of one dim, and numbers of none."""
        folds = [n for n in graph.nodes if reduction_of(n) is not None]
        shape = (folds[0].inputs if folds else graph.outputs)[0].type.shape
        here = self._here
        for value in graph.inputs:
            here[value] = _flat_value(value, shape)
        nodes: list[Node] = []
        for node in graph.nodes:
            operands = [here[v] for v in node.inputs]
            made = _flat_value(node.output, shape)
            if _is_move(node) and operands[0].type == made.type:
                here[node.output] = operands[0]
                continue
            here[node.output] = made
            op, attributes = node.op, dict(node.attributes)
            if _is_move(node):
                op, attributes = "expand", {"shape": (LENGTH,), "axes": ()}
            elif node in folds:
                attributes["axes"] = (0,)
            elif "shape" in attributes:
                attributes["shape"] = made.type.shape
            nodes.append(Node(op, operands, [made], attributes, node.where))
        inputs, outputs = (tuple(here[v] for v in many) for many in (graph.inputs, graph.outputs))
        return Graph(inputs, tuple(nodes), outputs)


def _flat_value(value: Value, shape: Shape) -> Value:
    sizes = (LENGTH,) if value.type.shape == shape else ()
    return Value(value.type.with_shape(*sizes), value.hint)


def _buffer(value: Value, role: str) -> Buffer:
    return Buffer(value.type.dtype, value.type.shape, dense(value.type.shape), role)


def at_length(size: Size, length: Size) -> Size:
    """A size in a kernel's text for so many elements."""
    return substitute(size, {symbol_of(LENGTH): length})


def shared_keys(graph: Graph, groups: FlatGroups) -> set[Hashable]:
    """What groups of a fused graph, of several lengths, have in common."""
    shapes: dict[Hashable, set[Shape]] = {}
    for node in graph.nodes:
        body = node.attributes.get("body")
        if node.op != "fused" or not isinstance(body, Graph):
            body = Graph(tuple(dict.fromkeys(node.inputs)), (node,), node.outputs)
        elif node.attributes["kind"] not in ("map", "row"):
            continue
        found = groups.of(body)
        if found is not None:
            shapes.setdefault(found.key, set()).add(found.shape)
    return {key for key, many in shapes.items() if len(many) > 1}
