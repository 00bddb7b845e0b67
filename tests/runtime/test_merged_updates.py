"""Updates of many parameters that are alike run as one loop with one kernel: the bits are those of
one by one, whatever the shapes, the threads and what is updated in place."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest

from intaglio.compiler.dims import Dim, Size
from intaglio.compiler.dtypes import float32
from intaglio.compiler.interpret import interpret
from intaglio.compiler.ir import Graph, Value
from intaglio.compiler.lower import lower
from intaglio.compiler.lowered import Lowered
from intaglio.compiler.op import Builder
from intaglio.compiler.passes.fuse import Refusal, fuse
from intaglio.compiler.types import TensorType
from intaglio.runtime.arrays import Array
from intaglio.runtime.compile import optimised
from intaglio.runtime.executor import Executable
from intaglio.runtime.report import explain

SHAPES: tuple[tuple[int, ...], ...] = ((64, 48), (7,), (3, 5, 9), (40000,), (1, 33), (64, 48))


def updated(b: Builder, p: Value, g: Value, m: Value, lr: Value) -> tuple[Value, Value]:
    """Momentum: exact in NumPy too."""
    shape = p.type.shape
    wide = b.expand(lr, shape=shape, axes=())
    moment = b.add(b.mul(m, b.full(0.5, float32, shape)), g)
    return b.sub(p, b.mul(moment, wide)), moment


def momentum(shapes: Sequence[tuple[Size, ...]]) -> Graph:
    """`lr`, then gradients, then the states: parameters and moments; results are the states'."""
    b = Builder()
    lr = b.input(TensorType(float32, ()))
    many = [[b.input(TensorType(float32, s)) for s in shapes] for _ in range(3)]
    pairs = [updated(b, p, g, m, lr) for g, p, m in zip(*many, strict=True)]
    return b.graph([*(p for p, _ in pairs), *(m for _, m in pairs)])


def operands(shapes: Sequence[tuple[int, ...]]) -> list[Array]:
    random = np.random.default_rng(0)
    many = [random.standard_normal(s).astype(np.float32) for _ in range(3) for s in shapes]
    return [np.float32(0.25).reshape(()), *many]


def in_place(count: int) -> dict[int, int]:
    return {k: 1 + count + k for k in range(2 * count)}


def lowered(graph: Graph, updates: dict[int, int] | None = None, target: str = "c") -> Lowered:
    return lower(optimised(graph), in_place=updates, target=target)


def test_one_kernel_and_one_step_for_all_shapes() -> None:
    made = lowered(momentum(SHAPES), in_place(len(SHAPES)))
    (step,) = made.steps
    assert step.count == len(SHAPES)
    assert sum(source.count("IG_KERNEL void") for source in made.sources) == 1
    assert len(step.writes) == 2 * len(SHAPES)
    outputs = [s for s in made.buffers if s.kind == "output"]
    assert all(s.may_alias == in_place(len(SHAPES))[s.index] for s in outputs)


def test_more_than_share_a_step_otherwise() -> None:
    shapes = [(k + 2, 3) for k in range(100)]
    (step,) = lowered(momentum(shapes), in_place(100)).steps
    assert step.count == 100
    arrays = operands(shapes)
    expected = interpret(momentum(shapes), arrays)
    Executable(momentum(shapes), updates=in_place(100))(arrays)
    assert all(np.array_equal(a, b) for a, b in zip(arrays[101:], expected, strict=True))


@pytest.mark.parametrize("threads", [1, 2, 5])
def test_bits(threads: int) -> None:
    graph = momentum(SHAPES)
    arrays = operands(SHAPES)
    expected = interpret(graph, arrays)
    run = Executable(graph, updates=in_place(len(SHAPES)), threads=threads, backend="native")
    run(arrays)
    for after, wanted in zip(arrays[1 + len(SHAPES) :], expected, strict=True):
        assert after.tobytes() == wanted.tobytes()


def test_named_sizes() -> None:
    n = Dim("n", min=1, max=1 << 20)
    graph = momentum([(n,), (n, 3), (4, n), (n * 2 + 1,)])
    made = lowered(graph)
    assert [s.count for s in made.steps] == [4]
    run = Executable(graph, backend="native", general=True)
    for size in (1, 17, 30000):
        arrays = operands([(size,), (size, 3), (4, size), (size * 2 + 1,)])
        for found, wanted in zip(run(arrays), interpret(graph, arrays), strict=True):
            assert found.tobytes() == wanted.tobytes()


def test_an_update_that_reads_another_parameter_sees_its_old_value() -> None:
    """The second update reads the first parameter, which the first replaces."""
    shapes = ((9000,), (9000,), (9000,), (9000,), (100,))
    b = Builder()
    lr = b.input(TensorType(float32, ()))
    many = [[b.input(TensorType(float32, s)) for s in shapes] for _ in range(3)]
    gradients, parameters, moments = many
    gradients = [gradients[0], parameters[0], parameters[1], gradients[3], gradients[4]]
    pairs = [
        updated(b, p, g, m, lr) for p, g, m in zip(parameters, gradients, moments, strict=True)
    ]
    graph = b.graph([*(p for p, _ in pairs), *(m for _, m in pairs)])
    for threads in (1, 2):
        arrays = operands(shapes)
        expected = interpret(graph, arrays)
        Executable(graph, updates=in_place(5), threads=threads, backend="native")(arrays)
        for after, wanted in zip(arrays[6:], expected, strict=True):
            assert after.tobytes() == wanted.tobytes()


def trained(count: int) -> Graph:
    """Products and sums whose results are the gradients of momentum."""
    b = Builder()
    lr, x = b.input(TensorType(float32, ())), b.input(TensorType(float32, (32, 16)))
    dys = [b.input(TensorType(float32, (32, 4 + k))) for k in range(count)]
    shapes = [(16, 4 + k) for k in range(count)]
    parameters, moments = ([b.input(TensorType(float32, s)) for s in shapes] for _ in range(2))
    turned = b.permute(x, axes=(1, 0))
    gradients = [b.matmul(turned, dy) for dy in dys]
    rows = zip(parameters, gradients, moments, strict=True)
    pairs = [updated(b, p, g, m, lr) for p, g, m in rows]
    return b.graph([*(p for p, _ in pairs), *(m for _, m in pairs)])


def test_updates_stay_apart_from_what_makes_their_gradients() -> None:
    refusals: list[Refusal] = []
    fused = fuse(trained(5), refusals=refusals)
    kinds = [n.attributes["kind"] for n in fused.nodes if n.op == "fused"]
    assert kinds.count("map") == 5 and [n.op for n in fused.nodes].count("matmul") == 5
    assert any("many alike" in str(r) for r in refusals)
    made = lower(fused)
    assert [s.count for s in made.steps if "sub" in s.ops] == [5]
    few = fuse(trained(3))
    assert [n.attributes["kind"] for n in few.nodes if n.op == "fused"] == ["matmul"] * 3


def test_explain_says_how_many() -> None:
    text = str(explain(Executable(momentum(SHAPES)), {}))
    assert f"{len(SHAPES)} times: " in text


def stacked(count: int) -> Graph:
    """Sums of arrays of several shapes, set side by side, the first of them twice."""
    b = Builder()
    xs = [b.input(TensorType(float32, (3 + k % 5, 8))) for k in range(count)]
    sums = [b.reshape(b.sum(x, axes=(0, 1)), shape=(1,)) for x in xs]
    return b.graph([b.concat(*sums, sums[0], axis=0)])


def test_many_values_side_by_side() -> None:
    """Each is written by a short kernel of its own, all in one step; no kernel asks for all."""
    made = lowered(stacked(60))
    assert max(map(len, made.sources)) < 40_000
    assert max(s.count for s in made.steps) == 61
    assert len({s.number for s in made.steps}) < 8
    random = np.random.default_rng(1)
    arrays = [random.integers(-9, 9, (3 + k % 5, 8)).astype(np.float32) for k in range(60)]
    (found,) = Executable(stacked(60), backend="native")(arrays)
    assert np.array_equal(found, np.array([a.sum() for a in [*arrays, arrays[0]]], np.float32))


def test_a_device_launches_each() -> None:
    made = lowered(momentum(SHAPES), target="cuda")
    assert len(made.launches) == len(SHAPES)


def squares(shapes: Sequence[tuple[Size, ...]]) -> Graph:
    """The sum of squares of each array."""
    b = Builder()
    xs = [b.input(TensorType(float32, s)) for s in shapes]
    return b.graph([b.sum(b.mul(x, x), axes=tuple(range(len(x.type.shape)))) for x in xs])


def test_sums_over_whole_arrays_are_two_steps() -> None:
    """Chunks of all arrays, then their joins; in the order that each sum has alone."""
    shapes = (*SHAPES, (130, 257), (4096,), (4097,), (1,))
    made = lowered(squares(shapes))
    assert [s.count for s in made.steps if s.count > 1] == [9, 9]
    assert len({s.number for s in made.steps}) == 2
    random = np.random.default_rng(2)
    arrays = [random.standard_normal(s).astype(np.float32) for s in shapes]
    found = Executable(squares(shapes), backend="native")(arrays)
    for shape, array, total in zip(shapes, arrays, found, strict=True):
        (alone,) = Executable(squares([shape]), backend="native")([array])
        assert total.tobytes() == alone.tobytes()


def test_sums_along_some_axes_are_not_flat() -> None:
    """Columns are summed in another order than whole arrays."""
    b = Builder()
    xs = [b.input(TensorType(float32, (70 + k, 1 + k))) for k in range(5)]
    graph = b.graph([b.sum(x, axes=(0,)) for x in xs])
    assert all(s.count == 1 for s in lowered(graph).steps)
    random = np.random.default_rng(3)
    arrays = [random.integers(-99, 99, v.type.shape).astype(np.float32) for v in xs]
    for found, array in zip(Executable(graph, backend="native")(arrays), arrays, strict=True):
        assert np.array_equal(found, array.sum(0))


def test_reductions_of_nothing_beside_others() -> None:
    """A sum over no element is written, though its loop has no round."""
    n = Dim("n", min=0, max=100)
    graphs = []
    for first in (0, n):
        b = Builder()
        xs = [b.input(TensorType(float32, shape)) for shape in ((first, 3), (4, 5), (7,))]
        several = [b.sum(b.mul(x, x), axes=tuple(range(x.type.rank))) for x in xs]
        graphs.append(b.graph([*several, *(b.mul(x, x) for x in xs)]))
    arrays = [np.ones(s, np.float32) for s in ((0, 3), (4, 5), (7,))]
    for graph in graphs:
        for _ in range(2):
            found = Executable(graph, backend="native", general=True)(arrays)
            assert [float(x) for x in found[:3]] == [0.0, 20.0, 7.0]


def test_positions_of_extremes_beside_each_other() -> None:
    b = Builder()
    xs = [b.input(TensorType(float32, (size,))) for size in (5, 9, 70)]
    graph = b.graph([b.argmax(b.neg(x), axis=0) for x in xs])
    arrays = [np.arange(size, dtype=np.float32) % 5 for size in (5, 9, 70)]
    found = Executable(graph, backend="native")(arrays)
    assert [int(x) for x in found] == [0, 0, 0]
