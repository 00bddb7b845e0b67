"""A function as boxes and arrows in nested groups, for whatever draws it: one box per argument,
state, operation, result and update; below a given depth, one per module.

A state has a box in every group that reads it, so that no arrow crosses the whole picture."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from intaglio.compiler.ir import Attribute, Function, Graph, Node, Value, blocks
from intaglio.compiler.op import op_named
from intaglio.compiler.text import print_attribute
from intaglio.compiler.where import describe
from intaglio.tools.modules import Group, Path, count_names, depth_for, folded, group, node_paths
from intaglio.tools.show import safe, signature

LABEL = 40
"""Characters of a label before it is cut."""
BOXES = 150
"""How many boxes are drawn unless more are asked for."""
NAMED = 4
"""Ops that the box of a module names."""
KINDS = {
    "elementwise": "elementwise", "transcendental": "elementwise", "compare": "elementwise",
    "convert": "elementwise", "movement": "movement", "slicing": "movement", "create": "movement",
    "reduce": "reduction", "prefix": "reduction", "matmul": "product", "convolution": "product",
    "window": "window", "window_sums": "window", "index": "indexing", "update": "indexing",
    "order": "indexing", "control": "block", "fused": "fused",
}  # fmt: skip
"""What the families of ops are drawn as; any other family is `other`."""


@dataclass(frozen=True)
class Box:
    """`kind` is one of argument, state, result, update, module, or what an op is drawn as. `title`
    and `detail` are shown, `tip` is the rest that is known; `outputs` are the types of what it
    makes."""

    kind: str
    title: str
    detail: str = ""
    tip: str = ""
    outputs: tuple[str, ...] = ()


@dataclass(frozen=True)
class Arrow:
    """From an output of a box to a box."""

    source: int
    output: int
    target: int


@dataclass
class Diagram:
    """Boxes by number, in an order in which producers come first, arrows between them, and the
    groups they are in."""

    name: str
    boxes: list[Box] = field(default_factory=list)
    arrows: list[Arrow] = field(default_factory=list)
    root: Group = field(default_factory=lambda: Group(""))

    def add(self, box: Box, sources: Sequence[tuple[int, int]] = ()) -> int:
        """A new box in no group, with arrows from outputs of others; its number."""
        number = len(self.boxes)
        self.boxes.append(box)
        self.arrows += [Arrow(*source, number) for source in dict.fromkeys(sources)]
        self.root.members.append(number)
        return number


def clip(text: str) -> str:
    """The text as a label: escaped, and cut when long."""
    shown = safe(text)
    return shown if len(shown) <= LABEL else shown[: LABEL - 1] + "\N{HORIZONTAL ELLIPSIS}"


def diagram(function: Function, depth: int | None = None) -> Diagram:
    """The boxes and arrows of a function; modules deeper than `depth` as one box each, all drawn in
    full for None."""
    made, paths = _flat(function)
    sources: list[list[int]] = [[] for _ in made.boxes]
    for arrow in made.arrows:
        sources[arrow.target].append(arrow.source)
    made.root = _without_frames(made, group(made.name, paths, sources))
    return made if depth is None else _collapsed(made, depth)


def _without_frames(made: Diagram, group: Group) -> Group:
    """The group without the frames that would tell nothing: those of a single operation that is
    called like the frame, or that is in no module."""
    kept: list[int | Group] = []
    for member in group.members:
        if isinstance(member, Group):
            match member.members:
                case [int() as only] if made.boxes[only].title == member.name or ":" in member.name:
                    kept.append(only)
                case _:
                    kept.append(_without_frames(made, member))
        else:
            kept.append(member)
    return Group(group.name, kept)


def fitting_depth(function: Function) -> int | None:
    """The depth at which a drawing has no more boxes than can be looked at; None if all can be."""
    return depth_for(diagram(function).root, BOXES)


def _flat(function: Function) -> tuple[Diagram, list[Path]]:
    """All boxes and arrows, and the path of every box."""
    made = Diagram(signature(function))
    paths: list[Path] = []
    home: dict[Value, tuple[int, int]] = {}
    state_names: dict[Value, str] = {}
    shown: dict[tuple[Value, Path], tuple[int, int]] = {}
    count = len(function.arguments)

    def add(box: Box, path: Path, sources: Sequence[tuple[int, int]] = ()) -> int:
        paths.append(path)
        return made.add(box, sources)

    def source(value: Value, path: Path) -> tuple[int, int]:
        """Where a value comes from, as seen by a user in the group of this path."""
        if value not in state_names:
            return home[value]
        if (value, path) not in shown:
            box = _value_box("state", state_names[value], value, path)
            shown[value, path] = (add(box, path), 0)
        return shown[value, path]

    names = [*function.arguments, *function.reads]
    for k, (name, value) in enumerate(zip(names, function.graph.inputs, strict=True)):
        if k < count:
            home[value] = (add(_value_box("argument", name, value), ()), 0)
        else:
            state_names[value] = name
    for node, path in node_paths(function.graph).items():
        taken = [source(v, path) for v in node.inputs]
        number = add(_node_box(node), path, taken)
        home.update({v: (number, k) for k, v in enumerate(node.outputs)})
    results = [*function.results, *function.updates]
    for k, (name, value) in enumerate(zip(results, function.graph.outputs, strict=True)):
        result = k < len(function.results)
        path = () if result or value not in home else paths[home[value][0]]
        box = _value_box("result" if result else "update", name or "result", value, path)
        add(box, path, [source(value, path)])
    return made, paths


def _value_box(kind: str, name: str, value: Value, path: Path = ()) -> Box:
    """The box of a value that has a name, which is shown as seen from inside the modules of the
    path."""
    outputs = () if kind in ("result", "update") else (str(value.type),)
    tip = f"{kind} {safe(name)}: {value.type}"
    short = name
    for depth in range(len(path), 1, -1):
        inside = ".".join(path[1:depth]) + "."
        if name.startswith(inside) and len(name) > len(inside):
            short = name.removeprefix(inside)
            break
    return Box(kind, clip_front(short), clip(str(value.type)), tip, outputs)


def clip_front(text: str) -> str:
    """A dotted name as a label: what is cut away is its beginning."""
    shown = safe(text)
    return shown if len(shown) <= LABEL else "\N{HORIZONTAL ELLIPSIS}" + shown[1 - LABEL :]


def _node_box(node: Node) -> Box:
    inner = [op for name, block in blocks(node) for op in _ops(block) if name != "backward"]
    types = tuple(str(v.type) for v in node.outputs)
    tip = [f"{node.op} -> {', '.join(types)}"]
    for name, value in node.attributes.items():
        if isinstance(value, Graph):
            tip.append(f"{name}: {', '.join(_ops(value))}")
        else:
            tip.append(f"{name} = {print_attribute(value)}")
    if node.where:
        tip.append(describe(node.where))
    computing = [op for op in inner if kind_of(op) != "movement"]
    title, detail = node.op, brief(computing or inner) if inner else _attributes(node)
    label = node.attributes.get("scope") or node.attributes.get("kind")
    if inner and isinstance(label, str):
        title = f"{node.op} {label}" if node.op == "fused" else label
    return Box(kind_of(node.op), clip(title), clip(detail), "\n".join(map(safe, tip)), types)


def kind_of(op: str) -> str:
    """What an op is drawn as."""
    return KINDS.get(type(op_named(op)).__module__.rpartition(".")[2], "other")


def _ops(graph: Graph) -> list[str]:
    return [node.op for node in graph.nodes]


def brief(ops: Iterable[str]) -> str:
    """The most frequent ops and how often each occurs."""
    counted = count_names(list(ops))
    named = [f"{n} {op}" if n > 1 else op for op, n in list(counted.items())[:NAMED]]
    return ", ".join(named) + (", \N{HORIZONTAL ELLIPSIS}" if len(counted) > NAMED else "")


def counted(number: int, noun: str) -> str:
    """A number of things: `1 op`, `2 ops`."""
    return f"{number} {noun}" + ("" if number == 1 else "s")


def _attributes(node: Node) -> str:
    """The attributes that say something: types and shapes are shown by the results' types, and
    steps of 1, margins of 0 and the like are what one expects."""
    return " ".join(
        f"{name}={print_attribute(value)}"
        for name, value in node.attributes.items()
        if name not in ("shape", "dtype")
        and not isinstance(value, Graph)
        and (name.startswith("ax") or not _is_usual(value))
    )


def _is_usual(value: Attribute) -> bool:
    parts = value if isinstance(value, tuple) else (value,)
    return all(part.__class__ is int and part == 0 for part in parts) or all(
        part.__class__ is int and part == 1 for part in parts
    )


# ---------------------------------------------------------------------------------- collapsing


def _collapsed(full: Diagram, depth: int) -> Diagram:
    """The diagram with every group deeper than `depth` as one box."""
    made = Diagram(full.name)
    place: dict[int, int] = {}  # the new box of each old one
    merged: set[int] = set()

    def copy(old: Group, level: int) -> Group:
        new = Group(old.name)
        for member in old.members:
            if isinstance(member, Group) and not folded(member, level, depth):
                new.members.append(copy(member, level + 1))
                continue
            inside = list(member.items()) if isinstance(member, Group) else [member]
            number = len(made.boxes)
            place.update(dict.fromkeys(inside, number))
            if isinstance(member, Group):
                merged.add(number)
                made.boxes.append(_module_box(member.name, [full.boxes[k] for k in inside]))
            else:
                made.boxes.append(full.boxes[member])
            new.members.append(number)
        return new

    made.root = copy(full.root, 0)
    _copy_arrows(full, made, place, merged)
    return made


def _module_box(name: str, boxes: Sequence[Box]) -> Box:
    """One box for all these: how many ops, which, how many states."""
    ops = [box for box in boxes if box.outputs and box.kind not in ("state", "argument")]
    words = [box.title.partition(" ")[0] for box in ops if box.kind != "movement"]
    states = sum(box.kind == "state" for box in boxes)
    updates = sum(box.kind == "update" for box in boxes)
    told = [": ".join(filter(None, [counted(len(ops), "op"), brief(words)]))]
    told += ["reads " + counted(states, "state")] if states else []
    told += ["updates " + counted(updates, "state")] if updates else []
    where = {line for box in ops for line in box.tip.splitlines()[-1:]}
    tip = [safe(name), *told, *(line[: 2 * LABEL] for line in sorted(where)[:NAMED])]
    return Box("module", clip(name), clip(told[0]), "\n".join(tip))


def _copy_arrows(full: Diagram, made: Diagram, place: dict[int, int], merged: set[int]) -> None:
    """The arrows between the new boxes; what leaves the box of a module are its outputs."""
    outputs: dict[int, dict[tuple[int, int], str]] = {}
    for arrow in full.arrows:
        source, target = place[arrow.source], place[arrow.target]
        if source == target:
            continue
        key, output = (arrow.source, arrow.output), arrow.output
        if source in merged:
            left = outputs.setdefault(source, {})
            left.setdefault(key, full.boxes[arrow.source].outputs[arrow.output])
            output = list(left).index(key)
        made.arrows.append(Arrow(source, output, target))
    many = {number for number, left in outputs.items() if len(left) > NAMED}
    for number, left in outputs.items():
        types = (f"{len(left)} values",) if number in many else tuple(left.values())
        box = made.boxes[number]
        made.boxes[number] = Box(box.kind, box.title, box.detail, box.tip, types)
    made.arrows = list(
        dict.fromkeys(
            Arrow(a.source, 0 if a.source in many else a.output, a.target) for a in made.arrows
        )
    )
