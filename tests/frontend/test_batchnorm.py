"""Batch normalization: the statistics, their running means as state of programs, evaluation."""

import numpy as np
import pytest

import intaglio as ig
import intaglio.nn.functional as F
from intaglio import nn


def images(seed=0, shape=(4, 3, 5, 6), dtype=np.float32):
    return np.random.default_rng(seed).standard_normal(shape).astype(dtype) * 3 + 10


def test_training_standardizes_each_channel():
    made = nn.BatchNorm2d(3)(ig.tensor(images())).detach().numpy()
    np.testing.assert_allclose(made.mean((0, 2, 3)), 0, atol=1e-5)
    np.testing.assert_allclose(made.var((0, 2, 3)), 1, atol=1e-4)


def test_running_statistics_follow_the_batches():
    layer, mean, var = nn.BatchNorm2d(3), np.zeros(3), np.ones(3)
    for seed in range(3):
        x = images(seed)
        layer(ig.tensor(x))
        mean = 0.9 * mean + 0.1 * x.mean((0, 2, 3))
        var = 0.9 * var + 0.1 * x.var((0, 2, 3), ddof=1)
    np.testing.assert_allclose(layer.running_mean.numpy(), mean, rtol=1e-5)
    np.testing.assert_allclose(layer.running_var.numpy(), var, rtol=1e-5)
    assert layer.num_batches_tracked.item() == 3


def test_without_momentum_they_are_the_means_over_all_batches():
    layer = nn.BatchNorm1d(3, momentum=None)
    batches = [images(seed, (7, 3)) for seed in range(4)]
    for x in batches:
        layer(ig.tensor(x))
    mean = np.mean([x.mean(0) for x in batches], 0)
    np.testing.assert_allclose(layer.running_mean.numpy(), mean, rtol=1e-5)


def test_evaluation_uses_them_and_leaves_them():
    layer = nn.BatchNorm2d(3)
    layer(ig.tensor(images()))
    before = {k: v.numpy().copy() for k, v in layer.eval().state_dict().items()}
    x = images(1)
    made = layer(ig.tensor(x)).detach().numpy()
    mean, var = (before[k].reshape(3, 1, 1) for k in ("running_mean", "running_var"))
    np.testing.assert_allclose(made, (x - mean) / np.sqrt(var + 1e-5), rtol=1e-4, atol=1e-5)
    for key, value in layer.state_dict().items():
        np.testing.assert_array_equal(value.numpy(), before[key])


def test_no_digits_are_lost_far_from_zero():
    x = np.random.default_rng(0).standard_normal((8, 2, 40)) + 1e4
    made = F.batch_norm(ig.tensor(x.astype(np.float32)), None, None, training=True).numpy()
    x = x.astype(np.float32).astype(np.float64)
    expected = (x - x.mean((0, 2), keepdims=True)) / np.sqrt(x.var((0, 2), keepdims=True) + 1e-5)
    np.testing.assert_allclose(made, expected, atol=2e-3)


def test_derivatives_by_differences():
    x = ig.tensor(images(0, (3, 2, 4), np.float64)).requires_grad_()
    w = ig.tensor(np.array([0.7, -1.3])).requires_grad_()
    b = ig.tensor(np.array([0.1, 0.4])).requires_grad_()

    def norm(x, w, b):
        return F.batch_norm(x, None, None, w, b, training=True, eps=1e-3)

    assert ig.autograd.gradcheck(norm, (x, w, b))
    (first,) = ig.autograd.grad((norm(x, w, b) ** 3).sum(), x, create_graph=True)
    (second,) = ig.autograd.grad((first**2).sum(), x)
    step, direction = 1e-6, np.random.default_rng(1).standard_normal((3, 2, 4))

    def squares(array):
        t = ig.tensor(array).requires_grad_()
        (g,) = ig.autograd.grad((norm(t, w, b) ** 3).sum(), t)
        return (g.numpy() ** 2).sum()

    base = x.detach().numpy()
    difference = squares(base + step * direction) - squares(base - step * direction)
    assert abs((second.numpy() * direction).sum() - difference / (2 * step)) < 1e-3


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.norm, self.head = nn.BatchNorm2d(3), nn.Linear(3, 2)

    def forward(self, x):
        return self.head(F.adaptive_avg_pool2d(F.relu(self.norm(x)), 1).flatten(1))


def steps(module):
    """A train step that runs eagerly, compiled and traced."""
    opt = ig.optim.SGD(module.parameters(), lr=0.1, momentum=0.9)

    def train_step(x, y):
        opt.zero_grad()
        loss = F.cross_entropy(module(x), y)
        loss.backward()
        opt.step()
        return loss

    return train_step


def test_running_statistics_are_state_of_a_saved_train_step(tmp_path):
    batches = [(images(seed), np.arange(4) % 2) for seed in range(3)]
    nets = []
    for _ in range(3):
        ig.manual_seed(7)
        nets.append(Net())
    eager, compiled, traced = nets
    step, quick = steps(eager), ig.jit(steps(compiled))
    spec = (ig.spec(("n", 3, 5, 6), ig.float32), ig.spec(("n",), ig.int64))
    program = ig.trace(steps(traced), *spec, name="train_step")
    program.save(tmp_path / "net.ig")
    model = ig.load(tmp_path / "net.ig")
    for x, y in batches:
        first = step(ig.tensor(x), ig.tensor(y)).detach().numpy()
        second = quick(ig.tensor(x), ig.tensor(y)).detach().numpy()
        third = np.asarray(model(x, y))
        np.testing.assert_array_equal(first, second)
        np.testing.assert_array_equal(first, third)
    own = {k: v.numpy() for k, v in eager.state_dict().items()}
    for key, value in compiled.state_dict().items():
        np.testing.assert_array_equal(value.numpy(), own[key], err_msg=key)
    kept = {str(k).split(".", 1)[-1]: np.asarray(v) for k, v in model.state.items()}
    for key in ("norm.running_mean", "norm.running_var", "norm.num_batches_tracked"):
        (found,) = [v for k, v in kept.items() if k.endswith(key.split(".")[-1])]
        np.testing.assert_array_equal(found, own[key], err_msg=key)


def test_evaluation_and_training_are_different_compiled_functions():
    net = Net()
    run = ig.jit(lambda x: net(x))
    x = ig.tensor(images())
    training = run(x).detach().numpy()
    net.eval()
    evaluated = run(x).detach().numpy()
    np.testing.assert_array_equal(evaluated, net(x).detach().numpy())
    assert not np.array_equal(training, evaluated)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda x: nn.BatchNorm1d(3)(x), "BatchNorm1d: .*: 2 or 3 dimensions are wanted"),
        (lambda x: nn.BatchNorm2d(4)(x), "not that of 3 channels"),
        (lambda x: nn.BatchNorm1d(3)(x[:1, :, 0, 0]), "more than one value per channel"),
        (lambda x: F.batch_norm(x, None, None), "takes the running statistics"),
        (lambda x: F.group_norm(x, 2), "3 channels are not 2 equal groups"),
    ],
)
def test_errors(call, message):
    with pytest.raises(ig.Error, match=message):
        call(ig.tensor(images()))
