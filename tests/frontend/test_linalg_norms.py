"""Norms and distances: against NumPy, at corners and zeros, and their derivatives."""

from __future__ import annotations

import math

import numpy as np
import pytest

import intaglio as ig
from intaglio import linalg

RANDOM = np.random.default_rng(22)
X = RANDOM.standard_normal((2, 3, 4))
ORDERS = (2, 1, 0, math.inf, -math.inf, -1, 0.5, 3)


@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize("dim", [None, 1, (0, 2)])
def test_vector_norms(order, dim):
    found = linalg.vector_norm(ig.tensor(X), order, dim)
    axes = (0, 1, 2) if dim is None else dim
    expected = np.linalg.vector_norm(X, axis=axes, ord=order)
    np.testing.assert_allclose(found.numpy(), expected, rtol=1e-12)
    kept = linalg.vector_norm(ig.tensor(X), order, dim, keepdim=True)
    assert kept.ndim == 3


@pytest.mark.parametrize("order", ["fro", "nuc", 1, -1, 2, -2, math.inf, -math.inf])
@pytest.mark.parametrize("dim", [(-2, -1), (0, 1), (2, 0)])
def test_matrix_norms(order, dim):
    found = linalg.matrix_norm(ig.tensor(X), order, dim)
    expected = np.linalg.norm(X, order, dim)
    np.testing.assert_allclose(found.numpy(), expected, rtol=1e-12)
    kept = linalg.matrix_norm(ig.tensor(X), order, dim, keepdim=True)
    np.testing.assert_allclose(kept.numpy(), np.linalg.norm(X, order, dim, keepdims=True))


def test_norms_of_halves_do_not_overflow():
    made = linalg.vector_norm(ig.full((4,), 300.0, dtype=ig.float16))
    assert made.dtype is ig.float16
    assert made.item() == 600


def test_which_norm_is_meant():
    matrix, vector = ig.tensor(X[0]), ig.tensor(X[0, 0])
    assert linalg.norm(matrix, 2).item() == pytest.approx(np.linalg.norm(X[0], 2))
    assert linalg.norm(matrix).item() == pytest.approx(np.linalg.norm(X[0]))
    assert linalg.norm(vector, 1).item() == pytest.approx(np.abs(X[0, 0]).sum())
    assert linalg.norm(ig.tensor(X)).item() == pytest.approx(np.linalg.norm(X))
    assert ig.norm(matrix, "nuc").item() == pytest.approx(np.linalg.norm(X[0], "nuc"))
    assert ig.nuclear_norm(matrix).item() == pytest.approx(np.linalg.norm(X[0], "nuc"))
    with pytest.raises(ig.ShapeError, match="neither vector nor matrix"):
        linalg.norm(ig.tensor(X), 2)
    with pytest.raises(ig.ArgumentError, match="ord is"):
        linalg.matrix_norm(matrix, 3)
    with pytest.raises(ig.DTypeError, match="not floating-point"):
        linalg.norm(ig.arange(3))
    with pytest.raises(ig.ShapeError, match="of no elements"):
        linalg.vector_norm(ig.zeros(0), math.inf)


@pytest.mark.parametrize("order", [2, 1, 0.5, 3, math.inf, -math.inf])
def test_derivatives(order):
    x = ig.tensor(X[0], requires_grad=True)
    assert ig.autograd.gradcheck(lambda t: linalg.vector_norm(t, order, 1), [x])


@pytest.mark.parametrize("order", [2, 1, 0, 0.5, 3, math.inf])
def test_derivatives_at_zero_are_zero(order):
    x = ig.zeros(3, dtype=ig.float64, requires_grad=True)
    linalg.vector_norm(x, order).backward()
    np.testing.assert_array_equal(x.grad.numpy(), np.zeros(3))


@pytest.mark.parametrize("p", [2.0, 1.0, 0.0, 3.0, math.inf])
def test_distances(p):
    a, b = RANDOM.standard_normal((2, 4, 3)), RANDOM.standard_normal((5, 3))
    away = np.abs(a[:, :, None] - b[None, None])
    expected = np.linalg.vector_norm(away, axis=-1, ord=p)
    np.testing.assert_allclose(ig.cdist(ig.tensor(a), ig.tensor(b), p).numpy(), expected)


def test_distances_between_equal_points_have_the_derivative_zero():
    a = ig.tensor(X[0], requires_grad=True)
    made = ig.cdist(a, a)
    assert made.diagonal().abs().sum().item() == 0
    made.sum().backward()
    assert np.isfinite(a.grad.numpy()).all()
    b = ig.tensor(X[1], requires_grad=True)
    assert ig.autograd.gradcheck(ig.cdist, [ig.tensor(X[0], requires_grad=True), b])
