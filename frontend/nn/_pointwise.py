"""Activation functions: one element in, one element out, with torch's values and derivatives at the
kinks.

A piecewise function is written as a choice between its pieces, so that its derivative is that of
the piece that holds the element: at a kink the side named in the docstring."""

from __future__ import annotations

import math
from collections.abc import Callable

import intaglio as ig
from intaglio._halves import rounded_once
from intaglio._scope import entered
from intaglio._tensor import Tensor
from intaglio.compiler.errors import ArgumentError, DTypeError, ShapeError
from intaglio.nn import _smooth

SELU_ALPHA = 1.6732632423543772848170429916717
SELU_SCALE = 1.0507009873554804934193349852946
"""The fixed point at mean 0 and variance 1 (Klambauer et al. 2017)."""


def floating(name: str, *tensors: Tensor | None) -> None:
    """Refuse operands that are not floating-point."""
    for x in tensors:
        if x is not None and x.dtype.kind != "f":
            raise DTypeError(
                f"{name}: {x._kind}: a floating-point dtype is wanted; convert with x.float()"
            )


def result(input: Tensor, value: Tensor, inplace: bool) -> Tensor:
    """The value, written into the input if `inplace`."""
    return input.copy_(value) if inplace else value


def _snapshot(input: Tensor, inplace: bool) -> Tensor:
    """The input, or a copy where it is written over and the derivative will read it."""
    kept = inplace and input.requires_grad and ig.is_grad_enabled()
    return input.clone() if kept else input


# ------------------------------------------------------------------------------------------- pieces


def relu(input: Tensor, inplace: bool = False) -> Tensor:
    """max(x, 0); the derivative at 0 is 0."""
    _no_bools("relu", input)
    return result(input, ig.relu(input), inplace)


def _no_bools(name: str, x: Tensor) -> None:
    if x.dtype is ig.bool:
        raise DTypeError(f"{name}: {x._kind}: bools are not taken; convert with x.float()")


def hardtanh(
    input: Tensor, min_val: float = -1.0, max_val: float = 1.0, inplace: bool = False
) -> Tensor:
    """x limited to min_val .. max_val; the derivative is 1 strictly between them."""
    _no_bools("hardtanh", input)
    if min_val > max_val:
        raise ArgumentError(f"hardtanh: min_val {min_val} is above max_val {max_val}")
    if input.dtype.kind == "u" and min_val < 0:
        raise DTypeError(f"hardtanh: {input._kind}: the limit {min_val} is negative")
    if input.dtype.kind in "iu":
        min_val, max_val = int(min_val), int(max_val)
    with entered("hardtanh"):
        low, high = ig.full_like(input, min_val), ig.full_like(input, max_val)
        made = ig.where(input <= low, low, ig.where(input >= high, high, input))
    return result(input, made, inplace)


def relu6(input: Tensor, inplace: bool = False) -> Tensor:
    """min(max(x, 0), 6); the derivative at 0 and 6 is 0."""
    return hardtanh(input, 0.0, 6.0, inplace)


def threshold(input: Tensor, threshold: float, value: float, inplace: bool = False) -> Tensor:
    """x where x > threshold, else `value`."""
    _no_bools("threshold", input)
    with entered("threshold"):
        made = ig.where(input <= threshold, ig.full_like(input, value), input)
    return result(input, made, inplace)


def leaky_relu(input: Tensor, negative_slope: float = 0.01, inplace: bool = False) -> Tensor:
    """x for x > 0, else negative_slope * x."""
    floating("leaky_relu", input)
    with entered("leaky_relu"):
        return result(input, ig.where(input > 0, input, input * negative_slope), inplace)


def prelu(input: Tensor, weight: Tensor) -> Tensor:
    """x for x > 0, else weight * x (He et al. 2015). weight: one number ([] or [1]), or one for
    each channel (dimension 1): [c]."""
    floating("prelu", input, weight)
    if weight.dtype is not input.dtype:
        raise DTypeError(f"prelu: {input._kind} and the weight {weight._kind} differ in dtype")
    if weight.ndim > 1:
        raise ShapeError(f"prelu: the weight {weight._kind} has more than one dimension")
    if weight.ndim == 1 and weight.shape[0] != 1:
        channels = input.shape[1] if input.ndim > 1 else 1
        if input.ndim == 0 or weight.shape[0] != channels:
            raise ShapeError(
                f"prelu: {input._kind}: the weight {weight._kind} is not one for each of"
                f" {channels} channels"
            )
        weight = weight.reshape(-1, *(1,) * (input.ndim - 2))
    elif weight.ndim == 1 and input.ndim == 0:
        weight = weight.reshape(())
    with entered("prelu"):
        return ig.where(input > 0, input, weight * input)


def rrelu(
    input: Tensor,
    lower: float = 1.0 / 8,
    upper: float = 1.0 / 3,
    training: bool = False,
    inplace: bool = False,
) -> Tensor:
    """x for x > 0, else a * x, a being drawn from lower .. upper for each element in training and
    their mean otherwise (Xu et al. 2015)."""
    floating("rrelu", input)
    if not (math.isfinite(lower) and math.isfinite(upper)):
        raise ArgumentError(f"rrelu: the limits {lower} and {upper} are finite numbers")
    if lower > upper:
        raise ArgumentError(f"rrelu: the lower limit {lower} is above the upper one {upper}")
    if not training:
        return leaky_relu(input, (lower + upper) / 2, inplace)
    with entered("rrelu"):
        slope = ig.rand(input.shape, dtype=input.dtype, device=input.device)
        slope = slope * (upper - lower) + lower
        return result(input, ig.where(input > 0, input, input * slope), inplace)


def hardshrink(input: Tensor, lambd: float = 0.5) -> Tensor:
    """0 for |x| <= lambd, else x."""
    floating("hardshrink", input)
    with entered("hardshrink"):
        inside = (input >= -lambd) & (input <= lambd)
        return ig.where(inside, 0.0, input)


@rounded_once
def softshrink(input: Tensor, lambd: float = 0.5) -> Tensor:
    """x drawn towards 0 by lambd, and 0 for |x| <= lambd."""
    floating("softshrink", input)
    if lambd < 0:
        raise ArgumentError(f"softshrink: lambd is 0 or more, not {lambd}")
    with entered("softshrink"):
        moved = ig.where(input > 0, input - lambd, input + lambd)
        inside = (input >= -lambd) & (input <= lambd)
        return ig.where(inside, 0.0, moved)


def hardsigmoid(input: Tensor, inplace: bool = False) -> Tensor:
    """0 for x <= -3, 1 for x >= 3, x / 6 + 1 / 2 between (Howard et al. 2019)."""
    floating("hardsigmoid", input)
    with entered("hardsigmoid"):
        made = ig.where(input <= -3.0, 0.0, ig.where(input >= 3.0, 1.0, (input + 3.0) / 6.0))
        return result(input, made, inplace)


def hardswish(input: Tensor, inplace: bool = False) -> Tensor:
    """0 for x <= -3, x for x >= 3, x (x + 3) / 6 between (Howard et al. 2019)."""
    floating("hardswish", input)
    with entered("hardswish"):
        x = _snapshot(input, inplace)
        between = x * (x + 3.0) / 6.0
        made = ig.where(x <= -3.0, 0.0, ig.where(x >= 3.0, x, between))
        return result(input, made, inplace)


# ------------------------------------------------------------------------------------- exponentials


@rounded_once
def _exponential(x: Tensor, alpha: float, scale: float, input_scale: float) -> Tensor:
    """scale * x for x > 0, else scale * alpha * (exp(input_scale * x) - 1)."""
    low = ig.expm1(ig.where(x > 0, 0.0, x) * input_scale) * (alpha * scale)
    return ig.where(x > 0, x * scale, low)


def elu(input: Tensor, alpha: float = 1.0, inplace: bool = False) -> Tensor:
    """x for x > 0, else alpha * (exp(x) - 1) (Clevert et al. 2016)."""
    floating("elu", input)
    with entered("elu"):
        return result(input, _exponential(input, alpha, 1.0, 1.0), inplace)


def selu(input: Tensor, inplace: bool = False) -> Tensor:
    """elu scaled so that mean 0 and variance 1 stay as they are (Klambauer et al. 2017)."""
    floating("selu", input)
    with entered("selu"):
        return result(input, _exponential(input, SELU_ALPHA, SELU_SCALE, 1.0), inplace)


def celu(input: Tensor, alpha: float = 1.0, inplace: bool = False) -> Tensor:
    """x for x > 0, else alpha * (exp(x / alpha) - 1) (Barron 2017)."""
    floating("celu", input)
    if alpha == 0:
        raise ArgumentError("celu: alpha is 0")
    with entered("celu"):
        return result(input, _exponential(input, alpha, 1.0, 1.0 / alpha), inplace)


@rounded_once
def softplus(input: Tensor, beta: float = 1.0, threshold: float = 20.0) -> Tensor:
    """log(1 + exp(beta x)) / beta; x itself where beta x > threshold."""
    floating("softplus", input)
    with entered("softplus"):
        scaled = input * beta
        high = scaled > threshold
        return ig.where(high, input, ig.log1p(ig.exp(ig.where(high, 0.0, scaled))) / beta)


@rounded_once
def logsigmoid(input: Tensor) -> Tensor:
    """log(sigmoid(x)), without overflow."""
    floating("logsigmoid", input)
    with entered("logsigmoid"):
        low = ig.minimum(input, ig.zeros_like(input))
        return low - ig.log1p(ig.exp(-ig.abs(input)))


def sigmoid(input: Tensor) -> Tensor:
    """1 / (1 + exp(-x))."""
    return ig.sigmoid(input)


def tanh(input: Tensor) -> Tensor:
    """The hyperbolic tangent."""
    return ig.tanh(input)


@rounded_once
def tanhshrink(input: Tensor) -> Tensor:
    """x - tanh(x)."""
    return input - ig.tanh(input)


@rounded_once
def softsign(input: Tensor) -> Tensor:
    """x / (1 + |x|)."""
    return input / (ig.abs(input) + 1)


# -------------------------------------------------------------------------------------------- gates


def gelu(input: Tensor, approximate: str = "none") -> Tensor:
    """x * Phi(x), Phi being the standard normal distribution; `approximate="tanh"` uses Hendrycks
    and Gimpel's formula."""
    if approximate not in ("none", "tanh"):
        raise ArgumentError(f"gelu: approximate is 'none' or 'tanh', not {approximate!r}")
    floating("gelu", input)
    with entered("gelu"):
        made: Tensor = (_smooth.gelu if approximate == "none" else _smooth.gelu_tanh)(input)
        return made


def silu(input: Tensor, inplace: bool = False) -> Tensor:
    """x * sigmoid(x)."""
    floating("silu", input)
    with entered("silu"):
        return result(input, _smooth.silu(_snapshot(input, inplace)), inplace)


def mish(input: Tensor, inplace: bool = False) -> Tensor:
    """x * tanh(log(1 + exp(x))) (Misra 2019)."""
    floating("mish", input)
    with entered("mish"):
        return result(input, _smooth.mish(_snapshot(input, inplace)), inplace)


@rounded_once
def glu(input: Tensor, dim: int = -1) -> Tensor:
    """a * sigmoid(b), a and b being the halves of the input along `dim` (Dauphin et al. 2017)."""
    floating("glu", input)
    if input.ndim == 0:
        raise ShapeError("glu: a tensor without dimensions has no halves")
    size = input.shape[dim]
    if isinstance(size, int) and size % 2:
        raise ShapeError(f"glu: {input._kind}: the size {size} of dim {dim} is not even")
    with entered("glu"):
        first, gate = input.narrow(dim, 0, size // 2), input.narrow(dim, size // 2, size // 2)
        return first * ig.sigmoid(gate)


# ----------------------------------------------------------------------------------------- in place


def _in_place(function: Callable[..., Tensor]) -> Callable[..., Tensor]:
    """The function that writes its result into its operand."""

    def call(input: Tensor, *args: object, **kwargs: object) -> Tensor:
        return input.copy_(function(input, *args, **kwargs))

    call.__name__ = call.__qualname__ = function.__name__ + "_"
    call.__doc__ = f"`{function.__name__}`, written into the input."
    return call


relu_ = _in_place(relu)
elu_ = _in_place(elu)
selu_ = _in_place(selu)
celu_ = _in_place(celu)
rrelu_ = _in_place(rrelu)
leaky_relu_ = _in_place(leaky_relu)
hardtanh_ = _in_place(hardtanh)
threshold_ = _in_place(threshold)
