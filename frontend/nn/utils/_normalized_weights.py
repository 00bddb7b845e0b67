"""Weights held by their direction and length, or divided by their largest singular value.

A spectral norm keeps estimates u and v of the singular vectors as buffers; each use in training
improves them by steps of the power method, written in place."""

from __future__ import annotations

from typing import Any

import intaglio as ig
import intaglio.nn.functional as F
from intaglio._tensor import Tensor
from intaglio.compiler.errors import ArgumentError
from intaglio.nn._module import Module


def norm_except_dim(v: Tensor, pow: int = 2, dim: int = 0) -> Tensor:
    """The norm over all dimensions but one, which stay as size 1; over all for dim = -1."""
    if dim == -1:
        made: Tensor = ig.linalg.vector_norm(v, pow)
        return made
    others = [d for d in range(v.ndim) if d != dim % v.ndim]
    made = ig.linalg.vector_norm(v, pow, dim=others, keepdim=True) if others else v.abs()
    return made


def as_matrix(weight: Tensor, dim: int) -> Tensor:
    """The weight with one dimension as rows and the others as columns."""
    if dim != 0:
        weight = weight.permute(dim, *[d for d in range(weight.ndim) if d != dim])
    return weight.flatten(1) if weight.ndim > 1 else weight.unsqueeze(1)


def usual_dim(module: Module) -> int:
    """The dimension of a weight that counts outputs."""
    return 1 if "ConvTranspose" in type(module).__name__ else 0


def start_vectors(matrix: Tensor, eps: float) -> tuple[Tensor, Tensor]:
    """Random directions of a matrix's rows and columns."""
    with ig.no_grad():
        height, width = matrix.shape
        u, v = (ig.randn(n, dtype=matrix.dtype, device=matrix.device) for n in (height, width))
        return F.normalize(u, dim=0, eps=eps), F.normalize(v, dim=0, eps=eps)


def power_method(matrix: Tensor, u: Tensor, v: Tensor, steps: int, eps: float) -> None:
    """Improve estimates of the first singular vectors, in place."""
    with ig.no_grad():
        m = matrix.detach()
        for _ in range(steps):
            u.copy_(F.normalize(ig.mv(m, v), dim=0, eps=eps))
            v.copy_(F.normalize(ig.mv(m.mT, u), dim=0, eps=eps))


def checked_steps(steps: int) -> int:
    """A number of steps of the power method."""
    if steps <= 0:
        raise ArgumentError(f"spectral_norm: n_power_iterations is 1 or more, not {steps}")
    return steps


def largest(matrix: Tensor, u: Tensor, v: Tensor) -> Any:
    """The singular value that belongs to u and v."""
    return ig.dot(u.clone(), ig.mv(matrix, v.clone()))
