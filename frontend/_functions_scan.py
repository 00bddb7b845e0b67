"""Loops as one op: `scan` over the first dimension."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from typing import Any, Final

from intaglio._apply import apply
from intaglio._core import Tensor
from intaglio._kind import Kind, kind_of
from intaglio._modes import modes
from intaglio._structure import flatten, unflatten
from intaglio._trace import record_block, record_body
from intaglio.compiler.errors import ArgumentError, ShapeError
from intaglio.compiler.ir import Graph
from intaglio.compiler.op import has_effect, op_named
from intaglio.compiler.passes.keys import graph_key

_BODIES: Final[dict[Hashable, Graph]] = {}
_MOST_BODIES: Final = 2_000


def scan(
    function: Callable[[Any, Any], tuple[Any, Any]],
    init: Any,
    xs: Any = None,
    length: Any = None,
    reverse: bool = False,
) -> tuple[Any, Any]:
    """A loop as one op: `carry, y = function(carry, x)` for every x along the first dimension of
    `xs`; the last carry and the stacked ys.

    `init`, `xs` and y may be nests of tensors (or None); carries keep their types. Tensors that the
    function reaches are constants of the loop. The derivative runs the loop backwards."""
    carries, carry_shape = flatten(init)
    parts, x_shape = ([], None) if xs is None else flatten(xs)
    if not all(isinstance(t, Tensor) for t in [*carries, *parts]):
        raise ArgumentError("scan: the carries and xs must be tensors, or nests of them")
    if parts:
        length = parts[0].shape[0] if length is None else length
    if length is None:
        raise ArgumentError("scan: give xs, or the length of the loop")
    kinds = [t._kind for t in carries]
    kinds += [kind_of(t.dtype, tuple(t.shape[1:]), t._kind.place) for t in parts]
    shapes: list[Any] = []

    def body(*values: Tensor) -> list[Tensor]:
        here = list(values)
        carry = unflatten(carry_shape, here[: len(carries)])
        x = None if xs is None else unflatten(x_shape, here[len(carries) :])
        after, y = function(carry, x)
        new, _ = flatten(after)
        _check_carries(new, [t._kind for t in carries])
        ys, y_shape = ([], None) if y is None else flatten(y)
        shapes.append((y_shape, len(ys)))
        return [*new, *ys]

    graph, around = record_body(body, kinds)
    if modes.trace is None:
        graph = _known(graph)
    attributes = {
        "body": graph,
        "carries": len(carries),
        "xs": len(parts),
        "length": length,
        "reverse": reverse,
    }
    made = apply("scan", [*carries, *parts, *around], attributes)
    y_shape, count = shapes[0]
    stacked = unflatten(y_shape, made[len(carries) :]) if count else None
    return unflatten(carry_shape, made[: len(carries)]), stacked


def repeated(
    step: Callable[..., Any],
    states: Sequence[Tensor],
    xs: Tensor,
    constants: Sequence[Tensor],
    reverse: bool,
    **options: Hashable,
) -> tuple[list[Tensor], Tensor]:
    """`scan` of `step(x, *states, *constants, **options)`, which gives the new states (a tuple, or
    the only one) and depends on nothing else, so that eager code records it once. The last states,
    and the first one after each step."""
    kinds = [t._kind for t in (*states, *constants)]
    kinds.insert(len(states), kind_of(xs.dtype, tuple(xs.shape[1:]), xs._kind.place))
    key = (step, *kinds, *sorted(options.items()))
    graph = _BODIES.get(key) if modes.trace is None else None
    if graph is None:

        def body(*values: Tensor) -> list[Tensor]:
            n = len(states)
            made = step(values[n], *values[:n], *values[n + 1 :], **options)
            new = list(made) if isinstance(made, tuple) else [made]
            return [*new, new[0]]

        graph = record_block(body, kinds)
        if modes.trace is None:
            graph = _keep(key, graph)
    attributes = {
        "body": graph,
        "carries": len(states),
        "xs": 1,
        "length": xs.shape[0],
        "reverse": reverse,
    }
    made = apply("scan", [*states, xs, *constants], attributes)
    return list(made[:-1]), made[-1]


def _known(graph: Graph) -> Graph:
    """The graph of an earlier loop that does the same, if there was one: what was prepared for it
    serves again. Where an error could come from inside, the places are the same too."""
    checked = any(op_named(node.op).checks or has_effect(node) for node in graph.nodes)
    places = tuple(node.where for node in graph.nodes) if checked else ()
    return _keep((graph_key(graph), places), graph)


def _keep(key: Hashable, graph: Graph) -> Graph:
    if len(_BODIES) >= _MOST_BODIES:
        _BODIES.clear()
    return _BODIES.setdefault(key, graph)


def _check_carries(new: list[Any], kinds: list[Kind]) -> None:
    found = [t._kind for t in new]
    if found != kinds:
        texts = ", ".join(map(str, found))
        raise ShapeError(
            f"scan: the carries are ({', '.join(map(str, kinds))}) before a step and ({texts})"
            " after; they must keep their types"
        )
