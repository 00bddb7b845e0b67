"""The course of a training run: schedules, the best epoch, early ends, fresh starts, workers,
kills; a run that was broken off anywhere ends with the bytes of one that was not."""

import csv
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import intaglio as ig
import intaglio.nn.functional as F
from intaglio import nn, optim
from intaglio.optim import lr_scheduler
from intaglio.runtime.file import read
from intaglio.runtime.model import load
from tests.tools import programs
from tests.tools.commands import Done, command, here

DIVERGES = ["--set", "optim.lr=-0.001"]
"""Makes the small program's loss grow from epoch to epoch."""


def net() -> nn.Module:
    return nn.Sequential(nn.Linear(5, 8), nn.Tanh(), nn.Dropout(0.2), nn.Linear(8, 3))


def save_program(path: Path, scheduler: Any) -> None:
    ig.manual_seed(0)
    model = net()
    trained = optim.SGD(model.parameters(), lr=0.05, momentum=0.9)
    n = ig.Dim("n", min=1, max=4096)
    ig.program(
        model, inputs={"x": ig.spec((n, 5))}, targets=ig.spec((n, 3)), loss=F.mse_loss,
        optim=trained, scheduler=scheduler(trained),
    ).save(path)  # fmt: skip


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Models and data, made once: `small.ig` without the front end, `steps.ig` and `plateau.ig`
    with dropout and a schedule."""
    folder = tmp_path_factory.mktemp("course")
    programs.save(folder / "small.ig")
    save_program(folder / "steps.ig", lambda made: lr_scheduler.StepLR(made, 2, gamma=0.5))
    save_program(
        folder / "plateau.ig",
        lambda made: lr_scheduler.ReduceLROnPlateau(made, factor=0.5, patience=0, threshold=0.5),
    )
    np.savez(folder / "train.npz", **programs.data(100))
    np.savez(folder / "test.npz", **programs.data(30))
    return folder


def words(files: Path, model: object, out: object, *more: object) -> list[object]:
    return [
        "train", model, "--data", files / "train.npz", "--eval-data", files / "test.npz",
        "--batch-size", 8, "--out", out, *more,
    ]  # fmt: skip


def train(files: Path, model: str, out: Path, *more: object) -> Done:
    return here(*words(files, files / model, out, *more))


def resume(files: Path, out: Path, *more: object) -> Done:
    return here(*words(files, out, out, "--resume", *more))


def rows(path: Path) -> list[dict[str, float]]:
    with open(path, newline="") as file:
        return [{k: float(v) for k, v in row.items() if v} for row in csv.DictReader(file)]


def test_a_schedule_moves_after_every_epoch_and_goes_on(files: Path, tmp_path: Path) -> None:
    log = ["--metrics", tmp_path / "m.csv"]
    whole = train(files, "steps.ig", tmp_path / "whole.ig", "--epochs", 5, *log)
    assert whole.code == 0, whole.err
    assert [row["lr"] for row in rows(tmp_path / "m.csv")] == [0.05, 0.05, 0.025, 0.025, 0.0125]
    assert "lr 0.0125" in whole.out.splitlines()[-1]
    train(files, "steps.ig", tmp_path / "part.ig", "--epochs", 3, *log)
    done = resume(files, tmp_path / "part.ig", "--epochs", 5, *log)
    assert done.code == 0, done.err
    assert [row["lr"] for row in rows(tmp_path / "m.csv")] == [0.05, 0.05, 0.025, 0.025, 0.0125]
    assert (tmp_path / "part.ig").read_bytes() == (tmp_path / "whole.ig").read_bytes()
    assert "plateau" not in load(tmp_path / "whole.ig").functions


def test_a_schedule_that_looks_at_a_result_gets_it(files: Path, tmp_path: Path) -> None:
    log = ["--metrics", tmp_path / "m.csv", "--eval-every", 2, "--epochs", 6]
    done = train(files, "plateau.ig", tmp_path / "a.ig", *log)
    assert done.code == 0, done.err
    found = rows(tmp_path / "m.csv")
    assert ["eval.loss" in row for row in found] == [False, True] * 3
    rate, best, expected = 0.05, np.inf, []
    for row in found:
        expected.append(rate)
        if "eval.loss" in row:
            better = row["eval.loss"] < best * 0.5
            best, rate = (row["eval.loss"], rate) if better else (best, rate * 0.5)
    assert [row["lr"] for row in found] == expected
    assert rate < 0.05
    by_training = train(files, "plateau.ig", tmp_path / "b.ig", *log, "--best-by", "loss")
    assert by_training.code == 0
    assert read(tmp_path / "b.ig").metadata["training.watch"] == "loss"


def test_the_best_epoch_is_kept_and_the_run_ends_early(files: Path, tmp_path: Path) -> None:
    once = train(files, "small.ig", tmp_path / "once.ig", *DIVERGES, "--epochs", 1)
    assert once.code == 0, once.err
    stop = ["--patience", 2, "--best", tmp_path / "best.ig", "--epochs", 50]
    done = train(files, "small.ig", tmp_path / "out.ig", *DIVERGES, *stop)
    assert done.code == 0
    assert [line.partition(":")[0] for line in done.out.splitlines()] == [
        "epoch 1/50", "epoch 2/50", "epoch 3/50",
    ]  # fmt: skip
    assert [" best (" in line for line in done.out.splitlines()] == [True, False, False]
    assert "stopped early after epoch 3: eval.loss has not become better in 2" in done.err
    assert "in epoch 1" in done.err
    assert (tmp_path / "best.ig").read_bytes() == (tmp_path / "once.ig").read_bytes()
    never = train(files, "small.ig", tmp_path / "nan.ig", "--set", "optim.lr=nan", *stop)
    assert "it never was a number" in never.err
    again = resume(files, tmp_path / "out.ig", *stop)
    assert (again.code, again.out) == (0, "")
    assert "stopped early after epoch 3" in again.err
    part = train(files, "small.ig", tmp_path / "part.ig", *DIVERGES, "--epochs", 2)
    assert part.code == 0
    rest = resume(files, tmp_path / "part.ig", *stop)
    assert len(rest.out.splitlines()) == 1, "the best and the patience left are remembered"
    assert (tmp_path / "part.ig").read_bytes() == (tmp_path / "out.ig").read_bytes()
    assert load(tmp_path / "best.ig").eval(**programs.data(30))["loss"] > 0


def test_more_may_be_better_and_little_may_not_count(files: Path, tmp_path: Path) -> None:
    more = ["--best-by", "eval.loss:max", "--best", tmp_path / "b.ig", "--epochs", 3]
    done = train(files, "small.ig", tmp_path / "out.ig", *DIVERGES, *more)
    assert [" best (" in line for line in done.out.splitlines()] == [True, True, True]
    assert (tmp_path / "b.ig").read_bytes() == (tmp_path / "out.ig").read_bytes()
    least = ["--patience", 1, "--min-delta", 1e9, "--epochs", 9, "--best", tmp_path / "c.ig"]
    done = train(files, "small.ig", tmp_path / "out.ig", *least)
    assert [" best (" in line for line in done.out.splitlines()] == [True, True]
    bare = ["train", tmp_path / "out.ig", "--resume", "--data", files / "train.npz", "--epochs", 3,
            "--out", tmp_path / "bare.ig"]  # fmt: skip
    assert here(*bare).err == ""
    before, after = (read(tmp_path / name).metadata for name in ("out.ig", "bare.ig"))
    assert after["training.epoch"] == 3 and after["training.best"] == before["training.best"]
    for needs in (["--best", tmp_path / "d.ig"], ["--patience", 2]):
        done = here(*bare, *needs)
        assert done.code == 1
        assert "needs 'eval.loss'; say which of 'loss' is to be watched" in done.err
    changed = resume(files, tmp_path / "out.ig", "--best-by", "loss", "--epochs", 3)
    assert "loss is watched from now on: the best of eval.loss is forgotten" in changed.err


def test_steps_bound_a_run_within_an_epoch(files: Path, tmp_path: Path) -> None:
    done = train(files, "steps.ig", tmp_path / "part.ig", "--steps", 30)
    assert (done.code, len(done.out.splitlines())) == (0, 2)
    assert "30 steps are done, 4 of 13 in epoch 3" in done.err
    assert load(tmp_path / "part.ig").state["optim.step"] == 30
    again = resume(files, tmp_path / "part.ig", "--steps", 30)
    assert (again.code, again.out) == (0, "")
    assert resume(files, tmp_path / "part.ig", "--epochs", 4).code == 0
    train(files, "steps.ig", tmp_path / "whole.ig", "--steps", 52)
    assert (tmp_path / "part.ig").read_bytes() == (tmp_path / "whole.ig").read_bytes()


def test_a_fresh_start_needs_no_python(files: Path, tmp_path: Path) -> None:
    train(files, "steps.ig", tmp_path / "used.ig", "--epochs", 3)
    new = ["--init", "--seed", 5, "--epochs"]
    for model, out in ((files / "steps.ig", "a.ig"), (tmp_path / "used.ig", "b.ig")):
        assert here(*words(files, model, tmp_path / out, *new, 2)).code == 0
    assert (tmp_path / "a.ig").read_bytes() == (tmp_path / "b.ig").read_bytes()
    here(*words(files, tmp_path / "used.ig", tmp_path / "start.ig", *new, 0))
    ig.manual_seed(5)
    drawn = net()
    start = load(tmp_path / "start.ig").state
    for name, value in drawn.state_dict().items():
        assert start[name].tobytes() == value.numpy().tobytes()
    assert start["optim.lr"] == 0.05 and start["optim.step"] == 0
    done = train(files, "small.ig", tmp_path / "c.ig", "--init")
    assert (done.code, done.out) == (1, "")
    assert "no function 'init'" in done.err


def test_workers_change_no_bit(files: Path, tmp_path: Path) -> None:
    for order in ("--shuffle", "--no-shuffle"):
        for workers in (0, 2):
            done = train(files, "steps.ig", tmp_path / f"{workers}.ig", "--epochs", 2, order,
                         "--workers", workers)  # fmt: skip
            assert done.code == 0, done.err
        assert (tmp_path / "0.ig").read_bytes() == (tmp_path / "2.ig").read_bytes()


@pytest.mark.parametrize("workers", [0, 2])
def test_a_killed_run_ends_with_the_same_bytes(files: Path, tmp_path: Path, workers: int) -> None:
    course = ["--epochs", 8, "--checkpoint-steps", 5, "--patience", 6, "--best",
              tmp_path / "best.ig", "--workers", workers]  # fmt: skip
    assert train(files, "plateau.ig", tmp_path / "whole.ig", *course).code == 0
    best = (tmp_path / "best.ig").read_bytes()
    line = command(*words(files, files / "plateau.ig", tmp_path / "out.ig", *course))
    with subprocess.Popen(line, stdout=subprocess.PIPE, text=True) as run:
        assert run.stdout is not None
        for _ in range(random.Random(workers).randrange(2, 5)):
            assert run.stdout.readline()
        time.sleep(0.02)
        run.send_signal(signal.SIGKILL)
    assert run.returncode == -signal.SIGKILL
    assert read(tmp_path / "out.ig").metadata["training.epoch"] < 8
    done = resume(files, tmp_path / "out.ig", *course)
    assert done.code == 0, done.err
    assert (tmp_path / "out.ig").read_bytes() == (tmp_path / "whole.ig").read_bytes()
    assert (tmp_path / "best.ig").read_bytes() == best


def test_a_signal_to_all_processes_ends_a_run_with_workers_well(
    files: Path, tmp_path: Path
) -> None:
    course = ["--epochs", 10_000, "--workers", 2, "--checkpoint-steps", 1000]
    line = command(*words(files, files / "steps.ig", tmp_path / "out.ig", *course))
    with subprocess.Popen(
        line, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True
    ) as run:
        assert run.stdout is not None and run.stderr is not None
        for _ in range(2):
            assert run.stdout.readline()
        os.killpg(run.pid, signal.SIGTERM)
        told = run.communicate(timeout=60)[1]
    assert run.returncode == 128 + signal.SIGTERM, told
    assert "--resume" in told and "Traceback" not in told
    at = read(tmp_path / "out.ig").metadata
    assert at["training.steps"] == at["training.epoch"] * 13 + at["training.step"]


KILLED = """
import os, signal
real, calls = os.replace, []
def replace(source, target):
    calls.extend(t for t in [target] if os.path.basename(t) == "out.ig")
    if {before} and len(calls) == 3:
        os.kill(os.getpid(), signal.SIGKILL)
    real(source, target)
    if len(calls) == 3:
        os.kill(os.getpid(), signal.SIGKILL)
os.replace = replace
from intaglio.tools.cli import main
main()
"""


@pytest.mark.parametrize("before", [True, False])
def test_a_kill_while_saving_leaves_a_whole_file(files: Path, tmp_path: Path, before: bool) -> None:
    given = words(files, files / "small.ig", tmp_path / "out.ig", "--epochs", 5)
    line = [sys.executable, "-c", KILLED.format(before=before), *map(str, given)]
    assert subprocess.run(line, stdout=subprocess.DEVNULL, check=False).returncode == -9
    assert read(tmp_path / "out.ig").metadata["training.epoch"] == (2 if before else 3)
    resume(files, tmp_path / "out.ig", "--epochs", 5)
    train(files, "small.ig", tmp_path / "whole.ig", "--epochs", 5)
    assert (tmp_path / "out.ig").read_bytes() == (tmp_path / "whole.ig").read_bytes()


def test_a_step_that_fails_saves_nothing_and_names_its_rows(tmp_path: Path) -> None:
    model = nn.Sequential(nn.Embedding(4, 2), nn.Flatten(), nn.Linear(2, 1))
    n = ig.Dim("n", min=1, max=64)
    ig.program(
        model, inputs={"x": ig.spec((n, 1), ig.int64)}, targets=ig.spec((n, 1)), loss=F.mse_loss,
        optim=optim.SGD(model.parameters(), lr=0.1),
    ).save(tmp_path / "model.ig")  # fmt: skip
    x = np.zeros((12, 1), np.int64)
    x[7] = 9
    np.save(tmp_path / "x.npy", x)
    np.save(tmp_path / "other.npy", np.ones((12, 1), np.float32))
    line = ["train", tmp_path / "model.ig", "--data", f"x={tmp_path / 'x.npy'}", "--data",
            f"t={tmp_path / 'other.npy'}", "--out", tmp_path / "out.ig", "--batch-size", 3,
            "--no-shuffle"]  # fmt: skip
    done = here(*line)
    assert (done.code, done.out) == (1, "")
    assert "epoch 1, step 3, rows 6, 7, 8 of the data" in done.err
    assert not (tmp_path / "out.ig").exists()
    np.savez(tmp_path / "good.npz", x=np.zeros((9, 1), np.int64), t=np.ones((9, 1), np.float32))
    np.savez(tmp_path / "bad.npz", x=x, t=np.ones((12, 1), np.float32))
    good = ["train", tmp_path / "model.ig", "--data", tmp_path / "good.npz"]
    done = here(*good, *line[6:], "--eval-data", tmp_path / "bad.npz")
    assert "evaluation after epoch 1, rows 6 to 8 of its data" in done.err
    np.savez(tmp_path / "bad.npz", x=x[:0], t=np.ones((0, 1), np.float32))
    done = here(*good, *line[6:], "--eval-data", tmp_path / "bad.npz")
    assert "the evaluation's 0 rows are less than one batch of 1" in done.err
    here(*line, "--checkpoint-steps", 1)
    kept = load(tmp_path / "out.ig")
    assert kept.metadata["training.step"] == 2
    twin = load(tmp_path / "model.ig")
    for k in (0, 3):
        twin.train_step(x[k : k + 3], np.ones((3, 1), np.float32))
    for name, value in twin.state_dict().items():
        assert kept.state[name].tobytes() == value.tobytes()


def test_a_result_that_is_not_finite_may_end_the_run(files: Path, tmp_path: Path) -> None:
    line = ["--set", "optim.lr=1e6", "--epochs", 20]
    done = train(files, "small.ig", tmp_path / "out.ig", *line, "--stop-on-nan")
    assert done.code == 1
    assert "loss became inf in epoch 1, step" in done.err or "loss became nan" in done.err
    assert not (tmp_path / "out.ig").exists()
    assert train(files, "small.ig", tmp_path / "out.ig", *line).code == 0


def test_what_is_told_of_a_trained_file(files: Path, tmp_path: Path) -> None:
    course = ["--steps", 30, "--metrics", tmp_path / "m.csv"]
    train(files, "plateau.ig", tmp_path / "out.ig", *course)
    told = here("info", tmp_path / "out.ig").out
    best = min(row["eval.loss"] for row in rows(tmp_path / "m.csv"))
    for line in (
        "2 epochs and 4 steps of the next done, 30 steps in all",
        f"best eval.loss {best:.6g} in epoch 2",
        "train_step on batches of 8, mixed by seed 0",
        "schedule(metric: f64[]) -> nothing",
        "init() -> nothing",
    ):
        assert line in told
    assert "training.best" not in told and "metadata" not in told
    assert "training.best" in here("info", "--json", tmp_path / "out.ig").out
    assert "\ntraining\n" not in here("info", files / "plateau.ig").out
    kept = load(tmp_path / "out.ig")
    kept.save(tmp_path / "odd.ig", metadata={**kept.metadata, "training.best": "\x1b[1m"})
    assert "training.* metadata are damaged" in here("info", tmp_path / "odd.ig").out


def test_run_evaluates_as_train_does(files: Path, tmp_path: Path) -> None:
    train(files, "steps.ig", tmp_path / "out.ig", "--metrics", tmp_path / "m.csv")
    done = here("run", tmp_path / "out.ig", "--function", "eval", "--data", files / "test.npz",
                "--batch", 8)  # fmt: skip
    assert done.code == 0, done.err
    assert "the mean over 4 batches by their rows" in done.err
    assert float(done.out.split()[1]) == rows(tmp_path / "m.csv")[0]["eval.loss"]


def test_options_that_do_not_go_together(files: Path, tmp_path: Path) -> None:
    out = tmp_path / "out.ig"
    link, table = tmp_path / "link.ig", tmp_path / "m.csv"
    link.symlink_to(out)
    table.write_text("1\n")
    for more, code, told in (
        (["--init", "--resume"], 2, "give one of them"),
        (["--best", out], 2, "two files"),
        (["--best-by", "eval.rank"], 1, "say eval.rank:min or eval.rank:max"),
        (["--best-by", "eval.accuracy"], 1, "no result 'eval.accuracy' to be watched; there are"),
        (["--data", f"x={files / 'train.npz'}"], 1, "the data have 'x' already"),
        (["--data", "-", "--eval-data", "t=-"], 2, "read only once"),
        (["--patience", 0], 2, "--patience"),
        (["--best", link], 2, "two files"),
        (["--best", files / "test.npz"], 2, "test.npz holds data: it would be overwritten"),
        (["--data", f"y={table}", "--metrics", table], 2, "m.csv holds data"),
    ):
        done = train(files, "small.ig", out, *more)
        assert (done.code, done.out) == (code, ""), more
        assert told in done.err, done.err
        assert not out.exists()
