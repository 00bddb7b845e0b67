"""Optimizers beside torch's: 50 steps on a random problem, in f64, with options on."""

import numpy as np
import pytest

import intaglio as ig
from intaglio import optim

torch = pytest.importorskip("torch")
pytestmark = pytest.mark.torch

CASES = {
    "sgd": ("SGD", {"lr": 0.05}),
    "sgd_momentum": ("SGD", {"lr": 0.05, "momentum": 0.9}),
    "sgd_dampening": ("SGD", {"lr": 0.05, "momentum": 0.9, "dampening": 0.1, "weight_decay": 0.1}),
    "sgd_nesterov": ("SGD", {"lr": 0.05, "momentum": 0.8, "nesterov": True, "weight_decay": 0.01}),
    "sgd_maximize": ("SGD", {"lr": 0.001, "maximize": True}),
    "adam": ("Adam", {"lr": 0.05}),
    "adam_options": ("Adam", {"lr": 0.05, "betas": (0.8, 0.95), "eps": 1e-4, "weight_decay": 0.1}),
    "adam_amsgrad": ("Adam", {"lr": 0.05, "amsgrad": True}),
    "adamw": ("AdamW", {"lr": 0.05}),
    "adamw_options": ("AdamW", {"lr": 0.05, "weight_decay": 0.3, "amsgrad": True}),
}


def run(lib, optimizers, name, options, steps=50):
    rng = np.random.default_rng(0)
    a, b = lib.tensor(rng.standard_normal((6, 4))), lib.tensor(rng.standard_normal((6, 3)))
    w = lib.tensor(rng.standard_normal((4, 3))).requires_grad_()
    c = lib.tensor(rng.standard_normal(3)).requires_grad_()
    late = lib.tensor(rng.standard_normal(3)).requires_grad_()
    opt = getattr(optimizers, name)([w, c, late], **options)
    losses = []
    for step in range(steps):
        opt.zero_grad()
        d = a @ w + c - b
        loss = (d * d).mean()
        if step >= 5:  # a parameter that gets its first gradient later
            loss = loss + (late * late * late).sum() * 0.01
        loss.backward()
        opt.step()
        losses.append(float(loss.item()))
    return losses, [w.detach().numpy(), c.detach().numpy(), late.detach().numpy()], opt


@pytest.mark.parametrize("name", CASES)
def test_equals_torch(name):
    ours, theirs = run(ig, optim, *CASES[name]), run(torch, torch.optim, *CASES[name])
    np.testing.assert_allclose(ours[0], theirs[0], rtol=1e-9)
    for a, b in zip(ours[1], theirs[1], strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-9, atol=1e-12)


def test_takes_over_torchs_state():
    _, weights, theirs = run(torch, torch.optim, "Adam", {"lr": 0.05})
    parameters = [ig.tensor(w.copy()).requires_grad_() for w in weights]
    opt = optim.Adam(parameters)
    opt.load_state_dict(theirs.state_dict())
    assert opt.param_groups[0]["lr"] == 0.05
    saved = opt.state_dict()["state"]
    assert [float(saved[k]["step"].item()) for k in range(3)] == [50, 50, 45]
