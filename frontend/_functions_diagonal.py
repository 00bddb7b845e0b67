"""Diagonals and triangles of matrices: looked at, embedded, filled, cut out, and where they lie."""

from __future__ import annotations

import builtins
from typing import Any

import numpy as np

from intaglio._apply import apply, constant, full, one, view as apply_view
from intaglio._core import Tensor
from intaglio._dtype_names import as_dtype
from intaglio._functions_device import on_device
from intaglio._functions_movement import owned, pad_sides, permute, ravel, unsqueeze
from intaglio._functions_reduce import axis_of, sum as total
from intaglio._inplace import put_back, write
from intaglio._layouts import check_layout
from intaglio._promote import as_tensor_like, cast, expand_to, spelled
from intaglio.compiler.dims import Size, maximum, minimum
from intaglio.compiler.dtypes import int64
from intaglio.compiler.errors import ArgumentError, ShapeError


def tril(input: Tensor, diagonal: int = 0) -> Tensor:
    """The lower triangle, zeros above the diagonal."""
    return _triangle("tril", input, "le", diagonal)


def triu(input: Tensor, diagonal: int = 0) -> Tensor:
    """The upper triangle, zeros below the diagonal."""
    return _triangle("triu", input, "ge", diagonal)


def _triangle(name: str, x: Tensor, op: str, diagonal: int) -> Tensor:
    if x.ndim < 2:
        raise ShapeError(f"{name}: {x._kind} has fewer than two dimensions")
    mask = expand_to(_compared(op, tuple(x.shape[-2:]), diagonal), tuple(x.shape))
    return apply("where", (mask, x, full(0, x._kind)))[0]


def _compared(op: str, shape: tuple[Size, ...], diagonal: int) -> Tensor:
    """column `op` row + diagonal, for every position of a matrix."""
    rows = one("iota", dtype=int64, shape=shape, axis=0)
    columns = one("iota", dtype=int64, shape=shape, axis=1)
    limit = rows if diagonal == 0 else apply("add", (rows, full(diagonal, rows._kind)))[0]
    return apply(op, (columns, limit))[0]


def _two_axes(name: str, x: Tensor, dim1: int, dim2: int) -> tuple[int, int]:
    if x.ndim < 2:
        raise ShapeError(f"{name}: {x._kind} has fewer than two dimensions")
    a, b = axis_of(name, x, dim1), axis_of(name, x, dim2)
    if a == b:
        raise ArgumentError(f"{name}: {x._kind}: dim {dim1} and dim {dim2} are the same")
    return a, b


def diagonal_look(name: str, x: Tensor, offset: int, dim1: int, dim2: int) -> dict[str, Any]:
    """The attributes of the op `strided` that shows a diagonal."""
    a, b = _two_axes(name, x, dim1, dim2)
    rows, columns = x.shape[a], x.shape[b]
    down, right = builtins.max(-offset, 0), builtins.max(offset, 0)
    size = maximum(minimum(rows - down, columns - right), 0)
    rest = [k for k in range(x.ndim) if k not in (a, b)]
    starts, steps = [0] * x.ndim, []
    if size != 0:
        starts[a], starts[b] = down, right
    for k in range(x.ndim):
        steps.append((*(int(k == j) for j in rest), int(k in (a, b))))
    shape = (*(x.shape[k] for k in rest), size)
    return {"shape": shape, "starts": tuple(starts), "steps": tuple(steps)}


@spelled
def diagonal(input: Tensor, offset: int = 0, dim1: int = 0, dim2: int = 1) -> Tensor:
    """The elements whose positions along two dimensions differ by `offset`, as a last dimension: a
    view."""
    return apply_view("strided", input, diagonal_look("diagonal", input, offset, dim1, dim2))


@spelled
def diagonal_scatter(
    input: Tensor, src: Tensor, offset: int = 0, dim1: int = 0, dim2: int = 1
) -> Tensor:
    """input with its diagonal (as `diagonal` shows it) replaced by `src`."""
    look = diagonal_look("diagonal_scatter", input, offset, dim1, dim2)
    if tuple(src.shape) != look["shape"]:
        raise ShapeError(
            f"diagonal_scatter: the source {src._kind} has not the diagonal's shape {look['shape']}"
        )
    return owned(put_back("strided", look, input, cast(src, input.dtype)), input)


@spelled
def diag(input: Tensor, diagonal: int = 0, *, k: int | None = None) -> Tensor:
    """A matrix with this diagonal, or a copy of the diagonal of a matrix. NumPy's `k` is the
    diagonal."""
    offset = diagonal if k is None else k
    if input.ndim == 2:
        return diagonal_of(input, offset).clone()
    if input.ndim != 1:
        raise ShapeError(f"diag: {input._kind} has neither one nor two dimensions")
    return diag_embed(input, offset)


diagonal_of = diagonal


def diagflat(input: Tensor, offset: int = 0) -> Tensor:
    """A matrix whose diagonal holds all elements."""
    return diag_embed(ravel(input), offset)


@spelled
def diag_embed(input: Tensor, offset: int = 0, dim1: int = -2, dim2: int = -1) -> Tensor:
    """Matrices over the dimensions `dim1` and `dim2` whose diagonal is the last dimension."""
    if not input.ndim:
        raise ShapeError(f"diag_embed: {input._kind} has no dimension to take a diagonal from")
    rank = input.ndim + 1
    for dim in (dim1, dim2):
        if not -rank <= dim < rank:
            raise ArgumentError(f"diag_embed: dim {dim} is out of range for a rank of {rank}")
    a, b = dim1 % rank, dim2 % rank
    if a == b:
        raise ArgumentError(f"diag_embed: dim {dim1} and dim {dim2} are the same")
    n = input.shape[-1] + builtins.abs(offset)
    low, high = builtins.max(offset, 0), builtins.max(-offset, 0)
    zeros = (0,) * (input.ndim - 1)
    wide = pad_sides(input, (*zeros, low), (*zeros, high))
    wide = expand_to(unsqueeze(wide, -2), (*input.shape[:-1], n, n))
    mask = expand_to(_compared("eq", (n, n), offset), tuple(wide.shape))
    made = apply("where", (mask, wide, full(0, wide._kind)))[0]
    if (a, b) == (rank - 2, rank - 1):
        return made
    rest = iter(range(rank - 2))
    order = [rank - 2 if k == a else rank - 1 if k == b else next(rest) for k in range(rank)]
    return permute(made, *order)


def trace_of(input: Tensor) -> Tensor:
    """The sum of the diagonal of a matrix."""
    if input.ndim != 2:
        raise ShapeError(f"trace: {input._kind} is no matrix")
    return total(diagonal(input))


def fill_diagonal_(input: Tensor, fill_value: Any, wrap: bool = False) -> Tensor:
    """The main diagonal filled with a number, in place; with `wrap` it begins anew behind every
    square of a tall matrix."""
    if input.ndim < 2:
        raise ShapeError(f"fill_diagonal_: {input._kind} has fewer than two dimensions")
    if input.ndim > 2 and any(size != input.shape[0] for size in input.shape):
        raise ShapeError(f"fill_diagonal_: {input._kind}: all sizes must be equal")
    number = as_tensor_like(fill_value, input.dtype)
    rows = one("iota", dtype=int64, shape=tuple(input.shape), axis=0)
    if wrap and input.ndim == 2 and input.shape[0] > input.shape[1]:
        rows = rows % (input.shape[1] + 1)
    mask: Tensor | None = None
    for k in range(1, input.ndim):
        here = rows == one("iota", dtype=int64, shape=tuple(input.shape), axis=k)
        mask = here if mask is None else mask & here
    assert mask is not None
    filled = apply("where", (mask, expand_to(number, tuple(input.shape)), input))[0]
    return write(input, filled, "fill_diagonal_")


def tril_indices(
    row: int,
    col: int,
    offset: int = 0,
    *,
    dtype: Any = int64,
    device: Any = None,
    layout: Any = None,
) -> Tensor:
    """Rows and columns of the positions in the lower triangle: i64[2, count]."""
    check_layout("tril_indices", layout)
    _check_sizes("tril_indices", row, col)
    return _positions(np.tril_indices(row, offset, col), dtype, device)


def triu_indices(
    row: int,
    col: int,
    offset: int = 0,
    *,
    dtype: Any = int64,
    device: Any = None,
    layout: Any = None,
) -> Tensor:
    """Rows and columns of the positions in the upper triangle: i64[2, count]."""
    check_layout("triu_indices", layout)
    _check_sizes("triu_indices", row, col)
    return _positions(np.triu_indices(row, offset, col), dtype, device)


def _check_sizes(name: str, row: int, col: int) -> None:
    if row < 0 or col < 0:
        raise ArgumentError(f"{name}: the sizes {row} and {col} must not be negative")


def _positions(found: Any, dtype: Any, device: Any) -> Tensor:
    wanted = int64 if dtype is None else as_dtype(dtype)
    return on_device(constant(np.stack(found).astype(wanted.numpy)), device)
