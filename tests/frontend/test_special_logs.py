"""Inverse hyperbolic functions, sums of logarithms and the hypotenuse over the whole range."""

import numpy as np
import pytest

import intaglio as ig

SIZES = [0.0, 5e-324, 1e-310, 1e-160, 1e-9, 0.3, 0.999999, 1.0, 1.5, 30.0, 1e9, 1e10, 1e160, 1e308]
WIDE = np.array([*SIZES, *[-s for s in SIZES], np.inf, -np.inf, np.nan])


@pytest.mark.parametrize("name", ["asinh", "acosh", "atanh"])
def test_inverses(name):
    for dtype, rtol in ((np.float64, 2e-15), (np.float32, 3e-7)):
        with np.errstate(all="ignore"):
            x = WIDE.astype(dtype)
            wanted = getattr(np, f"arc{name[1:]}")(x)
        made = getattr(ig, name)(ig.tensor(x)).numpy()
        np.testing.assert_allclose(made, wanted, rtol=rtol, atol=0)
        assert np.array_equal(np.signbit(made[wanted == 0]), np.signbit(wanted[wanted == 0]))


def test_hypotenuse():
    a, b = np.meshgrid(WIDE, WIDE)
    with np.errstate(all="ignore"):
        np.testing.assert_allclose(
            ig.hypot(ig.tensor(a), ig.tensor(b)).numpy(), np.hypot(a, b), rtol=5e-16
        )
    corner = ig.tensor([0.0, 3.0], requires_grad=True)
    ig.hypot(corner, ig.tensor([0.0, 4.0])).sum().backward()
    np.testing.assert_allclose(corner.grad.numpy(), [0.0, 0.6], rtol=1e-6)


@pytest.mark.parametrize("name", ["logaddexp", "logaddexp2"])
def test_sums(name):
    a, b = np.meshgrid([-np.inf, -1100.0, -20, -0.5, 0, 700, np.inf], [-np.inf, -1101.0, 0, 3, 1e3])
    made = getattr(ig, name)(ig.tensor(a), ig.tensor(b)).numpy()
    np.testing.assert_allclose(made, getattr(np, name)(a, b), rtol=1e-15, atol=3e-16)


@pytest.mark.parametrize("name", ["asinh", "acosh", "atanh", "hypot", "logaddexp", "logaddexp2"])
def test_derivatives(name):
    start = {"acosh": [1.3, 40.0], "atanh": [-0.6, 0.2]}.get(name, [-1.3, 0.4])
    x = ig.tensor(np.array(start), requires_grad=True)
    y = ig.tensor(np.array([0.7, 2.5]), requires_grad=True)
    operands = (x,) if name.startswith("a") else (x, y)
    assert ig.autograd.gradcheck(getattr(ig, name), operands)
    assert ig.autograd.gradgradcheck(getattr(ig, name), operands)


def test_integers_to_negative_powers():
    base, power = np.meshgrid([-3, -1, 0, 1, 2], [-3, -2, -1, 0, 1, 5])
    made = ig.pow(ig.tensor(base), ig.tensor(power)).numpy()
    with np.errstate(all="ignore"):
        wanted = np.where(base == 0, power == 0, np.trunc(np.float64(base) ** power))
    np.testing.assert_array_equal(made, wanted)
