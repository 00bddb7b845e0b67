"""The process's thread pool and the contexts in which compiled functions run.

The pool is one small native library, built once and never unloaded. A context is what one call in
flight needs: per-thread scratch, an error record, a stop flag. Contexts are kept and used again, so
a call costs one foreign call over prepared pointers."""

from __future__ import annotations

import ctypes
import signal
import threading
import time
from collections.abc import Callable, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any, Final

import numpy as np

from intaglio.compiler.errors import CompileError, Error, IndexError, InterruptedError
from intaglio.compiler.where import Places, describe
from intaglio.runtime.arrays import Array, address
from intaglio.runtime.build import open_library
from intaglio.runtime.settings import num_threads

ABI: Final = 1
NATIVE: Final = Path(__file__).parent / "native"
SOURCES: Final = ("ig_pool.c", "ig_signal.c", "ig_profile.c")
ENTRIES: Final = ("ig_pool_make", "ig_pool_abi_version", "ig_ctx_bytes", "ig_watch", "ig_call")
TIMES: Final = 1 << 16
"""Steps that a profile of one call notes at most."""

INDEX, INTERRUPTED, NON_FINITE = 1, 2, 3
"""The kinds of errors that a native call reports."""
WATCHED: Final = 0.02
"""Seconds from which a call is expected to be worth interrupting."""

Entry = Callable[[int, int, int], int]
"""A compiled function: addresses of the context, the buffers' pointers and the sizes."""


class ErrorRecord(ctypes.Structure):
    """`ig_error`: what went wrong first, in which node, with which value against which limit."""

    _fields_ = [
        ("kind", ctypes.c_int32),
        ("node", ctypes.c_int32),
        ("value", ctypes.c_int64),
        ("limit", ctypes.c_int64),
    ]


@lru_cache(maxsize=1)
def library() -> ctypes.CDLL:
    """The pool's library."""
    found = open_library([(NATIVE / name).read_text() for name in SOURCES], ENTRIES)
    if found.ig_pool_abi_version() != ABI:
        raise CompileError("the pool's library is of another version than this code")
    pointer, number = ctypes.c_void_p, ctypes.c_int
    found.ig_ctx_bytes.restype = ctypes.c_int64
    found.ig_pool_make.argtypes = [pointer, number, pointer, pointer, pointer]
    found.ig_pool_make.restype = None
    found.ig_watch.argtypes = [pointer]
    found.ig_unwatch.restype = None
    found.ig_call.argtypes = [pointer] * 5
    found.ig_profile_begin.argtypes = [pointer, ctypes.c_int64]
    found.ig_profile_begin.restype = found.ig_profile_mark.restype = None
    found.ig_profile_context.argtypes = [pointer, number]
    found.ig_profile_context.restype = None
    found.ig_profile_end.restype = ctypes.c_int64
    return found


class Context:
    """What one call in flight needs besides its buffers; `pointer` is the address of the
    `ig_ctx`."""

    def __init__(self, scratch_bytes: int = 0) -> None:
        native = library()
        self._memory = ctypes.create_string_buffer(native.ig_ctx_bytes())
        self.error = ErrorRecord()
        self.stop = ctypes.c_int32(0)
        self.pointer = ctypes.addressof(self._memory)
        self.threads = 0
        self.scratch_bytes = 0
        self._scratch: Array | None = None
        self._blocks: Any = None
        self.prepare(num_threads(), scratch_bytes)

    def prepare(self, threads: int, scratch_bytes: int) -> None:
        """Make it fit a number of threads and their scratch; quick when it does already."""
        if threads == self.threads and scratch_bytes <= self.scratch_bytes:
            return
        block = -(-max(scratch_bytes, self.scratch_bytes) // 64) * 64
        blocks = None
        if block:
            self._scratch = np.empty(block * threads + 64, np.uint8)
            first = -(-address(self._scratch) // 64) * 64
            blocks = (ctypes.c_void_p * threads)(*(first + k * block for k in range(threads)))
        library().ig_pool_make(
            self.pointer,
            threads,
            blocks,
            ctypes.addressof(self.error),
            ctypes.addressof(self.stop),
        )
        self._blocks, self.threads, self.scratch_bytes = blocks, threads, block

    def clear(self) -> None:
        """Forget the last call's error."""
        self.error.kind = 0
        self.stop.value = 0

    def call(self, entry: Entry, buffers: int, sizes: int) -> int:
        """Run a function; the kind of the error, or 0."""
        return entry(self.pointer, buffers, sizes)

    def call_watched(self, entry: Entry, buffers: int, sizes: int) -> tuple[int, float]:
        """Run a function that may take long, so that Ctrl-C stops it; the seconds it took too."""
        native = library()
        watching = (
            threading.current_thread() is threading.main_thread()
            and signal.getsignal(signal.SIGINT) is signal.default_int_handler
            and native.ig_watch(ctypes.addressof(self.stop)) == 0
        )
        started = time.perf_counter()
        try:
            status = entry(self.pointer, buffers, sizes)
            return status, time.perf_counter() - started
        finally:
            if watching:
                native.ig_unwatch()

    def call_timed(self, entry: Entry, buffers: int, sizes: int) -> tuple[int, list[float]]:
        """Run a function; the seconds of each of its steps too."""
        native = library()
        ends = (ctypes.c_int64 * TIMES)()
        with _profiling:
            native.ig_profile_begin(ctypes.addressof(ends), TIMES)
            native.ig_profile_context(self.pointer, 1)
            try:
                native.ig_profile_mark()
                status = entry(self.pointer, buffers, sizes)
            finally:
                native.ig_profile_context(self.pointer, 0)
                count = native.ig_profile_end()
        return status, [(ends[k + 1] - ends[k]) * 1e-9 for k in range(count - 1)]


_profiling: Final = threading.Lock()


def failure(error: ErrorRecord, places: Sequence[Places]) -> BaseException:
    """The exception that an error record stands for; `places` are the nodes' by number."""
    where = places[error.node] if 0 <= error.node < len(places) else ()
    at = f" ({describe(where)})" if where else ""
    if error.kind == INDEX:
        return IndexError(f"index {error.value} is out of range for axis of size {error.limit}{at}")
    if error.kind == INTERRUPTED:
        return InterruptedError("stopped by Ctrl-C; no state was changed")
    if error.kind == NON_FINITE:
        return Error(f"a value that is not finite{at}")
    return Error(f"a native call failed with the unknown kind {error.kind}{at}")


def with_moves(entry: Any, offset: int) -> Entry:
    """The function followed by its moves (`ig_call`), which lie `offset` bytes after its sizes."""
    run = library().ig_call
    function = ctypes.cast(entry, ctypes.c_void_p)

    def call(context: int, buffers: int, sizes: int) -> int:
        status: int = run(function, context, buffers, sizes, sizes + offset)
        return status

    return call
