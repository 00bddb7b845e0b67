"""Random small functions for tests: each is a list of steps with an intaglio and a NumPy form.

A net is drawn while its NumPy form runs on the data, so that every step fits the shapes that are
there; sizes of 0 and 1 are frequent. Values stay near 1: products are divided by their lengths."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

import intaglio as ig

Array = np.ndarray[Any, Any]
SIZES = (0, 1, 1, 2, 3, 4, 5, 8, 17, 33, 70)
Pair = tuple[Callable[..., Any], Callable[..., Any]]


def erf(x: Array) -> Array:
    import math

    return np.vectorize(math.erf, otypes=[float])(x) if x.size else x


UNARY: dict[str, Pair] = {
    "neg": (lambda x: -x, lambda x: -x),
    "sin": (lambda x: ig.sin(x), np.sin),
    "tanh": (lambda x: ig.tanh(x), np.tanh),
    "sigmoid": (lambda x: ig.sigmoid(x), lambda x: 1 / (1 + np.exp(-x))),
    "exp": (lambda x: ig.exp(-x * x), lambda x: np.exp(-x * x)),
    "log": (lambda x: ig.log1p(x * x), lambda x: np.log1p(x * x)),
    "erf": (lambda x: ig.erf(x), erf),
    "relu": (lambda x: ig.relu(x), lambda x: np.maximum(x, 0)),
    "abs": (lambda x: x.abs(), np.abs),
    "rsqrt": (lambda x: ig.rsqrt(x * x + 1), lambda x: 1 / np.sqrt(x * x + 1)),
    "clamp": (lambda x: x.clamp(-1, 0.5), lambda x: np.clip(x, -1, 0.5)),
    "cast": (
        lambda x: x.to(ig.int32).to(x.dtype),
        lambda x: np.trunc(x),
    ),
    "square": (lambda x: x * x / 2, lambda x: x * x / 2),
}
BINARY: dict[str, Pair] = {
    "add": (lambda x, y: x + y, lambda x, y: x + y),
    "sub": (lambda x, y: x - y * 2, lambda x, y: x - y * 2),
    "mul": (lambda x, y: x * ig.sin(y), lambda x, y: x * np.sin(y)),
    "div": (lambda x, y: x / (y * y + 1), lambda x, y: x / (y * y + 1)),
    "maximum": (ig.maximum, np.maximum),
    "minimum": (ig.minimum, np.minimum),
    "atan2": (lambda x, y: ig.atan2(x, y * y + 1), lambda x, y: np.arctan2(x, y * y + 1)),
    "where": (lambda x, y: ig.where(x > y, x, y / 2), lambda x, y: np.where(x > y, x, y / 2)),
    "mask": (
        lambda x, y: ((x >= 0) & (y < 0.5)).to(x.dtype) + y,
        lambda x, y: ((x >= 0) & (y < 0.5)) + y,
    ),
}


def np_softmax(x: Array, k: int) -> Array:
    if not x.size:
        return x
    e = np.exp(x - x.max(k, keepdims=True))
    return e / e.sum(k, keepdims=True)


REDUCE: dict[str, Pair] = {
    "sum": (
        lambda x, k: x.sum(k) / (x.shape[k] + 1),
        lambda x, k: x.sum(k) / (x.shape[k] + 1),
    ),
    "keep": (
        lambda x, k: x - x.sum(k, keepdim=True) / (x.shape[k] + 1),
        lambda x, k: x - x.sum(k, keepdims=True) / (x.shape[k] + 1),
    ),
    "softmax": (lambda x, k: ig.softmax(x, k), np_softmax),
    "cumsum": (
        lambda x, k: x.cumsum(k) / (x.shape[k] + 1),
        lambda x, k: x.cumsum(k) / (x.shape[k] + 1),
    ),
    "all": (lambda x, k: x.sum() / 50 + x, lambda x, k: x.sum() / 50 + x),
}
EXTREME: dict[str, Pair] = {  # these need an element
    "mean": (lambda x, k: x.mean(k), lambda x, k: x.mean(k)),
    "amax": (lambda x, k: x.amax(k), lambda x, k: x.max(k)),
    "amin": (lambda x, k: x - x.amin(k, keepdim=True), lambda x, k: x - x.min(k, keepdims=True)),
    "argmax": (
        lambda x, k: x.argmax(k).to(x.dtype) / 10,
        lambda x, k: x.argmax(k) / 10,
    ),
    "var": (
        lambda x, k: x.var(k, correction=0),
        lambda x, k: x.var(k),
    ),
}
MOVE: dict[str, Pair] = {
    "flip": (lambda x, k: x.flip(k), lambda x, k: np.flip(x, k)),
    "turn": (lambda x, k: x.transpose(0, k), lambda x, k: x.swapaxes(0, k)),
    "cut": (
        lambda x, k: x.narrow(k, 0, (x.shape[k] + 1) // 2),
        lambda x, k: x.take(range((x.shape[k] + 1) // 2), k),
    ),
    "step": (
        lambda x, k: x[(slice(None),) * k + (slice(None, None, 2),)],
        lambda x, k: x[(slice(None),) * k + (slice(None, None, 2),)],
    ),
    "late": (
        lambda x, k: x[(slice(None),) * k + (slice(1, None),)],
        lambda x, k: x[(slice(None),) * k + (slice(1, None),)],
    ),
    "double": (lambda x, k: ig.cat([x, -x], k), lambda x, k: np.concatenate([x, -x], k)),
    "wide": (
        lambda x, k: ig.constant_pad(x, (1, 2), 0.5),
        lambda x, k: np.pad(x, [(0, 0)] * (x.ndim - 1) + [(1, 2)], constant_values=0.5),
    ),
    "unsqueeze": (lambda x, k: x.unsqueeze(k), lambda x, k: np.expand_dims(x, k)),
    "flatten": (lambda x, k: x.flatten(k), lambda x, k: x.reshape(*x.shape[:k], tail(x, k))),
    "roll": (lambda x, k: ig.roll(x, 1, k), lambda x, k: np.roll(x, 1, k)),
    "stack": (lambda x, k: ig.stack([x, x * 2], k), lambda x, k: np.stack([x, x * 2], k)),
}


def tail(x: Array, k: int) -> int:
    """How many elements a row from dim k on has."""
    return int(np.prod(x.shape[k:], dtype=np.int64))


INDEX: dict[str, Pair] = {  # `at` are three places below the sizes of dim k and of dim 0
    "select": (
        lambda x, k, at: x.index_select(k, ig.tensor(at)),
        lambda x, k, at: x.take(at, k),
    ),
    "place": (lambda x, k, at: x.select(k, at[0]), lambda x, k, at: x.take(at[0], k)),
    "gather": (
        lambda x, k, at: x.gather(k, (x.abs() * 3).to(ig.int64) % x.shape[k]),
        lambda x, k, at: np.take_along_axis(
            x, np.trunc(np.abs(x) * 3).astype(np.int64) % x.shape[k], k
        ),
    ),
    "add": (
        lambda x, k, at: x.index_add(0, ig.tensor(at), x[ig.tensor(at[::-1])]),
        lambda x, k, at: np_index_add(x, at, x[list(at[::-1])]),
    ),
}


def np_index_add(x: Array, index: tuple[int, ...], source: Array) -> Array:
    made = x.copy()
    np.add.at(made, list(index), source)
    return made


@dataclass(slots=True)
class Net:
    """Steps over the inputs; a step is its pair of forms, its operands, and plain parameters."""

    inputs: list[Array]
    steps: list[tuple[Pair, tuple[int, ...], tuple[Any, ...]]] = field(default_factory=list)
    results: tuple[int, ...] = ()

    def run(self, way: int, inputs: Sequence[Any]) -> tuple[Any, ...]:
        """The results: way 0 with intaglio's functions, 1 with NumPy's."""
        values = list(inputs)
        for pair, operands, parameters in self.steps:
            values.append(pair[way](*(values[k] for k in operands), *parameters))
        return tuple(values[k] for k in self.results)


def product(x: Any, y: Any) -> Any:
    """x y' over the last dims, divided by the length."""
    return x @ y.mT / (x.shape[-1] + 1)


def np_product(x: Array, y: Array) -> Array:
    return x @ y.swapaxes(-1, -2) / (x.shape[-1] + 1)


def draw(seed: int, length: int = 10) -> Net:
    """The net of this seed."""
    choose = random.Random(seed)
    numbers = np.random.default_rng(seed)
    dtype = choose.choice([np.float32, np.float32, np.float64])
    shape = [choose.choice(SIZES) for _ in range(choose.randint(1, 3))]
    inputs = [numbers.standard_normal(shape).astype(dtype) for _ in range(2)]
    inputs.append(numbers.standard_normal(shape[-1:]).astype(dtype))
    net = Net(inputs)
    values = [x.astype(np.float64) for x in inputs]
    for _ in range(length):
        step = some_step(choose, values)
        made = np.asarray(step[0][1](*(values[k] for k in step[1]), *step[2]), np.float64)
        if made.size > 30_000 or made.ndim > 5:
            continue
        net.steps.append(step)
        values.append(made)
    last = len(values) - 1
    net.results = tuple(sorted({last, max(last - 2, 0), choose.randrange(len(values))}))
    return net


def some_step(choose: random.Random, values: list[Array]) -> Any:
    """A step that fits some of the values; the newest ones are liked best."""

    def pick() -> int:
        return max(choose.randrange(len(values)), choose.randrange(len(values)))

    while True:
        kind = choose.choice(["unary", "binary", "binary", "reduce", "move", "index", "product"])
        a, b = pick(), pick()
        x, y = values[a], values[b]
        if kind == "unary":
            return choose.choice(list(UNARY.values())), (a,), ()
        if kind == "binary":
            try:
                np.broadcast_shapes(x.shape, y.shape)
            except ValueError:
                continue
            return choose.choice(list(BINARY.values())), (a, b), ()
        if kind == "product":
            if x.ndim < 2 or y.ndim < 2 or x.shape[-1] != y.shape[-1]:
                continue
            if x.ndim == y.ndim and x.shape[:-2] == y.shape[:-2] or y.ndim == 2:
                return (product, np_product), (a, b), ()
            continue
        if not x.ndim:
            continue
        k = choose.randrange(x.ndim)
        if kind == "reduce":
            return (
                choose.choice(list((REDUCE | (EXTREME if x.shape[k] else {})).values())),
                (a,),
                (k,),
            )
        if kind == "move":
            return choose.choice(list(MOVE.values())), (a,), (k,)
        if x.size:
            at = tuple(choose.randrange(min(x.shape[0], x.shape[k])) for _ in range(3))
            return choose.choice(list(INDEX.values())), (a,), (k, at)
