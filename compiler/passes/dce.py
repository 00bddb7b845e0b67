"""Remove what no output depends on and nobody sees, inside blocks too."""

from __future__ import annotations

from intaglio.compiler.ir import Graph, Node, Value, blocks
from intaglio.compiler.op import has_effect, op_named


def dce(graph: Graph) -> Graph:
    """The graph without nodes that neither reach an output nor have an effect; its inputs and
    constraints stay."""
    used: set[Value] = set(graph.outputs)
    kept: list[Node] = []
    for node in reversed(graph.nodes):
        if used.isdisjoint(node.outputs) and not has_effect(node):
            continue
        node = _inside(node)
        node = op_named(node.op).prune(node, [v in used for v in node.outputs])
        used.update(node.inputs)
        kept.append(node)
    if len(kept) == len(graph.nodes) and all(
        a is b for a, b in zip(reversed(kept), graph.nodes, strict=True)
    ):
        return graph
    return graph.replace(nodes=reversed(kept))


def _inside(node: Node) -> Node:
    """The node with its blocks pruned; the same node where there is nothing to prune."""
    changed = {name: new for name, block in blocks(node) if (new := dce(block)) is not block}
    if not changed:
        return node
    return Node(node.op, node.inputs, node.outputs, {**node.attributes, **changed}, node.where)
