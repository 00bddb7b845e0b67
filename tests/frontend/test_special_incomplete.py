"""The incomplete gamma functions against SciPy in every region, at the edges, and derivatives."""

import numpy as np
import pytest

import intaglio as ig

sp = pytest.importorskip("scipy.special")

ORDERS = [1e-8, 1e-3, 0.3, 1, 1.5, 9.9, 10, 40, 199, 201, 1000]
RATIOS = [1e-3, 0.2, 0.39, 0.41, 0.8, 0.999, 1, 1.001, 1.2, 2.1, 2.3, 4]
A, X = np.array([(a, r * max(a, 0.3)) for a in ORDERS for r in RATIOS]).T
PAIRS = [(ig.igamma, sp.gammainc), (ig.igammac, sp.gammaincc)]
IDS = ["lower", "upper"]


@pytest.mark.parametrize(("function", "reference"), PAIRS, ids=IDS)
def test_values(function, reference):
    made, wanted = function(ig.tensor(A), ig.tensor(X)).numpy(), reference(A, X)
    seen = wanted > 1e-250
    np.testing.assert_allclose(made[seen], wanted[seen], rtol=4e-12)
    assert np.all(made[~seen] < 1e-249)
    small = function(ig.tensor(A.astype(np.float32)), ig.tensor(X.astype(np.float32))).numpy()
    wanted = reference(A.astype(np.float32).astype(float), X.astype(np.float32).astype(float))
    np.testing.assert_allclose(small, wanted.astype(np.float32), rtol=2e-7, atol=1e-38)


@pytest.mark.parametrize(("function", "reference"), PAIRS, ids=IDS)
def test_edges(function, reference):
    a, x = np.meshgrid([0.0, 1.0, -1.0, np.inf, 300.0], [0.0, 0.5, -1.0, np.inf, 300.0])
    made, wanted = function(ig.tensor(a), ig.tensor(x)).numpy(), reference(a, x)
    origin = (a == 0) & (x == 0)  # torch has NaN there, SciPy a limit
    assert np.isnan(made[origin]).all()
    np.testing.assert_allclose(made[~origin], wanted[~origin], rtol=1e-13)


def test_the_two_add_up_to_one():
    both = ig.igamma(ig.tensor(A), ig.tensor(X)) + ig.igammac(ig.tensor(A), ig.tensor(X))
    np.testing.assert_allclose(both.numpy(), 1.0, rtol=4e-15)


@pytest.mark.parametrize("function", [p[0] for p in PAIRS], ids=IDS)
def test_derivatives(function):
    a = ig.tensor(np.array([0.3, 2.0, 2.0, 0.1, 15, 250]), requires_grad=True)
    x = ig.tensor(np.array([0.5, 0.7, 5.0, 0.2, 12.0, 240]), requires_grad=True)
    assert ig.autograd.gradcheck(function, (a, x))


def test_compiled_has_the_same_bits():
    a, x = ig.tensor(A[::5].copy()), ig.tensor(X[::5].copy())
    compiled = ig.jit(ig.igammac)(a, x).numpy()
    assert np.array_equal(ig.igammac(a, x).numpy().view(np.uint64), compiled.view(np.uint64))


def test_numbers_are_refused():
    with pytest.raises(ig.Error, match="must be a tensor"):
        ig.igamma(ig.tensor([1.0]), 2.0)
