"""The gamma and error functions' families against SciPy, at the edges, and their derivatives."""

import numpy as np
import pytest

import intaglio as ig

scipy_special = pytest.importorskip("scipy.special")

EVERYWHERE = np.concatenate(
    [np.linspace(0.01, 4, 57), np.linspace(4, 40, 31), -np.linspace(0.03, 9.7, 41), [1e-300, 1e300]]
)
EDGES = np.array([0.0, -1.0, -2.0, np.inf, np.nan, 1.0, 2.0, 0.5])
UNIT = np.concatenate([np.linspace(0.001, 0.999, 51), [1e-300, 1e-30, 1e-8, 1 - 1e-12]])
WIDE = np.concatenate([np.linspace(-25, 25, 61), np.linspace(-1.5, 1.5, 31)])

CASES = {
    "lgamma": (ig.special.gammaln, scipy_special.gammaln, EVERYWHERE),
    "digamma": (ig.digamma, scipy_special.digamma, EVERYWHERE),
    "erfc": (ig.erfc, scipy_special.erfc, WIDE),
    "erfcx": (ig.special.erfcx, scipy_special.erfcx, WIDE),
    "erfinv": (ig.erfinv, scipy_special.erfinv, 2 * UNIT - 1),
    "ndtr": (ig.special.ndtr, scipy_special.ndtr, WIDE),
    "ndtri": (ig.special.ndtri, scipy_special.ndtri, UNIT),
    "log_ndtr": (ig.special.log_ndtr, scipy_special.log_ndtr, WIDE),
    "entr": (ig.special.entr, scipy_special.entr, WIDE),
    "sinc": (ig.sinc, np.sinc, WIDE),
}


def matches(ours, theirs, rtol=1e-12, atol=2e-15):
    np.testing.assert_allclose(ours.numpy(), theirs, rtol=rtol, atol=atol)


@pytest.mark.parametrize("name", CASES)
def test_values(name):
    function, reference, x = CASES[name]
    matches(function(ig.tensor(x)), reference(x))
    with np.errstate(over="ignore"):
        single = x.astype(np.float32)
        wanted = reference(single.astype(np.float64)).astype(np.float32)
    np.testing.assert_allclose(function(ig.tensor(single)).numpy(), wanted, rtol=5e-7, atol=1e-15)


@pytest.mark.parametrize("name", CASES)
def test_edges(name):
    function, reference, _ = CASES[name]
    edges = EDGES[np.isfinite(EDGES)] if name == "sinc" else EDGES
    matches(function(ig.tensor(edges)), reference(edges))


def test_signed_zeros_and_poles():
    made = ig.digamma(ig.tensor([0.0, -0.0, -3.0], dtype=ig.float64)).numpy()
    assert made[0] == -np.inf and made[1] == np.inf and np.isnan(made[2])
    assert np.all(ig.lgamma(ig.tensor([0.0, -1.0, -np.inf, np.inf])).numpy() == np.inf)


def test_polygamma():
    x = np.linspace(0.05, 30, 77)
    for n in range(5):
        matches(ig.polygamma(n, ig.tensor(x)), scipy_special.polygamma(n, x), 1e-12)
    below = np.array([-0.5, -1.3, -7.75])  # by psi_n(x) = psi_n(x + 1) - (-1)^n n! x^-(n+1)
    for n, factorial in ((1, 1), (2, 2), (3, 6)):
        up = ig.polygamma(n, ig.tensor(below + 1)).numpy() - (-1) ** n * factorial * below ** -(
            n + 1.0
        )
        matches(ig.polygamma(n, ig.tensor(below)), up, 1e-11)
    with pytest.raises(ig.Error, match="negative orders"):
        ig.polygamma(-1, ig.tensor(x))


def test_zeta():
    s, q = np.meshgrid([1.0, 1.25, 2, 3, 9, 40, 0.5], [0.2, 1, 3.5, 60])
    matches(ig.special.zeta(ig.tensor(s), ig.tensor(q)), scipy_special.zeta(s, q))
    below = ig.special.zeta(ig.tensor([3.0, 2.0, 2.5, 2.0]), ig.tensor([-1.5, -2.25, -0.5, -1.0]))
    tail = scipy_special.zeta([3, 2], [0.5, 0.75])
    direct = [(-1.5) ** -3 + (-0.5) ** -3, 2.25**-2 + 1.25**-2 + 0.25**-2]
    np.testing.assert_allclose(below.numpy()[:2], tail + direct, rtol=1e-6)
    assert np.isnan(below.numpy()[2]) and below.numpy()[3] == np.inf


def test_mvlgamma():
    x = np.linspace(2.1, 9, 13)
    wanted = [scipy_special.multigammaln(v, 4) for v in x]
    matches(ig.mvlgamma(ig.tensor(x), 4), wanted)
    with pytest.raises(ig.Error, match="at least 1"):
        ig.mvlgamma(ig.tensor(x), 0)


def test_products_with_logarithms():
    a, b = np.meshgrid([0.0, -0.0, 1.5, -2, np.nan], [0.0, 1.0, 2.5, np.inf, np.nan])
    matches(ig.xlogy(ig.tensor(a), ig.tensor(b)), scipy_special.xlogy(a, b))
    matches(ig.special.xlog1py(ig.tensor(a), ig.tensor(b)), scipy_special.xlog1py(a, b))


DERIVATIVES = {
    "lgamma": (ig.lgamma, [0.3, 1.7, 9.1, -2.4]),
    "digamma": (ig.digamma, [0.3, 1.7, 9.1, -2.4]),
    "polygamma": (lambda x: ig.polygamma(2, x), [0.8, 1.7, 9.1, -2.4]),
    "mvlgamma": (lambda x: ig.mvlgamma(x, 3), [1.8, 4.0]),
    "zeta": (lambda x: ig.special.zeta(x + 1.5, x), [0.7, 2.3]),
    "erfc": (ig.erfc, [-0.7, 2.0]),
    "erfcx": (ig.special.erfcx, [-0.7, 3.0]),
    "erfinv": (ig.erfinv, [-0.7, 0.2, 0.95]),
    "ndtr": (ig.special.ndtr, [-0.7, 2.0]),
    "ndtri": (ig.special.ndtri, [0.1, 0.6]),
    "log_ndtr": (ig.special.log_ndtr, [-5.0, -0.7, 2.0]),
    "entr": (ig.special.entr, [0.3, 2.0]),
    "sinc": (ig.sinc, [0.0, 0.1, 0.7, -3.4]),
    "xlogy": (lambda x: ig.xlogy(x, x * x), [0.3, 2.0]),
    "xlog1py": (lambda x: ig.special.xlog1py(x, x * x), [0.3, 2.0]),
}


@pytest.mark.parametrize("name", DERIVATIVES)
def test_derivatives(name):
    function, at = DERIVATIVES[name]
    x = ig.tensor(np.array(at), requires_grad=True)
    assert ig.autograd.gradcheck(function, (x,))
    assert ig.autograd.gradgradcheck(function, (x,))


@pytest.mark.parametrize("name", ["lgamma", "digamma", "ndtri", "sinc"])
def test_compiled_has_the_same_bits(name):
    function, _, x = CASES[name]
    x = x[np.abs(x) < 1e30]
    for dtype in (np.float64, np.float32):
        t = ig.tensor(x.astype(dtype))
        eager, compiled = function(t).numpy(), ig.jit(function)(t).numpy()
        assert np.array_equal(eager.view(np.uint8), compiled.view(np.uint8))
