"""Activation functions beside NumPy: values, derivatives at the kinks, in place, compiled."""

import math

import numpy as np
import pytest

import intaglio as ig
import intaglio.nn.functional as F
from intaglio import nn

X = np.array([-7.0, -3.0, -2.0, -0.5, -0.25, 0.0, 0.25, 0.5, 1.0, 2.0, 3.0, 6.0, 40.0])
ALPHA, SCALE = 1.6732632423543772, 1.0507009873554805


def softplus(x):
    return np.maximum(x, 0) + np.log1p(np.exp(-np.abs(x)))


# name, arguments, the function in NumPy, the derivative at the kinks
CASES = [
    ("relu6", (), lambda x: np.clip(x, 0, 6), {0.0: 0, 6.0: 0, 1.0: 1}),
    ("hardtanh", (-2.0, 1.0), lambda x: np.clip(x, -2, 1), {-2.0: 0, 1.0: 0, 0.0: 1}),
    ("threshold", (0.5, 9.0), lambda x: np.where(x > 0.5, x, 9), {0.5: 0, 1.0: 1}),
    ("leaky_relu", (0.1,), lambda x: np.where(x > 0, x, x * 0.1), {0.0: 0.1}),
    ("elu", (2.0,), lambda x: np.where(x > 0, x, 2 * np.expm1(np.minimum(x, 0))), {0.0: 2}),
    ("celu", (2.0,), lambda x: np.where(x > 0, x, 2 * np.expm1(np.minimum(x, 0) / 2)), {0.0: 1}),
    (
        "selu", (), lambda x: SCALE * np.where(x > 0, x, ALPHA * np.expm1(np.minimum(x, 0))),
        {0.0: SCALE * ALPHA, 1.0: SCALE},
    ),
    ("hardshrink", (0.5,), lambda x: np.where(abs(x) > 0.5, x, 0), {0.5: 0, -0.5: 0, 1.0: 1}),
    (
        "softshrink", (0.5,), lambda x: np.sign(x) * np.maximum(abs(x) - 0.5, 0),
        {0.5: 0, -0.5: 0, 1.0: 1},
    ),
    ("hardsigmoid", (), lambda x: np.clip(x / 6 + 0.5, 0, 1), {-3.0: 0, 3.0: 0, 0.0: 1 / 6}),
    ("hardswish", (), lambda x: x * np.clip(x / 6 + 0.5, 0, 1), {-3.0: 0, 3.0: 1, 0.0: 0.5}),
    ("mish", (), lambda x: x * np.tanh(softplus(x)), {0.0: 0.6}),
    ("softsign", (), lambda x: x / (1 + abs(x)), {0.0: 1, 1.0: 0.25}),
    ("tanhshrink", (), lambda x: x - np.tanh(x), {0.0: 0}),
    ("logsigmoid", (), lambda x: -softplus(-x), {0.0: 0.5}),
]  # fmt: skip


@pytest.mark.parametrize(("name", "args", "reference", "slopes"), CASES, ids=[c[0] for c in CASES])
def test_values_slopes_and_bits(name, args, reference, slopes):
    function = getattr(F, name)
    x = ig.tensor(X).requires_grad_()
    y = function(x, *args)
    np.testing.assert_allclose(y.detach().numpy(), reference(X), rtol=1e-12, atol=1e-14)
    y.sum().backward()
    for at, slope in slopes.items():
        assert x.grad[int(np.flatnonzero(at == X)[0])].item() == pytest.approx(slope, abs=1e-12)
    smooth = ig.tensor(np.array([-2.3, -0.31, 0.2, 0.7, 4.1])).requires_grad_()
    assert ig.autograd.gradcheck(lambda t: function(t, *args), (smooth,))


def test_compiled_has_the_same_bits():
    def everything(x):
        return tuple(getattr(F, name)(x, *args) for name, args, _, _ in CASES)

    x = ig.tensor(X.astype(np.float32))
    for a, b in zip(everything(x), ig.jit(everything)(x), strict=True):
        np.testing.assert_array_equal(a.numpy().view(np.int32), b.numpy().view(np.int32))


def test_glu_prelu_rrelu():
    x = np.random.default_rng(0).standard_normal((2, 4, 3))
    a, b = x[:, :2], x[:, 2:]
    np.testing.assert_allclose(F.glu(ig.tensor(x), 1).numpy(), a / (1 + np.exp(-b)), rtol=1e-12)
    w = np.array([0.1, 0.2, 0.3, 0.4])
    expected = np.where(x > 0, x, x * w[:, None])
    np.testing.assert_allclose(F.prelu(ig.tensor(x), ig.tensor(w)).numpy(), expected)
    slope = F.rrelu(ig.tensor(-np.ones(1000)), 0.2, 0.4, training=True).numpy()
    assert -0.4 <= slope.min() < -0.38 < -0.22 < slope.max() <= -0.2
    np.testing.assert_allclose(F.rrelu(ig.tensor(x), 0.2, 0.4).numpy(), np.where(x > 0, x, 0.3 * x))


@pytest.mark.parametrize("name", ["relu", "elu", "selu", "celu", "leaky_relu", "hardtanh"])
def test_in_place(name):
    for call in (getattr(F, name + "_"), lambda x: getattr(F, name)(x, inplace=True)):
        x = ig.tensor(X)
        assert call(x) is x
        np.testing.assert_array_equal(x.numpy(), getattr(F, name)(ig.tensor(X)).numpy())


def test_layers_call_their_functions():
    x = ig.tensor(X)
    for layer, value in [
        (nn.CELU(2.0), F.celu(x, 2.0)), (nn.SELU(), F.selu(x)), (nn.Mish(), F.mish(x)),
        (nn.Hardtanh(-2.0, 1.0), F.hardtanh(x, -2.0, 1.0)), (nn.Hardswish(), F.hardswish(x)),
        (nn.Threshold(0.5, 9.0), F.threshold(x, 0.5, 9.0)), (nn.Hardsigmoid(), F.hardsigmoid(x)),
        (nn.Softshrink(0.25), F.softshrink(x, 0.25)), (nn.Hardshrink(), F.hardshrink(x)),
        (nn.RReLU().eval(), F.rrelu(x)), (nn.LogSigmoid(), F.logsigmoid(x)),
        (nn.Softmin(0), F.softmin(x, 0)), (nn.GLU(0), None),
    ]:  # fmt: skip
        if value is not None:
            np.testing.assert_array_equal(layer(x).numpy(), value.numpy())
    assert repr(nn.Threshold(0.5, 9.0)) == "Threshold(threshold=0.5, value=9.0)"
    assert nn.PReLU(3, dtype=ig.float64).weight.tolist() == [0.25] * 3


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda x: F.elu(x.to(ig.int64)), "elu: i64.13.: a floating-point dtype is wanted"),
        (lambda x: F.hardtanh(x, 2.0, 1.0), "min_val 2.0 is above max_val 1.0"),
        (lambda x: F.softshrink(x, -1.0), "lambd is 0 or more"),
        (lambda x: F.glu(x), "the size 13 of dim -1 is not even"),
        (lambda x: F.rrelu(x, 0.5, 0.1), "lower limit 0.5 is above"),
        (lambda x: F.rrelu(x, -math.inf, 0.1), "finite"),
        (lambda x: F.celu(x, 0.0), "alpha is 0"),
        (lambda x: F.prelu(x.reshape(1, -1), x[:2]), "not one for each of 13 channels"),
        (lambda x: F.gelu(x, "fast"), "approximate is 'none' or 'tanh'"),
    ],
)
def test_errors(call, message):
    with pytest.raises(ig.Error, match=message):
        call(ig.tensor(X))
