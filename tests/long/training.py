"""Training runs killed at random moments and resumed, again and again, end with the bits of one
that was not: with dropout, a schedule, the best epoch and patience, and with loader workers.

    python tests/long/training.py [--kills 10] [--epochs 60] [--seed 0]
"""

import argparse
import random
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[2]))

from intaglio.optim.lr_scheduler import ReduceLROnPlateau, StepLR
from intaglio.runtime.file import read
from tests.tools import programs
from tests.tools.commands import command
from tests.tools.test_train_course import save_program

RUNS = {
    "without dropout": ("small.ig", 0),
    "schedule by epochs": ("steps.ig", 0),
    "schedule by results, two workers": ("plateau.ig", 2),
}


def prepare(folder: Path) -> None:
    """Models and data."""
    programs.save(folder / "small.ig")
    save_program(folder / "steps.ig", lambda made: StepLR(made, 5, gamma=0.9))
    save_program(folder / "plateau.ig", lambda made: ReduceLROnPlateau(made, patience=1))
    for name, rows in (("train", 100), ("test", 30)):
        np.savez(folder / f"{name}.npz", **programs.data(rows))


def words(folder: Path, epochs: int, model: str, out: str, workers: int) -> list[str]:
    """A command line that trains, or goes on with what it finds."""
    found = command(
        "train", folder / model, "--data", folder / "train.npz", "--out", folder / out,
        "--eval-data", folder / "test.npz", "--best", folder / f"best.{out}",
        "--batch-size", 8, "--epochs", epochs, "--checkpoint-steps", 4,
        "--patience", epochs, "--workers", workers,
    )  # fmt: skip
    return [*found, "--resume"] if model == out else found


def killed_after(line: list[str], seconds: float) -> bool:
    """Run a command line and kill it; False when it was done before that."""
    with subprocess.Popen(line, stdout=subprocess.DEVNULL) as run:
        try:
            assert run.wait(seconds) == 0
        except subprocess.TimeoutExpired:
            run.kill()
            return True
    return False


def unbroken(folder: Path, epochs: int, model: str, workers: int) -> float:
    """Train without a break, the second time with everything compiled; how long that takes."""
    line = words(folder, epochs, model, "whole.ig", workers)
    subprocess.run(line, stdout=subprocess.DEVNULL, check=True)
    begin = time.perf_counter()
    subprocess.run(line, stdout=subprocess.DEVNULL, check=True)
    return time.perf_counter() - begin


def broken(
    folder: Path, epochs: int, model: str, workers: int, wanted: int, draw: random.Random
) -> int:
    """Kill and resume until so many runs were killed, and let the last one end; how many ended."""
    took = unbroken(folder, epochs, model, workers)
    whole, best = ((folder / n).read_bytes() for n in ("whole.ig", "best.whole.ig"))
    out, kills, ends = folder / "out.ig", 0, 0
    while kills < wanted or out.exists():
        begin = "out.ig" if out.exists() else model
        line = words(folder, epochs, begin, "out.ig", workers)
        patience = draw.uniform(0.3 * took, 0.9 * took) if kills < wanted else 600.0
        if killed_after(line, patience):
            kills += 1
            if out.exists():
                read(out)
            continue
        took *= 0.9  # the machine may be faster now
        assert out.read_bytes() == whole, "a resumed run ended with other bits"
        assert (folder / "best.out.ig").read_bytes() == best, "its best epoch is another one"
        out.unlink()
        ends += 1
    return ends


def main() -> None:
    """Break off and resume every kind of run."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n\n")[0])
    parser.add_argument("--kills", type=int, default=10)
    parser.add_argument("--epochs", type=int, default=60)
    parser.add_argument("--seed", type=int, default=0)
    chosen = parser.parse_args()
    draw = random.Random(chosen.seed)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        prepare(folder)
        for label, (model, workers) in RUNS.items():
            ends = broken(folder, chosen.epochs, model, workers, chosen.kills, draw)
            print(f"{label}: {chosen.kills} runs killed, {ends} ended, all with the same bits")
            assert ends


if __name__ == "__main__":
    main()
