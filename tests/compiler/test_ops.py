"""Every op of the registry with every one of its samples: types, derivatives of both kinds,
elements, errors."""

import re
import warnings

import numpy as np
import pytest

from intaglio.compiler import loop
from intaglio.compiler.dims import Dim, Symbol, loop_variable, substitute
from intaglio.compiler.dtypes import boolean, float32, float64, int32, uint32
from intaglio.compiler.errors import Error, GradientError
from intaglio.compiler.interpret import interpret
from intaglio.compiler.ir import Graph
from intaglio.compiler.op import OPS, Builder, op_named, result_types
from intaglio.compiler.passes.gradient import extending, gradient, jvp
from intaglio.compiler.types import TensorType
from intaglio.compiler.verify import verify
from tests.samples import Case, cases, fill, graph_of, parse_type, results, type_of

ALL = cases()
SMOOTH = [c for c in ALL if c.differentiable and {r.dtype for r in results(c)} == {np.dtype("f8")}]
EACH = pytest.mark.parametrize("name", sorted(OPS))


def of(name: str, chosen: list[Case] = ALL) -> list[Case]:
    return [case for case in chosen if case.op == name]


@EACH
def test_types_match_references(name):
    assert of(name), f"{name} has no samples"
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for case in of(name):
            graph, made = graph_of(case), results(case)
            verify(graph)
            assert [type_of(a) for a in made] == [v.type for v in graph.outputs], case.id


def test_a_new_op_needs_samples_in_several_dtypes_and_shapes():
    for name in ("add", "exp", "sum", "matmul", "reshape", "where"):
        types = {t for case in of(name) for t in case.types}
        assert {"f32", "f64"} <= {t.dtype.name for t in types}
        assert any(t.elements == 0 for t in types)


# ------------------------------------------------------------------------------------- derivatives


def weighted_sum(b: Builder, values, seed: int):
    """A number that depends on every element of the values in a way of its own."""
    random, total = np.random.default_rng(seed), None
    for value in values:
        if value.type.dtype is float64:
            weight = b.constant(random.standard_normal(value.type.shape))
            part = b.sum(b.mul(value, weight), axes=tuple(range(value.type.rank)))
            total = part if total is None else b.add(total, part)
    return total


def loss_of(case: Case) -> Graph:
    """A scalar function of the case's operands."""
    b = Builder()
    inputs = [b.input(t) for t in case.types]
    return b.graph([weighted_sum(b, b.apply(case.op, inputs, case.attributes), 1)])


def floats(graph: Graph):
    return [k for k, v in enumerate(graph.inputs) if v.type.dtype is float64]


def check_by_differences(graph: Graph, derivative: Graph, arrays, tolerance: float):
    """The last outputs of `derivative` against central differences of the first of `graph`."""
    wrt = floats(graph)
    gradients = interpret(derivative, arrays)[-len(wrt) :]
    for k, found in zip(wrt, gradients, strict=True):
        direction = np.random.default_rng(2).standard_normal(arrays[k].shape)
        ends = []
        for step in (1e-6, -1e-6):
            moved = list(arrays)
            moved[k] = arrays[k] + step * direction
            ends.append(interpret(graph, moved)[0])
        expected = (ends[0] - ends[1]) / 2e-6
        assert abs((found * direction).sum() - expected) < tolerance * (1 + abs(expected)), k


@EACH
def test_derivatives_of_both_orders_match_differences(name):
    for case in of(name, SMOOTH):
        graph = loss_of(case)
        wrt = [graph.inputs[k] for k in floats(graph)]
        first = gradient(graph, wrt)
        verify(first)
        check_by_differences(graph, first, case.operands, 1e-6)
        b = extending(first)
        again = b.graph([weighted_sum(b, first.outputs[1:], 3)])
        second = gradient(again, wrt)
        verify(second)
        check_by_differences(again, second, case.operands, 1e-5)


@EACH
def test_forward_mode_matches_reverse_mode(name):
    for case in of(name, SMOOTH):
        graph = loss_of(case)
        wrt = [graph.inputs[k] for k in floats(graph)]
        forward = jvp(graph, wrt)
        verify(forward)
        random = np.random.default_rng(5)
        tangents = [random.standard_normal(v.type.shape) for v in wrt]
        found = interpret(forward, [*case.operands, *tangents])[1]
        gradients = interpret(gradient(graph, wrt), case.operands)[1:]
        expected = sum((g * t).sum() for g, t in zip(gradients, tangents, strict=True))
        assert abs(found - expected) < 1e-9 * (1 + abs(expected)), case.id


@EACH
def test_integers_get_no_derivative_and_needs_are_respected(name):
    for case in of(name):
        b = Builder()
        xs = [b.input(t) for t in case.types]
        ys = b.apply(name, xs, case.attributes)
        if not any(y.type.dtype.is_floating_point for y in ys):
            continue
        dys = [b.like(1.0, y) if y.type.dtype.is_floating_point else None for y in ys]
        for k in range(len(xs)):
            needs = [n == k for n in range(len(xs))]
            try:
                found = op_named(name).vjp(b, dys, ys, xs, needs, **case.attributes)
            except GradientError as error:
                assert "no derivative" in str(error)  # said, not zero in silence
                continue
            assert len(found) == len(xs)
            for x, dx in zip(xs, found, strict=True):
                if not x.type.dtype.is_floating_point:
                    assert dx is None, case.id
                elif dx is not None:
                    assert dx.type == x.type, case.id


# ---------------------------------------------------------------------------------------- elements


def test_the_elements_of_every_op_are_those_of_the_reference():
    ran = set()
    for case in ALL:
        if case.rule.element is None:
            continue
        (expected,) = results(case)
        if expected.size and (case.op != "constant" or expected.size == 1):
            check_elements(case, expected)
            ran.add(case.op)
    assert {"add", "reshape", "pad", "concat", "take", "iota", "random_bits", "slice"} <= ran


def check_elements(case: Case, expected):
    """The expression at loop variables, evaluated at some positions."""
    index = tuple(loop_variable(f"i{k}", s) for k, s in enumerate(expected.shape))
    positions = list(np.ndindex(expected.shape))
    for position in positions[:: max(1, len(positions) // 12)]:
        values = {next(iter(symbols_of(i))): p for i, p in zip(index, position, strict=True)}
        operands = [
            loop.Operand(type_of(a), lambda at, guard, a=a, v=values: read(a, at, guard, v))
            for a in case.operands
        ]
        made = evaluate(case.rule.element(index, *operands, **case.attributes), values)
        wide = made.dtype.kind == "f"
        same = np.isclose(made, expected[position], rtol=1e-5, atol=1e-7, equal_nan=True)
        assert made.dtype == expected.dtype, case.id
        assert same if wide else made == expected[position], (case.id, position)


def symbols_of(size: Dim) -> list[Symbol]:
    return [atom for monomial, _ in size.terms for atom in monomial]


def number_of(position, values):
    if isinstance(position, int | Dim):
        found = substitute(position, values)
        assert isinstance(found, int), found
        return found
    return int(evaluate(position, values))


def read(array, at, guard, values):
    """A load: outside the array nothing may be read."""
    if guard is not None and not evaluate(guard, values):
        return loop.Const(0, type_of(array).dtype)
    place = tuple(number_of(p, values) for p in at)
    assert all(0 <= p < n for p, n in zip(place, array.shape, strict=True)), (place, array.shape)
    return loop.Const(array[place].item(), type_of(array).dtype)


def evaluate(expr, values, known=None):
    """The value of an expression, each function of the prelude being the op of the same name.
    What an expression holds several times is evaluated once."""
    known = {} if known is None else known
    if expr not in known:
        known[expr] = evaluate_once(expr, values, known)
    return known[expr]


def evaluate_once(expr, values, known):
    match expr:
        case loop.Const():
            with np.errstate(over="ignore"):
                return np.asarray(expr.value, expr.dtype.numpy)
        case loop.Index():
            return np.asarray(number_of(expr.size, values), expr.dtype.numpy)
    arguments = [evaluate(a, values, known) for a in expr.arguments]
    if expr.function == "select":
        return op_named("where").reference(*arguments)
    if expr.function in ("cast", "bitcast"):
        return op_named(expr.function).reference(*arguments, dtype=expr.dtype)
    if expr.function == "philox":
        seed, draw, at, word = map(int, arguments)
        whole = op_named("random_bits").reference(
            np.int64(seed), np.int64(draw), shape=(at + 1,), word=word
        )
        assert expr.dtype is uint32
        return np.asarray(whole[at])
    return op_named(expr.function).reference(*arguments)


# ------------------------------------------------------------------------------------------ errors


@EACH
def test_wrong_operands_are_refused_by_an_error_that_names_the_op(name):
    rule = op_named(name)
    for case in of(name)[:12]:
        wrong = [
            (*case.types, TensorType(float32, (1,)), TensorType(boolean, (2, 3, 4, 5, 6))),
            (TensorType(boolean, (2, 3, 4, 5, 6, 7, 8)), *case.types[1:]) if case.types else None,
        ]
        for types in wrong:
            if types is None or accepts(rule, types, case):
                continue
            with pytest.raises(Error, match=rf"^{name}\b"):
                result_types(rule, types, case.attributes)


def accepts(rule, types, case) -> bool:
    """Ops that take any count or any dtype may take these too."""
    try:
        result_types(rule, types, case.attributes)
    except Exception:
        return False
    return True


def test_most_ops_refuse_both_wrong_counts_and_wrong_types():
    refusing = set()
    for case in ALL:
        types = (*case.types, TensorType(float32, (1,)))
        if not accepts(case.rule, types, case):
            refusing.add(case.op)
    assert len(refusing) >= len(OPS) - 2


@EACH
def test_attributes_of_wrong_kinds_are_refused(name):
    rule = op_named(name)
    for case in of(name)[:6]:
        for key in case.attributes:
            for bad in (None, "x", -7, (1.5,), ("a",), 2.5, (-9, -9, -9, -9, -9)):
                attributes = {**case.attributes, key: bad}
                try:
                    result_types(rule, case.types, attributes)
                except Error as error:
                    assert str(error).startswith(name), error
        with pytest.raises(Error, match=rf"^{name}\b"):
            result_types(rule, case.types, {**case.attributes, "nonsense": 1})


@pytest.mark.parametrize(
    ("op", "types", "attributes", "rule"),
    [
        ("add", "f32[2,3], f32[2,4]", {}, "the shapes differ"),
        ("add", "f32[2], f64[2]", {}, "the dtypes f32 and f64 differ"),
        ("exp", "i64[2]", {}, "i64 is not floating-point"),
        ("matmul", "f32[2,3] @ f32[2,3]", {}, "the inner sizes 3 and 2 differ"),
        ("sum", "f32[2,3]", {"axes": (2,)}, "the axis 2 is out of range for rank 2"),
        ("max", "f32[0,3]", {"axes": (0,)}, "axis 0 has no elements, and there is no max of none"),
        ("reshape", "f32[6]", {"shape": (4,)}, "6 elements do not fit the 4 of f32[4]"),
        ("take", "f32[6], f32[2]", {"axis": 0}, "the index is f32, not i64 or i32"),
        ("cast", "f32[6]", {}, "missing a required argument: 'dtype'"),
        ("concat", "no operands", {"axis": 0}, "it takes at least one operand"),
    ],
)
def test_messages(op, types, attributes, rule):
    operands = [parse_type(t) for t in re.findall(r"\w+\[[\d,]*\]", types)]
    with pytest.raises(Error) as caught:
        result_types(op_named(op), operands, attributes)
    assert str(caught.value) == f"{op}: {types}: {rule}"


def test_an_index_out_of_range_is_refused_when_it_runs():
    x = np.zeros((3, 2))
    for bad in (3, -1):
        with pytest.raises(Error, match=rf"the index {bad} is out of range for an axis of size 3"):
            op_named("take").reference(x, np.array([0, bad]), axis=0)


# --------------------------------------------------------------------------------------- meanings


def test_philox_gives_the_known_answers():
    from intaglio.compiler.ops.create import philox

    assert [int(philox(0, 0, 1, w)[0]) for w in range(4)] == [
        0x6627E8D5, 0xE169C58D, 0xBC57AC4C, 0x9B00DBD8,
    ]  # fmt: skip


def test_division_of_integers_never_traps():
    low = np.iinfo(np.int32).min
    a, b = np.array([low, 7, -7, low, 5], np.int32), np.array([-1, 0, 2, 0, -3], np.int32)
    assert op_named("floordiv").reference(a, b).tolist() == [low, 0, -4, 0, -2]
    assert op_named("floormod").reference(a, b).tolist() == [0, 0, 1, 0, -1]


def test_casts_of_floats_to_integers_are_defined_everywhere():
    x = np.array([np.nan, np.inf, -np.inf, 2.9, -2.9, 3e9], np.float32)
    made = op_named("cast").reference(x, dtype=int32)
    assert made.tolist() == [0, 2**31 - 1, -(2**31), 2, -2, 2**31 - 1]


def test_extremes_of_zeros_and_nan():
    a, b = np.array([-0.0, 0.0, np.nan, 1.0]), np.array([0.0, -0.0, 1.0, np.nan])
    assert not np.signbit(op_named("maximum").reference(a, b)[:2]).any()
    assert np.signbit(op_named("minimum").reference(a, b)[:2]).all()
    assert np.isnan(op_named("maximum").reference(a, b)[2:]).all()
    rows = np.array([[-0.0, 0.0], [-0.0, -0.0], [np.nan, 1.0]])
    assert np.signbit(op_named("max").reference(rows, axes=(1,))).tolist()[:2] == [False, True]
    assert np.signbit(op_named("min").reference(rows, axes=(1,))).tolist()[:2] == [True, True]


def test_additions_at_an_index_go_in_order():
    x, index = np.zeros(1, np.float32), np.zeros(3, np.int64)
    source = np.array([1e8, 1.0, -1e8], np.float32)
    assert op_named("index_add").reference(x, index, source, axis=0)[0] == 0.0
    swapped = source[[0, 2, 1]]
    assert op_named("scatter_add").reference(x, index, swapped, axis=0)[0] == 1.0


def test_fill_covers_its_range():
    values = fill("i64[500]", (-7, 7), np.random.default_rng(0))
    assert values.min() == -7
    assert values.max() == 7
