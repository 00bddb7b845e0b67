"""The IR: typed values made by nodes, nodes in a graph, and named functions over shared declared
state.

Graphs are functional and in SSA form: a value is made once, by an input or by one node, and never
changes. Values, nodes and graphs are immutable and compared by identity, so passes share whatever
they keep and build the rest anew. Who uses a value is computed when wanted (`Graph.users`), never
stored. The classes know nothing of files, devices or of the ops' meaning."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from types import MappingProxyType
from typing import Any, Final, Union

import numpy as np

from intaglio.compiler.dims import Constraint, Dim
from intaglio.compiler.dtypes import DType
from intaglio.compiler.types import TensorType
from intaglio.compiler.where import Places


class Literal:
    """A constant array inside a program. Read-only; equal when dtype, shape and bytes are equal."""

    __slots__ = ("_digest", "array")

    def __init__(self, array: np.ndarray[Any, Any]) -> None:
        self.array = np.array(array, order="C", copy=True)
        self.array.flags.writeable = False
        self._digest: bytes | None = None

    @property
    def digest(self) -> bytes:
        """SHA-256 of dtype, shape and bytes."""
        if self._digest is None:
            made = hashlib.sha256(f"{self.array.dtype.str}{self.array.shape}:".encode())
            body: Any = self.array.reshape(-1).view(np.uint8)
            made.update(body)
            self._digest = made.digest()
        return self._digest

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Literal) and (self is other or self.digest == other.digest)

    def __hash__(self) -> int:
        return hash(self.digest)

    def __repr__(self) -> str:
        return f"Literal({self.array.dtype}{list(self.array.shape)})"


Attribute = Union[
    None, bool, int, float, str, DType, Dim, Literal, "Graph", tuple["Attribute", ...]
]
"""What an attribute of a node may be; a graph makes the node a control-flow op (its *block*)."""
Attributes = Mapping[str, Attribute]
NO_ATTRIBUTES: Final[Attributes] = MappingProxyType({})


class Value:
    """One result: a type, and a hint for its name in dumps (never its identity)."""

    __slots__ = ("hint", "type")

    def __init__(self, type: TensorType, hint: str = "") -> None:
        self.type, self.hint = type, hint

    def __repr__(self) -> str:
        return f"<{self.hint or 'value'}: {self.type}>"


class Node:
    """One application of an op: its name in the registry, operands, results, attributes, and where
    it was written."""

    __slots__ = ("attributes", "inputs", "op", "outputs", "where")

    def __init__(
        self,
        op: str,
        inputs: Sequence[Value],
        outputs: Sequence[Value],
        attributes: Attributes = NO_ATTRIBUTES,
        where: Places = (),
    ) -> None:
        self.op, self.inputs, self.outputs = op, tuple(inputs), tuple(outputs)
        self.attributes, self.where = MappingProxyType(dict(attributes)), where

    @property
    def output(self) -> Value:
        """The result of a node that has just one."""
        (only,) = self.outputs
        return only

    def with_inputs(self, inputs: Sequence[Value]) -> Node:
        """The same application to other operands, with fresh results of the same types."""
        fresh = [Value(v.type, v.hint) for v in self.outputs]
        return Node(self.op, inputs, fresh, self.attributes, self.where)

    def __repr__(self) -> str:
        operands, results = ([str(v.type) for v in vs] for vs in (self.inputs, self.outputs))
        return f"<{self.op} {operands} -> {results}>"


@dataclass(frozen=True, eq=False)
class Graph:
    """Inputs, nodes in an order in which operands come first, outputs, and what must hold for the
    sizes of a call."""

    inputs: tuple[Value, ...]
    nodes: tuple[Node, ...]
    outputs: tuple[Value, ...]
    constraints: tuple[Constraint, ...] = ()

    @cached_property
    def producers(self) -> Mapping[Value, Node]:
        """The node that makes each value; inputs are not in it."""
        return {v: node for node in self.nodes for v in node.outputs}

    def users(self) -> dict[Value, list[Node]]:
        """The nodes that read each value, a node once per reading; values that nobody reads are not
        in it."""
        found: dict[Value, list[Node]] = {}
        for node in self.nodes:
            for value in node.inputs:
                found.setdefault(value, []).append(node)
        return found

    def replace(self, **changes: Any) -> Graph:
        """This graph with other inputs, nodes, outputs or constraints."""
        parts = {
            "inputs": self.inputs,
            "nodes": self.nodes,
            "outputs": self.outputs,
            "constraints": self.constraints,
        }
        made = parts | {k: tuple(v) for k, v in changes.items()}
        return Graph(**made)

    def __str__(self) -> str:
        from intaglio.compiler.text import print_graph

        return print_graph(self)


def blocks(node: Node) -> Iterator[tuple[str, Graph]]:
    """The graphs that a node holds in its attributes, with the attributes' names."""
    for name, value in node.attributes.items():
        if isinstance(value, Graph):
            yield name, value


# ----------------------------------------------------------------------------------------- programs


@dataclass(frozen=True, slots=True)
class State:
    """A value that outlives a call: a parameter, a buffer, an optimizer's moment or hyperparameter,
    a counter.

    `names` holds every name it is known by, the first being the one it is saved under; tied weights
    are one state with several. `kind` is one of `parameter`, `buffer`, `optimizer`,
    `hyperparameter`, `random`, `gradient`, `constant`."""

    names: tuple[str, ...]
    type: TensorType
    kind: str = "parameter"

    @property
    def name(self) -> str:
        """The name it is saved under."""
        return self.names[0]


STATE_KINDS: Final = (
    "parameter",
    "buffer",
    "optimizer",
    "hyperparameter",
    "random",
    "gradient",
    "constant",
)

Structure = Any
"""How results or arguments nest: `"*"` is a leaf, `"None"` nothing, `("tuple"|"list", parts)`,
`("dict", keys, parts)`."""


@dataclass(frozen=True, eq=False)
class Function:
    """A named entry of a program.

    `graph.inputs` are the arguments' leaves in order, then the states it `reads`; `graph.outputs`
    are the results' leaves, then the new values of the states it `updates`. `arguments` names the
    leaves (`x`, or `batch.0` inside a structure); `parameters` and `defaults` describe the
    callable's own parameters so that arguments may be given by name. `training` tells which modules
    were in training mode when it was traced (`("", True)` is the root)."""

    name: str
    graph: Graph
    arguments: tuple[str, ...]
    results: tuple[str, ...]
    reads: tuple[str, ...] = ()
    updates: tuple[str, ...] = ()
    parameters: tuple[str, ...] = ()
    input_structure: Structure = ("tuple", ())
    output_structure: Structure = "*"
    training: tuple[tuple[str, bool], ...] = ()

    @property
    def argument_values(self) -> tuple[Value, ...]:
        """The graph's inputs that are arguments."""
        return self.graph.inputs[: len(self.arguments)]

    @property
    def state_values(self) -> dict[str, Value]:
        """The graph's inputs that are states, by name."""
        return dict(zip(self.reads, self.graph.inputs[len(self.arguments) :], strict=True))

    @property
    def result_values(self) -> tuple[Value, ...]:
        """The graph's outputs that are results."""
        return self.graph.outputs[: len(self.results)]

    @property
    def update_values(self) -> dict[str, Value]:
        """The graph's outputs that are new values of states, by name."""
        return dict(zip(self.updates, self.graph.outputs[len(self.results) :], strict=True))

    def with_graph(self, graph: Graph) -> Function:
        """The same entry with a rewritten graph."""
        from dataclasses import replace

        return replace(self, graph=graph)


@dataclass(frozen=True, eq=False)
class Program:
    """Named functions over shared declared state. The states' values live elsewhere: with the
    model, or in the file."""

    functions: Mapping[str, Function] = field(default_factory=dict)
    state: Mapping[str, State] = field(default_factory=dict)

    def __str__(self) -> str:
        from intaglio.compiler.text import print_program

        return print_program(self)
