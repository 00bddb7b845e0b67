"""Dropout of whole channels (Tompson et al. 2015): neighbouring pixels say much the same, so
dropping single ones would regularize little."""

from __future__ import annotations

import intaglio as ig
from intaglio._scope import entered
from intaglio._tensor import Tensor
from intaglio.compiler.errors import ArgumentError, ShapeError


def _dropped(name: str, x: Tensor, lead: int, p: float, training: bool, inplace: bool) -> Tensor:
    """x with each of its first `lead` dimensions' slices zero with probability p."""
    if not 0.0 <= p <= 1.0:
        raise ArgumentError(f"{name}: the probability is between 0 and 1, not {p}")
    if x.ndim <= lead:
        raise ShapeError(f"{name}: {x._kind}: dimensions follow the channels")
    if not training or p == 0.0:
        return x
    with entered(name):
        shape = (*x.shape[:lead], *(1,) * (x.ndim - lead))
        scale = 0.0 if p == 1.0 else 1.0 / (1.0 - p)
        kept = ig.rand(shape, dtype=x.dtype) >= p
        made = ig.where(kept, x * scale, 0.0)
        return x.copy_(made) if inplace else made


def dropout1d(
    input: Tensor, p: float = 0.5, training: bool = True, inplace: bool = False
) -> Tensor:
    """Zero each channel with probability p and scale the others by 1 / (1 - p), while training.
    input: [n, c, l] or [c, l]."""
    return _dropped("dropout1d", input, 1 if input.ndim == 2 else 2, p, training, inplace)


def dropout2d(
    input: Tensor, p: float = 0.5, training: bool = True, inplace: bool = False
) -> Tensor:
    """As `dropout1d`. input: [n, c, h, w]; [n, c, l] is taken likewise."""
    return _dropped("dropout2d", input, 2, p, training, inplace)


def dropout3d(
    input: Tensor, p: float = 0.5, training: bool = True, inplace: bool = False
) -> Tensor:
    """As `dropout1d`. input: [n, c, d, h, w] or [c, d, h, w]."""
    return _dropped("dropout3d", input, 1 if input.ndim == 4 else 2, p, training, inplace)
