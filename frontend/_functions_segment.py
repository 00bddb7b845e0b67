"""Reductions of segments: runs of slices along a dimension, given by their lengths or offsets."""

from __future__ import annotations

from typing import Any, Final

from intaglio._apply import apply, full, one
from intaglio._core import Tensor
from intaglio._functions_device import on_place
from intaglio._functions_elementwise import where
from intaglio._functions_movement import narrow, reshape
from intaglio._functions_prefix import cumsum
from intaglio._functions_reduce import axis_of
from intaglio._functions_scatter import scatter_reduce
from intaglio._kind import kind_of
from intaglio._modes import modes
from intaglio._promote import cast, expand_to
from intaglio.compiler.dims import product
from intaglio.compiler.dtypes import float32, int64
from intaglio.compiler.errors import ArgumentError, DTypeError, ShapeError

_INITIAL: Final = {
    "sum": 0.0,
    "mean": 0.0,
    "prod": 1.0,
    "max": float("-inf"),
    "min": float("inf"),
}
_JOINED: Final = {"sum": "sum", "mean": "sum", "prod": "prod", "max": "amax", "min": "amin"}


def _ends(data: Tensor, axis: int, lengths: Any, offsets: Any, unsafe: bool) -> Tensor:
    """Where each segment begins and ends: [..., segments + 1], ascending from 0."""
    given = lengths if offsets is None else offsets
    if given is None:
        raise ArgumentError("segment_reduce: give the segments' lengths or their offsets")
    if given.dtype.kind not in "iu":
        raise DTypeError(f"segment_reduce: lengths or offsets are whole numbers, not {given._kind}")
    if given.ndim != axis + 1 or tuple(given.shape[:-1]) != tuple(data.shape[:axis]):
        raise ShapeError(
            f"segment_reduce: {data._kind} along axis {axis}: lengths or offsets {given._kind} must"
            " have its sizes before the axis, and then one for each segment"
        )
    whole = cast(given.detach(), int64)
    if offsets is not None:
        return whole
    if not unsafe and modes.trace is None:
        _check_lengths(whole, data, axis)
    first = full(0, kind_of(int64, (*whole.shape[:-1], 1), whole._kind.place))
    return one("concat", first, cumsum(whole, -1), axis=axis)


def _check_lengths(lengths: Tensor, data: Tensor, axis: int) -> None:
    if bool((lengths < 0).any()):
        raise ArgumentError("segment_reduce: a length is negative")
    if bool((lengths.sum(-1) != data.shape[axis]).any()):
        raise ArgumentError(
            f"segment_reduce: the lengths must add up to the {data.shape[axis]} slices of"
            f" {data._kind} along axis {axis}"
        )


def segment_reduce(
    data: Tensor,
    reduce: str,
    *,
    lengths: Tensor | None = None,
    indices: Tensor | None = None,
    offsets: Tensor | None = None,
    axis: int = 0,
    unsafe: bool = False,
    initial: float | None = None,
) -> Tensor:
    """Each run of slices of data along `axis` joined to one: `reduce` is 'sum', 'mean', 'max',
    'min' or 'prod'. Segments follow each other; `lengths` [..., segments] holds how many slices
    each has, or `offsets` [..., segments + 1] where each begins. `initial` is joined to each."""
    if reduce not in _JOINED:
        raise ArgumentError(f"segment_reduce: reduce is one of {sorted(_JOINED)}, not {reduce!r}")
    if indices is not None:
        raise ArgumentError("segment_reduce: indices are not supported; give lengths or offsets")
    if data.dtype.kind != "f":
        raise DTypeError(f"segment_reduce: {data._kind} is not floating-point")
    if data.dtype.size < 4:
        wide = segment_reduce(cast(data, float32), reduce, lengths=lengths, offsets=offsets,
                              axis=axis, unsafe=unsafe, initial=initial)  # fmt: skip
        return cast(wide, data.dtype)
    at = axis_of("segment_reduce", data, axis)
    ends = _ends(data, at, lengths, offsets, unsafe)
    rows, count = product(tuple(data.shape[:at])), data.shape[at]
    rest = product(tuple(data.shape[at + 1 :]))
    segments = ends.shape[-1] - 1
    table = reshape(data, rows, count, rest)
    edges = reshape(ends, rows, segments + 1)
    home = data._kind.place
    here = on_place(one("iota", dtype=int64, shape=(rows, count), axis=1), home)
    segment = one("search", narrow(edges, 1, 1, segments), here, right=True)
    segment = where(here < narrow(edges, 1, 0, 1), segments, segment)
    index = expand_to(reshape(segment, rows, count, 1), (rows, count, rest))
    start = _INITIAL[reduce] if initial is None else float(initial)
    room = full(start, kind_of(data.dtype, (rows, segments + 1, rest), home))
    made = narrow(scatter_reduce(room, 1, index, table, _JOINED[reduce]), 1, 0, segments)
    size = reshape(narrow(edges, 1, 1, segments) - narrow(edges, 1, 0, segments), rows, segments, 1)
    if reduce == "mean":
        made = _mean(made, expand_to(size, tuple(made.shape)), initial)
    return reshape(made, *data.shape[:at], segments, *data.shape[at + 1 :])


def _mean(total: Tensor, size: Tensor, initial: float | None) -> Tensor:
    """The totals divided by the sizes; of no slices it is `initial`, or NaN."""
    none = size == 0
    count = cast(apply("maximum", (size, full(1, size._kind)))[0], total.dtype)
    return where(none, float("nan") if initial is None else float(initial), total / count)
