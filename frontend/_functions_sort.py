"""Sorting and what follows from it: stable, NaN after everything else."""

from __future__ import annotations

from typing import Any, NamedTuple

from intaglio._apply import apply, one
from intaglio._core import Tensor
from intaglio._custom import custom_vjp
from intaglio._functions_movement import narrow, reshape
from intaglio._functions_reduce import axis_of
from intaglio._promote import cast, spelled
from intaglio.compiler.dtypes import float32, int64
from intaglio.compiler.errors import ArgumentError


class Sorted(NamedTuple):
    """Values in order, and where they were along the dimension."""

    values: Tensor
    indices: Tensor


def _ordered(op: str, x: Tensor, attributes: dict[str, Any]) -> Sorted:
    """The results of an op that puts elements in order."""
    if not x.ndim:
        made = _ordered(op, one("reshape", x, shape=(1,)), attributes)
        return Sorted(*(one("reshape", t, shape=()) for t in made))
    if x.dtype.kind == "f" and x.dtype.size < 4:  # the wider type has the same order
        order = apply(op, (cast(x.detach(), float32),), attributes)[1]
        return Sorted(apply("take_along", (x, order), {"axis": attributes["axis"]})[0], order)
    return Sorted(*apply(op, (x,), attributes))


def _sorted(x: Tensor, axis: int, descending: bool) -> Sorted:
    return _ordered("sort", x, {"axis": axis, "descending": bool(descending)})


@spelled
def argsort(input: Tensor, dim: int = -1, descending: bool = False, stable: bool = True) -> Tensor:
    """The positions of the elements in sorted order along `dim`; equal ones keep their order."""
    return _sorted(input.detach(), axis_of("argsort", input, dim), descending).indices


@spelled
def sort(input: Tensor, dim: int = -1, descending: bool = False, stable: bool = True) -> Sorted:
    """The elements in order along `dim`, and where they were."""
    return _sorted(input, axis_of("sort", input, dim), descending)


@spelled
def msort(input: Tensor) -> Tensor:
    """Sorted along the first dimension."""
    return sort(input, 0).values


@spelled
def topk(input: Tensor, k: int, dim: int = -1, largest: bool = True, sorted: bool = True) -> Sorted:
    """The k largest (smallest) elements along `dim`, in order, and where they were; of equal ones
    the first."""
    axis = axis_of("topk", input, dim)
    size = input.shape[axis] if input.ndim else 1
    if isinstance(size, int) and isinstance(k, int) and not 0 <= k <= size:
        raise ArgumentError(f"topk: {input._kind}: there are no {k} elements along dim {dim}")
    if not input.ndim and k == 0:
        empty = narrow(one("reshape", input, shape=(1,)), 0, 0, 0)
        return Sorted(empty, cast(empty.detach(), int64))
    return _ordered("topk", input, {"k": k, "axis": axis, "largest": bool(largest)})


@spelled
def kthvalue(input: Tensor, k: int, dim: int = -1, keepdim: bool = False) -> Sorted:
    """The k-th smallest element along `dim` (k counts from 1), and where it was."""
    axis = axis_of("kthvalue", input, dim)
    size = input.shape[axis] if input.ndim else 1
    if isinstance(size, int) and isinstance(k, int) and not 1 <= k <= size:
        raise ArgumentError(f"kthvalue: {input._kind}: there is no element {k} along dim {dim}")
    if not input.ndim:
        return sort(input)
    order = topk(input.detach(), k, axis, False).indices
    return picked(input, narrow(order, axis, k - 1, 1), axis, keepdim)


def picked(x: Tensor, place: Tensor, axis: int, keepdim: bool) -> Sorted:
    """The elements at one place of each row along an axis, and the places."""
    values = apply("take_along", (x, place), {"axis": axis})[0]
    if keepdim:
        return Sorted(values, place)
    shape = tuple(s for k, s in enumerate(x.shape) if k != axis)
    return Sorted(one("reshape", values, shape=shape), one("reshape", place, shape=shape))


def _median_forward(x: Tensor) -> Tensor:
    made: Tensor = median(x, 0).values
    return made


def even_shares(xs: Any, ys: Any, dys: Any) -> Any:
    """The derivative of a function that picks one of the elements of a row: those equal to the
    result share it evenly."""
    x, y = xs[0], ys[0]
    share = cast((x == y) | ((x != x) & (y != y)), x.dtype)
    return (share * (dys[0] / apply("sum", (share,), {"axes": (0,)})[0]),)


_median_of_all = custom_vjp(_median_forward, even_shares, name="median")


@spelled
def median(input: Tensor, dim: int | None = None, keepdim: bool = False) -> Any:
    """The lower of the two middle elements; with `dim` also where it was. NaN if one is NaN."""
    if dim is None:
        flat = reshape(input, input.numel())
        return _median_of_all(flat) if input.dtype.kind == "f" else median(flat, 0).values
    axis = axis_of("median", input, dim)
    if not input.ndim:
        return sort(input)
    values, order = _sorted(input.detach(), axis, False)
    size = input.shape[axis]
    place = narrow(order, axis, (size - 1) // 2, 1)
    if input.dtype.kind == "f":  # the first NaN, where there is one
        nan = cast(values != values, int64)
        count = apply("sum", (nan,), {"axes": (axis,)})[0]
        shape = tuple(1 if k == axis else s for k, s in enumerate(input.shape))
        many = one("reshape", count, shape=shape)
        first = apply("take_along", (order, (size - many) % size), {"axis": axis})[0]
        place = apply("where", (many > 0, first, place))[0]
    return picked(input, place, axis, keepdim)
