"""Pooling: maxima and means over windows, and over as many windows as are asked for."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import intaglio as ig
from intaglio._halves import rounded_once
from intaglio._scope import entered
from intaglio._tensor import Tensor
from intaglio.compiler.dims import Dim
from intaglio.compiler.errors import ArgumentError, DTypeError, ShapeError
from intaglio.nn._windows import (
    Windows,
    check_rank,
    each,
    window_maxima,
    window_positions,
    window_sums,
    windows_of,
)

Tensors = tuple[Tensor, ...]

# ------------------------------------------------------------------------------------------- maxima


def _max_pool(
    rank: int,
    input: Tensor,
    kernel_size: Any,
    stride: Any = None,
    padding: Any = 0,
    dilation: Any = 1,
    ceil_mode: bool = False,
    return_indices: bool = False,
) -> Any:
    name = f"max_pool{rank}d"
    check_rank(name, input, rank)
    if any(isinstance(s, int) and s == 0 for s in input.shape[input.ndim - rank - 1 :]):
        raise ShapeError(f"{name}: {input._kind}: channels and planes without elements")
    windows = windows_of(name, input, rank, kernel_size, stride, padding, dilation, ceil_mode)
    with entered(name):
        values = window_maxima(input, windows)
        return (values, window_positions(input, windows)) if return_indices else values


def max_pool1d(
    input: Tensor,
    kernel_size: Any,
    stride: Any = None,
    padding: Any = 0,
    dilation: Any = 1,
    ceil_mode: bool = False,
    return_indices: bool = False,
) -> Any:
    """The largest element of every window along the last dimension. input: [n, c, l] or [c, l].

    Windows of `kernel_size` taps, `dilation` apart, start `stride` (default: kernel_size) apart,
    the first `padding` before the tensor; padding never is the largest. `ceil_mode` lets the last
    window reach beyond the end. With `return_indices` also the positions (i64) of the first
    maxima."""
    return _max_pool(1, input, kernel_size, stride, padding, dilation, ceil_mode, return_indices)


def max_pool2d(
    input: Tensor,
    kernel_size: Any,
    stride: Any = None,
    padding: Any = 0,
    dilation: Any = 1,
    ceil_mode: bool = False,
    return_indices: bool = False,
) -> Any:
    """The largest element of every window of the last two dimensions; as `max_pool1d`, integers or
    one for each dimension. Positions are flat in the plane."""
    return _max_pool(2, input, kernel_size, stride, padding, dilation, ceil_mode, return_indices)


def max_pool3d(
    input: Tensor,
    kernel_size: Any,
    stride: Any = None,
    padding: Any = 0,
    dilation: Any = 1,
    ceil_mode: bool = False,
    return_indices: bool = False,
) -> Any:
    """The largest element of every window of the last three dimensions; as `max_pool2d`."""
    return _max_pool(3, input, kernel_size, stride, padding, dilation, ceil_mode, return_indices)


def _put_forward(values: Tensor, places: Tensor, *, count: int) -> Tensor:
    zeros = ig.zeros((*values.shape[:-1], count), dtype=values.dtype)
    return zeros.scatter(-1, places, values)


def _put_backward(xs: Tensors, ys: Tensors, dys: Tensors, *, count: int) -> Tensors:
    """Every element gets what arrives at its place, also where another was written over it."""
    return (dys[0].gather(-1, xs[1]),)


_put = ig.custom_vjp(_put_forward, _put_backward)


def _max_unpool(
    rank: int,
    input: Tensor,
    indices: Tensor,
    kernel_size: Any,
    stride: Any = None,
    padding: Any = 0,
    output_size: Sequence[int] | None = None,
) -> Tensor:
    name = f"max_unpool{rank}d"
    check_rank(name, input, rank)
    sizes = each(name, "kernel_size", kernel_size, rank)
    strides = sizes if stride is None else each(name, "stride", stride, rank)
    pads = each(name, "padding", padding, rank)
    lead, out = input.shape[: input.ndim - rank], input.shape[input.ndim - rank :]
    if tuple(indices.shape) != tuple(input.shape):
        raise ShapeError(f"{name}: {input._kind} and the indices {indices._kind} differ in shape")
    if indices.dtype is not ig.int64:
        raise DTypeError(f"{name}: the indices {indices._kind} are not int64")
    parts = zip(out, sizes, strides, pads, strict=True)
    spatial = tuple((n - 1) * s + k - 2 * p for n, k, s, p in parts)
    if output_size is not None:
        spatial = _unpooled(name, spatial, strides, tuple(output_size), input)
    count = math.prod(spatial)
    with entered(name):
        flat = (*lead, math.prod(out))
        made = _put(input.reshape(flat), indices.reshape(flat), count=count)
        return made.reshape(*lead, *spatial)


def _unpooled(
    name: str,
    usual: tuple[Any, ...],
    strides: tuple[int, ...],
    wanted: tuple[Any, ...],
    input: Tensor,
) -> tuple[Any, ...]:
    """The wanted spatial sizes (leading ones may stand before them), less than a stride away from
    the usual ones."""
    rank = len(usual)
    spatial = wanted[-rank:]
    fits = len(wanted) in (rank, rank + 2)
    if not fits or any(abs(a - b) >= s for a, b, s in zip(spatial, usual, strides, strict=True)):
        raise ArgumentError(
            f"{name}: {input._kind}: output_size {wanted} is a stride {strides} or more away from"
            f" {usual}"
        )
    return spatial


def max_unpool1d(
    input: Tensor,
    indices: Tensor,
    kernel_size: Any,
    stride: Any = None,
    padding: Any = 0,
    output_size: Sequence[int] | None = None,
) -> Tensor:
    """The maxima put back to the positions that `max_pool1d` returned, zeros elsewhere."""
    return _max_unpool(1, input, indices, kernel_size, stride, padding, output_size)


def max_unpool2d(
    input: Tensor,
    indices: Tensor,
    kernel_size: Any,
    stride: Any = None,
    padding: Any = 0,
    output_size: Sequence[int] | None = None,
) -> Tensor:
    """The maxima put back to the positions that `max_pool2d` returned, zeros elsewhere."""
    return _max_unpool(2, input, indices, kernel_size, stride, padding, output_size)


def max_unpool3d(
    input: Tensor,
    indices: Tensor,
    kernel_size: Any,
    stride: Any = None,
    padding: Any = 0,
    output_size: Sequence[int] | None = None,
) -> Tensor:
    """The maxima put back to the positions that `max_pool3d` returned, zeros elsewhere."""
    return _max_unpool(3, input, indices, kernel_size, stride, padding, output_size)


# -------------------------------------------------------------------------------------------- means


@rounded_once
def _avg_pool(
    rank: int,
    input: Tensor,
    kernel_size: Any,
    stride: Any = None,
    padding: Any = 0,
    ceil_mode: bool = False,
    count_include_pad: bool = True,
    divisor_override: int | None = None,
) -> Tensor:
    name = f"avg_pool{rank}d"
    check_rank(name, input, rank)
    windows = windows_of(name, input, rank, kernel_size, stride, padding, 1, ceil_mode)
    if divisor_override == 0:
        raise ArgumentError(f"{name}: divisor_override is 0")
    with entered(name):
        sums = window_sums(input, windows)
        count = divisor_override
        if count is None:
            count = _counts(input, sums, windows, count_include_pad)
        whole = "trunc" if input.dtype.kind != "f" else None
        return ig.div(sums, count, rounding_mode=whole)


def _counts(x: Tensor, sums: Tensor, windows: Windows, include_pad: bool) -> Any:
    """By what the sums are divided: a number, or a tensor where windows reach over an edge."""
    total: Any = 1
    for k in range(windows.rank):
        low, high, size = windows.low[k], windows.high[k], windows.sizes[k]
        inside = low if include_pad else 0
        plain = include_pad and isinstance(high, int) and high <= low
        if plain or (low == 0 and isinstance(high, int) and high == 0):
            total = total * size
            continue
        axis = x.ndim - windows.rank + k
        start = ig.arange(sums.shape[axis]) * windows.strides[k] - low
        end = (start + size).clamp(max=x.shape[axis] + inside)
        count = (end - start.clamp(min=-inside)).to(x.dtype)
        total = count.reshape(-1, *(1,) * (windows.rank - 1 - k)) * total
    return total


def avg_pool1d(
    input: Tensor,
    kernel_size: Any,
    stride: Any = None,
    padding: Any = 0,
    ceil_mode: bool = False,
    count_include_pad: bool = True,
) -> Tensor:
    """The mean of every window along the last dimension. input: [n, c, l] or [c, l].

    Windows are those of `max_pool1d`. Padding counts as zeros; with `count_include_pad=False` only
    the tensor's own elements are counted."""
    return _avg_pool(1, input, kernel_size, stride, padding, ceil_mode, count_include_pad)


def avg_pool2d(
    input: Tensor,
    kernel_size: Any,
    stride: Any = None,
    padding: Any = 0,
    ceil_mode: bool = False,
    count_include_pad: bool = True,
    divisor_override: int | None = None,
) -> Tensor:
    """The mean of every window of the last two dimensions; as `avg_pool1d`. `divisor_override` is
    what the sums are divided by instead of the number of elements."""
    return _avg_pool(
        2, input, kernel_size, stride, padding, ceil_mode, count_include_pad, divisor_override
    )


def avg_pool3d(
    input: Tensor,
    kernel_size: Any,
    stride: Any = None,
    padding: Any = 0,
    ceil_mode: bool = False,
    count_include_pad: bool = True,
    divisor_override: int | None = None,
) -> Tensor:
    """The mean of every window of the last three dimensions; as `avg_pool2d`."""
    return _avg_pool(
        3, input, kernel_size, stride, padding, ceil_mode, count_include_pad, divisor_override
    )


@rounded_once
def _lp_pool(
    rank: int, input: Tensor, norm_type: float, kernel_size: Any, stride: Any, ceil_mode: bool
) -> Tensor:
    name = f"lp_pool{rank}d"
    check_rank(name, input, rank)
    windows = windows_of(name, input, rank, kernel_size, stride, 0, 1, ceil_mode)
    with entered(name):
        taken = math.prod(windows.sizes)
        sums = window_sums(input**norm_type, windows)
        means = sums / _counts(input, sums, windows, True)
        return (ig.sign(means) * ig.relu(ig.abs(means)) * taken) ** (1.0 / norm_type)


def lp_pool1d(
    input: Tensor,
    norm_type: float,
    kernel_size: Any,
    stride: Any = None,
    ceil_mode: bool = False,
) -> Tensor:
    """(sum x^p)^(1/p) of every window along the last dimension, p being `norm_type`."""
    return _lp_pool(1, input, norm_type, kernel_size, stride, ceil_mode)


def lp_pool2d(
    input: Tensor,
    norm_type: float,
    kernel_size: Any,
    stride: Any = None,
    ceil_mode: bool = False,
) -> Tensor:
    """(sum x^p)^(1/p) of every window of the last two dimensions, p being `norm_type`."""
    return _lp_pool(2, input, norm_type, kernel_size, stride, ceil_mode)


def lp_pool3d(
    input: Tensor,
    norm_type: float,
    kernel_size: Any,
    stride: Any = None,
    ceil_mode: bool = False,
) -> Tensor:
    """(sum x^p)^(1/p) of every window of the last three dimensions, p being `norm_type`."""
    return _lp_pool(3, input, norm_type, kernel_size, stride, ceil_mode)


# ----------------------------------------------------------------------------------------- adaptive


def _wanted(name: str, x: Tensor, output_size: Any, rank: int) -> tuple[Any, ...]:
    """As many windows as are asked for along each dimension; None keeps a size."""
    check_rank(name, x, rank)
    sizes = x.shape[x.ndim - rank :]
    given = (output_size,) * rank if not isinstance(output_size, tuple | list) else output_size
    if len(given) == 1:
        given = tuple(given) * rank
    if len(given) != rank:
        raise ArgumentError(f"{name}: output_size is a size or {rank} of them, not {output_size}")
    if any(isinstance(g, int) and g < 0 for g in given):
        raise ArgumentError(f"{name}: output_size {output_size} is negative")
    if any(isinstance(s, int) and s == 0 for s in sizes):
        raise ShapeError(f"{name}: {x._kind}: windows over nothing")
    return tuple(s if g is None else g for s, g in zip(sizes, given, strict=True))


def _none(out: Sequence[Any]) -> bool:
    """Whether no window is asked for along some dimension."""
    return any(isinstance(n, int) and n == 0 for n in out)


def _even(name: str, x: Tensor, out: Sequence[Any]) -> Windows | None:
    """The windows, where they are all of one size side by side; None where sizes differ."""
    sizes = []
    for size, count in zip(x.shape[x.ndim - len(out) :], out, strict=True):
        if isinstance(size, Dim) and size != count:
            raise ShapeError(f"{name}: {x._kind}: {count} windows of a size that is not known")
        if size == count:
            sizes.append(1)
        elif size % count:
            return None
        else:
            sizes.append(size // count)
    zeros, ones = (0,) * len(out), (1,) * len(out)
    return Windows(tuple(sizes), tuple(sizes), zeros, zeros, ones)


def _uneven(size: int, count: int) -> tuple[list[list[int]], list[int]]:
    """For each of `count` windows over `size` elements the positions that it holds (repeating the
    last one up to the longest), and how many they are."""
    starts = [k * size // count for k in range(count)]
    ends = [-(-(k + 1) * size // count) for k in range(count)]
    longest = max(e - s for s, e in zip(starts, ends, strict=True))
    rows = [[min(s + j, e - 1) for j in range(longest)] for s, e in zip(starts, ends, strict=True)]
    return rows, [e - s for s, e in zip(starts, ends, strict=True)]


def _taken(x: Tensor, axis: int, rows: list[list[int]]) -> Tensor:
    """[.., windows, places, ..] in place of the axis."""
    made = x.index_select(axis, ig.tensor(rows).reshape(-1))
    return made.reshape(*x.shape[:axis], len(rows), len(rows[0]), *x.shape[axis + 1 :])


@rounded_once
def _adaptive_avg(rank: int, input: Tensor, output_size: Any) -> Tensor:
    name = f"adaptive_avg_pool{rank}d"
    out = _wanted(name, input, output_size, rank)
    with entered(name):
        if _none(out):
            return ig.zeros((*input.shape[: input.ndim - rank], *out), dtype=input.dtype)
        if all(isinstance(n, int) and n == 1 for n in out):
            return ig.mean(input, tuple(range(input.ndim - rank, input.ndim)), keepdim=True)
        windows = _even(name, input, out)
        if windows is not None:
            return window_sums(input, windows) / math.prod(windows.sizes)
        for k, count in enumerate(out):
            axis = input.ndim - rank + k
            rows, lengths = _uneven(input.shape[axis], count)
            parts = _taken(input, axis, rows)
            held = ig.arange(len(rows[0])) < ig.tensor(lengths).unsqueeze(1)
            shape = (*held.shape, *(1,) * (rank - 1 - k))
            sums = ig.sum(ig.where(held.reshape(shape), parts, 0.0), axis + 1)
            input = sums / ig.tensor(lengths, dtype=sums.dtype).reshape(-1, *shape[2:])
        return input


def _adaptive_max(rank: int, input: Tensor, output_size: Any, return_indices: bool) -> Any:
    name = f"adaptive_max_pool{rank}d"
    out = _wanted(name, input, output_size, rank)
    with entered(name):
        if _none(out):
            values = ig.zeros((*input.shape[: input.ndim - rank], *out), dtype=input.dtype)
            return (values, values.to(ig.int64)) if return_indices else values
        windows = _even(name, input, out)
        if windows is not None:
            values = window_maxima(input, windows)
            return (values, window_positions(input, windows)) if return_indices else values
        spatial = input.shape[input.ndim - rank :]
        flat = ig.arange(math.prod(spatial)).reshape(*spatial)
        lead = input.ndim - rank
        positions = flat.expand(*input.shape)
        for k in reversed(range(rank)):
            axis = lead + k
            rows, _ = _uneven(input.shape[axis], out[k])
            input, at = ig.max(_taken(input, axis, rows), axis + 1)
            found = _taken(positions, axis, rows).gather(axis + 1, at.unsqueeze(axis + 1))
            positions = found.squeeze(axis + 1)
        return (input, positions) if return_indices else input


def adaptive_avg_pool1d(input: Tensor, output_size: Any) -> Tensor:
    """The means of `output_size` windows that cover the last dimension: window i of k holds the
    positions from floor(i l / k) up to ceil((i + 1) l / k). input: [n, c, l] or [c, l]."""
    return _adaptive_avg(1, input, output_size)


def adaptive_avg_pool2d(input: Tensor, output_size: Any) -> Tensor:
    """As `adaptive_avg_pool1d` over the last two dimensions; None keeps a size."""
    return _adaptive_avg(2, input, output_size)


def adaptive_avg_pool3d(input: Tensor, output_size: Any) -> Tensor:
    """As `adaptive_avg_pool1d` over the last three dimensions; None keeps a size."""
    return _adaptive_avg(3, input, output_size)


def adaptive_max_pool1d(input: Tensor, output_size: Any, return_indices: bool = False) -> Any:
    """The maxima of the windows of `adaptive_avg_pool1d`; with `return_indices` also their
    positions."""
    return _adaptive_max(1, input, output_size, return_indices)


def adaptive_max_pool2d(input: Tensor, output_size: Any, return_indices: bool = False) -> Any:
    """As `adaptive_max_pool1d` over the last two dimensions; positions are flat in the plane."""
    return _adaptive_max(2, input, output_size, return_indices)


def adaptive_max_pool3d(input: Tensor, output_size: Any, return_indices: bool = False) -> Any:
    """As `adaptive_max_pool1d` over the last three dimensions."""
    return _adaptive_max(3, input, output_size, return_indices)
