"""Reading and adding at positions that are data. Every index must lie in its axis: kernels check
before they run.

`take` and `index_add`, `take_along` and `scatter_add` are each other's transposes, so that
derivatives of any order stay within the four. The adding ops add in the order of the indices, row
by row.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

import numpy as np

from intaglio.compiler.dims import Shape, Size, holds, same_shape
from intaglio.compiler.dtypes import int32, int64
from intaglio.compiler.errors import DTypeError, IndexError, ShapeError
from intaglio.compiler.loop import Expr, Operand, Position, cast
from intaglio.compiler.op import Array, Op, Ops, Sample, V
from intaglio.compiler.ops.rules import check_axis, check_count, check_kind, refused, without
from intaglio.compiler.types import TensorType


class _Indexing(Op):
    """Base: operand 0 is the tensor, operand 1 holds positions along its `axis`."""

    checks = True
    count: ClassVar[int] = 2

    def check(self, types: Sequence[TensorType], axis: Any) -> None:
        """Refuse wrong counts, index dtypes and axes."""
        check_count(self, types, self.count)
        check_axis(self, types, axis, types[0].rank)
        if types[1].dtype not in (int64, int32):
            raise refused(DTypeError, self, types, f"the index is {types[1].dtype}, not i64 or i32")
        if self.count == 3:
            check_kind(self, types[:1], "fiu")
            if types[2].dtype is not types[0].dtype:
                raise refused(DTypeError, self, types, "what is added has another dtype")

    def bounds_checks(self, *types: TensorType, axis: int) -> tuple[tuple[int, Size], ...]:
        """(operand number, exclusive upper bound) of every operand whose elements must lie in 0 <=
        i < bound."""
        return ((1, types[0].shape[axis]),)


def check_range(op: Op, index: Array, size: int) -> None:
    """Raise `IndexError` unless every index lies in `0 <= i < size`."""
    outside = (index < 0) | (index >= size)
    if outside.any():
        first = int(index[outside].ravel()[0])
        raise IndexError(f"{op.name}: the index {first} is out of range for an axis of size {size}")


def _zeros(g: Ops[V], like: V) -> V:
    type = g.type_of(like)
    return g.full(0.0, type.dtype, type.shape)


_I = np.array([2, 0, 0, 1, 2])
_GRID = np.array([[0, 2], [1, 1], [0, 0]])


def _taken(shape: Shape, index: Shape, axis: int) -> Shape:
    return (*shape[:axis], *index, *shape[axis + 1 :])


class Take(_Indexing):
    """Slices of x at `index` along `axis`, whose place the index's dims take."""

    name, exact = "take", "fiub"
    samples = (
        Sample("f64[3,4]", _I, axis=0),
        Sample("f32[2,3,5]", _I.astype(np.int32), axis=1),
        Sample("f32[3,67]", np.array(1), axis=0),
        Sample("f64[4,3]", _GRID, axis=1),
        Sample("f32[3,2]", np.zeros((0,), np.int64), axis=0),
        Sample("i64[3]", _I, axis=0),
        Sample("bool[3,2]", _I, axis=0),
        Sample("f32[3,0]", _I, axis=0),
    )

    def moves(self, **attributes: Any) -> bool:
        """Elements move."""
        return True

    def type(self, *types: TensorType, axis: int) -> TensorType:
        """x's shape with the index's in place of the axis."""
        self.check(types, axis)
        return types[0].with_shape(*_taken(types[0].shape, types[1].shape, axis))

    def reference(self, x: Array, index: Array, *, axis: int) -> Array:
        """NumPy's take."""
        check_range(self, index, x.shape[axis])
        return np.asarray(np.take(x, index, axis=axis))

    def vjp(
        self,
        g: Ops[V],
        dys: Sequence[V | None],
        ys: Sequence[V],
        xs: Sequence[V],
        needs: Sequence[bool],
        *,
        axis: int,
    ) -> Sequence[V | None]:
        """dy's slices added where they came from."""
        if dys[0] is None or not needs[0] or not g.type_of(xs[0]).dtype.is_floating_point:
            return [None, None]
        return [g.index_add(_zeros(g, xs[0]), xs[1], dys[0], axis=axis), None]

    def jvp(
        self, g: Ops[V], dxs: Sequence[V | None], xs: Sequence[V], ys: Sequence[V], *, axis: int
    ) -> Sequence[V | None]:
        """The same slices of the tangent."""
        return [None if dxs[0] is None else g.take(dxs[0], xs[1], axis=axis)]

    def element(
        self, position: tuple[Position, ...], x: Operand, index: Operand, *, axis: int
    ) -> Expr:
        """x at the position that the index holds."""
        middle = position[axis : axis + index.type.rank]
        at = cast(index(*middle), int64)
        return x(*position[:axis], at, *position[axis + index.type.rank :])


class TakeAlong(_Indexing):
    """torch's gather: `y[..i..] = x[..index[..i..]..]`; x and index agree off the axis."""

    name, exact = "take_along", "fiub"
    samples = (
        Sample("f64[3,4]", np.array([[0, 3], [1, 1], [2, 0]]), axis=1),
        Sample("f32[3,2]", np.array([[0, 2], [1, 1], [0, 0], [2, 2]], np.int32), axis=0),
        Sample("f32[3,67]", np.arange(67).reshape(1, 67) % 3, axis=0),
        Sample("i64[3]", _I, axis=0),
        Sample("f32[3,2]", np.zeros((0, 2), np.int64), axis=0),
    )

    def moves(self, **attributes: Any) -> bool:
        """Elements move."""
        return True

    def type(self, *types: TensorType, axis: int) -> TensorType:
        """The index's shape."""
        self.check(types, axis)
        check_off_axis(self, types, axis)
        return types[0].with_shape(*types[1].shape)

    def reference(self, x: Array, index: Array, *, axis: int) -> Array:
        """NumPy's take_along_axis."""
        check_range(self, index, x.shape[axis])
        return np.take_along_axis(x, index.astype(np.int64), axis)

    def vjp(
        self,
        g: Ops[V],
        dys: Sequence[V | None],
        ys: Sequence[V],
        xs: Sequence[V],
        needs: Sequence[bool],
        *,
        axis: int,
    ) -> Sequence[V | None]:
        """dy added where it came from."""
        if dys[0] is None or not needs[0] or not g.type_of(xs[0]).dtype.is_floating_point:
            return [None, None]
        return [g.scatter_add(_zeros(g, xs[0]), xs[1], dys[0], axis=axis), None]

    def jvp(
        self, g: Ops[V], dxs: Sequence[V | None], xs: Sequence[V], ys: Sequence[V], *, axis: int
    ) -> Sequence[V | None]:
        """The same elements of the tangent."""
        return [None if dxs[0] is None else g.take_along(dxs[0], xs[1], axis=axis)]

    def element(
        self, position: tuple[Position, ...], x: Operand, index: Operand, *, axis: int
    ) -> Expr:
        """x at the position that the index holds."""
        at = cast(index(*position), int64)
        return x(*position[:axis], at, *position[axis + 1 :])


def check_off_axis(op: Op, types: Sequence[TensorType], axis: int) -> None:
    """Refuse an index whose sizes off the axis are not the operand's."""
    x, index = types[:2]
    same = zip(without(x.shape, (axis,)), without(index.shape, (axis,)), strict=False)
    if x.rank != index.rank or not all(holds(a, "==", b) for a, b in same):
        raise refused(ShapeError, op, types, f"x and index differ off the axis {axis}")


class _Adding(_Indexing):
    """Base of the two that add `source` into a copy of x; linear in both."""

    exact = "iu"
    count = 3
    updates_operand = True
    gather: ClassVar[str]
    """The op that reads back what was added."""

    def vjp(
        self,
        g: Ops[V],
        dys: Sequence[V | None],
        ys: Sequence[V],
        xs: Sequence[V],
        needs: Sequence[bool],
        *,
        axis: int,
    ) -> Sequence[V | None]:
        """dy, and dy read where the source was added."""
        dy = dys[0]
        if dy is None or not g.type_of(xs[0]).dtype.is_floating_point:
            return [None, None, None]
        back = g.apply(self.gather, (dy, xs[1]), {"axis": axis})[0] if needs[2] else None
        return [dy if needs[0] else None, None, back]

    def jvp(
        self, g: Ops[V], dxs: Sequence[V | None], xs: Sequence[V], ys: Sequence[V], *, axis: int
    ) -> Sequence[V | None]:
        """The source's tangent added into x's."""
        dx, _, ds = dxs
        if ds is None:
            return [dx]
        into = _zeros(g, xs[0]) if dx is None else dx
        return [g.apply(self.name, (into, xs[1], ds), {"axis": axis})[0]]


class IndexAdd(_Adding):
    """x with the slices of `source` added at `index` along `axis`, one after the other: the
    transpose of `take`."""

    name, gather = "index_add", "take"
    kernel: ClassVar[str] = "index_add"
    samples = (
        Sample("f64[3,4]", _I, "f64[5,4]", axis=0),
        Sample("f32[2,3,7]", _I.astype(np.int32), "f32[2,5,7]", axis=1),
        Sample("f64[4,3]", _GRID, "f64[4,3,2]", axis=1),
        Sample("f32[3,2]", np.array(1), "f32[2]", axis=0),
        Sample("f32[3,2]", np.zeros((0,), np.int64), "f32[0,2]", axis=0),
        Sample("i64[3]", _I, "i64[5]", axis=0),
        Sample("f32[9]", np.arange(300) % 9, "f32[300]", axis=0),
    )

    def type(self, *types: TensorType, axis: int) -> TensorType:
        """x's type."""
        self.check(types, axis)
        expected = _taken(types[0].shape, types[1].shape, axis)
        if not same_shape(types[2].shape, expected):
            needed = types[0].with_shape(*expected)
            raise refused(ShapeError, self, types, f"what is added must be {needed}")
        return types[0]

    def reference(self, x: Array, index: Array, source: Array, *, axis: int) -> Array:
        """NumPy's add.at, which goes in order."""
        check_range(self, index, x.shape[axis])
        made = x.copy()
        place: Any = (slice(None),) * axis + (index,)
        with np.errstate(all="ignore"):
            np.add.at(made, place, source)
        return made


class ScatterAdd(_Adding):
    """x with each element of `source` added at its index along `axis`, row by row: the transpose of
    `take_along`."""

    name, gather = "scatter_add", "take_along"
    kernel: ClassVar[str] = "scatter_add"
    samples = (
        Sample("f64[3,4]", np.array([[0, 3], [1, 1], [2, 0]]), "f64[3,2]", axis=1),
        Sample("f32[3,2]", np.array([[0, 2], [1, 1], [0, 0]], np.int32), "f32[3,2]", axis=0),
        Sample("f32[5,67]", np.arange(201).reshape(3, 67) % 5, "f32[3,67]", axis=0),
        Sample("f32[3,2]", np.zeros((0, 2), np.int64), "f32[0,2]", axis=0),
        Sample("i64[3]", _I, "i64[5]", axis=0),
    )

    def type(self, *types: TensorType, axis: int) -> TensorType:
        """x's type."""
        self.check(types, axis)
        check_off_axis(self, types, axis)
        if not same_shape(types[1].shape, types[2].shape):
            raise refused(ShapeError, self, types, "index and what is added differ in shape")
        return types[0]

    def reference(self, x: Array, index: Array, source: Array, *, axis: int) -> Array:
        """NumPy's add.at, which goes in order."""
        check_range(self, index, x.shape[axis])
        made = x.copy()
        place: list[Array] = list(np.indices(index.shape, sparse=True))
        place[axis] = index
        with np.errstate(all="ignore"):
            np.add.at(made, tuple(place), source)
        return made
