"""The models, steps and helpers that the acceptance tests share."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

import intaglio as ig
import intaglio.nn.functional as F
from intaglio import nn, optim
from intaglio.runtime.model import Model

Array = np.ndarray[Any, Any]
Values = Mapping[str, Array]


class MLP(nn.Module):
    """Two layers over 16 numbers."""

    def __init__(self, inputs: int = 16, hidden: int = 24, classes: int = 5) -> None:
        super().__init__()
        self.a, self.b = nn.Linear(inputs, hidden), nn.Linear(hidden, classes)

    def forward(self, x: ig.Tensor) -> ig.Tensor:
        return self.b(F.relu(self.a(x)))


class LM(nn.Module):
    """A causal transformer over codes i64[n,t]; scores f[n,t,codes]."""

    def __init__(
        self, codes: int, width: int = 16, heads: int = 2, layers: int = 1, length: int = 16,
        dropout: float = 0.0,
    ) -> None:  # fmt: skip
        super().__init__()
        self.e, self.p = nn.Embedding(codes, width), nn.Embedding(length, width)
        self.b = nn.ModuleList(
            nn.TransformerEncoderLayer(
                width, heads, 4 * width, dropout, "gelu", batch_first=True, norm_first=True
            )
            for _ in range(layers)
        )
        self.n, self.o = nn.LayerNorm(width), nn.Linear(width, codes)
        self.register_buffer("m", ig.triu(ig.full((length, length), float("-inf")), 1))

    def forward(self, x: ig.Tensor) -> ig.Tensor:
        length = x.shape[1]
        h = self.e(x) + self.p(ig.arange(length))
        for block in self.b:
            h = block(h, src_mask=self.m[:length, :length])
        return self.o(self.n(h))


class Task:
    """A model with its optimizer and the functions that are traced."""

    def __init__(
        self,
        make: Callable[[], nn.Module],
        optimizer: Callable[[Any], optim.Optimizer],
        seed: int = 0,
    ) -> None:
        ig.manual_seed(seed)
        self.model = make()
        self.optimizer = optimizer(self.model.parameters())

    def loss(self, x: ig.Tensor, t: ig.Tensor) -> ig.Tensor:
        y = self.model(x)
        return F.cross_entropy(y.reshape(-1, y.shape[-1]), t.reshape(-1))

    def train_step(self, x: ig.Tensor, t: ig.Tensor) -> ig.Tensor:
        self.optimizer.zero_grad()
        loss = self.loss(x, t)
        loss.backward()
        self.optimizer.step()
        return loss

    def program(self, *arguments: Any) -> ig.Program:
        """The traced training step and loss."""
        self.model.train()
        program = ig.Program().trace("train_step", self.train_step, *arguments)
        self.model.eval()
        program.trace("loss", self.loss, *arguments)
        program.trace("forward", self.model, arguments[0])
        self.model.train()
        return program

    def values(self) -> dict[str, Array]:
        """Copies of all state: parameters, gradients, the optimizer's, the random counter's."""
        made = {n: p.detach().numpy().copy() for n, p in self.model.state_dict().items()}
        for name, parameter in self.model.named_parameters():
            if parameter.grad is not None:
                made[f"{name}.grad"] = parameter.grad.numpy().copy()
        for name, tensor, _ in self.optimizer.named_state():
            made[name] = tensor.numpy().copy()
        made["random.seed"], made["random.draw"] = random_state()
        return made


def random_state() -> tuple[Array, Array]:
    """The default generator's seed, and how many draws it has made."""
    from intaglio._functions_random import default_generator

    return default_generator.seed_value.numpy().copy(), default_generator.draw.numpy().copy()


def bits(array: Any) -> bytes:
    """The bytes of an array or tensor, with its type."""
    found = array.detach().numpy() if isinstance(array, ig.Tensor) else np.asarray(array)
    return f"{found.dtype} {found.shape} ".encode() + np.ascontiguousarray(found).tobytes()


def differing(a: Values, b: Values) -> list[str]:
    """The names in both whose bits differ."""
    return [n for n in a if n in b and bits(a[n]) != bits(b[n])]


def save(program: ig.Program, folder: Path, name: str = "model.ig", **options: Any) -> Model:
    """Write a program and load the file."""
    path = folder / name
    program.save(path)
    return ig.load(path, **options)


def numbers(shape: Sequence[int], seed: int = 0, dtype: Any = np.float32) -> Array:
    """Normal random numbers."""
    return np.random.default_rng(seed).standard_normal(tuple(shape)).astype(dtype)


def codes(shape: Sequence[int], count: int, seed: int = 0) -> Array:
    """Random codes below `count`."""
    return np.random.default_rng(seed).integers(0, count, tuple(shape)).astype(np.int64)
