"""Windows over the last dimensions: the arguments of pooling, and its sums and maxima.

A window of few taps goes to the ops over windows in one step. A larger one is taken dimension by
dimension, which costs the sum of its sizes instead of their product; along a dimension with very
many taps the windows are gathered and reduced."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final

import intaglio as ig
from intaglio._apply import one
from intaglio._tensor import Tensor
from intaglio.compiler.dims import Size, floordiv, maximum, minimum
from intaglio.compiler.errors import ArgumentError, ShapeError

FEW_TAPS: Final = 25
"""Taps that one kernel looks at, one after the other."""


def each(name: str, what: str, value: Any, rank: int) -> tuple[int, ...]:
    """An integer, or one for each dimension, as a tuple; a sequence of one serves all."""
    if isinstance(value, int):
        return (value,) * rank
    found = tuple(value)
    if len(found) == 1:
        return found * rank
    if len(found) != rank or not all(isinstance(v, int) for v in found):
        raise ArgumentError(f"{name}: {what} is an integer or {rank} of them, not {value!r}")
    return found


def check_rank(name: str, x: Tensor, rank: int) -> None:
    """Refuse what has not `rank` dimensions after the channels, with or without a batch."""
    if x.ndim not in (rank + 1, rank + 2):
        raise ShapeError(
            f"{name}: {x._kind}: {rank + 2} dimensions are wanted (or {rank + 1}, without a batch)"
        )


@dataclass(frozen=True)
class Windows:
    """Windows over the last `len(sizes)` dimensions; tuples with one entry for each."""

    sizes: tuple[int, ...]
    strides: tuple[int, ...]
    low: tuple[int, ...]
    high: tuple[Size, ...]
    dilations: tuple[int, ...]

    @property
    def rank(self) -> int:
        """How many dimensions the windows have."""
        return len(self.sizes)

    @property
    def attributes(self) -> dict[str, Any]:
        """As the ops take them."""
        return {
            "sizes": self.sizes,
            "strides": self.strides,
            "low": self.low,
            "high": self.high,
            "dilations": self.dilations,
        }

    def along(self, dim: int) -> Windows:
        """The windows of one of the dimensions alone, the others being single elements."""

        def only(values: tuple[Any, ...], other: int) -> tuple[Any, ...]:
            return tuple(v if k == dim else other for k, v in enumerate(values))

        return Windows(
            only(self.sizes, 1),
            only(self.strides, 1),
            only(self.low, 0),
            only(self.high, 0),
            only(self.dilations, 1),
        )


def windows_of(
    name: str,
    x: Tensor,
    rank: int,
    kernel_size: Any,
    stride: Any,
    padding: Any = 0,
    dilation: Any = 1,
    ceil_mode: bool = False,
) -> Windows:
    """The windows that pooling's arguments describe. With `ceil_mode` the last window may reach
    beyond the padding, if it starts inside the tensor or its left padding."""
    sizes = each(name, "kernel_size", kernel_size, rank)
    strides = sizes if stride in (None, (), []) else each(name, "stride", stride, rank)
    low = each(name, "padding", padding, rank)
    dilations = each(name, "dilation", dilation, rank)
    if min((*sizes, *strides, *dilations)) < 1:
        raise ArgumentError(f"{name}: kernel_size, stride and dilation are 1 or more")
    for size, pad, step in zip(sizes, low, dilations, strict=True):
        if not 0 <= 2 * pad <= (size - 1) * step + 1:
            raise ArgumentError(
                f"{name}: the padding {pad} is not between 0 and half of the window's {size}"
            )
    high: list[Size] = list(low)
    if ceil_mode:
        for k, size in enumerate(x.shape[x.ndim - rank :]):
            span = (sizes[k] - 1) * dilations[k] + 1
            rest = size + 2 * low[k] - span
            count = floordiv(rest + strides[k] - 1, strides[k]) + 1
            count = minimum(count, floordiv(size + low[k] - 1, strides[k]) + 1)
            high[k] = maximum((count - 1) * strides[k] + span - size - low[k], 0)
    return Windows(sizes, strides, low, tuple(high), dilations)


def window_sums(x: Tensor, windows: Windows) -> Tensor:
    """The sums over windows; padding counts as zero."""
    return _joined(x, windows, "window_sum", 0.0, ig.sum)


def window_maxima(x: Tensor, windows: Windows) -> Tensor:
    """The largest elements of windows; padding never is one."""
    return _joined(x, windows, "window_max", -math.inf, lambda g, axis: ig.max(g, axis)[0])


def _joined(
    x: Tensor, windows: Windows, op: str, outside: float, join: Callable[[Tensor, int], Tensor]
) -> Tensor:
    """Windows by an op; large ones dimension by dimension, and where one is large along a single
    dimension, gathered and reduced by `join`."""
    if math.prod(windows.sizes) <= FEW_TAPS:
        return one(op, x, **windows.attributes)
    for k in reversed(range(windows.rank)):
        if windows.sizes[k] <= FEW_TAPS:
            x = one(op, x, **windows.along(k).attributes)
        else:
            axis = x.ndim - windows.rank + k
            x = join(gathered(x, axis, windows, k, outside), axis + 1)
    return x


def window_positions(x: Tensor, windows: Windows) -> Tensor:
    """i64: where the first maximum of every window lies, as a flat position in the spatial
    dimensions."""
    x = x.detach()
    spatial = x.shape[x.ndim - windows.rank :]
    if math.prod(windows.sizes) <= FEW_TAPS:
        tap = one("window_argmax", x, **windows.attributes).to(ig.int64)
        places = []
        for k in reversed(range(windows.rank)):
            places.append(_place(tap % windows.sizes[k], windows, k))
            tap = tap // windows.sizes[k]
        return _flat(places[::-1], spatial)
    places = []
    for k in reversed(range(windows.rank)):
        places = [*_best_along(x, places, windows, k)]
        x = window_maxima(x, windows.along(k))
    return _flat([p.to(ig.int64) for p in places], spatial)


def _best_along(x: Tensor, places: Sequence[Tensor], windows: Windows, k: int) -> list[Tensor]:
    """Where the maxima along one dimension lie, and what `places` (those of the dimensions done
    before, exact as f64) says there."""
    part = windows.along(k)
    if windows.sizes[k] <= FEW_TAPS:
        tap = one("window_argmax", x, **part.attributes)
        read = [one("window_read", p, tap, **part.attributes) for p in places]
    else:
        axis = x.ndim - windows.rank + k
        tap = ig.argmax(gathered(x, axis, windows, k, -math.inf), axis + 1)
        at = tap.unsqueeze(axis + 1)
        read = [gathered(p, axis, windows, k, 0.0).gather(axis + 1, at) for p in places]
        read = [p.squeeze(axis + 1) for p in read]
    here = _place(tap.to(ig.int64), windows, k)
    return [here.to(ig.float64), *read]


def _place(tap: Tensor, windows: Windows, k: int) -> Tensor:
    """The position along a dimension of a tap of every window."""
    axis = tap.ndim - windows.rank + k
    start = ig.arange(tap.shape[axis]) * windows.strides[k] - windows.low[k]
    start = start.reshape(tap.shape[axis], *(1,) * (tap.ndim - 1 - axis))
    return start + tap * windows.dilations[k]


def _flat(places: Sequence[Tensor], spatial: Sequence[Any]) -> Tensor:
    flat = places[0]
    for place, size in zip(places[1:], spatial[1:], strict=True):
        flat = flat * size + place
    return flat


def gathered(x: Tensor, axis: int, windows: Windows, k: int, fill: float) -> Tensor:
    """[.., windows, taps, ..] in place of the axis: everything that the windows along it see."""
    low: list[Size] = [0] * x.ndim
    high: list[Size] = [0] * x.ndim
    low[axis], high[axis] = windows.low[k], windows.high[k]
    pads = [p for pair in zip(reversed(low), reversed(high), strict=True) for p in pair]
    wide = ig.constant_pad(x, pads, fill)
    taps, step = windows.sizes[k], windows.dilations[k]
    count = floordiv(wide.shape[axis] - (taps - 1) * step - 1, windows.strides[k]) + 1
    index = (ig.arange(count) * windows.strides[k]).unsqueeze(1) + ig.arange(taps) * step
    made = wide.index_select(axis, index.reshape(-1))
    shape = (*x.shape[:axis], count, taps, *x.shape[axis + 1 :])
    return made.reshape(shape)
