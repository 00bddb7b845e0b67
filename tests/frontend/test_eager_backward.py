"""Planned backward passes: the bits, errors and memory of the walk, for structures seen again."""

from __future__ import annotations

import gc
import weakref
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest

import intaglio as ig
from intaglio import _backward_plan
from intaglio.nn import functional as F

RNG = np.random.default_rng(7)


def leaf(*shape: int) -> Any:
    return ig.tensor(RNG.standard_normal(shape).astype(np.float32)).requires_grad_()


@pytest.fixture(autouse=True)
def soon(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[Any]]:
    """Plans after two passes, compiled in their third run; tells which passes were planned."""
    monkeypatch.setattr(_backward_plan, "SEEN", 2)
    monkeypatch.setattr(_backward_plan, "OFTEN", 3)
    _backward_plan._PLANS.clear()
    yield []
    _backward_plan._PLANS.clear()


def plans() -> list[Any]:
    return [p for p in _backward_plan._PLANS.values() if not isinstance(p, int)]


def passes(loss: Callable[[], Any], leaves: list[Any], times: int = 6) -> list[list[Any]]:
    """The bytes of the leaves' derivatives in each of several passes."""
    found = []
    for _ in range(times):
        for x in leaves:
            x.grad = None
        loss().backward()
        found.append([None if x.grad is None else x.grad.numpy().tobytes() for x in leaves])
    return found


def shared_parts() -> tuple[Callable[[], Any], list[Any]]:
    x, y = leaf(3, 4), leaf(3, 4)

    def loss() -> Any:
        z = x * y
        return (z * z.exp() + z.sum(0) * 3.0 + x).mean()

    return loss, [x, y]


def network() -> tuple[Callable[[], Any], list[Any]]:
    w, b, v = leaf(5, 4), leaf(5), leaf(3, 5)
    x = ig.tensor(RNG.standard_normal((6, 4)).astype(np.float32))
    t = ig.tensor(np.arange(6) % 3)

    def loss() -> Any:
        return F.cross_entropy(F.linear(F.relu(F.linear(x, w, b)), v), t)

    return loss, [w, b, v]


def several_results() -> tuple[Callable[[], Any], list[Any]]:
    x = leaf(4, 5)
    return (lambda: (x.sort(1)[0] * x.max(1, keepdim=True)[0]).sum()), [x]


def views() -> tuple[Callable[[], Any], list[Any]]:
    x = leaf(4, 6)
    return (lambda: (x.T @ x[:, 1:4].contiguous()).view(-1)[2:].tanh().sum()), [x]


def unused_leaf() -> tuple[Callable[[], Any], list[Any]]:
    x, y = leaf(4), leaf(4)
    return (lambda: (x + y.floor() * 2.0).sum()), [x, y]


def in_place() -> tuple[Callable[[], Any], list[Any]]:
    x = leaf(4, 4)

    def loss() -> Any:
        y = x * 2.0
        y[1] = x[0].exp()
        y.add_(x)
        return y.sum()

    return loss, [x]


MODELS = [shared_parts, network, several_results, views, unused_leaf, in_place]


@pytest.mark.parametrize("make", MODELS)
def test_planned_passes_give_the_walks_bits(make: Callable[[], Any]) -> None:
    loss, leaves = make()
    found = passes(loss, leaves)
    assert len(plans()) == 1 and plans()[0]._runs >= 4
    assert all(each == found[0] for each in found)


def test_gradients_accumulate() -> None:
    x = leaf(5)
    for count in range(1, 7):
        (x * x).sum().backward()
        expected = np.zeros(5, np.float32)
        for _ in range(count):
            expected = expected + (x.detach().numpy() + x.detach().numpy())
        assert np.array_equal(x.grad.numpy(), expected)
    assert plans()


def test_structures_that_differ_in_what_is_shared() -> None:
    """x * x + y * y and x * y + x * y record the same ops over the same types."""
    x, y = leaf(3), leaf(3)
    for _ in range(6):
        passes(lambda: (x * x + y * y).sum(), [x, y], 1)
        assert np.array_equal(x.grad.numpy(), (2 * x.detach()).numpy())
        passes(lambda: (x * y + x * y).sum(), [x, y], 1)
        assert np.array_equal(x.grad.numpy(), (2 * y.detach()).numpy())


def test_leaves_of_their_own_each_time() -> None:
    for k in range(8):
        x = ig.tensor(np.full(3, k, np.float32)).requires_grad_()
        (x * x).sum().backward()
        assert np.array_equal(x.grad.numpy(), np.full(3, 2 * k, np.float32))


def test_a_given_derivative() -> None:
    x = leaf(2, 3)
    for k in range(6):
        x.grad = None
        (x * 3.0).backward(ig.full((2, 3), float(k)))
        assert np.array_equal(x.grad.numpy(), np.full((2, 3), 3.0 * k, np.float32))


def test_derivatives_own_their_memory() -> None:
    x, y = leaf(3), leaf(3)
    for _ in range(6):
        x.grad = y.grad = None
        dy = ig.ones(3)
        (x + y).backward(dy)
        x.grad.add_(1.0)
        assert np.array_equal(y.grad.numpy(), np.ones(3)) and np.array_equal(dy.numpy(), np.ones(3))


def test_hooks_and_retained_gradients_take_part() -> None:
    x = leaf(3)
    seen: list[Any] = []
    for k in range(10):
        x.grad = None
        y = x * 2.0
        if k % 2:
            y.register_hook(lambda g: seen.append(g) or g * 10.0)  # type: ignore[func-returns-value]
            y.retain_grad()
        (y * y).sum().backward()
        factor = 10.0 if k % 2 else 1.0
        assert np.allclose(x.grad.numpy(), factor * 8 * x.detach().numpy(), rtol=1e-5)
        assert not k % 2 or y.grad is not None
    assert len(seen) == 5
    handle = x.register_hook(lambda g: g + 1.0)
    passes(lambda: (x * 2.0).sum(), [x])
    assert np.array_equal(x.grad.numpy(), np.full(3, 3.0, np.float32))
    handle.remove()


def test_freed_and_retained_tapes() -> None:
    x = leaf(3)
    for k in range(8):
        loss = (x.exp() * x).sum()
        loss.backward(retain_graph=bool(k % 2))
        if k % 2:
            loss.backward()
        with pytest.raises(ig.GradientError, match="freed"):
            loss.backward()


def test_a_saved_tensor_changed_in_place_raises() -> None:
    x, w = leaf(3), ig.ones(3)
    for _ in range(6):
        loss = (x * w).sum()
        loss.backward()
        loss = (x * w).sum()
        w.add_(1.0)
        with pytest.raises(ig.GradientError, match="changed in"):
            loss.backward()


def test_derivatives_of_derivatives_beside_plans() -> None:
    x = leaf(3)
    for _ in range(6):
        (dx,) = ig.autograd.grad((x * x * x).sum(), x, create_graph=True)
        x.grad = None
        dx.sum().backward()
        assert np.allclose(x.grad.numpy(), 6 * x.detach().numpy(), rtol=1e-5)


def test_plans_hold_no_tensors() -> None:
    x = leaf(64)
    for _ in range(6):
        y = x.exp()
        ref = weakref.ref(y)
        (y * y).sum().backward()
        del y
    gc.collect()
    assert plans() and ref() is None
    ref = weakref.ref(x)
    del x
    gc.collect()
    assert ref() is None


def test_large_tapes_are_walked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_backward_plan, "LARGE", 1000)
    x = leaf(300)
    passes(lambda: (x.exp() * x).sum(), [x])
    assert not plans()


def test_structures_are_forgotten_in_time(monkeypatch: pytest.MonkeyPatch) -> None:
    from intaglio import _tape

    monkeypatch.setattr(_tape, "_REMEMBERED", 20)
    for n in range(1, 60):
        x = leaf(2)
        y = x
        for _ in range(n % 7):
            y = y * x
        y.sum().backward()
        assert np.allclose(x.grad.numpy(), (n % 7 + 1) * x.detach().numpy() ** (n % 7), rtol=1e-4)
    assert len(_tape._STRUCTURES) <= 20
