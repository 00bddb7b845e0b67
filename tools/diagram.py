"""A function as boxes and arrows, for whatever draws it: one box per argument, state, operation,
result and update."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from intaglio.compiler.ir import Function, Graph, Node, Value, blocks
from intaglio.compiler.text import print_attribute
from intaglio.compiler.where import describe
from intaglio.tools.show import safe, signature

LABEL = 40
"""Characters of a label before it is cut."""


@dataclass(frozen=True)
class Box:
    """`kind` is one of argument, state, node, result, update; `title` and `detail` are shown,
    `tip` is the rest that is known."""

    kind: str
    title: str
    detail: str = ""
    tip: str = ""


@dataclass
class Diagram:
    """Boxes by number, in an order in which producers come first, and arrows between them."""

    name: str
    boxes: list[Box] = field(default_factory=list)
    arrows: list[tuple[int, int]] = field(default_factory=list)

    def add(self, box: Box, sources: Sequence[int] = ()) -> int:
        """A new box with arrows from others; its number."""
        self.boxes.append(box)
        self.arrows += [(source, len(self.boxes) - 1) for source in dict.fromkeys(sources)]
        return len(self.boxes) - 1


def clip(text: str) -> str:
    """The text as a label: escaped, and cut when long."""
    shown = safe(text)
    return shown if len(shown) <= LABEL else shown[: LABEL - 1] + "\N{HORIZONTAL ELLIPSIS}"


def diagram(function: Function) -> Diagram:
    """The boxes and arrows of a function."""
    made = Diagram(signature(function))
    home: dict[Value, int] = {}
    count = len(function.arguments)
    names = [*function.arguments, *function.reads]
    for k, (name, value) in enumerate(zip(names, function.graph.inputs, strict=True)):
        kind = "argument" if k < count else "state"
        home[value] = made.add(Box(kind, clip(name), str(value.type), safe(name)))
    for node in function.graph.nodes:
        number = made.add(_node_box(node), [home[v] for v in node.inputs])
        home.update(dict.fromkeys(node.outputs, number))
    results = [*function.results, *function.updates]
    for k, (name, value) in enumerate(zip(results, function.graph.outputs, strict=True)):
        kind = "result" if k < len(function.results) else "update"
        box = Box(kind, clip(name or "result"), str(value.type), safe(name))
        made.add(box, [home[value]])
    return made


def _node_box(node: Node) -> Box:
    inner = [op for _, block in blocks(node) for op in _ops(block)]
    types = ", ".join(str(v.type) for v in node.outputs)
    tip = [f"{node.op} -> {types}"]
    for name, value in node.attributes.items():
        if isinstance(value, Graph):
            tip.append(f"{name}: {', '.join(_ops(value))}")
        else:
            tip.append(f"{name} = {print_attribute(value)}")
    if node.where:
        tip.append(describe(node.where))
    title = node.op + (f": {' '.join(inner)}" if inner else _brief(node))
    return Box("node", clip(title), clip(types), "\n".join(map(safe, tip)))


def _ops(graph: Graph) -> list[str]:
    return [node.op for node in graph.nodes]


def _brief(node: Node) -> str:
    """The attributes that fit on a label; types and shapes are shown by the result's type."""
    shown = [
        print_attribute(value)
        for name, value in node.attributes.items()
        if name not in ("shape", "dtype") and not isinstance(value, Graph)
    ]
    return f" {' '.join(shown)}" if shown else ""
