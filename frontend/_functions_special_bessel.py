"""The Bessel functions J and Y of orders 0 and 1, the spherical j0, and the Airy function Ai.

Up to 5, J is a polynomial in x^2 times the factors of its zeros there, and Y its logarithmic part
and a polynomial (Abramowitz & Stegun 9.1.10, 9.1.11, 9.1.13). Beyond, both are Hankel's form
sqrt(2 / (pi x)) (P cos - Q sin) (9.2.5, 9.2.6), with polynomials in 1/x^2 for P and Q. Ai is a
polynomial on [-4.5, 2.1] and its asymptotic forms outside (10.4.59, 10.4.60), with polynomials for
their series. All interpolate at Chebyshev points, computed to 40 digits."""

from __future__ import annotations

import math
from typing import Final

from intaglio._core import Tensor
from intaglio._functions_elementwise import abs, cos, exp, log, neg, sign, sin, sqrt, where
from intaglio._functions_number import sine_over, sine_over_slope
from intaglio._functions_special import chosen, derivative, polynomial, special_function

_J0: Final = (
    0.0031873556303932387, -0.0019210870437164043, 0.00048768271776558413, -7.121705240575853e-05,
    6.854954847199373e-06, -4.7062916645708525e-07, 2.4286220380254094e-08,
    -9.781438946172569e-10, 3.1637239892118345e-11, -8.404185273180054e-13,
    1.8688672682728884e-14, -3.524289753004227e-16,
)  # fmt: skip
"""J0(x) / ((x^2 - a) (x^2 - b)), a and b its first zeros squared, in powers of 2 x^2 / 25 - 1."""

_J1: Final = (
    -0.01587595431164548, 0.013090777521810029, -0.004240225993395723, 0.0007552540432951285,
    -8.592956232067133e-05, 6.814683895177347e-06, -3.991381172349697e-07, 1.799515992374399e-08,
    -6.443125533715618e-10, 1.877381214599579e-11, -4.5448929602915886e-13, 9.268080204743411e-15,
)  # fmt: skip
"""J1(x) / (x (x^2 - a)), likewise."""

_Y0: Final = (
    0.4837248578102995, -0.4326558222855125, -0.47057636552972876, 0.38851639956570944,
    -0.11151682184328655, 0.017635345389338752, -0.0018028096665503853, 0.00012994629092083859,
    -6.985504374076987e-06, 2.9142206886821627e-07, -9.72095520811079e-09, 2.6539977501003325e-10,
    -6.049936925443629e-12, 1.1665346489650883e-13,
)  # fmt: skip
"""Y0(x) - 2 / pi log(x) J0(x), likewise."""

_Y1: Final = (
    0.13974939033568806, 0.09108650838448443, -0.16312020358118715, 0.06634695354779145,
    -0.01343343374081816, 0.001668803132860553, -0.00014141835794487096, 8.733098315276023e-06,
    -4.113778078975399e-07, 1.528888444688957e-08, -4.6013015686338337e-10,
    1.1462846982460235e-11, -2.3976176456816346e-13,
)  # fmt: skip
"""(Y1(x) - 2 / pi (log(x) J1(x) - 1 / x)) / x, likewise."""

_P0: Final = (
    0.9986347659091991, -0.00132749312719987, 3.4917305812060115e-05, -2.4599633474325644e-06,
    2.975900744276098e-07, -5.086395416793585e-08, 1.1058525978536302e-08, -2.872892602460191e-09,
    8.553371792078879e-10, -2.772634762967805e-10, 9.917459838960602e-11, -5.0496025475250294e-11,
    2.2528327523623564e-11, 2.7671825685144207e-12, -2.3195513813059186e-12,
    -6.025628491242773e-12, 3.2558327371297824e-12,
)  # fmt: skip
"""P of order 0 in powers of 50 / x^2 - 1, for x >= 5."""

_Q0: Final = (
    -0.12361496352611864, 0.0013142139729102307, -6.338715442716906e-05, 6.239113171753875e-06,
    -9.409874628086437e-07, 1.8870291686232796e-07, -4.6398710260392835e-08,
    1.3297316184447042e-08, -4.2896883004727955e-09, 1.5235779270498288e-09,
    -6.033157715852311e-10, 2.5137413425272493e-10, -7.025009825866401e-11,
    2.6184060284647662e-11, -6.67373591888719e-11, 3.867330017506857e-11, 2.5950177749022507e-11,
    -1.6660142565285112e-11, -1.2305652904546721e-11, 7.46978218561195e-12,
)  # fmt: skip
"""x Q of order 0, likewise."""

_P1: Final = (
    1.0022906462560661, 0.002241463213916629, -4.578280653075485e-05, 2.9786211326438337e-06,
    -3.4667188594955276e-07, 5.7916287460777436e-08, -1.240293906803161e-08,
    3.187447006563387e-09, -9.412711866152927e-10, 3.0338537003008955e-10, -1.079859128578345e-10,
    5.446236277396197e-11, -2.4194704266966924e-11, -2.830710727602104e-12,
    2.4132689386882095e-12, 6.412755652220187e-12, -3.458313485005657e-12,
)  # fmt: skip
"""P of order 1, likewise."""

_Q1: Final = (
    0.3730474331740802, -0.0018648496218418088, 7.898094178007923e-05, -7.369927918557262e-06,
    1.0798853625826433e-06, -2.126679076480073e-07, 5.164194152345208e-08,
    -1.4660442774020817e-08, 4.7001232348716684e-09, -1.6792603140027183e-09,
    6.468049960710546e-10, -2.196036309995082e-10, 8.782434427216027e-11, -1.0859506993277121e-10,
    5.929267394923431e-11, 3.290937177790792e-11, -2.1148957220138363e-11,
    -1.9660021286047175e-11, 1.1618795104468154e-11,
)  # fmt: skip
"""x Q of order 1, likewise."""

_AI: Final = (
    0.5261943748021201, 0.35320417859852654, -3.4381540449570527, 2.3823625068897076,
    4.80190796881617, -7.734482757682808, 0.762120935786763, 6.51524731792224, -5.141312558064301,
    -0.8021237761228138, 3.3480568374532855, -1.584374508183002, -0.5498358247582468,
    0.9039982354092156, -0.2733649030398641, -0.15034714094514132, 0.1502471596316255,
    -0.028894025186890406, -0.02407339797709047, 0.0168918343436503, -0.0019046305450668194,
    -0.0025853239526849596, 0.0013677518046269876, -6.862656801540068e-05,
    -0.00020060352619802072, 8.356859028487946e-05, 1.464264544503037e-07,
    -1.1961012886939057e-05, 4.040726835026612e-06, 2.853204904468092e-07, -5.937089953247809e-07,
    1.152130369712067e-07, 3.271484700372233e-08, -1.2102955960125464e-08,
)  # fmt: skip
"""Ai(x) in powers of (x + 1.2) / 3.3, for -4.5 <= x <= 2.1."""

_AI_ABOVE: Final = (
    0.9845197059940428, -0.0139322438307686, 0.0012917951264841048, -0.00020059358487027783,
    4.122865107044483e-05, -1.0182519573139128e-05, 2.8709224340894714e-06,
    -8.957542607582581e-07, 3.0297241878464077e-07, -1.0939397972197446e-07, 4.1778884147419e-08,
    -1.7057556776242702e-08, 7.164492127746168e-09, -2.454367132092586e-09,
    1.0333320169728108e-09, -1.3090816712179914e-09, 6.764906349337469e-10, 3.308267444109044e-10,
    -1.9248052146490205e-10, -1.9370066122757427e-10, 1.0549924734906842e-10,
)  # fmt: skip
"""2 sqrt(pi) x^(1/4) e^t Ai(x) in powers of 4 / t - 1, for t = 2/3 x^(3/2), x >= 2.1."""

_AI_P: Final = (
    0.9994946897271111, -0.0004954886363393545, 9.275103222790292e-06, -4.920029839738053e-07,
    4.660026666360997e-08, -6.429110215301982e-09, 1.1555380717359134e-09,
    -2.5284634129289534e-10, 6.530334275505526e-11, -1.8931334778246395e-11,
    4.754582577773311e-12, -1.5107116063833688e-12, 1.463444203452485e-12, -6.179955942201605e-13,
)  # fmt: skip
"""The factor of the cosine in powers of 72 / t^2 - 1, for t = 2/3 |x|^(3/2), x <= -4.5."""

_AI_Q: Final = (
    0.0689371647618973, -0.0004885884023696365, 1.7209443587713044e-05, -1.2949624462981577e-06,
    1.5466962333887417e-07, -2.525948216943845e-08, 5.171969185235056e-09, -1.257073321790328e-09,
    3.4940235090109853e-10, -1.0694443951553809e-10, 3.5963790939572985e-11,
    -1.541312140048113e-11, 6.288463587162173e-12, -1.334226238493967e-13, -1.407373381627036e-13,
    -1.321557045061681e-12, 6.690578252320158e-13,
)  # fmt: skip
"""t times the factor of the sine, likewise."""


_TWO_OVER_PI: Final = 2.0 / math.pi
_J0_ZEROS: Final = (5.7831859629467845, 30.471262343662086)
_J1_ZERO: Final = 14.681970642123893


def _j_small(order: int, x: Tensor) -> Tensor:
    """J for |x| <= 5."""
    z = x * x
    u = z * (2.0 / 25.0) - 1.0
    if order:
        return x * (z - _J1_ZERO) * polynomial(u, _J1)
    return (z - _J0_ZEROS[0]) * (z - _J0_ZEROS[1]) * polynomial(u, _J0)


def _hankel(order: int, x: Tensor, second: bool) -> Tensor:
    """J, or Y when `second`, for x >= 5: NaN at inf. The angle x - (2 n + 1) pi / 4 is never
    formed."""
    v = 50.0 / (x * x) - 1.0
    p = polynomial(v, _P1 if order else _P0)
    q = polynomial(v, _Q1 if order else _Q0) / x
    s, c = sin(x), cos(x)
    cosine, sine = (s - c, neg(s + c)) if order else (c + s, s - c)
    made = p * sine + q * cosine if second else p * cosine - q * sine
    return made / (math.sqrt(math.pi) * sqrt(x))


def _j(order: int, x: Tensor) -> Tensor:
    size = abs(x)
    near = size <= 5.0
    far = _hankel(order, where(near, 5.0, size), False)
    far = far * sign(x) if order else far
    return where(near, _j_small(order, chosen(near, x, 0.0)), far)


def _y(order: int, x: Tensor) -> Tensor:
    """Y: -inf at 0, NaN below."""
    near = x <= 5.0
    above = x > 0.0
    small = chosen(near & above, x, 1.0)
    u = small * small * (2.0 / 25.0) - 1.0
    logged = log(small) * _j_small(order, small)
    if order:
        made = _TWO_OVER_PI * (logged - 1.0 / small) + small * polynomial(u, _Y1)
    else:
        made = _TWO_OVER_PI * logged + polynomial(u, _Y0)
    made = where(near, made, _hankel(order, where(near, 5.0, x), True))
    return where(above, made, where(x == 0.0, -math.inf, math.nan))


def _airy(x: Tensor) -> Tensor:
    """Ai by its three ranges."""
    above, below = x > 2.1, x < -4.5
    middle = polynomial((where(above | below, 0.0, x) + 1.2) / 3.3, _AI)
    a = chosen(above & (x < 1000.0), x, 2.1)
    t = (2.0 / 3.0) * a * sqrt(a)
    decaying = polynomial(4.0 / t - 1.0, _AI_ABOVE) * exp(neg(t)) / sqrt(sqrt(a))
    decaying = where(x < 1000.0, decaying * (0.5 / math.sqrt(math.pi)), x - x)  # NaN at inf
    b = neg(chosen(below, x, -4.5))
    t = (2.0 / 3.0) * b * sqrt(b)
    v = 72.0 / (t * t) - 1.0
    angle = t - 0.25 * math.pi
    waving = cos(angle) * polynomial(v, _AI_P) + sin(angle) * polynomial(v, _AI_Q) / t
    waving = waving / (math.sqrt(math.pi) * sqrt(sqrt(b)))
    return where(above, decaying, where(below, waving, middle))


def _over(y: Tensor, x: Tensor) -> Tensor:
    """y / x for an odd function with slope 1/2 at 0."""
    zero = x == 0.0
    return where(zero, 0.5, y / where(zero, 1.0, x))


def _spherical(x: Tensor) -> Tensor:
    endless = abs(x) == math.inf
    t = where(endless, 1.0, x)
    return where(endless, 0.0, sine_over(t, sin(t)))


# -------------------------------------------------------------------------------- public functions

bessel_j0 = special_function(
    lambda x: _j(0, x),
    lambda x, y: neg(_j(1, x)),
    "bessel_j0",
    "The Bessel function of the first kind of order 0.",
)

bessel_j1 = special_function(
    lambda x: _j(1, x),
    lambda x, y: _j(0, x) - _over(y, x),
    "bessel_j1",
    "The Bessel function of the first kind of order 1.",
)

bessel_y0 = special_function(
    lambda x: _y(0, x),
    lambda x, y: neg(_y(1, x)),
    "bessel_y0",
    "The Bessel function of the second kind of order 0: -inf at 0, NaN below.",
)

bessel_y1 = special_function(
    lambda x: _y(1, x),
    lambda x, y: _y(0, x) - y / x,
    "bessel_y1",
    "The Bessel function of the second kind of order 1: -inf at 0, NaN below.",
)

spherical_bessel_j0 = special_function(
    _spherical,
    lambda x, y: sine_over_slope(x, sin(x), cos(x)),
    "spherical_bessel_j0",
    "The spherical Bessel function of the first kind of order 0, sin(x) / x.",
)

airy_ai = special_function(
    _airy,
    lambda x, y: derivative(_airy, (x,), 0),
    "airy_ai",
    "The Airy function Ai.",
)
