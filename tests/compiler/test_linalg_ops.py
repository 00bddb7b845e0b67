"""Ops of linear algebra beyond their samples: algorithms at sizes of several blocks, derivatives
along symmetric changes, statuses and errors."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from intaglio.compiler.errors import GradientError, LinAlgError
from intaglio.compiler.interpret import interpret
from intaglio.compiler.ir import Graph
from intaglio.compiler.op import OPS, Builder, op_named
from intaglio.compiler.ops import linalg_numpy as algorithms
from intaglio.compiler.ops.linalg_rules import MatrixOp
from intaglio.compiler.passes.gradient import extending, gradient
from intaglio.compiler.verify import verify
from tests.samples import cases, type_of

RANDOM = np.random.default_rng(5)
ALL = cases([name for name in sorted(OPS) if isinstance(op_named(name), MatrixOp)])


def test_there_are_host_ops_and_they_never_write_to_their_operands():
    assert {"solve", "svd", "eigh", "ldl_factor"} <= {case.op for case in ALL}
    for case in ALL:
        before = [a.copy() for a in case.operands]
        for a in case.operands:
            a.flags.writeable = False
        try:
            case.rule.reference(*case.operands, **case.attributes)
        finally:
            for a in case.operands:
                a.flags.writeable = True
        for a, b in zip(case.operands, before, strict=True):
            assert a.tobytes() == b.tobytes(), case.id


def test_results_do_not_depend_on_the_layout_of_operands():
    for case in ALL:
        turned = [a.copy(order="F") for a in case.operands]
        made: Any = case.rule.reference(*case.operands, **case.attributes)
        again: Any = case.rule.reference(*turned, **case.attributes)
        for a, b in zip(*(m if isinstance(m, tuple) else (m,) for m in (made, again)), strict=True):
            assert np.array_equal(a, b, equal_nan=True), case.id


def test_nothing_is_computed_when_compiling():
    solve = op_named("solve")
    assert solve.fold([np.zeros((2, 2)), np.ones((2, 1))], check=True) is None


# -------------------------------------------------------------------------------------- algorithms


@pytest.mark.parametrize("shape", [(130, 130), (2, 70, 110), (2, 110, 70)])
def test_lu_by_blocks(shape):
    a = RANDOM.standard_normal(shape)
    packed, pivots, order, info = op_named("lu_factor").reference(a, check=True)
    least = min(shape[-2:])
    lower = np.tril(packed[..., :least], -1) + np.eye(shape[-2], least)
    upper = np.triu(packed[..., :least, :])
    assert np.abs(lower).max() <= 1
    rows = np.take_along_axis(a, order[..., None], -2)
    np.testing.assert_allclose(lower @ upper, rows, atol=1e-11)
    assert pivots.shape == (*shape[:-2], least)
    assert not info.any()


@pytest.mark.parametrize("lower", [True, False])
@pytest.mark.parametrize("unit", [True, False])
def test_substitution_by_blocks_reads_its_triangle_alone(lower, unit):
    a = RANDOM.standard_normal((2, 130, 130)) / 130 + 2 * np.eye(130)
    b = RANDOM.standard_normal((2, 130, 3))
    triangle = np.tril(a) if lower else np.triu(a)
    if unit:
        triangle = triangle - triangle * np.eye(130) + np.eye(130)
    made = op_named("solve_triangular").reference(a, b, lower=lower, unit=unit)
    np.testing.assert_allclose(triangle @ made, b, atol=1e-11)
    a[:, 5, 5] = 0
    made = op_named("solve_triangular").reference(a, b, lower=lower, unit=unit)
    assert np.isfinite(made).all() == unit


def test_the_exponential():
    for scale in (0.1, 3.0, 40.0):
        a = RANDOM.standard_normal((3, 4, 4))
        a = scale * (a + np.swapaxes(a, -1, -2)) / 2
        values, vectors = np.linalg.eigh(a)
        expected = vectors * np.exp(values)[:, None, :] @ np.swapaxes(vectors, -1, -2)
        np.testing.assert_allclose(algorithms.exponential(a), expected, rtol=1e-9)
    turn = np.array([[0.0, -np.pi], [np.pi, 0.0]])
    np.testing.assert_allclose(algorithms.exponential(turn), -np.eye(2), atol=1e-14)
    wild = np.stack([np.full((2, 2), np.inf), np.zeros((2, 2))])
    made = algorithms.exponential(wild)
    assert np.isnan(made[0]).all()
    np.testing.assert_array_equal(made[1], np.eye(2))


def test_cofactors_of_singular_matrices():
    a = np.array([[1.0, 2.0, 3.0], [2.0, 4.0, 6.0], [1.0, 0.0, 1.0]])
    expected = np.zeros((3, 3))
    for i in range(3):
        for j in range(3):
            minor = np.delete(np.delete(a, i, 0), j, 1)
            expected[i, j] = (-1) ** (i + j) * np.linalg.det(minor)
    np.testing.assert_allclose(algorithms.cofactors(a), expected, atol=1e-12)


@pytest.mark.parametrize("size", [1, 2, 5, 40])
@pytest.mark.parametrize("hollow", [False, True])
def test_ldl_solves(size, hollow):
    a = RANDOM.standard_normal((3, size, size))
    a = a + np.swapaxes(a, -1, -2)
    if hollow and size > 1:
        a = a - a * np.eye(size)
    made, pivots, info = op_named("ldl_factor").reference(a, check=True)
    assert not info.any()
    assert (pivots < 0).any() == (size > 1 and bool((pivots < 0).any()))
    if hollow and size > 1:
        assert (pivots[:, 0] < 0).all()
    b = RANDOM.standard_normal((3, size, 2))
    x = op_named("ldl_solve").reference(made, pivots, b)
    np.testing.assert_allclose(a @ x, b, atol=1e-8)


# ----------------------------------------------------------------------- symmetric operands' change


def symmetric_loss(op: str, a: Any, attributes: dict[str, Any]) -> Graph:
    """A number made of every float result of an op of symmetric matrices."""
    b = Builder()
    x = b.input(type_of(a))
    random, total = np.random.default_rng(1), None
    for value in b.apply(op, [x], attributes):
        if value.type.dtype.is_floating_point:
            weight = b.constant(random.standard_normal(value.type.shape))
            part = b.sum(b.mul(value, weight), axes=tuple(range(value.type.rank)))
            total = part if total is None else b.add(total, part)
    assert total is not None
    return b.graph([total])


@pytest.mark.parametrize(("op", "attributes"), [("cholesky", {"check": True}), ("eigh", {})])
def test_derivatives_along_symmetric_changes_of_both_orders(op, attributes):
    a = RANDOM.standard_normal((2, 3, 3))
    a = a @ np.swapaxes(a, -1, -2) + np.eye(3)
    graph = symmetric_loss(op, a, attributes)
    first = gradient(graph, graph.inputs)
    verify(first)
    b = extending(first)
    weight = RANDOM.standard_normal(a.shape)
    weighted = b.sum(b.mul(first.outputs[1], b.constant(weight)), axes=(0, 1, 2))
    second_loss = b.graph([weighted])
    for low, high, tolerance in (
        (graph, first, 1e-6),
        (second_loss, gradient(second_loss, graph.inputs), 1e-4),
    ):
        found = interpret(high, [a])[-1]
        np.testing.assert_allclose(found, np.swapaxes(found, -1, -2), atol=1e-9)
        change = RANDOM.standard_normal(a.shape)
        change = change + np.swapaxes(change, -1, -2)
        step = 1e-6
        ends = [interpret(low, [a + s * change])[0] for s in (step, -step)]
        expected = (ends[0] - ends[1]) / (2 * step)
        assert abs((found * change).sum() - expected) < tolerance * (1 + abs(expected))


def test_only_the_lower_triangle_is_read():
    a = np.array([[4.0, np.nan], [1.0, 3.0]])
    for op in ("cholesky", "eigh", "ldl_factor"):
        attributes = {} if op == "eigh" else {"check": True}
        made = op_named(op).reference(a, **attributes)
        assert all(np.isfinite(m).all() for m in made), op


# ------------------------------------------------------------------------------ statuses and errors


def test_statuses_name_what_failed():
    good, bad = np.eye(2), np.array([[1.0, 2.0], [2.0, 4.0]])
    both = np.stack([good, bad])
    solved, info = op_named("solve").reference(both, np.ones((2, 2, 1)), check=False)
    assert info.tolist() == [0, 2]
    assert np.isfinite(solved[0]).all()
    assert np.isnan(solved[1]).all()
    assert op_named("inverse").reference(both, check=False)[1].tolist() == [0, 2]
    assert op_named("lu_factor").reference(both, check=False)[3].tolist() == [0, 2]
    factor, info = op_named("cholesky").reference(np.stack([good, -good]), check=False)
    assert info.tolist() == [0, 1]
    np.testing.assert_array_equal(factor[0], good)


@pytest.mark.parametrize("op", ["solve", "inverse", "lu_factor", "ldl_factor"])
def test_singular_matrices_are_errors_that_name_the_matrix(op):
    both = np.stack([np.eye(2), np.zeros((2, 2))])
    operands = (both, np.ones((2, 2, 1))) if op == "solve" else (both,)
    with pytest.raises(
        LinAlgError, match=rf"^{op}: the matrix at \[1\] of the batch: .* 1 .* zero"
    ):
        op_named(op).reference(*operands, check=True)
    with pytest.raises(np.linalg.LinAlgError):  # NumPy's class too
        op_named(op).reference(*operands, check=True)


def test_matrices_that_are_not_positive_definite():
    with pytest.raises(LinAlgError, match="leading minor of order 2"):
        op_named("cholesky").reference(np.array([[1.0, 2.0], [2.0, 1.0]]), check=True)


def test_no_convergence_is_an_error():
    with pytest.raises(LinAlgError, match="svd: the algorithm did not converge"):
        op_named("svd").reference(np.full((3, 3), np.nan), full=False)


def test_what_has_no_derivative_says_so():
    b = Builder()
    x = b.input(type_of(np.zeros((4, 3))))
    q, _ = b.apply("qr", [x], {"complete": True})
    with pytest.raises(GradientError, match="use mode='reduced'"):
        op_named("qr").vjp(b, [q, None], [q, q], [x], [True], complete=True)
    with pytest.raises(GradientError, match="geqrf has no derivative"):
        op_named("geqrf").vjp(b, [x, None], [x, x], [x], [True])
