"""Files of traced models for the tests of the format: training a convolutional network with batch
norm, an LSTM, and a decoder whose caches are state."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import intaglio as ig
import intaglio.nn.functional as F
from intaglio import nn, optim


class Pictures(nn.Module):
    """Convolutions of every kind, pooling, batch norm, a transposed convolution, resizing."""

    def __init__(self) -> None:
        super().__init__()
        self.a, self.n = nn.Conv2d(1, 4, 3, padding=1), nn.BatchNorm2d(4)
        self.b = nn.Conv2d(4, 4, 3, stride=2, groups=4)
        self.c = nn.ConvTranspose2d(4, 2, 2, stride=2)
        self.o = nn.Linear(2, 3)

    def forward(self, x: ig.Tensor) -> ig.Tensor:
        x = F.max_pool2d(F.relu(self.n(self.a(x))), 2)
        x = F.interpolate(self.c(self.b(x)), scale_factor=2)
        return self.o(F.avg_pool2d(x, 2, padding=1, count_include_pad=False).mean((2, 3)))


def pictures() -> ig.Program:
    """A training step and an evaluation."""
    model = Pictures()
    optimizer = optim.SGD(model.parameters(), lr=0.1, momentum=0.9)

    def train_step(x: ig.Tensor, t: ig.Tensor) -> ig.Tensor:
        optimizer.zero_grad()
        loss = F.cross_entropy(model(x), t)
        loss.backward()
        optimizer.step()
        return loss

    n = ig.Dim("n", min=1, max=8)
    x, t = ig.spec((n, 1, 8, 8)), ig.spec((n,), ig.int64)
    program = ig.Program().trace("train_step", train_step, x, t)
    model.eval()
    return program.trace("forward", model, x)


def recurrent() -> ig.Program:
    """The gradient of an LSTM of any length."""
    net = nn.LSTM(3, 4, num_layers=2, bidirectional=True)

    def step(x: ig.Tensor) -> Any:
        total = net(x)[0].square().sum()
        total.backward()
        return total, net.weight_hh_l0.grad

    return ig.trace(step, ig.spec((ig.Dim("t", min=1, max=9), 2, 3)))


def cache() -> ig.Program:
    """A cache that is written at a position, read in order of its scores, and printed."""
    rows = ig.zeros(8, 4)
    position = ig.zeros((), dtype=ig.int64)

    def decode(x: ig.Tensor) -> Any:
        rows[position : position + 1] = x
        position.add_(1)
        best, places = (rows @ x.reshape(4)).topk(3)
        seen = ig.debug_print(rows.cumsum(0), "rows")
        ranked = rows.scatter(0, places.reshape(3, 1), best.reshape(3, 1))
        return best, seen, ranked.sort(0)[0]

    with ig.no_grad():
        return ig.trace(decode, ig.spec((1, 4)), name="decode")


ALL: dict[str, Callable[[], ig.Program]] = {
    "pictures": pictures, "recurrent": recurrent, "cache": cache,
}  # fmt: skip


def data_of(name: str, path: Path) -> bytes:
    """The bytes of the file of this name, written to `path`."""
    ig.manual_seed(0)
    ALL[name]().save(path)
    return path.read_bytes()
