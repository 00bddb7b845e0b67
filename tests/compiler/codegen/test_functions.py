"""Whole functions: memory, views, loops of steps, checks, updates in place, packed weights."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest

from intaglio.compiler.dims import Dim
from intaglio.compiler.dtypes import float32, float64, int64
from intaglio.compiler.interpret import interpret
from intaglio.compiler.ir import Graph
from intaglio.compiler.lower import lower
from intaglio.compiler.op import Builder
from intaglio.compiler.passes.fuse import fuse
from intaglio.compiler.passes.plan import Lifetime, plan
from intaglio.compiler.types import TensorType
from intaglio.compiler.where import Where
from tests.compiler.codegen.harness import COMPILER, Array, build

pytestmark = pytest.mark.skipif(COMPILER is None, reason="no C compiler on this machine")


def normal(*shapes: tuple[int, ...], dtype: type = np.float32) -> list[Array]:
    """Arrays of normal numbers."""
    random = np.random.default_rng(3)
    return [random.standard_normal(s).astype(dtype) for s in shapes]


def mlp(rows: int | Dim) -> Graph:
    """Two layers."""
    b = Builder()
    x = b.input(TensorType(float32, (rows, 30)))
    w, v = b.input(TensorType(float32, (50, 30))), b.input(TensorType(float32, (50, 17)))
    h = b.tanh(b.matmul(x, b.permute(w, axes=(1, 0))))
    return b.graph([b.matmul(h, v)])


def test_packed_weights_have_the_same_bits() -> None:
    graph = fuse(mlp(9))
    plain, packed = lower(graph, sizes={}), lower(graph, sizes={}, packable=(1, 2))
    general = lower(fuse(mlp(Dim("n"))), packable=(1, 2))
    assert [p.input for p in packed.packs] == [1, 2] and not plain.packs
    given = normal((9, 30), (50, 30), (50, 17))
    one, other, third = build([plain, packed, general])
    expected = one(*given)[0]
    assert expected.tobytes() == other(*given)[0].tobytes()
    assert expected.tobytes() == third(*given, sizes={"n": 9})[0].tobytes()
    np.testing.assert_allclose(expected, interpret(graph, given)[0], rtol=1e-4, atol=1e-5)


def test_an_index_out_of_range_is_reported_with_its_node() -> None:
    b = Builder()
    x, i = b.input(TensorType(float32, (10, 4))), b.input(TensorType(int64, (3,)))
    with b.placed((Where("net.py", 12, "Net.emb"),)):
        y = b.exp(b.take(x, i, axis=0))
    (function,) = build([lower(fuse(b.graph([y])), sizes={})])
    (table,) = normal((10, 4))
    good = function(table, np.array([0, 9, 3]))[0]
    np.testing.assert_allclose(good, np.exp(table[[0, 9, 3]]), rtol=1e-6)
    assert function.error == (0, 0, 0, 0)
    function(table, np.array([0, 12, 3]))
    kind, node, value, limit = function.error
    assert (kind, value, limit) == (1, 12, 10)
    op, places = function.lowered.nodes[node]
    assert op == "take" and str(places[0]) == "net.py:12 in Net.emb"
    function(table, np.array([-1, 0, 0]))
    assert function.error[2] == -1


def test_updates_take_the_memory_of_what_they_replace() -> None:
    """An Adam-like update: each state is replaced in place, and the results are the same."""
    b = Builder()
    states = [b.input(TensorType(float32, (1000,))) for _ in range(6)]
    grads = [b.input(TensorType(float32, (1000,))) for _ in range(2)]
    outputs = []
    for k, g in enumerate(grads):
        p, m, v = states[3 * k : 3 * k + 3]
        m2 = b.add(b.mul(m, b.like(0.9, m)), b.mul(g, b.like(0.1, g)))
        v2 = b.add(b.mul(v, b.like(0.99, v)), b.mul(b.mul(g, g), b.like(0.01, g)))
        outputs += [b.sub(p, b.div(m2, b.add(b.sqrt(v2), b.like(1e-8, v)))), m2, v2]
    graph = b.graph(outputs)
    lowered = lower(fuse(graph), sizes={}, in_place={k: k for k in range(6)})
    assert {s.number for s in lowered.steps} == {0}, "both updates are one step"
    aliases = {s.index: s.may_alias for s in lowered.buffers if s.kind == "output"}
    assert aliases == {k: k for k in range(6)}
    (function,) = build([lowered])
    given = [np.abs(a) for a in normal(*[(1000,)] * 8)]
    for a, c, e in zip(
        function(*given), function(*given, in_place=True), interpret(graph, given), strict=True
    ):
        assert a.tobytes() == c.tobytes()
        np.testing.assert_allclose(a, e, rtol=1e-5, atol=1e-6)


def test_a_state_that_is_read_later_is_not_overwritten() -> None:
    b = Builder()
    p, q = b.input(TensorType(float32, (8, 8))), b.input(TensorType(float32, (8, 8)))
    new = b.add(p, q)
    again = b.matmul(new, b.exp(p))
    turned = b.add(q, b.permute(q, axes=(1, 0)))
    lowered = lower(fuse(b.graph([new, turned, again])), sizes={}, in_place={0: 0, 1: 1})
    aliases = {s.index: s.may_alias for s in lowered.buffers if s.kind == "output"}
    assert aliases[1] is None
    (function,) = build([lowered])
    given = normal((8, 8), (8, 8))
    for a, c in zip(function(*given), function(*given, in_place=True), strict=True):
        assert a.tobytes() == c.tobytes()


def test_views_and_shared_outputs_are_right() -> None:
    b = Builder()
    x = b.input(TensorType(float64, (4, 6)))
    y = b.exp(x)
    outputs = [
        x, y, y, b.reshape(y, shape=(24,)), b.permute(x, axes=(1, 0)),
        b.reshape(b.permute(y, axes=(1, 0)), shape=(3, 8)), b.flip(x, axes=(1,)),
        b.expand(b.slice(x, starts=(1, 0), stops=(2, 6), steps=(1, 2)), shape=(5, 3), axes=(0, 1)),
        b.concat(x, b.pad(y, low=(1, 0), high=(0, 0), value=3.0), axis=0),
    ]  # fmt: skip
    graph = b.graph(outputs)
    functions = build([lower(graph, sizes={}), lower(fuse(graph), sizes={})])
    given = normal((4, 6), dtype=np.float64)
    for function in functions:
        for a, e in zip(function(*given), interpret(graph, given), strict=True):
            np.testing.assert_allclose(a, e, rtol=1e-12)


def scan_graph(length: int | Dim, reverse: bool) -> Graph:
    """A recurrent cell whose carries change places, with a matrix product inside."""
    inner = Builder()
    h, c, x, w = (inner.input(TensorType(float32, s)) for s in ((4, 8), (4, 8), (4, 8), (8, 8)))
    new = inner.tanh(inner.add(inner.matmul(h, w), x))
    body = inner.graph([inner.add(c, new), h, inner.mul(new, c)])
    b = Builder()
    h0, c0, xs = (b.input(TensorType(float32, s)) for s in ((4, 8), (4, 8), (length, 4, 8)))
    w = b.input(TensorType(float32, (8, 8)))
    made = b.scan(h0, c0, xs, w, body=body, carries=2, xs=1, length=length, reverse=reverse)
    return b.graph(list(made))


@pytest.mark.parametrize("reverse", [False, True])
def test_scan_runs_inside_one_call(reverse: bool) -> None:
    lengths = (5, 6)
    lowered = [lower(fuse(scan_graph(n, reverse)), sizes={}) for n in lengths]
    general = lower(fuse(scan_graph(Dim("t"), reverse)))
    inside = [s for s in lowered[0].steps if "matmul" in s.ops]
    assert len(inside) == 1 and "tanh" in inside[0].ops, "the body is fused too"
    *special, any_length = build([*lowered, general])
    for n, function in zip(lengths, special, strict=True):
        given = normal((4, 8), (4, 8), (n, 4, 8), (8, 8))
        expected = interpret(scan_graph(n, reverse), given)
        found = function(*given)
        for a, c, e in zip(found, any_length(*given, sizes={"t": n}), expected, strict=True):
            assert a.tobytes() == c.tobytes()
            np.testing.assert_allclose(a, e, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("shape,axes", [
    ((100_003,), (0,)), ((5000, 40), (0,)), ((3, 40_000), (1,)), ((7, 33, 65), (0, 2)),
    ((2, 3, 5000), (0, 2)), ((70, 9, 8), (0,)), ((20_000,), ()),
])  # fmt: skip
def test_sums_keep_the_documented_order(shape: tuple[int, ...], axes: tuple[int, ...]) -> None:
    """Bit for bit the order of the definition, written out in NumPy."""
    b = Builder()
    x = b.input(TensorType(float32, shape))
    graph = b.graph([b.sum(b.mul(x, x), axes=axes)])
    forms = [lower(fuse(graph), sizes={}), lower(fuse(graph), sizes={}, lanes=32)]
    given = normal(shape)
    squares = given[0] * given[0]
    expected = ordered_sum(squares, axes)
    for function in build(forms):
        for backwards in (False, True):
            (found,) = function(*given, backwards=backwards)
            assert found.tobytes() == expected.tobytes()


def ordered_sum(x: Array, axes: Sequence[int]) -> Array:
    """The sum in the fixed order of f32."""
    if not axes:
        return x
    kept = [k for k in range(x.ndim) if k not in axes]
    rows = np.transpose(x, (*kept, *axes)).reshape(*[x.shape[k] for k in kept], -1)
    by_row = x.ndim - 1 in axes
    out = np.empty(rows.shape[:-1], np.float32)
    for place in np.ndindex(*out.shape):
        out[place] = tree([
            row_chunk(c) if by_row else column_chunk(c)
            for c in pieces(rows[place], 4096 if by_row else 64)
        ])  # fmt: skip
    return out


def pieces(row: Array, size: int) -> list[Array]:
    """The row in chunks."""
    return [row[k : k + size] for k in range(0, len(row), size)]


def row_chunk(chunk: Array) -> np.float32:
    """64 partials, joined by halves."""
    partial = np.zeros(64, np.float32)
    for k in range(0, len(chunk), 64):
        part = chunk[k : k + 64]
        partial[: len(part)] += part
    while len(partial) > 1:
        partial = partial[: len(partial) // 2] + partial[len(partial) // 2 :]
    return np.float32(partial[0])


def column_chunk(chunk: Array) -> np.float32:
    """One after the other."""
    total = chunk[0]
    for value in chunk[1:]:
        total = np.float32(total + value)
    return np.float32(total)


def tree(parts: list[np.float32]) -> np.float32:
    """A binary carry."""
    stack: list[np.float32] = []
    for k, part in enumerate(parts):
        while k & 1:
            part, k = np.float32(stack.pop() + part), k >> 1
        stack.append(part)
    total = stack.pop()
    while stack:
        total = np.float32(stack.pop() + total)
    return total


def test_plan_is_tight_and_never_overlaps() -> None:
    random = np.random.default_rng(0)
    for _ in range(50):
        lives = []
        for _ in range(30):
            first = int(random.integers(0, 20))
            lives.append(
                Lifetime(int(random.integers(0, 5000)), first, first + int(random.integers(0, 6)))
            )
        made = plan(lives)
        assert plan(lives) == made
        spans = [(o, o + v.bytes, v) for o, v in zip(made.offsets, lives, strict=True) if v.bytes]
        assert all(o % 64 == 0 for o, _, _ in spans)
        assert max(end for _, end, _ in spans) <= made.bytes
        for k, (a, b, v) in enumerate(spans):
            for c, d, w in spans[:k]:
                alive = v.first <= w.last and w.first <= v.last
                assert not alive or b <= c or d <= a
        held = sum(-(-lives[k].bytes // 64) * 64 for k in made.holders)
        assert held <= made.bytes <= 2 * held
