"""Replace nodes by simpler values with the same bits, by the ops' own `simplify` rules.

One walk in program order. A node's operands are already simplified; its rule may give back one of
them, or make a node in its place, which is then looked at again, until nothing changes. So one walk
reaches the fixed point: a rule looks only at what is made before its node.
"""

from __future__ import annotations

from intaglio.compiler.ir import Attribute, Graph, Node, Value
from intaglio.compiler.op import Rewriter, op_named
from intaglio.compiler.passes.dce import dce


def simplify(graph: Graph) -> Graph:
    """The graph with simpler nodes, inside blocks too, and without those no longer needed."""
    b = Rewriter(graph)
    here: dict[Value, Value] = {v: v for v in graph.inputs}
    for node in graph.nodes:
        here.update(zip(node.outputs, _simplified(b, node, here), strict=True))
    return dce(b.graph(here[v] for v in graph.outputs))


def _simplified(b: Rewriter, node: Node, here: dict[Value, Value]) -> tuple[Value, ...]:
    node = rebuilt(node, [here.get(v, v) for v in node.inputs])
    with b.placed(node.where):
        while len(node.outputs) == 1:
            before = len(b.nodes)
            found = op_named(node.op).simplify(b, node.inputs, node)
            if found is None:
                break
            if len(b.nodes) == before or b.nodes[-1].outputs != (found,):
                return (found,)
            node = b.nodes.pop()
    b.append(node)
    return node.outputs


def rebuilt(node: Node, operands: list[Value]) -> Node:
    """The node with these operands and simplified blocks; results keep their identity, and so does
    the node if it can."""
    changed: dict[str, Attribute] = {
        name: new
        for name, value in node.attributes.items()
        if isinstance(value, Graph) and (new := simplify(value)) is not value
    }
    if not changed and all(a is b for a, b in zip(node.inputs, operands, strict=True)):
        return node
    attributes = {**node.attributes, **changed}
    return Node(node.op, operands, node.outputs, attributes, node.where)
