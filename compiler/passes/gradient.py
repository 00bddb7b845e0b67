"""Derivatives: a graph is rewritten into its derivative graph, by the ops' own rules.

Reverse mode, in plain words. A *cotangent* of a value says how much a change of it changes what is
differentiated. The outputs' cotangents are given (1 for a loss). Going through the nodes from the
last to the first, each node's rule turns the cotangents of its results into those of its operands;
a value read by several nodes gets the sum, added in the order in which they arrive, that is in
reverse program order. Nodes that do not depend on what is asked for, or that no cotangent reaches,
are passed over. The rules make ops, so the result is an ordinary graph and may be differentiated
again.

The same walk, `backpropagate`, serves graphs (values are `Value`s, `g` is a `Builder`) and the
eager tape (values are tensors, `g` runs each op at once): `primal` maps a value of the nodes to
what `g` works on.

Forward mode goes the other way: a *tangent* is a value's change, each op's `jvp` rule turns
operands' tangents into results'. Where an op has no such rule, its `vjp` is transposed: cotangents
to cotangents is linear, and the derivative of that linear map, taken backwards, is the forward
rule.

Every node made here carries the place of the node that it differentiates ("gradient of
train.py:41").
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Protocol, TypeVar

from intaglio.compiler.errors import GradientError
from intaglio.compiler.ir import Attributes, Graph, Node, Value
from intaglio.compiler.op import Builder, Ops, V, located, op_named, run_graph
from intaglio.compiler.passes.dce import dce
from intaglio.compiler.passes.keys import attributes_key
from intaglio.compiler.types import TensorType
from intaglio.compiler.where import Places

K = TypeVar("K", bound=Hashable)
K_co = TypeVar("K_co", bound=Hashable, covariant=True)


class Step(Protocol[K_co]):
    """What the walk needs of a node: a graph's `Node`, or an entry of the tape."""

    @property
    def op(self) -> str:
        """The op's name."""
        ...

    @property
    def inputs(self) -> Sequence[K_co]:
        """The operands."""
        ...

    @property
    def outputs(self) -> Sequence[K_co]:
        """The results."""
        ...

    @property
    def attributes(self) -> Attributes:
        """The attributes."""
        ...

    @property
    def where(self) -> Places:
        """Where it was written."""
        ...


def _identity(value: Any) -> Any:
    return value


def backpropagate(
    g: Ops[V],
    nodes: Iterable[Step[K]],
    seeds: Mapping[K, V],
    wanted: set[K],
    primal: Callable[[K], V] = _identity,
) -> dict[K, V]:
    """The cotangents of `wanted`, from the cotangents `seeds` of results.

    `nodes` come in reverse program order. A wanted value that nothing depends on is missing from
    the result. Contributions are added in the order in which they arrive: `total = g.add(total,
    new)`, a seed being the first.
    """
    nodes = list(nodes)
    needed = _dependent(nodes, wanted)
    cotangents: dict[K, V] = dict(seeds)
    for node in nodes:
        dys = [cotangents.get(v) for v in node.outputs]
        needs = [v in needed for v in node.inputs]
        if not any(needs) or all(dy is None for dy in dys):
            continue
        xs, ys = [primal(v) for v in node.inputs], [primal(v) for v in node.outputs]
        with g.placed(tuple(place.derivative() for place in node.where)):
            dxs = operand_cotangents(g, node, dys, ys, xs, needs)
            for value, need, dx in zip(node.inputs, needs, dxs, strict=True):
                if need and dx is not None:
                    known = cotangents.get(value)
                    cotangents[value] = dx if known is None else g.add(known, dx)
        for value in node.outputs:
            if value not in wanted:
                cotangents.pop(value, None)
    return {v: cotangents[v] for v in wanted if v in cotangents}


def operand_cotangents(
    g: Ops[V],
    node: Step[K],
    dys: Sequence[V | None],
    ys: Sequence[V],
    xs: Sequence[V],
    needs: Sequence[bool],
) -> Sequence[V | None]:
    """What a node's `vjp` rule says, its errors located."""
    try:
        return op_named(node.op).vjp(g, dys, ys, xs, needs, **node.attributes)
    except GradientError as error:
        raise located(error, node.where) from None


def _dependent(nodes: Sequence[Step[K]], sources: Iterable[K]) -> set[K]:
    """The values that depend on `sources`, by nodes in reverse program order."""
    found = set(sources)
    for node in reversed(nodes):
        if not found.isdisjoint(node.inputs):
            found.update(node.outputs)
    return found


def gradient(
    graph: Graph,
    wrt: Sequence[Value],
    of: Value | Mapping[Value, Value] | None = None,
) -> Graph:
    """The graph extended by the derivatives with respect to `wrt`: its outputs, then one gradient
    per value of `wrt`.

    `of` is the 0-d float value that is differentiated (the only output when not given), or a
    mapping from values to their cotangents, which are values of the graph. Raises `GradientError`
    where there is no derivative to take.
    """
    for value in wrt:
        if not value.type.dtype.is_floating_point:
            raise GradientError(f"gradient: {value.type} is no floating-point value")
    b = extending(graph)
    seeds = _seeds(b, graph, of)
    nodes = list(reversed(graph.nodes))
    found = backpropagate(b, nodes, seeds, set(wrt))
    gradients = [found[v] if v in found else b.like(0.0, v) for v in wrt]
    return b.graph([*graph.outputs, *gradients])


def _seeds(
    b: Builder, graph: Graph, of: Value | Mapping[Value, Value] | None
) -> Mapping[Value, Value]:
    if isinstance(of, Mapping):
        for value, seed in of.items():
            if value.type != seed.type:
                raise GradientError(f"gradient: the cotangent of {value.type} is {seed.type}")
        return of
    if of is None and len(graph.outputs) != 1:
        raise GradientError(
            f"gradient: which of the {len(graph.outputs)} outputs is differentiated?"
        )
    value = graph.outputs[0] if of is None else of
    if not value.type.dtype.is_floating_point or value.type.elements != 1:
        raise GradientError(
            f"gradient: only a floating-point scalar has a gradient, not {value.type}"
        )
    return {value: b.like(1.0, value)}


def extending(graph: Graph) -> Builder:
    """A builder that goes on where a graph ends: same inputs, nodes and constraints."""
    b = Builder()
    b.inputs, b.nodes, b.constraints = (
        list(graph.inputs),
        list(graph.nodes),
        list(graph.constraints),
    )
    return b


# ------------------------------------------------------------------------------ one op's derivative


@dataclass(frozen=True, eq=False)
class VjpGraph:
    """The derivative of one application of an op, as a graph of its own.

    `graph.inputs` are what the derivative reads: the operands numbered in `xs`, the results
    numbered in `ys`, the cotangents of the results numbered in `dys`, in this order.
    `graph.outputs` are the cotangents of the operands numbered in `operands`.
    """

    graph: Graph
    xs: tuple[int, ...]
    ys: tuple[int, ...]
    dys: tuple[int, ...]
    operands: tuple[int, ...]


def vjp_graph(
    op: str,
    types: Sequence[TensorType],
    attributes: Attributes,
    needs: Sequence[bool],
    given: Sequence[bool] | None = None,
) -> VjpGraph:
    """The derivative graph of one op for operands of these types, made once for each (op, types,
    attributes, needs, given).

    `given` tells which results have a cotangent (all, unless told). A tape entry saves what `xs`
    and `ys` name and nothing else.
    """
    return _vjp_graph(
        _Key((op, attributes_key(attributes), *types), attributes),
        tuple(needs),
        None if given is None else tuple(given),
    )


class _Key:
    """An application of an op as a key: equal by (op, attributes' bits, types), carrying the
    attributes themselves."""

    __slots__ = ("attributes", "parts")

    def __init__(self, parts: tuple[Any, ...], attributes: Attributes) -> None:
        self.parts, self.attributes = parts, attributes

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Key) and self.parts == other.parts

    def __hash__(self) -> int:
        return hash(self.parts)


@lru_cache(maxsize=4096)
def _vjp_graph(key: _Key, needs: tuple[bool, ...], given: tuple[bool, ...] | None) -> VjpGraph:
    op, _, *types = key.parts
    b = Builder()
    xs = [b.input(t) for t in types]
    forward = b.apply(op, xs, key.attributes)
    node = b.nodes.pop()
    ys = [b.input(v.type) for v in forward]
    dys: list[Value | None] = [
        b.input(y.type) if y.type.dtype.is_floating_point and (given is None or given[k]) else None
        for k, y in enumerate(ys)
    ]
    dxs = operand_cotangents(b, node, dys, ys, xs, needs)
    operands = tuple(k for k, dx in enumerate(dxs) if dx is not None and needs[k])
    graph = dce(b.graph([dx for k, dx in enumerate(dxs) if dx is not None and k in operands]))
    read = {v for n in graph.nodes for v in n.inputs} | set(graph.outputs)
    parts: tuple[Sequence[Value | None], ...] = (xs, ys, dys)
    x, y, dy = (
        tuple(k for k, v in enumerate(part) if v is not None and v in read) for part in parts
    )
    inputs = [v for part in parts for v in part if v is not None and v in read]
    return VjpGraph(graph.replace(inputs=inputs), x, y, dy, operands)


# ------------------------------------------------------------------------------------- forward mode


def jvp(graph: Graph, wrt: Sequence[Value]) -> Graph:
    """The graph extended by a forward derivative: further inputs are the tangents of `wrt`, which
    are inputs of the graph; further outputs the tangents of its floating-point outputs (zeros where
    nothing depends on `wrt`)."""
    b = extending(graph)
    tangents: dict[Value, Value] = {v: b.input(v.type) for v in wrt}
    for node in graph.nodes:
        dxs = [tangents.get(v) for v in node.inputs]
        if all(dx is None for dx in dxs):
            continue
        with b.placed(tuple(place.derivative() for place in node.where)):
            dys = result_tangents(b, node, dxs)
        tangents.update((y, dy) for y, dy in zip(node.outputs, dys, strict=True) if dy is not None)
    floats = [v for v in graph.outputs if v.type.dtype.is_floating_point]
    made = [tangents[v] if v in tangents else b.like(0.0, v) for v in floats]
    return b.graph([*graph.outputs, *made])


def result_tangents(b: Builder, node: Node, dxs: Sequence[Value | None]) -> Sequence[Value | None]:
    """The tangents of a node's results: by its `jvp` rule, or by its `vjp` rule transposed."""
    made = op_named(node.op).jvp(b, dxs, node.inputs, node.outputs, **node.attributes)
    return _transposed_vjp(b, node, dxs) if made is None else made


def _transposed_vjp(b: Builder, node: Node, dxs: Sequence[Value | None]) -> list[Value | None]:
    types = [v.type for v in node.inputs]
    reverse = vjp_graph(node.op, types, node.attributes, [dx is not None for dx in dxs])
    inner = extending(reverse.graph)
    seeds = {out: inner.input(out.type) for out in reverse.graph.outputs}
    first = len(reverse.xs) + len(reverse.ys)
    dys = reverse.graph.inputs[first:]
    # An output that several operands share gets the sum of their tangents.
    found = backpropagate(inner, list(reversed(reverse.graph.nodes)), seeds, set(dys))
    zeros = [found[v] if v in found else inner.like(0.0, v) for v in dys]
    forward = dce(inner.graph(zeros))
    unique = list(seeds)
    given: dict[Value, Value] = {}
    for out, k in zip(reverse.graph.outputs, reverse.operands, strict=True):
        tangent = dxs[k]
        assert tangent is not None
        given[out] = b.add(given[out], tangent) if out in given else tangent
    arguments = [
        *(node.inputs[k] for k in reverse.xs),
        *(node.outputs[k] for k in reverse.ys),
        *(b.like(0.0, node.outputs[k]) for k in reverse.dys),
        *(given[out] for out in unique),
    ]
    made = dict(zip(reverse.dys, run_graph(b, forward, arguments), strict=True))
    return [made.get(k) for k in range(len(node.outputs))]
