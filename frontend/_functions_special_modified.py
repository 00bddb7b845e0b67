"""The modified Bessel functions I and K of orders 0 and 1, plain and scaled by e^-|x| or e^x.

I is its power series up to 8; K up to 2 is its logarithmic part and a polynomial in x^2
(Abramowitz & Stegun 9.6.13, 9.6.11). Beyond, both are e^(+-x) / sqrt(x) times a polynomial in 1/x.
The polynomials interpolate at Chebyshev points, computed to 40 digits."""

from __future__ import annotations

import math
from typing import Final

from intaglio._core import Tensor
from intaglio._functions_elementwise import abs, exp, log, neg, sign, sqrt, where
from intaglio._functions_special import chosen, polynomial, special_function

_I0_LARGE: Final = (
    0.40217650944500816, 0.003360551983667876, 0.00013621607437737268, 1.1143033791893046e-05,
    1.483848150861771e-06, 2.973597885290274e-07, 8.871293193604678e-08, 3.9327123085832934e-08,
    2.162446034312458e-08, 7.543775238250733e-09, -7.116744499757987e-09, -1.335632771743214e-08,
    -4.270649721363825e-09, 7.396966587219158e-09, 5.1432089858622845e-09, -3.21251295103573e-09,
    -2.8927333669603943e-09, 1.1661396927314527e-09, 9.544598596408217e-10,
    -3.0719032844097364e-10, -1.4445666241808038e-10, 4.135870336904037e-11,
)  # fmt: skip
"""sqrt(x) e^-x I0(x) in powers of 16 / x - 1, for x >= 8."""

_I1_LARGE: Final = (
    0.3893984590258723, -0.009749577193235751, -0.0002192357638187367, -1.5038547201402334e-05,
    -1.8349107416211804e-06, -3.483855125273481e-07, -1.0000323944983054e-07,
    -4.3130341641824356e-08, -2.3453111618217135e-08, -8.417810881556892e-09,
    7.118573210000024e-09, 1.3986230294575344e-08, 4.7942444927275885e-09, -7.500258824785232e-09,
    -5.508409408958088e-09, 3.158127700170617e-09, 3.0582654028044287e-09,
    -1.1153074851895528e-09, -1.0032283190965858e-09, 2.8795297002473246e-10,
    1.513858549435606e-10, -3.8283098239014647e-11,
)  # fmt: skip
"""sqrt(x) e^-x I1(x), likewise."""

_K0_SMALL: Final = (
    -0.5772156649015329, 0.10569608377461678, 0.014418505235913549, 0.0005451899602568561,
    1.0214014135961433e-05, 1.1570350941095384e-07, 8.819883094824484e-10, 4.8431971437706104e-12,
    2.009241432611261e-14, 6.515238891874141e-17, 1.7854414371292447e-19,
)  # fmt: skip
"""K0(x) + log(x / 2) I0(x) in powers of x^2, for x <= 2."""

_K1_SMALL: Final = (
    0.03860783245076643, -0.042049020943654196, -0.0028371119837633627, -7.493042905990667e-05,
    -1.0892182538383959e-06, -1.0112909430427642e-08, -6.540195368821488e-11,
    -3.120924064560395e-13, -1.1438082386291495e-15, -3.4954207496477915e-18,
)  # fmt: skip
"""(K1(x) - log(x / 2) I1(x) - 1 / x) / x in powers of x^2, for x <= 2."""

_K0_LARGE: Final = (
    1.2185953385133905, -0.031071461824889582, 0.0030328918102636862, -0.0004797690567564277,
    9.956054789199718e-05, -2.473520491312846e-05, 7.002238201255268e-06, -2.1911725471550125e-06,
    7.428402833965886e-07, -2.689475930495757e-07, 1.0267107342235164e-07, -4.115047857595318e-08,
    1.7877994022076155e-08, -7.831427757725499e-09, 2.2461449296532357e-09,
    -9.171077661103289e-10, 1.934023143487487e-09, -1.0347633956849988e-09,
    -6.001265682715459e-10, 3.4902723333410547e-10, 2.8621152776054687e-10,
    -1.5869915340278063e-10,
)  # fmt: skip
"""sqrt(x) e^x K0(x) in powers of 4 / x - 1, for x >= 2."""

_K1_LARGE: Final = (
    1.363151890371342, 0.1033497377538653, -0.005566729880061879, 0.000735724154897484,
    -0.00013959022007797642, 3.284386594101113e-05, -8.961199256397943e-06, 2.730035728169913e-06,
    -9.06774470658052e-07, 3.2302579610742373e-07, -1.2172251669359815e-07, 4.825643590588109e-08,
    -2.0724529834790288e-08, 9.002864628585638e-09, -2.625846421132203e-09,
    1.0718338984465426e-09, -2.1434292269089625e-09, 1.141693901870685e-09, 6.527051008519092e-10,
    -3.7917045211910943e-10, -3.145455278920714e-10, 1.7392609215952031e-10,
)  # fmt: skip
"""sqrt(x) e^x K1(x), likewise."""


_SERIES: Final = (
    tuple(4.0**-k / math.factorial(k) ** 2 for k in range(23)),
    tuple(0.5 * 4.0**-k / (math.factorial(k) * math.factorial(k + 1)) for k in range(23)),
)
"""I0(x) and I1(x) / x in powers of x^2."""
_I_LARGE: Final = (_I0_LARGE, _I1_LARGE)
_K_LARGE: Final = (_K0_LARGE, _K1_LARGE)


def _i(order: int, x: Tensor, scaled: bool) -> Tensor:
    """I of this order, times e^-|x| when scaled; NaN at the infinities unless scaled."""
    size = abs(x)
    near = size <= 8.0
    small = chosen(near, x, 0.0)
    series = polynomial(small * small, _SERIES[order])
    series = series * small if order else series
    endless = size == math.inf
    large = where(near | endless, 8.0, size)
    rest = polynomial(16.0 / large - 1.0, _I_LARGE[order]) / sqrt(large)
    rest = where(endless, 0.0 if scaled else math.nan, rest if scaled else exp(large) * rest)
    rest = rest * sign(x) if order else rest
    return where(near, exp(neg(abs(small))) * series if scaled else series, rest)


def _k(order: int, x: Tensor, scaled: bool) -> Tensor:
    """K of this order, times e^x when scaled: inf at 0, NaN below."""
    near = x <= 2.0
    above = x > 0.0
    small = chosen(near & above, x, 1.0)
    z = small * small
    series = polynomial(z, _SERIES[order]) * log(0.5 * small)
    if order:
        series = series * small + 1.0 / small + small * polynomial(z, _K1_SMALL)
    else:
        series = polynomial(z, _K0_SMALL) - series
    large = where(near, 2.0, x)
    endless = large == math.inf
    large = where(endless, 2.0, large)
    rest = polynomial(4.0 / large - 1.0, _K_LARGE[order]) / sqrt(large)
    rest = where(endless, 0.0, rest if scaled else exp(neg(large)) * rest)
    made = where(near, exp(small) * series if scaled else series, rest)
    return where(above, made, where(x == 0.0, math.inf, math.nan))


def _over(y: Tensor, x: Tensor) -> Tensor:
    """y / x for an odd function with slope 1/2 at 0."""
    zero = x == 0.0
    return where(zero, 0.5, y / where(zero, 1.0, x))


# -------------------------------------------------------------------------------- public functions

i0 = special_function(
    lambda x: _i(0, x, False),
    lambda x, y: _i(1, x, False),
    "i0",
    "The modified Bessel function of the first kind of order 0.",
)
modified_bessel_i0 = i0

i0e = special_function(
    lambda x: _i(0, x, True),
    lambda x, y: _i(1, x, True) - sign(x) * y,
    "i0e",
    "e^-|x| i0(x).",
)

i1 = special_function(
    lambda x: _i(1, x, False),
    lambda x, y: _i(0, x, False) - _over(y, x),
    "i1",
    "The modified Bessel function of the first kind of order 1.",
)
modified_bessel_i1 = i1

i1e = special_function(
    lambda x: _i(1, x, True),
    lambda x, y: _i(0, x, True) - sign(x) * y - _over(y, x),
    "i1e",
    "e^-|x| i1(x).",
)

modified_bessel_k0 = special_function(
    lambda x: _k(0, x, False),
    lambda x, y: neg(_k(1, x, False)),
    "modified_bessel_k0",
    "The modified Bessel function of the second kind of order 0: inf at 0, NaN below.",
)

modified_bessel_k1 = special_function(
    lambda x: _k(1, x, False),
    lambda x, y: neg(_k(0, x, False)) - y / x,
    "modified_bessel_k1",
    "The modified Bessel function of the second kind of order 1: inf at 0, NaN below.",
)

scaled_modified_bessel_k0 = special_function(
    lambda x: _k(0, x, True),
    lambda x, y: y - _k(1, x, True),
    "scaled_modified_bessel_k0",
    "e^x modified_bessel_k0(x).",
)

scaled_modified_bessel_k1 = special_function(
    lambda x: _k(1, x, True),
    lambda x, y: y - _k(0, x, True) - y / x,
    "scaled_modified_bessel_k1",
    "e^x modified_bessel_k1(x).",
)
