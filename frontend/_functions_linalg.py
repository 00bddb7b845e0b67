"""Linear algebra that solves: systems, inverses, determinants, ranks, least squares.

Matrices are the last two dimensions, those before are a batch. f32 and f64 only; integers and
halves raise `DTypeError`."""

from __future__ import annotations

from typing import Any

import numpy as np

from intaglio._apply import apply, full, one
from intaglio._core import Tensor
from intaglio._functions_compare import eq
from intaglio._functions_elementwise import where
from intaglio._functions_linalg_results import (
    InverseStatus,
    LeastSquares,
    Slogdet,
    SolveStatus,
    TriangularSolution,
)
from intaglio._functions_matmul import matmul
from intaglio._functions_movement import matrix_transpose, narrow, permute, reshape, unsqueeze
from intaglio._functions_reduce import amax, sum as total
from intaglio._kind import kind_of
from intaglio._modes import modes
from intaglio._promote import as_tensor_like, broadcast_shapes, cast, expand_to, spelled
from intaglio._scope import spot, where_of
from intaglio.compiler.dims import Dim, product
from intaglio.compiler.dtypes import float32, int64
from intaglio.compiler.errors import ArgumentError, DTypeError, ShapeError, TraceError


def check_matrix(name: str, *tensors: Tensor, square: bool = False) -> None:
    """Refuse what is no tensor of f32 or f64 matrices; with `square` the first must be square."""
    for x in tensors:
        if not isinstance(x, Tensor):
            raise DTypeError(f"{name}: a tensor is wanted, not {type(x).__name__}")
        if x._kind.rank < 2:
            raise ShapeError(f"{name}: {x._kind} is no matrix ({where_of(spot())})")
        check_float(name, x)
    first = tensors[0]
    rows, columns = first.shape[-2:]
    if square and rows != columns and isinstance(rows, int) and isinstance(columns, int):
        raise ShapeError(f"{name}: {first._kind} is no square matrix ({where_of(spot())})")


def check_float(name: str, x: Tensor) -> None:
    """Refuse what LAPACK has no numbers for, and dtypes that no operand may have."""
    if not isinstance(x, Tensor):
        raise DTypeError(f"{name}: a tensor is wanted, not {type(x).__name__}")
    if x._kind.dtype.kind != "f" or x._kind.dtype.size < 4:
        raise DTypeError(f"{name}: {x._kind}: f32 or f64 is wanted; cast it ({where_of(spot())})")


def one_batch(name: str, *tensors: Tensor) -> list[Tensor]:
    """The matrices of several operands with their batches broadcast to one."""
    for x in tensors[1:]:
        if x.dtype is not tensors[0].dtype:
            raise DTypeError(
                f"{name}: {', '.join(str(t._kind) for t in tensors)}: the dtypes differ"
                f" ({where_of(spot())})"
            )
    try:
        batch = broadcast_shapes(*(x.shape[:-2] for x in tensors))
    except ShapeError as error:
        texts = ", ".join(str(t._kind) for t in tensors)
        raise ShapeError(f"{name}: {texts}: {error} ({where_of(spot())})") from None
    return [expand_to(x, (*batch, *x.shape[-2:])) for x in tensors]


def is_vector(a: Tensor, b: Tensor) -> bool:
    """Whether the right-hand side is a batch of vectors, by torch's rule."""
    shape = tuple(b.shape)
    return b.ndim == 1 or (a.ndim - 1 == b.ndim and shape == tuple(a.shape[:-1]))


# -------------------------------------------------------------------------------- systems, inverses


def _solved(name: str, a: Tensor, b: Tensor, left: bool, check: bool) -> tuple[Tensor, Tensor]:
    check_matrix(name, a, square=True)
    check_float(name, b)
    vector = is_vector(a, b)
    if vector and not left:
        raise ArgumentError(f"{name}: a vector on the right has no left=False form")
    b = unsqueeze(b, -1) if vector else b
    check_matrix(name, b)
    if not left:
        a, b = matrix_transpose(a), matrix_transpose(b)
    made, info = apply("solve", one_batch(name, a, b), {"check": check})
    if not left:
        made = matrix_transpose(made)
    return (reshape(made, *made.shape[:-1]) if vector else made), info


@spelled
def solve(A: Tensor, B: Tensor, *, left: bool = True) -> Tensor:
    """X with `A X = B` (`X A = B` if not `left`). A: [..., n, n]; B: [..., n, k], or [..., n] for
    vectors. Raises `LinAlgError` where A is singular."""
    return _solved("solve", A, B, left, True)[0]


@spelled
def solve_ex(A: Tensor, B: Tensor, *, left: bool = True, check_errors: bool = False) -> SolveStatus:
    """As `solve`, with a status per matrix instead of an error: NaN where A is singular."""
    return SolveStatus(*_solved("solve_ex", A, B, left, check_errors))


@spelled
def inv(A: Tensor) -> Tensor:
    """The inverse of square matrices; raises `LinAlgError` for singular ones."""
    check_matrix("inv", A, square=True)
    return apply("inverse", (A,), {"check": True})[0]


inverse = inv


@spelled
def inv_ex(A: Tensor, *, check_errors: bool = False) -> InverseStatus:
    """As `inv`, with a status per matrix instead of an error: NaN where A is singular."""
    check_matrix("inv_ex", A, square=True)
    return InverseStatus(*apply("inverse", (A,), {"check": check_errors}))


@spelled
def solve_triangular(
    A: Tensor, B: Tensor, *, upper: bool, left: bool = True, unitriangular: bool = False
) -> Tensor:
    """X with `A X = B` (`X A = B` if not `left`), reading only the upper or the lower triangle of
    A; with `unitriangular` its diagonal counts as ones. Both: [..., n, n], [..., n, k]."""
    check_matrix("solve_triangular", A, B, square=True)
    if not left:
        A, B, upper = matrix_transpose(A), matrix_transpose(B), not upper
    attributes = {"lower": not upper, "unit": bool(unitriangular)}
    made = apply("solve_triangular", one_batch("solve_triangular", A, B), attributes)[0]
    return made if left else matrix_transpose(made)


@spelled
def triangular_solve(
    b: Tensor,
    A: Tensor,
    upper: bool = True,
    transpose: bool = False,
    unitriangular: bool = False,
) -> TriangularSolution:
    """X with `A X = b` (`A^T X = b` if `transpose`), and a copy of A."""
    check_matrix("triangular_solve", A, b, square=True)
    matrix, bound = (matrix_transpose(A), not upper) if transpose else (A, upper)
    made = solve_triangular(matrix, b, upper=bound, unitriangular=unitriangular)
    return TriangularSolution(made, expand_to(A, (*made.shape[:-2], *A.shape[-2:])).clone())


@spelled
def tensorinv(A: Tensor, ind: int = 2) -> Tensor:
    """The inverse of A for `tensordot` over `ind` dimensions: the product of the first `ind` sizes
    must be that of the others."""
    if not isinstance(ind, int) or ind <= 0:
        raise ArgumentError(f"tensorinv: ind is a positive integer, not {ind!r}")
    rows, columns = tuple(A.shape[:ind]), tuple(A.shape[ind:])
    if product(rows) != product(columns):
        raise ShapeError(
            f"tensorinv: {A._kind}: the sizes before dimension {ind} have the product"
            f" {product(rows)}, those after it {product(columns)}"
        )
    flat = reshape(A, product(rows), product(columns))
    return reshape(inv(flat), *columns, *rows)


@spelled
def tensorsolve(A: Tensor, B: Tensor, dims: Any = None) -> Tensor:
    """X with `tensordot(A, X, X.ndim) == B`; `dims` of A are moved to its end first."""
    if dims is not None:
        moved = [d % A.ndim for d in dims]
        A = permute(A, *(k for k in range(A.ndim) if k not in moved), *moved)
    shape = tuple(A.shape[B.ndim :])
    if product(shape) != B.numel() or A.numel() != B.numel() * product(shape):
        raise ShapeError(
            f"tensorsolve: {A._kind} and {B._kind}: the sizes of A beyond those of B must have"
            " B's number of elements as their product"
        )
    count = product(shape)
    return reshape(solve(reshape(A, count, count), reshape(B, count)), *shape)


# ------------------------------------------------------------------------------------- determinants


@spelled
def det(A: Tensor) -> Tensor:
    """The determinant of square matrices: [..., n, n] -> [...]."""
    check_matrix("det", A, square=True)
    return one("det", A)


@spelled
def slogdet(A: Tensor) -> Slogdet:
    """The sign of the determinant and the log of its size: (0, -inf) for singular matrices."""
    check_matrix("slogdet", A, square=True)
    return Slogdet(*apply("slogdet", (A,)))


@spelled
def logdet(input: Tensor) -> Tensor:
    """The log of the determinant: NaN where that is negative, -inf where it is 0."""
    sign, size = slogdet(input)
    return where(sign < 0, full(np.nan, size._kind), size)


@spelled
def matrix_exp(A: Tensor) -> Tensor:
    """The matrix exponential of square matrices, `I + A + A A / 2 + ...`. Halves are computed in
    f32."""
    if isinstance(A, Tensor) and A.dtype.kind == "f" and A.dtype.size < 4:
        return cast(matrix_exp(cast(A, float32)), A.dtype)
    check_matrix("matrix_exp", A, square=True)
    return one("matrix_exp", A)


# -------------------------------------------------------------------------- ranks and least squares


def epsilon(x: Tensor) -> float:
    """The distance from 1 to the next number of the dtype."""
    return 2.0**-23 if x.dtype is float32 else 2.0**-52


def tolerances(name: str, x: Tensor, atol: Any, rtol: Any) -> tuple[Tensor, Tensor]:
    """The absolute and relative tolerance, one per matrix. The relative one is the dtype's
    precision times the larger size, or 0 where an absolute one is given."""
    batch = tuple(x.shape[:-2])
    for bound in (atol, rtol):
        if isinstance(bound, Tensor) and bound.dtype.kind not in "fiu":
            raise DTypeError(f"{name}: a tolerance is a number, not {bound._kind}")
    absolute = as_tensor_like(0.0 if atol is None else atol, x.dtype)
    if rtol is None:
        sizes = x.shape[-2:]
        if any(isinstance(size, Dim) for size in sizes):
            raise ArgumentError(f"{name}: {x._kind} has an unknown size; give rtol")
        number = full(epsilon(x) * max(*sizes), absolute._kind)
        relative = where(absolute > 0, full(0, absolute._kind), number)
    else:
        relative = as_tensor_like(rtol, x.dtype)
    try:
        return _per_matrix(absolute, batch), _per_matrix(relative, batch)
    except ShapeError as error:
        raise ShapeError(f"{name}: {x._kind}: tolerances: {error}") from None


def _per_matrix(bound: Tensor, batch: tuple[Any, ...]) -> Tensor:
    return expand_to(bound, broadcast_shapes(batch, bound.shape))


@spelled
def pinv(
    A: Tensor,
    rcond: Any = None,
    hermitian: bool = False,
    *,
    atol: Any = None,
    rtol: Any = None,
) -> Tensor:
    """The Moore-Penrose inverse: [..., m, n] -> [..., n, m]. Singular values up to
    `max(atol, rtol * largest)` count as zero; tolerances are numbers, or one per matrix. With
    `hermitian`, A is symmetric and only its lower triangle is read."""
    check_matrix("pinv", A, square=hermitian)
    absolute, relative = tolerances("pinv", A, atol, rcond if rtol is None else rtol)
    batch = tuple(broadcast_shapes(A.shape[:-2], absolute.shape, relative.shape))
    wide = expand_to(A, (*batch, *A.shape[-2:]))
    operands = (wide, expand_to(absolute, batch), expand_to(relative, batch))
    return apply("pinv", operands, {"hermitian": bool(hermitian)})[0]


def pinverse(input: Tensor, rcond: float = 1e-15) -> Tensor:
    """`pinv` with a relative tolerance."""
    return pinv(input, rcond)


@spelled
def matrix_rank(
    A: Tensor,
    tol: Any = None,
    hermitian: bool = False,
    *,
    atol: Any = None,
    rtol: Any = None,
) -> Tensor:
    """How many singular values (of `hermitian` matrices: sizes of eigenvalues) are greater than
    `max(atol, rtol * largest)`: i64[...]. `tol` is an absolute tolerance."""
    from intaglio._functions_linalg_factor import eigvalsh, svdvals

    check_matrix("matrix_rank", A, square=hermitian)
    if tol is not None:
        atol, rtol = tol, 0.0 if rtol is None else rtol
    absolute, relative = tolerances("matrix_rank", A, atol, rtol)
    sizes = abs(eigvalsh(A)) if hermitian else svdvals(A)
    shape = tuple(broadcast_shapes(A.shape[:-2], absolute.shape, relative.shape))
    if sizes.shape[-1] == 0:
        return expand_to(full(0, kind_of(int64, ())), shape)
    limit = relative * amax(sizes, -1)
    limit = where(absolute > limit, absolute, limit)
    return total(cast(sizes > unsqueeze(limit, -1), int64), -1)


_DRIVERS = ("gels", "gelsy", "gelsd", "gelss")


@spelled
def lstsq(A: Tensor, B: Tensor, rcond: float | None = None, *, driver: Any = None) -> LeastSquares:
    """X that makes `|A X - B|` smallest (and |X| among those): A [..., m, n], B [..., m, k] or
    vectors [..., m]. All drivers use singular values here, and differ in what else they return, as
    in torch: `gelsy` the rank; `gelsd` and `gelss` the rank, the singular values and, where m > n
    and every matrix has full rank, the residuals; `gels`, which takes full rank for granted, only
    the residuals where m > n."""
    name = "gelsy" if driver is None else driver
    if name not in _DRIVERS:
        raise ArgumentError(f"lstsq: driver is one of {', '.join(_DRIVERS)}, not {driver!r}")
    check_matrix("lstsq", A)
    check_float("lstsq", B)
    vector = is_vector(A, B)
    right = unsqueeze(B, -1) if vector else B
    check_matrix("lstsq", right)
    if right.shape[-2] != A.shape[-2]:
        raise ShapeError(
            f"lstsq: {A._kind} and {B._kind}: the numbers of rows differ ({where_of(spot())})"
        )
    a, right = one_batch("lstsq", A, right)
    rows, columns = a.shape[-2:]
    bound = epsilon(a) * max(rows, columns) if rcond is None else rcond
    found = matmul(pinv(a, rtol=0.0 if name == "gels" else bound), right)
    none = narrow(reshape(a, a.numel()), 0, 0, 0)
    rank, sizes, residuals = full(0, kind_of(int64, (0,))), none, none
    if name != "gels":
        rank = matrix_rank(A, rtol=bound)
    if name in ("gelsd", "gelss"):
        from intaglio._functions_linalg_factor import svdvals

        sizes = svdvals(A)
    if rows > columns and name != "gelsy" and (name == "gels" or _all_full(rank, columns)):
        away = matmul(a, found) - right
        residuals = total(away * away, -2)
    solution = reshape(found, *found.shape[:-1]) if vector else found
    return LeastSquares(solution, residuals, rank, sizes)


def _all_full(rank: Tensor, columns: Any) -> bool:
    if modes.trace is not None:
        raise TraceError(
            "lstsq: whether there are residuals depends on data, the ranks of the matrices"
            f" ({where_of(spot())}); give driver='gels' (full rank) or use pinv(A) @ B"
        )
    return bool((rank._data == columns).all())


def identity(rows: Any, columns: Any, like: Tensor) -> Tensor:
    """Ones on the diagonal of a matrix, in the dtype of another tensor."""
    shape = (rows, columns)
    row = one("iota", dtype=int64, shape=shape, axis=0)
    return cast(eq(row, one("iota", dtype=int64, shape=shape, axis=1)), like.dtype)


def identity_like(x: Tensor) -> Tensor:
    """The identity in the dtype and shape of square matrices."""
    return expand_to(identity(x.shape[-2], x.shape[-1], x), tuple(x.shape))
