"""Transformers: an encoder that reads 128 tokens, and a training step of a small GPT."""

from typing import Any

import numpy as np

from benchmarks.char_transformer import corpus
from benchmarks.frameworks import Framework, Step
from benchmarks.networks import source

WIDTH, HEADS, LAYERS, LENGTH, WORDS = 384, 12, 6, 128, 1000
GPT_LENGTH, GPT_BATCH = 128, 8


def bert_mini(fw: Framework) -> Step:
    """Six layers of an encoder as BERT's, normalized after each part, for one text."""
    nn = fw.nn

    class Encoder(nn.Module):  # type: ignore[misc, name-defined]  # the base is chosen at run time
        def __init__(self) -> None:
            super().__init__()
            self.words, self.places = nn.Embedding(WORDS, WIDTH), nn.Embedding(LENGTH, WIDTH)
            self.norm = nn.LayerNorm(WIDTH)
            self.layers = nn.ModuleList(
                nn.TransformerEncoderLayer(WIDTH, HEADS, 4 * WIDTH, 0.0, "gelu", batch_first=True)
                for _ in range(LAYERS)
            )

        def forward(self, x: Any) -> Any:
            h = self.norm(self.words(x) + self.places(fw.api.arange(LENGTH)))
            for layer in self.layers:
                h = layer(h)
            return h

    model = Encoder().eval()
    fw.fill(model, seed=0)

    def forward(x: Any) -> Any:
        with fw.no_grad():
            return model(x)

    return Step(forward, (np.random.default_rng(1).integers(0, WORDS, (1, LENGTH)),), model)


def gpt_mini_train(fw: Framework) -> Step:
    """Forward, cross entropy, backward and AdamW of four layers of 256 on 8 x 128 characters."""
    codes, letters = corpus()
    starts = np.random.default_rng(0).integers(0, len(codes) - GPT_LENGTH - 1, GPT_BATCH)
    window = np.stack([codes[i : i + GPT_LENGTH + 1] for i in starts])
    gpt = source("gpt", fw.api.__name__)
    model = gpt.GPT(gpt.Config(letters, context=GPT_LENGTH, layers=4, heads=8, width=256))
    fw.fill(model, seed=0)
    optimizer = fw.optim.AdamW(model.parameters(), lr=1e-3)

    def train_step(x: Any, t: Any) -> Any:
        optimizer.zero_grad()
        loss = model(x, t)[1]
        loss.backward()
        optimizer.step()
        return loss

    return Step(train_step, (window[:, :-1].copy(), window[:, 1:].copy()))
