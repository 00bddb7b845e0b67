"""What the examples that learn to write share: a text, batches of it, training, and drawing the
next character.

The text is the help pages that Python brings along (`pydoc_data.topics`): 460,000 characters, of
which the last tenth is held out."""

from __future__ import annotations

import pydoc_data.topics
import time
from collections.abc import Callable
from typing import Any, TypeVar

import numpy as np

import intaglio as ig
import intaglio.nn.functional as F
from intaglio import nn, optim

LENGTH, BATCH = 64, 32
Array = np.ndarray[Any, Any]
M = TypeVar("M", bound=nn.Module)


def text() -> tuple[str, Array]:
    """The characters that occur, and the text as their numbers."""
    topics = pydoc_data.topics.topics
    whole = "".join(topics[name] for name in sorted(topics))
    kept = "".join(c for c in whole if c == "\n" or 32 <= ord(c) < 127)
    characters = "".join(sorted(set(kept)))
    code = {c: k for k, c in enumerate(characters)}
    return characters, np.array([code[c] for c in kept])


def windows(data: Array, count: int, random: np.random.Generator) -> tuple[Array, Array]:
    """Random stretches of the text, and the same moved on by one character."""
    starts = random.integers(0, len(data) - LENGTH - 1, count)
    rows = np.stack([data[k : k + LENGTH + 1] for k in starts])
    return np.ascontiguousarray(rows[:, :-1]), np.ascontiguousarray(rows[:, 1:])


def loss_of(model: nn.Module, x: ig.Tensor, t: ig.Tensor) -> ig.Tensor:
    """Nats per character of a model that scores the next one at every place."""
    scores = model(x)
    return F.cross_entropy(scores.reshape(-1, scores.shape[-1]), t.reshape(-1))


def train(
    make: Callable[[int], M], steps: int, seed: int, rate: float = 1e-3, report: int = 100
) -> tuple[M, float]:
    """A model for so many characters, trained by a compiled step of AdamW; and its loss on the
    text held out."""
    characters, data = text()
    split = int(0.9 * len(data))
    ig.manual_seed(seed)
    model = make(len(characters))
    optimizer = optim.AdamW(model.parameters(), lr=rate)

    @ig.jit
    def step(x: ig.Tensor, t: ig.Tensor) -> ig.Tensor:
        optimizer.zero_grad()
        loss = loss_of(model, x, t)
        loss.backward()
        optimizer.step()
        return loss

    random, begin = np.random.default_rng(seed), time.perf_counter()
    for k in range(1, steps + 1):
        x, t = windows(data[:split], BATCH, random)
        loss = step(ig.from_numpy(x), ig.from_numpy(t))
        if k % report == 0:
            seconds = time.perf_counter() - begin
            print(f"step {k}: {loss.item():.3f} nats/char ({seconds:.1f} s)", flush=True)
    x, t = windows(data[split:], 256, np.random.default_rng(1))
    with ig.no_grad():
        held_out = loss_of(model, ig.from_numpy(x), ig.from_numpy(t)).item()
    return model, held_out


def draw(scores: Array, random: np.random.Generator, temperature: float = 0.8) -> int:
    """A character's number, drawn by the probabilities that the scores f32[characters] mean."""
    scores = scores.astype(np.float64) / temperature
    weights = np.exp(scores - scores.max())
    return int(random.choice(len(weights), p=weights / weights.sum()))
