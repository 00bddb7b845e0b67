"""The modules of a function as a tree of groups, for drawings and summaries.

Items (operations, states, arguments) carry the path of modules and composites they were reached
through. A group holds the items of one module; the groups of a level, each taken as a whole, form
no cycle, so that they can be laid out from top to bottom. A module that is left and entered again
with the result of something outside, such as a shared layer, therefore becomes several groups:
an item joins the last group of its module unless one of its producers outside comes after that
group."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from intaglio.compiler.ir import Graph, Node
from intaglio.compiler.where import Places, Where

Path = tuple[str, ...]
GRADIENT = "gradient of "
ELSEWHERE = "several places"
"""The group of what is in no module, and comes from several lines."""


@dataclass(eq=False)
class Group:
    """A module's items (numbers) and the groups inside it, in order."""

    name: str
    members: list[int | Group] = field(default_factory=list)

    def items(self) -> Iterator[int]:
        """The items of this group and all inside it."""
        for member in self.members:
            if isinstance(member, Group):
                yield from member.items()
            else:
                yield member

    def groups(self) -> Iterator[Group]:
        """The groups right inside."""
        return (m for m in self.members if isinstance(m, Group))


def path_of(where: Places) -> Path:
    """The modules that the places share, from the outside in: a number goes with the name before it
    (`layers.0`) unless that is the outermost; a derivative's path begins with the gradient of the
    outermost. What is in no module goes with its line.

    Where a derivative computes what the function itself does, both places are known; then those of
    the same kind as the first one count."""
    if not where:
        return ()
    gradient = where[0].gradient
    places = [place for place in where if place.gradient == gradient]
    shared = _shared([_parts(place) for place in places])
    if not shared:
        lines = {f"{os.path.basename(place.file)}:{place.line}" for place in places}
        shared = (lines.pop() if len(lines) == 1 else ELSEWHERE,)
    return (GRADIENT + shared[0], *shared[1:]) if gradient else shared


def _node_path(node: Node) -> Path:
    """The path of a node; that of a fused one is what the operations that compute in it share, of
    the same kind, function or derivative, as the last of them."""
    if node.op != "fused":
        return path_of(node.where)
    body = node.attributes["body"]
    assert isinstance(body, Graph)
    paths = [path_of(inner.where) for inner in body.nodes if inner.inputs]
    paths = [path for path in paths if path]
    if not paths:
        return path_of(node.where)
    gradient = paths[-1][0].startswith(GRADIENT)
    own = [path for path in paths if path[0].startswith(GRADIENT) == gradient]
    return _shared(own) or paths[-1][:1]


def node_paths(graph: Graph) -> dict[Node, Path]:
    """The path of every node. The sums that a derivative makes of several contributions are in no
    module; those between parts of one module's derivative are taken to be in it."""
    paths = {node: _node_path(node) for node in graph.nodes}
    maker = {value: node for node in graph.nodes for value in node.outputs}
    order = {node: k for k, node in enumerate(graph.nodes)}
    inner: set[Node] = set()  # what a derivative, or a sum within one, uses

    def is_derivative(node: Node) -> bool:
        return paths[node][:1] != () and paths[node][0].startswith(GRADIENT)

    for node in reversed(graph.nodes):
        if is_derivative(node) or node in inner:
            inner |= {maker[v] for v in node.inputs if v in maker}
    for node in graph.nodes:
        makers = [maker[v] for v in node.inputs if v in maker]
        whole = len(makers) == len(node.inputs) > 1
        if node in inner and whole and not is_derivative(node) and all(map(is_derivative, makers)):
            last = max(makers, key=order.__getitem__)
            paths[node] = _shared([paths[m] for m in makers]) or paths[last][:1]
    return paths


def _shared(paths: Sequence[Path]) -> Path:
    """The beginning that all paths have in common."""
    shared = paths[0]
    for path in paths[1:]:
        same = [a == b for a, b in zip(shared, path, strict=False)]
        shared = shared[: (*same, False).index(False)]
    return shared


def _parts(place: Where) -> Path:
    made: list[str] = []
    for part in place.scope.split(".") if place.scope else ():
        if part.isdecimal() and len(made) > 1:
            made[-1] += f".{part}"
        else:
            made.append(part)
    return tuple(made)


def group(name: str, paths: Sequence[Path], sources: Sequence[Sequence[int]]) -> Group:
    """The tree of groups of items, given the path of each and the items it takes from, which come
    before it."""
    return _group(name, list(range(len(paths))), paths, sources, 0)


def _group(
    name: str, items: list[int], paths: Sequence[Path], sources: Sequence[Sequence[int]], level: int
) -> Group:
    members: list[list[int]] = []
    labels: list[str | None] = []
    home: dict[int, int] = {}
    before: list[int] = []  # for every member, the members that come before it, as bits
    last: dict[str, int] = {}
    for item in items:
        near = 0
        for source in sources[item]:
            if source in home:
                near |= 1 << home[source]
        path = paths[item]
        label = path[level] if len(path) > level else None
        place = None if label is None else last.get(label)
        outside = near if place is None else near & ~(1 << place)
        above = outside
        for k in _bits(outside):
            above |= before[k]
        if place is None or above >> place & 1:
            place = len(members)
            members.append([])
            labels.append(label)
            before.append(above)
            if label is not None:
                last[label] = place
        elif above & ~before[place]:
            before[place] |= above
            for k in range(len(members)):
                if before[k] >> place & 1:
                    before[k] |= above
        members[place].append(item)
        home[item] = place
    made = Group(name)
    for label, inside in zip(labels, members, strict=True):
        if label is None:
            made.members += inside
        else:
            made.members.append(_joined(_group(label, inside, paths, sources, level + 1)))
    return made


def _joined(outer: Group) -> Group:
    """A group that holds nothing but another one is one group with it, under both names."""
    match outer.members:
        case [Group() as only]:
            return Group(f"{outer.name}.{only.name}", only.members)
        case _:
            return outer


def _bits(number: int) -> Iterator[int]:
    while number:
        low = number & -number
        yield low.bit_length() - 1
        number ^= low


def folded(inner: Group, level: int, depth: int | None) -> bool:
    """Whether a group on this level is drawn as one box where groups deeper than `depth` are: what
    is in no module counts as deep."""
    return depth is not None and (level >= depth or ":" in inner.name)


def visible(root: Group, depth: int | None, level: int = 0) -> int:
    """How many boxes are drawn when groups deeper than `depth` are one box each."""
    return sum(
        visible(member, depth, level + 1)
        if isinstance(member, Group) and not folded(member, level, depth)
        else 1
        for member in root.members
    )


def levels(root: Group) -> int:
    """How deeply groups are nested below this one."""
    return max((1 + levels(m) for m in root.members if isinstance(m, Group)), default=0)


def depth_for(root: Group, limit: int) -> int | None:
    """The greatest depth at which at most `limit` boxes are drawn, one at least; None where
    everything is."""
    if visible(root, None) <= limit:
        return None
    depth, deepest = 1, levels(root)
    while depth < deepest and visible(root, depth + 1) <= limit:
        depth += 1
    return depth


def outline(
    root: Group, depth: int, tell: Callable[[Sequence[int]], Sequence[object]]
) -> list[Sequence[object]]:
    """Rows of a table: each group's name, indented, and what `tell` says of its items. Groups of
    one name on a level are one row."""
    rows: list[Sequence[object]] = []

    def add(groups: Sequence[Group], level: int) -> None:
        merged: dict[str, list[Group]] = {}
        for found in groups:
            merged.setdefault(found.name, []).append(found)
        for name, same in merged.items():
            rows.append(("  " * level + name, *tell([k for g in same for k in g.items()])))
            if level < depth:
                add([inner for g in same for inner in g.groups()], level + 1)

    add(list(root.groups()), 0)
    return rows


def count_names(names: Sequence[str]) -> Mapping[str, int]:
    """How often each name occurs, the most frequent first."""
    counted: dict[str, int] = {}
    for name in names:
        counted[name] = counted.get(name, 0) + 1
    return dict(sorted(counted.items(), key=lambda pair: -pair[1]))
