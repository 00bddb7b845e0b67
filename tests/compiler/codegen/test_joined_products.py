"""What a product takes into its kernel, and which states are written where they are read."""

from __future__ import annotations

import numpy as np
import pytest

from intaglio.compiler.dims import Dim
from intaglio.compiler.dtypes import float32
from intaglio.compiler.ir import Graph, Value
from intaglio.compiler.lower import lower
from intaglio.compiler.op import Builder
from intaglio.compiler.passes import PIPELINE
from intaglio.compiler.passes.fuse import fuse
from intaglio.compiler.types import TensorType
from intaglio.runtime.executor import compile_graph

B, T, D, N = 5, 7, 24, 70


def finished(graph: Graph) -> Graph:
    for step in PIPELINE:
        graph = step(graph)
    return fuse(graph)


def linear(b: Builder, lead: tuple[int | Dim, ...]) -> Value:
    """A linear layer as the front end writes it: rows joined, and taken apart again."""
    x = b.input(TensorType(float32, (*lead, D)))
    w, bias = b.input(TensorType(float32, (N, D))), b.input(TensorType(float32, (N,)))
    rows: int | Dim = 1
    for size in lead:
        rows = rows * size
    flat = b.matmul(b.reshape(x, shape=(rows, D)), b.permute(w, axes=(1, 0)))
    made = b.reshape(flat, shape=(*lead, N))
    wide = b.expand(bias, shape=(*lead, N), axes=(len(lead),))
    found: Value = b.tanh(b.add(made, wide))
    return found


@pytest.mark.parametrize("lead", [(B, T), (2, B, T), (Dim("n"), T)], ids=["3d", "4d", "symbolic"])
def test_what_follows_a_product_of_higher_rank_is_one_kernel(lead: tuple[int | Dim, ...]) -> None:
    b = Builder()
    graph = b.graph([linear(b, lead)])
    (step,) = lower(finished(graph), sizes=None).steps
    assert {"matmul", "add", "tanh"} <= set(step.ops)
    sizes = [3 if isinstance(s, Dim) else s for s in lead]
    rng = np.random.default_rng(0)
    x, w, bias = (rng.standard_normal(s).astype(np.float32) for s in ((*sizes, D), (N, D), N))
    (found,) = compile_graph(graph)([x, w, bias])
    flat = Builder()
    plain = compile_graph(flat.graph([linear(flat, (int(np.prod(sizes)),))]))
    (want,) = plain([x.reshape(-1, D), w, bias])
    assert np.array_equal(found, want.reshape(found.shape))


def update(kind: str) -> tuple[Graph, list[np.ndarray]]:
    """A new state from an old one and a gradient that a product or a sum makes."""
    b = Builder()
    state = b.input(TensorType(float32, (D, N)))
    x, dy = (b.input(TensorType(float32, (T, s))) for s in (D, N))
    rate = b.full(0.5, float32, (D, N))
    product = b.matmul(b.permute(x, axes=(1, 0)), dy)
    if kind == "read elsewhere":
        square = b.slice(state, starts=(0, 0), stops=(D, D), steps=(1, 1))
        turned = b.pad(b.permute(square, axes=(1, 0)), low=(0, 0), high=(0, N - D), value=0)
        product = b.add(product, turned)
    new = b.sub(state, b.mul(product, rate))
    outputs = [new, b.mul(state, rate)] if kind == "read later" else [new]
    rng = np.random.default_rng(0)
    arrays = [rng.standard_normal(s).astype(np.float32) for s in ((D, N), (T, D), (T, N))]
    return b.graph(outputs), arrays


def test_a_product_updates_a_state_in_place() -> None:
    graph, _ = update("plain")
    found = lower(finished(graph), sizes={}, in_place={0: 0})
    assert [s.may_alias for s in found.buffers if s.kind == "output"] == [0]
    assert len(found.steps) == 1


def test_a_state_that_is_read_elsewhere_is_not_written_in_place() -> None:
    graph, _ = update("read elsewhere")
    found = lower(finished(graph), sizes={}, in_place={0: 0})
    reads = [s for s in found.steps if 0 in s.reads]
    (target,) = [k for k, s in enumerate(found.buffers) if s.kind == "output"]
    alone = all(target not in s.writes for s in reads)
    assert found.buffers[target].may_alias is None or alone


@pytest.mark.parametrize("kind", ["plain", "read elsewhere", "read later"])
def test_updates_have_the_values_of_functions_without_state(kind: str) -> None:
    graph, arrays = update(kind)
    want = [a.copy() for a in compile_graph(graph)(arrays)]
    state, *rest = (a.copy() for a in arrays)
    rest_of_results = compile_graph(graph, updates={0: 0})([state, *rest])
    found = [state, *rest_of_results]
    for a, c in zip(found, want, strict=True):
        assert np.array_equal(a, c)


def test_a_column_sum_updates_a_state_in_place() -> None:
    b = Builder()
    state, dy = b.input(TensorType(float32, (N,))), b.input(TensorType(float32, (T, N)))
    graph = b.graph([b.sub(state, b.mul(b.sum(dy, axes=(0,)), b.full(0.1, float32, (N,))))])
    found = lower(finished(graph), sizes={}, in_place={0: 0})
    assert [s.may_alias for s in found.buffers if s.kind == "output"] == [0]
