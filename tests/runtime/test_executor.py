"""Executables: forms, states in place, stored plans, other compilers' flags, no compiler at all."""

import builtins
import logging
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from intaglio.compiler.dims import Dim
from intaglio.compiler.dtypes import float32
from intaglio.compiler.errors import ArgumentError, CompileError, Error, MemoryError
from intaglio.compiler.ir import Graph
from intaglio.compiler.op import Builder
from intaglio.compiler.types import TensorType
from intaglio.runtime import build as building, cache as caching, executor, native_form, toolchain
from intaglio.runtime.executor import Executable
from intaglio.runtime.model import Model
from tests.runtime import programs

ROW = TensorType(float32, (Dim("n"),))


def step() -> Graph:
    """(x, s) -> sum(exp(x)), s + 1 - x"""
    b = Builder()
    x, s = b.input(ROW), b.input(ROW)
    return b.graph([b.sum(b.exp(x), axes=(0,)), b.sub(b.add(s, b.like(1.0, s)), x)])


def run(backend: str = "native", **options: object) -> Executable:
    return Executable(step(), updates={1: 1}, states=1, backend=backend, **options)


@pytest.mark.parametrize("backend", ["native", "interpret"])
def test_a_state_is_updated_in_its_own_array(backend: str) -> None:
    x, s = np.ones(5, np.float32), np.arange(5, dtype=np.float32)
    f = run(backend)
    for k in range(1, 4):
        (total,) = f([x * k, s])
        assert np.isclose(total, 5 * np.exp(k), rtol=1e-6)
    assert np.array_equal(s, np.arange(5) + 3 - 6)


def test_an_operand_that_overlaps_the_state_is_copied() -> None:
    s = np.arange(6, dtype=np.float32)
    want = s[1:6] + 1 - s[0:5]
    run()([s[0:5], s[1:6]])
    assert np.array_equal(s[1:6], want)
    t = np.arange(4, dtype=np.float32)
    run()([t, t])
    assert np.array_equal(t, np.ones(4))


def test_states_must_be_writable_and_dense() -> None:
    x, s = np.ones(4, np.float32), np.zeros(8, np.float32)
    with pytest.raises(ArgumentError, match="updated in place"):
        run()([x, s[::2]])
    s.flags.writeable = False
    with pytest.raises(ArgumentError, match="updated in place"):
        run()([x, s[:4]])


def test_two_states_may_not_overlap() -> None:
    b = Builder()
    x, y = b.input(ROW), b.input(ROW)
    graph = b.graph([b.neg(x), b.exp(y)])
    f = Executable(graph, updates={0: 0, 1: 1}, states=2, backend="native")
    s = np.zeros(6, np.float32)
    with pytest.raises(ArgumentError, match="overlap"):
        f([s[:4], s[2:]])
    f([s[:3], s[3:]])
    assert np.array_equal(s, [0, 0, 0, 1, 1, 1])


def test_swapped_states_end_up_swapped() -> None:
    b = Builder()
    x, y = b.input(ROW), b.input(ROW)
    f = Executable(b.graph([y, x]), updates={0: 0, 1: 1}, states=2, backend="native")
    p, q = np.zeros(3, np.float32), np.ones(3, np.float32)
    f([p, q])
    assert (p.tolist(), q.tolist()) == ([1, 1, 1], [0, 0, 0])


def test_results_are_never_each_other_s_memory() -> None:
    b = Builder()
    x = b.input(TensorType(float32, (Dim("n"), 64)))
    f = Executable(b.graph([b.neg(x), b.permute(x, axes=(1, 0)), x]), backend="native")
    given = np.ones((1000, 64), np.float32)
    first, second = f([given]), f([given * 2])
    assert np.array_equal(first[0], -np.ones((1000, 64)))
    assert np.array_equal(second[0], -2 * np.ones((1000, 64)))
    every = [*first, *second, given]
    for k, a in enumerate(every):
        assert not any(np.shares_memory(a, b) for b in every[:k])


def test_a_dropped_large_result_is_used_again_a_held_view_is_not() -> None:
    b = Builder()
    x = b.input(TensorType(float32, (1 << 16,)))
    f = Executable(b.graph([b.neg(x)]), backend="native")
    ones = np.ones(1 << 16, np.float32)
    (y,) = f([ones])
    place, view = y.ctypes.data, y[5:7]
    del y
    (z,) = f([ones * 2])
    assert z.ctypes.data != place
    assert np.array_equal(view, [-1, -1])
    place = z.ctypes.data
    del z
    assert f([ones])[0].ctypes.data == place


def test_forms_agree_and_are_two_at_most() -> None:
    f = run()
    x = np.linspace(-3, 3, 5000, dtype=np.float32)
    special = f([x, np.zeros_like(x)])[0]
    for n in (1, 7, 64, 4097):
        f([x[:n].copy(), np.zeros(n, np.float32)])
    assert f.compiles == 2
    general = run(general=True)([x, np.zeros_like(x)])[0]
    assert special.tobytes() == general.tobytes()


def test_zero_sizes() -> None:
    b = Builder()
    x = b.input(TensorType(float32, (Dim("n", min=0), 3)))
    f = Executable(b.graph([b.exp(x), b.sum(x, axes=(0,))]), backend="native")
    for n in (0, 2, 0):
        y, total = f([np.zeros((n, 3), np.float32)])
        assert y.shape == (n, 3)
        assert total.tolist() == [0, 0, 0]


@pytest.mark.parametrize("flags", ["-mno-avx512f", "-mno-avx512f -O1"])
def test_other_machine_code_gives_equal_bits(flags: str, monkeypatch: pytest.MonkeyPatch) -> None:
    b = Builder()
    x = b.input(TensorType(float32, (Dim("n"), 70)))
    w = b.input(TensorType(float32, (70, 33)))
    y = b.tanh(b.matmul(x, w))
    graph = b.graph([y, b.sum(b.exp(y), axes=(1,)), b.sum(y, axes=(0, 1))])
    random = np.random.default_rng(0)
    arrays = [random.standard_normal(s).astype(np.float32) for s in ((50, 70), (70, 33))]
    want = [a.tobytes() for a in Executable(graph, backend="native")(arrays)]
    monkeypatch.setenv("INTAGLIO_CFLAGS", flags)
    for threads in (1, 2):
        made = Executable(graph, backend="native", threads=threads)(arrays)
        assert [a.tobytes() for a in made] == want


def test_without_a_compiler_numpy_answers_and_says_so(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def missing() -> object:
        raise CompileError("no C compiler was found; install gcc")

    monkeypatch.setattr(executor, "find_toolchain", missing)
    executor._warn_once.cache_clear()
    x = np.ones(3, np.float32)
    with caplog.at_level(logging.WARNING, "intaglio"):
        for _ in range(2):
            f = Executable(step(), updates={1: 1}, states=1)
            assert np.isclose(f([x, np.zeros(3, np.float32)])[0], 3 * np.e)
    assert len(caplog.records) == 1
    assert "run in NumPy meanwhile" in caplog.records[0].message
    with pytest.raises(CompileError, match="no C compiler"):
        run()([x, np.zeros(3, np.float32)])


def test_a_failing_compiler_is_an_error_that_leaves_state(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    script = tmp_path / "failing-gcc"
    script.write_text("#!/bin/sh\necho broken >&2\nexit 1\n")
    script.chmod(0o755)
    monkeypatch.setenv("CC", str(script))
    s = np.zeros(3, np.float32)
    with pytest.raises(CompileError, match="broken"):
        run()([np.ones(3, np.float32), s])
    assert not s.any()


def test_no_memory_leaves_state_and_the_process(monkeypatch: pytest.MonkeyPatch) -> None:
    f = run()
    x, s = np.ones(1 << 17, np.float32), np.zeros(1 << 17, np.float32)
    f([x, s])
    before = s.tobytes()

    def refused(*args: object) -> object:
        raise builtins.MemoryError("none left")

    monkeypatch.setattr(native_form, "empty", refused)
    with pytest.raises(MemoryError, match="the system refused"):
        f([x, s])
    monkeypatch.undo()
    assert s.tobytes() == before
    f([x, s])
    assert s.tobytes() == before


def test_a_warm_start_neither_optimises_nor_compiles(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("INTAGLIO_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(caching, "_known", {})
    x, s = np.ones(9, np.float32), np.zeros(9, np.float32)
    want = run()([x, s])[0]
    before = building.compiled[0]

    def never(*args: object, **options: object) -> Graph:
        raise AssertionError("the passes ran")

    monkeypatch.setattr("intaglio.runtime.compile.optimised", never)
    again = np.zeros(9, np.float32)
    assert run()([x, again])[0] == want
    assert again.tobytes() == s.tobytes()
    assert building.compiled[0] == before


def test_a_dump_shows_every_pass_and_the_source(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("INTAGLIO_DUMP", str(tmp_path / "dump"))
    Executable(step(), label="../evil name", backend="native")(
        [np.ones(3, np.float32), np.ones(3, np.float32)]
    )
    (folder,) = (tmp_path / "dump").iterdir()
    names = sorted(f.name for f in folder.iterdir())
    assert names[0] == "00-traced.txt"
    assert names[-2].endswith("-fuse.txt")
    assert names[-1] == "unit0.c"
    assert "evil" not in (folder / "unit0.c").read_text()


INTERRUPTED = """
import os, signal, sys, threading
sys.path.insert(0, {root!r})
import numpy as np
from intaglio.runtime.executor import Executable
from intaglio.compiler.errors import InterruptedError
from tests.runtime.test_executor import loop_before_update, long_loop
f = Executable({graph}(), updates={{0: 0}}, states=1, backend="native")
s = np.zeros((256, 256), np.float32)
f.form(f.signature.bind([]))
threading.Timer(0.3, os.kill, (os.getpid(), signal.SIGINT)).start()
try:
    f([s])
except InterruptedError as error:
    print(error, "unchanged" if not s.any() else "CHANGED")
"""


def long_loop(rounds: int = 100000) -> Graph:
    """A scan of many products over a state."""
    b = Builder()
    x = b.input(TensorType(float32, (256, 256)))
    body = b.graph([b.add(b.matmul(x, x), b.like(1.0, x))])
    b = Builder()
    s = b.input(TensorType(float32, (256, 256)))
    options = {"body": body, "carries": 1, "xs": 0, "length": rounds, "reverse": False}
    return b.graph(b.apply("scan", (s,), options))


def loop_before_update(rounds: int = 100000) -> Graph:
    """A state from which the result of such a loop is taken away when the loop is over."""
    inner = long_loop(rounds)
    b = Builder()
    s = b.input(TensorType(float32, (256, 256)))
    (last,) = b.apply("scan", (b.mul(s, s),), inner.nodes[0].attributes)
    return b.graph([b.sub(s, last)])


def test_a_state_read_by_a_loop_is_updated_in_place_behind_it() -> None:
    f = Executable(loop_before_update(3), updates={0: 0}, states=1, backend="native")
    form = f.form(f.signature.bind([]))
    assert isinstance(form, native_form.NativeForm)
    assert [b.may_alias for b in form.lowered.buffers if b.kind == "output"] == [0]
    s = np.zeros((256, 256), np.float32)
    f([s])
    assert np.isfinite(s).all() and s.any()


@pytest.mark.parametrize("graph", ["long_loop", "loop_before_update"])
def test_ctrl_c_in_a_long_call_changes_no_state(graph: str) -> None:
    code = INTERRUPTED.format(root=str(Path(__file__).parents[2]), graph=graph)
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.stdout == "stopped by Ctrl-C; no state was changed unchanged\n", done.stderr


def test_one_bad_call_does_not_spoil_the_next() -> None:
    model = Model(programs.program(), programs.values(), backend="native")
    x = programs.inputs(3)
    for k in range(20):
        with pytest.raises(Error):
            model.train(x, np.array([0, 3 + k, 1]))
        total, _ = model.train(x, np.array([0, 1, 2]))
        assert np.isfinite(total)


def test_the_toolchain_is_named_in_the_key() -> None:
    assert len(toolchain.find_toolchain().fingerprint) == 64
