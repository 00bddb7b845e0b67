"""Limits of gradients, in place: by their joint norm, or by value. Written in ops, so that they
trace into a train step."""

from __future__ import annotations

import math
from collections.abc import Iterable

import intaglio as ig
from intaglio._tensor import Tensor
from intaglio.compiler.errors import ArgumentError, NaNError, TraceError
from intaglio.nn._kinds import KindError


def _several(tensors: Tensor | Iterable[Tensor]) -> list[Tensor]:
    if hasattr(tensors, "parameters"):
        raise KindError(
            f"clip_grad: tensors are wanted, not a {type(tensors).__name__}; give its parameters()"
        )
    return [tensors] if isinstance(tensors, Tensor) else list(tensors)


def _gradients(parameters: Tensor | Iterable[Tensor]) -> list[Tensor]:
    return [p.grad for p in _several(parameters) if p.grad is not None]


def get_total_norm(
    tensors: Tensor | Iterable[Tensor],
    norm_type: float = 2.0,
    error_if_nonfinite: bool = False,
    foreach: bool | None = None,
) -> Tensor:
    """The norm of all tensors as one vector, f[]. `error_if_nonfinite` raises where it is NaN or
    infinite."""
    several, order = _several(tensors), float(norm_type)
    if not several:
        return ig.tensor(0.0)
    with ig.no_grad():
        norms = [ig.linalg.vector_norm(t.detach(), order) for t in several]
        widest = max((n.dtype for n in norms), key=lambda dtype: dtype.size)
        joined = ig.stack([n.to(dtype=widest, device=norms[0].device) for n in norms])
        total = joined.max() if math.isinf(order) and order > 0 else _joined(joined, order)
    if error_if_nonfinite:
        _check_finite(total, order)
    return total


def _joined(norms: Tensor, order: float) -> Tensor:
    made: Tensor = ig.linalg.vector_norm(norms, order)
    return made


def _check_finite(total: Tensor, order: float) -> None:
    if ig.is_tracing():
        raise TraceError(
            "error_if_nonfinite: a traced function can't look at the norm; return it and look"
            " there, or find where a NaN comes from with jit(..., check_nan=True)"
        )
    if not math.isfinite(total.item()):
        raise NaNError(
            f"the norm of order {order} of the gradients is {total.item()}, so they can't be"
            " clipped; error_if_nonfinite=False lets that pass"
        )


def clip_grads_with_norm_(
    parameters: Tensor | Iterable[Tensor],
    max_norm: float,
    total_norm: Tensor,
    foreach: bool | None = None,
) -> None:
    """Scale all gradients in place by max_norm / (total_norm + 1e-6), where that is below 1."""
    with ig.no_grad():
        scale = ig.clamp(float(max_norm) / (total_norm + 1e-6), max=1.0)
        for gradient in _gradients(parameters):
            gradient.mul_(scale.to(dtype=gradient.dtype, device=gradient.device))


def clip_grad_norm_(
    parameters: Tensor | Iterable[Tensor],
    max_norm: float,
    norm_type: float = 2.0,
    error_if_nonfinite: bool = False,
    foreach: bool | None = None,
) -> Tensor:
    """Scale all gradients in place so that their joint norm is at most `max_norm`; the norm before,
    f[]."""
    several = _several(parameters)
    total = get_total_norm(_gradients(several), norm_type, error_if_nonfinite)
    clip_grads_with_norm_(several, max_norm, total)
    return total


clip_grad_norm = clip_grad_norm_
"""The name of `clip_grad_norm_` in old code."""


def clip_grad_value_(
    parameters: Tensor | Iterable[Tensor], clip_value: float, foreach: bool | None = None
) -> None:
    """Limit every element of every gradient to -clip_value .. clip_value, in place."""
    limit = float(clip_value)
    if limit < 0:
        raise ArgumentError(f"clip_grad_value_: clip_value must not be negative, and is {limit}")
    with ig.no_grad():
        for gradient in _gradients(parameters):
            gradient.clamp_(-limit, limit)
