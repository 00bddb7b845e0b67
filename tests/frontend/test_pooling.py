"""Pooling: meaning by hand, errors, equal bits eager, compiled and from a file, symbolic sizes,
derivatives of several orders."""

import numpy as np
import pytest

import intaglio as ig
import intaglio.nn.functional as F
from intaglio import nn


def windows(x, k, s, p, fill):
    """Every 2d window of an image [h, w], by hand."""
    wide = np.pad(x, p, constant_values=fill)
    rows = range(0, wide.shape[0] - k + 1, s)
    return [[wide[i : i + k, j : j + k] for j in range(0, wide.shape[1] - k + 1, s)] for i in rows]


X = np.random.default_rng(0).standard_normal((2, 9, 11)).astype(np.float32)


def test_means_and_maxima_by_hand():
    found = F.max_pool2d(ig.tensor(X), 3, 2, 1).numpy()
    expected = [[[w.max() for w in row] for row in windows(x, 3, 2, 1, -np.inf)] for x in X]
    np.testing.assert_array_equal(found, np.array(expected, np.float32))
    found = F.avg_pool2d(ig.tensor(X), 3, 2, 1).numpy()
    expected = [[[w.mean() for w in row] for row in windows(x, 3, 2, 1, 0)] for x in X]
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-6)


def test_positions_read_back_the_maxima():
    x = ig.tensor(X)
    for options in ({"kernel_size": 3, "stride": 2, "padding": 1}, {"kernel_size": (6, 5)}):
        values, positions = F.max_pool2d(x, return_indices=True, **options)
        read = x.reshape(2, -1).gather(1, positions.reshape(2, -1))
        np.testing.assert_array_equal(read.numpy(), values.reshape(2, -1).numpy())


def test_the_first_maximum_gets_the_derivative():
    x = ig.zeros((1, 1, 4, 4), dtype=ig.float64).requires_grad_()
    F.max_pool2d(x, 2).sum().backward()
    assert x.grad.numpy()[0, 0].tolist() == [[1, 0, 1, 0], [0] * 4, [1, 0, 1, 0], [0] * 4]


def test_integers_are_pooled():
    x = ig.arange(16).reshape(1, 4, 4)
    assert F.max_pool2d(x, 2).numpy().tolist() == [[[5, 7], [13, 15]]]


def test_derivatives_of_several_orders():
    x = ig.tensor(X[:, :5, :6].astype(np.float64)).requires_grad_()
    assert ig.autograd.gradcheck(lambda x: F.max_pool2d(x, 3, 2, 1), (x,))
    assert ig.autograd.gradcheck(lambda x: F.avg_pool2d(x, 3, 2, 1, False, False), (x,))
    (first,) = ig.autograd.grad((F.avg_pool2d(x, 2) ** 3).sum(), x, create_graph=True)
    (second,) = ig.autograd.grad((first**2).sum(), x)
    assert np.isfinite(second.numpy()).all()


def net(x):
    y = F.max_pool2d(x, 3, 2, 1)
    y = y + F.avg_pool2d(x, 3, 2, 1, count_include_pad=False)
    return F.adaptive_avg_pool2d(F.relu(y), 1), F.max_pool2d(x, 2, return_indices=True)[1]


def test_the_same_bits_eager_compiled_and_loaded(tmp_path):
    x = np.random.default_rng(1).standard_normal((3, 2, 12, 15)).astype(np.float32)
    eager = [r.numpy() for r in net(ig.tensor(x))]
    compiled = [r.numpy() for r in ig.jit(net)(ig.tensor(x))]
    program = ig.trace(net, ig.spec(("n", 2, "h", "w"), ig.float32))
    program.save(tmp_path / "pool.ig")
    loaded = ig.load(tmp_path / "pool.ig")(x)
    for a, b, c in zip(eager, compiled, loaded, strict=True):
        np.testing.assert_array_equal(a, b)
        np.testing.assert_array_equal(a, c)


def test_gradients_are_the_same_bits_eager_and_compiled():
    x = np.random.default_rng(1).standard_normal((2, 3, 13, 14)).astype(np.float32)

    def loss(x):
        return (F.max_pool2d(x, 3, 2, 1) ** 2).sum() + (F.avg_pool2d(x, 3, 2, 1) ** 2).sum()

    eager = ig.func.grad(loss)(ig.tensor(x)).numpy()
    compiled = ig.jit(ig.func.grad(loss))(ig.tensor(x)).numpy()
    np.testing.assert_array_equal(eager, compiled)


def test_repeating_and_its_derivative():
    x = ig.tensor(X[None]).requires_grad_()
    y = F.interpolate(x, scale_factor=(2, 3))
    np.testing.assert_array_equal(y.detach().numpy(), X[None].repeat(2, 2).repeat(3, 3))
    y.sum().backward()
    assert (x.grad.numpy() == 6).all()


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda x: F.max_pool2d(x, 3, padding=2), "padding 2 is not between 0 and half"),
        (lambda x: F.max_pool1d(x[0, 0], 3), "max_pool1d: .*: 3 dimensions are wanted"),
        (lambda x: F.max_pool2d(x, 20), "a window spans 20, more than the 11 there"),
        (lambda x: F.avg_pool2d(x, (1, 2, 3)), "kernel_size is an integer or 2 of them"),
        (lambda x: F.avg_pool2d(x, 2, divisor_override=0), "divisor_override is 0"),
        (lambda x: F.adaptive_avg_pool2d(x, (1, 2, 3)), "output_size is a size or 2"),
        (lambda x: F.interpolate(x[None], mode="trilinear", size=4), "'trilinear' is no mode"),
        (lambda x: F.pixel_shuffle(x, 2), "2 channels are no multiple of 4"),
        (lambda x: nn.Conv2d(3, 4, 3, groups=2), "3 to 4 channels are not 2 equal groups"),
    ],
)
def test_errors(call, message):
    with pytest.raises(ig.Error, match=message):
        call(ig.tensor(X))
