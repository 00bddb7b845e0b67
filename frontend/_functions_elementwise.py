"""Elementwise arithmetic and functions of real numbers, with torch's names and dtype rules."""

from __future__ import annotations

import builtins
import math
from collections.abc import Callable
from typing import Any

from intaglio._apply import apply, binary, full, one, unary
from intaglio._composite import as_one_of
from intaglio._core import Tensor
from intaglio._custom import custom_vjp
from intaglio._halves import rounded_once
from intaglio._promote import (
    as_tensor_like,
    cast,
    check_numbers,
    common,
    expand_to,
    float_dtype,
    into,
    pair,
    result_type,
    to_float,
    wrapped,
)
from intaglio.compiler.dtypes import DType, boolean, int64
from intaglio.compiler.errors import ArgumentError, DTypeError

Unary = Callable[..., Tensor]


def _named(function: Unary, name: str, text: str) -> Unary:
    function.__name__ = function.__qualname__ = name
    function.__doc__ = text
    return function


def real_function(op: str, text: str, name: str = "") -> Unary:
    """A function of real numbers: integers become the default float dtype."""

    def call(input: Tensor, *, out: Tensor | None = None) -> Tensor:
        x = input
        if not isinstance(x, Tensor) or x._kind.dtype.kind != "f":
            x = to_float(x)
        made = unary(op, x)
        return made if out is None else into(out, made)

    return _named(call, name or op, text)


exp = real_function("exp", "e to the power of x.")
exp2 = real_function("exp2", "2 to the power of x.")
expm1 = real_function("expm1", "exp(x) - 1, accurate near 0.")
log = real_function("log", "The natural logarithm.")
log2 = real_function("log2", "The logarithm to base 2.")
log10 = real_function("log10", "The logarithm to base 10.")
log1p = real_function("log1p", "log(1 + x), accurate near 0.")
sqrt = real_function("sqrt", "The square root.")
rsqrt = real_function("rsqrt", "1 / sqrt(x).")
sin = real_function("sin", "The sine of radians.")
cos = real_function("cos", "The cosine of radians.")
tan = real_function("tan", "The tangent of radians.")
tanh = real_function("tanh", "The hyperbolic tangent.")
sinh = real_function("sinh", "The hyperbolic sine.")
cosh = real_function("cosh", "The hyperbolic cosine.")
asin = real_function("asin", "The arc sine, in radians.")
acos = real_function("acos", "The arc cosine, in radians.")
atan = real_function("atan", "The arc tangent, in radians.")
sigmoid = real_function("sigmoid", "1 / (1 + exp(-x)).")
erf = real_function("erf", "The error function.")
erfc = real_function("erfc", "1 - erf(x), accurate where it is small.")
reciprocal = real_function("recip", "1 / x.", "reciprocal")
arcsin, arccos, arctan = asin, acos, atan


def _whole(op: str, text: str) -> Unary:
    def call(input: Tensor, *, out: Tensor | None = None) -> Tensor:
        made = input.clone() if input.dtype.kind in "iu" else apply(op, (input,))[0]
        return made if out is None else into(out, made)

    return _named(call, op, text)


floor = _whole("floor", "The largest whole number that is not above x; integers stay.")
ceil = _whole("ceil", "The smallest whole number that is not below x; integers stay.")
trunc = fix = _whole("trunc", "x without its fraction; integers stay.")


def round(input: Tensor, *, decimals: int = 0) -> Tensor:
    """x rounded to `decimals` places, halves to even."""
    if input.dtype.kind != "f":
        return input.clone()
    if decimals == 0:
        return apply("round", (input,))[0]
    scale = full(10.0 ** builtins.abs(decimals), input._kind)
    up, down = ("mul", "div") if decimals > 0 else ("div", "mul")
    whole = apply("round", (apply(up, (input, scale))[0],))[0]
    return apply(down, (whole, scale))[0]


def neg(input: Tensor) -> Tensor:
    """-x."""
    if input.dtype is boolean:
        raise DTypeError("neg: a bool has no negative; use ~x or logical_not")
    return apply("neg", (input,))[0]


negative = neg


def positive(input: Tensor) -> Tensor:
    """x itself."""
    return input


def abs(input: Tensor) -> Tensor:
    """|x|; the derivative at 0 is 0."""
    if input.dtype.kind in "bu":
        return input.clone()
    return apply("abs", (input,))[0]


absolute = abs


def sign(input: Tensor) -> Tensor:
    """-1, 0 or 1."""
    if input.dtype is boolean:
        return input.clone()
    return apply("sign", (input,))[0]


sgn = sign


def square(input: Tensor) -> Tensor:
    """x * x; of bools in int64."""
    x = cast(input, int64) if input.dtype is boolean else input
    return mul(x, x)


def _rectified(x: Tensor) -> Tensor:
    return _passed(x, x)


def _passed(x: Tensor, y: Tensor) -> Tensor:
    """y, but 0 where x <= 0."""
    zero = full(0, x._kind)
    return apply("where", (apply("le", (x, zero))[0], zero, y))[0]


def _rectified_backward(
    xs: tuple[Tensor, ...], ys: tuple[Tensor, ...], dys: tuple[Tensor, ...]
) -> tuple[Tensor]:
    return (_passed(ys[0], dys[0]),)  # the result tells as much as x, which may be overwritten


@as_one_of(custom_vjp(_rectified, _rectified_backward, "relu"))
def relu(input: Tensor) -> Tensor:
    """max(x, 0); the derivative at 0 is 0, and NaN stays NaN."""
    return _rectified(input)


def frac(input: Tensor) -> Tensor:
    """The fraction of x, with its sign."""
    return input - trunc(input)


# ------------------------------------------------------------------------------------- two operands


def _scaled(input: Any, other: Any, alpha: Any) -> Any:
    """alpha * other, in the dtype that it has with input."""
    if not isinstance(other, Tensor):
        return other * alpha
    wide = result_type(input, other)
    if wide is boolean and isinstance(alpha, bool | int):
        alpha = bool(alpha)  # as torch has it for True and 2; the sum of bools is a bool
    return mul(cast(other, wide), alpha)


def add(input: Any, other: Any, *former: Any, alpha: Any = 1, out: Tensor | None = None) -> Tensor:
    """input + alpha * other. torch's former order, (input, alpha, other), is understood."""
    if former:
        (alpha, other) = (other, *former)
    if isinstance(alpha, Tensor) or alpha != 1:
        other = _scaled(input, other, alpha)
    a, b = input, other
    if not (isinstance(a, Tensor) and isinstance(b, Tensor) and a._kind is b._kind):
        a, b = pair("add", input, other)
    made = binary("or" if a._kind.dtype is boolean else "add", a, b)
    return made if out is None else into(out, made)


def sub(input: Any, other: Any, *former: Any, alpha: Any = 1, out: Tensor | None = None) -> Tensor:
    """input - alpha * other. torch's former order, (input, alpha, other), is understood."""
    if former:
        (alpha, other) = (other, *former)
    if isinstance(alpha, Tensor) or alpha != 1:
        other = _scaled(input, other, alpha)
    a, b = input, other
    if not (isinstance(a, Tensor) and isinstance(b, Tensor) and a._kind is b._kind):
        a, b = pair("sub", input, other)
    if a._kind.dtype is boolean:
        raise DTypeError("sub: bools are not subtracted; use ^ or logical_xor")
    made = binary("sub", a, b)
    return made if out is None else into(out, made)


subtract = sub


def rsub(input: Any, other: Any, *, alpha: Any = 1) -> Tensor:
    """other - alpha * input."""
    check_numbers("rsub", (input, other), "second")
    return sub(other, input, alpha=alpha)


def mul(input: Any, other: Any, *, out: Tensor | None = None) -> Tensor:
    """input * other."""
    a, b = input, other
    if not (isinstance(a, Tensor) and isinstance(b, Tensor) and a._kind is b._kind):
        a, b = pair("mul", input, other)
    made = binary("and" if a._kind.dtype is boolean else "mul", a, b)
    return made if out is None else into(out, made)


multiply = mul


def div(
    input: Any, other: Any, *, rounding_mode: str | None = None, out: Tensor | None = None
) -> Tensor:
    """input / other; integers become floats. `rounding_mode` "floor" rounds down, "trunc" towards
    zero, both keeping integers."""
    if rounding_mode is None:
        a, b = input, other
        if not (isinstance(a, Tensor) and isinstance(b, Tensor) and a._kind is b._kind):
            a, b = pair("div", input, other)
        if a._kind.dtype.kind != "f":
            a, b = to_float(a), to_float(b)
        made = binary("div", a, b)
    elif rounding_mode == "floor":
        made = floor_divide(input, other)
    elif rounding_mode == "trunc":
        a, b = pair("div", input, other)
        if a.dtype.kind == "f":
            made = trunc(apply("div", (a, b))[0])
        else:
            made = floor_divide(abs(a), abs(b)) * (sign(a) * sign(b))
    else:
        raise ArgumentError(
            f"div: rounding_mode is None, 'floor' or 'trunc', not {rounding_mode!r}"
        )
    return made if out is None else into(out, made)


divide = div


def true_divide(input: Any, other: Any) -> Tensor:
    """input / other; integers become floats."""
    return div(input, other)


def floor_divide(input: Any, other: Any) -> Tensor:
    """The quotient rounded down."""
    a, b = pair("floor_divide", input, other)
    return apply("floordiv", (a, b))[0]


def remainder(input: Any, other: Any) -> Tensor:
    """The remainder with the sign of the divisor, as Python's `%`."""
    a, b = pair("remainder", input, other, numbers="one")
    return apply("floormod", (a, b))[0]


def fmod(input: Any, other: Any) -> Tensor:
    """The remainder with the sign of the dividend, as C's fmod."""
    a, b = pair("fmod", input, other, numbers="second")
    if a.dtype.kind == "u":
        return apply("floormod", (a, b))[0]
    if a.dtype.kind == "f":  # by the magnitude, which has the derivatives of a - b trunc(a / b)
        size = abs(b)
        below = neg(apply("floormod", (neg(a), size))[0])
        negative = copysign(full(1, a._kind), a.detach()) < 0
        return apply("where", (negative, below, apply("floormod", (a, size))[0]))[0]
    rest = apply("floormod", (a, b))[0]
    other_sign = apply("and", (rest != 0, (a < 0) != (b < 0)))[0]
    return apply("where", (other_sign, rest - b, rest))[0]


def pow(input: Any, exponent: Any, *, out: Tensor | None = None) -> Tensor:
    """input to the power of exponent."""
    made = _pow(input, exponent)
    return made if out is None else into(out, made)


def _pow(input: Any, exponent: Any) -> Tensor:
    if isinstance(input, Tensor) and isinstance(exponent, int | float) and exponent in (1, 2, 3):
        power = int(exponent)
        if isinstance(exponent, float):
            input = to_float(input)
        if input.dtype is not boolean:
            squared = mul(input, input)
            return input.clone() if power == 1 else squared if power == 2 else mul(squared, input)
    if isinstance(input, Tensor) and isinstance(exponent, float) and exponent == 0.5:
        return sqrt(input)
    a, b = pair("pow", input, exponent, numbers="one")
    if a.dtype.kind in "iu":
        if isinstance(exponent, int) and exponent < 0:
            raise ArgumentError("pow: integers to negative integer powers are not integers")
        return _integer_pow(a, b)
    return apply("pow", (a, b))[0]


def _integer_pow(base: Tensor, exponent: Tensor) -> Tensor:
    """By squaring, bit by bit; to negative powers only 1 and -1 give integers, the others 0."""
    units, last = base, exponent
    result = full(1, base._kind)
    bit = full(1, base._kind)
    for _ in range(base.dtype.size * 8 - (base.dtype.kind == "i")):
        odd = apply("ne", (apply("and", (exponent, bit))[0], full(0, base._kind)))[0]
        result = apply("where", (odd, apply("mul", (result, base))[0], result))[0]
        base = apply("mul", (base, base))[0]
        exponent = apply("shr", (exponent, bit))[0]
    if units.dtype.kind == "u":
        return result
    turned = where((last & 1) == 1, units, units * units)
    return where(last < 0, where(abs(units) == 1, turned, 0), result)


def float_power(input: Any, exponent: Any) -> Tensor:
    """The power computed in float64."""
    from intaglio.compiler.dtypes import float64

    a, b = pair("float_power", input, exponent, float64, "one")
    return apply("pow", (a, b))[0]


def atan2(input: Any, other: Any) -> Tensor:
    """The angle of the point (other, input), in radians."""
    dtype = float_dtype(result_type(wrapped(input), wrapped(other)))
    a, b = pair("atan2", input, other, dtype, "none")
    return apply("atan2", (a, b))[0]


arctan2 = atan2


def copysign(input: Any, other: Any) -> Tensor:
    """|input| with the sign of other."""
    dtype = float_dtype(result_type(wrapped(input), wrapped(other)))
    a, b = pair("copysign", input, other, dtype, "second")
    return apply("copysign", (a, b))[0]


def _extreme(op: str, bool_op: str, a: Any, b: Any) -> Tensor:
    a, b = pair(op, a, b, numbers="none")
    return apply(bool_op if a.dtype is boolean else op, (a, b))[0]


def maximum(input: Any, other: Any) -> Tensor:
    """The larger of two; NaN if one is. Ties share the derivative."""
    return _extreme("maximum", "or", input, other)


def minimum(input: Any, other: Any) -> Tensor:
    """The smaller of two; NaN if one is. Ties share the derivative."""
    return _extreme("minimum", "and", input, other)


def fmax(input: Any, other: Any) -> Tensor:
    """The larger of two; a NaN loses against a number."""
    a, b = pair("fmax", input, other, numbers="none")
    if a.dtype.kind != "f":
        return maximum(a, b)
    chosen = apply("or", (apply("ge", (a, b))[0], apply("ne", (b, b))[0]))[0]
    return apply("where", (chosen, a, b))[0]


def fmin(input: Any, other: Any) -> Tensor:
    """The smaller of two; a NaN loses against a number."""
    a, b = pair("fmin", input, other, numbers="none")
    if a.dtype.kind != "f":
        return minimum(a, b)
    chosen = apply("or", (apply("le", (a, b))[0], apply("ne", (b, b))[0]))[0]
    return apply("where", (chosen, a, b))[0]


def where(condition: Any, input: Any = None, other: Any = None) -> Any:
    """input where the condition holds, else other; with the condition alone, `nonzero` as a
    tuple."""
    if input is None and other is None:
        from intaglio._functions_data import nonzero

        return nonzero(condition, as_tuple=True)
    from intaglio._promote import broadcast_shapes, expand_to

    if not isinstance(condition, Tensor):
        condition = as_tensor_like(condition, boolean)
    if condition.dtype is not boolean:
        condition = condition != 0
    a, b = common("where", (input, other))
    shape = broadcast_shapes(condition.shape, a.shape)
    parts = (expand_to(condition, shape), expand_to(a, shape), expand_to(b, shape))
    return apply("where", parts)[0]


def clamp(input: Tensor, min: Any = None, max: Any = None) -> Tensor:
    """input limited to min .. max; NaN stays NaN, and where a limit is NaN, the result is. The
    derivative at a limit is 1."""
    if min is None and max is None:
        raise ArgumentError("clamp: give min, max or both")
    result = input
    for limit, outside in ((min, "lt"), (max, "gt")):
        if limit is not None:
            a, b = pair("clamp", result, limit)
            limited = apply(outside, (a, b))[0]
            if b.dtype.kind == "f" and (isinstance(limit, Tensor) or limit != limit):
                # a limit of NaN gives NaN
                limited = apply("or", (limited, apply("ne", (b, b))[0]))[0]
            result = apply("where", (limited, b, a))[0]
    return result


clip = clamp


def clamp_min(input: Tensor, min: Any) -> Tensor:
    """input, at least min."""
    check_numbers("clamp_min", (input, min), "second")
    return clamp(input, min=min)


def clamp_max(input: Tensor, max: Any) -> Tensor:
    """input, at most max."""
    check_numbers("clamp_max", (input, max), "second")
    return clamp(input, max=max)


@rounded_once
def lerp(input: Tensor, end: Tensor, weight: Any) -> Tensor:
    """input + weight * (end - input), reckoned from the nearer of the two, so that the weights 0
    and 1 give input and end themselves."""
    way = sub(end, input)
    if not isinstance(weight, Tensor):
        if builtins.abs(weight) < 0.5:
            return add(input, mul(weight, way))
        return sub(end, mul(way, 1 - weight))
    early = apply("lt", pair("lerp", abs(weight.detach()), 0.5))[0]
    made, last = add(input, mul(weight, way)), sub(end, mul(way, sub(1, weight)))
    return apply("where", (expand_to(early, made.shape), made, last))[0]


@rounded_once
def addcmul(input: Tensor, tensor1: Any, tensor2: Any, *former: Tensor, value: Any = 1) -> Tensor:
    """input + value * tensor1 * tensor2. torch's former order of arguments, (input, value, tensor1,
    tensor2), is understood."""
    if former:
        (value, tensor1, tensor2) = (tensor1, tensor2, *former)
    product = mul(tensor1, tensor2)
    return add(
        input, product if not isinstance(value, Tensor) and value == 1 else mul(product, value)
    )


@rounded_once
def addcdiv(input: Tensor, tensor1: Any, tensor2: Any, *former: Tensor, value: Any = 1) -> Tensor:
    """input + value * tensor1 / tensor2. torch's former order of arguments, (input, value, tensor1,
    tensor2), is understood."""
    if former:
        (value, tensor1, tensor2) = (tensor1, tensor2, *former)
    quotient = div(tensor1, tensor2)
    return add(
        input, quotient if not isinstance(value, Tensor) and value == 1 else mul(quotient, value)
    )


def zeros_like_kind(x: Tensor) -> Tensor:
    """Zeros of the same dtype and shape, taking no memory."""
    return full(0, x._kind)


def deg2rad(input: Tensor) -> Tensor:
    """Degrees as radians."""
    return mul(to_float(input), math.pi / 180)


def rad2deg(input: Tensor) -> Tensor:
    """Radians as degrees."""
    return mul(to_float(input), 180 / math.pi)


@rounded_once
def logit(input: Tensor, eps: float | None = None) -> Tensor:
    """log(x / (1 - x)), x limited to eps .. 1 - eps when given."""
    x = to_float(input)
    if eps is not None:
        x = clamp(x, eps, 1 - eps)
    return log(div(x, sub(1, x)))


# --------------------------------------------------------------------------------- tests of a value


def isnan(input: Tensor) -> Tensor:
    """Whether each element is NaN."""
    return apply("ne", (input, input))[0]


def isinf(input: Tensor) -> Tensor:
    """Whether each element is infinite."""
    if input.dtype.kind != "f":
        return apply("ne", (input, input))[0]
    return apply("eq", (apply("abs", (input,))[0], full(math.inf, input._kind)))[0]


def isfinite(input: Tensor) -> Tensor:
    """Whether each element is neither NaN nor infinite."""
    if input.dtype.kind != "f":
        return apply("eq", (input, input))[0]
    return apply("lt", (apply("abs", (input,))[0], full(math.inf, input._kind)))[0]


def nan_to_num(
    input: Tensor, nan: float = 0.0, posinf: float | None = None, neginf: float | None = None
) -> Tensor:
    """input with NaN and the infinities replaced by numbers (the largest ones of the dtype)."""
    if input.dtype.kind != "f":
        return input.clone()
    from intaglio._dtype_names import finfo

    limits = finfo(input.dtype)
    high = limits.max if posinf is None else posinf
    low = limits.min if neginf is None else neginf
    result = where(isnan(input), nan, input)
    result = where(result == math.inf, high, result)
    return where(result == -math.inf, low, result)


def to_dtype(input: Tensor, dtype: DType) -> Tensor:
    """input in another dtype; input itself when it has it."""
    return cast(input, dtype)


def stop_gradient(input: Tensor) -> Tensor:
    """The same values, through which no derivative flows."""
    return one("stop_gradient", input)
