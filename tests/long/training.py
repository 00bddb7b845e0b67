"""Training runs killed at random moments and resumed, again and again, end with the bits of one
that was not.

    python tests/long/training.py [--kills 50] [--epochs 200] [--seed 0]
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

from intaglio.runtime.file import read
from tests.tools import programs
from tests.tools.commands import command


def words(folder: Path, epochs: int, model: str, out: str) -> list[str]:
    """A command line that trains."""
    found = command(
        "train", folder / model, "--data", folder / "train.npz", "--out", folder / out,
        "--batch-size", 8, "--epochs", epochs, "--checkpoint-steps", 4,
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


def main() -> None:
    """Break off and resume until so many runs were killed."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n\n")[0])
    parser.add_argument("--kills", type=int, default=50)
    parser.add_argument("--epochs", type=int, default=200)
    parser.add_argument("--seed", type=int, default=0)
    chosen = parser.parse_args()
    draw = random.Random(chosen.seed)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        programs.save(folder / "model.ig")
        np.savez(folder / "train.npz", **programs.data(100))
        line = words(folder, chosen.epochs, "model.ig", "whole.ig")
        subprocess.run(line, stdout=subprocess.DEVNULL, check=True)
        begin = time.perf_counter()
        subprocess.run(line, stdout=subprocess.DEVNULL, check=True)
        took = time.perf_counter() - begin
        print(f"unbroken: {took:.2f} s")
        whole, kills, ends = (folder / "whole.ig").read_bytes(), 0, 0
        while kills < chosen.kills:
            out = folder / "out.ig"
            model = "out.ig" if out.exists() else "model.ig"
            line = words(folder, chosen.epochs, model, "out.ig")
            if killed_after(line, draw.uniform(0.3 * took, 0.8 * took)):
                kills += 1
                if out.exists():
                    read(out)
            else:
                assert out.read_bytes() == whole, "a resumed run ended with other bits"
                out.unlink()
                ends += 1
        print(f"{kills} runs killed, {ends} ended, all with the same bits")
        assert ends or chosen.kills < 10


if __name__ == "__main__":
    main()
