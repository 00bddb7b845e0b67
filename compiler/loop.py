"""The loop IR: what a kernel does, as loops over typed scalar expressions. C and CUDA are printed
from it.

    Kernel  = buffers, body                 body is a tuple of statements
    Stmt    = Let(local, expr)              a value, evaluated once
            | Declare(local, expr)          a variable with its first value
            | Assign(local, expr)           its next value
            | Bind(variable, size)          an index variable that another index determines
            | Store(buffer, index, expr)    one element (in a vector loop one block of lanes), where
                                            its guard holds
            | Loop(variable, extent, kind, body, folds)
            | Check(expr, bound)            record an error unless 0 <= expr < bound
    Fold    = (local, kind, expr)           joins expr over all iterations of its loop; local is
                                            bound after it
    Expr    = Const | Local | Index | Load | Call

Names exist only for the printer: variables are compared by identity. Sizes and index arithmetic are
`dims.Size`, with loop variables as symbols (`dims.loop_variable`), so that index simplification is
the polynomials' normal form. An index may also be an expression of dtype i64, for positions that
are data. A `Call` names a function of the prelude (`add`, `exp`, `select`, `cast`, ...)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Final, Union

from intaglio.compiler.dims import Dim, Shape, Size, Symbol, floordiv, modulo
from intaglio.compiler.dtypes import DType, boolean, int32, int64
from intaglio.compiler.errors import Error
from intaglio.compiler.types import TensorType


class Unfusable(Error):
    """Raised by an `element` rule that can't express an element at this index; the producer is then
    materialised."""


@dataclass(frozen=True, slots=True)
class Block:
    """A dim cut into blocks of `size` elements, which lie `stride` apart within a block."""

    dim: int
    size: int
    stride: Size


@dataclass(frozen=True, eq=False, slots=True)
class Buffer:
    """Memory that a kernel reads or writes: dtype, logical shape, and the strides in elements of
    its storage.

    A dim in `blocks` is two dims of the storage: its stride is that from block to block; the one
    within blocks comes behind all others. `place` gives the index of an element in the storage."""

    dtype: DType
    shape: Shape
    strides: Shape
    role: str = "input"
    """`input`, `output`, or `scratch` (per thread, cache-sized)."""
    blocks: tuple[Block, ...] = ()

    def place(self, index: tuple[Position, ...]) -> tuple[Position, ...]:
        """The index in the storage of the element at a logical index."""
        if not self.blocks:
            return index
        outer, inner = list(index), []
        for block in self.blocks:
            position = index[block.dim]
            if not isinstance(position, int | Dim):
                raise Unfusable("a dim that is stored in blocks is indexed by data")
            outer[block.dim] = floordiv(position, block.size)
            inner.append(modulo(position, block.size))
        return (*outer, *inner)


@dataclass(frozen=True, eq=False, slots=True)
class Const:
    """A number. Printed through a typed printer, bit for bit."""

    value: int | float | bool
    dtype: DType


@dataclass(frozen=True, eq=False, slots=True)
class Local:
    """A variable that a `Let`, a `Fold` or an enclosing construct binds."""

    dtype: DType
    hint: str = "v"


@dataclass(frozen=True, eq=False, slots=True)
class Index:
    """The value of an index polynomial, as data."""

    size: Size
    dtype: DType = int64


Position = Union[int, Dim, "Expr"]


@dataclass(frozen=True, eq=False, slots=True)
class Load:
    """An element of a buffer. With a `guard` (a bool expression) no address is formed where it is
    false; the value is then zero."""

    buffer: Buffer
    index: tuple[Position, ...]
    guard: Expr | None = None

    @property
    def dtype(self) -> DType:
        """The buffer's element type."""
        return self.buffer.dtype


@dataclass(frozen=True, eq=False, slots=True)
class Call:
    """A scalar function of the prelude applied to expressions."""

    function: str
    arguments: tuple[Expr, ...]
    dtype: DType


Expr = Const | Local | Index | Load | Call

COMPARISONS: Final = frozenset({"eq", "ne", "lt", "le", "gt", "ge"})


def call(function: str, *arguments: Expr, dtype: DType | None = None) -> Call:
    """Apply a function of the prelude. The result type is bool for comparisons, that of the second
    operand for `select`, else that of the first, unless given."""
    if dtype is None:
        if function in COMPARISONS:
            dtype = boolean
        else:
            dtype = arguments[1 if function == "select" else 0].dtype
    return Call(function, arguments, dtype)


def cast(value: Expr, dtype: DType) -> Expr:
    """The value converted as the op `cast` defines it; itself when it has this type."""
    return value if value.dtype == dtype else Call("cast", (value,), dtype)


def number(value: int | float | bool, dtype: DType) -> Const:
    """A constant of this type."""
    return Const(value, dtype)


def all_of(conditions: Sequence[Expr]) -> Expr | None:
    """The conjunction of bool expressions; None of none."""
    joined: Expr | None = None
    for condition in conditions:
        joined = condition if joined is None else call("and", joined, condition)
    return joined


def in_range(position: Size, low: Size, high: Size) -> Expr | None:
    """Whether low <= position < high, as a bool expression; None when the bounds already say
    yes."""
    from intaglio.compiler.codegen.indices import fits_int32
    from intaglio.compiler.dims import bounds, in_steps

    dtype = int32 if fits_int32(position) and fits_int32(low) and fits_int32(high) else int64

    found: list[Expr] = []
    gaps = ((position - low, "ge", position, low), (high - 1 - position, "lt", position, high))
    for gap, relation, left, right in gaps:
        if bounds(gap)[0] >= 0:
            continue
        whole = in_steps(gap)
        if whole != gap:
            relation, left, right = "ge", whole, 0
        found.append(call(relation, Index(left, dtype), Index(right, dtype)))
    return all_of(found)


class Operand:
    """What an `element` rule sees of an operand: its type, and its element at a position.

    `x(*position)` is a load or the inlined producer. `x.where(condition, *position)` is the element
    where `condition` holds and zero elsewhere; nothing outside is touched."""

    __slots__ = ("_at", "type")

    def __init__(
        self, type: TensorType, at: Callable[[tuple[Position, ...], Expr | None], Expr]
    ) -> None:
        self.type, self._at = type, at

    def __call__(self, *position: Position) -> Expr:
        return self._at(position, None)

    def where(self, condition: Expr | None, *position: Position) -> Expr:
        """The element where `condition` holds, zero elsewhere."""
        return self._at(position, condition)


@dataclass(frozen=True, eq=False, slots=True)
class Let:
    """Bind a local to the value of an expression, evaluated once here."""

    local: Local
    value: Expr


@dataclass(frozen=True, eq=False, slots=True)
class Declare:
    """Begin a variable that `Assign` changes, with its first value: in a vector loop one for each
    lane."""

    local: Local
    value: Expr


@dataclass(frozen=True, eq=False, slots=True)
class Assign:
    """Give a declared variable its next value."""

    local: Local
    value: Expr


@dataclass(frozen=True, eq=False, slots=True)
class Store:
    """Write one element (a block of lanes inside a vector loop). A `guard` is for text with one
    lane: nothing is written where it is false."""

    buffer: Buffer
    index: tuple[Position, ...]
    value: Expr
    guard: Expr | None = None


@dataclass(frozen=True, eq=False, slots=True)
class Bind:
    """Give an index variable its value, made of variables that are bound already."""

    variable: Dim
    value: Size


@dataclass(frozen=True, eq=False, slots=True)
class Fold:
    """Join `value` over all iterations of the loop it stands in; `local` holds the result after the
    loop.

    `kind` is `sum`, `prod`, `max`, `min`, `any` or `all`. The order is fixed (architecture §6). In
    a vector loop: chunks of 4096, in each 64 partials (32 in f64) that start at the identity,
    joined by halves. In a serial loop: chunks of 64 in sequence, the first element being the start;
    or, with `tree`, every element a chunk of its own. Chunk results are joined pairwise, by a
    binary carry."""

    local: Local
    kind: str
    value: Expr
    tree: bool = False


@dataclass(frozen=True, eq=False, slots=True)
class Loop:
    """`variable` runs from 0 to `extent`. `parallel` iterations are independent and split over
    threads, `grain` of them at a time; `vector` ones are printed in blocks of lanes; `serial` ones
    run in order. `folds` are joined over the iterations."""

    variable: Dim
    extent: Size
    kind: str
    body: tuple[Stmt, ...]
    folds: tuple[Fold, ...] = ()
    grain: Size = 1


@dataclass(frozen=True, eq=False, slots=True)
class Check:
    """Record an error of the kernel's node unless 0 <= `value` < `bound`."""

    value: Expr
    bound: Size


Stmt = Union[Let, Declare, Assign, Bind, Store, "Loop", Check]


@dataclass(frozen=True, eq=False, slots=True)
class Kernel:
    """One kernel: its memory in the order of its parameters, and one parallel loop. The kernel has
    no name: the printer makes one."""

    buffers: tuple[Buffer, ...]
    body: Loop
    scratch: tuple[Buffer, ...] = field(default=())


def symbol_of(variable: Dim) -> Symbol:
    """The symbol that a loop variable consists of."""
    (((atom,), _),) = variable.terms
    assert isinstance(atom, Symbol)
    return atom
