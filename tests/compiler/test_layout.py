"""The layout pass, storages, and direct convolutions: index maps against NumPy's rearrangements,
where conversions are made, and equal bits with and without layouts."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from itertools import product
from typing import Any

import numpy as np
import pytest

from intaglio.compiler.dims import Dim
from intaglio.compiler.dtypes import float32, float64
from intaglio.compiler.ir import Graph, Value
from intaglio.compiler.loop import Buffer
from intaglio.compiler.lower import lower
from intaglio.compiler.op import Builder, op_named
from intaglio.compiler.passes.fuse import fuse
from intaglio.compiler.passes.layout import layout
from intaglio.compiler.schedule.conv_direct_tile import even_cut
from intaglio.compiler.schedule.storage import Storage
from intaglio.compiler.types import TensorType
from tests.compiler.codegen.harness import COMPILER, Array, Function, build

needs_compiler = pytest.mark.skipif(COMPILER is None, reason="there is no C compiler")

# ------------------------------------------------------------------------------------------ storage


@pytest.mark.parametrize("shape", [(2, 32, 3, 4), (1, 24, 5, 2), (3, 7, 2, 2)])
@pytest.mark.parametrize("halo", [((0, 0), (0, 0)), ((1, 2), (0, 3))])
@pytest.mark.parametrize("block", [16, None])
def test_storage_maps_indices_as_numpy_rearranges(
    shape: tuple[int, ...], halo: tuple[tuple[int, int], ...], block: int | None
) -> None:
    x = np.arange(np.prod(shape)).reshape(shape)
    storage = Storage.of_image(halo, block)
    wide = np.pad(x, ((0, 0), (0, 0), *halo), constant_values=-1)
    if block:
        n, c, h, w = wide.shape
        wide = np.pad(wide, ((0, 0), (0, -c % block), (0, 0), (0, 0)), constant_values=-1)
        wide = wide.reshape(n, -1, block, h, w).transpose(0, 1, 3, 4, 2)
    assert storage.sizes(shape) == wide.shape
    view, flat = storage.view(0, shape), wide.ravel()
    strides = (*view.strides, *(b.stride for b in view.blocks))
    buffer = Buffer(float32, shape, strides, "input", view.blocks)
    for index in np.ndindex(*shape):
        place = zip(buffer.place(index), buffer.strides, strict=True)
        offset = sum((p * s for p, s in place), start=view.offset)  # type: ignore[operator,misc]
        assert flat[offset] == x[index]  # type: ignore[index]


@pytest.mark.parametrize("extent, largest", [*product((1, 5, 7, 14, 49, 112), (6, 14))])
def test_even_cuts_cover_the_extent(extent: int, largest: int) -> None:
    pieces = even_cut(extent, largest)
    assert sum(pieces) == extent
    assert max(pieces) <= largest
    assert max(pieces) - min(pieces) <= 1
    assert list(pieces) == sorted(pieces, reverse=True)


# --------------------------------------------------------------------------------------------- nets


class Net:
    """Builds graphs of convolutions."""

    def __init__(self) -> None:
        self.g = Builder()

    def image(self, *shape: int | Dim) -> Value:
        """An input of images."""
        return self.g.input(TensorType(float32, shape))

    def conv(
        self, x: Value, filters: int, k: int, s: int = 1, p: int = 0, d: int = 1, groups: int = 1
    ) -> Value:
        """A convolution with weights of its own."""
        channels = x.type.shape[1]
        assert isinstance(channels, int)
        w = self.g.input(TensorType(float32, (filters, channels // groups, k, k)))
        return self.g.conv(
            x, w, strides=(s, s), low=(p, p), high=(p, p), dilations=(d, d), groups=groups
        )

    def relu(self, x: Value) -> Value:
        """The ramp."""
        return self.g.maximum(x, self.g.full(0.0, x.type.dtype, x.type.shape))

    def scaled(self, x: Value) -> Value:
        """A factor and a shift per channel."""
        channels = x.type.shape[1]
        a, b = (self.g.input(TensorType(float32, (channels,))) for _ in range(2))
        wide = [self.g.expand(v, shape=x.type.shape, axes=(1,)) for v in (a, b)]
        return self.g.add(self.g.mul(x, wide[0]), wide[1])

    def pool(self, x: Value, k: int, s: int, p: int) -> Value:
        """The largest of each window."""
        return self.g.window_max(
            x, sizes=(k, k), strides=(s, s), low=(p, p), high=(p, p), dilations=(1, 1)
        )

    def graph(self, *outputs: Value) -> Graph:
        """The graph after fusion."""
        return fuse(Graph(tuple(self.g.inputs), tuple(self.g.nodes), outputs))


def residual(channels: int = 32, size: int = 9, images: int | Dim = 2) -> Graph:
    """A stem, a pool, a residual block, a strided block, a mean, and an image as results."""
    net = Net()
    x = net.image(images, 3, 2 * size, 2 * size)
    x = net.relu(net.scaled(net.conv(x, channels, 5, 2, 2)))
    x = net.pool(x, 3, 2, 1)
    y = net.relu(net.scaled(net.conv(x, channels, 3, 1, 1)))
    y = net.scaled(net.conv(y, channels, 3, 1, 1))
    x = net.relu(net.g.add(x, y))
    z = net.relu(net.conv(x, 40, 1, 2))
    return net.graph(net.g.sum(z, axes=(2, 3)), z)


def inverted() -> Graph:
    """An inverted residual block of channels that fill no block."""
    net = Net()
    x = net.conv(net.image(1, 8, 7, 10), 24, 1)
    y = net.relu(net.scaled(net.conv(x, 72, 1)))
    y = net.relu(net.scaled(net.conv(y, 72, 3, 1, 1, groups=72)))
    y = net.scaled(net.conv(y, 24, 1))
    x = net.g.add(x, y)
    y = net.relu(net.conv(x, 144, 1))
    y = net.conv(y, 144, 5, 2, 2, groups=144)
    return net.graph(net.relu(net.conv(y, 48, 1)))


def dense(size: int = 6) -> Graph:
    """Convolutions whose results are joined along the channels."""
    net = Net()
    x = net.conv(net.image(1, 3, size, 10), 32, 3, 1, 1)
    for _ in range(2):
        y = net.conv(net.relu(net.scaled(x)), 48, 1)
        y = net.conv(net.relu(net.scaled(y)), 16, 3, 1, 1)
        x = net.g.concat(x, y, axis=1)
    return net.graph(net.g.sum(net.relu(net.scaled(x)), axes=(2, 3)))


def maps() -> Graph:
    """Elementwise ops, windows and joins between convolutions, with and without zeros around."""
    net = Net()
    x = net.conv(net.image(1, 32, 8, 24), 32, 1)
    y = net.g.concat(net.pool(x, 3, 1, 1), x, net.g.exp(x), axis=1)
    z = net.conv(net.relu(net.g.concat(y, net.pool(y, 3, 1, 1), axis=1)), 24, 3, 1, 1)
    return net.graph(net.g.add(net.pool(z, 2, 2, 0), net.pool(net.relu(z), 2, 2, 0)))


def copies_in(graph: Graph) -> int:
    """How many conversions the lowered function makes."""
    return sum(step.ops == ("copy",) for step in lower(graph).steps)


# ---------------------------------------------------------------------------------------- decisions


def test_what_a_region_makes_is_stored_in_blocks_with_the_halo_its_readers_want() -> None:
    net = Net()
    first = net.conv(net.image(1, 32, 8, 8), 64, 3, 1, 1)
    pooled = net.pool(net.relu(first), 2, 2, 0)
    graph = net.graph(net.conv(net.conv(pooled, 64, 5, 1, 2), 32, 1))
    found = layout(graph).storages
    by_shape = {v.type.shape: s for v, s in found.items()}
    assert by_shape[(1, 64, 8, 8)] == Storage.of_image(((0, 0), (0, 0)), 16)
    halos = [s.halo[2] for v, s in found.items() if v.type.shape == (1, 64, 4, 4)]
    assert sorted(halos) == [(0, 0), (2, 2)]
    said = "f32[1,64,4,4]: channels in blocks of 16, zeros around it: 2+2, 2+2"
    assert said in layout(graph).lines
    assert not any(v in found for v in graph.inputs)


def test_conversions_are_made_only_at_the_edges() -> None:
    net = Net()
    x = net.image(1, 32, 8, 8)
    for _ in range(4):
        x = net.relu(net.conv(x, 32, 3, 1, 1))
    assert copies_in(net.graph(x)) == 2  # the input to blocks, the result back
    assert copies_in(dense()) == 1  # the halo of the first
    assert copies_in(residual()) == 1  # the halo of the stem; the mean reads blocks


def test_the_pass_changes_nothing_and_decides_the_same_again() -> None:
    graph = residual()
    before = graph.nodes
    assert layout(graph) == layout(graph)
    assert graph.nodes is before


@pytest.mark.parametrize(
    "shape, options, dtype, reason",
    [
        ((1, 32, Dim("h"), 8), {}, float32, "known only when it is called"),
        ((1, 32, 8, 8), {"groups": 2}, float32, "fall into 2 groups"),
        ((1, 32, 8, 8), {"filters": 4}, float32, "4 filters fill no block"),
        ((1, 32, 8, 8), {}, float64, "for f32, not f64"),
        ((0, 32, 8, 8), {}, float32, "no elements"),
    ],
)
def test_why_a_convolution_stays_row_major(
    shape: tuple[Any, ...], options: dict[str, int], dtype: Any, reason: str
) -> None:
    g = Builder()
    groups = options.get("groups", 1)
    x = g.input(TensorType(dtype, shape))
    w = g.input(TensorType(dtype, (options.get("filters", 32), 32 // groups, 3, 3)))
    one: dict[str, Any] = {"strides": (1, 1), "dilations": (1, 1), "groups": groups}
    y = g.conv(x, w, low=(1, 1), high=(1, 1), **one)
    found = layout(Graph((x, w), tuple(g.nodes), (y,)))
    assert not found.storages
    assert reason in found.refusals[0]
    assert found.lines == found.refusals


def test_functions_that_train_stay_row_major() -> None:
    g = Builder()
    x, w = (g.input(TensorType(float32, s)) for s in ((1, 32, 8, 8), (32, 32, 3, 3)))
    plain: dict[str, Any] = {"strides": (1, 1), "dilations": (1, 1), "groups": 1}
    plain |= {"low": (1, 1), "high": (1, 1)}
    y = g.conv(x, w, **plain)
    dw = g.conv_weight(x, y, sizes=(3, 3), **plain)
    found = layout(Graph((x, w), tuple(g.nodes), (y, dw)))
    assert not found.storages
    assert "derivatives" in found.refusals[0]


# --------------------------------------------------------------------------------------------- bits


@dataclass(frozen=True)
class Case:
    """A convolution alone: sizes of the images, filters, kernel, and geometry."""

    shape: tuple[int, int, int, int]
    filters: int
    k: int
    s: int = 1
    p: int = 0
    d: int = 1
    depthwise: bool = False

    def graph(self) -> Graph:
        """Its graph, scaled, with a ramp."""
        net = Net()
        groups = self.shape[1] if self.depthwise else 1
        y = net.conv(net.image(*self.shape), self.filters, self.k, self.s, self.p, self.d, groups)
        return net.graph(net.relu(net.scaled(y)))


CASES = (
    Case((1, 32, 14, 14), 32, 3, p=1),
    Case((2, 16, 7, 7), 48, 3, p=1),
    Case((1, 40, 9, 17), 33, 3, s=2, p=1),
    Case((1, 3, 17, 20), 24, 7, s=2, p=3),
    Case((3, 1, 8, 9), 16, 3),
    Case((1, 24, 5, 11), 72, 1),
    Case((1, 20, 6, 6), 17, 1, s=2),
    Case((2, 40, 8, 9), 40, 3, p=1, depthwise=True),
    Case((1, 24, 11, 8), 24, 5, s=2, p=2, depthwise=True),
    Case((1, 16, 12, 13), 16, 3, p=2, d=2),
    Case((1, 33, 4, 30), 16, 2, p=1),
)
BUILDS = {"native": (), "avx2": ("-mno-avx512f",), "any": ("-DIG_FORCE_WIDTH=4",)}


def graphs() -> list[Graph]:
    """All graphs whose bits are compared."""
    return [*(c.graph() for c in CASES), residual(), residual(48, 7), inverted(), dense(), maps()]


@lru_cache(maxsize=1)
def functions() -> dict[str, list[Function]]:
    """The functions of all graphs, by how they were made."""
    many = graphs()
    direct = [lower(g) for g in many]
    packed = [lower(g, packable=range(1, len(g.inputs))) for g in many]
    plain = [lower(g, layouts=False) for g in many]
    found = {"plain": build(plain), "packed": build(packed)}
    for label, flags in BUILDS.items():
        found[label] = build(direct, ("-O1", *flags))
    found["lanes"] = build([lower(g, lanes=32) for g in many])
    return found


def operands(graph: Graph) -> list[Array]:
    """Numbers for a graph's inputs."""
    rng = np.random.default_rng(7)
    shapes = [[s for s in v.type.shape if isinstance(s, int)] for v in graph.inputs]
    return [rng.standard_normal(s).astype(np.float32) for s in shapes]


@needs_compiler
@pytest.mark.parametrize("made", ["packed", *BUILDS, "lanes"])
def test_bits_do_not_depend_on_the_layout(made: str) -> None:
    for k, graph in enumerate(graphs()):
        arrays = operands(graph)
        wanted = functions()["plain"][k](*arrays)
        for backwards in (False, True):
            got = functions()[made][k](*arrays, backwards=backwards)
            for a, b in zip(wanted, got, strict=True):
                assert not np.isnan(a).any()
                np.testing.assert_array_equal(a.view(np.int32), b.view(np.int32), f"graph {k}")


@needs_compiler
def test_the_form_for_any_number_of_images_has_the_same_bits() -> None:
    special = residual()
    arrays = operands(special)
    wanted = build([lower(special, layouts=False)])[0](*arrays)
    general = lower(residual(images=Dim("n")))
    assert general.size_names == ("n",)
    run = build([general])[0]
    for n in (2, 1):
        got = run(arrays[0][:n], *arrays[1:], sizes={"n": n})
        for a, b in zip(wanted, got, strict=True):
            np.testing.assert_array_equal(a[:n].view(np.int32), b.view(np.int32))


@needs_compiler
def test_direct_convolutions_compute_the_reference() -> None:
    for k, (case, graph) in enumerate(zip(CASES, graphs(), strict=False)):
        x, w, a, b = operands(graph)
        geometry: dict[str, Any] = {
            "strides": (case.s,) * 2,
            "low": (case.p,) * 2,
            "high": (case.p,) * 2,
            "dilations": (case.d,) * 2,
            "groups": case.shape[1] if case.depthwise else 1,
        }
        y = op_named("conv").reference(x.astype(np.float64), w.astype(np.float64), **geometry)
        wanted = np.maximum(y * a[:, None, None] + b[:, None, None], 0)
        (got,) = functions()["native"][k](x, w, a, b)
        np.testing.assert_allclose(got, wanted, rtol=1e-5, atol=1e-4)


@needs_compiler
def test_infinite_weights_meet_the_zeros_around_an_image() -> None:
    graph = Case((1, 16, 4, 4), 16, 3, p=1).graph()
    arrays = operands(graph)
    arrays[1][:, :, 0, 0] = np.inf
    (plain,) = build([lower(graph, layouts=False)])[0](*arrays)
    (direct,) = build([lower(graph)])[0](*arrays)
    np.testing.assert_array_equal(np.isnan(plain), np.isnan(direct))
    assert np.isnan(direct).any()
