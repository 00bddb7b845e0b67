"""The gamma function's family: lgamma, digamma, polygamma, mvlgamma and the Hurwitz zeta function.

Each moves its operand up by a fixed number of steps of its recurrence (only where it is small) and
evaluates an asymptotic series there: Stirling's (Abramowitz & Stegun 6.1.40, 6.3.18) or the
Euler-Maclaurin formula. lgamma below 2.5 is a polynomial fitted on [1.5, 2.5] that keeps its zeros
at 1 and 2. Negative operands are reflected."""

from __future__ import annotations

import math
from typing import Any, Final

from intaglio._core import Tensor
from intaglio._custom import custom_vjp
from intaglio._functions_elementwise import (
    abs,
    isnan,
    log,
    log1p,
    neg,
    pow,
    round,
    sin,
    tan,
    where,
)
from intaglio._functions_special import (
    Tensors,
    bernoulli,
    chosen,
    derivative,
    polynomial,
    special_function,
    special_function2,
    wide,
)
from intaglio._promote import cast, into, to_float
from intaglio.compiler.errors import ArgumentError

_NEAR_TWO: Final = (
    0.42278433509846713, -0.10031730167435295, 0.032965000621155365, -0.012384192193557483,
    0.0049986411647860145, -0.002108130823558287, 0.0009153769172984289, -0.00040570765763136185,
    0.0001825527629932707, -8.309168562292713e-05, 3.816725026393927e-05, -1.7687365455833844e-05,
    8.23442698211927e-06, -3.7391345521062504e-06, 1.7565689313670544e-06,
    -1.0890003469827692e-06, 5.161350361319683e-07,
)  # fmt: skip
"""log gamma(2 + t) / (t (t + 1)) in powers of t, interpolated on [-0.5, 0.5]."""

_HALF_LOG_2PI: Final = 0.5 * math.log(2.0 * math.pi)
STIRLING: Final = tuple(float(bernoulli(2 * k) / (2 * k * (2 * k - 1))) for k in range(1, 11))
_DIGAMMA: Final = tuple(float(-bernoulli(2 * k) / (2 * k)) for k in range(1, 12))
_EULER_MACLAURIN: Final = tuple(
    float(bernoulli(2 * k) / math.factorial(2 * k)) for k in range(1, 13)
)
_DIRECT: Final = 8
"""Terms of the zeta function that are summed before the Euler-Maclaurin formula takes the rest."""


# ------------------------------------------------------------------------------------ log of gamma


def _small(a: Tensor) -> Tensor:
    """log gamma(a) for 0 <= a < 2.5: by the recurrence from [1.5, 2.5], where it is
    t (t + 1) P(t) with t = a - 2."""
    tiny, low = a < 0.5, a < 1.5
    t = where(tiny, a, where(low, a - 1.0, a - 2.0))
    fitted = t * (t + 1.0) * polynomial(t, _NEAR_TWO)
    stepped = fitted - log1p(where(low, t, 0.0))
    return stepped - log(chosen(tiny, a, 1.0))


def _stirling(s: Tensor) -> Tensor:
    """log gamma(s) for s >= 8."""
    series = polynomial(1.0 / (s * s), STIRLING) / s
    return (s - 0.5) * (log(s) - 1.0) + (_HALF_LOG_2PI - 0.5) + series


def _positive(a: Tensor) -> Tensor:
    """log gamma(a) for a >= 0."""
    small = a < 2.5
    b = where(small, 2.5, a)
    near = b < 8.0
    c = chosen(near, b, 2.5)
    product = c * (c + 1.0) * (c + 2.0) * (c + 3.0) * (c + 4.0) * (c + 5.0)
    large = _stirling(where(near, b + 6.0, b)) - log(where(near, product, 1.0))
    return where(small, _small(chosen(small, a, 1.0)), large)


def log_gamma(x: Tensor) -> Tensor:
    """log |gamma(x)|."""
    below = x < 0.0
    a = abs(x)
    a = chosen(a < math.inf, a, 1.0)
    positive = _positive(a)
    n = chosen(below, a, 0.5)
    sine = abs(sin(math.pi * (n - round(n))))
    tiny = a < 1e-18  # there both signs have -log a
    sine = where(tiny, 1.0, sine)
    mirrored = log(math.pi / sine) - log(chosen(below, a, 1.0)) - positive
    made = where(below & ~tiny, mirrored, positive)
    return where(abs(x) == math.inf, math.inf, where(isnan(x), x, made))


def log_gamma_1p(a: Tensor) -> Tensor:
    """log gamma(1 + a) for a > 0, accurate near 0."""
    small = a < 0.5
    t = chosen(small, a, 0.0)
    near = t * (t + 1.0) * polynomial(t, _NEAR_TWO) - log1p(t)
    return where(small, near, _positive(where(small, 1.0, a) + 1.0))


# --------------------------------------------------------------------------------------- polygammas


def digamma_formula(x: Tensor) -> Tensor:
    """psi(x), the derivative of log gamma."""
    below = x <= 0.0
    y = where(below, 1.0 - x, x)
    near = y < 8.0
    c = chosen(near, y, 1.0)
    stepped = 1.0 / c
    for k in range(1, 8):
        stepped = stepped + 1.0 / (c + float(k))
    s = where(near, y + 8.0, y)
    w = 1.0 / (s * s)
    made = log(s) - 0.5 / s + w * polynomial(w, _DIGAMMA)
    made = made - where(near, stepped, 0.0)
    n = chosen(below, x, 0.5)
    part = n - round(n)
    pole = part == 0.0
    made = where(below, made - math.pi / tan(math.pi * where(pole, 0.25, part)), made)
    made = where(below, where(pole, math.nan, made), made)
    zero = x == 0.0
    return where(zero, -1.0 / chosen(zero, x, 1.0), made)


def _zeta_positive(s: Tensor, q: Tensor) -> Tensor:
    """The sum of (q + k)^-s over k >= 0, for s > 1 and q > 0."""
    e = neg(s)
    total = pow(q, e)
    for k in range(1, _DIRECT):
        total = total + pow(q + float(k), e)
    a = q + float(_DIRECT)
    power = pow(a, e)
    w = 1.0 / (a * a)
    rising = s / a
    rest = a / (s - 1.0) + 0.5
    for k, c in enumerate(_EULER_MACLAURIN):
        rest = rest + c * rising
        if k + 1 < len(_EULER_MACLAURIN):
            rising = rising * (s + float(2 * k + 1)) * (s + float(2 * k + 2)) * w
    return total + where(power == 0.0, 0.0, power * where(power == 0.0, 0.0, rest))


def zeta_formula(s: Tensor, q: Tensor) -> Tensor:
    """The Hurwitz zeta function. For q < 0 and integer s the terms up to the sign's change are the
    difference of two such sums, and the others a third."""
    sound = s > 1.0
    t = chosen(sound, s, 2.0)
    above = q > 0.0
    size = where(above, 0.5, abs(q))
    whole = size - size % 1.0
    part = size - whole
    pole = part == 0.0
    part = where(pole, 0.5, part)
    odd = t % 2.0
    sign = 1.0 - 2.0 * odd
    direct = _zeta_positive(t, where(above, q, 1.0 - part))
    before = _zeta_positive(t, part) - _zeta_positive(t, where(pole, 1.0, size) + 1.0)
    below = where(pole, math.inf, where(t % 1.0 == 0.0, direct + sign * before, math.nan))
    made = where(above, direct, where(isnan(q), q, below))
    return where(sound, made, where(s == 1.0, math.inf, math.nan))


def _cotangent_derivative(n: int) -> list[int]:
    """The polynomial in c = cot(t) that is the n-th derivative of cot."""
    made = [0, 1]
    for _ in range(n):
        slope = [k * c for k, c in enumerate(made)][1:]
        after = [0] * (len(slope) + 2)
        for k, c in enumerate(slope):  # (cot)' = -(1 + cot^2)
            after[k] -= c
            after[k + 2] -= c
        made = after
    return made


def polygamma_formula(x: Tensor, n: int) -> Tensor:
    """The n-th derivative of psi, for n >= 1."""
    below = x <= 0.0
    y = where(below, 1.0 - x, x)
    scale = float(math.factorial(n)) if n < 171 else math.inf
    order = where(below, n + 1.0, n + 1.0)
    if n > 60:  # the polynomial below would overflow
        return zeta_formula(order, x) * (scale if n % 2 else -scale)
    made = _zeta_positive(order, y) * (scale if n % 2 else -scale)
    r = chosen(below, x, 0.5)
    part = r - round(r)
    pole = part == 0.0
    cot = 1.0 / tan(math.pi * where(pole, 0.25, part))
    bend = polynomial(cot, [float(c) for c in _cotangent_derivative(n)])
    mirrored = (-made if n % 2 else made) - math.pi ** (n + 1) * bend
    mirrored = where(pole, math.inf if n % 2 else -math.inf, mirrored)
    return where(below, mirrored, made)


# --------------------------------------------------------------------------------- public functions

lgamma = special_function(
    log_gamma,
    lambda x, y: digamma_formula(x),
    "lgamma",
    "The natural logarithm of |gamma(x)|; inf at 0, the negative integers and the infinities.",
)
gammaln = lgamma

digamma = special_function(
    digamma_formula,
    lambda x, y: polygamma_formula(x, 1),
    "digamma",
    "The derivative of lgamma: -inf at +0, inf at -0, NaN at the negative integers.",
)
psi = digamma


def _polygamma_forward(x: Tensor, *, n: int) -> Tensor:
    return cast(polygamma_formula(wide(x), n), x.dtype)


def _polygamma_backward(xs: Tensors, ys: Tensors, dys: Tensors, *, n: int) -> Tensors:
    return (cast(wide(dys[0]) * polygamma_formula(wide(xs[0]), n + 1), xs[0].dtype),)


_polygamma = custom_vjp(_polygamma_forward, _polygamma_backward, "polygamma")


def polygamma(n: int, input: Any, *, out: Tensor | None = None) -> Tensor:
    """The n-th derivative of digamma, for an integer n >= 0."""
    if isinstance(n, bool) or not isinstance(n, int):
        raise ArgumentError(f"polygamma: n is an integer, not {type(n).__name__}")
    if n < 0:
        raise ArgumentError(f"polygamma: n is {n}; negative orders are not defined")
    made: Tensor = digamma(input) if n == 0 else _polygamma(to_float(input), n=n)
    return made if out is None else into(out, made)


def polygamma_method(self: Tensor, n: int) -> Tensor:
    """The n-th derivative of digamma, for an integer n >= 0."""
    return polygamma(n, self)


def mvlgamma(input: Any, p: int, *, out: Tensor | None = None) -> Tensor:
    """The logarithm of the multivariate gamma function of dimension p >= 1:
    p (p - 1) / 4 log(pi) + the sum of lgamma(x - j / 2) over 0 <= j < p."""
    if isinstance(p, bool) or not isinstance(p, int) or p < 1:
        raise ArgumentError(f"mvlgamma: p is an integer of at least 1, not {p!r}")
    x = to_float(input)
    made = lgamma(x)
    for j in range(1, p):
        made = made + lgamma(x - 0.5 * j)
    if p > 1:
        made = made + 0.25 * p * (p - 1) * math.log(math.pi)
    return made if out is None else into(out, made)


multigammaln = mvlgamma

zeta = special_function2(
    zeta_formula,
    lambda s, q: (derivative(zeta_formula, (s, q), 0), neg(s) * zeta_formula(s + 1.0, q)),
    "zeta",
    "The Hurwitz zeta function, the sum of (other + k)^-input over k >= 0: inf for input 1, NaN"
    " below, inf where other is 0 or a negative integer, NaN at other negative numbers unless"
    " input is an integer.",
)
