"""Norms of vectors and matrices, condition numbers, and distances between points.

Derivatives at a zero are those of torch: where a norm has a corner, the subgradient 0 (or, of the
largest element, evenly shared between equal ones)."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from intaglio._apply import full, one
from intaglio._core import Tensor
from intaglio._dtype_names import as_dtype
from intaglio._functions_elementwise import sqrt, where
from intaglio._functions_linalg import check_float, check_matrix, inv_ex
from intaglio._functions_linalg_factor import svdvals
from intaglio._functions_movement import permute, unsqueeze
from intaglio._functions_reduce import amax, amin, axes_of, axis_of, sum as total
from intaglio._halves import rounded_once
from intaglio._promote import broadcast_shapes, cast, expand_to, spelled
from intaglio.compiler.dtypes import DType, float32
from intaglio.compiler.errors import ArgumentError, DTypeError, ShapeError

Dims = int | Sequence[int] | None


def _in_dtype(name: str, x: Tensor, dtype: Any) -> Tensor:
    """x in the dtype asked for, which must be a float that holds it."""
    if not isinstance(x, Tensor):
        raise DTypeError(f"{name}: a tensor is wanted, not {type(x).__name__}")
    if x.dtype.kind != "f":
        raise DTypeError(f"{name}: {x._kind} is not floating-point; cast it first")
    if dtype is None:
        return x
    wanted: DType = as_dtype(dtype)
    if wanted.kind != "f" or wanted.size < x.dtype.size:
        raise DTypeError(f"{name}: {x._kind} can't be taken in {wanted}: it is no wider float")
    return cast(x, wanted)


def _is_number(ord: Any) -> bool:
    return isinstance(ord, int | float) and not isinstance(ord, bool)


def _power(x: Tensor, p: float) -> Tensor:
    """|x|^p, with the derivative 0 at 0."""
    zero = x == 0
    safe = abs(where(zero, full(1, x._kind), x)) ** p
    return where(zero, full(0.0 if p > 0 else math.inf, x._kind), safe)


def _root(x: Tensor, p: float) -> Tensor:
    """x^(1/p) of what is not negative, with the derivative 0 at 0."""
    zero = x == 0
    safe = where(zero, full(1, x._kind), x)
    made = sqrt(safe) if p == 2 else safe ** (1.0 / p)
    return where(zero, full(0.0 if p > 0 else math.inf, x._kind), made)


@spelled
@rounded_once
def vector_norm(
    input: Tensor,
    ord: Any = 2,
    dim: Dims = None,
    keepdim: bool = False,
    *,
    dtype: DType | None = None,
) -> Tensor:
    """`(sum |x|^ord)^(1/ord)` over `dim` (all, if None): the largest size for inf, the smallest for
    -inf, the number of non-zero elements for 0."""
    if not _is_number(ord):
        raise ArgumentError(f"vector_norm: ord is a number, not {ord!r}")
    x = _in_dtype("vector_norm", input, dtype)
    if x.dtype.size < 4:  # squares of halves overflow
        return cast(vector_norm(cast(x, float32), ord, dim, keepdim), x.dtype)
    axes = axes_of("vector_norm", x, dim)
    if (ord < 0 or ord == math.inf) and any(x.shape[a] == 0 for a in axes):
        raise ShapeError(
            f"vector_norm: {x._kind}: there is no {ord}-norm of no elements over dim {dim}"
        )
    if ord == 0:  # still a function of the operand, whose derivative is zero
        x = where(x == 0, x * 0, full(1, x._kind))
    if not axes:
        return abs(x)
    over = list(axes)
    if abs(ord) == math.inf:
        return (amax if ord > 0 else amin)(abs(x), over, keepdim)
    if ord in (0, 1):
        return total(abs(x), over, keepdim)
    if ord == 2:
        return _root(total(x * x, over, keepdim), 2)
    return _root(total(_power(x, float(ord)), over, keepdim), float(ord))


def _two_axes(name: str, x: Tensor, dim: Any) -> tuple[int, int]:
    if not isinstance(dim, tuple | list) or len(dim) != 2:
        raise ArgumentError(f"{name}: dim is two dimensions, not {dim!r}")
    first, second = (axis_of(name, x, d) for d in dim)
    if first == second:
        raise ArgumentError(f"{name}: {x._kind}: dim {tuple(dim)} names a dimension twice")
    return first, second


@spelled
@rounded_once
def matrix_norm(
    A: Tensor,
    ord: Any = "fro",
    dim: Any = (-2, -1),
    keepdim: bool = False,
    *,
    dtype: DType | None = None,
) -> Tensor:
    """The norm of the matrices in two dimensions: 'fro'; 'nuc' (the sum of the singular values); 2
    and -2 (the largest and smallest one); 1 and -1 (of column sums), inf and -inf (of row sums)."""
    x = _in_dtype("matrix_norm", A, dtype)
    if x.ndim < 2:
        raise ShapeError(f"matrix_norm: {x._kind} is no matrix")
    first, second = _two_axes("matrix_norm", x, dim)
    if ord == "fro":
        return vector_norm(x, 2, [first, second], keepdim)
    if ord in ("nuc", 2, -2):
        return _spectral(x, ord, first, second, keepdim)
    if not _is_number(ord) or abs(ord) not in (1, math.inf):
        raise ArgumentError(
            f"matrix_norm: ord is 'fro', 'nuc', 1, -1, 2, -2, inf or -inf, not {ord!r}"
        )
    summed, chosen = (first, second) if abs(ord) == 1 else (second, first)
    if x.shape[chosen] == 0:
        raise ShapeError(f"matrix_norm: {x._kind}: there is no norm {ord} of no rows or columns")
    sums = total(abs(x), summed, True)
    made = (amax if ord > 0 else amin)(sums, chosen, True)
    return made if keepdim else _dropped(made, first, second)


def _dropped(x: Tensor, *axes: int) -> Tensor:
    shape = tuple(s for k, s in enumerate(x.shape) if k not in axes)
    return one("reshape", x, shape=shape)


def _spectral(x: Tensor, ord: Any, first: int, second: int, keepdim: bool) -> Tensor:
    """A norm made of singular values."""
    rest = [k for k in range(x.ndim) if k not in (first, second)]
    turned = permute(x, *rest, first, second)
    check_matrix("matrix_norm", turned)
    values = svdvals(turned)
    if ord == "nuc" or values.shape[-1] == 0:
        made = total(values, -1)
    else:
        made = (amax if ord > 0 else amin)(values, -1)
    if not keepdim:
        return made
    shape = tuple(1 if k in (first, second) else s for k, s in enumerate(x.shape))
    return one("reshape", made, shape=shape)


@spelled
def norm(
    A: Tensor,
    ord: Any = None,
    dim: Any = None,
    keepdim: bool = False,
    *,
    dtype: DType | None = None,
) -> Tensor:
    """The norm of a vector (one dimension, or with `ord=None` any number of them) or of matrices
    (two dimensions, or a name for `ord`): see `vector_norm` and `matrix_norm`."""
    if dim is not None and not isinstance(dim, int):
        dim = tuple(dim)
    if isinstance(ord, str):
        if dim is None and A.ndim != 2:
            raise ShapeError(f"norm: {A._kind} is no matrix, and ord {ord!r} is one of matrices")
        return matrix_norm(A, ord, (-2, -1) if dim is None else dim, keepdim, dtype=dtype)
    if ord is None:
        return vector_norm(A, 2, dim, keepdim, dtype=dtype)
    if dim is None and A.ndim not in (1, 2):
        raise ShapeError(f"norm: {A._kind} is neither vector nor matrix; give dim, or no ord")
    if (dim is None and A.ndim == 1) or isinstance(dim, int) or (dim is not None and len(dim) == 1):
        return vector_norm(A, ord, dim, keepdim, dtype=dtype)
    return matrix_norm(A, ord, (-2, -1) if dim is None else dim, keepdim, dtype=dtype)


def nuclear_norm(input: Tensor, dim: Any = None, keepdim: bool = False) -> Tensor:
    """The sum of the singular values."""
    if dim is None and input.ndim != 2:
        raise ShapeError(f"nuclear_norm: {input._kind} is no matrix; give two dimensions")
    return matrix_norm(input, "nuc", (-2, -1) if dim is None else dim, keepdim)


@spelled
def cond(A: Tensor, p: Any = None) -> Tensor:
    """The condition number by a norm: the ratio of the largest and smallest singular values (None,
    2; -2 its inverse), else `norm(A) norm(A^-1)`, infinite for singular matrices."""
    check_matrix("cond", A, square=p not in (None, 2, -2))
    if p not in (None, 2, -2) and p not in ("fro", "nuc", 1, -1, math.inf, -math.inf):
        raise ArgumentError(f"cond: p is None, 'fro', 'nuc', 1, -1, 2, -2, inf or -inf, not {p!r}")
    if A.numel() == 0:
        return total(A, [-2, -1])
    if p in (None, 2, -2):
        values = svdvals(A)
        least, most = values[..., -1], values[..., 0]
        return least / most if p == -2 else most / least
    inverse, info = inv_ex(A)
    made = matrix_norm(A, p) * matrix_norm(inverse, p)
    return where(info == 0, made, full(math.inf, made._kind))


# ---------------------------------------------------------------------------------------- distances


_COMPUTE_MODES = (
    "use_mm_for_euclid_dist_if_necessary",
    "use_mm_for_euclid_dist",
    "donot_use_mm_for_euclid_dist",
)


@rounded_once
def cdist(
    x1: Tensor,
    x2: Tensor,
    p: float = 2.0,
    compute_mode: str | None = "use_mm_for_euclid_dist_if_necessary",
) -> Tensor:
    """The p-norm distance between every row of x1 [..., n, d] and every row of x2 [..., m, d]:
    [..., n, m]. The derivative at distance 0 is 0. Differences are always taken directly,
    whatever `compute_mode` says."""
    if compute_mode is not None and compute_mode not in _COMPUTE_MODES:
        raise ArgumentError(f"cdist: {compute_mode!r} is no compute_mode")
    for x in (x1, x2):
        check_float("cdist", x)
        if x.ndim < 2:
            raise ShapeError(f"cdist: {x._kind}: two dimensions at least are wanted")
    if x1.dtype is not x2.dtype:
        raise DTypeError(f"cdist: {x1._kind} and {x2._kind}: the dtypes differ")
    if x1.shape[-1] != x2.shape[-1]:
        raise ShapeError(f"cdist: {x1._kind} and {x2._kind}: the numbers of columns differ")
    if not _is_number(p) or p < 0:
        raise ArgumentError(f"cdist: p is a number, 0 at least, not {p!r}")
    batch = broadcast_shapes(x1.shape[:-2], x2.shape[:-2])
    shape = (*batch, x1.shape[-2], x2.shape[-2], x1.shape[-1])
    away = expand_to(unsqueeze(x1, -2), shape) - expand_to(unsqueeze(x2, -3), shape)
    if x1.shape[-1] == 0:
        return total(away, -1)
    return vector_norm(away, p, -1)
