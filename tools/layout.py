"""Places for the boxes of a diagram: Sugiyama's method in its simplest form.

Every box gets a layer below all its producers; inputs lie directly above their first user. Arrows
over several layers are led through helper points. Then each layer is ordered by the mean position
of its neighbours (a few sweeps down and up), and positions are drawn towards the neighbours' mean
as far as the distances allow: that is least squares under an order, solved exactly by pooling
adjacent violators.

Sugiyama, Tagawa, Toda: Methods for visual understanding of hierarchical system structures, 1981."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from intaglio.tools.diagram import Diagram

CHARACTER, PADDING, HEIGHT = 6.7, 18.0, 36.0
GAP, RISE, HELPER = 18.0, 74.0, 6.0
LONGEST = 40
"""Arrows over more layers than this go straight; helper points for them would crowd the rest."""
SWEEPS = 6


@dataclass
class Layout:
    """Positions: the centres and widths of the boxes (and, after them, of helper points), and for
    every arrow the points it passes."""

    layers: list[list[int]] = field(default_factory=list)
    layer_of: list[int] = field(default_factory=list)
    widths: list[float] = field(default_factory=list)
    x: list[float] = field(default_factory=list)
    paths: list[list[int]] = field(default_factory=list)

    @property
    def size(self) -> tuple[float, float]:
        """Width and height of the whole."""
        right = max((x + w / 2 for x, w in zip(self.x, self.widths, strict=True)), default=0.0)
        return right, len(self.layers) * RISE

    def y(self, box: int) -> float:
        """The height at which a box has its centre, downwards."""
        return self.layer_of[box] * RISE + HEIGHT / 2


def lay_out(diagram: Diagram) -> Layout:
    """Positions for the boxes and arrows of a diagram."""
    made = Layout(layer_of=layers_of(diagram))
    made.widths = [max(len(b.title), len(b.detail)) * CHARACTER + PADDING for b in diagram.boxes]
    _add_helpers(made, diagram.arrows)
    above: list[list[int]] = [[] for _ in made.layer_of]
    below: list[list[int]] = [[] for _ in made.layer_of]
    for path in made.paths:
        for upper, lower in zip(path, path[1:], strict=False):
            above[lower].append(upper)
            below[upper].append(lower)
    made.layers = [[] for _ in range(max(made.layer_of, default=-1) + 1)]
    for box, layer in enumerate(made.layer_of):
        made.layers[layer].append(box)
    _order(made, above, below)
    _place(made, above, below)
    return made


def layers_of(diagram: Diagram) -> list[int]:
    """The layer of every box: below all its producers; inputs just above their first user."""
    layer = [0] * len(diagram.boxes)
    for source, target in diagram.arrows:  # in an order in which producers come first
        layer[target] = max(layer[target], layer[source] + 1)
    first = dict.fromkeys(range(len(layer)), max(layer, default=0))
    for source, target in diagram.arrows:
        first[source] = min(first[source], layer[target] - 1)
    targets = {target for _, target in diagram.arrows}
    used = {source for source, _ in diagram.arrows}
    return [first[k] if k not in targets and k in used else place for k, place in enumerate(layer)]


def _add_helpers(made: Layout, arrows: Sequence[tuple[int, int]]) -> None:
    for source, target in arrows:
        top, bottom = made.layer_of[source], made.layer_of[target]
        path = [source]
        if bottom - top <= LONGEST:
            for layer in range(top + 1, bottom):
                path.append(len(made.layer_of))
                made.layer_of.append(layer)
                made.widths.append(HELPER)
        made.paths.append([*path, target])


def _order(made: Layout, above: list[list[int]], below: list[list[int]]) -> None:
    """Order every layer by the mean rank of its neighbours."""
    rank = [0.0] * len(made.layer_of)

    def renumber(layer: list[int]) -> None:
        for k, box in enumerate(layer):
            rank[box] = (k + 0.5) / len(layer)

    for layer in made.layers:
        renumber(layer)
    for sweep in range(SWEEPS):
        down = sweep % 2 == 0
        for layer in made.layers if down else reversed(made.layers):
            near = above if down else below
            layer.sort(key=lambda box: _mean([rank[n] for n in near[box]], rank[box]))
            renumber(layer)


def _place(made: Layout, above: list[list[int]], below: list[list[int]]) -> None:
    """Draw every box towards its neighbours, keeping the layers' order and distances."""
    made.x = [0.0] * len(made.layer_of)
    for layer in made.layers:
        _settle(made, layer, [0.0] * len(layer))
    for sweep in range(SWEEPS):
        down = sweep % 2 == 0
        for layer in made.layers if down else reversed(made.layers):
            near = above if down else below
            wanted = [_mean([made.x[n] for n in near[box]], made.x[box]) for box in layer]
            _settle(made, layer, wanted)
    left = min((x - w / 2 for x, w in zip(made.x, made.widths, strict=True)), default=0.0)
    made.x = [x - left for x in made.x]


def _mean(values: Sequence[float], otherwise: float) -> float:
    return sum(values) / len(values) if values else otherwise


def _settle(made: Layout, layer: Sequence[int], wanted: Sequence[float]) -> None:
    """The positions nearest to those wanted (least squares) that keep order and distances."""
    offsets = [0.0]
    for left, right in zip(layer, layer[1:], strict=False):
        offsets.append(offsets[-1] + (made.widths[left] + made.widths[right]) / 2 + GAP)
    pools: list[list[float]] = []  # sum, count
    for want, offset in zip(wanted, offsets, strict=True):
        pools.append([want - offset, 1.0])
        while len(pools) > 1 and pools[-2][0] / pools[-2][1] >= pools[-1][0] / pools[-1][1]:
            total, count = pools.pop()
            pools[-1][0] += total
            pools[-1][1] += count
    positions = [total / count for total, count in pools for _ in range(int(count))]
    for box, position, offset in zip(layer, positions, offsets, strict=True):
        made.x[box] = position + offset
