"""Whole functions as CUDA text: the bits of the C, whatever the order of lanes and warps."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from intaglio.compiler.dims import Dim, symbols
from intaglio.compiler.dtypes import float64, int32, int64
from intaglio.compiler.ir import Function, Graph, Value
from intaglio.compiler.launch import concrete
from intaglio.compiler.lower import Lowered, lower
from intaglio.compiler.op import Builder
from intaglio.compiler.passes.fuse import fuse
from intaglio.compiler.passes.specialise import specialise
from intaglio.compiler.types import TensorType
from intaglio.compiler.where import Where
from intaglio.runtime.compile import optimised
from tests.compiler.codegen.harness import COMPILER as CC, build
from tests.cuda.emulator import COMPILER, emulate
from tests.cuda.programs import (
    f32,
    mlp_step,
    of,
    operands,
    softmax,
    transformer_step,
)

pytestmark = pytest.mark.skipif(not (COMPILER and CC), reason="needs gcc and g++")
n, m = Dim("n"), Dim("m")


def f64(*shape: int | Dim) -> TensorType:
    return TensorType(float64, shape)


def i64(*shape: int | Dim) -> TensorType:
    return TensorType(int64, shape)


def both_folds(b: Builder, x: Value) -> list[Value]:
    """Sums, products and extremes of rows and of columns."""
    rank = x.type.rank
    found = [getattr(b, f)(x, axes=(rank - 1,)) for f in ("sum", "max", "prod")]
    return found + [getattr(b, f)(x, axes=(0,)) for f in ("sum", "min")]


def mixed(b: Builder, x: Value) -> list[Value]:
    """A row's sums in f32 and f64 in one kernel, with a row kept for a second phase."""
    e = b.tanh(b.exp(x))
    wide = b.sum(b.cast(e, dtype=float64), axes=(1,))
    narrow = b.sum(e, axes=(1,))
    spread = b.expand(narrow, shape=x.type.shape, axes=(0,))
    return [wide, b.sum(b.mul(b.sub(e, spread), e), axes=(1,)), b.sub(e, spread)]


def down(b: Builder, x: Value) -> list[Value]:
    """Softmax along the middle dim, and the largest elements before."""
    shape, axes = x.type.shape, (0, 2)
    most = b.max(x, axes=(1,))
    e = b.exp(b.sub(x, b.expand(most, shape=shape, axes=axes)))
    total = b.sum(e, axes=(1,))
    return [b.div(e, b.expand(total, shape=shape, axes=axes)), most]


def along_rows(b: Builder, x: Value, y: Value) -> list[Value]:
    """Sums so far, forwards and backwards, the logarithms of others, and a recurrence."""
    there = b.cumulative(x, axis=2, kind="sum", reverse=False)
    back = b.cumulative(b.permute(x, axes=(1, 0, 2)), axis=2, kind="max", reverse=True)
    more = b.cumulative(y, axis=2, kind="logsumexp", reverse=True)
    return [there, back, more, b.recurrence(x, y, axis=2, reverse=False)]


def epilogue(b: Builder, x: Value, w: Value, bias: Value, more: Value) -> Value:
    """gelu-like things behind a product of a transposed operand."""
    y = b.matmul(x, b.permute(w, axes=(1, 0)))
    y = b.add(y, b.expand(bias, shape=y.type.shape, axes=(1,)))
    made: Value = b.add(b.mul(y, b.erf(y)), more)
    return made


def batched(b: Builder, q: Value, k: Value) -> Value:
    """Scores of attention: batch and heads, transposed and strided operands."""
    q, k = b.permute(q, axes=(0, 2, 1, 3)), b.permute(k, axes=(0, 2, 3, 1))
    return softmax(b, b.matmul(q, k))


def strided(b: Builder, x: Value, y: Value) -> Value:
    """Every other row against flipped columns."""
    left = b.slice(x, starts=(0, 0), stops=x.type.shape, steps=(2, 1))
    made: Value = b.matmul(left, b.flip(y, axes=(1,)))
    return made


def moved(b: Builder, x: Value) -> list[Value]:
    """Movement and maps over many blocks."""
    turned = b.permute(x, axes=(1, 0))
    padded = b.pad(b.exp(turned), low=(1, 2), high=(3, 0), value=0.5)
    return [padded, b.concat(x, b.flip(x, axes=(0,)), axis=1), b.mul(x, x)]


def recurrent(b: Builder, xs: Value, h: Value, w: Value) -> list[Value]:
    """A recurrent net over time, forwards and then backwards over its outputs."""
    one = Builder()
    carry, x, v = (one.input(t) for t in (h.type, f32(*xs.type.shape[1:]), w.type))
    made = one.tanh(one.add(one.matmul(carry, v), x))
    body = one.graph([made, one.mul(made, x)])
    length = xs.type.shape[0]
    last, ys = b.scan(h, xs, w, body=body, carries=1, xs=1, length=length, reverse=False)
    other = b.scan(last, ys, w, body=body, carries=1, xs=1, length=length, reverse=True)
    return [last, *other]


def scattered(b: Builder, x: Value, i: Value, s: Value) -> Value:
    made: Value = b.add(b.index_add(x, i, s, axis=0), x)
    return made


CASES: dict[str, tuple[Graph, dict[str, int]]] = {
    "folds 300x70": (of([f32(n, m)], both_folds), {"n": 300, "m": 70}),
    "folds 3x20000": (of([f32(n, m)], both_folds), {"n": 3, "m": 20_000}),
    "folds 100x9000": (of([f32(n, m)], both_folds), {"n": 100, "m": 9000}),
    "folds f64": (of([f64(n, m)], both_folds), {"n": 130, "m": 4500}),
    "folds 5x7x300": (of([f32(5, n, m)], both_folds), {"n": 7, "m": 300}),
    "softmax 10": (of([f32(n, m)], softmax), {"n": 33, "m": 10}),
    "softmax 1000": (of([f32(n, m)], softmax), {"n": 33, "m": 1000}),
    "softmax 50000": (of([f32(n, m)], softmax), {"n": 2, "m": 50_000}),
    "down 3x700x40": (of([f32(n, m, 40)], down), {"n": 3, "m": 700}),
    "down 2x130x300": (of([f32(2, n, m)], down), {"n": 130, "m": 300}),
    "down f64": (of([f64(n, m, 3)], down), {"n": 2, "m": 1500}),
    "chains": (of([f32(n, 3, m), f32(n, 3, m)], along_rows), {"n": 15, "m": 75}),
    "mixed": (of([f32(n, m)], mixed), {"n": 9, "m": 700}),
    "mixed long": (of([f32(n, m)], mixed), {"n": 3, "m": 40_000}),
    "epilogue": (of([f32(n, 70), f32(90, 70), f32(90), f32(n, 90)], epilogue), {"n": 131}),
    "huge": (of([f32(8, 300, 9), f32(8, 9, m), f32(8, 300, m)],
                lambda b, x, y, z: b.add(b.tanh(b.matmul(x, y)), z)), {"m": 530}),
    "huge, plain": (of([f32(1030, m), f32(m, 1030)], lambda b, x, y: b.matmul(x, y)), {"m": 5}),
    "small": (of([f32(n, 5), f32(7, 5), f32(7), f32(n, 7)], epilogue), {"n": 3}),
    "f64": (of([f64(n, m), f64(m, 40)], lambda b, x, y: b.matmul(x, y)), {"n": 80, "m": 35}),
    "batched": (of([f32(n, 20, 3, 16), f32(n, 37, 3, 16)], batched), {"n": 2}),
    "strided": (of([f32(150, m), f32(m, 70)], strided), {"m": 33}),
    "integers": (
        of([TensorType(int32, (n, 40)), TensorType(int32, (40, 80))],
           lambda b, x, y: b.matmul(x, y)), {"n": 70}),
    "moved": (of([f32(n, 600)], moved), {"n": 70}),
    "recurrent": (of([f32(n, 6, 40), f32(6, 40), f32(40, 40)], recurrent), {"n": 5}),
    "scattered": (of([f32(40, m), i64(n), f32(n, m)], scattered), {"n": 90, "m": 300}),
    "taken": (of([f32(40, m), i64(n)], lambda b, x, i: b.exp(b.take(x, i, axis=0))),
              {"n": 90, "m": 300}),
}  # fmt: skip


def both(graph: Graph) -> tuple[Lowered, Lowered]:
    return lower(graph, target="cuda"), lower(graph)


@pytest.fixture(scope="module")
def compiled() -> dict[str, list[tuple[Callable[..., object], Callable[..., object]]]]:
    """Each case for its sizes and in the general form, in CUDA and in C."""
    pairs = [
        both(fuse(g)) for case, sizes in CASES.values() for g in (specialise(case, sizes), case)
    ]
    cuda = emulate([one for one, _ in pairs])
    c = build([other for _, other in pairs])
    made = list(zip(cuda, c, strict=True))
    return {name: made[2 * k : 2 * k + 2] for k, name in enumerate(CASES)}


@pytest.mark.parametrize("name", CASES)
def test_the_bits_are_those_of_c(name: str, compiled) -> None:  # type: ignore[no-untyped-def]
    graph, sizes = CASES[name]
    given = operands(graph, sizes)
    for cuda, c in compiled[name]:
        left = {k: v for k, v in sizes.items() if k in cuda.lowered.size_names}
        expected = c(*given, sizes=left)
        for reverse in (False, True):
            for one, other in zip(cuda(*given, sizes=left, reverse=reverse), expected, strict=True):
                assert one.dtype.kind != "f" or np.isfinite(other).all()
                assert one.tobytes() == other.tobytes(), (name, reverse, one.shape)
        assert cuda.error[0] == 0


def test_the_cases_take_several_blocks_in_every_way(compiled) -> None:  # type: ignore[no-untyped-def]
    """A block for each row, a warp for each, a thread for each element; tiles of products."""
    seen = set()
    for name, (_, sizes) in CASES.items():
        cuda, _ = compiled[name][1]
        launched = concrete(cuda.lowered.launches, sizes)
        seen |= {i.launch.block for i in launched if i.grid[0] * i.grid[1] > 2}
    assert {(32, 4), (32, 8), (16, 16)} <= seen
    assert any(x * y == 256 and x not in (16, 32) for x, y in seen)


@pytest.mark.parametrize(("make", "count"), [(mlp_step, 70), (transformer_step, 3)])
def test_a_train_step_has_the_bits_of_c(make: Callable[[], Function], count: int) -> None:
    """Also where the new state takes the memory of the old."""
    step = make()
    graph, states = step.graph, list(step.reads)
    first_state, first_update = (
        len(graph.inputs) - len(states),
        len(graph.outputs) - len(step.updates),
    )
    in_place = {
        first_update + k: first_state + states.index(name) for k, name in enumerate(step.updates)
    }
    sizes = {"n": count}
    assert set(symbols(*(s for v in graph.inputs for s in v.type.shape))) == {"n"}
    final = optimised(graph)
    cuda = lower(final, target="cuda", in_place=in_place)
    (emulated,), (native,) = emulate([cuda]), build([lower(final)])
    given = operands(graph, sizes)
    expected = native(*given, sizes=sizes)
    assert np.isfinite(expected[0]).all() and expected[0] > 1
    assert sum(b.may_alias is not None for b in cuda.buffers) > 3
    for reverse, shared in ((False, False), (True, False), (False, True), (True, True)):
        found = emulated(*given, sizes=sizes, reverse=reverse, in_place=shared)
        for one, other in zip(found, expected, strict=True):
            assert one.tobytes() == other.tobytes()


def test_an_index_out_of_range_is_reported_and_nothing_runs_after_it() -> None:
    b = Builder()
    x, i = b.input(f32(10, 4)), b.input(i64(700))
    with b.placed((Where("net.py", 12, "Net.emb"),)):
        y = b.exp(b.take(x, i, axis=0))
    (function,) = emulate([lower(fuse(b.graph([y])), sizes={}, target="cuda")])
    table = np.ones((10, 4), np.float32)
    index = np.zeros(700, np.int64)
    assert np.isfinite(function(table, index)[0]).all() and function.error[0] == 0
    index[600] = 10
    (result,) = function(table, index)
    assert function.error[0] == 1 and function.error[2:] == (10, 10)
    op, places = function.lowered.nodes[function.error[1]]
    assert op == "take" and str(places[0]) == "net.py:12 in Net.emb"
    assert np.isnan(result).all(), "the kernels behind the check did not run"


@pytest.mark.parametrize("name", ["epilogue", "mixed long", "mixed", "down 3x700x40", "chains"])
def test_the_emulation_sees_when_a_barrier_is_gone(name: str) -> None:
    graph, sizes = CASES[name]
    lowered = lower(fuse(graph), target="cuda")
    (text,) = lowered.sources
    bare = text.replace("__syncthreads();", "").replace("__syncwarp();", "")
    assert bare != text
    whole, without = emulate([lowered, replace(lowered, sources=(bare,))])
    given, sizes = operands(graph, sizes), {k: sizes[k] for k in lowered.size_names}
    expected = whole(*given, sizes=sizes)
    found = [without(*given, sizes=sizes, reverse=reverse) for reverse in (False, True)]
    assert any(a.tobytes() != e.tobytes() for f in found for a, e in zip(f, expected, strict=True))
