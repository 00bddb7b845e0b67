"""Backward passes over tapes of a structure seen before: planned once, then run as one function.

The tape's structure is one number (`_tape.record`), so a plan is found by one look into a table. It
says how to reach each entry from the root, which saved arrays the derivative reads, and to which
leaves the results belong; the derivative itself is one graph, written by the same rules and in the
same order as `_backward` walks (latest entry first, what arrives first comes first in a sum). At
first the graph runs node by node; once it has run often it is compiled: the same bits.

Whatever is out of the ordinary (hooks, retained gradients, freed or changed saved tensors, a
derivative of the derivative, large arrays, which the walk lets go one by one) is left to the walk.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any, Final

from intaglio._core import Tensor
from intaglio._kind import Kind
from intaglio._often import OFTEN, calls_python, may_compile
from intaglio._tape import Entry, OpEntry
from intaglio.compiler.dims import Dim
from intaglio.compiler.ir import Graph, Value
from intaglio.compiler.op import Builder
from intaglio.runtime.eager import graph_evaluator
from intaglio.runtime.eager_calls import called_often

SEEN: Final = 3
"""Backward passes over a structure before it is planned."""
LARGE: Final = 8 << 20
"""Bytes of all saved values and derivatives from which on a tape is left to the walk."""
LONG: Final = 2_000
"""Entries of a tape from which on it is left to the walk."""
REMEMBERED: Final = 512
"""Structures whose plans are kept; beyond, all are forgotten."""

Found = tuple[Tensor, Any]
"""A leaf and the data of its derivative (None: zero)."""

_PLANS: Final[dict[tuple[int, int], Any]] = {}  # a plan, or how often the structure was seen


def planned(root: Tensor, seed: Tensor, retain: bool) -> list[Found] | None:
    """The leaves that `root` depends on with their derivatives, in the walk's order, and the saved
    values let go unless `retain`; None where that is left to the walk, with nothing changed."""
    node = root._node
    if node is None or not node.structure:
        return None
    key = (node.structure, root._index)
    plan = _PLANS.get(key)
    if plan.__class__ is not _Plan:
        count = (plan or 0) + 1
        if len(_PLANS) >= REMEMBERED:
            _PLANS.clear()
        _PLANS[key] = count
        if count != SEEN:
            return None
        made = _Planner(node, root._index, root._kind).plan()
        if made is None:
            return None
        plan = _PLANS[key] = made
    found: list[Found] | None = plan.run(node, seed, retain)
    return found


class _Plan:
    """How to run the backward pass of one structure. `path` tells of every entry but the first
    which earlier one leads to it, and by which edge; `reads` which of the saved operands and
    results of which entries the graph takes after the seed; `leaves` of which entry's edge each
    leaf is, and which output of the graph is its derivative."""

    __slots__ = ("_call", "_graph", "_leaves", "_path", "_reads", "_runs")

    def __init__(
        self,
        graph: Graph,
        path: Sequence[tuple[int, int]],
        reads: Sequence[tuple[int, tuple[int, ...], tuple[int, ...]]],
        leaves: Sequence[tuple[int, int, int | None]],
    ) -> None:
        self._graph, self._path, self._reads, self._leaves = graph, path, reads, leaves
        self._call: Callable[[Sequence[Any]], Sequence[Any]] | None = None
        self._runs = 0

    def run(self, root: Entry, seed: Tensor, retain: bool) -> list[Found] | None:
        """The leaves and their derivatives; None if this tape is out of the ordinary."""
        entries = [root]
        for parent, edge in self._path:
            entries.append(entries[parent].edges[edge][0])  # type: ignore[index]  # as planned
        for entry in entries:
            if entry.saved is None or entry.hooks is not None or entry.retained is not None:
                return None
        data = self._gather(entries, seed)
        if data is None:
            return None
        made = self._results(data)
        if made is None:
            return None
        if not retain:
            for entry in entries:
                entry.saved = None
        found = []
        for position, edge, output in self._leaves:
            leaf = entries[position].edges[edge][0]  # type: ignore[index]  # as planned
            found.append((leaf, None if output is None else made[output]))
        return found

    def _gather(self, entries: list[Any], seed: Tensor) -> list[Any] | None:
        """What the graph takes; None if a saved tensor was written to since."""
        data = [seed._data]
        for position, xs, ys in self._reads:
            operands, results = entries[position].saved
            for k in xs:
                tensor, version = operands[k]
                if tensor._counter[0] != version:
                    return None
                data.append(tensor._data)
            for k in ys:
                array, counter, version = results[k]
                if counter[0] != version:
                    return None
                data.append(array)
        return data

    def _results(self, data: list[Any]) -> Sequence[Any] | None:
        """The graph's outputs; None where it fails: the walk raises it again, with its place."""
        self._runs += 1
        call = self._call
        if call is None or self._runs == OFTEN:
            call = self._call = self._made()
        with suppress(Exception):
            return call(data)
        return None

    def _made(self) -> Callable[[Sequence[Any]], Sequence[Any]]:
        """The graph as a function: node by node at first, compiled once it has run often."""
        if self._runs >= OFTEN and not calls_python(self._graph) and may_compile():
            return called_often(self._graph)
        run = graph_evaluator(self._graph)
        return lambda data: run(*data)


class _Planner:
    """Walks a tape once as `_backward` does, writing the graph instead of running it."""

    def __init__(self, root: Entry, index: int, kind: Kind) -> None:
        self._builder = Builder()
        self._entries = [root]
        self._position = {root: 0}
        self._path: list[tuple[int, int]] = []
        self._reads: list[tuple[int, tuple[int, ...], tuple[int, ...]]] = []
        self._pending: dict[Entry, list[Value | None]] = {root: [None] * len(root.kinds)}
        self._heap = [(-root.number, id(root), root)]
        self._leaves: dict[int, tuple[int, int, Value | None]] = {}
        self._bytes = 0
        self._pending[root][index] = self._input(kind)

    def plan(self) -> _Plan | None:
        """The plan; None for a tape that is better walked."""
        while self._heap:
            entry = heapq.heappop(self._heap)[2]
            dys = self._pending.pop(entry)
            if not isinstance(entry, OpEntry) or not self._visit(entry, dys):
                return None
            if len(self._entries) > LONG or self._bytes > LARGE:
                return None
        outputs = [v for _, _, v in self._leaves.values() if v is not None]
        number = iter(range(len(outputs)))
        leaves = [(p, e, None if v is None else next(number)) for p, e, v in self._leaves.values()]
        return _Plan(self._builder.graph(outputs), self._path, self._reads, leaves)

    def _visit(self, entry: OpEntry, dys: list[Value | None]) -> bool:
        if entry.saved is None:
            return False
        dxs: Sequence[Value | None] = [None] * len(entry.edges)
        if any(dy is not None for dy in dys):
            dxs = self._differentiate(entry, dys)
        for number, (edge, dx) in enumerate(zip(entry.edges, dxs, strict=True)):
            if edge is not None:
                self._send(self._position[entry], number, edge, dx)
        return True

    def _differentiate(self, entry: OpEntry, dys: list[Value | None]) -> list[Value | None]:
        every = derivative = entry.every
        if None in dys:
            given = tuple([dy is not None for dy in dys])
            derivative = entry.rule.derivative(entry.needs(), given)
        inputs = [self._input(entry.rule.inputs[k]) for k in derivative.xs]
        inputs += [self._input(entry.kinds[k]) for k in derivative.ys]
        for k in derivative.dys:
            dy = dys[k]
            assert dy is not None
            inputs.append(dy)
        if derivative.xs or derivative.ys:
            xs = tuple([every.xs.index(k) for k in derivative.xs])
            ys = tuple([every.ys.index(k) for k in derivative.ys])
            self._reads.append((self._position[entry], xs, ys))
        made = iter(self._builder.inline(derivative.graph, inputs))
        return [None if kind is None else next(made) for kind in derivative.kinds]

    def _input(self, kind: Kind) -> Value:
        size = kind.shape.numel()
        self._bytes += LARGE + 1 if isinstance(size, Dim) else size * kind.dtype.size
        return self._builder.input(kind.type)

    def _send(self, position: int, number: int, edge: tuple[Any, int], dx: Value | None) -> None:
        target, index = edge
        if isinstance(target, Tensor):
            known = self._leaves.get(id(target), (position, number, None))
            self._leaves[id(target)] = (known[0], known[1], self._sum(known[2], dx))
            return
        pending = self._pending.get(target)
        if pending is None:
            pending = self._pending[target] = [None] * len(target.kinds)
            heapq.heappush(self._heap, (-target.number, id(target), target))
            self._position[target] = len(self._entries)
            self._entries.append(target)
            self._path.append((position, number))
        pending[index] = self._sum(pending[index], dx)

    def _sum(self, before: Value | None, dx: Value | None) -> Value | None:
        if before is None or dx is None:
            return dx if before is None else before
        return self._builder.apply("add", (before, dx))[0]
