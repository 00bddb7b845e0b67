"""A small GPT in one file: written once, then trained, resumed and asked for text by the command
line, which needs nothing but the file.

    python examples/gpt.py --folder build/gpt              # writes gpt.ig, train.npz, test.npz
    cd build/gpt
    intaglio train gpt.ig --data train.npz --eval-data test.npz --epochs 2 --out trained.ig
    printf 'The statement ' > prompt.txt
    intaglio run trained.ig --function sample --input prompt=prompt.txt --input temperature=0.8 \\
        --output written.txt

The letters are bytes, so that texts go in and out as they are. The file has the functions `init`,
`forward`, `eval`, `train_step` (AdamW on a cosine that rises first, gradients clipped) and
`sample`, a loop of its own: 400 letters in one call.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
from letters import text

import intaglio as ig
import intaglio.nn.functional as F
from intaglio import nn, optim

LETTERS, LENGTH, WIDTH, HEADS, LAYERS = 128, 64, 96, 4, 3
BATCH, STRIDE, WRITTEN = 32, 24, 400


class Attention(nn.Module):
    """Looks back over all letters so far."""

    def __init__(self) -> None:
        super().__init__()
        self.qkv, self.out = nn.Linear(WIDTH, 3 * WIDTH), nn.Linear(WIDTH, WIDTH)

    def forward(self, x: ig.Tensor) -> ig.Tensor:
        """f32[n,t,width] of f32[n,t,width]."""
        n, t, _ = x.shape
        q, k, v = self.qkv(x).view(n, t, 3, HEADS, WIDTH // HEADS).permute(2, 0, 3, 1, 4)
        mixed = F.scaled_dot_product_attention(q, k, v, is_causal=True)
        return self.out(mixed.transpose(1, 2).reshape(n, t, WIDTH))


class Block(nn.Module):
    """Attention and a small network, each beside the identity."""

    def __init__(self) -> None:
        super().__init__()
        self.attention, self.norm1, self.norm2 = (
            Attention(),
            nn.LayerNorm(WIDTH),
            nn.LayerNorm(WIDTH),
        )
        self.mlp = nn.Sequential(
            nn.Linear(WIDTH, 4 * WIDTH), nn.GELU(), nn.Linear(4 * WIDTH, WIDTH)
        )

    def forward(self, x: ig.Tensor) -> ig.Tensor:
        """f32[n,t,width] of f32[n,t,width]."""
        x = x + self.attention(self.norm1(x))
        return x + self.mlp(self.norm2(x))


class GPT(nn.Module):
    """Scores of the next letter after each of up to 64."""

    def __init__(self) -> None:
        super().__init__()
        self.letter, self.place = nn.Embedding(LETTERS, WIDTH), nn.Embedding(LENGTH, WIDTH)
        self.blocks = nn.ModuleList(Block() for _ in range(LAYERS))
        self.norm, self.scores = nn.LayerNorm(WIDTH), nn.Linear(WIDTH, LETTERS)

    def forward(self, x: ig.Tensor) -> ig.Tensor:
        """Scores f32[n,t,letters] for letters u8[n,t]."""
        h = self.letter(x.long()) + self.place(ig.arange(x.shape[1]))
        for block in self.blocks:
            h = block(h)
        return self.scores(self.norm(h))

    def sample(self, prompt: ig.Tensor, temperature: ig.Tensor) -> ig.Tensor:
        """400 letters u8[400] that continue a prompt u8[t], each drawn by its probability."""
        places = ig.arange(LENGTH)

        def step(carry: tuple[ig.Tensor, ig.Tensor], luck: ig.Tensor) -> tuple:
            seen, known = carry  # the last letters u8[64], and how many there are
            scores = self(seen.view(1, LENGTH))[0, known - 1]
            below = F.softmax(scores / temperature, -1).cumsum(0) < luck
            letter = below.sum().clamp(max=LETTERS - 1).to(ig.uint8)
            seen = ig.where(known < LENGTH, seen, seen.roll(-1))
            known = (known + 1).clamp(max=LENGTH)
            return (ig.where(places == known - 1, letter, seen), known), letter

        begin = ig.cat([prompt, ig.zeros(LENGTH, dtype=ig.uint8)])[:LENGTH]
        known = ig.tensor(0) + prompt.shape[0]
        return ig.scan(step, (begin, known), ig.rand(WRITTEN))[1]


def loss(scores: ig.Tensor, t: ig.Tensor) -> ig.Tensor:
    """Nats per letter of scores f32[n,t,letters] where the letters u8[n,t] came."""
    return F.cross_entropy(scores.flatten(0, 1), t.flatten().long())


def program(steps: int, seed: int = 0) -> ig.Program:
    """The untrained model and all that can be done with it; `steps` is how long it will train."""
    ig.manual_seed(seed)
    model = GPT()
    optimizer = optim.AdamW(model.parameters(), lr=2e-3, weight_decay=0.1)
    schedule = optim.lr_scheduler.OneCycleLR(optimizer, 2e-3, steps, cycle_momentum=False)
    n, t = ig.Dim("n", min=1, max=1024), ig.Dim("t", min=1, max=LENGTH)
    letters = ig.spec((n, t), ig.uint8)
    made = ig.program(
        model, inputs={"x": letters}, targets={"t": letters}, loss=loss, optim=optimizer,
        scheduler=schedule, schedule="step", clip_grad_norm=1.0,
    )  # fmt: skip
    model.eval()
    with ig.no_grad():
        made.trace("sample", model.sample, ig.spec((t,), ig.uint8), ig.spec((), ig.float32))
    return made


def windows() -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
    """Stretches of Python's manual, `x`, and the same moved on by one letter, `t`; the last tenth
    of the manual is for the test."""
    characters, codes = text()
    letters = np.frombuffer(characters.encode(), np.uint8)[codes]
    split = int(0.9 * len(letters))
    parts = []
    for part, stride in ((letters[:split], STRIDE), (letters[split:], LENGTH)):
        rows = np.lib.stride_tricks.sliding_window_view(part, LENGTH + 1)[::stride]
        parts.append({"x": rows[:, :-1].copy(), "t": rows[:, 1:].copy()})
    return parts[0], parts[1]


def main() -> None:
    """Write the model and the data."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n\n")[0])
    parser.add_argument("--folder", type=Path, default=Path("build/gpt"))
    parser.add_argument("--epochs", type=int, default=2, help="that the schedule is made for")
    parser.add_argument("--seed", type=int, default=0)
    chosen = parser.parse_args()
    train, test = windows()
    chosen.folder.mkdir(parents=True, exist_ok=True)
    np.savez(chosen.folder / "train.npz", **train)
    np.savez(chosen.folder / "test.npz", **test)
    steps = chosen.epochs * -(-len(train["x"]) // BATCH)
    program(steps, chosen.seed).save(chosen.folder / "gpt.ig")
    print(f"wrote gpt.ig, train.npz ({len(train['x'])} texts) and test.npz in {chosen.folder}")


if __name__ == "__main__":
    main()
