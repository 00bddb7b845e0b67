"""Pooling by windows whose starts are random, so that sizes shrink by any factor (Graham 2014)."""

from __future__ import annotations

import math
from typing import Any

import intaglio as ig
from intaglio._scope import entered
from intaglio._tensor import Tensor
from intaglio.compiler.errors import ArgumentError, ShapeError
from intaglio.nn._windows import check_rank, each


def _starts(samples: Tensor, size: int, count: int, taps: int) -> Tensor:
    """Where `count` windows of `taps` elements start: [n, c, count], from a number in 0 .. 1 each.

    Steps are (size - taps) / (count - 1) apart, shifted by the number and rounded down; the last
    window ends with the tensor."""
    last = ig.full((*samples.shape, 1), size - taps, dtype=ig.int64, device=samples.device)
    if count == 1:
        return last
    step = (size - taps) / (count - 1)
    shift = samples.unsqueeze(-1)
    number = ig.arange(count - 1, device=samples.device).to(samples.dtype)
    first = ((number + shift) * step).to(ig.int64) - (shift * step).to(ig.int64)
    return ig.cat([first, last], -1)


def _outputs(name: str, sizes: tuple[Any, ...], output_size: Any, ratio: Any) -> tuple[int, ...]:
    rank = len(sizes)
    if (output_size is None) == (ratio is None):
        raise ArgumentError(f"{name}: give either output_size or output_ratio")
    if not all(isinstance(s, int) for s in sizes):
        raise ShapeError(f"{name}: sizes {sizes} must be known")
    if output_size is not None:
        return each(name, "output_size", output_size, rank)
    ratios = tuple(ratio) if isinstance(ratio, tuple | list) else (ratio,) * rank
    if len(ratios) != rank or not all(0 < r < 1 for r in ratios):
        raise ArgumentError(f"{name}: output_ratio is between 0 and 1 for {rank} dimensions")
    return tuple(int(s * r) for s, r in zip(sizes, ratios, strict=True))


def _fractional(
    rank: int,
    input: Tensor,
    kernel_size: Any,
    output_size: Any,
    output_ratio: Any,
    samples: Tensor | None,
) -> tuple[Tensor, Tensor]:
    name = f"fractional_max_pool{rank}d"
    check_rank(name, input, rank)
    sizes = tuple(input.shape[-rank:])
    taps = each(name, "kernel_size", kernel_size, rank)
    out = _outputs(name, sizes, output_size, output_ratio)
    for size, tap, count in zip(sizes, taps, out, strict=True):
        if tap < 1 or count < 1 or count + tap - 1 > size:
            raise ShapeError(
                f"{name}: {input._kind}: {count} windows of {tap} elements do not fit into {size}"
            )
    single = input.ndim == rank + 1
    x = input.unsqueeze(0) if single else input
    n, c = x.shape[:2]
    with entered(name):
        if samples is None:
            samples = ig.rand((n, c, rank), dtype=x.dtype, device=x.device)
        elif tuple(samples.shape) != (n, c, rank):
            raise ShapeError(f"{name}: the samples {samples._kind} are not [{n}, {c}, {rank}]")
        flat = _places(x, samples, sizes, taps, out)
        found = x.reshape(n, c, math.prod(sizes)).gather(
            2, flat.reshape(n, c, math.prod(out + taps))
        )
        values, best = ig.max(found.reshape(n, c, math.prod(out), math.prod(taps)), -1)
        at = flat.reshape(n, c, math.prod(out), math.prod(taps))
        indices = at.gather(3, best.unsqueeze(3)).squeeze(3)
        shape = (c, *out) if single else (n, c, *out)
        return values.reshape(*shape), indices.reshape(*shape)


def _places(
    x: Tensor,
    samples: Tensor,
    sizes: tuple[int, ...],
    taps: tuple[int, ...],
    out: tuple[int, ...],
) -> Tensor:
    """Flat positions in the plane of everything that each window sees: [n, c, *out, *taps]."""
    rank = len(sizes)
    flat: Tensor | None = None
    for k in range(rank):
        draw = samples[..., rank - 1 - k if rank == 2 else k]
        starts = _starts(draw, sizes[k], out[k], taps[k])
        at = starts.unsqueeze(-1) + ig.arange(taps[k], device=x.device)
        shape = [1] * (2 * rank)
        shape[k], shape[rank + k] = out[k], taps[k]
        at = at.reshape(*x.shape[:2], *shape)
        flat = at if flat is None else flat * sizes[k] + at
    assert flat is not None
    return flat.expand(*x.shape[:2], *out, *taps)


def fractional_max_pool2d(
    input: Tensor,
    kernel_size: Any,
    output_size: Any = None,
    output_ratio: Any = None,
    return_indices: bool = False,
    _random_samples: Tensor | None = None,
) -> Any:
    """The largest element of windows at random places: [n, c, h, w] (or without n) to `output_size`
    or `output_ratio` times the size. `_random_samples` ([n, c, 2], width first) are the numbers
    from 0 to 1 that place them. With `return_indices` also the positions, flat in the plane."""
    made = _fractional(2, input, kernel_size, output_size, output_ratio, _random_samples)
    return made if return_indices else made[0]


def fractional_max_pool3d(
    input: Tensor,
    kernel_size: Any,
    output_size: Any = None,
    output_ratio: Any = None,
    return_indices: bool = False,
    _random_samples: Tensor | None = None,
) -> Any:
    """`fractional_max_pool2d` of the last three dimensions; `_random_samples` ([n, c, 3]) have the
    depth first."""
    made = _fractional(3, input, kernel_size, output_size, output_ratio, _random_samples)
    return made if return_indices else made[0]
