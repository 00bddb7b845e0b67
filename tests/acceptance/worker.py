"""Trains a few steps in a process of its own and prints digests of all that came out.

python worker.py make FOLDER       write the files
python worker.py run FOLDER        run them; print a digest per result as JSON
"""

from __future__ import annotations

import hashlib
import json
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

Keep = Callable[[str, Any], None]


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


def train_classifier(keep: Keep, folder: Path) -> None:
    """The second size runs in the general form, and over several threads."""
    from intaglio.runtime import load

    model, random = load(folder / "mlp.ig"), np.random.default_rng(0)
    for k, rows in enumerate((32, 2500, 7)):
        x = random.standard_normal((rows, 16)).astype(np.float32)
        keep(f"mlp.{k}", model.train_step(x, random.integers(0, 5, rows)))
    keep("mlp.forward", model(x))
    for name, value in model.state_dict().items():
        keep(name, value)


def train_transformer(keep: Keep, folder: Path) -> None:
    from intaglio.runtime import load

    model, random = load(folder / "lm.ig"), np.random.default_rng(0)
    for k, size in enumerate(((3, 8), (2, 16), (40, 16))):
        x, t = random.integers(0, 11, size), random.integers(0, 11, size)
        keep(f"lm.{k}", model.train_step(x, t))
    for name, value in model.state_dict().items():
        keep(f"lm.{name}", value)


def compute(keep: Keep, folder: Path) -> None:
    from intaglio.runtime import load

    model, random = load(folder / "maths.ig"), np.random.default_rng(0)
    for k, rows in enumerate((1, 70, 600)):
        x = random.standard_normal((rows, 333)) * 2
        keep(f"maths.{k}", model(x.astype(np.float32)))
        keep(f"wide.{k}", model.wide(x))


PARTS = {"mlp": train_classifier, "lm": train_transformer, "maths": compute}


def run(folder: Path, parts: Sequence[str]) -> dict[str, str]:
    """Run these parts; a digest per result."""
    made: dict[str, str] = {}

    def keep(name: str, value: Any) -> None:
        for k, part in enumerate(value if isinstance(value, tuple) else (value,)):
            made[f"{name}.{k}"] = digest(part)

    for part in parts:
        PARTS[part](keep, folder)
    return made


if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).parents[2]))
    place = Path(sys.argv[2])
    if sys.argv[1] == "make":
        make(place)
    else:
        print(json.dumps(run(place, sys.argv[3:])))
