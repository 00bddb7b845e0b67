"""Runs a graph as often as wanted: checks the arrays of a call, picks or compiles the form for
their sizes, and commits updates of state only when everything has succeeded.

The first sizes get a form of their own (*specialised*); when a symbol takes a second value, the
*general* form is compiled, with extents at run time and the same bits, and serves every other size.
So a graph is compiled twice at most."""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from typing import Any, Protocol

import numpy as np

from intaglio.compiler.errors import ArgumentError
from intaglio.compiler.interpret import evaluating, interpret
from intaglio.compiler.ir import Function, Graph, Value
from intaglio.runtime.arrays import Array, address
from intaglio.runtime.signature import Signature, Sizes


class Form(Protocol):
    """A graph made ready to run, for all sizes or for some."""

    native: bool

    def run(self, arrays: list[Array], sizes: Sizes, threads: int | None) -> list[Array]:
        """The results without the updates, which are in the arrays of the states afterwards."""
        ...

    def memory(self, sizes: Sizes) -> Mapping[str, int]:
        """Bytes that a call with these sizes takes, by what for."""
        ...


class Interpreted:
    """The graph run node by node in NumPy: slow, correct, outside the promise of equal bits."""

    native = False

    def __init__(self, graph: Graph, updates: Mapping[int, int]) -> None:
        self._graph, self._updates = graph, updates

    def run(self, arrays: list[Array], sizes: Sizes, threads: int | None) -> list[Array]:
        """All outputs first; only then the states."""
        with evaluating(None):
            outputs = interpret(self._graph, arrays, sizes.by_name)
        results = []
        for k, output in enumerate(outputs):
            if k in self._updates:
                output = np.array(output)  # it may be a view of a state that changes below
            elif any(np.may_share_memory(output, a) for a in arrays):
                output = np.array(output)
            results.append(output)
        commit([(arrays[number], results[k]) for k, number in self._updates.items()])
        return [r for k, r in enumerate(results) if k not in self._updates]

    def memory(self, sizes: Sizes) -> Mapping[str, int]:
        """Not known before it runs."""
        return {}


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


class Executable:
    """A graph that can be called with arrays. Threads may call it at once.

    `updates` maps outputs to the inputs (states) that they replace: those outputs are written into
    the inputs' arrays instead of being returned, and only if the call succeeds. `general` compiles
    for run-time extents from the start; `backend` is `native`, `interpret`, or None for native
    where a compiler is found."""

    def __init__(
        self,
        graph: Graph,
        *,
        updates: Mapping[int, int] | None = None,
        names: Sequence[str] = (),
        label: str = "",
        backend: str | None = None,
        max_memory: int | None = None,
        threads: int | None = None,
        general: bool = False,
    ) -> None:
        self.graph = graph
        self.updates = dict(updates or {})
        self.names = tuple(names) or tuple(f"input {k}" for k in range(len(graph.inputs)))
        self.signature = Signature(
            [v.type for v in graph.inputs], self.names, graph.constraints, label
        )
        self.label, self.backend = label, backend
        self.max_memory, self.threads = max_memory, threads
        self.general, self.compiles = general, 0
        self._general: Form | None = None
        self._special: dict[tuple[int, ...], Form] = {}
        self._building = threading.Lock()
        self._writing = threading.Lock()

    def __call__(self, arrays: Sequence[object]) -> list[Array]:
        """The results for these arrays, in the order of the graph's outputs."""
        admitted = self.signature.admit(arrays)
        sizes = self.signature.bind(admitted)
        if not self.updates:
            return self.form(sizes).run(admitted, sizes, self.threads)
        self._check_states(arrays, admitted)
        form = self.form(sizes)
        with self._writing:
            return form.run(admitted, sizes, self.threads)

    def form(self, sizes: Sizes) -> Form:
        """The form that serves these sizes, compiled now if there is none yet."""
        found = self._special.get(sizes.key) or self._general
        if found is not None:
            return found
        with self._building:
            found = self._special.get(sizes.key) or self._general
            if found is None:
                special = not self._special and not self.general
                found = self._compile(sizes if special and sizes.key else None)
                if special:
                    self._special[sizes.key] = found
                else:
                    self._general = found
        return found

    def _compile(self, sizes: Sizes | None) -> Form:
        self.compiles += 1
        return compile_form(self.graph, self.updates, sizes, self.names, self.backend)

    def _check_states(self, given: Sequence[object], arrays: list[Array]) -> None:
        """States are written in place: they must be writable arrays of the right layout, apart from
        each other; an operand that overlaps one is copied."""
        states = sorted((address(arrays[j]), j) for j in self.updates.values())
        end = -1
        for start, j in states:
            if arrays[j] is not given[j] or not arrays[j].flags.writeable:
                raise ArgumentError(
                    f"{self.signature.place(j)} is updated in place: a writable, dense array is "
                    "wanted"
                )
            if start < end:
                raise ArgumentError(f"{self.signature.place(j)} overlaps another updated state")
            end = max(end, start + arrays[j].nbytes)
        low, high, written = states[0][0], end, {j for _, j in states}
        for k, array in enumerate(arrays):
            if k in written:
                continue
            start = address(array)
            if (
                start < high
                and low < start + array.nbytes
                and any(
                    start < s + arrays[j].nbytes and s < start + array.nbytes for s, j in states
                )
            ):
                arrays[k] = array.copy()


def compile_form(
    graph: Graph,
    updates: Mapping[int, int],
    sizes: Sizes | None,
    names: Sequence[str],
    backend: str | None,
) -> Form:
    """The native form, or the interpreter, with a warning, where there is no compiler."""
    return Interpreted(graph, updates)


def compile_graph(graph: Graph, **options: Any) -> Executable:
    """Make a graph callable. Options are those of `Executable`."""
    return Executable(graph, **options)


class FunctionExecutable(Executable):
    """A function of a program, over its arguments followed by the states named in `states`: those
    it reads, then those it only writes."""

    def __init__(self, function: Function, **options: Any) -> None:
        unread = [s for s in function.updates if s not in function.reads]
        values = function.update_values
        extra = [Value(values[s].type, s) for s in unread]
        graph = function.graph.replace(inputs=(*function.graph.inputs, *extra))
        self.function = function
        self.states: tuple[str, ...] = (*function.reads, *unread)
        place = {s: len(function.arguments) + k for k, s in enumerate(self.states)}
        first = len(function.results)
        updates = {first + k: place[s] for k, s in enumerate(function.updates)}
        names = (*function.arguments, *self.states)
        super().__init__(graph, updates=updates, names=names, label=function.name, **options)


def compile_function(function: Function, **options: Any) -> FunctionExecutable:
    """Make a function of a program callable with its arguments and the arrays of its states, which
    it updates in place."""
    return FunctionExecutable(function, **options)
