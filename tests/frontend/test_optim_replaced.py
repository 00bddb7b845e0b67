"""State that an author takes out of an optimizer, or replaces, is seen by compiled steps too."""

from collections import defaultdict

import numpy as np
import pytest

import intaglio as ig
from intaglio import nn, optim


def trained(change, wrap, *, anew=False):
    """The parameters after five steps, a change of the optimizer's state, and three more."""
    ig.manual_seed(0)
    model = nn.Linear(3, 2)
    opt = optim.Adam(model.parameters(), lr=0.1)
    x = ig.tensor(np.arange(12, dtype=np.float32).reshape(4, 3) / 7)

    def step():
        opt.zero_grad()
        model(x).square().mean().backward()
        opt.step()

    run = wrap(step)
    for _ in range(5):
        run()
    if anew:  # what the change amounts to
        opt = optim.Adam(model.parameters(), lr=0.1)
    else:
        change(opt, list(model.parameters()))
    for _ in range(3):
        run()
    assert len(opt.state_dict()["state"]) == 2
    return [p.detach().numpy().tobytes() for p in model.parameters()]


def other_dict(opt, parameters):
    opt.state = defaultdict(dict)


def each_cleared(opt, parameters):
    for p in parameters:
        opt.state[p] = {}


@pytest.mark.parametrize("change", [other_dict, each_cleared])
def test_a_state_that_is_taken_away_starts_anew(change) -> None:
    wanted = trained(None, lambda f: f, anew=True)
    assert trained(change, lambda f: f) == wanted
    assert trained(change, ig.jit) == wanted


def test_one_parameter_starts_anew() -> None:
    def change(opt, parameters):
        del opt.state[parameters[1]]

    assert trained(change, ig.jit) == trained(change, lambda f: f)


def test_a_moment_that_is_replaced() -> None:
    def replaced(opt, parameters):
        for p in parameters:
            opt.state[p]["exp_avg"] = ig.zeros_like(p.detach())

    def written(opt, parameters):
        for p in parameters:
            opt.state[p]["exp_avg"].zero_()

    wanted = trained(written, lambda f: f)
    assert trained(replaced, lambda f: f) == wanted
    assert trained(replaced, ig.jit) == wanted


def test_a_state_that_was_taken_away_is_loaded() -> None:
    model = nn.Linear(3, 2)
    opt = optim.Adam(model.parameters(), lr=0.1)
    for p in model.parameters():
        p.grad = ig.ones_like(p.detach())
    opt.step()
    kept = {n: t.numpy().copy() for n, t, _ in opt.named_state()}
    saved = opt.state_dict()
    opt.state.clear()
    opt.load_state_dict(saved)
    for name, tensor, _ in opt.named_state():
        assert np.array_equal(tensor.numpy(), kept[name]), name


@pytest.mark.parametrize("momentum", [0.0, 0.9])
@pytest.mark.parametrize("wrap", [lambda f: f, ig.jit], ids=["eager", "jit"])
def test_a_list_of_parameters_that_is_changed(momentum, wrap) -> None:
    ps = [ig.ones(2).requires_grad_() for _ in range(3)]
    opt = optim.SGD(ps[:1], lr=0.5, momentum=momentum)
    x = ig.tensor([1.0, 2.0])

    def step():
        for p in ps:
            p.grad = None
        sum((p * x).sum() for p in ps).backward()
        opt.step()

    run = wrap(step)
    for _ in range(3):
        run()
    stopped = ps[0].tolist()
    opt.param_groups[0]["params"] = ps[1:2]
    run()
    assert ps[0].tolist() == stopped
    assert ps[1].tolist() == [0.5, 0.0]
    opt.param_groups[0]["params"].append(ps[2])
    run()
    assert ps[2].tolist() == [0.5, 0.0]


def test_a_parameter_that_goes_to_another_group_keeps_its_count() -> None:
    ps = [ig.ones(2).requires_grad_() for _ in range(2)]
    opt = optim.Adam([{"params": ps[:1]}, {"params": ps[1:], "lr": 0.1}])
    for p in ps:
        p.grad = ig.ones(2)
    for _ in range(3):
        opt.step()
    first = opt.param_groups[0]["params"].pop()
    opt.param_groups[1]["params"].append(first)
    opt.step()
    assert [float(v["step"]) for v in opt.state_dict()["state"].values()] == [4.0, 4.0]


def test_a_hook_that_is_added_is_called_by_compiled_steps() -> None:
    p = ig.ones(2).requires_grad_()
    opt = optim.SGD([p], lr=0.5)

    @ig.jit
    def step():
        opt.zero_grad()
        p.sum().backward()
        opt.step()

    def halve(*_):
        p.grad.mul_(0.5)

    step()
    handle = opt.register_step_pre_hook(halve)
    step()
    assert p.tolist() == [0.25, 0.25]
    handle.remove()
    step()
    assert p.tolist() == [-0.25, -0.25]


def test_parameters_that_get_their_shape_later() -> None:
    ig.manual_seed(0)
    model = nn.Sequential(nn.LazyLinear(4), nn.Tanh(), nn.LazyLinear(2))
    opt = optim.Adam(model.parameters(), lr=0.1)
    assert not [n for n, _, _ in opt.named_state() if "state" in n]
    x = ig.ones(3, 5)
    model(x)
    usual = [nn.Parameter(p.detach().clone()) for p in model.parameters()]
    other = optim.Adam(usual, lr=0.1)
    for _ in range(2):
        opt.zero_grad()
        model(x).square().mean().backward()
        for p, q in zip(model.parameters(), usual, strict=True):
            q.grad = p.grad
        opt.step()
        other.step()
    for p, q in zip(model.parameters(), usual, strict=True):
        assert p.tolist() == q.tolist()
