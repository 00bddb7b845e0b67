"""The training recipes with torch's own initial weights and batches: the figures they must reach.

The examples draw weights and batches by themselves, so their figures move with the seed. Here both
are torch's, seed by seed as the recipe has them, and only the training is ours."""

from __future__ import annotations

import importlib
import importlib.util
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import intaglio as ig
import intaglio.nn.functional as F
from intaglio import nn, optim
from intaglio.runtime import load
from tests.examples.scripts import example
from tests.tools.commands import here

pytestmark = pytest.mark.torch
RECIPES = Path(__file__).parents[1] / "conformance" / "recipes"
Array = np.ndarray[Any, Any]
torch: Any = None
if importlib.util.find_spec("torch") is not None:
    torch = importlib.import_module("torch")


def recipes() -> Any:
    """The recipes as a module."""
    sys.path.append(str(RECIPES))
    return importlib.import_module("torch_anchors")


def weights_of(model: Any) -> dict[str, Array]:
    return {name: value.numpy() for name, value in model.state_dict().items()}


def layers(of: Any, name: str) -> Any:
    """The recipe's network in terms of torch or intaglio."""
    if name == "digits":
        return of.Sequential(of.Linear(64, 64), of.ReLU(), of.Linear(64, 10))
    return of.Sequential(
        of.Conv2d(1, 16, 3, padding=1), of.ReLU(), of.MaxPool2d(2),
        of.Conv2d(16, 32, 3, padding=1), of.ReLU(), of.MaxPool2d(2),
        of.Flatten(), of.Linear(32 * 49, 64), of.ReLU(), of.Linear(64, 10),
    )  # fmt: skip


RECIPES_OF = {"digits": (30, 32, 0.97), "mnist_cnn": (5, 64, 0.93)}
"""Epochs, rows of a batch, and the accuracy to reach, by the example with the data."""


@pytest.mark.parametrize(
    ("name", "mode", "seed"),
    [
        *(("digits", "jit", seed) for seed in range(5)),
        *(("mnist_cnn", mode, seed) for mode in ("eager", "jit", "file") for seed in range(3)),
    ],
)
def test_classifiers_reach_the_recipes_accuracy(
    name: str, mode: str, seed: int, tmp_path: Path
) -> None:
    epochs, batch, wanted = RECIPES_OF[name]
    train, test = example(name).data()
    torch.manual_seed(seed)
    model = layers(nn, name)
    model.load_state_dict(weights_of(layers(torch.nn, name)))
    task = example("classification").Task(model, train["x"].shape[1:])
    step = ig.jit(task.train_step) if mode == "jit" else task.train_step
    path, generator = tmp_path / "model.ig", torch.Generator().manual_seed(seed)
    if mode == "file":
        task.program().save(path)
    for _ in range(epochs):
        order = torch.randperm(len(train["x"]), generator=generator).numpy()
        if mode == "file":
            np.savez(tmp_path / "epoch.npz", **{key: rows[order] for key, rows in train.items()})
            done = here("train", path, "--data", tmp_path / "epoch.npz", "--no-shuffle",
                        "--batch-size", batch, "--out", path)  # fmt: skip
            assert done.code == 0, done.err
            continue
        for k in range(0, len(order), batch):
            rows = order[k : k + batch]
            step(ig.from_numpy(train["x"][rows]), ig.from_numpy(train["t"][rows]))
    if mode == "file":
        scores = load(path)(test["x"])
        reached = float((scores.argmax(1) == test["t"]).mean())
    else:
        reached = example("classification").accuracy(model, test)
    print(f"{name}, {mode}, seed {seed}: {reached:.3f}")
    assert reached >= wanted


def test_the_character_transformer_reaches_195_in_600_steps() -> None:
    recipe = recipes()
    script = example("char_transformer")
    characters, data = example("letters").text()
    count = len(characters)
    torch.manual_seed(0)
    theirs = recipe.LM(count)
    model = script.Model(count)
    given = weights_of(theirs)  # the same layers in the same order, under the recipe's short names
    model.load_state_dict(dict(zip(model.state_dict(), given.values(), strict=True)))
    assert (model.scores.weight.detach().numpy() == given["o.weight"]).all()
    opt = optim.AdamW(model.parameters(), lr=1e-3)

    def loss_of(x: ig.Tensor, t: ig.Tensor) -> ig.Tensor:
        return F.cross_entropy(model(x).reshape(-1, count), t.reshape(-1))

    def step(x: ig.Tensor, t: ig.Tensor) -> None:
        loss = loss_of(x, t)
        opt.zero_grad()
        loss.backward()
        opt.step()

    def windows(part: Array, rows: int, generator: Any) -> tuple[ig.Tensor, ig.Tensor]:
        starts = torch.randint(0, len(part) - 65, (rows,), generator=generator).numpy()
        found = np.stack([part[k : k + 65] for k in starts]).astype(np.int64)
        return ig.from_numpy(found[:, :-1].copy()), ig.from_numpy(found[:, 1:].copy())

    cut = int(0.9 * len(data))
    fast, generator = ig.jit(step), torch.Generator().manual_seed(0)
    for _ in range(600):
        fast(*windows(data[:cut], 32, generator))
    with ig.no_grad():
        held_out = loss_of(*windows(data[cut:], 256, torch.Generator().manual_seed(1))).item()
    assert held_out <= 1.95
