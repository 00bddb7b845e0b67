"""A small GPT that decodes from caches held as state: one program for one token, saved, loaded and
run from the file, against the forward pass over the whole text."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import intaglio as ig
from intaglio import nn
from intaglio.nn import functional as F

WIDTH, HEADS, LENGTH, VOCABULARY, LAYERS = 32, 4, 64, 17, 2


class Attention(nn.Module):
    """Causal attention, over a text or from caches."""

    def __init__(self) -> None:
        super().__init__()
        self.qkv = nn.Linear(WIDTH, 3 * WIDTH)
        self.out = nn.Linear(WIDTH, WIDTH)
        shape = (1, HEADS, LENGTH, WIDTH // HEADS)
        self.register_buffer("k_cache", ig.zeros(shape))
        self.register_buffer("v_cache", ig.zeros(shape))

    def heads(self, x: Any) -> list[Any]:
        n, t = x.shape[:2]
        parts = self.qkv(x).split(WIDTH, 2)
        return [p.reshape(n, t, HEADS, WIDTH // HEADS).transpose(1, 2) for p in parts]

    def join(self, scores: Any, v: Any) -> Any:
        y = (F.softmax(scores, -1) @ v).transpose(1, 2)
        return self.out(y.reshape(y.shape[0], y.shape[1], WIDTH))

    def forward(self, x: Any) -> Any:
        q, k, v = self.heads(x)
        t = x.shape[1]
        scores = q @ k.transpose(2, 3) / (WIDTH // HEADS) ** 0.5
        later = ig.arange(t).reshape(1, t) > ig.arange(t).reshape(t, 1)
        return self.join(scores.masked_fill(later, float("-inf")), v)

    def decode(self, x: Any, position: Any) -> Any:
        q, k, v = self.heads(x)
        self.k_cache[:, :, position : position + 1] = k
        self.v_cache[:, :, position : position + 1] = v
        scores = q @ self.k_cache.transpose(2, 3) / (WIDTH // HEADS) ** 0.5
        later = ig.arange(LENGTH) > position
        return self.join(scores.masked_fill(later, float("-inf")), self.v_cache)


class Block(nn.Module):
    """Attention and a small network, each added to what went in."""

    def __init__(self) -> None:
        super().__init__()
        self.norm1, self.norm2 = nn.LayerNorm(WIDTH), nn.LayerNorm(WIDTH)
        self.attention = Attention()
        self.up, self.down = nn.Linear(WIDTH, 4 * WIDTH), nn.Linear(4 * WIDTH, WIDTH)

    def forward(self, x: Any, position: Any = None) -> Any:
        y = self.norm1(x)
        y = self.attention(y) if position is None else self.attention.decode(y, position)
        x = x + y
        return x + self.down(F.gelu(self.up(self.norm2(x))))


class Gpt(nn.Module):
    """Tokens to the logits of the next ones."""

    def __init__(self) -> None:
        super().__init__()
        self.token = nn.Embedding(VOCABULARY, WIDTH)
        self.place = nn.Embedding(LENGTH, WIDTH)
        self.blocks = nn.ModuleList([Block() for _ in range(LAYERS)])
        self.norm, self.head = nn.LayerNorm(WIDTH), nn.Linear(WIDTH, VOCABULARY)
        self.register_buffer("position", ig.zeros((), dtype=ig.int64))

    def forward(self, tokens: Any) -> Any:
        x = self.token(tokens) + self.place(ig.arange(tokens.shape[1]))
        for block in self.blocks:
            x = block(x)
        return self.head(self.norm(x))

    def decode(self, token: Any) -> Any:
        """token: i64[1, 1] to logits: f32[1, 1, vocabulary]."""
        x = self.token(token) + self.place(self.position.reshape(1))
        for block in self.blocks:
            x = block(x, self.position)
        self.position += 1
        return self.head(self.norm(x))

    def reset(self) -> Any:
        """Begin a new text."""
        self.position.zero_()
        for block in self.blocks:
            block.attention.k_cache.zero_()
            block.attention.v_cache.zero_()
        return self.position


@pytest.fixture(scope="module")
def gpt() -> Gpt:
    ig.manual_seed(5)
    return Gpt()


def test_decoding_from_a_file_gives_the_whole_forward_pass(gpt: Gpt, tmp_path: Path) -> None:
    token = ig.zeros(1, 1, dtype=ig.int64)
    with ig.no_grad():
        program = ig.trace(gpt.decode, token, name="decode").trace("reset", gpt.reset)
    program.save(tmp_path / "gpt.ig")
    model = ig.load(tmp_path / "gpt.ig")
    text = np.random.default_rng(1).integers(0, VOCABULARY, (1, 50))
    with ig.no_grad():
        whole = gpt.forward(ig.tensor(text)).numpy()
    for _ in range(2):
        for k in range(50):
            logits = model.decode(text[:, k : k + 1])
            np.testing.assert_allclose(logits[0, 0], whole[0, k], rtol=2e-4, atol=2e-5)
        model.reset()
