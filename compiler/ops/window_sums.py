"""Sums over windows, and their transpose; see `window`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from intaglio.compiler.dims import Shape
from intaglio.compiler.loop import Expr, Operand, Position, call, number
from intaglio.compiler.op import Array, Ops, Sample, V
from intaglio.compiler.ops.rules import check_count, check_kind
from intaglio.compiler.ops.window_rules import (
    CASES,
    Ints,
    Window,
    reads,
    spread,
    views,
    widened,
    window_samples,
    windows,
)
from intaglio.compiler.types import TensorType

# --------------------------------------------------------------------------------------------- sums


class WindowSum(Window):
    """The sum of every window, tap by tap from +0; padding counts as +0."""

    name = "window_sum"
    samples = window_samples(*CASES)

    def type(
        self,
        *types: TensorType,
        sizes: Ints,
        strides: Ints,
        low: Shape,
        high: Shape,
        dilations: Ints,
    ) -> TensorType:
        """One element per window."""
        check_count(self, types, 1)
        check_kind(self, types, self.kinds)
        self.check(types, sizes, strides, dilations)
        lead = types[0].rank - len(sizes)
        out = self.out(types, types[0].shape[lead:], sizes, strides, low, high, dilations)
        return types[0].with_shape(*types[0].shape[:lead], *out)

    def reference(self, x: Array, **window: Any) -> Array:
        """Tap by tap."""
        made: Any = 0
        for view in views(x, 0, **window):
            made = view + np.zeros((), x.dtype) + made
        return np.asarray(made, x.dtype)

    def vjp(
        self,
        g: Ops[V],
        dys: Sequence[V | None],
        ys: Sequence[V],
        xs: Sequence[V],
        needs: Sequence[bool],
        **window: Any,
    ) -> Sequence[V | None]:
        """dy spread over its windows."""
        type = g.type_of(xs[0])
        if dys[0] is None or not type.dtype.is_floating_point:
            return [None]
        return [g.window_spread(dys[0], shape=type.shape[-len(window["sizes"]) :], **window)]

    def jvp(
        self, g: Ops[V], dxs: Sequence[V | None], xs: Sequence[V], ys: Sequence[V], **window: Any
    ) -> Sequence[V | None]:
        """The tangent's sums."""
        return [None if dxs[0] is None else g.window_sum(dxs[0], **window)]

    def element(self, index: tuple[Position, ...], x: Operand, **window: Any) -> Expr:
        """A chain of additions."""
        made: Expr = number(0, x.type.dtype)
        for _, guard, place in reads(index, x, **window):
            made = call("add", made, x.where(guard, *place))
        return made


class WindowSpread(Window):
    """The transpose of `window_sum`: at every element the sum of `dy` (one element per window) over
    the windows that hold it, in their order, from +0."""

    name = "window_spread"
    samples = tuple(
        Sample(dy, shape=shape, sizes=k, strides=s, low=a, high=b, dilations=d)
        for dy, shape, k, s, a, b, d in (
            ("f64[2,4]", (7,), (3,), (2,), (1,), (1,), (1,)),
            ("f64[2,3]", (6,), (2,), (1,), (0,), (0,), (3,)),
            ("f64[2,3,3]", (5, 6), (2, 3), (2, 1), (1, 0), (0, 1), (1, 2)),
            ("f64[2,4,2,2]", (4, 4, 4), (1, 1, 2), (1, 2, 2), (0, 0, 0), (0, 0, 0), (1, 1, 1)),
            ("f32[2,5,35]", (9, 70), (3, 3), (2, 2), (1, 1), (1, 1), (1, 1)),
            ("f32[2,44]", (130,), (4,), (3,), (2,), (3,), (1,)),
            ("f32[2,2]", (5, 6), (2, 2), (3, 3), (0, 0), (1, 0), (1, 1)),
            ("f32[0,2]", (4,), (2,), (2,), (0,), (0,), (1,)),
            ("i64[9]", (9,), (3,), (1,), (1,), (1,), (1,)),
        )
    )  # fmt: skip

    def type(
        self,
        *types: TensorType,
        shape: Shape,
        sizes: Ints,
        strides: Ints,
        low: Shape,
        high: Shape,
        dilations: Ints,
    ) -> TensorType:
        """The leading sizes of dy and `shape`."""
        check_count(self, types, 1)
        return widened(self, types, shape, sizes, strides, low, high, dilations)

    def reference(self, dy: Array, *, shape: Ints, **window: Any) -> Array:
        """Window by window."""
        return spread([dy] * int(np.prod(window["sizes"])), shape, **window)

    def vjp(
        self,
        g: Ops[V],
        dys: Sequence[V | None],
        ys: Sequence[V],
        xs: Sequence[V],
        needs: Sequence[bool],
        *,
        shape: Shape,
        **window: Any,
    ) -> Sequence[V | None]:
        """The sums of the windows."""
        if dys[0] is None or not g.type_of(xs[0]).dtype.is_floating_point:
            return [None]
        return [g.window_sum(dys[0], **window)]

    def jvp(
        self,
        g: Ops[V],
        dxs: Sequence[V | None],
        xs: Sequence[V],
        ys: Sequence[V],
        **attributes: Any,
    ) -> Sequence[V | None]:
        """The tangent spread."""
        return [None if dxs[0] is None else g.window_spread(dxs[0], **attributes)]

    def element(
        self, index: tuple[Position, ...], dy: Operand, *, shape: Shape, high: Shape, **window: Any
    ) -> Expr:
        """The sum over the windows that hold this element."""
        total: Expr = number(0, dy.type.dtype)
        for guard, place, _ in windows(index, dy.type.shape[-len(shape) :], **window):
            total = call("add", total, dy.where(guard, *place))
        return total
