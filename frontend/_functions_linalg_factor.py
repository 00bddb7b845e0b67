"""Linear algebra that takes matrices apart: Cholesky, LU, QR, singular values, eigenvalues.

Matrices are the last two dimensions, those before are a batch. f32 and f64 only. Where singular
values or eigenvalues coincide, the vectors have no derivative: it comes out infinite or NaN."""

from __future__ import annotations

from typing import Any, NoReturn

from intaglio._apply import apply, full, one
from intaglio._core import Tensor
from intaglio._custom import custom_vjp
from intaglio._functions_compare import eq
from intaglio._functions_diagonal import diag_embed, tril, triu
from intaglio._functions_linalg import (
    check_float,
    check_matrix,
    identity,
    identity_like,
    one_batch,
    solve_triangular,
)
from intaglio._functions_linalg_results import (
    CholeskyStatus,
    Eigh,
    Geqrf,
    Ldl,
    LdlStatus,
    Lu,
    LuFactor,
    LuFactorStatus,
    Qr,
    Svd,
)
from intaglio._functions_matmul import matmul
from intaglio._functions_movement import matrix_transpose, narrow, unsqueeze
from intaglio._kind import kind_of
from intaglio._promote import cast, expand_to, spelled
from intaglio.compiler.dims import minimum
from intaglio.compiler.dtypes import int32, int64
from intaglio.compiler.errors import ArgumentError, DTypeError, ShapeError

# ----------------------------------------------------------------------------------------- Cholesky


def _cholesky(name: str, a: Tensor, upper: bool, check: bool) -> tuple[Tensor, Tensor]:
    check_matrix(name, a, square=True)
    operand = matrix_transpose(a) if upper else a
    made, info = apply("cholesky", (operand,), {"check": check})
    return (matrix_transpose(made) if upper else made), info


@spelled
def cholesky(input: Tensor, upper: bool = False) -> Tensor:
    """The lower triangle L with `L L^T = A` (the upper one, `U^T U = A`, if `upper`); only that
    triangle of A is read. Raises `LinAlgError` where A is not positive-definite."""
    return _cholesky("cholesky", input, upper, True)[0]


@spelled
def cholesky_ex(
    input: Tensor, *, upper: bool = False, check_errors: bool = False
) -> CholeskyStatus:
    """As `cholesky`, with a status per matrix instead of an error: the order of the first leading
    minor that is not positive."""
    return CholeskyStatus(*_cholesky("cholesky_ex", input, upper, check_errors))


def _cholesky_solve_forward(lower: Tensor, b: Tensor) -> Tensor:
    inner = solve_triangular(lower, b, upper=False)
    return solve_triangular(matrix_transpose(lower), inner, upper=True)


def _cholesky_solve_backward(xs: Any, ys: Any, dys: Any) -> tuple[Tensor, Tensor]:
    """As torch: of `L L^T X = B` with all of L, though only its triangle is read."""
    lower, made = xs[0], ys[0]
    right = _cholesky_solve_forward(lower, dys[0])
    both = matmul(right, matrix_transpose(made))
    return -matmul(both + matrix_transpose(both), lower), right


_solve_by_cholesky = custom_vjp(_cholesky_solve_forward, _cholesky_solve_backward, "cholesky_solve")


@spelled
def cholesky_solve(B: Tensor, L: Tensor, upper: bool = False) -> Tensor:
    """X with `L L^T X = B` (`L^T L X = B` if `upper`)."""
    check_matrix("cholesky_solve", L, B, square=True)
    lower, right = one_batch("cholesky_solve", matrix_transpose(L) if upper else L, B)
    made: Tensor = _solve_by_cholesky(lower, right)
    return made


@spelled
def cholesky_inverse(L: Tensor, upper: bool = False) -> Tensor:
    """The inverse of `L L^T` (of `L^T L` if `upper`)."""
    check_matrix("cholesky_inverse", L, square=True)
    return cholesky_solve(identity_like(L), L, upper)


# ----------------------------------------------------------------------------------------------- LU


def _lu(name: str, a: Tensor, pivot: bool, check: bool) -> tuple[Tensor, ...]:
    check_matrix(name, a)
    if not pivot:
        raise ArgumentError(f"{name}: pivot=False is not supported on the CPU")
    return apply("lu_factor", (a,), {"check": check})


def _pivots(exchanges: Tensor) -> Tensor:
    return cast(exchanges + 1, int32)


@spelled
def lu_factor(A: Tensor, *, pivot: bool = True) -> LuFactor:
    """LU with partial pivoting: L (below the diagonal, ones implied) and U in one matrix, and the
    row that was exchanged with each row (i32, from 1). Raises `LinAlgError` for singular A."""
    made, exchanges, _, _ = _lu("lu_factor", A, pivot, True)
    return LuFactor(made, _pivots(exchanges))


@spelled
def lu_factor_ex(A: Tensor, *, pivot: bool = True, check_errors: bool = False) -> LuFactorStatus:
    """As `lu_factor`, with a status per matrix: the number of the first pivot that is zero."""
    made, exchanges, _, info = _lu("lu_factor_ex", A, pivot, check_errors)
    return LuFactorStatus(made, _pivots(exchanges), info)


@spelled
def lu(A: Tensor, *, pivot: bool = True) -> Lu:
    """`A = P L U`: a permutation, a lower triangle with ones on its diagonal, an upper one."""
    made, _, order, _ = _lu("lu", A, pivot, False)
    return Lu(_permutation(order, A), *_parts(made))


def _permutation(order: Tensor, a: Tensor) -> Tensor:
    """P with `P[order[j], j] = 1`, so that P times the reordered rows gives the rows as they
    were."""
    count = a.shape[-2]
    row = one("iota", dtype=int64, shape=(count, count), axis=0)
    return cast(eq(row, unsqueeze(order, -2)), a.dtype)


def _parts(packed: Tensor) -> tuple[Tensor, Tensor]:
    """L and U of a packed matrix."""
    rows, columns = packed.shape[-2:]
    least = minimum(rows, columns)
    low = tril(narrow(packed, -1, 0, least), -1)
    one_ = expand_to(identity(rows, least, packed), tuple(low.shape))
    return low + one_, triu(narrow(packed, -2, 0, least))


@spelled
def lu_unpack(
    LU_data: Tensor, LU_pivots: Tensor, unpack_data: bool = True, unpack_pivots: bool = True
) -> Lu:
    """P, L and U from the results of `lu_factor`; what is not unpacked is empty."""
    check_matrix("lu_unpack", LU_data)
    none = full(0, kind_of(LU_data.dtype, (0,)))
    P, L, U = none, none, none
    if unpack_pivots:
        P = _permutation(_order("lu_unpack", LU_data, LU_pivots), LU_data)
    if unpack_data:
        L, U = _parts(LU_data)
    return Lu(P, L, U)


def _order(name: str, packed: Tensor, pivots: Tensor) -> Tensor:
    """The order of rows, from pivots that count from 1."""
    if pivots.dtype is not int32:
        raise DTypeError(f"{name}: pivots are i32, as lu_factor gives them, not {pivots._kind}")
    least = minimum(*packed.shape[-2:])
    if pivots.ndim != packed.ndim - 1 or pivots.shape[-1] != least:
        raise ShapeError(f"{name}: {packed._kind}: the pivots {pivots._kind} are not {least} each")
    return one("lu_order", cast(pivots, int64) - 1, rows=packed.shape[-2])


@spelled
def lu_solve(
    LU: Tensor, pivots: Tensor, B: Tensor, *, left: bool = True, adjoint: bool = False
) -> Tensor:
    """X with `A X = B` from the factors of A; `X A = B` if not `left`; A^T for A if `adjoint`."""
    check_matrix("lu_solve", LU, B, square=True)
    order = _order("lu_solve", LU, pivots)
    if not left:
        turned = lu_solve(LU, pivots, matrix_transpose(B), adjoint=not adjoint)
        return matrix_transpose(turned)
    packed, right = one_batch("lu_solve", LU, B)
    order = expand_to(order, tuple(packed.shape[:-1]))
    permutation = _permutation(order, packed)
    if adjoint:  # A^T = U^T L^T P^T
        inner = solve_triangular(matrix_transpose(packed), right, upper=False)
        turned = matrix_transpose(packed)
        inner = solve_triangular(turned, inner, upper=True, unitriangular=True)
        return matmul(permutation, inner)
    rows = matmul(matrix_transpose(permutation), right)
    inner = solve_triangular(packed, rows, upper=False, unitriangular=True)
    return solve_triangular(packed, inner, upper=True)


# ---------------------------------------------------------------------------------------------- LDL


def _ldl(name: str, a: Tensor, check: bool) -> tuple[Tensor, ...]:
    check_matrix(name, a, square=True)
    return apply("ldl_factor", (a,), {"check": check})


@spelled
def ldl_factor(A: Tensor, *, hermitian: bool = False) -> Ldl:
    """`A = L D L^T` of symmetric matrices, of which only the lower triangle is read: L and D in one
    matrix, and the pivots (i32, as LAPACK has them). `hermitian` is the same for real numbers. It
    has no derivative. Raises `LinAlgError` where a block of D is zero."""
    made, pivots, _ = _ldl("ldl_factor", A, True)
    return Ldl(made, pivots)


@spelled
def ldl_factor_ex(A: Tensor, *, hermitian: bool = False, check_errors: bool = False) -> LdlStatus:
    """As `ldl_factor`, with a status per matrix instead of an error."""
    return LdlStatus(*_ldl("ldl_factor_ex", A, check_errors))


@spelled
def ldl_solve(LD: Tensor, pivots: Tensor, B: Tensor, *, hermitian: bool = False) -> Tensor:
    """X with `A X = B` from the results of `ldl_factor`."""
    check_matrix("ldl_solve", LD, B, square=True)
    if pivots.ndim != LD.ndim - 1 or tuple(pivots.shape) != tuple(LD.shape[:-1]):
        raise ShapeError(f"ldl_solve: {LD._kind}: the pivots {pivots._kind} are not one per row")
    packed, right = one_batch("ldl_solve", LD, B)
    wide = expand_to(pivots, tuple(packed.shape[:-1]))
    return apply("ldl_solve", (packed, wide, right))[0]


# ----------------------------------------------------------------------------------------------- QR

_MODES = ("reduced", "complete", "r")


@spelled
def qr(A: Tensor, mode: str = "reduced") -> Qr:
    """`A = Q R`, Q with orthonormal columns, R upper triangular. A [..., m, n], k = min(m, n):
    `reduced` gives Q [..., m, k] and R [..., k, n], `complete` Q [..., m, m], `r` only R (it has
    no derivative, as in torch)."""
    if mode not in _MODES:
        raise ArgumentError(f"qr: mode is one of {', '.join(_MODES)}, not {mode!r}")
    check_matrix("qr", A)
    if mode == "r":
        operand = one("stop_gradient", A) if A.requires_grad else A
        made = apply("qr", (operand,), {"complete": False})[1]
        return Qr(full(0, kind_of(A.dtype, (0,))), made)
    return Qr(*apply("qr", (A,), {"complete": mode == "complete"}))


@spelled
def geqrf(input: Tensor) -> Geqrf:
    """QR as LAPACK stores it: R in and above the diagonal, below it the vectors of Householder
    reflections, and their factors tau. It has no derivative; `qr` has."""
    check_matrix("geqrf", input)
    return Geqrf(*apply("geqrf", (input,)))


def _reflections(name: str, a: Tensor, tau: Tensor) -> tuple[Tensor, Tensor]:
    """V and T with `H_1 ... H_k = I - V T V^T`: T = (I + D S)^-1 D, with D = diag(tau) and S the
    strict upper triangle of V^T V (the compact form of Schreiber and Van Loan, 1989)."""
    check_matrix(name, a)
    check_float(name, tau)
    if tau.dtype is not a.dtype:
        raise DTypeError(f"{name}: {a._kind} and {tau._kind}: the dtypes differ")
    count = tau.shape[-1] if tau.ndim else 0
    rows, columns = a.shape[-2:]
    if tau.ndim != a.ndim - 1 or tuple(tau.shape[:-1]) != tuple(a.shape[:-2]) or count > columns:
        raise ShapeError(f"{name}: {a._kind}: tau {tau._kind} is not one factor per reflection")
    vectors = tril(narrow(a, -1, 0, count), -1)
    vectors = vectors + expand_to(identity(rows, count, a), tuple(vectors.shape))
    factors = unsqueeze(tau, -1)
    inner = triu(matmul(matrix_transpose(vectors), vectors), 1) * factors
    made = solve_triangular(inner, diag_embed(tau), upper=True, unitriangular=True)
    return vectors, made


@spelled
def householder_product(A: Tensor, tau: Tensor) -> Tensor:
    """The first n columns of the product of Householder reflections `I - tau_i v_i v_i^T`, whose
    vectors lie below the diagonal of A [..., m, n], m >= n."""
    check_matrix("householder_product", A)
    rows, columns = A.shape[-2:]
    if rows < columns:
        raise ShapeError(f"householder_product: {A._kind} is wider than tall")
    vectors, inner = _reflections("householder_product", A, tau)
    first = narrow(vectors, -2, 0, columns)
    start = expand_to(identity(rows, columns, A), tuple(A.shape))
    return start - matmul(vectors, matmul(inner, matrix_transpose(first)))


orgqr = householder_product


@spelled
def ormqr(
    input: Tensor, tau: Tensor, other: Tensor, left: bool = True, transpose: bool = False
) -> Tensor:
    """`other` multiplied by the product Q of Householder reflections (see `geqrf`) from the left,
    or the right; by Q^T if `transpose`."""
    check_matrix("ormqr", input, other)
    size = other.shape[-2 if left else -1]
    if size != input.shape[-2] or tuple(other.shape[:-2]) != tuple(input.shape[:-2]):
        raise ShapeError(f"ormqr: {input._kind} and {other._kind}: the sizes do not fit")
    vectors, inner = _reflections("ormqr", input, tau)
    inner = matrix_transpose(inner) if transpose else inner
    turned = matrix_transpose(vectors)
    if left:
        return other - matmul(vectors, matmul(inner, matmul(turned, other)))
    return other - matmul(matmul(matmul(other, vectors), inner), turned)


# --------------------------------------------------------------------- singular values, eigenvalues


@spelled
def svd(A: Tensor, full_matrices: bool = True, *, driver: Any = None) -> Svd:
    """`A = U diag(S) Vh`, S descending: U [..., m, m] and Vh [..., n, n], or, if not
    `full_matrices`, [..., m, k] and [..., k, n] with k = min(m, n)."""
    check_matrix("svd", A)
    if driver is not None:
        raise ArgumentError("svd: drivers exist for CUDA only; leave driver out")
    return Svd(*apply("svd", (A,), {"full": bool(full_matrices)}))


@spelled
def svdvals(A: Tensor, *, driver: Any = None) -> Tensor:
    """The singular values, descending: [..., m, n] -> [..., min(m, n)]."""
    return svd(A, False, driver=driver).S


def _lower(name: str, a: Tensor, UPLO: str) -> Tensor:
    check_matrix(name, a, square=True)
    if not isinstance(UPLO, str) or UPLO.upper() not in ("L", "U"):
        raise ArgumentError(f"{name}: UPLO is 'L' or 'U', not {UPLO!r}")
    return a if UPLO.upper() == "L" else matrix_transpose(a)


@spelled
def eigh(A: Tensor, UPLO: str = "L") -> Eigh:
    """Eigenvalues (ascending) and eigenvectors (columns) of symmetric matrices, of which only the
    lower (`UPLO="L"`) or upper triangle is read."""
    return Eigh(*apply("eigh", (_lower("eigh", A, UPLO),)))


@spelled
def eigvalsh(A: Tensor, UPLO: str = "L") -> Tensor:
    """The eigenvalues of symmetric matrices, ascending."""
    return apply("eigh", (_lower("eigvalsh", A, UPLO),))[0]


def _complex(name: str, A: Tensor) -> NoReturn:
    check_matrix(name, A, square=True)
    raise DTypeError(
        f"{name}: {A._kind}: the result is complex, and complex dtypes do not exist here;"
        " for symmetric matrices use eigh or eigvalsh"
    )


def eig(A: Tensor) -> NoReturn:
    """Eigenvalues of a general matrix are complex, and complex dtypes do not exist here: always
    raises `DTypeError`."""
    _complex("eig", A)


def eigvals(A: Tensor) -> NoReturn:
    """As `eig`: always raises `DTypeError`."""
    _complex("eigvals", A)
