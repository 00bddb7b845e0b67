"""Convolutions as CUDA text, tile by tile: the bits of the C, whatever the order of lanes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from intaglio.compiler.dims import Dim
from intaglio.compiler.dtypes import float64, int32
from intaglio.compiler.ir import Graph, Value
from intaglio.compiler.launch import concrete
from intaglio.compiler.lower import lower
from intaglio.compiler.op import Builder
from intaglio.compiler.passes.fuse import fuse
from intaglio.compiler.types import TensorType
from tests.compiler.codegen.harness import COMPILER as CC, build
from tests.cuda.emulator import COMPILER, emulate
from tests.cuda.programs import Size, f32, of, operands

pytestmark = pytest.mark.skipif(not (COMPILER and CC), reason="needs gcc and g++")
n, h, w = Dim("n", min=1), Dim("h", min=4), Dim("w", min=4)


def geometry(rank: int = 2, **changes: Any) -> dict[str, Any]:
    """The plain geometry of so many dims, but for `changes`."""
    zeros, ones = (0,) * rank, (1,) * rank
    plain = {"strides": ones, "low": zeros, "high": zeros, "dilations": ones, "groups": 1}
    return plain | changes


def three(image: tuple[Size, ...], kernel: tuple[int, ...], dtype: Any = None, **g: Any) -> Graph:
    """A convolution with what is behind it, and both derivatives."""
    types = [f32(*image), f32(*kernel)]
    if dtype is not None:
        types = [TensorType(dtype, t.shape) for t in types]
    attributes = geometry(len(kernel) - 2, **g)

    def make(b: Builder, x: Value, k: Value) -> list[Value]:
        y = b.conv(x, k, **attributes)
        dy = b.mul(y, y) if dtype is int32 else b.tanh(y)
        dx = b.conv_input(dy, k, sizes=image[2:], **attributes)
        dk = b.conv_weight(x, dy, sizes=kernel[2:], **attributes)
        return [dy, b.add(dx, x), b.mul(dk, k)]

    return of(types, make)


def plain(image: tuple[Size, ...], kernel: tuple[int, ...], **g: Any) -> Graph:
    """The three without anything fused behind them."""
    attributes = geometry(len(kernel) - 2, **g)

    def make(b: Builder, x: Value, k: Value) -> list[Value]:
        y = b.conv(x, k, **attributes)
        dx = b.conv_input(y, k, sizes=image[2:], **attributes)
        return [y, dx, b.conv_weight(x, y, sizes=kernel[2:], **attributes)]

    return of([f32(*image), f32(*kernel)], make)


PADDED = {"low": (1, 1), "high": (1, 1)}
CASES: dict[str, tuple[Graph, dict[str, int]]] = {
    "blocks of channels": (three((n, 32, 7, 9), (48, 32, 3, 3), **PADDED), {"n": 3}),
    "a last block": (three((n, 37, 6, 5), (20, 37, 2, 3), low=(1, 0), high=(0, 2)), {"n": 2}),
    "strides": (three((n, 16, 9, 11), (24, 16, 3, 3), strides=(2, 3), **PADDED), {"n": 3}),
    "few taps meet": (three((n, 19, 8, 7), (9, 19, 2, 1), strides=(3, 2)), {"n": 2}),
    "strides and dilations": (
        three((n, 8, 17, 19), (8, 8, 4, 3), strides=(4, 3), dilations=(2, 3), low=(2, 1),
              high=(3, 5)), {"n": 2}),
    "groups": (three((n, 60, 5, 6), (27, 20, 3, 3), groups=3, **PADDED), {"n": 2}),
    "one dim": (three((n, 18, 90), (17, 18, 5), strides=(2,), low=(4,), high=(1,)), {"n": 3}),
    "three dims": (
        three((n, 9, 4, 5, 6), (10, 9, 2, 3, 2), strides=(1, 2, 2), low=(0, 1, 1),
              high=(1, 1, 0)), {"n": 2}),
    "any size": (three((n, 12, h, w), (16, 12, 3, 3), strides=(2, 1), **PADDED),
                 {"n": 2, "h": 9, "w": 10}),
    "in double": (three((n, 17, 6, 6), (16, 17, 3, 3), float64, **PADDED), {"n": 2}),
    "integers": (three((n, 17, 6, 6), (16, 17, 3, 3), int32, **PADDED), {"n": 2}),
    "large tiles": (plain((2, 9, 64, 70), (130, 9, 1, 2)), {}),
    "one image": (plain((1, 20, 9, 8), (70, 20, 3, 3), strides=(2, 2)), {}),
    "many results": (plain((2, 528, 3, 3), (528, 8, 3, 3), groups=66, **PADDED), {}),
    "by itself": (three((n, 6, 9, 9), (12, 1, 3, 3), groups=6, strides=(2, 2), **PADDED),
                  {"n": 3}),
}  # fmt: skip


@pytest.fixture(scope="module")
def compiled() -> dict[str, tuple[Callable[..., Any], Callable[..., Any]]]:
    """Each case in CUDA and in C."""
    graphs = [fuse(g) for g, _ in CASES.values()]
    cuda = emulate([lower(g, target="cuda") for g in graphs])
    return dict(zip(CASES, zip(cuda, build([lower(g) for g in graphs]), strict=True), strict=True))


@pytest.mark.parametrize("name", CASES)
def test_the_bits_are_those_of_c(name: str, compiled: Any) -> None:
    graph, sizes = CASES[name]
    cuda, c = compiled[name]
    given = [x - x.dtype.type(x.mean()) for x in operands(graph, sizes)]
    expected = c(*given, sizes=sizes)
    for reverse in (False, True):
        for one, other in zip(cuda(*given, sizes=sizes, reverse=reverse), expected, strict=True):
            assert np.isfinite(other).all() and other.any()
            assert one.tobytes() == other.tobytes(), (name, reverse, one.shape)


def test_tiles_take_over_where_there_are_channels(compiled: Any) -> None:
    """And the derivative by the kernels goes image by image, or all images at once."""

    def blocks(name: str) -> list[tuple[tuple[int, int], int]]:
        launched = concrete(compiled[name][0].lowered.launches, CASES[name][1])
        return [(i.launch.block, i.grid[0]) for i in launched]

    assert [b for b, _ in blocks("blocks of channels")] == [(16, 16)] * 3 + [(256, 1)]
    assert [b for b, _ in blocks("many results")] == [(16, 16)] * 3
    assert [b for b, _ in blocks("by itself")] == [(256, 1)] * 4
    assert blocks("large tiles")[0][1] == 2 * -(-2 * 64 * 69 // 128)


def test_taps_that_miss_the_stride_are_no_factors_zero() -> None:
    """But positions outside of the image are: there an infinite tap makes NaN."""
    attributes = geometry(strides=(2, 3), **PADDED)
    types = [f32(1, 24, 5, 4), f32(24, 16, 3, 3)]
    graph = of(types, lambda b, y, k: b.conv_input(y, k, sizes=(10, 11), **attributes))
    (cuda,), (c,) = emulate([lower(graph, target="cuda")]), build([lower(graph)])
    y, k = operands(graph, {})
    k[:, :, 0, 1] = np.inf
    (found,), (expected,) = cuda(y, k), c(y, k, sizes={})
    assert found.tobytes() == expected.tobytes()
    assert np.isnan(found[0, :, 9, ::3]).all(), "the last row sees below the image"
    assert np.isinf(found[0, :, 1:9:2, ::3]).all()
    assert np.isfinite(found[0, :, ::2]).all() and np.isfinite(found[0, :, :, 1::3]).all()
