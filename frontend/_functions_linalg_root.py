"""Linear algebra whose form at the root differs from that in `linalg`: other arguments, or results
in another order."""

from __future__ import annotations

from typing import Any

from intaglio._apply import full
from intaglio._core import Tensor
from intaglio._functions_linalg import check_matrix
from intaglio._functions_linalg_factor import (
    lu_factor_ex,
    lu_solve as solve_factored,
    qr as qr_of,
    svd as svd_of,
    svdvals,
)
from intaglio._functions_linalg_product import check_ranks, cross_along
from intaglio._functions_linalg_results import Qr, SvdTurned
from intaglio._functions_movement import matrix_transpose
from intaglio._kind import kind_of
from intaglio._promote import pair, spelled
from intaglio.compiler.errors import ShapeError


def lu(A: Tensor, pivot: bool = True, get_infos: bool = False) -> Any:
    """LU with partial pivoting in one matrix, and the rows that were exchanged (i32, from 1); with
    `get_infos` also a status per matrix. `linalg.lu` gives the factors themselves."""
    made = lu_factor_ex(A, pivot=pivot)
    return tuple(made) if get_infos else (made.LU, made.pivots)


@spelled
def lu_solve(b: Tensor, LU_data: Tensor, LU_pivots: Tensor) -> Tensor:
    """X with `A X = b` from the factors of A, the right-hand side first."""
    return solve_factored(LU_data, LU_pivots, b)


@spelled
def qr(input: Tensor, some: bool = True) -> Qr:
    """`A = Q R`; complete if not `some`."""
    return qr_of(input, "reduced" if some else "complete")


@spelled
def svd(input: Tensor, some: bool = True, compute_uv: bool = True) -> SvdTurned:
    """`A = U diag(S) V^T`; U and V square if not `some`, and zeros if not `compute_uv`."""
    check_matrix("svd", input)
    if not compute_uv:
        rows, columns = input.shape[-2:]
        batch = tuple(input.shape[:-2])
        left = full(0, kind_of(input.dtype, (*batch, rows, rows)))
        right = full(0, kind_of(input.dtype, (*batch, columns, columns)))
        return SvdTurned(left, svdvals(input), right)
    u, s, v = svd_of(input, not some)
    return SvdTurned(u, s, matrix_transpose(v))


@spelled
def cross(input: Tensor, other: Tensor, dim: int | None = None) -> Tensor:
    """The cross products of vectors of 3 along `dim`: the first dimension of size 3, if None."""
    check_ranks("cross", input, other)
    if dim is None:
        found = [k for k, size in enumerate(pair("cross", input, other)[0].shape) if size == 3]
        if not found:
            raise ShapeError(f"cross: {input._kind} has no dimension of size 3")
        dim = found[0]
    return cross_along("cross", input, other, dim)
