"""Running graphs in NumPy: sizes are solved from shapes, and everything about a call is checked."""

import numpy as np
import pytest

from intaglio.compiler.dims import Dim
from intaglio.compiler.dtypes import float32, float64, int64
from intaglio.compiler.errors import DTypeError, IndexError, ShapeError, VerifyError
from intaglio.compiler.interpret import bind_sizes, interpret
from intaglio.compiler.ir import Function, Graph, Program
from intaglio.compiler.op import Builder
from intaglio.compiler.passes.specialise import specialise
from intaglio.compiler.solve import determined
from intaglio.compiler.types import TensorType
from intaglio.compiler.verify import verify, verify_program
from intaglio.compiler.where import Where

N, M = Dim("n"), Dim("m", min=2, max=6)


def types(*shapes):
    return [TensorType(float32, shape) for shape in shapes]


def zeros(*shapes):
    return [np.zeros(shape, np.float32) for shape in shapes]


@pytest.mark.parametrize(
    ("shapes", "given", "expected"),
    [
        ([(N, 3)], [(5, 3)], {"n": 5}),
        ([(2 * N + 1,)], [(7,)], {"n": 3}),
        ([(N + M,), (M,)], [(9,), (4,)], {"n": 5, "m": 4}),
        ([(N * M,), (M,)], [(12,), (4,)], {"n": 3, "m": 4}),
        ([(N // 2,), (N,)], [(2,), (5,)], {"n": 5}),
        ([(), (4,)], [(), (4,)], {}),
        ([(0 - N + 8,)], [(3,)], {"n": 5}),
    ],
)
def test_sizes_are_solved_from_shapes(shapes, given, expected):
    assert bind_sizes(types(*shapes), zeros(*given)) == expected


@pytest.mark.parametrize(
    ("shapes", "given", "message"),
    [
        ([(N, 3)], [(5, 4)], r"input 0 must be f32\[n,3\], but dim 1 must be 3, not 4"),
        ([(N,), (N,)], [(5,), (4,)], r"input 1 must be f32\[n\], but dim 0 must be n = 5, not 4"),
        ([(2 * N + 1,)], [(6,)], r"dim 0 must be 2\*n\+1 = 5, not 6"),
        ([(M,)], [(7,)], r"m = 7 is not within 2 to 6"),
        ([(N,)], [(0,)], r"n = 0 is not within 1 to"),
        ([(N * M,)], [(6,)], r"no input's shape tells the size"),
        ([(N,)], [(5, 1)], r"its shape \[5, 1\] has 2 dims"),
        ([(N,)], [], r"1 inputs are needed, 0 were given"),
    ],
)
def test_shapes_that_do_not_fit_are_refused(shapes, given, message):
    with pytest.raises(ShapeError, match=message):
        bind_sizes(types(*shapes), zeros(*given))


def test_names_and_dtypes_in_messages():
    with pytest.raises(DTypeError, match=r"weights must be f32\[n\], but its dtype is f64"):
        bind_sizes(types((N,)), [np.zeros(3)], ["weights"])


def symbolic_graph() -> Graph:
    b = Builder()
    x, y = b.input(TensorType(float64, (N, 4))), b.input(TensorType(float64, (M, 4)))
    both = b.concat(x, y, axis=0)
    flat = b.reshape(both, shape=(4 * N + 4 * M,))
    half = b.slice(flat, starts=(2 * N,), stops=(4 * N + 4 * M,), steps=(3,))
    ones = b.full(1.0, float64, half.type.shape)
    return b.graph([b.add(half, ones)])


def test_attributes_that_hold_sizes_follow_the_call():
    graph = symbolic_graph()
    for n, m in ((1, 2), (5, 3)):
        x, y = np.random.rand(n, 4), np.random.rand(m, 4)
        expected = np.concatenate([x, y]).ravel()[2 * n :: 3] + 1
        assert np.array_equal(interpret(graph, [x, y])[0], expected)


def test_a_graph_for_given_sizes_means_the_same():
    graph = symbolic_graph()
    fixed = specialise(graph, {"n": 5, "m": 3})
    verify(fixed)
    assert "n" not in str(fixed).replace("return", "").replace("concat", "")
    arrays = [np.random.rand(5, 4), np.random.rand(3, 4)]
    assert np.array_equal(interpret(fixed, arrays)[0], interpret(graph, arrays)[0])
    half = specialise(graph, {"m": 3})
    verify(half)
    assert np.array_equal(interpret(half, arrays)[0], interpret(graph, arrays)[0])


def test_relations_that_only_a_call_can_check():
    b = Builder()
    x, y = b.input(TensorType(float64, (N,))), b.input(TensorType(float64, (M,)))
    with b.placed((Where("net.py", 7),)):
        z = b.add(x, y)
    graph = b.graph([z])
    verify(graph)
    assert [str(c) for c in graph.constraints] == ["n == m"]
    assert interpret(graph, [np.ones(3), np.ones(3)])[0].tolist() == [2, 2, 2]
    with pytest.raises(ShapeError, match=r"n == m is needed, but 3 == 4 is false \(net.py:7\)"):
        interpret(graph, [np.ones(3), np.ones(4)])
    with pytest.raises(ShapeError, match="break n == m"):
        specialise(graph, {"n": 3, "m": 4})


def test_a_relation_is_recorded_once():
    b = Builder()
    x, y = b.input(TensorType(float64, (N,))), b.input(TensorType(float64, (M,)))
    with b.placed((Where("net.py", 7),)):
        b.add(x, y)
        b.mul(x, y)
    assert len(b.constraints) == 1


def test_errors_while_running_carry_the_place():
    b = Builder()
    x, k = b.input(TensorType(float64, (3,))), b.input(TensorType(int64, (2,)))
    with b.placed((Where("net.py", 12, "Net.emb"),)):
        y = b.take(x, k, axis=0)
    graph = b.graph([y])
    with pytest.raises(
        IndexError, match=r"the index 5 is out of range .* \(net.py:12 in Net.emb\)"
    ):
        interpret(graph, [np.zeros(3), np.array([0, 5])])


def test_outputs_may_be_inputs_and_repeat():
    b = Builder()
    x = b.input(TensorType(float64, (2,)))
    y = b.neg(x)
    found = interpret(b.graph([x, y, y, x]), [np.ones(2)])
    assert [f.tolist() for f in found] == [[1, 1], [-1, -1], [-1, -1], [1, 1]]


def test_which_symbols_shapes_tell():
    n, m, k = (Dim(name) for name in "nmk")
    assert determined([2 * n + 1, 4, n * m]) == {"n", "m"}
    assert determined([n * m]) == set()
    assert determined([n * n, k // 2]) == set()
    assert determined([n + m + k, m - 3, n * m + 1]) == {"n", "m", "k"}


def test_a_program_may_find_a_size_in_an_affine_dim():
    b = Builder()
    x = b.input(TensorType(float64, (2 * N + 1,)))
    half = b.slice(x, starts=(0,), stops=(N,), steps=(1,))
    function = Function("half", b.graph([half]), ("x",), ("y",))
    verify_program(Program({"half": function}))
    lost = Function("lost", b.graph([b.full(0.0, float64, (M,))]), ("x",), ("y",))
    with pytest.raises(VerifyError, match="no argument determines the size 'm'"):
        verify_program(Program({"lost": lost}))


def test_what_a_block_needs_of_sizes_the_graph_needs():
    inner = Builder()
    carry, x = inner.input(TensorType(float64, (N,))), inner.input(TensorType(float64, (M,)))
    body = inner.graph([inner.add(carry, x)])
    b = Builder()
    h, xs = b.input(TensorType(float64, (N,))), b.input(TensorType(float64, (4, M)))
    last = b.scan(h, xs, body=body, carries=1, xs=1, length=4, reverse=False)
    graph = b.graph([last])
    assert [str(c) for c in graph.constraints] == ["n == m"]
    verify(graph)
    with pytest.raises(VerifyError, match="rest on n == m"):
        verify(graph.replace(constraints=()))
    assert interpret(graph, [np.zeros(3), np.ones((4, 3))])[0].tolist() == [4, 4, 4]
    with pytest.raises(ShapeError, match="n == m is needed"):
        interpret(graph, [np.zeros(3), np.ones((4, 4))])
