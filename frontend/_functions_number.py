"""Functions of how numbers are written: neighbours, mantissas and signs of floats, divisors of
integers, and the parts that a complex number would have.

Neighbours and exponents come from the bits of the number, so they are exact."""

from __future__ import annotations

import math
from typing import Any, Final, NamedTuple

from intaglio._apply import apply, full, one
from intaglio._core import Tensor
from intaglio._custom import custom_vjp
from intaglio._functions_elementwise import (
    abs,
    copysign,
    cos,
    floor_divide,
    mul,
    pow,
    round,
    sin,
    where,
)
from intaglio._functions_scan import scan
from intaglio._functions_special import (
    Tensors,
    chosen,
    polynomial,
    special_function,
    wide,
)
from intaglio._kind import kind_of
from intaglio._promote import cast, check_numbers, into, pair, to_float, wrapped
from intaglio.compiler.dtypes import boolean, float32, float64, int16, int32, int64
from intaglio.compiler.errors import DTypeError

_WORDS: Final = {2: int16, 4: int32, 8: int64}


def _written(out: Tensor | None, made: Tensor) -> Tensor:
    return made if out is None else into(out, made)


def _float_only(name: str, dtype: Any) -> None:
    if dtype.kind != "f":
        raise DTypeError(f"{name}: {dtype} is not a floating-point dtype; cast the operands first")


# --------------------------------------------------------------------------------- bits of floats


def _nextafter_forward(a: Tensor, b: Tensor) -> Tensor:
    """The word one up or down; the sign and magnitude order of floats makes it the neighbour."""
    word = _WORDS[a.dtype.size]
    bits = one("bitcast", a, dtype=word)
    outwards = (a < b) == (a > 0)
    moved = one("bitcast", bits + where(outwards, 1, -1).to(word), dtype=a.dtype)
    smallest = one("bitcast", full(1, kind_of(word, a.shape, a._kind.place)), dtype=a.dtype)
    moved = where(a == 0, copysign(smallest, b), moved)
    return where(a == b, b, where((a != a) | (b != b), a + b, moved))


def _nextafter_backward(xs: Tensors, ys: Tensors, dys: Tensors) -> tuple[Tensor | None, ...]:
    a, b = xs
    dy = dys[0]
    return (None if dy is None else where(a == b, 0, dy)), None


_nextafter = custom_vjp(_nextafter_forward, _nextafter_backward, "nextafter")


def nextafter(input: Any, other: Any, *, out: Tensor | None = None) -> Tensor:
    """The next float after input on the way to other. The derivative by input is 1, where it
    is other 0; by other 0."""
    a, b = pair("nextafter", input, other, numbers="none")
    _float_only("nextafter", a.dtype)
    return _written(out, _nextafter(a, b))


class Frexp(NamedTuple):
    """The results of `frexp`."""

    mantissa: Tensor
    exponent: Tensor


def _exponent(x: Tensor) -> Tensor:
    """The i64 e with 0.5 <= |x| 2^-e < 1, for f64 x that is neither zero nor infinite."""
    tiny = abs(x) < 2.0**-1000
    bits = one("bitcast", where(tiny, x * 2.0**54, x), dtype=int64)
    return ((bits >> 52) & 2047) - 1022 - where(tiny, 54, 0)


def _power_of_two(e: Tensor) -> Tensor:
    """2^e in f64, for i64 e within the exponents of normal numbers."""
    return one("bitcast", (e + 1023) << 52, dtype=float64)


def frexp(input: Tensor, *, out: Any = None) -> Frexp:
    """mantissa and exponent (int32) with x = mantissa 2^exponent and 0.5 <= |mantissa| < 1; zero,
    infinities and NaN are their own mantissa."""
    _float_only("frexp", input.dtype)
    x = wide(input)
    plain = (x != 0.0) & (abs(x) < math.inf)
    e = where(plain, _exponent(chosen(plain, x, 1.0).detach()), 0)
    half = e >> 1
    mantissa = (x * _power_of_two(-half)) * _power_of_two(half - e)
    made = Frexp(cast(mantissa, input.dtype), cast(e, int32))
    return made if out is None else into(out, made)


def ldexp(input: Any, other: Any, *, out: Tensor | None = None) -> Tensor:
    """input * 2^other; with integer exponents in the dtype of a floating-point input."""
    check_numbers("ldexp", (input, other), "none")
    kept = isinstance(input, Tensor) and input.dtype.kind == "f"
    if not kept or not isinstance(other, Tensor) or other.dtype.kind == "f":
        return _written(out, mul(input, pow(2.0, other)))
    wide = float64 if input.dtype is float64 else float32
    return _written(out, cast(mul(input, pow(2.0, cast(other, wide))), input.dtype))


def signbit(input: Tensor, *, out: Tensor | None = None) -> Tensor:
    """Whether the sign is minus, also of -0 and NaN."""
    x = input.detach()
    made = copysign(full(1, x._kind), x) < 0 if x.dtype.kind == "f" else x < 0
    return _written(out, made)


# --------------------------------------------------------------------------- steps and infinities


def heaviside(input: Any, values: Any, *, out: Tensor | None = None) -> Tensor:
    """0 below 0, 1 above, `values` at 0."""
    check_numbers("heaviside", (input, values), "none")
    a, b = wrapped(input), wrapped(values)
    if a.dtype is not b.dtype:
        raise DTypeError(f"heaviside: {a._kind}, {b._kind}: the dtypes differ; cast one of them")
    a, b = pair("heaviside", a, b)
    return _written(out, where(a == 0, b, cast(a > 0, a.dtype)))


def isposinf(input: Tensor, *, out: Tensor | None = None) -> Tensor:
    """Whether each element is +inf."""
    return _written(out, input == math.inf if input.dtype.kind == "f" else input != input)


def isneginf(input: Tensor, *, out: Tensor | None = None) -> Tensor:
    """Whether each element is -inf."""
    return _written(out, input == -math.inf if input.dtype.kind == "f" else input != input)


# -------------------------------------------------------------------------------------- integers


def _divisor(a: Tensor, b: Tensor) -> Tensor:
    """Euclid's algorithm, for as many steps as the worst pair of this width takes (consecutive
    Fibonacci numbers)."""

    def step(carry: tuple[Tensor, Tensor], _: None) -> tuple[tuple[Tensor, Tensor], None]:
        a, b = carry
        done = b == 0
        rest = apply("floormod", (a, where(done, 1, b)))[0]
        return (where(done, a, b), where(done, 0, rest)), None

    steps = math.ceil(a.dtype.size * 8 / math.log2((1 + math.sqrt(5)) / 2)) + 1
    (found, _), _ = scan(step, (a, b), length=steps)
    made: Tensor = found
    return made


def _integers(name: str, input: Any, other: Any) -> tuple[Tensor, Tensor]:
    a, b = pair(name, input, other, numbers="none")
    if a.dtype.kind not in "iu":
        raise DTypeError(f"{name}: {a._kind}, {b._kind}: integers are wanted")
    return a, b


def gcd(input: Any, other: Any, *, out: Tensor | None = None) -> Tensor:
    """The greatest common divisor, never negative; gcd(0, 0) is 0."""
    a, b = _integers("gcd", input, other)
    return _written(out, abs(_divisor(abs(a), abs(b))))


def lcm(input: Any, other: Any, *, out: Tensor | None = None) -> Tensor:
    """The least common multiple, not negative unless it overflows; 0 where one of both is 0."""
    a, b = _integers("lcm", input, other)
    a, b = abs(a), abs(b)
    divisor = _divisor(a, b)
    made = floor_divide(a, where(divisor == 0, 1, divisor)) * b
    return _written(out, abs(made) if made.dtype.size >= 4 else made)


# --------------------------------------------------------------------------- parts of the numbers


def real(input: Tensor) -> Tensor:
    """The real part: the tensor itself."""
    return input


conj = resolve_conj = resolve_neg = real


def conj_physical(input: Tensor, *, out: Tensor | None = None) -> Tensor:
    """The complex conjugate: a real tensor itself."""
    return _written(out, input)


def imag(input: Tensor) -> Tensor:
    """The imaginary part, of which real tensors have none: raises `DTypeError`."""
    raise DTypeError(f"imag: {input._kind}: a real tensor has no imaginary part; use zeros_like")


def isreal(input: Tensor) -> Tensor:
    """Whether each element is real: always."""
    return full(True, kind_of(boolean, input.shape, input._kind.place))


def angle(input: Tensor, *, out: Tensor | None = None) -> Tensor:
    """0 for positive numbers and zeros, pi for negative ones, NaN for NaN."""
    x = to_float(input)
    return _written(out, where(x < 0, math.pi, where(x != x, x, 0.0)))


# ----------------------------------------------------------------------- functions of real numbers

_SINC: Final = tuple((-1.0) ** k / math.factorial(2 * k + 1) for k in range(9))
_SINC_SLOPE: Final = tuple((-1.0) ** k * 2.0 * k / math.factorial(2 * k + 1) for k in range(1, 10))


def sine_over(t: Tensor, sine: Tensor) -> Tensor:
    """sin(t) / t, by its series near 0."""
    near = abs(t) < 0.5
    small = chosen(near, t, 0.0)
    return where(near, polynomial(small * small, _SINC), sine / where(near, 1.0, t))


def sine_over_slope(t: Tensor, sine: Tensor, cosine: Tensor) -> Tensor:
    """The derivative of sin(t) / t."""
    near = abs(t) < 0.5
    small, large = chosen(near, t, 0.0), where(near, 1.0, t)
    series = small * polynomial(small * small, _SINC_SLOPE)
    return where(near, series, (cosine - sine / large) / large)


def _turned(x: Tensor) -> tuple[Tensor, Tensor]:
    """sin(pi x) and cos(pi x), the whole turns taken off first."""
    rest = math.pi * (x - 2.0 * round(x * 0.5))
    return sin(rest), cos(rest)


def _sinc_formula(x: Tensor) -> Tensor:
    return sine_over(math.pi * x, _turned(x)[0])


def _sinc_slope(x: Tensor, y: Tensor) -> Tensor:
    return math.pi * sine_over_slope(math.pi * x, *_turned(x))


sinc = special_function(_sinc_formula, _sinc_slope, "sinc", "sin(pi x) / (pi x), 1 at 0.")
