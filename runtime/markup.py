"""What notebooks show of programs, models, plans and profiles: small tables.

Every text is escaped: names and places come from files too. Styles are inline and set no colours,
so that light and dark themes both fit."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from html import escape
from typing import TYPE_CHECKING, Final

from intaglio.compiler.ir import Function, Program
from intaglio.runtime.settings import show_bytes

if TYPE_CHECKING:
    from intaglio.runtime.comparison import Comparison
    from intaglio.runtime.report import Explanation, Plan, Profile, Step

MOST_ROWS: Final = 50
"""Rows that a table shows before it says how many more there are."""
_LINE: Final = "border-bottom:1px solid rgba(128,128,128,.4)"
_CELL: Final = "padding:2px 10px 2px 0;text-align:{};vertical-align:top;background:none"


def text(value: object) -> str:
    """A text for HTML, without control characters."""
    told = str(value)
    if not told.isprintable():
        told = "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in told)
    return escape(told)


def block(content: str) -> str:
    """Lines of text as they are."""
    return f'<pre style="margin:4px 0;background:none">{escape(content)}</pre>'


def folded(title: str, content: str) -> str:
    """HTML behind a title that opens it."""
    return f"<details><summary>{text(title)}</summary>{content}</details>"


def table(title: str, head: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """A table with a title. Numbers stand to the right."""
    rows = list(rows)
    lines = [_row(head, "th", f";{_LINE}")] if head else []
    lines += [_row(row, "td") for row in rows[:MOST_ROWS]]
    if len(rows) > MOST_ROWS:
        lines.append(_row([f"and {len(rows) - MOST_ROWS} more"], "td"))
    body = "".join(lines)
    heading = f"<div><b>{text(title)}</b></div>" if title else ""
    return f'{heading}<table style="border-collapse:collapse;font-size:90%">{body}</table>'


def _row(cells: Sequence[object], tag: str, more: str = "") -> str:
    made = ""
    for cell in cells:
        side = "right" if isinstance(cell, int | float) else "left"
        shown = f"{cell:,}" if isinstance(cell, int) else text(cell)
        made += f'<{tag} style="{_CELL.format(side)}{more}">{shown}</{tag}>'
    return f"<tr>{made}</tr>"


def program_html(program: Program, title: str) -> str:
    """Functions, states, and the text of the whole program behind a fold."""
    functions = table(title, ("function", "takes", "gives", "updates"),
                      [_function_row(f) for f in program.functions.values()])  # fmt: skip
    rows = [(", ".join(s.names), s.type, s.kind) for s in program.state.values()]
    states = table("", ("state", "type", "kind"), rows)
    count = len(program.state)
    lines = str(program)
    more = folded("program", block(lines)) if len(lines) < 200_000 else ""
    return f"{functions}{folded(f'{count} states', states)}{more}"


def _function_row(function: Function) -> Sequence[object]:
    given = zip(function.arguments, function.argument_values, strict=True)
    results = zip(function.results, function.result_values, strict=True)
    return (
        function.name,
        ", ".join(f"{n}: {v.type}" for n, v in given),
        ", ".join(f"{n}: {v.type}" for n, v in results),
        f"{len(function.updates)} states" if function.updates else "",
    )


def plan_html(plan: Plan) -> str:
    """The parts of a call's memory, and who holds the peak."""
    bound = ", ".join(f"{k}={v}" for k, v in plan.sizes.items())
    names = ("arena", "scratch", "output", "constant", "packed", "state")
    rows = [(name, show_bytes(getattr(plan, f"{name}_bytes"))) for name in names]
    made = table(f"{plan.function}({bound}): {show_bytes(plan.peak_bytes)}", (), rows)
    if not plan.holders:
        return made
    held = [(show_bytes(h.bytes), h.type, h.where) for h in plan.holders]
    return made + table("alive when the arena is fullest", ("bytes", "type", "where"), held)


def explanation_html(found: Explanation) -> str:
    """The kernels, why neighbours were not fused, and the memory."""
    made = table(f"{found.function}: {found.forms}", ("step", "ops", "where"),
                 [(s.number, " ".join(s.ops), s.where) for s in found.steps])  # fmt: skip
    if found.apart:
        made += folded("not fused", table("", (), [(reason,) for reason in found.apart]))
    return made + (plan_html(found.memory) if found.memory is not None else "")


def profile_html(found: Profile) -> str:
    """The steps by time."""

    def row(step: Step) -> Sequence[object]:
        seconds = step.seconds or 0.0
        share = f"{seconds / found.seconds:.0%}" if found.seconds else ""
        return f"{seconds * 1e6:.1f} us", share, " ".join(step.ops), step.where

    title = (
        f"{found.function}: {found.seconds * 1e6:.1f} us on {found.threads} threads, median of"
        f" {found.calls} calls, {found.outside * 1e6:.1f} us outside the steps"
    )
    steps = sorted(found.steps, key=lambda s: -(s.seconds or 0.0))
    return table(title, ("time", "share", "ops", "where"), map(row, steps))


def comparison_html(found: Comparison) -> str:
    """The first difference and the worst ops."""
    first = str(found).split("\n", 1)[0]
    rows = [(f"{d.relative:.3g}", f"{d.absolute:.3g}", d.op, d.type, d.where)
            for d in found.worst()]  # fmt: skip
    if not rows:
        return table(first, (), ())
    return table(first, ("relative", "absolute", "op", "type", "where"), rows)
