"""From a graph to the text of its native function: the passes, lowering, and stored plans that skip
both. A warm start loads neither: they are imported where they are used.

With `INTAGLIO_DUMP=folder` everything is made anew, and the graph after each pass and the C text
are written there, a folder per compile."""

from __future__ import annotations

import hashlib
import itertools
import os
import re
from collections.abc import Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Final

from intaglio.compiler.dims import symbols
from intaglio.compiler.errors import CompileError
from intaglio.compiler.ir import Graph, Literal, blocks
from intaglio.compiler.lowered import Lowered
from intaglio.runtime.plans import stored
from intaglio.runtime.toolchain import digest_of, find_toolchain
from intaglio.runtime.version import __version__

if TYPE_CHECKING:
    from intaglio.compiler.passes.fuse import Refusal

_numbers: Final = itertools.count()


def lowered_graph(
    graph: Graph,
    updates: Mapping[int, int],
    sizes: Mapping[str, int] | None,
    digest: str = "",
    label: str = "",
    packable: Sequence[int] = (),
    target: str = "c",
) -> Lowered:
    """The text and the buffers of a graph's function, specialised to `sizes` if they are given.

    `digest` identifies the graph; it is computed from the graph when it is empty. `packable` are
    the inputs of which the caller keeps packed copies; `target` is `c` or `cuda`."""
    folder = os.environ.get("INTAGLIO_DUMP")

    def make(dump: Dump | None = None) -> Lowered:
        from intaglio.compiler.lower import lower

        final = optimised(graph, sizes, dump)
        return lower(final, target=target, in_place=updates, packable=packable)

    if folder:
        dump = Dump(Path(folder), label)
        made = make(dump)
        for k, source in enumerate(made.sources):
            dump.write(f"unit{k}.{'cu' if target == 'cuda' else 'c'}", source)
        return made
    if _has_user_op(graph):  # a plan does not know the code that defines an op outside of here
        return make()
    bound = "general" if sizes is None else repr(sorted(sizes.items()))
    parts = (
        digest or graph_digest(graph),
        bound,
        repr(sorted(updates.items())),
        repr(sorted(packable)),
        target,
        __version__,
        _code_identity(),
        _compiler() if target == "c" else "",
    )
    known = symbols(*(s for v in graph.inputs for s in v.type.shape))
    return stored(Lowered, parts, known, make)


def _has_user_op(graph: Graph) -> bool:
    """Whether a graph, or a block in it, uses an op of a user."""
    return any(
        "::" in node.op or any(_has_user_op(block) for _, block in blocks(node))
        for node in graph.nodes
    )


def optimised(
    graph: Graph,
    sizes: Mapping[str, int] | None = None,
    dump: Dump | None = None,
    refusals: list[Refusal] | None = None,
) -> Graph:
    """The graph, specialised to `sizes` if they are given, after all passes, fusion last.

    `refusals` collects why neighbours were not fused."""
    from intaglio.compiler.passes import PIPELINE
    from intaglio.compiler.passes.fuse import fuse
    from intaglio.compiler.passes.specialise import specialise

    show = dump.graph if dump is not None else _show_nothing
    show("traced", graph)
    if sizes is not None:
        graph = specialise(graph, sizes)
        show("specialise", graph)
    for step in PIPELINE:
        graph = step(graph)
        show(step.__name__, graph)
    graph = fuse(graph, refusals=refusals)
    show("fuse", graph)
    return graph


def _show_nothing(name: str, graph: Graph) -> None:
    pass


def _compiler() -> str:
    """What identifies the compiler; empty where there is none, and plans are made all the same."""
    try:
        return find_toolchain().fingerprint
    except CompileError:
        return ""


def graph_digest(graph: Graph) -> str:
    """What identifies a graph: its text with the places, and the bytes of its literals."""
    from intaglio.compiler.text import print_graph

    literals = hashlib.sha256()
    waiting = [graph]
    while waiting:
        for node in waiting.pop().nodes:
            waiting += [block for _, block in blocks(node)]
            for value in node.attributes.values():
                if isinstance(value, Literal):
                    literals.update(repr(value).encode())
                    literals.update(value.array.tobytes())
    return digest_of(print_graph(graph), literals.hexdigest())


@lru_cache(maxsize=1)
def _code_identity() -> str:
    """Times and sizes of the compiler's files: a plan made by other code is not read."""
    home = Path(__file__).parent.parent / "compiler"
    found = sorted((str(f), f.stat()) for f in home.rglob("*.py"))
    return digest_of(*(f"{name} {about.st_mtime_ns} {about.st_size}" for name, about in found))


class Dump:
    """A folder for the texts of one compile."""

    def __init__(self, folder: Path, label: str) -> None:
        name = re.sub(r"[^A-Za-z0-9_]", "_", label)[:40] or "graph"
        self._folder = folder / f"{os.getpid()}-{next(_numbers):03d}-{name}"
        self._folder.mkdir(parents=True)
        self._count = 0

    def graph(self, name: str, graph: Graph) -> None:
        """Write a graph as text, numbered in order."""
        from intaglio.compiler.text import print_graph

        self.write(f"{self._count:02d}-{name}.txt", print_graph(graph) + "\n")
        self._count += 1

    def write(self, name: str, text: str) -> None:
        """Write a file."""
        (self._folder / name).write_text(text, encoding="utf-8")
