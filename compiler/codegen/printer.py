"""Prints the expressions and plain statements of the loop IR: what C and CUDA share.

Every call of the prelude becomes a statement of its own, so that no expression is deep. A value is
either *uniform* (one scalar, `ig1_` functions) or has one *lane* per element of the block that the
vector loop around it works on (`ig64_` or `ig32_` functions); scalars are spread to lanes where
they meet. CUDA, which has a thread per element, is the same text with lanes of one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from intaglio.compiler.codegen.indices import affine, as_size, fits_int32, mentions
from intaglio.compiler.codegen.numbers import (
    C_TYPES,
    bracketed,
    compute_type,
    constant,
    size_text,
)
from intaglio.compiler.dims import (
    Quotient,
    Size,
    Symbol,
    terms_of,
)
from intaglio.compiler.dtypes import DType, int32, int64
from intaglio.compiler.loop import (
    COMPARISONS,
    Assign,
    Bind,
    Buffer,
    Call,
    Check,
    Const,
    Declare,
    Expr,
    Index,
    Let,
    Load,
    Local,
    Loop,
    Stmt,
    Store,
    symbol_of,
)

NEVER_WIDENS = frozenset({"select", "minimum", "maximum", "and", "or", "xor"})
"""Functions whose results need no wrapping to a short integer's range."""


class Text(NamedTuple):
    """A printed value: a name or literal, and whether it has lanes."""

    text: str
    lanes: bool = False


@dataclass
class Vector:
    """The vector loop being printed: its variable, how many lanes a block has, how many of them
    count (C text)."""

    symbol: Symbol
    lanes: int
    count: str


class Printer:
    """Prints statements into `lines`. `dims` says where in the array of sizes a named size is
    found; with `inline_sizes` sizes are read from there at each place, not declared before."""

    index_type = "int64_t"
    """The C type of index variables."""

    def __init__(self, dims: Mapping[str, int]) -> None:
        self.dims = dims
        self.lines: list[str] = []
        self.depth = 1
        self.vector: Vector | None = None
        self._names: dict[Symbol, str] = {}
        self._locals: dict[Local, Text] = {}
        self._buffers: dict[Buffer, str] = {}
        self._sizes: dict[str, str] = {}
        self._count = 0
        self.inline_sizes = False

    # ------------------------------------------------------------------------------ names and lines

    def fresh(self, prefix: str) -> str:
        """A new C name."""
        self._count += 1
        return f"{prefix}{self._count}"

    def line(self, text: str) -> None:
        """Append a line at the current depth."""
        self.lines.append("  " * self.depth + text)

    def open(self, text: str) -> None:
        """Append a line that opens a block."""
        self.line(text + " {")
        self.depth += 1

    def close(self, text: str = "}") -> None:
        """Close a block."""
        self.depth -= 1
        self.line(text)

    def name(self, symbol: Symbol) -> str:
        """The C name of an index variable or of a named size."""
        if symbol.extent is None and self.inline_sizes:
            return f"dims[{self.dims[symbol.name]}]"
        if symbol.extent is None:
            return self._sizes.setdefault(symbol.name, f"n{self.dims[symbol.name]}")
        return self._names[symbol]

    def bind(self, symbol: Symbol) -> str:
        """A fresh C name for an index variable."""
        self._names[symbol] = self.fresh("i")
        return self._names[symbol]

    def rename(self, symbol: Symbol, text: str) -> None:
        """Say how an index variable is written."""
        self._names[symbol] = text

    def size(self, size: Size) -> str:
        """A size as C text."""
        return size_text(size, self.name)

    def size_declarations(self) -> list[str]:
        """The statements that fetch the named sizes used so far."""
        return [
            f"  const int64_t {c} = dims[{self.dims[name]}];"
            for name, c in sorted(self._sizes.items(), key=lambda item: self.dims[item[0]])
        ]

    def buffer(self, buffer: Buffer) -> str:
        """The C name of a buffer's typed pointer."""
        return self._buffers[buffer]

    def define_buffer(self, buffer: Buffer, name: str) -> None:
        """Say under which name the pointer of a buffer stands."""
        self._buffers[buffer] = name

    def define(self, local: Local, text: Text) -> None:
        """Say under which name a local's value stands."""
        self._locals[local] = text

    # ------------------------------------------------------------------------------------- values

    @property
    def lanes(self) -> int:
        """Lanes of a block here."""
        return self.vector.lanes if self.vector else 1

    def function(self, name: str, lanes: bool = True) -> str:
        """The prelude's function of this name for blocks or for scalars."""
        return f"ig{self.lanes if lanes else 1}_{name}"

    def type(self, dtype: DType, lanes: bool) -> str:
        """The C type of a value."""
        return self.function(compute_type(dtype), lanes)

    def let(self, dtype: DType, lanes: bool, text: str) -> Text:
        """Bind a fresh name to a C expression."""
        name = self.fresh("v")
        self.line(f"const {self.type(dtype, lanes)} {name} = {text};")
        return Text(name, lanes)

    def spread(self, value: Text, dtype: DType) -> str:
        """The value as a block."""
        if value.lanes or self.vector is None:
            return value.text
        return f"{self.function('splat_' + compute_type(dtype))}({value.text})"

    def value(self, expr: Expr) -> Text:
        """Print what an expression needs; the name of its value."""
        match expr:
            case Const():
                return Text(constant(expr.value, expr.dtype))
            case Local():
                return self._locals[expr]
            case Index():
                return self.index(expr)
            case Load():
                return self.load(expr)
            case Call():
                return self.call(expr)
        raise TypeError(expr)

    def call(self, expr: Call) -> Text:
        """Print a call of a prelude function."""
        if expr.function == "philox":
            return self._philox(expr)
        if expr.function in ("cast", "bitcast"):
            return self._convert(expr)
        if expr.function == "exactly":
            return self.value(expr.arguments[0])
        values = [self.value(a) for a in expr.arguments]
        lanes = any(v.lanes for v in values)
        texts = [
            self.spread(v, a.dtype) if lanes else v.text
            for v, a in zip(values, expr.arguments, strict=True)
        ]
        of = expr.arguments[1 if expr.function == "select" else 0].dtype
        name = self.function(f"{expr.function}_{compute_type(of)}", lanes)
        made = self.let(expr.dtype, lanes, f"{name}({', '.join(texts)})")
        if expr.function in NEVER_WIDENS or expr.function in COMPARISONS:
            return made
        return self.wrap(made, expr.dtype)

    def wrap(self, value: Text, dtype: DType) -> Text:
        """Bring a value computed in i32 into the range of its short integer type, one computed in
        f32 to the nearest of its short float type."""
        if dtype.is_half:
            nearest = self.function(f"nearest_{dtype.name}", value.lanes)
            return self.let(dtype, value.lanes, f"{nearest}({value.text})")
        if dtype.name not in ("i16", "i8", "u8"):
            return value

        def apply(function: str, left: str, number: int) -> str:
            right = self.spread(Text(str(number)), dtype) if value.lanes else str(number)
            return f"{self.function(function + '_i32', value.lanes)}({left}, {right})"

        low = (1 << (8 * dtype.size)) - 1
        if dtype.kind == "u":
            return self.let(dtype, value.lanes, apply("and", value.text, low))
        half = (low + 1) >> 1
        text = apply("sub", apply("and", apply("add", value.text, half), low), half)
        return self.let(dtype, value.lanes, text)

    def _convert(self, expr: Call) -> Text:
        (source,) = expr.arguments
        value = self.value(source)
        if expr.function == "bitcast" and (source.dtype.is_half or expr.dtype.is_half):
            return self._bitcast_half(value, source.dtype, expr.dtype)
        old, new = compute_type(source.dtype), compute_type(expr.dtype)
        if old == new:
            narrower = source.dtype != expr.dtype and expr.dtype.name != "i32"
            return self.wrap(value, expr.dtype) if narrower else value
        bits = expr.function == "bitcast" and "f" in (old[0], new[0])
        function = f"{'bitcast' if bits else 'cast'}_{old}_{new}"
        made = self.let(
            expr.dtype, value.lanes, f"{self.function(function, value.lanes)}({value.text})"
        )
        return self.wrap(made, expr.dtype)

    def _bitcast_half(self, value: Text, source: DType, dtype: DType) -> Text:
        """The bits of a short float by way of i32, the lower half of which they are."""
        if source.is_half:
            bits = self.function(f"bitcast_{source.name}_i32", value.lanes)
            value = self.let(int32, value.lanes, f"{bits}({value.text})")
        if dtype.is_half:
            made = self.function(f"bitcast_i32_{dtype.name}", value.lanes)
            return self.let(dtype, value.lanes, f"{made}({value.text})")
        return self.wrap(value, dtype)

    def _philox(self, expr: Call) -> Text:
        seed, draw, index, word = (self.value(a) for a in expr.arguments)
        lanes = index.lanes
        name = self.function("philox_u32", lanes)
        return self.let(
            expr.dtype, lanes, f"{name}({seed.text}, {draw.text}, {index.text}, {word.text})"
        )

    # -------------------------------------------------------------------------- indices and memory

    def index(self, expr: Index) -> Text:
        """An index as data."""
        if isinstance(expr.size, int):
            return Text(constant(expr.size, expr.dtype))
        if self.vector is None or not mentions(expr.size, self.vector.symbol):
            return self.let(
                expr.dtype, False, f"({C_TYPES[expr.dtype.name]})({self.size(expr.size)})"
            )
        kind = compute_type(expr.dtype)
        if kind not in ("i32", "i64"):
            raise TypeError(f"an index of dtype {expr.dtype}")
        return self.lane_index(expr.size, kind)

    def lane_index(self, size: Size, kind: str) -> Text:
        """A size that differs between lanes, as a block of i32 or i64."""
        if kind == "i64" and not self._affine(size) and fits_int32(size):
            narrow = self.lane_index(size, "i32").text
            return self.let(int64, True, f"{self.function('cast_i32_i64')}({narrow})")
        return Text(self._lane_text(size, kind), True)

    def _affine(self, size: Size) -> tuple[Size, Size] | None:
        assert self.vector is not None
        return affine(size, self.vector.symbol)

    def _lane_text(self, size: Size, kind: str) -> str:
        parts = self._affine(size)
        if parts is not None:
            return self._lane_affine(*parts, kind)
        total: str | None = None
        for monomial, factor in terms_of(size):
            product = None if factor == 1 and monomial else self._splat(factor, kind)
            for atom in monomial:
                text = self._lane_atom(atom, kind)
                product = text if product is None else self._lane_call("mul", kind, product, text)
            assert product is not None
            total = product if total is None else self._lane_call("add", kind, total, product)
        return total or self._splat(0, kind)

    def _lane_affine(self, base: Size, stride: Size, kind: str) -> str:
        iota = self.function(f"iota_{kind}")
        if stride == 1:
            return self._lane_let(kind, f"{iota}(({C_TYPES[kind]})({self.size(self._at(base))}))")
        start = self._splat(self._at(base, stride), kind)
        if stride == 0:
            return start
        step = self._lane_call("mul", kind, f"{iota}(0)", self._splat(stride, kind))
        return self._lane_call("add", kind, start, step)

    def _at(self, base: Size, stride: Size = 1) -> Size:
        """The value in lane 0."""
        assert self.vector is not None
        return base + stride * as_size(self.vector.symbol)

    def _splat(self, size: Size, kind: str) -> str:
        return f"{self.function(f'splat_{kind}')}(({C_TYPES[kind]})({self.size(size)}))"

    def _lane_let(self, kind: str, text: str) -> str:
        name = self.fresh("v")
        self.line(f"const {self.function(kind)} {name} = {text};")
        return name

    def _lane_call(self, function: str, kind: str, left: str, right: str) -> str:
        return self._lane_let(kind, f"{self.function(f'{function}_{kind}')}({left}, {right})")

    def _lane_atom(self, atom: Symbol | Quotient, kind: str) -> str:
        if isinstance(atom, Symbol):
            return self._lane_text(as_size(atom), kind)
        left, right = self._lane_text(atom.left, kind), self._lane_text(atom.right, kind)
        names = {"//": "floordiv", "%": "floormod", "min": "minimum", "max": "maximum"}
        return self._lane_call(names[atom.kind], kind, left, right)

    def address(self, buffer: Buffer, index: Sequence[Size | Expr]) -> tuple[Size, Text | None]:
        """Where an element lies, in elements: a part of sizes and a part that is data (i64)."""
        base = _known_part(buffer, index)
        data: Text | None = None
        for position, stride in zip(index, buffer.strides, strict=True):
            if not isinstance(position, _EXPRESSIONS) or stride == 0:
                continue
            part = self.value(Call("cast", (position,), int64))
            if stride != 1:
                part = self._add_data(
                    "mul", part, Text(bracketed(f"(int64_t)({self.size(stride)})"))
                )
            data = part if data is None else self._add_data("add", data, part)
        return base, data

    def _add_data(self, function: str, left: Text, right: Text) -> Text:
        lanes = left.lanes or right.lanes
        texts = [self.spread(t, int64) if lanes else t.text for t in (left, right)]
        return self.let(
            int64, lanes, f"{self.function(f'{function}_i64', lanes)}({', '.join(texts)})"
        )

    def pointer(self, buffer: Buffer, base: Size, data: Text | None) -> str:
        """The address of one element (of lane 0)."""
        texts = [] if base == 0 else [self.size(base)]
        if data is not None:
            texts.append(data.text)
        return " + ".join([self.buffer(buffer), *(bracketed(t) for t in texts)])

    def load(self, expr: Load) -> Text:
        """Print a load."""
        if expr.guard is None:
            return self._place(expr)
        guard = self.value(expr.guard)
        kind = compute_type(expr.dtype)
        name = self.fresh("v")
        if not guard.lanes:
            lanes = self._varies(expr)
            zero = f"{self.function('splat_' + kind, lanes)}(0)"
            self.line(f"{self.type(expr.dtype, lanes)} {name} = {zero};")
            self.open(f"if ({guard.text})")
            self.line(f"{name} = {self._place(expr).text};")
            self.close()
            return Text(name, lanes)
        masked = self._masked_load(expr, guard)
        if masked is not None:
            return masked
        self.line(f"{self.type(expr.dtype, True)} {name} = {self.function('splat_' + kind)}(0);")
        self._load_where(expr, guard, name)
        return Text(name, True)

    def _masked_load(self, expr: Load, guard: Text) -> Text | None:
        """Load lanes of a mask whose addresses lie evenly apart; None where they do not."""
        if any(isinstance(p, _EXPRESSIONS) for p in expr.index):
            return None
        base, _ = self.address(expr.buffer, expr.index)
        parts = self._affine(base)
        if parts is None or parts[1] == 0:
            return None
        kind, where = expr.dtype.name, self.pointer(expr.buffer, base, None)
        if parts[1] == 1:
            return self._lane_load(expr, f"masked_{kind}({where}, {guard.text}")
        stride = self.size(parts[1])
        return self._lane_load(expr, f"strided_masked_{kind}({where}, {stride}, {guard.text}")

    def _load_where(self, expr: Load, guard: Text, name: str) -> None:
        """Load lanes of a mask: all at once where the mask is full, else by safe addresses."""
        self.open(f"if ({self.function('all_bool')}({guard.text}))")
        self.line(f"{name} = {self.spread(self._place(expr), expr.dtype)};")
        self.depth -= 1
        self.line(f"}} else if ({self.function('any_bool')}({guard.text})) {{")
        self.depth += 1
        assert self.vector is not None
        base, data = self.address(expr.buffer, expr.index)
        index = self.lane_index(base, "i64").text
        if data is not None:
            index = self._add_data("add", Text(index, True), data).text
        kind = compute_type(expr.dtype)
        safe = (
            f"{self.function('select_i64')}({guard.text}, {index}, {self.function('splat_i64')}(0))"
        )
        found = self.let(
            expr.dtype,
            True,
            f"{self.function('gather_' + expr.dtype.name)}({self.buffer(expr.buffer)}, {safe}, "
            f"{self.vector.count})",
        ).text
        if kind == "bool":
            self.line(f"{name} = {self.function('and_bool')}({guard.text}, {found});")
        else:
            select = self.function("select_" + kind)
            self.line(f"{name} = {select}({guard.text}, {found}, {name});")
        self.close()

    def _varies(self, expr: Load) -> bool:
        """Whether the address differs between lanes."""
        if self.vector is None:
            return False
        for position, stride in zip(expr.index, expr.buffer.strides, strict=True):
            if isinstance(position, _EXPRESSIONS) and stride != 0 and self.has_lanes(position):
                return True
        return mentions(_known_part(expr.buffer, expr.index), self.vector.symbol)

    def has_lanes(self, expr: Expr) -> bool:
        """Whether the value of an expression differs between lanes."""
        match expr:
            case Const():
                return False
            case Local():
                return self._locals[expr].lanes
            case Index():
                return self.vector is not None and mentions(expr.size, self.vector.symbol)
            case Load():
                return self._varies(expr) or (expr.guard is not None and self.has_lanes(expr.guard))
            case Call():
                return any(self.has_lanes(a) for a in expr.arguments)

    def _place(self, expr: Load) -> Text:
        base, data = self.address(expr.buffer, expr.index)
        kind = expr.dtype.name
        if self.vector is None:
            return self._scalar_load(expr, base, data)
        parts = self._affine(base)
        if data is not None and data.lanes or parts is None:
            index = self.lane_index(base, "i64")
            if data is not None:
                index = self._add_data("add", index, data)
            return self._lane_load(expr, f"gather_{kind}({self.buffer(expr.buffer)}, {index.text}")
        stride = parts[1]
        if stride == 0:
            return self._scalar_load(expr, base, data)
        where = self.pointer(expr.buffer, base, data)
        if stride == 1:
            return self._lane_load(expr, f"load_{kind}({where}")
        return self._lane_load(expr, f"strided_{kind}({where}, {self.size(stride)}")

    def _lane_load(self, expr: Load, text: str) -> Text:
        assert self.vector is not None
        return self.let(expr.dtype, True, f"ig{self.lanes}_{text}, {self.vector.count})")

    def _scalar_load(self, expr: Load, base: Size, data: Text | None) -> Text:
        where = self.pointer(expr.buffer, base, data)
        if expr.dtype.is_half:
            return self.let(expr.dtype, False, f"ig1_load_{expr.dtype.name}({where}, 1)")
        return self.let(expr.dtype, False, f"*({where})")

    def store(self, stmt: Store) -> None:
        """Print a store."""
        value = self.value(stmt.value)
        base, data = self.address(stmt.buffer, stmt.index)
        kind = stmt.buffer.dtype.name
        if self.vector is None:
            where = self.pointer(stmt.buffer, base, data)
            condition = "" if stmt.guard is None else f"if ({self.value(stmt.guard).text}) "
            if stmt.buffer.dtype.is_half:
                self.line(f"{condition}ig1_store_{kind}({where}, {value.text}, 1);")
                return
            self.line(f"{condition}*({where}) = ({C_TYPES[kind]}){value.text};")
            return
        if stmt.guard is not None:
            raise TypeError("a store with a guard stands in no vector loop")
        text, count = self.spread(value, stmt.buffer.dtype), self.vector.count
        parts = self._affine(base)
        if parts is None or (data is not None and data.lanes):
            index = self.lane_index(base, "i64")
            if data is not None:
                index = self._add_data("add", index, data)
            pointer = self.buffer(stmt.buffer)
            self.line(
                f"{self.function('scatter_' + kind)}({pointer}, {index.text}, {text}, {count});"
            )
            return
        where = self.pointer(stmt.buffer, base, data)
        if parts[1] == 1:
            self.store_block(stmt.buffer, where, text)
        else:
            stride = self.size(parts[1])
            name = self.function("store_strided_" + kind)
            self.line(f"{name}({where}, {stride}, {text}, {count});")

    def store_block(self, buffer: Buffer, where: str, text: str) -> None:
        """Print the store of a block whose elements lie side by side."""
        assert self.vector is not None
        name = self.function("store_" + buffer.dtype.name)
        self.line(f"{name}({where}, {text}, {self.vector.count});")

    # --------------------------------------------------------------------------------- statements

    def statements(self, body: Sequence[Stmt]) -> None:
        """Print statements in order."""
        for stmt in body:
            match stmt:
                case Let():
                    self.define(stmt.local, self.value(stmt.value))
                case Declare():
                    self._declare_variable(stmt)
                case Assign():
                    text = self.spread(self.value(stmt.value), stmt.local.dtype)
                    self.line(f"{self.value(stmt.local).text} = {text};")
                case Bind():
                    text = self.size(stmt.value)
                    name = self.bind(symbol_of(stmt.variable))
                    self.line(f"const {self.index_type} {name} = {text};")
                case Store():
                    self.store(stmt)
                case Check():
                    self.check(stmt)
                case Loop():
                    self.loop(stmt)

    def _declare_variable(self, stmt: Declare) -> None:
        text = self.spread(self.value(stmt.value), stmt.local.dtype)
        lanes, name = self.vector is not None, self.fresh("a")
        self.line(f"{self.type(stmt.local.dtype, lanes)} {name} = {text};")
        self.define(stmt.local, Text(name, lanes))

    def loop(self, loop: Loop) -> None:
        """Print a loop inside a kernel."""
        raise NotImplementedError

    def check(self, stmt: Check) -> None:
        """Print a check of an index."""
        raise NotImplementedError


_EXPRESSIONS = (Const, Local, Index, Load, Call)


def _known_part(buffer: Buffer, index: Sequence[Size | Expr]) -> Size:
    """The part of an element's address that is made of sizes."""
    base: Size = 0
    for position, stride in zip(index, buffer.strides, strict=True):
        if isinstance(position, int) or not isinstance(position, _EXPRESSIONS):
            base = base + position * stride
    return base
