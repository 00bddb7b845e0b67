"""Graphs as text: what is printed can be read back and prints the same."""

import numpy as np
import pytest

from intaglio.compiler.dims import Constraint, Dim
from intaglio.compiler.dtypes import float64
from intaglio.compiler.errors import Error
from intaglio.compiler.interpret import interpret
from intaglio.compiler.ir import Graph, Literal
from intaglio.compiler.op import Builder
from intaglio.compiler.parse import parse_graph, unescape
from intaglio.compiler.passes.gradient import gradient
from intaglio.compiler.text import print_graph, printable
from intaglio.compiler.types import TensorType
from intaglio.compiler.verify import verify
from intaglio.compiler.where import Where
from tests.compiler.random_graphs import random_graph
from tests.samples import cases, graph_of


def has_long_literal(graph: Graph) -> bool:
    literals = [v for n in graph.nodes for v in n.attributes.values() if isinstance(v, Literal)]
    return any(v.array.size > 8 for v in literals)


def round_trip(graph: Graph) -> Graph:
    text = print_graph(graph)
    again = parse_graph(text)
    assert print_graph(again) == text
    verify(again)
    return again


def test_every_sample_reads_back():
    for case in cases():
        graph = graph_of(case)
        if not has_long_literal(graph):
            again = round_trip(graph)
            assert [v.type for v in again.outputs] == [v.type for v in graph.outputs]


def test_what_was_read_means_the_same():
    for case in cases(["scan", "custom_vjp", "constant", "full", "pad", "cast"]):
        graph = graph_of(case)
        left, right = interpret(graph, case.operands), interpret(round_trip(graph), case.operands)
        for a, b in zip(left, right, strict=True):
            assert a.tobytes() == b.tobytes()


@pytest.mark.parametrize("seed", range(30))
def test_random_graphs_and_their_derivatives_read_back(seed):
    graph = random_graph(seed)
    round_trip(graph)
    round_trip(gradient(graph, graph.inputs, graph.outputs[-1]))


def test_a_long_literal_is_shortened_and_can_not_be_read():
    b = Builder()
    graph = b.graph([b.constant(np.arange(9.0))])
    with pytest.raises(Error, match=r"a literal of shape \[9\] was shortened"):
        parse_graph(print_graph(graph))


def test_places_sizes_and_relations_read_back():
    n, m = Dim("n", min=0, max=512), Dim("m")
    b = Builder()
    x, y = b.input(TensorType(float64, (2 * n + 1, 3))), b.input(TensorType(float64, (m, 3)))
    with b.placed((Where("net.py", 3, "Net.fc"), Where("it's a file.py", 4, "", True))):
        z = b.add(x, y)
    flat = b.reshape(z, shape=(3 * (2 * n + 1),))
    cut = b.slice(flat, starts=((n // 2) * 3,), stops=(6 * n + 3,), steps=(2,))
    graph = b.graph([cut, b.iota(dtype=float64, shape=((n // 2) + 1, m), axis=0)])
    again = round_trip(graph)
    assert again.constraints[0] == Constraint(2 * n + 1, "==", m)
    assert again.nodes[0].where == graph.nodes[0].where
    assert again.inputs[0].type == x.type
    assert "size n from 0 to 512" in print_graph(graph)


@pytest.mark.parametrize("text", ['a"b\\c', "tab\tline\nnul\0", "ünïcode ☃", "\x1b[31m", "\\n", ""])
def test_strings_are_escaped_and_read_back(text):
    assert unescape(printable(text)) == text
    assert all(c.isprintable() for c in printable(text))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("(%0: f32[2]) {", "line 1: 'return' is expected"),
        ("(%0: f99[2]) {\n return %0\n}", "no dtype is called 'f99'"),
        ("(%0: f32[2]) {\n %1: f32[2] = exp(%7)\n return %1\n}", "%7 is read before it is made"),
        ("(%0: f32[2]) {\n %1: f32[2] = exp(%0, a=)\n return %1\n}", "line 2: an attribute"),
        ("() {\n return\n} more", "the end of the text is expected"),
        ("", "'\\(' is expected"),
    ],
)
def test_what_can_not_be_read_is_refused_with_its_line(text, message):
    with pytest.raises(Error, match=message):
        parse_graph(text)


def test_a_graph_written_by_hand():
    graph = parse_graph(
        """
        (%0: f64[n,3], %1: f64[3]) {
          %2: f64[n,3] = expand(%1, shape=(n, 3), axes=(1,))
          %3: f64[n,3] = mul(%0, %2)
          %4: f64[n] = sum(%3, axes=(1,))
          return %4
        }
        """
    )
    verify(graph)
    found = interpret(graph, [np.ones((2, 3)), np.arange(3.0)])
    assert found[0].tolist() == [3, 3]
