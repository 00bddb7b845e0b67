"""The examples whose models are trained from their files, or begin with somebody else's weights."""

from pathlib import Path

import numpy as np
import pytest

from intaglio.runtime import load
from intaglio.runtime.batching import order
from tests.examples.scripts import example
from tests.tools.commands import here

pytest.importorskip("sklearn")


def done(*words: object) -> str:
    """What a command prints; it must succeed."""
    ended = here(*words)
    assert ended.code == 0, ended.err
    return ended.out


def test_a_gpt_trained_from_its_file_is_the_one_trained_eagerly_and_writes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import intaglio as ig
    from intaglio import nn, optim

    script = example("gpt")
    monkeypatch.setattr(script, "LAYERS", 1)
    monkeypatch.setattr(script, "WIDTH", 32)
    monkeypatch.setattr(script, "WRITTEN", 40)
    steps, batch = 30, 16
    train, test = script.windows()
    part = {name: rows[: steps * batch] for name, rows in train.items()}
    np.savez(tmp_path / "train.npz", **part)
    np.savez(tmp_path / "test.npz", **{name: rows[:50] for name, rows in test.items()})
    script.program(steps, seed=3).save(tmp_path / "gpt.ig")
    words = ("--epochs", 1, "--batch-size", batch, "--out", tmp_path / "out.ig")
    done("train", tmp_path / "gpt.ig", "--data", tmp_path / "train.npz", *words)
    trained = load(tmp_path / "out.ig")

    ig.manual_seed(3)
    model = script.GPT()
    adam = optim.AdamW(model.parameters(), lr=2e-3, weight_decay=0.1)
    schedule = optim.lr_scheduler.OneCycleLR(adam, 2e-3, steps, cycle_momentum=False)
    rows = order(len(part["x"]), 0, 0)
    for k in range(steps):
        x, t = (ig.from_numpy(part[name][rows[k * batch : (k + 1) * batch]]) for name in "xt")
        adam.zero_grad()
        loss = script.loss(model(x), t)
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        adam.step()
        schedule.step()
    for name, value in model.state_dict().items():
        assert value.numpy().tobytes() == trained.state[name].tobytes(), name
    assert loss.item() < np.log(script.LETTERS) - 0.7

    (tmp_path / "prompt.txt").write_bytes(b"The statement ")
    words = ("--input", f"prompt={tmp_path / 'prompt.txt'}", "--input", "temperature=0.8")
    done("run", tmp_path / "out.ig", "--function", "sample", *words, "--output", tmp_path / "w.txt")
    written = (tmp_path / "w.txt").read_bytes()
    assert len(written) == 40
    assert len(set(written)) > 5
    assert max(written) < 128


def test_diffusion_learns_and_draws_from_its_file(tmp_path: Path) -> None:
    script = example("diffusion")
    train, _ = script.data()
    np.savez(tmp_path / "train.npz", **train)
    script.program().save(tmp_path / "model.ig")
    words = ("--data", tmp_path / "train.npz", "--out", tmp_path / "out.ig", "--epochs", 20)
    last = done("train", tmp_path / "model.ig", *words).strip().splitlines()[-1]
    assert float(last.partition("loss ")[2].split()[0]) < 0.4  # 1 for a guess of nothing
    model, digits = load(tmp_path / "out.ig"), np.arange(60) % 10
    drawn = model.sample(digits)
    assert drawn.shape == (60, 64)
    assert not np.array_equal(drawn, model.sample(digits))  # the file's random state moved on
    means = np.stack([train["x"][train["t"] == k].mean(0) for k in range(10)])
    nearest = ((drawn[:, None] - means) ** 2).sum(2).argmin(1)
    assert (nearest == digits).mean() > 0.5  # by chance 0.1
    assert len(script.shown(drawn).splitlines()) == 48


def test_weights_of_torch_are_right_in_a_model_and_its_file(tmp_path: Path) -> None:
    pytest.importorskip("safetensors")
    script = example("torch_weights")
    model, (train, test) = script.trained(), script.data()
    path = tmp_path / "model.ig"
    script.program(model).save(path)
    saved = load(path)
    assert saved.eval(**test)["accuracy"] == pytest.approx(358 / 360)  # what torch itself gets
    np.savez(tmp_path / "part.npz", **{name: rows[:320] for name, rows in train.items()})
    done("train", path, "--data", tmp_path / "part.npz", "--out", path)
    assert load(path).eval(**test)["accuracy"] > 0.98


def test_a_new_head_learns_on_a_frozen_backbone(tmp_path: Path) -> None:
    pytest.importorskip("safetensors")
    script = example("new_head")
    backbone = load(script.write_backbone(tmp_path / "backbone.ig"))
    model, (train, test) = script.with_head(tmp_path / "backbone.ig"), script.data(0)
    optimizer = script.learn(model, train)
    assert script.accuracy(model, test) > 0.9
    path = tmp_path / "loops.ig"
    script.program(model, optimizer).save(path)
    whole = load(path)
    for name, value in backbone.state_dict().items():
        assert whole.state[f"0.{name}"].tobytes() == value.tobytes(), name
    assert whole.eval(**test)["accuracy"] > 0.9
    before = whole.state_dict()
    whole.train_step(**train)
    changed = {n for n, v in whole.state_dict().items() if v.tobytes() != before[n].tobytes()}
    assert {"1.weight", "1.bias"} <= changed
    assert not any(name.startswith("0.") for name in changed)
