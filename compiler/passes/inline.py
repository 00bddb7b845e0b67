"""Write out what exists only for derivatives: `custom_vjp` becomes its body, `stop_gradient`
nothing. Runs after differentiation.

The nodes of a written-out body keep their own places, or take the node's where they have none.
"""

from __future__ import annotations

from intaglio.compiler.ir import Attribute, Graph, Node, Value
from intaglio.compiler.op import Rewriter


def inline(graph: Graph) -> Graph:
    """The graph without `custom_vjp` and `stop_gradient`, inside blocks too; the same graph where
    there are none."""
    b, here = Rewriter(graph), {v: v for v in graph.inputs}
    _append(b, graph, here, None)
    unchanged = len(b.nodes) == len(graph.nodes) and all(
        a is c for a, c in zip(b.nodes, graph.nodes, strict=True)
    )
    return graph if unchanged else b.graph(here[v] for v in graph.outputs)


def _append(b: Rewriter, graph: Graph, here: dict[Value, Value], around: Node | None) -> None:
    """Append the nodes of `graph`, whose values are `here`; `around` is the node that it is the
    body of."""
    for node in graph.nodes:
        operands = [here[v] for v in node.inputs]
        if node.op == "stop_gradient":
            here[node.output] = operands[0]
            continue
        body = node.attributes.get("body")
        if node.op == "custom_vjp" and isinstance(body, Graph):
            inner = dict(zip(body.inputs, operands, strict=True))
            _append(b, body, inner, node)
            b.constraints += [c for c in body.constraints if c not in b.constraints]
            here.update(zip(node.outputs, (inner[v] for v in body.outputs), strict=True))
            continue
        made = _copy(node, operands, around)
        b.append(made)
        here.update(zip(node.outputs, made.outputs, strict=True))


def _copy(node: Node, operands: list[Value], around: Node | None) -> Node:
    changed: dict[str, Attribute] = {
        name: new
        for name, value in node.attributes.items()
        if isinstance(value, Graph) and (new := inline(value)) is not value
    }
    kept = all(a is b for a, b in zip(node.inputs, operands, strict=True))
    if around is None and kept and not changed:
        return node
    outputs = [Value(v.type, v.hint) for v in node.outputs] if around else node.outputs
    where = node.where or (around.where if around else ())
    return Node(node.op, operands, outputs, {**node.attributes, **changed}, where)
