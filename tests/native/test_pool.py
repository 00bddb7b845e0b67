"""The thread pool: chunks, steps, errors, stops, forks, concurrent callers, exit."""

from __future__ import annotations

import ctypes
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).parent))
import pool_library as pool


@pytest.mark.parametrize("threads", [1, 2, 3, 4])
def test_every_chunk_is_done_once_and_steps_see_each_other(threads: int) -> None:
    for r in range(500):
        chain = pool.Chain(n=100 + 37 * (r % 9), chunk=1 + r % 13, steps=5)
        result, context = chain.run(threads)
        assert (result, context.error.kind) == (0, 0)
        chain.check()


def test_empty_and_single_chunk_steps() -> None:
    for n in (0, 1, 5):
        chain = pool.Chain(n=n, chunk=10, steps=4)
        assert chain.run(4)[0] == 0
        chain.check()


def test_a_thread_that_sleeps_in_a_chunk_is_waited_for_and_may_come_late() -> None:
    for _ in range(20):
        chain = pool.Chain(n=600, chunk=5, steps=6, nap_us=500)
        assert chain.run(3)[0] == 0
        chain.check()


def test_idle_workers_sleep_and_wake_again() -> None:
    pool.library().ig_pool_config(0, 200)
    try:
        for _ in range(20):
            time.sleep(0.003)
            chain = pool.Chain(n=300, chunk=7)
            assert chain.run(4)[0] == 0
            chain.check()
    finally:
        pool.library().ig_pool_config(0, 3000)


@pytest.mark.parametrize("threads", [1, 2, 4])
def test_the_first_error_stays_and_ends_the_function_after_its_step(threads: int) -> None:
    for _ in range(100):
        chain = pool.Chain(steps=6, fail_at=2)
        result, context = chain.run(threads)
        assert result == 1
        assert (context.error.kind, context.error.value, context.error.limit) == (1, 12, 10)
        assert 0 <= context.error.node < chain.counts.shape[1]
        assert (chain.counts[:2] == 1).all() and (chain.counts[3:] == 0).all()
        assert chain.done.tolist() == [1, 1, 0, 0, 0, 0]


@pytest.mark.parametrize("threads", [1, 2, 4])
def test_a_stop_falls_between_steps(threads: int) -> None:
    """A step is done whole or not at all, and an interrupted call has not done the later ones."""
    for r in range(200):
        chain = pool.Chain(n=64, chunk=1, steps=6, stop_at=r % 6)
        result, context = chain.run(threads)
        rows = chain.counts.sum(axis=1)
        assert set(rows.tolist()) <= {0, 64}
        finished = int((rows == 64).sum())
        assert (rows[:finished] == 64).all()
        if result == 2:
            assert context.error.kind == 2
            assert finished < 6
        else:
            assert result == 0 and finished == 6
    if threads == 1:
        assert result == 2


def test_a_set_stop_flag_does_nothing_at_all() -> None:
    chain = pool.Chain()
    context = pool.Context(2)
    context.stop.value = 1
    assert context.call("chain", (chain.x, chain.y, chain.counts, chain.done), chain.dims) == 2
    assert not chain.counts.any()


def test_callers_in_eight_threads() -> None:
    failures: list[str] = []

    def work() -> None:
        try:
            for r in range(150):
                chain = pool.Chain(n=200, chunk=3 + r % 5, steps=4)
                assert chain.run(2 + r % 3)[0] == 0
                chain.check()
        except BaseException as error:  # reported below: a thread's failure would go unseen
            failures.append(repr(error))

    callers = [threading.Thread(target=work) for _ in range(8)]
    for c in callers:
        c.start()
    for c in callers:
        c.join(60)
    assert not any(c.is_alive() for c in callers)
    assert not failures


def test_a_kernel_may_call_the_pool() -> None:
    for _ in range(20):
        assert pool.Context(3).call("nest") == 0


def test_scratch_belongs_to_one_thread() -> None:
    context = pool.Context(3, scratch_words=64)
    assert context.call("scratch") == 0
    assert context.scratch[:, 1].sum() == 1000
    used = np.flatnonzero(context.scratch[:, 1])
    np.testing.assert_array_equal(context.scratch[used, 0], used)


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_a_forked_child_has_a_pool_of_its_own() -> None:
    assert pool.Chain().run(3)[0] == 0
    for _ in range(100):
        child = os.fork()
        if child == 0:
            code = 1
            try:
                signal.alarm(20)
                chain = pool.Chain()
                code = chain.run(3)[0]
                chain.check()
            finally:
                os._exit(code)
        _, status = os.waitpid(child, 0)
        assert status == 0
    chain = pool.Chain()
    assert chain.run(3)[0] == 0
    chain.check()


def test_the_process_ends_with_workers_alive() -> None:
    text = (
        "import sys; sys.path.insert(0, sys.argv[1]); import pool_library as pool\n"
        "chain = pool.Chain(); assert chain.run(4)[0] == 0; chain.check(); print('ran')\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", text, str(Path(__file__).parent)],
        timeout=60,
        capture_output=True,
        text=True,
    )
    assert (done.returncode, done.stdout) == (0, "ran\n"), done.stderr


def test_touch_keeps_the_contents() -> None:
    memory = np.arange(3_000_001, dtype=np.uint8)
    before = memory.copy()
    pool.library().ig_touch(memory.ctypes.data, memory.nbytes)
    np.testing.assert_array_equal(memory, before)


def test_versions_and_threads() -> None:
    found = pool.library()
    assert found.ig_pool_abi_version() == 1
    assert found.ig_pool_threads() == len(os.sched_getaffinity(0))
    assert found.ig_ctx_bytes() % ctypes.sizeof(ctypes.c_void_p) == 0


def test_the_thread_sanitizer_finds_no_race() -> None:
    made = pool.folder() / "stress"
    command = [*pool.COMMON, "-g", "-fsanitize=thread", "-DSTRESS", str(pool.NATIVE / "ig_pool.c")]
    built = subprocess.run(
        [*command, str(pool.HERE / "pool_driver.c"), "-o", str(made)],
        capture_output=True,
        text=True,
    )
    if built.returncode:
        pytest.skip(f"no thread sanitizer here: {built.stderr[-200:]}")
    done = subprocess.run([str(made)], capture_output=True, text=True, timeout=120)
    if "unexpected memory mapping" in done.stderr:
        pytest.skip("the thread sanitizer cannot run under this kernel's memory layout")
    assert done.returncode == 0 and "finished" in done.stdout, done.stderr[-3000:]
