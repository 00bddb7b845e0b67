"""Initialisers: statistics, exact values, errors, and traces."""

import math

import numpy as np
import pytest

import intaglio as ig
from intaglio.nn import init


def drawn(name, *shape, **options):
    ig.manual_seed(0)
    tensor = ig.empty(*shape)
    assert getattr(init, name)(tensor, **options) is tensor
    return tensor.numpy()


@pytest.mark.parametrize(
    ("name", "options", "std", "bound"),
    [
        ("uniform_", {"a": -1.0, "b": 3.0}, 4 / math.sqrt(12), 3.0),
        ("normal_", {"mean": 1.0, "std": 0.5}, 0.5, None),
        ("xavier_uniform_", {"gain": 2.0}, 2 * math.sqrt(2 / (600 + 500)), None),
        ("xavier_normal_", {}, math.sqrt(2 / (600 + 500)), None),
        ("kaiming_uniform_", {"nonlinearity": "relu"}, math.sqrt(2 / 500), math.sqrt(6 / 500)),
        ("kaiming_normal_", {"a": 1.0, "mode": "fan_out"}, math.sqrt(1 / 600), None),
    ],
)
def test_statistics(name, options, std, bound):
    x = drawn(name, 600, 500, **options)
    mean = {"uniform_": 1.0, "normal_": 1.0}.get(name, 0.0)
    assert x.std() == pytest.approx(std, rel=0.01)
    assert x.mean() == pytest.approx(mean, abs=0.01 * std + 0.002)
    if bound is not None:
        assert 0.99 * bound < x.max() <= bound


def test_a_limited_normal():
    x = drawn("trunc_normal_", 400, 400, mean=1.0, std=2.0, a=0.0, b=2.0)
    assert 0.0 <= x.min() < 0.001 and 1.999 < x.max() <= 2.0
    density = math.exp(-0.125) / math.sqrt(2 * math.pi)
    share = math.erf(0.5 / math.sqrt(2))
    assert x.std() == pytest.approx(2 * math.sqrt(1 - density / share), rel=0.01)
    assert x.mean() == pytest.approx(1.0, abs=0.005)
    with pytest.warns(UserWarning, match="2 std"):
        init.trunc_normal_(ig.empty(3), mean=9.0)


def test_exact_values():
    assert drawn("eye_", 2, 3).tolist() == [[1, 0, 0], [0, 1, 0]]
    assert drawn("ones_", 2).tolist() == [1, 1] and drawn("zeros_", 2).tolist() == [0, 0]
    assert drawn("constant_", 2, val=0.5).tolist() == [0.5, 0.5]
    weight = drawn("dirac_", 4, 2, 3, 3, groups=2)
    expected = np.zeros((4, 2, 3, 3), np.float32)
    expected[[0, 1, 2, 3], [0, 1, 0, 1], 1, 1] = 1
    np.testing.assert_array_equal(weight, expected)
    x = ig.randn(1, 3, 5)
    y = ig.nn.functional.conv1d(x, ig.tensor(drawn("dirac_", 3, 3, 3)), padding=1)
    np.testing.assert_array_equal(y.numpy(), x.numpy())


@pytest.mark.parametrize("shape", [(8, 5), (5, 8), (6, 2, 3)])
def test_orthogonal(shape):
    q = drawn("orthogonal_", *shape, gain=2.0).reshape(shape[0], -1)
    small = q if q.shape[0] <= q.shape[1] else q.T
    np.testing.assert_allclose(small @ small.T, 4 * np.eye(len(small)), atol=1e-5)


def test_sparse():
    x = drawn("sparse_", 10, 40, sparsity=0.25, std=0.1)
    assert ((x == 0).sum(0) == 3).all()
    assert x[x != 0].std() == pytest.approx(0.1, rel=0.15)
    assert len({tuple(np.flatnonzero(column == 0)) for column in x.T}) > 10


def test_gains():
    assert init.calculate_gain("conv_transpose2d") == init.calculate_gain("linear") == 1.0
    assert init.calculate_gain("leaky_relu", 1.0) == pytest.approx(1.0)
    assert init.calculate_gain("tanh") == pytest.approx(5 / 3)
    for bad in [("swish",), ("leaky_relu", True)]:
        with pytest.raises(ig.ArgumentError, match="calculate_gain"):
            init.calculate_gain(*bad)


@pytest.mark.parametrize(
    ("name", "shape", "options"),
    [
        ("eye_", (2, 2, 2), {}),
        ("dirac_", (2, 2), {}),
        ("dirac_", (3, 2, 2), {"groups": 2}),
        ("xavier_normal_", (3,), {}),
        ("kaiming_normal_", (3, 3), {"mode": "fan"}),
        ("orthogonal_", (3,), {}),
        ("sparse_", (3,), {"sparsity": 0.5}),
    ],
)
def test_errors(name, shape, options):
    with pytest.raises(ig.ArgumentError):
        drawn(name, *shape, **options)


def test_a_stream_of_its_own():
    names = ["uniform_", "normal_", "trunc_normal_", "xavier_normal_", "kaiming_uniform_",
             "orthogonal_"]  # fmt: skip
    for name in names:
        before = ig.get_rng_state().tolist()
        made = []
        for _ in range(2):
            own = ig.Generator().manual_seed(5)
            made.append(getattr(init, name)(ig.empty(3, 4), generator=own).numpy())
        np.testing.assert_array_equal(*made)
        assert ig.get_rng_state().tolist() == before


def test_draws_trace_with_equal_bits():
    tensors = [ig.empty(4, 3) for _ in range(4)]

    def start():
        init.trunc_normal_(tensors[0], std=0.02)
        init.kaiming_uniform_(tensors[1])
        init.sparse_(tensors[2], 0.5)
        init.xavier_normal_(tensors[3])

    ig.manual_seed(3)
    start()
    eager = [t.numpy().copy() for t in tensors]
    ig.manual_seed(3)
    ig.jit(start)()
    for a, b in zip(eager, tensors, strict=True):
        np.testing.assert_array_equal(a, b.numpy())
