"""What each node reads where, seen through nodes that only move elements: the ground that `fuse`
decides on.

An `element` rule is run once on operands that note at which index they are asked. A *free* node
(expand, permute, slice, full, ...) computes nothing, so a reader looks through it to the value
behind, as long as the index stays affine; behind a reshape that splits dims unevenly it stops."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property

from intaglio.compiler.codegen.indices import affine
from intaglio.compiler.dims import Dim, Size, Symbol, symbols, terms_of
from intaglio.compiler.ir import Graph, Literal, Node, Value
from intaglio.compiler.loop import (
    Call,
    Expr,
    Index,
    Local,
    Operand,
    Position,
    Unfusable,
    symbol_of,
)
from intaglio.compiler.op import op_named
from intaglio.compiler.schedule.cost import CHEAP
from intaglio.compiler.schedule.domain import axes_of
from intaglio.compiler.schedule.nest import variables_of, walk
from intaglio.compiler.schedule.reductions import reduction_of

Positions = tuple[Position, ...]


@dataclass(frozen=True)
class Read:
    """An element that a node reads: of which value, where (over the node's own axes), and whether
    only under a condition."""

    value: Value
    index: Positions
    guarded: bool

    @property
    def is_data(self) -> bool:
        """Whether the place is itself data."""
        return any(not isinstance(p, int | Dim) for p in self.index)


@dataclass(frozen=True)
class Probe:
    """What an element rule does: its reads, and the functions it calls."""

    reads: tuple[Read, ...]
    calls: tuple[str, ...]

    @property
    def is_cheap(self) -> bool:
        """Whether computing it again costs next to nothing."""
        return len(self.calls) <= 2 and all(c in CHEAP for c in self.calls)


def probe(node: Node, index: Positions) -> Probe | None:
    """Run the node's element rule at an index; None when it has none, or can't say."""
    op = op_named(node.op)
    if op.element is None or len(node.outputs) != 1:
        return None
    reads: list[Read] = []

    def operand(value: Value) -> Operand:
        def at(place: Positions, condition: Expr | None) -> Expr:
            place = tuple(
                0 if s == 1 else _plain(p) for s, p in zip(value.type.shape, place, strict=True)
            )
            reads.append(Read(value, place, condition is not None))
            return Local(value.type.dtype)

        return Operand(value.type, at)

    try:
        made = op.element(index, *map(operand, node.inputs), **node.attributes)
    except Unfusable:
        return None
    calls = tuple(e.function for e in walk([made]) if isinstance(e, Call))
    return Probe(tuple(reads), calls)


def _plain(position: Position) -> Position:
    return position.size if isinstance(position, Index) else position


class Sources:
    """The reads of every node of a graph, seen through free nodes."""

    def __init__(self, graph: Graph) -> None:
        self.graph = graph
        self.own: dict[Node, tuple[Dim, ...]] = {}
        """A node's own axes: of its result, or of a reduction's operand; dims of 1 left out."""
        self.shapes: dict[Node, tuple[Size, ...]] = {}
        self.reads: dict[Node, tuple[Read, ...]] = {}
        self.probes: dict[Node, Probe] = {}
        self.through: dict[Node, set[Node]] = {}
        self.free: set[Node] = {n for n in graph.nodes if self._is_free(n)}
        for node in graph.nodes:
            if node not in self.free:
                self.read(node)

    @cached_property
    def producers(self) -> Mapping[Value, Node]:
        """The node that makes each value."""
        return self.graph.producers

    def _is_free(self, node: Node) -> bool:
        literal = node.attributes.get("value")
        if isinstance(literal, Literal) and literal.array.size != 1:
            return False
        if op_named(node.op).checks:
            return False
        found = probe(node, axes_of(node.outputs[0].type.shape)[1])
        if found is None or any(r.guarded for r in found.reads):
            return False
        return not node.inputs or not found.calls

    def read(self, node: Node) -> None:
        """Find what a node reads."""
        kind = reduction_of(node)
        shape = node.inputs[0].type.shape if kind is not None else node.outputs[0].type.shape
        axes, position = axes_of(shape)
        self.own[node] = tuple(a.variable for a in axes)
        self.shapes[node] = tuple(a.extent for a in axes)
        self.through[node] = set()
        if kind is not None:
            direct: tuple[Read, ...] = (Read(node.inputs[0], position, False),)
            self.probes[node] = Probe(direct, ())
        else:
            found = probe(node, position)
            if found is None:
                self.reads[node] = tuple(Read(v, (), False) for v in node.inputs)
                return
            self.probes[node] = found
            direct = found.reads
        seen: list[Read] = []
        for read in direct:
            seen += self._behind(read, self.through[node], op_named(node.op).checks)
        self.reads[node] = tuple(dict.fromkeys(seen))

    def _behind(self, read: Read, through: set[Node], stop: bool) -> list[Read]:
        """What is really read where a value is asked for."""
        node = self.producers.get(read.value)
        if node is None or node not in self.free or (stop and node.inputs):
            return [read]
        found = probe(node, read.index)
        if found is None:
            return [read]
        behind: list[Read] = []
        inner: set[Node] = {node}
        for part in found.reads:
            if not part.is_data and not all(_is_affine(p) for p in part.index):
                return [read]
            behind += self._behind(Read(part.value, part.index, read.guarded), inner, stop)
        through |= inner
        return behind

    @property
    def computing(self) -> list[Node]:
        """The nodes that are not free, in order."""
        return [n for n in self.graph.nodes if n not in self.free]


def _is_affine(position: Position) -> bool:
    if not isinstance(position, int | Dim):
        return True
    return all(affine(position, s) is not None for s in variables_of(position))


def dims_of(read: Read, own: tuple[Dim, ...]) -> tuple[int, ...] | None:
    """Which of the reader's axes, in order, a read runs along; None when it is no plain choice, or
    the reader has a kernel of its own and reads everywhere."""
    if len(read.index) != len(read.value.type.shape):
        return None
    places = [p for s, p in zip(read.value.type.shape, read.index, strict=True) if s != 1]
    found: list[int] = []
    for place in places:
        if not isinstance(place, Dim) or place not in own:
            return None
        found.append(own.index(place))
    if any(a >= b for a, b in zip(found, found[1:], strict=False)):
        return None
    return tuple(found)


def covers(read: Read, own: tuple[Dim, ...]) -> bool:
    """Whether a read differs for all positions of the reader, so that nothing is read twice."""
    found = {s for p in read.index if isinstance(p, int | Dim) for s in _distinguished(p)}
    return all(symbol_of(v) in found for v in own)


def _distinguished(position: Size) -> Iterator[Symbol]:
    """The variables of a position but for those that are only divided, as in `i // 2`, which is the
    same for neighbours."""
    for monomial, _ in terms_of(position):
        for atom in monomial:
            if isinstance(atom, Symbol):
                yield atom
            elif atom.kind != "//":
                yield from symbols(atom.left, atom.right).values()


def divides(read: Read) -> bool:
    """Whether a read's place is no affine one: lanes side by side don't read side by side."""
    return not all(_is_affine(p) for p in read.index)


__all__ = ["Probe", "Read", "Sources", "covers", "dims_of", "divides", "probe"]
