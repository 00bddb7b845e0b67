"""Compute equal things once: of nodes with the same op, operands and attributes the first is kept.

Attributes are compared by bits and blocks by structure (see `keys`). Two loops over the same
operands that do the same work but give different results of it are merged into one that gives both:
that is what a derivative's forward loop and the original are. The kept node carries the places of
all that it stands for.
"""

from __future__ import annotations

from collections.abc import Hashable

from intaglio.compiler.ir import Attribute, Graph, Node, Value, blocks
from intaglio.compiler.op import has_effect, op_named
from intaglio.compiler.passes.dce import dce
from intaglio.compiler.passes.keys import attributes_key
from intaglio.compiler.where import join


def cse(graph: Graph) -> Graph:
    """The graph with one node for equal ones, inside blocks too."""
    here: dict[Value, Value] = {v: v for v in graph.inputs}
    kept: dict[Hashable, int] = {}
    alike: dict[Hashable, list[int]] = {}
    nodes: list[Node] = []
    for node in graph.nodes:
        node = _inside(node, [here[v] for v in node.inputs])
        same = kept.setdefault(_key(node), len(nodes))
        if same < len(nodes):
            here.update(zip(node.outputs, nodes[same].outputs, strict=True))
            nodes[same] = _joined(nodes[same], node)
            continue
        twins = alike.setdefault((node.op, node.inputs), [])
        if not _merged(nodes, twins, node, here):
            here.update((v, v) for v in node.outputs)
            twins.append(len(nodes))
            nodes.append(node)
    if len(nodes) == len(graph.nodes) and all(
        a is b for a, b in zip(nodes, graph.nodes, strict=True)
    ):
        return graph
    return dce(graph.replace(nodes=nodes, outputs=[here[v] for v in graph.outputs]))


def _key(node: Node) -> Hashable:
    if has_effect(node):
        return node  # what is seen twice is done twice
    return node.op, tuple(node.inputs), attributes_key(node.attributes)


def _inside(node: Node, operands: list[Value]) -> Node:
    changed: dict[str, Attribute] = {
        name: new for name, block in blocks(node) if (new := cse(block)) is not block
    }
    if not changed and all(a is b for a, b in zip(node.inputs, operands, strict=True)):
        return node
    return Node(node.op, operands, node.outputs, {**node.attributes, **changed}, node.where)


def _joined(first: Node, second: Node) -> Node:
    """The first node, with the places of both."""
    where = join(first.where, second.where)
    if where == first.where:
        return first
    return Node(first.op, first.inputs, first.outputs, first.attributes, where)


def _merged(nodes: list[Node], twins: list[int], node: Node, here: dict[Value, Value]) -> bool:
    """Whether a node before could be widened to give this node's results too; it then is."""
    for k in twins:
        found = op_named(node.op).merge(nodes[k], node)
        if found is not None:
            nodes[k], stands_for = found
            here.update((v, stands_for[v]) for v in node.outputs)
            return True
    return False
