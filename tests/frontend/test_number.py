"""Functions of how numbers are written: bits of floats, divisors, signs, against NumPy."""

import numpy as np
import pytest

import intaglio as ig

FLOATS = np.array(
    [0.0, -0.0, 1.0, -1.5, 3e-320, -1e-310, 2.0**-1022, 1e300, np.inf, -np.inf, np.nan]
)


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_nextafter(dtype):
    with np.errstate(over="ignore"):
        a, b = np.meshgrid(FLOATS.astype(dtype), FLOATS.astype(dtype))
    made = ig.nextafter(ig.tensor(a), ig.tensor(b)).numpy()
    wanted = np.nextafter(a, b)
    assert made.dtype == dtype
    np.testing.assert_array_equal(made, wanted)
    numbers = ~np.isnan(wanted)
    assert np.array_equal(np.signbit(made)[numbers], np.signbit(wanted)[numbers])
    with pytest.raises(ig.DTypeError, match="floating-point"):
        ig.nextafter(ig.tensor([1]), ig.tensor([2]))


@pytest.mark.parametrize("dtype", [np.float64, np.float32, np.float16])
def test_frexp_and_ldexp(dtype):
    with np.errstate(over="ignore"):
        x = FLOATS.astype(dtype)
    made = ig.frexp(ig.tensor(x))
    mantissa, exponent = np.frexp(x)
    finite = np.isfinite(x)
    np.testing.assert_array_equal(made.mantissa.numpy(), mantissa)
    np.testing.assert_array_equal(made.exponent.numpy()[finite], exponent[finite])
    assert made.exponent.dtype is ig.int32
    small = ig.tensor(np.array([0.3, -5.0, 7.25]), requires_grad=True)
    back = ig.ldexp(ig.frexp(small)[0], ig.frexp(small)[1])
    assert np.array_equal(back.detach().numpy(), small.detach().numpy())
    assert ig.autograd.gradcheck(lambda x: ig.frexp(x)[0], (small,))


@pytest.mark.parametrize("dtype", [np.int8, np.uint8, np.int32, np.int64])
def test_divisors(dtype):
    info = np.iinfo(dtype)
    a, b = np.meshgrid(
        np.array([0, 1, 6, 35, 55, 89, info.max, max(info.min, -100)], dtype),
        np.array([0, 1, 4, 21, 34, 55, info.max - 1], dtype),
    )
    np.testing.assert_array_equal(ig.gcd(ig.tensor(a), ig.tensor(b)).numpy(), np.gcd(a, b))
    small = (np.abs(a.astype(float)) <= 10) & (b <= 10)
    np.testing.assert_array_equal(
        ig.lcm(ig.tensor(a[small]), ig.tensor(b[small])).numpy(), np.lcm(a[small], b[small])
    )
    with pytest.raises(ig.DTypeError, match="integers are wanted"):
        ig.gcd(ig.tensor([1.5]), ig.tensor([2.5]))


def test_the_longest_division():
    fibonacci = [1, 1]
    while fibonacci[-1] + fibonacci[-2] < 2**63:
        fibonacci.append(fibonacci[-1] + fibonacci[-2])
    a, b = ig.tensor([fibonacci[-1]]), ig.tensor([fibonacci[-2]])
    assert ig.gcd(a, b).item() == 1
    assert ig.jit(ig.gcd)(a, b).item() == 1


def test_signs_steps_and_parts():
    x = ig.tensor(FLOATS)
    assert np.array_equal(ig.signbit(x).numpy(), np.signbit(FLOATS))
    assert np.array_equal(ig.isposinf(x).numpy(), np.isposinf(FLOATS))
    assert np.array_equal(ig.isneginf(x).numpy(), np.isneginf(FLOATS))
    assert ig.isreal(x).all().item()
    np.testing.assert_array_equal(x.angle().numpy(), np.angle(FLOATS + 0.0))
    half = np.full(FLOATS.shape, 0.5)
    wanted = np.where(np.isnan(FLOATS), 0.0, np.heaviside(FLOATS, half))
    np.testing.assert_array_equal(ig.heaviside(x, ig.tensor(half)).numpy(), wanted)
    with pytest.raises(ig.DTypeError, match="dtypes differ"):
        ig.heaviside(x, ig.tensor([1], dtype=ig.int32))
    assert x.real is x and x.conj() is x and ig.resolve_neg(x) is x
    with pytest.raises(ig.DTypeError, match="no imaginary part"):
        ig.imag(x)


def test_logaddexp2():
    a, b = np.meshgrid(
        [-np.inf, -1100.0, -1.0, 0.5, 2000.0, np.inf], [-np.inf, -1101.0, 3.0, 1999.0]
    )
    made = ig.logaddexp2(ig.tensor(a), ig.tensor(b)).numpy()
    np.testing.assert_allclose(made, np.logaddexp2(a, b), rtol=1e-14)
    x = ig.tensor(np.array([0.3, -2.0]), requires_grad=True)
    y = ig.tensor(np.array([1.3, -2.5]), requires_grad=True)
    assert ig.autograd.gradcheck(ig.logaddexp2, (x, y))
