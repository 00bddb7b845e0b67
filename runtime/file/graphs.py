"""Graphs from their columns, each node checked as it is read.

Values are numbered in order and an operand has to have a smaller number than the node's results:
neither cycles nor values made twice can be written down. The type rule is asked once for each
distinct (op, operand types, attributes); its answer has to be what the file says."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from intaglio.compiler.dims import Constraint, Size, collecting, terms_of
from intaglio.compiler.errors import Error, FormatError
from intaglio.compiler.ir import Graph, Node, Value
from intaglio.compiler.op import Op, result_types
from intaglio.compiler.where import Places, describe
from intaglio.runtime.file import limits
from intaglio.runtime.file.attributes import AttributeReader, AttributeSet, ReadGraph
from intaglio.runtime.file.errors import at_most, entry
from intaglio.runtime.file.tables import Tables
from intaglio.schemas import program_pb2 as pb

_RELATIONS: Final = ("==", "<=", "<")
_Relation = tuple[Size, str, Size]


@dataclass(frozen=True, slots=True)
class _Rule:
    """What a type rule said: the numbers of the result types (-1: not in the file's table), the
    relations between sizes it rests on, and the result types as text. `weight` is what it cost
    beyond an ordinary node."""

    results: tuple[int, ...]
    needs: tuple[_Relation, ...]
    text: str
    weight: int


class GraphReader:
    """Reads a program's graphs in order. `graphs` holds those read so far."""

    def __init__(self, table: pb.Program, tables: Tables) -> None:
        self.graphs: list[ReadGraph] = []
        self._tables = tables
        self._attributes = AttributeReader(table, tables, self.graphs)
        self._upgraded: dict[tuple[int, int], AttributeSet] = {}
        self._rules: dict[tuple[int, ...], _Rule] = {}
        self._numbers = {type: k for k, type in enumerate(tables.types)}
        for k, made in enumerate(table.graphs):
            self.graphs.append(self._graph(made, f"graphs[{k}]"))

    def _graph(self, made: pb.Graph, field: str) -> ReadGraph:
        _check_columns(made, field)
        constraints = tuple(
            self._constraint(c, f"{field}.constraints[{k}]") for k, c in enumerate(made.constraints)
        )
        stated = {(c.left, c.relation, c.right) for c in constraints}
        types = list(made.input_types)
        values = [Value(self._tables.type(t, f"{field}.input_types")) for t in types]
        inputs = tuple(values)
        nodes, depth, weight = self._nodes(made, types, values, stated, field)
        outputs = tuple(entry(values, k, f"{field}.outputs") for k in made.outputs)
        return ReadGraph(Graph(inputs, nodes, outputs, constraints), depth, weight)

    def _nodes(
        self,
        made: pb.Graph,
        types: list[int],
        values: list[Value],
        stated: set[_Relation],
        field: str,
    ) -> tuple[tuple[Node, ...], int, int]:
        """The nodes, the nesting of their blocks, and their number with those of their blocks.
        `values` and `types` are the values so far and the numbers of their types; both grow."""
        nodes: list[Node] = []
        depth, weight = 0, len(made.ops)
        operands, results = list(made.operands), list(made.result_types)
        read = wrote = 0
        columns = zip(made.ops, made.attributes, made.wheres, strict=True)
        counts = zip(made.operand_counts, made.result_counts, strict=True)
        for k, (head, (taken, given)) in enumerate(zip(columns, counts, strict=True)):
            numbers, found = operands[read : read + taken], results[wrote : wrote + given]
            try:
                node, set, more = self._node(head, numbers, tuple(found), types, values, stated)
            except IndexError:
                reason = self._outside(head, numbers, len(values))
                raise FormatError(f"{field}, node {k}: {reason}") from None
            except FormatError as error:
                raise FormatError(f"{field}, node {k}: {error}") from None
            nodes.append(node)
            values += node.outputs
            types += found
            read, wrote = read + taken, wrote + given
            if set.nodes or more:
                depth = max(depth, set.depth + 1) if set.nodes else depth
                weight += set.nodes + more
                at_most(depth, limits.BLOCK_DEPTH - 1, f"{field}, node {k}: nesting of blocks")
                at_most(weight, limits.NODES, f"{field}, node {k}: nodes with those of blocks")
        return tuple(nodes), depth, weight

    def _node(
        self,
        head: tuple[int, int, int],
        numbers: list[int],
        found: tuple[int, ...],
        types: list[int],
        values: list[Value],
        stated: set[_Relation],
    ) -> tuple[Node, AttributeSet, int]:
        """The node with these operands and numbers of result types, its attributes, and its weight
        beyond one; an `IndexError` where one of the numbers is outside its table."""
        op_number, set_number, where_number = head
        op, where = self._tables.ops[op_number], self._tables.wheres[where_number]
        inputs = [values[n] for n in numbers]
        set = self._set(op, op_number, set_number)
        key = (op_number, set_number, *[types[n] for n in numbers])
        rule = self._rules.get(key)
        if rule is None:
            rule = self._rules[key] = self._rule(op, inputs, set, where)
        if rule.results != found:
            told = ", ".join(str(self._tables.type(n, "result_types")) for n in found)
            raise FormatError(f"{op.name}: has results ({told}) where its op says ({rule.text})")
        for relation in rule.needs:
            if relation not in stated:
                left, kind, right = relation
                raise FormatError(
                    f"{op.name}: its types rest on {left} {kind} {right}, which is not among the"
                    " graph's constraints"
                )
        outputs = [Value(self._tables.types[n]) for n in found]
        return Node(op.name, inputs, outputs, set.attributes, where), set, rule.weight

    def _rule(self, op: Op, inputs: list[Value], set: AttributeSet, where: Places) -> _Rule:
        """What the op says to operands of these types."""
        place = f"{op.name} ({describe(where)})" if where else op.name
        needed: list[Constraint] = []
        weight = _weight(inputs)
        at_most(weight, limits.NODES, f"{place}: cost of the sizes of its operands")
        try:
            with collecting(needed):
                types = result_types(op, [v.type for v in inputs], set.attributes)
        except Error as error:
            raise FormatError(f"{place}: {error}") from None
        except Exception as error:  # type rules trust the kinds of attributes; a file may hold any
            raise FormatError(
                f"{place}: its operands or attributes do not fit the op: {error}"
            ) from None
        return _Rule(
            tuple(self._numbers.get(type, -1) for type in types),
            tuple((c.left, c.relation, c.right) for c in needed),
            ", ".join(map(str, types)),
            weight,
        )

    def _set(self, op: Op, op_number: int, set_number: int) -> AttributeSet:
        """The attributes of a node, upgraded when they are of an older version of the op."""
        set = self._attributes.at(set_number, "attributes")
        version = self._tables.versions[op_number]
        if version == op.version:
            return set
        key = op_number, set_number
        if key not in self._upgraded:
            try:
                attributes = dict(op.upgrade(version, set.attributes))
            except Error as error:
                raise FormatError(f"{op.name} of version {version}: {error}") from None
            except Exception as error:  # as for type rules
                raise FormatError(
                    f"{op.name} of version {version}: its attributes do not fit: {error}"
                ) from None
            self._upgraded[key] = AttributeSet(attributes, set.depth, set.nodes)
        return self._upgraded[key]

    def _outside(self, head: tuple[int, int, int], numbers: list[int], values: int) -> str:
        """Which of a node's numbers is outside its table."""
        sizes = (
            ("op", head[0], len(self._tables.ops)),
            ("where", head[2], len(self._tables.wheres)),
        )
        for name, number, size in sizes:
            if number >= size:
                return f"{name}: {number} is outside its table, which has {size} entries"
        operand, number = next((k, n) for k, n in enumerate(numbers) if n >= values)
        return f"operand {operand}: the value {number} is read before it is made"

    def _constraint(self, made: pb.Constraint, field: str) -> Constraint:
        if made.relation >= len(_RELATIONS):
            raise FormatError(f"{field}.relation: there is no relation {made.relation}")
        return Constraint(
            self._tables.sizes.at(made.left, f"{field}.left"),
            _RELATIONS[made.relation],
            self._tables.sizes.at(made.right, f"{field}.right"),
            self._tables.string(made.where, f"{field}.where"),
        )


def _weight(inputs: list[Value]) -> int:
    """How many ordinary nodes a rule that adds up the operands' sizes costs as much as."""
    symbolic = {size for v in inputs for size in v.type.shape if not isinstance(size, int)}
    return len(inputs) * sum(len(terms_of(size)) for size in symbolic) // 16


def _check_columns(made: pb.Graph, field: str) -> None:
    """The columns of nodes are of one length, and the counts add up."""
    count = len(made.ops)
    at_most(count, limits.NODES, f"{field}.ops: nodes")
    at_most(len(made.constraints), limits.CONSTRAINTS, f"{field}.constraints")
    columns = {
        "attributes": made.attributes,
        "wheres": made.wheres,
        "operand_counts": made.operand_counts,
        "result_counts": made.result_counts,
    }
    for name, column in columns.items():
        if len(column) != count:
            raise FormatError(f"{field}.{name}: {len(column)} entries for {count} nodes")
    for name, counts, flat in (
        ("operand_counts", made.operand_counts, made.operands),
        ("result_counts", made.result_counts, made.result_types),
    ):
        at_most(max(counts, default=0), limits.OPERANDS, f"{field}.{name}")
        if sum(counts) != len(flat):
            raise FormatError(f"{field}.{name}: add up to {sum(counts)}, not to {len(flat)}")
