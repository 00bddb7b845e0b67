"""What is fused behind a kernel template: prints, for a block of finished results, the elementwise
ops that follow and the stores."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from intaglio.compiler.codegen.c import CPrinter
from intaglio.compiler.codegen.indices import affine, mentions
from intaglio.compiler.codegen.numbers import C_TYPES
from intaglio.compiler.codegen.printer import Vector
from intaglio.compiler.dims import Dim, loop_variable, product, substitute
from intaglio.compiler.ir import Graph, Node, Value
from intaglio.compiler.loop import Buffer, Load, Unfusable, symbol_of
from intaglio.compiler.ops.movement import unravel
from intaglio.compiler.schedule.compose import Rewriter
from intaglio.compiler.schedule.domain import Axis, address_of, collapse, count_rows
from intaglio.compiler.schedule.fused_stores import FusedStores, define_buffers
from intaglio.compiler.schedule.nest import Nest, walk
from intaglio.compiler.schedule.storage import dense


class Epilogue:
    """Stores the results of a template with what was fused behind it; a `Store` of the template.

    The result's dims are `outer` ones that count batches, one for the row, and the others, which
    count columns together."""

    def __init__(
        self,
        graph: Graph,
        node: Node,
        memory: Mapping[Value, Buffer],
        results: Sequence[tuple[Value, Buffer]],
        numbers: Mapping[Buffer, int],
        printer: Callable[[], CPrinter],
        outer: int | None = None,
    ) -> None:
        self._printer, self._numbers = printer, numbers
        shape = node.output.type.shape
        outer = len(shape) - 2 if outer is None else outer
        self._axes = [Axis(loop_variable("i", s), s) for s in shape[:outer]]
        self._batch = loop_variable("i", product(shape[:outer]))
        self._row = loop_variable("i", shape[outer])
        self._column = loop_variable("v", product(shape[outer + 1 :]))
        columns = [Axis(loop_variable("i", s), s) for s in shape[outer + 1 :]]
        if len(columns) == 1:
            columns = [Axis(self._column, shape[-1])]
        places = (*(a.variable for a in self._axes), self._row, *(a.variable for a in columns))
        position = tuple(0 if s == 1 else p for s, p in zip(shape, places, strict=True))
        self._stores = FusedStores(graph, node.output, position, memory)
        sizes = [s for s in shape if s != 1]
        for value, buffer in results:
            if [s for s in value.type.shape if s != 1] != sizes:
                raise Unfusable("an epilogue of another shape than the product")
            left = iter([p for p in position if p != 0])
            place = tuple(0 if s == 1 else next(left) for s in value.type.shape)
            self._stores.add(value, buffer, place, place)
        if len(columns) > 1:
            self._join(columns)
        self._simple = len(results) == 1 and results[0][0] is node.output
        self._target = results[0][1]

    def _join(self, columns: Sequence[Axis]) -> None:
        """Write everything over one variable that counts columns. Dims that are one in all memory
        are joined; what is left is divided out."""
        wide = [a for a in columns if a.extent != 1]
        joined, values = collapse(wide, self._stores.addresses)
        counted = unravel(self._column, tuple(a.extent for a in joined))
        flat = {
            symbol_of(a.variable): p
            for a, p in zip(joined, counted, strict=True)
            if isinstance(p, int | Dim)
        }
        whole = {s: substitute(v, flat) for s, v in values.items()}
        whole |= {s: p for s, p in flat.items() if s not in whole}
        self._stores.rewrite(Rewriter(self._stores.composer.intern, whole))

    @property
    def reads(self) -> list[Buffer]:
        """The buffers that the epilogue loads from."""
        return self._stores.reads

    @property
    def read_in_place(self) -> list[tuple[Buffer, Buffer]]:
        """The buffers that are loaded only where a result of their type is stored."""
        return self._stores.read_in_place

    @property
    def plain(self) -> str | None:
        """The result's pointer when nothing is fused and it is dense."""
        buffer = self._target
        if not self._simple or buffer.strides != dense(buffer.shape):
            return None
        return f"(({C_TYPES[buffer.dtype.name]} *)p[{self._numbers[buffer]}])"

    def lines(
        self, *, batch: str, row: str, column: str, lanes: int, count: str, value: str
    ) -> list[str]:
        """The epilogue for one block."""
        printer = self._printer()
        nest = self._places(printer, batch, row, column)
        vector = Vector(symbol_of(self._column), lanes, count) if lanes > 1 else None
        return self._stores.lines(printer, nest, value, vector)

    def ahead(self, *, batch: str, row: str, column: str, bytes: int) -> list[str]:
        """Fetches the operands of one block that lie along the row and differ between matrices."""
        if self._simple:
            return []
        varying = [symbol_of(a.variable) for a in self._axes] or [symbol_of(self._row)]
        printer = self._printer()
        printer.statements(self._places(printer, batch, row, column).finish())
        fetched = []
        for load in walk(self._stores.values):
            if not isinstance(load, Load) or load.guard is not None:
                continue
            plain = all(isinstance(p, int | Dim) for p in load.index)
            parts = affine(address_of(load.buffer, load.index), symbol_of(self._column))
            if not plain or parts is None or parts[1] != 1:
                continue
            if any(mentions(parts[0], s) for s in varying):
                place = address_of(load.buffer, load.index)
                fetched.append(f"(const char *)({printer.pointer(load.buffer, place, None)})")
        if not fetched:
            return []
        lines = [f"__builtin_prefetch({p} + line);" for p in dict.fromkeys(fetched)]
        loop = f"for (int64_t line = 0; line < {bytes}; line += 64) {{"
        return ["{", *printer.lines, loop, *lines, "}", "}"]

    def _places(self, printer: CPrinter, batch: str, row: str, column: str) -> Nest:
        """The names of buffers and positions, and a nest to put statements into."""
        printer.depth = 1
        define_buffers(printer, self._numbers)
        printer.inline_sizes = True
        nest = Nest(self._row, self._column, self._batch)
        counted = count_rows(self._axes)
        rename = {self._batch: batch, self._row: row, self._column: column, counted.variable: batch}
        for variable, text in rename.items():
            printer.rename(symbol_of(variable), f"({text})")
        for variable, size in counted.binds:
            nest.bind(variable, size)
        return nest
