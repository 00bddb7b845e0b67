"""Builds and their cache: what a damaged entry, a bad folder or a misbehaving compiler does."""

import fcntl
import os
import random
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from intaglio.compiler.errors import CompileError
from intaglio.runtime import build as building, cache as caching, process, toolchain

SOURCE = "int answer(void) {{ return {}; }}"


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("INTAGLIO_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(caching, "_known", {})
    monkeypatch.setattr(caching, "_temporary", [])
    return tmp_path / "cache"


def compiler(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, body: str) -> None:
    """Let CC be a shell script."""
    script = tmp_path / "cc-stand-in"
    script.write_text(f"#!/bin/sh\n{body}\n")
    script.chmod(0o755)
    monkeypatch.setenv("CC", str(script))


def answer(number: int) -> int:
    result: int = building.open_library([SOURCE.format(number)], ("answer",)).answer()
    return result


def test_a_library_is_built_once(folder: Path) -> None:
    before = building.compiled[0]
    assert (answer(11), answer(11)) == (11, 11)
    assert building.compiled[0] == before + 1
    assert folder.stat().st_mode & 0o777 == 0o700


def test_several_units_make_one_library(folder: Path) -> None:
    units = [f"int part{k}(void) {{ return {k}; }}" for k in range(3)]
    library = building.open_library(units, tuple(f"part{k}" for k in range(3)))
    assert [getattr(library, f"part{k}")() for k in range(3)] == [0, 1, 2]


def check_damage(count: int) -> None:
    """Whatever happens to an entry, it is found damaged and made again."""
    chance = random.Random(0)
    source = [SOURCE.format(12)]
    whole = building.build(source).read_bytes()
    entry = building.build(source)
    for round in range(count):
        damage = bytearray(whole)
        kind = round % 4
        if kind == 0:
            damage = damage[: chance.randrange(len(whole))]
        elif kind == 1:
            damage[chance.randrange(len(whole))] ^= 1 << chance.randrange(8)
        elif kind == 2:
            cut = chance.randrange(len(whole))
            damage[cut:] = bytes(len(whole) - cut)
        else:
            damage += bytes(chance.randrange(1, 100))
        if bytes(damage) == whole:
            continue
        entry.write_bytes(damage)
        assert caching.open_cache().find(entry.stem, ".so") is None
        assert not entry.exists()
    assert building.build(source) == entry
    assert entry.read_bytes()[: -caching.TRAILER] == whole[: -caching.TRAILER]


def test_damaged_entries_are_made_again(folder: Path) -> None:
    check_damage(200)


def test_an_entry_under_another_key_is_refused(folder: Path) -> None:
    one = building.build([SOURCE.format(13)])
    other = building.build([SOURCE.format(14)])
    other.write_bytes(one.read_bytes())
    assert answer(14) == 14


def test_the_least_recently_used_entries_go(folder: Path) -> None:
    cache = caching.open_cache()
    for k in range(8):
        path = cache.write(f"{k:02d}", ".so", bytes(1000))
        os.utime(path, (k, k))
    abandoned = folder / "new-abandoned"
    abandoned.write_bytes(b"x")
    os.utime(abandoned, (0, 0))
    cache.shrink(3 * (1000 + caching.TRAILER))
    assert sorted(p.name for p in folder.glob("*.so")) == ["05.so", "06.so", "07.so"]
    assert not abandoned.exists()


@pytest.mark.parametrize("kind", ["open to others", "a file", "relative", "read-only"])
def test_an_unusable_folder_is_replaced(
    kind: str, folder: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    folder.mkdir(mode=0o700)
    if kind == "open to others":
        folder.chmod(0o777)
    elif kind == "a file":
        folder.rmdir()
        folder.write_text("not a folder")
    elif kind == "relative":
        monkeypatch.setenv("XDG_CACHE_HOME", "somewhere")
        monkeypatch.delenv("INTAGLIO_CACHE")
    else:
        monkeypatch.setattr(os, "access", lambda *a: False)
    assert answer(15) == 15
    assert answer(16) == 16
    assert len([r for r in caplog.records if "temporary folder" in r.message]) == 1
    assert caching.open_cache().temporary


def test_a_full_disk_falls_back(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = os.replace

    def full(source: str, target: Path) -> None:
        if str(target).startswith(str(folder)):
            raise OSError(28, "No space left on device")
        real(source, target)

    monkeypatch.setattr(os, "replace", full)
    assert answer(17) == 17
    assert not list(folder.glob("new-*"))


@pytest.mark.parametrize(
    ("body", "told"),
    [
        ("exit 3", "ended with status 3"),
        ("kill -9 $$", "killed by signal 9"),
        ("echo the reason >&2; exit 1", "the reason"),
        ("yes noise | head -c 10000000; exit 1", "noise"),
        ("exit 0", "made no library"),
        ('while [ "$1" != -o ]; do shift; done; : > "$2"', "made no library"),
    ],
)
def test_a_bad_compiler_is_told_about(
    body: str, told: str, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    compiler(tmp_path, monkeypatch, body)
    with pytest.raises(CompileError, match=told) as caught:
        answer(18)
    assert len(str(caught.value)) < 6000
    assert "cc-stand-in" in str(caught.value)
    assert not list(folder.glob("*.so"))


def test_a_hanging_compiler_is_ended_with_its_children(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    mark = tmp_path / "child"
    compiler(tmp_path, monkeypatch, f"sleep 60 & echo $! > {mark}; wait")
    monkeypatch.setenv("INTAGLIO_CC_SECONDS", "1")
    started = time.monotonic()
    with pytest.raises(CompileError, match="did not end in time"):
        answer(19)
    assert time.monotonic() - started < 10
    assert is_dead(int(mark.read_text()))


def is_dead(number: int) -> bool:
    """Whether a process is gone, or only waits for its parent to notice."""
    for _ in range(100):
        try:
            if Path(f"/proc/{number}/stat").read_text().rpartition(")")[2].split()[0] == "Z":
                return True
        except OSError:
            return True
        time.sleep(0.02)
    return False


def test_a_missing_compiler_is_named(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CC", "no-such-compiler")
    with pytest.raises(CompileError, match="there is no program 'no-such-compiler'"):
        answer(20)


def test_flags_that_change_results_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("INTAGLIO_CFLAGS", "-g -ffast-math")
    with pytest.raises(CompileError, match="-ffast-math changes results"):
        toolchain.find_toolchain()


def test_flags_enter_the_key(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    plain = building.build([SOURCE.format(21)])
    monkeypatch.setenv("INTAGLIO_CFLAGS", "-mno-avx512f")
    assert building.build([SOURCE.format(21)]) != plain


def test_a_message_without_control_characters() -> None:
    assert building.printable("a\x1b[31mb\nc") == "a?[31mb\nc"


def test_the_lock_of_a_killed_holder_is_free(folder: Path) -> None:
    cache = caching.open_cache()
    code = (
        "import fcntl, os, time\n"
        f"f = os.open({str(folder / 'lock-ab')!r}, os.O_RDWR | os.O_CREAT, 0o600)\n"
        "fcntl.flock(f, fcntl.LOCK_EX); print('held', flush=True); time.sleep(60)"
    )
    holder = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE)
    assert holder.stdout is not None
    holder.stdout.readline()
    with cache.locked("abcd", 0.1) as held:
        assert not held
    holder.send_signal(signal.SIGKILL)
    holder.wait()
    with cache.locked("abcd", 5.0) as held:
        assert held
    holder.stdout.close()


def test_the_lock_keeps_threads_apart(folder: Path) -> None:
    cache = caching.open_cache()
    inside = []

    def work() -> None:
        with cache.locked("cd", 10.0) as held:
            inside.append(held)
            assert len(inside) == 1
            time.sleep(0.01)
            inside.pop()

    threads = [threading.Thread(target=work) for _ in range(8)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    assert not inside
    with open(folder / "lock-cd") as file:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)


WORKER = """
import sys
from intaglio.runtime.build import open_library
for k in range({rounds}):
    source = f"int answer(void) {{{{ return {{k}}; }}}}"
    assert open_library([source], ("answer",)).answer() == k
print("right")
"""


def check_processes(folder: Path, workers: int, rounds: int) -> None:
    """Processes that build the same from an empty cache agree, and build each thing once."""
    code = WORKER.format(rounds=rounds)
    started = [
        subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)
        for _ in range(workers)
    ]
    assert [w.communicate(timeout=600)[0] for w in started] == ["right\n"] * workers
    assert len(list(folder.glob("*.so"))) == rounds
    assert not list(folder.glob("new-*"))


def test_processes_share_a_cache(folder: Path) -> None:
    check_processes(folder, 4, 4)


def test_interrupting_a_build_leaves_nothing(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    mark = tmp_path / "started"
    compiler(tmp_path, monkeypatch, f"echo $$ > {mark}; sleep 60")
    room = tmp_path / "room"
    room.mkdir()
    code = f"import tempfile; tempfile.tempdir = {str(room)!r}\n" + WORKER.format(rounds=1)
    worker = subprocess.Popen([sys.executable, "-c", code], stderr=subprocess.PIPE, text=True)
    while not mark.exists() or not mark.read_text().strip():
        time.sleep(0.02)
    worker.send_signal(signal.SIGINT)
    assert "KeyboardInterrupt" in worker.communicate(timeout=20)[1]
    assert is_dead(int(mark.read_text()))
    assert not list(room.iterdir())
    assert not list(folder.glob("*.so"))


def test_output_is_bounded(tmp_path: Path) -> None:
    command = ["sh", "-c", "yes | head -c 3000000; echo end"]
    (outcome,) = process.run([command], str(tmp_path), os.environ, 20.0)
    assert outcome.succeeded
    assert outcome.output.endswith("end\n")
    assert len(outcome.output) <= process.KEPT
