"""Counting: histograms over ranges, by given edges, and in several dimensions."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

from intaglio._apply import apply, full, one
from intaglio._core import Tensor
from intaglio._functions_device import on_place
from intaglio._functions_elementwise import floor, where
from intaglio._functions_movement import narrow, reshape
from intaglio._functions_reduce import amax, amin, sum
from intaglio._kind import kind_of
from intaglio._modes import modes
from intaglio._promote import cast, expand_to, spelled
from intaglio.compiler.dtypes import int64
from intaglio.compiler.errors import ArgumentError, DTypeError, ShapeError


class Histogram(NamedTuple):
    """Counts (or weights, or densities), and the edges of the bins."""

    hist: Tensor
    bin_edges: Any


def _check_floats(name: str, x: Any) -> None:
    if not isinstance(x, Tensor) or x.dtype.kind != "f":
        found = x._kind if isinstance(x, Tensor) else type(x).__name__
        raise DTypeError(f"{name}: {found}: a floating-point tensor is needed; cast it first")


def _check_bins(name: str, bins: Any) -> None:
    if isinstance(bins, bool) or not isinstance(bins, int):
        raise ArgumentError(f"{name}: bins is a number of bins, not {bins!r}")
    if bins <= 0:
        raise ArgumentError(f"{name}: there is one bin at least, not {bins}")


def _check_range(name: str, low: float, high: float) -> None:
    if not (math.isfinite(low) and math.isfinite(high)):
        raise ArgumentError(f"{name}: the range [{low}, {high}] is not finite")
    if low > high:
        raise ArgumentError(f"{name}: the range [{low}, {high}]: max is smaller than min")


def _limits(
    name: str, x: Tensor, given: tuple[float, float] | None, more: float
) -> tuple[Tensor, Tensor]:
    """Where the bins begin and end: as given, or the smallest and the largest element; by `more`
    further out where the two are equal. They are tensors without dimensions."""
    scalar = kind_of(x.dtype, (), x._kind.place)
    if given is not None:
        _check_range(name, *given)
        low, high = given if given[0] != given[1] else (given[0] - more, given[1] + more)
        return full(low, scalar), full(high, scalar)
    flat = reshape(x.detach(), x.numel())
    if isinstance(flat.shape[0], int) and flat.shape[0] == 0:
        return full(0.0, scalar), full(1.0, scalar)
    least, most = amin(flat), amax(flat)
    if modes.trace is None:
        _check_range(name, float(least), float(most))
    same = least == most
    return where(same, least - more, least), where(same, most + more, most)


def _added(count: Any, place: Tensor, weight: Tensor) -> Tensor:
    """Weights added at places; the place `count` is for what lies outside."""
    zeros = full(0, kind_of(weight.dtype, (count + 1,), weight._kind.place))
    whole = apply("index_add", (zeros, place, weight), {"axis": 0})[0]
    return narrow(whole, 0, 0, count)


@spelled
def histc(input: Tensor, bins: int = 100, min: float = 0, max: float = 0) -> Tensor:
    """How many elements lie in each of `bins` equal parts of [min, max]: counts in the input's
    dtype. With min equal to max the range is that of the elements; those outside are not
    counted."""
    _check_floats("histc", input)
    _check_bins("histc", bins)
    low, high = _limits("histc", input, None if min == max else (float(min), float(max)), 1.0)
    x = reshape(input.detach(), input.numel())
    inside = (x >= low) & (x <= high)
    place = floor((x - low) * float(bins) / (high - low))
    place = where(inside, place.clamp(0, bins - 1), full(float(bins), x._kind))
    return _added(bins, cast(place, int64), full(1, x._kind))


def _even_edges(low: Tensor, high: Tensor, bins: int) -> Tensor:
    """bins + 1 edges from low to high, each computed from the nearer end."""
    kind = kind_of(low.dtype, (bins + 1,), low._kind.place)
    steps = one("iota", dtype=low.dtype, shape=(bins + 1,), axis=0)
    steps = on_place(steps, kind.place)
    step = (high - low) / bins
    return where(steps < (bins + 1) // 2, low + steps * step, high - (float(bins) - steps) * step)


def _bin_of(x: Tensor, edges: Tensor) -> tuple[Tensor, Tensor]:
    """The number of the bin of each element, and whether it lies in one; the last edge belongs to
    the last bin."""
    count = edges.shape[0] - 1
    place = one("search", edges, x, right=True) - 1
    first, last = narrow(edges, 0, 0, 1), narrow(edges, 0, count, 1)
    inside = (x >= first) & (x <= last)
    return place.clamp(0, count - 1), inside


def _check_weight(name: str, weight: Any, x: Tensor, shape: tuple[Any, ...]) -> None:
    if weight is None:
        return
    if weight.dtype is not x.dtype:
        raise DTypeError(f"{name}: weight {weight._kind} must have the dtype of the input")
    if tuple(weight.shape) != shape:
        raise ShapeError(f"{name}: weight {weight._kind} must have the shape {shape}")


def _check_edges(name: str, edges: Tensor, x: Tensor) -> None:
    if edges.ndim != 1 or (isinstance(edges.shape[0], int) and edges.shape[0] < 2):
        raise ShapeError(f"{name}: bin edges {edges._kind} must be a row of two at least")
    if edges.dtype is not x.dtype:
        raise DTypeError(f"{name}: bin edges {edges._kind} must have the dtype of the input")


@spelled
def histogram(
    input: Tensor,
    bins: Any,
    *,
    range: Sequence[float] | None = None,
    weight: Tensor | None = None,
    density: bool = False,
) -> Histogram:
    """Counts of the elements in bins, and the bins' edges: (hist, bin_edges). `bins` is a number of
    equal bins over `range` (the elements' own, if None) or [n + 1] ascending edges; the last bin
    holds its right edge. `weight` is summed instead of ones; with `density` the integral is 1."""
    _check_floats("histogram", input)
    _check_weight("histogram", weight, input, tuple(input.shape))
    table = reshape(input, input.numel(), 1)
    flat = None if weight is None else reshape(weight, weight.numel())
    given = None if range is None else [float(r) for r in range]
    made = _counted("histogram", table, [bins], given, flat, density)
    return Histogram(made.hist, made.bin_edges[0])


@spelled
def histogramdd(
    input: Tensor,
    bins: Any,
    range: Sequence[float] | None = None,
    weight: Tensor | None = None,
    density: bool = False,
) -> Histogram:
    """A histogram of points: input [..., d]. `bins` is a number of bins for each of the d
    coordinates, one number per coordinate, or one row of edges per coordinate; `range` holds the
    lowest and highest edge of each coordinate in turn. The counts have d dimensions; bin_edges is a
    list of d rows."""
    _check_floats("histogramdd", input)
    if input.ndim < 2:
        raise ShapeError(f"histogramdd: {input._kind}: points [..., d] are needed")
    _check_weight("histogramdd", weight, input, tuple(input.shape[:-1]))
    many = input.shape[-1]
    each = [bins] * many if isinstance(bins, int) else list(bins)
    if len(each) != many:
        raise ShapeError(
            f"histogramdd: {input._kind}: bins has {len(each)} entries for {many} coordinates"
        )
    table = reshape(input, input.numel() // many if many else 0, many)
    flat = None if weight is None else reshape(weight, weight.numel())
    given = None if range is None else [float(r) for r in range]
    return _counted("histogramdd", table, each, given, flat, density)


def _counted(
    name: str,
    table: Tensor,
    bins: Sequence[Any],
    given: list[float] | None,
    weight: Tensor | None,
    density: bool,
) -> Histogram:
    """The histogram of the rows of a table."""
    if given is not None and len(given) != 2 * len(bins):
        raise ArgumentError(f"{name}: range has {len(given)} numbers, not {2 * len(bins)}")
    x = table.detach()
    points = x.shape[0]
    place: Any = full(0, kind_of(int64, (points,), x._kind.place))
    inside: Any = None
    edges: list[Tensor] = []
    for k, wanted in enumerate(bins):
        column = reshape(narrow(x, 1, k, 1), points)
        if isinstance(wanted, Tensor):
            _check_edges(name, wanted, x)
            edges.append(wanted.detach())
        else:
            _check_bins(name, wanted)
            limits = None if given is None else (given[2 * k], given[2 * k + 1])
            edges.append(_even_edges(*_limits(name, column, limits, 0.5), wanted))
        at, within = _bin_of(column, edges[-1])
        place = place * (edges[-1].shape[0] - 1) + at
        inside = within if inside is None else inside & within
    sizes = tuple(e.shape[0] - 1 for e in edges)
    whole = math.prod(sizes)
    place = where(inside, place, whole) if inside is not None else place
    ones = full(1, kind_of(x.dtype, (points,), x._kind.place))
    hist = reshape(_added(whole, place, ones if weight is None else weight.detach()), *sizes)
    return Histogram(_as_density(hist, edges) if density else hist, edges)


def _as_density(hist: Tensor, edges: Sequence[Tensor]) -> Tensor:
    made = hist / sum(hist)
    for k, row in enumerate(edges):
        shape = tuple(-1 if j == k else 1 for j in range(len(edges)))
        made = made / expand_to(reshape(row.diff(), *shape), tuple(hist.shape))
    return made
