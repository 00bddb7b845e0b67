"""A program as a message. Tables are filled in the order of first use, so that equal programs make
equal bytes; hints of values are left out, since names never matter.

States come first, then the functions in order. A block is encoded before the graph that uses it;
graphs that encode to the same bytes are one entry."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from typing import Any

from intaglio.compiler.dims import Constraint, Dim
from intaglio.compiler.dtypes import DType
from intaglio.compiler.errors import FormatError
from intaglio.compiler.ir import (
    Attribute,
    Attributes,
    Function,
    Graph,
    Literal,
    Node,
    Program,
    State,
)
from intaglio.compiler.op import op_named
from intaglio.compiler.types import TensorType
from intaglio.compiler.where import Places, Where
from intaglio.runtime.file import limits, structures
from intaglio.runtime.file.about import bits_of
from intaglio.runtime.file.errors import at_most, shown
from intaglio.runtime.file.literals import Array, native, raw_bytes
from intaglio.runtime.file.sizes import SizeWriter
from intaglio.schemas import program_pb2 as pb

_RELATIONS = {"==": pb.Constraint.EQUAL, "<=": pb.Constraint.AT_MOST, "<": pb.Constraint.LESS}
_INT64 = range(-(1 << 63), 1 << 63)


def encode(program: Program) -> tuple[bytes, list[Array]]:
    """The program's one encoding, and the arrays of its literal section in order; raises
    `FormatError` for what a file can't hold."""
    writer = _Writer()
    try:
        writer.program(program)
        return writer.table.SerializeToString(deterministic=True), writer.arrays
    except (UnicodeEncodeError, ValueError) as error:
        if isinstance(error, FormatError):
            raise
        raise FormatError(f"the program can't be saved: {error}") from None


class _Writer:
    """The tables while they are being filled."""

    def __init__(self) -> None:
        self.table = pb.Program()
        self.arrays: list[Array] = []
        self.sizes = SizeWriter(self.table, self.string)
        self._strings: dict[str, int] = {}
        self._types: dict[TensorType, int] = {}
        self._ops: dict[str, int] = {}
        self._places: dict[Where, int] = {}
        self._wheres: dict[tuple[int, ...], int] = {}
        self._literals: dict[bytes, int] = {}
        self._sets: dict[bytes, int] = {}
        self._graphs: dict[bytes, int] = {}
        self._seen: dict[int, tuple[object, int]] = {}  # by identity; keeps what it has seen alive

    def string(self, text: str) -> int:
        """The index of a text."""
        found = self._strings.get(text)
        if found is None:
            at_most(len(text.encode()), limits.TEXT_BYTES, f"bytes of {shown(text)}")
            found = self._strings[text] = len(self._strings)
            self.table.strings.append(text)
        return found

    def program(self, program: Program) -> None:
        """Everything: states, then functions."""
        states: dict[str, int] = {}
        for name, state in program.state.items():
            if name != state.name:
                raise FormatError(f"state {shown(name)}: its first name is {shown(state.name)}")
            states[name] = len(states)
            self._state(state)
        for name, function in program.functions.items():
            if name != function.name:
                raise FormatError(f"function {shown(name)}: its name is {shown(function.name)}")
            self._function(function, states)

    def _state(self, state: State) -> None:
        made = self.table.state.add(type=self.type(state.type), kind=self.string(state.kind))
        made.names.extend([self.string(name) for name in state.names])

    def _function(self, function: Function, states: Mapping[str, int]) -> None:
        for name in (*function.reads, *function.updates):
            if name not in states:
                raise FormatError(
                    f"function {shown(function.name)}: the state {shown(name)} is not declared"
                )
        string = self.string
        made = pb.Function(
            name=string(function.name),
            graph=self.graph(function.graph, 0),
            arguments=map(string, function.arguments),
            results=map(string, function.results),
            reads=[states[name] for name in function.reads],
            updates=[states[name] for name in function.updates],
            parameters=map(string, function.parameters),
            input_structure=structures.encode(function.input_structure, string),
            output_structure=structures.encode(function.output_structure, string),
            training_modules=[string(module) for module, _ in function.training],
            training_flags=[flag for _, flag in function.training],
        )
        self.table.functions.append(made)

    def type(self, type: TensorType) -> int:
        """The index of a type."""
        seen = self._seen.get(id(type))
        if seen is not None:
            return seen[1]
        found = self._types.get(type)
        if found is None:
            dtype = self.string(type.dtype.name)
            shape = [self.sizes.inline(size) for size in type.shape]
            found = self._types[type] = len(self._types)
            self.table.types.add(dtype=dtype, shape=shape)
        self._seen[id(type)] = type, found
        return found

    def _op(self, name: str) -> int:
        found = self._ops.get(name)
        if found is None:
            found = self._ops[name] = len(self._ops)
            self.table.op_names.append(self.string(name))
            self.table.op_versions.append(op_named(name).version)
        return found

    def _where(self, places: Places) -> int:
        seen = self._seen.get(id(places))
        if seen is not None:
            return seen[1]
        indices = tuple([self._place(place) for place in places])
        known = len(self._wheres)
        found = self._wheres.setdefault(indices, known)
        if found == known:
            self.table.where_lengths.append(len(indices))
            self.table.where_places.extend(indices)
        self._seen[id(places)] = places, found
        return found

    def _place(self, place: Where) -> int:
        known = len(self._places)
        found = self._places.setdefault(place, known)
        if found == known:
            file = place.file.encode("utf-8", "backslashreplace").decode()
            self.table.place_files.append(self.string(file))
            self.table.place_lines.append(place.line)
            self.table.place_scopes.append(self.string(place.scope))
            self.table.place_gradients.append(place.gradient)
        return found

    # ------------------------------------------------------------------------------------- graphs

    def graph(self, graph: Graph, depth: int) -> int:
        """The index of a graph: its blocks are encoded before it, at `depth` + 1."""
        at_most(depth, limits.BLOCK_DEPTH - 1, "graph: nesting of blocks")
        made = pb.Graph(input_types=[self.type(v.type) for v in graph.inputs])
        self._nodes(graph.nodes, made, depth)
        self._values(graph, made)
        for constraint in graph.constraints:
            made.constraints.append(self._constraint(constraint))
        return self._once(made, self._graphs, self.table.graphs)

    def _nodes(self, nodes: Sequence[Node], made: pb.Graph, depth: int) -> None:
        """The columns that say what each node is. Column by column, since that is fastest."""
        made.ops.extend([self._op(node.op) for node in nodes])
        made.attributes.extend([self._attributes(node, depth) for node in nodes])
        made.wheres.extend([self._where(node.where) for node in nodes])
        made.operand_counts.extend([len(node.inputs) for node in nodes])
        made.result_counts.extend([len(node.outputs) for node in nodes])
        made.result_types.extend([self.type(v.type) for node in nodes for v in node.outputs])

    def _values(self, graph: Graph, made: pb.Graph) -> None:
        """The values that the nodes read and the graph returns, by number."""
        values = [*graph.inputs, *[v for node in graph.nodes for v in node.outputs]]
        numbers = {value: k for k, value in enumerate(values)}
        if len(numbers) != len(values):
            raise FormatError("graph: a value is made twice")
        try:
            made.operands.extend([numbers[v] for node in graph.nodes for v in node.inputs])
            made.outputs.extend([numbers[value] for value in graph.outputs])
        except KeyError as error:
            raise FormatError(f"graph: {error.args[0]!r} is made by no node") from None

    def _constraint(self, constraint: Constraint) -> pb.Constraint:
        return pb.Constraint(
            left=self.sizes.index(constraint.left),
            relation=_RELATIONS[constraint.relation],
            right=self.sizes.index(constraint.right),
            where=self.string(constraint.where),
        )

    def _attributes(self, node: Node, depth: int) -> int:
        """The index of a node's set of attributes."""
        if not node.attributes:
            found = self._sets.get(b"")
            if found is not None:
                return found
        return self._once(self._set(node.attributes, depth), self._sets, self.table.attribute_sets)

    def _set(self, attributes: Attributes, depth: int) -> pb.AttributeSet:
        made = pb.AttributeSet()
        for name in sorted(attributes):
            made.names.append(self.string(name))
            made.values.append(self._attribute(attributes[name], name, depth))
        return made

    def _attribute(self, value: Attribute, name: str, depth: int) -> pb.Attribute:
        match value:
            case None:
                return pb.Attribute(none=True)
            case bool():
                return pb.Attribute(boolean=value)
            case int() if value in _INT64:
                return pb.Attribute(integer=value)
            case float():
                return pb.Attribute(number=bits_of(value))
            case str():
                return pb.Attribute(text=self.string(value))
            case DType():
                return pb.Attribute(dtype=self.string(value.name))
            case Dim():
                return pb.Attribute(size=self.sizes.index(value))
            case Literal():
                return self._literal(value, name)
            case Graph():
                return pb.Attribute(graph=self.graph(value, depth + 1))
            case tuple():
                return self._tuple(value, name, 1)
        raise FormatError(f"attribute {shown(name)}: {value!r} can't be saved")

    def _tuple(self, value: tuple[Any, ...], name: str, nesting: int) -> pb.Attribute:
        at_most(nesting, limits.ATTRIBUTE_DEPTH, f"attribute {shown(name)}: nesting")
        if value and all(type(item) is int and item in _INT64 for item in value):
            return pb.Attribute(integers=pb.Integers(values=value))
        items = []
        for item in value:
            if isinstance(item, Graph):
                raise FormatError(f"attribute {shown(name)}: a graph in a tuple can't be saved")
            inner = isinstance(item, tuple)
            items.append(
                self._tuple(item, name, nesting + 1) if inner else self._attribute(item, name, 0)
            )
        return pb.Attribute(items=pb.Items(values=items))

    def _literal(self, literal: Literal, name: str) -> pb.Attribute:
        array, dtype = native(literal.array, f"attribute {shown(name)}")
        type = self.type(TensorType(dtype, array.shape))
        data = raw_bytes(array)
        if len(data) <= limits.INLINE_LITERAL_BYTES:
            return pb.Attribute(literal=pb.InlineLiteral(type=type, data=bytes(data)))
        made = pb.StoredLiteral(type=type, digest=hashlib.sha256(data).digest())
        known = len(self._literals)
        index = self._once(made, self._literals, self.table.literals)
        if index == known:
            self.arrays.append(array)
        return pb.Attribute(stored_literal=index)

    def _once(self, made: Any, known: dict[bytes, int], table: Any) -> int:
        """The index of a message in its table; appended when no equal one is there."""
        key = made.SerializeToString(deterministic=True)
        found = known.get(key)
        if found is None:
            found = known[key] = len(known)
            table.append(made)
        return found
