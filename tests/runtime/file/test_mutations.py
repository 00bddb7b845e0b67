"""Damaged files are refused, or are what they were: never another answer, never another error."""

import random
import time
from pathlib import Path

import pytest

from intaglio.compiler.errors import Error, FormatError
from intaglio.compiler.ir import Program
from intaglio.compiler.lower import lower
from intaglio.compiler.passes import PIPELINE
from intaglio.compiler.passes.fuse import fuse
from intaglio.compiler.verify import verify
from intaglio.runtime.file import LoadedFile, read, write
from tests.runtime.file import samples, traced
from tests.runtime.file.forge import peak_bytes
from tests.runtime.file.mutations import bytes_changed, program_changed

BYTES = 500
STRUCTURE = 150
LARGE = 4096
"""Bytes of a file from which a tenth of the counts is tried here."""


def file_of(name: str, path: Path) -> bytes:
    """The file of a sample or a traced model, written to `path`."""
    if name in traced.ALL:
        return traced.data_of(name, path)
    program = samples.ALL[name]()
    write(path, program, samples.filled(program), {"a": 1})
    return path.read_bytes()


@pytest.fixture(scope="module", params=(*samples.ALL, *traced.ALL))
def file(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> bytes:
    return file_of(request.param, tmp_path_factory.mktemp("file") / "a.ig")


def tried(path: Path, data: bytes) -> LoadedFile | None:
    """What the loader makes of `data`; None when it refuses. Anything else that it raises is a
    failure of the test."""
    path.write_bytes(data)
    start = time.perf_counter()
    try:
        found = read(path)
    except FormatError as error:
        assert "a.ig" in str(error)
        found = None
    assert time.perf_counter() - start < 5
    return found


def check_bytes(data: bytes, folder: Path, count: int, seed: int = 0) -> None:
    dice, before = random.Random(seed), peak_bytes()
    for _ in range(count):
        changed = bytes_changed(data, dice)
        assert tried(folder / "a.ig", changed) is None or changed == data
    assert peak_bytes() - before < 64e6


def check_structure(data: bytes, folder: Path, count: int, seed: int = 0) -> int:
    """A change of the program that passes every check is a program: it is written as it was read,
    and the passes make a graph of it that verifies, or say what is wrong; so does lowering."""
    dice, passed = random.Random(seed), 0
    for _ in range(count):
        changed = program_changed(data, dice)
        loaded = tried(folder / "a.ig", changed)
        if loaded is not None:
            passed += 1
            write(folder / "b.ig", loaded.program, loaded.values, loaded.metadata)
            assert (folder / "b.ig").read_bytes() == changed
            through_passes(loaded.program)
    return passed


def through_passes(program: Program) -> None:
    start = time.perf_counter()
    for function in program.functions.values():
        graph = function.graph
        try:
            for rewrite in PIPELINE:
                graph = rewrite(graph)
        except Error:
            continue
        verify(graph)
        try:
            lowered = lower(fuse(graph))
        except Error:
            continue
        assert sum(map(len, lowered.sources)) < 1_000_000
    assert time.perf_counter() - start < 20


def count_for(file: bytes, count: int) -> int:
    """How many changes of a file are tried."""
    return count // 10 if len(file) > LARGE else count


def test_changed_bytes(file: bytes, tmp_path: Path) -> None:
    check_bytes(file, tmp_path, count_for(file, BYTES))


def test_every_bit_of_the_header(file: bytes, tmp_path: Path) -> None:
    for at in range(192):
        made = bytearray(file)
        made[at] ^= 1 << at % 8
        assert tried(tmp_path / "a.ig", bytes(made)) is None


def test_changed_programs(file: bytes, tmp_path: Path) -> None:
    count = count_for(file, STRUCTURE)
    assert check_structure(file, tmp_path, count) < count / 2
