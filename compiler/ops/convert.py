"""Conversions between dtypes, and the stop of derivatives."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from intaglio.compiler.dtypes import DType, boolean, dtype_named, dtype_of, int32
from intaglio.compiler.errors import DTypeError
from intaglio.compiler.loop import Expr, Operand, Position, call, cast
from intaglio.compiler.op import Array, Op, Ops, Sample, V
from intaglio.compiler.ops.rules import check_count, check_dtype, refused
from intaglio.compiler.types import TensorType

_DTYPES = ("f64", "f32", "i64", "i32", "u32", "i16", "i8", "u8", "bool")
_EDGES = np.array([np.nan, np.inf, -np.inf, -0.0, 1.9, -1.9, 300.7, -1e30, 1e30, 2.0**31, 2.0**63])


def _cast_samples() -> tuple[Sample, ...]:
    made = []
    for source in _DTYPES:
        for target in map(dtype_named, _DTYPES):
            span = (-300.0, 300.0) if target.kind in "iu" else (-2.0, 2.0)
            made.append(Sample(f"{source}[9]", range=span, dtype=target))
    f64, i8 = dtype_named("f64"), dtype_named("i8")
    made += [
        Sample("f32[]", dtype=f64),
        Sample("f32[0,2]", dtype=i8),
        Sample("f32[3,5]", dtype=f64),
    ]
    for dtype in (np.float32, np.float64):
        made += [
            Sample(_EDGES.astype(dtype), dtype=dtype_named(t), derivative=False) for t in _DTYPES
        ]
    return tuple(made)


class Cast(Op):
    """The value in another dtype.

    A float becomes an integer by dropping its fraction; NaN becomes 0, what does not fit the
    nearest end of the range, where 8 and 16 bits go through i32. Integers wrap. A number is true
    unless it is 0; bool becomes 0 or 1. What becomes f16 or bf16 is rounded to f32 before.
    """

    name, exact = "cast", "fiub"
    samples = _cast_samples()

    def type(self, *types: TensorType, dtype: DType) -> TensorType:
        """The shape, in the new dtype."""
        check_count(self, types, 1)
        check_dtype(self, types, dtype)
        return types[0].with_dtype(dtype)

    def reference(self, x: Array, *, dtype: DType) -> Array:
        """NumPy's conversion where C defines it, ours where it does not."""
        if dtype is boolean:
            return np.asarray(x != 0)
        with np.errstate(all="ignore"):
            if dtype_of(x.dtype).is_floating_point and dtype.is_integer:
                return _truncated(x, dtype)
            if dtype.is_half:
                x = x.astype(np.float32)
            return x.astype(dtype.numpy)

    def vjp(
        self,
        g: Ops[V],
        dys: Sequence[V | None],
        ys: Sequence[V],
        xs: Sequence[V],
        needs: Sequence[bool],
        *,
        dtype: DType,
    ) -> Sequence[V | None]:
        """dy cast back, between floats."""
        source = g.type_of(xs[0]).dtype
        if dys[0] is None or not (source.is_floating_point and dtype.is_floating_point):
            return [None]
        return [g.cast(dys[0], dtype=source)]

    def jvp(
        self, g: Ops[V], dxs: Sequence[V | None], xs: Sequence[V], ys: Sequence[V], *, dtype: DType
    ) -> Sequence[V | None]:
        """The tangent cast likewise, between floats."""
        return [None if dxs[0] is None or dtype.kind != "f" else g.cast(dxs[0], dtype=dtype)]

    def element(self, index: tuple[Position, ...], x: Operand, *, dtype: DType) -> Expr:
        """The prelude's conversion."""
        return cast(x(*index), dtype)

    def simplify(self, g: Any, xs: Sequence[Any], node: Any) -> Any:
        """A cast to the same dtype is nothing."""
        return xs[0] if g.type_of(xs[0]).dtype is node.attributes["dtype"] else None


def _truncated(x: Array, dtype: DType) -> Array:
    through = dtype if dtype.size >= 4 else int32
    info = np.iinfo(through.numpy.str)
    whole = np.trunc(x.astype(np.float64))
    inside = (whole >= float(info.min)) & (whole < float(info.max) + (through.size < 8))
    made = np.where(inside, whole, 0.0).astype(through.numpy)
    made = np.where(
        ~inside & (whole > 0), info.max, np.where(~inside & (whole < 0), info.min, made)
    )
    return np.asarray(made).astype(through.numpy).astype(dtype.numpy)


class Bitcast(Op):
    """The same bits read as another dtype of the same size."""

    name, exact = "bitcast", "fiub"
    samples = (
        Sample("f32[3,5]", dtype=int32, derivative=False),
        Sample("i32[7]", dtype=dtype_named("f32"), derivative=False),
        Sample("f32[]", dtype=dtype_named("u32"), derivative=False),
        Sample("u32[2]", dtype=dtype_named("f32"), derivative=False),
        Sample("f64[4]", dtype=dtype_named("i64"), derivative=False),
        Sample("i64[0]", dtype=dtype_named("f64"), derivative=False),
        Sample(np.array([np.nan, -0.0, np.inf], np.float32), dtype=int32, derivative=False),
    )

    def moves(self, **attributes: Any) -> bool:
        """Bits move."""
        return True

    def type(self, *types: TensorType, dtype: DType) -> TensorType:
        """The shape, in the new dtype."""
        check_count(self, types, 1)
        check_dtype(self, types, dtype)
        source = types[0].dtype
        if source.size != dtype.size or (boolean in (source, dtype) and source is not dtype):
            raise refused(DTypeError, self, types, f"its bits are no {dtype}")
        return types[0].with_dtype(dtype)

    def reference(self, x: Array, *, dtype: DType) -> Array:
        """A view's copy."""
        return np.ascontiguousarray(x).view(dtype.numpy).reshape(x.shape).copy()

    def vjp(
        self,
        g: Ops[V],
        dys: Sequence[V | None],
        ys: Sequence[V],
        xs: Sequence[V],
        needs: Sequence[bool],
        *,
        dtype: DType,
    ) -> Sequence[V | None]:
        """Bits have no derivative."""
        return [None]

    def element(self, index: tuple[Position, ...], x: Operand, *, dtype: DType) -> Expr:
        """The prelude's bitcast."""
        return call("bitcast", x(*index), dtype=dtype)


class StopGradient(Op):
    """The value itself, without a derivative; the pass `inline` removes it in the end."""

    name, exact = "stop_gradient", "fiub"
    samples = (
        Sample("f32[3,5]", derivative=False),
        Sample("f64[]", derivative=False),
        Sample("i64[0]"),
    )

    def moves(self, **attributes: Any) -> bool:
        """Elements move."""
        return True

    def type(self, *types: TensorType) -> TensorType:
        """The operand's type."""
        check_count(self, types, 1)
        return types[0]

    def reference(self, x: Array) -> Array:
        """The value."""
        return x

    def vjp(
        self,
        g: Ops[V],
        dys: Sequence[V | None],
        ys: Sequence[V],
        xs: Sequence[V],
        needs: Sequence[bool],
    ) -> Sequence[V | None]:
        """None, which is its purpose."""
        return [None]

    def jvp(
        self, g: Ops[V], dxs: Sequence[V | None], xs: Sequence[V], ys: Sequence[V]
    ) -> Sequence[V | None]:
        """None, which is its purpose."""
        return [None]

    def element(self, index: tuple[Position, ...], x: Operand) -> Expr:
        """The element itself."""
        return x(*index)
