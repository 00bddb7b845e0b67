"""Compute what depends on nothing: nodes whose operands are all constant, where NumPy gives the
very bits of the kernels.

Each op says by `exact` for which dtypes that holds: + - * / and sqrt of floats, everything on
integers, comparisons, movement; never exp, sums of floats or products of matrices. Results above
`limit` elements stay computed at run time, so that no program grows by what can be made from
little; fills stay fills at any size.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from intaglio.compiler.dims import Dim
from intaglio.compiler.errors import Error
from intaglio.compiler.ir import Attribute, Graph, Literal, Node, Value, blocks
from intaglio.compiler.op import Array, Rewriter, op_named
from intaglio.compiler.passes.dce import dce


def fold(graph: Graph, *, limit: int = 1024) -> Graph:
    """The graph with constant nodes computed, inside blocks too; operands that nobody reads any
    more are removed."""
    b = Rewriter(graph)
    here: dict[Value, Value] = {}
    for node in graph.nodes:
        operands = [here.get(v, v) for v in node.inputs]
        node = _with_folded_blocks(node, operands, limit)
        b.places = node.where
        found = _folded(b, node, operands, limit)
        if found is None:
            b.append(node)
        else:
            here.update(zip(node.outputs, found, strict=True))
    return dce(b.graph(here.get(v, v) for v in graph.outputs))


def _with_folded_blocks(node: Node, operands: Sequence[Value], limit: int) -> Node:
    changed: dict[str, Attribute] = {
        name: new for name, block in blocks(node) if (new := fold(block, limit=limit)) is not block
    }
    if not changed and all(a is b for a, b in zip(node.inputs, operands, strict=True)):
        return node
    return Node(node.op, operands, node.outputs, {**node.attributes, **changed}, node.where)


def _folded(b: Rewriter, node: Node, operands: Sequence[Value], limit: int) -> list[Value] | None:
    if not operands or not all(_is_known(b, v) for v in operands):
        return None
    filled = _folded_fill(b, node, operands)
    if filled is not None:
        return [filled]
    sizes = [v.type.elements for v in (*operands, *node.outputs)]
    if any(isinstance(size, Dim) or size > limit for size in sizes):
        return None
    arrays = [constant_of(b, v) for v in operands]
    known = [a for a in arrays if a is not None]
    if len(known) < len(arrays):
        return None
    made = _computed(node, known)
    return None if made is None else [_value(b, array) for array in made]


def _is_known(b: Rewriter, value: Value) -> bool:
    node = b.producer(value)
    return node is not None and node.op in ("full", "constant")


def _folded_fill(b: Rewriter, node: Node, operands: Sequence[Value]) -> Value | None:
    """An elementwise op of fills is a fill: computed on one element, at any size."""
    rule, types = op_named(node.op), [v.type for v in operands]
    if rule.element is None or len(node.outputs) != 1 or node.attributes.keys() - {"dtype"}:
        return None
    shape = node.output.type.shape
    numbers = [b.number_of(v) for v in operands]
    if any(n is None for n in numbers) or any(t.shape != shape for t in types):
        return None
    arrays = [np.asarray(n, t.dtype.numpy) for n, t in zip(numbers, types, strict=True)]
    made = _computed(node, arrays)
    return None if made is None else b.full(made[0].item(), node.output.type.dtype, shape)


def _computed(node: Node, arrays: Sequence[Array]) -> tuple[Array, ...] | None:
    """The results by the op's `fold`; None where it declines, or fails as it will at run time."""
    try:
        return op_named(node.op).fold(arrays, **node.attributes)
    except Error:
        return None


def constant_of(b: Rewriter, value: Value) -> Array | None:
    """The array that a value always is, when a `full` or a `constant` of known shape makes it."""
    node = b.producer(value)
    if node is None or any(isinstance(size, Dim) for size in value.type.shape):
        return None
    if node.op not in ("full", "constant"):
        return None
    made = op_named(node.op).reference(**node.attributes)
    assert isinstance(made, np.ndarray)
    return made


def _value(b: Rewriter, array: Array) -> Value:
    """A fill where all elements have the same bits, else a constant."""
    if array.size and array.dtype.kind in "fiub":
        bits = np.ascontiguousarray(array).reshape(-1).view(np.uint8).reshape(array.size, -1)
        if (bits == bits[0]).all():
            from intaglio.compiler.dtypes import dtype_of

            return b.full(array.reshape(-1)[0].item(), dtype_of(array.dtype), array.shape)
    return b.apply("constant", (), {"value": Literal(array)})[0]
