"""Losses as functions: how far predictions are from targets, reduced to a mean, a sum, or not at
all."""

from __future__ import annotations

import intaglio as ig
from intaglio._composite import as_one
from intaglio._halves import rounded_once
from intaglio._scope import entered
from intaglio._tensor import Tensor
from intaglio.compiler.errors import ArgumentError, DTypeError, ShapeError
from intaglio.nn._normalized import log_softmax
from intaglio.nn._reduction import reduced, reduction_of


def _same_weight(name: str, input: Tensor, weight: Tensor | None) -> None:
    if weight is not None and tuple(weight.shape) != tuple(input.shape):
        raise ShapeError(f"{name}: the weight {weight._kind} has not the shape of {input._kind}")


def _weighted(loss: Tensor, weight: Tensor | None, how: str) -> Tensor:
    """The loss times the weight, reduced."""
    return reduced(loss if weight is None else loss * weight, how, weight)


@as_one
@rounded_once
def mse_loss(
    input: Tensor,
    target: Tensor,
    size_average: bool | None = None,
    reduce: bool | None = None,
    reduction: str = "mean",
    weight: Tensor | None = None,
) -> Tensor:
    """(input - target)^2, times a weight of the input's shape if given (`mean` then divides by the
    weights' sum)."""
    how = reduction_of(reduction, size_average, reduce)
    _same_weight("mse_loss", input, weight)
    with entered("mse_loss"):
        difference = input - target
        return _weighted(difference * difference, weight, how)


@rounded_once
def l1_loss(
    input: Tensor,
    target: Tensor,
    size_average: bool | None = None,
    reduce: bool | None = None,
    reduction: str = "mean",
    weight: Tensor | None = None,
) -> Tensor:
    """|input - target|, weighted as `mse_loss`."""
    how = reduction_of(reduction, size_average, reduce)
    _same_weight("l1_loss", input, weight)
    with entered("l1_loss"):
        return _weighted(ig.abs(input - target), weight, how)


@rounded_once
def smooth_l1_loss(
    input: Tensor,
    target: Tensor,
    size_average: bool | None = None,
    reduce: bool | None = None,
    reduction: str = "mean",
    beta: float = 1.0,
) -> Tensor:
    """0.5 d^2 / beta where |d| < beta, else |d| - 0.5 beta, with d = input - target."""
    how = reduction_of(reduction, size_average, reduce)
    if beta < 0:
        raise ArgumentError(f"smooth_l1_loss: beta is 0 or more, not {beta}")
    if beta == 0:
        return l1_loss(input, target, reduction=how)
    with entered("smooth_l1_loss"):
        distance = ig.abs(input - target)
        near = distance * distance * (0.5 / beta)
        return reduced(ig.where(distance < beta, near, distance - 0.5 * beta), how)


@rounded_once
def huber_loss(
    input: Tensor,
    target: Tensor,
    reduction: str = "mean",
    delta: float = 1.0,
    weight: Tensor | None = None,
) -> Tensor:
    """0.5 d^2 where |d| <= delta, else delta (|d| - 0.5 delta), with d = input - target (Huber
    1964), times a weight of the input's shape if given."""
    how = reduction_of(reduction)
    if delta <= 0:
        raise ArgumentError(f"huber_loss: delta is above 0, not {delta}")
    _same_weight("huber_loss", input, weight)
    with entered("huber_loss"):
        distance = ig.abs(input - target)
        far = delta * (distance - 0.5 * delta)
        loss = ig.where(distance <= delta, 0.5 * distance * distance, far)
        return reduced(loss if weight is None else loss * weight, how)


@rounded_once
def binary_cross_entropy(
    input: Tensor,
    target: Tensor,
    weight: Tensor | None = None,
    size_average: bool | None = None,
    reduce: bool | None = None,
    reduction: str = "mean",
) -> Tensor:
    """-(t log p + (1 - t) log(1 - p)) for probabilities p; the logarithms are kept above -100.

    Eagerly what is no probability raises `ArgumentError`; a compiled function gives NaN."""
    how = reduction_of(reduction, size_average, reduce)
    _same_shape("binary_cross_entropy", input, target)
    if not ig.is_tracing():
        _check_probabilities(input.detach())
    with entered("binary_cross_entropy"):
        yes, no = ig.log(input).clamp(min=-100.0), ig.log1p(-input).clamp(min=-100.0)
        loss = -(target * yes + (1.0 - target) * no)
        return reduced(loss if weight is None else loss * weight, how)


def _check_probabilities(p: Tensor) -> None:
    if not ((p >= 0) & (p <= 1)).all():
        raise ArgumentError(
            f"binary_cross_entropy: {p._kind} has elements that are not between 0 and 1; of scores"
            " take binary_cross_entropy_with_logits"
        )


def _same_shape(name: str, input: Tensor, target: Tensor) -> None:
    if tuple(target.shape) != tuple(input.shape):
        raise ShapeError(f"{name}: the target {target._kind} has not the shape of {input._kind}")


def binary_cross_entropy_with_logits(
    input: Tensor,
    target: Tensor,
    weight: Tensor | None = None,
    size_average: bool | None = None,
    reduce: bool | None = None,
    reduction: str = "mean",
    pos_weight: Tensor | None = None,
) -> Tensor:
    """binary_cross_entropy(sigmoid(input), target), without overflow."""
    how = reduction_of(reduction, size_average, reduce)
    _same_shape("binary_cross_entropy_with_logits", input, target)
    with entered("binary_cross_entropy_with_logits"):
        softplus = ig.log1p(ig.exp(-ig.abs(input))) + ig.relu(-input)
        if pos_weight is not None:
            loss = (1.0 - target) * input + (1.0 + (pos_weight - 1.0) * target) * softplus
        else:
            loss = (1.0 - target) * input + softplus
        return reduced(loss if weight is None else loss * weight, how)


def _picked_forward(logs: Tensor, position: Tensor, *, axis: int) -> Tensor:
    return logs.gather(axis, position.unsqueeze(axis)).squeeze(axis)


def _picked_backward(
    xs: tuple[Tensor, ...], ys: tuple[Tensor, ...], dys: tuple[Tensor, ...], *, axis: int
) -> tuple[Tensor, ...]:
    """The derivative lands where the class is the position: a comparison, which joins the kernel of
    the softmax's derivative, where a scatter would need one of its own."""
    logs, position = xs
    shape = [1] * logs.ndim
    shape[axis] = logs.shape[axis]
    classes = ig.arange(logs.shape[axis], device=logs.device).reshape(shape)
    hit = classes == position.unsqueeze(axis)
    return (ig.where(hit, dys[0].unsqueeze(axis), 0.0),)


_picked = ig.custom_vjp(_picked_forward, _picked_backward)


@as_one
@rounded_once
def nll_loss(
    input: Tensor,
    target: Tensor,
    weight: Tensor | None = None,
    size_average: bool | None = None,
    ignore_index: int = -100,
    reduce: bool | None = None,
    reduction: str = "mean",
) -> Tensor:
    """-input[n, target[n]] * weight[target[n]] for log-probabilities.

    input: [c], [n, c] or [n, c, d1, ...]; target: the class positions, i64[], [n] or [n, d1, ...];
    `mean` divides by the weights that took part. Positions equal to `ignore_index` take no part.
    """
    how = reduction_of(reduction, size_average, reduce)
    with entered("nll_loss"):
        axis = _class_axis("nll_loss", input, target)
        _check_class_weight("nll_loss", weight, input, axis)
        ignored = target == ignore_index
        position = ig.where(ignored, 0, target)
        chosen = -_picked(input, position, axis=axis)
        counted = ig.where(ignored, 0.0, ig.ones_like(chosen))
        if weight is not None:
            counted = counted * ig.take_rows(weight, position)
        loss = ig.where(ignored, 0.0, chosen * counted)
        return loss.sum() / counted.sum() if how == "mean" else reduced(loss, how)


def _check_class_weight(name: str, weight: Tensor | None, scores: Tensor, axis: int) -> None:
    if weight is not None and tuple(weight.shape) != (scores.shape[axis],):
        raise ShapeError(
            f"{name}: {scores._kind}: the weight {weight._kind} is not one for each of"
            f" {scores.shape[axis]} classes"
        )


def _class_axis(name: str, input: Tensor, target: Tensor) -> int:
    axis = 0 if input.ndim == 1 else 1
    rest = tuple(input.shape[:axis]) + tuple(input.shape[axis + 1 :])
    if target.dtype.is_floating_point:
        raise DTypeError(f"{name}: the targets {target._kind} are no classes: call .long() on them")
    differ = (
        isinstance(a, int) and isinstance(b, int) and a != b
        for a, b in zip(rest, target.shape, strict=False)
    )
    if input.ndim == 0 or len(rest) != target.ndim or any(differ):
        column = tuple(target.shape) == (*rest, 1)
        raise ShapeError(
            f"{name}: targets {tuple(target.shape)} do not fit scores {tuple(input.shape)}: "
            "they have the scores' shape without the class dimension"
            + ("; call .squeeze(-1) on them" if column else "")
        )
    return axis


@as_one
@rounded_once
def cross_entropy(
    input: Tensor,
    target: Tensor,
    weight: Tensor | None = None,
    size_average: bool | None = None,
    ignore_index: int = -100,
    reduce: bool | None = None,
    reduction: str = "mean",
    label_smoothing: float = 0.0,
) -> Tensor:
    """The negative logarithm of the softmax at the target.

    input: scores [c], [n, c] or [n, c, d1, ...]; target: class positions (i64, the scores' shape
    without c), or class probabilities of the scores' shape and dtype. `label_smoothing` mixes in
    the uniform distribution (Szegedy et al. 2016)."""
    reduction = reduction_of(reduction, size_average, reduce)
    if not 0.0 <= label_smoothing <= 1.0:
        raise ArgumentError(
            f"cross_entropy: label_smoothing is between 0 and 1, not {label_smoothing}"
        )
    with entered("cross_entropy"):
        axis = 0 if input.ndim == 1 else 1
        logs = log_softmax(input, axis)
        if target.dtype.is_floating_point:
            return _soft_cross_entropy(logs, target, weight, reduction, label_smoothing, axis)
        if label_smoothing == 0.0:
            return nll_loss(logs, target, weight, ignore_index=ignore_index, reduction=reduction)
        return _smoothed(logs, target, weight, ignore_index, reduction, label_smoothing)


def _class_weights(weight: Tensor, logs: Tensor, axis: int) -> Tensor:
    _check_class_weight("cross_entropy", weight, logs, axis)
    shape = [1] * logs.ndim
    shape[axis] = logs.shape[axis]
    return weight.reshape(shape)


def _soft_cross_entropy(
    logs: Tensor,
    target: Tensor,
    weight: Tensor | None,
    reduction: str,
    label_smoothing: float,
    axis: int,
) -> Tensor:
    if tuple(target.shape) != tuple(logs.shape):
        raise ShapeError(
            f"cross_entropy: target probabilities {target._kind} must have the scores' shape"
            f" {tuple(logs.shape)}; classes are integers: target.long()"
        )
    if label_smoothing > 0.0:
        target = target * (1.0 - label_smoothing) + label_smoothing / logs.shape[axis]
    terms = -logs * target
    if weight is not None:
        terms = terms * _class_weights(weight, logs, axis)
    loss = terms.sum(axis)
    return loss.sum() / loss.numel() if reduction == "mean" else reduced(loss, reduction)


def _smoothed(
    logs: Tensor,
    target: Tensor,
    weight: Tensor | None,
    ignore_index: int,
    reduction: str,
    label_smoothing: float,
) -> Tensor:
    axis = _class_axis("cross_entropy", logs, target)
    ignored = target == ignore_index
    hard = nll_loss(logs, target, weight, ignore_index=ignore_index, reduction="none")
    terms = -logs if weight is None else -logs * _class_weights(weight, logs, axis)
    smooth = ig.where(ignored, 0.0, terms.sum(axis))
    counted = ig.where(ignored, 0.0, ig.ones_like(smooth))
    if weight is not None:
        counted = counted * ig.take_rows(weight, ig.where(ignored, 0, target))
    spread = label_smoothing / logs.shape[axis]
    if reduction == "mean":
        hard, smooth = hard.sum() / counted.sum(), smooth.sum() / counted.sum()
    else:
        hard, smooth = reduced(hard, reduction), reduced(smooth, reduction)
    return (1.0 - label_smoothing) * hard + spread * smooth


@rounded_once
def linear_cross_entropy(
    input: Tensor,
    linear_weight: Tensor,
    target: Tensor,
    *,
    linear_bias: Tensor | None = None,
    weight: Tensor | None = None,
    reduction: str = "mean",
    ignore_index: int | None = None,
    label_smoothing: float = 0.0,
    options: object = None,
) -> Tensor:
    """`cross_entropy` of the scores `input @ linear_weight.T + linear_bias`.

    input: [i] or [n, i]; linear_weight: [c, i], or [c, d1, ..., i] for losses with dimensions;
    linear_bias: [c, d1, ...]. `options`, torch's choice of chunks, changes nothing here: the
    planner decides what memory a function takes."""
    if not 1 <= input.ndim <= 2 or linear_weight.ndim < 2:
        raise ShapeError(
            f"linear_cross_entropy: {input._kind} and the weight {linear_weight._kind}: [i] or"
            " [n, i] and [c, ..., i] are wanted"
        )
    features, outer = linear_weight.shape[-1], tuple(linear_weight.shape[:-1])
    if input.shape[-1] != features:
        raise ShapeError(
            f"linear_cross_entropy: {input._kind} and the weight {linear_weight._kind} differ in"
            " their last size"
        )
    if linear_bias is not None and tuple(linear_bias.shape) != outer:
        raise ShapeError(
            f"linear_cross_entropy: the bias {linear_bias._kind} has not the shape {outer}"
        )
    if len(outer) > 1 and input.ndim == 1:
        raise ShapeError(
            f"linear_cross_entropy: a weight {linear_weight._kind} takes a batch [n, i], not"
            f" {input._kind}"
        )
    shape = (*input.shape[:-1], *outer)
    if tuple(target.shape) == shape and ignore_index is not None:
        raise ArgumentError("linear_cross_entropy: probabilities as targets have no ignore_index")
    with entered("linear_cross_entropy"):
        scores = (input @ linear_weight.reshape(-1, features).mT).reshape(*shape)
        if linear_bias is not None:
            scores = scores + linear_bias
        ignored = -100 if ignore_index is None else ignore_index
        return cross_entropy(
            scores,
            target,
            weight,
            ignore_index=ignored,
            reduction=reduction,
            label_smoothing=label_smoothing,
        )
