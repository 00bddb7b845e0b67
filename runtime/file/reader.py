"""Reading a model file: everything is checked before anything is believed.

Small files are read into memory. Large ones are mapped: their tensors are views of the file, and
pages come in when touched. A mapped file must not be truncated or rewritten in place while it is in
use, which would end the process with SIGBUS; `write` never does that, it replaces."""

from __future__ import annotations

import gc
import hashlib
import mmap
import os
import stat
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Final

import numpy as np

from intaglio.compiler.errors import FormatError, MemoryError
from intaglio.compiler.ir import Program
from intaglio.runtime.file import about, digests, header as layouts
from intaglio.runtime.file.about import Remark
from intaglio.runtime.file.decode import decode
from intaglio.runtime.file.header import DIGEST, SIZE, Header, padded, weights_digest
from intaglio.runtime.file.literals import Array, tensors

MAPPED_FROM: Final = 64 << 20
"""Bytes from which on a file is mapped instead of read."""


@dataclass(frozen=True, slots=True)
class LoadedFile:
    """What a model file holds.

    `values` are read-only arrays by the states' names. `digest` is that of the program,
    `weights_digest` that of the values, both in hexadecimal; `producer` is who wrote the file."""

    program: Program
    values: Mapping[str, Array]
    metadata: Mapping[str, Remark]
    digest: str
    weights_digest: str
    format_version: int
    producer: str


def read(path: str | os.PathLike[str], *, max_memory: int | None = None) -> LoadedFile:
    """The program, values and remarks of a model file.

    Raises `FormatError` that names the path and the field that is wrong, `MemoryError` when the
    file takes more than `max_memory` bytes, and `OSError` when it can't be opened."""
    name = ascii(os.fsdecode(path))[1:-1]
    with _opened(path, name) as descriptor:
        length = os.fstat(descriptor).st_size
        if max_memory is not None and length > max_memory:
            raise MemoryError(f"{name}: takes {length} bytes, more than the {max_memory} allowed")
        try:
            with _collector_paused():
                return _read(descriptor, length)
        except FormatError as error:
            raise FormatError(f"{name}: {error}") from None


@contextmanager
def _collector_paused() -> Iterator[None]:
    """Python's cycle collector would walk a big program again and again while it is being made."""
    running = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if running:
            gc.enable()


@contextmanager
def _opened(path: str | os.PathLike[str], name: str) -> Iterator[int]:
    """A descriptor of a regular file; opening anything else does not wait for it."""
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    try:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise FormatError(f"{name}: is not a regular file")
        yield descriptor
    finally:
        os.close(descriptor)


def _read(descriptor: int, length: int) -> LoadedFile:
    header = layouts.parse(os.pread(descriptor, SIZE, 0), length)
    raw = _contents(descriptor, length)
    _check_digests(header, raw, descriptor)
    about_bytes, program_bytes, literals, state = _sections(header, raw)
    producer, metadata = about.decode(about_bytes.tobytes())
    program = decode(program_bytes.tobytes(), literals)
    return LoadedFile(
        program,
        _values(program, state),
        metadata,
        header.program_digest.hex(),
        header.weights_digest.hex(),
        layouts.VERSION,
        producer,
    )


def _contents(descriptor: int, length: int) -> Array:
    """The file as u8[length], read-only, from a multiple of 64 on."""
    if length >= MAPPED_FROM:
        return np.frombuffer(mmap.mmap(descriptor, length, access=mmap.ACCESS_READ), np.uint8)
    room = np.empty(length + layouts.ALIGNMENT, np.uint8)
    start = -room.ctypes.data % layouts.ALIGNMENT
    raw, done = room[start : start + length], 0
    while done < length:
        count = os.preadv(descriptor, [raw.data[done:]], done)
        if count == 0:
            raise FormatError(f"file length: the file ends early, at byte {done}")
        done += count
    raw.flags.writeable = False
    return raw


def _check_digests(header: Header, raw: Array, descriptor: int) -> None:
    """Header, table and every chunk have the digests they should have."""
    table = raw[SIZE : SIZE + header.table_bytes].tobytes()
    header.check_seal(table)
    chunks = header.chunks
    stated = [table[at : at + DIGEST] for at in range(0, len(chunks) * DIGEST, DIGEST)]
    if any(table[len(chunks) * DIGEST :]):
        raise FormatError("table of digests: its padding is not zero")
    if weights_digest(header, stated) != header.weights_digest:
        raise FormatError("weights digest: does not fit the table of digests")
    mapped = raw.size >= MAPPED_FROM
    digest = digests.of_file(descriptor) if mapped else digests.of_memory(raw.data)
    for (at, size), made, told in zip(chunks, digests.each(digest, chunks), stated, strict=True):
        if made != told:
            raise FormatError(f"digest: the bytes {at} to {at + size} are damaged")


def _sections(header: Header, raw: Array) -> list[Array]:
    found = []
    for name, (at, length) in zip(layouts.SECTIONS, header.sections, strict=True):
        if raw[at + length : at + padded(length)].any():
            raise FormatError(f"{name}: its padding is not zero")
        found.append(raw[at : at + length])
    if hashlib.sha256(found[1].data).digest() != header.program_digest:
        raise FormatError("program digest: does not fit the program")
    return found


def _values(program: Program, raw: Array) -> dict[str, Array]:
    arrays = tensors(raw, [state.type for state in program.state.values()], "state")
    return dict(zip(program.state, arrays, strict=True))
