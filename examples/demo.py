"""The tour that `make demo` takes: trace a model, then train, resume, run and look at it with
nothing but its file.

Every command after the first step runs in a process and a folder of its own, without the code that
defined the model.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
from digits import DIGITS


def intaglio(folder: Path, *words: str) -> None:
    """Show a command line and run it in a folder."""
    print(f"\n$ intaglio {' '.join(words)}", flush=True)
    subprocess.run([sys.executable, "-m", "intaglio", *words], cwd=folder, check=True)


def tour(folder: Path, epochs: int) -> float:
    """Make a model's file, use it from the command line; the accuracy on held-out examples."""
    path = DIGITS.write(folder)
    print(f"traced a model and wrote {path} ({path.stat().st_size} bytes)")
    intaglio(folder, "info", "digits.ig")
    training = ["--data", "train.npz", "--eval-data", "test.npz", "--batch-size", "32"]
    half = str(epochs // 2)
    intaglio(folder, "train", "digits.ig", *training, "--epochs", half, "--out", "trained.ig",
             "--metrics", "metrics.csv")  # fmt: skip
    intaglio(folder, "train", "trained.ig", *training, "--epochs", str(epochs), "--resume",
             "--out", "trained.ig", "--metrics", "metrics.csv")  # fmt: skip
    intaglio(folder, "run", "trained.ig", "--input", "x=test.npz", "--output", "y.npy")
    intaglio(folder, "dump", "trained.ig", "--function", "train_step", "--format", "svg",
             "--output", "train_step.svg")  # fmt: skip
    intaglio(folder, "bench", "trained.ig", "--seconds", "0.5")
    scores, classes = np.load(folder / "y.npy"), np.load(folder / "test.npz")["t"]
    return float((scores.argmax(1) == classes).mean())


def main() -> None:
    """Take the tour in a new folder, or in the one named."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n\n")[0])
    parser.add_argument("--folder", type=Path, help="where to put the files")
    parser.add_argument("--epochs", type=int, default=DIGITS.epochs)
    chosen = parser.parse_args()
    folder = chosen.folder or Path(tempfile.mkdtemp(prefix="intaglio-demo-"))
    folder.mkdir(parents=True, exist_ok=True)
    accuracy = tour(folder.resolve(), chosen.epochs)
    print(f"\naccuracy {accuracy:.4f} on held-out examples\nthe files are in {folder}:")
    for path in sorted(folder.iterdir()):
        print(f"  {path.name:16} {path.stat().st_size:>8} bytes")


if __name__ == "__main__":
    main()
