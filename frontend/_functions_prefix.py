"""Functions that go along a dimension and keep every value on the way: cumulative sums, products,
extremes and logarithms of sums of exponentials."""

from __future__ import annotations

from typing import NamedTuple

from intaglio._apply import one
from intaglio._core import Tensor
from intaglio._functions_device import on_place
from intaglio._functions_elementwise import where
from intaglio._functions_reduce import axis_of
from intaglio._promote import cast, spelled
from intaglio.compiler.dtypes import DType, boolean, int64
from intaglio.compiler.errors import DTypeError


class Extremes(NamedTuple):
    """The extreme so far at each place, and where it was met last."""

    values: Tensor
    indices: Tensor


def _along(x: Tensor, axis: int, kind: str) -> Tensor:
    return one("cumulative", x, axis=axis, kind=kind, reverse=False)


def _total(name: str, kind: str, x: Tensor, dim: int, dtype: DType | None) -> Tensor:
    if dtype is None and x.dtype.kind != "f":
        dtype = int64
    x = x if dtype is None else cast(x, dtype)
    axis = axis_of(name, x, dim)
    return _along(x, axis, kind) if x.ndim else x.clone()


@spelled
def cumsum(input: Tensor, dim: int, *, dtype: DType | None = None) -> Tensor:
    """The sums of all elements up to each one along `dim`, added in order; those of f32 in f64,
    rounded for each result."""
    return _total("cumsum", "sum", input, dim, dtype)


@spelled
def cumprod(input: Tensor, dim: int, *, dtype: DType | None = None) -> Tensor:
    """The products of all elements up to each one along `dim`, multiplied in order; those of f32 in
    f64, rounded for each result."""
    return _total("cumprod", "prod", input, dim, dtype)


@spelled
def logcumsumexp(input: Tensor, dim: int) -> Tensor:
    """log(cumsum(exp(input))) along `dim`, without overflow. Floats only."""
    axis = axis_of("logcumsumexp", input, dim)
    if input.dtype.kind != "f":
        raise DTypeError(f"logcumsumexp: {input._kind}: a float tensor is needed")
    return _along(input, axis, "logsumexp") if input.ndim else input.clone()


def _extremes(name: str, kind: str, x: Tensor, dim: int) -> Extremes:
    axis = axis_of(name, x, dim)
    if not x.ndim:
        made = _extremes(name, kind, one("reshape", x, shape=(1,)), 0)
        return Extremes(*(one("reshape", t, shape=()) for t in made))
    if x.dtype is boolean:
        wide = _extremes(name, kind, cast(x, int64), dim)
        return Extremes(cast(wide.values, boolean), wide.indices)
    values = _along(x, axis, kind)
    plain, best = x.detach(), values.detach()
    met = (plain == best) | (plain != plain)
    counted = one("iota", dtype=int64, shape=tuple(x.shape), axis=axis)
    here = on_place(counted, x._kind.place)
    return Extremes(values, _along(where(met, here, -1), axis, "max"))


@spelled
def cummax(input: Tensor, dim: int) -> Extremes:
    """The largest element so far at each place along `dim` (NaN from the first NaN on), and where
    it was met last."""
    return _extremes("cummax", "max", input, dim)


@spelled
def cummin(input: Tensor, dim: int) -> Extremes:
    """The smallest element so far at each place along `dim` (NaN from the first NaN on), and where
    it was met last."""
    return _extremes("cummin", "min", input, dim)
