"""Losses that want scores or distances apart by a margin."""

from __future__ import annotations

from collections.abc import Callable

import intaglio as ig
from intaglio._scope import entered
from intaglio._tensor import Tensor
from intaglio.compiler.errors import ArgumentError, DTypeError, ShapeError
from intaglio.nn._distances import pairwise_distance
from intaglio.nn._pointwise import logsigmoid
from intaglio.nn._reduction import hinge, reduced, reduction_of


def _same_rank(name: str, *tensors: Tensor) -> None:
    if len({x.ndim for x in tensors}) > 1:
        kinds = ", ".join(str(x._kind) for x in tensors)
        raise ShapeError(f"{name}: {kinds}: all have the same number of dimensions")


def margin_ranking_loss(
    input1: Tensor,
    input2: Tensor,
    target: Tensor,
    margin: float = 0,
    size_average: bool | None = None,
    reduce: bool | None = None,
    reduction: str = "mean",
) -> Tensor:
    """max(0, -target (input1 - input2) + margin): a target of 1 wants the first larger, -1 the
    second."""
    how = reduction_of(reduction, size_average, reduce)
    _same_rank("margin_ranking_loss", input1, input2, target)
    with entered("margin_ranking_loss"):
        return reduced(hinge(-target * (input1 - input2) + margin), how)


def hinge_embedding_loss(
    input: Tensor,
    target: Tensor,
    margin: float = 1.0,
    size_average: bool | None = None,
    reduce: bool | None = None,
    reduction: str = "mean",
) -> Tensor:
    """x where the target is 1, max(0, margin - x) where it is -1."""
    how = reduction_of(reduction, size_average, reduce)
    with entered("hinge_embedding_loss"):
        apart = ig.where(target != 1, hinge(margin - input), 0.0)
        return reduced(apart + ig.where(target != -1, input, 0.0), how)


def soft_margin_loss(
    input: Tensor,
    target: Tensor,
    size_average: bool | None = None,
    reduce: bool | None = None,
    reduction: str = "mean",
) -> Tensor:
    """log(1 + exp(-target * x)) for targets 1 and -1, without overflow."""
    how = reduction_of(reduction, size_average, reduce)
    with entered("soft_margin_loss"):
        return reduced(-logsigmoid(target * input), how)


def multilabel_soft_margin_loss(
    input: Tensor,
    target: Tensor,
    weight: Tensor | None = None,
    size_average: bool | None = None,
    reduce: bool | None = None,
    reduction: str = "mean",
) -> Tensor:
    """The mean over classes of the binary cross entropy of sigmoid(x). input, target: [..., c]."""
    how = reduction_of(reduction, size_average, reduce)
    with entered("multilabel_soft_margin_loss"):
        loss = -(target * logsigmoid(input) + (1 - target) * logsigmoid(-input))
        loss = loss if weight is None else loss * weight
        return reduced(loss.sum(-1) / input.shape[-1], how)


def multi_margin_loss(
    input: Tensor,
    target: Tensor,
    p: int = 1,
    margin: float = 1.0,
    weight: Tensor | None = None,
    size_average: bool | None = None,
    reduce: bool | None = None,
    reduction: str = "mean",
) -> Tensor:
    """The mean over the other classes i of max(0, margin - x[target] + x[i])^p, times the target's
    weight. input: [c] or [n, c]; target: i64[] or i64[n]; weight: [c]."""
    how = reduction_of(reduction, size_average, reduce)
    if p not in (1, 2):
        raise ArgumentError(f"multi_margin_loss: p is 1 or 2, not {p}")
    x = input.unsqueeze(0) if input.ndim < 2 else input
    x = x.unsqueeze(0) if x.ndim < 2 else x
    if x.ndim > 2 or target.ndim > 1 or (target.ndim and target.shape[0] != x.shape[0]):
        raise ShapeError(
            f"multi_margin_loss: {input._kind} and the target {target._kind}: [c] or [n, c] and one"
            " class for each row are wanted"
        )
    if target.ndim == 0 and input.ndim > 1 and x.shape[0] != 1:
        raise ShapeError(f"multi_margin_loss: {input._kind}: one target for each row is wanted")
    if weight is not None and tuple(weight.shape) != (x.shape[1],):
        raise ShapeError(
            f"multi_margin_loss: the weight {weight._kind} is not one for each of {x.shape[1]}"
            " classes"
        )
    with entered("multi_margin_loss"):
        place = target.reshape(-1, 1)
        apart = hinge(margin - x.gather(1, place) + x)
        apart = apart if p == 1 else apart * apart
        if weight is not None:
            apart = apart * ig.take_rows(weight, place)
        others = ig.arange(x.shape[1], device=x.device) != place
        loss = ig.where(others, apart, 0.0).sum(1) / x.shape[1]
        return reduced(loss if target.ndim else loss.squeeze(0), how)


def multilabel_margin_loss(
    input: Tensor,
    target: Tensor,
    size_average: bool | None = None,
    reduce: bool | None = None,
    reduction: str = "mean",
) -> Tensor:
    """The sum over target classes j and all others i of max(0, 1 - x[j] + x[i]), divided by the
    number of classes. input: [c] or [n, c]; target: i64 of its shape, the classes of a row before
    its first -1."""
    how = reduction_of(reduction, size_average, reduce)
    if input.ndim > 2 or tuple(target.shape) != tuple(input.shape):
        raise ShapeError(
            f"multilabel_margin_loss: {input._kind} and the target {target._kind}: both [c] or"
            " [n, c] are wanted"
        )
    if target.dtype is not ig.int64:
        raise DTypeError(f"multilabel_margin_loss: the target {target._kind} is not int64")
    classes = input.shape[-1] if input.ndim else 1
    x, t = input.reshape(-1, classes), target.reshape(-1, classes)
    with entered("multilabel_margin_loss"):
        named = ig.cumsum((t < 0).to(ig.int64), 1) == 0
        place = ig.where(named, t, 0)
        hit = (place.unsqueeze(2) == ig.arange(classes, device=x.device)) & named.unsqueeze(2)
        other = ~ig.any(hit, 1, keepdim=True)
        apart = hinge(1.0 - x.gather(1, place).unsqueeze(2) + x.unsqueeze(1))
        loss = ig.where(named.unsqueeze(2) & other, apart, 0.0).sum(2).sum(1) / classes
        return reduced(loss if input.ndim > 1 else loss.squeeze(0), how)


def cosine_embedding_loss(
    input1: Tensor,
    input2: Tensor,
    target: Tensor,
    margin: float = 0,
    size_average: bool | None = None,
    reduce: bool | None = None,
    reduction: str = "mean",
) -> Tensor:
    """1 - cos(input1, input2) where the target is 1, max(0, cos - margin) where it is -1. inputs:
    [n, d] with target [n], or [d] with target []."""
    how = reduction_of(reduction, size_average, reduce)
    if target.ndim > 1 or input1.ndim != target.ndim + 1 or input2.ndim != target.ndim + 1:
        raise ShapeError(
            f"cosine_embedding_loss: {input1._kind}, {input2._kind}, target {target._kind}: [n, d],"
            " [n, d], [n] or [d], [d], [] are wanted"
        )
    with entered("cosine_embedding_loss"):
        along = (input1 * input2).sum(-1)
        squares = [(x * x).sum(-1) + 1e-12 for x in (input1, input2)]
        cosine = along / ig.sqrt(squares[0] * squares[1])
        near = ig.where(target == 1, 1.0 - cosine, 0.0)
        return reduced(near + ig.where(target == -1, hinge(cosine - margin), 0.0), how)


def triplet_margin_loss(
    anchor: Tensor,
    positive: Tensor,
    negative: Tensor,
    margin: float = 1.0,
    p: float = 2,
    eps: float = 1e-6,
    swap: bool = False,
    size_average: bool | None = None,
    reduce: bool | None = None,
    reduction: str = "mean",
) -> Tensor:
    """max(0, d(anchor, positive) - d(anchor, negative) + margin), d being `pairwise_distance`;
    `swap` takes d(positive, negative) where that is smaller (Balntas et al. 2016)."""
    how = reduction_of(reduction, size_average, reduce)

    def distance(a: Tensor, b: Tensor) -> Tensor:
        return pairwise_distance(a, b, p, eps)

    return _triplet("triplet_margin_loss", anchor, positive, negative, distance, margin, swap, how)


def triplet_margin_with_distance_loss(
    anchor: Tensor,
    positive: Tensor,
    negative: Tensor,
    *,
    distance_function: Callable[[Tensor, Tensor], Tensor] | None = None,
    margin: float = 1.0,
    swap: bool = False,
    reduction: str = "mean",
) -> Tensor:
    """`triplet_margin_loss` with a distance of one's own."""
    how, distance = reduction_of(reduction), distance_function or pairwise_distance
    name = "triplet_margin_with_distance_loss"
    return _triplet(name, anchor, positive, negative, distance, margin, swap, how)


def _triplet(
    name: str,
    anchor: Tensor,
    positive: Tensor,
    negative: Tensor,
    distance: Callable[[Tensor, Tensor], Tensor],
    margin: float,
    swap: bool,
    how: str,
) -> Tensor:
    if margin <= 0:
        raise ArgumentError(f"{name}: the margin is above 0, not {margin}")
    _same_rank(name, anchor, positive, negative)
    with entered(name):
        near, far = distance(anchor, positive), distance(anchor, negative)
        if swap:
            far = ig.minimum(far, distance(positive, negative))
        return reduced(hinge(margin + near - far), how)
