"""Reductions over some or all dimensions, with torch's and NumPy's spellings of the arguments."""

from __future__ import annotations

import builtins
import math
from collections.abc import Sequence
from typing import Any, NamedTuple

from intaglio._apply import apply, full, one
from intaglio._core import Tensor
from intaglio._functions_compare import truth
from intaglio._functions_elementwise import exp, log, maximum, minimum, sqrt, where
from intaglio._halves import rounded_once
from intaglio._kind import kind_of
from intaglio._promote import cast, expand_to, size_tensor, spelled, to_float
from intaglio.compiler.dims import Dim, Size, product
from intaglio.compiler.dtypes import DType, boolean, int64, uint8
from intaglio.compiler.errors import ArgumentError, DTypeError, IndexError

Dims = int | Sequence[int] | None


class Extreme(NamedTuple):
    """Values and where they were found along the dimension."""

    values: Tensor
    indices: Tensor


class Range(NamedTuple):
    """The smallest and the largest elements."""

    min: Tensor
    max: Tensor


def axis_of(name: str, x: Any, dim: Any) -> int:
    """A dimension counted from the front; 0-d tensors have a dimension 0 for this purpose."""
    if not isinstance(x, Tensor):
        raise DTypeError(f"{name}: a tensor is wanted, not {type(x).__name__}")
    rank = builtins.max(x._kind.rank, 1)
    if not isinstance(dim, int):
        raise ArgumentError(f"{name}: dim is an integer, not {dim!r}")
    if not -rank <= dim < rank:
        from intaglio._scope import spot, where_of

        raise IndexError(
            f"{name}: {x._kind}: dim {dim} is out of range from {-rank} to {rank - 1}"
            f" ({where_of(spot())})"
        )
    return dim % rank


def axes_of(name: str, x: Tensor, dim: Dims) -> tuple[int, ...]:
    """Dimensions counted from the front, ascending; None and () mean all."""
    if dim is None or (not isinstance(dim, int) and len(dim) == 0):
        return tuple(range(x._kind.rank))
    found = [axis_of(name, x, d) for d in ((dim,) if isinstance(dim, int) else dim)]
    if len(set(found)) != len(found):
        raise ArgumentError(f"{name}: {x._kind}: dim {dim} names a dimension twice")
    return tuple(sorted(a for a in found if a < x._kind.rank))


def kept(result: Tensor, x: Tensor, axes: tuple[int, ...]) -> Tensor:
    """The result with the reduced dimensions back as size 1."""
    shape = tuple(1 if k in axes else s for k, s in enumerate(x._kind.shape))
    return one("reshape", result, shape=shape)


def reduce(name: str, op: str, x: Tensor, dim: Dims, keepdim: bool) -> Tensor:
    """Apply a reduction of the registry."""
    axes = axes_of(name, x, dim)
    made = apply(op, (x,), {"axes": axes})[0]
    return kept(made, x, axes) if keepdim else made


@spelled
def sum(
    input: Tensor, dim: Dims = None, keepdim: bool = False, *, dtype: DType | None = None
) -> Tensor:
    """The sum over `dim` (all, if None). Integers and bools are summed in int64; with dtype=bool it
    is whether one element is not zero."""
    if dtype is boolean:
        return any(input, dim, keepdim)
    if dtype is None and input.dtype.kind != "f":
        dtype = int64
    return reduce("sum", "sum", input if dtype is None else cast(input, dtype), dim, keepdim)


@spelled
def prod(
    input: Tensor, dim: Dims = None, keepdim: bool = False, *, dtype: DType | None = None
) -> Tensor:
    """The product over `dim` (all, if None). Integers and bools are multiplied in int64; with
    dtype=bool it is whether no element is zero."""
    if dtype is boolean:
        return all(input, dim, keepdim)
    if dtype is None and input.dtype.kind != "f":
        dtype = int64
    if dtype is boolean:
        return reduce("prod", "all", cast(input, boolean), dim, keepdim)
    return reduce("prod", "prod", input if dtype is None else cast(input, dtype), dim, keepdim)


def count_of(x: Tensor, axes: tuple[int, ...]) -> Size:
    """How many elements a reduction over the axes joins."""
    return product(tuple(x._kind.shape[a] for a in axes))


def over(x: Tensor, count: Size) -> Tensor:
    """x divided by a size, which may be symbolic."""
    if isinstance(count, Dim):
        return apply("div", (x, expand_to(cast(size_tensor(count), x.dtype), x._kind.shape)))[0]
    return apply("div", (x, full(count, x._kind)))[0]


@spelled
@rounded_once
def mean(
    input: Tensor, dim: Dims = None, keepdim: bool = False, *, dtype: DType | None = None
) -> Tensor:
    """The mean over `dim` (all, if None); floats only."""
    x = input if dtype is None else cast(input, dtype)
    if x.dtype.kind != "f":
        raise DTypeError(f"mean: {x._kind} has no mean of its own dtype; give dtype=float32")
    axes = axes_of("mean", x, dim)
    made = over(apply("sum", (x,), {"axes": axes})[0], count_of(x, axes))
    return kept(made, x, axes) if keepdim else made


def _correction(unbiased: bool | None, correction: Any) -> Any:
    if correction is None:
        return 1 if unbiased is None else int(unbiased)
    return correction


@spelled
@rounded_once
def var(
    input: Tensor,
    dim: Any = None,
    unbiased: bool | None = None,
    keepdim: bool = False,
    *,
    correction: Any = None,
    ddof: Any = None,
) -> Tensor:
    """The variance over `dim`: squared distances from the mean, summed and divided by n - 1
    (n - `correction`)."""
    if isinstance(dim, bool):
        dim, unbiased = None, dim
    less = _correction(unbiased, ddof if correction is None else correction)
    if input.dtype.kind != "f":
        raise DTypeError(f"var: {input._kind} is not floating-point; cast it first")
    axes = axes_of("var", input, dim)
    centred = input - mean(input, axes or None, keepdim=True) if axes else input - input
    total = apply("sum", (apply("mul", (centred, centred))[0],), {"axes": axes})[0]
    count = count_of(input, axes)
    left = count - less
    if not isinstance(left, Dim):
        left = builtins.max(left, 0)
    made = over(total, left)
    return kept(made, input, axes) if keepdim else made


@spelled
@rounded_once
def std(
    input: Tensor,
    dim: Any = None,
    unbiased: bool | None = None,
    keepdim: bool = False,
    *,
    correction: Any = None,
    ddof: Any = None,
) -> Tensor:
    """The square root of the variance."""
    return sqrt(var(input, dim, unbiased, keepdim, correction=correction, ddof=ddof))


@spelled
@rounded_once
def var_mean(
    input: Tensor,
    dim: Any = None,
    unbiased: Any = None,
    keepdim: bool = False,
    *,
    correction: Any = None,
) -> tuple[Tensor, Tensor]:
    """The variance and the mean."""
    if isinstance(dim, bool):
        dim, unbiased = None, dim
    made = var(input, dim, unbiased, keepdim, correction=correction)
    return made, mean(input, dim, keepdim)


@spelled
@rounded_once
def std_mean(
    input: Tensor,
    dim: Any = None,
    unbiased: Any = None,
    keepdim: bool = False,
    *,
    correction: Any = None,
) -> tuple[Tensor, Tensor]:
    """The standard deviation and the mean."""
    made, middle = var_mean(input, dim, unbiased, keepdim, correction=correction)
    return sqrt(made), middle


def _extreme(name: str, input: Tensor, dim: Any, keepdim: bool) -> Any:
    if isinstance(dim, Tensor):
        return (maximum if name == "max" else minimum)(input, dim)
    if dim is None:
        return amax(input) if name == "max" else amin(input)
    axis = axis_of(name, input, dim)
    if input._kind.rank == 0:
        return Extreme(input.clone(), full(0, kind_of(int64, ())))
    if input.dtype is boolean:
        values, indices = _extreme(name, cast(input, int64), dim, keepdim)
        return Extreme(cast(values, boolean), indices)
    indices = apply("argmax" if name == "max" else "argmin", (input,), {"axis": axis})[0]
    wide = kept(indices, input, (axis,))
    values = apply("take_along", (input, wide), {"axis": axis})[0]
    if keepdim:
        return Extreme(values, wide)
    return Extreme(one("reshape", values, shape=tuple(indices.shape)), indices)


@spelled
def max(input: Tensor, dim: Any = None, keepdim: bool = False) -> Any:
    """The largest element; with `dim` the values and their first indices; with a second tensor the
    elementwise maximum."""
    return _extreme("max", input, dim, keepdim)


@spelled
def min(input: Tensor, dim: Any = None, keepdim: bool = False) -> Any:
    """The smallest element; with `dim` the values and their first indices; with a second tensor the
    elementwise minimum."""
    return _extreme("min", input, dim, keepdim)


def _amount(name: str, op: str, bool_op: str, input: Tensor, dim: Dims, keepdim: bool) -> Tensor:
    return reduce(name, bool_op if input.dtype is boolean else op, input, dim, keepdim)


@spelled
def amax(input: Tensor, dim: Dims = None, keepdim: bool = False) -> Tensor:
    """The largest elements over `dim`; ties share the derivative."""
    return _amount("amax", "max", "any", input, dim, keepdim)


@spelled
def amin(input: Tensor, dim: Dims = None, keepdim: bool = False) -> Tensor:
    """The smallest elements over `dim`; ties share the derivative."""
    return _amount("amin", "min", "all", input, dim, keepdim)


@spelled
def aminmax(input: Tensor, *, dim: int | None = None, keepdim: bool = False) -> Range:
    """The smallest and the largest elements along `dim` (of all, if None)."""
    return Range(amin(input, dim, keepdim), amax(input, dim, keepdim))


def _position(op: str, input: Tensor, dim: int | None, keepdim: bool) -> Tensor:
    if input.dtype is boolean:
        input = cast(input, int64)
    rank = input._kind.rank
    if dim is None:
        made = apply(op, (one("reshape", input, shape=(input.numel(),)),), {"axis": 0})[0]
        return kept(made, input, tuple(range(rank))) if keepdim else made
    axis = axis_of(op, input, dim)
    if rank == 0:
        return cast(full(False, kind_of(boolean, ())), int64)
    made = apply(op, (input,), {"axis": axis})[0]
    return kept(made, input, (axis,)) if keepdim else made


@spelled
def argmax(input: Tensor, dim: int | None = None, keepdim: bool = False) -> Tensor:
    """The first index of the largest element along `dim` (of the flattened tensor, if None):
    i64."""
    return _position("argmax", input, dim, keepdim)


@spelled
def argmin(input: Tensor, dim: int | None = None, keepdim: bool = False) -> Tensor:
    """The first index of the smallest element along `dim` (of the flattened tensor, if None):
    i64."""
    return _position("argmin", input, dim, keepdim)


@spelled
def any(input: Tensor, dim: Dims = None, keepdim: bool = False) -> Tensor:
    """Whether one element is true (not zero); of uint8 as uint8."""
    return _as_truth(reduce("any", "any", truth(input), dim, keepdim), input)


@spelled
def all(input: Tensor, dim: Dims = None, keepdim: bool = False) -> Tensor:
    """Whether all elements are true (not zero); of uint8 as uint8."""
    return _as_truth(reduce("all", "all", truth(input), dim, keepdim), input)


def _as_truth(made: Tensor, input: Tensor) -> Tensor:
    """The answer as torch gives it: a bool, for uint8 a uint8."""
    return cast(made, uint8) if input.dtype is uint8 else made


@spelled
def count_nonzero(input: Tensor, dim: Dims = None) -> Tensor:
    """How many elements are not zero."""
    return sum(truth(input), dim)


@spelled
@rounded_once
def nansum(
    input: Tensor, dim: Dims = None, keepdim: bool = False, *, dtype: DType | None = None
) -> Tensor:
    """The sum of the elements that are not NaN."""
    x = where(input != input, full(0, input._kind), input) if input.dtype.kind == "f" else input
    return sum(x, dim, keepdim, dtype=dtype)


@spelled
@rounded_once
def nanmean(input: Tensor, dim: Dims = None, keepdim: bool = False) -> Tensor:
    """The mean of the elements that are not NaN."""
    there = cast(input == input, input.dtype)
    return nansum(input, dim, keepdim) / sum(there, dim, keepdim)


@spelled
@rounded_once
def logsumexp(input: Tensor, dim: Dims, keepdim: bool = False) -> Tensor:
    """log(sum(exp(x))), shifted by the largest element so that it does not overflow."""
    x = to_float(input)
    axes = axes_of("logsumexp", x, dim)
    top = apply("stop_gradient", (amax(x, dim, True) if axes else x,))[0]
    top = where(abs(top) == math.inf, full(0, top._kind), top)
    made = log(sum(exp(x - top), axes, True) if axes else exp(x - top)) + top
    if keepdim or not axes:
        return made
    return one("reshape", made, shape=tuple(s for k, s in enumerate(x.shape) if k not in axes))


@spelled
@rounded_once
def norm(
    input: Tensor,
    p: Any = "fro",
    dim: Dims = None,
    keepdim: bool = False,
    dtype: DType | None = None,
) -> Tensor:
    """The p-norm of the elements over `dim`: (sum |x|^p)^(1/p), the derivative at 0 being 0; with
    'nuc' the sum of singular values."""
    from intaglio._functions_linalg_norm import nuclear_norm, vector_norm

    x = to_float(input) if dtype is None else cast(input, dtype)
    if p == "nuc":
        return nuclear_norm(x, dim, keepdim)
    if isinstance(p, str) and p != "fro":
        raise ArgumentError(f"norm: p is a number, 'fro', 'nuc' or infinity, not {p!r}")
    return vector_norm(x, 2 if p in ("fro", None) else p, dim, keepdim)


@rounded_once
def dist(input: Tensor, other: Tensor, p: float = 2.0) -> Tensor:
    """The p-norm of the difference."""
    return norm(input - other, p)
