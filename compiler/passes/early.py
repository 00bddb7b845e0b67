"""Another order of a graph's nodes, so that states can be updated where they lie.

A state is updated in place by an op that replaces a part of it. That may happen once everything
that can fail has been checked, and nobody reads the old elements any more. So what makes indices
and what calls into Python comes first, and who reads a state comes before who updates it, wherever
the one does not need the other. Graphs without such updates stay as they are."""

from __future__ import annotations

import heapq
from collections.abc import Collection

from intaglio.compiler.dims import Size
from intaglio.compiler.ir import Graph, Node, Value, blocks
from intaglio.compiler.op import op_named
from intaglio.compiler.schedule.storage import View, dense, view_of
from intaglio.compiler.types import TensorType


def early(graph: Graph, states: Collection[Value]) -> Graph:
    """The graph with its nodes in such an order; `states` are the inputs that are updated."""
    updates = _first_updates(graph, states)
    if not updates:
        return graph
    calls = [n for n in graph.nodes if getattr(op_named(n.op), "kernel", None) == "host"]
    needed = _ancestors(graph, [v for _, v, _ in checked_values(graph)])
    needed |= {*calls, *_ancestors(graph, [v for n in calls for v in n.inputs])}
    before: dict[Node, set[Node]] = {
        n: {m for v in n.inputs if (m := graph.producers.get(v)) is not None} for n in graph.nodes
    }
    for update, state in updates.items():
        later = _descendants(graph, update)
        before[update] |= {n for n in _readers(graph, state) if n is not update and n not in later}
    ordered = _sorted(graph, before, needed)
    return graph if ordered is None else graph.replace(nodes=tuple(ordered))


def checked_values(graph: Graph) -> list[tuple[Node, Value, Size]]:
    """The index operands of the nodes that check them: the node, the value in this graph, and the
    bound. Those inside of loops are left out."""
    found: list[tuple[Node, Value, Size]] = []
    for node in graph.nodes:
        if node.op != "fused":
            found += [(node, node.inputs[k], bound) for k, bound in _bounds(node, node.inputs)]
            continue
        for _, body in blocks(node):
            outer = dict(zip(body.inputs, node.inputs, strict=True))
            for inner in body.nodes:
                pairs = _bounds(inner, inner.inputs)
                found += [(inner, outer[inner.inputs[k]], bound) for k, bound in pairs
                          if inner.inputs[k] in outer]  # fmt: skip
    return found


def _bounds(node: Node, inputs: Collection[Value]) -> tuple[tuple[int, Size], ...]:
    op = op_named(node.op)
    types: list[TensorType] = [v.type for v in inputs]
    return op.bounds_checks(*types, **node.attributes) if op.checks else ()


def _first_updates(graph: Graph, states: Collection[Value]) -> dict[Node, Value]:
    """The nodes that replace a part of a state, each with the state."""
    found: dict[Node, Value] = {}
    for node in graph.nodes:
        if op_named(node.op).updates_operand:
            root = node.inputs[0]
            while (maker := graph.producers.get(root)) and op_named(maker.op).keeps_order:
                root = maker.inputs[0]
            if root in states:
                found[node] = root
    return found


def _readers(graph: Graph, state: Value) -> list[Node]:
    """Who reads a state or another look at it."""
    looks, found = {state}, []
    for node in graph.nodes:
        if not looks.isdisjoint(node.inputs):
            found.append(node)
            if is_look(node):
                looks.update(node.outputs)
    return found


def is_look(node: Node) -> bool:
    """Whether a node's result may be its operand's memory, seen in another way."""
    if len(node.inputs) != 1:
        return False
    if op_named(node.op).effect:
        return True
    shape = node.inputs[0].type.shape
    return view_of(node, View(0, 0, dense(shape))) is not None


def _ancestors(graph: Graph, values: Collection[Value]) -> set[Node]:
    found: set[Node] = set()
    waiting = list(values)
    while waiting:
        node = graph.producers.get(waiting.pop())
        if node is not None and node not in found:
            found.add(node)
            waiting += node.inputs
    return found


def _descendants(graph: Graph, start: Node) -> set[Node]:
    reached, found = set(start.outputs), {start}
    for node in graph.nodes:
        if not reached.isdisjoint(node.inputs):
            found.add(node)
            reached.update(node.outputs)
    return found


def _sorted(
    graph: Graph, before: dict[Node, set[Node]], first: Collection[Node]
) -> list[Node] | None:
    """The nodes with those of `before` ahead, otherwise `first` and then in their order; None where
    there is no such order."""
    number = {n: k for k, n in enumerate(graph.nodes)}
    after: dict[Node, list[Node]] = {n: [] for n in graph.nodes}
    for node, many in before.items():
        for other in many:
            after[other].append(node)
    missing = {n: len(many) for n, many in before.items()}
    ready = [(n not in first, number[n]) for n in graph.nodes if not missing[n]]
    heapq.heapify(ready)
    done: list[Node] = []
    while ready:
        node = graph.nodes[heapq.heappop(ready)[1]]
        done.append(node)
        for later in after[node]:
            missing[later] -= 1
            if not missing[later]:
                heapq.heappush(ready, (later not in first, number[later]))
    return done if len(done) == len(graph.nodes) else None
