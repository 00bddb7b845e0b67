"""Diagrams as text for Graphviz: a cluster for every function and every module in it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from intaglio.tools.diagram import Box, Diagram
from intaglio.tools.drawing import FILL
from intaglio.tools.modules import Group
from intaglio.tools.show import safe


def dot(diagrams: Sequence[Diagram]) -> str:
    """The diagrams as one Graphviz graph."""
    lines = ["digraph program {", '  node [shape=box, style="rounded,filled", fontname=monospace];']
    lines.append("  edge [fontname=monospace, fontsize=9];")
    for number, diagram in enumerate(diagrams):
        lines += _cluster(diagram, diagram.root, f"{number}", "  ", diagram.name)
        for arrow in diagram.arrows:
            outputs = diagram.boxes[arrow.source].outputs
            label = outputs[arrow.output] if arrow.output < len(outputs) else ""
            lines.append(
                f"  n{number}_{arrow.source} -> n{number}_{arrow.target} [label={_quoted(label)}];"
            )
    return "\n".join([*lines, "}"]) + "\n"


def _cluster(diagram: Diagram, group: Group, name: str, indent: str, label: str) -> Iterator[str]:
    """A group with its boxes and the groups inside; names of clusters are numbers."""
    yield f"{indent}subgraph cluster_{name} {{"
    yield f"{indent}  label={_quoted(label)};"
    first = name.partition("_")[0]
    for k, member in enumerate(group.members):
        if isinstance(member, Group):
            yield from _cluster(diagram, member, f"{name}_{k}", indent + "  ", member.name)
        else:
            yield f"{indent}  n{first}_{member} {_attributes(diagram.boxes[member])};"
    yield f"{indent}}}"


def _attributes(box: Box) -> str:
    label = f"{box.title}\n{box.detail}" if box.detail else box.title
    fill = FILL.get(box.kind, FILL["other"])
    return f'[label={_quoted(label)}, tooltip={_quoted(box.tip or box.title)}, fillcolor="{fill}"]'


def _quoted(text: str) -> str:
    """A DOT string: backslashes and quotes escaped, lines broken by DOT's own sign."""
    lines = [safe(line).replace("\\", "\\\\").replace('"', '\\"') for line in text.split("\n")]
    return '"' + "\\n".join(lines) + '"'
