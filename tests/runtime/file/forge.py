"""Files that say what an attacker wants them to, with every digest right; and how to try them."""

import gc
import hashlib
import time
from dataclasses import replace
from pathlib import Path

from intaglio.compiler.errors import FormatError
from intaglio.runtime.file import read
from intaglio.runtime.file.header import DIGEST, SIZE, Header, padded, parse, weights_digest
from intaglio.schemas import program_pb2 as pb


def sections_of(data: bytes) -> list[bytes]:
    """The four sections of a whole file."""
    header = parse(data[:SIZE], len(data))
    return [data[at : at + length] for at, length in header.sections]


def program_of(data: bytes) -> pb.Program:
    """The program of a whole file, as a message."""
    message = pb.Program()
    message.ParseFromString(sections_of(data)[1])
    return message


def forged(about: bytes, program: bytes, literals: bytes, state: bytes) -> bytes:
    """A file of these sections whose lengths and digests fit."""
    parts = (about, program, literals, state)
    header = Header(tuple(map(len, parts)), hashlib.sha256(program).digest())
    body = b"".join(part.ljust(padded(len(part)), b"\0") for part in parts)
    start = SIZE + header.table_bytes
    whole = bytes(start) + body
    made = [hashlib.sha256(whole[at : at + size]).digest() for at, size in header.chunks]
    header = replace(header, weights_digest=weights_digest(header, made))
    table = b"".join(made).ljust(header.table_bytes, b"\0")
    assert len(made) * DIGEST <= header.table_bytes
    return header.pack(table) + table + body


def with_program(data: bytes, message: pb.Program | bytes) -> bytes:
    """The file with another program and digests that fit it."""
    about, _, literals, state = sections_of(data)
    if not isinstance(message, bytes):
        message = message.SerializeToString(deterministic=True)
    return forged(about, message, literals, state)


def peak_bytes() -> int:
    """The most memory that this process ever held, since the last reset."""
    status = Path("/proc/self/status").read_text()
    return int(status.partition("VmHWM:")[2].split()[0]) * 1024


def refusal(path: Path, data: bytes, *, seconds: float = 10.0, megabytes: float = 100.0) -> str:
    """The message with which the loader refuses `data`, within time and memory; empty when it
    loads. Anything but a `FormatError` goes through to the test."""
    path.write_bytes(data)
    gc.collect()
    Path("/proc/self/clear_refs").write_text("5")  # resets the peak
    before, start = peak_bytes(), time.perf_counter()
    try:
        read(path)
        found = ""
    except FormatError as error:
        found = str(error)
    took, grew = time.perf_counter() - start, peak_bytes() - before
    assert took < seconds, f"took {took:.1f} s: {found}"
    assert grew < megabytes * 1e6, f"took {grew / 1e6:.0f} MB: {found}"
    return found
