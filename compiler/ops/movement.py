"""Ops that only move elements: their `element` rules map result positions to operand positions.

Positions are sizes over loop variables, so the maps compose and simplify by the algebra of `dims`;
a position may also be data (an expression), which the rules pass on unchanged where they can,
compute with where that is one multiplication and an addition, and refuse with `Unfusable`
elsewhere. All are linear: each one's forward rule is the op itself.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from intaglio.compiler.dims import Dim, Shape, Size, floordiv, holds, maximum, modulo, product
from intaglio.compiler.dtypes import boolean, int64
from intaglio.compiler.errors import ArgumentError, DTypeError, IndexError, ShapeError
from intaglio.compiler.loop import (
    Expr,
    Operand,
    Position,
    Unfusable,
    all_of,
    call,
    in_range,
    number,
)
from intaglio.compiler.op import Array, Op, Ops, Sample, V
from intaglio.compiler.ops.rules import (
    check_axes,
    check_axis,
    check_count,
    check_per_axis,
    check_shape,
    kept_axes,
    refused,
    without,
)
from intaglio.compiler.types import TensorType


class Movement(Op):
    """Base of linear ops of one operand; `transpose` is the derivative rule."""

    exact = "fiub"

    def vjp(
        self,
        g: Ops[V],
        dys: Sequence[V | None],
        ys: Sequence[V],
        xs: Sequence[V],
        needs: Sequence[bool],
        **attributes: Any,
    ) -> Sequence[V | None]:
        """The transposed movement of dy."""
        type = g.type_of(xs[0])
        if dys[0] is None or not type.dtype.is_floating_point:
            return [None]
        return [self.transpose(g, dys[0], type, **attributes)]

    def jvp(
        self,
        g: Ops[V],
        dxs: Sequence[V | None],
        xs: Sequence[V],
        ys: Sequence[V],
        **attributes: Any,
    ) -> Sequence[V | None]:
        """The same movement of the tangent."""
        return [None if dxs[0] is None else g.apply(self.name, (dxs[0],), attributes)[0]]

    def transpose(self, g: Ops[V], dy: V, type: TensorType, **attributes: Any) -> Any:
        """dy moved back to the operand's `type`."""
        raise NotImplementedError


def moved_fill(g: Any, x: Any, node: Any) -> Any:
    """A moved fill is a fill of the new shape; None for other operands."""
    number, made = g.number_of(x), node.output.type
    return None if number is None else g.full(number, made.dtype, made.shape)


def affine(position: Position, scale: int, offset: Size) -> Position:
    """`position * scale + offset`, for positions that are data too (with a number as offset)."""
    if isinstance(position, int | Dim):
        return position * scale + offset
    if not isinstance(offset, int):
        raise Unfusable("a position that is data meets a symbolic offset")
    scaled = position if scale == 1 else call("mul", position, number(scale, int64))
    return call("add", scaled, number(offset, int64)) if offset else scaled


def size_of(position: Position) -> Size:
    """The position as a size; `Unfusable` when it is data."""
    if isinstance(position, int | Dim):
        return position
    raise Unfusable("a position that is data has no index arithmetic")


# ------------------------------------------------------------------------------------------ reshape


class Reshape(Movement):
    """The same elements in row-major order in another shape: `reshape(x; shape=(n, 4))`."""

    name, keeps_order = "reshape", True
    samples = (
        Sample("f64[3,4]", shape=(2, 6)),
        Sample("f32[2,3,5]", shape=(30,)),
        Sample("f32[6,35]", shape=(2, 3, 5, 7)),
        Sample("f64[]", shape=(1, 1)),
        Sample("f32[1,1]", shape=()),
        Sample("i64[0,3]", shape=(3, 0, 2)),
        Sample("bool[4,1,3]", shape=(2, 2, 3)),
        Sample("u8[12]", shape=(3, 4)),
    )

    def type(self, *types: TensorType, shape: Shape) -> TensorType:
        """The new shape; the numbers of elements must agree."""
        check_count(self, types, 1)
        check_shape(self, types, shape)
        made = types[0].with_shape(*shape)
        if not holds(types[0].elements, "==", made.elements):
            raise refused(
                ShapeError,
                self,
                types,
                f"{types[0].elements} elements do not fit the {made.elements} of {made}",
            )
        return made

    def reference(self, x: Array, *, shape: tuple[int, ...]) -> Array:
        """NumPy's reshape."""
        return x.reshape(shape)

    def transpose(self, g: Ops[V], dy: V, type: TensorType, *, shape: Shape) -> Any:
        """Back to the operand's shape."""
        return g.reshape(dy, shape=type.shape)

    def element(self, index: tuple[Position, ...], x: Operand, *, shape: Shape) -> Expr:
        """Dims that stay pass their position on; each group of dims that are split or merged goes
        by its flat position."""
        position: list[Position] = []
        for (a, b), (c, d) in regroup(x.type.shape, shape):
            if x.type.shape[a:b] == shape[c:d]:
                position += index[c:d]
                continue
            flat: Size = 0
            for k in range(c, d):
                flat = flat * shape[k] + size_of(index[k])
            position += unravel(flat, x.type.shape[a:b])
        return x(*position)

    def simplify(self, g: Any, xs: Sequence[Any], node: Any) -> Any:
        """Nothing to do, or one reshape instead of two."""
        shape = node.attributes["shape"]
        if g.type_of(xs[0]).shape == shape:
            return xs[0]
        before = g.producer(xs[0])
        if before is not None and before.op == self.name:
            return g.reshape(before.inputs[0], shape=shape)
        return moved_fill(g, xs[0], node)


def regroup(old: Shape, new: Shape) -> list[tuple[tuple[int, int], tuple[int, int]]]:
    """The finest groups ((a, b), (c, d)) with equal products of `old[a:b]` and `new[c:d]`, in
    order, covering both shapes."""
    if 0 in old or 0 in new:
        return [((0, len(old)), (0, len(new)))]
    left = [product(old[:k]) for k in range(len(old) + 1)]
    right: dict[Size, list[int]] = {}
    for k in range(len(new) + 1):
        right.setdefault(product(new[:k]), []).append(k)  # dims of size 1 repeat a product
    cuts, last = [(0, 0)], 0
    for k in range(1, len(old)):
        free = [c for c in right.get(left[k], ()) if c >= last]
        if free and left[k] != left[len(old)]:
            same = [c for c in free if c > 0 and new[c - 1] == old[k - 1]]
            last = (same or free)[0]
            cuts.append((k, last))
    cuts.append((len(old), len(new)))
    return [((a, b), (c, d)) for (a, c), (b, d) in zip(cuts, cuts[1:], strict=False)]


def unravel(flat: Size, shape: Shape) -> list[Position]:
    """The position in `shape` of the row-major flat position."""
    position: list[Position] = []
    for k, size in enumerate(shape):
        inner = product(shape[k + 1 :])
        rest = floordiv(flat, inner) if inner != 0 else 0
        position.append(rest if k == 0 else modulo(rest, size) if size != 0 else 0)
    return position


# ---------------------------------------------------------------------------------- permute, expand


class Permute(Movement):
    """Dims in another order: dim k of the result is dim `axes[k]` of the operand."""

    name = "permute"
    samples = (
        Sample("f64[3,4]", axes=(1, 0)),
        Sample("f32[2,3,5]", axes=(2, 0, 1)),
        Sample("f32[4,67,3]", axes=(0, 2, 1)),
        Sample("f64[]", axes=()),
        Sample("i64[0,3]", axes=(1, 0)),
        Sample("bool[2,3]", axes=(0, 1)),
    )

    def type(self, *types: TensorType, axes: tuple[int, ...]) -> TensorType:
        """The sizes in the new order."""
        check_count(self, types, 1)
        rank = types[0].rank
        if not isinstance(axes, tuple):
            raise refused(ArgumentError, self, types, f"axes is {axes!r}, not a tuple")
        for axis in axes:
            check_axis(self, types, axis, rank)
        if sorted(axes) != list(range(rank)):
            raise refused(ArgumentError, self, types, f"{axes} is no order of {rank} axes")
        return types[0].with_shape(*(types[0].shape[a] for a in axes))

    def reference(self, x: Array, *, axes: tuple[int, ...]) -> Array:
        """NumPy's transpose."""
        return x.transpose(axes)

    def transpose(self, g: Ops[V], dy: V, type: TensorType, *, axes: tuple[int, ...]) -> Any:
        """The inverse order."""
        return g.permute(dy, axes=inverse(axes))

    def element(self, index: tuple[Position, ...], x: Operand, *, axes: tuple[int, ...]) -> Expr:
        """The position reordered."""
        return x(*(index[k] for k in inverse(axes)))

    def simplify(self, g: Any, xs: Sequence[Any], node: Any) -> Any:
        """Nothing to do, or one permute instead of two."""
        axes = node.attributes["axes"]
        if axes == tuple(range(len(axes))):
            return xs[0]
        before = g.producer(xs[0])
        if before is not None and before.op == self.name:
            first = before.attributes["axes"]
            return g.permute(before.inputs[0], axes=tuple(first[a] for a in axes))
        return moved_fill(g, xs[0], node)


def inverse(axes: Sequence[int]) -> tuple[int, ...]:
    """The order that undoes an order of axes."""
    return tuple(sorted(range(len(axes)), key=axes.__getitem__))


class Expand(Movement):
    """Repeat along new dims and along dims of size 1: the operand's dim k becomes the result's dim
    `axes[k]`.

    It costs no memory: the repeated dims have stride 0.
    """

    name = "expand"
    samples = (
        Sample("f64[3]", shape=(2, 3), axes=(1,)),
        Sample("f64[3]", shape=(3, 2), axes=(0,)),
        Sample("f32[]", shape=(2, 70), axes=()),
        Sample("f32[1,5]", shape=(4, 5), axes=(0, 1)),
        Sample("f64[2,1,3]", shape=(4, 2, 5, 3), axes=(1, 2, 3)),
        Sample("i64[1]", shape=(0, 3), axes=(0,)),
        Sample("bool[2]", shape=(2,), axes=(0,)),
    )

    def type(self, *types: TensorType, shape: Shape, axes: tuple[int, ...]) -> TensorType:
        """The new shape; a dim keeps its size unless that is the number 1."""
        check_count(self, types, 1)
        check_shape(self, types, shape)
        check_axes(self, types, axes, len(shape))
        if len(axes) != types[0].rank:
            raise refused(
                ShapeError, self, types, f"{len(axes)} axes for an operand of rank {types[0].rank}"
            )
        for size, axis in zip(types[0].shape, axes, strict=True):
            if size != 1 and not holds(size, "==", shape[axis]):
                raise refused(
                    ShapeError, self, types, f"only a size of 1 grows, not {size} to {shape[axis]}"
                )
        return types[0].with_shape(*shape)

    def reference(self, x: Array, *, shape: tuple[int, ...], axes: tuple[int, ...]) -> Array:
        """NumPy's broadcast_to."""
        spread = [1] * len(shape)
        for size, axis in zip(x.shape, axes, strict=True):
            spread[axis] = size
        return np.broadcast_to(x.reshape(spread), shape)

    def transpose(
        self, g: Ops[V], dy: V, type: TensorType, *, shape: Shape, axes: tuple[int, ...]
    ) -> Any:
        """The sum over what was repeated."""
        grown = tuple(a for s, a in zip(type.shape, axes, strict=True) if s == 1 != shape[a])
        summed = tuple(sorted({*grown, *kept_axes(len(shape), axes)}))
        total = g.sum(dy, axes=summed) if summed else dy
        return g.reshape(total, shape=type.shape) if grown else total

    def element(
        self, index: tuple[Position, ...], x: Operand, *, shape: Shape, axes: tuple[int, ...]
    ) -> Expr:
        """0 along dims of size 1, the result's position along the others."""
        return x(*(0 if s == 1 else index[a] for s, a in zip(x.type.shape, axes, strict=True)))

    def simplify(self, g: Any, xs: Sequence[Any], node: Any) -> Any:
        """Nothing to do, one expand instead of two, or a fill of the new shape."""
        shape, axes = node.attributes["shape"], node.attributes["axes"]
        if g.type_of(xs[0]).shape == shape:
            return xs[0]
        before = g.producer(xs[0])
        if before is not None and before.op == self.name:
            through = tuple(axes[a] for a in before.attributes["axes"])
            return g.expand(before.inputs[0], shape=shape, axes=through)
        return moved_fill(g, xs[0], node)


# ------------------------------------------------------------------------- slice, flip, pad, concat


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


class Flip(Movement):
    """The elements in reverse order along `axes`."""

    name = "flip"
    samples = (
        Sample("f64[3,4]", axes=(0,)),
        Sample("f32[3,70]", axes=(0, 1)),
        Sample("f32[]", axes=()),
        Sample("i64[0,2]", axes=(0,)),
        Sample("bool[5]", axes=(0,)),
    )

    def type(self, *types: TensorType, axes: tuple[int, ...]) -> TensorType:
        """The operand's type."""
        check_count(self, types, 1)
        check_axes(self, types, axes, types[0].rank)
        return types[0]

    def reference(self, x: Array, *, axes: tuple[int, ...]) -> Array:
        """NumPy's flip."""
        return np.asarray(np.flip(x, axes))

    def transpose(self, g: Ops[V], dy: V, type: TensorType, *, axes: tuple[int, ...]) -> Any:
        """Flipped back."""
        return g.flip(dy, axes=axes)

    def element(self, index: tuple[Position, ...], x: Operand, *, axes: tuple[int, ...]) -> Expr:
        """size - 1 - position"""
        sizes = x.type.shape
        return x(*(affine(i, -1, sizes[k] - 1) if k in axes else i for k, i in enumerate(index)))

    def simplify(self, g: Any, xs: Sequence[Any], node: Any) -> Any:
        """No axes, or the same flip twice, are nothing."""
        before = g.producer(xs[0])
        if before is not None and before.op == self.name:
            again = before.attributes["axes"] == node.attributes["axes"]
            return before.inputs[0] if again else None
        return moved_fill(g, xs[0], node) if node.attributes["axes"] else xs[0]


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
