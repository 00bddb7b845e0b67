"""Plans, explanations and profiles: true to what a call does."""

import gc
import os
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context

import numpy as np
import pytest

from intaglio.compiler.dims import Dim
from intaglio.compiler.dtypes import float32
from intaglio.compiler.errors import ArgumentError, MemoryError
from intaglio.compiler.ir import Graph
from intaglio.compiler.op import Builder
from intaglio.compiler.types import TensorType
from intaglio.runtime.executor import Executable
from intaglio.runtime.model import Model
from intaglio.runtime.report import explain, plan_of, profile
from tests.runtime import programs


def chain(rows: int | Dim) -> Graph:
    """Sorted sums and products whose temporaries can't all be fused away."""
    b = Builder()
    x = b.input(TensorType(float32, (rows, 512)))
    w = b.input(TensorType(float32, (512, 512)))
    y = b.matmul(x, w)
    y = b.matmul(b.tanh(y), w)
    return b.graph([b.matmul(y, w)])


def resident() -> int:
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def measured() -> tuple[int, int, int, int]:
    """Growth over the first call and over six, the planned peak, and the bytes of the results."""
    rows = 8192
    run = Executable(chain(Dim("n")), backend="native", general=True)
    small = np.zeros((4, 512), np.float32)
    w = np.eye(512, dtype=np.float32)
    run([small, w])
    x = np.ones((rows, 512), np.float32)
    plan = plan_of(run, {"n": rows})
    assert plan.arena_bytes >= rows * 512 * 4
    assert plan.output_bytes == rows * 512 * 4
    gc.collect()
    before = resident()
    y = run([x, w])
    grown = resident() - before
    for _ in range(5):
        y = run([x, w])
    assert np.allclose(y[0], np.tanh(1.0), atol=1e-6)
    return grown, resident() - before, plan.peak_bytes, plan.output_bytes


def test_the_plan_is_what_a_call_takes() -> None:
    """In a process of its own: this one holds free memory that a call could take unseen."""
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
        first, six, peak, outputs = pool.submit(measured).result(timeout=120)
    assert abs(first - peak) < 2 << 20
    assert six < peak + outputs + (2 << 20)


def test_the_holders_of_the_peak_are_named() -> None:
    plan = plan_of(Executable(chain(Dim("n"))), {"n": 100})
    assert plan.holders
    assert plan.holders[0].type == "f32[100,512]"
    assert sum(h.bytes for h in plan.holders) <= plan.arena_bytes
    assert "alive when the arena is fullest" in str(plan)


@pytest.mark.parametrize("cap", [1 << 20, None])
def test_the_interpreter_keeps_to_the_cap_too(cap: int | None) -> None:
    b = Builder()
    x = b.input(TensorType(float32, ()))
    rows = 1 << 20 if cap else 1 << 40
    graph = b.graph([b.exp(b.expand(x, shape=(rows,), axes=()))])
    with pytest.raises(MemoryError, match="the interpreter needs"):
        Executable(graph, backend="interpret", max_memory=cap)([np.zeros((), np.float32)])


def test_the_cap_is_checked_before_anything_is_allocated() -> None:
    run = Executable(chain(Dim("n")), max_memory=1 << 20, backend="native", label="f")
    w = np.zeros((512, 512), np.float32)
    run([np.zeros((4, 512), np.float32), w])
    with pytest.raises(MemoryError, match=r"f: a call needs .* \(arena .*outputs .* 1 MiB"):
        run([np.zeros((4096, 512), np.float32), w])
    run([np.zeros((4, 512), np.float32), w])


def test_more_than_the_machine_has_is_refused() -> None:
    b = Builder()
    x = b.input(TensorType(float32, ()))
    y = b.graph([b.expand(x, shape=(1 << 40,), axes=())])
    with pytest.raises(MemoryError, match="4 TiB"):
        Executable(y, backend="native")([np.zeros((), np.float32)])


def test_sizes_must_be_given_and_in_bounds() -> None:
    model = Model(programs.program(), programs.values())
    assert model.plan("forward", n=10).peak_bytes > 0
    with pytest.raises(ArgumentError, match="missing: n"):
        model.plan("forward")
    with pytest.raises(ArgumentError, match="unknown: m"):
        model.plan("forward", n=1, m=2)
    with pytest.raises(ArgumentError, match="n = 5000 is outside 1 to 4096"):
        model.plan("forward", n=5000)


def test_an_explanation_lists_kernels_and_reasons() -> None:
    model = Model(programs.program(), programs.values())
    told = model.explain("train", n=8)
    assert any("net.py:12 in Net.emb" in step.where for step in told.steps)
    assert told.memory is not None
    assert "not compiled yet" in str(told)
    model.train(programs.inputs(8), np.zeros(8, np.int64))
    assert "specialised to 8" in str(model.explain("train"))
    b = Builder()
    x = b.input(TensorType(float32, (64, 70)))
    rows = b.sum(b.exp(x), axes=(1,))
    columns = b.sum(b.mul(x, b.expand(rows, shape=(64, 70), axes=(0,))), axes=(0,))
    found = explain(Executable(b.graph([columns])), {})
    assert len(found.steps) >= 2
    assert found.apart


def test_a_profile_times_every_step_and_changes_nothing() -> None:
    model = Model(programs.program(), programs.values(), backend="native")
    x, ids = programs.inputs(100), np.zeros(100, np.int64)
    made = model.profile("train", x, ids, calls=5)
    assert len(made.steps) >= 2
    assert all(step.seconds is not None and step.seconds >= 0 for step in made.steps)
    assert 0 < made.seconds < 1
    assert "outside the steps" in str(made)
    assert np.array_equal(model.state["b"], programs.values()["b"])
    y = profile(
        Executable(chain(64), backend="native"),
        [np.zeros((64, 512), np.float32), np.zeros((512, 512), np.float32)],
        3,
    )
    assert y.calls == 3
