"""Functions whose result's shape depends on elements: they exist eagerly only, and say so in a
trace."""

from __future__ import annotations

from typing import Any

import numpy as np

from intaglio._apply import apply, constant, full, one
from intaglio._core import Tensor
from intaglio._functions_compare import truth
from intaglio._functions_device import on_place
from intaglio._functions_elementwise import where
from intaglio._functions_join import stack
from intaglio._functions_movement import ravel, reshape
from intaglio._functions_prefix import cumsum
from intaglio._functions_reduce import axis_of
from intaglio._kind import kind_of
from intaglio._modes import modes
from intaglio._promote import cast, expand_to, into
from intaglio.compiler.dtypes import float32, float64, int64
from intaglio.compiler.errors import ArgumentError, DTypeError, IndexError, ShapeError


def _elements(name: str, x: Tensor) -> np.ndarray[Any, Any]:
    if modes.trace is not None:
        from intaglio._trace_errors import data_dependent

        raise data_dependent(name, x)
    return x._concrete(name)


def nonzero(input: Tensor, *, as_tuple: bool = False, out: Tensor | None = None) -> Any:
    """The positions of the elements that are not zero: i64[count, dims], or one tensor per
    dimension (of a tensor without dimensions, as if it had one)."""
    data, place = _elements("nonzero", input), input._kind.place
    if as_tuple:
        return tuple(on_place(constant(f), place) for f in np.nonzero(np.atleast_1d(data)))
    if data.ndim:
        made = constant(np.stack(np.nonzero(data), -1))
    else:
        made = constant(np.zeros((int(bool(data)), 0), np.int64))
    made = on_place(made, place)
    return made if out is None else into(out, made)


def nonzero_static(
    input: Tensor, *, size: int, fill_value: int = -1, out: Tensor | None = None
) -> Tensor:
    """The positions of the first `size` elements that are not zero: i64[size, dims]; rows beyond
    their number hold `fill_value`. Its shape does not depend on data, so it can be traced."""
    if not isinstance(size, int) or size < 0:
        raise ArgumentError(f"nonzero_static: size is a count, not {size!r}")
    rank, home = input.ndim, input._kind.place
    hit = truth(reshape(input, input.numel()).detach())
    count = hit.shape[0]
    rank_of = cumsum(cast(hit, int64), 0) - 1
    target = where(hit & (rank_of < size), rank_of, size)
    here = on_place(one("iota", dtype=int64, shape=(count,), axis=0), home)
    room = full(0, kind_of(int64, (size + 1,), home))
    found = apply("scatter", (room, target, here), {"axis": 0})[0][:size]
    there = on_place(one("iota", dtype=int64, shape=(size,), axis=0), home)
    known = there < cast(hit, int64).sum()
    columns: list[Tensor] = []
    for extent in reversed(input.shape):
        columns.insert(0, where(known, found % extent, fill_value))
        found = found // extent
    made = stack(columns, -1) if rank else full(0, kind_of(int64, (size, 0), home))
    return made if out is None else into(out, made)


argwhere = nonzero


def masked_select(input: Tensor, mask: Tensor) -> Tensor:
    """The elements where the mask is true, in one dimension."""
    from intaglio._promote import broadcast_shapes

    shape = broadcast_shapes(input.shape, mask.shape)
    places = np.flatnonzero(_elements("masked_select", expand_to(mask, shape)))
    flat = reshape(expand_to(input, shape), -1) if input.numel() else ravel(input)
    return apply("take", (flat, constant(places)), {"axis": 0})[0]


def _results(made: list[Any], home: Any, inverse: bool, counts: bool) -> Any:
    """The distinct elements, with what was asked for beside them."""
    chosen = [made[0], *([made[1]] if inverse else []), *([made[2]] if counts else [])]
    tensors = [on_place(constant(np.array(x)), home) for x in chosen]
    return tensors[0] if len(tensors) == 1 else tuple(tensors)


def unique(
    input: Tensor,
    sorted: bool = True,
    return_inverse: bool = False,
    return_counts: bool = False,
    dim: int | None = None,
) -> Any:
    """The distinct elements (slices along `dim`), ascending; with the inverse positions and counts
    when asked for. NaN differs from every NaN. They are ascending without `sorted`, too."""
    data = _elements("unique", input)
    axis = None if dim is None else _slice_axis("unique", input, dim)
    if data.size == 0:
        made = _of_nothing(data, axis)
        return _results(made, input._kind.place, return_inverse, return_counts)
    order = _order_of_slices(data, axis)
    rows = data.reshape(-1) if axis is None else data
    ordered = np.take(rows, order, axis or 0)
    values, place, counts = _runs(ordered, axis)
    inverse = np.empty(order.shape, np.int64)
    inverse[order] = place
    inverse = inverse.reshape(data.shape) if axis is None else inverse
    return _results([values, inverse, counts], input._kind.place, return_inverse, return_counts)


def unique_consecutive(
    input: Tensor, return_inverse: bool = False, return_counts: bool = False, dim: int | None = None
) -> Any:
    """The elements (slices along `dim`) that differ from the one before; with the inverse positions
    and counts when asked for."""
    data = _elements("unique_consecutive", input)
    axis = None if dim is None else _slice_axis("unique_consecutive", input, dim)
    if data.size == 0:
        made = _of_nothing(data, axis)
        return _results(made, input._kind.place, return_inverse, return_counts)
    values, place, counts = _runs(data.reshape(-1) if axis is None else data, axis)
    place = place.reshape(data.shape) if axis is None else place
    return _results([values, place, counts], input._kind.place, return_inverse, return_counts)


def _slice_axis(name: str, x: Tensor, dim: int) -> int:
    if x.ndim == 0:
        raise IndexError(f"{name}: {x._kind} has no dim {dim}")
    return axis_of(name, x, dim)


def _of_nothing(data: Any, axis: int | None) -> list[Any]:
    """The distinct elements of an empty array, the places of its elements in them, their counts."""
    if axis is not None:
        return _distinct_empty(data, axis)
    none = np.zeros((0,), np.int64)
    return [data.reshape(-1), none.reshape(data.shape), none]


def _distinct_empty(data: Any, axis: int) -> list[Any]:
    if data.shape[axis]:
        raise ShapeError(
            f"unique: slices along dim {axis} of {list(data.shape)} have no elements to compare"
        )
    none = np.zeros((0,), np.int64)
    return [data, none, none]


def _order_of_slices(data: Any, axis: int | None) -> Any:
    """The stable order of the elements, or of the slices along an axis: by their first elements
    that differ."""
    if data.dtype.kind == "V":  # whose own order has no place for NaN
        data = data.astype(np.float32)
    if axis is None:
        return np.argsort(data.reshape(-1), kind="stable")
    rows = np.moveaxis(data, axis, 0).reshape(data.shape[axis], -1)
    return np.lexsort(rows.T[::-1])


def _runs(data: Any, axis: int | None) -> tuple[Any, Any, Any]:
    """The first of each run of equal neighbours along the axis, the number of each one's run, and
    the lengths of the runs."""
    along = np.moveaxis(data, axis or 0, 0)
    rows = along.reshape(along.shape[0], -1)
    fresh = np.ones((rows.shape[0],), bool)
    fresh[1:] = (rows[1:] != rows[:-1]).any(1)
    starts = np.flatnonzero(fresh)
    counts = np.diff(np.append(starts, rows.shape[0]))
    return np.take(data, starts, axis or 0), np.cumsum(fresh) - 1, counts


def bincount(input: Tensor, weights: Tensor | None = None, minlength: int = 0) -> Tensor:
    """How often each number from 0 on occurs in a row of whole numbers, or the sum of its weights:
    `minlength` numbers at least."""
    if input.dtype.kind not in "iu" or input.ndim != 1:
        raise DTypeError(f"bincount: {input._kind}: a row of whole numbers is needed")
    if not isinstance(minlength, int) or minlength < 0:
        raise ArgumentError(f"bincount: minlength is a count, not {minlength!r}")
    if weights is not None and tuple(weights.shape) != tuple(input.shape):
        raise ShapeError(f"bincount: weights {weights._kind} must have the shape of {input._kind}")
    data = _elements("bincount", input)
    if data.size and data.min() < 0:
        raise ArgumentError(f"bincount: {input._kind} holds {data.min()}: there is no such place")
    size = max(minlength, int(data.max()) + 1 if data.size else 0)
    home = input._kind.place
    if weights is None:
        made: Tensor = constant(np.bincount(data.astype(np.int64), minlength=size))
        return on_place(made, home)
    dtype = weights.dtype if weights.dtype is float32 else float64
    zeros = full(0, kind_of(dtype, (size,), home))
    return apply("index_add", (zeros, cast(input, int64), cast(weights.detach(), dtype)),
                 {"axis": 0})[0]  # fmt: skip


def repeat_by_counts(input: Tensor, repeats: Tensor, dim: int | None) -> Tensor:
    """Each slice repeated as often as its own number says."""
    counts = _elements("repeat_interleave", repeats)
    x = ravel(input) if dim is None else input
    axis = 0 if dim is None else axis_of("repeat_interleave", x, dim)
    counts = np.broadcast_to(counts, (x.shape[axis],))
    index = constant(np.repeat(np.arange(x.shape[axis]), counts))
    return apply("take", (x, index), {"axis": axis})[0]
