"""How far vectors are from each other: lengths, differences, angles; and vectors of length one."""

from __future__ import annotations

import numpy as np

import intaglio as ig
from intaglio._halves import rounded_once
from intaglio._scope import entered
from intaglio._tensor import Tensor
from intaglio.compiler.errors import ArgumentError, ShapeError
from intaglio.nn._pointwise import floating


def at_least(x: Tensor, least: float) -> Tensor:
    """max(x, least), with the derivative of x itself on both sides."""
    return ig.where(x < least, least + (x - x.detach()), x)


@rounded_once
def normalize(
    input: Tensor,
    p: float = 2.0,
    dim: int | tuple[int, ...] = 1,
    eps: float = 1e-12,
    out: Tensor | None = None,
) -> Tensor:
    """x / max(norm_p(x), eps) along `dim`."""
    with entered("normalize"):
        made = input / ig.norm(input, p, dim, keepdim=True).clamp(min=eps)
    return made if out is None else out.copy_(made)


@rounded_once
def cosine_similarity(x1: Tensor, x2: Tensor, dim: int = 1, eps: float = 1e-8) -> Tensor:
    """The cosine of the angle between x1 and x2 along `dim`, after broadcasting; lengths count as
    at least `eps`."""
    with entered("cosine_similarity"):
        first, second = (x * 1.0 for x in ig.broadcast_tensors(x1, x2))
        floating("cosine_similarity", first, second)
        first = first / at_least(ig.norm(first, 2, dim, keepdim=True), eps)
        second = second / at_least(ig.norm(second, 2, dim, keepdim=True), eps)
        return ig.sum(first * second, dim)


@rounded_once
def pairwise_distance(
    x1: Tensor, x2: Tensor, p: float = 2.0, eps: float = 1e-6, keepdim: bool = False
) -> Tensor:
    """norm_p(x1 - x2 + eps) along the last dimension, after broadcasting."""
    with entered("pairwise_distance"):
        return ig.norm(x1 - x2 + eps, float(p), -1, keepdim)


@rounded_once
def pdist(input: Tensor, p: float = 2.0) -> Tensor:
    """norm_p of the difference of every pair of rows: f[n, d] to f[n (n - 1) / 2], in the order
    (0, 1), (0, 2), ..., (1, 2), ... The derivative at distance 0 is 0."""
    floating("pdist", input)
    if input.ndim != 2 or not isinstance(input.shape[0], int):
        raise ShapeError(f"pdist: {input._kind}: a matrix with a known number of rows is wanted")
    if p < 0:
        raise ArgumentError(f"pdist: p is 0 or more, not {p}")
    first, second = np.triu_indices(input.shape[0], 1)
    if not first.size:
        return ig.zeros((0,), dtype=input.dtype) + input.sum() * 0.0
    with entered("pdist"):
        pairs = [input.index_select(0, ig.from_numpy(rows)) for rows in (first, second)]
        difference = pairs[0] - pairs[1]
        if p == 0:
            return ig.where(difference == 0, difference * 0.0, 1.0).sum(-1)
        return ig.norm(difference, float(p), -1)
