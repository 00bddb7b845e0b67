"""The store of a direct convolution: what was fused behind it, one block of channels at a pixel at
a time."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from intaglio.compiler.codegen.c import CPrinter
from intaglio.compiler.codegen.numbers import C_TYPES
from intaglio.compiler.codegen.printer import Text, Vector
from intaglio.compiler.dims import Dim, Size, loop_variable, minimum
from intaglio.compiler.ir import Graph, Node, Value
from intaglio.compiler.loop import Buffer, Expr, Load, Local, Position, Unfusable, symbol_of
from intaglio.compiler.schedule.compose import Composer
from intaglio.compiler.schedule.conv_direct_shape import BLOCK, Shape2d
from intaglio.compiler.schedule.domain import address_of
from intaglio.compiler.schedule.nest import Nest, walk


class ImageStore:
    """Stores blocks of the results of a convolution, with what follows it elementwise."""

    def __init__(
        self,
        graph: Graph,
        node: Node,
        shape: Shape2d,
        memory: Mapping[Value, Buffer],
        results: Sequence[tuple[Value, Buffer]],
        printer: Callable[[], CPrinter],
    ) -> None:
        self._made, self._printer = node.output, printer
        blocks = -(-shape.filters // BLOCK)
        self._image = loop_variable("i", shape.images)
        self._block = loop_variable("o", blocks)
        length: Size = BLOCK
        if shape.filters % BLOCK:
            length = minimum(BLOCK, shape.filters - self._block * BLOCK)
        self._lane = loop_variable("l", length)
        self._row, self._column = (loop_variable("i", s) for s in shape.result)
        channel = self._block * BLOCK + self._lane
        place = (self._image, channel, self._row, self._column)
        sizes = node.output.type.shape
        self._position = tuple(0 if s == 1 else p for s, p in zip(sizes, place, strict=True))
        self._local = Local(node.output.type.dtype)
        composer = Composer(graph, memory, self._known)
        self._stores: list[tuple[Buffer, tuple[Position, ...], Expr]] = []
        for value, buffer in results:
            if value.type.shape != sizes:
                raise Unfusable("an epilogue of another shape than the convolution")
            made = composer.at(value, self._position)
            self._stores.append((buffer, buffer.place(self._position), made))

    def _known(self, value: Value, index: tuple[Position, ...]) -> Expr | None:
        if value is not self._made:
            return None
        if index != self._position:
            raise Unfusable("a convolution's result is wanted at another place")
        return self._local

    @property
    def reads(self) -> list[Buffer]:
        """The buffers that are loaded from."""
        found = [e.buffer for e in walk(e for _, _, e in self._stores) if isinstance(e, Load)]
        return list(dict.fromkeys(found))

    @property
    def read_in_place(self) -> list[tuple[Buffer, Buffer]]:
        """The buffers that are loaded only where a result of their type is stored."""
        loads: dict[Buffer, set[Size | None]] = {}
        for expr in walk(e for _, _, e in self._stores):
            if isinstance(expr, Load):
                plain = all(isinstance(p, int | Dim) for p in expr.index)
                place = address_of(expr.buffer, expr.index) if plain else None
                loads.setdefault(expr.buffer, set()).add(place)
        return [
            (written, read)
            for written, place, _ in self._stores
            for read, found in loads.items()
            if found == {address_of(written, place)} and read.dtype == written.dtype
        ]

    def lines(self, numbers: Mapping[Buffer, int], count: str, value: str) -> list[str]:
        """C statements that finish the block `value` of results at `image`, `block`, `row`,
        `column` and store `count` of its lanes."""
        printer = self._printer()
        printer.inline_sizes = True
        for buffer, number in numbers.items():
            const = "const " if buffer.role == "input" else ""
            printer.define_buffer(buffer, f"(({const}{C_TYPES[buffer.dtype.name]} *)p[{number}])")
        names = (self._image, self._block, self._row, self._column)
        nest = Nest(*names, self._lane)
        for variable, text in zip(names, ("image", "block", "row", "column"), strict=True):
            printer.rename(symbol_of(variable), text)
        printer.rename(symbol_of(self._lane), "0")
        nest.define(self._local)
        for buffer, place, expr in self._stores:
            nest.store(buffer, place, expr)
        printer.vector = Vector(symbol_of(self._lane), BLOCK, count)
        printer.define(self._local, Text(value, True))
        printer.statements(nest.finish())
        return ["{", *printer.lines, "}"]
