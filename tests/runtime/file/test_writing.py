"""A save replaces the old file whole, or leaves it as it was."""

import os
import signal
import stat
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from intaglio.compiler.dtypes import float32
from intaglio.compiler.ir import Program, State
from intaglio.compiler.types import TensorType
from intaglio.runtime.file import digests, read, write, writer

ROOT = Path(__file__).parents[3]
KILLS = 4


def model(megabytes: int) -> Program:
    shape = (megabytes, 1 << 18)
    return Program({}, {"w": State(("w",), TensorType(float32, shape))})


def values(megabytes: int, number: float) -> dict[str, np.ndarray]:
    return {"w": np.full((megabytes, 1 << 18), number, np.float32)}


SAVE = """
import sys
from pathlib import Path
from tests.runtime.file.test_writing import model, values, write
program, new = model(int(sys.argv[2])), values(int(sys.argv[2]), 2.0)
print("ready", flush=True)
sys.stdin.readline()
while True:
    write(sys.argv[1], program, new)
"""


def survives_a_kill(folder: Path, megabytes: int, after: float) -> str:
    """Kill a process that saves over a file, and say which file is there."""
    path = folder / "model.ig"
    write(path, model(megabytes), values(megabytes, 1.0))
    command = [sys.executable, "-c", SAVE, str(path), str(megabytes)]
    child = subprocess.Popen(command, stdin=-1, stdout=-1, cwd=ROOT)
    assert child.stdin and child.stdout and child.stdout.readline() == b"ready\n"
    child.stdin.write(b"\n")
    child.stdin.flush()
    time.sleep(after)
    child.send_signal(signal.SIGKILL)
    child.wait()
    child.stdin.close()
    child.stdout.close()
    found = read(path).values["w"]
    assert found.shape == (megabytes, 1 << 18)
    assert (found == found[0, 0]).all()
    return "old" if found[0, 0] == 1.0 else "new"


def test_kill_while_overwriting(tmp_path: Path) -> None:
    dice = np.random.default_rng(0)
    found = [survives_a_kill(tmp_path, 8, dice.uniform(0.0, 0.2)) for _ in range(KILLS)]
    assert set(found) <= {"old", "new"}


def test_a_failure_leaves_the_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "model.ig"
    write(path, model(1), values(1, 1.0))
    before = path.read_bytes()

    def full(*arguments: object) -> None:
        raise OSError(28, "No space left on device")

    for name in ("fsync", "replace", "pwrite"):
        with monkeypatch.context() as patched, pytest.raises(OSError, match="No space"):
            patched.setattr(writer.os, name, full)
            write(path, model(1), values(1, 2.0))
        assert path.read_bytes() == before
        assert [p.name for p in tmp_path.iterdir()] == ["model.ig"]


def test_a_full_disk_leaves_the_old_file(tmp_path: Path) -> None:
    code = """
import resource, signal, sys
from tests.runtime.file.test_writing import model, values, write
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (3 << 20, 3 << 20))
try:
    write(sys.argv[1], model(8), values(8, 2.0))
except OSError as error:
    print(error.errno)
"""
    path = tmp_path / "model.ig"
    write(path, model(8), values(8, 1.0))
    command = [sys.executable, "-c", code, str(path)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "27"  # EFBIG
    assert read(path).values["w"][0, 0] == 1.0
    assert [p.name for p in tmp_path.iterdir()] == ["model.ig"]


def test_a_mapped_file_outlives_its_replacement(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from intaglio.runtime.file import reader

    monkeypatch.setattr(reader, "MAPPED_FROM", 0)
    path = tmp_path / "model.ig"
    write(path, model(1), values(1, 1.0))
    loaded = read(path)
    write(path, loaded.program, values(1, 2.0))
    assert (loaded.values["w"] == 1.0).all()
    assert (read(path).values["w"] == 2.0).all()


def test_mode_and_links(tmp_path: Path) -> None:
    real, link = tmp_path / "real.ig", tmp_path / "link.ig"
    mask = os.umask(0o027)
    try:
        write(real, model(1), values(1, 1.0))
    finally:
        os.umask(mask)
    assert stat.S_IMODE(real.stat().st_mode) == 0o640
    real.chmod(0o604)
    link.symlink_to(real)
    write(link, model(1), values(1, 2.0))
    assert link.is_symlink() and read(real).values["w"][0, 0] == 2.0
    assert stat.S_IMODE(real.stat().st_mode) == 0o604


def test_chunks_are_hashed_alike_from_memory_and_file(tmp_path: Path) -> None:
    data = np.random.default_rng(0).bytes((5 << 20) + 77)
    (tmp_path / "f").write_bytes(data)
    spans = [(at, min(1 << 20, len(data) - at)) for at in range(0, len(data), 1 << 20)]
    with open(tmp_path / "f", "rb") as file:
        from_file = list(digests.each(digests.of_file(file.fileno()), spans))
    assert from_file == list(digests.each(digests.of_memory(memoryview(data)), spans))
    assert len(set(from_file)) == 6


LARGE = """
import resource, sys
from tests.runtime.file.test_writing import model, values, write, read
peak = lambda: resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
megabytes = int(sys.argv[2])
program = model(megabytes)
if sys.argv[3] == "save":
    new = values(megabytes, 1.0)
    before = peak()
    write(sys.argv[1], program, new)
    print(peak() - before)
else:
    before = peak()
    loaded = read(sys.argv[1])
    assert (loaded.values["w"] == 1.0).all(axis=1).all()
    print(peak() - before)
"""


def memory_of(step: str, path: Path, megabytes: int) -> int:
    """Bytes by which a save or load of weights of this size raises a process' peak."""
    command = [sys.executable, "-c", LARGE, str(path), str(megabytes), step]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    return int(done.stdout)


def test_memory_of_large_weights(tmp_path: Path) -> None:
    path = tmp_path / "model.ig"
    assert memory_of("save", path, 160) < 24e6  # nothing like another copy
    assert memory_of("load", path, 160) < 1.2 * 160 * (1 << 20)
    assert read(path).values["w"].base is not None


def test_what_is_being_written_has_no_name_that_a_kill_could_leave(tmp_path: Path) -> None:
    descriptor, unnamed = writer._new_file(tmp_path / "any")
    os.close(descriptor)
    if not unnamed:
        pytest.skip("this file system has no files without names")
    with writer._replacing(tmp_path / "model.ig") as file:
        file.write(b"content")
        assert not list(tmp_path.iterdir())
    assert [p.read_bytes() for p in tmp_path.iterdir()] == [b"content"]
