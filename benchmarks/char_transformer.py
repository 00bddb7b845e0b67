"""A character language model: one training step of a small transformer over Python's own manual."""

import pydoc_data.topics
from typing import Any

import numpy as np

from benchmarks.frameworks import Framework, Step

WIDTH, HEADS, LAYERS, LENGTH, BATCH = 64, 4, 2, 64, 32


def corpus() -> tuple[np.ndarray, int]:
    """The text as codes i64[n], and the number of different characters."""
    topics = pydoc_data.topics.topics
    text = "".join(topics[key] for key in sorted(topics))
    kept = [c for c in text if c == "\n" or 32 <= ord(c) < 127]
    letters = {c: i for i, c in enumerate(sorted(set(kept)))}
    return np.array([letters[c] for c in kept], dtype=np.int64), len(letters)


def language_model(fw: Framework, letters: int, width: int = WIDTH, layers: int = LAYERS) -> Any:
    """Embeddings, pre-norm encoder layers under a causal mask, and a linear head."""
    nn, api = fw.nn, fw.api

    class LanguageModel(nn.Module):  # type: ignore[misc, name-defined]  # the base is chosen at run time
        def __init__(self) -> None:
            super().__init__()
            self.embedding = nn.Embedding(letters, width)
            self.position = nn.Embedding(LENGTH, width)
            self.blocks = nn.ModuleList(
                nn.TransformerEncoderLayer(
                    width, HEADS, 4 * width, 0.0, "gelu", batch_first=True, norm_first=True
                )
                for _ in range(layers)
            )
            self.norm, self.head = nn.LayerNorm(width), nn.Linear(width, letters)
            mask = api.triu(api.full((LENGTH, LENGTH), float("-inf")), 1)
            self.register_buffer("mask", mask)

        def forward(self, x: Any) -> Any:
            h = self.embedding(x) + self.position(api.arange(x.shape[1]))
            for block in self.blocks:
                h = block(h, src_mask=self.mask)
            return self.head(self.norm(h))

    return LanguageModel()


def batch() -> tuple[np.ndarray, np.ndarray, int]:
    """32 x 64 characters, the next ones, and the number of different characters."""
    codes, letters = corpus()
    starts = np.random.default_rng(0).integers(0, len(codes) - LENGTH - 1, BATCH)
    window = np.stack([codes[i : i + LENGTH + 1] for i in starts])
    return window[:, :-1].copy(), window[:, 1:].copy(), letters


def char_transformer_train(fw: Framework, width: int = WIDTH, layers: int = LAYERS) -> Step:
    """Forward, cross entropy, backward and AdamW on a batch of 32 x 64 characters."""
    x, t, letters = batch()
    model = language_model(fw, letters, width, layers)
    fw.fill(model, seed=0)
    optimizer = fw.optim.AdamW(model.parameters(), lr=1e-3)

    def train_step(x: Any, t: Any) -> Any:
        optimizer.zero_grad()
        logits = model(x).reshape(-1, letters)
        loss = fw.functional.cross_entropy(logits, t.reshape(-1))
        loss.backward()
        optimizer.step()
        return loss

    return Step(train_step, (x, t))


def char_transformer_4x128_train(fw: Framework) -> Step:
    """The same with four layers of 128."""
    return char_transformer_train(fw, 128, 4)


def char_transformer_clipped_train(fw: Framework) -> Step:
    """Four layers of 128 whose gradients are clipped by their joint norm before the step."""
    x, t, letters = batch()
    model = language_model(fw, letters, 128, 4)
    fw.fill(model, seed=0)
    optimizer = fw.optim.AdamW(model.parameters(), lr=1e-3)

    def train_step(x: Any, t: Any) -> Any:
        optimizer.zero_grad()
        logits = model(x).reshape(-1, letters)
        loss = fw.functional.cross_entropy(logits, t.reshape(-1))
        loss.backward()
        fw.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        return loss

    return Step(train_step, (x, t))
