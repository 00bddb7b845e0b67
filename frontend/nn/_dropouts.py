"""Dropout of elements (Srivastava et al. 2014), and the kind that keeps mean and variance of
self-normalizing networks, of elements or of whole channels."""

from __future__ import annotations

import math

import intaglio as ig
from intaglio._scope import entered
from intaglio._tensor import Tensor
from intaglio.compiler.errors import ArgumentError, ShapeError
from intaglio.nn._normalized import softmax
from intaglio.nn._pointwise import SELU_ALPHA, SELU_SCALE, floating, result


def _check_probability(name: str, p: float) -> None:
    if not 0.0 <= p <= 1.0:
        raise ArgumentError(f"{name}: the probability is between 0 and 1, not {p}")


def dropout(input: Tensor, p: float = 0.5, training: bool = True, inplace: bool = False) -> Tensor:
    """Zero each element with probability p and scale the others by 1 / (1 - p); the input itself
    unless training."""
    _check_probability("dropout", p)
    if not training or p == 0.0:
        return input
    with entered("dropout"):
        if p == 1.0:
            return result(input, input * 0.0, inplace)
        kept = ig.rand(input.shape, dtype=input.dtype, device=input.device) >= p
        return result(input, ig.where(kept, input * (1.0 / (1.0 - p)), 0.0), inplace)


def _alpha_dropped(
    name: str, x: Tensor, shape: tuple[int, ...], p: float, training: bool, inplace: bool
) -> Tensor:
    """x with elements set to selu's lower limit by a mask of `shape`, then scaled and shifted so
    that mean 0 and variance 1 stay."""
    _check_probability(name, p)
    if not training or p == 0.0:
        return x
    floating(name, x)
    with entered(name):
        if p == 1.0:
            return result(x, x * 0.0, inplace)
        low = -SELU_ALPHA * SELU_SCALE
        scale = 1.0 / math.sqrt((low * low * p + 1.0) * (1.0 - p))
        kept = ig.rand(shape, dtype=x.dtype, device=x.device) >= p
        return result(x, ig.where(kept, x, low) * scale - low * scale * p, inplace)


def alpha_dropout(
    input: Tensor, p: float = 0.5, training: bool = False, inplace: bool = False
) -> Tensor:
    """Dropout for self-normalizing networks (Klambauer et al. 2017): elements become selu's lower
    limit with probability p, and the whole is scaled to keep mean and variance."""
    shape = tuple(input.shape)
    return _alpha_dropped("alpha_dropout", input, shape, p, training, inplace)


def feature_alpha_dropout(
    input: Tensor, p: float = 0.5, training: bool = False, inplace: bool = False
) -> Tensor:
    """`alpha_dropout` of whole channels. input: [n, c, ...]."""
    if input.ndim < 2 and training and p:
        raise ShapeError(f"feature_alpha_dropout: {input._kind}: [n, c, ...] is wanted")
    shape = (*input.shape[:2], *(1,) * (input.ndim - 2))
    return _alpha_dropped("feature_alpha_dropout", input, shape, p, training, inplace)


def gumbel_softmax(
    logits: Tensor, tau: float = 1, hard: bool = False, eps: float = 1e-10, dim: int = -1
) -> Tensor:
    """softmax of (logits + Gumbel noise) / tau: a sample of a category that has a derivative (Jang
    et al. 2017). With `hard` exactly one element is 1, with the derivative of the softmax. `eps`
    has no effect, as in torch."""
    floating("gumbel_softmax", logits)
    with entered("gumbel_softmax"):
        exponential = -ig.log(1.0 - ig.rand(logits.shape, dtype=logits.dtype, device=logits.device))
        soft = softmax((logits - ig.log(exponential)) / tau, dim)
        if not hard:
            return soft
        best = ig.argmax(soft, dim, keepdim=True)
        shape = [1] * soft.ndim
        shape[dim] = soft.shape[dim]
        chosen = (ig.arange(soft.shape[dim], device=soft.device).reshape(shape) == best).to(
            soft.dtype
        )
        return chosen - soft.detach() + soft
