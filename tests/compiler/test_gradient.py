"""Derivatives of graphs: orders, accumulation, places, loops, and what a tape entry saves."""

import sys

import numpy as np
import pytest

from intaglio.compiler.dims import Dim
from intaglio.compiler.dtypes import float32, float64, int64
from intaglio.compiler.errors import GradientError
from intaglio.compiler.interpret import interpret
from intaglio.compiler.op import OPS, Builder, Op
from intaglio.compiler.passes import PIPELINE
from intaglio.compiler.passes.gradient import backpropagate, extending, gradient, jvp, vjp_graph
from intaglio.compiler.types import TensorType
from intaglio.compiler.verify import verify
from intaglio.compiler.where import Where

VECTOR = TensorType(float64, (3,))
SCALAR = TensorType(float64, ())


def derivative(build, *arrays, type=None):
    """The gradients of a scalar function of arrays, written in ops."""
    b = Builder()
    xs = [b.input(TensorType(float64, a.shape) if type is None else type) for a in arrays]
    graph = gradient(b.graph([build(b, *xs)]), xs)
    verify(graph)
    return interpret(graph, arrays)[1:]


def total(b, x):
    return b.sum(x, axes=tuple(range(x.type.rank)))


def test_equal_operands_share_the_derivative_evenly():
    x, y = np.array([1.0, 2.0, 3.0]), np.array([1.0, 3.0, 2.0])
    for op, a, b in (("maximum", [0.5, 0, 1], [0.5, 1, 0]), ("minimum", [0.5, 1, 0], [0.5, 0, 1])):
        found = derivative(lambda g, x, y, op=op: total(g, g.apply(op, (x, y))[0]), x, y)
        assert [f.tolist() for f in found] == [a, b]
    (found,) = derivative(lambda g, x: g.max(x, axes=(0,)), np.array([2.0, 1.0, 2.0]))
    assert found.tolist() == [0.5, 0.0, 0.5]


def test_corners_have_the_derivatives_of_torch():
    (found,) = derivative(lambda g, x: total(g, g.abs(x)), np.array([0.0, -2.0, 2.0]))
    assert found.tolist() == [0, -1, 1]
    a, b = np.array([0.0, 0.0, 0.0, 2.0]), np.array([0.0, 1.0, 2.0, 3.0])
    base, exponent = derivative(lambda g, a, b: total(g, g.pow(a, b)), a, b)
    assert base.tolist() == [0, 1, 0, 12]
    assert exponent.tolist() == [0, 0, 0, 8 * np.log(2.0)]


@pytest.mark.parametrize("zeros", [0, 1, 2, 3])
def test_products_have_derivatives_at_zeros(zeros):
    x = np.array([2.0, 3.0, 5.0])
    x[:zeros] = 0
    (found,) = derivative(lambda g, x: g.prod(x, axes=(0,)), x)
    assert found.tolist() == [x[1] * x[2], x[0] * x[2], x[0] * x[1]]


def test_contributions_are_added_in_reverse_program_order():
    b = Builder()
    x = b.input(SCALAR)
    parts = [b.mul(x, b.full(c, float64)) for c in (1e16, 1.0, -1e16)]
    y = b.add(b.add(parts[0], parts[1]), parts[2])
    graph = gradient(b.graph([y]), [x])
    assert interpret(graph, [np.array(1.0)])[1] == (-1e16 + 1.0) + 1e16
    adds = [n for n in graph.nodes[len(b.nodes) :] if n.op == "add"]
    producers = graph.producers
    last = producers[adds[0].inputs[0]], producers[adds[0].inputs[1]]
    constants = [producers[n.inputs[1]].attributes["value"] for n in last]
    assert constants == [-1e16, 1.0]


def test_nodes_of_a_derivative_carry_the_place_that_they_differentiate():
    b = Builder()
    x = b.input(SCALAR)
    with b.placed((Where("train.py", 41, "Net.loss"),)):
        y = b.mul(b.exp(x), x)
    first = gradient(b.graph([y]), [x])
    made = first.nodes[len(b.nodes) :]
    places = {str(p) for n in made for p in n.where}
    assert places == {"gradient of train.py:41 in Net.loss"}
    second = gradient(first, [x], first.outputs[1])
    assert {str(p) for n in second.nodes[len(first.nodes) :] for p in n.where} == places


def test_what_nothing_depends_on_has_the_derivative_zero():
    b = Builder()
    x, y = b.input(VECTOR), b.input(VECTOR)
    graph = gradient(b.graph([total(b, b.stop_gradient(x))]), [x, y])
    found = interpret(graph, [np.ones(3), np.ones(3)])[1:]
    assert [f.tolist() for f in found] == [[0, 0, 0], [0, 0, 0]]


def test_only_needed_work_is_done():
    b = Builder()
    a, w = b.input(TensorType(float64, (2, 3))), b.input(TensorType(float64, (3, 4)))
    graph = gradient(b.graph([total(b, b.matmul(a, w))]), [w])
    assert sum(n.op == "matmul" for n in graph.nodes) == 2


def test_integers_and_vectors_are_refused():
    b = Builder()
    x, k = b.input(VECTOR), b.input(TensorType(int64, ()))
    with pytest.raises(GradientError, match=r"only a floating-point scalar .* not f64\[3\]"):
        gradient(b.graph([x]), [x])
    with pytest.raises(GradientError, match=r"i64\[\] is no floating-point"):
        gradient(b.graph([total(b, x)]), [k])


def test_seeds_other_than_a_loss():
    b = Builder()
    x, seed = b.input(VECTOR), b.input(VECTOR)
    y = b.mul(x, x)
    graph = gradient(b.graph([y]), [x], {y: seed})
    found = interpret(graph, [np.arange(3.0), np.array([1.0, 10.0, 100.0])])[1]
    assert found.tolist() == [0, 20, 400]


def test_an_intermediate_value_has_a_gradient_too():
    b = Builder()
    x = b.input(SCALAR)
    y = b.exp(x)
    graph = gradient(b.graph([b.mul(y, y)]), [y, x])
    found = interpret(graph, [np.array(0.5)])[1:]
    assert np.allclose(found, [2 * np.exp(0.5), 2 * np.exp(1.0)])


def test_long_chains_do_not_recurse():
    b = Builder()
    x = y = b.input(SCALAR)
    for _ in range(3000):
        y = b.add(y, x)
    limit = sys.getrecursionlimit()
    sys.setrecursionlimit(200)
    try:
        graph = gradient(b.graph([y]), [x])
    finally:
        sys.setrecursionlimit(limit)
    assert interpret(graph, [np.array(1.0)])[1] == 3001


def test_derivatives_of_symbolic_shapes():
    n = Dim("n")
    b = Builder()
    x, w = b.input(TensorType(float64, (n, 3))), b.input(TensorType(float64, (3, 2)))
    h = b.tanh(b.matmul(x, w))
    flat = b.reshape(h, shape=(2 * n,))
    part = b.slice(flat, starts=(1,), stops=(2 * n,), steps=(2,))
    loss = b.add(total(b, part), b.max(flat, axes=(0,)))
    graph = gradient(b.graph([loss]), [x, w])
    verify(graph)
    for size in (1, 4):
        arrays = [np.random.default_rng(0).standard_normal(s) for s in ((size, 3), (3, 2))]
        found = interpret(graph, arrays)
        direction = np.random.default_rng(1).standard_normal((3, 2))
        ends = [interpret(graph, [arrays[0], arrays[1] + e * direction])[0] for e in (1e-6, -1e-6)]
        assert np.isclose((found[2] * direction).sum(), (ends[0] - ends[1]) / 2e-6, rtol=1e-6)


# --------------------------------------------------------------------------------- one op at a time


def test_a_tape_entry_saves_only_what_the_derivative_reads():
    f32 = TensorType(float32, (4,))
    exp = vjp_graph("exp", [f32], {}, [True])
    assert (exp.xs, exp.ys, exp.dys, exp.operands) == ((), (0,), (0,), (0,))
    add = vjp_graph("add", [f32, f32], {}, [True, True])
    assert (add.xs, add.ys, add.dys) == ((), (), (0,))
    mul = vjp_graph("mul", [f32, f32], {}, [True, False])
    assert (mul.xs, mul.ys, mul.operands) == ((1,), (), (0,))
    assert vjp_graph("mul", [f32, f32], {}, [True, False]) is mul


def test_attributes_that_python_thinks_equal_are_told_apart():
    x = TensorType(float64, (2,))
    plus = vjp_graph("pad", [x], {"low": (1,), "high": (0,), "value": 0.0}, [True])
    minus = vjp_graph("pad", [x], {"low": (1,), "high": (0,), "value": -0.0}, [True])
    assert plus is not minus


def test_the_walk_serves_other_values_than_those_of_graphs():
    """As the tape does: nodes over keys, `primal` giving what the rules work on."""
    b = Builder()
    x = b.input(SCALAR)
    y = b.sin(b.mul(x, x))
    g = Builder()
    outside = {v: g.input(v.type) for v in (x, *(o for n in b.nodes for o in n.outputs))}
    found = backpropagate(
        g, list(reversed(b.nodes)), {y: g.full(1.0, float64)}, {x}, outside.__getitem__
    )
    graph = g.graph([found[x]])
    assert np.isclose(interpret(graph, [np.array(v) for v in (2.0, 4.0, 0.0)])[0], 4 * np.cos(4.0))


# ------------------------------------------------------------------------------------------ loops


def rnn(length):
    """The sum of all states of a small recurrent net, and of the last."""
    b = Builder()
    state, x, w = b.input(VECTOR), b.input(VECTOR), b.input(TensorType(float64, (3, 3)))
    row = b.reshape(b.matmul(b.reshape(state, shape=(1, 3)), w), shape=(3,))
    new = b.tanh(b.add(row, x))
    body = b.graph([new, new])
    b = Builder()
    h, xs = b.input(VECTOR), b.input(TensorType(float64, (length, 3)))
    w = b.input(TensorType(float64, (3, 3)))
    last, states = b.scan(h, xs, w, body=body, carries=1, xs=1, length=length, reverse=False)
    loss = b.add(total(b, states), total(b, b.mul(last, last)))
    return b.graph([loss]), [h, xs, w]


def unrolled(h, xs, w):
    states = []
    for x in xs:
        h = np.tanh(h @ w + x)
        states.append(h)
    return np.sum(states) + np.sum(h * h)


@pytest.mark.parametrize("symbolic", [False, True])
def test_loops_are_differentiated(symbolic):
    graph, wrt = rnn(Dim("t") if symbolic else 5)
    derived = gradient(graph, wrt)
    verify(derived)
    random = np.random.default_rng(0)
    arrays = [random.standard_normal(s) for s in ((3,), (5, 3), (3, 3))]
    found = interpret(derived, arrays)
    assert np.isclose(found[0], unrolled(*arrays))
    for k, g in enumerate(found[1:]):
        direction = random.standard_normal(arrays[k].shape)
        ends = []
        for e in (1e-6, -1e-6):
            moved = list(arrays)
            moved[k] = moved[k] + e * direction
            ends.append(unrolled(*moved))
        assert np.isclose((g * direction).sum(), (ends[0] - ends[1]) / 2e-6, rtol=1e-6)


def test_the_forward_loop_of_a_derivative_is_merged_with_the_original():
    graph, wrt = rnn(5)
    derived = gradient(graph, wrt)
    assert sum(n.op == "scan" for n in derived.nodes) == 3
    merged = derived
    for step in PIPELINE:
        merged = step(merged)
        verify(merged)
    assert sum(n.op == "scan" for n in merged.nodes) == 2
    arrays = [np.random.default_rng(0).standard_normal(s) for s in ((3,), (5, 3), (3, 3))]
    for a, b in zip(interpret(derived, arrays), interpret(merged, arrays), strict=True):
        assert a.tobytes() == b.tobytes()


def test_a_loop_that_needs_no_history_stores_none():
    b = Builder()
    carry, x = b.input(VECTOR), b.input(VECTOR)
    body = b.graph([b.add(carry, x)])
    b = Builder()
    h, xs = b.input(VECTOR), b.input(TensorType(float64, (6, 3)))
    last = b.scan(h, xs, body=body, carries=1, xs=1, length=6, reverse=False)
    derived = gradient(b.graph([total(b, last)]), [h, xs])
    assert sum(n.op == "scan" for n in derived.nodes) == 2
    found = interpret(derived, [np.ones(3), np.ones((6, 3))])
    assert all((g == 1).all() for g in found[1:])


def test_second_order_and_forward_through_a_loop():
    graph, wrt = rnn(4)
    arrays = [np.random.default_rng(0).standard_normal(s) for s in ((3,), (4, 3), (3, 3))]
    first = gradient(graph, wrt[2:])
    b = extending(first)
    loss = total(b, b.mul(first.outputs[1], first.outputs[1]))
    second = gradient(b.graph([loss]), wrt[2:])
    verify(second)
    direction = np.random.default_rng(3).standard_normal((3, 3))
    ends = []
    for e in (1e-5, -1e-5):
        moved = [*arrays[:2], arrays[2] + e * direction]
        ends.append((interpret(first, moved)[1] ** 2).sum())
    found = (interpret(second, arrays)[1] * direction).sum()
    assert np.isclose(found, (ends[0] - ends[1]) / 2e-5, rtol=1e-6)
    tangent = interpret(jvp(graph, wrt[2:]), [*arrays, direction])[1]
    assert np.isclose(tangent, (interpret(first, arrays)[1] * direction).sum())


# ------------------------------------------------------------------------------------ custom rules


def test_a_custom_derivative_is_used_instead_of_the_bodys():
    b = Builder()
    body = b.graph([b.mul(x := b.input(SCALAR), x)])
    b = Builder()
    _, _, dy = b.input(SCALAR), b.input(SCALAR), b.input(SCALAR)
    backward = b.graph([b.mul(dy, b.full(7.0, float64))])
    b = Builder()
    x = b.input(SCALAR)
    y = b.custom_vjp(x, body=body, backward=backward, scope="seven")
    graph = gradient(b.graph([y]), [x])
    assert [float(a) for a in interpret(graph, [np.array(3.0)])] == [9.0, 7.0]
    flat = graph
    for step in PIPELINE:
        flat = step(flat)
    assert all(n.op != "custom_vjp" for n in flat.nodes)
    assert [float(a) for a in interpret(flat, [np.array(3.0)])] == [9.0, 7.0]


def test_an_op_without_a_derivative_says_so_with_its_place(monkeypatch):
    class Opaque(Op):
        def type(self, *types):
            return types[0]

    monkeypatch.setitem(OPS, "test.opaque", Opaque())
    Opaque.name = "test.opaque"
    b = Builder()
    x = b.input(SCALAR)
    with b.placed((Where("net.py", 8),)):
        y = b.apply("test.opaque", [x])[0]
    with pytest.raises(GradientError, match=r"test.opaque has no derivative \(net.py:8\)"):
        gradient(b.graph([y]), [x])
