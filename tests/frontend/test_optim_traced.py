"""Every optimizer gives the same bits eagerly, compiled, traced and from the file."""

import numpy as np
import pytest

import intaglio as ig
from intaglio import optim

SETS = {
    "simple": {
        "SGD": {"lr": 0.05, "momentum": 0.9, "dampening": 0.1, "weight_decay": 0.1},
        "Adam": {"lr": 0.05, "amsgrad": True, "weight_decay": 0.1},
        "RMSprop": {"momentum": 0.5, "centered": True},
        "Adagrad": {"lr_decay": 0.1, "initial_accumulator_value": 0.1},
        "Adadelta": {"weight_decay": 0.1},
        "Lion": {"lr": 0.01, "weight_decay": 0.1, "maximize": True},
    },
    "involved": {
        "Adamax": {"lr": 0.05},
        "NAdam": {"weight_decay": 0.1, "decoupled_weight_decay": True},
        "RAdam": {"betas": (0.8, 0.9), "weight_decay": 0.1},
        "Rprop": {"lr": 0.05},
        "ASGD": {"t0": 2, "weight_decay": 0.1},
        "Adafactor": {"lr": 0.1, "weight_decay": 0.1},
        "Muon": {"lr": 0.05},
    },
}
STEPS = 6


class Training:
    """Several optimizers, each with parameters of its own, that share one loss."""

    def __init__(self, names):
        rng = np.random.default_rng(0)
        self.weights, self.others, self.optimizers = [], [], []
        for name, options in names.items():
            w, b = (ig.tensor(rng.standard_normal(s), dtype=ig.float32) for s in ((3, 2), ()))
            self.weights.append(w.requires_grad_())
            self.others.append(b.requires_grad_())
            ps = [w] if name == "Muon" else [w, b]
            self.optimizers.append(getattr(optim, name)(ps, **options))

    def step(self, x):
        losses = [((x @ w + b) ** 2).mean() for w, b in zip(self.weights, self.others, strict=True)]
        loss = ig.stack(losses).sum()
        loss.backward()
        for opt in self.optimizers:
            opt.step()
        for p in [*self.weights, *self.others]:
            p.grad = None
        return loss

    def state(self):
        found = {}
        for k, opt in enumerate(self.optimizers):
            found |= {f"{k} {name}": t.numpy().copy() for name, t, _ in opt.named_state()}
            found |= {f"{k} w": self.weights[k].detach().numpy().copy()}
            found |= {f"{k} b": self.others[k].detach().numpy().copy()}
        return found


def batches():
    rng = np.random.default_rng(1)
    return [ig.tensor(rng.standard_normal((4, 3)), dtype=ig.float32) for _ in range(STEPS)]


def same(one, two):
    assert one.keys() == two.keys()
    for name in one:
        np.testing.assert_array_equal(one[name], two[name], err_msg=name)


@pytest.mark.parametrize("names", SETS)
def test_same_bits_eager_jit_program_and_file(names, monkeypatch, tmp_path):
    compiled, traced = Training(SETS[names]), Training(SETS[names])
    fast = ig.jit(compiled.step)
    program = ig.trace(traced.step, batches()[0], name="step")
    program.save(tmp_path / "steps.ig")
    loaded = ig.load(tmp_path / "steps.ig")
    losses = [(float(fast(x)), float(program.step(x)), float(loaded.step(x))) for x in batches()]
    monkeypatch.setenv("INTAGLIO_EAGER", "1")
    eager = Training(SETS[names])
    assert losses == [(float(eager.step(x)),) * 3 for x in batches()]
    same(eager.state(), compiled.state())
    same(eager.state(), traced.state())
    for name, array in program.state.items():
        np.testing.assert_array_equal(array, loaded.state[name], err_msg=name)
