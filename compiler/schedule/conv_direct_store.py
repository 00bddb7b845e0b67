"""The store of a direct convolution: what was fused behind it, one block of channels at a pixel at
a time."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from intaglio.compiler.codegen.c import CPrinter
from intaglio.compiler.codegen.printer import Vector
from intaglio.compiler.dims import Size, loop_variable, minimum
from intaglio.compiler.ir import Graph, Node, Value
from intaglio.compiler.loop import Buffer, Unfusable, symbol_of
from intaglio.compiler.schedule.conv_direct_shape import BLOCK, Shape2d
from intaglio.compiler.schedule.fused_stores import FusedStores, define_buffers
from intaglio.compiler.schedule.nest import Nest


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
        self._printer = printer
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
        position = tuple(0 if s == 1 else p for s, p in zip(sizes, place, strict=True))
        self._stores = FusedStores(graph, node.output, position, memory)
        for value, buffer in results:
            if value.type.shape != sizes:
                raise Unfusable("an epilogue of another shape than the convolution")
            self._stores.add(value, buffer, position, buffer.place(position))

    @property
    def reads(self) -> list[Buffer]:
        """The buffers that are loaded from."""
        return self._stores.reads

    @property
    def read_in_place(self) -> list[tuple[Buffer, Buffer]]:
        """The buffers that are loaded only where a result of their type is stored."""
        return self._stores.read_in_place

    def lines(self, numbers: Mapping[Buffer, int], count: str, value: str) -> list[str]:
        """C statements that finish the block `value` of results at `image`, `block`, `row`,
        `column` and store `count` of its lanes."""
        printer = self._printer()
        printer.inline_sizes = True
        define_buffers(printer, numbers)
        names = (self._image, self._block, self._row, self._column)
        nest = Nest(*names, self._lane)
        for variable, text in zip(names, ("image", "block", "row", "column"), strict=True):
            printer.rename(symbol_of(variable), text)
        printer.rename(symbol_of(self._lane), "0")
        vector = Vector(symbol_of(self._lane), BLOCK, count)
        return self._stores.lines(printer, nest, value, vector)
