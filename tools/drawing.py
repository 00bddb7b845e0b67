"""Diagrams as text for others to draw: SVG with places of our own, DOT without."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

from intaglio.tools.diagram import Box, Diagram
from intaglio.tools.layout import HEIGHT, Layout, lay_out
from intaglio.tools.show import safe, safe_lines

MARGIN, TITLE = 24.0, 30.0
FILL = {
    "argument": "#dbeafe", "state": "#fef3c7", "node": "#ffffff",
    "result": "#dcfce7", "update": "#fde68a",
}  # fmt: skip
STYLE = """
  text { font: 11px ui-monospace, Menlo, Consolas, monospace; fill: #111827; text-anchor: middle }
  text.type { fill: #6b7280; font-size: 10px }
  text.name { text-anchor: start; font-size: 13px; font-weight: 600 }
  rect.box { stroke: #6b7280; stroke-width: 1 }
  path.arrow { fill: none; stroke: #94a3b8; stroke-width: 1 }
"""


def svg(diagrams: Sequence[Diagram]) -> str:
    """The diagrams one below the other as one SVG picture."""
    parts: list[str] = []
    top, width = MARGIN, 0.0
    for diagram in diagrams:
        layout = lay_out(diagram)
        wide, high = layout.size
        name = escape(safe(diagram.name))
        parts.append(f'<g transform="translate({MARGIN:.0f} {top:.0f})">')
        parts.append(f'<text class="name" x="0" y="12">{name}</text>')
        parts.append(f'<g transform="translate(0 {TITLE:.0f})">')
        parts += _arrows(layout)
        parts += [_svg_box(box, layout, k) for k, box in enumerate(diagram.boxes)]
        parts.append("</g></g>")
        top += high + TITLE + MARGIN
        width = max(width, wide, 8.0 * len(diagram.name))
    head = (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width + 2 * MARGIN:.0f}" '
        f'height="{top:.0f}" viewBox="0 0 {width + 2 * MARGIN:.0f} {top:.0f}">\n'
        f"<style>{STYLE}</style>\n"
        '<defs><marker id="tip" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="6" '
        'markerHeight="6" orient="auto"><path d="M0 0L8 4L0 8z" fill="#94a3b8"/></marker></defs>\n'
        '<rect width="100%" height="100%" fill="#ffffff"/>\n'
    )
    return head + "\n".join(parts) + "\n</svg>\n"


def _svg_box(box: Box, layout: Layout, number: int) -> str:
    x, y, width = layout.x[number], layout.y(number), layout.widths[number]
    return (
        f'<g class="{box.kind}"><title>{escape(safe_lines(box.tip or box.title))}</title>'
        f'<rect class="box" x="{x - width / 2:.1f}" y="{y - HEIGHT / 2:.1f}" '
        f'width="{width:.1f}" height="{HEIGHT:.0f}" rx="6" fill="{FILL[box.kind]}"/>'
        f'<text x="{x:.1f}" y="{y - 3:.1f}">{escape(safe(box.title))}</text>'
        f'<text class="type" x="{x:.1f}" y="{y + 11:.1f}">{escape(safe(box.detail))}</text></g>'
    )


def _arrows(layout: Layout) -> list[str]:
    return [_arrow(layout, path) for path in layout.paths]


def _arrow(layout: Layout, path: Sequence[int]) -> str:
    """A smooth line: leaves a box below, passes the helper points upright, enters above."""
    x, y = layout.x[path[0]], layout.y(path[0]) + HEIGHT / 2
    drawn = f"M{x:.1f} {y:.1f}"
    for k, point in enumerate(path[1:], 1):
        end_x, end_y = layout.x[point], layout.y(point)
        if k == len(path) - 1:
            end_y -= HEIGHT / 2
        middle = (y + end_y) / 2
        drawn += f"C{x:.1f} {middle:.1f} {end_x:.1f} {middle:.1f} {end_x:.1f} {end_y:.1f}"
        x, y = end_x, end_y
    return f'<path class="arrow" d="{drawn}" marker-end="url(#tip)"/>'


def dot(diagrams: Sequence[Diagram]) -> str:
    """The diagrams as one Graphviz graph, a cluster for each."""
    lines = ["digraph program {", '  node [shape=box, style="rounded,filled", fontname=monospace];']
    for number, diagram in enumerate(diagrams):
        lines += [f"  subgraph cluster_{number} {{", f"    label={_quoted(diagram.name)};"]
        for k, box in enumerate(diagram.boxes):
            label = _quoted(f"{box.title}\n{box.detail}")
            tip = _quoted(box.tip or box.title)
            lines.append(
                f'    n{number}_{k} [label={label}, tooltip={tip}, fillcolor="{FILL[box.kind]}"];'
            )
        lines += [f"    n{number}_{a} -> n{number}_{b};" for a, b in diagram.arrows]
        lines.append("  }")
    return "\n".join([*lines, "}"]) + "\n"


def _quoted(text: str) -> str:
    """A DOT string: backslashes and quotes escaped, lines broken by DOT's own sign."""
    lines = [safe(line).replace("\\", "\\\\").replace('"', '\\"') for line in text.split("\n")]
    return '"' + "\\n".join(lines) + '"'
