"""Folding a batch norm in evaluation mode into the layer before it."""

from __future__ import annotations

import copy
from typing import Any

import intaglio as ig
from intaglio._tensor import Parameter, Tensor
from intaglio.compiler.errors import ArgumentError
from intaglio.nn._module import Module

__all__ = [
    "fuse_conv_bn_eval",
    "fuse_conv_bn_weights",
    "fuse_linear_bn_eval",
    "fuse_linear_bn_weights",
]


def fuse_conv_bn_weights(
    conv_w: Tensor,
    conv_b: Tensor | None,
    bn_rm: Tensor,
    bn_rv: Tensor,
    bn_eps: float,
    bn_w: Tensor | None,
    bn_b: Tensor | None,
    transpose: bool = False,
) -> tuple[Parameter, Parameter]:
    """Weight and bias of the one layer that does what a convolution with these does before a batch
    norm with this mean, variance, eps, weight and bias."""
    with ig.no_grad():
        bias = ig.zeros_like(bn_rm) if conv_b is None else conv_b
        scale = ig.rsqrt(bn_rv + bn_eps) * (ig.ones_like(bn_rm) if bn_w is None else bn_w)
        shape = [1] * conv_w.ndim
        shape[1 if transpose else 0] = -1
        weight = conv_w * scale.reshape(shape).to(conv_w.dtype)
        shift = ig.zeros_like(bn_rm) if bn_b is None else bn_b
        made = ((bias - bn_rm) * scale + shift).to(bias.dtype)
    wants = conv_w.requires_grad
    bias_wants = wants if conv_b is None else conv_b.requires_grad
    return Parameter(weight, requires_grad=wants), Parameter(made, requires_grad=bias_wants)


def _fused(layer: Any, bn: Any, transpose: bool) -> Any:
    if layer.training or bn.training:
        raise ArgumentError("fusion of a batch norm: call eval() on both modules first")
    if bn.running_mean is None or bn.running_var is None:
        raise ArgumentError("fusion of a batch norm: it has no running statistics")
    made = copy.deepcopy(layer)
    made.weight, made.bias = fuse_conv_bn_weights(
        made.weight, made.bias, bn.running_mean, bn.running_var, bn.eps, bn.weight, bn.bias,
        transpose,
    )  # fmt: skip
    return made


def fuse_conv_bn_eval(conv: Module, bn: Module, transpose: bool = False) -> Module:
    """A convolution that does what `bn(conv(x))` does, both in evaluation mode; `transpose` for
    transposed ones. Equal up to rounding."""
    made: Module = _fused(conv, bn, transpose)
    return made


def fuse_linear_bn_weights(
    linear_w: Tensor,
    linear_b: Tensor | None,
    bn_rm: Tensor,
    bn_rv: Tensor,
    bn_eps: float,
    bn_w: Tensor | None,
    bn_b: Tensor | None,
) -> tuple[Parameter, Parameter]:
    """As `fuse_conv_bn_weights`, for a linear layer."""
    return fuse_conv_bn_weights(linear_w, linear_b, bn_rm, bn_rv, bn_eps, bn_w, bn_b)


def fuse_linear_bn_eval(linear: Module, bn: Module) -> Module:
    """A linear layer that does what `bn(linear(x))` does, both in evaluation mode."""
    features: Any = linear.out_features
    if bn.num_features not in (features, 1):
        raise ArgumentError(
            f"fuse_linear_bn_eval: {features} features of the layer and {bn.num_features} of the"
            " batch norm differ"
        )
    made: Module = _fused(linear, bn, False)
    return made
