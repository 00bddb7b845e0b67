"""A recurrent network that learns to write Python's manual, and one file that reads any length.

Two LSTM layers of 128 units read 64 characters at a time. The file's function `read` takes texts of
any length and the state before them, and gives the scores of the next characters and the state
after them: once with the whole beginning, then with one character after the other. The loop over
the characters is one node of the program, whatever its length.

    python examples/lstm_text.py [--steps 400] [--out lstm.ig]
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path

import numpy as np
from letters import draw, text, train

import intaglio as ig
from intaglio import nn
from intaglio.runtime import load

WIDTH, LAYERS = 128, 2


class Model(nn.Module):
    """Characters embedded, read by an LSTM, and scores of the next character."""

    def __init__(self, characters: int) -> None:
        super().__init__()
        self.character = nn.Embedding(characters, WIDTH)
        self.lstm = nn.LSTM(WIDTH, WIDTH, LAYERS, batch_first=True)
        self.scores = nn.Linear(WIDTH, characters)

    def forward(self, x: ig.Tensor) -> ig.Tensor:
        """Scores f32[n,t,characters] for codes i64[n,t] of texts that begin here."""
        read, _ = self.lstm(self.character(x))
        return self.scores(read)

    def read(self, x: ig.Tensor, h: ig.Tensor, c: ig.Tensor) -> dict[str, ig.Tensor]:
        """The same for texts that go on, from and to the state f32[layers,n,width]."""
        read, (h, c) = self.lstm(self.character(x), (h, c))
        return {"scores": self.scores(read), "h": h, "c": c}


def save(model: Model, characters: str, path: Path) -> Path:
    """Write the model as a file whose `read` takes any number of texts of any length."""
    n, t = ig.Dim("n", min=1, max=1024), ig.Dim("t", min=1, max=65536)
    x, state = ig.spec((n, t), ig.int64), ig.spec((LAYERS, n, WIDTH), ig.float32)
    program = ig.trace(model.eval(), x)
    program.trace("read", model.read, x, state, state)
    program.save(path, metadata={"characters": characters})
    return path


def write(path: Path, begin: str, length: int = 300) -> str:
    """Text that the model in a file continues."""
    model = load(path)
    characters, random = model.metadata["characters"], np.random.default_rng(0)
    h = c = np.zeros((LAYERS, 1, WIDTH), np.float32)
    written, unread = begin, begin
    for _ in range(length):
        x = np.array([[characters.index(letter) for letter in unread]])
        found = model.read(x, h, c)
        h, c = found["h"], found["c"]
        unread = characters[draw(found["scores"][0, -1], random)]
        written += unread
    return written


def main() -> None:
    """Train, tell the loss, write a file, and let it write."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n\n")[0])
    parser.add_argument("--steps", type=int, default=400)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, help="where to write the trained model")
    chosen = parser.parse_args()
    model, held_out = train(Model, chosen.steps, chosen.seed, rate=3e-3)
    print(f"held out: {held_out:.3f} nats/char")
    with tempfile.TemporaryDirectory() as folder:
        path = save(model, text()[0], chosen.out or Path(folder) / "lstm.ig")
        print(write(path, "The statement "))
        if chosen.out:
            print(f"wrote {path} ({path.stat().st_size} bytes)")


if __name__ == "__main__":
    main()
