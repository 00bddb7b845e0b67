"""Order statistics and norms of slices: quantiles, medians, modes, renorm."""

from __future__ import annotations

from typing import Any, Final

from intaglio._apply import apply, full, one
from intaglio._core import Tensor
from intaglio._custom import custom_vjp
from intaglio._functions_device import on_place
from intaglio._functions_elementwise import ceil, floor, lerp, where
from intaglio._functions_movement import reshape, unsqueeze
from intaglio._functions_reduce import axis_of, kept, norm, sum
from intaglio._functions_sort import Sorted, even_shares, picked, sort
from intaglio._promote import as_tensor_like, cast, expand_to, size_tensor, spelled
from intaglio.compiler.dtypes import int64
from intaglio.compiler.errors import ArgumentError, DTypeError, ShapeError

_INTERPOLATIONS: Final = ("linear", "lower", "higher", "midpoint", "nearest")


def _is_nan(x: Tensor) -> Tensor:
    return x != x


def _size_like(size: Any, like: Tensor) -> Tensor:
    """A size as a tensor without dimensions, of the dtype and on the device of another."""
    return on_place(cast(size_tensor(size), like.dtype), like._kind.place)


# ---------------------------------------------------------------------------------------- quantiles


def _check_quantile(name: str, x: Tensor, q: Any, interpolation: str) -> Tensor:
    """q as a tensor of x's dtype."""
    if x.dtype.kind != "f" or x.dtype.size < 4:
        raise DTypeError(f"{name}: {x._kind}: float32 or float64 is needed; cast it first")
    if interpolation not in _INTERPOLATIONS:
        raise ArgumentError(
            f"{name}: interpolation is one of {', '.join(_INTERPOLATIONS)}, not {interpolation!r}"
        )
    if not isinstance(q, Tensor):
        if not 0 <= q <= 1:
            raise ArgumentError(f"{name}: q lies between 0 and 1, {q!r} does not")
        return as_tensor_like(float(q), x.dtype)
    if q.ndim > 1:
        raise ShapeError(f"{name}: q {q._kind} has more than one dimension")
    if q.dtype is not x.dtype:
        raise DTypeError(f"{name}: q {q._kind} must have the dtype of the input {x._kind}")
    if q._kind.place is not x._kind.place:
        raise ArgumentError(f"{name}: q must lie on the device of the input")
    return q


def _quantile(
    name: str, x: Tensor, q: Any, dim: int | None, keepdim: bool, interpolation: str
) -> Tensor:
    """The rows in order, with the elements above and below the wanted rank read and joined."""
    levels = _check_quantile(name, x, q, interpolation)
    rank = x.ndim
    if dim is None:
        rows, rest = reshape(x, x.numel()), (1,) * rank
    else:
        axis = axis_of(name, x, dim)
        rows = one("reshape", x, shape=(1,)) if rank == 0 else x
        others = tuple(k for k in range(rows.ndim) if k != axis)
        rows = one("permute", rows, axes=(*others, axis))
        rest = tuple(1 if k == axis else s for k, s in enumerate(x.shape))
    if isinstance(rows.shape[-1], int) and rows.shape[-1] == 0:
        raise ShapeError(f"{name}: {x._kind} has no elements along dim {dim}")
    ordered = sort(rows, -1).values
    flat = levels if levels.ndim else one("reshape", levels, shape=(1,))
    ranks = _ranks(name, ordered, flat)
    made = _interpolated(ordered, ranks, interpolation)
    made = one("permute", made, axes=(made.ndim - 1, *range(made.ndim - 1)))
    own = tuple(rest) if keepdim else tuple(rows.shape[:-1] if rank else ())
    lead = tuple(flat.shape) if levels.ndim else ()
    return one("reshape", made, shape=(*lead, *own))


def _ranks(name: str, ordered: Tensor, levels: Tensor) -> Tensor:
    """The wanted places in each row, as floats: [..., levels]. Of `quantile`, a row with a NaN has
    its last place (which holds one); `nanquantile` counts the numbers only."""
    axis = ordered.ndim - 1
    shape = (*ordered.shape[:-1], levels.shape[0])
    if name == "quantile":
        last = _size_like(ordered.shape[-1], ordered) - 1
        ranks = expand_to(levels * last, shape)
        nan = apply("any", (_is_nan(ordered.detach()),), {"axes": (axis,)})[0]
        return where(unsqueeze(nan, -1), last, ranks)
    count = sum(cast(ordered.detach() == ordered.detach(), ordered.dtype), -1, True)
    return (levels * (count - 1)).clamp(min=0)


def _interpolated(ordered: Tensor, ranks: Tensor, interpolation: str) -> Tensor:
    axis = ordered.ndim - 1
    if interpolation == "lower":
        ranks = floor(ranks)
    elif interpolation == "higher":
        ranks = ceil(ranks)
    elif interpolation == "nearest":
        ranks = apply("round", (ranks,))[0]
    below = cast(ranks.detach(), int64)
    lower = apply("take_along", (ordered, below), {"axis": axis})[0]
    if interpolation in ("lower", "higher", "nearest"):
        return lower
    above = cast(ceil(ranks.detach()), int64)
    upper = apply("take_along", (ordered, above), {"axis": axis})[0]
    if interpolation == "midpoint":
        return lerp(lower, upper, 0.5)
    return lerp(lower, upper, ranks - cast(below, ranks.dtype))


@spelled
def quantile(
    input: Tensor,
    q: Any,
    dim: int | None = None,
    keepdim: bool = False,
    *,
    interpolation: str = "linear",
) -> Tensor:
    """The value below which the share q (0 to 1) of the elements lies, along `dim` (of all, if
    None); q: a number, or [m] for results [m, ...]. Between two elements it is interpolated
    (`linear`, `lower`, `higher`, `midpoint`, `nearest`). NaN where a row holds NaN. Float32 and
    float64."""
    return _quantile("quantile", input, q, dim, keepdim, interpolation)


@spelled
def nanquantile(
    input: Tensor,
    q: Any,
    dim: int | None = None,
    keepdim: bool = False,
    *,
    interpolation: str = "linear",
) -> Tensor:
    """`quantile` of the elements that are not NaN; NaN where there are none."""
    return _quantile("nanquantile", input, q, dim, keepdim, interpolation)


# ------------------------------------------------------------------------------------------ medians


def _nanmedian_forward(x: Tensor) -> Tensor:
    return nanmedian(x, 0).values


_nanmedian_of_all = custom_vjp(_nanmedian_forward, even_shares, name="nanmedian")


@spelled
def nanmedian(input: Tensor, dim: int | None = None, keepdim: bool = False) -> Any:
    """The lower of the two middle elements of those that are not NaN; with `dim` also where it was.
    NaN where there are no others."""
    if dim is None:
        flat = reshape(input, input.numel())
        if input.dtype.kind == "f":
            made: Tensor = _nanmedian_of_all(flat)
            return made
        return nanmedian(flat, 0).values
    axis = axis_of("nanmedian", input, dim)
    if not input.ndim:
        return sort(input)
    values, order = sort(input.detach(), axis)
    if input.dtype.kind == "f":
        count = apply("sum", (cast(values == values, int64),), {"axes": (axis,)})[0]
        middle = (kept(count, input, (axis,)) - 1).clamp(min=0) // 2
    else:
        shape = tuple(1 if k == axis else s for k, s in enumerate(input.shape))
        middle = expand_to(reshape((size_tensor(input.shape[axis]) - 1) // 2, 1), shape)
        middle = on_place(middle, input._kind.place)
    place = apply("take_along", (order, middle), {"axis": axis})[0]
    return picked(input, place, axis, keepdim)


@spelled
def mode(input: Tensor, dim: int = -1, keepdim: bool = False) -> Sorted:
    """The element that occurs most often along `dim` (the smallest of several), and the last place
    where it does."""
    axis = axis_of("mode", input, dim)
    if not input.ndim:
        return sort(input)
    size = input.shape[axis]
    if isinstance(size, int) and size == 0:
        raise ShapeError(f"mode: {input._kind} has no elements along dim {dim}")
    values, order = sort(input.detach(), axis)
    rank = input.ndim
    here = on_place(
        one("iota", dtype=int64, shape=tuple(input.shape), axis=axis), input._kind.place
    )
    ones, low = (1,) * rank, tuple(1 if k == axis else 0 for k in range(rank))
    tail = one("slice", values, starts=low, stops=tuple(input.shape), steps=ones)
    stops = tuple(s - a for s, a in zip(input.shape, low, strict=True))
    head = one("slice", values, starts=(0,) * rank, stops=stops, steps=ones)
    begins = one("pad", tail != head, low=low, high=(0,) * rank, value=True)
    start = one("cumulative", where(begins, here, 0), axis=axis, kind="max", reverse=False)
    best = apply("argmax", (here - start,), {"axis": axis})[0]
    place = apply("take_along", (order, kept(best, input, (axis,))), {"axis": axis})[0]
    return picked(input, place, axis, keepdim)


# ------------------------------------------------------------------------------------------- renorm


def renorm(input: Tensor, p: float, dim: int, maxnorm: float) -> Tensor:
    """Each slice along `dim` whose p-norm is larger than `maxnorm` scaled down to it."""
    if input.dtype.kind != "f":
        raise DTypeError(f"renorm: {input._kind} is not floating-point")
    if input.ndim < 2:
        raise ShapeError(f"renorm: {input._kind}: two dimensions at least are needed")
    if isinstance(p, bool) or not isinstance(p, int | float) or not p > 0:
        raise ArgumentError(f"renorm: p is a positive number, not {p!r}")
    if not maxnorm >= 0:
        raise ArgumentError(f"renorm: maxnorm is not negative, {maxnorm!r} is")
    axis = axis_of("renorm", input, dim)
    others = tuple(k for k in range(input.ndim) if k != axis)
    length = norm(input, p, others, True)
    over = length > maxnorm
    scale = maxnorm / (where(over, length, full(1, length._kind)) + 1e-7)
    return input * where(over, scale, full(1, scale._kind))
