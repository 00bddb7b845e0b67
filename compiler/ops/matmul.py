"""The matrix product."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

import numpy as np

from intaglio.compiler.dims import Shape, holds, same_shape
from intaglio.compiler.errors import DTypeError, ShapeError
from intaglio.compiler.ir import Node, Value
from intaglio.compiler.op import Array, Op, Ops, Rewriter, Sample, V
from intaglio.compiler.ops.rules import check_count, check_kind
from intaglio.compiler.types import TensorType


def swapped(g: Ops[V], x: V) -> V:
    """x with its last two dims exchanged."""
    rank = g.type_of(x).rank
    made: V = g.permute(x, axes=(*range(rank - 2), rank - 1, rank - 2))
    return made


def _unswapped(g: Rewriter, x: Value) -> Value:
    """x with its last two dims swapped: what was swapped before, if it was."""
    before = g.producer(x)
    rank = x.type.rank
    axes = (*range(rank - 2), rank - 1, rank - 2)
    if before is not None and before.op == "permute" and before.attributes["axes"] == axes:
        return before.inputs[0]
    return swapped(g, x)


class Matmul(Op):
    """`a[..., m, k] @ b[..., k, n]` with equal leading dims. Each element is one chain of fused
    multiply-adds over k, from 0."""

    name, exact = "matmul", "iu"
    kernel: ClassVar[str] = "matmul"
    samples = (
        Sample("f64[3,4]", "f64[4,5]"),
        Sample("f32[3,4]", "f32[4,5]"),
        Sample("f32[2,3,4,5]", "f32[2,3,5,2]"),
        Sample("f64[2,1,7]", "f64[2,7,1]"),
        Sample("f32[33,65]", "f32[65,17]"),
        Sample("f32[70,3]", "f32[3,130]"),
        Sample("f32[0,3]", "f32[3,2]"),
        Sample("f32[2,0]", "f32[0,3]"),
        Sample("f64[0,2,3]", "f64[0,3,2]"),
        Sample("i64[3,4]", "i64[4,2]"),
        Sample("i32[1,4]", "i32[4,1]"),
    )

    def type(self, *types: TensorType) -> TensorType:
        """The leading dims, then m and n."""
        check_count(self, types, 2)
        check_kind(self, types, "fiu")
        a, b = types
        text = f"{a} @ {b}"
        if a.dtype is not b.dtype:
            raise DTypeError(f"{self.name}: {text}: the dtypes {a.dtype} and {b.dtype} differ")
        if a.rank < 2 or a.rank != b.rank:
            raise ShapeError(f"{self.name}: {text}: both ranks must be equal, and 2 at least")
        if not same_shape(a.shape[:-2], b.shape[:-2]):
            raise ShapeError(f"{self.name}: {text}: the leading sizes differ")
        if not holds(a.shape[-1], "==", b.shape[-2]):
            raise ShapeError(
                f"{self.name}: {text}: the inner sizes {a.shape[-1]} and {b.shape[-2]} differ"
            )
        return a.with_shape(*a.shape[:-1], b.shape[-1])

    def reference(self, a: Array, b: Array) -> Array:
        """NumPy's matmul, floats in f64."""
        with np.errstate(all="ignore"):
            if a.dtype.kind != "f":
                return np.asarray(np.matmul(a, b))
            wide = np.matmul(a.astype(np.float64), b.astype(np.float64))
            return np.asarray(wide, a.dtype)

    def vjp(
        self,
        g: Ops[V],
        dys: Sequence[V | None],
        ys: Sequence[V],
        xs: Sequence[V],
        needs: Sequence[bool],
    ) -> Sequence[V | None]:
        """dy b^T and a^T dy"""
        dy, (a, b) = dys[0], xs
        if dy is None or not g.type_of(a).dtype.is_floating_point:
            return [None, None]
        return [
            g.matmul(dy, swapped(g, b)) if needs[0] else None,
            g.matmul(swapped(g, a), dy) if needs[1] else None,
        ]

    def permuted(self, g: Rewriter, node: Node, axes: Sequence[int]) -> Value | None:
        """The transposed product is the product of the transposed in the other order: every element
        is the same chain."""
        rank = len(axes)
        if tuple(axes) != (*range(rank - 2), rank - 1, rank - 2):
            return None
        a, b = node.inputs
        made: Value = g.matmul(_unswapped(g, b), _unswapped(g, a))
        return made

    def reshaped(self, g: Rewriter, node: Node, shape: Shape) -> Value | None:
        """Rows taken apart again into leading dims and rows, so that what follows elementwise runs
        over the same dims as the product. The second operand serves all leading positions."""
        a, b = node.inputs
        k, n = b.type.shape[-2:]
        if b.type.rank != 2 or len(shape) < 3 or shape[-1] != n:
            return None
        wide = g.expand(b, shape=(*shape[:-2], k, n), axes=(len(shape) - 2, len(shape) - 1))
        rows = (*shape[:-1], k)
        before = g.producer(a)
        while before is not None and before.op == "reshape":
            a = before.inputs[0]
            before = g.producer(a)
        made: Value = g.matmul(a if a.type.shape == rows else g.reshape(a, shape=rows), wide)
        return made

    def jvp(
        self, g: Ops[V], dxs: Sequence[V | None], xs: Sequence[V], ys: Sequence[V]
    ) -> Sequence[V | None]:
        """da b + a db"""
        (da, db), (a, b) = dxs, xs
        left = None if da is None else g.matmul(da, b)
        right = None if db is None else g.matmul(a, db)
        return [right if left is None else left if right is None else g.add(left, right)]
