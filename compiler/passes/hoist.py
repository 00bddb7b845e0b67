"""Run before a loop what is the same in all its rounds.

An op that repeats a block says by `hoisted` which nodes of the block depend on nothing that changes
from round to round. Inner loops come first, so that what stays the same in both leaves both."""

from __future__ import annotations

from intaglio.compiler.ir import Attribute, Graph, Node, blocks
from intaglio.compiler.op import op_named


def hoist(graph: Graph) -> Graph:
    """The graph with nodes taken out of loops."""
    made: list[Node] = []
    changed = False
    for node in graph.nodes:
        inner: dict[str, Attribute] = {
            name: new for name, block in blocks(node) if (new := hoist(block)) is not block
        }
        if inner:
            attributes = {**node.attributes, **inner}
            node = Node(node.op, node.inputs, node.outputs, attributes, node.where)
        found = op_named(node.op).hoisted(node)
        if found is not None:
            before, node = found
            made += before
        changed = changed or bool(inner) or found is not None
        made.append(node)
    return graph.replace(nodes=made) if changed else graph
