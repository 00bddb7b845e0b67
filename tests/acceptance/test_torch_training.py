"""Training as torch trains: equal initial weights and batches give equal losses, step by step,
in f64: eagerly, compiled, and from a file."""

from __future__ import annotations

import importlib.util
import pydoc_data.topics
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import intaglio as ig
from intaglio import nn, optim
from tests.acceptance.models import LM, MLP, Array, Task, save

pytestmark = pytest.mark.torch
torch: Any = None
if importlib.util.find_spec("torch") is not None:
    torch = importlib.import_module("torch")
STEPS, TOLERANCE = 20, 1e-8


def text_batches(count: int, rows: int, length: int) -> tuple[int, list[tuple[Array, Array]]]:
    """Stretches of Python's manual as codes, and how many codes there are."""
    topics = pydoc_data.topics.topics
    text = "".join(topics[k] for k in sorted(topics))[:50_000]
    text = "".join(c for c in text if c == "\n" or 32 <= ord(c) < 127)
    letters = {c: k for k, c in enumerate(sorted(set(text)))}
    data = np.array([letters[c] for c in text])
    random = np.random.default_rng(0)
    batches = []
    for _ in range(count):
        starts = random.integers(0, len(data) - length - 1, rows)
        found = np.stack([data[k : k + length + 1] for k in starts])
        batches.append((found[:, :-1].copy(), found[:, 1:].copy()))
    return len(letters), batches


def torch_mlp() -> Any:
    class Net(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.a, self.b = torch.nn.Linear(64, 64), torch.nn.Linear(64, 10)

        def forward(self, x: Any) -> Any:
            return self.b(torch.relu(self.a(x)))

    return Net()


def torch_lm(codes: int, d: int = 32, h: int = 4, layers: int = 2, length: int = 24) -> Any:
    class Net(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.e, self.p = torch.nn.Embedding(codes, d), torch.nn.Embedding(length, d)
            self.b = torch.nn.ModuleList(
                torch.nn.TransformerEncoderLayer(
                    d, h, 4 * d, 0.0, "gelu", batch_first=True, norm_first=True
                )
                for _ in range(layers)
            )
            self.n, self.o = torch.nn.LayerNorm(d), torch.nn.Linear(d, codes)
            mask = torch.triu(torch.full((length, length), float("-inf")), 1)
            self.register_buffer("m", mask)

        def forward(self, x: Any) -> Any:
            k = x.shape[1]
            y = self.e(x) + self.p(torch.arange(k))
            for block in self.b:
                y = block(y, src_mask=self.m[:k, :k])
            return self.o(self.n(y))

    return Net()


def theirs(model: Any, optimizer: Any, batches: list[tuple[Array, Array]]) -> list[float]:
    losses = []
    for x, t in batches:
        optimizer.zero_grad()
        y = model(torch.from_numpy(x))
        loss = torch.nn.functional.cross_entropy(
            y.reshape(-1, y.shape[-1]), torch.from_numpy(t).reshape(-1)
        )
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    return losses


def ours(
    make: Callable[[], nn.Module], optimizer: Callable[[Any], Any], weights: dict[str, Array]
) -> Task:
    task = Task(lambda: make().double(), optimizer)
    task.model.load_state_dict({k: ig.from_numpy(v) for k, v in weights.items()})
    return task


def compare(
    reference: Any,
    their_optimizer: Callable[[Any], Any],
    make: Callable[[], nn.Module],
    our_optimizer: Callable[[Any], Any],
    batches: list[tuple[Array, Array]],
    specs: tuple[Any, Any],
    folder: Path,
) -> None:
    weights = {k: v.numpy().copy() for k, v in reference.state_dict().items()}
    want = theirs(reference, their_optimizer(reference.parameters()), batches)
    assert want[-1] < want[0]
    eager, compiled, traced = (ours(make, our_optimizer, weights) for _ in range(3))
    fast = ig.jit(compiled.train_step)
    model = save(ig.Program().trace("train_step", traced.train_step, *specs), folder)
    ways: dict[str, Callable[..., Any]] = {
        "eager": lambda x, t: eager.train_step(ig.from_numpy(x), ig.from_numpy(t)).item(),
        "jit": lambda x, t: fast(ig.from_numpy(x), ig.from_numpy(t)).item(),
        "file": lambda x, t: float(model.train_step(x, t)),
    }
    for name, step in ways.items():
        losses = [step(x, t) for x, t in batches]
        apart = np.abs(np.array(losses) - want).max()
        assert apart <= TOLERANCE, (name, apart)
    final = {k: v.numpy() for k, v in reference.state_dict().items()}
    for k, v in final.items():
        np.testing.assert_allclose(model.state[k], v, atol=1e-7)


@pytest.mark.parametrize("name", ["Adam", "AdamW", "SGD"])
def test_digits(name: str, tmp_path: Path) -> None:
    random = np.random.default_rng(0)
    batches = [(random.random((32, 64)).round(1), random.integers(0, 10, 32)) for _ in range(STEPS)]
    batches = [batches[k % 4] for k in range(STEPS)]
    options: dict[str, Any] = {"lr": 1e-3}
    if name == "SGD":
        options = {"lr": 0.1, "momentum": 0.9, "nesterov": True, "weight_decay": 1e-3}
    torch.manual_seed(0)
    n = ig.Dim("n", max=64)
    compare(
        torch_mlp().double(),
        lambda p: getattr(torch.optim, name)(p, **options),
        lambda: MLP(64, 64, 10),
        lambda p: getattr(optim, name)(p, **options),
        batches,
        (ig.spec((n, 64), ig.float64), ig.spec((n,), ig.int64)),
        tmp_path,
    )


def test_char_transformer(tmp_path: Path) -> None:
    count, batches = text_batches(STEPS, 4, 24)
    torch.manual_seed(0)
    n, t = ig.Dim("n", max=64), ig.Dim("t", max=24)
    spec = ig.spec((n, t), ig.int64)
    compare(
        torch_lm(count).double(),
        lambda p: torch.optim.AdamW(p, 1e-3),
        lambda: LM(count, 32, 4, 2, 24),
        lambda p: optim.AdamW(p, 1e-3),
        batches,
        (spec, spec),
        tmp_path,
    )
