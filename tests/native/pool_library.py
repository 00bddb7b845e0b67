"""The pool library and its driver, compiled and called through ctypes."""

from __future__ import annotations

import ctypes
import functools
import subprocess
import tempfile
from pathlib import Path

import numpy as np

HERE = Path(__file__).parent
NATIVE = HERE.parents[1] / "runtime" / "native"
COMMON = ["gcc", "-O2", "-std=gnu99", "-Wall", "-Wextra", "-Werror", "-pthread", "-I", str(NATIVE)]


class Error(ctypes.Structure):
    """`ig_error`."""

    _fields_ = [
        ("kind", ctypes.c_int32),
        ("node", ctypes.c_int32),
        ("value", ctypes.c_int64),
        ("limit", ctypes.c_int64),
    ]


@functools.cache
def folder() -> Path:
    """A folder for this process's libraries."""
    return Path(tempfile.mkdtemp(prefix="intaglio-pool-"))


@functools.cache
def library() -> ctypes.CDLL:
    """The pool."""
    made = folder() / "pool.so"
    command = [
        *COMMON,
        "-fPIC",
        "-shared",
        "-fvisibility=hidden",
        str(NATIVE / "ig_pool.c"),
        "-o",
        str(made),
    ]
    subprocess.run(command, check=True)
    found = ctypes.CDLL(str(made))
    found.ig_ctx_bytes.restype = ctypes.c_int64
    found.ig_pool_config.argtypes = [ctypes.c_int, ctypes.c_int64]
    found.ig_pool_make.argtypes = [ctypes.c_void_p, ctypes.c_int, *[ctypes.c_void_p] * 3]
    found.ig_touch.argtypes = [ctypes.c_void_p, ctypes.c_int64]
    return found


@functools.cache
def driver() -> ctypes.CDLL:
    """The functions of pool_driver.c."""
    made = folder() / "driver.so"
    subprocess.run(
        [*COMMON, "-fPIC", "-shared", str(HERE / "pool_driver.c"), "-o", str(made)], check=True
    )
    return ctypes.CDLL(str(made))


class Context:
    """One call in flight: an `ig_ctx` with its error record, stop flag and scratch."""

    def __init__(self, threads: int, scratch_words: int = 0):
        self.error = Error()
        self.stop = ctypes.c_int32(0)
        self.memory = ctypes.create_string_buffer(library().ig_ctx_bytes())
        self.scratch = np.zeros((max(threads, 1), max(scratch_words, 1)), np.int64)
        rows = [row.ctypes.data for row in self.scratch]
        self.rows = (ctypes.c_void_p * len(rows))(*rows)
        library().ig_pool_make(
            self.memory,
            threads,
            ctypes.cast(self.rows, ctypes.c_void_p) if scratch_words else None,
            ctypes.addressof(self.error),
            ctypes.addressof(self.stop),
        )

    def call(
        self, name: str, buffers: tuple[np.ndarray, ...] = (), dims: tuple[int, ...] = ()
    ) -> int:
        """Call a function of the driver."""
        pointers = (ctypes.c_void_p * (len(buffers) + 1))(*[b.ctypes.data for b in buffers])
        sizes = (ctypes.c_int64 * (len(dims) + 1))(*dims)
        return int(driver()[name](self.memory, pointers, sizes))


class Chain:
    """The driver's chain of steps, and what it must give."""

    def __init__(
        self,
        n: int = 1000,
        chunk: int = 10,
        steps: int = 6,
        *,
        nap_us: int = 0,
        fail_at: int = -1,
        stop_at: int = -1,
    ):
        self.dims = (n, chunk, steps, nap_us, fail_at, stop_at)
        self.x = np.arange(n, dtype=np.int64)
        self.y = np.arange(n, dtype=np.int64)[::-1].copy()
        self.counts = np.zeros((steps, -(-n // chunk)), np.int32)
        self.done = np.zeros(steps, np.int32)

    def run(self, threads: int) -> tuple[int, Context]:
        """Run it; the result and the context."""
        context = Context(threads)
        return context.call("chain", (self.x, self.y, self.counts, self.done), self.dims), context

    def expected(self) -> tuple[np.ndarray, np.ndarray]:
        """The arrays after all steps, by NumPy."""
        n, _, steps = self.dims[:3]
        x, y = np.arange(n, dtype=np.int64), np.arange(n, dtype=np.int64)[::-1].copy()
        for s in range(steps):
            a, b = (y, x) if s & 1 else (x, y)
            b *= 3
            b += a[::-1] + s
        return x, y

    def check(self) -> None:
        """Each chunk was done once and the values are right."""
        assert (self.counts == 1).all()
        x, y = self.expected()
        np.testing.assert_array_equal(self.x, x)
        np.testing.assert_array_equal(self.y, y)
