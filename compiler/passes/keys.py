"""Keys under which equal attributes and blocks are equal: by bits and structure, not by Python's
`==`."""

from __future__ import annotations

import struct
from collections.abc import Hashable

from intaglio.compiler.ir import Attribute, Attributes, Graph, Value


def attributes_key(attributes: Attributes) -> Hashable:
    """A key of all attributes of a node, whatever their order."""
    return tuple((name, attribute_key(attributes[name])) for name in sorted(attributes))


def attribute_key(value: Attribute) -> Hashable:
    """A key that tells 1, 1.0 and True apart, 0.0 from -0.0, and NaNs by their bits; blocks are
    equal by structure."""
    if isinstance(value, float):
        return "f", struct.pack("<d", value)
    if isinstance(value, tuple):
        return "t", tuple(map(attribute_key, value))
    if isinstance(value, Graph):
        return "g", graph_key(value)
    return type(value).__name__, value


def graph_key(graph: Graph) -> Hashable:
    """A key of a graph's structure: types, ops, attributes and who reads what; places and hints do
    not matter."""
    numbers: dict[Value, int] = {}
    for value in graph.inputs:
        numbers[value] = len(numbers)
    nodes = []
    for node in graph.nodes:
        operands = tuple(numbers[v] for v in node.inputs)
        nodes.append((node.op, attributes_key(node.attributes), operands))
        for value in node.outputs:
            numbers[value] = len(numbers)
    return (
        tuple(v.type for v in graph.inputs),
        tuple(nodes),
        tuple(numbers[v] for v in graph.outputs),
    )
