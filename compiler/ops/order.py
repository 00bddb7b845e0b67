"""Ops that put elements in order along an axis: `sort` and `topk`.

The order is total: numbers by value (the two zeros are equal), NaN after every number. Equal
elements keep their order in `sort`; of equal elements `topk` takes the first ones. Descending turns
the order of unequal elements only. Values are copied, so that zeros keep their signs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

import numpy as np

from intaglio.compiler.dims import Size, holds
from intaglio.compiler.dtypes import int64
from intaglio.compiler.errors import ArgumentError, ShapeError
from intaglio.compiler.op import Array, Op, Ops, Sample, V
from intaglio.compiler.ops import create, index  # noqa: F401  # the derivatives use their ops
from intaglio.compiler.ops.rules import check_axis, check_count, check_size, refused
from intaglio.compiler.types import TensorType

_TIES = np.array([[3.0, -0.0, np.nan, 1.0, 0.0, 3.0, -np.inf, np.nan, np.inf, 1.0]])
_WILD = np.random.default_rng(7).integers(-40, 40, (2, 300)).astype(np.float32)
_WILD[0, ::17], _WILD[1, ::29] = np.nan, -0.0
_LONG = np.random.default_rng(8).integers(-(1 << 62), 1 << 62, (300,))
_SHORT = np.random.default_rng(9).integers(-9, 9, (4, 5, 3)).astype(np.int8)


def order_of(x: Array, axis: int, descending: bool) -> Array:
    """The positions of the elements in order along an axis, stable."""
    if not descending:
        return np.asarray(np.argsort(x, axis, kind="stable"))
    turned = np.argsort(np.flip(x, axis), axis, kind="stable")
    return np.ascontiguousarray(x.shape[axis] - 1 - np.flip(turned, axis))


class _Ordering(Op):
    """Base: results are values, and their positions along `axis` (i64)."""

    exact = "b"
    kernel: ClassVar[str] = "order"

    def vjp(
        self,
        g: Ops[V],
        dys: Sequence[V | None],
        ys: Sequence[V],
        xs: Sequence[V],
        needs: Sequence[bool],
        **attributes: Any,
    ) -> Sequence[V | None]:
        """dy put back where the values came from."""
        type = g.type_of(xs[0])
        if dys[0] is None or not type.dtype.is_floating_point:
            return [None]
        zeros = g.full(0.0, type.dtype, type.shape)
        return [g.scatter_add(zeros, ys[1], dys[0], axis=attributes["axis"])]

    def jvp(
        self,
        g: Ops[V],
        dxs: Sequence[V | None],
        xs: Sequence[V],
        ys: Sequence[V],
        **attributes: Any,
    ) -> Sequence[V | None]:
        """The tangent's elements at the same positions."""
        made = None if dxs[0] is None else g.take_along(dxs[0], ys[1], axis=attributes["axis"])
        return [made, None]


class Sort(_Ordering):
    """All elements of each row along `axis` in order, equal ones in the order they had."""

    name = "sort"
    samples = (
        Sample("f64[3,5]", axis=1, descending=False),
        Sample("f64[4,3]", axis=0, descending=True),
        Sample("f32[2,9,3]", axis=1, descending=False),
        Sample(_TIES, axis=1, descending=False, derivative=False),
        Sample(_TIES.astype(np.float32), axis=1, descending=True, derivative=False),
        Sample(_WILD, axis=1, descending=False),
        Sample(_WILD.astype(np.float64), axis=1, descending=True, derivative=False),
        Sample("f32[20000]", axis=0, descending=False),
        Sample(_LONG, axis=0, descending=True),
        Sample("i32[3,70]", range=(-9.0, 9.0), axis=1, descending=True),
        Sample(_SHORT, axis=1, descending=False),
        Sample("u8[90]", range=(0.0, 9.0), axis=0, descending=True),
        Sample("bool[5,7]", axis=0, descending=True),
        Sample("f32[3,1]", axis=1, descending=False),
        Sample("f32[0,3]", axis=0, descending=False),
    )

    def type(
        self, *types: TensorType, axis: int, descending: bool
    ) -> tuple[TensorType, TensorType]:
        """The operand's type, and its shape in i64."""
        check_count(self, types, 1)
        check_axis(self, types, axis, types[0].rank)
        if not isinstance(descending, bool):
            raise refused(ArgumentError, self, types, f"descending is {descending!r}, not a bool")
        return types[0], TensorType(int64, types[0].shape)

    def reference(self, x: Array, *, axis: int, descending: bool) -> tuple[Array, Array]:
        """NumPy's stable argsort."""
        order = order_of(x, axis, descending)
        return np.take_along_axis(x, order, axis), order


class TopK(_Ordering):
    """The `k` largest (or smallest) elements of each row along `axis`, in order, the best first."""

    name = "topk"
    samples = (
        Sample("f64[3,5]", k=2, axis=1, largest=True),
        Sample("f64[4,3]", k=4, axis=0, largest=False),
        Sample(_TIES, k=4, axis=1, largest=True, derivative=False),
        Sample(_TIES.astype(np.float32), k=7, axis=1, largest=False, derivative=False),
        Sample(_WILD, k=20, axis=1, largest=True),
        Sample(_WILD.astype(np.float64), k=270, axis=1, largest=False, derivative=False),
        Sample("f32[2,400,2]", k=300, axis=1, largest=True),
        Sample(_LONG, k=3, axis=0, largest=False),
        Sample(_SHORT, k=2, axis=1, largest=True),
        Sample("bool[9]", k=5, axis=0, largest=True),
        Sample("f32[3,4]", k=0, axis=1, largest=True),
    )

    def type(
        self, *types: TensorType, k: Size, axis: int, largest: bool
    ) -> tuple[TensorType, TensorType]:
        """The operand's type with `k` along the axis, and this shape in i64."""
        check_count(self, types, 1)
        check_axis(self, types, axis, types[0].rank)
        check_size(self, types, "k", k)
        if not isinstance(largest, bool):
            raise refused(ArgumentError, self, types, f"largest is {largest!r}, not a bool")
        shape = types[0].shape
        if not holds(0, "<=", k) or not holds(k, "<=", shape[axis]):
            raise refused(ShapeError, self, types, f"there are no {k} elements along axis {axis}")
        made = types[0].with_shape(*shape[:axis], k, *shape[axis + 1 :])
        return made, TensorType(int64, made.shape)

    def reference(self, x: Array, *, k: int, axis: int, largest: bool) -> tuple[Array, Array]:
        """The beginning of the sorted row."""
        order = order_of(x, axis, largest)
        first = np.ascontiguousarray(np.take(order, np.arange(k), axis))
        return np.take_along_axis(x, first, axis), first
