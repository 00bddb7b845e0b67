"""Taking out of loops what is the same in all rounds: what goes, what stays, equal results."""

import numpy as np

from intaglio.compiler.dtypes import float64, int64
from intaglio.compiler.interpret import interpret
from intaglio.compiler.ir import Graph
from intaglio.compiler.op import Builder
from intaglio.compiler.passes.dce import dce
from intaglio.compiler.passes.hoist import hoist
from intaglio.compiler.types import TensorType
from intaglio.compiler.verify import verify

MATRIX, ROWS = TensorType(float64, (3, 3)), TensorType(float64, (5, 3, 3))


def loop(nested: bool) -> Graph:
    """h' = h @ tanh(2 w)^T + x, five times; `nested` in a loop around it."""
    b = Builder()
    h, x, w = b.input(MATRIX), b.input(MATRIX), b.input(MATRIX)
    two = b.expand(b.full(2.0, float64), shape=(3, 3), axes=())
    turned = b.permute(b.tanh(b.mul(w, two)), axes=(1, 0))
    new = b.add(b.matmul(h, turned), b.mul(x, two))
    body = b.graph([new, new])
    options = {"carries": 1, "xs": 1, "length": 5, "reverse": False}
    if nested:
        b = Builder()
        h, x, xs, w = b.input(MATRIX), b.input(MATRIX), b.input(ROWS), b.input(MATRIX)
        last, _ = b.scan(b.add(h, x), xs, w, body=body, **options)
        outer = b.graph([last])
        b = Builder()
        given = [b.input(MATRIX), b.input(ROWS), b.input(ROWS), b.input(MATRIX)]
        made = b.apply("scan", given, {"body": outer, **options})
        return b.graph(made)
    b = Builder()
    given = [b.input(MATRIX), b.input(ROWS), b.input(MATRIX)]
    return b.graph(b.apply("scan", given, {"body": body, **options}))


def ops(graph: Graph) -> list[str]:
    return [n.op for n in graph.nodes]


def body_of(graph: Graph) -> Graph:
    body = graph.nodes[-1].attributes["body"]
    assert isinstance(body, Graph)
    return body


def same_results(one: Graph, other: Graph) -> None:
    rng = np.random.default_rng(0)
    arrays = [rng.standard_normal(v.type.shape) for v in one.inputs]
    for a, b in zip(interpret(one, arrays, {}), interpret(other, arrays, {}), strict=True):
        assert a.tobytes() == b.tobytes()


def test_what_depends_on_constants_alone_runs_once() -> None:
    graph = loop(False)
    made = dce(hoist(graph))
    verify(made)
    assert ops(made) == ["full", "expand", "mul", "tanh", "scan"]
    assert ops(body_of(made)) == ["full", "expand", "permute", "matmul", "mul", "add"]
    same_results(graph, made)


def test_it_leaves_both_of_two_loops() -> None:
    graph = loop(True)
    made = dce(hoist(graph))
    verify(made)
    assert ops(made) == ["full", "expand", "mul", "tanh", "scan"]
    inner = body_of(body_of(made))
    assert "tanh" not in ops(inner)
    same_results(graph, made)


def test_nothing_happens_twice() -> None:
    made = hoist(loop(True))
    assert hoist(made) is made


def test_checks_stay_where_they_are() -> None:
    """An index is looked at in the rounds that use it: none, in an empty loop."""
    b = Builder()
    h, table = b.input(TensorType(float64, (3,))), b.input(MATRIX)
    body = b.graph([b.add(h, b.take(table, b.full(1, int64), axis=0))])
    b = Builder()
    given = [b.input(TensorType(float64, (3,))), b.input(MATRIX)]
    options = {"body": body, "carries": 1, "xs": 0, "length": 4, "reverse": False}
    made = hoist(b.graph(b.apply("scan", given, options)))
    assert "take" in ops(body_of(made))
    assert "take" not in ops(made)
