"""Helpers on the parameters of a model: gradient clipping, and parameters as one vector."""

from __future__ import annotations

import math
from collections.abc import Iterable

import intaglio as ig
from intaglio._tensor import Tensor


def _with_gradients(parameters: Tensor | Iterable[Tensor]) -> list[Tensor]:
    several = [parameters] if isinstance(parameters, Tensor) else list(parameters)
    return [p for p in several if p.grad is not None]


def clip_grad_norm_(
    parameters: Tensor | Iterable[Tensor], max_norm: float, norm_type: float = 2.0
) -> Tensor:
    """Scale all gradients in place so that their joint norm is at most `max_norm`; the norm before,
    f32[]."""
    several = _with_gradients(parameters)
    if not several:
        return ig.zeros(())
    with ig.no_grad():
        norms = [ig.norm(_gradient(p), norm_type) for p in several]
        joined = ig.stack(norms)
        total = joined.max() if math.isinf(norm_type) else ig.norm(joined, norm_type)
        scale = (max_norm / (total + 1e-6)).clamp(max=1.0)
        for parameter in several:
            _gradient(parameter).mul_(scale)
    return total


def clip_grad_value_(parameters: Tensor | Iterable[Tensor], clip_value: float) -> None:
    """Limit every element of every gradient to -clip_value .. clip_value, in place."""
    with ig.no_grad():
        for parameter in _with_gradients(parameters):
            gradient = _gradient(parameter)
            gradient.copy_(gradient.clamp(-clip_value, clip_value))


def _gradient(parameter: Tensor) -> Tensor:
    gradient = parameter.grad
    assert gradient is not None
    return gradient


def parameters_to_vector(parameters: Iterable[Tensor]) -> Tensor:
    """All parameters, flattened and joined."""
    return ig.cat([parameter.reshape(-1) for parameter in parameters])


def vector_to_parameters(vec: Tensor, parameters: Iterable[Tensor]) -> None:
    """Copy the pieces of a vector into parameters, in order."""
    start = 0
    with ig.no_grad():
        for parameter in parameters:
            size = parameter.numel()
            parameter.copy_(vec[start : start + size].reshape(parameter.shape))
            start += size
