"""Attribute sets of nodes, read on first use: a set may name a block, which is an earlier graph."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from intaglio.compiler.dims import Dim
from intaglio.compiler.dtypes import DType, dtype_named
from intaglio.compiler.errors import DTypeError, FormatError
from intaglio.compiler.ir import Attribute, Graph, Literal
from intaglio.runtime.file import limits
from intaglio.runtime.file.about import float_of
from intaglio.runtime.file.errors import at_most, entry, shown
from intaglio.runtime.file.literals import static_bytes, tensor
from intaglio.runtime.file.tables import Tables
from intaglio.schemas import program_pb2 as pb


@dataclass(frozen=True, slots=True)
class ReadGraph:
    """A graph that was read, how deep blocks nest in it, and how many nodes it has when every block
    is counted as often as it is used."""

    graph: Graph
    depth: int
    nodes: int


@dataclass(frozen=True, slots=True)
class AttributeSet:
    """The attributes of a node, with the depth and nodes of the blocks among them."""

    attributes: dict[str, Attribute]
    depth: int
    nodes: int


class AttributeReader:
    """Reads attribute sets; `graphs` is the list of the graphs read so far, which grows."""

    def __init__(self, table: pb.Program, tables: Tables, graphs: Sequence[ReadGraph]) -> None:
        self._made = table.attribute_sets
        self._tables, self._graphs = tables, graphs
        self._known: dict[int, AttributeSet] = {}

    def at(self, index: int, field: str) -> AttributeSet:
        """The set of this index."""
        found = self._known.get(index)
        if found is None:
            made = entry(self._made, index, field)
            found = self._known[index] = self._set(made, f"attribute_sets[{index}]")
        return found

    def _set(self, made: pb.AttributeSet, field: str) -> AttributeSet:
        names = [self._tables.string(k, f"{field}.names") for k in made.names]
        if len(names) != len(made.values):
            raise FormatError(f"{field}.names: not one for each value")
        if sorted(set(names)) != names:
            raise FormatError(f"{field}.names: not sorted, or one stands twice")
        found: dict[str, Attribute] = {}
        depth = nodes = 0
        for name, value in zip(names, made.values, strict=True):
            if value.WhichOneof("value") == "graph":
                block = entry(self._graphs, value.graph, f"{field}[{shown(name)}].graph")
                found[name] = block.graph
                depth, nodes = max(depth, block.depth), nodes + block.nodes
            else:
                found[name] = self._value(value, f"{field}[{shown(name)}]", 1)
        return AttributeSet(found, depth, nodes)

    def _value(self, made: pb.Attribute, field: str, nesting: int) -> Attribute:
        at_most(nesting, limits.ATTRIBUTE_DEPTH + 1, f"{field}: nesting")
        match made.WhichOneof("value"):
            case "none":
                return None
            case "boolean":
                return made.boolean
            case "integer":
                return made.integer
            case "number":
                return float_of(made.number)
            case "text":
                return self._tables.string(made.text, field)
            case "dtype":
                return self._dtype(made.dtype, field)
            case "size":
                return self._size(made.size, field)
            case "literal":
                return self._literal(made.literal, field)
            case "stored_literal":
                return entry(self._tables.literals, made.stored_literal, field)
            case "integers":
                return tuple(made.integers.values)
            case "items":
                return tuple(self._value(item, field, nesting + 1) for item in made.items.values)
            case "graph":
                raise FormatError(f"{field}: a graph stands in a tuple")
        raise FormatError(f"{field}: has no value")

    def _dtype(self, index: int, field: str) -> DType:
        try:
            return dtype_named(self._tables.string(index, field))
        except DTypeError as error:
            raise FormatError(f"{field}: {error}") from None

    def _size(self, index: int, field: str) -> Dim:
        size = self._tables.sizes.at(index, field)
        if isinstance(size, int):
            raise FormatError(f"{field}: names the constant {size} where it has to hold it")
        return size

    def _literal(self, made: pb.InlineLiteral, field: str) -> Literal:
        type = self._tables.type(made.type, f"{field}.type")
        length = static_bytes(type, field)
        if length != len(made.data) or length > limits.INLINE_LITERAL_BYTES:
            raise FormatError(f"{field}.data: {len(made.data)} bytes, where {type} has {length}")
        raw = np.frombuffer(made.data, np.uint8) if length else np.empty(0, np.uint8)
        return Literal(tensor(raw, type, field))
