"""Runs the same source of a model under torch and under intaglio: its import lines are replaced,
and nothing else.

A source is written for torch. `under("intaglio", path)` executes it with every `import torch...`
and `from torch... import ...` turned into intaglio's; `under("torch", path)` as it is. `replaced`
gives the lines that differ, so that a test can hold a source to differing in imports alone."""

from __future__ import annotations

import itertools
import re
import sys
from pathlib import Path
from types import ModuleType

HERE = Path(__file__).parent
_IMPORT = re.compile(r"^(\s*)import torch((?:\.\w+)*)( as \w+)?\s*(#.*)?$")
_FROM = re.compile(r"^(\s*)from torch((?:\.\w+)*) import ")
_numbers = itertools.count()


def for_intaglio(source: str) -> str:
    """The source with torch's import lines replaced, line by line."""
    return "\n".join(map(_line, source.split("\n")))


def _line(line: str) -> str:
    found = _IMPORT.match(line)
    if found:
        indent, below, name = found[1], found[2], found[3]
        if name:
            return f"{indent}import intaglio{below}{name}"
        return f"{indent}import intaglio as torch"  # torch.nn and so on are reached from there
    return _FROM.sub(r"\1from intaglio\2 import ", line)


def replaced(path: str | Path) -> list[tuple[str, str]]:
    """The lines of a source that differ between the two libraries."""
    lines = (HERE / path).read_text().split("\n")
    return [(a, b) for a, b in zip(lines, map(_line, lines), strict=True) if a != b]


def under(library: str, path: str | Path) -> ModuleType:
    """A fresh module with a source of this folder executed for `torch` or `intaglio`."""
    file = HERE / path
    source = file.read_text()
    text = for_intaglio(source) if library == "intaglio" else source
    module = ModuleType(f"{file.stem}_{library}_{next(_numbers)}")
    module.__file__ = str(file)
    sys.modules[module.__name__] = module  # dataclasses look their module up
    exec(compile(text, str(file), "exec"), module.__dict__)  # noqa: S102  # a file of this folder
    return module
