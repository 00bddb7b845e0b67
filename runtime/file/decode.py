"""A program from its bytes: everything is checked before anything is built on it, and in the end
the program has to encode to the very bytes it was read from."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Literal

import numpy as np

import intaglio.compiler.ops  # noqa: F401  # fills the registry of ops
from intaglio.compiler.errors import Error, FormatError
from intaglio.compiler.ir import STATE_KINDS, Function, Program, State, Structure
from intaglio.compiler.verify import verify_program
from intaglio.runtime.file import limits, structures, wire
from intaglio.runtime.file.encode import encode
from intaglio.runtime.file.errors import at_most, entry, shown
from intaglio.runtime.file.graphs import GraphReader
from intaglio.runtime.file.literals import Array
from intaglio.runtime.file.tables import Tables
from intaglio.schemas import program_pb2 as pb


def decode(data: bytes, literals: Array | None = None) -> Program:
    """The program that `data` encodes, its large literals lying in `literals` (u8[n], starting at a
    multiple of 64); raises `FormatError` naming the field that is wrong."""
    at_most(len(data), limits.PROGRAM_BYTES, "program length")
    table = wire.parse(pb.Program(), data)
    _check_tables(table)
    tables = Tables(table, np.empty(0, np.uint8) if literals is None else literals)
    graphs = GraphReader(table, tables)
    states = list(_states(table, tables))
    functions = _functions(table, tables, graphs, states)
    program = Program(functions, {state.name: state for state in states})
    _verify(program)
    if not tables.upgraded and encode(program)[0] != data:
        raise FormatError("program: not encoded in the one canonical way")
    return program


def _check_tables(table: pb.Program) -> None:
    sizes = {
        "strings": len(table.strings),
        "sizes": len(table.sizes),
        "types": len(table.types),
        "literals": len(table.literals),
        "graphs": len(table.graphs),
        "state": len(table.state),
        "functions": len(table.functions),
    }
    for name, size in sizes.items():
        at_most(size, limits.TABLES[name], f"{name}: entries")


def _verify(program: Program) -> None:
    try:
        verify_program(program)
    except Error as error:
        raise FormatError(f"program: {error}") from None
    except RecursionError:
        raise FormatError("program: its blocks nest too deeply for Python's stack") from None


def _states(table: pb.Program, tables: Tables) -> Iterator[State]:
    seen: set[str] = set()
    for k, made in enumerate(table.state):
        field = f"state[{k}]"
        names = tuple(tables.string(n, f"{field}.names") for n in made.names)
        if not names:
            raise FormatError(f"{field}.names: a state needs a name")
        for name in names:
            if name in seen:
                raise FormatError(f"{field}.names: {shown(name)} stands twice")
            seen.add(name)
        kind = tables.string(made.kind, f"{field}.kind")
        if kind not in STATE_KINDS:
            raise FormatError(
                f"{field}.kind: {shown(kind)} is none of the kinds {', '.join(STATE_KINDS)}"
            )
        yield State(names, tables.type(made.type, f"{field}.type"), kind)


def _functions(
    table: pb.Program, tables: Tables, graphs: GraphReader, states: Sequence[State]
) -> dict[str, Function]:
    found: dict[str, Function] = {}
    nodes = 0
    for k, made in enumerate(table.functions):
        field = f"functions[{k}]"
        name = tables.string(made.name, f"{field}.name")
        if name in found:
            raise FormatError(f"{field}.name: {shown(name)} stands twice")
        graph = entry(graphs.graphs, made.graph, f"{field}.graph")
        nodes += graph.nodes
        at_most(nodes, limits.NODES, f"{field}.graph: nodes of all functions")
        found[name] = _function(made, name, tables, graphs, states, field)
    return found


def _function(
    made: pb.Function,
    name: str,
    tables: Tables,
    graphs: GraphReader,
    states: Sequence[State],
    field: str,
) -> Function:
    def texts(numbers: Sequence[int], part: str) -> tuple[str, ...]:
        return tuple(tables.string(n, f"{field}.{part}") for n in numbers)

    modules = texts(made.training_modules, "training_modules")
    if len(modules) != len(made.training_flags):
        raise FormatError(f"{field}.training_flags: not one for each module")
    function = Function(
        name,
        graphs.graphs[made.graph].graph,
        texts(made.arguments, "arguments"),
        texts(made.results, "results"),
        _state_names(made.reads, states, f"{field}.reads"),
        _state_names(made.updates, states, f"{field}.updates"),
        texts(made.parameters, "parameters"),
        _structure(made, "input_structure", len(made.arguments), tables, field),
        _structure(made, "output_structure", len(made.results), tables, field),
        tuple(zip(modules, made.training_flags, strict=True)),
    )
    graph = function.graph
    for part, given, told in (
        ("arguments", len(graph.inputs), len(function.arguments) + len(function.reads)),
        ("results", len(graph.outputs), len(function.results) + len(function.updates)),
    ):
        if given != told:
            raise FormatError(f"{field}.{part}: {told} with the states, its graph has {given}")
    return function


def _state_names(numbers: Sequence[int], states: Sequence[State], field: str) -> tuple[str, ...]:
    if len(set(numbers)) != len(numbers):
        raise FormatError(f"{field}: a state stands twice")
    return tuple(entry(states, n, field).name for n in numbers)


_Part = Literal["input_structure", "output_structure"]
_FLAT: dict[_Part, Structure] = {"input_structure": ("tuple", ()), "output_structure": "*"}


def _structure(
    made: pb.Function, part: _Part, leaves: int, tables: Tables, field: str
) -> Structure:
    """One of a function's structures. It has a leaf for each argument or result, or is the default,
    which says that they are given one after another."""
    if not made.HasField(part):
        raise FormatError(f"{field}.{part}: is missing")
    chosen = made.input_structure if part == "input_structure" else made.output_structure
    found, count = structures.decode(chosen, tables.strings, f"{field}.{part}")
    if count != leaves and found != _FLAT[part]:
        raise FormatError(f"{field}.{part}: has {count} leaves for {leaves} values")
    return found
