"""All parameters as one vector, and back."""

from __future__ import annotations

from collections.abc import Iterable

import intaglio as ig
from intaglio._tensor import Tensor
from intaglio.compiler.errors import ShapeError


def parameters_to_vector(parameters: Iterable[Tensor]) -> Tensor:
    """All parameters, flattened and joined: f[n]."""
    return ig.cat([parameter.reshape(-1) for parameter in parameters])


def vector_to_parameters(vec: Tensor, parameters: Iterable[Tensor]) -> None:
    """Copy the pieces of a vector into parameters, in order."""
    if not isinstance(vec, Tensor):
        raise TypeError(f"vector_to_parameters: a Tensor is wanted, not {type(vec).__name__}")
    start, several = 0, list(parameters)
    wanted = sum(p.numel() for p in several)
    if vec.numel() < wanted:
        raise ShapeError(f"vector_to_parameters: {vec.numel()} elements do not fill {wanted}")
    with ig.no_grad():
        for parameter in several:
            size = parameter.numel()
            parameter.copy_(vec[start : start + size].reshape(parameter.shape))
            start += size
