"""Ops that join elements along axes. The order of joining is the kernels' (architecture: chunks and
a fixed tree), so that sums and products of floats are never folded; the references compute them in
f64."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

import numpy as np

from intaglio.compiler.dims import Shape, product
from intaglio.compiler.dtypes import int64
from intaglio.compiler.op import Array, Builder, Op, Ops, Sample, V
from intaglio.compiler.ops.rules import (
    check_axes,
    check_axis,
    check_count,
    check_kind,
    check_not_empty,
    kept_axes,
    without,
)
from intaglio.compiler.types import TensorType


def reduction_samples(*texts: str, span: tuple[float, float] = (-2.0, 2.0)) -> tuple[Sample, ...]:
    """Samples over no, some and all axes, short and longer than a chunk."""
    made = []
    for text in texts:
        for shape, axes in (
            ("3,4", (1,)), ("3,4", (0,)), ("2,3,5", (0, 2)), ("2,3,5", (1, 2)), ("67", (0,)),
            ("130,3", (0,)), ("3,4", ()), ("", ()), ("1", (0,)), ("2,1,3", (1,)),
        ):  # fmt: skip
            made.append(Sample(f"{text}[{shape}]", range=span, axes=axes))
    return tuple(made)


class Reduction(Op):
    """Base: joins over `axes` (ascending), which leave the shape.

    `reduction` tells the scheduler the kind of join and the axes, so that it builds kernels without
    looking inside.
    """

    kinds: ClassVar[str] = "fiu"
    exact: ClassVar[str] = "iu"
    identity: ClassVar[bool] = True
    """Whether joining no elements has a value."""
    ufunc: ClassVar[Any]

    def type(self, *types: TensorType, axes: tuple[int, ...]) -> TensorType:
        """The shape without the axes."""
        check_count(self, types, 1)
        check_kind(self, types, self.kinds)
        check_axes(self, types, axes, types[0].rank)
        if not self.identity:
            check_not_empty(self, types, axes)
        return types[0].with_shape(*without(types[0].shape, axes))

    def reference(self, x: Array, *, axes: tuple[int, ...]) -> Array:
        """NumPy's reduction, floats in f64."""
        wide = np.dtype(np.float64) if x.dtype.kind == "f" and self.identity else x.dtype
        with np.errstate(all="ignore"):
            joined = type(self).ufunc.reduce(x.astype(wide, copy=False), axis=axes, dtype=wide)
            return np.asarray(joined).astype(x.dtype, copy=False)

    def reduction(self, *, axes: tuple[int, ...]) -> tuple[str, tuple[int, ...]]:
        """The kind of join and the axes."""
        return self.name, axes

    def simplify(self, g: Any, xs: Sequence[Any], node: Any) -> Any:
        """A reduction over no axes is nothing."""
        return None if node.attributes["axes"] else xs[0]


def spread(g: Ops[V], value: V, shape: Shape, axes: tuple[int, ...]) -> V:
    """A reduction's result repeated over the reduced axes."""
    if not axes:
        return value
    made: V = g.expand(value, shape=shape, axes=kept_axes(len(shape), axes))
    return made


class Sum(Reduction):
    """The sum; integers wrap in their dtype; 0 of nothing."""

    name, ufunc = "sum", np.add
    samples = (
        *reduction_samples("f64", "f32", "i64"),
        Sample("f32[0,3]", axes=(0,)),
        Sample("f64[3,0]", axes=(0,)),
        Sample("f32[2,5000]", axes=(1,)),
        Sample("i32[7]", axes=(0,)),
        Sample("u8[300]", range=(0, 7), axes=(0,)),
        Sample(np.array([[1.0, np.inf, -np.inf], [np.nan, 1, 2]]), axes=(1,), derivative=False),
    )

    def vjp(
        self,
        g: Ops[V],
        dys: Sequence[V | None],
        ys: Sequence[V],
        xs: Sequence[V],
        needs: Sequence[bool],
        *,
        axes: tuple[int, ...],
    ) -> Sequence[V | None]:
        """dy repeated."""
        type = g.type_of(xs[0])
        if dys[0] is None or not type.dtype.is_floating_point:
            return [None]
        return [spread(g, dys[0], type.shape, axes)]

    def jvp(
        self,
        g: Ops[V],
        dxs: Sequence[V | None],
        xs: Sequence[V],
        ys: Sequence[V],
        *,
        axes: tuple[int, ...],
    ) -> Sequence[V | None]:
        """The tangent's sum."""
        return [None if dxs[0] is None else g.sum(dxs[0], axes=axes)]


class Prod(Reduction):
    """The product; integers wrap in their dtype; 1 of nothing."""

    name, ufunc = "prod", np.multiply
    samples = (
        *reduction_samples("f64", "f32", span=(0.5, 1.5)),
        *reduction_samples("i64"),
        Sample("f32[0,3]", axes=(0,)),
        Sample(np.array([[0.0, 2.0, 3.0], [0.0, 0.0, 5.0], [1.0, 2.0, -3.0]]), axes=(1,)),
        Sample(np.array([[0.0, 2.0, 3.0], [0.0, 0.0, 5.0]]), axes=(0, 1)),
    )

    def vjp(
        self,
        g: Ops[V],
        dys: Sequence[V | None],
        ys: Sequence[V],
        xs: Sequence[V],
        needs: Sequence[bool],
        *,
        axes: tuple[int, ...],
    ) -> Sequence[V | None]:
        """dy times the product of the others: of those before (a scan) and of those after (a scan
        in reverse). Unlike y / x this is right at zeros, in every order."""
        type = g.type_of(xs[0])
        if dys[0] is None or not type.dtype.is_floating_point:
            return [None]
        kept = kept_axes(type.rank, axes)
        order = (*axes, *kept)
        count, rest = (
            product(tuple(type.shape[a] for a in axes)),
            tuple(type.shape[a] for a in kept),
        )
        flat = g.reshape(g.permute(xs[0], axes=order), shape=(count, *rest))
        step, one = _running_product(type.with_shape(*rest)), g.full(1.0, type.dtype, rest)
        before, after = (
            g.scan(one, flat, body=step, carries=1, xs=1, length=count, reverse=reverse)[1]
            for reverse in (False, True)
        )
        others = g.reshape(g.mul(before, after), shape=tuple(type.shape[a] for a in order))
        back = tuple(order.index(k) for k in range(type.rank))
        return [g.mul(spread(g, dys[0], type.shape, axes), g.permute(others, axes=back))]


def _running_product(type: TensorType) -> Any:
    """The scan body that carries a product and emits it before each factor."""
    b = Builder()
    carry, x = b.input(type), b.input(type)
    return b.graph([b.mul(carry, x), carry])


class _Extremum(Reduction):
    """Base of max and min: NaN if any element is; the derivative is split evenly between equal
    extremes, as torch's amax does."""

    identity, exact = False, "fiu"

    def vjp(
        self,
        g: Ops[V],
        dys: Sequence[V | None],
        ys: Sequence[V],
        xs: Sequence[V],
        needs: Sequence[bool],
        *,
        axes: tuple[int, ...],
    ) -> Sequence[V | None]:
        """dy over the number of extremes at each of them."""
        type = g.type_of(xs[0])
        if dys[0] is None or not type.dtype.is_floating_point:
            return [None]
        hit = g.eq(xs[0], spread(g, ys[0], type.shape, axes))
        share = g.div(dys[0], g.sum(g.cast(hit, dtype=type.dtype), axes=axes))
        return [g.where(hit, spread(g, share, type.shape, axes), g.like(0.0, xs[0]))]


_NAN_ROWS = np.array([[1.0, np.nan, 2.0], [np.inf, -np.inf, 0.0], [-0.0, 0.0, -0.0]], np.float32)


class Max(_Extremum):
    """The largest element; +0 is larger than -0."""

    name = "max"
    samples = (
        *reduction_samples("f64", "f32", "i64"),
        Sample("f32[2,5000]", axes=(1,)),
        Sample("f32[3,0]", axes=(0,)),
        Sample("i8[9]", range=(-100, 100), axes=(0,)),
        Sample(np.array([[1.0, 3.0, 3.0], [2.0, 2.0, 2.0]]), axes=(1,), derivative=False),
        Sample(_NAN_ROWS, axes=(1,), derivative=False),
    )

    def reference(self, x: Array, *, axes: tuple[int, ...]) -> Array:
        """NumPy's max, with the zeros ordered."""
        return _extremum(np.maximum, np.logical_and, x, axes)


class Min(_Extremum):
    """The smallest element; -0 is smaller than +0."""

    name = "min"
    samples = Max.samples

    def reference(self, x: Array, *, axes: tuple[int, ...]) -> Array:
        """NumPy's min, with the zeros ordered."""
        return _extremum(np.minimum, np.logical_or, x, axes)


def _extremum(ufunc: Any, sign: Any, x: Array, axes: tuple[int, ...]) -> Array:
    with np.errstate(all="ignore"):
        made = np.asarray(ufunc.reduce(x, axis=axes), x.dtype)
    if x.dtype.kind != "f" or made.all():  # no result is a zero
        return made
    negative = np.signbit(x) & (x == 0)
    at_zero = np.asarray(sign.reduce(negative | ((x != 0) & (sign is np.logical_and)), axis=axes))
    zero = np.where(at_zero, np.array(-0.0, x.dtype), np.array(0.0, x.dtype))
    return np.asarray(np.where(made == 0, zero, made), x.dtype)


class Any_(Reduction):
    """Whether any element is true; false of nothing."""

    name, kinds, exact, ufunc = "any", "b", "b", np.logical_or
    samples = (*reduction_samples("bool"), Sample("bool[0,3]", axes=(0,)))


class All(Reduction):
    """Whether all elements are true; true of nothing."""

    name, kinds, exact, ufunc = "all", "b", "b", np.logical_and
    samples = (*reduction_samples("bool"), Sample("bool[0,3]", axes=(0,)))


class _Position(Op):
    """Base of argmax and argmin: the i64 position along `axis` of the first extreme; the first NaN
    if there is any."""

    exact = "fiu"
    find: ClassVar[Any]
    samples = (
        Sample("f64[3,4]", axis=1),
        Sample("f32[3,70]", axis=0),
        Sample("f32[2,3,5]", axis=1),
        Sample("f32[5000]", axis=0),
        Sample("i64[7]", axis=0),
        Sample("f32[1]", axis=0),
        Sample("f32[3,0]", axis=0),
        Sample(np.array([[1.0, 3.0, 3.0], [2.0, np.nan, np.nan], [-0.0, 0.0, 0.0]]), axis=1),
    )

    def type(self, *types: TensorType, axis: int) -> TensorType:
        """i64 of the shape without the axis."""
        check_count(self, types, 1)
        check_kind(self, types, "fiu")
        check_axis(self, types, axis, types[0].rank)
        check_not_empty(self, types, (axis,))
        return TensorType(int64, without(types[0].shape, (axis,)))

    def reference(self, x: Array, *, axis: int) -> Array:
        """NumPy's."""
        return np.asarray(type(self).find(x, axis=axis), np.int64)

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
        """A position has no derivative."""
        return [None]

    def reduction(self, *, axis: int) -> tuple[str, tuple[int, ...]]:
        """The kind of join and the axis."""
        return self.name, (axis,)


class Argmax(_Position):
    """Where the largest element is."""

    name, find = "argmax", np.argmax


class Argmin(_Position):
    """Where the smallest element is."""

    name, find = "argmin", np.argmin
