"""A diagram's geometry: every group laid out with its inner groups as items, from the inside out.

A value that enters or leaves a group passes a port on the group's border, so each line of the
picture lies in one group, and lines meet at ports."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from intaglio.tools.diagram import Arrow, Box, Diagram
from intaglio.tools.layout import Item, Layout, Line, lay_out
from intaglio.tools.modules import Group

CHARACTER, SMALL = 6.7, 6.1
"""Widths of a character of a title and of the smaller text."""
PADDING, INSET, HEAD = 18.0, 12.0, 24.0
"""Beside a box's text; between a group's border and what is in it; above that, for its name."""
ONE_LINE, TWO_LINES = 24.0, 38.0
PORT = 10.0

Key = tuple[int, int]
"""A value: its box and the number of the output."""


@dataclass
class Placed:
    """A group with its places: `x` and `y` are its upper left corner in the whole picture."""

    group: Group
    layout: Layout
    width: float
    height: float
    boxes: dict[int, int] = field(default_factory=dict)
    """The item of a box."""
    groups: list[tuple[int, Placed]] = field(default_factory=list)
    enters: dict[Key, int] = field(default_factory=dict)
    leaves: dict[Key, int] = field(default_factory=dict)
    x: float = 0.0
    y: float = 0.0

    def port(self, item: int) -> float:
        """How far right of the group's middle a port lies."""
        return self.layout.x[item] + INSET - self.width / 2


def size_of(box: Box) -> tuple[float, float]:
    """Width and height of a box with its text, and with the types of several outputs below it."""
    texts = [len(box.title) * CHARACTER, len(box.detail) * SMALL]
    wide = max(texts) + PADDING
    if len(box.outputs) > 1:
        wide = max(wide, sum(len(t) * SMALL + PADDING for t in box.outputs))
    return wide, TWO_LINES if box.detail else ONE_LINE


def item_of(box: Box) -> Item:
    """A box with room for the type of its output, which stands to the right of the line."""
    wide, high = size_of(box)
    labels = [len(t) * SMALL + 8 for t in box.outputs if t != box.detail]
    return Item(max(wide, 2 * labels[0]) if len(labels) == 1 else wide, high)


def exit_of(box: Box, output: int) -> float:
    """How far right of a box's middle the line of an output begins."""
    count = len(box.outputs)
    return 0.0 if count < 2 else size_of(box)[0] * ((output + 0.5) / count - 0.5)


def place(diagram: Diagram) -> Placed:
    """The places of everything in a diagram."""
    homes: dict[int, tuple[Group, ...]] = {}

    def walk(group: Group, above: tuple[Group, ...]) -> None:
        for member in group.members:
            if isinstance(member, Group):
                walk(member, (*above, member))
            else:
                homes[member] = above

    walk(diagram.root, (diagram.root,))
    made = _place(diagram, diagram.root, 0, diagram.arrows, homes)
    _move(made, 0.0, 0.0)
    return made


def _place(
    diagram: Diagram,
    group: Group,
    level: int,
    arrows: Sequence[Arrow],
    homes: dict[int, tuple[Group, ...]],
) -> Placed:
    """A group's layout; `arrows` are those that touch it."""
    items: list[Item] = []
    made = Placed(group, Layout([], []), 0.0, 0.0)
    inner: dict[int, tuple[int, Placed]] = {}
    for member in group.members:
        if isinstance(member, Group):
            touching = [
                a for a in arrows
                if member in homes[a.source][level + 1 : level + 2]
                or member in homes[a.target][level + 1 : level + 2]
            ]  # fmt: skip
            child = _place(diagram, member, level + 1, touching, homes)
            inner[id(member)] = (len(items), child)
            made.groups.append((len(items), child))
            items.append(Item(child.width, child.height))
        else:
            made.boxes[member] = len(items)
            items.append(item_of(diagram.boxes[member]))
    lines: dict[Line, None] = {}
    for arrow in arrows:
        start = _start(diagram, made, inner, items, arrow, homes[arrow.source], level)
        end = _end(made, inner, items, arrow, homes[arrow.target], level)
        if start[0] != end[0]:
            lines[Line(start[0], end[0], start[1], end[1])] = None
    made.layout = lay_out(items, list(lines))
    title = len(group.name) * CHARACTER + PADDING
    made.width = max(made.layout.width + 2 * INSET, title)
    made.height = made.layout.height + HEAD + INSET
    return made


def _start(
    diagram: Diagram,
    made: Placed,
    inner: dict[int, tuple[int, Placed]],
    items: list[Item],
    arrow: Arrow,
    home: tuple[Group, ...],
    level: int,
) -> tuple[int, float]:
    """The item in this group where an arrow begins, and how far from its middle."""
    key = (arrow.source, arrow.output)
    if len(home) <= level or home[level] is not made.group:
        return _port(made.enters, key, items, Item(PORT, 0.0, top=True)), 0.0
    if len(home) == level + 1:
        box = diagram.boxes[arrow.source]
        return made.boxes[arrow.source], exit_of(box, arrow.output)
    item, child = inner[id(home[level + 1])]
    return item, child.port(child.leaves[key]) if key in child.leaves else 0.0


def _end(
    made: Placed,
    inner: dict[int, tuple[int, Placed]],
    items: list[Item],
    arrow: Arrow,
    home: tuple[Group, ...],
    level: int,
) -> tuple[int, float]:
    """The item in this group where an arrow ends, and how far from its middle."""
    key = (arrow.source, arrow.output)
    if len(home) <= level or home[level] is not made.group:
        return _port(made.leaves, key, items, Item(PORT, 0.0, bottom=True)), 0.0
    if len(home) == level + 1:
        return made.boxes[arrow.target], 0.0
    item, child = inner[id(home[level + 1])]
    return item, child.port(child.enters[key]) if key in child.enters else 0.0


def _port(ports: dict[Key, int], key: Key, items: list[Item], item: Item) -> int:
    if key not in ports:
        ports[key] = len(items)
        items.append(item)
    return ports[key]


def _move(made: Placed, x: float, y: float) -> None:
    """Give a group and all inside it their places in the whole picture."""
    made.x, made.y = x, y
    for item, child in made.groups:
        left = x + INSET + made.layout.x[item] - child.width / 2
        _move(child, left, y + HEAD + made.layout.y(item))
