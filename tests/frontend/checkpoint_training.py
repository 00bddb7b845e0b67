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
from pathlib import Path
from typing import Any

import intaglio as ig
import intaglio.nn.functional as F
from intaglio import nn, optim
from intaglio.utils.data import DataLoader, Dataset

ROOT = Path(__file__).parents[2]
ROWS, BATCH = 40, 8


class Rows(Dataset[Any]):
    """Numbers of rows, and noise that is drawn for each."""

    def __len__(self) -> int:
        return ROWS

    def __getitem__(self, row: int) -> tuple[int, float]:
        return row, random.random()


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
        self.loader = DataLoader(Rows(), BATCH, shuffle=True, num_workers=workers)
        self.step = 0

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
            for rows, noise in self.loader:
                self.learn(rows, noise)
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

    def learn(self, rows: ig.Tensor, noise: ig.Tensor) -> None:
        """One step."""
        scale = noise.to(ig.float32)[:, None] * (0.1 * random.random())
        moved = self.x[rows] + scale * ig.randn(len(rows), 6)
        self.optimizer.zero_grad()
        F.cross_entropy(self.model(moved), self.t[rows]).backward()
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
