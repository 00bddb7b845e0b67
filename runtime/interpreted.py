"""The form of last resort: a graph run node by node in NumPy, where there is no C compiler."""

from __future__ import annotations

import builtins
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING

import numpy as np

from intaglio.compiler.dims import evaluate
from intaglio.compiler.errors import CompileError, MemoryError
from intaglio.compiler.interpret import evaluating, interpret
from intaglio.compiler.ir import Graph, Value
from intaglio.runtime.arrays import Array
from intaglio.runtime.settings import machine_memory, show_bytes
from intaglio.runtime.signature import Sizes

if TYPE_CHECKING:
    from intaglio.runtime.layout import Planner


class Interpreted:
    """The graph run node by node in NumPy: slow, correct, outside the promise of equal bits."""

    native = False

    def __init__(
        self, graph: Graph, updates: Mapping[int, int], max_memory: int | None = None
    ) -> None:
        self._graph, self._updates, self._max_memory = graph, updates, max_memory

    @property
    def planner(self) -> Planner:
        """There is none."""
        raise CompileError("the interpreter has no plan of its memory")

    def timed(self) -> AbstractContextManager[list[list[float]]]:
        """It has no steps."""
        raise CompileError("the interpreter has no steps to time")

    def run(
        self, arrays: list[Array], sizes: Sizes, threads: int | None, stable: object = None
    ) -> list[Array]:
        """All outputs first; only then the states."""
        limit = machine_memory()
        if self._max_memory is not None:
            limit = min(limit, self._max_memory)
        needed = peak_bytes(self._graph, sizes)
        if needed > limit:
            raise MemoryError(
                f"the interpreter needs {show_bytes(needed)}, and may take {show_bytes(limit)}"
            )
        try:
            outputs = self._outputs(arrays, sizes)
        except builtins.MemoryError as error:
            raise MemoryError(f"the interpreter ran out of memory: {error}") from None
        results = []
        for k, output in enumerate(outputs):
            if k in self._updates:
                output = np.array(output)  # it may be a view of a state that changes below
            elif any(np.may_share_memory(output, a) for a in arrays):
                output = np.array(output)
            results.append(output)
        commit([(arrays[number], results[k]) for k, number in self._updates.items()])
        return [r for k, r in enumerate(results) if k not in self._updates]

    def _outputs(self, arrays: list[Array], sizes: Sizes) -> list[Array]:
        """What the graph gives for these arrays."""
        with evaluating(None):
            return interpret(self._graph, arrays, sizes.by_name)


def peak_bytes(graph: Graph, sizes: Sizes) -> int:
    """The most that results of nodes take at one time, each counted as memory of its own from its
    node to its last reader."""
    last: dict[Value, int] = {}
    for k, node in enumerate(graph.nodes):
        last.update((value, k) for value in (*node.inputs, *node.outputs))
    last.update((value, len(graph.nodes)) for value in graph.outputs)
    ends: dict[int, int] = {}
    alive = most = 0
    for k, node in enumerate(graph.nodes):
        for value in node.outputs:
            size = evaluate(value.type.bytes, sizes.by_name)
            alive += size
            ends[last[value]] = ends.get(last[value], 0) + size
        most = max(most, alive)
        alive -= ends.pop(k, 0)
    return most


def commit(pairs: Sequence[tuple[Array, Array]]) -> None:
    """Copy each second array into the first, all of them even if Ctrl-C comes in between."""
    interrupted: KeyboardInterrupt | None = None
    while True:
        try:
            for target, fresh in pairs:
                np.copyto(target, fresh)
        except KeyboardInterrupt as stop:
            interrupted = stop
            continue
        break
    if interrupted is not None:
        raise interrupted
