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
from intaglio._functions_number import sinc
from intaglio._functions_reduce import logsumexp
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
from intaglio.nn.functional import log_softmax, softmax

__all__ = [
    "digamma", "entr", "erf", "erfc", "erfcx", "erfinv", "exp2", "expit", "expm1", "gammaln",
    "log1p", "log_ndtr", "log_softmax", "logit", "logsumexp", "multigammaln", "ndtr", "ndtri",
    "polygamma", "psi", "round", "sinc", "softmax", "xlog1py", "xlogy", "zeta",
]  # fmt: skip
