"""Algorithms of linear algebra that NumPy lacks, over batches of matrices: LU with pivoting,
triangular solves, the exponential, the pseudoinverse, cofactors.

LU and the triangular solve go by blocks of columns: short loops over the columns of a block, whole
products for the rest, so that most of the work is done by BLAS."""

from __future__ import annotations

import math
from typing import Final

import numpy as np

from intaglio.compiler.op import Array

BLOCK: Final = 48
"""Columns that are eliminated one by one before the rest is updated by a product."""


def lu(a: Array) -> tuple[Array, Array, Array]:
    """L (below the diagonal, ones implied) and U in one matrix, the row that was exchanged with
    each row (from 0), and the number of the first zero pivot (from 1; 0: none)."""
    rows, columns = a.shape[-2:]
    least = min(rows, columns)
    count = math.prod(a.shape[:-2])
    made = np.array(a, order="C").reshape(count, rows, columns)
    pivots = np.zeros((count, least), np.int64)
    every = np.arange(count)
    with np.errstate(all="ignore"):
        for start in range(0, least, BLOCK):
            stop = min(start + BLOCK, least)
            for j in range(start, stop):
                best = j + np.argmax(np.abs(made[:, j:, j]), axis=1)
                pivots[:, j] = best
                chosen = made[every, best]
                made[every, best] = made[:, j]
                made[:, j] = chosen
                pivot = made[:, j, j]
                made[:, j + 1 :, j] /= np.where(pivot == 0, 1, pivot)[:, None]
                made[:, j + 1 :, j + 1 : stop] -= (
                    made[:, j + 1 :, j, None] * made[:, j, None, j + 1 : stop]
                )
            square = made[:, start:stop, start:stop]
            right = substituted(square, made[:, start:stop, stop:], lower=True, unit=True)
            made[:, start:stop, stop:] = right
            made[:, stop:, stop:] -= made[:, stop:, start:stop] @ right
    zero = np.diagonal(made, axis1=1, axis2=2) == 0
    info = np.where(zero.any(1), zero.argmax(1) + 1 if least else 0, 0).astype(np.int32)
    batch = a.shape[:-2]
    return made.reshape(a.shape), pivots.reshape(*batch, least), info.reshape(batch)


def permutation(pivots: Array, rows: int) -> Array:
    """The order of rows that a sequence of exchanges makes: row i of the result is row
    `permutation[i]` of the operand."""
    flat = pivots.reshape(math.prod(pivots.shape[:-1]), pivots.shape[-1])
    order = np.tile(np.arange(rows), (len(flat), 1))
    every = np.arange(len(flat))
    for j in range(flat.shape[1]):
        other = order[every, flat[:, j]]
        order[every, flat[:, j]] = order[:, j]
        order[:, j] = other
    return order.reshape(*pivots.shape[:-1], rows)


def substituted(t: Array, b: Array, *, lower: bool, unit: bool) -> Array:
    """x with t x = b for a triangle t; what lies in its other half is not read. A zero on the
    diagonal gives infinities and NaN, as LAPACK's own does."""
    x = np.array(b, order="C")
    size = t.shape[-1]
    starts = range(0, size, BLOCK)
    with np.errstate(all="ignore"):
        for start in starts if lower else reversed(starts):
            stop = min(start + BLOCK, size)
            for i in range(start, stop) if lower else reversed(range(start, stop)):
                if not unit:
                    x[..., i, :] /= t[..., i, i, None]
                rest = slice(i + 1, stop) if lower else slice(start, i)
                x[..., rest, :] -= t[..., rest, i, None] * x[..., None, i, :]
            outside = slice(stop, size) if lower else slice(0, start)
            x[..., outside, :] -= t[..., outside, start:stop] @ x[..., start:stop, :]
    return x


def cholesky(a: Array) -> tuple[Array, Array]:
    """The lower factors of matrices, and the order of the first leading minor that is not positive
    (0: none), at which the factor is left as it is."""
    flat = np.tril(a).reshape(math.prod(a.shape[:-2]), *a.shape[-2:])
    info = np.zeros(len(flat), np.int32)
    for number, matrix in enumerate(flat):
        try:
            matrix[:] = np.linalg.cholesky(matrix)
        except np.linalg.LinAlgError:
            info[number] = _cholesky_until(matrix)
    return flat.reshape(a.shape), info.reshape(a.shape[:-2])


def _cholesky_until(matrix: Array) -> int:
    """Factor a matrix in place column by column; the number of the first that fails, from 1."""
    for j in range(len(matrix)):
        left = matrix[j, j] - matrix[j, :j] @ matrix[j, :j]
        if not left > 0:
            return j + 1
        matrix[j, j] = np.sqrt(left)
        matrix[j + 1 :, j] -= matrix[j + 1 :, :j] @ matrix[j, :j]
        matrix[j + 1 :, j] /= matrix[j, j]
    return 0


_PADE: Final = tuple(
    math.comb(13, k) * math.factorial(26 - k) / math.factorial(26) for k in range(14)
)
"""The coefficients of the diagonal Padé approximant of degree 13, the first being 1."""
_REACH: Final = 5.371920351148152
"""The 1-norm up to which the approximant is exact in f64 (Higham 2005)."""


def exponential(a: Array) -> Array:
    """The matrix exponential: each matrix is halved until its 1-norm is small, the diagonal Padé
    approximant of degree 13 is taken in f64, and squared as often as it was halved."""
    x = a.astype(np.float64)
    if not x.size:
        return x.astype(a.dtype)
    finite = np.isfinite(x).all((-2, -1), keepdims=True)
    x = np.where(finite, x, 0.0)
    with np.errstate(all="ignore"):
        norm = np.abs(x).sum(-2).max(-1)
        halved = np.maximum(np.ceil(np.log2(np.maximum(norm / _REACH, 1.0))), 0.0)
        x = x / np.exp2(halved)[..., None, None]
        made = _approximant(x)
        for step in range(int(halved.max())):
            made = np.where((step < halved)[..., None, None], made @ made, made)
        return np.where(finite, made, np.nan).astype(a.dtype)


def _approximant(x: Array) -> Array:
    one = np.broadcast_to(np.eye(x.shape[-1]), x.shape)
    x2 = x @ x
    x4 = x2 @ x2
    x6 = x4 @ x2
    c = _PADE
    odd = x6 @ (c[13] * x6 + c[11] * x4 + c[9] * x2)
    odd = x @ (odd + c[7] * x6 + c[5] * x4 + c[3] * x2 + c[1] * one)
    even = x6 @ (c[12] * x6 + c[10] * x4 + c[8] * x2)
    even = even + c[6] * x6 + c[4] * x4 + c[2] * x2 + one
    return np.asarray(np.linalg.solve(even - odd, even + odd))


def pseudoinverse(a: Array, atol: Array, rtol: Array, hermitian: bool) -> Array:
    """The Moore-Penrose inverse; singular values up to max(atol, rtol * largest) count as zero."""
    if hermitian:
        values, vectors = np.linalg.eigh(a)
        left, right, sizes = vectors, np.swapaxes(vectors, -1, -2), np.abs(values)
    else:
        left, values, right = np.linalg.svd(a, full_matrices=False)
        sizes = values
    largest = sizes.max(-1, initial=0.0)
    cutoff = np.maximum(atol, rtol * largest)[..., None]
    with np.errstate(all="ignore"):
        inverse = np.where(sizes > cutoff, 1 / values, 0).astype(a.dtype)
    made = np.swapaxes(right, -1, -2) * inverse[..., None, :] @ np.swapaxes(left, -1, -2)
    return np.ascontiguousarray(made)


def cofactors(a: Array) -> Array:
    """The derivative of the determinant by each element, from the singular values: it exists for
    singular matrices too. a = u s v: det(u) det(v) u p v, where p_i is the product of all s but
    s_i."""
    u, s, v = np.linalg.svd(a)
    size = s.shape[-1]
    others = np.where(np.eye(size, dtype=bool), 1.0, s[..., None, :]).prod(-1)
    sign = np.rint(np.linalg.det(u) * np.linalg.det(v))
    return np.ascontiguousarray((u * (others * sign[..., None])[..., None, :]) @ v).astype(a.dtype)
