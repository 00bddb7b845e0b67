"""torch.linalg's names: factors, solves, norms and products of matrices, by LAPACK.

Matrices are the last two dimensions of f32 or f64 tensors. Everything works eagerly, in `ig.jit`
and from files, where the LAPACK calls run on the host between native kernels; derivatives of any
order follow torch's formulas."""

from __future__ import annotations

from intaglio._functions_linalg import (
    det,
    inv,
    inv_ex,
    lstsq,
    matrix_exp,
    matrix_rank,
    pinv,
    slogdet,
    solve,
    solve_ex,
    solve_triangular,
    tensorinv,
    tensorsolve,
)
from intaglio._functions_linalg_factor import (
    cholesky,
    cholesky_ex,
    eig,
    eigh,
    eigvals,
    eigvalsh,
    householder_product,
    ldl_factor,
    ldl_factor_ex,
    ldl_solve,
    lu,
    lu_factor,
    lu_factor_ex,
    lu_solve,
    qr,
    svd,
    svdvals,
)
from intaglio._functions_linalg_norm import cond, matrix_norm, norm, vector_norm
from intaglio._functions_linalg_product import (
    cross,
    diagonal,
    matrix_power,
    multi_dot,
    vander,
    vecdot,
)
from intaglio._functions_matmul import matmul
from intaglio.compiler.errors import LinAlgError

__all__ = [
    "LinAlgError", "cholesky", "cholesky_ex", "cond", "cross", "det", "diagonal", "eig", "eigh",
    "eigvals", "eigvalsh", "householder_product", "inv", "inv_ex", "ldl_factor",
    "ldl_factor_ex", "ldl_solve", "lstsq", "lu", "lu_factor", "lu_factor_ex", "lu_solve",
    "matmul", "matrix_exp", "matrix_norm", "matrix_power", "matrix_rank", "multi_dot", "norm",
    "pinv", "qr", "slogdet", "solve", "solve_ex", "solve_triangular", "svd", "svdvals",
    "tensorinv", "tensorsolve", "vander", "vecdot", "vector_norm",
]  # fmt: skip
