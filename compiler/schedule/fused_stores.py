"""What a template's results become before they are stored: the elementwise ops of the group at one
position, and what that reads and writes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from intaglio.compiler.codegen.c import CPrinter
from intaglio.compiler.codegen.numbers import C_TYPES
from intaglio.compiler.codegen.printer import Text, Vector
from intaglio.compiler.dims import Dim, Size
from intaglio.compiler.ir import Graph, Value
from intaglio.compiler.loop import Buffer, Expr, Load, Local, Position, Unfusable
from intaglio.compiler.schedule.compose import Composer, Rewriter
from intaglio.compiler.schedule.domain import address_of, addresses
from intaglio.compiler.schedule.nest import Nest, walk

Stored = tuple[Buffer, tuple[Position, ...], Expr]


class FusedStores:
    """The stores of a group at `position` of the result `made`, which a template computes.

    `stored` holds buffer, place and value of each."""

    def __init__(
        self,
        graph: Graph,
        made: Value,
        position: tuple[Position, ...],
        memory: Mapping[Value, Buffer],
    ) -> None:
        self._made, self._position = made, position
        self._local = Local(made.type.dtype)
        self.composer = Composer(graph, memory, self._known)
        self.stored: list[Stored] = []

    def add(
        self, value: Value, buffer: Buffer, at: tuple[Position, ...], place: Sequence[Position]
    ) -> None:
        """Store the element `at` of a value at a place of a buffer."""
        self.stored.append((buffer, tuple(place), self.composer.at(value, at)))

    def rewrite(self, rewriter: Rewriter) -> None:
        """Write all places and values in terms of other variables."""
        self.stored = [
            (buffer, tuple(rewriter.position(p) for p in place), rewriter(expr))
            for buffer, place, expr in self.stored
        ]

    def _known(self, value: Value, index: tuple[Position, ...]) -> Expr | None:
        if value is not self._made:
            return None
        if index != self._position:
            raise Unfusable("a template's result is wanted at another place")
        return self._local

    @property
    def values(self) -> list[Expr]:
        """What is stored."""
        return [expr for _, _, expr in self.stored]

    @property
    def addresses(self) -> list[Size]:
        """Where memory is touched, as far as that is known by indices."""
        found = addresses(self.values)
        return found + [address_of(buffer, place) for buffer, place, _ in self.stored]

    @property
    def reads(self) -> list[Buffer]:
        """The buffers that are loaded from."""
        found = [e.buffer for e in walk(self.values) if isinstance(e, Load)]
        return list(dict.fromkeys(found))

    @property
    def read_in_place(self) -> list[tuple[Buffer, Buffer]]:
        """The buffers that are loaded only where a result of their type is stored."""
        loads: dict[Buffer, set[Size | None]] = {}
        for expr in walk(self.values):
            if isinstance(expr, Load):
                plain = all(isinstance(p, int | Dim) for p in expr.index)
                place = address_of(expr.buffer, expr.index) if plain else None
                loads.setdefault(expr.buffer, set()).add(place)
        return [
            (written, read)
            for written, place, _ in self.stored
            for read, found in loads.items()
            if found == {address_of(written, place)} and read.dtype == written.dtype
        ]

    def lines(self, printer: CPrinter, nest: Nest, value: str, vector: Vector | None) -> list[str]:
        """C statements that finish and store the block `value` of results."""
        nest.define(self._local)
        for buffer, place, expr in self.stored:
            nest.store(buffer, place, expr)
        if vector is not None:
            printer.vector = vector
        printer.define(self._local, Text(value, vector is not None))
        printer.statements(nest.finish())
        return ["{", *printer.lines, "}"]


def define_buffers(printer: CPrinter, numbers: Mapping[Buffer, int]) -> None:
    """Name buffers by their number among a kernel's pointers `p`."""
    for buffer, number in numbers.items():
        const = "const " if buffer.role == "input" else ""
        printer.define_buffer(buffer, f"(({const}{C_TYPES[buffer.dtype.name]} *)p[{number}])")
