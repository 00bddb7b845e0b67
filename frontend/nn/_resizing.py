"""Making images larger and smaller: by repeating, by interpolating, by moving channels into
space."""

from __future__ import annotations

import math
from typing import Any

import intaglio as ig
from intaglio._halves import rounded_once
from intaglio._scope import entered
from intaglio._tensor import Tensor
from intaglio.compiler.dims import Dim
from intaglio.compiler.errors import ArgumentError, DTypeError, ShapeError
from intaglio.nn._pooling import adaptive_avg_pool1d, adaptive_avg_pool2d, adaptive_avg_pool3d
from intaglio.nn._resampling import cubic, ratio, smoothed

_LINEAR = {"linear": 1, "bilinear": 2, "trilinear": 3}
_AREA = (adaptive_avg_pool1d, adaptive_avg_pool2d, adaptive_avg_pool3d)
_MODES = "nearest, nearest-exact, area, linear (1), bilinear, bicubic, lanczos (2), trilinear (3)"


@rounded_once
def interpolate(
    input: Tensor,
    size: Any = None,
    scale_factor: Any = None,
    mode: str = "nearest",
    align_corners: bool | None = None,
    recompute_scale_factor: bool | None = None,
    antialias: bool = False,
) -> Tensor:
    """The spatial dimensions of `input` ([n, c, ...], up to three) in another `size`, or
    `scale_factor` times as large.

    `mode` is `nearest`, `nearest-exact` or `area`, or by rank `linear`, `bilinear` or `bicubic`
    (Keys 1981), `trilinear`. With `align_corners` the corners' elements stay at the corners.
    `antialias` weights all elements that a smaller image's element covers, in modes `bilinear`,
    `bicubic` and (only so) `lanczos`."""
    rank = input.ndim - 2
    if not 1 <= rank <= 3:
        raise ShapeError(f"interpolate: {input._kind}: one to three dimensions follow n and c")
    _check_mode(mode, rank, align_corners, antialias)
    recompute = bool(recompute_scale_factor) or mode == "area"
    if recompute_scale_factor and size is not None:
        raise ArgumentError("interpolate: recompute_scale_factor goes with scale_factor")
    sizes, scales = _target(input, rank, size, scale_factor, recompute)
    with entered("interpolate"):
        if mode == "area":
            return _AREA[rank - 1](input, sizes)
        if mode in ("nearest", "nearest-exact"):
            shift = 0.5 if mode == "nearest-exact" else 0.0
            for k in range(rank):
                input = _nearest(input, 2 + k, sizes[k], scales[k], shift)
            return input
        if input.dtype.kind != "f":
            raise DTypeError(f"interpolate: {input._kind}: mode {mode!r} takes floating-point")
        for k in reversed(range(rank)):
            axis, align = 2 + k, bool(align_corners)
            if antialias:
                input = smoothed(input, axis, sizes[k], scales[k], align, mode)
            elif mode == "bicubic":
                input = cubic(input, axis, sizes[k], scales[k], align)
            else:
                input = _linear(input, axis, sizes[k], scales[k], align)
        return input


def _check_mode(mode: str, rank: int, align: bool | None, antialias: bool) -> None:
    plain = mode in ("nearest", "nearest-exact", "area")
    known = plain or _LINEAR.get(mode) == rank or (mode in ("bicubic", "lanczos") and rank == 2)
    if not known:
        raise ArgumentError(
            f"interpolate: {mode!r} is no mode for {rank} dimensions; one of {_MODES}"
        )
    if plain and align is not None:
        raise ArgumentError(f"interpolate: mode {mode!r} has no align_corners")
    if antialias and mode not in ("bilinear", "bicubic", "lanczos"):
        raise ArgumentError(f"interpolate: antialias is for bilinear and bicubic, not {mode!r}")
    if mode == "lanczos" and (align or not antialias):
        raise ArgumentError("interpolate: lanczos wants antialias=True and no align_corners")


def upsample(
    input: Tensor,
    size: Any = None,
    scale_factor: Any = None,
    mode: str = "nearest",
    align_corners: bool | None = None,
) -> Tensor:
    """`interpolate`, by its former name."""
    return interpolate(input, size, scale_factor, mode, align_corners)


def upsample_nearest(input: Tensor, size: Any = None, scale_factor: Any = None) -> Tensor:
    """`interpolate` by the nearest element."""
    return interpolate(input, size, scale_factor, mode="nearest")


def upsample_bilinear(input: Tensor, size: Any = None, scale_factor: Any = None) -> Tensor:
    """`interpolate` between four neighbours, the corners staying at the corners."""
    return interpolate(input, size, scale_factor, mode="bilinear", align_corners=True)


def _target(
    x: Tensor, rank: int, size: Any, scale_factor: Any, recompute: bool
) -> tuple[tuple[Any, ...], tuple[float | None, ...]]:
    """The new sizes, and by dimension the scale, where it is the one to compute positions with."""
    if (size is None) == (scale_factor is None):
        raise ArgumentError("interpolate: give either size or scale_factor")
    given = size if scale_factor is None else scale_factor
    values = tuple(given) if isinstance(given, tuple | list) else (given,) * rank
    if scale_factor is None and not all(isinstance(v, int | Dim) for v in values):
        raise ArgumentError(f"interpolate: a size is an integer, not {given!r}")
    if len(values) != rank:
        raise ArgumentError(f"interpolate: {given} is not one number or {rank}")
    if scale_factor is None:
        return values, (None,) * rank
    sizes = []
    for old, factor in zip(x.shape[2:], values, strict=True):
        if isinstance(old, Dim) and factor != int(factor):
            raise ShapeError(f"interpolate: {x._kind}: {factor} times a size that is not known")
        sizes.append(old * int(factor) if factor == int(factor) else math.floor(old * factor))
    if any(isinstance(n, int) and n < 1 for n in sizes):
        raise ShapeError(f"interpolate: {x._kind}: scaled by {given}, nothing is left")
    return tuple(sizes), (None,) * rank if recompute else tuple(map(float, values))


def _nearest(x: Tensor, axis: int, size: Any, scale: float | None, shift: float) -> Tensor:
    """The element at floor((i + shift) / scale) for every new position i."""
    old = x.shape[axis]
    if isinstance(old, Dim) or isinstance(size, Dim) or size % old == 0:
        times = size // old
        if size == old * times and scale in (None, float(times)):
            return repeated(x, axis, times)
        raise ShapeError(f"interpolate: {x._kind}: a size that is not known takes a whole factor")
    ratio = old / size if scale is None else 1.0 / scale
    places = [min(math.floor((i + shift) * ratio), old - 1) for i in range(size)]
    return x.index_select(axis, ig.tensor(places))


def repeated(x: Tensor, axis: int, times: int) -> Tensor:
    """Every element `times` times in a row along an axis."""
    if times == 1:
        return x
    shape = tuple(x.shape)
    wide = x.unsqueeze(axis + 1).expand(*shape[: axis + 1], times, *shape[axis + 1 :])
    return wide.reshape(*shape[:axis], shape[axis] * times, *shape[axis + 1 :])


def _linear(x: Tensor, axis: int, size: Any, scale: float | None, align: bool) -> Tensor:
    """Between the two elements around every new position."""
    old = x.shape[axis]
    if isinstance(old, Dim) or isinstance(size, Dim):
        raise ShapeError(f"interpolate: {x._kind}: linear modes take sizes that are known")
    if old == size and (scale is None or scale == 1.0):
        return x
    at = [_source(i, old, size, scale, align) for i in range(size)]
    low = [min(math.floor(p), old - 1) for p in at]
    high = [min(p + 1, old - 1) for p in low]
    shape = (-1, *(1,) * (x.ndim - 1 - axis))
    part = ig.tensor([p - a for p, a in zip(at, low, strict=True)], dtype=x.dtype).reshape(shape)
    first = x.index_select(axis, ig.tensor(low))
    second = x.index_select(axis, ig.tensor(high))
    return first * (1.0 - part) + second * part


def _source(i: int, old: int, size: int, scale: float | None, align: bool) -> float:
    """Where a new position lies among the old ones."""
    step = ratio(old, size, scale, align)
    return i * step if align else max((i + 0.5) * step - 0.5, 0.0)


def pixel_shuffle(input: Tensor, upscale_factor: int) -> Tensor:
    """[..., c r^2, h, w] to [..., c, h r, w r]: channels become pixels (Shi et al. 2016)."""
    r = upscale_factor
    *lead, c, h, w = input.shape
    if isinstance(c, int) and c % (r * r):
        raise ShapeError(f"pixel_shuffle: {input._kind}: {c} channels are no multiple of {r * r}")
    parts = input.reshape(*lead, c // (r * r), r, r, h, w)
    n = len(lead)
    moved = parts.permute(*range(n), n, n + 3, n + 1, n + 4, n + 2)
    return moved.reshape(*lead, c // (r * r), h * r, w * r)


def pixel_unshuffle(input: Tensor, downscale_factor: int) -> Tensor:
    """[..., c, h r, w r] to [..., c r^2, h, w]: the inverse of `pixel_shuffle`."""
    r = downscale_factor
    *lead, c, h, w = input.shape
    if isinstance(h, int) and isinstance(w, int) and (h % r or w % r):
        raise ShapeError(f"pixel_unshuffle: {input._kind}: {h} x {w} is no multiple of {r}")
    parts = input.reshape(*lead, c, h // r, r, w // r, r)
    n = len(lead)
    moved = parts.permute(*range(n), n, n + 2, n + 4, n + 1, n + 3)
    return moved.reshape(*lead, c * r * r, h // r, w // r)


def channel_shuffle(input: Tensor, groups: int) -> Tensor:
    """The channels of `groups` groups dealt out in turn: [n, g k, ...] read as [n, k, g, ...]."""
    n, c, *rest = input.shape
    if isinstance(c, int) and c % groups:
        raise ShapeError(f"channel_shuffle: {input._kind}: {c} channels are not {groups} groups")
    return input.reshape(n, groups, c // groups, *rest).transpose(1, 2).reshape(n, c, *rest)
