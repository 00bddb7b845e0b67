"""Drops gradients that a program's functions write and none of them reads.

A training step that clears `.grad` first leaves new gradients behind when it ends. Where no
function of the program goes on from them (accumulation would) they are no part of what the program
does: without them they need not even be written to memory."""

from __future__ import annotations

from dataclasses import replace

from intaglio.compiler.ir import Function, Program
from intaglio.compiler.passes.dce import dce


def unread_gradients(program: Program) -> Program:
    """The program without states of kind `gradient` that no function reads."""
    read = {name for function in program.functions.values() for name in function.reads}
    dropped = {n for n, s in program.state.items() if s.kind == "gradient" and n not in read}
    if not dropped:
        return program
    functions = {name: _without(f, dropped) for name, f in program.functions.items()}
    state = {name: s for name, s in program.state.items() if name not in dropped}
    return Program(functions, state)


def _without(function: Function, dropped: set[str]) -> Function:
    kept = {n: v for n, v in function.update_values.items() if n not in dropped}
    if len(kept) == len(function.updates):
        return function
    graph = dce(function.graph.replace(outputs=(*function.result_values, *kept.values())))
    return replace(function, graph=graph, updates=tuple(kept))
