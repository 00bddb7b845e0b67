"""Graphs and train steps that the CUDA tests share."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

import intaglio as ig
import intaglio.nn.functional as F
from intaglio import nn, optim
from intaglio.compiler.dims import Dim
from intaglio.compiler.dtypes import float32
from intaglio.compiler.ir import Function, Graph, Value
from intaglio.compiler.op import Builder
from intaglio.compiler.types import TensorType

Array = np.ndarray[Any, Any]
Size = int | Dim


class MLP(nn.Module):
    """Two layers."""

    def __init__(self) -> None:
        super().__init__()
        self.a, self.b = nn.Linear(64, 64), nn.Linear(64, 10)

    def forward(self, x: ig.Tensor) -> ig.Tensor:
        return self.b(F.relu(self.a(x)))


class Transformer(nn.Module):
    """One layer that looks back only, with dropout, over codes i64[n,24]."""

    def __init__(self, codes: int = 30, width: int = 32, length: int = 24) -> None:
        super().__init__()
        self.code, self.place = nn.Embedding(codes, width), nn.Embedding(length, width)
        self.layer = nn.TransformerEncoderLayer(
            width, 4, 4 * width, 0.1, "gelu", batch_first=True, norm_first=True
        )
        self.norm, self.scores = nn.LayerNorm(width), nn.Linear(width, codes)
        self.register_buffer("mask", ig.triu(ig.full((length, length), float("-inf")), 1))

    def forward(self, x: ig.Tensor) -> ig.Tensor:
        h = self.code(x) + self.place(ig.arange(x.shape[1]))
        return self.scores(self.norm(self.layer(h, src_mask=self.mask)))


def train_step(model: nn.Module, x: Any, t: Any) -> Function:
    """A step of AdamW on cross entropy, as a function for n examples."""
    optimizer = optim.AdamW(model.parameters(), lr=1e-3)

    def step(x: ig.Tensor, t: ig.Tensor) -> dict[str, ig.Tensor]:
        optimizer.zero_grad()
        y = model(x)
        loss = F.cross_entropy(y.reshape(-1, y.shape[-1]), t.reshape(-1))
        loss.backward()
        optimizer.step()
        return {"loss": loss}

    return ig.trace(step, x, t, name="step").ir.functions["step"]


def mlp_step() -> Function:
    """The train step of the two layers."""
    n = ig.Dim("n", min=1, max=4096)
    ig.manual_seed(0)
    return train_step(MLP(), ig.spec((n, 64), ig.float32), ig.spec((n,), ig.int64))


def transformer_step() -> Function:
    """The train step of the transformer."""
    n = ig.Dim("n", min=1, max=4096)
    ig.manual_seed(0)
    codes = ig.spec((n, 24), ig.int64)
    return train_step(Transformer(), codes, codes)


def operands(graph: Graph, sizes: dict[str, int], seed: int = 0) -> list[Array]:
    """Small positive numbers (second moments have roots taken), and indices below 10."""
    random = np.random.default_rng(seed)
    found = []
    for value in graph.inputs:
        shape = tuple(s if isinstance(s, int) else sizes[str(s)] for s in value.type.shape)
        if value.type.dtype.kind == "f":
            made = np.abs(random.standard_normal(shape)) / 10
        else:
            made = random.integers(0, 2 if value.type.dtype.kind == "b" else 10, shape)
        found.append(np.asarray(made).astype(value.type.dtype.numpy))
    return found


def of(inputs: Sequence[TensorType], make: Callable[..., Value | Sequence[Value]]) -> Graph:
    """The graph of a function of a builder and inputs."""
    b = Builder()
    made = make(b, *(b.input(t) for t in inputs))
    return b.graph([made] if isinstance(made, Value) else list(made))


def f32(*shape: Size) -> TensorType:
    """A tensor type."""
    return TensorType(float32, shape)


def along(b: Builder, x: Value, y: Value) -> Value:
    """A value per row, spread along the last dim of x."""
    shape = x.type.shape
    made: Value = b.expand(y, shape=shape, axes=tuple(range(len(shape) - 1)))
    return made


def softmax(b: Builder, x: Value) -> Value:
    """Softmax of the rows, from primitives."""
    axes = (x.type.rank - 1,)
    e = b.exp(b.sub(x, along(b, x, b.max(x, axes=axes))))
    made: Value = b.div(e, along(b, x, b.sum(e, axes=axes)))
    return made
