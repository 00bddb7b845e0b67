"""SHA-256 of a file's chunks, several at a time: hashlib lets go of the interpreter's lock."""

from __future__ import annotations

import hashlib
import os
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Final

from intaglio.compiler.errors import FormatError
from intaglio.runtime.file.header import CHUNK

Span = tuple[int, int]
THREADS: Final = min(8, os.cpu_count() or 1)
_PARALLEL_FROM: Final = 4  # chunks; below that starting threads costs more than it gains


def of_memory(data: memoryview) -> Callable[[Span], bytes]:
    """The digest of a span of memory."""
    return lambda span: hashlib.sha256(data[span[0] : span[0] + span[1]]).digest()


def of_file(descriptor: int) -> Callable[[Span], bytes]:
    """The digest of a span of a file, read in pieces into one buffer for each thread: neither the
    file's position nor a mapping is touched."""
    local = threading.local()

    def digest(span: Span) -> bytes:
        offset, length = span
        buffer: memoryview | None = getattr(local, "buffer", None)
        if buffer is None:
            buffer = local.buffer = memoryview(bytearray(CHUNK))
        done = 0
        while done < length:
            count = os.preadv(descriptor, [buffer[done:length]], offset + done)
            if count == 0:
                raise FormatError(f"file length: the file ends early, at byte {offset + done}")
            done += count
        return hashlib.sha256(buffer[:length]).digest()

    return digest


def each(digest: Callable[[Span], bytes], spans: Sequence[Span]) -> Iterator[bytes]:
    """The digests of the spans (of at most 1 MiB each), in order."""
    if len(spans) < _PARALLEL_FROM:
        yield from map(digest, spans)
        return
    with ThreadPoolExecutor(THREADS) as pool:
        yield from pool.map(digest, spans)
