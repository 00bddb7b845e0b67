"""Weights that torch trained, in a model that needs no torch: read, checked, and written as one
file that runs and goes on training anywhere.

    python examples/torch_weights.py --out digits_cnn.ig
    intaglio info digits_cnn.ig

`examples/weights/digits_by_torch.py` shows how the weights were made. Names and shapes are torch's,
so that `load_state_dict` takes them as they are, batch norm's running statistics included. What
`torch.save` wrote is read too (`.pt`, `.pth`): nothing in such a file is ever run.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from classification import Arrays, split
from sklearn.datasets import load_digits

import intaglio as ig
import intaglio.nn.functional as F
from intaglio import nn, optim

WEIGHTS = Path(__file__).parent / "weights" / "digits_by_torch.safetensors"


def network() -> nn.Module:
    """The network as it was written for torch: scores f32[n,10] for pixels f32[n,1,8,8]."""
    return nn.Sequential(
        nn.Conv2d(1, 16, 3, padding=1), nn.BatchNorm2d(16), nn.ReLU(), nn.MaxPool2d(2),
        nn.Conv2d(16, 32, 3, padding=1), nn.BatchNorm2d(32), nn.ReLU(), nn.MaxPool2d(2),
        nn.Flatten(), nn.Linear(128, 64), nn.ReLU(), nn.Linear(64, 10),
    )  # fmt: skip


def trained(weights: Path = WEIGHTS) -> nn.Module:
    """The network with torch's weights, ready to run."""
    model = network()
    model.load_state_dict(ig.load_weights(weights))
    return model.eval()


def data() -> tuple[Arrays, Arrays]:
    """1437 digits that torch learned from and 360 that it never saw: `x` f32[n,1,8,8], `t`."""
    digits = load_digits()
    return split(digits.data.reshape(-1, 1, 8, 8) / 16, digits.target, 1437)


def accuracy(scores: ig.Tensor, t: ig.Tensor) -> ig.Tensor:
    """The share of rows whose highest score is that of their class."""
    return (scores.argmax(1) == t).float().mean()


def program(model: nn.Module) -> ig.Program:
    """The network with all that a file needs to go on training."""
    n = ig.Dim("n", min=1, max=4096)
    return ig.program(
        model,
        inputs={"x": ig.spec((n, 1, 8, 8), ig.float32)},
        targets={"t": ig.spec((n,), ig.int64)},
        loss=F.cross_entropy,
        optim=optim.AdamW(model.parameters(), lr=2e-4),
        metrics={"accuracy": accuracy},
    )


def main() -> None:
    """Tell the accuracy of torch's weights; write the file."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n\n")[0])
    parser.add_argument("--weights", type=Path, default=WEIGHTS, help="another file of weights")
    parser.add_argument("--out", type=Path, help="where to write the model")
    chosen = parser.parse_args()
    model, (_, test) = trained(chosen.weights), data()
    with ig.no_grad():
        found = accuracy(model(ig.from_numpy(test["x"])), ig.from_numpy(test["t"]))
    print(f"accuracy {found.item():.4f} on {len(test['t'])} held-out digits")
    if chosen.out:
        program(model).save(chosen.out, metadata={"weights": chosen.weights.name})
        print(f"wrote {chosen.out}")


if __name__ == "__main__":
    main()
