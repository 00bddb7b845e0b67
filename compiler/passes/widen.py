"""Let kernel templates compute short floats in f32: products, convolutions, sorts, prefix chains
and sums at positions get their f16 and bf16 operands cast, and their results are rounded once.

Elementwise ops and reductions do this element by element in their kernels (`schedule/halves.py`),
and ops that only move elements leave them as they are. So a template's sums are carried in f32, in
the order that the op defines for f32, and no template knows of short floats."""

from __future__ import annotations

from intaglio.compiler.dtypes import float32
from intaglio.compiler.ir import Attribute, Graph, Node, Value, blocks
from intaglio.compiler.op import Builder, Op, op_named


def widen(graph: Graph) -> Graph:
    """The graph with casts around such nodes, inside blocks too; the same graph where there are
    none."""
    b = Builder()
    b.inputs, b.constraints = list(graph.inputs), list(graph.constraints)
    here: dict[Value, Value] = {}
    changed = False
    for node in graph.nodes:
        made = _inside(node, [here.get(v, v) for v in node.inputs])
        if is_widened(op_named(node.op), made):
            here.update(zip(made.outputs, _cast_around(b, made), strict=True))
            changed = True
            continue
        changed = changed or made is not node
        b.append(made)
    return b.graph(here.get(v, v) for v in graph.outputs) if changed else graph


def is_widened(rule: Op, node: Node) -> bool:
    """Whether a node has a template that computes, and operands of short floats."""
    if getattr(rule, "kernel", "scan") in ("scan", "host") or rule.moves(**node.attributes):
        return False
    return any(v.type.dtype.is_half for v in node.inputs)


def _inside(node: Node, operands: list[Value]) -> Node:
    """The node with these operands, and the same done in its blocks."""
    inner: dict[str, Attribute] = {
        name: new for name, block in blocks(node) if (new := widen(block)) is not block
    }
    if not inner and all(a is b for a, b in zip(node.inputs, operands, strict=True)):
        return node
    return Node(node.op, operands, node.outputs, {**node.attributes, **inner}, node.where)


def _cast_around(b: Builder, node: Node) -> list[Value]:
    """Append the node over f32, and casts before and after it; its results."""
    with b.placed(node.where):
        operands: list[Value] = [
            b.cast(v, dtype=float32) if v.type.dtype.is_half else v for v in node.inputs
        ]
        wide = b.apply(node.op, operands, node.attributes)
        return [
            b.cast(made, dtype=value.type.dtype) if value.type.dtype.is_half else made
            for made, value in zip(wide, node.outputs, strict=True)
        ]
