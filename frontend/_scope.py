"""Where the running op stands: the chain of modules and composites around it, and the author's
line.

Both are recorded as cheaply as can be on the way of every op, and turned into text only when shown.
A scope is a linked list `(outer scope, module or composite's name)`; a line is a pair (code object,
instruction offset), never a frame, so that nothing of the author's is kept alive."""

from __future__ import annotations

import os
import re
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import CodeType, FrameType
from typing import Any, Final

import intaglio.compiler
import intaglio.runtime
from intaglio.compiler.errors import locate_errors_by
from intaglio.compiler.where import Where

Scope = tuple[Any, Any] | None
Spot = tuple[CodeType, int, Scope]


class _Current(threading.local):
    """The scope of this thread: `(outer, module or name)`, or None outside of all."""

    scope: Scope = None


current: Final = _Current()


@contextmanager
def entered(name: str) -> Iterator[None]:
    """Ops applied inside carry the composite's name: `with entered("softmax"): ...`."""
    before = current.scope
    current.scope = (before, name)
    try:
        yield
    finally:
        current.scope = before


class _Changes:
    """Counts writes to plain attributes of modules, so that compiled functions know when to look
    at them again."""

    __slots__ = ("count",)

    def __init__(self) -> None:
        self.count = 0


changes: Final = _Changes()


def _folders() -> tuple[str, ...]:
    here = os.path.dirname(os.path.abspath(__file__))
    modules = (intaglio.compiler, intaglio.runtime)
    homes = [here, *(os.path.dirname(os.path.abspath(str(m.__file__))) for m in modules)]
    return tuple(home + os.sep for home in homes)


_OWN: Final = _folders()
_internal: dict[str, bool] = {}


def _is_internal(file: str) -> bool:
    known = _internal.get(file)
    if known is None:
        full = file if file.startswith("<") else os.path.abspath(file)
        known = _internal[file] = full.startswith(_OWN) or file.startswith(("<frozen", "<string>"))
        if file.endswith(("contextlib.py", "functools.py", "threading.py")) and not known:
            known = _internal[file] = full.startswith(os.path.dirname(os.__file__) + os.sep)
    return known


def spot() -> Spot:
    """The nearest frame that is not intaglio's own, as (code, instruction offset, scope)."""
    frame = sys._getframe(2)
    internal = _internal
    while True:
        code = frame.f_code
        known = internal.get(code.co_filename)
        if known is None:
            known = _is_internal(code.co_filename)
        outer = frame.f_back
        if not known or outer is None:
            return code, frame.f_lasti, current.scope
        frame = outer


def line_of(code: CodeType, offset: int) -> int:
    """The source line of an instruction."""
    for start, stop, line in code.co_lines():
        if start <= offset < stop and line is not None:
            return line
    return code.co_firstlineno


_CELL: Final = re.compile(r"<ipython-input-(\d+)-|[/\\]ipykernel_\d+[/\\]\d+\.py$")


def file_of(code: CodeType) -> str:
    """The short name of a source file: its last part; `cell 3` for a notebook's cell (`cell ?` once
    its number is forgotten), `<stdin>` and the like as they are."""
    name = code.co_filename
    notebook = sys.modules.get("IPython")
    if notebook is not None and (shell := notebook.get_ipython()) is not None:
        cells = getattr(shell.compile, "_filename_map", {})
        if name in cells:
            return f"cell {cells[name]}"
    cell = _CELL.search(name)
    if cell is not None:
        return f"cell {cell[1] or '?'}"
    return name if name.startswith("<") else os.path.basename(name)


_paths: dict[int, tuple[Scope, str]] = {}


def scope_path(scope: Scope) -> str:
    """`Net.block.attn.softmax`: the root's class, attribute names below it, composites."""
    if scope is None:
        return ""
    found = _paths.get(id(scope))
    if found is not None and found[0] is scope:
        return found[1]
    chain: list[Any] = []
    link: Scope = scope
    while link is not None:
        chain.append(link[1])
        link = link[0]
    words: list[str] = []
    parent: Any = None
    for item in reversed(chain):
        if isinstance(item, str):
            words.append(item)
        else:
            words.append(_child_name(parent, item))
            parent = item
    if len(_paths) > 10_000:
        _paths.clear()
    path = ".".join(words)
    _paths[id(scope)] = (scope, path)
    return path


def _child_name(parent: Any, module: Any) -> str:
    if parent is not None:
        for name, found in parent.named_modules():
            if found is module and name:
                return str(name)
    return type(module).__name__


def where_of(place: Spot) -> Where:
    """A recorded place as messages and dumps show it."""
    code, offset, scope = place
    return Where(file_of(code), line_of(code, offset), scope_path(scope))


def _place_of_error(frame: FrameType) -> str:
    """The author's line, for an error that the front end itself raises."""
    if not os.path.abspath(frame.f_code.co_filename).startswith(_OWN[0]):
        return ""
    return str(where_of(spot()))


locate_errors_by(_place_of_error)


def source_line(place: Spot) -> str:
    """The text of the source line at a place; empty where the source is not at hand."""
    import linecache

    code, offset, _ = place
    return linecache.getline(code.co_filename, line_of(code, offset)).strip()
