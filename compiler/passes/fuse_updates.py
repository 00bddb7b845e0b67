"""Finds the elementwise updates of many states that are alike, as an optimizer's are.

They are chains of elementwise nodes at the end of a graph: nobody reads what they make. Chains of
the same ops that each make several results (a parameter and its moments) are better left apart from
what makes their gradients. Then they have one kernel and run as one loop, where each would be a
part of another kernel; and a gradient is made when its operands are in cache, not at the end.
What makes one result (a plain step, a gradient that is added up) costs little where its operand is
made, and saves a pass over memory."""

from __future__ import annotations

from collections.abc import Collection, Hashable, Mapping, Sequence
from typing import Final

from intaglio.compiler.ir import Node, Value
from intaglio.compiler.op import op_named
from intaglio.compiler.passes.fuse_sources import Sources
from intaglio.compiler.schedule.reductions import reduction_of

ENOUGH: Final = 4
"""Chains that are alike, from which on they stay apart."""


def updates_alike(
    sources: Sources, users: Mapping[Value, Sequence[Node]], kept: Collection[Value]
) -> set[Node]:
    """The nodes of such chains; `users` says who reads a value, seen through free nodes, `kept` are
    the graph's outputs."""
    last: set[Node] = set()
    chain_of: dict[Node, list[Node]] = {}
    for node in reversed(sources.computing):
        readers = [u for v in node.outputs for u in users.get(v, ())]
        if not _is_elementwise(node, sources) or not last.issuperset(readers):
            continue
        last.add(node)
        chain_of[node] = chain = [node]
        for reader in readers:
            other = chain_of[reader]
            if other is not chain and sources.shapes[reader] == sources.shapes[node]:
                chain += other
                chain_of.update(dict.fromkeys(other, chain))
    alike: dict[Hashable, list[list[Node]]] = {}
    for chain in {id(c): c for c in chain_of.values()}.values():
        results = sum(v in kept for n in chain for v in n.outputs)
        if results > 1:
            ops = sorted((n.op, n.outputs[0].type.dtype.name) for n in chain)
            alike.setdefault((results, *ops), []).append(chain)
    return {n for many in alike.values() if len(many) >= ENOUGH for chain in many for n in chain}


def _is_elementwise(node: Node, sources: Sources) -> bool:
    return (
        node in sources.probes
        and reduction_of(node) is None
        and getattr(op_named(node.op), "kernel", None) is None
    )
