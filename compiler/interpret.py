"""Run a graph node by node on NumPy arrays: the meaning of graphs, for tests, tools and machines
without a C compiler.

Symbolic sizes are solved from the arrays' shapes (`bind_sizes`, see `solve`); then every dim and
every constraint is checked.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, Protocol

from intaglio.compiler.dims import evaluate, symbols
from intaglio.compiler.dtypes import dtype_of
from intaglio.compiler.errors import DTypeError, Error, ShapeError
from intaglio.compiler.ir import Graph, Node, Value
from intaglio.compiler.op import Array, located, op_named
from intaglio.compiler.passes.specialise import specialised
from intaglio.compiler.solve import solve
from intaglio.compiler.types import TensorType


def interpret(
    graph: Graph, arrays: Sequence[Array], sizes: Mapping[str, int] | None = None
) -> list[Array]:
    """The graph's outputs for these inputs, by the ops' references.

    Checks the arrays against the inputs' types first, unless the values of the symbols are given.
    Errors carry the place of the node that raised them.
    """
    if sizes is None:
        sizes = bind_sizes([v.type for v in graph.inputs], arrays)
        check_constraints(graph, sizes)
    values: dict[Value, Array] = dict(zip(graph.inputs, arrays, strict=True))
    last = _last_uses(graph)
    for k, node in enumerate(graph.nodes):
        made = _run(node, [values[v] for v in node.inputs], sizes)
        values.update(zip(node.outputs, made, strict=True))
        for value in last.get(k, ()):
            del values[value]
    return [values[v] for v in graph.outputs]


Evaluate = Callable[[str, Sequence[Array], Mapping[str, Any]], tuple[Array, ...]]
_evaluate: ContextVar[Evaluate | None] = ContextVar("evaluate", default=None)


@contextmanager
def evaluating(evaluate: Evaluate | None) -> Iterator[None]:
    """Let nodes, also those of blocks, be run by `evaluate(op, arrays, attributes)` instead of by
    their references; None goes back to the references."""
    token = _evaluate.set(evaluate)
    try:
        yield
    finally:
        _evaluate.reset(token)


class Observer(Protocol):
    """Looks on while nodes run, those of blocks too."""

    def begin(self, node: Node, attributes: Mapping[str, Any]) -> None:
        """A node is about to run with these attributes."""
        ...

    def end(self, node: Node, operands: Sequence[Array], results: Sequence[Array]) -> None:
        """A node has run."""
        ...


_observer: ContextVar[Observer | None] = ContextVar("observer", default=None)


@contextmanager
def observing(observer: Observer | None) -> Iterator[None]:
    """Let `observer` look on while nodes run, also those of blocks."""
    token = _observer.set(observer)
    try:
        yield
    finally:
        _observer.reset(token)


def _run(node: Node, operands: list[Array], sizes: Mapping[str, int]) -> tuple[Array, ...]:
    attributes = {k: specialised(v, sizes) for k, v in node.attributes.items()}
    observer = _observer.get()
    if observer is not None:
        observer.begin(node, attributes)
    try:
        evaluate = _evaluate.get()
        if evaluate is not None:
            results = evaluate(node.op, operands, attributes)
        else:
            results = op_named(node.op).results(*operands, **attributes)
    except Error as error:
        raise located(error, node.where) from error.__cause__
    if observer is not None:
        observer.end(node, operands, results)
    return results


def _last_uses(graph: Graph) -> dict[int, list[Value]]:
    """Which values no later node reads, by the number of the node after which that is so."""
    last: dict[Value, int] = {}
    for k, node in enumerate(graph.nodes):
        last.update((v, k) for v in (*node.outputs, *node.inputs))
    found: dict[int, list[Value]] = {}
    for value, k in last.items():
        if value not in graph.outputs:
            found.setdefault(k, []).append(value)
    return found


def bind_sizes(
    types: Sequence[TensorType], arrays: Sequence[Array], names: Sequence[str] = ()
) -> dict[str, int]:
    """The values of all symbols in `types`, from the shapes of the arrays; every dtype, rank and
    dim is checked.

    `names` are what messages call the inputs. Raises `DTypeError` or `ShapeError` with the input
    and the rule.
    """
    names = names or [f"input {k}" for k in range(len(types))]
    if len(types) != len(arrays):
        raise ShapeError(f"{len(types)} inputs are needed, {len(arrays)} were given")
    for name, type, array in zip(names, types, arrays, strict=True):
        if dtype_of(array.dtype) is not type.dtype:
            raise DTypeError(f"{name} must be {type}, but its dtype is {dtype_of(array.dtype)}")
        if array.ndim != type.rank:
            raise ShapeError(
                f"{name} must be {type}, but its shape {list(array.shape)} has {array.ndim} dims"
            )
    pairs = [
        (name, type, k, size, array.shape[k])
        for name, type, array in zip(names, types, arrays, strict=True)
        for k, size in enumerate(type.shape)
    ]
    found = solve([(size, value) for _, _, _, size, value in pairs])
    for name, type, k, size, value in pairs:
        for symbol in symbols(size).values():
            if symbol.name not in found:
                raise ShapeError(f"{name}: {type}: no input's shape tells the size {symbol.name!r}")
            if not symbol.low <= found[symbol.name] <= symbol.high:
                raise ShapeError(
                    f"{name} must be {type}, but {symbol.name} = {found[symbol.name]} is not "
                    f"within {symbol.low} to {symbol.high}"
                )
        if evaluate(size, found) != value:
            rule = f"dim {k} must be {size}"
            if not isinstance(size, int):
                rule += f" = {evaluate(size, found)}"
            raise ShapeError(f"{name} must be {type}, but {rule}, not {value}")
    return found


def check_constraints(graph: Graph, sizes: Mapping[str, int]) -> None:
    """Raise `ShapeError` for a constraint of the graph that these sizes break."""
    for constraint in graph.constraints:
        if not constraint.holds(sizes):
            a, b = evaluate(constraint.left, sizes), evaluate(constraint.right, sizes)
            place = f" ({constraint.where})" if constraint.where else ""
            raise ShapeError(
                f"{constraint} is needed, but {a} {constraint.relation} {b} is false{place}"
            )
