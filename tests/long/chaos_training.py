"""`intaglio train`, killed and interrupted in all ways at random moments and resumed, ends with the
bytes of a run that was not."""

import os
import random
import signal
import subprocess
import tempfile
import time
from pathlib import Path

import numpy as np

from intaglio.optim.lr_scheduler import ReduceLROnPlateau
from intaglio.runtime.file import read
from tests.tools import programs
from tests.tools.commands import command
from tests.tools.test_train_course import save_program

WAYS = ("kill", "kill", "interrupt", "terminate", "interrupt twice", "interrupt group",
        "terminate group", "kill a worker")  # fmt: skip
EPOCHS = 40
WAIT = 90
_whole: list[tuple[bytes, bytes, float]] = []


def words(folder: Path, model: str, out: str, workers: int) -> list[str]:
    """A command line that trains, or goes on with what it finds."""
    found = command(
        "train", folder / model, "--data", folder / "train.npz", "--out", folder / out,
        "--eval-data", folder / "test.npz", "--best", folder / f"best.{out}",
        "--batch-size", 8, "--epochs", EPOCHS, "--checkpoint-steps", 3, "--patience", EPOCHS,
        "--workers", workers,
    )  # fmt: skip
    return [*found, "--resume"] if model == out else found


def prepare(folder: Path) -> None:
    """Model and data."""
    save_program(folder / "model.ig", lambda made: ReduceLROnPlateau(made, patience=1))
    for name, rows in (("train", 100), ("test", 30)):
        np.savez(folder / f"{name}.npz", **programs.data(rows))


def unbroken(folder: Path) -> tuple[bytes, bytes, float]:
    """The files of a run without a break, and how long it takes with everything compiled."""
    if not _whole:
        for _ in range(2):
            begin = time.perf_counter()
            line = words(folder, "model.ig", "whole.ig", 0)
            subprocess.run(line, stdout=subprocess.DEVNULL, check=True)
        took = time.perf_counter() - begin
        whole, best = ((folder / name).read_bytes() for name in ("whole.ig", "best.whole.ig"))
        _whole.append((whole, best, took))
    return _whole[0]


def children(pid: int) -> list[int]:
    """The children of a process."""
    text = Path(f"/proc/{pid}/task/{pid}/children").read_text()
    return list(map(int, text.split()))


def stop(run: subprocess.Popen[str], way: str, draw: random.Random) -> None:
    """End a run this way."""
    workers = children(run.pid) if way == "kill a worker" else []
    if workers:
        os.kill(draw.choice(workers), signal.SIGKILL)
    elif way.startswith("kill"):
        run.kill()
    elif way.endswith("group"):
        os.killpg(run.pid, signal.SIGINT if way.startswith("i") else signal.SIGTERM)
    else:
        run.send_signal(signal.SIGTERM if way == "terminate" else signal.SIGINT)
        if way.endswith("twice"):
            time.sleep(draw.random() * 0.02)
            run.send_signal(signal.SIGINT)


def once(line: list[str], seconds: float, draw: random.Random) -> int:
    """Run a command line, and stop it after some time; its exit code."""
    with subprocess.Popen(
        line, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, start_new_session=True
    ) as run:
        try:
            told = run.communicate(timeout=seconds)[1]
        except subprocess.TimeoutExpired:
            stop(run, draw.choice(WAYS), draw)
            try:
                told = run.communicate(timeout=WAIT)[1]
            except subprocess.TimeoutExpired:
                os.killpg(run.pid, signal.SIGKILL)
                raise
    while_importing = run.returncode == -signal.SIGINT  # before there is a command
    assert while_importing or "Traceback" not in told, told
    return run.returncode


def course(number: int) -> None:
    """One run, broken as often as it takes."""
    draw = random.Random(number)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        prepare(folder)
        whole, best, took = unbroken(folder)
        out, code = folder / "out.ig", 1
        while code:
            model = "out.ig" if out.exists() else "model.ig"
            line = words(folder, model, "out.ig", draw.choice([0, 0, 2]))
            code = once(line, 0.2 + draw.random() * took * 1.5, draw)
            for path in (out, folder / "best.out.ig"):
                if path.exists():
                    read(path)
        assert out.read_bytes() == whole
        assert (folder / "best.out.ig").read_bytes() == best
        left = [path for path in folder.iterdir() if path.name.startswith(".")]
        assert not left, left
