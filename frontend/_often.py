"""When code that runs eagerly is compiled behind the author's back: once it has run often."""

from __future__ import annotations

import os
from typing import Final

from intaglio.compiler.ir import Graph
from intaglio.compiler.op import op_named
from intaglio.runtime.eager_calls import has_compiler

OFTEN: Final = 64
"""Runs before something small is compiled: short runs never wait for a compiler."""


def calls_python(graph: Graph) -> bool:
    """Whether an op of the graph runs in Python."""
    return any(getattr(op_named(node.op), "host", False) for node in graph.nodes)


def may_compile() -> bool:
    """Whether anything is to be compiled for eager code behind the author's back."""
    return os.environ.get("INTAGLIO_EAGER") != "1" and has_compiler()
