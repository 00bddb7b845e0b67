"""Attributes at their limits: refused by the rules, or lowered to short text in short time."""

from __future__ import annotations

import time
from typing import Any

import pytest

from intaglio.compiler.dtypes import float32
from intaglio.compiler.errors import Error
from intaglio.compiler.lower import lower
from intaglio.compiler.op import Builder
from intaglio.compiler.passes.fuse import fuse
from intaglio.compiler.types import TensorType

FAR = 1 << 31
MANY = 1 << 20


def geometry(rank: int, **changes: Any) -> dict[str, Any]:
    ones, zeros = (1,) * rank, (0,) * rank
    return {"strides": ones, "low": zeros, "high": zeros, "dilations": ones} | changes


def made(op: str, *shapes: tuple[int, ...], **attributes: Any) -> Any:
    """A graph of one node."""
    g = Builder()
    inputs = [g.input(TensorType(float32, shape)) for shape in shapes]
    return g.graph(list(g.apply(op, tuple(inputs), attributes)))


def convolution(op: str, *shapes: tuple[int, ...], **changes: Any) -> Any:
    rank = len(shapes[0]) - 2
    return made(op, *shapes, **({"groups": 1} | geometry(rank, **changes)))


def window(op: str, x: tuple[int, ...], sizes: tuple[int, ...], **changes: Any) -> Any:
    return made(op, x, **geometry(len(sizes), sizes=sizes, **changes))


LOWERED = {
    "a million taps": lambda: convolution("conv", (1, 1, MANY + 3), (1, 1, MANY)),
    "a million taps in two dims": lambda: convolution(
        "conv", (1, 1, 1030, 1030), (1, 1, 1024, 1024)
    ),
    "a million taps backwards": lambda: convolution(
        "conv_input", (1, 8, 4), (8, 8, MANY), sizes=(MANY + 3,)
    ),
    "a derivative by a million taps": lambda: convolution(
        "conv_weight", (1, 1, MANY + 3), (1, 1, 4), sizes=(MANY,)
    ),
    "a million taps of each channel": lambda: convolution(
        "conv_weight", (1, 4, MANY + 3), (1, 4, 4), sizes=(MANY,), groups=4
    ),
    "the largest strides": lambda: convolution(
        "conv", (1, 8, 8, 8), (8, 8, 3, 3), strides=(FAR - 1, FAR - 1)
    ),
    "the largest strides backwards": lambda: convolution(
        "conv_input", (1, 8, 1, 1), (8, 8, 3, 3), sizes=(8, 8), strides=(FAR - 1, FAR - 1)
    ),
    "the largest padding and dilation": lambda: convolution(
        "conv", (1, 2, 8), (3, 2, 3), low=(FAR - 1,), high=(FAR - 1,), dilations=(FAR - 1,)
    ),
    "windows that span all": lambda: window(
        "window_spread", (2, 20), (2,), shape=(40,), dilations=(FAR - 1,), low=(FAR - 1,),
        strides=(2,),
    ),
    "windows far apart": lambda: window(
        "window_spread", (2, 1), (2,), shape=(40,), strides=(FAR - 1,)
    ),
    "as many taps as can be": lambda: window("window_max", (2, 20, 20), (8, 8)),
    "as many windows as can be": lambda: window("window_spread", (2, 9, 9), (8, 8), shape=(16, 16)),
}  # fmt: skip

REFUSED = {
    "no stride": lambda: convolution("conv", (1, 2, 8), (3, 2, 3), strides=(0,)),
    "a stride too far": lambda: convolution("conv", (1, 2, 8), (3, 2, 3), strides=(FAR,)),
    "negative padding": lambda: convolution("conv", (1, 2, 8), (3, 2, 3), low=(-1,)),
    "padding that overflows": lambda: convolution("conv", (1, 2, 8), (3, 2, 3), low=(1 << 62,)),
    "a kernel larger than the image": lambda: convolution("conv", (1, 2, 2), (3, 2, 3)),
    "no groups": lambda: convolution("conv", (1, 2, 8), (3, 2, 3), groups=0),
    "groups that do not divide": lambda: convolution("conv", (1, 4, 8), (3, 2, 3), groups=2),
    "a kernel without sizes": lambda: convolution("conv", (1, 2, 8), (3, 2, 0)),
    "too many taps": lambda: window("window_max", (2, 80), (65,)),
    "taps whose product overflows": lambda: window("window_sum", (2, 8, 8), (1 << 40, 1 << 40)),
    "windows without taps": lambda: window("window_sum", (2, 8), (0,)),
    "windows too far apart": lambda: window("window_sum", (2, 8), (2,), strides=(FAR,)),
    "taps too far apart": lambda: window("window_sum", (2, 8), (2,), dilations=(FAR,), low=(FAR,)),
    "more elements than there are": lambda: made("topk", (3, 4), k=5, axis=1, largest=True),
}


@pytest.mark.parametrize("name", LOWERED)
@pytest.mark.parametrize("target", ["c", "cuda"])
def test_extremes_make_short_text(name: str, target: str) -> None:
    start = time.perf_counter()
    lowered = lower(fuse(LOWERED[name]()), target=target)
    assert sum(map(len, lowered.sources)) < 200_000
    assert time.perf_counter() - start < 20


@pytest.mark.parametrize("name", REFUSED)
def test_what_cannot_be_is_refused(name: str) -> None:
    with pytest.raises(Error):
        REFUSED[name]()
