"""Ops that go along an axis and keep every value on the way: `cumulative` and `recurrence`.

Each row is one chain in order, from its first element on (from its last one with `reverse`). The
chain of f32 sums and products is kept in f64 and rounded where it is stored; integers wrap in their
dtype; every other chain has the operand's dtype."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar, Final

import numpy as np

from intaglio.compiler.dtypes import DType, float64, int64
from intaglio.compiler.errors import ArgumentError, DTypeError
from intaglio.compiler.op import Array, Op, Ops, Sample, V
from intaglio.compiler.ops import (  # noqa: F401  # the derivatives use their ops
    compare,
    create,
    elementwise,
    index,
    slicing,
    transcendental,
)
from intaglio.compiler.ops.rules import check_axis, check_count, check_kind, check_same, refused
from intaglio.compiler.types import TensorType

KINDS: Final = ("sum", "prod", "max", "min", "logsumexp")


def chain_type(dtype: DType, kind: str) -> DType:
    """The dtype in which a chain is kept."""
    return float64 if dtype.kind == "f" and kind in ("sum", "prod") else dtype


def check_reverse(op: Op, types: Sequence[TensorType], reverse: Any) -> None:
    """Refuse what is no bool."""
    if not isinstance(reverse, bool):
        raise refused(ArgumentError, op, types, f"reverse is {reverse!r}, not a bool")


class Cumulative(Op):
    """`y[i]` joins `x[0]` to `x[i]` along `axis`: their sum, product, maximum, minimum (NaN wins)
    or the logarithm of the sum of their exponentials."""

    name = "cumulative"
    kernel: ClassVar[str] = "cumulative"
    samples = (
        *(
            Sample("f64[3,5]", axis=1, kind=kind, reverse=reverse)
            for kind in KINDS
            for reverse in (False, True)
        ),
        *(Sample("f32[2,5,67]", axis=1, kind=kind, reverse=False) for kind in KINDS[::2]),
        *(Sample("f32[3,130]", axis=1, kind=kind, reverse=True) for kind in KINDS),
        *(Sample("i32[4,5]", axis=0, kind=kind, reverse=False) for kind in KINDS[1:4]),
        Sample("i8[70]", range=(-9.0, 9.0), axis=0, kind="prod", reverse=False),
        Sample("i64[3,300]", axis=0, kind="sum", reverse=True),
        Sample(np.array([[0.0, 2.0, 0.0, 3.0]]), axis=1, kind="prod", reverse=False),
        Sample(
            np.array([1.0, np.nan, 3.0, -np.inf]),
            axis=0,
            kind="max",
            reverse=False,
            derivative=False,
        ),
        Sample(
            np.array([-np.inf, -np.inf, 3.0, np.inf, 1.0], np.float32),
            axis=0,
            kind="logsumexp",
            reverse=False,
        ),
        Sample("f32[1,4]", axis=0, kind="sum", reverse=False),
        Sample("f32[3,0]", axis=1, kind="sum", reverse=False),
    )

    def type(self, *types: TensorType, axis: int, kind: str, reverse: bool) -> TensorType:
        """The operand's type."""
        check_count(self, types, 1)
        check_kind(self, types, "fiu")
        check_axis(self, types, axis, types[0].rank)
        check_reverse(self, types, reverse)
        if kind not in KINDS:
            raise refused(ArgumentError, self, types, f"kind is {kind!r}, none of {KINDS}")
        if kind == "logsumexp" and types[0].dtype.kind != "f":
            raise refused(DTypeError, self, types, "logarithms are taken of floats")
        return types[0]

    def reference(self, x: Array, *, axis: int, kind: str, reverse: bool) -> Array:
        """NumPy's accumulate."""
        functions = {
            "sum": np.add,
            "prod": np.multiply,
            "max": np.maximum,
            "min": np.minimum,
            "logsumexp": np.logaddexp,
        }
        wide = np.float64 if x.dtype.kind not in "iu" else x.dtype
        row = np.flip(x, axis) if reverse else x
        with np.errstate(all="ignore"):
            made = functions[kind].accumulate(row.astype(wide), axis, dtype=wide)
            made = made.astype(x.dtype)
        return np.ascontiguousarray(np.flip(made, axis) if reverse else made)

    def vjp(
        self,
        g: Ops[V],
        dys: Sequence[V | None],
        ys: Sequence[V],
        xs: Sequence[V],
        needs: Sequence[bool],
        *,
        axis: int,
        kind: str,
        reverse: bool,
    ) -> Sequence[V | None]:
        """dy joined the other way round."""
        type, dy = g.type_of(xs[0]), dys[0]
        if dy is None or not type.dtype.is_floating_point:
            return [None]
        if kind == "sum":
            return [g.cumulative(dy, axis=axis, kind="sum", reverse=not reverse)]
        if kind == "prod":
            factor = shifted(g, xs[0], axis, not reverse, 0.0)
            total = g.recurrence(factor, dy, axis=axis, reverse=not reverse)
            return [g.mul(shifted(g, ys[0], axis, reverse, 1.0), total)]
        if kind == "logsumexp":
            return [self._shares(g, dy, ys[0], xs[0], axis, reverse)]
        zeros = g.full(0.0, type.dtype, type.shape)
        place = self._last_extreme(g, xs[0], ys[0], axis, reverse)
        return [g.scatter_add(zeros, place, dy, axis=axis)]

    def _last_extreme(self, g: Ops[V], x: V, y: V, axis: int, reverse: bool) -> V:
        """Where the element that y holds was met last."""
        shape = g.type_of(x).shape
        here = g.iota(dtype=int64, shape=shape, axis=axis)
        hit = g.apply("or", (g.eq(x, y), g.ne(x, x)))[0]
        never = g.full((1 << 62) if reverse else -1, int64, shape)
        found = g.where(hit, here, never)
        kind = "min" if reverse else "max"
        made: V = g.cumulative(found, axis=axis, kind=kind, reverse=reverse)
        return made

    def _shares(self, g: Ops[V], dy: V, y: V, x: V, axis: int, reverse: bool) -> V:
        """The sum over later i of dy[i] exp(x - y[i]). With r the sum of dy[i] exp(y - y[i]) it is
        exp(x - y) r, and r follows from the next one by exp(y - next y), which is 1 at most."""

        def ratio(a: V, b: V) -> V:
            same = g.eq(a, b)
            gap = g.where(same, g.like(0.0, a), g.sub(a, b))
            made: V = g.exp(gap)
            return made

        factor = ratio(y, shifted(g, y, axis, not reverse, float("inf")))
        total = g.recurrence(factor, dy, axis=axis, reverse=not reverse)
        made: V = g.mul(ratio(x, y), total)
        return made

    def jvp(
        self,
        g: Ops[V],
        dxs: Sequence[V | None],
        xs: Sequence[V],
        ys: Sequence[V],
        *,
        axis: int,
        kind: str,
        reverse: bool,
    ) -> Sequence[V | None] | None:
        """Of sums: the sums of the tangent."""
        if kind != "sum":
            return None
        if dxs[0] is None:
            return [None]
        return [g.cumulative(dxs[0], axis=axis, kind=kind, reverse=reverse)]


def shifted(g: Ops[V], x: V, axis: int, reverse: bool, value: float) -> V:
    """What stands before each element on the way along the axis; `value` before the first."""
    shape = g.type_of(x).shape
    one = tuple(1 if k == axis else 0 for k in range(len(shape)))
    none = (0,) * len(shape)
    ones = (1,) * len(shape)
    padded = g.pad(x, low=none if reverse else one, high=one if reverse else none, value=value)
    starts = one if reverse else none
    stops = tuple(s + a for s, a in zip(shape, starts, strict=True))
    made: V = g.slice(padded, starts=starts, stops=stops, steps=ones)
    return made


class Recurrence(Op):
    """`y[i] = a[i] y[i-1] + b[i]` along `axis`, with 0 before the first: one fused multiplication
    and addition for each element."""

    name = "recurrence"
    kernel: ClassVar[str] = "recurrence"
    samples = (
        Sample("f64[3,5]", "f64[3,5]", axis=1, reverse=False),
        Sample("f64[4,2]", "f64[4,2]", axis=0, reverse=True),
        Sample("f32[3,40]", "f32[3,40]", range=(-0.9, 0.9), axis=1, reverse=True),
        Sample("f32[5,67]", "f32[5,67]", axis=0, reverse=False),
        Sample("f32[0,3]", "f32[0,3]", axis=0, reverse=False),
    )

    def type(self, *types: TensorType, axis: int, reverse: bool) -> TensorType:
        """The operands' common type."""
        check_count(self, types, 2)
        check_kind(self, types, "f")
        check_same(self, types)
        check_axis(self, types, axis, types[0].rank)
        check_reverse(self, types, reverse)
        return types[0]

    def reference(self, a: Array, b: Array, *, axis: int, reverse: bool) -> Array:
        """Step by step."""
        made = np.empty_like(b)
        old = np.zeros_like(np.take(b, 0, axis)) if b.shape[axis] else None
        count = b.shape[axis]
        with np.errstate(all="ignore"):
            for i in reversed(range(count)) if reverse else range(count):
                at: Any = (slice(None),) * axis + (i,)
                made[at] = old = a[at] * old + b[at]
        return made

    def vjp(
        self,
        g: Ops[V],
        dys: Sequence[V | None],
        ys: Sequence[V],
        xs: Sequence[V],
        needs: Sequence[bool],
        *,
        axis: int,
        reverse: bool,
    ) -> Sequence[V | None]:
        """The recurrence the other way round, by the factors that followed."""
        if dys[0] is None:
            return [None, None]
        factor = shifted(g, xs[0], axis, not reverse, 0.0)
        total = g.recurrence(factor, dys[0], axis=axis, reverse=not reverse)
        before = g.mul(total, shifted(g, ys[0], axis, reverse, 0.0)) if needs[0] else None
        return [before, total if needs[1] else None]

    def jvp(
        self,
        g: Ops[V],
        dxs: Sequence[V | None],
        xs: Sequence[V],
        ys: Sequence[V],
        *,
        axis: int,
        reverse: bool,
    ) -> Sequence[V | None]:
        """The same recurrence of the tangents."""
        da, db = dxs
        if da is not None:
            moved = g.mul(da, shifted(g, ys[0], axis, reverse, 0.0))
            db = moved if db is None else g.add(db, moved)
        return [None if db is None else g.recurrence(xs[0], db, axis=axis, reverse=reverse)]
