"""A run of training that goes on from its checkpoint, to be killed at any moment.

    python tests/frontend/checkpoint_training.py checkpoint.ig STEPS WORKERS

Prints a line after every step, and at the end the digest of all weights."""

from __future__ import annotations

import hashlib
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

import intaglio as ig
import intaglio.nn.functional as F
from intaglio import nn, optim

ROOT = Path(__file__).parents[2]
ROWS, BATCH = 40, 8


class Batches:
    """Batches of shuffled rows, of a stream of its own; its position can be kept."""

    def __init__(self, rows: int) -> None:
        self.rows, self.at = rows, rows
        self.generator = np.random.default_rng(7)
        self.order: list[int] = []

    def __iter__(self) -> Iterator[list[int]]:
        if self.at >= self.rows:
            self.order, self.at = self.generator.permutation(self.rows).tolist(), 0
        while self.at < self.rows:
            self.at += BATCH
            yield self.order[self.at - BATCH : self.at]

    def state_dict(self) -> dict[str, Any]:
        """The order of this epoch, the position, and the stream."""
        state = self.generator.bit_generator.state
        return {"order": self.order, "at": self.at, "generator": state}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on from there."""
        self.order, self.at = state["order"], state["at"]
        self.generator.bit_generator.state = state["generator"]


class Run:
    """Model, optimizer, schedule and batches of a small problem."""

    def __init__(self, workers: int) -> None:
        ig.manual_seed(0)
        random.seed(0)
        self.x, self.t = ig.randn(ROWS, 6), ig.randint(0, 3, (ROWS,))
        self.model = nn.Sequential(
            nn.Linear(6, 16), nn.BatchNorm1d(16), nn.ReLU(), nn.Dropout(0.3), nn.Linear(16, 3)
        )
        self.optimizer = optim.SGD(self.model.parameters(), lr=0.05, momentum=0.9)
        self.scheduler = optim.lr_scheduler.CosineAnnealingLR(self.optimizer, 30)
        self.loader = self.made_loader(workers)
        self.step = 0

    def made_loader(self, workers: int) -> Any:
        """The batches: lists of rows."""
        return Batches(ROWS)

    def parts(self) -> dict[str, Any]:
        """What a checkpoint holds besides the number of steps."""
        return {
            "model": self.model, "optimizer": self.optimizer, "scheduler": self.scheduler,
            "loader": self.loader, "python": random,
        }  # fmt: skip

    def train(self, path: Path, steps: int, tell: bool = False) -> str:
        """Train from the checkpoint on, if there is one; the digest of the weights."""
        if path.exists():
            self.step = ig.load_checkpoint(path, **self.parts())["step"]
        while self.step < steps:
            for rows in self.loader:
                self.learn(rows)
                self.step += 1
                ig.save_checkpoint(path, step=self.step, **self.parts())
                if tell:
                    print(self.step, flush=True)
                if self.step >= steps:
                    break
        digest = hashlib.sha256()
        for tensor in self.model.state_dict().values():
            digest.update(tensor.numpy().tobytes())
        return digest.hexdigest()

    def learn(self, rows: Any) -> None:
        """One step."""
        rows = ig.as_tensor(rows)
        noise = ig.randn(len(rows), 6) * (0.1 * random.random())
        self.optimizer.zero_grad()
        F.cross_entropy(self.model(self.x[rows] + noise), self.t[rows]).backward()
        self.optimizer.step()
        self.scheduler.step()


def killed_after(path: Path, steps: int, workers: int, count: int, delay: float = 0.0) -> str:
    """Run this file in a process that is killed (`kill -9`) when it has told of `count` steps, and
    a moment more has gone by; the digest if it came to its end."""
    command = [sys.executable, str(Path(__file__)), str(path), str(steps), str(workers)]
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, text=True, env=environment, start_new_session=True
    ) as process:
        assert process.stdout is not None
        last = ""
        for told, line in enumerate(process.stdout, 1):
            last = line.strip()
            if told == count:
                time.sleep(delay)
                process.send_signal(signal.SIGKILL)
        assert process.wait() in (0, -signal.SIGKILL)
    return last if len(last) == 64 else ""


def check_kills(folder: Path, kills: int, steps: int, workers: int, seed: int = 0) -> None:
    """A run that is killed so often, at any moment, ends with the weights of one that is not."""
    expected = Run(workers).train(folder / "whole.ig", steps)
    path, dice = folder / "killed.ig", random.Random(seed)
    for _ in range(kills):
        count, delay = dice.randint(1, 3), dice.uniform(0, 0.01)
        assert not killed_after(path, steps, workers, count, delay), "the run was over too soon"
    assert killed_after(path, steps, workers, 0) == expected


if __name__ == "__main__":
    checkpoint, wanted, processes = sys.argv[1:]
    print(Run(int(processes)).train(Path(checkpoint), int(wanted), tell=True))
