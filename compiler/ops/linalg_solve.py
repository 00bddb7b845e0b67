"""Ops of linear algebra that solve and invert: `solve`, `solve_triangular`, `inverse`, `pinv`,
`det`, `cofactor`, `slogdet`, and the function `matrix_exp`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from intaglio.compiler.dims import compare, holds, same_shape
from intaglio.compiler.errors import DTypeError, ShapeError
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
from intaglio.compiler.ops.rules import check_count, refused
from intaglio.compiler.types import TensorType

_RANDOM = np.random.default_rng(11)
_SQUARE = _RANDOM.standard_normal((2, 3, 3)) + 3 * np.eye(3)
_SMALL = _SQUARE[0].astype(np.float32)
_TRIANGLE = np.tril(_RANDOM.uniform(0.5, 1.5, (2, 4, 4)))
_SINGULAR = np.array([[1.0, 2.0, 3.0], [2.0, 4.0, 6.0], [1.0, 0.0, 1.0]])
_LOW = _RANDOM.standard_normal((4, 2)) @ _RANDOM.standard_normal((2, 3))
_ZERO, _TINY = np.zeros(()), np.array(1e-12)


class _Checked(MatrixOp):
    """Base: results are the answer and a status per matrix (i32; 0: good). With `check`, a status
    that is not 0 is an error; without, the answer of such a matrix is NaN."""

    def finished(self, made: Array, info: Array, check: bool) -> tuple[Array, Array]:
        """The results, or the error."""
        if info.any():
            if check:
                raise failed(self, info, "it is singular: pivot {} is exactly zero")
            bad = (info != 0)[..., None, None]
            made = np.where(bad, made.dtype.type(np.nan), made)
        return np.ascontiguousarray(made), info


def _solved(a: Array, b: Array) -> tuple[Array, Array]:
    """LAPACK's gesv; where it meets a singular matrix, the others are still solved."""
    info = np.zeros(a.shape[:-2], np.int32)
    try:
        return np.linalg.solve(a, b), info
    except np.linalg.LinAlgError:
        info = algorithms.lu(a)[2]
        good = np.where((info != 0)[..., None, None], np.eye(a.shape[-1], dtype=a.dtype), a)
        return np.linalg.solve(good, b), info


class Solve(_Checked):
    """x with `a x = b`: a[..., n, n], b[..., n, k]. LAPACK's gesv (LU with partial pivoting)."""

    name = "solve"
    samples = (
        Sample(_SQUARE, "f64[2,3,2]", check=True),
        Sample(_SQUARE[0], "f64[3,1]", check=True),
        Sample(_SMALL, "f32[3,4]", check=True),
        Sample(np.stack([_SINGULAR, np.eye(3)]), "f64[2,3,2]", check=False, derivative=False),
        Sample("f64[0,2,2]", "f64[0,2,3]", check=True),
        Sample("f64[2,0,0]", "f64[2,0,3]", check=True),
    )

    def type(self, *types: TensorType, check: bool) -> tuple[TensorType, TensorType]:
        """The type of b, and the status."""
        check_matrices(self, types, 2, square=True)
        check_flags(self, types, check=check)
        a, b = types
        if not holds(a.shape[-1], "==", b.shape[-2]):
            raise refused(
                ShapeError, self, types, f"{a.shape[-1]} unknowns, {b.shape[-2]} rows on the right"
            )
        return b, info_type(b)

    def reference(self, a: Array, b: Array, *, check: bool) -> tuple[Array, Array]:
        """NumPy's solve."""
        made, info = _solved(np.ascontiguousarray(a), np.ascontiguousarray(b))
        return self.finished(made, info, check)

    def vjp(
        self,
        g: Ops[V],
        dys: Sequence[V | None],
        ys: Sequence[V],
        xs: Sequence[V],
        needs: Sequence[bool],
        **attributes: Any,
    ) -> Sequence[V | None]:
        """b' = a^-T dy, a' = -b' x^T"""
        if dys[0] is None:
            return [None, None]
        m = Matrices(g)
        right, _ = g.solve(m.t(xs[0]), dys[0], **attributes)
        return [g.neg(m.mm(right, m.t(ys[0]))) if needs[0] else None, right]


class SolveTriangular(MatrixOp):
    """x with `a x = b`, reading only one triangle of a (and ones for its diagonal if `unit`), by
    substitution. A zero on the diagonal gives infinities and NaN."""

    name = "solve_triangular"
    samples = (
        Sample(_TRIANGLE, "f64[2,4,3]", lower=True, unit=False),
        Sample(_TRIANGLE[0].T, "f64[4,1]", lower=False, unit=False),
        Sample(_TRIANGLE[0], "f64[4,2]", lower=True, unit=True),
        Sample(_TRIANGLE[0], "f64[4,2]", lower=False, unit=True),
        Sample(_TRIANGLE.astype(np.float32), "f32[2,4,2]", lower=True, unit=False),
        Sample("f64[100,100]", "f64[100,2]", range=(0.9, 1.0), lower=False, unit=False,
               derivative=False),
        Sample("f64[0,0]", "f64[0,2]", lower=True, unit=False),
    )  # fmt: skip

    def type(self, *types: TensorType, lower: bool, unit: bool) -> TensorType:
        """The type of b."""
        check_matrices(self, types, 2, square=True)
        check_flags(self, types, lower=lower, unit=unit)
        a, b = types
        if not holds(a.shape[-1], "==", b.shape[-2]):
            raise refused(
                ShapeError, self, types, f"{a.shape[-1]} unknowns, {b.shape[-2]} rows on the right"
            )
        return b

    def reference(self, a: Array, b: Array, *, lower: bool, unit: bool) -> Array:
        """Substitution by blocks."""
        return algorithms.substituted(np.ascontiguousarray(a), b, lower=lower, unit=unit)

    def vjp(
        self,
        g: Ops[V],
        dys: Sequence[V | None],
        ys: Sequence[V],
        xs: Sequence[V],
        needs: Sequence[bool],
        *,
        lower: bool,
        unit: bool,
    ) -> Sequence[V | None]:
        """b' = a^-T dy, a' = -b' x^T within the triangle."""
        if dys[0] is None:
            return [None, None]
        m = Matrices(g)
        right = m.triangular(m.t(xs[0]), dys[0], lower=not lower, unit=unit)
        if not needs[0]:
            return [None, right]
        relation = ("lt" if unit else "le") if lower else ("gt" if unit else "ge")
        return [m.keep(g.neg(m.mm(right, m.t(ys[0]))), relation), right]


class Inverse(_Checked):
    """The inverse of square matrices, by LAPACK's gesv with the identity."""

    name = "inverse"
    samples = (
        Sample(_SQUARE, check=True),
        Sample(_SMALL, check=True),
        Sample(np.stack([_SINGULAR, np.eye(3)]), check=False, derivative=False),
        Sample("f64[0,2,2]", check=True),
        Sample("f32[0,0]", check=True),
    )

    def type(self, *types: TensorType, check: bool) -> tuple[TensorType, TensorType]:
        """The operand's type, and the status."""
        check_matrices(self, types, 1, square=True)
        check_flags(self, types, check=check)
        return types[0], info_type(types[0])

    def reference(self, a: Array, *, check: bool) -> tuple[Array, Array]:
        """NumPy's inv is a solve with the identity too."""
        one = np.ascontiguousarray(np.broadcast_to(np.eye(a.shape[-1], dtype=a.dtype), a.shape))
        made, info = _solved(np.ascontiguousarray(a), one)
        return self.finished(made, info, check)

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
        """-y^T dy y^T"""
        if dys[0] is None:
            return [None]
        m = Matrices(g)
        turned = m.t(ys[0])
        return [g.neg(m.mm(turned, dys[0], turned))]


class Pinv(MatrixOp):
    """The Moore-Penrose inverse: singular values (of `hermitian` matrices: the sizes of
    eigenvalues) up to max(atol, rtol * largest) count as zero. atol and rtol: one per matrix."""

    name = "pinv"
    samples = (
        Sample(_LOW, _TINY, _ZERO, hermitian=False, derivative=False),
        Sample("f64[2,4,3]", np.zeros(2), np.zeros(2), hermitian=False, derivative=False),
        Sample("f32[2,5]", _ZERO.astype(np.float32), np.array(1e-3, np.float32), hermitian=False),
        Sample(
            _SMALL + _SMALL.T, _ZERO.astype(np.float32), np.array(1e-3, np.float32), hermitian=True
        ),
        Sample("f64[3,0]", _ZERO, _ZERO, hermitian=False),
        Sample("f64[0,2,3]", np.zeros(0), np.zeros(0), hermitian=False, derivative=False),
    )

    def type(self, *types: TensorType, hermitian: bool) -> TensorType:
        """The transposed shape."""
        check_count(self, types, 3)
        check_matrices(self, types[:1], 1, square=hermitian is True)
        check_flags(self, types, hermitian=hermitian)
        a = types[0]
        for bound in types[1:]:
            if bound.dtype is not a.dtype:
                raise refused(
                    DTypeError, self, types, f"the dtypes {a.dtype} and {bound.dtype} differ"
                )
            if bound.rank != a.rank - 2 or not same_shape(bound.shape, a.shape[:-2]):
                raise refused(ShapeError, self, types, "tolerances are one number per matrix")
        return a.with_shape(*a.shape[:-2], a.shape[-1], a.shape[-2])

    def reference(self, a: Array, atol: Array, rtol: Array, *, hermitian: bool) -> Array:
        """By singular values or eigenvalues."""
        return np.asarray(
            converged(self, lambda: algorithms.pseudoinverse(a, atol, rtol, hermitian))
        )

    def vjp(
        self,
        g: Ops[V],
        dys: Sequence[V | None],
        ys: Sequence[V],
        xs: Sequence[V],
        needs: Sequence[bool],
        *,
        hermitian: bool,
    ) -> Sequence[V | None]:
        """Golub and Pereyra (1973), for changes that keep the rank; the order of the products keeps
        them small."""
        dy, a, y = dys[0], xs[0], ys[0]
        if dy is None or not needs[0]:
            return [None, None, None]
        m = Matrices(g)
        d, yt = m.t(dy), m.t(y)
        rows, columns = m.shape(a)[-2:]
        if compare(rows, columns) in (-1, 0):
            left = m.mm(d, y)
            both = m.mm(left, yt)
            rest = m.mm(m.mm(yt, y), g.sub(d, m.mm(left, a)))
            made = g.sub(g.sub(both, m.t(m.mm(y, left))), m.mm(m.mm(a, y), both))
        else:
            left = m.mm(y, d)
            both = m.mm(yt, left)
            rest = m.mm(m.mm(g.sub(d, m.mm(a, left)), y), yt)
            made = g.sub(g.sub(both, m.t(m.mm(left, y))), m.mm(m.mm(both, y), a))
        return [g.add(made, rest), None, None]


class Det(MatrixOp):
    """The determinant of square matrices; its derivative, the cofactors, exists for singular ones
    too."""

    name = "det"
    samples = (
        Sample(_SQUARE),
        Sample(_SMALL),
        Sample(_SINGULAR, derivative=False),
        Sample("f64[0,2,2]"),
        Sample("f64[2,0,0]"),
    )

    def type(self, *types: TensorType) -> TensorType:
        """One number per matrix."""
        check_matrices(self, types, 1, square=True)
        return types[0].with_shape(*types[0].shape[:-2])

    def reference(self, a: Array) -> Array:
        """NumPy's det: the product of the pivots of LU."""
        return np.asarray(np.linalg.det(np.ascontiguousarray(a)), a.dtype)

    def vjp(
        self,
        g: Ops[V],
        dys: Sequence[V | None],
        ys: Sequence[V],
        xs: Sequence[V],
        needs: Sequence[bool],
    ) -> Sequence[V | None]:
        """dy times the cofactors."""
        if dys[0] is None:
            return [None]
        return [g.mul(Matrices(g).each(dys[0], xs[0]), g.cofactor(xs[0]))]


class Cofactor(MatrixOp):
    """The derivative of the determinant by each element: `det(a) a^-T`, and its limit where a is
    singular."""

    name = "cofactor"
    samples = (
        Sample(_SQUARE),
        Sample(_SMALL),
        Sample(_SINGULAR, derivative=False),
        Sample("f64[1,1]", derivative=False),
        Sample("f64[0,2,2]"),
    )

    def type(self, *types: TensorType) -> TensorType:
        """The operand's type."""
        check_matrices(self, types, 1, square=True)
        return types[0]

    def reference(self, a: Array) -> Array:
        """By singular values."""
        return np.asarray(converged(self, lambda: algorithms.cofactors(a)))

    def vjp(
        self,
        g: Ops[V],
        dys: Sequence[V | None],
        ys: Sequence[V],
        xs: Sequence[V],
        needs: Sequence[bool],
    ) -> Sequence[V | None]:
        """(<dy, y> y - y dy^T y) / det(a), of matrices that have an inverse."""
        dy, y = dys[0], ys[0]
        if dy is None:
            return [None]
        m = Matrices(g)
        rank = len(m.shape(y))
        along = g.sum(g.mul(dy, y), axes=(rank - 2, rank - 1))
        made = g.sub(g.mul(m.each(along, y), y), m.mm(y, m.t(dy), y))
        return [g.div(made, m.each(g.det(xs[0]), y))]


class SlogDet(MatrixOp):
    """The sign of the determinant and the log of its size: (0, -inf) for singular matrices."""

    name = "slogdet"
    samples = (
        Sample(_SQUARE),
        Sample(_SMALL),
        Sample(np.stack([np.zeros((2, 2)), np.eye(2)]), derivative=False),
        Sample("f64[0,2,2]"),
        Sample("f64[2,0,0]"),
    )

    def type(self, *types: TensorType) -> tuple[TensorType, TensorType]:
        """Two numbers per matrix."""
        check_matrices(self, types, 1, square=True)
        made = types[0].with_shape(*types[0].shape[:-2])
        return made, made

    def reference(self, a: Array) -> tuple[Array, Array]:
        """NumPy's slogdet."""
        sign, size = np.linalg.slogdet(np.ascontiguousarray(a))
        return np.asarray(sign, a.dtype), np.asarray(size, a.dtype)

    def vjp(
        self,
        g: Ops[V],
        dys: Sequence[V | None],
        ys: Sequence[V],
        xs: Sequence[V],
        needs: Sequence[bool],
    ) -> Sequence[V | None]:
        """dy a^-T; the sign does not change."""
        if dys[1] is None:
            return [None]
        m = Matrices(g)
        turned = m.t(xs[0])
        return [g.solve(turned, m.diagonal_matrix(_repeated(g, dys[1], xs[0])), check=False)[0]]


def _repeated(g: Ops[V], v: V, x: V) -> V:
    """A number per matrix, repeated along one more dim of the matrix's size."""
    shape = g.type_of(x).shape
    made: V = g.expand(v, shape=shape[:-1], axes=tuple(range(len(shape) - 2)))
    return made


class MatrixExp(MatrixOp):
    """The exponential of square matrices, `1 + a + a a / 2 + ...`."""

    name = "matrix_exp"
    samples = (
        Sample(_SQUARE),
        Sample("f64[2,2]"),
        Sample(_SMALL),
        Sample("f64[3,3]", range=(-30.0, 30.0), derivative=False),
        Sample("f64[0,2,2]"),
        Sample("f32[0,0]"),
    )

    def type(self, *types: TensorType) -> TensorType:
        """The operand's type."""
        check_matrices(self, types, 1, square=True)
        return types[0]

    def reference(self, a: Array) -> Array:
        """Scaling, an approximant, squaring."""
        return algorithms.exponential(np.ascontiguousarray(a))

    def vjp(
        self,
        g: Ops[V],
        dys: Sequence[V | None],
        ys: Sequence[V],
        xs: Sequence[V],
        needs: Sequence[bool],
    ) -> Sequence[V | None]:
        """The upper right block of exp([[a^T, dy], [0, a^T]])."""
        if dys[0] is None:
            return [None]
        m = Matrices(g)
        turned = m.t(xs[0])
        shape = m.shape(turned)
        rank, size = len(shape), shape[-1]
        upper = g.concat(turned, dys[0], axis=rank - 1)
        lower = g.concat(g.like(0.0, turned), turned, axis=rank - 1)
        wide = g.matrix_exp(g.concat(upper, lower, axis=rank - 2))
        return [m.part(wide, (0, size), (size, 2 * size))]
