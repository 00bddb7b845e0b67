"""Contexts and calls: results on any number of threads, errors as exceptions, Ctrl-C."""

import ctypes
import os
import signal
import subprocess
import sys
import threading
import time

import numpy as np
import pytest

from intaglio.compiler.errors import IndexError, InterruptedError
from intaglio.compiler.where import Where
from intaglio.runtime.arrays import address
from intaglio.runtime.build import open_library
from intaglio.runtime.pool import INDEX, INTERRUPTED, Context, failure, with_moves
from intaglio.runtime.settings import num_threads, set_num_threads

SOURCE = """
#include "ig_abi.h"
typedef struct { void *const *p; const int64_t *dims; } args_t;
static void fill(const ig_worker *w, const void *args, int64_t lo, int64_t hi) {
  const args_t *a = args;
  for (int64_t i = lo; i < hi; i++) ((int64_t *)a->p[0])[i] += i;
}
static void fail(const ig_worker *w, const void *args, int64_t lo, int64_t hi) {
  const args_t *a = args;
  if (a->dims[1]) w->ctx->report(w, IG_INDEX, 1, 12, 10);
}
static void wait(const ig_worker *w, const void *args, int64_t lo, int64_t hi) {
  const args_t *a = args;
  volatile int64_t spin = 0;
  for (int64_t i = 0; i < a->dims[2] * (hi - lo); i++) spin++;
}
static int body(ig_worker *w, const void *args) {
  const args_t *a = args;
  int status = w->ctx->step(w, fail, args, 1);
  for (int64_t k = 0; !status && a->dims[2] && k < 100000; k++)
    status = w->ctx->step(w, wait, args, 8);
  return status ? status : w->ctx->step(w, fill, args, a->dims[0]);
}
int ig_f0(const ig_ctx *ctx, void *const *buffers, const int64_t *dims) {
  const args_t a = { buffers, dims };
  return ctx->run(ctx, body, &a, 0);
}
"""


class Program:
    """The function above with its buffer and sizes."""

    def __init__(self, fail: int = 0, spin: int = 0) -> None:
        self.entry = open_library([SOURCE], ("ig_f0",)).ig_f0
        self.entry.argtypes = [ctypes.c_void_p] * 3
        self.data = np.zeros(1000, np.int64)
        self.table = (ctypes.c_void_p * 1)(address(self.data))
        self.sizes = (ctypes.c_int64 * 3)(1000, fail, spin)

    def arguments(self) -> tuple[int, int]:
        return ctypes.addressof(self.table), ctypes.addressof(self.sizes)


@pytest.mark.parametrize("threads", [1, 2, 4])
def test_a_function_runs_on_any_number_of_threads(threads: int) -> None:
    program, context = Program(), Context()
    context.prepare(threads, 100)
    assert context.threads == threads
    for _ in range(50):
        assert context.call(program.entry, *program.arguments()) == 0
    assert np.array_equal(program.data, 50 * np.arange(1000))


def test_an_error_names_the_node_s_place() -> None:
    program, context = Program(fail=1), Context()
    assert context.call(program.entry, *program.arguments()) == 1
    error = failure(context.error, [(), (Where("net.py", 12, "Net.emb"),)])
    assert isinstance(error, IndexError)
    text = r"index 12 is out of range for axis of size 10 (net.py:12 in Net.emb)"
    assert str(error) == text
    context.clear()
    program.sizes[1] = 0
    assert context.call(program.entry, *program.arguments()) == 0


def test_ctrl_c_stops_a_call_and_python_s_handling_goes_on() -> None:
    program, context = Program(spin=100000), Context()
    before = signal.getsignal(signal.SIGINT)
    timer = threading.Timer(0.2, os.kill, (os.getpid(), signal.SIGINT))
    timer.start()
    started = time.monotonic()
    with pytest.raises(KeyboardInterrupt):
        context.call_watched(program.entry, *program.arguments())
        time.sleep(1)
    assert time.monotonic() - started < 10
    assert context.error.kind == INTERRUPTED
    assert isinstance(failure(context.error, []), InterruptedError)
    assert not program.data.any()
    assert signal.getsignal(signal.SIGINT) is before
    with pytest.raises(KeyboardInterrupt):
        os.kill(os.getpid(), signal.SIGINT)
        time.sleep(1)


def test_other_handlers_are_left_alone() -> None:
    heard: list[int] = []
    before = signal.signal(signal.SIGINT, lambda n, f: heard.append(n))
    try:
        program, context = Program(), Context()
        os.kill(os.getpid(), signal.SIGINT)
        assert context.call_watched(program.entry, *program.arguments())[0] == 0
        assert heard == [signal.SIGINT]
    finally:
        signal.signal(signal.SIGINT, before)


def test_moves_follow_a_call_that_succeeds() -> None:
    program, context = Program(), Context()
    waiting, target = np.arange(5) + 0.5, np.zeros(5)
    table = (ctypes.c_void_p * 3)(*map(address, (program.data, target, waiting)))
    numbers = (ctypes.c_int64 * 7)(1000, 1, 0, 1, 1, 2, target.nbytes)
    run = with_moves(program.entry, 3 * 8)
    where = ctypes.addressof(table), ctypes.addressof(numbers)
    assert run(context.pointer, *where) == INDEX
    assert not target.any()
    context.clear()
    numbers[1] = 0
    assert run(context.pointer, *where) == 0
    assert np.array_equal(target, waiting)


def test_threads_may_be_set() -> None:
    before = num_threads()
    try:
        set_num_threads(3)
        assert Context().threads == 3
        with pytest.raises(ValueError, match="less than one"):
            set_num_threads(0)
    finally:
        set_num_threads(before)


def test_threads_come_from_the_environment() -> None:
    code = "from intaglio.runtime import num_threads; print(num_threads())"
    for text, told in (("5", "5"), ("no", "a positive number is wanted")):
        done = subprocess.run(
            [sys.executable, "-c", code],
            env={**os.environ, "INTAGLIO_THREADS": text},
            capture_output=True,
            text=True,
        )
        assert told in done.stdout + done.stderr


def test_subnormals_stay_after_loading_code() -> None:
    Program()
    found: list[float] = [5e-324 * 1.0, float((np.array([5e-324]) * 1.0)[0])]
    thread = threading.Thread(target=lambda: found.append(5e-324 * 1.0))
    thread.start()
    thread.join()
    assert found == [5e-324] * 3
