"""Rewrites from graph to graph, one to a file, and the order in which every function goes through
them.

No pass mutates its input, changes bits, or does anything the second time it runs.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from intaglio.compiler.ir import Graph
from intaglio.compiler.passes import cse, dce, fold, hoist, inline, simplify, widen

PIPELINE: Final[tuple[Callable[[Graph], Graph], ...]] = (
    inline.inline,
    dce.dce,
    simplify.simplify,
    fold.fold,
    simplify.simplify,
    hoist.hoist,
    widen.widen,
    cse.cse,
    dce.dce,
)
"""What a function's graph goes through, after differentiation and before fusion."""
