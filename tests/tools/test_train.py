"""Training from the command line: the same bits however often it is broken off."""

import csv
import signal
import subprocess
import time
from pathlib import Path

import numpy as np
import pytest

from intaglio.runtime.file import read
from intaglio.runtime.model import load
from tests.tools import programs
from tests.tools.commands import alone, command, here

EPOCHS = 40


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    programs.save(tmp_path / "model.ig")
    np.savez(tmp_path / "train.npz", **programs.data(100))
    np.savez(tmp_path / "test.npz", **programs.data(30))
    return tmp_path


def train(
    folder: Path, *words: object, model: str = "model.ig", out: str = "out.ig"
) -> list[object]:
    return [
        "train", folder / model, "--data", folder / "train.npz", "--out", folder / out,
        "--batch-size", 8, *words,
    ]  # fmt: skip


def lines(text: str) -> list[str]:
    """Epoch lines without their times."""
    return [line.rpartition(" (")[0] for line in text.splitlines()]


def test_training_learns_and_needs_no_front_end(folder: Path) -> None:
    done = alone(
        *train(folder, "--epochs", 20, "--eval-data", folder / "test.npz"),
        "--metrics", folder / "m.csv", "--set", "optim.lr=0.01",
        folder=folder, banned=("networkx",),
    )  # fmt: skip
    assert (done.code, done.err) == (0, "")
    assert [line.split(":")[0] for line in done.out.splitlines()] == [
        f"epoch {k}/20" for k in range(1, 21)
    ]
    with open(folder / "m.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    assert list(rows[0]) == ["epoch", "loss", "eval.loss", "seconds"]
    assert float(rows[-1]["loss"]) < float(rows[0]["loss"]) / 100
    model = load(folder / "out.ig")
    assert model.state["optim.lr"] == np.float32(0.01)
    assert model.state["optim.steps"] == 20 * 13
    assert model.metadata["data"] == "made up"
    test = programs.data(30)
    assert model.eval(**test)["loss"] < 0.1


def test_the_order_is_that_of_seed_and_epoch(folder: Path) -> None:
    here(*train(folder, "--epochs", 2, "--seed", 5))
    from intaglio.runtime.batching import order

    model, data = load(folder / "model.ig"), programs.data(100)
    for epoch in range(2):
        rows = order(100, 5, epoch)
        for k in range(0, 100, 8):
            model.train_step(**{n: a[rows[k : k + 8]] for n, a in data.items()})
    trained = read(folder / "out.ig")
    for name, value in model.state_dict().items():
        assert value.tobytes() == trained.values[name].tobytes()


def test_resuming_after_an_epoch_gives_the_same_file(folder: Path) -> None:
    whole = here(*train(folder, "--epochs", 4, "--metrics", folder / "a.csv", out="whole.ig"))
    first = here(*train(folder, "--epochs", 1, "--metrics", folder / "b.csv", out="part.ig"))
    rest = here(
        *train(folder, "--epochs", 4, "--resume", model="part.ig", out="part.ig"),
        "--metrics", folder / "b.csv",
    )  # fmt: skip
    assert whole.code == first.code == rest.code == 0
    assert lines(whole.out)[1:] == lines(rest.out)
    assert (folder / "whole.ig").read_bytes() == (folder / "part.ig").read_bytes()
    logs = [(folder / name).read_text().splitlines() for name in ("a.csv", "b.csv")]
    a, b = ([line.rpartition(",")[0] for line in log] for log in logs)
    assert a == b


def test_batch_size_and_seed_are_remembered(folder: Path) -> None:
    whole = train(folder, "--epochs", 2, "--seed", 9, "--no-shuffle", out="whole.ig")
    here(*whole)
    here(*train(folder, "--epochs", 1, "--seed", 9, "--no-shuffle", out="part.ig"))
    done = here("train", folder / "part.ig", "--data", folder / "train.npz", "--epochs", 2,
                "--resume", "--out", folder / "part.ig")  # fmt: skip
    assert done.code == 0
    assert (folder / "whole.ig").read_bytes() == (folder / "part.ig").read_bytes()


@pytest.mark.parametrize("stop", [signal.SIGKILL, signal.SIGINT, signal.SIGTERM])
def test_a_run_broken_off_and_resumed_ends_with_the_same_bits(
    folder: Path, stop: signal.Signals
) -> None:
    words = ["--epochs", EPOCHS, "--checkpoint-steps", 5]
    whole = here(*train(folder, *words, out="whole.ig"))
    assert whole.code == 0
    run = subprocess.Popen(
        command(*train(folder, *words)),
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=folder,
    )  # fmt: skip
    assert run.stdout is not None
    while not run.stdout.readline().startswith("epoch 3/"):
        assert run.poll() is None
    time.sleep(0.0037)
    run.send_signal(stop)
    rest, told = run.communicate(timeout=60)
    assert f"epoch {EPOCHS}/" not in rest, "it ended before it was stopped"
    if stop == signal.SIGKILL:
        assert run.returncode == -stop
    else:
        assert run.returncode == 128 + stop
        assert "--resume" in told
        assert "Traceback" not in told
    assert read(folder / "out.ig").metadata["training.epoch"] < EPOCHS
    done = here(*train(folder, *words, "--resume", model="out.ig"))
    assert done.code == 0
    assert (folder / "whole.ig").read_bytes() == (folder / "out.ig").read_bytes()
    assert lines(done.out)[-1] == lines(whole.out)[-1]


def test_within_an_epoch_nothing_may_differ(folder: Path) -> None:
    model = load(folder / "model.ig")
    from intaglio.runtime.training import Run, Settings

    data = programs.data(100)
    run = Run(model, data, Settings(batch_size=8, checkpoint_steps=5), tell=print)
    kept: list[dict[str, object]] = []
    run.epoch(lambda at: None, lambda: kept.append(run.metadata()), lambda: False)
    assert [m["training.step"] for m in kept] == [5, 10]
    model.save(folder / "part.ig", metadata=kept[0])
    for words, told in (
        (["--batch-size", 10], "batch_size differs"),
        (["--seed", 1], "seed differs"),
        (["--no-shuffle"], "shuffle differs"),
    ):
        done = here("train", folder / "part.ig", "--data", folder / "train.npz", "--out",
                    folder / "o.ig", "--resume", *words)  # fmt: skip
        assert done.code == 1
        assert told in done.err
    np.savez(folder / "train.npz", **programs.data(99))
    done = here(*train(folder, "--resume", model="part.ig"))
    assert done.code == 1
    assert "data differs" in done.err
    assert not (folder / "o.ig").exists()


def test_a_fixed_batch_size_leaves_the_last_rows_out_and_says_so(folder: Path) -> None:
    programs.save(folder / "fixed.ig", rows=16)
    done = here("train", folder / "fixed.ig", "--data", folder / "train.npz",
                "--out", folder / "out.ig")  # fmt: skip
    assert done.code == 0
    assert "the last 4 of 100 rows of an epoch are left out" in done.err
    assert read(folder / "out.ig").values["optim.steps"] == 6
    done = here(*train(folder, model="fixed.ig"))
    assert done.code == 1
    assert "batches of 8: the function takes only 16 rows" in done.err


def test_what_is_wrong_is_told_before_anything_is_written(folder: Path) -> None:
    short = programs.data(100)
    np.savez(folder / "short.npz", x=short["x"], t=short["t"][:50])
    np.savez(folder / "part.npz", x=short["x"])
    data = ["--data", folder / "train.npz"]
    for words, told in (
        (["--data", folder / "part.npz"], "train_step needs 't'"),
        (["--data", folder / "short.npz"], "x has 100 rows and t has 50"),
        (["--data", folder / "none.npz"], "none.npz: No such file"),
        ([*data, "--set", "optim.rl=1"], "there is no such state; there are optim.lr"),
        ([*data, "--set", "w=1"], "only single numbers"),
        ([*data, "--set", "optim.lr=fast"], "a number that fits f32[]"),
        ([*data, "--resume"], "not saved by a training run"),
        ([*data, "--function", "none"], "no function 'none'"),
        ([*data, "--eval-data", folder / "part.npz"], "eval needs 't'"),
        ([*data, "--batch-size", 5000], "the function takes 1 to 4096 rows"),
        ([*data, "--metrics", folder / "no" / "m.csv"], "No such file"),
    ):
        done = here("train", folder / "model.ig", "--out", folder / "out.ig", *words)
        assert (done.code, done.out) == (1, ""), words
        assert told in done.err, words
        assert done.err.count("\n") == 1, done.err
        assert not (folder / "out.ig").exists()
    done = here("train", folder / "model.ig", *data, "--out", folder / "no" / "out.ig")
    assert done.code == 1
    assert "No such file" in done.err


def test_damaged_positions_are_refused(folder: Path) -> None:
    model = load(folder / "model.ig")
    good: dict[str, object] = {"training.epoch": 1, "training.step": 0}
    for change in (
        {"training.epoch": -1}, {"training.step": "two"}, {"training.seed": "x"},
        {"training.seed": -1},
        {"training.sum.loss": "much"}, {"training.step": 99},
    ):  # fmt: skip
        model.save(folder / "bad.ig", metadata=good | change)
        done = here(*train(folder, "--resume", "--epochs", 3, model="bad.ig"))
        assert done.code == 1, change
        assert "Traceback" not in done.err
    model.save(folder / "bad.ig", metadata=good)
    assert here(*train(folder, "--resume", "--epochs", 3, model="bad.ig")).code == 0


def test_a_run_that_is_over_says_so(folder: Path) -> None:
    here(*train(folder, "--epochs", 2))
    done = here(*train(folder, "--epochs", 2, "--resume", model="out.ig", out="again.ig"))
    assert done.code == 0
    assert "2 of 2 epochs are done already" in done.err
    assert (folder / "again.ig").read_bytes() == (folder / "out.ig").read_bytes()
