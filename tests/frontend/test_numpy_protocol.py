"""NumPy's functions called on tensors: NumPy's values, differentiable, traceable."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import intaglio as ig

RNG = np.random.default_rng(3)
A, B = RNG.standard_normal((3, 4)), RNG.standard_normal((3, 4))
V, S = RNG.standard_normal(4), RNG.standard_normal((4, 4)) + 4 * np.eye(4)
N = RNG.integers(0, 9, (3, 4))

Case = Callable[[Any, Any, Any, Any], Any]
CASES: dict[str, Case] = {
    "sin": lambda a, b, v, s: np.sin(a),
    "add an array": lambda a, b, v, s: np.add(a, B),
    "array first": lambda a, b, v, s: np.multiply(B, a),
    "operator of an array": lambda a, b, v, s: B - a,
    "maximum of a number": lambda a, b, v, s: np.maximum(a, 0.25),
    "power": lambda a, b, v, s: np.power(np.abs(a), 1.5),
    "hypot": lambda a, b, v, s: np.hypot(a, b),
    "rint": lambda a, b, v, s: np.rint(a),
    "logical": lambda a, b, v, s: np.logical_and(a > 0, b > 0),
    "reduce": lambda a, b, v, s: np.add.reduce(a),
    "reduce all": lambda a, b, v, s: np.maximum.reduce(a, axis=None, keepdims=True),
    "accumulate": lambda a, b, v, s: np.multiply.accumulate(a, axis=1),
    "outer ufunc": lambda a, b, v, s: np.subtract.outer(v, a),
    "sum": lambda a, b, v, s: np.sum(a, axis=(0, 1), keepdims=True),
    "mean": lambda a, b, v, s: np.mean(a, 1),
    "std": lambda a, b, v, s: np.std(a, axis=0),
    "var": lambda a, b, v, s: np.var(a, ddof=1),
    "max": lambda a, b, v, s: np.max(a, axis=1),
    "argmin": lambda a, b, v, s: np.argmin(a, axis=1),
    "argmax of all": lambda a, b, v, s: np.argmax(a),
    "cumsum": lambda a, b, v, s: np.cumsum(a),
    "cumprod": lambda a, b, v, s: np.cumprod(a, axis=-1),
    "median": lambda a, b, v, s: np.median(a, axis=1),
    "percentile": lambda a, b, v, s: np.percentile(a, 30, axis=0),
    "average": lambda a, b, v, s: np.average(a, axis=1, weights=np.arange(1.0, 5)),
    "ptp": lambda a, b, v, s: np.ptp(a, axis=0),
    "concatenate": lambda a, b, v, s: np.concatenate([a, B], axis=1),
    "concatenate flat": lambda a, b, v, s: np.concatenate([a, b], axis=None),
    "stack": lambda a, b, v, s: np.stack([a, b], axis=-1),
    "vstack": lambda a, b, v, s: np.vstack([a, v]),
    "hstack": lambda a, b, v, s: np.hstack([a, b]),
    "column_stack": lambda a, b, v, s: np.column_stack([v, v]),
    "transpose": lambda a, b, v, s: np.transpose(a),
    "moveaxis": lambda a, b, v, s: np.moveaxis(np.reshape(a, (2, 3, 2)), 0, -1),
    "expand_dims": lambda a, b, v, s: np.expand_dims(a, (0, -1)),
    "squeeze": lambda a, b, v, s: np.squeeze(np.expand_dims(a, 1), axis=1),
    "ravel": lambda a, b, v, s: np.ravel(a),
    "broadcast_to": lambda a, b, v, s: np.broadcast_to(v, (2, 4)),
    "clip": lambda a, b, v, s: np.clip(a, -0.5, 0.5),
    "where": lambda a, b, v, s: np.where(a > 0, a, b),
    "sort": lambda a, b, v, s: np.sort(a, axis=0),
    "argsort": lambda a, b, v, s: np.argsort(a),
    "take": lambda a, b, v, s: np.take(a, [[0, 3], [1, 1]], axis=1),
    "take_along_axis": lambda a, b, v, s: np.take_along_axis(a, np.argsort(a, axis=1), axis=1),
    "pad": lambda a, b, v, s: np.pad(a, ((1, 0), (2, 3)), constant_values=7.0),
    "split": lambda a, b, v, s: np.split(a, 2, axis=1)[1],
    "array_split": lambda a, b, v, s: np.array_split(v, 3)[0],
    "dot": lambda a, b, v, s: np.dot(a, v),
    "matmul": lambda a, b, v, s: np.matmul(a, s),
    "tensordot": lambda a, b, v, s: np.tensordot(a, b, axes=(0, 0)),
    "einsum": lambda a, b, v, s: np.einsum("ij,kj,j->ik", a, b, v),
    "kron": lambda a, b, v, s: np.kron(a, v),
    "outer": lambda a, b, v, s: np.outer(v, v),
    "inner": lambda a, b, v, s: np.inner(a, v),
    "repeat": lambda a, b, v, s: np.repeat(a, 2, axis=1),
    "tile": lambda a, b, v, s: np.tile(a, (2, 1)),
    "flip": lambda a, b, v, s: np.flip(a),
    "roll": lambda a, b, v, s: np.roll(a, 2, axis=1),
    "rot90": lambda a, b, v, s: np.rot90(a),
    "diff": lambda a, b, v, s: np.diff(a, axis=0),
    "trace": lambda a, b, v, s: np.trace(s),
    "diagonal": lambda a, b, v, s: np.diagonal(s),
    "tril": lambda a, b, v, s: np.tril(s),
    "round": lambda a, b, v, s: np.round(a, 1),
    "zeros_like": lambda a, b, v, s: np.zeros_like(a) + np.full_like(a, 2.0),
    "array_equal": lambda a, b, v, s: np.array_equal(a, a) and not np.array_equal(a, b),
    "solve": lambda a, b, v, s: np.linalg.solve(s, v),
    "inv": lambda a, b, v, s: np.linalg.inv(s),
    "det": lambda a, b, v, s: np.linalg.det(s),
    "norm": lambda a, b, v, s: np.linalg.norm(a, axis=1),
    "matrix_power": lambda a, b, v, s: np.linalg.matrix_power(s, 3),
    "svdvals": lambda a, b, v, s: np.linalg.svd(a, compute_uv=False),
}  # fmt: skip


@pytest.mark.parametrize("name", CASES)
def test_a_function_of_numpy_gives_its_values_as_a_tensor(name: str) -> None:
    case = CASES[name]
    want = case(A, B, V, S)
    found = case(*map(ig.tensor, (A, B, V, S)))
    if isinstance(want, bool):
        assert found is want
        return
    assert isinstance(found, ig.Tensor)
    np.testing.assert_allclose(found.numpy(), want, rtol=1e-12, atol=1e-12)


def test_they_are_differentiated_and_traced() -> None:
    def loss(a: Any, s: Any) -> Any:
        return np.sum(np.linalg.solve(s, np.sin(a).T) ** 2) + np.einsum("ij,ij->", a, np.exp(a))

    a, s = ig.tensor(A, requires_grad=True), ig.tensor(S, requires_grad=True)
    assert ig.autograd.gradcheck(loss, (a, s))
    assert ig.jit(loss)(a, s).item() == loss(a, s).item()


def test_numbers_and_integers_keep_the_rules_of_dtypes() -> None:
    n = ig.tensor(N)
    assert np.add(n, 1).dtype is ig.int64 and np.add(n, 0.5).dtype is ig.float32
    assert np.maximum(n, 3).dtype is ig.int64 and np.sqrt(n).dtype is ig.float32
    assert np.add(n, np.float64(1.5)).dtype is ig.float32
    assert np.result_type(n, ig.ones(2)) == np.float32


def test_out_takes_the_result() -> None:
    target = ig.zeros(3, 4, dtype=ig.float64)
    assert np.sin(ig.tensor(A), out=target) is target
    np.testing.assert_array_equal(target.numpy(), ig.sin(ig.tensor(A)).numpy())
    array = np.zeros((3, 4))
    assert np.add(ig.tensor(A), 1, out=array) is array and np.array_equal(array, A + 1)


@pytest.mark.parametrize(
    "call",
    [
        lambda t: np.interp(t, [0, 1], [2, 3]),
        lambda t: np.spacing(t),
        lambda t: np.add.reduceat(t, [0]),
        lambda t: np.take(t, [0], mode="wrap"),
        lambda t: np.sin(t, where=np.zeros((3, 4), bool)),
    ],
)
def test_what_has_no_counterpart_is_refused_rather_than_turned_into_an_array(
    call: Callable[[Any], Any],
) -> None:
    with pytest.raises(TypeError):
        call(ig.tensor(A))


def test_unequal_parts_are_refused_by_split() -> None:
    with pytest.raises(ValueError, match="array_split"):
        np.split(ig.tensor(A), 3, axis=1)


def test_arrays_and_tensors_share_memory_both_ways() -> None:
    array = A.copy()
    tensor = ig.from_numpy(array)
    assert np.shares_memory(tensor, array) and np.shares_memory(np.asarray(tensor), array)
    array[0, 0] = 5
    tensor[0, 1] = 6
    assert tensor[0, 0].item() == 5 and array[0, 1] == 6
    other = np.from_dlpack(ig.from_dlpack(array))
    assert np.shares_memory(other, array)
    view = ig.from_dlpack(tensor.T[1:])
    view[0, 0] = 7
    assert array[0, 1] == 7
    assert ig.frombuffer(bytearray(b"\x01\x00\x02\x00"), dtype=ig.int16).tolist() == [1, 2]
