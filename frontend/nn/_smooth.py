"""gelu, silu and mish, with their derivatives stated as one factor f'(x).

Derived op by op, the incoming derivative would be multiplied into every term of f'. As one factor
that depends on x alone, a compiled training step computes it beside f(x), keeps that one array, and
multiplies it into the product that brings the derivative."""

from __future__ import annotations

import math

import intaglio as ig
from intaglio._composite import as_one
from intaglio._halves import rounded_once
from intaglio._tensor import Tensor

Tensors = tuple[Tensor, ...]

CUBIC = 0.044715
"""The weight of x^3 in Hendrycks and Gimpel's formula ("Gaussian error linear units", 2016)."""


def _phi(x: Tensor) -> Tensor:
    """The standard normal distribution function."""
    return 0.5 * (1.0 + ig.erf(x * math.sqrt(0.5)))


def _gelu_forward(x: Tensor) -> Tensor:
    return x * _phi(x)


def _gelu_backward(xs: Tensors, ys: Tensors, dys: Tensors) -> Tensors:
    (x,) = xs
    density = ig.exp(x * x * -0.5) * (1.0 / math.sqrt(2.0 * math.pi))
    return (dys[0] * (_phi(x) + x * density),)


def _bent(x: Tensor) -> Tensor:
    """tanh of the cubic that stands for the distribution function."""
    return ig.tanh(math.sqrt(2.0 / math.pi) * (x + CUBIC * x * x * x))


def _gelu_tanh_forward(x: Tensor) -> Tensor:
    return 0.5 * x * (1.0 + _bent(x))


def _gelu_tanh_backward(xs: Tensors, ys: Tensors, dys: Tensors) -> Tensors:
    (x,) = xs
    bent = _bent(x)
    slope = math.sqrt(2.0 / math.pi) * (1.0 + 3.0 * CUBIC * x * x)
    return (dys[0] * (0.5 * (1.0 + bent) + 0.5 * x * (1.0 - bent * bent) * slope),)


def _silu_forward(x: Tensor) -> Tensor:
    return x * ig.sigmoid(x)


def _silu_backward(xs: Tensors, ys: Tensors, dys: Tensors) -> Tensors:
    (x,) = xs
    gate = ig.sigmoid(x)
    return (dys[0] * (gate + x * gate * (1.0 - gate)),)


def _gate(x: Tensor) -> Tensor:
    """tanh(log(1 + exp(x))), without overflow."""
    return ig.tanh(ig.relu(x) + ig.log1p(ig.exp(-ig.abs(x))))


def _mish_forward(x: Tensor) -> Tensor:
    return x * _gate(x)


def _mish_backward(xs: Tensors, ys: Tensors, dys: Tensors) -> Tensors:
    (x,) = xs
    gate = _gate(x)
    return (dys[0] * (gate + x * ig.sigmoid(x) * (1.0 - gate * gate)),)


gelu = as_one(rounded_once(ig.custom_vjp(_gelu_forward, _gelu_backward)))
gelu_tanh = as_one(rounded_once(ig.custom_vjp(_gelu_tanh_forward, _gelu_tanh_backward)))
silu = as_one(rounded_once(ig.custom_vjp(_silu_forward, _silu_backward)))
mish = as_one(rounded_once(ig.custom_vjp(_mish_forward, _mish_backward)))
