"""`strided`: another look at an operand by counting in steps, the op behind diagonals, sliding
windows and `as_strided`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from intaglio.compiler.dims import Dim, Shape, Size, bounds, holds, product
from intaglio.compiler.dtypes import int64
from intaglio.compiler.errors import ArgumentError, IndexError
from intaglio.compiler.loop import Expr, Operand, Position
from intaglio.compiler.op import Array, Ops, Sample, V
from intaglio.compiler.ops.movement import Movement, affine, moved_fill, size_of
from intaglio.compiler.ops.rules import check_count, check_per_axis, check_shape, refused
from intaglio.compiler.types import TensorType

Steps = tuple[tuple[Size, ...], ...]


class Strided(Movement):
    """Element i of the result lies at `starts[k] + sum over j of steps[k][j] * i[j]` along each dim
    k of the operand. Steps are not negative; several elements may lie at one place.

    The diagonal of a matrix has the steps ((1,), (1,)), windows of three over a vector ((1, 1),).
    """

    name = "strided"
    samples = (
        Sample("f64[3,4]", shape=(3,), starts=(0, 1), steps=((1,), (1,))),
        Sample("f64[7]", shape=(3, 3), starts=(1,), steps=((1, 1),)),
        Sample("f32[2,70]", shape=(2, 11, 9), starts=(0, 0), steps=((1, 0, 0), (0, 6, 1))),
        Sample("f32[5,5,3]", shape=(3, 4), starts=(1, 0, 0), steps=((0, 1), (0, 1), (1, 0))),
        Sample("f64[4]", shape=(2, 3), starts=(1,), steps=((0, 1),)),
        Sample("f32[]", shape=(1,), starts=(), steps=()),
        Sample("i64[4,4]", shape=(0,), starts=(0, 4), steps=((1,), (1,))),
        Sample("bool[9]", shape=(2, 2), starts=(0,), steps=((4, 2),)),
    )

    def type(self, *types: TensorType, shape: Shape, starts: Shape, steps: Steps) -> TensorType:
        """The shape asked for; its first and last elements must lie in the operand."""
        check_count(self, types, 1)
        check_shape(self, types, shape)
        check_per_axis(self, types, starts=starts)
        if not isinstance(steps, tuple) or len(steps) != types[0].rank:
            raise refused(
                ArgumentError, self, types, f"steps {steps!r} has not one row for each dim"
            )
        for row in steps:
            if not isinstance(row, tuple) or len(row) != len(shape):
                raise refused(ArgumentError, self, types, f"the steps {row!r} do not fit {shape}")
            if any(not _is_step(step) for step in row):
                raise refused(ArgumentError, self, types, f"the steps {row!r} are not >= 0")
        if not any(size == 0 for size in shape):
            for size, start, row in zip(types[0].shape, starts, steps, strict=True):
                last = start
                for step, count in zip(row, shape, strict=True):
                    last = last + step * (count - 1) if step != 0 else last
                if not holds(last + 1, "<=", size):
                    rule = f"position {last} is out of range for a size of {size}"
                    raise refused(IndexError, self, types, rule)
        return types[0].with_shape(*shape)

    def reference(
        self, x: Array, *, shape: tuple[int, ...], starts: tuple[int, ...], steps: Any
    ) -> Array:
        """NumPy's as_strided: a view."""
        if 0 in shape:
            return np.zeros(shape, x.dtype)
        first = x[tuple(slice(start, None) for start in starts)]
        strides = [
            sum(row[j] * stride for row, stride in zip(steps, x.strides, strict=True))
            for j in range(len(shape))
        ]
        return np.lib.stride_tricks.as_strided(first, shape, strides)

    def transpose(
        self, g: Ops[V], dy: V, type: TensorType, *, shape: Shape, starts: Shape, steps: Steps
    ) -> Any:
        """dy added where it came from, in row-major order."""
        flat, count = product(type.shape), product(shape)
        counted = g.reshape(g.iota(dtype=int64, shape=(flat,), axis=0), shape=type.shape)
        places = g.strided(counted, shape=shape, starts=starts, steps=steps)
        into = g.full(0.0, type.dtype, (flat,))
        index, source = g.reshape(places, shape=(count,)), g.reshape(dy, shape=(count,))
        return g.reshape(g.index_add(into, index, source, axis=0), shape=type.shape)

    def element(
        self,
        index: tuple[Position, ...],
        x: Operand,
        *,
        shape: Shape,
        starts: Shape,
        steps: Steps,
    ) -> Expr:
        """start + the sum of step * position"""
        return x(*(_place(index, start, row) for start, row in zip(starts, steps, strict=True)))

    def simplify(self, g: Any, xs: Sequence[Any], node: Any) -> Any:
        """Of a fill a smaller fill."""
        return moved_fill(g, xs[0], node)


def _is_step(step: Any) -> bool:
    return isinstance(step, int | Dim) and not isinstance(step, bool) and bounds(step)[0] >= 0


def _place(index: tuple[Position, ...], start: Size, row: Sequence[Size]) -> Position:
    """The position along one dim of the operand."""
    moving = [(i, step) for i, step in zip(index, row, strict=True) if step != 0]
    if len(moving) == 1 and isinstance(moving[0][1], int):
        return affine(moving[0][0], moving[0][1], start)
    for i, step in moving:
        start = start + size_of(i) * step
    return start
