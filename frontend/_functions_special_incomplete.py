"""The regularized incomplete gamma functions P(a, x) and Q(a, x) = 1 - P.

By region: the power series of P where x <= a or x <= 1 (DLMF 8.11.4), the continued fraction of Q,
from its far end, where x is larger (8.9.2), the power series of Q where both are small (8.7.3), and
for a > 200 near x = a Temme's uniform expansion (8.12), whose coefficients are rational numbers
found by their recurrence. The number of steps is fixed: the worst case of the region."""

from __future__ import annotations

import math
from fractions import Fraction
from functools import cache
from typing import Any, Final

from intaglio._apply import full
from intaglio._core import Tensor
from intaglio._custom import custom_vjp
from intaglio._functions_elementwise import abs, erfc, exp, expm1, log, neg, sqrt, where
from intaglio._functions_scan import scan
from intaglio._functions_special import (
    Formula,
    Tensors,
    chosen,
    derivative,
    documented,
    float_pair,
    polynomial,
    wide,
)
from intaglio._functions_special_gamma import STIRLING, log_gamma, log_gamma_1p
from intaglio._kind import kind_of
from intaglio._promote import cast, into
from intaglio.compiler.dtypes import float64

_STEPS: Final = 160
"""Of the series at x = a = 200, and of the fraction at x = 1, to the last digit."""
_LARGE: Final = 200.0
_COLUMNS: Final = (28, 22, 18, 14, 10, 8, 6)
"""Powers of eta that each power of 1 / a in Temme's expansion wants for |eta| < 1, a > 200."""


@cache
def _temme() -> tuple[tuple[float, ...], ...]:
    """The coefficients of eta^n in c_k(eta) of DLMF 8.12.8. With mu = lambda - 1 and
    eta^2 / 2 = mu - log(1 + mu), c_0 = 1 / mu - 1 / eta and c_k = c_(k-1)' / eta + const / mu."""
    order = max(n + 2 * k for k, n in enumerate(_COLUMNS)) + 3
    mu = [Fraction(0), Fraction(1)]
    for n in range(2, order + 2):
        known = sum((mu[j] * mu[n + 1 - j] for j in range(2, n)), Fraction(0))
        mu.append((Fraction(2, n + 1) * mu[n - 1] - known) / 2)
    inverse = [Fraction(1)]
    for n in range(1, order + 1):
        inverse.append(-sum((mu[j + 1] * inverse[n - j] for j in range(1, n + 1)), Fraction(0)))
    row = inverse[1:]
    rows = []
    for columns in _COLUMNS:
        rows.append(tuple(float(c) for c in row[:columns]))
        row = [(n + 2) * row[n + 2] - row[1] * inverse[n + 1] for n in range(len(row) - 2)]
    return tuple(rows)


def _half_square(a: Tensor, x: Tensor) -> tuple[Tensor, Tensor]:
    """mu = x / a - 1, and (mu - log(x / a)) / mu^2 without cancelling near 0."""
    mu = (x - a) / a
    near = abs(mu) < 0.3
    small, large = chosen(near, mu, 0.0), where(near, 1.0, mu)
    ratio = where(near, 2.0, x / a)
    half = 1.0 / (small + 2.0)
    s = small * half
    series = polynomial(s * s, [1.0 / (2 * k + 3) for k in range(11)])
    inner = half - 2.0 * s * half * half * series
    return mu, where(near, inner, (large - log(ratio)) / (large * large))


def _factor(a: Tensor, x: Tensor) -> Tensor:
    """x^a e^-x / gamma(a + 1)."""
    low = a < 10.0
    small, above = chosen(low, a, 1.0), chosen(low, x, 1.0)
    direct = exp(small * log(above) - above - log_gamma_1p(small))
    b, y = where(low, 10.0, a), where(low, 10.0, x)
    mu, half = _half_square(b, y)
    series = polynomial(1.0 / (b * b), STIRLING) / b
    stirling = exp(neg(b * mu * mu * half) - series) / sqrt(2.0 * math.pi * b)
    return where(low, direct, stirling)


def _counted(x: Tensor) -> Tensor:
    return full(0.0, kind_of(float64, (), x._kind.place))


def _series(a: Tensor, x: Tensor) -> Tensor:
    """P(a, x): the factor times the sum of x^n / ((a + 1) ... (a + n))."""

    def step(carry: tuple[Tensor, Tensor, Tensor], _: None) -> tuple[Any, None]:
        k, term, total = carry
        k = k + 1.0
        term = term * x / (a + k)
        return (k, term, total + term), None

    start = where(x == x, 1.0, x)
    (_, _, total), _ = scan(step, (_counted(x), start, start), length=_STEPS)
    made: Tensor = _factor(a, x) * total
    return made


def _fraction(a: Tensor, x: Tensor) -> Tensor:
    """Q(a, x): the factor times a over x + 1 - a - 1 (1 - a) / (x + 3 - a - 2 (2 - a) / ...)."""
    base = x - a

    def step(carry: tuple[Tensor, Tensor], _: None) -> tuple[Any, None]:
        k, rest = carry
        rest = base + (2.0 * k - 1.0) - k * (k - a) / rest
        return (k - 1.0, rest), None

    first = (_counted(x) + float(_STEPS), base + (2.0 * _STEPS + 1.0))
    (_, rest), _ = scan(step, first, length=_STEPS)
    made: Tensor = _factor(a, x) * a / rest
    return made


def _small_q(a: Tensor, x: Tensor) -> Tensor:
    """Q(a, x) for x <= 1.1: 1 - x^a / gamma(a + 1) less the other terms of the power series."""
    power = a * log(x) - log_gamma_1p(a)
    total, term = None, neg(x)
    for n in range(1, 21):
        term = term * x * (-1.0 / n) if n > 1 else term
        part = term / (a + float(n))
        total = part if total is None else total + part
    assert total is not None
    return neg(expm1(power)) - exp(power) * a * total


def _uniform(a: Tensor, x: Tensor, upper: bool) -> Tensor:
    """Q(a, x) when `upper`, else P, by Temme's expansion."""
    mu, half = _half_square(a, x)
    eta = mu * sqrt(2.0 * half)
    total = None
    for row in reversed(_temme()):
        here = polynomial(eta, row)
        total = here if total is None else total / a + here
    assert total is not None
    rest = exp(neg(a * mu * mu * half)) / sqrt(2.0 * math.pi * a) * total
    sign = 1.0 if upper else -1.0
    return 0.5 * erfc(eta * sqrt(a * 0.5) * sign) + rest * sign


def _incomplete(a: Tensor, x: Tensor, upper: bool) -> Tensor:
    """Q when `upper`, else P, with torch's values at the edges."""
    inside = (a > 0.0) & (x > 0.0) & (a < math.inf) & (x < math.inf)
    b, y = chosen(inside, a, 1.0), chosen(inside, x, 1.0)
    mu = (y - b) / b
    central = (b > _LARGE) & (mu > -0.6) & (mu < 1.2)
    beyond = (y > 1.0) & (y > b) & ~central
    if upper:
        least = where(y <= 0.5, -0.4 / log(chosen(y <= 0.5, y, 0.5)), y * 1.1)
        tiny = (y <= 1.1) & (least >= b) & ~beyond
    else:
        tiny = beyond & ~beyond
    summed = ~(central | beyond | tiny)
    p = _series(chosen(summed, b, 1.0), chosen(summed, y, 0.5))
    q = _fraction(chosen(beyond, b, 1.0), chosen(beyond, y, 2.0))
    uniform = _uniform(chosen(central, b, 300.0), chosen(central, y, 300.0), upper)
    if upper:
        made = where(summed, 1.0 - p, where(beyond, q, uniform))
        made = where(tiny, _small_q(chosen(tiny, b, 0.5), chosen(tiny, y, 0.5)), made)
    else:
        made = where(summed, p, where(beyond, 1.0 - q, uniform))
    return where(inside, made, _edge(a, x, upper))


def _edge(a: Tensor, x: Tensor, upper: bool) -> Tensor:
    """The values where an operand is 0 or infinite; NaN where one is negative or NaN."""
    nothing, all_of_it = (1.0, 0.0) if upper else (0.0, 1.0)
    both = ((a == 0.0) & (x == 0.0)) | ((a == math.inf) & (x == math.inf))
    made = where((a == 0.0) | (x == math.inf), all_of_it, nothing)
    return where((a >= 0.0) & (x >= 0.0) & ~both, made, math.nan)


def _density(a: Tensor, x: Tensor) -> Tensor:
    """x^(a - 1) e^-x / gamma(a), the derivative of P by x."""
    flat = a == 1.0
    return exp(where(flat, 0.0, (a - 1.0) * log(where(flat, 1.0, x))) - x - log_gamma(a))


def _forward(a: Tensor, x: Tensor, *, upper: bool) -> Tensor:
    return cast(_incomplete(wide(a), wide(x), upper), a.dtype)


def _backward(xs: Tensors, ys: Tensors, dys: Tensors, *, upper: bool) -> Tensors:
    a, x = wide(xs[0]), wide(xs[1])
    by_a = derivative(lambda a, x: _incomplete(a, x, upper), (a, x), 0)
    by_x = neg(_density(a, x)) if upper else _density(a, x)
    d = wide(dys[0])
    return cast(d * by_a, xs[0].dtype), cast(d * by_x, xs[0].dtype)


_either = custom_vjp(_forward, _backward, "igamma")


def _public(name: str, upper: bool, text: str) -> Formula:
    def call(input: Any, other: Any, *, out: Tensor | None = None) -> Tensor:
        made: Tensor = _either(*float_pair(name, input, other, "none"), upper=upper)
        return made if out is None else into(out, made)

    return documented(call, name, text)


# --------------------------------------------------------------------------------- public functions

igamma = _public(
    "igamma",
    False,
    "The regularized lower incomplete gamma function P(input, other), for input and other >= 0.",
)
igammac = _public(
    "igammac",
    True,
    "The regularized upper incomplete gamma function Q(input, other) = 1 - P(input, other).",
)
gammainc, gammaincc = igamma, igammac
