"""The functions of a small residual net, as a file holds them."""

from pathlib import Path

import pytest

import intaglio as ig
import intaglio.nn.functional as F
from intaglio import nn, optim
from intaglio.compiler.ir import Function
from intaglio.runtime.model import load


class Block(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.a, self.b = nn.Linear(8, 8), nn.Linear(8, 8)

    def forward(self, x: ig.Tensor) -> ig.Tensor:
        return x + self.b(F.relu(self.a(x)))


class Net(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.blocks = nn.ModuleList(Block() for _ in range(3))

    def forward(self, x: ig.Tensor) -> ig.Tensor:
        for block in self.blocks:
            x = block(x)
        return x


@pytest.fixture(scope="module")
def residual(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The file of the net, with the functions forward and train_step."""
    ig.manual_seed(0)
    net = Net()
    opt = optim.SGD(net.parameters(), lr=0.1)

    def train_step(x: ig.Tensor) -> dict[str, ig.Tensor]:
        opt.zero_grad()
        loss = net(x).sum()
        loss.backward()
        opt.step()
        return {"loss": loss}

    program = ig.trace(net, ig.spec((4, 8), ig.float32))
    program.trace("train_step", train_step, ig.spec((4, 8), ig.float32))
    path = tmp_path_factory.mktemp("net") / "net.ig"
    program.save(path)
    return path


@pytest.fixture(scope="module")
def functions(residual: Path) -> dict[str, Function]:
    """Its functions by name."""
    return dict(load(residual).program.functions)
