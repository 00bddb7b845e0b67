"""Programs and graphs as text, one node a line; `parse.parse_graph` reads a graph back."""

from __future__ import annotations

from intaglio.compiler.dims import UNBOUNDED, Dim, Symbol, symbols
from intaglio.compiler.dtypes import DType
from intaglio.compiler.ir import Attribute, Function, Graph, Literal, Program, Value
from intaglio.compiler.where import describe


def printable(text: str) -> str:
    """The text with control characters, quotes and backslashes escaped, so that it is safe to show
    in a terminal."""
    if text.isprintable() and '"' not in text and "\\" not in text:
        return text
    return "".join(
        c if c.isprintable() and c not in '"\\' else c.encode("unicode_escape").decode()
        for c in text
    ).replace('"', '\\"')


def name_values(graph: Graph) -> dict[Value, str]:
    """`%0`, `%1`, ... for every value of a graph in order; hints do not matter."""
    values = [*graph.inputs, *(v for node in graph.nodes for v in node.outputs)]
    return {value: f"%{k}" for k, value in enumerate(values)}


def print_attribute(value: Attribute, indent: str = "") -> str:
    """An attribute's value as dumps show it."""
    if isinstance(value, Graph):
        return print_graph(value, indent + "    ")
    if isinstance(value, tuple):
        return (
            "("
            + ", ".join(print_attribute(v, indent) for v in value)
            + ("," if len(value) == 1 else "")
            + ")"
        )
    if isinstance(value, Literal):
        array = value.array
        shown = array.tolist() if array.size <= 8 else "..."
        return f"literal<{array.dtype}{list(array.shape)} {shown}>"
    if isinstance(value, str):
        return f'"{printable(value)}"'
    if isinstance(value, DType | Dim):
        return str(value)
    return repr(value)


def print_graph(graph: Graph, indent: str = "") -> str:
    """The graph as text: inputs with types, a node a line with its place in the source, outputs.

    Symbols with other bounds than 1 and up are declared at its head."""
    names = name_values(graph)
    head = ", ".join(f"{names[v]}: {v.type}" for v in graph.inputs)
    lines = [f"({head}) {{"]
    if not indent:
        lines += [
            f"  size {s.name} from {s.low} to {s.high}"
            for s in graph_symbols(graph).values()
            if (s.low, s.high) != (1, UNBOUNDED)
        ]
    for c in graph.constraints:
        lines.append(f"{indent}  require {c}")
    for node in graph.nodes:
        made = ", ".join(f"{names[v]}: {v.type}" for v in node.outputs)
        words = [names[v] for v in node.inputs]
        words += [f"{k}={print_attribute(v, indent)}" for k, v in node.attributes.items()]
        place = f"  # {printable(describe(node.where))}" if node.where else ""
        lines.append(f"{indent}  {made} = {node.op}({', '.join(words)}){place}")
    lines.append(f"{indent}  return {', '.join(names[v] for v in graph.outputs)}")
    return "\n".join([*lines, indent + "}"])


def graph_symbols(graph: Graph) -> dict[str, Symbol]:
    """The symbols that occur in a graph's types and constraints, by name."""
    values = (*graph.inputs, *(v for node in graph.nodes for v in node.outputs))
    sizes = [size for value in values for size in value.type.shape]
    for constraint in graph.constraints:
        sizes += [constraint.left, constraint.right]
    return symbols(*sizes)


def print_function(function: Function) -> str:
    """A function: its arguments, what it reads and updates, and its graph."""
    arguments = ", ".join(map(printable, function.arguments))
    lines = [f"function {printable(function.name)}({arguments})"]
    sizes = symbols(*(s for v in function.graph.inputs for s in v.type.shape))
    lines += [f"  size {s.name} from {s.low} to {s.high}" for s in sizes.values()]
    lines += [f"  reads {printable(s)}" for s in function.reads]
    lines += [f"  updates {printable(s)}" for s in function.updates]
    return "\n".join(lines) + "\n  " + print_graph(function.graph, "  ")


def print_program(program: Program) -> str:
    """The whole program: declared state, then every function."""
    lines = [
        f"state {', '.join(map(printable, s.names))}: {s.type} ({s.kind})"
        for s in program.state.values()
    ]
    return "\n".join([*lines, *(print_function(f) for f in program.functions.values())])
