"""The examples do what they say: one seed of the digits, the demo's tour, a few steps of the
transformer."""

import importlib.util
import re
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

from intaglio.runtime.file import read
from tests.tools.commands import alone, here

EXAMPLES = Path(__file__).parents[2] / "examples"


def example(name: str) -> ModuleType:
    """A script of examples/ as a module."""
    spec = importlib.util.spec_from_file_location(f"example_{name}", EXAMPLES / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def digits() -> ModuleType:
    pytest.importorskip("sklearn", reason="the digits are scikit-learn's: pip install scikit-learn")
    return example("digits")


def test_digits_reach_97_percent_from_the_command_line(digits: ModuleType, tmp_path: Path) -> None:
    digits.write(tmp_path, seed=0)
    training = (
        "train", "digits.ig", "--data", "train.npz", "--eval-data", "test.npz", "--epochs", 30,
        "--batch-size", 32, "--out", "trained.ig",
    )  # fmt: skip
    done = alone(*training, folder=tmp_path)
    assert (done.code, done.err) == (0, "")
    found = re.search(r"epoch 30/30: .*eval\.accuracy (\S+)", done.out)
    assert found
    run = alone("run", "trained.ig", "--input", "x=test.npz", "--output", "y.npy", folder=tmp_path)
    assert run.code == 0
    scores, t = np.load(tmp_path / "y.npy"), np.load(tmp_path / "test.npz")["t"]
    accuracy = (scores.argmax(1) == t).mean()
    assert abs(accuracy - float(found[1])) < 1e-5
    assert accuracy >= 0.97


@pytest.mark.parametrize("seed", range(5))
def test_digits_reach_97_percent_with_every_seed(digits: ModuleType, seed: int) -> None:
    import intaglio as ig

    train, test = digits.data()
    task = digits.Task(seed)
    digits.fit(ig.jit(task.train_step), train, seed)
    assert digits.accuracy(task.model, test) >= 0.97


def test_eager_compiled_and_saved_training_end_with_the_same_bits(
    digits: ModuleType, tmp_path: Path
) -> None:
    import intaglio as ig

    train, test = digits.data()
    part = {name: array[:330] for name, array in train.items()}
    tasks = [digits.Task(1), digits.Task(1)]
    digits.fit(tasks[0].train_step, part, 1, epochs=6)
    digits.fit(ig.jit(tasks[1].train_step), part, 1, epochs=6)
    digits.Task(1).program().save(tmp_path / "digits.ig")
    np.savez(tmp_path / "part.npz", **part)
    done = here("train", tmp_path / "digits.ig", "--data", tmp_path / "part.npz", "--epochs", 6,
                "--seed", 1, "--out", tmp_path / "out.ig")  # fmt: skip
    assert done.code == 0, done.err
    saved = read(tmp_path / "out.ig").values
    for task in tasks:
        for name, value in task.model.state_dict().items():
            assert value.numpy().tobytes() == saved[name].tobytes(), name
    assert digits.accuracy(tasks[0].model, test) > 0.5


def test_the_transformer_learns(capsys: pytest.CaptureFixture[str]) -> None:
    transformer = example("char_transformer")
    characters, data = transformer.text()
    assert len(data) > 400_000
    _, held_out = transformer.train(12)
    assert held_out < np.log(len(characters)) - 0.5


def test_the_demo_takes_its_tour(digits: ModuleType, tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, EXAMPLES / "demo.py", "--folder", tmp_path, "--epochs", "4"],
        capture_output=True, text=True, check=False, cwd=tmp_path,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    found = re.search(r"^accuracy (\S+)", done.stdout, re.MULTILINE)
    assert found
    assert float(found[1]) > 0.8
    for name in ("digits.ig", "trained.ig", "train_step.svg", "metrics.csv"):
        assert (tmp_path / name).stat().st_size > 0
        assert name in done.stdout
