"""How things are shown in a terminal: nothing from a file can move the cursor or fake a line."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import click

from intaglio.compiler.dims import Symbol, symbols
from intaglio.compiler.ir import Function


def safe(text: object) -> str:
    """One line of text with control characters, bidirectional marks and the like escaped."""
    return "".join(
        c if c.isprintable() else c.encode("unicode_escape", "backslashreplace").decode()
        for c in str(text)
    )


def safe_lines(text: str) -> str:
    """Several lines, each escaped; only line feeds and tabs stay."""
    return "\n".join("\t".join(map(safe, line.split("\t"))) for line in text.split("\n"))


def one_line(error: BaseException) -> str:
    """An error's message on one line."""
    if isinstance(error, OSError) and error.strerror:
        named = f"{error.filename}: " if error.filename is not None else ""
        return safe(f"{named}{error.strerror}")
    return safe(" ".join(str(error).split("\n"))) or error.__class__.__name__


def tell(text: str) -> None:
    """A note for the user, on standard error."""
    click.echo(f"intaglio: {safe(text)}", err=True)


def function_sizes(function: Function) -> dict[str, Symbol]:
    """The symbolic sizes of a function's arguments, by name."""
    return symbols(*(s for v in function.argument_values for s in v.type.shape))


def signature(function: Function) -> str:
    """A function as one line: `eval(x: f32[n,64], t: i64[n]) -> loss: f32[]`."""
    arguments = zip(function.arguments, function.argument_values, strict=True)
    results = list(zip(function.results, function.result_values, strict=True))
    given = ", ".join(f"{safe(name)}: {value.type}" for name, value in arguments)
    made = ", ".join(
        f"{safe(name)}: {value.type}" if name else str(value.type) for name, value in results
    )
    return f"{safe(function.name)}({given}) -> {made or 'nothing'}"


def table(rows: Iterable[Sequence[object]], indent: str = "") -> str:
    """Rows as aligned columns: numbers, and what stands above nothing but numbers, to the right,
    all else to the left."""
    kept = [list(row) for row in rows]
    if not kept:
        return ""
    columns = []
    for cells in zip(*kept, strict=True):
        texts = [safe(cell) for cell in cells]
        width = max(map(len, texts))
        rights = [isinstance(cell, int | float) for cell in cells]
        rights[0] |= len(rights) > 1 and all(rights[1:])
        columns.append(
            [t.rjust(width) if r else t.ljust(width) for t, r in zip(texts, rights, strict=True)]
        )
    return "\n".join(indent + "  ".join(row).rstrip() for row in zip(*columns, strict=True))


def show_time(seconds: float) -> str:
    """A duration as people read it."""
    for unit, factor in (("s", 1.0), ("ms", 1e3), ("us", 1e6)):
        if seconds * factor >= 1:
            return f"{seconds * factor:.3g} {unit}"
    return f"{seconds * 1e9:.3g} ns"
