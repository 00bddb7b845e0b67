"""A program as one HTML page: its state, and for every function the drawing and the typed text. No
scripts, nothing loaded from elsewhere; every text from the file is escaped."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape

from intaglio.compiler.ir import Function, State
from intaglio.compiler.text import print_function
from intaglio.tools.diagram import Diagram
from intaglio.tools.drawing import svg
from intaglio.tools.show import safe, safe_lines, signature

STYLE = """
body { font: 14px system-ui, sans-serif; color: #111827; margin: 2em }
pre, code, td { font: 12px ui-monospace, Menlo, Consolas, monospace }
td { padding: 1px 1em 1px 0 }
div.drawing { overflow: auto; max-height: 80vh; border: 1px solid #d1d5db }
pre { overflow: auto }
summary { cursor: pointer }
"""


def page(
    title: str,
    functions: Sequence[Function],
    drawn: Sequence[Diagram],
    state: Mapping[str, State],
) -> str:
    """The page of these functions of a program, as drawn, and the state shown with them."""
    rows = [_row([" = ".join(s.names), str(s.type), s.kind]) for s in state.values()]
    parts = [
        "<!DOCTYPE html>",
        '<html lang="en"><head><meta charset="utf-8">',
        f"<title>{escape(safe(title))}</title><style>{STYLE}</style></head><body>",
        f"<h1>{escape(safe(title))}</h1>",
        *map(_section, functions, drawn),
        *(["<h2>state</h2><table>", *rows, "</table>"] if rows else []),
        "</body></html>",
    ]
    return "\n".join(parts) + "\n"


def _section(function: Function, drawn: Diagram) -> str:
    text = escape(safe_lines(print_function(function)))
    return (
        f"<h2><code>{escape(signature(function))}</code></h2>\n"
        f"<details open><summary>graph</summary>"
        f'<div class="drawing">{svg([drawn])}</div></details>\n'
        f"<details><summary>text</summary><pre>{text}</pre></details>"
    )


def _row(cells: Sequence[str]) -> str:
    return "<tr>" + "".join(f"<td>{escape(safe(cell))}</td>" for cell in cells) + "</tr>"
