"""The error function's family: erfc, erfcx, erfinv, the normal distribution's ndtr, ndtri and
log_ndtr, and the entropies.

erfcx is a polynomial in (a - 4) / (a + 4), as in the paper of Shepherd and Laframboise ("Chebyshev
approximation of (1 + 2 x) exp(x^2) erfc(x)", 1981). The inverses are polynomials in the middle;
towards the ends a start of six digits in the root of the logarithm gets one step of Halley's method
on log erfc, which keeps all digits down to the smallest number. The polynomials interpolate at
Chebyshev points, computed to 40 digits."""

from __future__ import annotations

import math
from typing import Final

from intaglio._core import Tensor
from intaglio._functions_elementwise import (
    abs,
    erfc,
    exp,
    log,
    log1p,
    neg,
    sqrt,
    where,
)
from intaglio._functions_special import (
    Formula,
    Tensors,
    chosen,
    polynomial,
    special_function,
    special_function2,
)

_ERFCX: Final = (
    1.2329951186255526, -0.1396211168405625, 0.015379652102610162, 0.0680970542546862,
    -0.10103906603585294, 0.09373283499865172, -0.06633036582050367, 0.0371675155318432,
    -0.01619773397992426, 0.005031970032548695, -0.0007577737141838885, -0.00019925700412184815,
    0.0001506231178516207, -2.439811794207995e-05, -1.1225140354449658e-05, 5.707239573693257e-06,
    2.980596055322769e-07, -8.218020654813044e-07, 7.111912428010423e-08, 1.0683442926744586e-07,
    -1.6357383982124768e-08, -1.2544825403855518e-08, 1.5712153638319064e-09,
    9.655408225482863e-10,
)  # fmt: skip
"""(1 + 2 a) e^(a^2) erfc(a) in powers of (a - 4) / (a + 4)."""

_ERF_INVERSE: Final = (
    0.886226925452758, 0.2320136665345948, 0.1275561753189261, 0.08655212807619524,
    0.06495967050044667, 0.05172986666849686, 0.04286096362070598, 0.03618964120014893,
    0.033822614870488245, 0.01684096925270822, 0.06328732250395408, -0.05799434039218378,
    0.10731270953322966,
)  # fmt: skip
"""erfinv(x) / x in powers of x^2, for |x| <= 0.5."""

_ERFC_INVERSE: Final = (
    0.9049200678509723, 0.27368721045216116, -0.3389411674923843, 0.2778971064510029,
    -0.17876239419210735, 0.07695226781241912, 0.018768147240460522, -0.10752628304291727,
    0.11910653193019266, -0.04643486948628114,
)  # fmt: skip
"""y / t for erfc(y) = e^(-t^2) in powers of (t - 3) / (t + 3), for 0.83 <= t <= 27.3, to 2e-6."""

_SPLITTER: Final = 2.0**27 + 1.0
_SQRT_HALF: Final = math.sqrt(0.5)
_SQRT_PI: Final = math.sqrt(math.pi)
_SQRT_2PI: Final = math.sqrt(2.0 * math.pi)


def _exp_of_square(x: Tensor) -> Tensor:
    """e^(x^2), the rounding of the square paid back."""
    high = (x * _SPLITTER) - (x * _SPLITTER - x)
    low = x - high
    square = x * x
    error = ((high * high - square) + 2.0 * high * low) + low * low
    return exp(square) * (1.0 + error)


def _erfcx_positive(a: Tensor) -> Tensor:
    """e^(a^2) erfc(a) for a >= 0, also infinite."""
    far = a > 1e10
    b = chosen(far, a, 1.0)
    a = where(far, 1.0, a)
    near = polynomial((a - 4.0) / (a + 4.0), _ERFCX) / (1.0 + 2.0 * a)
    return where(far, 1.0 / (_SQRT_PI * b), near)


def erfcx_formula(x: Tensor) -> Tensor:
    """e^(x^2) erfc(x)."""
    made = _erfcx_positive(abs(x))
    below = x < 0.0
    low = x < -27.0
    other = 2.0 * _exp_of_square(where(below, where(low, -27.0, x), 0.0)) - made
    return where(below, where(low, math.inf, other), made)


def _from_tail(q: Tensor) -> Tensor:
    """The y with erfc(y) = q, for 0 < q <= 0.5."""
    wanted = log(q)
    t = sqrt(neg(wanted))
    y = t * polynomial((t - 3.0) / (t + 3.0), _ERFC_INVERSE)
    scaled = _erfcx_positive(y)
    miss = log(scaled) - y * y - wanted
    slope = -2.0 / (_SQRT_PI * scaled)
    bend = neg(slope) * (2.0 * y + slope)
    return y - miss / (slope - 0.5 * miss * bend / slope)


def _central(x: Tensor) -> Tensor:
    """erfinv(x) for |x| <= 0.5."""
    return x * polynomial(x * x, _ERF_INVERSE)


def erfinv_formula(x: Tensor) -> Tensor:
    """The y with erf(y) = x."""
    size = abs(x)
    middle = size <= 0.5
    tail = (size > 0.5) & (size < 1.0)
    outer = _from_tail(chosen(tail, 1.0 - size, 0.25))
    outer = where(tail, outer, where(size == 1.0, math.inf, math.nan))
    return where(middle, _central(chosen(middle, x, 0.0)), where(x < 0.0, neg(outer), outer))


def ndtri_formula(p: Tensor) -> Tensor:
    """The y with ndtr(y) = p."""
    middle = abs(p - 0.5) <= 0.25
    low = p < 0.5
    q = 2.0 * where(low, p, 1.0 - p)
    tail = (q > 0.0) & (q < 0.5)
    outer = _from_tail(chosen(tail, q, 0.25))
    outer = where(tail, outer, where(q == 0.0, math.inf, math.nan))
    inner = _central(chosen(middle, 2.0 * (p - 0.5), 0.0))
    return math.sqrt(2.0) * where(middle, inner, where(low, neg(outer), outer))


def ndtr_formula(x: Tensor) -> Tensor:
    """The standard normal distribution function."""
    return 0.5 * erfc(x * -_SQRT_HALF)


def log_ndtr_formula(x: Tensor) -> Tensor:
    """The logarithm of the standard normal distribution function."""
    low = x < -1.0
    a = chosen(low, x, -1.0) * -_SQRT_HALF
    below = log(0.5 * _erfcx_positive(a)) - a * a
    return where(low, below, log1p(-0.5 * erfc(where(low, 0.0, x) * _SQRT_HALF)))


def _log_ndtr_slope(x: Tensor, y: Tensor) -> Tensor:
    """The density over the distribution function, by erfcx where both vanish."""
    low = x < -1.0
    below = math.sqrt(2.0 / math.pi) / _erfcx_positive(chosen(low, x, -1.0) * -_SQRT_HALF)
    b = where(low, 0.0, x)
    return where(low, below, _density(b) / ndtr_formula(b))


def _density(x: Tensor) -> Tensor:
    return exp(x * x * -0.5) * (1.0 / _SQRT_2PI)


def entr_formula(x: Tensor) -> Tensor:
    """-x log x."""
    above = x > 0.0
    made = neg(x) * log(chosen(above, x, 1.0))
    return where(above, made, where(x == 0.0, 0.0, where(x < 0.0, -math.inf, x)))


# --------------------------------------------------------------------------------- public functions

erfcx = special_function(
    erfcx_formula,
    lambda x, y: 2.0 * x * y - 2.0 / _SQRT_PI,
    "erfcx",
    "e^(x^2) erfc(x), the scaled complementary error function.",
)

erfinv = special_function(
    erfinv_formula,
    lambda x, y: 0.5 * _SQRT_PI * exp(y * y),
    "erfinv",
    "The inverse of erf: infinite at -1 and 1, NaN outside.",
)

ndtr = special_function(
    ndtr_formula,
    lambda x, y: _density(x),
    "ndtr",
    "The standard normal distribution function.",
)

ndtri = special_function(
    ndtri_formula,
    lambda x, y: _SQRT_2PI * exp(0.5 * y * y),
    "ndtri",
    "The inverse of ndtr: infinite at 0 and 1, NaN outside.",
)

log_ndtr = special_function(
    log_ndtr_formula,
    _log_ndtr_slope,
    "log_ndtr",
    "log(ndtr(x)), accurate where ndtr underflows.",
)

entr = special_function(
    entr_formula,
    lambda x, y: neg(log(x)) - 1.0,
    "entr",
    "-x log(x): 0 at 0, -inf below.",
)


def _times_log(name: str, plus: float, text: str) -> Formula:
    """a log(plus + b), 0 where a is 0; NaN wherever b is NaN."""
    logarithm = log1p if plus else log

    def formula(a: Tensor, b: Tensor) -> Tensor:
        zero = (a == 0.0) & (b == b)
        return where(zero, 0.0, a * logarithm(where(zero, 1.0, b)))

    def slopes(a: Tensor, b: Tensor) -> Tensors:
        zero = (a == 0.0) & (b <= -plus)
        return where(zero, 0.0, logarithm(where(zero, 1.0, b))), a / (b + plus)

    return special_function2(formula, slopes, name, text)


xlogy = _times_log("xlogy", 0.0, "input * log(other): 0 where input is 0 and other no NaN.")
xlog1py = _times_log("xlog1py", 1.0, "input * log1p(other): 0 where input is 0 and other no NaN.")
