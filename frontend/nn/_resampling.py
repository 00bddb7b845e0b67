"""Images resampled along one dimension by weighted sums: cubic convolution, and filters wide enough
to smooth what a smaller image can not show."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, Final

import intaglio as ig
from intaglio._scope import entered
from intaglio._tensor import Tensor
from intaglio.compiler.errors import ArgumentError, ShapeError
from intaglio.nn._grids import cubic_weights


def _triangle(x: float) -> float:
    return max(1.0 - abs(x), 0.0)


def _keys(x: float) -> float:
    """Keys' cubic with the parameter -1/2, of third order."""
    x = abs(x)
    if x < 1.0:
        return (1.5 * x - 2.5) * x * x + 1.0
    return ((-0.5 * x + 2.5) * x - 4.0) * x + 2.0 if x < 2.0 else 0.0


def _lanczos(x: float) -> float:
    if x == 0.0:
        return 1.0
    t = math.pi * x
    return math.sin(t) * math.sin(t / 3.0) / (t * t / 3.0) if abs(x) < 3.0 else 0.0


FILTERS: Final[dict[str, tuple[Callable[[float], float], float]]] = {
    "bilinear": (_triangle, 1.0),
    "bicubic": (_keys, 2.0),
    "lanczos": (_lanczos, 3.0),
}
"""By mode: the weight of an element by its distance, and from which distance on it is 0."""


def ratio(old: int, size: int, scale: float | None, align: bool) -> float:
    """How many old elements a new one stands for."""
    if align:
        return (old - 1) / (size - 1) if size > 1 else 0.0
    return 1.0 / scale if scale else old / size


def _known(x: Tensor, axis: int, size: Any) -> tuple[int, int]:
    old = x.shape[axis]
    if not (isinstance(old, int) and isinstance(size, int)):
        raise ShapeError(f"interpolate: {x._kind}: this mode takes sizes that are known")
    if old < 1 or size < 1:
        raise ShapeError(f"interpolate: {x._kind}: {old} elements can not become {size}")
    return old, size


def _weighted(x: Tensor, axis: int, places: list[list[int]], weights: list[list[float]]) -> Tensor:
    """The sums of weighted elements at the places of each row, along an axis."""
    rows, taps = len(places), len(places[0])
    found = x.index_select(axis, ig.tensor(places, device=x.device).reshape(-1))
    parts = found.reshape(*x.shape[:axis], rows, taps, *x.shape[axis + 1 :])
    factor = ig.tensor(weights, dtype=x.dtype, device=x.device)
    return (parts * factor.reshape(rows, taps, *(1,) * (x.ndim - 1 - axis))).sum(axis + 1)


def cubic(x: Tensor, axis: int, size: Any, scale: float | None, align: bool) -> Tensor:
    """By cubic convolution of the four neighbours, the edge's element repeating outside."""
    old, size = _known(x, axis, size)
    if old == size and scale in (None, 1.0):
        return x
    step = ratio(old, size, scale, align)
    places, weights = [], []
    for i in range(size):
        at = i * step if align else (i + 0.5) * step - 0.5
        low = math.floor(at)
        places.append([min(max(low + k, 0), old - 1) for k in (-1, 0, 1, 2)])
        weights.append(list(cubic_weights(at - low)))
    return _weighted(x, axis, places, weights)


def smoothed(
    x: Tensor, axis: int, size: Any, scale: float | None, align: bool, mode: str
) -> Tensor:
    """By a filter as wide as a new element is in the old image, its weights summing to 1."""
    old, size = _known(x, axis, size)
    step = ratio(old, size, scale, align)
    shape, reach = FILTERS[mode]
    width = max(step, 1.0)
    rows = []
    for i in range(size):
        centre = step * (i + 0.5)
        low = max(int(centre - reach * width + 0.5), 0)
        high = max(min(int(centre + reach * width + 0.5), old), low + 1)
        rows.append((low, [shape((j - centre + 0.5) / width) for j in range(low, high)]))
    taps = max(len(w) for _, w in rows)
    places = [[min(low + k, old - 1) for k in range(taps)] for low, _ in rows]
    weights = [[v / (sum(w) or 1.0) for v in w] + [0.0] * (taps - len(w)) for _, w in rows]
    return _weighted(x, axis, places, weights)


def upsample_bilinear2d_aa(
    input: Tensor,
    output_size: Any = None,
    align_corners: bool = False,
    scale_factors: Any = None,
    *,
    scales_h: float | None = None,
    scales_w: float | None = None,
) -> Tensor:
    """`interpolate` with `bilinear` and `antialias`, as torch's `_upsample_bilinear2d_aa`: the
    scales, where given, decide the positions also beside an `output_size`."""
    if input.ndim != 4:
        raise ShapeError(f"_upsample_bilinear2d_aa: {input._kind}: [n, c, h, w] is wanted")
    if (output_size is None) == (scale_factors is None):
        raise ArgumentError("_upsample_bilinear2d_aa: give either output_size or scale_factors")
    scales = (scales_h, scales_w) if scale_factors is None else tuple(scale_factors)
    sizes = output_size
    if sizes is None:
        sizes = [math.floor(n * s) for n, s in zip(input.shape[2:], scales, strict=True)]
    with entered("interpolate"):
        for k in (1, 0):
            input = smoothed(input, 2 + k, sizes[k], scales[k], bool(align_corners), "bilinear")
        return input


_upsample_bilinear2d_aa = upsample_bilinear2d_aa
