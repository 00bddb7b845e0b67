"""Normalization over a batch, over groups of channels and over single images.

Batch statistics take one pass over the data: the mean and the squared distances of each image's
plane, joined exactly for the batch (Chan, Golub and LeVeque 1983), so that nothing cancels. The
derivative is stated: two sums for each channel give those of weight, bias and input."""

from __future__ import annotations

from typing import Any

import intaglio as ig
from intaglio._halves import rounded_once, widened
from intaglio._scope import entered
from intaglio._tensor import Tensor
from intaglio.compiler.dims import product
from intaglio.compiler.errors import ArgumentError, ShapeError
from intaglio.nn._normalized import standardize
from intaglio.nn._windows import Windows, window_sums

Tensors = tuple[Tensor, ...]


def _moments(x: Tensor) -> tuple[Tensor, Tensor]:
    """The mean and the variance [c] of x: [n, c, l]."""
    if isinstance(x.shape[2], int) and x.shape[2] == 1:
        return _over_images(x.squeeze(2))
    means = ig.mean(x, 2, keepdim=True)
    centred = x - means
    spread = ig.mean(centred * centred, 2)
    mean, between = _over_images(means.squeeze(2))
    return mean, ig.mean(spread, 0) + between


def _over_images(x: Tensor) -> tuple[Tensor, Tensor]:
    mean = ig.mean(x, 0)
    centred = x - mean
    return mean, ig.mean(centred * centred, 0)


def _column(x: Tensor) -> Tensor:
    return x.unsqueeze(1)


def _batch_norm_forward(x: Tensor, weight: Tensor, bias: Tensor, *, eps: float) -> Tensors:
    mean, variance = _moments(x)
    scale = ig.rsqrt(variance + eps)
    standard = (x - _column(mean)) * _column(scale)
    return standard * _column(weight) + _column(bias), mean, variance


def _batch_norm_backward(xs: Tensors, ys: Tensors, dys: Tensors, *, eps: float) -> Tensors:
    x, weight, _ = xs
    dy, d_mean, d_variance = dys
    scale = ig.rsqrt(ys[2] + eps)
    standard = (x - _column(ys[1])) * _column(scale)
    bias_sum = ig.sum(ig.sum(dy, 2), 0)
    weight_sum = ig.sum(ig.sum(dy * standard, 2), 0)
    count = product((x.shape[0], x.shape[2]))
    factor = weight * scale
    along = (d_variance * 2.0 / scale - factor * weight_sum) / count
    centre = (d_mean - factor * bias_sum) / count
    dx = dy * _column(factor) + standard * _column(along) + _column(centre)
    return dx, weight_sum, bias_sum


_batch_norm = ig.custom_vjp(_batch_norm_forward, _batch_norm_backward)


def _planes(x: Tensor) -> Tensor:
    """x: [n, c, *s] as [n, c, l]."""
    return x.reshape(x.shape[0], x.shape[1], product(tuple(x.shape[2:])))


def _per_channel(value: Tensor, rank: int) -> Tensor:
    return value.reshape(-1, *(1,) * (rank - 2))


def _check_channels(name: str, x: Tensor, **given: Tensor | None) -> None:
    if x.ndim < 2:
        raise ShapeError(f"{name}: {x._kind}: [n, c, ...] is wanted")
    for what, tensor in given.items():
        if tensor is not None and tuple(tensor.shape) != (x.shape[1],):
            raise ShapeError(
                f"{name}: {x._kind}: {what} has the shape {tuple(tensor.shape)}, not that of"
                f" {x.shape[1]} channels"
            )


def _check_several(name: str, x: Tensor) -> None:
    count = product((x.shape[0], *x.shape[2:]))
    if isinstance(count, int) and count == 1:
        raise ArgumentError(
            f"{name}: {x._kind}: training takes more than one value per channel; call eval() first"
        )


def _unbiased(variance: Tensor, count: Any) -> Tensor:
    """The variance divided by n - 1 instead of n, in the same steps for a known and a symbolic n:
    they have the same bits."""
    return variance * count / (count - 1)


def _update(running: Tensor | None, value: Tensor, momentum: Any) -> None:
    """running <- (1 - momentum) running + momentum value, in place."""
    if running is None:
        return
    with ig.no_grad():
        old = widened(running)
        new = value.detach().to(old.dtype)
        running.copy_(old * (1 - momentum) + new * momentum)


def batch_norm(
    input: Tensor,
    running_mean: Tensor | None,
    running_var: Tensor | None,
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    training: bool = False,
    momentum: Any = 0.1,
    eps: float = 1e-5,
) -> Tensor:
    """(x - mean) / sqrt(var + eps) * weight + bias for each channel (Ioffe and Szegedy 2015).
    input: [n, c, ...]; all others: [c].

    In training mean and variance are those of the batch, and `running_mean` and `running_var` (with
    n - 1 in place of n), where given, move towards them by `momentum`. Otherwise these are used,
    and the whole is one scale and one shift for each channel."""
    if input.ndim == 1 and isinstance(input.shape[0], int) and input.shape[0] == 0:
        return input * 1.0
    if input.dtype.is_half:
        wide = batch_norm(
            widened(input), running_mean, running_var, widened(weight), widened(bias), training,
            momentum, eps,
        )  # fmt: skip
        return wide.to(input.dtype)
    _check_channels(
        "batch_norm", input, running_mean=running_mean, running_var=running_var, weight=weight,
        bias=bias,
    )  # fmt: skip
    with entered("batch_norm"):
        if not training:
            if running_mean is None or running_var is None:
                raise ArgumentError("batch_norm: without training it takes the running statistics")
            return _fixed(input, running_mean, running_var, weight, bias, eps)
        _check_several("batch_norm", input)
        channels = (input.shape[1],)
        scale = ig.ones(channels, dtype=input.dtype) if weight is None else weight
        shift = ig.zeros(channels, dtype=input.dtype) if bias is None else bias
        made, mean, variance = _batch_norm(_planes(input), scale, shift, eps=float(eps))
        count = product((input.shape[0], *input.shape[2:]))
        _update(running_mean, mean, momentum)
        if running_var is not None:
            _update(running_var, _unbiased(variance.detach(), count), momentum)
        result: Tensor = made.reshape(*input.shape)
        return result


def _fixed(
    x: Tensor,
    mean: Tensor,
    variance: Tensor,
    weight: Tensor | None,
    bias: Tensor | None,
    eps: float,
) -> Tensor:
    """By statistics that are known: one scale and one shift for each channel."""
    mean, variance = widened(mean), widened(variance)
    scale = ig.rsqrt(variance + eps)
    scale = scale if weight is None else scale * weight
    shift = -mean * scale if bias is None else bias - mean * scale
    return x * _per_channel(scale, x.ndim) + _per_channel(shift, x.ndim)


def instance_norm(
    input: Tensor,
    running_mean: Tensor | None = None,
    running_var: Tensor | None = None,
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    use_input_stats: bool = True,
    momentum: float = 0.1,
    eps: float = 1e-5,
) -> Tensor:
    """As `batch_norm`, with the statistics of each image's channel (Ulyanov et al. 2016). input:
    [n, c, ...]."""
    if input.dtype.is_half:
        wide = instance_norm(
            widened(input), running_mean, running_var, widened(weight), widened(bias),
            use_input_stats, momentum, eps,
        )  # fmt: skip
        return wide.to(input.dtype)
    _check_channels(
        "instance_norm", input, running_mean=running_mean, running_var=running_var, weight=weight,
        bias=bias,
    )  # fmt: skip
    with entered("instance_norm"):
        if not use_input_stats:
            if running_mean is None or running_var is None:
                raise ArgumentError("instance_norm: it takes statistics, or those of the input")
            return _fixed(input, running_mean, running_var, weight, bias, eps)
        planes = _planes(input)
        if isinstance(planes.shape[2], int) and planes.shape[2] == 1:
            raise ArgumentError(f"instance_norm: {input._kind}: a plane has more than one element")
        if running_mean is not None or running_var is not None:
            _track_instances(planes, running_mean, running_var, momentum)
        made = standardize(planes, dims=(2,), eps=eps)
        made = made if weight is None else made * _column(weight)
        made = made if bias is None else made + _column(bias)
        return made.reshape(*input.shape)


def _track_instances(x: Tensor, mean: Tensor | None, variance: Tensor | None, m: float) -> None:
    """Move running statistics towards the means over images of those of x: [n, c, l]."""
    means = ig.mean(x.detach(), 2, keepdim=True)
    centred = x.detach() - means
    _update(mean, ig.mean(means.squeeze(2), 0), m)
    if variance is not None:
        spread = ig.mean(ig.mean(centred * centred, 2), 0)
        _update(variance, _unbiased(spread, x.shape[2]), m)


@rounded_once
def group_norm(
    input: Tensor,
    num_groups: int,
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    eps: float = 1e-5,
) -> Tensor:
    """(x - mean) / sqrt(var + eps) * weight + bias with the statistics of `num_groups` groups of
    each image's channels (Wu and He 2018). input: [n, c, ...]; weight and bias: [c]."""
    _check_channels("group_norm", input, weight=weight, bias=bias)
    channels = input.shape[1]
    if not isinstance(channels, int) or num_groups < 1 or channels % num_groups:
        raise ArgumentError(
            f"group_norm: {input._kind}: {channels} channels are not {num_groups} equal groups"
        )
    with entered("group_norm"):
        inner = product((channels // num_groups, *input.shape[2:]))
        groups = input.reshape(input.shape[0], num_groups, inner)
        made = standardize(groups, dims=(2,), eps=eps).reshape(*input.shape)
        made = made if weight is None else made * _per_channel(weight, input.ndim)
        return made if bias is None else made + _per_channel(bias, input.ndim)


@rounded_once
def local_response_norm(
    input: Tensor, size: int, alpha: float = 1e-4, beta: float = 0.75, k: float = 1.0
) -> Tensor:
    """x / (k + alpha mean(x^2))^beta, the mean being that of `size` neighbouring channels
    (Krizhevsky et al. 2012). input: [n, c, ...]."""
    if input.ndim < 3:
        raise ShapeError(f"local_response_norm: {input._kind}: [n, c, l, ...] is wanted")
    with entered("local_response_norm"):
        windows = Windows((size, 1), (1, 1), (size // 2, 0), ((size - 1) // 2, 0), (1, 1))
        sums = window_sums(_planes(input * input), windows)
        return input / (k + alpha * (sums / size)).reshape(*input.shape) ** beta
