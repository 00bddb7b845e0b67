"""What functions of linear algebra return: named tuples, with the names that torch gives the
parts."""

from __future__ import annotations

from typing import NamedTuple

from intaglio._core import Tensor


class Slogdet(NamedTuple):
    """The determinant's sign and the log of its size."""

    sign: Tensor
    logabsdet: Tensor


class InverseStatus(NamedTuple):
    """Inverses, and a status per matrix (0: good)."""

    inverse: Tensor
    info: Tensor


class SolveStatus(NamedTuple):
    """Solutions, and a status per matrix (0: good)."""

    result: Tensor
    info: Tensor


class CholeskyStatus(NamedTuple):
    """Triangular factors, and a status per matrix (0: good)."""

    L: Tensor
    info: Tensor


class TriangularSolution(NamedTuple):
    """A solution, and a copy of the triangle."""

    solution: Tensor
    cloned_coefficient: Tensor


class Qr(NamedTuple):
    """`A = Q R`"""

    Q: Tensor
    R: Tensor


class Geqrf(NamedTuple):
    """R and the vectors of the reflections in one matrix, and the reflections' factors."""

    a: Tensor
    tau: Tensor


class LuFactor(NamedTuple):
    """L and U in one matrix, and the row that was exchanged with each row, from 1."""

    LU: Tensor
    pivots: Tensor


class LuFactorStatus(NamedTuple):
    """As `LuFactor`, and a status per matrix (0: good)."""

    LU: Tensor
    pivots: Tensor
    info: Tensor


class Lu(NamedTuple):
    """`A = P L U`"""

    P: Tensor
    L: Tensor
    U: Tensor


class Svd(NamedTuple):
    """`A = U diag(S) Vh`"""

    U: Tensor
    S: Tensor
    Vh: Tensor


class SvdTurned(NamedTuple):
    """`A = U diag(S) V^T`"""

    U: Tensor
    S: Tensor
    V: Tensor


class Eigh(NamedTuple):
    """Eigenvalues, ascending, and eigenvectors in columns."""

    eigenvalues: Tensor
    eigenvectors: Tensor


class LeastSquares(NamedTuple):
    """Solutions, squared residuals, ranks and singular values; what was not computed is empty."""

    solution: Tensor
    residuals: Tensor
    rank: Tensor
    singular_values: Tensor


class Ldl(NamedTuple):
    """L and D of `A = L D L^T` in one matrix, and the exchanged rows."""

    LD: Tensor
    pivots: Tensor


class LdlStatus(NamedTuple):
    """As `Ldl`, and a status per matrix (0: good)."""

    LD: Tensor
    pivots: Tensor
    info: Tensor
