"""Optimizers by themselves: compiled steps have the bits of single ops; state can be taken over."""

import numpy as np
import pytest

import intaglio as ig
from intaglio import optim

CASES = {
    "sgd": ("SGD", {"lr": 0.05, "momentum": 0.9, "dampening": 0.1, "weight_decay": 0.1}),
    "nesterov": ("SGD", {"lr": 0.05, "momentum": 0.8, "nesterov": True}),
    "plain": ("SGD", {"lr": 0.05}),
    "adam": ("Adam", {"lr": 0.05, "weight_decay": 0.1, "amsgrad": True}),
    "adamw": ("AdamW", {"lr": 0.05, "maximize": True}),
}


def make(name, options):
    rng = np.random.default_rng(0)
    shapes = [(6, 4), (4,), (), (0, 3), (2, 3, 5)]
    ps = [ig.tensor(rng.standard_normal(s), dtype=ig.float32).requires_grad_() for s in shapes]
    return ps, getattr(optim, name)(ps, **options)


def steps(ps, opt, first, last):
    for k in range(first, last):
        opt.zero_grad()
        rng = np.random.default_rng(k)
        for p in ps[: 3 if k < 2 else 5]:
            p.grad = ig.tensor(rng.standard_normal(p.shape), dtype=ig.float32)
        if k == 6:
            opt.param_groups[0]["lr"] *= 0.5
        opt.step()


@pytest.mark.parametrize("case", CASES)
def test_compiled_steps_equal_single_ops(case, monkeypatch):
    compiled, opt = make(*CASES[case])
    steps(compiled, opt, 0, 10)
    monkeypatch.setenv("INTAGLIO_EAGER", "1")
    single, other = make(*CASES[case])
    steps(single, other, 0, 10)
    for a, b in zip(compiled, single, strict=True):
        np.testing.assert_array_equal(a.detach().numpy(), b.detach().numpy())
    for a, b in zip(opt.named_state(), other.named_state(), strict=True):
        assert (a[0], a[2]) == (b[0], b[2])
        np.testing.assert_array_equal(a[1].numpy(), b[1].numpy())


@pytest.mark.parametrize("case", CASES)
def test_state_is_taken_over(case):
    ps, opt = make(*CASES[case])
    steps(ps, opt, 0, 4)
    others, fresh = make(*CASES[case])
    for a, b in zip(ps, others, strict=True):
        with ig.no_grad():
            b.copy_(a)
    fresh.load_state_dict(opt.state_dict())
    steps(ps, opt, 4, 7)
    steps(others, fresh, 4, 7)
    for a, b in zip(ps, others, strict=True):
        np.testing.assert_array_equal(a.detach().numpy(), b.detach().numpy())


def test_a_view_is_stepped_too():
    whole = ig.zeros(4, 4)
    part = whole[1:3].requires_grad_()
    opt = optim.SGD([part], lr=1.0)
    for _ in range(4):
        part.grad = ig.ones(2, 4)
        opt.step()
    assert whole.numpy().sum() == -4.0 * 8


@pytest.mark.parametrize(
    ("name", "options"),
    [("SGD", {"lr": -1}), ("Adam", {"betas": (1.0, 0.9)}), ("SGD", {"nesterov": True})],
)
def test_arguments_are_checked(name, options):
    with pytest.raises(ig.ArgumentError, match=name):
        make(name, options)


def test_parameters_are_checked():
    with pytest.raises(ig.ArgumentError, match="no parameters"):
        optim.SGD([])
    p = ig.zeros(3).requires_grad_()
    with pytest.raises(ig.ArgumentError, match="two groups"):
        optim.SGD([{"params": [p]}, {"params": [p], "lr": 1.0}])
    with pytest.raises(TypeError, match="must be a Tensor"):
        optim.SGD([1.0])


def test_groups_have_options_of_their_own():
    a, b = ig.ones(3).requires_grad_(), ig.ones(3).requires_grad_()
    opt = optim.SGD([{"params": [a]}, {"params": [b], "lr": 0.5}], lr=0.25)
    a.grad, b.grad = ig.ones(3), ig.ones(3)
    opt.step()
    assert a.tolist() == [0.75] * 3
    assert b.tolist() == [0.5] * 3
    assert [n for n, _, _ in opt.named_state()][:2] == [
        "optim.groups.0.lr",
        "optim.groups.0.momentum",
    ]


def test_reset_starts_anew_eagerly_and_traced():
    ps, opt = make(*CASES["adam"])
    steps(ps, opt, 0, 4)
    opt.reset()
    kept = [t for _, t, kind in opt.named_state() if kind == "optimizer"]
    assert len(kept) == 2 + 3 * 5
    assert not any(t.numpy().any() for t in kept)
    steps(ps, opt, 0, 4)
    assert all(t.numpy().any() for t in kept if t.numel())
    assert opt.param_groups[0]["lr"] == 0.05
    program = ig.trace(opt.reset, name="init")
    program.init()
    assert not any(t.numpy().any() for t in kept)
