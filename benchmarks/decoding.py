"""Writing text: a GPT that takes one token a call and keeps what attention needs of earlier ones.

The keys and values of up to 256 tokens are buffers of the model. When they are full, the oldest
are written over, so that any number of calls can be timed."""

from typing import Any

import numpy as np

from benchmarks.frameworks import Framework, Step

WIDTH, HEADS, LAYERS, LENGTH, WORDS = 256, 8, 4, 256, 96


def model_of(fw: Framework) -> Any:
    """The network: a code i64[] to scores f32[words]."""
    nn, api = fw.nn, fw.api

    class Attention(nn.Module):  # type: ignore[misc, name-defined]  # the base is chosen at run time
        def __init__(self) -> None:
            super().__init__()
            self.qkv, self.out = nn.Linear(WIDTH, 3 * WIDTH), nn.Linear(WIDTH, WIDTH)
            for name in ("keys", "values"):
                self.register_buffer(name, api.zeros(1, HEADS, LENGTH, WIDTH // HEADS))

        def forward(self, x: Any, place: Any, known: Any) -> Any:
            q, k, v = self.qkv(x).view(3, 1, HEADS, 1, WIDTH // HEADS)
            self.keys[:, :, place] = k[:, :, 0]
            self.values[:, :, place] = v[:, :, 0]
            made = fw.functional.scaled_dot_product_attention(q, self.keys, self.values, known)
            return self.out(made.reshape(1, WIDTH))

    class Block(nn.Module):  # type: ignore[misc, name-defined]  # the same
        def __init__(self) -> None:
            super().__init__()
            self.norm1, self.norm2 = nn.LayerNorm(WIDTH), nn.LayerNorm(WIDTH)
            self.attention = Attention()
            self.mlp = nn.Sequential(
                nn.Linear(WIDTH, 4 * WIDTH), nn.GELU(), nn.Linear(4 * WIDTH, WIDTH)
            )

        def forward(self, x: Any, place: Any, known: Any) -> Any:
            x = x + self.attention(self.norm1(x), place, known)
            return x + self.mlp(self.norm2(x))

    class Decoder(nn.Module):  # type: ignore[misc, name-defined]  # the same
        def __init__(self) -> None:
            super().__init__()
            self.words, self.places = nn.Embedding(WORDS, WIDTH), nn.Embedding(LENGTH, WIDTH)
            self.blocks = nn.ModuleList(Block() for _ in range(LAYERS))
            self.norm, self.scores = nn.LayerNorm(WIDTH), nn.Linear(WIDTH, WORDS)
            self.register_buffer("position", api.tensor(0))

        def forward(self, code: Any) -> Any:
            place = self.position % LENGTH
            known = (api.arange(LENGTH) <= self.position).view(1, LENGTH)
            h = (self.words(code) + self.places(place)).view(1, WIDTH)
            for block in self.blocks:
                h = block(h, place, known)
            self.position += 1
            return self.scores(self.norm(h)).view(-1)

    return Decoder()


def gpt_decode_step(fw: Framework) -> Step:
    """One token through four layers of 256."""
    model = model_of(fw).eval()
    fw.fill(model, seed=0)

    def forward(code: Any) -> Any:
        with fw.no_grad():
            return model(code)

    return Step(forward, (np.array(7),), model)
