"""Passes: none changes bits, each does nothing the second time, verified graphs stay so, places
stay."""

import numpy as np
import pytest

from intaglio.compiler.dims import Dim
from intaglio.compiler.dtypes import float32, float64, int32, int64
from intaglio.compiler.interpret import interpret
from intaglio.compiler.ir import Graph, Literal
from intaglio.compiler.op import Builder
from intaglio.compiler.passes import PIPELINE
from intaglio.compiler.passes.cse import cse
from intaglio.compiler.passes.dce import dce
from intaglio.compiler.passes.fold import fold
from intaglio.compiler.passes.gradient import gradient
from intaglio.compiler.passes.inline import inline
from intaglio.compiler.passes.simplify import simplify
from intaglio.compiler.text import print_graph
from intaglio.compiler.types import TensorType
from intaglio.compiler.verify import verify
from intaglio.compiler.where import Where
from tests.compiler.random_graphs import inputs_of, random_graph
from tests.samples import cases, graph_of

STEPS = (inline, dce, simplify, fold, cse)
MATRIX = TensorType(float64, (3, 4))


def same_bits(left, right):
    return all(
        a.dtype == b.dtype
        and a.shape == b.shape
        and np.ascontiguousarray(a).tobytes() == np.ascontiguousarray(b).tobytes()
        for a, b in zip(left, right, strict=True)
    )


def check(graph: Graph, step, arrays, expected):
    before = print_graph(graph)
    made = step(graph)
    verify(made)
    assert print_graph(graph) == before, "the input was changed"
    assert made.inputs == graph.inputs
    assert same_bits(interpret(made, arrays), expected), step.__name__
    assert print_graph(step(made)) == print_graph(made), f"{step.__name__} is not idempotent"
    return made


@pytest.mark.parametrize("step", STEPS)
def test_passes_keep_the_bits_of_every_op_and_of_its_derivative(step):
    for case in cases():
        graph = graph_of(case)
        expected = interpret(graph, case.operands)
        check(graph, step, case.operands, expected)
        if case.differentiable and graph.outputs[0].type.dtype is float64:
            b = Builder()
            xs = [b.input(t) for t in case.types]
            ys = b.apply(case.op, xs, case.attributes)
            loss = b.sum(ys[0], axes=tuple(range(ys[0].type.rank)))
            derived = gradient(b.graph([loss]), [x for x in xs if x.type.dtype is float64])
            check(derived, step, case.operands, interpret(derived, case.operands))


@pytest.mark.parametrize("seed", range(40))
def test_passes_keep_the_bits_of_random_graphs(seed):
    graph = random_graph(seed)
    arrays = inputs_of(graph, seed)
    expected = interpret(graph, arrays)
    for step in STEPS:
        check(graph, step, arrays, expected)
    small = graph
    for step in PIPELINE:
        small = check(small, step, arrays, expected)
    assert len(small.nodes) < len(graph.nodes)
    again = small
    for step in PIPELINE:
        again = step(again)
    assert print_graph(again) == print_graph(small)


def built(build, type=MATRIX, inputs=2):
    b = Builder()
    xs = [b.input(type) for _ in range(inputs)]
    made = build(b, *xs)
    return b.graph(made if isinstance(made, list) else [made]), xs


def ops(graph: Graph) -> list[str]:
    return [n.op for n in graph.nodes]


# ---------------------------------------------------------------------------------------- simplify


@pytest.mark.parametrize(
    "build",
    [
        lambda b, x: b.mul(x, b.like(1.0, x)),
        lambda b, x: b.mul(b.like(1.0, x), x),
        lambda b, x: b.sub(x, b.like(0.0, x)),
        lambda b, x: b.div(x, b.like(1.0, x)),
        lambda b, x: b.neg(b.neg(x)),
        lambda b, x: b.cast(x, dtype=float64),
        lambda b, x: b.reshape(b.reshape(x, shape=(12,)), shape=(3, 4)),
        lambda b, x: b.permute(b.permute(x, axes=(1, 0)), axes=(1, 0)),
        lambda b, x: b.expand(x, shape=(3, 4), axes=(0, 1)),
        lambda b, x: b.slice(x, starts=(0, 0), stops=(3, 4), steps=(1, 1)),
        lambda b, x: b.flip(b.flip(x, axes=(1,)), axes=(1,)),
        lambda b, x: b.pad(x, low=(0, 0), high=(0, 0), value=0.0),
        lambda b, x: b.concat(x, axis=1),
        lambda b, x: b.sum(x, axes=()),
        lambda b, x: b.where(b.full(True, b.eq(x, x).type.dtype, (3, 4)), x, b.exp(x)),
        lambda b, x: b.where(b.lt(x, b.exp(x)), x, x),
        lambda b, x: b.mul(b.neg(b.neg(b.sub(x, b.like(0.0, x)))), b.like(1.0, x)),
    ],
)  # fmt: skip
def test_what_does_nothing_goes(build):
    graph, xs = built(build, inputs=1)
    made = simplify(graph)
    assert made.outputs == tuple(xs)
    assert made.nodes == ()


@pytest.mark.parametrize(
    "build",
    [
        lambda b, x: b.add(x, b.like(0.0, x)),  # -0 + 0 is 0
        lambda b, x: b.sub(x, b.like(-0.0, x)),  # -0 - -0 is 0
        lambda b, x: b.mul(x, b.like(0.0, x)),  # NaN, inf, -0
        lambda b, x: b.div(x, x),
        lambda b, x: b.div(x, b.like(3.0, x)),
        lambda b, x: b.sub(x, x),
        lambda b, x: b.log(b.exp(x)),
        lambda b, x: b.cast(b.cast(x, dtype=float32), dtype=float64),
    ],
)
def test_what_would_change_bits_stays(build):
    graph, _ = built(build, inputs=1)
    for step in PIPELINE:
        graph = step(graph)
    assert graph.nodes


def test_two_movements_become_one():
    graph, xs = built(lambda b, x: b.permute(b.permute(x, axes=(2, 0, 1)), axes=(2, 0, 1)),
                      TensorType(float64, (2, 3, 5)), 1)  # fmt: skip
    made = simplify(graph)
    assert ops(made) == ["permute"]
    assert made.nodes[0].attributes["axes"] == (1, 2, 0)
    graph, _ = built(
        lambda b, x: b.expand(
            b.expand(x, shape=(3, 4, 2), axes=(0, 1)), shape=(3, 4, 2, 5), axes=(0, 1, 2)
        ),
        inputs=1,
    )
    assert ops(simplify(graph)) == ["expand"]


def test_division_by_a_power_of_two_is_a_product():
    values = np.array([1.0, -3.0, 5e-324, 1e308, np.inf, 0.0, -0.0, 1.2e-308])
    for divisor in (4.0, -0.5, 2.0**90):
        graph, _ = built(
            lambda b, x, d=divisor: b.div(x, b.like(d, x)), TensorType(float64, (8,)), 1
        )
        made = simplify(graph)
        assert "div" not in ops(made)
        assert same_bits(interpret(made, [values]), interpret(graph, [values]))


def test_moved_fills_are_fills():
    def build(b, x):
        flat = b.reshape(b.like(2.5, x), shape=(2, 6))
        return b.flip(b.permute(flat, axes=(1, 0)), axes=(0,))

    graph, _ = built(build, inputs=1)
    made = simplify(graph)
    assert ops(made) == ["full"]
    assert made.outputs[0].type.shape == (6, 2)


def test_symbolic_shapes_simplify_by_their_normal_form():
    n = Dim("n")
    graph, xs = built(
        lambda b, x: b.reshape(b.reshape(x, shape=(4 * n,)), shape=(n, 4)),
        TensorType(float64, (n, 4)),
        1,
    )
    assert simplify(graph).outputs == tuple(xs)


def test_a_simpler_node_keeps_the_place():
    b = Builder()
    x = b.input(MATRIX)
    with b.placed((Where("net.py", 5),)):
        y = b.reshape(b.reshape(x, shape=(12,)), shape=(2, 6))
    made = simplify(b.graph([y]))
    assert [str(p) for n in made.nodes for p in n.where] == ["net.py:5"]


# -------------------------------------------------------------------------------------------- fold


def test_constants_are_computed_where_numpy_has_the_bits():
    def build(b, x, y):
        a, c = b.constant(np.array([1.0, 2.0])), b.constant(np.array([3.0, 8.0]))
        exact = b.add(b.div(a, c), b.sqrt(c))
        return [b.reshape(exact, shape=(2, 1)), b.lt(a, c), b.concat(a, c, axis=0)]

    graph, _ = built(build)
    made = fold(graph)
    assert set(ops(made)) <= {"constant", "full"}
    assert same_bits(interpret(made, inputs_of(made)), interpret(graph, inputs_of(graph)))


@pytest.mark.parametrize("op", ["exp", "log", "sin", "tanh", "sigmoid", "erf"])
def test_transcendental_functions_are_left_to_the_kernels(op):
    graph, _ = built(lambda b, x, y: b.apply(op, (b.constant(np.array([0.5, 0.7])),))[0])
    assert op in ops(fold(graph))


def test_sums_and_products_of_floats_are_left_to_the_kernels():
    graph, _ = built(lambda b, x, y: b.sum(b.constant(np.array([0.5, 0.7])), axes=(0,)))
    assert "sum" in ops(fold(graph))
    graph, _ = built(lambda b, x, y: b.sum(b.constant(np.array([5, 7])), axes=(0,)))
    made = fold(graph)
    assert ops(made) == ["full"]
    assert made.nodes[0].attributes["value"] == 12


def test_fills_fold_at_any_size():
    n = Dim("n")
    b = Builder()
    x = b.input(TensorType(float32, (n, 1 << 40)))
    half = b.div(b.like(1.0, x), b.like(3.0, x))
    made = fold(b.graph([half]))
    assert ops(made) == ["full"]
    assert made.nodes[0].attributes["value"] == float(np.float32(1) / np.float32(3))


def test_nothing_large_is_made_from_little():
    b = Builder()
    a = b.constant(np.arange(3.0))
    graph = b.graph([b.expand(a, shape=(1000, 3), axes=(1,))])
    assert ops(fold(graph)) == ["constant", "expand"]
    assert ops(fold(graph, limit=3000)) == ["constant"]


def test_the_least_integer_by_minus_one_folds_without_a_trap():
    b = Builder()
    low = b.full(-(1 << 31), int32, (2,))
    graph = b.graph([b.floordiv(low, b.full(-1, int32, (2,))), b.floordiv(low, b.like(0, low))])
    made = fold(graph)
    assert [n.attributes["value"] for n in made.nodes] == [-(1 << 31), 0]


def test_nan_is_left_to_the_machine():
    graph, _ = built(lambda b, x, y: b.sqrt(b.full(-1.0, float64, (2,))))
    assert ops(fold(graph)) == ["full", "sqrt"]


def test_an_index_out_of_range_stays_an_error_of_the_call():
    b = Builder()
    graph = b.graph([b.take(b.constant(np.arange(3)), b.constant(np.array([7])), axis=0)])
    assert "take" in ops(fold(graph))


# --------------------------------------------------------------------------------------------- cse


def test_equal_nodes_are_one_and_carry_both_places():
    b = Builder()
    x = b.input(MATRIX)
    with b.placed((Where("a.py", 1),)):
        first = b.exp(x)
    with b.placed((Where("b.py", 2),)):
        second = b.exp(x)
    made = cse(b.graph([b.add(first, second)]))
    assert ops(made) == ["exp", "add"]
    assert [str(p) for p in made.nodes[0].where] == ["a.py:1", "b.py:2"]
    assert made.nodes[1].inputs[0] is made.nodes[1].inputs[1]


def test_numbers_that_python_thinks_equal_are_told_apart():
    b = Builder()
    graph = b.graph(
        [b.full(0.0, float64, (2,)), b.full(-0.0, float64, (2,)), b.full(0, int64, (2,))]
    )
    assert len(cse(graph).nodes) == 3
    b = Builder()
    arrays = [np.array([0.0]), np.array([-0.0]), np.array([0.0])]
    graph = b.graph([b.apply("constant", (), {"value": Literal(a)})[0] for a in arrays])
    made = cse(graph)
    assert len(made.nodes) == 2
    assert made.outputs[0] is made.outputs[2]


def loop_over(b: Builder, xs, second: bool):
    vector = TensorType(float64, (4,))
    inner = Builder()
    carry, x = inner.input(vector), inner.input(vector)
    new = inner.add(carry, inner.tanh(x))
    body = inner.graph([new, inner.neg(carry) if second else new])
    start = b.full(0.0, float64, (4,))
    return b.scan(start, xs, body=body, carries=1, xs=1, length=3, reverse=False)


def test_equal_loops_are_one_and_alike_loops_are_merged():
    graph, _ = built(
        lambda b, x: [
            *loop_over(b, x, False), *loop_over(b, x, False), *loop_over(b, x, True)
        ],
        inputs=1,
    )  # fmt: skip
    made = check(graph, cse, inputs_of(graph), interpret(graph, inputs_of(graph)))
    assert ops(made).count("scan") == 1
    assert len(set(made.outputs)) == 3


# --------------------------------------------------------------------------------------------- dce


def test_what_no_output_needs_goes():
    graph, _ = built(lambda b, x, y: (b.exp(x), b.neg(y))[1])
    assert ops(dce(graph)) == ["neg"]


def test_a_loop_loses_the_parts_that_nobody_reads():
    vector = TensorType(float64, (4,))
    inner = Builder()
    a, dead, x, unread = (inner.input(vector) for _ in range(4))
    k = inner.input(vector)
    new = inner.add(a, inner.mul(x, k))
    body = inner.graph([new, inner.exp(dead), new, inner.sin(unread)])
    b = Builder()
    starts = [b.input(vector), b.input(vector)]
    stacks = [b.input(TensorType(float64, (3, 4))) for _ in range(2)]
    made = b.scan(
        *starts, *stacks, b.input(vector), body=body, carries=2, xs=2, length=3, reverse=False
    )
    graph = b.graph([made[0], made[2]])
    arrays = inputs_of(graph)
    small = check(graph, dce, arrays, interpret(graph, arrays))
    (loop,) = small.nodes
    assert (len(loop.inputs), len(loop.outputs)) == (3, 2)
    assert (loop.attributes["carries"], loop.attributes["xs"]) == (1, 1)
    assert ops(loop.attributes["body"]) == ["mul", "add"]


# ------------------------------------------------------------------------------------------ inline


def test_bodies_inside_loops_are_written_out_too():
    scalar = TensorType(float64, (4,))
    b = Builder()
    body = b.graph([b.exp(b.input(scalar))])
    b = Builder()
    _, y, dy = b.input(scalar), b.input(scalar), b.input(scalar)
    backward = b.graph([b.mul(dy, y)])
    b = Builder()
    carry, x = b.input(scalar), b.input(scalar)
    own = b.custom_vjp(x, body=body, backward=backward, scope="e")
    step = b.graph([b.stop_gradient(b.add(carry, own))])
    b = Builder()
    h, xs = b.input(scalar), b.input(TensorType(float64, (3, 4)))
    with b.placed((Where("net.py", 9),)):
        last = b.scan(h, xs, body=step, carries=1, xs=1, length=3, reverse=False)
        after = b.custom_vjp(last, body=body, backward=backward, scope="e")
    graph = b.graph([after])
    arrays = inputs_of(graph)
    made = check(graph, inline, arrays, interpret(graph, arrays))
    assert ops(made) == ["scan", "exp"]
    assert ops(made.nodes[0].attributes["body"]) == ["exp", "add"]
    assert str(made.nodes[1].where[0]) == "net.py:9"


def test_transposed_products_are_made_in_place():
    a, b = Builder(), TensorType(float32, (5, 3))
    x, y = a.input(b), a.input(TensorType(float32, (5, 4)))
    product = a.matmul(a.permute(x, axes=(1, 0)), y)  # [3, 4]
    graph = a.graph([a.permute(product, axes=(1, 0))])
    simpler = simplify(graph)
    assert [n.op for n in simpler.nodes] == ["permute", "matmul"]
    rng = np.random.default_rng(0)
    arrays = [rng.integers(-4, 4, s).astype(np.float32) for s in ((5, 3), (5, 4))]
    assert np.array_equal(interpret(simpler, arrays)[0], arrays[1].T @ arrays[0])
    assert simplify(simpler).nodes == simpler.nodes
    kept = simplify(
        a.graph([product, a.permute(product, axes=(1, 0))])
    )  # the product is used twice
    assert [n.op for n in kept.nodes].count("matmul") == 1
