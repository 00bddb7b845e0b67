"""A function module by module: how many operations each has, which, and the states it reads."""

from __future__ import annotations

from collections.abc import Sequence

from intaglio.compiler.ir import Function
from intaglio.runtime.settings import show_bytes
from intaglio.tools.diagram import brief, kind_of
from intaglio.tools.modules import group, node_paths, outline
from intaglio.tools.show import signature, table


def summary(function: Function, depth: int) -> str:
    """The function's signature and a table of its modules down to `depth`: operations, states read
    and their bytes, and the most frequent operations besides those that only move data."""
    paths = node_paths(function.graph)
    nodes = list(paths)
    number = {value: k for k, node in enumerate(nodes) for value in node.outputs}
    sources = [[number[v] for v in node.inputs if v in number] for node in nodes]
    states = dict(
        zip(function.graph.inputs[len(function.arguments) :], function.reads, strict=True)
    )

    def row(items: Sequence[int]) -> Sequence[object]:
        """Operations, states, their bytes, the ops."""
        read = {v for k in items for v in nodes[k].inputs if v in states}
        size = sum(v.type.bytes for v in read if isinstance(v.type.bytes, int))
        taken = show_bytes(size) if read else ""
        return (
            len(items),
            len(read),
            taken,
            brief(nodes[k].op for k in items if kind_of(nodes[k].op) != "movement"),
        )

    root = group(function.name, list(paths.values()), sources)
    rows = outline(root, depth, row)
    head = ("module", "ops", "states", "bytes", "mostly")
    total = ("all", *row(range(len(nodes))))
    return f"{signature(function)}\n{table([head, *rows, total], '  ')}"
