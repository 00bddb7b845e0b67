"""The special functions, with the names of `torch.special`.

Each is computed in f64 and rounded once to its operand's dtype (integers become the default float
dtype); see the home modules for the formulas."""

from intaglio._functions_elementwise import (
    erf,
    erfc,
    exp2,
    expm1,
    log1p,
    logit,
    round,
    sigmoid as expit,
)
from intaglio._functions_number import (
    sinc,
)
from intaglio._functions_reduce import (
    logsumexp,
)
from intaglio._functions_special_bessel import (
    airy_ai,
    bessel_j0,
    bessel_j1,
    bessel_y0,
    bessel_y1,
    spherical_bessel_j0,
)
from intaglio._functions_special_erf import (
    entr,
    erfcx,
    erfinv,
    log_ndtr,
    ndtr,
    ndtri,
    xlog1py,
    xlogy,
)
from intaglio._functions_special_gamma import (
    digamma,
    gammaln,
    multigammaln,
    polygamma,
    psi,
    zeta,
)
from intaglio._functions_special_incomplete import gammainc, gammaincc
from intaglio._functions_special_modified import (
    i0,
    i0e,
    i1,
    i1e,
    modified_bessel_i0,
    modified_bessel_i1,
    modified_bessel_k0,
    modified_bessel_k1,
    scaled_modified_bessel_k0,
    scaled_modified_bessel_k1,
)
from intaglio._functions_special_polynomials import (
    chebyshev_polynomial_t,
    chebyshev_polynomial_u,
    chebyshev_polynomial_v,
    chebyshev_polynomial_w,
    hermite_polynomial_h,
    hermite_polynomial_he,
    laguerre_polynomial_l,
    legendre_polynomial_p,
    shifted_chebyshev_polynomial_t,
    shifted_chebyshev_polynomial_u,
    shifted_chebyshev_polynomial_v,
    shifted_chebyshev_polynomial_w,
)
from intaglio.nn.functional import log_softmax, softmax

__all__ = [
    "airy_ai", "bessel_j0", "bessel_j1", "bessel_y0", "bessel_y1", "chebyshev_polynomial_t",
    "chebyshev_polynomial_u", "chebyshev_polynomial_v", "chebyshev_polynomial_w", "digamma",
    "entr", "erf", "erfc", "erfcx", "erfinv", "exp2", "expit", "expm1", "gammainc", "gammaincc",
    "gammaln", "hermite_polynomial_h", "hermite_polynomial_he", "i0", "i0e", "i1", "i1e",
    "laguerre_polynomial_l", "legendre_polynomial_p", "log1p", "log_ndtr", "log_softmax", "logit",
    "logsumexp", "modified_bessel_i0", "modified_bessel_i1", "modified_bessel_k0",
    "modified_bessel_k1", "multigammaln", "ndtr", "ndtri", "polygamma", "psi", "round",
    "scaled_modified_bessel_k0", "scaled_modified_bessel_k1", "shifted_chebyshev_polynomial_t",
    "shifted_chebyshev_polynomial_u", "shifted_chebyshev_polynomial_v",
    "shifted_chebyshev_polynomial_w", "sinc", "softmax", "spherical_bessel_j0", "xlog1py",
    "xlogy", "zeta",
]  # fmt: skip
