"""Ops that cut and join: `slice` and `pad`, which are each other's transposes, and `concat`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from intaglio.compiler.dims import Dim, Shape, Size, floordiv, holds, maximum
from intaglio.compiler.dtypes import boolean
from intaglio.compiler.errors import ArgumentError, DTypeError, IndexError, ShapeError
from intaglio.compiler.loop import Expr, Operand, Position, all_of, call, in_range, number
from intaglio.compiler.op import Array, Op, Ops, Sample, V
from intaglio.compiler.ops.movement import Movement, affine, moved_fill, size_of
from intaglio.compiler.ops.rules import check_axis, check_count, check_per_axis, refused, without
from intaglio.compiler.types import TensorType


class Slice(Movement):
    """Every `steps[k]`-th position from `starts[k]` up to `stops[k]` (exclusive) of every dim;
    steps are positive."""

    name = "slice"
    samples = (
        Sample("f64[5,6]", starts=(1, 0), stops=(4, 6), steps=(1, 1)),
        Sample("f64[7,9]", starts=(1, 2), stops=(7, 8), steps=(2, 3)),
        Sample("f32[130]", starts=(3,), stops=(130,), steps=(2,)),
        Sample("f32[10]", starts=(9,), stops=(10,), steps=(4,)),
        Sample("f64[]", starts=(), stops=(), steps=()),
        Sample("i64[5]", starts=(5,), stops=(5,), steps=(1,)),
        Sample("bool[4]", starts=(0,), stops=(3,), steps=(2,)),
    )

    def type(self, *types: TensorType, starts: Shape, stops: Shape, steps: Shape) -> TensorType:
        """The number of positions taken of each dim."""
        check_count(self, types, 1)
        check_per_axis(self, types, starts=starts, stops=stops, steps=steps)
        shape = []
        for size, start, stop, step in zip(types[0].shape, starts, stops, steps, strict=True):
            if not isinstance(step, int) or step < 1:
                raise refused(ArgumentError, self, types, f"the step {step} is not positive")
            if not (holds(0, "<=", start) and holds(start, "<=", stop) and holds(stop, "<=", size)):
                raise refused(
                    IndexError, self, types, f"{start}:{stop} is out of range for a size of {size}"
                )
            shape.append(floordiv(stop - start + step - 1, step))
        return types[0].with_shape(*shape)

    def reference(
        self, x: Array, *, starts: Sequence[int], stops: Sequence[int], steps: Sequence[int]
    ) -> Array:
        """NumPy's slicing."""
        parts = zip(starts, stops, steps, strict=True)
        return np.asarray(x[tuple(slice(*part) for part in parts)])

    def transpose(
        self,
        g: Ops[V],
        dy: V,
        type: TensorType,
        *,
        starts: Shape,
        stops: Shape,
        steps: tuple[int, ...],
    ) -> Any:
        """dy between zeros."""
        if any(step > 1 for step in steps):
            dy = _dilated(g, dy, steps)
        sizes = g.type_of(dy).shape
        rests = [n - a - s for n, a, s in zip(type.shape, starts, sizes, strict=True)]
        if any(rest != 0 for rest in rests) or any(start != 0 for start in starts):
            high = tuple(maximum(rest, 0) for rest in rests)
            dy = g.pad(dy, low=starts, high=high, value=0.0)
        if g.type_of(dy).shape != type.shape:
            ones, zeros = (1,) * len(sizes), (0,) * len(sizes)
            dy = g.slice(dy, starts=zeros, stops=type.shape, steps=ones)
        return dy

    def element(
        self, index: tuple[Position, ...], x: Operand, *, starts: Shape, stops: Shape, steps: Any
    ) -> Expr:
        """start + position * step"""
        return x(*(affine(i, s, a) for i, a, s in zip(index, starts, steps, strict=True)))

    def simplify(self, g: Any, xs: Sequence[Any], node: Any) -> Any:
        """A slice of everything is nothing, a slice of a fill is a smaller fill."""
        if node.output.type.shape == g.type_of(xs[0]).shape:
            return xs[0]
        return moved_fill(g, xs[0], node)


def _dilated(g: Ops[V], x: V, steps: Sequence[int]) -> V:
    """x with `step - 1` zeros after every position of each axis: a new inner axis is padded and
    merged."""
    shape = g.type_of(x).shape
    spread = tuple(s for size in shape for s in (size, 1))
    zeros = (0,) * len(spread)
    high = tuple(h for step in steps for h in (0, step - 1))
    wide = g.pad(g.reshape(x, shape=spread), low=zeros, high=high, value=0.0)
    made: V = g.reshape(wide, shape=tuple(n * s for n, s in zip(shape, steps, strict=True)))
    return made


class Pad(Movement):
    """`low[k]` positions before and `high[k]` after every dim, filled with a number."""

    name = "pad"
    samples = (
        Sample("f64[3,4]", low=(1, 0), high=(0, 2), value=0.0),
        Sample("f32[67]", low=(2,), high=(3,), value=-1.5),
        Sample("f32[]", low=(), high=(), value=0.0),
        Sample("i64[2,3]", low=(0, 1), high=(0, 0), value=7),
        Sample("bool[3]", low=(1,), high=(1,), value=True),
        Sample("f32[0]", low=(2,), high=(1,), value=float("inf")),
    )

    def type(self, *types: TensorType, low: Shape, high: Shape, value: float) -> TensorType:
        """The operand's sizes plus both paddings."""
        check_count(self, types, 1)
        check_per_axis(self, types, low=low, high=high)
        if not all(holds(0, "<=", p) for p in (*low, *high)):
            raise refused(ShapeError, self, types, f"the padding {low} to {high} is negative")
        if not isinstance(value, bool | int | float):
            raise refused(ArgumentError, self, types, f"{value!r} is no number")
        if isinstance(value, float) and types[0].dtype.kind != "f":
            raise refused(DTypeError, self, types, f"{value!r} is no {types[0].dtype}")
        sizes = zip(types[0].shape, low, high, strict=True)
        return types[0].with_shape(*(n + a + b for n, a, b in sizes))

    def reference(
        self, x: Array, *, low: Sequence[int], high: Sequence[int], value: float
    ) -> Array:
        """NumPy's pad."""
        made = np.full(
            [n + a + b for n, a, b in zip(x.shape, low, high, strict=True)], value, x.dtype
        )
        made[tuple(slice(a, a + n) for a, n in zip(low, x.shape, strict=True))] = x
        return made

    def transpose(
        self, g: Ops[V], dy: V, type: TensorType, *, low: Shape, high: Shape, value: float
    ) -> Any:
        """The inner part of dy."""
        stops = tuple(a + n for a, n in zip(low, type.shape, strict=True))
        return g.slice(dy, starts=low, stops=stops, steps=(1,) * len(low))

    def jvp(
        self,
        g: Ops[V],
        dxs: Sequence[V | None],
        xs: Sequence[V],
        ys: Sequence[V],
        **attributes: Any,
    ) -> Sequence[V | None]:
        """The tangent between zeros, whatever the number."""
        return [None if dxs[0] is None else g.pad(dxs[0], **(attributes | {"value": 0.0}))]

    def element(
        self, index: tuple[Position, ...], x: Operand, *, low: Shape, high: Shape, value: float
    ) -> Expr:
        """The operand's element inside, the number outside."""
        inside, position = [], []
        for k, i in enumerate(index):
            if low[k] == 0 == high[k]:
                position.append(i)
                continue
            within = in_range(size_of(i), low[k], low[k] + x.type.shape[k])
            inside += [within] if within is not None else []
            position.append(affine(i, 1, 0 - low[k]))
        guard = all_of(inside)
        if guard is None:
            return x(*position)
        return call("select", guard, x.where(guard, *position), number(value, x.type.dtype))

    def simplify(self, g: Any, xs: Sequence[Any], node: Any) -> Any:
        """No padding is nothing."""
        return xs[0] if node.output.type.shape == g.type_of(xs[0]).shape else None


class Concat(Op):
    """The operands one after the other along `axis`."""

    name, exact = "concat", "fiub"
    samples = (
        Sample("f64[2,3]", "f64[2,4]", axis=1),
        Sample("f32[3,5]", "f32[1,5]", "f32[0,5]", axis=0),
        Sample("f32[67]", "f32[64]", "f32[3]", axis=0),
        Sample("f64[2]", axis=0),
        Sample("i64[2,1]", "i64[2,2]", axis=1),
        Sample("bool[2]", "bool[3]", axis=0),
    )

    def moves(self, **attributes: Any) -> bool:
        """Elements move."""
        return True

    def type(self, *types: TensorType, axis: int) -> TensorType:
        """The sizes along the axis added; all others must agree."""
        if not types:
            raise refused(ArgumentError, self, types, "it takes at least one operand")
        first = types[0]
        check_axis(self, types, axis, first.rank)
        for type in types[1:]:
            if type.dtype is not first.dtype:
                raise refused(DTypeError, self, types, f"{first.dtype} and {type.dtype} differ")
            same = zip(without(first.shape, (axis,)), without(type.shape, (axis,)), strict=False)
            if type.rank != first.rank or not all(holds(a, "==", b) for a, b in same):
                raise refused(ShapeError, self, types, f"sizes other than along axis {axis} differ")
        total: Size = 0
        for type in types:
            total = total + type.shape[axis]
        return first.with_shape(*first.shape[:axis], total, *first.shape[axis + 1 :])

    def reference(self, *arrays: Array, axis: int) -> Array:
        """NumPy's concatenate."""
        return np.concatenate(arrays, axis)

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
        """Each operand's part of dy."""
        dy = dys[0]
        made: list[V | None] = []
        start: Size = 0
        for x, need in zip(xs, needs, strict=True):
            type = g.type_of(x)
            stop = start + type.shape[axis]
            if need and dy is not None and type.dtype.is_floating_point:
                made.append(_part(g, dy, axis, start, stop))
            else:
                made.append(None)
            start = stop
        return made

    def jvp(
        self, g: Ops[V], dxs: Sequence[V | None], xs: Sequence[V], ys: Sequence[V], *, axis: int
    ) -> Sequence[V | None]:
        """The tangents one after the other, zeros for those that are still."""
        if all(d is None for d in dxs):
            return [None]
        full = [g.like(0.0, x) if d is None else d for d, x in zip(dxs, xs, strict=True)]
        return [g.concat(*full, axis=axis)]

    def placements(self, *types: TensorType, axis: int) -> tuple[Shape, ...]:
        """One after the other along the axis."""
        made: list[Shape] = []
        start: Size = 0
        for type in types:
            made.append(tuple(start if k == axis else 0 for k in range(type.rank)))
            start = start + type.shape[axis]
        return tuple(made)

    def element(self, index: tuple[Position, ...], *xs: Operand, axis: int) -> Expr:
        """A chain of selects by where each operand ends; nothing is loaded outside an operand."""
        made: Expr | None = None
        end: Size = 0
        for x in xs:
            end = end + x.type.shape[axis]
        at = size_of(index[axis]) if len(xs) > 1 else index[axis]
        for x in reversed(xs):
            start = end - x.type.shape[axis]
            inside = in_range(at, start, end) if isinstance(at, int | Dim) else None
            place = [*index[:axis], affine(at, 1, 0 - start), *index[axis + 1 :]]
            value = x.where(inside, *place)
            made = value if made is None else call("select", _below(at, end), value, made)
            end = start
        assert made is not None
        return made

    def simplify(self, g: Any, xs: Sequence[Any], node: Any) -> Any:
        """Operands without elements are left out; one alone is itself."""
        axis = node.attributes["axis"]
        left = [x for x in xs if g.type_of(x).shape[axis] != 0]
        if len(left) <= 1:
            return (left or list(xs))[0]
        return g.concat(*left, axis=axis) if len(left) < len(xs) else None


def _below(at: Position, end: Size) -> Expr:
    below = in_range(size_of(at), 0, end)
    return number(True, boolean) if below is None else below


def _part(g: Ops[V], dy: V, axis: int, start: Size, stop: Size) -> V:
    shape = g.type_of(dy).shape
    starts = tuple(start if k == axis else 0 for k in range(len(shape)))
    stops = tuple(stop if k == axis else size for k, size in enumerate(shape))
    made: V = g.slice(dy, starts=starts, stops=stops, steps=(1,) * len(shape))
    return made
