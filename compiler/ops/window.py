"""Ops that look at a window of the last dims around every result element: pooling and its
derivatives.

A window has `sizes[k]` taps along spatial dim k, `dilations[k]` apart; windows start `strides[k]`
apart, the first one `low[k]` before the operand, and may reach `high[k]` beyond it. The spatial
dims are the last `len(sizes)` ones; all before are free. Taps are numbered row-major.

Padding never wins a maximum and counts as zero in a sum. A maximum is described by the number of
its tap, not by a position, so that nothing depends on the operand's sizes and a byte is enough.
`window_put` and `window_read` move values to and from the taps with such numbers, `window_sum` and
`window_spread` to and from all taps; each is the other's transpose, so derivatives of any order
stay within the six. All are expressions over unrolled taps; the transposes gather, so that their
order of addition is fixed: windows in row-major order, from +0."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, Final

import numpy as np

from intaglio.compiler.dims import Shape
from intaglio.compiler.dtypes import dtype_of, int32, uint8
from intaglio.compiler.errors import ArgumentError, DTypeError
from intaglio.compiler.loop import Expr, Index, Operand, Position, call, cast, number
from intaglio.compiler.op import Array, Op, Ops, Sample, V, op_named
from intaglio.compiler.ops.rules import check_count, check_kind, refused
from intaglio.compiler.ops.window_rules import (
    CASES,
    Ints,
    Window,
    check_equal,
    lowest,
    reads,
    spread,
    views,
    widened,
    window_samples,
    windows,
)
from intaglio.compiler.types import TensorType

_HARD: Final = (
    np.array([[1.0, 1.0, np.nan, 2.0, -np.inf], [-np.inf, -np.inf, -np.inf, np.inf, np.inf]]),
    np.array([[np.nan, 3.0, np.nan, -0.0, 0.0, -0.0, 3.0]], np.float32),
)


def _hard() -> tuple[Sample, ...]:
    shared: dict[str, Any] = {"sizes": (3,), "low": (1,), "high": (1,), "dilations": (1,)}
    return tuple(Sample(x, strides=(s,), derivative=False, **shared) for x in _HARD for s in (1, 2))


# -------------------------------------------------------------------------------------- the maximum


class _Extreme(Window):
    """Base of the two that look for the largest element."""

    samples = (*window_samples(*CASES, range=(-50.0, 50.0)), *_hard())

    def windows(
        self,
        types: Sequence[TensorType],
        sizes: Ints,
        strides: Ints,
        low: Shape,
        high: Shape,
        dilations: Ints,
    ) -> Shape:
        """The shape of one element per window."""
        check_count(self, types, 1)
        check_kind(self, types, self.kinds)
        self.check(types, sizes, strides, dilations)
        lead = types[0].rank - len(sizes)
        spatial = types[0].shape[lead:]
        out = self.out(types, spatial, sizes, strides, low, high, dilations)
        return (*types[0].shape[:lead], *out)


class WindowMax(_Extreme):
    """The largest element of every window, NaN if any is; the smallest number there is (-inf) where
    a window holds only padding."""

    name = "window_max"

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
        shape = self.windows(types, sizes, strides, low, high, dilations)
        return types[0].with_shape(*shape)

    def reference(self, x: Array, **window: Any) -> Array:
        """The op `maximum` over the taps."""
        made: Any = None
        for view in views(x, lowest(dtype_of(x.dtype)), **window):
            made = view if made is None else op_named("maximum").reference(made, view)
        return np.array(made, x.dtype)

    def vjp(
        self,
        g: Ops[V],
        dys: Sequence[V | None],
        ys: Sequence[V],
        xs: Sequence[V],
        needs: Sequence[bool],
        **window: Any,
    ) -> Sequence[V | None]:
        """dy at the tap of the first maximum."""
        type = g.type_of(xs[0])
        if dys[0] is None or not type.dtype.is_floating_point:
            return [None]
        tap = g.window_argmax(xs[0], **window)
        return [g.window_put(dys[0], tap, shape=type.shape[-len(window["sizes"]) :], **window)]

    def jvp(
        self, g: Ops[V], dxs: Sequence[V | None], xs: Sequence[V], ys: Sequence[V], **window: Any
    ) -> Sequence[V | None]:
        """The tangent at that tap."""
        if dxs[0] is None:
            return [None]
        return [g.window_read(dxs[0], g.window_argmax(xs[0], **window), **window)]

    def element(self, index: tuple[Position, ...], x: Operand, **window: Any) -> Expr:
        """A chain of maxima."""
        least = number(lowest(x.type.dtype), x.type.dtype)
        made: Expr | None = None
        for _, guard, place in reads(index, x, **window):
            value = x.where(guard, *place)
            if guard is not None:
                value = call("select", guard, value, least)
            made = value if made is None else call("maximum", made, value)
        assert made is not None
        return made


class WindowArgmax(_Extreme):
    """The number of the tap that holds the first maximum of every window (the first NaN, if there
    is one), u8 or i32; the number of taps where a window holds only padding."""

    name = "window_argmax"

    def type(
        self,
        *types: TensorType,
        sizes: Ints,
        strides: Ints,
        low: Shape,
        high: Shape,
        dilations: Ints,
    ) -> TensorType:
        """One number per window."""
        shape = self.windows(types, sizes, strides, low, high, dilations)
        return TensorType(uint8, shape)

    def reference(self, x: Array, *, sizes: Ints, **window: Any) -> Array:
        """Tap by tap: a later one wins only by being larger, or the first NaN."""
        there = views(np.ones(x.shape, bool), False, sizes, **window)
        count, best = int(np.prod(sizes)), None
        with np.errstate(invalid="ignore"):
            for tap, view in enumerate(views(x, 0, sizes, **window)):
                inside = next(there)
                if best is None:
                    best, made = view.copy(), np.full(view.shape, count, np.int64)
                better = (made == count) | (view > best) | ((view != view) & (best == best))
                better &= inside
                best, made = np.where(better, view, best), np.where(better, tap, made)
        return np.asarray(made, np.uint8)

    def vjp(
        self,
        g: Ops[V],
        dys: Sequence[V | None],
        ys: Sequence[V],
        xs: Sequence[V],
        needs: Sequence[bool],
        **window: Any,
    ) -> Sequence[V | None]:
        """A number of a tap has no derivative."""
        return [None]

    def element(
        self, index: tuple[Position, ...], x: Operand, *, sizes: Ints, **window: Any
    ) -> Expr:
        """A chain of comparisons that carries the best value and its tap."""
        none = number(math.prod(sizes), uint8)
        best: Expr | None = None
        at: Expr = none
        sure = False
        for tap, guard, place in reads(index, x, sizes=sizes, **window):
            value, here = x.where(guard, *place), number(tap, uint8)
            if best is None:
                best, at, sure = value, here, guard is None
                at = here if guard is None else call("select", guard, here, none)
                continue
            better: Expr = call("gt", value, best)
            if x.type.dtype.kind == "f":
                first = call("and", call("ne", value, value), call("eq", best, best))
                better = call("or", better, first)
            if not sure:
                better = call("or", better, call("eq", at, none))
            if guard is not None:
                better = call("and", guard, better)
            sure = sure or guard is None
            best, at = call("select", better, value, best), call("select", better, here, at)
        return at


class WindowPut(Window):
    """Every element of `dy` (one per window) added at the tap of its window that `tap` names, in
    the order of the windows; an operand with spatial sizes `shape` results."""

    name, kinds = "window_put", "f"
    samples = tuple(
        Sample(
            dy, tap, shape=shape, sizes=k, strides=s, low=a, high=b, dilations=d
        )
        for dy, tap, shape, k, s, a, b, d in (
            ("f64[2,4]", np.array([[0, 1, 2, 3], [2, 0, 1, 1]], np.uint8),
             (7,), (3,), (2,), (1,), (1,), (1,)),
            ("f64[2,3]", np.array([[0, 1, 2], [1, 1, 0]], np.uint8),
             (3,), (3,), (1,), (1,), (1,), (1,)),
            ("f64[2,2]", np.array([[0, 5], [3, 6]], np.uint8),
             (4, 7), (2, 3), (2, 2), (0, 1), (0, 0), (1, 2)),
            ("f32[2,33]", np.arange(66, dtype=np.uint8).reshape(2, 33) % 4,
             (100,), (4,), (3,), (1,), (1,), (1,)),
            ("f32[3]", np.array([2, 0, 1], np.uint8), (9,), (3,), (2,), (0,), (0,), (2,)),
            ("f32[0,2]", np.zeros((0, 2), np.uint8), (4,), (2,), (2,), (0,), (0,), (1,)),
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
        check_count(self, types, 2)
        _check_taps(self, types, sizes)
        return widened(self, types, shape, sizes, strides, low, high, dilations)

    def reference(self, dy: Array, tap: Array, *, shape: Ints, **window: Any) -> Array:
        """Window by window."""
        zero = np.zeros((), dy.dtype)
        taps = int(np.prod(window["sizes"]))
        parts = [np.asarray(np.where(tap == t, dy, zero), dy.dtype) for t in range(taps)]
        return spread(parts, shape, **window)

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
        """What lies at those taps."""
        return [None if dys[0] is None else g.window_read(dys[0], xs[1], **window), None]

    def jvp(
        self,
        g: Ops[V],
        dxs: Sequence[V | None],
        xs: Sequence[V],
        ys: Sequence[V],
        **attributes: Any,
    ) -> Sequence[V | None]:
        """The tangent put in the same places."""
        return [None if dxs[0] is None else g.window_put(dxs[0], xs[1], **attributes)]

    def element(
        self,
        index: tuple[Position, ...],
        dy: Operand,
        tap: Operand,
        *,
        shape: Shape,
        high: Shape,
        **window: Any,
    ) -> Expr:
        """The sum over the windows that may reach this element of those that name it."""
        zero = number(0, dy.type.dtype)
        total: Expr = zero
        out = dy.type.shape[-len(shape) :]
        for guard, place, here in windows(index, out, **window):
            named = cast(tap.where(guard, *place), int32)
            hit = call("eq", named, Index(here, int32))
            total = call("add", total, call("select", hit, dy.where(guard, *place), zero))
        return total


class WindowRead(Window):
    """The element at the tap of every window that `tap` names; zero where that is padding, or no
    tap."""

    name, kinds = "window_read", "f"
    samples = tuple(
        Sample(x, tap, sizes=k, strides=s, low=a, high=b, dilations=d)
        for x, tap, k, s, a, b, d in (
            ("f64[2,7]", np.array([[0, 1, 2, 3], [2, 0, 1, 1]], np.uint8),
             (3,), (2,), (1,), (1,), (1,)),
            ("f64[4,7]", np.array([[0, 5], [3, 6]], np.uint8),
             (2, 3), (2, 2), (0, 1), (0, 0), (1, 2)),
            ("f32[2,100]", np.arange(66, dtype=np.uint8).reshape(2, 33) % 4,
             (4,), (3,), (1,), (1,), (1,)),
            ("f32[9]", np.array([2, 0, 1], np.uint8), (3,), (2,), (0,), (0,), (2,)),
            ("f32[0,4]", np.zeros((0, 2), np.uint8), (2,), (2,), (0,), (0,), (1,)),
        )
    )  # fmt: skip

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
        check_count(self, types, 2)
        check_kind(self, types[:1], self.kinds)
        self.check(types, sizes, strides, dilations)
        _check_taps(self, types, sizes)
        lead = types[0].rank - len(sizes)
        out = self.out(types, types[0].shape[lead:], sizes, strides, low, high, dilations)
        made = types[0].with_shape(*types[0].shape[:lead], *out)
        check_equal(self, types, types[1].shape, made.shape)
        return made

    def reference(self, x: Array, tap: Array, **window: Any) -> Array:
        """Tap by tap."""
        made = np.zeros(tap.shape, x.dtype)
        for t, view in enumerate(views(x, 0, **window)):
            made = np.where(tap == t, view, made)
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
        """dy put back where it was read."""
        if dys[0] is None:
            return [None, None]
        shape = g.type_of(xs[0]).shape[-len(window["sizes"]) :]
        return [g.window_put(dys[0], xs[1], shape=shape, **window), None]

    def jvp(
        self, g: Ops[V], dxs: Sequence[V | None], xs: Sequence[V], ys: Sequence[V], **window: Any
    ) -> Sequence[V | None]:
        """The same taps of the tangent."""
        return [None if dxs[0] is None else g.window_read(dxs[0], xs[1], **window)]

    def element(self, index: tuple[Position, ...], x: Operand, tap: Operand, **window: Any) -> Expr:
        """A chain of selects over the taps."""
        named = cast(tap(*index), int32)
        made: Expr = number(0, x.type.dtype)
        for t, guard, place in reads(index, x, **window):
            hit = call("eq", named, number(t, int32))
            made = call("select", hit, x.where(guard, *place), made)
        return made


def _check_taps(op: Op, types: Sequence[TensorType], sizes: Any) -> None:
    if not isinstance(sizes, tuple) or not all(isinstance(s, int) for s in sizes):
        raise refused(ArgumentError, op, types, f"sizes is {sizes!r}, not integers")
    if types[1].dtype is not uint8:
        raise refused(DTypeError, op, types, f"the taps are {types[1].dtype}, not u8")
    if op.name == "window_put":
        check_equal(op, types, types[1].shape, types[0].shape)
