"""Ops that read or replace a part of a tensor at a place that is data: `dynamic_slice`,
`dynamic_update_slice`, `scatter` and `scatter_join`.

A box's start is moved into range, so that the whole box fits: reading and writing one can't fail.
The scatters check their index. The ops that replace keep the rest of operand 0; where its memory is
needed by nobody else they write to it, and touch only what changes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar, Final

import numpy as np

from intaglio.compiler.dims import Shape, holds, same_shape
from intaglio.compiler.dtypes import int32, int64
from intaglio.compiler.errors import ArgumentError, DTypeError, ShapeError
from intaglio.compiler.loop import Expr, Index, Operand, Position, call, cast
from intaglio.compiler.op import Array, Op, Ops, Sample, V
from intaglio.compiler.ops import (  # noqa: F401  # the derivatives use their ops
    compare,
    create,
    elementwise,
)
from intaglio.compiler.ops.create import as_expr
from intaglio.compiler.ops.index import check_off_axis, check_range
from intaglio.compiler.ops.rules import (
    check_axis,
    check_count,
    check_kind,
    check_per_axis,
    refused,
)
from intaglio.compiler.types import TensorType


def _check_start(op: Op, types: Sequence[TensorType], start: TensorType) -> None:
    if start.dtype not in (int64, int32) or not same_shape(start.shape, (types[0].rank,)):
        rule = f"the start is {start}, not i64[{types[0].rank}]: one position per dim"
        raise refused(ShapeError, op, types, rule)


def clamped(start: Operand, k: int, room: Any) -> Position:
    """Where a box begins along dim k, moved into range."""
    if room == 0:
        return 0
    at = cast(start(k), int64)
    low = call("maximum", at, Index(0))
    return call("minimum", low, Index(room))


def _starts(start: Array, shape: Sequence[int], sizes: Sequence[int]) -> list[int]:
    room = np.asarray(shape, np.int64) - np.asarray(sizes, np.int64)
    return [int(a) for a in np.minimum(np.maximum(start, 0), room)]


def _box(start: Array, shape: Sequence[int], sizes: Sequence[int]) -> tuple[slice, ...]:
    places = _starts(start, shape, sizes)
    return tuple(slice(a, a + n) for a, n in zip(places, sizes, strict=True))


class DynamicSlice(Op):
    """The box of `sizes` that begins at `start` (one position per dim, moved into range)."""

    name, exact = "dynamic_slice", "fiub"
    samples = (
        Sample("f64[5,6]", np.array([1, 2]), sizes=(2, 3)),
        Sample("f32[4,70]", np.array([3, -7]), sizes=(2, 70)),
        Sample("f32[2,90]", np.array([0, 80], np.int32), sizes=(1, 66)),
        Sample("i64[7]", np.array([99]), sizes=(3,)),
        Sample("bool[7]", np.array([2]), sizes=(7,)),
        Sample("f64[]", np.zeros((0,), np.int64), sizes=()),
        Sample("f32[3,2]", np.array([1, 1]), sizes=(0, 2)),
    )

    def moves(self, **attributes: Any) -> bool:
        """Elements move."""
        return True

    def type(self, *types: TensorType, sizes: Shape) -> TensorType:
        """The operand's dtype in the box's shape."""
        check_count(self, types, 2)
        check_per_axis(self, types, sizes=sizes)
        _check_start(self, types, types[1])
        for size, whole in zip(sizes, types[0].shape, strict=True):
            if not holds(0, "<=", size) or not holds(size, "<=", whole):
                raise refused(ShapeError, self, types, f"a box of {sizes} does not fit in it")
        return types[0].with_shape(*sizes)

    def reference(self, x: Array, start: Array, *, sizes: Sequence[int]) -> Array:
        """NumPy's slicing."""
        return np.array(x[_box(start, x.shape, sizes)])

    def vjp(
        self,
        g: Ops[V],
        dys: Sequence[V | None],
        ys: Sequence[V],
        xs: Sequence[V],
        needs: Sequence[bool],
        *,
        sizes: Shape,
    ) -> Sequence[V | None]:
        """dy put into zeros."""
        type = g.type_of(xs[0])
        if dys[0] is None or not type.dtype.is_floating_point:
            return [None, None]
        zeros = g.full(0.0, type.dtype, type.shape)
        return [g.dynamic_update_slice(zeros, dys[0], xs[1]), None]

    def jvp(
        self, g: Ops[V], dxs: Sequence[V | None], xs: Sequence[V], ys: Sequence[V], *, sizes: Shape
    ) -> Sequence[V | None]:
        """The same box of the tangent."""
        return [None if dxs[0] is None else g.dynamic_slice(dxs[0], xs[1], sizes=sizes)]

    def element(
        self, position: tuple[Position, ...], x: Operand, start: Operand, *, sizes: Shape
    ) -> Expr:
        """x at the start plus the position."""
        place: list[Position] = []
        for k, (i, size) in enumerate(zip(position, sizes, strict=True)):
            first = clamped(start, k, x.type.shape[k] - size)
            moved = i if isinstance(first, int) else first if i == 0 else None
            place.append(call("add", as_expr(first), as_expr(i)) if moved is None else moved)
        return x(*place)


class DynamicUpdateSlice(Op):
    """x with the box that begins at `start` (moved into range) replaced by `update`."""

    name, exact = "dynamic_update_slice", "fiub"
    kernel: ClassVar[str] = "update_box"
    updates_operand = True
    samples = (
        Sample("f64[5,6]", "f64[2,3]", np.array([1, 2])),
        Sample("f32[4,70]", "f32[2,70]", np.array([3, -7])),
        Sample("f32[2,90]", "f32[1,66]", np.array([0, 80], np.int32)),
        Sample("i64[7]", "i64[3]", np.array([99])),
        Sample("bool[7]", "bool[7]", np.array([2])),
        Sample("f64[]", "f64[]", np.zeros((0,), np.int64)),
        Sample("f32[3,2]", "f32[0,2]", np.array([1, 1])),
    )

    def moves(self, **attributes: Any) -> bool:
        """Elements move."""
        return True

    def type(self, *types: TensorType) -> TensorType:
        """The operand's type."""
        check_count(self, types, 3)
        x, update, start = types
        if update.dtype is not x.dtype:
            raise refused(DTypeError, self, types, "the update has another dtype")
        _check_start(self, types, start)
        if update.rank != x.rank or not all(
            holds(a, "<=", b) for a, b in zip(update.shape, x.shape, strict=True)
        ):
            raise refused(ShapeError, self, types, "the update does not fit in the operand")
        return x

    def reference(self, x: Array, update: Array, start: Array) -> Array:
        """A copy, assigned to."""
        made = np.array(x, order="C")
        made[_box(start, x.shape, update.shape)] = update
        return made

    def vjp(
        self,
        g: Ops[V],
        dys: Sequence[V | None],
        ys: Sequence[V],
        xs: Sequence[V],
        needs: Sequence[bool],
    ) -> Sequence[V | None]:
        """dy with zeros in the box; the box of dy."""
        dy, type = dys[0], g.type_of(xs[1])
        if dy is None or not type.dtype.is_floating_point:
            return [None, None, None]
        zeros = g.full(0.0, type.dtype, type.shape)
        dx = g.dynamic_update_slice(dy, zeros, xs[2]) if needs[0] else None
        du = g.dynamic_slice(dy, xs[2], sizes=type.shape) if needs[1] else None
        return [dx, du, None]

    def jvp(
        self, g: Ops[V], dxs: Sequence[V | None], xs: Sequence[V], ys: Sequence[V]
    ) -> Sequence[V | None]:
        """The update's tangent in the operand's."""
        dx, du, _ = dxs
        if dx is None and du is None:
            return [None]
        types = [g.type_of(x) for x in xs[:2]]
        dx, du = (
            g.full(0.0, t.dtype, t.shape) if d is None else d
            for d, t in zip((dx, du), types, strict=True)
        )
        return [g.dynamic_update_slice(dx, du, xs[2])]


JOINS: Final = ("max", "min", "prod")
_GRID = np.array([[0, 3], [1, 1], [2, 0]])
_ROWS = np.arange(201).reshape(3, 67) % 5
_FEW = np.array([2, 0, 0, 1, 2])


class _Scattering(Op):
    """Base: operands are x, an index along `axis`, and a source of the index's shape; x and the
    index agree off the axis. Row by row in the order of the index, as `scatter_add`."""

    kernel: ClassVar[str] = "scatter"
    checks, updates_operand = True, True

    def check(self, types: Sequence[TensorType], axis: Any) -> TensorType:
        """Refuse operands that do not fit; x's type."""
        check_count(self, types, 3)
        check_axis(self, types, axis, types[0].rank)
        if types[1].dtype not in (int64, int32):
            raise refused(DTypeError, self, types, f"the index is {types[1].dtype}, not i64 or i32")
        if types[2].dtype is not types[0].dtype:
            raise refused(DTypeError, self, types, "the source has another dtype")
        check_off_axis(self, types, axis)
        if not same_shape(types[1].shape, types[2].shape):
            raise refused(ShapeError, self, types, "the index and the source differ in shape")
        return types[0]

    def bounds_checks(self, *types: TensorType, axis: int, **rest: Any) -> Any:
        """The index lies in 0 <= i < the axis's size."""
        return ((1, types[0].shape[axis]),)

    def places(self, x: Array, index: Array, axis: int) -> tuple[Array, ...]:
        """For each element of the source its place in x."""
        check_range(self, index, x.shape[axis])
        place: list[Array] = list(np.indices(index.shape, sparse=True))
        place[axis] = index
        return tuple(place)

    def vjp(
        self,
        g: Ops[V],
        dys: Sequence[V | None],
        ys: Sequence[V],
        xs: Sequence[V],
        needs: Sequence[bool],
        *,
        axis: int,
        kind: str = "set",
    ) -> Sequence[V | None]:
        """dy to what made the element: the last that was set, evenly to equal extremes, to each
        factor times the others."""
        if dys[0] is None or not g.type_of(xs[0]).dtype.is_floating_point:
            return [None, None, None]
        rule = {"set": _set_vjp, "prod": _product_vjp}.get(kind, _extreme_vjp)
        dx, ds = rule(g, dys[0], ys[0], xs, axis)
        return [dx if needs[0] else None, None, ds if needs[2] else None]


class Scatter(_Scattering):
    """x with each element of `source` set at its index along `axis`; of several the last one
    stays."""

    name, exact = "scatter", "fiub"
    samples = (
        Sample("f64[3,4]", _GRID, "f64[3,2]", axis=1),
        Sample("f32[5,67]", _ROWS, "f32[3,67]", axis=0),
        Sample("i64[3]", _FEW, "i64[5]", axis=0),
        Sample("f64[3,2]", np.array([[0, 2], [1, 1]], np.int32), "f64[2,2]", axis=0),
        Sample("bool[3]", np.array([2, 2]), "bool[2]", axis=0),
        Sample("f32[3,2]", np.zeros((0, 2), np.int64), "f32[0,2]", axis=0),
    )

    def moves(self, **attributes: Any) -> bool:
        """Elements move."""
        return True

    def type(self, *types: TensorType, axis: int) -> TensorType:
        """x's type."""
        return self.check(types, axis)

    def reference(self, x: Array, index: Array, source: Array, *, axis: int) -> Array:
        """By flat positions, which NumPy assigns one after the other."""
        place = self.places(x, index, axis)
        made = np.array(x, order="C")
        if source.size:
            flat = np.ravel_multi_index(np.broadcast_arrays(*place), x.shape)
            made.reshape(-1)[flat.reshape(-1)] = source.reshape(-1)
        return made


class ScatterJoin(_Scattering):
    """x with each element of `source` joined by `kind` to what is at its index along `axis`: the
    maximum, the minimum (NaN wins) or the product."""

    name, exact = "scatter_join", "iu"
    samples = (
        *(Sample("f64[3,4]", _GRID, "f64[3,2]", axis=1, kind=k) for k in JOINS),
        *(Sample("f32[5,67]", _ROWS, "f32[3,67]", axis=0, kind=k) for k in JOINS),
        *(Sample("i64[3]", _FEW, "i64[5]", axis=0, kind=k) for k in JOINS),
    )

    def type(self, *types: TensorType, axis: int, kind: str) -> TensorType:
        """x's type."""
        if kind not in JOINS:
            raise refused(ArgumentError, self, types, f"kind is {kind!r}, none of {JOINS}")
        check_kind(self, types[:1], "fiu")
        return self.check(types, axis)

    def reference(self, x: Array, index: Array, source: Array, *, axis: int, kind: str) -> Array:
        """NumPy's ufunc.at, which goes in order."""
        made, place = np.array(x), self.places(x, index, axis)
        join = {"max": np.maximum, "min": np.minimum, "prod": np.multiply}[kind]
        with np.errstate(all="ignore"):
            join.at(made, place, source)
        return made


def _set_vjp(g: Ops[V], dy: V, y: V, xs: Sequence[V], axis: int) -> tuple[V, V]:
    x, index, source = xs
    type, shape = g.type_of(x), g.type_of(index).shape
    zeros = g.full(0.0, type.dtype, shape)
    dx = g.scatter(dy, index, zeros, axis=axis)
    number = g.iota(dtype=int64, shape=shape, axis=axis)
    nobody = g.full(-1, int64, type.shape)
    last = g.scatter(nobody, index, number, axis=axis)
    stays = g.eq(g.take_along(last, index, axis=axis), number)
    return dx, g.where(stays, g.take_along(dy, index, axis=axis), zeros)


def _extreme_vjp(g: Ops[V], dy: V, y: V, xs: Sequence[V], axis: int) -> tuple[V, V]:
    x, index, source = xs
    type = g.type_of(x)
    mine = g.cast(g.eq(x, y), dtype=type.dtype)
    hit = g.eq(source, g.take_along(y, index, axis=axis))
    theirs = g.cast(hit, dtype=type.dtype)
    count = g.scatter_add(mine, index, theirs, axis=axis)
    share = g.div(dy, g.maximum(count, g.like(1.0, count)))
    return g.mul(mine, share), g.mul(theirs, g.take_along(share, index, axis=axis))


def _product_vjp(g: Ops[V], dy: V, y: V, xs: Sequence[V], axis: int) -> tuple[V, V]:
    """The product of the others: of all factors that are not zero, without this one; zero where
    another one is."""
    x, index, source = xs
    type = g.type_of(x)
    ones = g.full(1.0, type.dtype, type.shape)
    dx = g.mul(dy, g.scatter_join(ones, index, source, axis=axis, kind="prod"))

    def parts(value: V) -> tuple[V, V]:
        zero = g.eq(value, g.like(0.0, value))
        return g.where(zero, g.like(1.0, value), value), g.cast(zero, dtype=type.dtype)

    (x_rest, x_zeros), (rest, zeros) = parts(x), parts(source)
    product = g.scatter_join(x_rest, index, rest, axis=axis, kind="prod")
    count = g.scatter_add(x_zeros, index, zeros, axis=axis)
    others = g.div(g.take_along(product, index, axis=axis), rest)
    more = g.sub(g.take_along(count, index, axis=axis), zeros)
    others = g.where(g.eq(more, g.like(0.0, more)), others, g.like(0.0, others))
    return dx, g.mul(g.take_along(dy, index, axis=axis), others)
