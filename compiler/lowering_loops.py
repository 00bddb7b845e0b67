"""Lowers loops: `scan` becomes a loop of steps inside the function.

A carry has two buffers that take turns: round t reads one and writes the other. Slices of stacked
operands and results are views whose offsets move with the round, so that nothing is copied: what a
round makes is written to all places where it is wanted, the carry's buffer and the slice of the
stack.

What does not change from round to round is done once, before the loop: weights that are the second
operand of a product are packed there. And values that another node only sets side by side (the
gates' derivatives, a first state before a stack of states) are made where they will stand."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

from intaglio.compiler.dims import Dim, Size, floordiv, loop_variable, product
from intaglio.compiler.ir import Graph, Node, Value
from intaglio.compiler.loop import Buffer
from intaglio.compiler.lowering import NAME, Lowering, fresh, kernel_of
from intaglio.compiler.op import op_named
from intaglio.compiler.packing import MOST_ROWS, packing_of
from intaglio.compiler.schedule.matmul import packed_bytes
from intaglio.compiler.schedule.matmul_tile import C_TYPES
from intaglio.compiler.schedule.products import product_of_group
from intaglio.compiler.schedule.storage import View, dense, view_of
from intaglio.compiler.steps import Call
from intaglio.compiler.types import TensorType

MANY: Final = 16
"""Operands side by side from which on each is written by a kernel of its own."""


@dataclass(frozen=True)
class Packed:
    """A packed operand made before a loop: how a product sees it, and where it is."""

    buffer: Buffer
    view: View


@dataclass(frozen=True)
class Join:
    """A node that sets operands side by side: its operands in the graph that is lowered (None:
    made by the node's own group), and where each of them goes."""

    body: Graph
    operands: tuple[Value | None, ...]
    places: tuple[View, ...]


class LoopLowering(Lowering):
    """One function being lowered, with its loops."""

    packs_ahead = True
    """Whether products read packed operands."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self._ahead: dict[tuple[View, TensorType], Packed] = {}
        self._joins: dict[Value, Join] = {}

    def _scan(self, node: Node) -> None:
        body = node.attributes["body"]
        carries, xs = node.attributes["carries"], node.attributes["xs"]
        length = node.attributes["length"]
        assert isinstance(body, Graph) and isinstance(carries, int) and isinstance(xs, int)
        assert isinstance(length, int | Dim)
        time = loop_variable("t", length)
        at: Size = length - 1 - time if node.attributes["reverse"] else time
        turns = [self._carry(v) for v in node.inputs[:carries]]
        stacks = [self._place(v) for v in node.outputs[carries:]]
        before = dict(self._ahead)
        if self.packs_ahead:
            around = zip(body.inputs, node.inputs, strict=True)
            views = {inner: self.views[v] for inner, v in list(around)[carries + xs :]}
            self._pack_ahead(body, views)
        self.timeline.open_loop(time, length)
        given = [View(a, 0, dense(v.type.shape), b, time)
                 for (a, b), v in zip(turns, node.inputs, strict=False)]  # fmt: skip
        given += [_slice(self.views[v], at) for v in node.inputs[carries : carries + xs]]
        given += [self.views[v] for v in node.inputs[carries + xs :]]
        body = fresh(body)
        self.views.update(zip(body.inputs, given, strict=True))
        wanted = [View(b, 0, dense(v.type.shape), a, time)
                  for (a, b), v in zip(turns, node.inputs, strict=False)]  # fmt: skip
        wanted += [_slice(stack, at) for stack in stacks]
        for value, view in zip(body.outputs, wanted, strict=True):
            self._assign(body, value, view)
        self._nodes(body)
        for value, view in zip(body.outputs, wanted, strict=True):
            self._deliver(value, view)
        for a, b in turns:
            self.timeline.touch_all((a, b))
        self.timeline.close_loop()
        self._ahead = before if self.timeline.in_loop else self._ahead
        for value, (a, b) in zip(node.outputs, turns, strict=False):
            last = View(a, 0, dense(value.type.shape), b, length)
            if value in self._assigned:
                self._copy(value, last, self._place(value))
            else:
                self.views[value] = last

    def _carry(self, value: Value) -> tuple[int, int]:
        pair = (self.memory.temporary(value.type), self.memory.temporary(value.type))
        for number in pair:
            self.timeline.born(number)
        self._copy(value, self.views[value], View(pair[0], 0, dense(value.type.shape)))
        return pair

    # ------------------------------------------------------------------------------ packed operands

    def _pack_ahead(self, body: Graph, views: dict[Value, View]) -> None:
        """Pack what products of a loop's body read of the loop's constants, given by `views`."""
        for node in body.nodes:
            inner = node.attributes.get("body")
            kernel = kernel_of(op_named(node.op))
            if kernel == "matmul" and node.inputs[1] in views:
                self._pack(node, views[node.inputs[1]])
            elif node.op == "fused" and isinstance(inner, Graph):
                pairs = zip(inner.inputs, node.inputs, strict=True)
                self._pack_ahead(inner, {v: views[o] for v, o in pairs if o in views})
            elif len(node.inputs) == 1 and node.inputs[0] in views:
                view = view_of(node, views[node.inputs[0]])
                if view is not None:
                    views[node.output] = view

    def _pack(self, node: Node, view: View) -> None:
        """Pack the second operand of a product, which lies at `view`, unless that does not pay."""
        a, b = (v.type for v in node.inputs)
        known = (view, b) in self._ahead or packing_of(node, view, self.packings.inputs)
        if (
            known
            or view.blocks
            or view.other is not None
            or b.dtype.name not in C_TYPES
            or 0 in b.shape
        ):
            return
        apart = [s for s, t in zip(b.shape[:-2], view.strides, strict=False) if s != 1 and t != 0]
        rows: Size = a.shape[-2] * (1 if apart else product(a.shape[:-2]))
        mixed = apart and len(apart) < sum(s != 1 for s in b.shape[:-2])
        if mixed or isinstance(rows, int) and rows > MOST_ROWS:
            return
        ones = tuple(1 if apart else 0 for _ in b.shape[:-2])
        packed = Buffer(b.dtype, b.shape, (*ones, 0, 0))
        whole = Graph(tuple(dict.fromkeys(node.inputs)), (node,), node.outputs)
        operands = [
            self._buffer(a, View(0, 0, dense(a.shape)), "input"),
            self._buffer(b, view, "input"),
        ]
        result = self._buffer(node.output.type, View(0, 0, dense(node.output.type.shape)), "output")
        memory = dict(zip(node.inputs, operands, strict=True))
        made = product_of_group(
            whole, node, memory, [(node.output, result)], NAME, self._printer, packed
        )[2]
        assert made is not None
        *batch, k, n = b.shape
        bytes = packed_bytes(n, k, b.dtype, tuple(batch) if apart else ())
        number = self.memory.temporary(TensorType(b.dtype, (floordiv(bytes, b.dtype.size),)))
        self.timeline.born(number)
        name = self.texts.setdefault(made.text, f"k{len(self.texts)}")
        (step,) = made.steps
        self._append(
            Call(
                step.function.replace(NAME, name),
                (view, View(number, 0, (1,))),
                (view.buffer,),
                (number,),
                step.chunks,
                step.nanoseconds,
                (f"pack for {node.op}",),
                node.where,
            )  # fmt: skip
        )
        self._ahead[view, b] = Packed(packed, View(number, 0, packed.strides))

    def _packed_ahead(self, value: Value) -> tuple[Buffer | None, View | None]:
        """The packed form of a product's second operand, if one was made before the loop."""
        found = self._ahead.get((self.views[value], value.type))
        return (None, None) if found is None else (found.buffer, found.view)

    # --------------------------------------------------------------------------------- side by side

    def _nodes(self, graph: Graph) -> None:
        for node in graph.nodes:
            self._plan_join(graph, node)
        super()._nodes(graph)

    def _plan_join(self, graph: Graph, node: Node) -> None:
        """Let operands that a node only sets side by side be made where they will stand: those of
        one maker, if at most one other has to be copied. Of `MANY` operands each goes there by
        itself: a kernel that looks for its element among all of them is long and slow."""
        body = _side_by_side(node)
        if body is None or not self._is_row_major(node.outputs[0]):
            return
        last = body.nodes[-1]
        outer = dict(zip(body.inputs, node.inputs, strict=True))
        operands = tuple(outer.get(v) for v in last.inputs)
        makers = {v: graph.producers.get(v) for v in operands if v is not None}
        free = {v: m for v, m in makers.items() if m is not None and self._can_place(graph, v, m)}
        few = not free or len(set(free.values())) > 1 or len(free) < len(operands) - 1
        if few and len(operands) < MANY:
            return
        whole = self._place(node.outputs[0])
        starts = op_named(last.op).placements(*(v.type for v in last.inputs), **last.attributes)
        assert starts is not None
        places = []
        for value, start in zip(operands, starts, strict=True):
            offset = whole.offset
            for position, stride in zip(start, whole.strides, strict=True):
                offset = offset + position * stride
            places.append(View(whole.buffer, offset, whole.strides, whole.other, whole.round))
            if value is not None and value in free:
                self._assigned[value] = places[-1]
        self._joins[node.outputs[0]] = Join(body, operands, tuple(places))

    def _is_row_major(self, value: Value) -> bool:
        """Whether a value lies in the order of its dims."""
        return True

    def _can_place(self, graph: Graph, value: Value, maker: Node) -> bool:
        """Whether the node that makes a value can be told where to."""
        if value in self._assigned or value in graph.outputs or not self._is_row_major(value):
            return False
        carries = maker.attributes.get("carries")
        if kernel_of(op_named(maker.op)) == "scan":
            return isinstance(carries, int) and maker.outputs.index(value) >= carries
        return maker.op == "fused" and maker.attributes["kind"] == "map"

    def _node(self, node: Node) -> None:
        join = self._joins.get(node.outputs[0]) if node.outputs else None
        if join is None:
            super()._node(node)
            return
        body = fresh(join.body)
        outer = dict(zip(body.inputs, node.inputs, strict=True))
        for inner, value in outer.items():
            self._same(inner, value)
        for value, view in zip(body.nodes[-1].inputs, join.places, strict=True):
            if value not in outer:
                self._assigned[value] = view
                self._group(_needed(body, value), node.where)
            self._deliver(value, view)


def _side_by_side(node: Node) -> Graph | None:
    """A node, or the group that it is, as a graph whose last node sets operands side by side; None
    for other nodes."""
    body = node.attributes.get("body")
    if node.op != "fused" or not isinstance(body, Graph):
        inputs = tuple(dict.fromkeys(node.inputs))
        body = Graph(inputs, (node,), node.outputs)
        if inputs != node.inputs:
            return None
    last = body.nodes[-1]
    twice = len(set(last.inputs)) < len(last.inputs)
    if body.outputs != last.outputs or twice and len(last.inputs) < MANY:
        return None
    found = op_named(last.op).placements(*(v.type for v in last.inputs), **last.attributes)
    return None if found is None or len(last.inputs) < 2 else body


def _needed(body: Graph, value: Value) -> Graph:
    """The part of a graph that makes a value."""
    wanted, nodes = {value}, []
    for node in reversed(body.nodes):
        if wanted.intersection(node.outputs):
            nodes.append(node)
            wanted.update(node.inputs)
    inputs = tuple(v for v in body.inputs if v in wanted)
    return Graph(inputs, tuple(reversed(nodes)), (value,))


def _slice(view: View, at: Size) -> View:
    """The part of a stack at a position of its leading dim."""
    offset = view.offset + at * view.strides[0]
    return View(view.buffer, offset, view.strides[1:], view.other, view.round)
