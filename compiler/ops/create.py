"""Tensors out of nothing: fills, constants, counting, random bits."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from intaglio.compiler.dims import Dim, Shape, Size
from intaglio.compiler.dtypes import DType, boolean, dtype_named, dtype_of, int32, int64, uint32
from intaglio.compiler.errors import ArgumentError, DTypeError, ShapeError
from intaglio.compiler.ir import Literal
from intaglio.compiler.loop import Expr, Index, Operand, Position, Unfusable, call, cast, number
from intaglio.compiler.op import Array, Op, Ops, Sample, V
from intaglio.compiler.ops.rules import check_axis, check_count, check_dtype, check_shape, refused
from intaglio.compiler.types import TensorType


class _Created(Op):
    """Base: nothing to differentiate by."""

    def vjp(
        self,
        g: Ops[V],
        dys: Sequence[V | None],
        ys: Sequence[V],
        xs: Sequence[V],
        needs: Sequence[bool],
        **attributes: Any,
    ) -> Sequence[V | None]:
        """No operand has a derivative."""
        return [None] * len(xs)


class Full(_Created):
    """Every element is one number: `full(value=0.5, dtype=f32, shape=(n, 4))`."""

    name, exact = "full", "fiub"
    samples = (
        Sample(value=0.1, dtype=dtype_named("f32"), shape=(3, 5)),
        Sample(value=-0.0, dtype=dtype_named("f64"), shape=()),
        Sample(value=float("nan"), dtype=dtype_named("f32"), shape=(2,)),
        Sample(value=float("-inf"), dtype=dtype_named("f64"), shape=(1, 70)),
        Sample(value=-(1 << 63), dtype=int64, shape=(3,)),
        Sample(value=255, dtype=dtype_named("u8"), shape=(0, 3)),
        Sample(value=True, dtype=boolean, shape=(4,)),
    )

    def type(self, *types: TensorType, value: float, dtype: DType, shape: Shape) -> TensorType:
        """The dtype and shape asked for; the number must fit the dtype."""
        check_count(self, types, 0)
        check_dtype(self, types, dtype)
        check_shape(self, types, shape)
        if not isinstance(value, bool | int | float):
            raise refused(ArgumentError, self, types, f"{value!r} is no number")
        if dtype.kind != "f" and isinstance(value, float):
            raise refused(DTypeError, self, types, f"{value!r} is no {dtype}")
        if dtype.is_integer:
            info = np.iinfo(dtype.numpy.str)
            if not int(info.min) <= value <= int(info.max):
                raise refused(DTypeError, self, types, f"{value} does not fit {dtype}")
        elif dtype is boolean and value not in (0, 1):
            raise refused(DTypeError, self, types, f"{value} is no bool")
        elif abs(value) > 1e308 and isinstance(value, int):
            raise refused(DTypeError, self, types, f"{value} does not fit {dtype}")
        return TensorType(dtype, shape)

    def reference(self, *, value: float, dtype: DType, shape: tuple[int, ...]) -> Array:
        """NumPy's full; a short float is made of f32."""
        with np.errstate(all="ignore"):
            if dtype.is_half:
                return np.full(shape, np.float32(value).astype(dtype.numpy))
            return np.full(shape, value, dtype.numpy)

    def element(
        self, index: tuple[Position, ...], *, value: float, dtype: DType, shape: Shape
    ) -> Expr:
        """The number."""
        return number(value, dtype)


class Constant(_Created):
    """An array that is part of the program: `constant(value=Literal(array))`."""

    name, exact = "constant", "fiub"
    samples = (
        Sample(value=Literal(np.arange(6, dtype=np.float32).reshape(2, 3))),
        Sample(value=Literal(np.array(-1.5))),
        Sample(value=Literal(np.array([np.nan, -0.0, np.inf], np.float32))),
        Sample(value=Literal(np.zeros((0, 3), np.int64))),
        Sample(value=Literal(np.array([True, False, True]))),
    )

    def type(self, *types: TensorType, value: Literal) -> TensorType:
        """The array's type."""
        check_count(self, types, 0)
        if not isinstance(value, Literal):
            raise refused(ArgumentError, self, types, f"value is {value!r}, not an array")
        return TensorType(dtype_of(value.array.dtype), value.array.shape)

    def reference(self, *, value: Literal) -> Array:
        """The array."""
        return value.array

    def element(self, index: tuple[Position, ...], *, value: Literal) -> Expr:
        """The number when there is only one; an array needs memory."""
        if value.array.size != 1:
            raise Unfusable("constant: an array of several elements lies in memory")
        return number(value.array.item(), dtype_of(value.array.dtype))


class Iota(_Created):
    """0, 1, 2, ... along an axis: `iota(dtype=i64, shape=(n, 3), axis=0)`."""

    name, exact = "iota", "fiu"
    samples = (
        Sample(dtype=int64, shape=(7,), axis=0),
        Sample(dtype=dtype_named("f32"), shape=(3, 70), axis=1),
        Sample(dtype=dtype_named("f64"), shape=(3, 5, 2), axis=0),
        Sample(dtype=int32, shape=(0, 2), axis=1),
    )

    def type(self, *types: TensorType, dtype: DType, shape: Shape, axis: int) -> TensorType:
        """The dtype and shape asked for."""
        check_count(self, types, 0)
        check_dtype(self, types, dtype)
        check_shape(self, types, shape)
        if dtype is boolean:
            raise refused(DTypeError, self, types, "bool does not count")
        check_axis(self, types, axis, len(shape))
        return TensorType(dtype, shape)

    def reference(self, *, dtype: DType, shape: tuple[int, ...], axis: int) -> Array:
        """A broadcast range."""
        line = np.arange(shape[axis])
        if dtype.is_half:
            line = line.astype(np.float32)
        line = line.astype(dtype.numpy)
        spread = line.reshape([-1 if k == axis else 1 for k in range(len(shape))])
        return np.array(np.broadcast_to(spread, shape))

    def element(
        self, index: tuple[Position, ...], *, dtype: DType, shape: Shape, axis: int
    ) -> Expr:
        """The position."""
        return cast(as_expr(index[axis]), dtype)


class SizeOf(_Created):
    """The value of a size as data: `size(value=n*4)` is an i64[]."""

    name, exact = "size", "i"
    samples = (Sample(value=7), Sample(value=0))

    def type(self, *types: TensorType, value: Size) -> TensorType:
        """An i64 scalar."""
        check_count(self, types, 0)
        if isinstance(value, bool) or not isinstance(value, int | Dim):
            raise refused(ArgumentError, self, types, f"{value!r} is no size")
        return TensorType(int64, ())

    def reference(self, *, value: int) -> Array:
        """The number."""
        return np.array(value, np.int64)

    def element(self, index: tuple[Position, ...], *, value: Size) -> Expr:
        """The number."""
        return Index(value)


def as_expr(position: Position) -> Expr:
    """A position as an i64 expression."""
    return Index(position) if isinstance(position, int | Dim) else position


def philox(seed: int, draw: int, count: int, word: int) -> Array:
    """Word 0 to 3 of Philox4x32-10 for the elements 0 to count - 1, as u32 (Salmon et al.,
    "Parallel random numbers: as easy as 1, 2, 3", SC 2011). The key is the two halves of `seed`,
    the counter (element, draw), low halves first."""
    mask, shift = np.uint64(0xFFFFFFFF), np.uint64(32)
    element = np.arange(count, dtype=np.uint64)
    other = np.full(count, draw & 0xFFFFFFFFFFFFFFFF, np.uint64)
    c0, c1, c2, c3 = element & mask, element >> shift, other & mask, other >> shift
    k0, k1 = seed & 0xFFFFFFFF, (seed >> 32) & 0xFFFFFFFF
    for _ in range(10):
        p, q = np.uint64(0xD2511F53) * c0, np.uint64(0xCD9E8D57) * c2
        c0, c1, c2, c3 = (
            (q >> shift) ^ c1 ^ np.uint64(k0), q & mask, (p >> shift) ^ c3 ^ np.uint64(k1), p & mask
        )  # fmt: skip
        k0, k1 = (k0 + 0x9E3779B9) & 0xFFFFFFFF, (k1 + 0xBB67AE85) & 0xFFFFFFFF
    return (c0, c1, c2, c3)[word].astype(np.uint32)


class RandomBits(_Created):
    """Uniform u32 words: element i is a word of Philox4x32-10 of (seed i64[], draw i64[], i), i
    counting row by row."""

    name, exact = "random_bits", "u"
    flat = True  # eager kernels serve every shape as one row
    samples = tuple(
        Sample(np.array(seed, np.int64), np.array(draw, np.int64), shape=shape, word=word)
        for seed, draw, shape, word in (
            (0, 0, (7,), 0),
            (-1, 5, (3, 70), 1),
            (1 << 40, 1 << 33, (), 2),
            (12, -3, (0, 4), 3),
        )
    )

    def type(self, *types: TensorType, shape: Shape, word: int) -> TensorType:
        """u32 of the shape asked for."""
        check_count(self, types, 2)
        for name, given in zip(("seed", "draw"), types, strict=True):
            if given.dtype is not int64:
                raise refused(DTypeError, self, types, f"the {name} is {given.dtype}, not i64")
            if given.shape:
                raise refused(ShapeError, self, types, f"the {name} is not 0-dimensional")
        check_shape(self, types, shape)
        if not isinstance(word, int) or not 0 <= word < 4:
            raise refused(ArgumentError, self, types, f"the word {word!r} is none of 0, 1, 2, 3")
        return TensorType(uint32, shape)

    def reference(self, seed: Array, draw: Array, *, shape: tuple[int, ...], word: int) -> Array:
        """Philox in NumPy."""
        count = int(np.prod(shape, dtype=np.int64))
        return philox(int(seed), int(draw), count, word).reshape(shape)

    def element(
        self, index: tuple[Position, ...], seed: Operand, draw: Operand, *, shape: Shape, word: int
    ) -> Expr:
        """The prelude's Philox at the flat position."""
        flat: Size = 0
        for position, size in zip(index, shape, strict=True):
            if not isinstance(position, int | Dim):
                raise Unfusable("random_bits: a position that is data has no flat position")
            flat = flat * size + position
        return call("philox", seed(), draw(), Index(flat), number(word, int32), dtype=uint32)
