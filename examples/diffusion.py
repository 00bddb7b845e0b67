"""Handwritten digits drawn from noise: a small denoising diffusion model (Ho, Jain and Abbeel,
2020) that trains and draws from its file.

    python examples/diffusion.py --folder build/diffusion   # writes diffusion.ig, train.npz, ...
    cd build/diffusion
    intaglio train diffusion.ig --data train.npz --eval-data test.npz --epochs 300 --out trained.ig
    intaglio run trained.ig --function sample --input labels=labels.npy --output drawn.npy
    python ../../examples/diffusion.py --show drawn.npy

The network is told a blurred picture, how much noise is in it and which digit it shall be, and
guesses the noise. `train_step` draws noise and times itself, from the random state in the file, so
that a run that is broken off and resumed draws the same. `sample` is the whole way back from noise
to pictures, a loop of 100 steps in one call.
"""

from __future__ import annotations

import argparse
import math
from pathlib import Path

import numpy as np
from classification import Arrays, split
from sklearn.datasets import load_digits

import intaglio as ig
import intaglio.nn.functional as F
from intaglio import nn, optim

STEPS, WIDTH, PIXELS, DIGITS = 100, 192, 64, 10


def noise_shares() -> np.ndarray:
    """How much of the picture is left (its variance) after each of the steps: f32[steps], on a
    cosine (Nichol and Dhariwal, 2021)."""
    t = np.arange(1, STEPS + 1) / STEPS
    return np.clip(np.cos((t + 0.008) / 1.008 * np.pi / 2) ** 2, 1e-4, 0.9999).astype(np.float32)


class Denoiser(nn.Module):
    """Guesses the noise in pictures of 8x8 pixels."""

    def __init__(self) -> None:
        super().__init__()
        self.time, self.digit = nn.Linear(32, WIDTH), nn.Embedding(DIGITS, WIDTH)
        self.begin, self.end = nn.Linear(PIXELS, WIDTH), nn.Linear(WIDTH, PIXELS)
        self.layers = nn.ModuleList(nn.Linear(WIDTH, WIDTH) for _ in range(3))
        self.norms = nn.ModuleList(nn.LayerNorm(WIDTH) for _ in range(3))
        self.register_buffer("left", ig.tensor(noise_shares()))
        frequencies = ig.exp(ig.arange(16) * (-math.log(1000.0) / 16))
        self.register_buffer("frequencies", frequencies)

    def forward(self, x: ig.Tensor, step: ig.Tensor, label: ig.Tensor) -> ig.Tensor:
        """The noise f32[n,64] in pictures f32[n,64] at steps i64[n] of digits i64[n]."""
        angles = step.float()[:, None] * self.frequencies
        told = self.time(ig.cat([angles.sin(), angles.cos()], 1)) + self.digit(label)
        h = self.begin(x)
        for layer, norm in zip(self.layers, self.norms, strict=True):
            h = h + F.silu(layer(norm(h) + told))
        return self.end(h)

    def loss(self, x: ig.Tensor, t: ig.Tensor) -> ig.Tensor:
        """How far off the guess is for pictures f32[n,64] (-1 to 1) of digits i64[n], at random
        steps and noise."""
        step = ig.randint(0, STEPS, (x.shape[0],))
        noise = ig.randn(*x.shape)
        left = self.left[step][:, None]
        return F.mse_loss(self(left.sqrt() * x + (1 - left).sqrt() * noise, step, t), noise)

    def sample(self, labels: ig.Tensor) -> ig.Tensor:
        """A picture f32[n,64] of each of these digits i64[n], from noise."""
        n = labels.shape[0]

        def back(x: ig.Tensor, given: tuple[ig.Tensor, ig.Tensor]) -> tuple[ig.Tensor, None]:
            step, noise = given
            left, before = self.left[step], self.left[(step - 1).clamp(min=0)]
            before = ig.where(step > 0, before, 1.0)
            guess = self(x, step.expand(n), labels)
            clean = ((x - (1 - left).sqrt() * guess) / left.sqrt()).clamp(-1, 1)
            kept = left / before
            mean = (before.sqrt() * (1 - kept) * clean + kept.sqrt() * (1 - before) * x) / (
                1 - left
            )
            spread = ((1 - before) / (1 - left) * (1 - kept)).sqrt()
            return mean + spread * noise, None

        begin, noise = ig.randn(n, PIXELS), ig.randn(STEPS, n, PIXELS)
        return ig.scan(back, begin, (ig.arange(STEPS).flip(0), noise))[0]


def program(seed: int = 0) -> ig.Program:
    """The untrained model, how it trains and how it draws."""
    ig.manual_seed(seed)
    model = Denoiser()
    optimizer = optim.AdamW(model.parameters(), lr=2e-3, weight_decay=1e-4)

    def train_step(x: ig.Tensor, t: ig.Tensor) -> dict[str, ig.Tensor]:
        optimizer.zero_grad()
        loss = model.loss(x, t)
        loss.backward()
        optimizer.step()
        return {"loss": loss}

    def evaluate(x: ig.Tensor, t: ig.Tensor) -> dict[str, ig.Tensor]:
        return {"loss": model.loss(x, t)}

    n = ig.Dim("n", min=1, max=4096)
    pictures, digits = ig.spec((n, PIXELS), ig.float32), ig.spec((n,), ig.int64)
    made = ig.trace(train_step, pictures, digits, name="train_step")
    model.eval()
    with ig.no_grad():
        made.trace("eval", evaluate, pictures, digits)
        made.trace("sample", model.sample, digits)
    return made


def data() -> tuple[Arrays, Arrays]:
    """1437 pictures to learn from and 360 others: pixels `x` from -1 to 1, digits `t`."""
    digits = load_digits()
    return split(digits.data / 8 - 1, digits.target, 1437)


def shown(pictures: np.ndarray) -> str:
    """Pictures f32[n,64] as text, ten beside each other."""
    shades = " .:-=+*#%@"
    places = np.clip((pictures + 1) / 2 * len(shades), 0, len(shades) - 1).astype(int)
    lines = []
    for row in places.reshape(-1, 8, 8)[: 10 * (len(places) // 10)].reshape(-1, 10, 8, 8):
        lines += [
            "  ".join("".join(shades[p] * 2 for p in line) for line in lines_of)
            for lines_of in row.transpose(1, 0, 2)
        ]
    return "\n".join(lines)


def main() -> None:
    """Write the model and the data; or show pictures."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n\n")[0])
    parser.add_argument("--folder", type=Path, default=Path("build/diffusion"))
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--show", type=Path, help="pictures to show, as `sample` draws them")
    chosen = parser.parse_args()
    if chosen.show:
        print(shown(np.load(chosen.show)[:20]))
        return
    chosen.folder.mkdir(parents=True, exist_ok=True)
    train, test = data()
    np.savez(chosen.folder / "train.npz", **train)
    np.savez(chosen.folder / "test.npz", **test)
    np.save(chosen.folder / "labels.npy", np.arange(200) % DIGITS)
    program(chosen.seed).save(chosen.folder / "diffusion.ig")
    print(f"wrote diffusion.ig, train.npz, test.npz and labels.npy in {chosen.folder}")


if __name__ == "__main__":
    main()
