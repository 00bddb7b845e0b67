"""The small formulas that several optimizers share. Shares and rates come as 0-d f64 tensors and
are rounded to the dtype of what they multiply."""

from __future__ import annotations

import intaglio as ig
from intaglio._core import Tensor
from intaglio.optim._groups import ParameterGroup

Numbers = dict[str, Tensor]


def moved(old: Tensor, new: Tensor, share: Tensor) -> Tensor:
    """`old` moved this share of the way to `new`."""
    return old + (new - old) * share.to(old.dtype)


def with_square(old: Tensor, g: Tensor, kept: Tensor) -> Tensor:
    """The running mean of squares: the share `kept` of `old`, the rest of g * g."""
    return old * kept.to(old.dtype) + g * g * (1.0 - kept).to(old.dtype)


def decayed(
    p: Tensor, g: Tensor, group: ParameterGroup, h: Numbers, decoupled: bool = False
) -> tuple[Tensor, Tensor]:
    """Parameter and gradient with weight decay: added to the gradient, or shrinking the parameter
    by lr * weight_decay where it is decoupled."""
    if group.is_zero("weight_decay"):
        return p, g
    if decoupled:
        return p * (1.0 - h["lr"] * h["weight_decay"]).to(p.dtype), g
    return p, g + p * h["weight_decay"].to(p.dtype)


def norm(x: Tensor) -> Tensor:
    """The root of the sum of squares of all elements, f64[]."""
    return ig.sqrt((x * x).sum()).to(ig.float64)
