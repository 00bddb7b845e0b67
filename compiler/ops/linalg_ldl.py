"""The ops `ldl_factor` and `ldl_solve`: symmetric matrices that need not be positive-definite, as
`L D L^T` by the diagonal pivoting of Bunch and Kaufman (1977).

D has blocks of one and two rows on its diagonal; L (ones implied) and D lie in the lower triangle
of one matrix. A pivot p > 0 says that the row was exchanged with row p (from 1); two equal negative
ones that a block of two rows begins there, whose second was exchanged with row -p: LAPACK's own
convention. Neither has a derivative, as in torch."""

from __future__ import annotations

import math
from typing import Final

import numpy as np

from intaglio.compiler.dims import holds, same_shape
from intaglio.compiler.dtypes import int32
from intaglio.compiler.errors import DTypeError, ShapeError
from intaglio.compiler.op import Array, Sample
from intaglio.compiler.ops.linalg_rules import (
    MatrixOp,
    check_flags,
    check_matrices,
    failed,
    info_type,
)
from intaglio.compiler.ops.rules import check_count, refused
from intaglio.compiler.types import TensorType

_ALPHA: Final = (1 + math.sqrt(17)) / 8
"""How much smaller than its column a pivot may be: it bounds the growth of elements."""
_RANDOM = np.random.default_rng(13).standard_normal((2, 5, 5))
_SYMMETRIC = _RANDOM + np.swapaxes(_RANDOM, -1, -2)
_HOLLOW = np.array([[0.0, 1.0, 2.0], [1.0, 0.0, 3.0], [2.0, 3.0, 0.0]])


def _choice(a: Array, k: int) -> tuple[int, int]:
    """The row that becomes pivot k, and whether it takes one row or two; -1 when all is zero."""
    below = np.abs(a[k + 1 :, k])
    here, most = abs(a[k, k]), below.max(initial=0.0)
    if max(here, most) == 0:
        return -1, 1
    if here >= _ALPHA * most:
        return k, 1
    row = k + 1 + int(below.argmax())
    across = max(np.abs(a[row, k:row]).max(), np.abs(a[row + 1 :, row]).max(initial=0.0))
    if here >= _ALPHA * most * (most / across):
        return k, 1
    return (row, 1) if abs(a[row, row]) >= _ALPHA * across else (row, 2)


def _exchange(a: Array, k: int, first: int, other: int) -> None:
    """Exchange two rows and columns of what is left, in the lower triangle."""
    a[other + 1 :, [first, other]] = a[other + 1 :, [other, first]]
    middle = a[first + 1 : other, first].copy()
    a[first + 1 : other, first] = a[other, first + 1 : other]
    a[other, first + 1 : other] = middle
    a[first, first], a[other, other] = a[other, other], a[first, first]
    if first > k:
        a[first, k], a[other, k] = a[other, k], a[first, k]


def _factor(a: Array) -> tuple[Array, int]:
    """Factor the lower triangle of one matrix in place; the pivots, and the number of the first
    block that is zero (from 1; 0: none)."""
    size, k, info = len(a), 0, 0
    pivots = np.zeros(size, np.int32)
    while k < size:
        row, step = _choice(a, k)
        if row < 0:
            info, row = info or k + 1, k
            pivots[k], k = k + 1, k + 1
            continue
        last = k + step - 1
        if row != last:
            _exchange(a, k, last, row)
        rest = slice(k + step, size)
        columns = a[rest, k : k + step].copy()
        block = a[k : k + step, k : k + step]
        if step == 2:
            block = np.array([[block[0, 0], block[1, 0]], [block[1, 0], block[1, 1]]])
        scaled = columns @ np.linalg.inv(block)
        a[rest, rest] -= np.tril(scaled @ columns.T)
        a[rest, k : k + step] = scaled
        pivots[k : k + step] = row + 1 if step == 1 else -(row + 1)
        k += step
    return pivots, info


def _blocks(pivots: Array) -> list[tuple[int, int, int]]:
    """The blocks of D: where each begins, how many rows it has, which row its last was exchanged
    with."""
    made, k = [], 0
    while k < len(pivots):
        step = 1 if pivots[k] > 0 else 2
        made.append((k, step, abs(int(pivots[k])) - 1))
        k += step
    return made


def _solve(a: Array, pivots: Array, x: Array) -> None:
    """Solve one system in place: L, D, then L^T, with the exchanges on the way."""
    blocks = _blocks(pivots)
    for k, step, row in blocks:
        last, end = k + step - 1, k + step
        x[[last, row]] = x[[row, last]]
        x[end:] -= a[end:, k:end] @ x[k:end]
        lower = np.tril(a[k:end, k:end])
        with np.errstate(all="ignore"):
            if step == 1:
                x[k] /= a[k, k]
            else:
                x[k:end] = np.linalg.inv(lower + np.tril(lower, -1).T) @ x[k:end]
    for k, step, row in reversed(blocks):
        last, end = k + step - 1, k + step
        x[k:end] -= a[end:, k:end].T @ x[end:]
        x[[last, row]] = x[[row, last]]


class LdlFactor(MatrixOp):
    """L and D of symmetric matrices (only the lower triangle is read), the pivots (i32), and a
    status per matrix: the number of the first block of D that is zero (0: none), with `check` an
    error."""

    name = "ldl_factor"
    samples = (
        Sample(_SYMMETRIC, check=True, derivative=False),
        Sample(_HOLLOW, check=True, derivative=False),
        Sample(_SYMMETRIC.astype(np.float32), check=True),
        Sample(np.zeros((2, 2)), check=False, derivative=False),
        Sample("f64[0,2,2]", check=True, derivative=False),
    )

    def type(self, *types: TensorType, check: bool) -> tuple[TensorType, ...]:
        """The operand's type, pivots, status."""
        check_matrices(self, types, 1, square=True)
        check_flags(self, types, check=check)
        return types[0], TensorType(int32, types[0].shape[:-1]), info_type(types[0])

    def reference(self, a: Array, *, check: bool) -> tuple[Array, ...]:
        """One matrix after the other."""
        count, size = math.prod(a.shape[:-2]), a.shape[-1]
        made = np.tril(a).reshape(count, size, size)
        pivots, info = np.zeros((count, size), np.int32), np.zeros(count, np.int32)
        for k, matrix in enumerate(made):
            pivots[k], info[k] = _factor(matrix)
        status = info.reshape(a.shape[:-2])
        if check and info.any():
            raise failed(self, status, "it is singular: block {} of D is exactly zero")
        return made.reshape(a.shape), pivots.reshape(a.shape[:-1]), status


class LdlSolve(MatrixOp):
    """x with `a x = b`, from the results of `ldl_factor`: a[..., n, n], pivots i32[..., n],
    b[..., n, k]."""

    name = "ldl_solve"
    samples = (
        Sample(_SYMMETRIC, np.tile(np.arange(1, 6, dtype=np.int32), (2, 1)), "f64[2,5,3]",
               derivative=False),
        Sample(_HOLLOW, np.array([-2, -2, 3], np.int32), "f64[3,2]", derivative=False),
        Sample("f32[0,0]", np.zeros(0, np.int32), "f32[0,2]"),
    )  # fmt: skip

    def type(self, *types: TensorType) -> TensorType:
        """The type of b."""
        check_count(self, types, 3)
        a, pivots, b = types
        if pivots.dtype is not int32:
            raise refused(DTypeError, self, types, f"pivots are i32, not {pivots.dtype}")
        check_matrices(self, (a, b), 2, square=True)
        if pivots.rank != a.rank - 1 or not same_shape(pivots.shape, a.shape[:-1]):
            raise refused(ShapeError, self, types, "one pivot per row is wanted")
        if not holds(a.shape[-1], "==", b.shape[-2]):
            raise refused(
                ShapeError, self, types, f"{a.shape[-1]} unknowns, {b.shape[-2]} rows on the right"
            )
        return b

    def reference(self, a: Array, pivots: Array, b: Array) -> Array:
        """One matrix after the other."""
        count, size = math.prod(a.shape[:-2]), a.shape[-1]
        order = pivots.reshape(count, size)
        if order.size and not ((np.abs(order) >= 1) & (np.abs(order) <= size)).all():
            raise ShapeError(f"ldl_solve: a pivot is out of range for {size} rows")
        x = np.array(b, order="C").reshape(count, size, b.shape[-1])
        for k, matrix in enumerate(a.reshape(count, size, size)):
            _solve(matrix, order[k], x[k])
        return x.reshape(b.shape)
