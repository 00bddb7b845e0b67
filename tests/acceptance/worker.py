"""Trains a few steps in a process of its own and prints digests of all that came out.

python worker.py make FOLDER       write the files
python worker.py run FOLDER        run them; print a digest per result as JSON
"""

from __future__ import annotations

import hashlib
import json
import sys
from pathlib import Path
from typing import Any

import numpy as np


def digest(value: Any) -> str:
    array = np.ascontiguousarray(value)
    return hashlib.sha256(f"{array.dtype} {array.shape}".encode() + array.tobytes()).hexdigest()


def make(folder: Path) -> None:
    """Write a classifier and a transformer, with their training steps, and some rows of maths."""
    import intaglio as ig
    import intaglio.nn.functional as F
    from intaglio import optim
    from tests.acceptance.models import LM, MLP, Task

    n, t = ig.Dim("n", max=4096), ig.Dim("t", max=16)
    rows = ig.spec((n, 16)), ig.spec((n,), ig.int64)
    ig.manual_seed(0)
    Task(MLP, lambda p: optim.SGD(p, lr=0.1, momentum=0.9)).program(*rows).save(folder / "mlp.ig")
    spec = ig.spec((n, t), ig.int64)
    task = Task(lambda: LM(11, dropout=0.1), lambda p: optim.AdamW(p, lr=0.01))
    ig.Program().trace("train_step", task.train_step, spec, spec).save(folder / "lm.ig")

    def maths(x: ig.Tensor) -> tuple[ig.Tensor, ...]:
        y = ig.exp(ig.sin(x) * 3) + ig.tanh(x) / (1 + ig.erf(x).abs()) - ig.log1p(x.abs())
        return y.sum(), y.sum(0), y.mean(1), F.softmax(y, 1), y.std(0), y @ y.mT, y.amax(1)

    program = ig.trace(maths, ig.spec((n, 333)))
    program.trace("wide", maths, ig.spec((n, 333), ig.float64))
    program.save(folder / "maths.ig")


def run(folder: Path) -> dict[str, str]:
    """Run everything; the second size of each runs in the general form."""
    from intaglio.runtime import load

    made: dict[str, str] = {}

    def keep(name: str, value: Any) -> None:
        for k, part in enumerate(value if isinstance(value, tuple) else (value,)):
            made[f"{name}.{k}"] = digest(part)

    random = np.random.default_rng(0)
    model = load(folder / "mlp.ig")
    for k, rows in enumerate((2500, 32, 7)):
        x = random.standard_normal((rows, 16)).astype(np.float32)
        keep(f"mlp.{k}", model.train_step(x, random.integers(0, 5, rows)))
        keep(f"mlp.forward.{k}", model(x))
    for name, value in model.state_dict().items():
        keep(name, value)
    model = load(folder / "lm.ig")
    for k, size in enumerate(((3, 8), (2, 16), (40, 16))):
        x, t = random.integers(0, 11, size), random.integers(0, 11, size)
        keep(f"lm.{k}", model.train_step(x, t))
    for name, value in model.state_dict().items():
        keep(f"lm.{name}", value)
    model = load(folder / "maths.ig")
    for k, rows in enumerate((1, 70, 600)):
        x = random.standard_normal((rows, 333)) * 2
        keep(f"maths.{k}", model(x.astype(np.float32)))
        keep(f"wide.{k}", model.wide(x))
    return made


if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).parents[2]))
    place = Path(sys.argv[2])
    if sys.argv[1] == "make":
        make(place)
    else:
        print(json.dumps(run(place)))
