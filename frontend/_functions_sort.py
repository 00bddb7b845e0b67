"""Sorting and what follows from it: stable, NaN after everything else.

Eagerly NumPy finds the order. In a trace it is computed from pairs: an element's place is the
number of elements that come before it, and the order is the inverse of the places; it costs n^2
comparisons and no memory once fused."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from intaglio._apply import apply, constant, full, one
from intaglio._core import Tensor
from intaglio._functions_movement import narrow, reshape
from intaglio._functions_reduce import axis_of
from intaglio._kind import kind_of
from intaglio._modes import modes
from intaglio._promote import cast, expand_to, pair, spelled
from intaglio.compiler.dtypes import boolean, int32, int64
from intaglio.compiler.errors import ArgumentError


class Sorted(NamedTuple):
    """Values in order, and where they were along the dimension."""

    values: Tensor
    indices: Tensor


def _order(x: Tensor, axis: int, descending: bool) -> Tensor:
    """The positions of the elements in sorted order along the axis: i64."""
    if modes.trace is not None:
        if any(isinstance(size, int) and size == 0 for size in x.shape):
            return full(0, kind_of(int64, tuple(x.shape)))
        return _order_by_pairs(x, axis, descending)
    data = x._concrete("sort")
    if not descending:
        return constant(np.argsort(data, axis, kind="stable"))
    turned = np.flip(np.argsort(np.flip(data, axis), axis, kind="stable"), axis)
    return constant(np.ascontiguousarray(data.shape[axis] - 1 - turned))


def _order_by_pairs(x: Tensor, axis: int, descending: bool) -> Tensor:
    if x.dtype is boolean:
        x = cast(x, int64)
    size = x.shape[axis]
    wide = (*x.shape[:axis], size, size, *x.shape[axis + 1 :])
    here = expand_to(reshape(x, *x.shape[: axis + 1], 1, *x.shape[axis + 1 :]), wide)
    other = expand_to(reshape(x, *x.shape[:axis], 1, *x.shape[axis:]), wide)
    before = (other > here) if descending else (other < here)
    equal = other == here
    if x.dtype.kind == "f":
        nan_here, nan_other = here != here, other != other
        before = before | ((nan_other & ~nan_here) if descending else (nan_here & ~nan_other))
        equal = equal | (nan_here & nan_other)
    mine = one("iota", dtype=int64, shape=wide, axis=axis)
    theirs = one("iota", dtype=int64, shape=wide, axis=axis + 1)
    before = before | (equal & (theirs < mine))
    place = apply("sum", (cast(before, int64),), {"axes": (axis + 1,)})[0]
    spread = expand_to(reshape(place, *x.shape[:axis], 1, *x.shape[axis:]), wide)
    hit = apply("eq", (spread, mine))[0]
    return apply("argmax", (cast(hit, int64),), {"axis": axis + 1})[0]


@spelled
def argsort(input: Tensor, dim: int = -1, descending: bool = False, stable: bool = True) -> Tensor:
    """The positions of the elements in sorted order along `dim`; equal ones keep their order."""
    axis = axis_of("argsort", input, dim)
    if not input.ndim:
        return full(0, kind_of(int64, ()))
    return _order(input.detach(), axis, descending)


@spelled
def sort(input: Tensor, dim: int = -1, descending: bool = False, stable: bool = True) -> Sorted:
    """The elements in order along `dim`, and where they were."""
    axis = axis_of("sort", input, dim)
    if not input.ndim:
        return Sorted(input.clone(), full(0, kind_of(int64, ())))
    order = _order(input.detach(), axis, descending)
    return Sorted(apply("take_along", (input, order), {"axis": axis})[0], order)


@spelled
def msort(input: Tensor) -> Tensor:
    """Sorted along the first dimension."""
    return sort(input, 0).values


@spelled
def topk(input: Tensor, k: int, dim: int = -1, largest: bool = True, sorted: bool = True) -> Sorted:
    """The k largest (smallest) elements along `dim`, in order, and where they were."""
    axis = axis_of("topk", input, dim)
    if not input.ndim:
        return Sorted(input.clone(), full(0, kind_of(int64, ())))
    size = input.shape[axis]
    if isinstance(size, int) and not 0 <= k <= size:
        raise ArgumentError(f"topk: {input._kind}: there are no {k} elements along dim {dim}")
    order = narrow(_order(input.detach(), axis, largest), axis, 0, k)
    return Sorted(apply("take_along", (input, order), {"axis": axis})[0], order)


@spelled
def kthvalue(input: Tensor, k: int, dim: int = -1, keepdim: bool = False) -> Sorted:
    """The k-th smallest element along `dim` (k counts from 1), and where it was."""
    axis = axis_of("kthvalue", input, dim)
    if not input.ndim:
        return Sorted(input.clone(), full(0, kind_of(int64, ())))
    size = input.shape[axis]
    if isinstance(size, int) and not 1 <= k <= size:
        raise ArgumentError(f"kthvalue: {input._kind}: there is no element {k} along dim {dim}")
    place = narrow(_order(input.detach(), axis, False), axis, k - 1, 1)
    return _picked(input, place, axis, keepdim)


def _picked(x: Tensor, place: Tensor, axis: int, keepdim: bool) -> Sorted:
    values = apply("take_along", (x, place), {"axis": axis})[0]
    if keepdim:
        return Sorted(values, place)
    shape = tuple(s for k, s in enumerate(x.shape) if k != axis)
    return Sorted(one("reshape", values, shape=shape), one("reshape", place, shape=shape))


@spelled
def median(input: Tensor, dim: int | None = None, keepdim: bool = False) -> Any:
    """The lower of the two middle elements; with `dim` also where it was. NaN if one is NaN."""
    if dim is None:
        return median(reshape(input, input.numel()), 0).values
    axis = axis_of("median", input, dim)
    if not input.ndim:
        return Sorted(input.clone(), full(0, kind_of(int64, ())))
    order = _order(input.detach(), axis, False)
    size = input.shape[axis]
    place = narrow(order, axis, (size - 1) // 2, 1)
    if input.dtype.kind == "f":
        last = narrow(order, axis, size - 1, 1)
        end = apply("take_along", (input.detach(), last), {"axis": axis})[0]
        place = apply("where", (end != end, last, place))[0]
    return _picked(input, place, axis, keepdim)


def searchsorted(
    sorted_sequence: Tensor, values: Any, *, right: bool = False, out_int32: bool = False
) -> Tensor:
    """How many elements of a sorted row come before each value (or not after it, with `right`).
    edges: [n] with values of any shape, or [..., n] with values [..., m]."""
    edges = sorted_sequence
    if not isinstance(values, Tensor):
        from intaglio._functions_create import tensor

        values = tensor(values, edges.dtype)
    rows = edges if edges.ndim == 1 else reshape(edges, *edges.shape[:-1], 1, edges.shape[-1])
    a, b = pair("searchsorted", rows, reshape(values, *values.shape, 1))
    below = (a <= b) if right else (a < b)
    count = apply("sum", (cast(below, int64),), {"axes": (below.ndim - 1,)})[0]
    return cast(count, int32) if out_int32 else count


def bucketize(
    input: Any, boundaries: Tensor, *, right: bool = False, out_int32: bool = False
) -> Tensor:
    """How many boundaries come before each element (or not after it, with `right`)."""
    return searchsorted(boundaries, input, right=right, out_int32=out_int32)
