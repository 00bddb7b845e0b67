"""A small GPT that is trained, saved, and then writes from its file, one character a call.

The file's function `step` takes one character and gives the scores of the next. What attention
needs of earlier characters, their keys and values, is state of the program (a KV cache): a call
writes one row of it in place and reads the rest. `reset` begins a new text. Neither this script nor
the front end is needed to write:

    python examples/gpt_sample.py --out gpt.ig    # train, save, write
    python examples/gpt_sample.py --file gpt.ig   # write only
"""

from __future__ import annotations

import argparse
import tempfile
import time
from pathlib import Path

import numpy as np
from letters import LENGTH, draw, text, train

import intaglio as ig
import intaglio.nn.functional as F
from intaglio import nn
from intaglio.runtime import load

WIDTH, HEADS, LAYERS = 96, 4, 3


class Attention(nn.Module):
    """Looks back over all characters so far: all at once, or one more with what it remembers."""

    def __init__(self) -> None:
        super().__init__()
        self.qkv, self.out = nn.Linear(WIDTH, 3 * WIDTH), nn.Linear(WIDTH, WIDTH)
        for name in ("keys", "values"):
            self.register_buffer(name, ig.zeros(1, HEADS, LENGTH, WIDTH // HEADS))

    def parts(self, x: ig.Tensor) -> list[ig.Tensor]:
        """Queries, keys and values f32[n,heads,t,width/heads] of f32[n,t,width]."""
        n, t, _ = x.shape
        split = self.qkv(x).view(n, t, 3, HEADS, WIDTH // HEADS).permute(2, 0, 3, 1, 4)
        return [split[0], split[1], split[2]]

    def joined(self, x: ig.Tensor) -> ig.Tensor:
        """The heads' results side by side."""
        n, _, t, _ = x.shape
        return self.out(x.transpose(1, 2).reshape(n, t, WIDTH))

    def forward(self, x: ig.Tensor) -> ig.Tensor:
        """f32[n,t,width] of whole texts."""
        q, k, v = self.parts(x)
        return self.joined(F.scaled_dot_product_attention(q, k, v, is_causal=True))

    def step(self, x: ig.Tensor, position: ig.Tensor) -> ig.Tensor:
        """f32[1,1,width] of the character at a position, which is remembered."""
        q, k, v = self.parts(x)
        self.keys[:, :, position] = k[:, :, 0]
        self.values[:, :, position] = v[:, :, 0]
        known = (ig.arange(LENGTH) <= position).view(1, LENGTH)
        return self.joined(F.scaled_dot_product_attention(q, self.keys, self.values, known))


class Block(nn.Module):
    """Attention and a small network, each beside the identity."""

    def __init__(self) -> None:
        super().__init__()
        self.attention = Attention()
        self.norm1, self.norm2 = nn.LayerNorm(WIDTH), nn.LayerNorm(WIDTH)
        self.mlp = nn.Sequential(
            nn.Linear(WIDTH, 4 * WIDTH), nn.GELU(), nn.Linear(4 * WIDTH, WIDTH)
        )

    def forward(self, x: ig.Tensor, position: ig.Tensor | None = None) -> ig.Tensor:
        """f32[n,t,width], of whole texts or of the character at a position."""
        inner = self.norm1(x)
        attention = self.attention
        x = x + (attention(inner) if position is None else attention.step(inner, position))
        return x + self.mlp(self.norm2(x))


class GPT(nn.Module):
    """Scores of the next character after every one of up to 64."""

    def __init__(self, characters: int) -> None:
        super().__init__()
        self.character, self.place = nn.Embedding(characters, WIDTH), nn.Embedding(LENGTH, WIDTH)
        self.blocks = nn.ModuleList(Block() for _ in range(LAYERS))
        self.norm, self.scores = nn.LayerNorm(WIDTH), nn.Linear(WIDTH, characters)
        self.register_buffer("position", ig.tensor(0))

    def forward(self, x: ig.Tensor) -> ig.Tensor:
        """Scores f32[n,t,characters] for codes i64[n,t]."""
        h = self.character(x) + self.place(ig.arange(x.shape[1]))
        for block in self.blocks:
            h = block(h)
        return self.scores(self.norm(h))

    def step(self, code: ig.Tensor) -> ig.Tensor:
        """Scores f32[characters] after one more character, code i64[]."""
        h = (self.character(code) + self.place(self.position)).view(1, 1, WIDTH)
        for block in self.blocks:
            h = block(h, self.position)
        self.position += 1
        return self.scores(self.norm(h)).view(-1)

    def reset(self) -> None:
        """Begin a new text."""
        self.position.zero_()


def save(model: GPT, characters: str, path: Path) -> Path:
    """Write the model as a file with `forward`, `step` and `reset`."""
    n, t = ig.Dim("n", min=1, max=1024), ig.Dim("t", min=1, max=LENGTH)
    model.eval()
    program = ig.trace(model, ig.spec((n, t), ig.int64))
    with ig.no_grad():
        program.trace("step", model.step, ig.spec((), ig.int64))
        program.trace("reset", model.reset)
    program.save(path, metadata={"characters": characters})
    return path


def write(path: Path, begin: str, length: int = 300) -> str:
    """Text that the model in a file continues. When the cache is full, it begins anew with the
    second half of what it knows."""
    model = load(path)
    characters, random = model.metadata["characters"], np.random.default_rng(0)
    written, unread, known = begin, begin[-LENGTH // 2 :], 0
    model.reset()
    for _ in range(length):
        if known + len(unread) > LENGTH:
            unread, known = written[-LENGTH // 2 :], 0
            model.reset()
        for letter in unread:
            scores = model.step(np.array(characters.index(letter)))
        known += len(unread)
        unread = characters[draw(scores, random)]
        written += unread
    return written


def main() -> None:
    """Train and save, unless there is a file; then write."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n\n")[0])
    parser.add_argument("--steps", type=int, default=600)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, help="where to write the trained model")
    parser.add_argument("--file", type=Path, help="a trained model: write only")
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        path = chosen.file or chosen.out or Path(folder) / "gpt.ig"
        if not chosen.file:
            model, held_out = train(GPT, chosen.steps, chosen.seed)
            print(f"held out: {held_out:.3f} nats/char")
            save(model, text()[0], path)
        begin = time.perf_counter()
        written = write(path, "The statement ")
        seconds = time.perf_counter() - begin
        print(f"{written}\n({len(written) / seconds:.0f} characters a second)")


if __name__ == "__main__":
    main()
