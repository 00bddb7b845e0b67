"""Bessel and Airy functions, and orthogonal polynomials, against SciPy and NumPy."""

import numpy as np
import pytest

import intaglio as ig

sp = pytest.importorskip("scipy.special")

BOTH = np.concatenate([np.linspace(-37, 37, 75), [0.0, 1e-9, 7.999, 8.001, 4.999, 5.001]])
ABOVE = np.concatenate([np.linspace(0.02, 40, 70), [1e-9, 1.999, 2.001, 4.999, 5.001, 300.0]])
KINKED = ("i0e", "i1e")

CASES = {
    "i0": (sp.i0, BOTH),
    "i0e": (sp.i0e, BOTH),
    "i1": (sp.i1, BOTH),
    "i1e": (sp.i1e, BOTH),
    "modified_bessel_k0": (sp.k0, ABOVE),
    "modified_bessel_k1": (sp.k1, ABOVE),
    "scaled_modified_bessel_k0": (sp.k0e, ABOVE),
    "scaled_modified_bessel_k1": (sp.k1e, ABOVE),
    "bessel_j0": (sp.j0, BOTH),
    "bessel_j1": (sp.j1, BOTH),
    "bessel_y0": (sp.y0, ABOVE),
    "bessel_y1": (sp.y1, ABOVE),
    "spherical_bessel_j0": (lambda x: np.sinc(x / np.pi), BOTH),
    "airy_ai": (lambda x: sp.airy(x)[0], np.concatenate([np.linspace(-15, 60, 90), [-4.5, 2.1]])),
}


@pytest.mark.parametrize("name", CASES)
def test_values_and_edges(name):
    function = getattr(ig.special, name)
    reference, x = CASES[name]
    np.testing.assert_allclose(function(ig.tensor(x)).numpy(), reference(x), rtol=2e-13, atol=4e-15)
    single = x.astype(np.float32)
    wanted = reference(single.astype(np.float64)).astype(np.float32)
    np.testing.assert_allclose(function(ig.tensor(single)).numpy(), wanted, rtol=5e-7, atol=1e-15)
    if name != "spherical_bessel_j0":  # NumPy has no value at inf
        edges = np.array([0.0, np.inf, np.nan] + ([-1.0] if reference(-1.0) != 0 else []))
        np.testing.assert_allclose(
            function(ig.tensor(edges)).numpy(), reference(edges), rtol=1e-13, atol=0
        )


@pytest.mark.parametrize("name", CASES)
def test_derivatives(name):
    function = getattr(ig.special, name)
    below = [] if CASES[name][1] is ABOVE else [-1.2, -7.0, -8.8]
    at_zero = [] if CASES[name][1] is ABOVE or name in KINKED else [0.0]
    x = ig.tensor(np.array([0.3, 1.7, 4.2, 9.3, *below, *at_zero]), requires_grad=True)
    assert ig.autograd.gradcheck(function, (x,))
    assert ig.autograd.gradgradcheck(function, (x,))


def test_compiled_has_the_same_bits():
    def several(x):
        s = ig.special
        return ig.i0(x) + s.bessel_j1(x), s.modified_bessel_k0(x), s.airy_ai(x) * s.bessel_y0(x)

    x = ig.tensor(np.linspace(0.1, 12, 41))
    for ours, compiled in zip(several(x), ig.jit(several)(x), strict=True):
        assert np.array_equal(ours.numpy().view(np.uint64), compiled.numpy().view(np.uint64))


# ------------------------------------------------------------------------------------- polynomials


def shifted(function):
    return lambda n, x: function(n, 2 * x - 1)


def third(n, x):
    """V_n = U_n - U_(n-1)."""
    return sp.eval_chebyu(n, x) - sp.eval_chebyu(n - 1, x)


def fourth(n, x):
    """W_n = U_n + U_(n-1)."""
    return sp.eval_chebyu(n, x) + sp.eval_chebyu(n - 1, x)


POLYNOMIALS = {
    "chebyshev_polynomial_t": sp.eval_chebyt,
    "chebyshev_polynomial_u": sp.eval_chebyu,
    "chebyshev_polynomial_v": third,
    "chebyshev_polynomial_w": fourth,
    "shifted_chebyshev_polynomial_t": shifted(sp.eval_chebyt),
    "shifted_chebyshev_polynomial_u": shifted(sp.eval_chebyu),
    "shifted_chebyshev_polynomial_v": shifted(third),
    "shifted_chebyshev_polynomial_w": shifted(fourth),
    "hermite_polynomial_h": sp.eval_hermite,
    "hermite_polynomial_he": sp.eval_hermitenorm,
    "laguerre_polynomial_l": sp.eval_laguerre,
    "legendre_polynomial_p": sp.eval_legendre,
}


@pytest.mark.parametrize("name", POLYNOMIALS)
def test_polynomials(name):
    function, reference = getattr(ig.special, name), POLYNOMIALS[name]
    x = np.linspace(-1.3, 1.4, 28).reshape(4, 7)
    degrees = np.array([0, 1, 2, 5, 9, 40, 3])
    wanted = reference(degrees, x)
    np.testing.assert_allclose(
        function(ig.tensor(x), ig.tensor(degrees)).numpy(), wanted, rtol=1e-9, atol=1e-11
    )
    for n in (0, 1, 4, 40):
        one = function(ig.tensor(x), n).numpy()
        np.testing.assert_allclose(one, reference(n, x), rtol=1e-9, atol=1e-11)
        many = function(ig.tensor(x), ig.tensor(np.full(7, n))).numpy()
        assert np.array_equal(one, many)
    assert not function(ig.tensor(x), -1).numpy().any()
    assert not function(ig.tensor(x), ig.tensor([-3.0])).numpy().any()


@pytest.mark.parametrize("name", ["chebyshev_polynomial_t", "laguerre_polynomial_l"])
def test_polynomials_derivatives_and_traces(name):
    function = getattr(ig.special, name)
    x = ig.tensor(np.array([-0.7, 0.2, 0.9, 1.2]), requires_grad=True)
    n = ig.tensor([0, 1, 4, 7])
    for call in (lambda x: function(x, 5), lambda x: function(x, n)):
        assert ig.autograd.gradcheck(call, (x,))
        assert ig.autograd.gradgradcheck(call, (x,))
    compiled = ig.jit(lambda x: function(x, 5))(x)
    assert np.array_equal(compiled.detach().numpy(), function(x, 5).detach().numpy())
    with pytest.raises(ig.TraceError, match="depends on data"):
        ig.jit(function)(x, n)


def test_hermite_beyond_its_limit_is_nan():
    x = ig.tensor([0.5], dtype=ig.float64)
    assert np.isnan(ig.special.hermite_polynomial_h(x, 513).item())
    assert np.isnan(ig.special.hermite_polynomial_he(x, ig.tensor([600])).item())
