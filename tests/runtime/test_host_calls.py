"""Calls into Python between native steps: the same results in every form, errors, Ctrl-C, state."""

from __future__ import annotations

import gc
import os
import signal
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from intaglio.compiler.dims import Dim
from intaglio.compiler.dtypes import float64, int64
from intaglio.compiler.errors import Error, IndexError, InterruptedError
from intaglio.compiler.interpret import interpret
from intaglio.compiler.ir import Graph
from intaglio.compiler.op import Builder
from intaglio.compiler.types import TensorType
from intaglio.compiler.where import Where
from intaglio.runtime import compile as compiling
from intaglio.runtime.eager import evaluate
from intaglio.runtime.executor import Executable
from intaglio.runtime.report import explain, plan_of, profile
from tests.compiler.codegen.harness import COMPILER
from tests.runtime.host_ops import Calls, registered

pytestmark = pytest.mark.skipif(COMPILER is None, reason="no C compiler on this machine")
Array = np.ndarray[Any, Any]
n, t = Dim("n", max=100), Dim("t", max=100)


@pytest.fixture(scope="module", autouse=True)
def calls() -> Iterator[Calls]:
    with registered() as found:
        yield found


def f64(*shape: int | Dim) -> TensorType:
    return TensorType(float64, shape)


def around() -> Graph:
    """Native steps before, between and behind two calls; an operand that is no dense one."""
    b = Builder()
    x = b.input(f64(n, n))
    y = b.exp(x)
    with b.placed((Where("model.py", 41),)):
        z = b.test_inverse(b.permute(y, axes=(1, 0)), shift=0.5, sizes=(n, n))
    w = b.tanh(b.matmul(z, y))
    ordered, ends = b.test_split(b.sum(w, axes=(1,)))
    return b.graph([w, ordered, b.exp(ends), z])


def looped() -> Graph:
    """A call in every round of a loop, between native steps of the round."""
    inner = Builder()
    c, s = inner.input(f64(3, 3)), inner.input(f64(3, 3))
    made = inner.test_inverse(inner.exp(inner.add(c, s)))
    body = inner.graph([inner.tanh(made), inner.add(made, s)])
    b = Builder()
    first, many = b.input(f64(3, 3)), b.input(f64(t, 3, 3))
    last, stack = b.apply(
        "scan", (first, many), {"body": body, "carries": 1, "xs": 1, "length": t, "reverse": False}
    )
    return b.graph([b.exp(last), stack])


def numbers(*shape: int, seed: int = 0) -> Array:
    return np.random.default_rng(seed).standard_normal(shape)


def eager(graph: Graph, arrays: list[Array]) -> list[Array]:
    """The graph, each op by its eager evaluator."""
    from intaglio.compiler.interpret import evaluating

    with evaluating(evaluate):
        return interpret(graph, arrays)


def same(one: list[Array], other: list[Array]) -> bool:
    return all(a.tobytes() == b.tobytes() for a, b in zip(one, other, strict=True))


@pytest.mark.parametrize("general", [False, True])
def test_every_form_has_the_eager_bits(general: bool, calls: Calls) -> None:
    graph = around()
    run, alone = Executable(graph, general=general), Executable(graph, threads=1, general=general)
    for size in (3, 5, 64):
        x = numbers(size, size, seed=size)
        want = eager(graph, [x])
        assert same(run([x]), want) and same(alone([x]), want)
    calls.threads.clear()
    run([x])
    assert calls.threads == [threading.current_thread().name]


def test_a_stored_plan_calls_too(monkeypatch: pytest.MonkeyPatch) -> None:
    x = numbers(4, 4)
    want = Executable(around())([x])

    def never(*_: Any, **__: Any) -> Any:
        raise AssertionError("the plan was not read")

    monkeypatch.setattr(compiling, "optimised", never)
    assert same(Executable(around())([x]), want)


def test_loops_with_calls(calls: Calls) -> None:
    graph = looped()
    run = Executable(graph)
    for rounds in (1, 4, 7):
        arrays = [numbers(3, 3), numbers(rounds, 3, 3, seed=rounds)]
        calls.threads.clear()
        found = run(arrays)
        assert len(calls.threads) == rounds
        assert same(found, eager(graph, arrays))


def test_without_a_compiler() -> None:
    x = numbers(4, 4)
    found = Executable(around(), backend="interpret")([x])
    for one, other in zip(found, Executable(around())([x]), strict=True):
        np.testing.assert_allclose(one, other, 1e-12)


@pytest.mark.parametrize("backend", ["native", "interpret"])
def test_what_a_call_raises_has_its_line(backend: str) -> None:
    run = Executable(around(), backend=backend)
    with pytest.raises(Error, match=r"test_inverse: f64\[2,2\]: LinAlgError: Singular") as caught:
        run([np.full((2, 2), np.log(2.0))])
    assert "model.py:41" in str(caught.value)
    assert isinstance(caught.value.__cause__, np.linalg.LinAlgError)
    x = numbers(2, 2)
    assert same(run([x]), Executable(around(), backend=backend)([x]))  # it can be called again


def test_a_result_of_another_type_is_refused() -> None:
    b = Builder()
    graph = b.graph([b.test_wrong(b.input(f64(3)))])
    message = r"test_wrong: f64\[3\]: its function returned int16\[3\], and its type says float64"
    for run in (Executable(graph), lambda arrays: evaluate("test_wrong", arrays)):
        with pytest.raises(Error, match=message):
            run([np.zeros(3)])


def updating() -> Graph:
    """A state that an index check and a call could keep from being updated, whole and in part."""
    b = Builder()
    x, k = b.input(f64(2, 2)), b.input(TensorType(int64, (1,)))
    whole, part = b.input(f64(2, 2)), b.input(f64(4, 2))
    row = b.take(x, k, axis=0)
    moved = b.scatter(part, b.expand(k, shape=(1, 2), axes=(0,)), row, axis=0)
    made = b.test_inverse(b.add(x, whole))
    return b.graph([b.sum(made, axes=(0, 1)), b.add(whole, x), moved])


def test_a_call_that_fails_leaves_states_alone(calls: Calls) -> None:
    graph = updating()
    run = Executable(graph, updates={1: 2, 2: 3}, states=2)
    whole, part = np.eye(2), np.zeros((4, 2))
    x, row = np.ones((2, 2)), np.zeros(1, np.int64)
    run([x, row, whole, part])
    assert whole[0, 0] == 2 and part[0, 0] == 1
    before = whole.copy(), part.copy()
    with pytest.raises(Error, match="Singular"):
        run([-whole, row, whole, part])
    with pytest.raises(IndexError):
        run([x, row + 9, whole, part])

    def stop() -> None:
        raise KeyboardInterrupt

    calls.before = stop
    try:
        with pytest.raises(InterruptedError, match="no state was changed"):
            run([x, row, whole, part])
    finally:
        calls.before = None
    assert same([whole, part], list(before))
    run([x, row, whole, part])
    assert whole[0, 0] == 3


def test_ctrl_c_during_a_call_stops_behind_it(calls: Calls) -> None:
    run, x = Executable(around()), numbers(4, 4)
    want = run([x])
    calls.before = lambda: os.kill(os.getpid(), signal.SIGINT)
    try:
        with pytest.raises(KeyboardInterrupt):
            run([x])
    finally:
        calls.before = None
    assert same(run([x]), want)


def test_many_threads_call_at_once() -> None:
    run = Executable(looped())
    arrays = [[numbers(3, 3, seed=k), numbers(6, 3, 3, seed=k + 50)] for k in range(4)]
    want = [run(a) for a in arrays]
    found: list[bool] = []

    def work(k: int) -> None:
        found.extend(same(run(arrays[k]), want[k]) for _ in range(30))

    workers = [threading.Thread(target=work, args=(k,)) for k in range(4)]
    for w in workers:
        w.start()
    for w in workers:
        w.join()
    assert len(found) == 120 and all(found)


def test_a_call_may_call_compiled_functions(calls: Calls) -> None:
    b = Builder()
    inner = Executable(b.graph([b.exp(b.input(f64(2, 2)))]))
    run, x = Executable(around()), numbers(4, 4)
    want, made = run([x]), []
    calls.before = lambda: made.extend(inner([np.zeros((2, 2))]))
    try:
        assert same(run([x]), want)
    finally:
        calls.before = None
    assert made[0][0, 0] == 1.0


def test_it_is_planned_explained_and_timed() -> None:
    run = Executable(around(), label="f")
    x = numbers(16, 16)
    run([x])
    assert plan_of(run, {"n": 16}).arena_bytes >= 2 * 16 * 16 * 8
    told = explain(run, {"n": 16})
    steps = [s for s in told.steps if s.ops == ("test_inverse",)]
    assert len(steps) == 1 and steps[0].where == "model.py:41"
    assert any("test_split runs in Python" in reason for reason in told.apart)
    timed = profile(run, [x], 3)
    (step,) = [s for s in timed.steps if s.ops == ("test_inverse",)]
    assert step.seconds is not None and step.seconds > 0


def test_a_dump_shows_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("INTAGLIO_DUMP", str(tmp_path))
    Executable(around())([numbers(3, 3)])
    (text,) = tmp_path.glob("*/unit0.c")
    assert "ig_call_host" in text.read_text() and "inverse" not in text.read_text()
    assert "test_inverse(" in next(tmp_path.glob("*/*fuse.txt")).read_text()


def test_what_a_callee_keeps_stays_readable(calls: Calls) -> None:
    run = Executable(around())
    calls.kept = []
    try:
        for size in (3, 40, 90, 5):
            run([numbers(size, size)])
        (form,) = [run._general]
        kept = [looks.memory[0] for looks in form._frames[0].hosts._last.values()]
        assert not any(memory.__dict__ for memory in kept)  # the other call kept nothing
        del run, form
        gc.collect()
        assert [a.shape[0] for a in calls.kept] == [3, 40, 90, 5]
        assert sum(a.nbytes for a in calls.kept) == len(b"".join(a.tobytes() for a in calls.kept))
    finally:
        calls.kept = None
