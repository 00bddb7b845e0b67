"""Runs a model twice, op by op, and says where the two first differ.

Each side is a list of records: what every op gave, with its line. An eager function is watched
while it runs; a traced, jitted or loaded one is run as its graph stands, unfused, by the same
kernels. The lists are aligned by op, type and line, and where lines differ (another version of the
source) by op and type; then the values are compared. At the end the compiled function is run too,
fused, and its results are compared with the unfused ones."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from difflib import SequenceMatcher
from typing import TYPE_CHECKING, Any

import numpy as np

from intaglio._core import Array, Tensor, from_array
from intaglio._jit import Jitted
from intaglio._modes import modes
from intaglio._places import is_data, to_host
from intaglio._program import Program, executable_of
from intaglio._recorded import is_leaf, record
from intaglio._scope import spot, where_of
from intaglio._structure import flatten
from intaglio._watch import Watch, watching
from intaglio.compiler.errors import ArgumentError
from intaglio.compiler.interpret import evaluating, interpret, observing
from intaglio.compiler.ir import Attributes, Graph, Node
from intaglio.compiler.where import Where, describe
from intaglio.runtime import LoadedFunction, Model
from intaglio.runtime.comparison import Comparison, Difference, difference
from intaglio.runtime.eager import evaluate
from intaglio.runtime.executor import Executable

if TYPE_CHECKING:
    from intaglio._apply import Rule
    from intaglio._tape import Entry


@dataclass(slots=True)
class _Record:
    """What one op gave."""

    op: str
    arrays: tuple[Array, ...]
    where: str

    @property
    def coarse(self) -> tuple[Any, ...]:
        """What aligns across versions of the source."""
        return (self.op, *((a.dtype.str, a.shape) for a in self.arrays))

    @property
    def fine(self) -> tuple[Any, ...]:
        """What aligns best."""
        return (*self.coarse, self.where)


@dataclass(slots=True)
class _Run:
    """All that one side gave. `compiled` are the fused function's results, where there is one."""

    records: list[_Record]
    results: list[tuple[str, Array]]
    compiled: list[Array] | None = None


class _Recorder(Watch):
    """Copies what every eager op gives."""

    def __init__(self) -> None:
        self.records: list[_Record] = []
        self._deriving: Where | None = None

    def seen(self, rule: Rule, arrays: Sequence[Array], made: Sequence[Array]) -> None:
        """An op has run."""
        if arrays:
            where = self._deriving or where_of(spot())
            copies = tuple(np.array(to_host(a)) for a in made)
            self.records.append(_Record(rule.op, copies, describe((where,))))

    def pull(self, entry: Entry, dys: list[Tensor | None]) -> Sequence[Tensor | None]:
        """A derivative runs: its ops carry the line that it differentiates."""
        before = self._deriving
        self._deriving = where_of(entry.place).derivative() if entry.place else None
        try:
            return entry.pull(dys)
        finally:
            self._deriving = before


class _Listener:
    """Keeps what every node of a graph gives; nodes of blocks are part of theirs."""

    def __init__(self) -> None:
        self.records: list[_Record] = []
        self._depth = 0

    def begin(self, node: Node, attributes: Attributes) -> None:
        """A node is about to run."""
        self._depth += 1

    def end(self, node: Node, operands: Sequence[Array], results: Sequence[Array]) -> None:
        """A node has run."""
        self._depth -= 1
        if not self._depth and operands:
            self.records.append(_Record(node.op, tuple(results), describe(node.where)))


Side = Callable[[], _Run]


def compare(
    left: Any,
    right: Any,
    inputs: Any,
    *,
    rtol: float = 1e-5,
    atol: float = 1e-8,
    show: bool = True,
) -> Comparison:
    """Run two versions of a function on the same inputs, op by op, and say where they first differ.

    Each of `left` and `right` is a function or module (run eagerly on the left, traced on the
    right), a jitted function, a `Program`, a loaded `Model` or one of its functions (`model.step`).
    `inputs` is a tuple of arrays or tensors, or a single one. Values differ when |a - b| > atol +
    rtol |b|. States of programs and loaded models are left as they are; an eager function does what
    it does. The comparison is printed, unless `show` is false, and returned. Every op's result is
    kept meanwhile. Raises `ArgumentError` for what can't be run."""
    given = inputs if isinstance(inputs, tuple | list) else (inputs,)
    # the right side first takes copies of its states: the left one may change them when it runs
    other = _graph_side(right, given)
    one = _graph_side(left, given) if _has_graph(left) else _eager_side(left, given)
    made = _compared(one(), other(), rtol, atol)
    if show:
        print(made)
    return made


def _has_graph(target: Any) -> bool:
    return isinstance(target, Jitted | Program | Model | LoadedFunction)


def _eager_side(function: Any, inputs: Sequence[Any]) -> Side:
    if not callable(function):
        raise ArgumentError(f"compare: {type(function).__name__} can't be called")

    def run() -> _Run:
        recorder = _Recorder()
        given = [from_array(x) if isinstance(x, np.ndarray) else x for x in inputs]
        with watching(recorder):
            outcome = function(*given)
        leaves = [leaf for leaf in flatten(outcome)[0] if leaf is not None]
        arrays = [_host_copy(t) for t in leaves]
        return _Run(recorder.records, [(f"result {k}", a) for k, a in enumerate(arrays)])

    return run


def _graph_side(target: Any, inputs: Sequence[Any]) -> Side:
    if isinstance(target, Model):
        target = target.function()
    if isinstance(target, LoadedFunction):
        function = target.function
        arrays = [_host_copy(a) for a in (*target._leaves(inputs, {}), *target._states())]
        executable: Any = Executable(target.executable.graph, label=target.name)
        return _run_of(executable, arrays, function.results)
    if isinstance(target, Program):
        return _program_side(target, inputs)
    if not callable(target):
        raise ArgumentError(f"compare: {type(target).__name__} can't be run")
    function_ = target.function if isinstance(target, Jitted) else target
    made = record("compare", function_, inputs, {}, grad=modes.grad, requires_grad=True)
    leaves = [x for x in flatten(tuple(inputs))[0] if is_leaf(x)]
    arrays = [_host_copy(x) for x in leaves]
    arrays += [_host_copy(ref.peek()) for ref in made.reads]
    return _run_of(Executable(made.graph, label="compare"), arrays, made.results)


def _host_copy(value: Any) -> Array:
    """An array of the CPU with the elements of a tensor or array that lies anywhere."""
    data = value._data if isinstance(value, Tensor) else value
    return np.array(to_host(data) if is_data(data) else data)


def _program_side(program: Program, inputs: Sequence[Any]) -> Side:
    functions = program.functions
    name = "forward" if len(functions) != 1 else next(iter(functions))
    if name not in functions:
        raise ArgumentError(
            f"compare: a program with the functions {', '.join(functions)} and no forward; save and"
            " load it, and give one of the loaded model's functions"
        )
    function, state = functions[name], program.state
    leaves = [x for x in flatten(tuple(inputs))[0] if is_leaf(x)]
    arrays = [_host_copy(x) for x in leaves]
    graph = executable_of(function).graph
    only = [s for s in function.updates if s not in function.reads]
    arrays += [state[s] for s in (*function.reads, *only)]
    return _run_of(Executable(graph, label=name), arrays, function.results)


def _run_of(executable: Executable, arrays: Sequence[Any], names: Sequence[str]) -> Side:
    """A graph op by op, then compiled; its outputs that are no results are updates of state."""

    def run() -> _Run:
        graph: Graph = executable.graph
        dense = executable.signature.admit(arrays)
        sizes = executable.signature.bind(dense)
        listener = _Listener()
        kernels = evaluating(evaluate) if executable._has_compiler() else nullcontext()
        with kernels, observing(listener):
            outputs = interpret(graph, dense, sizes.by_name)
        results = list(zip(names, outputs, strict=False))
        return _Run(listener.records, results, executable(dense)[: len(names)])

    return run


# ---------------------------------------------------------------------------------------- alignment


def _compared(left: _Run, right: _Run, rtol: float, atol: float) -> Comparison:
    pairs, lonely = _aligned(left.records, right.records)
    rows: list[Difference] = []
    for a, b in pairs:
        for x, y in zip(a.arrays, b.arrays, strict=True):
            rows.append(difference(a.op, a.where, b.where, x, y, rtol, atol))
    if len(left.results) != len(right.results):
        raise ArgumentError(
            f"compare: the one side gives {len(left.results)} results, the other"
            f" {len(right.results)}"
        )
    ends = [
        difference(name, "", "", x, y, rtol, atol)
        for (_, x), (name, y) in zip(left.results, right.results, strict=True)
    ]
    fused = []
    for run in (left, right):
        if run.compiled is not None:
            fused += [
                difference(f"{name}, compiled", "", "", x, y, rtol, atol)
                for (name, x), y in zip(run.results, run.compiled, strict=True)
            ]
    texts = tuple(f"{r.op} {r.where}".strip() for r in lonely)
    return Comparison(tuple(rows), tuple(ends), tuple(fused), texts, rtol, atol)


def _aligned(
    left: Sequence[_Record], right: Sequence[_Record]
) -> tuple[list[tuple[_Record, _Record]], list[_Record]]:
    """The pairs in order, and the records that have no partner."""
    pairs: list[tuple[_Record, _Record]] = []
    lonely: list[_Record] = []

    def match(a: Sequence[_Record], b: Sequence[_Record], keys: Sequence[str]) -> None:
        if not keys or not a or not b:
            lonely.extend((*a, *b))
            return
        x, y = ([getattr(r, keys[0]) for r in side] for side in (a, b))
        for tag, i, j, k, m in SequenceMatcher(None, x, y, autojunk=False).get_opcodes():
            if tag == "equal":
                pairs.extend(zip(a[i:j], b[k:m], strict=True))
            else:
                match(a[i:j], b[k:m], keys[1:])

    match(left, right, ("fine", "coarse"))
    return pairs, lonely


__all__ = ["Comparison", "compare"]
