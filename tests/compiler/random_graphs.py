"""Random graphs of cheap ops with shared values, several outputs and duplicates: food for passes
and printers."""

from __future__ import annotations

import random

import numpy as np

from intaglio.compiler.dtypes import boolean, float32, float64, int64
from intaglio.compiler.ir import Graph, Value
from intaglio.compiler.op import Array, Builder
from intaglio.compiler.types import TensorType
from intaglio.compiler.where import Where

UNARY = ("neg", "abs", "exp", "sin", "sqrt", "floor", "tanh", "sign")
BINARY = ("add", "sub", "mul", "div", "maximum", "minimum")


def random_graph(seed: int, size: int = 30) -> Graph:
    """A graph over [3,4] and [4,3] floats, with constants, numbers that simplify, moves."""
    rng = random.Random(seed)
    b = Builder()
    values = [b.input(TensorType(float64, (3, 4))) for _ in range(3)]
    for line in range(size):
        with b.placed((Where(f"net{rng.randrange(2)}.py", line, rng.choice(("", "Net.fc"))),)):
            values.append(_node(b, rng, values))
    outputs = rng.sample(values, 4)
    return b.graph([*outputs, b.sum(values[-1], axes=(0, 1))])


def _node(b: Builder, rng: random.Random, values: list[Value]) -> Value:
    x, y = rng.choice(values), rng.choice(values)
    made: Value
    match rng.randrange(9):
        case 0:
            number = rng.choice((0.0, -0.0, 1.0, 2.5, float("inf"), float("nan")))
            made = b.full(number, float64, (3, 4))
        case 1:
            row = b.constant(np.arange(4.0) - rng.randrange(3))
            made = b.expand(row, shape=(3, 4), axes=(1,))
        case 2:
            made = b.permute(b.permute(x, axes=(1, 0)), axes=(1, 0))
        case 3:
            made = b.reshape(b.reshape(x, shape=(2, 6)), shape=(3, 4))
        case 4:
            made = b.where(b.lt(x, y), x, y)
        case 5:
            row = b.slice(x, starts=(1, 0), stops=(2, 4), steps=(1, 1))
            made = b.expand(row, shape=(3, 4), axes=(0, 1))
        case 6:
            made = b.cast(b.cast(x, dtype=float32), dtype=float64)
        case 7:
            made = b.apply(rng.choice(UNARY), (x,))[0]
        case _:
            made = b.apply(rng.choice(BINARY), (x, y))[0]
    return made


def inputs_of(graph: Graph, seed: int = 0) -> list[Array]:
    """Arrays for a graph's inputs."""
    random_ = np.random.default_rng(seed)
    kinds = {boolean: np.bool_, int64: np.int64}
    return [
        random_.standard_normal([int(str(s)) for s in v.type.shape]).astype(
            kinds.get(v.type.dtype, v.type.dtype.numpy)
        )
        for v in graph.inputs
    ]
