"""Groups around a convolution or one of its derivatives: the problem as the templates see it.

All three ops relate images x[n, g*ci, *S], kernels w[g*co, ci, *K] and results y[n, g*co, *O]. Each
template stores results [batch][row][columns]: images and planes of x and y, the rows of w.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from intaglio.compiler.codegen.c import CPrinter
from intaglio.compiler.codegen.numbers import C_TYPES
from intaglio.compiler.dims import Shape, Size, floordiv, product
from intaglio.compiler.dtypes import DType
from intaglio.compiler.ir import Graph, Node, Value
from intaglio.compiler.loop import Buffer, Unfusable
from intaglio.compiler.schedule.epilogue import Epilogue
from intaglio.compiler.schedule.template import Store

RANK = 3
"""Spatial dims that templates see: shorter ones get dims of size 1 in front."""


@dataclass(frozen=True)
class Operand:
    """An operand: the C text of its typed base pointer, and its strides in elements."""

    pointer: str
    strides: Shape


@dataclass(frozen=True)
class Window:
    """One spatial dim: `output` positions of `kernel` taps on `image` elements."""

    image: Size
    kernel: int
    output: Size
    stride: int
    low: int
    dilation: int


@dataclass(frozen=True)
class Convolution:
    """A convolution to be printed: which of the three (`kind`, the op's name), its operands in the
    op's order, and where its results go."""

    name: str
    kind: str
    dtype: DType
    images: Size
    groups: Size
    inputs: Size
    """Channels of x in a group."""
    outputs: Size
    """Channels of y in a group."""
    windows: tuple[Window, ...]
    first: Operand
    second: Operand
    workspace: str
    store: Store
    size: Callable[[Size], str]

    @property
    def kernel(self) -> tuple[int, ...]:
        """The kernel's sizes."""
        return tuple(w.kernel for w in self.windows)

    @property
    def taps(self) -> int:
        """The number of taps of the kernel."""
        count = 1
        for size in self.kernel:
            count *= size
        return count

    @property
    def phases(self) -> int:
        """How many kinds of results there are, by the taps that meet them."""
        strides = (w.stride if self.kind == "conv_input" else 1 for w in self.windows)
        return math.prod(strides)

    @property
    def outer(self) -> Size:
        """How many batches of results there are."""
        return 1 if self.kind == "conv_weight" else self.images

    @property
    def rows(self) -> Size:
        """Rows of a batch of results."""
        return self.groups * (self.inputs if self.kind == "conv_input" else self.outputs)

    @property
    def columns(self) -> Size:
        """Columns of a row of results."""
        if self.kind == "conv_weight":
            return self.inputs * self.taps
        sizes = (w.output if self.kind == "conv" else w.image for w in self.windows)
        return product(tuple(sizes))

    @property
    def nanoseconds(self) -> Size:
        """Rough work on one core."""
        positions = product(tuple(w.output for w in self.windows)) * self.images
        pairs = self.groups * self.inputs * self.outputs
        return positions * (pairs * self.taps) // (300 // self.dtype.size) + 200


@dataclass(frozen=True)
class GroupConvolution:
    """The convolution of a group, for a template: the buffers in the order of the kernel's
    parameters, and the pairs of a result and an operand of the epilogue that may be the same
    memory."""

    problem: Convolution
    buffers: list[Buffer]
    same: list[tuple[Buffer, Buffer]]


def group_convolution(
    graph: Graph,
    node: Node,
    memory: Mapping[Value, Buffer],
    results: Sequence[tuple[Value, Buffer]],
    name: str,
    printer: Callable[[], CPrinter],
) -> GroupConvolution:
    """The convolution of a group with its epilogue."""
    if any(v not in memory for v in node.inputs):
        raise Unfusable("a convolution's operand that is not in memory")
    first, second = (memory[v] for v in node.inputs)
    numbers = {b: k for k, b in enumerate([*memory.values(), *(r for _, r in results)])}
    outer = 0 if node.op == "conv_weight" else 1
    store = Epilogue(graph, node, memory, results, numbers, printer, outer)
    used = [first, second, *store.reads, *(r for _, r in results)]
    buffers = list(dict.fromkeys(used))
    numbers.clear()
    numbers.update({buffer: k for k, buffer in enumerate(buffers)})
    sizes = printer()
    sizes.inline_sizes = True
    x, w, y = _shapes(node)
    groups: Any = node.attributes["groups"]
    problem = Convolution(
        name=name,
        kind=node.op,
        dtype=first.dtype,
        images=x[0],
        groups=groups,
        inputs=w[1],
        outputs=floordiv(w[0], groups),
        windows=_windows(node, x[2:], w[2:], y[2:]),
        first=_operand(first, 0),
        second=_operand(second, numbers[second]),
        workspace=f"((char *)p[{len(buffers)}])",
        store=store,
        size=lambda size: str(size) if isinstance(size, int) else f"({sizes.size(size)})",
    )
    same = [pair for pair in store.read_in_place if pair[1] not in (first, second)]
    return GroupConvolution(problem, buffers, same)


def _shapes(node: Node) -> tuple[Shape, Shape, Shape]:
    """The shapes of x, w and y, whichever of them the op makes."""
    first, second = (v.type.shape for v in node.inputs)
    made = node.output.type.shape
    if node.op == "conv":
        return first, second, made
    return (made, second, first) if node.op == "conv_input" else (first, made, second)


def _windows(node: Node, image: Shape, kernel: Shape, output: Shape) -> tuple[Window, ...]:
    attributes: Any = node.attributes
    found = [Window(1, 1, 1, 1, 0, 1)] * (RANK - len(image))
    geometry = (attributes["strides"], attributes["low"], attributes["dilations"])
    for size, taps, positions, stride, low, dilation in zip(
        image, kernel, output, *geometry, strict=True
    ):
        assert isinstance(taps, int)
        found.append(Window(size, taps, positions, stride, low, dilation))
    return tuple(found)


def _operand(buffer: Buffer, number: int) -> Operand:
    """An operand that lies at p[number], with a stride for each of the templates' dims."""
    strides = tuple(0 if s == 1 else t for s, t in zip(buffer.shape, buffer.strides, strict=True))
    missing = (0,) * (RANK + 2 - len(strides))
    pointer = f"((const {C_TYPES[buffer.dtype.name]} *)p[{number}])"
    return Operand(pointer, (*strides[:2], *missing, *strides[2:]))
