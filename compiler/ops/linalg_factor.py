"""Ops of linear algebra that take a matrix apart: `cholesky`, `lu_factor`, `qr`, `svd`, `eigh`, and
what goes with them.

Derivatives follow Giles (2008), Townsend (2016) and Seeger et al. (2017). Where two singular values
or eigenvalues are equal, the derivative of the vectors does not exist and comes out infinite or
NaN; the derivative of the values alone is right everywhere."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from intaglio.compiler.dims import Size, compare, minimum
from intaglio.compiler.dtypes import int64
from intaglio.compiler.errors import DTypeError, GradientError, ShapeError
from intaglio.compiler.op import Array, Ops, Sample, V
from intaglio.compiler.ops import linalg_numpy as algorithms
from intaglio.compiler.ops.linalg_rules import (
    Matrices,
    MatrixOp,
    check_flags,
    check_matrices,
    converged,
    failed,
    info_type,
)
from intaglio.compiler.ops.rules import check_count, check_size, refused
from intaglio.compiler.types import TensorType

_RANDOM = np.random.default_rng(12)
_SQUARE = _RANDOM.standard_normal((2, 3, 3))
_POSITIVE = _SQUARE @ np.swapaxes(_SQUARE, -1, -2) + np.eye(3)
_SYMMETRIC = _SQUARE + np.swapaxes(_SQUARE, -1, -2)
_TALL = _RANDOM.standard_normal((2, 4, 3))
_WIDE = _RANDOM.standard_normal((3, 5))
_SINGLE = _TALL.astype(np.float32)


class Cholesky(MatrixOp):
    """The lower triangle L with `L L^T = a`, and a status per matrix: the order of the first
    leading minor that is not positive (0: none), which with `check` is an error.

    Only the lower triangle of a is read; the derivative is that along symmetric changes of a, and
    symmetric."""

    name = "cholesky"
    samples = (
        Sample(_POSITIVE, check=True, derivative=False),
        Sample(_POSITIVE.astype(np.float32), check=True),
        Sample(np.array([[1.0, 2.0], [2.0, 1.0]]), check=False, derivative=False),
        Sample("f64[0,2,2]", check=True),
        Sample("f32[0,0]", check=True),
    )

    def type(self, *types: TensorType, check: bool) -> tuple[TensorType, TensorType]:
        """The operand's type, and the status."""
        check_matrices(self, types, 1, square=True)
        check_flags(self, types, check=check)
        return types[0], info_type(types[0])

    def reference(self, a: Array, *, check: bool) -> tuple[Array, Array]:
        """NumPy's cholesky."""
        info = np.zeros(a.shape[:-2], np.int32)
        try:
            return np.linalg.cholesky(np.ascontiguousarray(a)), info
        except np.linalg.LinAlgError:
            made, info = algorithms.cholesky(a)
        if check and info.any():
            raise failed(
                self, info, "it is not positive-definite: its leading minor of order {} is not"
            )
        return made, info

    def vjp(
        self,
        g: Ops[V],
        dys: Sequence[V | None],
        ys: Sequence[V],
        xs: Sequence[V],
        needs: Sequence[bool],
        *,
        check: bool,
    ) -> Sequence[V | None]:
        """L^-T sym(phi(L^T dL)) L^-1, phi being the lower triangle with half the diagonal."""
        if dys[0] is None:
            return [None]
        m, factor = Matrices(g), ys[0]
        inner = m.half_diagonal(m.keep(m.mm(m.t(factor), dys[0]), "le"))
        made = m.triangular(m.t(factor), m.symmetric(inner), lower=False)
        return [m.triangular(factor, made, lower=True, right=True)]


class LuFactor(MatrixOp):
    """LU with partial pivoting: `a[order] = L U`. Results are L (below the diagonal; ones implied)
    and U in one matrix, the row that was exchanged with each row (i64, from 0), the order of rows
    that makes (i64), and a status: the number of the first zero pivot (0: none), which with `check`
    is an error."""

    name = "lu_factor"
    samples = (
        Sample(_SQUARE, check=True),
        Sample(_TALL, check=True),
        Sample(_WIDE, check=True),
        Sample(_SINGLE, check=True),
        Sample("f64[60,60]", check=True, derivative=False),
        Sample(np.array([[1.0, 2.0], [2.0, 4.0]]), check=False, derivative=False),
        Sample("f64[0,2,3]", check=True),
        Sample("f32[0,0]", check=True),
    )

    def type(self, *types: TensorType, check: bool) -> tuple[TensorType, ...]:
        """The operand's type, exchanges, order, status."""
        check_matrices(self, types, 1, square=False)
        check_flags(self, types, check=check)
        a = types[0]
        rows, columns = a.shape[-2:]
        least = smaller(rows, columns)
        batch = a.shape[:-2]
        order = TensorType(int64, (*batch, rows))
        return a, TensorType(int64, (*batch, least)), order, info_type(a)

    def reference(self, a: Array, *, check: bool) -> tuple[Array, ...]:
        """By blocks of columns."""
        made, pivots, info = algorithms.lu(a)
        if check and info.any():
            raise failed(self, info, "it is singular: pivot {} is exactly zero")
        return made, pivots, algorithms.permutation(pivots, a.shape[-2]), info

    def vjp(
        self,
        g: Ops[V],
        dys: Sequence[V | None],
        ys: Sequence[V],
        xs: Sequence[V],
        needs: Sequence[bool],
        *,
        check: bool,
    ) -> Sequence[V | None]:
        """With the square blocks L, U and the further rows l of L or columns u of U:
        L^-T (strictly lower of (L^T dL - du u^T) + upper of (dU U^T - l^T dl)) U^-T; of further
        rows dl U^-T, of further columns L^-T du. Then the rows go back to where they were."""
        d, made = dys[0], ys[0]
        if d is None:
            return [None]
        m = Matrices(g)
        rows, columns = m.shape(made)[-2:]
        k = smaller(rows, columns)
        ends = (k, k)
        square, dsquare = m.part(made, (0, 0), ends), m.part(d, (0, 0), ends)
        low = m.keep(square, "lt")
        lower, upper = m.sum(low, m.identity(square)), m.keep(square, "ge")
        assert lower is not None
        below = m.mm(m.t(lower), m.keep(dsquare, "lt"))
        above = m.mm(m.keep(dsquare, "ge"), m.t(upper))
        wide, tall = (compare(rows, columns) in (known, None) for known in (-1, 1))
        if wide:  # or perhaps: these parts may be empty
            right, dright = m.part(made, (0, k), (k, columns)), m.part(d, (0, k), (k, columns))
            below = g.sub(below, m.mm(dright, m.t(right)))
        if tall:
            rest, drest = m.part(made, (k, 0), (rows, k)), m.part(d, (k, 0), (rows, k))
            above = g.sub(above, m.mm(m.t(rest), drest))
        inner = g.add(m.keep(below, "lt"), m.keep(above, "ge"))
        inner = m.triangular(m.t(lower), inner, lower=False, unit=True)
        inner = m.triangular(m.t(upper), inner, lower=True, right=True)
        rank = len(m.shape(made))
        if wide:
            more = m.triangular(m.t(lower), dright, lower=False, unit=True)
            inner = g.concat(inner, more, axis=rank - 1)
        if tall:
            more = m.triangular(m.t(upper), drest, lower=True, right=True)
            if wide:
                corner = (*m.shape(made)[:-2], rows - k, columns - k)
                none = g.full(0.0, g.type_of(made).dtype, corner)
                more = g.concat(more, none, axis=rank - 1)
            inner = g.concat(inner, more, axis=rank - 2)
        order = m.rows(ys[2], columns)
        return [g.scatter_add(g.like(0.0, inner), order, inner, axis=rank - 2)]


def smaller(a: Size, b: Size) -> Size:
    """The smaller of two sizes."""
    return minimum(a, b)


class LuOrder(MatrixOp):
    """The order of `rows` rows that a sequence of exchanges (from 0) makes: row i of the result is
    row `order[i]` of the operand."""

    name = "lu_order"
    samples = (
        Sample(np.array([[2, 2, 2], [1, 1, 2]]), rows=3),
        Sample(np.array([3, 1]), rows=4),
        Sample(np.zeros((0, 2), np.int64), rows=2),
    )

    def type(self, *types: TensorType, rows: Size) -> TensorType:
        """i64[..., rows]"""
        check_count(self, types, 1)
        check_size(self, types, "rows", rows)
        if types[0].dtype is not int64:
            raise refused(DTypeError, self, types, f"exchanges are i64, not {types[0].dtype}")
        if not types[0].rank:
            raise refused(ShapeError, self, types, "one exchange per row is wanted")
        return types[0].with_shape(*types[0].shape[:-1], rows)

    def reference(self, pivots: Array, *, rows: int) -> Array:
        """One exchange after the other."""
        if pivots.size and (pivots.min() < 0 or pivots.max() >= rows):
            raise ShapeError(f"lu_order: an exchange is out of range for {rows} rows")
        return algorithms.permutation(pivots, rows)


class Qr(MatrixOp):
    """`a = q r`, q with orthonormal columns, r upper triangular: q [..., m, k], r [..., k, n] with
    k = min(m, n), or with `complete` k = m. LAPACK's Householder reflections, signs included."""

    name = "qr"
    samples = (
        Sample(_TALL, complete=False),
        Sample(_SQUARE, complete=True),
        Sample(_WIDE, complete=False),
        Sample(_WIDE, complete=True),
        Sample(_SINGLE, complete=False),
        Sample("f64[0,2,3]", complete=True),
        Sample("f32[3,0]", complete=False),
    )

    def type(self, *types: TensorType, complete: bool) -> tuple[TensorType, TensorType]:
        """q and r."""
        check_matrices(self, types, 1, square=False)
        check_flags(self, types, complete=complete)
        *batch, rows, columns = types[0].shape
        k = rows if complete else smaller(rows, columns)
        return types[0].with_shape(*batch, rows, k), types[0].with_shape(*batch, k, columns)

    def reference(self, a: Array, *, complete: bool) -> tuple[Array, Array]:
        """NumPy's qr."""
        mode = "complete" if complete else "reduced"
        q, r = np.linalg.qr(np.ascontiguousarray(a), mode=mode)  # type: ignore[call-overload]  # one of two literals
        return np.ascontiguousarray(q), np.ascontiguousarray(r)

    def vjp(
        self,
        g: Ops[V],
        dys: Sequence[V | None],
        ys: Sequence[V],
        xs: Sequence[V],
        needs: Sequence[bool],
        *,
        complete: bool,
    ) -> Sequence[V | None]:
        """For m >= n: (dq + q sym(upper(dr r^T - q^T dq))) r^-T; otherwise r's square block alone
        determines q, and the further columns are q^T a."""
        (dq, dr), (q, r) = dys, ys
        if dq is None and dr is None:
            return [None]
        m = Matrices(g)
        rows, columns = m.shape(xs[0])[-2:]
        wide = compare(rows, columns) == -1
        if complete and not wide and rows != columns:
            raise GradientError(
                f"qr: {g.type_of(xs[0])}: the complete q of a tall matrix has columns that a does"
                " not determine, so it has no derivative; use mode='reduced'"
            )
        inner = m.sum(
            None if dr is None else m.mm(dr, m.t(r)),
            None if dq is None else g.neg(m.mm(m.t(q), dq)),
        )
        assert inner is not None
        if not wide:
            upper = m.half_diagonal(m.keep(inner, "ge"))
            made = m.sum(m.mm(q, g.add(upper, m.t(upper))), dq)
            assert made is not None
            return [m.triangular(m.t(r), made, lower=True, right=True)]
        lower = m.half_diagonal(m.keep(g.sub(m.t(inner), inner), "le"))
        square = m.part(r, (0, 0), (rows, rows))
        made = m.triangular(m.t(square), m.mm(q, lower), lower=True, right=True)
        rank = len(m.shape(r))
        none = g.full(0.0, g.type_of(r).dtype, (*m.shape(r)[:-1], columns - rows))
        made = g.concat(made, none, axis=rank - 1)
        return [made if dr is None else g.add(made, m.mm(q, dr))]


class Geqrf(MatrixOp):
    """The Householder form of QR: r in and above the diagonal, the reflections' vectors below it
    (ones implied), and their factors tau. It has no derivative; `qr` has."""

    name = "geqrf"
    samples = (
        Sample(_TALL, derivative=False),
        Sample(_WIDE, derivative=False),
        Sample(_SINGLE),
        Sample("f64[0,2,3]", derivative=False),
    )

    def type(self, *types: TensorType) -> tuple[TensorType, TensorType]:
        """The operand's type, and one factor per reflection."""
        check_matrices(self, types, 1, square=False)
        *batch, rows, columns = types[0].shape
        return types[0], types[0].with_shape(*batch, smaller(rows, columns))

    def reference(self, a: Array) -> tuple[Array, Array]:
        """NumPy's raw mode, which is LAPACK's geqrf transposed."""
        made, tau = np.linalg.qr(np.ascontiguousarray(a), mode="raw")
        return np.ascontiguousarray(np.swapaxes(made, -1, -2)), np.ascontiguousarray(tau)


class Svd(MatrixOp):
    """`a = u diag(s) v`: u [..., m, k], s descending [..., k], v [..., k, n], k = min(m, n); with
    `full`, u and v are square. LAPACK's gesdd."""

    name = "svd"
    samples = (
        Sample(_TALL, full=False),
        Sample(_WIDE, full=False),
        Sample(_SQUARE, full=True),
        Sample(_WIDE, full=True, derivative=False),
        Sample(_SINGLE, full=False),
        Sample("f64[0,2,3]", full=True),
        Sample("f32[3,0]", full=False),
    )

    def type(self, *types: TensorType, full: bool) -> tuple[TensorType, ...]:
        """u, s and v."""
        check_matrices(self, types, 1, square=False)
        check_flags(self, types, full=full)
        a = types[0]
        *batch, rows, columns = a.shape
        k = smaller(rows, columns)
        return (
            a.with_shape(*batch, rows, rows if full else k),
            a.with_shape(*batch, k),
            a.with_shape(*batch, columns if full else k, columns),
        )

    def reference(self, a: Array, *, full: bool) -> tuple[Array, ...]:
        """NumPy's svd."""
        plain = np.ascontiguousarray(a)
        made = converged(self, lambda: np.linalg.svd(plain, full_matrices=full))
        return tuple(map(np.ascontiguousarray, made))

    def vjp(
        self,
        g: Ops[V],
        dys: Sequence[V | None],
        ys: Sequence[V],
        xs: Sequence[V],
        needs: Sequence[bool],
        *,
        full: bool,
    ) -> Sequence[V | None]:
        """Townsend's formula, of the first k columns of u and rows of v."""
        if all(d is None for d in dys):
            return [None]
        m, s, ds = Matrices(g), ys[1], dys[1]
        rows, columns = m.shape(xs[0])[-2:]
        k = m.shape(s)[-1]
        u, v = m.part(ys[0], (0, 0), (rows, k)), m.part(ys[2], (0, 0), (k, columns))
        du = None if dys[0] is None else m.part(dys[0], (0, 0), (rows, k))
        dv = None if dys[2] is None else m.part(dys[2], (0, 0), (k, columns))
        if du is None and dv is None:
            assert ds is not None
            return [m.mm(g.mul(u, m.columns(ds, rows)), v)]
        inner = m.sum(
            None if du is None else g.mul(_skew(m, m.mm(m.t(u), du)), m.columns(s, k)),
            None if dv is None else g.mul(_skew(m, m.mm(v, m.t(dv))), m.rows(s, k)),
        )
        assert inner is not None
        squares = g.mul(s, s)
        gaps = g.sub(m.columns(squares, k), m.rows(squares, k))
        inner = g.div(inner, g.where(m.mask(gaps, "eq"), g.like(1.0, gaps), gaps))
        inner = m.sum(inner, None if ds is None else m.diagonal_matrix(ds))
        assert inner is not None
        left = m.mm(u, inner)
        if du is not None and compare(rows, columns) != -1 and rows != columns:
            scaled = g.div(du, m.columns(s, rows))
            left = g.add(left, g.sub(scaled, m.mm(u, m.mm(m.t(u), scaled))))
        made = m.mm(left, v)
        if dv is not None and compare(rows, columns) != 1 and rows != columns:
            scaled = g.div(dv, m.rows(s, columns))
            made = g.add(made, m.mm(u, g.sub(scaled, m.mm(m.mm(scaled, m.t(v)), v))))
        return [made]


def _skew(m: Matrices[V], x: V) -> V:
    """x - x^T"""
    made: V = m.g.sub(x, m.t(x))
    return made


class Eigh(MatrixOp):
    """Eigenvalues (ascending) and orthonormal eigenvectors (in columns) of symmetric matrices:
    `a = v diag(w) v^T`. Only the lower triangle is read; the derivative is that along symmetric
    changes of a. LAPACK's syevd."""

    name = "eigh"
    samples = (
        Sample(_SYMMETRIC, derivative=False),
        Sample(_SYMMETRIC.astype(np.float32)),
        Sample("f64[0,2,2]"),
        Sample("f32[0,0]"),
    )

    def type(self, *types: TensorType) -> tuple[TensorType, TensorType]:
        """w and v."""
        check_matrices(self, types, 1, square=True)
        return types[0].with_shape(*types[0].shape[:-1]), types[0]

    def reference(self, a: Array) -> tuple[Array, Array]:
        """NumPy's eigh."""
        plain = np.ascontiguousarray(a)
        values, vectors = converged(self, lambda: np.linalg.eigh(plain))
        return np.ascontiguousarray(values), np.ascontiguousarray(vectors)

    def vjp(
        self,
        g: Ops[V],
        dys: Sequence[V | None],
        ys: Sequence[V],
        xs: Sequence[V],
        needs: Sequence[bool],
    ) -> Sequence[V | None]:
        """v (diag(dw) + skew(v^T dv) / (w_j - w_i)) v^T, which is symmetric."""
        (dw, dv), (w, v) = dys, ys
        if dw is None and dv is None:
            return [None]
        m = Matrices(g)
        n = m.shape(w)[-1]
        if dv is None:
            assert dw is not None
            return [m.mm(g.mul(v, m.columns(dw, n)), m.t(v))]
        gaps = g.sub(m.columns(w, n), m.rows(w, n))
        diagonal = m.mask(gaps, "eq")
        turn = g.mul(_skew(m, m.mm(m.t(v), dv)), g.like(0.5, v))
        inner = g.div(turn, g.where(diagonal, g.like(1.0, gaps), gaps))
        inner = g.where(diagonal, g.like(0.0, inner) if dw is None else m.rows(dw, n), inner)
        return [m.mm(m.mm(v, inner), m.t(v))]
