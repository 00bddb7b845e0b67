"""Many calls: memory and descriptors stay flat, threads and forked children agree with one."""

import gc
import multiprocessing
import os
import threading

import numpy as np
import pytest

from intaglio.runtime.model import Model
from tests.runtime import programs


def resident() -> int:
    """Bytes of this process that are in memory."""
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def descriptors() -> int:
    return len(os.listdir("/proc/self/fd"))


def make() -> Model:
    return Model(programs.program(), programs.values())


def check_calls(calls: int) -> None:
    """Memory and descriptors stay flat over many calls."""
    model = make()
    x, ids = programs.inputs(16), np.zeros(16, np.int64)
    for _ in range(500):
        model(x)
        model.train(x, ids)
    gc.collect()
    memory, files = resident(), descriptors()
    for _ in range(calls):
        model(x)
        model.train(x, ids)
    gc.collect()
    assert resident() - memory <= 1 << 20
    assert descriptors() == files


def test_calls_grow_nothing() -> None:
    check_calls(5000)


def check_cycles(cycles: int) -> None:
    """Memory and descriptors stay flat as models are made, run and dropped."""
    x = programs.inputs(16)
    for _ in range(20):
        make()(x)
    gc.collect()
    memory, files = resident(), descriptors()
    for _ in range(cycles):
        make()(x)
    gc.collect()
    assert resident() - memory <= 4 << 20
    assert descriptors() == files


def test_models_come_and_go() -> None:
    check_cycles(100)


def test_many_shapes_are_two_compiles() -> None:
    model = make()
    function = model.function("forward")
    for n in range(1, 300):
        x = programs.inputs(n)
        assert model(x).shape == (n, 2)
    gc.collect()
    memory = resident()
    for n in range(300, 1300):
        model(programs.inputs(n))
    gc.collect()
    assert resident() - memory <= 2 << 20
    assert function.executable.compiles == 2


def test_sixteen_threads_agree_with_one() -> None:
    model = make()
    inputs = [programs.inputs(n) for n in range(1, 17)]
    want = [model(x).tobytes() for x in inputs]
    wrong: list[int] = []

    def work(start: int) -> None:
        for k in range(100):
            number = (start + k) % 16
            if model(inputs[number]).tobytes() != want[number]:
                wrong.append(number)

    threads = [threading.Thread(target=work, args=(k,)) for k in range(16)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    assert not wrong


def test_writing_calls_of_threads_are_all_counted() -> None:
    model = make()
    model.state["w"] = np.ones((3, 2), np.float32)
    model.state["b"] = np.zeros(2, np.float32)
    x, ids = programs.inputs(4), np.zeros(4, np.int64)
    threads = [
        threading.Thread(target=lambda: [model.train(x, ids) for _ in range(50)]) for _ in range(8)
    ]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    assert np.array_equal(model.state["b"], [1600, 1600])


def child(model: Model, x: np.ndarray, want: bytes) -> None:
    os._exit(0 if model(x).tobytes() == want else 1)


def check_forks(rounds: int) -> None:
    """Forked children run the model, and so does their parent, between rounds."""
    model = make()
    x = programs.inputs(1000)
    want = model(x).tobytes()
    context = multiprocessing.get_context("fork")
    for _ in range(rounds):
        workers = [context.Process(target=child, args=(model, x, want)) for _ in range(4)]
        for w in workers:
            w.start()
        for w in workers:
            w.join(20)
            assert w.exitcode == 0
        assert model(x).tobytes() == want


def test_forked_children_run_the_model() -> None:
    check_forks(10)


@pytest.mark.parametrize("threads", [1, 2, 3])
def test_the_number_of_threads_changes_no_bit(threads: int) -> None:
    x = programs.inputs(4000)
    want = make()(x)
    other = Model(programs.program(), programs.values(), threads=threads)
    for _ in range(20):
        assert other(x).tobytes() == want.tobytes()
