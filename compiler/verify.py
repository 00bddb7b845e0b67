"""Checks that a graph keeps the rules of the IR: run after every pass in tests, and on every
load."""

from __future__ import annotations

from intaglio.compiler.dims import Constraint, collecting, symbols
from intaglio.compiler.errors import Error, VerifyError
from intaglio.compiler.ir import Graph, Node, Program, Value, blocks
from intaglio.compiler.op import op_named, result_types
from intaglio.compiler.solve import determined
from intaglio.compiler.where import describe


def verify(graph: Graph) -> None:
    """Raise `VerifyError` unless every operand is made before it is read, every value is made once,
    every node has the types that its op says, and every relation between sizes that the types rest
    on is among the graph's constraints."""
    known: set[Value] = set()
    for value in graph.inputs:
        _define(value, known, "the inputs")
    needed: list[Constraint] = []
    with collecting(needed):
        for node in graph.nodes:
            _verify_node(node, known)
            for _, block in blocks(node):
                needed += block.constraints
    for value in graph.outputs:
        if value not in known:
            raise VerifyError(f"an output of type {value.type} is made by no node")
    stated = {(c.left, c.relation, c.right) for c in graph.constraints}
    for constraint in needed:
        if (constraint.left, constraint.relation, constraint.right) not in stated:
            raise VerifyError(
                f"the types rest on {constraint}, which is not among the graph's constraints"
            )


def _define(value: Value, known: set[Value], by: str) -> None:
    if value in known:
        raise VerifyError(f"a value of type {value.type} is made twice, again by {by}")
    known.add(value)


def _verify_node(node: Node, known: set[Value]) -> None:
    place = f"{node.op} ({describe(node.where)})" if node.where else node.op
    for k, value in enumerate(node.inputs):
        if value not in known:
            raise VerifyError(
                f"{place}: operand {k} of type {value.type} is read before it is made"
            )
    for name, block in blocks(node):
        try:
            verify(block)
        except Error as error:
            raise VerifyError(f"{place}: in its block {name!r}: {error}") from None
    try:
        types = result_types(op_named(node.op), [v.type for v in node.inputs], node.attributes)
    except VerifyError:
        raise
    except Error as error:
        raise VerifyError(f"{place}: {error}") from None
    except TypeError as error:
        raise VerifyError(
            f"{place}: its operands or attributes do not fit the op: {error}"
        ) from None
    found = tuple(v.type for v in node.outputs)
    if types != found:
        raise VerifyError(f"{place}: has results {_texts(found)} where its op says {_texts(types)}")
    for value in node.outputs:
        _define(value, known, place)


def _texts(types: tuple[object, ...]) -> str:
    return "(" + ", ".join(map(str, types)) + ")"


def verify_program(program: Program) -> None:
    """Verify every function, its signature against its graph, and the states it reads and
    updates."""
    for name, function in program.functions.items():
        graph = function.graph
        where = f"function {name}"
        verify(graph)
        if len(graph.inputs) != len(function.arguments) + len(function.reads):
            raise VerifyError(
                f"{where}: {len(graph.inputs)} inputs do not match its arguments and states"
            )
        if len(graph.outputs) != len(function.results) + len(function.updates):
            raise VerifyError(
                f"{where}: {len(graph.outputs)} outputs do not match its results and updates"
            )
        for values in (function.state_values, function.update_values):
            for state, value in values.items():
                if state not in program.state:
                    raise VerifyError(f"{where}: the state {state!r} is not declared")
                if program.state[state].type != value.type:
                    declared = program.state[state].type
                    raise VerifyError(f"{where}: {state!r} is {declared}, not {value.type}")
        free = determined(s for v in graph.inputs for s in v.type.shape)
        used = symbols(*(s for n in graph.nodes for v in n.outputs for s in v.type.shape))
        for missing in used.keys() - free:
            raise VerifyError(f"{where}: no argument determines the size {missing!r}")
