"""Places for the items of one group of a drawing: Sugiyama's method in its simplest form.

Every item gets a layer below all its producers; what depends on nothing that enters the group lies
directly above its first user. Lines over several layers are led through helper points. Then each
layer is ordered by the mean position of its neighbours (a few sweeps down and up), and positions
are drawn towards the neighbours' mean as far as the distances allow: that is least squares under an
order, solved exactly by pooling adjacent violators.

Sugiyama, Tagawa, Toda: Methods for visual understanding of hierarchical system structures, 1981."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

GAP, RISE, HELPER = 18.0, 34.0, 6.0
FIRST, LAST = 16.0, 20.0
"""The distances between layers below the pinned first one and above the pinned last one."""
LONGEST = 40
"""Lines over more layers than this go straight; helper points for them would crowd the rest."""
SWEEPS = 8


@dataclass(frozen=True)
class Item:
    """Something with a size. `top` and `bottom` pin it to the first or the last layer."""

    width: float
    height: float
    top: bool = False
    bottom: bool = False


@dataclass(frozen=True)
class Line:
    """From an item to another, leaving and entering at these distances from their centres."""

    source: int
    target: int
    leave: float = 0.0
    enter: float = 0.0


@dataclass
class Layout:
    """The centres of the items (and, after them, of helper points), the upper edge of every item,
    and for every line the points it passes."""

    items: list[Item]
    lines: list[Line]
    layer_of: list[int] = field(default_factory=list)
    layers: list[list[int]] = field(default_factory=list)
    x: list[float] = field(default_factory=list)
    upper: list[float] = field(default_factory=list)
    """The upper edge of every layer."""
    heights: list[float] = field(default_factory=list)
    paths: list[list[int]] = field(default_factory=list)

    @property
    def width(self) -> float:
        """From the leftmost edge to the rightmost."""
        pairs = zip(self.x, self.items, strict=True)
        return max((x + item.width / 2 for x, item in pairs), default=0.0)

    @property
    def height(self) -> float:
        """From the first layer's upper edge to the last one's lower edge."""
        return self.upper[-1] + self.heights[-1] if self.upper else 0.0

    def y(self, item: int) -> float:
        """The upper edge of an item: what is lower than its layer hangs from the layer's middle, a
        pinned item from the edge it is pinned to."""
        layer, own = self.layer_of[item], self.items[item]
        room = self.heights[layer] - own.height
        return self.upper[layer] + (0.0 if own.top else room if own.bottom else room / 2)


def lay_out(items: Sequence[Item], lines: Sequence[Line]) -> Layout:
    """Places for items, given the lines between them, which form no cycle."""
    made = Layout(list(items), list(lines))
    made.layer_of = layers_of(items, lines)
    _add_helpers(made)
    near = _Near(made)
    made.layers = [[] for _ in range(max(made.layer_of, default=-1) + 1)]
    for item, layer in enumerate(made.layer_of):
        made.layers[layer].append(item)
    _order(made, near)
    _place(made, near)
    made.heights = [max((made.items[k].height for k in layer), default=0) for layer in made.layers]
    y = 0.0
    for row, height in zip(made.layers, made.heights, strict=True):
        pinned = any(made.items[k].bottom for k in row)
        made.upper.append(y - (RISE - LAST if pinned and y else 0.0))
        y += height + (FIRST if any(made.items[k].top for k in row) else RISE)
    return made


def layers_of(items: Sequence[Item], lines: Sequence[Line]) -> list[int]:
    """The layer of every item."""
    order = _sorted(len(items), lines)
    above: list[list[int]] = [[] for _ in items]
    below: list[list[int]] = [[] for _ in items]
    for line in lines:
        above[line.target].append(line.source)
        below[line.source].append(line.target)
    first = 1 if any(item.top for item in items) else 0
    layer = [0 if item.top else first for item in items]
    floats = [not items[k].top and not above[k] for k in range(len(items))]
    for k in order:
        if above[k]:
            layer[k] = max(layer[n] + 1 for n in above[k])
            floats[k] = all(floats[n] for n in above[k])
    last = max(layer, default=0)
    if any(item.bottom for item in items) and any(
        layer[k] == last and not items[k].bottom for k in range(len(items))
    ):
        last += 1
    for k in reversed(order):
        if items[k].bottom:
            layer[k] = last
        elif floats[k] and below[k]:
            layer[k] = min(layer[n] for n in below[k]) - 1
    return layer


def _sorted(count: int, lines: Sequence[Line]) -> list[int]:
    """The items, producers first."""
    below: list[list[int]] = [[] for _ in range(count)]
    waiting = [0] * count
    for line in lines:
        below[line.source].append(line.target)
        waiting[line.target] += 1
    ready = [k for k in range(count) if not waiting[k]]
    order: list[int] = []
    while ready:
        k = ready.pop()
        order.append(k)
        for n in below[k]:
            waiting[n] -= 1
            if not waiting[n]:
                ready.append(n)
    assert len(order) == count, "the lines form a cycle"
    return order


def _add_helpers(made: Layout) -> None:
    for line in made.lines:
        top, bottom = made.layer_of[line.source], made.layer_of[line.target]
        path = [line.source]
        if bottom - top <= LONGEST:
            for layer in range(top + 1, bottom):
                path.append(len(made.layer_of))
                made.layer_of.append(layer)
                made.items.append(Item(HELPER, 0.0))
        made.paths.append([*path, line.target])


class _Near:
    """For every item its neighbours above and below, with the distance at which a line that is
    upright leaves the item's centre from the neighbour's."""

    def __init__(self, made: Layout) -> None:
        self.above: list[list[tuple[int, float]]] = [[] for _ in made.layer_of]
        self.below: list[list[tuple[int, float]]] = [[] for _ in made.layer_of]
        for line, path in zip(made.lines, made.paths, strict=True):
            end = len(path) - 1
            for k, (upper, lower) in enumerate(zip(path, path[1:], strict=False)):
                off = (line.leave if k == 0 else 0.0) - (line.enter if k + 1 == end else 0.0)
                self.above[lower].append((upper, off))
                self.below[upper].append((lower, -off))


def _order(made: Layout, near: _Near) -> None:
    """Order every layer by the mean place of its neighbours, each layer packed side by side."""
    x = [0.0] * len(made.layer_of)

    def pack(layer: list[int]) -> None:
        total = sum(made.items[k].width + GAP for k in layer)
        at = -total / 2
        for k in layer:
            x[k] = at + made.items[k].width / 2
            at += made.items[k].width + GAP

    for layer in made.layers:
        pack(layer)
    for sweep in range(SWEEPS):
        down = sweep % 2 == 0
        side = near.above if down else near.below
        for layer in made.layers if down else reversed(made.layers):
            wanted = {k: _mean([x[n] + off for n, off in side[k]], x[k]) for k in layer}
            layer.sort(key=wanted.__getitem__)
            pack(layer)


def _place(made: Layout, near: _Near) -> None:
    """Draw every item towards its neighbours, keeping the layers' order and distances."""
    made.x = [0.0] * len(made.layer_of)
    for layer in made.layers:
        _settle(made, layer, [0.0] * len(layer))
    for sweep in range(SWEEPS):
        down = sweep % 2 == 0
        side = near.above if down else near.below
        for layer in made.layers if down else reversed(made.layers):
            wanted = [_mean([made.x[n] + off for n, off in side[k]], made.x[k]) for k in layer]
            _settle(made, layer, wanted)
    left = min((x - i.width / 2 for x, i in zip(made.x, made.items, strict=True)), default=0.0)
    made.x = [x - left for x in made.x]


def _mean(values: Sequence[float], otherwise: float) -> float:
    return sum(values) / len(values) if values else otherwise


def _settle(made: Layout, layer: Sequence[int], wanted: Sequence[float]) -> None:
    """The positions nearest to those wanted (least squares) that keep order and distances."""
    offsets = [0.0]
    for left, right in zip(layer, layer[1:], strict=False):
        space = (made.items[left].width + made.items[right].width) / 2 + GAP
        offsets.append(offsets[-1] + space)
    pools: list[list[float]] = []  # sum, count
    for want, offset in zip(wanted, offsets, strict=False):
        pools.append([want - offset, 1.0])
        while len(pools) > 1 and pools[-2][0] / pools[-2][1] >= pools[-1][0] / pools[-1][1]:
            total, count = pools.pop()
            pools[-1][0] += total
            pools[-1][1] += count
    positions = [total / count for total, count in pools for _ in range(int(count))]
    for item, position, offset in zip(layer, positions, offsets, strict=False):
        made.x[item] = position + offset
