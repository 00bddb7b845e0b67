"""Functions of the elements that a mask lets through, with the names and meanings of torch.masked.

Elements where the mask is false count as the reduction's neutral value. Where no element is left,
the result is that value, or NaN for what has none (mean, median, variances, softmax). A mask is a
bool tensor that broadcasts to its input; None lets everything through."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

from intaglio import (
    _functions_elementwise as elementwise,
    _functions_prefix as prefix,
    _functions_reduce as reduce,
    _functions_special_logs as logs,
)
from intaglio._apply import full
from intaglio._core import Tensor
from intaglio._dtype_names import as_dtype, iinfo
from intaglio._functions_compare import truth
from intaglio._functions_statistics import nanmedian
from intaglio._modes import modes
from intaglio._promote import cast, expand_to
from intaglio.compiler.dtypes import DType, float32, int64
from intaglio.compiler.errors import ArgumentError, DTypeError, IndexError
from intaglio.nn import functional

Dims = int | Sequence[int] | None


def _mask_of(name: str, x: Tensor, mask: Tensor | None) -> Tensor | None:
    """The mask in the input's shape."""
    if mask is None:
        return None
    if mask.ndim > x.ndim:
        raise IndexError(
            f"masked.{name}: the mask {mask._kind} has more dimensions than the input {x._kind}"
        )
    return expand_to(truth(mask), tuple(x.shape))


def _filled(name: str, x: Tensor, mask: Tensor | None, neutral: Any) -> Tensor:
    """The input with the neutral value where the mask is false."""
    if not isinstance(x, Tensor):
        raise ArgumentError(f"masked.{name}: a tensor is wanted, not {type(x).__name__}")
    there = _mask_of(name, x, mask)
    return x if there is None else elementwise.where(there, x, full(neutral, x._kind))


def _lowest(dtype: DType) -> Any:
    if dtype.kind == "f":
        return -math.inf
    return False if dtype.kind == "b" else iinfo(dtype).min


def _highest(dtype: DType) -> Any:
    if dtype.kind == "f":
        return math.inf
    return True if dtype.kind == "b" else iinfo(dtype).max


def _axes(dim: Any) -> Dims:
    """torch's `dim=()` means all dimensions."""
    return None if dim is None or (not isinstance(dim, int) and len(dim) == 0) else dim


def _as(x: Tensor, dtype: Any) -> Tensor:
    return x if dtype is None else cast(x, as_dtype(dtype))


def _whole(dtype: Any, x: Tensor) -> DType:
    """The dtype of sums: that of floats, int64 for everything else."""
    if dtype is not None:
        return as_dtype(dtype)
    return x.dtype if x.dtype.kind == "f" else int64


def sum(
    input: Tensor,
    dim: Any = None,
    *,
    keepdim: bool = False,
    dtype: Any = None,
    mask: Tensor | None = None,
) -> Tensor:
    """The sum over `dim`; 0 of nothing."""
    x = _filled("sum", input, mask, 0)
    return reduce.sum(x, _axes(dim), bool(keepdim), dtype=_whole(dtype, input))


def prod(
    input: Tensor,
    dim: Any = None,
    *,
    keepdim: bool = False,
    dtype: Any = None,
    mask: Tensor | None = None,
) -> Tensor:
    """The product over `dim`; 1 of nothing."""
    x = _filled("prod", input, mask, 1)
    return reduce.prod(x, _axes(dim), bool(keepdim), dtype=_whole(dtype, input))


def cumsum(input: Tensor, dim: int, *, dtype: Any = None, mask: Tensor | None = None) -> Tensor:
    """The sums up to each element along `dim`, in the input's dtype unless another is given."""
    x = _filled("cumsum", input, mask, 0)
    return prefix.cumsum(x, dim, dtype=as_dtype(dtype or input.dtype))


def cumprod(input: Tensor, dim: int, *, dtype: Any = None, mask: Tensor | None = None) -> Tensor:
    """The products up to each element along `dim`, in the input's dtype unless another is given."""
    x = _filled("cumprod", input, mask, 1)
    return prefix.cumprod(x, dim, dtype=as_dtype(dtype or input.dtype))


def amax(
    input: Tensor,
    dim: Any = None,
    *,
    keepdim: bool = False,
    dtype: Any = None,
    mask: Tensor | None = None,
) -> Tensor:
    """The largest element over `dim`; -inf, or the smallest integer, of nothing."""
    x = _filled("amax", input, mask, _lowest(input.dtype))
    return _as(reduce.amax(x, _axes(dim), bool(keepdim)), dtype)


def amin(
    input: Tensor,
    dim: Any = None,
    *,
    keepdim: bool = False,
    dtype: Any = None,
    mask: Tensor | None = None,
) -> Tensor:
    """The smallest element over `dim`; inf, or the largest integer, of nothing."""
    x = _filled("amin", input, mask, _highest(input.dtype))
    return _as(reduce.amin(x, _axes(dim), bool(keepdim)), dtype)


def argmax(
    input: Tensor,
    dim: int | None = None,
    *,
    keepdim: bool = False,
    dtype: Any = None,
    mask: Tensor | None = None,
) -> Tensor:
    """The first index of the largest element along `dim`, in the input's dtype unless another is
    given (as torch has it)."""
    x = _filled("argmax", input, mask, _lowest(input.dtype))
    return _as(reduce.argmax(x, dim, bool(keepdim)), dtype or input.dtype)


def argmin(
    input: Tensor,
    dim: int | None = None,
    *,
    keepdim: bool = False,
    dtype: Any = None,
    mask: Tensor | None = None,
) -> Tensor:
    """The first index of the smallest element along `dim`, in the input's dtype unless another is
    given (as torch has it)."""
    x = _filled("argmin", input, mask, _highest(input.dtype))
    return _as(reduce.argmin(x, dim, bool(keepdim)), dtype or input.dtype)


def _count(name: str, x: Tensor, dim: Any, keepdim: bool, mask: Tensor | None) -> Tensor:
    """How many elements the mask lets through: i64."""
    there = _mask_of(name, x, mask)
    ones = cast(full(True, truth(x)._kind) if there is None else there, int64)
    return reduce.sum(ones, _axes(dim), keepdim)


def mean(
    input: Tensor,
    dim: Any = None,
    *,
    keepdim: bool = False,
    dtype: Any = None,
    mask: Tensor | None = None,
) -> Tensor:
    """The mean over `dim`; NaN of nothing. Floats only, unless a float dtype is given."""
    wanted = as_dtype(dtype or input.dtype)
    if wanted.kind != "f":
        raise DTypeError(f"masked.mean: {wanted} has no mean; give dtype=float32")
    total = sum(input, dim, keepdim=keepdim, dtype=wanted, mask=mask)
    return total / _count("mean", input, dim, bool(keepdim), mask)


def median(
    input: Tensor,
    dim: int = -1,
    *,
    keepdim: bool = False,
    dtype: Any = None,
    mask: Tensor | None = None,
) -> Tensor:
    """The lower of the two middle elements along `dim`; NaN of nothing."""
    x = input if input.dtype.kind == "f" else cast(input, float32)
    made: Tensor = nanmedian(_filled("median", x, mask, math.nan), dim, bool(keepdim)).values
    if x is input:
        return made
    if modes.trace is None and bool((made != made).any()):
        raise ArgumentError(
            f"masked.median: {input._kind}: a row without elements has no median but NaN; cast the"
            " input to a float dtype"
        )
    return cast(made, as_dtype(dtype or input.dtype))


def var(
    input: Tensor,
    dim: Any = None,
    unbiased: bool | None = None,
    *,
    correction: Any = None,
    keepdim: bool = False,
    dtype: Any = None,
    mask: Tensor | None = None,
) -> Tensor:
    """The variance over `dim`: squared distances from the mean, summed and divided by the count
    less 1 (`correction`); NaN of nothing."""
    if unbiased is not None and correction is not None:
        raise ArgumentError("masked.var: give unbiased or correction, not both")
    less = correction if correction is not None else 1 if unbiased is None else int(unbiased)
    wanted = as_dtype(dtype) if dtype is not None else input.dtype
    wide = wanted if wanted.kind == "f" else float32
    x = cast(input, wide) if input.dtype.kind != "f" else input
    whole = sum(x, dim, keepdim=True, dtype=wide, mask=mask)
    middle = whole / _count("var", x, dim, True, mask)
    apart = x - middle
    total = sum(apart * apart, dim, keepdim=keepdim, dtype=wide, mask=mask)
    count = cast(_count("var", x, dim, bool(keepdim), mask), wide)
    left = (count - less).clamp(min=0.0) if less else count
    return cast(total / left, wanted if dtype is not None else wide)


def std(
    input: Tensor,
    dim: Any = None,
    unbiased: bool | None = None,
    *,
    correction: Any = None,
    keepdim: bool = False,
    dtype: Any = None,
    mask: Tensor | None = None,
) -> Tensor:
    """The square root of the variance."""
    made = var(input, dim, unbiased, correction=correction, keepdim=keepdim, dtype=dtype, mask=mask)
    return elementwise.sqrt(made)


def norm(
    input: Tensor,
    ord: float | None = 2.0,
    dim: Any = None,
    *,
    keepdim: bool = False,
    dtype: Any = None,
    mask: Tensor | None = None,
) -> Tensor:
    """The `ord`-norm of the elements over `dim`; 0 of nothing, but inf for ord=-inf."""
    x = _filled("norm", input, mask, math.inf if ord == -math.inf else 0)
    wanted = None if dtype is None else as_dtype(dtype)
    return reduce.norm(x, 2.0 if ord is None else ord, _axes(dim), bool(keepdim), dtype=wanted)


def logsumexp(
    input: Tensor,
    dim: Any = None,
    *,
    keepdim: bool = False,
    dtype: Any = None,
    mask: Tensor | None = None,
) -> Tensor:
    """log(sum(exp(x))) over `dim`; -inf of nothing."""
    x = _filled("logsumexp", input, mask, _lowest(input.dtype))
    return _as(reduce.logsumexp(x, _axes(dim), bool(keepdim)), dtype or input.dtype)


def logaddexp(
    input: Tensor,
    other: Tensor,
    *,
    dtype: Any = None,
    input_mask: Tensor | None = None,
    other_mask: Tensor | None = None,
) -> Tensor:
    """log(exp(input) + exp(other)) with -inf for what the masks hold back."""
    a = _filled("logaddexp", input, input_mask, -math.inf)
    b = _filled("logaddexp", other, other_mask, -math.inf)
    return _as(logs.logaddexp(a, b), dtype or input.dtype)


def _shares(
    name: str, function: Callable[..., Tensor], neutral: Callable[[DType], Any]
) -> Callable[..., Tensor]:
    def call(input: Tensor, dim: int, *, dtype: Any = None, mask: Tensor | None = None) -> Tensor:
        wanted = as_dtype(dtype or input.dtype)
        return function(_filled(name, input, mask, neutral(input.dtype)), dim, dtype=wanted)

    call.__name__ = call.__qualname__ = name
    call.__doc__ = (
        f"`{name}` along `dim` of the elements that the mask lets through; NaN in a row of none."
    )
    return call


softmax = _shares("softmax", functional.softmax, _lowest)
log_softmax = _shares("log_softmax", functional.log_softmax, _lowest)
softmin = _shares("softmin", functional.softmin, _highest)


def normalize(
    input: Tensor,
    ord: float,
    dim: int,
    *,
    eps: float = 1e-12,
    dtype: Any = None,
    mask: Tensor | None = None,
) -> Tensor:
    """The elements divided by the `ord`-norm of their row along `dim` (`eps` at least); 0 where the
    mask is false."""
    length = norm(input, ord, dim, keepdim=True, dtype=dtype or input.dtype, mask=mask)
    least = full(eps, length._kind)
    return _filled("normalize", input, mask, 0) / elementwise.maximum(length, least)
