"""Norms that also return their statistics, and derivatives by name, as torch's `native_` functions
and compiler intermediate forms call them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import intaglio as ig
from intaglio._scope import entered
from intaglio._tensor import Tensor
from intaglio.compiler.dims import product
from intaglio.compiler.dtypes import DType
from intaglio.compiler.errors import ShapeError
from intaglio.nn._batchnorm import batch_norm, group_norm
from intaglio.nn._normalized import layer_norm

Three = tuple[Tensor, Tensor, Tensor]


def _statistics(x: Tensor, dims: tuple[int, ...], eps: float) -> tuple[Tensor, Tensor]:
    """The mean and 1 / sqrt(var + eps) over `dims`, kept as sizes of 1."""
    mean = ig.mean(x, dims, keepdim=True)
    centred = x - mean
    return mean, ig.rsqrt(ig.mean(centred * centred, dims, keepdim=True) + eps)


def native_layer_norm(
    input: Tensor,
    normalized_shape: Sequence[int],
    weight: Tensor | None,
    bias: Tensor | None,
    eps: float,
) -> Three:
    """`layer_norm`, the means, and 1 / sqrt(var + eps); both [..., 1, ...]."""
    made = layer_norm(input, normalized_shape, weight, bias, eps)
    dims = tuple(range(input.ndim - len(tuple(normalized_shape)), input.ndim))
    with entered("native_layer_norm"):
        return made, *_statistics(input, dims, eps)


def native_group_norm(
    input: Tensor,
    weight: Tensor | None,
    bias: Tensor | None,
    N: Any,
    C: Any,
    HxW: Any,
    group: int,
    eps: float,
) -> Three:
    """`group_norm` of [N, C, HxW], the means, and 1 / sqrt(var + eps); both [N, group]."""
    if input.shape[0] != N or input.shape[1] != C or product(tuple(input.shape[2:])) != HxW:
        raise ShapeError(f"native_group_norm: {input._kind} is not [{N}, {C}, {HxW}]")
    made = group_norm(input, group, weight, bias, eps)
    with entered("native_group_norm"):
        rows = input.reshape(N, group, C // group * HxW)
        mean, scale = _statistics(rows, (2,), eps)
        return made, mean.squeeze(2), scale.squeeze(2)


def native_batch_norm(
    input: Tensor,
    weight: Tensor | None,
    bias: Tensor | None,
    running_mean: Tensor | None,
    running_var: Tensor | None,
    training: bool,
    momentum: float,
    eps: float,
) -> Three:
    """`batch_norm`, and in training the batch's means and 1 / sqrt(var + eps), else two empty
    tensors."""
    made = batch_norm(input, running_mean, running_var, weight, bias, training, momentum, eps)
    if not training:
        return made, ig.zeros((0,), dtype=input.dtype), ig.zeros((0,), dtype=input.dtype)
    with entered("native_batch_norm"):
        dims = tuple(k for k in range(input.ndim) if k != 1)
        mean, scale = _statistics(input, dims, eps)
        return made, mean.reshape(-1), scale.reshape(-1)


def native_batch_norm_legit(
    input: Tensor,
    weight: Tensor | None,
    bias: Tensor | None,
    *rest: Any,
    **named: Any,
) -> Three:
    """`native_batch_norm`; without running statistics when called as (input, weight, bias,
    training, momentum, eps)."""
    if len(rest) == 3 and not named:
        rest = (None, None, *rest)
    return native_batch_norm(input, weight, bias, *rest, **named)


def batch_norm_with_update(
    input: Tensor,
    weight: Tensor | None,
    bias: Tensor | None,
    running_mean: Tensor,
    running_var: Tensor,
    momentum: float,
    eps: float,
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """`native_batch_norm` in training, and a reserved empty tensor."""
    made = native_batch_norm(input, weight, bias, running_mean, running_var, True, momentum, eps)
    return *made, ig.zeros((0,), dtype=ig.uint8)


def native_dropout_backward(grad_output: Tensor, mask: Tensor, scale: float) -> Tensor:
    """The derivative of dropout: grad_output * mask * scale."""
    return grad_output * mask.to(grad_output.dtype) * scale


def softmax_backward_data(
    grad_output: Tensor, output: Tensor, dim: int, input_dtype: DType
) -> Tensor:
    """The derivative of softmax by its output: output * (grad - sum(grad * output))."""
    grad, y = (x.float() if x.dtype.size < 4 else x for x in (grad_output, output))
    along = ig.sum(grad * y, dim, keepdim=True)
    return ((grad - along) * y).to(input_dtype)


_native_batch_norm_legit = native_batch_norm_legit
_batch_norm_with_update = batch_norm_with_update
_softmax_backward_data = softmax_backward_data
