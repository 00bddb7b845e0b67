"""Random networks have the same bits with and without layouts: whatever stands between
convolutions, and however channels fill their blocks."""

from __future__ import annotations

import random
from collections.abc import Callable

import numpy as np
import pytest

from intaglio.compiler.ir import Graph, Value
from intaglio.compiler.lower import lower
from intaglio.compiler.passes import PIPELINE
from intaglio.compiler.passes.fuse import fuse
from intaglio.compiler.passes.layout import layout
from tests.compiler.codegen.harness import COMPILER, build
from tests.compiler.test_layout import Net, operands

SEEDS = range(24)


class RandomNet:
    """A network drawn from a seed."""

    def __init__(self, seed: int) -> None:
        self.pick, self.net = random.Random(seed), Net()
        height, width = self.pick.choice([(6, 9), (8, 8), (5, 12)])
        channels = self.pick.choice([3, 16, 24, 32])
        self.values = [self.net.image(self.pick.choice([1, 2]), channels, height, width)]
        moves: list[Callable[[Value], Value]] = [
            *[self.conv] * 6, *[self.depthwise] * 2, self.net.scaled, self.net.relu, self.gate,
            *[self.add] * 2, self.join, self.part, self.turn, self.pool, self.product,
        ]  # fmt: skip
        for _ in range(self.pick.randint(4, 9)):
            self.values.append(self.pick.choice(moves)(self.pick.choice(self.values[-3:])))

    def conv(self, x: Value) -> Value:
        """A convolution of 1x1 or 3x3, sometimes with a stride."""
        k, filters = self.pick.choice([1, 3]), self.pick.choice([8, 16, 24, 33, 48])
        return self.net.conv(x, filters, k, self.pick.choice([1, 1, 2]), k // 2)

    def depthwise(self, x: Value) -> Value:
        """A filter for each channel."""
        channels = x.type.shape[1]
        assert isinstance(channels, int)
        return self.net.conv(x, channels, 3, 1, 1, groups=channels)

    def gate(self, x: Value) -> Value:
        """A factor per channel made of the channels' sums."""
        g = self.net.g
        factor = g.sigmoid(g.sum(x, axes=(2, 3)))
        return g.mul(x, g.expand(factor, shape=x.type.shape, axes=(0, 1)))

    def add(self, x: Value) -> Value:
        """The sum with an earlier value."""
        same = [v for v in self.values if v.type.shape == x.type.shape]
        return self.net.g.add(x, self.pick.choice(same))

    def join(self, x: Value) -> Value:
        """The channels of an earlier value behind those of this one."""
        same = [v for v in self.values if v.type.shape[2:] == x.type.shape[2:]]
        return self.net.g.concat(x, self.pick.choice(same), axis=1)

    def part(self, x: Value) -> Value:
        """Some of the channels."""
        first = self.pick.choice([0, 8, 16] if x.type.shape[1] > 16 else [0])
        starts = (0, first, 0, 0)
        return self.net.g.slice(x, starts=starts, stops=x.type.shape, steps=(1,) * 4)

    def turn(self, x: Value) -> Value:
        """The image transposed or mirrored."""
        if self.pick.random() < 0.5:
            return self.net.g.permute(x, axes=(0, 1, 3, 2))
        return self.net.g.flip(x, axes=(self.pick.choice([1, 2, 3]),))

    def pool(self, x: Value) -> Value:
        """The largest of each window."""
        return self.net.pool(x, 3, self.pick.choice([1, 2]), 1)

    def product(self, x: Value) -> Value:
        """A matrix product over the last dim."""
        g, (n, c, h, w) = self.net.g, x.type.shape
        matrix = g.input(x.type.with_shape(n, w, 5))
        y = g.matmul(g.reshape(x, shape=(n, c * h, w)), matrix)
        return g.reshape(y, shape=(n, c, h, 5))

    def graph(self) -> Graph:
        """The graph after all passes; its results are the last value and another."""
        results = tuple(dict.fromkeys((self.values[-1], self.pick.choice(self.values[1:]))))
        graph = Graph(tuple(self.net.g.inputs), tuple(self.net.g.nodes), results)
        for step in PIPELINE:
            graph = step(graph)
        return fuse(graph)


@pytest.mark.skipif(COMPILER is None, reason="there is no C compiler")
def test_random_networks_have_the_same_bits_in_every_layout() -> None:
    graphs = [RandomNet(seed).graph() for seed in SEEDS]
    assert sum(bool(layout(g).storages) for g in graphs) > len(graphs) // 2
    plain = build([lower(g, layouts=False) for g in graphs], ("-O0",))
    stored = build([lower(g) for g in graphs], ("-O0",))
    for seed, graph, one, other in zip(SEEDS, graphs, plain, stored, strict=True):
        arrays = operands(graph)
        wanted = one(*arrays)
        for backwards in (False, True):
            for a, b in zip(wanted, other(*arrays, backwards=backwards), strict=True):
                np.testing.assert_array_equal(a.view(np.int32), b.view(np.int32), f"seed {seed}")
