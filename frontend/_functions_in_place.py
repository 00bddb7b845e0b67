"""torch's functions with a trailing underscore: in-place methods, called with the tensor first."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from intaglio._core import Tensor

InPlace = Callable[..., Tensor]


def _form(name: str) -> InPlace:
    """The function that calls the method of this name."""

    def function(input: Tensor, *args: Any, **kwargs: Any) -> Tensor:
        made: Tensor = getattr(input, name)(*args, **kwargs)
        return made

    function.__name__ = function.__qualname__ = name
    function.__doc__ = f"`Tensor.{name}`: the result is written into the tensor."
    return function


abs_: Final = _form("abs_")
acos_: Final = _form("acos_")
acosh_: Final = _form("acosh_")
addmv_: Final = _form("addmv_")
arccos_: Final = _form("arccos_")
arccosh_: Final = _form("arccosh_")
arcsin_: Final = _form("arcsin_")
arcsinh_: Final = _form("arcsinh_")
arctan_: Final = _form("arctan_")
arctanh_: Final = _form("arctanh_")
as_strided_: Final = _form("as_strided_")
asin_: Final = _form("asin_")
asinh_: Final = _form("asinh_")
atan_: Final = _form("atan_")
atanh_: Final = _form("atanh_")
ceil_: Final = _form("ceil_")
clamp_: Final = _form("clamp_")
clamp_max_: Final = _form("clamp_max_")
clamp_min_: Final = _form("clamp_min_")
clip_: Final = _form("clip_")
conj_physical_: Final = _form("conj_physical_")
cos_: Final = _form("cos_")
cosh_: Final = _form("cosh_")
deg2rad_: Final = _form("deg2rad_")
detach_: Final = _form("detach_")
erf_: Final = _form("erf_")
erfc_: Final = _form("erfc_")
exp_: Final = _form("exp_")
exp2_: Final = _form("exp2_")
expm1_: Final = _form("expm1_")
fill_: Final = _form("fill_")
fix_: Final = _form("fix_")
floor_: Final = _form("floor_")
frac_: Final = _form("frac_")
gcd_: Final = _form("gcd_")
i0_: Final = _form("i0_")
index_put_: Final = _form("index_put_")
lcm_: Final = _form("lcm_")
ldexp_: Final = _form("ldexp_")
log_: Final = _form("log_")
log10_: Final = _form("log10_")
log1p_: Final = _form("log1p_")
log2_: Final = _form("log2_")
logit_: Final = _form("logit_")
nan_to_num_: Final = _form("nan_to_num_")
neg_: Final = _form("neg_")
negative_: Final = _form("negative_")
rad2deg_: Final = _form("rad2deg_")
reciprocal_: Final = _form("reciprocal_")
resize_as_: Final = _form("resize_as_")
round_: Final = _form("round_")
rsqrt_: Final = _form("rsqrt_")
sigmoid_: Final = _form("sigmoid_")
sin_: Final = _form("sin_")
sinc_: Final = _form("sinc_")
sinh_: Final = _form("sinh_")
sqrt_: Final = _form("sqrt_")
square_: Final = _form("square_")
tan_: Final = _form("tan_")
tanh_: Final = _form("tanh_")
trunc_: Final = _form("trunc_")
xlogy_: Final = _form("xlogy_")
zero_: Final = _form("zero_")
