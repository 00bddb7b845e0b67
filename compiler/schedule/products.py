"""Groups around a matrix product: finds the operands' strides and prints the epilogue for the
template in `matmul.py`."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

from intaglio.compiler.codegen.c import CPrinter
from intaglio.compiler.codegen.indices import affine, mentions
from intaglio.compiler.codegen.numbers import C_TYPES
from intaglio.compiler.codegen.printer import Text, Vector
from intaglio.compiler.dims import Dim, Size, loop_variable, product
from intaglio.compiler.ir import Graph, Node, Value
from intaglio.compiler.loop import Buffer, Expr, Load, Local, Position, Unfusable, symbol_of
from intaglio.compiler.schedule.compose import Composer
from intaglio.compiler.schedule.domain import Axis, address_of, count_rows
from intaglio.compiler.schedule.matmul import matmul_kernels, pack_kernels
from intaglio.compiler.schedule.nest import Nest, walk
from intaglio.compiler.schedule.storage import dense
from intaglio.compiler.schedule.template import Matrix, Product, TemplateResult


class _Epilogue:
    """Stores the results of a product with what was fused behind it; a `Store` of the template."""

    def __init__(
        self,
        graph: Graph,
        node: Node,
        memory: Mapping[Value, Buffer],
        results: Sequence[tuple[Value, Buffer]],
        numbers: Mapping[Buffer, int],
        printer: Callable[[], CPrinter],
    ) -> None:
        self._made, self._printer, self._numbers = node.output, printer, numbers
        shape = node.output.type.shape
        *batch, m, n = shape
        self._axes = [Axis(loop_variable("i", s), s) for s in batch]
        self._batch = loop_variable("i", product(tuple(batch)))
        self._row, self._column = loop_variable("i", m), loop_variable("v", n)
        self._local = Local(node.output.type.dtype)
        position = (*(a.variable for a in self._axes), self._row, self._column)
        self._position = tuple(0 if s == 1 else p for s, p in zip(shape, position, strict=True))
        composer = Composer(graph, memory, self._known)
        self._stores: list[tuple[Buffer, tuple[Position, ...], Expr]] = []
        sizes = [s for s in shape if s != 1]
        for value, buffer in results:
            if [s for s in value.type.shape if s != 1] != sizes:
                raise Unfusable("an epilogue of another shape than the product")
            left = iter([p for p in self._position if p != 0])
            place = tuple(0 if s == 1 else next(left) for s in value.type.shape)
            self._stores.append((buffer, place, composer.at(value, place)))
        self._simple = len(results) == 1 and results[0][0] is node.output
        self._target = results[0][1]

    def _known(self, value: Value, index: tuple[Position, ...]) -> Expr | None:
        if value is not self._made:
            return None
        if index != self._position:
            raise Unfusable("a product's result is wanted at another place")
        return self._local

    @property
    def reads(self) -> list[Buffer]:
        """The buffers that the epilogue loads from."""
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
        nest.define(self._local)
        for buffer, place, expr in self._stores:
            nest.store(buffer, place, expr)
        if lanes > 1:
            printer.vector = Vector(symbol_of(self._column), lanes, count)
        printer.define(self._local, Text(value, lanes > 1))
        printer.statements(nest.finish())
        return ["{", *printer.lines, "}"]

    def ahead(self, *, batch: str, row: str, column: str, bytes: int) -> list[str]:
        """Fetches the operands of one block that lie along the row and differ between matrices."""
        if self._simple:
            return []
        varying = [symbol_of(a.variable) for a in self._axes] or [symbol_of(self._row)]
        printer = self._printer()
        printer.statements(self._places(printer, batch, row, column).finish())
        fetched = []
        for load in walk(e for _, _, e in self._stores):
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
        for buffer, number in self._numbers.items():
            const = "const " if buffer.role == "input" else ""
            printer.define_buffer(buffer, f"(({const}{C_TYPES[buffer.dtype.name]} *)p[{number}])")
        printer.inline_sizes = True
        nest = Nest(self._row, self._column, self._batch)
        counted = count_rows(self._axes)
        rename = {self._batch: batch, self._row: row, self._column: column, counted.variable: batch}
        for variable, text in rename.items():
            printer.rename(symbol_of(variable), f"({text})")
        for variable, size in counted.binds:
            nest.bind(variable, size)
        return nest


@dataclass(frozen=True)
class GroupProduct:
    """The product of a group, for a template: the buffers in the order of the kernel's parameters,
    and the pairs of a result and an operand of the epilogue that may be the same memory."""

    product: Product
    buffers: list[Buffer]
    same: list[tuple[Buffer, Buffer]]


def group_product(
    graph: Graph,
    node: Node,
    memory: Mapping[Value, Buffer],
    results: Sequence[tuple[Value, Buffer]],
    name: str,
    printer: Callable[[], CPrinter],
    packed: Buffer | None = None,
) -> GroupProduct:
    """The product of a group with its epilogue. With `packed` the second operand is read in its
    packed form, from there."""
    if any(v not in memory for v in node.inputs):
        raise Unfusable("a product's operand that is not in memory")
    a, raw = (memory[v] for v in node.inputs)
    b = packed or raw
    buffers = list(dict.fromkeys([a, b, *memory.values(), *(r for _, r in results)]))
    numbers = {buffer: k for k, buffer in enumerate(buffers)}
    store = _Epilogue(graph, node, memory, results, numbers, printer)
    used = {a, b, *store.reads, *(r for _, r in results)}
    buffers = [x for x in buffers if x in used]
    numbers.clear()
    numbers.update({buffer: k for k, buffer in enumerate(buffers)})
    *batch, m, k = a.shape
    n = b.shape[-1]
    sizes = printer()
    sizes.inline_sizes = True

    def size(value: Size) -> str:
        return sizes.size(value)

    workspace = f"((char *)p[{len(buffers)}])"
    operands = (_matrix(a, numbers[a]), _matrix(b, numbers[b], b is packed))
    product = Product(name, a.dtype, tuple(batch), m, n, k, *operands, workspace, store, size)
    same = [pair for pair in store.read_in_place if pair[1] not in (a, b)]
    return GroupProduct(product, buffers, same)


def _matrix(buffer: Buffer, number: int, packed: bool = False) -> Matrix:
    """An operand that lies at p[number]."""
    pointer = f"((const {C_TYPES[buffer.dtype.name]} *)p[{number}])"
    strides = tuple(0 if s == 1 else t for s, t in zip(buffer.shape, buffer.strides, strict=True))
    return Matrix(pointer, strides[:-2], strides[-2], strides[-1], packed)


def product_of_group(
    graph: Graph,
    node: Node,
    memory: Mapping[Value, Buffer],
    results: Sequence[tuple[Value, Buffer]],
    name: str,
    printer: Callable[[], CPrinter],
    packed: Buffer | None = None,
) -> tuple[TemplateResult, list[Buffer], TemplateResult | None, list[tuple[Buffer, Buffer]]]:
    """The kernels of a product with its epilogue, and the buffers in the order of their
    parameters (a workspace, if one is asked for, comes behind them).

    With `packed` the second operand is read in its packed form, from there; the kernel that makes
    it, from p[0] to p[1], comes third. Last come the pairs of a result and an operand of the
    epilogue that may be the same memory."""
    made = group_product(graph, node, memory, results, name, printer, packed)
    product, pack = made.product, None
    if packed is not None:
        each = product.batch if any(packed.strides) else ()
        source = _matrix(memory[node.inputs[1]], 0)
        source = replace(source, batch=source.batch if each else ())
        pack = pack_kernels(replace(product, batch=each, b=source), "(char *)p[1]")
    return matmul_kernels(product), made.buffers, pack, made.same
