"""Threads, forks and long runs of whole models: the same bits, nothing lost, nothing grown."""

from __future__ import annotations

import gc
import multiprocessing
import os
import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import intaglio as ig
from intaglio import optim
from intaglio.runtime.model import Model
from tests.acceptance.models import LM, MLP, Task, bits, codes, numbers, save

SIZES = [(1, 3), (2, 16), (9, 5), (40, 16)]


def sgd(parameters: Any) -> optim.Optimizer:
    return optim.SGD(parameters, lr=0.1, momentum=0.9)


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Model:
    """A transformer for any batch and length."""
    n, t = ig.Dim("n", max=64), ig.Dim("t", max=16)
    lm = LM(11).eval()
    return save(ig.trace(lm, ig.spec((n, t), ig.int64)), tmp_path_factory.mktemp("model"))


def test_sixteen_threads_agree_with_one(model: Model) -> None:
    inputs = [codes(size, 11, k) for k, size in enumerate(SIZES)]
    want = [bits(model(x)) for x in inputs]
    wrong: list[int] = []

    def work(start: int) -> None:
        for k in range(100):
            number = (start + k) % len(inputs)
            if bits(model(inputs[number])) != want[number]:
                wrong.append(number)

    threads = [threading.Thread(target=work, args=(k,)) for k in range(16)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    assert not wrong


def test_threads_that_train_one_model_take_turns(tmp_path: Path) -> None:
    task = Task(MLP, lambda p: optim.SGD(p, lr=0.0))
    n = ig.Dim("n", max=64)
    trained = save(task.program(ig.spec((n, 16)), ig.spec((n,), ig.int64)), tmp_path)
    x, t = numbers((8, 16)), codes((8,), 5)
    want = bits(trained.train_step(x, t))
    wrong: list[bytes] = []

    def work() -> None:
        for _ in range(50):
            made = bits(trained.train_step(x, t))
            if made != want:
                wrong.append(made)

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong
    assert trained.state["optim.step"] == 401


def test_a_function_compiled_in_many_threads_at_once() -> None:
    fast = ig.jit(lambda x: ig.softmax(ig.tanh(x) @ x.mT, 1).sum(0))
    x = ig.from_numpy(numbers((30, 30)))
    want = bits(fast.function(x))
    found: list[bytes] = []
    threads = [threading.Thread(target=lambda: found.append(bits(fast(x)))) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == [want] * 8


def child(work: Any, want: bytes) -> None:
    os._exit(0 if work() == want else 1)


def test_forked_children_run_what_the_parent_ran(model: Model) -> None:
    task = Task(MLP, sgd)
    step = ig.jit(task.train_step)
    batch = ig.from_numpy(numbers((64, 16))), ig.from_numpy(codes((64,), 5))
    step(*batch)
    x = codes((40, 16), 11)
    context = multiprocessing.get_context("fork")
    want = bits(model(x))
    works = [lambda: bits(model(x)), lambda: bits(step(*batch)), lambda: bits(task.loss(*batch))]
    for _ in range(3):
        loss = bits(task.loss(*batch))
        expected = [want, loss, loss]  # a child's step changes the child's weights alone
        children = [
            context.Process(target=child, args=pair) for pair in zip(works, expected, strict=True)
        ]
        for process in children:
            process.start()
        for process in children:
            process.join(60)
            assert process.exitcode == 0
        step(*batch)


def resident() -> int:
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")


@pytest.mark.parametrize("way", ["eager", "jit", "file"])
def test_training_grows_nothing(way: str, tmp_path: Path) -> None:
    task = Task(MLP, lambda p: optim.Adam(p, lr=0.001))
    x, t = numbers((16, 16)), codes((16,), 5)
    given: tuple[Any, Any] = (ig.from_numpy(x), ig.from_numpy(t))
    step: Any = task.train_step
    if way == "jit":
        step = ig.jit(step)
    if way == "file":
        specs = ig.spec((16, 16)), ig.spec((16,), ig.int64)
        step = save(ig.Program().trace("train_step", task.train_step, *specs), tmp_path).train_step
        given = (x, t)
    rounds = 150 if way == "eager" else 2000
    for _ in range(rounds // 3):
        step(*given)
    gc.collect()
    before, files = resident(), len(os.listdir("/proc/self/fd"))
    for _ in range(rounds):
        step(*given)
    gc.collect()
    assert resident() - before <= 1 << 20
    assert len(os.listdir("/proc/self/fd")) == files


def test_a_dropped_graph_is_freed_at_once() -> None:
    """No cycles: memory of a step goes without the garbage collector."""
    task = Task(MLP, sgd)
    x, t = ig.from_numpy(numbers((2000, 16))), ig.from_numpy(codes((2000,), 5))
    task.train_step(x, t)
    gc.collect()
    gc.disable()
    try:
        before = resident()
        for _ in range(60):
            task.train_step(x, t)
        assert resident() - before < 16 << 20
    finally:
        gc.enable()


def test_arrays_are_shared_not_copied() -> None:
    array = np.zeros(8, np.float32)
    tensor = ig.from_numpy(array)
    array[0] = 5
    assert tensor.numpy()[0] == 5
    tensor.add_(1)
    assert array[0] == 6
