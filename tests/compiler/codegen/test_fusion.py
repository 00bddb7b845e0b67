"""Fusion: how many kernels common patterns take, that fused graphs mean the same and have the same
bits, and that the decisions can be asked for."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from intaglio.compiler.dtypes import float32
from intaglio.compiler.interpret import interpret
from intaglio.compiler.ir import Graph, Value
from intaglio.compiler.lower import Lowered, lower
from intaglio.compiler.op import Builder
from intaglio.compiler.passes.fuse import Refusal, fuse
from intaglio.compiler.passes.gradient import gradient
from intaglio.compiler.types import TensorType
from intaglio.compiler.verify import verify
from tests.compiler.codegen.harness import COMPILER, Array, build
from tests.compiler.random_graphs import inputs_of, random_graph

needs_compiler = pytest.mark.skipif(COMPILER is None, reason="no C compiler on this machine")
N, D = 37, 200


def rows(b: Builder, value: Value) -> Value:
    """A value per row along the row."""
    made: Value = b.expand(value, shape=(N, D), axes=(0,))
    return made


def softmax(b: Builder, x: Value) -> Value:
    """By hand, from primitives."""
    e = b.exp(b.sub(x, rows(b, b.max(x, axes=(1,)))))
    made: Value = b.div(e, rows(b, b.sum(e, axes=(1,))))
    return made


def rms_norm(b: Builder, x: Value, weight: Value) -> Value:
    """By hand, with the mean kept as [n, 1]."""
    total = b.reshape(b.sum(b.mul(x, x), axes=(1,)), shape=(N, 1))
    mean = b.mul(total, b.full(1 / D, float32, (N, 1)))
    scale = b.rsqrt(b.add(mean, b.full(1e-6, float32, (N, 1))))
    y = b.mul(x, b.expand(scale, shape=(N, D), axes=(0, 1)))
    made: Value = b.mul(y, b.expand(weight, shape=(N, D), axes=(1,)))
    return made


def layer_norm(b: Builder, x: Value, weight: Value, bias: Value) -> Value:
    """By hand."""
    part = b.full(1 / D, float32, (N,))
    centred = b.sub(x, rows(b, b.mul(b.sum(x, axes=(1,)), part)))
    variance = b.mul(b.sum(b.mul(centred, centred), axes=(1,)), part)
    scale = b.rsqrt(b.add(variance, b.full(1e-5, float32, (N,))))
    y = b.mul(b.mul(centred, rows(b, scale)), b.expand(weight, shape=(N, D), axes=(1,)))
    made: Value = b.add(y, b.expand(bias, shape=(N, D), axes=(1,)))
    return made


def graph(make: Callable[..., Value | list[Value]], *shapes: tuple[int, ...]) -> Graph:
    """A graph of f32 inputs."""
    b = Builder()
    made = make(b, *(b.input(TensorType(float32, s)) for s in shapes))
    return b.graph(made if isinstance(made, list) else [made])


def arrays(of: Graph, seed: int = 0) -> list[Array]:
    """Normal numbers for its inputs."""
    random = np.random.default_rng(seed)
    shapes = [tuple(int(str(s)) for s in v.type.shape) for v in of.inputs]
    return [random.standard_normal(s).astype(np.float32) for s in shapes]


def steps(lowered: Lowered) -> int:
    """How many kernels run."""
    return len(lowered.steps)


PATTERNS = {
    "softmax": (graph(softmax, (N, D)), 1),
    "rms_norm": (graph(rms_norm, (N, D), (D,)), 1),
    "layer_norm": (graph(layer_norm, (N, D), (D,), (D,)), 1),
    "log_softmax": (
        graph(
            lambda b, x: b.sub(
                b.sub(x, rows(b, b.max(x, axes=(1,)))), rows(b, b.log(b.sum(b.exp(x), axes=(1,))))
            ),
            (N, D),
        ),
        1,
    ),
    "linear": (
        graph(
            lambda b, x, w, c: b.tanh(
                b.add(
                    b.matmul(x, b.permute(w, axes=(1, 0))), b.expand(c, shape=(N, 64), axes=(1,))
                )
            ),
            (N, D), (64, D), (64,),
        ),
        1,
    ),
    "column sums": (
        graph(lambda b, x, y: [b.sum(x, axes=(0,)), b.sum(b.mul(x, y), axes=(0,))], (N, D), (N, D)),
        1,
    ),
    "transposed": (graph(lambda b, x: b.permute(b.exp(x), axes=(1, 0)), (N, D)), 1),
    "views": (
        graph(lambda b, x: b.exp(b.reshape(b.permute(b.reshape(x, shape=(N, 20, 10)),
              axes=(1, 0, 2)), shape=(20, N * 10))), (N, D)),
        2,
    ),
}  # fmt: skip


@needs_compiler
@pytest.mark.parametrize("name", PATTERNS)
def test_pattern_takes_few_kernels_and_keeps_its_bits(name: str) -> None:
    plain, most = PATTERNS[name]
    fused = fuse(plain)
    verify(fused)
    assert fuse(fused).nodes and len(fuse(fused).nodes) == len(fused.nodes), "not idempotent"
    lowered = lower(fused, sizes={})
    assert steps(lowered) <= most, fused
    one, many = build([lowered, lower(plain, sizes={})])
    given = arrays(plain)
    expected = interpret(plain, given)
    for a, b, c in zip(one(*given), many(*given), expected, strict=True):
        assert a.tobytes() == b.tobytes()
        np.testing.assert_allclose(a, c, rtol=2e-4, atol=2e-5)


@needs_compiler
def test_random_graphs_mean_the_same_fused() -> None:
    graphs = [random_graph(seed) for seed in range(30)]
    fused = [fuse(g) for g in graphs]
    for g in fused:
        verify(g)
    lowered = [lower(g, sizes={}) for g in graphs], [lower(g, sizes={}) for g in fused]
    assert sum(map(steps, lowered[1])) < sum(map(steps, lowered[0])) / 2
    made = build([*lowered[0], *lowered[1]])
    for k, g in enumerate(graphs):
        given = inputs_of(g, k)
        results = made[k](*given), made[len(graphs) + k](*given), interpret(g, given)
        for a, b, c in zip(*results, strict=True):
            assert a.tobytes() == b.tobytes(), k
            np.testing.assert_allclose(a, c, rtol=1e-9, atol=1e-9)


@needs_compiler
def test_derivatives_of_rows_take_few_kernels() -> None:
    """Softmax's and layer norm's derivatives: one kernel for dx, one for the weights' sums."""
    for make, shapes, most in ((softmax, ((N, D),), 1), (layer_norm, ((N, D), (D,), (D,)), 3)):

        def loss(b: Builder, *xs: Value, make: Callable[..., Value] = make) -> Value:
            made: Value = b.sum(b.sin(make(b, *xs)), axes=(0, 1))
            return made

        forward = graph(loss, *shapes)
        both = gradient(forward, wrt=forward.inputs, of=forward.outputs[0])
        only = both.replace(outputs=both.outputs[1:])
        from intaglio.compiler.passes import PIPELINE

        for one_pass in PIPELINE:
            only = one_pass(only)
        fused = fuse(only)
        lowered = lower(fused, sizes={})
        assert steps(lowered) <= most, fused
        (function,) = build([lowered])
        given = arrays(only)
        for a, c in zip(function(*given), interpret(only, given), strict=True):
            np.testing.assert_allclose(a, c, rtol=2e-3, atol=2e-4)


def test_refusals_say_why() -> None:
    def make(b: Builder, x: Value, w: Value) -> list[Value]:
        y = b.exp(x)
        return [b.matmul(y, w), b.sum(y, axes=(1,))]

    refusals: list[Refusal] = []
    fuse(graph(make, (N, D), (D, 8)), refusals=refusals)
    fused = fuse(graph(lambda b, x, w: b.exp(b.matmul(b.exp(x), w)), (N, D), (D, 8)))
    assert [n.op for n in fused.nodes] == ["exp", "fused"]
    b = Builder()
    x = b.input(TensorType(float32, (4, 4)))
    y = b.exp(x)
    z = b.add(y, b.permute(y, axes=(1, 0)))
    refusals = []
    fuse(b.graph([z]), refusals=refusals)
    assert refusals and "order" in str(refusals[0]) and "exp" in str(refusals[0])


def test_windows_derivatives_are_gathered_once_and_outside_of_reductions() -> None:
    """The taps are found once per window, not per element; a sum reads what was put."""
    window = {"sizes": (2, 2), "strides": (2, 2), "low": (0, 0), "high": (0, 0)}
    window |= {"dilations": (1, 1)}

    def make(b: Builder, x: Value, dy: Value) -> list[Value]:
        put = b.window_put(dy, b.window_argmax(x, **window), shape=(8, 8), **window)
        kept = b.where(b.lt(x, b.full(0, float32, x.type.shape)), x, put)
        return [kept, b.sum(kept, axes=(0, 2, 3))]

    refusals: list[Refusal] = []
    made = fuse(graph(make, (2, 3, 8, 8), (2, 3, 4, 4)), refusals=refusals)
    groups = [
        {n.op for n in node.attributes["body"].nodes} if node.op == "fused" else {node.op}
        for node in made.nodes
    ]
    assert len(groups) == 3
    assert {"window_argmax"} in groups and {"sum"} in groups
    assert any({"window_put", "where"} <= group for group in groups)
    reasons = " ".join(map(str, refusals))
    assert "computed more than once" in reasons and "divides places" in reasons


def test_a_third_group_in_between_keeps_two_apart() -> None:
    """exp -> matmul -> add(exp, matmul): joining exp and add would be a cycle."""
    fused = fuse(graph(lambda b, x: b.add(y := b.exp(x), b.matmul(y, x)), (8, 8)))
    verify(fused)
    assert [n.op for n in fused.nodes] == ["exp", "fused"]


def test_many_nodes_fuse_quickly() -> None:
    import time

    b = Builder()
    x = b.input(TensorType(float32, (64, 64)))
    for k in range(400):
        x = b.matmul(b.add(b.sin(x), x), x) if k % 10 == 0 else b.add(b.mul(x, x), b.sin(x))
    start = time.process_time()
    fused = fuse(b.graph([x]))
    assert time.process_time() - start < 5
    assert len(fused.nodes) < 150
