"""Inverse hyperbolic functions, sums of logarithms and the hypotenuse, right for the largest and
smallest operands too: none of their squares or exponentials overflows on the way."""

from __future__ import annotations

import math
from typing import Final

from intaglio._core import Tensor
from intaglio._functions_elementwise import (
    abs,
    copysign,
    exp,
    exp2,
    log,
    log1p,
    maximum,
    neg,
    sigmoid,
    sqrt,
    where,
)
from intaglio._functions_special import (
    Formula,
    Tensors,
    chosen,
    special_function,
    special_function2,
)

_LN2: Final = math.log(2.0)
_FAR: Final = 1e9
"""Beyond, x^2 + 1 is x^2 to the last digit."""


def _asinh_formula(x: Tensor) -> Tensor:
    size = abs(x)
    far = size > _FAR
    s = where(far, 1.0, size)
    near = log1p(s + s * s / (1.0 + sqrt(s * s + 1.0)))
    return copysign(where(far, log(chosen(far, size, 1.0)) + _LN2, near), x)


def _asinh_slope(x: Tensor, y: Tensor) -> Tensor:
    size = abs(x)
    far = size > _FAR
    s = where(far, 1.0, size)
    return where(far, 1.0 / chosen(far, size, 1.0), 1.0 / sqrt(s * s + 1.0))


def _acosh_formula(x: Tensor) -> Tensor:
    far = x > _FAR
    s = where(far, 1.0, x)
    near = log1p(s - 1.0 + sqrt(s - 1.0) * sqrt(s + 1.0))
    return where(far, log(chosen(far, x, 1.0)) + _LN2, near)


asinh = special_function(
    _asinh_formula, _asinh_slope, "asinh", "The inverse of sinh, accurate near 0."
)
acosh = special_function(
    _acosh_formula,
    lambda x, y: 1.0 / (sqrt(x - 1.0) * sqrt(x + 1.0)),
    "acosh",
    "The inverse of cosh, for x >= 1; NaN below.",
)
atanh = special_function(
    lambda x: 0.5 * (log1p(x) - log1p(neg(x))),
    lambda x, y: 1.0 / ((1.0 - x) * (1.0 + x)),
    "atanh",
    "The inverse of tanh, for |x| <= 1; NaN outside.",
)
arcsinh, arccosh, arctanh = asinh, acosh, atanh


# -------------------------------------------------------------------------------------- hypotenuse


def _hypot_formula(a: Tensor, b: Tensor) -> Tensor:
    """Both scaled by a power of two, which is exact, where a square would leave the range."""
    a, b = abs(a), abs(b)
    top = maximum(a, b)
    large, small = top > 2.0**500, top < 2.0**-500

    def scaled(x: Tensor) -> Tensor:
        return where(large, x * 2.0**-600, where(small, x * 2.0**600, x))

    a_, b_ = scaled(a), scaled(b)
    made = sqrt(a_ * a_ + b_ * b_)
    made = where(large, made * 2.0**600, where(small, made * 2.0**-600, made))
    return where((a == math.inf) | (b == math.inf), math.inf, made)


def _hypot_slopes(a: Tensor, b: Tensor) -> Tensors:
    """a / h and b / h; 0 at the origin (torch's choice)."""
    length = _hypot_formula(a, b)
    origin = length == 0.0
    length = where(origin, 1.0, length)
    return where(origin, 0.0, a / length), where(origin, 0.0, b / length)


hypot = special_function2(
    _hypot_formula, _hypot_slopes, "hypot", "sqrt(input^2 + other^2), without overflow.", "none"
)


# ------------------------------------------------------------------------------ sums in logarithms


def _log_sum(base: float, power: Formula, name: str, text: str) -> Formula:
    """log(base^a + base^b) to that base: the larger operand, and what the smaller adds to it."""
    scale = math.log(base)

    def formula(a: Tensor, b: Tensor) -> Tensor:
        same = a == b
        apart = where(same, 0.0, abs(a - b))
        return maximum(a, b) + log1p(power(neg(apart))) * (1.0 / scale)

    def slopes(a: Tensor, b: Tensor) -> Tensors:
        gap = where(a == b, 0.0, a - b) * scale
        return sigmoid(gap), sigmoid(neg(gap))

    return special_function2(formula, slopes, name, text, "none")


logaddexp = _log_sum(math.e, exp, "logaddexp", "log(exp(input) + exp(other)), without overflow.")
logaddexp2 = _log_sum(2.0, exp2, "logaddexp2", "log2(2^input + 2^other), without overflow.")
