"""Programs as JSON, for other programs to read.

A value is a number within its graph; types, sizes and dtypes are texts as dumps show them; floats
that JSON does not know are the texts "inf", "-inf" and "nan"; a block is a graph."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping
from typing import Any

from intaglio.compiler.dims import Dim
from intaglio.compiler.dtypes import DType
from intaglio.compiler.ir import Attribute, Function, Graph, Literal, State, Value
from intaglio.tools.show import function_sizes


def program_json(functions: Iterable[Function], state: Mapping[str, State]) -> str:
    """Functions of a program, and the state that they share."""
    data = {
        "functions": [function_data(f) for f in functions],
        "state": [
            {"names": list(s.names), "type": str(s.type), "kind": s.kind} for s in state.values()
        ],
    }
    return json.dumps(data, indent=1, ensure_ascii=True) + "\n"


def function_data(function: Function) -> dict[str, Any]:
    """A function as plain lists and dicts."""
    return {
        "name": function.name,
        "arguments": list(function.arguments),
        "results": list(function.results),
        "reads": list(function.reads),
        "updates": list(function.updates),
        "sizes": {s.name: [s.low, s.high] for s in function_sizes(function).values()},
        "training": dict(function.training),
        "graph": graph_data(function.graph),
    }


def graph_data(graph: Graph) -> dict[str, Any]:
    """A graph as plain lists and dicts; values are numbered in order."""
    numbers: dict[Value, int] = {}
    types: list[str] = []
    for value in (*graph.inputs, *(v for node in graph.nodes for v in node.outputs)):
        numbers[value] = len(types)
        types.append(str(value.type))
    return {
        "values": types,
        "inputs": [numbers[v] for v in graph.inputs],
        "nodes": [
            {
                "op": node.op,
                "inputs": [numbers[v] for v in node.inputs],
                "outputs": [numbers[v] for v in node.outputs],
                "attributes": _attributes(node.attributes),
                "where": [str(place) for place in node.where],
            }
            for node in graph.nodes
        ],
        "outputs": [numbers[v] for v in graph.outputs],
        "constraints": [str(c) for c in graph.constraints],
    }


def _attributes(attributes: Mapping[str, Attribute]) -> dict[str, Any]:
    return {name: _attribute(value) for name, value in attributes.items()}


def _attribute(value: Attribute) -> Any:
    if isinstance(value, Graph):
        return graph_data(value)
    if isinstance(value, tuple):
        return [_attribute(part) for part in value]
    if isinstance(value, Literal):
        array = value.array
        return {
            "dtype": array.dtype.name,
            "shape": list(array.shape),
            "bytes": array.tobytes().hex(),
        }
    if isinstance(value, DType | Dim):
        return str(value)
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    return value
