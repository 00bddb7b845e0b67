"""Prints kernels as C functions over blocks of lanes, for the CPU.

A vector loop runs in blocks of 64 lanes, of 32 where an eight-byte type takes part, of 16 where it
is that short; the last block may be partial. Folds keep the order of architecture §6 whatever the
block: with 32 lanes an f32 sum keeps its 64 partials as two blocks that take turns."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Final

from intaglio.compiler.codegen.folds import is_at_most, join_of, levels_of, start_of
from intaglio.compiler.codegen.numbers import C_TYPES
from intaglio.compiler.codegen.printer import Printer, Text, Vector
from intaglio.compiler.dims import Size, compare, modulo, product
from intaglio.compiler.dtypes import DType
from intaglio.compiler.loop import (
    Assign,
    Buffer,
    Call,
    Check,
    Const,
    Declare,
    Expr,
    Fold,
    Index,
    Kernel,
    Let,
    Load,
    Local,
    Loop,
    Stmt,
    Store,
    symbol_of,
)

VECTOR_CHUNK = 4096
SERIAL_CHUNK = 64
FAR: Final = 8 << 20
"""Bytes from which on a result that nobody reads soon is written past the caches: they would not
hold it for long, and a line that is written in a cache is read from memory before."""
LINE: Final = 64
"""Bytes of a cache line."""
STREAMED: Final = frozenset({"f32", "f64", "i32", "i64", "u32"})
"""Dtypes of results that can be."""
MAIN_LIMIT = 400
"""A vector body of more statements is printed once, with partial accesses, instead of twice."""


def kernel_text(
    kernel: Kernel,
    name: str,
    dims: Mapping[str, int],
    lanes: int | None = None,
    far: Collection[Buffer] = (),
) -> str:
    """A kernel as the text of one static C function called `name`.

    `dims` says where a named size is found at run time; `lanes` forces blocks of 64 or 32; `far`
    are results that nobody reads soon."""
    return CPrinter(dims, lanes).kernel(kernel, name, far)


class _Accumulator:
    """The C variables of one fold in a vector loop; two blocks that take turns, or one."""

    def __init__(self, fold: Fold, names: Sequence[str]) -> None:
        self.fold, self.names = fold, names


class CPrinter(Printer):
    """The printer for C."""

    def __init__(self, dims: Mapping[str, int], lanes: int | None = None) -> None:
        super().__init__(dims)
        self._forced = lanes
        self._far: dict[Buffer, str] = {}
        """What tells whether a result is written past the caches."""
        self._streamed: list[Buffer] = []
        """The results of which blocks are printed so."""
        self._row: tuple[Size, str] = (0, "0")
        """The extent of the vector loop being printed, and its C name."""

    # ----------------------------------------------------------------------------------- kernels

    def kernel(self, kernel: Kernel, name: str, far: Collection[Buffer] = ()) -> str:
        """The text of the whole function. Of the buffers in `far` those that are large are written
        past the caches."""
        head = []
        for k, buffer in enumerate(kernel.buffers):
            kind = C_TYPES[buffer.dtype.name]
            const = "const " if buffer.role == "input" else ""
            self.define_buffer(buffer, f"b{k}")
            head.append(f"  {const}{kind} *const b{k} = ({const}{kind} *)p[{k}];")
            if buffer in far and may_stream(buffer):
                self._far[buffer] = f"far{k}"
        head += self._scratch(kernel)
        loop = kernel.body
        extent, grain = self.size(loop.extent), self.size(loop.grain)
        variable = self.bind(symbol_of(loop.variable))
        self.line(f"const int64_t extent = {extent}, grain = {grain};")
        self.line("const int64_t last = ig_minimum_of(hi * grain, extent);")
        self.open(f"for (int64_t {variable} = lo * grain; {variable} < last; {variable}++)")
        self.statements(loop.body)
        self.close()
        for buffer in dict.fromkeys(self._streamed):
            large = f"{self.size(bytes_of(buffer))} >= {FAR}"
            head.append(f"  const uintptr_t {self._far[buffer]} = IG_FAR({large});")
        if self._streamed:
            self.line("IG_STREAMED")
        parameters = "const ig_worker *w, const void *args, int64_t lo, int64_t hi"
        top = f"IG_KERNEL void {name}({parameters}) {{"
        return "\n".join([top, "  IG_HEAD", *self.size_declarations(), *head, *self.lines, "}", ""])

    def store_block(self, buffer: Buffer, where: str, text: str) -> None:
        """Print the store of a block whose elements lie side by side. Rows that are not whole cache
        lines are stored as usual: a line written in both ways costs more than either."""
        extent, whole = self._row
        each = LINE // buffer.dtype.size
        rest = modulo(extent, each)
        far = self._far.get(buffer)
        if far is None or isinstance(rest, int) and rest:
            super().store_block(buffer, where, text)
            return
        assert self.vector is not None
        self._streamed.append(buffer)
        if rest != 0:
            far = f"{far} | -(uintptr_t)({whole} & {each - 1})"
        name = self.function("stream_" + buffer.dtype.name)
        self.line(f"{name}({where}, {text}, {self.vector.count}, {far});")

    def _scratch(self, kernel: Kernel) -> list[str]:
        lines = []
        offset: Size = 0
        for k, buffer in enumerate(kernel.scratch):
            kind = C_TYPES[buffer.dtype.name]
            self.define_buffer(buffer, f"s{k}")
            lines.append(
                f"  {kind} *const s{k} = ({kind} *)((char *)w->scratch + {self.size(offset)});"
            )
            offset = offset + scratch_bytes(buffer.shape, buffer.dtype)
        return lines

    def check(self, stmt: Check) -> None:
        """Report an index that is out of range, and leave."""
        value = self.value(stmt.value)
        bound = self.size(stmt.bound)
        if not value.lanes:
            self.open(f"if (IG_UNLIKELY({value.text} < 0 || {value.text} >= {bound}))")
            self.line(f"IG_REPORT_INDEX({value.text}, {bound});")
            self.line("return;")
            self.close()
            return
        raise TypeError("a check stands in no vector loop")

    # ------------------------------------------------------------------------------------- loops

    def loop(self, loop: Loop) -> None:
        """Print a loop inside a kernel."""
        if loop.kind == "vector":
            self._vector_loop(loop)
        else:
            self._serial_loop(loop)

    def _vector_loop(self, loop: Loop) -> None:
        lanes = self._forced or lanes_of(loop)
        extent = self.size(loop.extent)
        symbol = symbol_of(loop.variable)
        variable = self.bind(symbol)
        whole = self.fresh("e")
        self.line(f"const int64_t {whole} = {extent};")
        self._row = loop.extent, whole
        chunked = bool(loop.folds) and not is_at_most(loop.extent, VECTOR_CHUNK)
        for fold in loop.folds:
            self.declare(fold, lanes=False)
        self.open("")
        self.line(f"int64_t {variable} = 0;")
        end = self._open_chunks(loop, variable, whole, VECTOR_CHUNK) if chunked else whole
        found = [self._accumulators(fold, lanes) for fold in loop.folds]
        turning = any(len(a.names) > 1 for a in found)
        if turning:
            self.line("int odd = 0;")
        self._blocks(loop, variable, end, lanes, found)
        self._join_blocks(found, lanes)
        if chunked:
            self._close_chunks(loop, variable, whole)
        self.close()

    def _blocks(
        self, loop: Loop, variable: str, end: str, lanes: int, found: Sequence[_Accumulator]
    ) -> None:
        """The blocks of one chunk: full ones, then the partial one."""
        symbol = symbol_of(loop.variable)
        extent = loop.extent
        exact = isinstance(extent, int) and extent % lanes == 0
        short = compare(extent, lanes - 1) in (-1, 0)
        once = count_statements(loop.body) > MAIN_LIMIT
        if once and not short and not exact:
            self.open(f"for (; {variable} < {end}; {variable} += {lanes})")
            self.line(f"const int n = (int)ig_minimum_of({lanes}, {end} - {variable});")
            self._block(loop, Vector(symbol, lanes, "n"), found)
            self.close()
            return
        if not short:
            self.open(f"for (; {variable} + {lanes} <= {end}; {variable} += {lanes})")
            self._block(loop, Vector(symbol, lanes, str(lanes)), found)
            self.close()
        if not exact:
            self.open(f"if ({variable} < {end})")
            self.line(f"const int n = (int)({end} - {variable});")
            self._block(loop, Vector(symbol, lanes, "n"), found)
            self.line(f"{variable} = {end};")
            self.close()

    def _block(self, loop: Loop, vector: Vector, found: Sequence[_Accumulator]) -> None:
        outer, self.vector = self.vector, vector
        self.statements(loop.body)
        for accumulator in found:
            self._accumulate(accumulator, vector)
        if any(len(a.names) > 1 for a in found):
            self.line("odd ^= 1;")
        self.vector = outer

    def _accumulators(self, fold: Fold, lanes: int) -> _Accumulator:
        kind = self.type_of_blocks(fold.local.dtype, lanes)
        splat = f"ig{lanes}_splat_{kind.split('_', 1)[1]}({start_of(fold, serial=False)})"
        rounds = fold.local.dtype.kind == "f" and fold.kind in ("sum", "prod")
        names = [self.fresh("a")]
        if rounds and lanes == 32 and fold.local.dtype.size <= 4:
            names.append(self.fresh("a"))
        for name in names:
            self.line(f"{kind} {name} = {splat};")
        return _Accumulator(fold, names)

    def type_of_blocks(self, dtype: DType, lanes: int) -> str:
        """The C type of a block of so many lanes."""
        return self.type(dtype, True).replace(f"ig{self.lanes}_", f"ig{lanes}_")

    def _accumulate(self, accumulator: _Accumulator, vector: Vector) -> None:
        fold = accumulator.fold
        value = self.spread(self.value(fold.value), fold.local.dtype)
        join = self.function(join_of(fold))
        if vector.count != str(vector.lanes):
            value = self._masked(fold, value)
        first = accumulator.names[0]
        if len(accumulator.names) == 1:
            self.line(f"{first} = {join}({first}, {value});")
            return
        second, turned = accumulator.names[1], self.fresh("t")
        self.line(f"const {self.type(fold.local.dtype, True)} {turned} = {join}({first}, {value});")
        self.line(f"{first} = {second};")
        self.line(f"{second} = {turned};")

    def _masked(self, fold: Fold, value: str) -> str:
        """The value with the identity in the lanes past the end."""
        valid = f"{self.function('tail_bool')}(n)"
        kind = self.function("").rstrip("_")
        if join_of(fold) == "or_bool":
            return f"{kind}_and_bool({valid}, {value})"
        if join_of(fold) == "and_bool":
            return f"{kind}_or_bool({kind}_not_bool({valid}), {value})"
        name = join_of(fold).rsplit("_", 1)[1]
        start = f"{kind}_splat_{name}({start_of(fold, serial=False)})"
        return f"{kind}_select_{name}({valid}, {value}, {start})"

    def _join_blocks(self, found: Sequence[_Accumulator], lanes: int) -> None:
        """Join the lanes of each fold to the scalar of its chunk, or to the result itself."""
        for a in found:
            kind = join_of(a.fold).rsplit("_", 1)[1]
            name = {"or_bool": "any_bool", "and_bool": "all_bool"}.get(
                join_of(a.fold), f"{a.fold.kind}_{kind}"
            )
            block = a.names[0]
            if len(a.names) > 1:
                first, second = a.names
                swapped = self.type_of_blocks(a.fold.local.dtype, lanes)
                self.line(
                    f"if (odd) {{ const {swapped} t = {first}; {first} = {second}; {second} = t; }}"
                )
                block = f"ig{lanes}_{join_of(a.fold)}({first}, {second})"
            self.line(f"{self.result(a.fold)} = ig{lanes}_{name}({block});")

    def _serial_loop(self, loop: Loop) -> None:
        extent = self.size(loop.extent)
        variable = self.bind(symbol_of(loop.variable))
        lanes = self.vector is not None
        if not loop.folds:
            counter = f"{self.index_type} {variable} = 0"
            self.open(f"for ({counter}; {variable} < {extent}; {variable}++)")
            self.statements(loop.body)
            self.close()
            return
        tree = loop.folds[0].tree
        chunk = 1 if tree else SERIAL_CHUNK
        for fold in loop.folds:
            self.declare(fold, lanes)
        self.open("")
        self.line(f"{self.index_type} {variable} = 0;")
        whole = self.fresh("e")
        self.line(f"const int64_t {whole} = {extent};")
        chunked = not is_at_most(loop.extent, chunk)
        end = self._open_chunks(loop, variable, whole, chunk, lanes) if chunked else whole
        for fold in loop.folds:
            self.line(f"{self.result(fold)} = {self._start(fold, whole, lanes)};")
        self.open(f"for (; {variable} < {end}; {variable}++)")
        self.statements(loop.body)
        for fold in loop.folds:
            value = self.value(fold.value)
            text = self.spread(value, fold.local.dtype) if lanes else value.text
            name = self.result(fold)
            join = self.function(join_of(fold), lanes)
            self.line(f"{name} = {text};" if tree else f"{name} = {join}({name}, {text});")
        self.close()
        if chunked:
            self._close_chunks(loop, variable, whole, lanes)
        self.close()

    def _start(self, fold: Fold, whole: str, lanes: bool) -> str:
        serial, empty = start_of(fold, serial=True), start_of(fold, serial=False)
        text = serial if serial == empty else f"({whole} > 0 ? {serial} : {empty})"
        kind = self.type(fold.local.dtype, lanes).split("_", 1)[1]
        return f"{self.function('splat_' + kind)}({text})" if lanes else text

    # -------------------------------------------------------------- chunks and their binary carry

    def declare(self, fold: Fold, lanes: bool) -> None:
        """Declare the variable that holds a fold's result."""
        name = self.fresh("r")
        self.line(f"{self.type(fold.local.dtype, lanes)} {name};")
        self.define(fold.local, Text(name, lanes))

    def result(self, fold: Fold) -> str:
        """The variable that holds a fold's result."""
        return self.value(fold.local).text

    def _open_chunks(
        self, loop: Loop, variable: str, whole: str, chunk: int, lanes: bool = False
    ) -> str:
        self.declare_stacks(loop, chunk, lanes)
        self.open("do")
        end = self.fresh("e")
        self.line(f"const int64_t {end} = ig_minimum_of({variable} + {chunk}, {whole});")
        return end

    def declare_stacks(self, loop: Loop, chunk: int, lanes: bool = False) -> None:
        """Declare the stacks on which the results of chunks are joined by a binary carry."""
        for fold in loop.folds:
            levels = levels_of((loop.extent + (chunk - 1)) // chunk)
            kind = self.type(fold.local.dtype, lanes)
            self.line(f"{kind} tree_{self.result(fold)}[{levels}];")
        self.line("int64_t chunk = 0;")
        self.line("int top = 0;")

    def _close_chunks(self, loop: Loop, variable: str, whole: str, lanes: bool = False) -> None:
        self.push_chunk(loop, lanes)
        self.close(f"}} while ({variable} < {whole});")
        self.join_chunks(loop, lanes)

    def push_chunk(self, loop: Loop, lanes: bool = False) -> None:
        """Add the results of one more chunk to the stacks of a binary carry."""
        self.open("for (int64_t carry = chunk; carry & 1; carry >>= 1)")
        self.line("top--;")
        for join, name in self._trees(loop, lanes):
            self.line(f"{name} = {join}(tree_{name}[top], {name});")
        self.close()
        for _, name in self._trees(loop, lanes):
            self.line(f"tree_{name}[top] = {name};")
        self.line("top++;")
        self.line("chunk++;")

    def join_chunks(self, loop: Loop, lanes: bool = False) -> None:
        """Join what is left on the stacks."""
        self.line("top--;")
        for _, name in self._trees(loop, lanes):
            self.line(f"{name} = tree_{name}[top];")
        self.open("while (top > 0)")
        self.line("top--;")
        for join, name in self._trees(loop, lanes):
            self.line(f"{name} = {join}(tree_{name}[top], {name});")
        self.close()

    def _trees(self, loop: Loop, lanes: bool) -> Iterator[tuple[str, str]]:
        for fold in loop.folds:
            yield self.function(join_of(fold), lanes), self.result(fold)


def scratch_bytes(shape: Sequence[Size], dtype: DType) -> Size:
    """Bytes of a scratch buffer, rounded up to whole cache lines."""
    total: Size = dtype.size
    for size in shape:
        total = total * size
    return (total + 63) // 64 * 64


def bytes_of(buffer: Buffer) -> Size:
    """Bytes of a buffer's elements."""
    return product(buffer.shape) * buffer.dtype.size


def may_stream(buffer: Buffer) -> bool:
    """Whether a result may be so large that it is written past the caches."""
    return buffer.dtype.name in STREAMED and compare(bytes_of(buffer), FAR) != -1


def lanes_of(loop: Loop) -> int:
    """Lanes of a block in a vector loop: 64, or 32 where an eight-byte type takes part; 16 in a
    loop that is no longer and folds nothing."""
    if not loop.folds and is_at_most(loop.extent, 16):
        return 16
    return 32 if any(d.size == 8 for d in _dtypes(loop)) else 64


def _dtypes(loop: Loop) -> Iterator[DType]:
    for fold in loop.folds:
        yield fold.local.dtype
        yield from _expression_dtypes(fold.value)
    for stmt in loop.body:
        yield from _statement_dtypes(stmt)


def _statement_dtypes(stmt: Stmt) -> Iterator[DType]:
    match stmt:
        case Let() | Declare() | Assign() | Store():
            yield from _expression_dtypes(stmt.value)
            if isinstance(stmt, Store):
                for position in stmt.index:
                    if isinstance(position, (Const, Local, Index, Load, Call)):
                        yield from _expression_dtypes(position)
        case Loop():
            yield from _dtypes(stmt)


def _expression_dtypes(expr: Expr) -> Iterator[DType]:
    yield expr.dtype
    if isinstance(expr, Call):
        for argument in expr.arguments:
            yield from _expression_dtypes(argument)
    if isinstance(expr, Load) and expr.guard is not None:
        yield from _expression_dtypes(expr.guard)


def count_statements(body: Sequence[Stmt]) -> int:
    """How many statements stand in a loop body."""
    return sum(count_statements(s.body) if isinstance(s, Loop) else 1 for s in body)
