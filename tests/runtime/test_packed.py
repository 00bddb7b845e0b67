"""Packed copies of weights: the same bits as without, true after every write, counted, bounded."""

import threading
from typing import Any

import numpy as np
import pytest

from intaglio.compiler import ops  # noqa: F401  # fills the registry
from intaglio.compiler.dims import Dim
from intaglio.compiler.dtypes import float32
from intaglio.compiler.errors import MemoryError
from intaglio.compiler.ir import Function, Program, State
from intaglio.compiler.lower import lower
from intaglio.compiler.op import Builder
from intaglio.compiler.types import TensorType
from intaglio.runtime.compile import optimised
from intaglio.runtime.executor import FunctionExecutable
from intaglio.runtime.model import Model

N = Dim("n", max=4096)
W, V, H = (TensorType(float32, shape) for shape in ((70, 30), (30, 70), (3, 20, 9)))
STATES = {"w": State(("w",), W), "v": State(("v",), V), "h": State(("h",), H)}
STRUCTURE = ("tuple", ("*",))


def forward(name: str, rows: Any = N) -> Function:
    """(x @ w.T + 1) @ v.T twice over, so that w and v are each read in one form by two products."""
    b = Builder()
    x, w, v = b.input(TensorType(float32, (rows, 30))), b.input(W), b.input(V)
    y = b.tanh(b.matmul(x, b.permute(w, axes=(1, 0))))
    y = b.matmul(y, b.permute(v, axes=(1, 0)))
    y = b.tanh(b.matmul(y, b.permute(w, axes=(1, 0))))
    return Function(name, b.graph([y]), ("x",), ("",), ("w", "v"), (), ("x",), STRUCTURE, "*")


def heads() -> Function:
    """heads(x): each of three matrices h times one of its own, and h's second one as it lies."""
    b = Builder()
    x, h = b.input(TensorType(float32, (3, N, 20))), b.input(H)
    one = b.reshape(b.slice(h, starts=(1, 0, 0), stops=(2, 20, 9), steps=(1, 1, 1)), shape=(20, 9))
    same = b.matmul(x, b.expand(one, shape=(3, 20, 9), axes=(1, 2)))
    y = b.add(b.matmul(x, h), same)
    return Function("heads", b.graph([y]), ("x",), ("",), ("h",), (), ("x",), STRUCTURE, "*")


def train() -> Function:
    """train(): w += w * 0.5; it returns nothing."""
    b = Builder()
    w = b.input(W)
    new = b.add(w, b.mul(w, b.full(0.5, float32, W.shape)))
    return Function(
        "train", b.graph([new]), (), (), ("w",), ("w",), (), ("tuple", ()), ("tuple", ())
    )


def values() -> dict[str, np.ndarray[Any, Any]]:
    random = np.random.default_rng(3)
    return {n: random.standard_normal(s.type.shape).astype(np.float32) for n, s in STATES.items()}


def model(*functions: Function, **options: Any) -> Model:
    made = functions or (forward("forward"), forward("other"), train(), heads())
    return Model(Program({f.name: f for f in made}, STATES), values(), backend="native", **options)


def rows(n: int) -> np.ndarray[Any, Any]:
    return np.random.default_rng(n).standard_normal((n, 30)).astype(np.float32)


def raw(function: Function, x: np.ndarray[Any, Any], states: dict[str, Any]) -> Any:
    """The result without packed copies."""
    executable = FunctionExecutable(function, backend="native")
    assert not executable.packable
    return executable([x, *(states[n] for n in executable.states)])[0]


def packs(function: Function, **sizes: int) -> int:
    """How many packed copies a function of a model reads."""
    graph = optimised(function.graph, sizes or None)
    return len(lower(graph, packable=range(1, len(graph.inputs))).packs)


def test_equal_bits_in_both_forms_at_every_size() -> None:
    m = model()
    for n in (1, 3, 65, 300):
        x = rows(n)
        assert np.array_equal(m(x), raw(forward("forward"), x, values())), n
    assert packs(forward("forward")) == packs(forward("forward"), n=1) == 2


def test_batches_slices_and_expanded_weights() -> None:
    m, x = model(), np.random.default_rng(0).standard_normal((3, 5, 20)).astype(np.float32)
    assert np.array_equal(m.heads(x), raw(heads(), x, values()))
    assert packs(heads()) == 2


def test_many_rows_read_the_weights_as_they_are() -> None:
    assert packs(forward("forward", 64)) == 2
    assert packs(forward("forward", 1000)) == 0


def test_a_write_is_seen_by_the_next_call() -> None:
    m, x, now = model(), rows(4), values()
    m(x), m.other(x)
    size = m.state.packed.bytes
    now["w"] = now["w"] * 3
    m.state["w"] = now["w"]
    assert m.state.packed.bytes < size
    for f in (m.forward, m.other):
        assert np.array_equal(f(x), raw(forward("f"), x, now))
    now["v"] = now["v"] + 1
    m.load_state_dict({"v": now["v"]}, strict=False)
    for f in (m.forward, m.other):
        assert np.array_equal(f(x), raw(forward("f"), x, now))
    assert m.state.packed.bytes == size


def test_training_between_calls_is_seen() -> None:
    m, x, now = model(), rows(2), values()
    for _ in range(3):
        assert np.array_equal(m(x), raw(forward("forward"), x, now))
        m.train()
        now["w"] = now["w"] + now["w"] * np.float32(0.5)
        assert np.array_equal(m.state["w"], now["w"])
    assert np.array_equal(m(x), raw(forward("forward"), x, now))


def test_the_callers_arrays_may_change_afterwards() -> None:
    given = values()
    m = Model(Program({"forward": forward("forward")}, STATES), given, backend="native")
    x = rows(4)
    before = m(x)
    given["w"][:] = 7
    assert np.array_equal(m(x), before)
    assert np.array_equal(m(rows(9)), raw(forward("forward"), rows(9), values()))


def test_functions_and_forms_share_the_copies() -> None:
    m = model()
    m(rows(1))
    size = m.state.packed.bytes
    # whole groups of 64 columns: w packed is 30 x 128, v packed is 70 x 64
    assert size == 4 * (30 * 128 + 70 * 64) + 2 * 64
    m(rows(2)), m(rows(3)), m.other(rows(1)), m.other(rows(2))
    assert m.state.packed.bytes == size


def test_memory_stays_bounded_over_writes() -> None:
    m, x = model(), rows(3)
    m(x), m.other(x)
    size = m.state.packed.bytes
    for k in range(100):
        m.state["w"] = values()["w"] * k
        if k % 3 == 0:
            m.train()
        m(x), m.other(x)
        assert m.state.packed.bytes == size


def test_the_plan_counts_them_and_they_give_way_to_the_cap() -> None:
    m = model(threads=1)
    m(rows(5))
    plan = m.plan("forward", n=5)
    assert plan.packed_bytes == m.state.packed.bytes
    assert plan.peak_bytes > plan.packed_bytes
    assert "packed" in str(plan)
    assert m.plan("train").packed_bytes == 0
    tight = model(max_memory=plan.peak_bytes - 4096, threads=1)
    assert np.array_equal(tight(rows(5)), m(rows(5)))
    assert tight.state.packed.bytes == 0 == tight.plan("forward", n=5).packed_bytes
    with pytest.raises(MemoryError, match="max_memory"):
        model(max_memory=100)(rows(5))


@pytest.mark.parametrize("trained", [False, True])
def test_concurrent_calls_and_writes(trained: bool) -> None:
    """Every result belongs to one of the weights that were set, whole."""
    functions = (forward("forward"), train()) if trained else (forward("forward"),)
    m, x = model(*functions, threads=2), rows(7)
    choices = [values()["w"] * k for k in range(1, 4)]
    grown = [w + w * np.float32(0.5) for w in choices] if trained else []
    known = {raw(forward("forward"), x, values() | {"w": w}).tobytes() for w in (*choices, *grown)}
    failures: list[str] = []
    done = threading.Event()

    def read() -> None:
        while not done.is_set():
            if m(x).tobytes() not in known:
                failures.append("a result of no weights at all")
                return

    readers = [threading.Thread(target=read) for _ in range(3)]
    for reader in readers:
        reader.start()
    for k in range(150):
        m.state["w"] = choices[k % 3]
        if trained:
            m.train()
    done.set()
    for reader in readers:
        reader.join()
    assert not failures
