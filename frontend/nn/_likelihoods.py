"""Losses that are negative logarithms of probabilities, or differences of such."""

from __future__ import annotations

import math

import intaglio as ig
from intaglio._halves import rounded_once
from intaglio._scope import entered
from intaglio._tensor import Tensor
from intaglio.compiler.errors import ArgumentError, ShapeError
from intaglio.nn._distances import at_least
from intaglio.nn._reduction import reduced, reduction_of


@rounded_once
def kl_div(
    input: Tensor,
    target: Tensor,
    size_average: bool | None = None,
    reduce: bool | None = None,
    reduction: str = "mean",
    log_target: bool = False,
) -> Tensor:
    """target (log(target) - input) for log-probabilities `input` (Kullback and Leibler 1951); with
    `log_target` the target is a logarithm too. `batchmean` divides the sum by the first size."""
    batch = reduction == "batchmean" and size_average is None and reduce is None
    how = "sum" if batch else reduction_of(reduction, size_average, reduce)
    with entered("kl_div"):
        if log_target:
            loss = ig.exp(target) * (target - input)
        else:
            loss = ig.xlogy(target, target) - target * input
        made = reduced(loss, how)
        return made / input.shape[0] if batch and input.ndim else made


@rounded_once
def poisson_nll_loss(
    input: Tensor,
    target: Tensor,
    log_input: bool = True,
    full: bool = False,
    size_average: bool | None = None,
    eps: float = 1e-8,
    reduce: bool | None = None,
    reduction: str = "mean",
) -> Tensor:
    """exp(x) - target x for logarithms of rates, or x - target log(x + eps) for rates; `full` adds
    Stirling's formula for log(target!) where the target is above 1."""
    how = reduction_of(reduction, size_average, reduce)
    with entered("poisson_nll_loss"):
        rate = ig.exp(input) if log_input else input
        loss = rate - target * (input if log_input else ig.log(input + eps))
        if full:
            above = ig.where(target > 1, target, 1.0)
            log_factorial = above * ig.log(above) - above + 0.5 * ig.log(2.0 * math.pi * above)
            loss = loss + ig.where(target > 1, log_factorial, 0.0)
        return reduced(loss, how)


@rounded_once
def gaussian_nll_loss(
    input: Tensor,
    target: Tensor,
    var: Tensor | float,
    full: bool = False,
    eps: float = 1e-6,
    reduction: str = "mean",
) -> Tensor:
    """(log(var) + (input - target)^2 / var) / 2, with var at least `eps`; `full` adds log(2 pi) / 2
    (Nix and Weigend 1994). var: a number, of the input's shape, or with its last size missing or
    1. Negative elements of var are refused, outside of a trace."""
    how = reduction_of(reduction)
    spread = var if isinstance(var, Tensor) else ig.full_like(input, var)
    if not ig.is_tracing() and bool(ig.any(spread < 0)):
        raise ArgumentError("gaussian_nll_loss: var has negative elements")
    shape, given = tuple(input.shape), tuple(spread.shape)
    if given != shape:
        other = [b for a, b in zip(shape, given, strict=False) if a != b]
        if shape[:-1] == given:
            spread = spread.unsqueeze(-1)
        elif len(shape) != len(given) or other != [1]:
            raise ShapeError(
                f"gaussian_nll_loss: {input._kind} and var {spread._kind}: var has the input's"
                " shape, or its last size is missing or 1"
            )
    with entered("gaussian_nll_loss"):
        spread, distance = at_least(spread, eps), input - target
        loss = 0.5 * (ig.log(spread) + distance * distance / spread)
        return reduced(loss + 0.5 * math.log(2.0 * math.pi) if full else loss, how)
