"""Loaded models: calling, state, and what a failing call leaves behind."""

import threading

import numpy as np
import pytest

from intaglio.compiler.errors import ArgumentError, DeviceError, DTypeError, ShapeError
from intaglio.runtime.model import Model
from intaglio.runtime.structure import count_leaves, flatten, unflatten
from tests.runtime import programs


@pytest.fixture(params=["native", "interpret"])
def model(request: pytest.FixtureRequest) -> Model:
    return Model(programs.program(), programs.values(), {"data": "v1"}, backend=request.param)


def expected(x: np.ndarray) -> np.ndarray:
    v = programs.values()
    return np.tanh(x.astype(np.float64) @ v["w"] + v["b"])


def test_forward_by_position_and_name(model: Model) -> None:
    x = programs.inputs(5)
    y = model(x)
    assert y.dtype == np.float32
    assert np.allclose(y, expected(x), atol=1e-6)
    for other in (model.forward(x), model.forward(x=x), model.function("forward")(x)):
        assert np.array_equal(other, y)


def test_results_come_in_their_structure_and_state_moves(model: Model) -> None:
    x, ids = programs.inputs(4), np.array([0, 2, 2, 1])
    total, rest = model.train(x, ids=ids)
    assert np.isclose(total, x.sum(), atol=1e-6)
    assert np.array_equal(rest["b"], programs.values()["b"])
    added = programs.values()["w"][ids].sum(0)
    assert np.array_equal(model.state["b"], programs.values()["b"] + added)
    rest["b"][:] = 99
    model.train(x, ids)
    assert np.array_equal(model.state["b"], programs.values()["b"] + added + added)


def test_a_failing_call_changes_no_state(model: Model) -> None:
    before = model.state_dict()
    with pytest.raises(IndexError, match=r"net\.py:12 in Net\.emb"):
        model.train(programs.inputs(4), np.array([0, 1, 3, 0]))
    with pytest.raises(IndexError, match=r"net\.py:12 in Net\.emb"):
        model.train(programs.inputs(4), np.array([0, -1, 0, 0]))
    assert {n: a.tobytes() for n, a in model.state_dict().items()} == {
        n: a.tobytes() for n, a in before.items()
    }
    model.train(programs.inputs(1), np.array([0]))


def test_the_caller_s_values_are_not_written(model: Model) -> None:
    values = programs.values()
    for array in values.values():
        array.flags.writeable = False
    other = Model(programs.program(), values, backend="interpret")
    other.train(programs.inputs(1), np.array([1]))
    assert np.array_equal(values["b"], programs.values()["b"])


def test_arguments_are_checked(model: Model) -> None:
    x = programs.inputs(2)
    with pytest.raises(DTypeError, match=r"forward: x is f64\[2,3\], and f32\[n,3\] is wanted"):
        model(x.astype(np.float64))
    with pytest.raises(ShapeError, match="dim 1 must be 3, not 4"):
        model(np.zeros((2, 4), np.float32))
    with pytest.raises(ShapeError):
        model.train(x, np.zeros(3, np.int64))
    with pytest.raises(ArgumentError, match=r"train\(x, ids\) lacks ids"):
        model.train(x)
    with pytest.raises(ArgumentError, match="has no parameter 'z'"):
        model.forward(z=x)
    with pytest.raises(ArgumentError, match="got 'x' twice"):
        model.forward(x, x=x)
    with pytest.raises(ArgumentError, match="takes 1 arguments"):
        model.forward(x, x)
    with pytest.raises(AttributeError, match="it has 'forward', 'train'"):
        model.backward(x)


def test_state_is_read_as_copies_and_set_with_checks(model: Model) -> None:
    model.state["w"][:] = 7
    assert np.array_equal(model.state["w"], programs.values()["w"])
    fresh = np.ones((3, 2), np.float32)
    model.state["tied.w"] = fresh
    fresh[:] = 3
    assert np.array_equal(model.state["w"], np.ones((3, 2)))
    x = programs.inputs(3)
    want = np.tanh(x.sum(1, keepdims=True) + programs.values()["b"])
    assert np.allclose(model(x), want, atol=1e-6)
    with pytest.raises(DTypeError):
        model.state["w"] = np.ones((3, 2))
    with pytest.raises(ShapeError, match=r"w is f32\[2,3\], and f32\[3,2\] is wanted"):
        model.state["w"] = np.ones((2, 3), np.float32)
    with pytest.raises(ArgumentError, match="no state called 'ww'; did you mean 'w'"):
        model.state["ww"] = fresh
    with pytest.raises(ArgumentError, match="can't be deleted"):
        del model.state["w"]
    assert list(model.state) == ["w", "b"]


def test_state_dicts(model: Model) -> None:
    saved = model.state_dict()
    assert set(saved) == {"w", "tied.w", "b"}
    model.state["b"] = np.zeros(2, np.float32)
    assert model.load_state_dict(saved) == ([], [])
    assert np.array_equal(model.state["b"], programs.values()["b"])
    with pytest.raises(ArgumentError, match="missing: b; unknown: c"):
        model.load_state_dict({"w": saved["w"], "c": saved["w"]})
    assert model.load_state_dict({"c": saved["w"]}, strict=False) == (["w", "b"], ["c"])
    with pytest.raises(DTypeError):
        model.load_state_dict({"b": np.zeros(2, np.float32), "w": np.zeros((3, 2))})
    assert np.array_equal(model.state["b"], programs.values()["b"])


def test_devices_are_named() -> None:
    with pytest.raises(DeviceError, match="'tpu'"):
        Model(programs.program(), programs.values(), device="tpu")


def test_threads_agree_with_one(model: Model) -> None:
    x = programs.inputs(7)
    want = model(x)
    wrong: list[object] = []

    def work() -> None:
        for k in range(100):
            if k % 10 == 0:
                model.train(x, np.zeros(7, np.int64))
            if k % 5 == 0:
                model.state["b"] = programs.values()["b"]

    def read() -> None:
        for _ in range(100):
            y = model(x)
            if y.shape != want.shape:
                wrong.append(y)

    threads = [threading.Thread(target=t) for t in [work, read] * 4]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    assert not wrong
    model.state["b"] = programs.values()["b"]
    assert np.array_equal(model(x), want)


STRUCTURE = ("tuple", ("*", ("list", ("*", "None")), ("dict", ("a", "b"), ("*", ("tuple", ())))))


def test_structures() -> None:
    value = (1, [2, None], {"b": (), "a": 3})
    leaves: list[int] = []
    flatten(STRUCTURE, value, "x", leaves)
    assert leaves == [1, 2, 3]
    assert unflatten(STRUCTURE, iter(leaves)) == value
    assert count_leaves(STRUCTURE) == 3


@pytest.mark.parametrize(
    ("value", "told"),
    [
        ((1, [2, None]), "x: a tuple of 3"),
        ((1, [2, 3], {"a": 3, "b": ()}), r"x\[1\]\[1\] was None"),
        ((1, [2, None], {"a": 3}), r"x\[2\]: a dict with the keys a, b"),
    ],
)
def test_other_structures_are_refused(value: object, told: str) -> None:
    with pytest.raises(ArgumentError, match=told):
        flatten(STRUCTURE, value, "x", [])
