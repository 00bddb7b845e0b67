"""Ops that only move elements: their `element` rules map result positions to operand positions.

Positions are sizes over loop variables, so the maps compose and simplify by the algebra of `dims`;
a position may also be data (an expression), which the rules pass on unchanged where they can,
compute with where that is one multiplication and an addition, and refuse with `Unfusable`
elsewhere. All are linear: each one's forward rule is the op itself.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import numpy as np

from intaglio.compiler.dims import Dim, Shape, Size, floordiv, holds, modulo, product
from intaglio.compiler.dtypes import int64
from intaglio.compiler.errors import ArgumentError, ShapeError
from intaglio.compiler.loop import (
    Expr,
    Operand,
    Position,
    Unfusable,
    call,
    number,
)
from intaglio.compiler.op import Array, Op, Ops, Sample, V, op_named
from intaglio.compiler.ops.rules import (
    check_axes,
    check_axis,
    check_count,
    check_shape,
    kept_axes,
    refused,
)
from intaglio.compiler.types import TensorType

_BUFFERS: Final = 24
"""NumPy's own dtypes have lower numbers; only their arrays can serve as buffers."""


class Movement(Op):
    """Base of linear ops of one operand; `transpose` is the derivative rule."""

    exact = "fiub"

    def moves(self, **attributes: Any) -> bool:
        """Elements move."""
        return True

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
        if before is not None and g.used_once(xs[0]):
            made = op_named(before.op).reshaped(g, before, shape)
            if made is not None:
                return made
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
        if before is not None and g.used_once(xs[0]):
            made = op_named(before.op).permuted(g, before, axes)
            if made is not None:
                return made
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
        """NumPy's broadcast_to; made by hand where that is possible, in a third of its time."""
        if x.flags.c_contiguous and x.size and x.dtype.num < _BUFFERS and 0 not in shape:
            strides = [0] * len(shape)
            for size, stride, axis in zip(x.shape, x.strides, axes, strict=True):
                if size != 1:
                    strides[axis] = stride
            made: Array = np.ndarray(shape, x.dtype, x, 0, strides)
            made.flags.writeable = False
            return made
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
