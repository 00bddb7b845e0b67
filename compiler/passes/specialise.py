"""Put numbers, or other sizes, in place of symbolic sizes: in types, attributes, blocks and
constraints."""

from __future__ import annotations

from collections.abc import Mapping

from intaglio.compiler.dims import (
    Constraint,
    Dim,
    Shape,
    Size,
    Symbol,
    collecting,
    holds,
    substitute,
    symbols,
)
from intaglio.compiler.errors import ShapeError
from intaglio.compiler.ir import Attribute, Graph, Node, Value


def specialise(graph: Graph, sizes: Mapping[str, Size]) -> Graph:
    """The graph for calls in which the symbols named in `sizes` have these values.

    Constraints that the values decide are dropped. Raises `ShapeError` for one that they break.
    """
    here: dict[Value, Value] = {}

    def value(old: Value) -> Value:
        shape = specialised_shape(old.type.shape, sizes)
        here[old] = old if shape == old.type.shape else Value(old.type.with_shape(*shape), old.hint)
        return here[old]

    inputs = [value(v) for v in graph.inputs]
    nodes = []
    for node in graph.nodes:
        attributes = {k: specialised(v, sizes) for k, v in node.attributes.items()}
        operands = [here[v] for v in node.inputs]
        nodes.append(
            Node(node.op, operands, [value(v) for v in node.outputs], attributes, node.where)
        )
    left = [kept for c in graph.constraints if (kept := _constraint(c, sizes)) is not None]
    return Graph(tuple(inputs), tuple(nodes), tuple(here[v] for v in graph.outputs), tuple(left))


def _constraint(constraint: Constraint, sizes: Mapping[str, Size]) -> Constraint | None:
    """What is left of a constraint; None when it is decided."""
    if not symbols(constraint.left, constraint.right).keys() & sizes.keys():
        return constraint
    left = specialised_size(constraint.left, sizes)
    right = specialised_size(constraint.right, sizes)
    undecided: list[Constraint] = []
    with collecting(undecided):
        kept = holds(left, constraint.relation, right)
    if not kept:
        place = f" ({constraint.where})" if constraint.where else ""
        raise ShapeError(f"the sizes {_shown(sizes)} break {constraint}{place}")
    return Constraint(left, constraint.relation, right, constraint.where) if undecided else None


def _shown(sizes: Mapping[str, Size]) -> str:
    return ", ".join(f"{name} = {size}" for name, size in sizes.items())


def specialised(attribute: Attribute, sizes: Mapping[str, Size]) -> Attribute:
    """An attribute with the sizes in place, inside tuples and blocks too."""
    if isinstance(attribute, Dim):
        return specialised_size(attribute, sizes)
    if isinstance(attribute, tuple):
        return tuple(specialised(a, sizes) for a in attribute)
    if isinstance(attribute, Graph):
        return specialise(attribute, sizes)
    return attribute


def specialised_shape(shape: Shape, sizes: Mapping[str, Size]) -> Shape:
    """A shape with the sizes in place."""
    return tuple(specialised_size(size, sizes) for size in shape)


def specialised_size(size: Size, sizes: Mapping[str, Size]) -> Size:
    """A size with the numbers of the symbols that have one in place."""
    if isinstance(size, int):
        return size
    found = symbols(size)
    known: dict[Symbol, Size] = {s: sizes[name] for name, s in found.items() if name in sizes}
    return substitute(size, known) if known else size
