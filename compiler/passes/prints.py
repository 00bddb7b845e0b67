"""Make results of what a graph is to show, so that a compiled function, which shows nothing itself,
hands it to whoever runs it.

Every node with an effect (`debug_print`) gives its operand as a further output of the graph and is
gone. One inside of a block becomes a further result of the block's node, where the op has one per
run of the block (`Op.with_results`): of a loop, the values of all rounds, stacked. What is shown
comes back as a tree in program order, whose branches are loops."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeAlias

from intaglio.compiler.ir import Attribute, Graph, Node, Value, blocks
from intaglio.compiler.op import has_effect, op_named
from intaglio.compiler.passes.inline import inline
from intaglio.compiler.where import Places


@dataclass(frozen=True, slots=True)
class Print:
    """A value to show: which of the further outputs it is, the author's label, and the line."""

    output: int
    label: str
    where: Places


@dataclass(frozen=True, slots=True)
class Rounds:
    """What a loop shows in each round; the values of all rounds are stacked. With `reverse` the
    last of a stack was made first."""

    shown: tuple[Shown, ...]
    reverse: bool


Shown: TypeAlias = "Print | Rounds"


def expose(graph: Graph) -> tuple[Graph, tuple[Shown, ...]]:
    """The graph with what it shows as further outputs, and what these are; the graph itself where
    it shows nothing."""
    if not any(map(has_effect, graph.nodes)):
        return graph, ()
    found = _Exposer()
    made = found.graph(inline(graph))
    return made.replace(outputs=(*made.outputs, *found.values)), tuple(found.shown)


def silence(graph: Graph) -> Graph:
    """The graph without anything to show, inside blocks too."""
    if not any(map(has_effect, graph.nodes)):
        return graph
    here: dict[Value, Value] = {}
    nodes: list[Node] = []
    for node in graph.nodes:
        operands = [here.get(v, v) for v in node.inputs]
        if op_named(node.op).effect:
            here[node.output] = operands[0]
            continue
        changed: dict[str, Attribute] = {name: silence(block) for name, block in blocks(node)}
        nodes.append(Node(node.op, operands, node.outputs, node.attributes | changed, node.where))
    return graph.replace(nodes=nodes, outputs=[here.get(v, v) for v in graph.outputs])


class _Exposer:
    """Rewrites one graph; `values` are what it shows, in order."""

    def __init__(self) -> None:
        self.values: list[Value] = []
        self.shown: list[Shown] = []
        self._here: dict[Value, Value] = {}

    def graph(self, graph: Graph) -> Graph:
        """The graph without effects."""
        nodes: list[Node] = []
        for node in graph.nodes:
            operands = [self._here.get(v, v) for v in node.inputs]
            if op_named(node.op).effect:
                self._here[node.output] = operands[0]
                label = str(node.attributes["label"])
                self.shown.append(Print(len(self.values), label, node.where))
                self.values.append(operands[0])
                continue
            if any(a is not b for a, b in zip(operands, node.inputs, strict=True)):
                node = Node(node.op, operands, node.outputs, node.attributes, node.where)
            nodes.append(self._block_node(node) if has_effect(node) else node)
        outputs = [self._here.get(v, v) for v in graph.outputs]
        return graph.replace(nodes=nodes, outputs=outputs)

    def _block_node(self, node: Node) -> Node:
        """A node in whose blocks something is shown."""
        for name, block in blocks(node):
            inner = _Exposer()
            body = inner.graph(block)
            attributes = {**node.attributes, name: body}
            node = Node(node.op, node.inputs, node.outputs, attributes, node.where)
            if not inner.values:
                continue
            made = op_named(node.op).with_results(node, name, inner.values)
            if made is None:  # an op that can't: it shows nothing
                continue
            node, results = made
            first = len(self.values)
            self.values += results
            reverse = bool(node.attributes.get("reverse"))
            self.shown.append(Rounds(_moved(inner.shown, first), reverse))
        return node


def _moved(shown: Sequence[Shown], by: int) -> tuple[Shown, ...]:
    """The same tree over outputs that stand further on."""
    return tuple(
        Print(s.output + by, s.label, s.where)
        if isinstance(s, Print)
        else Rounds(_moved(s.shown, by), s.reverse)
        for s in shown
    )
