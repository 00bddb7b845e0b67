"""Padding at the edges: with a constant, or with elements of the tensor itself."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from intaglio._apply import apply, constant
from intaglio._core import Tensor
from intaglio._functions_movement import pad_sides
from intaglio.compiler.errors import ArgumentError, ShapeError


def _sides(x: Tensor, pad: Sequence[Any]) -> list[tuple[int, Any, Any]]:
    """(axis, before, after) from torch's order: the last dimension first."""
    if len(pad) % 2 or len(pad) // 2 > x.ndim:
        raise ArgumentError(f"pad: {x._kind}: {tuple(pad)} is not two numbers for each dimension")
    return [(x.ndim - 1 - k, pad[2 * k], pad[2 * k + 1]) for k in range(len(pad) // 2)]


def constant_pad(input: Tensor, pad: Sequence[Any], value: Any = 0) -> Tensor:
    """Room of one value around the last dimensions: (before, after) of the last one first. Negative
    sizes cut."""
    low, high = [0] * input.ndim, [0] * input.ndim
    for axis, before, after in _sides(input, pad):
        low[axis], high[axis] = before, after
    return pad_sides(input, low, high, 0 if value is None else value)


constant_pad_nd = constant_pad


def pad_by_index(input: Tensor, pad: Sequence[Any], mode: str) -> Tensor:
    """Room filled by mirroring (`reflect`), by repeating the edge (`replicate`) or from the other
    end (`circular`); sizes must be known."""
    cut = [min(n, 0) for n in pad]
    if any(cut) and mode != "replicate":
        input, pad = constant_pad(input, cut), [max(n, 0) for n in pad]
    for axis, before, after in _sides(input, pad):
        size = input.shape[axis]
        if not isinstance(size, int):
            raise ShapeError(f"pad: {input._kind}: mode {mode!r} needs sizes that are known")
        limit = {"reflect": size - 1, "circular": size}.get(mode)
        if limit is not None and max(before, after) > limit:
            raise ShapeError(
                f"pad: {input._kind}: {mode} padding of more than {limit} at dim {axis}"
            )
        places = np.arange(-before, size + after)
        if mode == "reflect":
            period = max(2 * size - 2, 1)
            places = np.abs((places + size - 1) % period - size + 1)
        elif mode == "replicate":
            places = np.clip(places, 0, size - 1)
        elif mode == "circular":
            places = places % size
        else:
            raise ArgumentError(
                f"pad: mode {mode!r} is none of constant, reflect, replicate, circular"
            )
        input = apply("take", (input, constant(places.astype(np.int64))), {"axis": axis})[0]
    return input
