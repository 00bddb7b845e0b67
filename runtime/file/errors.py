"""How the loader says what is wrong: every message starts with the field that is."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

from intaglio.compiler.errors import FormatError

T = TypeVar("T")


def entry(table: Sequence[T], index: int, field: str) -> T:
    """`table[index]`, or a `FormatError` that names the field the index came from."""
    if index >= len(table):
        raise FormatError(f"{field}: {index} is outside its table, which has {len(table)} entries")
    return table[index]


def at_most(number: int, limit: int, field: str) -> None:
    """Refuse a count above its cap."""
    if number > limit:
        raise FormatError(f"{field}: {number} is more than the limit of {limit}")


def shown(text: str) -> str:
    """A text from a file, quoted, escaped and short enough for a message."""
    return ascii(text if len(text) <= 80 else text[:77] + "...")
