"""Where in the author's source a node comes from."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Where:
    """One place: `file:line` (`cell 3, line 5` in a notebook, whose file is `cell 3`), the module
    path or composite it was reached through, and whether this is its derivative."""

    file: str
    line: int
    scope: str = ""
    gradient: bool = False

    def __str__(self) -> str:
        between = ", line " if self.file.startswith("cell ") else ":"
        place = f"{self.file}{between}{self.line}" + (f" in {self.scope}" if self.scope else "")
        return f"gradient of {place}" if self.gradient else place

    def derivative(self) -> Where:
        """The place of a node that differentiates a node from here."""
        return self if self.gradient else Where(self.file, self.line, self.scope, True)


Places = tuple[Where, ...]
"""The places a node comes from: one as written, several once nodes were fused, none for what passes
add by themselves."""


def describe(places: Places) -> str:
    """The places as one text for messages; empty when there are none."""
    return ", ".join(map(str, places))


def join(*many: Places) -> Places:
    """The places of several nodes, each once, in order."""
    return tuple(dict.fromkeys(place for places in many for place in places))
