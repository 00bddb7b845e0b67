"""Diagrams as SVG: nested frames for modules, boxes coloured by what they do, types on the lines.

Every line is drawn within one frame: it leaves its item below, passes the layers between upright,
and enters its target above."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from html import escape

from intaglio.tools.diagram import Box, Diagram
from intaglio.tools.picture import CHARACTER, HEAD, INSET, Placed, exit_of, place, size_of
from intaglio.tools.show import safe, safe_lines

MARGIN, TITLE, LEGEND = 24.0, 34.0, 40.0
FILL = {
    "argument": "#dbeafe", "result": "#bbf7d0", "state": "#fef3c7", "update": "#fde68a",
    "module": "#e2e8f0", "product": "#fecaca", "reduction": "#fed7aa", "elementwise": "#ddd6fe",
    "movement": "#f1f5f9", "window": "#fbcfe8", "indexing": "#a5f3fc", "fused": "#c7d2fe",
    "block": "#d9f99d", "other": "#ffffff",
}  # fmt: skip
SOLID = "#64748b"
FRAMES = ("#ffffff", "#f8fafc")
"""The fill of frames, by turns."""
STYLE = """
  text { font: 11px ui-monospace, Menlo, Consolas, "DejaVu Sans Mono", monospace; fill: #0f172a;
    text-anchor: middle }
  text.detail, text.type { fill: #475569; font-size: 10px }
  text.type { text-anchor: start; fill: #64748b; paint-order: stroke; stroke: #ffffff;
    stroke-width: 3px; stroke-linejoin: round }
  text.name { text-anchor: start; font-size: 13px; font-weight: 600 }
  text.frame { text-anchor: start; font-weight: 600; fill: #334155 }
  text.legend { text-anchor: start }
  rect.box { stroke: #64748b; stroke-width: 1 }
  g.module rect.box, g.fused rect.box { stroke-width: 2 }
  g.block rect.box { stroke-dasharray: 4 2 }
  rect.frame { stroke: #94a3b8; stroke-width: 1 }
  path.line { fill: none; stroke: #94a3b8; stroke-width: 1.2 }
"""


def svg(diagrams: Sequence[Diagram]) -> str:
    """The diagrams one below the other as one SVG picture, with a legend."""
    kinds = [kind for kind in FILL if any(b.kind == kind for d in diagrams for b in d.boxes)]
    parts = [_legend(kinds)]
    top, width = MARGIN + LEGEND, _legend_width(kinds)
    for diagram in diagrams:
        made = place(diagram)
        parts.append(f'<g transform="translate({MARGIN:.0f} {top:.0f})">')
        parts.append(f'<text class="name" x="0" y="12">{_text(diagram.name)}</text>')
        parts.append(f'<g transform="translate(0 {TITLE - HEAD:.0f})">')
        parts += _frames(made, 0)
        parts += _lines(diagram, made)
        parts += _boxes(diagram, made)
        parts.append("</g></g>")
        top += made.height + TITLE + MARGIN
        width = max(width, made.width, 8.0 * len(diagram.name))
    size = f"{width + 2 * MARGIN:.0f}", f"{top:.0f}"
    head = (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{size[0]}" height="{size[1]}" '
        f'viewBox="0 0 {size[0]} {size[1]}">\n<style>{STYLE}</style>\n'
        '<defs><marker id="tip" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="6" '
        'markerHeight="6" orient="auto"><path d="M0 0L8 4L0 8z" fill="#94a3b8"/></marker></defs>\n'
        '<rect width="100%" height="100%" fill="#ffffff"/>\n'
    )
    return head + "\n".join(parts) + "\n</svg>\n"


def _text(text: str) -> str:
    return escape(safe(text))


def _legend_width(kinds: Sequence[str]) -> float:
    return sum(len(kind) * CHARACTER + 36 for kind in kinds)


def _legend(kinds: Sequence[str]) -> str:
    """What the colours mean, of those that occur."""
    parts, x = [f'<g class="legend" transform="translate({MARGIN:.0f} {MARGIN:.0f})">'], 0.0
    for kind in kinds:
        parts.append(
            f'<rect x="{x:.0f}" y="0" width="14" height="14" rx="3" fill="{FILL[kind]}" '
            f'stroke="{SOLID}"/><text class="legend" x="{x + 20:.0f}" y="11">{kind}</text>'
        )
        x += len(kind) * CHARACTER + 36
    return "".join([*parts, "</g>"])


def _frames(made: Placed, level: int) -> Iterator[str]:
    """The frames of the groups, the outer ones first."""
    if level:
        yield (
            f'<rect class="frame" x="{made.x:.1f}" y="{made.y:.1f}" width="{made.width:.1f}" '
            f'height="{made.height:.1f}" rx="8" fill="{FRAMES[level % 2]}"/>'
            f'<text class="frame" x="{made.x + 9:.1f}" y="{made.y + 15:.1f}">'
            f"{_text(made.group.name)}</text>"
        )
    for _, child in made.groups:
        yield from _frames(child, level + 1)


def _boxes(diagram: Diagram, made: Placed) -> Iterator[str]:
    for number, item in made.boxes.items():
        x = made.x + INSET + made.layout.x[item]
        yield _box(diagram.boxes[number], x, made.y + HEAD + made.layout.y(item))
    for _, child in made.groups:
        yield from _boxes(diagram, child)


def _box(box: Box, x: float, y: float) -> str:
    """A box whose upper edge has its middle here, and the types of what leaves it."""
    width, height = size_of(box)
    fill = FILL.get(box.kind, FILL["other"])
    parts = [
        f'<g class="{box.kind}"><title>{escape(safe_lines(box.tip or box.title))}</title>'
        f'<rect class="box" x="{x - width / 2:.1f}" y="{y:.1f}" width="{width:.1f}" '
        f'height="{height:.0f}" rx="5" fill="{fill}"/>'
        f'<text x="{x:.1f}" y="{y + 16:.1f}">{_text(box.title)}</text>'
    ]
    if box.detail:
        parts.append(
            f'<text class="detail" x="{x:.1f}" y="{y + 30:.1f}">{_text(box.detail)}</text>'
        )
    if box.kind not in ("argument", "state"):  # their detail is their type
        for k, type in enumerate(box.outputs):
            at = x + exit_of(box, k) + 4
            parts.append(
                f'<text class="type" x="{at:.1f}" y="{y + height + 11:.1f}">{_text(type)}</text>'
            )
    return "".join([*parts, "</g>"])


def _lines(diagram: Diagram, made: Placed) -> Iterator[str]:
    """The lines of a group, then those of the groups in it."""
    layout = made.layout
    spread = _spread(made)
    boxes = set(made.boxes.values())
    for number, (line, path) in enumerate(zip(layout.lines, layout.paths, strict=True)):
        points = [_passage(made, item) for item in path]
        x, _, lower = points[0]
        points[0] = (x + line.leave, _edges(made, path[0])[1], lower)
        x, upper, _ = points[-1]
        points[-1] = (x + line.enter + spread.get(number, 0.0), upper, _edges(made, path[-1])[0])
        yield _curve(points, path[-1] in boxes)
    for _, child in made.groups:
        yield from _lines(diagram, child)


def _passage(made: Placed, item: int) -> tuple[float, float, float]:
    """Where a line passes the layer of an item upright: x, and from which y to which."""
    layout = made.layout
    layer = layout.layer_of[item]
    upper = made.y + HEAD + layout.upper[layer]
    return made.x + INSET + layout.x[item], upper, upper + layout.heights[layer]


def _edges(made: Placed, item: int) -> tuple[float, float]:
    """Where a line enters an item, and where one leaves it; ports lie on the group's border."""
    if item in made.enters.values():
        return made.y, made.y
    if item in made.leaves.values():
        return made.y + made.height, made.y + made.height
    upper = made.y + HEAD + made.layout.y(item)
    return upper, upper + made.layout.items[item].height


def _spread(made: Placed) -> dict[int, float]:
    """How far from the middle each line enters its box, so that several do not meet in a point."""
    layout = made.layout
    entering: dict[int, list[tuple[float, int]]] = {}
    boxes = set(made.boxes.values())
    for number, path in enumerate(layout.paths):
        if path[-1] in boxes:
            leave = layout.lines[number].leave if len(path) == 2 else 0.0
            entering.setdefault(path[-1], []).append((layout.x[path[-2]] + leave, number))
    found = {}
    for item, lines in entering.items():
        room = min(layout.items[item].width - 16, 16.0 * (len(lines) - 1))
        for k, (_, number) in enumerate(sorted(lines)):
            found[number] = room * (k / (len(lines) - 1) - 0.5) if len(lines) > 1 else 0.0
    return found


def _curve(points: Sequence[tuple[float, float, float]], arrow: bool) -> str:
    """A smooth line through points that are passed upright."""
    x, y, low = points[0]
    drawn = f"M{x:.1f} {y:.1f}" + (f"V{low:.1f}" if low > y else "")
    for end_x, upper, lower in points[1:]:
        middle = (low + upper) / 2
        drawn += f"C{x:.1f} {middle:.1f} {end_x:.1f} {middle:.1f} {end_x:.1f} {upper:.1f}"
        if lower > upper:
            drawn += f"V{lower:.1f}"
        x, low = end_x, lower
    tip = ' marker-end="url(#tip)"' if arrow else ""
    return f'<path class="line" d="{drawn}"{tip}/>'
