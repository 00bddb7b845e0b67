"""How losses are reduced: the mean, the sum, or not at all, in torch's new and old spelling."""

from __future__ import annotations

from typing import Final

import intaglio as ig
from intaglio._tensor import Tensor
from intaglio.compiler.errors import ArgumentError

REDUCTIONS: Final = ("mean", "sum", "none")


def reduction_of(
    reduction: str, size_average: bool | None = None, reduce: bool | None = None
) -> str:
    """The reduction: as named, unless one of torch's former two switches is given. These take
    precedence: `reduce=False` means none, else `size_average=False` the sum, else the mean."""
    if size_average is None and reduce is None:
        if reduction not in REDUCTIONS:
            raise ArgumentError(f"a loss's reduction is 'mean', 'sum' or 'none', not {reduction!r}")
        return reduction
    if reduce is not None and not reduce:
        return "none"
    return "mean" if size_average is None or size_average else "sum"


def reduced(loss: Tensor, reduction: str, weight: Tensor | None = None) -> Tensor:
    """The loss as `reduction` says. The mean of a loss whose elements were multiplied by `weight`
    is divided by the weights' sum."""
    if reduction == "mean":
        return loss.mean() if weight is None else loss.sum() / weight.sum()
    if reduction == "sum":
        return loss.sum()
    if reduction == "none":
        return loss
    raise ArgumentError(f"a loss's reduction is 'mean', 'sum' or 'none', not {reduction!r}")


def hinge(x: Tensor) -> Tensor:
    """max(x, 0), with torch's derivative of losses: 1 at 0."""
    return ig.where(x < 0, 0.0, x)
