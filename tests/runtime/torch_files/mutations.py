"""Damaged copies of torch's files, and how many of them are refused."""

from __future__ import annotations

import random
import zipfile
from collections.abc import Iterable, Iterator
from pathlib import Path

from intaglio.runtime.datasets import DataError
from intaglio.runtime.torch_files import load_torch

HERE = Path(__file__).parent
STREAM = "checkpoint.pt's data.pkl"
FILES = ("checkpoint.pt", "before_1_6.pt", STREAM)
"""What is damaged: two files, and the stream within the first, where no checksum guards it."""


def content(name: str) -> bytes:
    """The bytes to damage."""
    if name != STREAM:
        return (HERE / name).read_bytes()
    with zipfile.ZipFile(HERE / "checkpoint.pt") as file:
        return file.read("checkpoint/data.pkl")


def changed(data: bytes, count: int, seed: int) -> Iterator[bytes]:
    """Copies with one to ten bytes changed."""
    generator = random.Random(seed)
    for _ in range(count):
        made = bytearray(data)
        for _ in range(generator.choice((1, 1, 3, 10))):
            made[generator.randrange(len(data))] = generator.randrange(256)
        yield bytes(made)


def refused(name: str, cases: Iterable[bytes], path: Path) -> int:
    """How many of these are refused with `DataError`; any other exception is let through."""
    count = 0
    for case in cases:
        if name == STREAM:
            _around(path, case)
        else:
            path.write_bytes(case)
        try:
            load_torch(path)
        except DataError:
            count += 1
    return count


def _around(path: Path, stream: bytes) -> None:
    """The archive with another stream."""
    with zipfile.ZipFile(HERE / "checkpoint.pt") as old, zipfile.ZipFile(path, "w") as new:
        for entry in old.infolist():
            damaged = entry.filename.endswith("data.pkl")
            new.writestr(entry.filename, stream if damaged else old.read(entry))
