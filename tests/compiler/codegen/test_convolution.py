"""Convolutions have the bits of the loops that define them: in every kernel, for sizes known or
not, with narrow vectors, and with what follows them."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from intaglio.compiler import lowering_templates
from intaglio.compiler.dims import Dim
from intaglio.compiler.dtypes import float32
from intaglio.compiler.ir import Graph
from intaglio.compiler.lower import Lowered, lower
from intaglio.compiler.op import Builder
from intaglio.compiler.passes import PIPELINE
from intaglio.compiler.passes.fuse import fuse
from intaglio.compiler.passes.gradient import gradient
from intaglio.compiler.schedule.conv_loops import loops_kernel
from intaglio.compiler.types import TensorType
from tests.compiler.codegen.harness import COMPILER, Array, build
from tests.samples import Case, cases, graph_of

pytestmark = pytest.mark.skipif(COMPILER is None, reason="no C compiler on this machine")

OPS = ("conv", "conv_input", "conv_weight")
SAMPLES = [
    c for c in cases() if c.op in OPS and c.types[0].dtype.name == "f32" and c.operands[0].size
]


def plainly(monkeypatch: pytest.MonkeyPatch, graphs: list[Graph]) -> list[Lowered]:
    """The graphs with the loops that define convolutions."""
    with monkeypatch.context() as patch:
        patch.setattr(lowering_templates, "convolution_kernels", loops_kernel)
        return [lower(g, layouts=False) for g in graphs]


def open_graph(case: Case) -> tuple[Graph, dict[str, int]]:
    """The case with a symbol for the number of images and for each size of them."""
    sizes: dict[str, int] = {}

    def opened(operand: int, type: TensorType) -> TensorType:
        if operand == 1 and case.op != "conv_weight":
            return type
        shape = list(type.shape)
        sizes["n"] = shape[0]
        shape[0] = Dim("n", min=0)
        if case.op == "conv":
            for k in range(2, len(shape)):
                sizes[f"s{k}"] = shape[k]
                shape[k] = Dim(f"s{k}", min=8)
        return type.with_shape(*shape)

    b = Builder()
    xs = [b.input(opened(k, t)) for k, t in enumerate(case.types)]
    return b.graph(b.apply(case.op, xs, case.attributes)), sizes


def test_all_kernels_have_the_bits_of_the_loops(monkeypatch: pytest.MonkeyPatch) -> None:
    graphs = [graph_of(c) for c in SAMPLES]
    fast, loops = [lower(g, layouts=False) for g in graphs], plainly(monkeypatch, graphs)
    assert all(len(f.sources[0]) > len(p.sources[0]) for f, p in zip(fast, loops, strict=True))
    opened = [open_graph(c) for c in SAMPLES]
    general = [lower(g, layouts=False) for g, _ in opened]
    narrow = build(fast, flags=("-O1", "-mno-avx512f"))
    made = build([*loops, *fast, *general])
    count = len(SAMPLES)
    for k, case in enumerate(SAMPLES):
        (want,) = made[k](*case.operands)
        (wide,) = made[count + k](*case.operands)
        (less,) = narrow[k](*case.operands, backwards=True)
        (sizes,) = made[2 * count + k](*case.operands, sizes=opened[k][1])
        for got in (wide, less, sizes):
            assert got.tobytes() == want.tobytes(), case.id


def block(b: Builder, groups: int, stride: int) -> Graph:
    """A convolution with a bias, a residual and a relu, as a network has them."""
    n, c, size = 2, 24, 11
    x = b.input(TensorType(float32, (n, c, size, size)))
    w = b.input(TensorType(float32, (c, c // groups, 3, 3)))
    bias = b.input(TensorType(float32, (c,)))
    y = b.conv(
        x, w, strides=(stride, stride), low=(1, 1), high=(1, 1), dilations=(1, 1), groups=groups
    )
    shape = b.type_of(y).shape
    rest = b.input(TensorType(float32, shape))
    y = b.add(y, b.expand(bias, shape=shape, axes=(1,)))
    y = b.maximum(b.add(y, rest), b.like(0.0, y))
    return b.graph([y])


def finished(graph: Graph) -> Graph:
    for step in PIPELINE:
        graph = step(graph)
    return fuse(graph)


def arrays_for(graph: Graph) -> list[Array]:
    rng = np.random.default_rng(3)
    return [rng.standard_normal(v.type.shape).astype(np.float32) for v in graph.inputs]


@pytest.mark.parametrize(("groups", "stride"), [(1, 1), (1, 2), (24, 1)])
def test_what_follows_is_one_kernel(
    monkeypatch: pytest.MonkeyPatch, groups: int, stride: int
) -> None:
    graph = block(Builder(), groups, stride)
    low = lower(finished(graph), layouts=False)
    assert {"conv", "add", "maximum"} <= set(low.steps[-1].ops)
    assert len({s.ops for s in low.steps}) == 1
    (apart,) = plainly(monkeypatch, [graph])
    fused, plain = build([low, apart])
    arrays = arrays_for(graph)
    assert fused(*arrays)[0].tobytes() == plain(*arrays)[0].tobytes()


def test_gradients_have_the_bits_of_the_loops(monkeypatch: pytest.MonkeyPatch) -> None:
    b = Builder()
    graph = block(b, 2, 2)
    (y,) = graph.outputs
    total = b.sum(b.mul(y, y), axes=(0, 1, 2, 3))
    whole = finished(gradient(b.graph([total]), list(graph.inputs)))
    fast, (loops,) = lower(whole), plainly(monkeypatch, [whole])
    ran, plain = build([fast, loops])
    arrays = arrays_for(graph)
    for got, want in zip(ran(*arrays), plain(*arrays), strict=True):
        assert got.tobytes() == want.tobytes()


def test_padding_takes_part_and_strides_do_not(monkeypatch: pytest.MonkeyPatch) -> None:
    """An infinite weight at the padding gives NaN; one that a stride jumps over gives nothing."""
    shapes: dict[str, Any] = {"strides": (2,), "low": (1,), "high": (1,), "dilations": (1,)}
    b = Builder()
    x, w = (b.input(TensorType(float32, s)) for s in ((1, 1, 6), (1, 1, 3)))
    forward = b.graph([b.conv(x, w, groups=1, **shapes)])
    b = Builder()
    y, w = (b.input(TensorType(float32, s)) for s in ((1, 1, 3), (1, 1, 3)))
    back = b.graph([b.conv_input(y, w, sizes=(6,), groups=1, **shapes)])
    one, other = build([lower(g, layouts=False) for g in (forward, back)])
    weight = np.array([[[np.inf, 1, 1]]], np.float32)
    (found,) = one(np.ones((1, 1, 6), np.float32), weight)
    assert np.isnan(found[0, 0, 0]) and np.isinf(found[0, 0, 1:]).all()
    (found,) = other(np.ones((1, 1, 3), np.float32), weight)
    assert np.array_equal(found[0, 0], np.array([1, np.inf, 1, np.inf, 1, np.nan], "f4"), True)


@pytest.mark.parametrize(
    ("x", "w", "groups"),
    [
        ((2, 3, 30, 31), (9, 3, 3, 3), 1),
        ((1, 40, 45, 50), (11, 40, 1, 1), 1),
        ((2, 1, 700, 7), (1, 1, 3, 2), 1),
        ((1, 4, 40, 40), (4, 1, 3, 3), 4),
        ((2, 5, 4000), (3, 5, 9), 1),
    ],
)
def test_images_without_padding_are_read_in_place(
    monkeypatch: pytest.MonkeyPatch, x: tuple[int, ...], w: tuple[int, ...], groups: int
) -> None:
    rank = len(x) - 2
    b = Builder()
    operands = [b.input(TensorType(float32, s)) for s in (x, w)]
    geometry: dict[str, Any] = {"strides": (1,) * rank, "dilations": (1,) * rank}
    geometry |= {"low": (0,) * rank, "high": (0,) * rank, "groups": groups}
    graph = b.graph([b.conv(*operands, **geometry)])
    low = lower(graph, layouts=False)
    largest = max(s.bytes for s in low.buffers if s.kind == "temp")
    assert isinstance(largest, int) and largest < int(np.prod(x)) * 4
    (plain,) = plainly(monkeypatch, [graph])
    wide, loops = build([low, plain])
    (narrow,) = build([low], flags=("-O1", "-mno-avx512f"))
    arrays = arrays_for(graph)
    (want,) = loops(*arrays)
    for f in (wide, narrow):
        assert f(*arrays)[0].tobytes() == want.tobytes()
