"""What the classifiers among the examples share: one training step and one evaluation, run
eagerly, compiled, or from the file that they are traced into."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

import intaglio as ig
import intaglio.nn.functional as F
from intaglio import nn, optim
from intaglio.runtime.batching import order

Arrays = dict[str, np.ndarray[Any, Any]]


class Task:
    """A model for examples of some shape, its optimizer (Adam), and the functions that use both."""

    def __init__(self, model: nn.Module, shape: tuple[int, ...]) -> None:
        self.model, self.shape = model, shape
        self.optimizer = optim.Adam(self.model.parameters(), lr=1e-3)

    def train_step(self, x: ig.Tensor, t: ig.Tensor) -> dict[str, ig.Tensor]:
        """One step on a batch of inputs and classes."""
        self.optimizer.zero_grad()
        loss = F.cross_entropy(self.model(x), t)
        loss.backward()
        self.optimizer.step()
        return {"loss": loss}

    def evaluate(self, x: ig.Tensor, t: ig.Tensor) -> dict[str, ig.Tensor]:
        """Loss and accuracy on a batch."""
        y = self.model(x)
        return {"loss": F.cross_entropy(y, t), "accuracy": (y.argmax(1) == t).to(ig.float32).mean()}

    def program(self) -> ig.Program:
        """The model's functions for any number of examples."""
        n = ig.Dim("n", min=1, max=4096)
        x, t = ig.spec((n, *self.shape), ig.float32), ig.spec((n,), ig.int64)
        program = ig.trace(self.model.eval(), x)
        program.trace("eval", self.evaluate, x, t)
        self.model.train()
        program.trace("train_step", self.train_step, x, t)
        return program


def accuracy(model: nn.Module, test: Arrays) -> float:
    """The share of held-out examples that the model gets right."""
    with ig.no_grad():
        scores = model(ig.from_numpy(test["x"])).numpy()
    return float((scores.argmax(1) == test["t"]).mean())


def split(x: Any, t: Any, training: int) -> tuple[Arrays, Arrays]:
    """The first so many examples of a fixed permutation, and the rest: inputs `x` and classes
    `t`."""
    x, t = np.asarray(x, np.float32), np.asarray(t, np.int64)
    mixed = np.random.RandomState(0).permutation(len(x))
    train, test = mixed[:training], mixed[training:]
    return {"x": x[train], "t": t[train]}, {"x": x[test], "t": t[test]}


@dataclass(frozen=True)
class Example:
    """A network, its data, and how it is trained."""

    name: str
    net: Callable[[], nn.Module]
    shape: tuple[int, ...]
    data: Callable[[], tuple[Arrays, Arrays]]
    epochs: int
    batch: int

    def task(self, seed: int) -> Task:
        """A new model with its optimizer."""
        ig.manual_seed(seed)
        return Task(self.net(), self.shape)

    def fit(self, step: Callable[..., Any], train: Arrays, seed: int, epochs: int = 0) -> None:
        """Call `step` on the batches that `intaglio train --seed` takes."""
        for epoch in range(epochs or self.epochs):
            shuffled = order(len(train["x"]), seed, epoch)
            for k in range(0, len(shuffled), self.batch):
                rows = shuffled[k : k + self.batch]
                step(ig.from_numpy(train["x"][rows]), ig.from_numpy(train["t"][rows]))

    def write(self, folder: Path, seed: int = 0) -> Path:
        """Write an untrained model and its data (`train.npz`, `test.npz`) into a folder; the
        model's path."""
        train, test = self.data()
        np.savez(folder / "train.npz", **train)
        np.savez(folder / "test.npz", **test)
        return self.save(self.task(seed), folder / f"{self.name}.ig")

    def save(self, task: Task, path: Path) -> Path:
        """Trace a model's functions into a file; its path."""
        task.program().save(path, metadata={"data": f"{self.name}-v1"})
        return path

    def main(self, description: str, seeds: int) -> None:
        """Train with several seeds, tell the accuracies, write the last model."""
        parser = argparse.ArgumentParser(description=description.partition("\n\n")[0])
        parser.add_argument("--seeds", type=int, default=seeds)
        parser.add_argument("--epochs", type=int, default=self.epochs)
        parser.add_argument("--jit", action="store_true", help="compile the training step")
        parser.add_argument("--out", type=Path, help="where to write the trained model")
        chosen = parser.parse_args()
        train, test = self.data()
        reached = []
        for seed in range(chosen.seeds):
            task = self.task(seed)
            step = ig.jit(task.train_step) if chosen.jit else task.train_step
            self.fit(step, train, seed, chosen.epochs)
            reached.append(accuracy(task.model, test))
            print(f"seed {seed}: accuracy {reached[-1]:.4f}", flush=True)
        print(f"mean: {np.mean(reached):.4f}")
        if chosen.out:
            print(f"wrote {self.save(task, chosen.out)}")
