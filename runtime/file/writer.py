"""Writing a model file: all or nothing.

The file is written under another name in the same folder, synced and renamed, so that whoever reads
the old file, or dies in between, never meets half a one. It is never rewritten in place: a process
that has mapped the old file keeps it."""

from __future__ import annotations

import contextlib
import hashlib
import os
import secrets
import stat
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import BinaryIO

import numpy as np

from intaglio.compiler.errors import FormatError
from intaglio.compiler.ir import Program, State
from intaglio.runtime.file import about, digests
from intaglio.runtime.file.decode import decode
from intaglio.runtime.file.encode import encode
from intaglio.runtime.file.errors import shown
from intaglio.runtime.file.header import SIZE, Header, padded, weights_digest
from intaglio.runtime.file.literals import Array, check_booleans, layout, native, raw_bytes
from intaglio.runtime.version import __version__

PRODUCER = f"intaglio {__version__}"


def write(
    path: str | os.PathLike[str],
    program: Program,
    values: Mapping[str, Array],
    metadata: Mapping[str, object] | None = None,
    *,
    producer: str = PRODUCER,
) -> None:
    """Write `program`, the `values` of its states by name, and remarks (text, numbers, bools).

    `path` is replaced at once when everything is on the disk; whatever fails before leaves it as it
    was. Raises `FormatError` for what a file can't hold, and for values that are not those the
    program declares. Takes memory for the program and its constants, not for the values."""
    data, arrays = encode(program)
    literals = joined(arrays)
    decode(data, literals)  # what is written can be read
    states = list(program.state.values())
    _check_values(states, values)
    _, state_bytes = layout([state.type for state in states], "state")
    remarks = about.encode(producer, metadata or {})
    header = Header(
        (len(remarks), len(data), literals.size, state_bytes),
        program_digest=hashlib.sha256(data).digest(),
    )
    with _replacing(path) as file:
        _fill(file, header, [remarks, data, raw_bytes(literals)])
        for state in states:
            _write_padded(file, _state_bytes(state, values))
        file.flush()
        _seal(file.fileno(), header)


def joined(arrays: list[Array]) -> Array:
    """The literal section (u8[n]): every array from a multiple of 64 on."""
    total = sum(padded(array.nbytes) for array in arrays)
    joined, at = np.zeros(total, np.uint8), 0
    for array in arrays:
        joined[at : at + array.nbytes] = np.frombuffer(raw_bytes(array), np.uint8)
        at += padded(array.nbytes)
    return joined


def _check_values(states: list[State], values: Mapping[str, Array]) -> None:
    """Every state has a value of its type, and there are no others."""
    for name in values.keys() - {state.name for state in states}:
        raise FormatError(f"values[{shown(name)}]: the program declares no such state")
    for state in states:
        field = f"values[{shown(state.name)}]"
        if state.name not in values:
            raise FormatError(f"{field}: the state has no value")
        value = values[state.name]
        if not isinstance(value, np.ndarray):
            raise FormatError(f"{field}: {type(value).__name__} is no NumPy array")
        wanted = state.type.dtype.numpy
        if value.shape != state.type.shape or value.dtype.newbyteorder("=") != wanted:
            raise FormatError(
                f"{field}: an array {value.dtype}{list(value.shape)}, where the state is"
                f" {state.type}"
            )


def _state_bytes(state: State, values: Mapping[str, Array]) -> memoryview:
    field = f"values[{shown(state.name)}]"
    array, dtype = native(values[state.name], field)
    data = raw_bytes(array)
    if dtype.kind == "b":
        check_booleans(np.frombuffer(data, np.uint8), field)
    return data


def _fill(file: BinaryIO, header: Header, sections: list[bytes | memoryview]) -> None:
    """Write room for header and table, then sections."""
    file.write(bytes(SIZE + header.table_bytes))
    for data in sections:
        _write_padded(file, data)


def _write_padded(file: BinaryIO, data: bytes | memoryview) -> None:
    file.write(data)
    file.write(bytes(padded(len(data)) - len(data)))


def _seal(descriptor: int, header: Header) -> None:
    """Hash what was written, then write the header and the table of digests."""
    made = list(digests.each(digests.of_file(descriptor), header.chunks))
    table = b"".join(made).ljust(header.table_bytes, b"\0")
    header = replace(header, weights_digest=weights_digest(header, made))
    _write_at(descriptor, header.pack(table) + table, 0)


def _write_at(descriptor: int, data: bytes, at: int) -> None:
    while data:
        done = os.pwrite(descriptor, data, at)
        data, at = data[done:], at + done


@contextlib.contextmanager
def _replacing(path: str | os.PathLike[str]) -> Iterator[BinaryIO]:
    """A file that takes the place of `path` (or of what it links to) when all went well, and is
    gone otherwise."""
    target = Path(os.path.realpath(os.fsdecode(path)))
    temporary = target.parent / f".intaglio-{secrets.token_hex(8)}.tmp"
    descriptor, unnamed = _new_file(temporary)
    file = open(descriptor, "w+b")  # noqa: SIM115  # closed below
    try:
        with file:
            with contextlib.suppress(FileNotFoundError):
                os.fchmod(file.fileno(), stat.S_IMODE(os.stat(target).st_mode))
            yield file
            file.flush()
            os.fsync(file.fileno())
            if unnamed:
                place = f"/proc/self/fd/{descriptor}"
                os.link(place, temporary, src_dir_fd=descriptor)  # makes os.link follow `place`
        os.replace(temporary, target)
    except BaseException as error:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(temporary)
        if isinstance(error, OSError) and error.filename is None:
            error.filename = str(target)  # a full disk does not say where
        raise
    _sync_folder(target.parent)


def _new_file(path: Path) -> tuple[int, bool]:
    """A new file to be written, without a name where the system can give it one later: then a kill
    leaves nothing behind. Otherwise it is at `path` already."""
    flags, mode = os.O_RDWR | os.O_CLOEXEC, 0o666
    if os.path.exists("/proc/self/fd"):
        with contextlib.suppress(OSError):
            return os.open(path.parent, flags | os.O_TMPFILE, mode), True
    return os.open(path, flags | os.O_CREAT | os.O_EXCL, mode), False


def _sync_folder(folder: Path) -> None:
    """Make the rename last through a power cut."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
