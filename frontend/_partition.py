"""A recorded function with its derivative, cut in two: a forward graph that also gives what the
derivative needs, and a backward graph from that and the results' derivatives.

Everything that depends on the results' derivatives is backward; the rest is forward. Values that
cross are kept, except cheap ones (fills, counts, movements), which the backward graph makes again
from what they are made of."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from intaglio._trace import live
from intaglio.compiler.ir import Graph, Node, Value

_CHEAP: Final = {"full", "iota", "constant", "expand", "reshape", "permute", "slice"}


@dataclass(frozen=True, slots=True, eq=False)
class Partition:
    """`forward` gives the function's outputs, then what is `kept`; `backward` takes `kept`, then
    the results' derivatives, and gives the derivatives of the operands."""

    forward: Graph
    backward: Graph
    kept: tuple[Value, ...]


def partition(
    graph: Graph, seeds: Sequence[Value], outputs: int, derivatives: Sequence[Value]
) -> Partition:
    """Cut `graph`, whose first `outputs` outputs are the function's own."""
    late = set(seeds)
    for node in graph.nodes:
        if any(v in late for v in node.inputs):
            late.update(node.outputs)
    producers = graph.producers
    nodes: list[Node] = []
    kept: dict[Value, None] = {}
    copied: set[Node] = set()

    def need(value: Value) -> None:
        """Make an early value available to the backward graph."""
        stack = [(value, False)]
        while stack:
            here, ready = stack.pop()
            node = producers.get(here)
            if here in kept or here in late or (node is not None and node in copied):
                continue
            if node is None or node.op not in _CHEAP:
                kept[here] = None
            elif ready:
                copied.add(node)
                nodes.append(node)
            else:
                stack.append((here, True))
                stack += [(v, False) for v in node.inputs]

    for node in graph.nodes:
        if any(v in late for v in node.outputs):
            for v in node.inputs:
                need(v)
            nodes.append(node)
    for v in derivatives:
        need(v)
    early = [n for n in graph.nodes if not any(v in late for v in n.outputs)]
    forward_inputs = [v for v in graph.inputs if v not in set(seeds)]
    keep = tuple(kept)
    forward = Graph(
        tuple(forward_inputs), tuple(early), (*graph.outputs[:outputs], *keep), graph.constraints
    )
    backward = Graph((*keep, *seeds), tuple(nodes), tuple(derivatives), ())
    return Partition(live(forward), live(backward), keep)
