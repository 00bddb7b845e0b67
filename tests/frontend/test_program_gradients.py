"""Gradients left by a training step are part of a program only if a function reads them."""

import numpy as np

import intaglio as ig
from intaglio import nn, optim


def steps():
    ig.manual_seed(0)
    model = nn.Linear(4, 2)
    opt = optim.SGD(model.parameters(), lr=0.05)

    def clearing(x):
        opt.zero_grad()
        loss = (model(x) ** 2).mean()
        loss.backward()
        opt.step()
        return loss

    def accumulate(x):
        loss = (model(x) ** 2).mean()
        loss.backward()
        return loss

    def apply():
        opt.step()
        opt.zero_grad(set_to_none=False)

    return model, clearing, accumulate, apply


def kinds(program):
    return {state.kind for state in program.ir.state.values()}


def test_unread_gradients_are_dropped(tmp_path):
    _, clearing, _, _ = steps()
    x = ig.ones(3, 4)
    program = ig.trace(clearing, x)
    assert "gradient" not in kinds(program)
    program.save(tmp_path / "m.ig")
    loaded = ig.load(tmp_path / "m.ig")
    first = loaded(x.numpy())
    assert loaded(x.numpy()) < first
    assert not any(name.endswith(".grad") for name in loaded.state)


def test_gradients_that_another_function_reads_are_state(tmp_path):
    model, _, accumulate, apply = steps()
    rng = np.random.default_rng(0)
    batches = [rng.standard_normal((3, 4)).astype(np.float32) for _ in range(4)]
    accumulate(ig.ones(3, 4))
    model.zero_grad(set_to_none=False)  # there are gradients now, and they are zero
    program = ig.trace(accumulate, ig.ones(3, 4), name="accumulate")
    program.trace("apply", apply)
    assert "gradient" in kinds(program)
    program.save(tmp_path / "m.ig")
    loaded = ig.load(tmp_path / "m.ig")
    for k, batch in enumerate(batches):
        assert float(loaded.accumulate(batch)) == accumulate(ig.from_numpy(batch)).item()
        if k % 2:
            loaded.apply()
            apply()
    saved = loaded.state
    for name, value in model.state_dict().items():
        (found,) = [n for n in saved if n.endswith(name)]
        np.testing.assert_array_equal(saved[found], value.numpy())
