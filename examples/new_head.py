"""A new head on somebody else's network: the backbone comes as a file without its code, stays
frozen, and ends as part of a new file.

    python examples/new_head.py --out loops.ig
    intaglio info loops.ig

The backbone is the network of `torch_weights.py` without its last layer: 64 features of a
handwritten digit. The new task is to tell whether a digit is drawn with a closed loop (0, 6, 8 and
9 are), from 40 examples. Five draws of them give 93.9, 87.8, 95.0, 96.9 and 93.6 % with the
backbone; the same network trained from nothing gets 87.2, 83.6, 86.4, 88.6 and 94.7 %.
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path

import numpy as np
import torch_weights

import intaglio as ig
import intaglio.nn.functional as F
from intaglio import nn, optim

EXAMPLES, STEPS = 40, 150
LOOPS = (0, 6, 8, 9)


def write_backbone(path: Path) -> Path:
    """The file that somebody else hands us: `forward` gives 64 features f32[n,64] for pixels
    f32[n,1,8,8]."""
    n = ig.Dim("n", min=1, max=4096)
    features = torch_weights.trained()[:-1]
    ig.trace(features.eval(), ig.spec((n, 1, 8, 8), ig.float32)).save(path)
    return path


def with_head(path: Path) -> nn.Module:
    """The backbone of a file, frozen, and a new layer that scores two classes."""
    backbone = nn.Loaded(path).requires_grad_(False)
    return nn.Sequential(backbone, nn.Linear(64, 2))


def data(seed: int) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
    """40 examples to learn from and 360 others: pixels `x`, and whether there is a loop, `t`."""
    train, test = torch_weights.data()
    few = np.random.RandomState(seed).permutation(len(train["t"]))[:EXAMPLES]
    train = {name: array[few] for name, array in train.items()}
    return tuple({"x": d["x"], "t": np.isin(d["t"], LOOPS).astype(np.int64)} for d in (train, test))


def learn(model: nn.Module, train: dict[str, np.ndarray]) -> optim.Optimizer:
    """Train what is not frozen, all examples at once; the optimizer."""
    optimizer = optim.AdamW([p for p in model.parameters() if p.requires_grad], lr=1e-2)
    x, t = ig.from_numpy(train["x"]), ig.from_numpy(train["t"])

    @ig.jit
    def step() -> ig.Tensor:
        optimizer.zero_grad()
        loss = F.cross_entropy(model(x), t)
        loss.backward()
        optimizer.step()
        return loss

    for _ in range(STEPS):
        step()
    return optimizer


def accuracy(model: nn.Module, test: dict[str, np.ndarray]) -> float:
    """The share of the held-out digits that the model gets right."""
    with ig.no_grad():
        scores = model.eval()(ig.from_numpy(test["x"]))
    return float(torch_weights.accuracy(scores, ig.from_numpy(test["t"])))


def program(model: nn.Module, optimizer: optim.Optimizer) -> ig.Program:
    """The new model as a file that runs, and whose head goes on learning."""
    n = ig.Dim("n", min=1, max=4096)
    return ig.program(
        model,
        inputs={"x": ig.spec((n, 1, 8, 8), ig.float32)},
        targets={"t": ig.spec((n,), ig.int64)},
        loss=F.cross_entropy,
        optim=optimizer,
        metrics={"accuracy": torch_weights.accuracy},
    )


def main() -> None:
    """Train heads and whole networks on few examples; tell how well they do; write one file."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n\n")[0])
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--out", type=Path, help="where to write the last model with the backbone")
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        path = write_backbone(Path(folder) / "backbone.ig")
        for seed in range(chosen.seeds):
            ig.manual_seed(seed)
            train, test = data(seed)
            model = with_head(path)
            optimizer = learn(model, train)
            whole = nn.Sequential(torch_weights.network()[:-1], nn.Linear(64, 2))
            learn(whole, train)
            print(
                f"seed {seed}: {accuracy(model, test):.4f} with the backbone, "
                f"{accuracy(whole, test):.4f} without"
            )
    if chosen.out:
        program(model, optimizer).save(chosen.out, metadata={"task": "closed loops"})
        print(f"wrote {chosen.out}")


if __name__ == "__main__":
    main()
