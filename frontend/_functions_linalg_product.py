"""Products of linear algebra: chains of matrices, cross and dot products, Vandermonde matrices,
covariances."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from intaglio._apply import full
from intaglio._core import Tensor
from intaglio._functions_diagonal import diagonal as diagonal_of
from intaglio._functions_elementwise import clamp, mul, sqrt
from intaglio._functions_join import cat, roll
from intaglio._functions_linalg import check_matrix
from intaglio._functions_linalg_factor import qr, svd
from intaglio._functions_linalg_results import SvdTurned
from intaglio._functions_matmul import matmul, matrix_power as power_of
from intaglio._functions_movement import matrix_transpose, reshape, unsqueeze
from intaglio._functions_prefix import cumprod
from intaglio._functions_reduce import axis_of, mean, sum as total
from intaglio._kind import kind_of
from intaglio._promote import (
    broadcast_shapes,
    cast,
    expand_to,
    pair,
    result_type,
    spelled,
    to_float,
)
from intaglio.compiler.errors import ArgumentError, DTypeError, ShapeError


@spelled
def vecdot(input: Tensor, y: Tensor, *, dim: int = -1) -> Tensor:
    """The dot products of vectors along `dim`, other dimensions broadcast."""
    return total(_products("vecdot", input, y), dim, dtype=input.dtype)


def _products(name: str, x: Tensor, y: Tensor) -> Tensor:
    if not (isinstance(x, Tensor) and isinstance(y, Tensor)):
        raise DTypeError(f"{name}: two tensors are wanted")
    if x.dtype is not y.dtype:
        raise DTypeError(f"{name}: {x._kind} and {y._kind}: the dtypes differ")
    a, b = pair(name, x, y)
    return mul(a, b)


def cross_along(name: str, a: Tensor, b: Tensor, dim: int) -> Tensor:
    """a x b along a dimension, by turned copies: element i is a_(i+1) b_(i+2) - a_(i+2) b_(i+1)."""
    for x in (a, b):
        if x.shape[axis_of(name, x, dim)] != 3:
            raise ShapeError(f"{name}: {x._kind}: dimension {dim} has not size 3")
    axis = axis_of(name, a, dim)
    a, b = pair(name, a, b)
    return roll(a, -1, axis) * roll(b, -2, axis) - roll(a, -2, axis) * roll(b, -1, axis)


def check_ranks(name: str, a: Tensor, b: Tensor) -> None:
    """Refuse operands of different ranks."""
    if a.ndim != b.ndim:
        raise ShapeError(f"{name}: {a._kind} and {b._kind}: the numbers of dimensions differ")


@spelled
def cross(input: Tensor, other: Tensor, *, dim: int = -1) -> Tensor:
    """The cross products of vectors of 3 along `dim`; other dimensions are broadcast."""
    check_ranks("cross", input, other)
    return cross_along("cross", input, other, dim)


def diagonal(A: Tensor, *, offset: int = 0, dim1: int = -2, dim2: int = -1) -> Tensor:
    """The diagonals of matrices: as `ig.diagonal`, of the last two dimensions unless said."""
    return diagonal_of(A, offset, dim1, dim2)


@spelled
def matrix_power(A: Tensor, n: int) -> Tensor:
    """Square matrices multiplied with themselves n times; with n < 0, their inverses."""
    return power_of(A, n)


@spelled
def vander(input: Tensor, N: int | None = None) -> Tensor:
    """The powers 0 to N - 1 of every element (N: the last size): [..., n] -> [..., n, N], of
    integers in i64."""
    input = input if input.ndim else reshape(input, 1)
    if input.dtype.kind == "b":
        raise DTypeError("vander: bools have no powers")
    count = input.shape[-1] if N is None else N
    if isinstance(count, int) and count <= 1:
        raise ArgumentError(f"vander: {input._kind}: N is 2 at least, not {count}")
    shape = tuple(input.shape)
    wide = expand_to(unsqueeze(input, -1), (*shape, count - 1))
    powers = cumprod(wide, -1)
    return cat([full(1, kind_of(powers.dtype, (*shape, 1))), powers], -1)


# ------------------------------------------------------------------------------- chains of matrices


@spelled
def multi_dot(tensors: Sequence[Tensor]) -> Tensor:
    """The product of two or more matrices, in the order of pairs that multiplies least; the first
    and the last may be vectors."""
    given = list(tensors)
    if len(given) < 2:
        raise ArgumentError(f"multi_dot: two matrices at least are wanted, not {len(given)}")
    for k, x in enumerate(given):
        ranks = (1, 2) if k in (0, len(given) - 1) else (2,)
        if x.ndim not in ranks:
            raise ShapeError(f"multi_dot: operand {k}, {x._kind}, is no matrix")
        if x.dtype is not given[0].dtype:
            raise DTypeError(f"multi_dot: {given[0]._kind} and {x._kind}: the dtypes differ")
    row, column = given[0].ndim == 1, given[-1].ndim == 1
    if row:
        given[0] = unsqueeze(given[0], 0)
    if column:
        given[-1] = unsqueeze(given[-1], -1)
    for a, b in zip(given, given[1:], strict=False):
        if a.shape[1] != b.shape[0]:
            raise ShapeError(f"multi_dot: {a._kind} @ {b._kind}: the inner sizes differ")
    made = _multiplied(given, _cheapest([a.shape[0] for a in given] + [given[-1].shape[1]]))
    shape = [s for s, gone in zip(made.shape, (row, column), strict=True) if not gone]
    return reshape(made, *shape) if len(shape) == 2 else reshape(made, tuple(shape))


def _cheapest(sizes: Sequence[Any]) -> dict[tuple[int, int], int]:
    """Where to split every run of matrices i..j, matrix k being sizes[k] x sizes[k + 1]: dynamic
    programming over runs of growing length. Unknown sizes are taken from the left."""
    count = len(sizes) - 1
    split: dict[tuple[int, int], int] = {}
    if not all(isinstance(size, int) for size in sizes):
        return {(i, j): j - 1 for i in range(count) for j in range(i + 1, count)}
    cost = {(i, i): 0 for i in range(count)}
    for length in range(1, count):
        for i in range(count - length):
            j = i + length
            cost[i, j], split[i, j] = min(
                (cost[i, k] + cost[k + 1, j] + sizes[i] * sizes[k + 1] * sizes[j + 1], k)
                for k in range(i, j)
            )
    return split


def _multiplied(parts: Sequence[Tensor], split: dict[tuple[int, int], int]) -> Tensor:
    def run(i: int, j: int) -> Tensor:
        if i == j:
            return parts[i]
        k = split[i, j]
        return matmul(run(i, k), run(k + 1, j))

    return run(0, len(parts) - 1)


# -------------------------------------------------------------------------------------- covariances


def _weights(name: str, given: Tensor | None, count: Any, kinds: str) -> Tensor | None:
    if given is None:
        return None
    if given.ndim > 1 or given.dtype.kind not in kinds or given.numel() != count:
        raise ArgumentError(
            f"cov: {name} {given._kind} are not one {'whole ' if kinds == 'iu' else ''}number for"
            f" each of {count} observations"
        )
    from intaglio._modes import modes

    if modes.trace is None and bool((given._data < 0).any()):
        raise ArgumentError(f"cov: {name} holds a negative weight")
    return reshape(given, count)


def cov(
    input: Tensor,
    *,
    correction: int = 1,
    fweights: Tensor | None = None,
    aweights: Tensor | None = None,
) -> Tensor:
    """The covariances of variables (rows) over observations (columns): [n, m] -> [n, n]; of one
    variable a number. `fweights`: how often each observation counts (integers); `aweights`: how
    much."""
    if input.ndim > 2:
        raise ShapeError(f"cov: {input._kind}: two dimensions at most are wanted")
    if input.dtype.kind == "b":
        raise DTypeError("cov: bools have no covariance; cast them")
    x = reshape(input, 1, input.numel()) if input.ndim < 2 else input
    count = x.shape[1]
    often = _weights("fweights", fweights, count, "iu")
    much = _weights("aweights", aweights, count, "f")
    x = to_float(x)
    weights: Tensor | None = None
    if often is not None or much is not None:
        given = [w for w in (often, much) if w is not None]
        x = cast(x, result_type(x, *given))
        parts = [cast(w, x.dtype) for w in given]
        weights = parts[0] if len(parts) == 1 else parts[0] * parts[1]
    if weights is None:
        away = x - mean(x, 1, True) if count else x
        left: Any = max(count - correction, 0)
        made = matmul(away, matrix_transpose(away)) / left
    else:
        sum_of = total(weights)
        away = x - unsqueeze(total(x * weights, 1) / sum_of, 1)
        if much is None or correction == 0:
            left = sum_of - correction
        else:
            left = sum_of - correction * total(weights * cast(much, x.dtype)) / sum_of
        made = matmul(away * weights, matrix_transpose(away)) / clamp(left, min=0)
    return made if input.ndim == 2 and x.shape[0] != 1 else reshape(made, _squeezed(made))


def _squeezed(x: Tensor) -> tuple[Any, ...]:
    return tuple(s for s in x.shape if s != 1)


def corrcoef(input: Tensor) -> Tensor:
    """Pearson's correlations of variables (rows) over observations (columns): between -1 and 1."""
    if input.ndim > 2:
        raise ShapeError(f"corrcoef: {input._kind}: two dimensions at most are wanted")
    made = cov(input)
    if made.ndim == 0:
        return made / made
    spread = sqrt(diagonal_of(made))
    return clamp(made / unsqueeze(spread, 1) / unsqueeze(spread, 0), -1, 1)


# ---------------------------------------------------------------------- low-rank by random products


def _range_of(a: Tensor, q: int, niter: int) -> Tensor:
    """q orthonormal columns that nearly span a: products of a with random vectors, made
    orthonormal, `niter` more times through a^T and a (Halko, Martinsson and Tropp, 2011,
    algorithm 4.4)."""
    from intaglio._functions_random import randn  # which needs tensors with their methods

    batch = tuple(a.shape[:-2])
    start = randn(*batch, a.shape[-1], q, dtype=a.dtype)
    made = qr(matmul(a, start)).Q
    for _ in range(niter):
        made = qr(matmul(matrix_transpose(a), made)).Q
        made = qr(matmul(a, made)).Q
    return made


def svd_lowrank(
    A: Tensor, q: int | None = 6, niter: int | None = 2, M: Tensor | None = None
) -> SvdTurned:
    """About the q largest singular values of A - M and their vectors: U [..., m, q], S, V
    [..., n, q], by random products (see `_range_of`)."""
    check_matrix("svd_lowrank", A)
    x = A if M is None else A - expand_to(M, broadcast_shapes(A.shape, M.shape))
    rows, columns = x.shape[-2:]
    wanted = min(6 if q is None else q, rows, columns)
    steps = 2 if niter is None else niter
    if rows < columns:
        v, s, u = svd_lowrank(matrix_transpose(x), wanted, steps)
        return SvdTurned(u, s, v)
    span = _range_of(x, wanted, steps)
    u, s, v = svd(matmul(matrix_transpose(span), x), False)
    return SvdTurned(matmul(span, u), s, matrix_transpose(v))


def pca_lowrank(A: Tensor, q: int | None = None, center: bool = True, niter: int = 2) -> SvdTurned:
    """About the q (6, if None) principal components of the rows of A [..., m, n]: `svd_lowrank` of
    A, with each column's mean taken away if `center`."""
    check_matrix("pca_lowrank", A)
    rows, columns = A.shape[-2:]
    wanted = min(6, rows, columns) if q is None else q
    if not 0 <= wanted <= min(rows, columns):
        raise ArgumentError(
            f"pca_lowrank: {A._kind}: q is from 0 to the smaller size, not {wanted}"
        )
    if niter < 0:
        raise ArgumentError(f"pca_lowrank: niter is no negative number: {niter}")
    x = A - mean(A, -2, True) if center else A
    return svd_lowrank(x, wanted, niter)
