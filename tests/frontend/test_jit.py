"""jit: compiled once per signature, traced again when what it rested on changes, differentiable."""

from typing import Any

import numpy as np
import pytest

import intaglio as ig
from intaglio import nn


def same(a: ig.Tensor, b: ig.Tensor) -> bool:
    return a.detach().numpy().tobytes() == b.detach().numpy().tobytes()


def test_one_compilation_per_signature() -> None:
    f = ig.jit(lambda x, k: x * k)
    assert f(ig.ones(2), 3).tolist() == [3.0, 3.0]
    assert f(ig.ones(2) * 2, 3).tolist() == [6.0, 6.0]
    assert f.compilations == 1
    assert f(ig.ones(3), 3).tolist() == [3.0, 3.0, 3.0]
    assert f(ig.ones(2), 4).tolist() == [4.0, 4.0]
    assert f.compilations == 3
    assert "first call" in f.explain() and "argument types are new" in f.explain()


FACTOR = 2.0


def test_a_changed_plain_value_compiles_again_and_says_why() -> None:
    global FACTOR
    offset = 1.0

    def f(x: ig.Tensor) -> ig.Tensor:
        return x * FACTOR + offset

    fast = ig.jit(f)
    x = ig.ones(2)
    assert fast(x).tolist() == [3.0, 3.0]
    offset = 2.0
    assert fast(x).tolist() == [4.0, 4.0]
    assert "the closure's 'offset' has changed" in fast.explain()
    FACTOR = 3.0
    assert fast(x).tolist() == [5.0, 5.0]
    assert "the global 'FACTOR' has changed" in fast.explain()
    FACTOR = 2.0
    assert fast(x).tolist() == [4.0, 4.0]
    assert fast.compilations == 3, "an earlier form fits again"


def test_training_flags_attributes_and_replaced_tensors() -> None:
    class Noisy(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.scale = 2.0
            self.weight = ig.Parameter(ig.ones(2))

        def forward(self, x: ig.Tensor) -> Any:
            return x * self.weight * (self.scale if self.training else 1.0)

    model = Noisy()
    fast = ig.jit(model)
    x = ig.ones(2)
    with ig.no_grad():
        assert fast(x).tolist() == [2.0, 2.0]
        model.eval()
        assert fast(x).tolist() == [1.0, 1.0]
        assert "Noisy.training has changed" in fast.explain()
        model.train().scale = 5.0
        assert fast(x).tolist() == [5.0, 5.0]
        model.weight.mul_(2)
        assert fast(x).tolist() == [10.0, 10.0]
        assert fast.compilations == 3
        model.weight = ig.Parameter(ig.zeros(2))
        assert fast(x).tolist() == [0.0, 0.0]


def test_derivatives_of_a_compiled_call() -> None:
    layer = nn.Linear(3, 2)

    def f(x: ig.Tensor, y: ig.Tensor) -> Any:
        return ig.tanh(layer(x)) * y, x.sum()

    fast = ig.jit(f)
    x, y = ig.randn(4, 3, requires_grad=True), ig.randn(4, 2)
    found = []
    for function in (f, fast):
        a, b = function(x, y)
        (a.sum() + 2 * b).backward()
        assert layer.weight.grad is not None and x.grad is not None
        found.append([layer.weight.grad, layer.bias.grad, x.grad, a, b])
        layer.zero_grad()
        x.grad = None
    assert all(same(p, q) for p, q in zip(*found, strict=True))
    assert not fast(x.detach(), y)[1].requires_grad
    out = fast(x, y)[0].sum()
    out.backward()
    with pytest.raises(ig.GradientError, match="retain_graph"):
        out.backward()


def test_higher_derivatives_of_a_compiled_call() -> None:
    cube = ig.jit(lambda x: x * x * x)
    x = ig.tensor([2.0], dtype=ig.float64, requires_grad=True)
    (first,) = ig.autograd.grad(cube(x).sum(), x, create_graph=True)
    (second,) = ig.autograd.grad(first.sum(), x)
    assert first is not None and second is not None
    assert (first.item(), second.item()) == (12.0, 12.0)


def test_state_is_written_in_place_and_untouched_by_a_failure() -> None:
    table = ig.zeros(3)

    def f(index: ig.Tensor) -> ig.Tensor:
        table.add_(1)
        return table[index] * 1

    fast = ig.jit(f)
    before = table.numpy()
    assert fast(ig.tensor([0, 2])).tolist() == [1.0, 1.0]
    assert table.numpy() is before or np.shares_memory(table.numpy(), before)
    with pytest.raises(ig.IndexError, match="out of range"):
        fast(ig.tensor([0, 3]))
    assert table.tolist() == [1.0, 1.0, 1.0]


def test_disabled_and_nested(monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[bool] = []

    def f(x: ig.Tensor) -> ig.Tensor:
        calls.append(ig.is_tracing())
        return x + 1

    ig.jit(f, disable=True)(ig.ones(1))
    assert calls == [False]
    fast = ig.jit(f)
    monkeypatch.setenv("INTAGLIO_EAGER", "1")
    fast(ig.ones(1))
    assert calls == [False, False] and fast.compilations == 0
    monkeypatch.delenv("INTAGLIO_EAGER")
    assert ig.jit(lambda x: fast(x) * 2)(ig.ones(1)).item() == 4.0
    assert calls[-1] is True


def test_as_a_decorator_of_methods() -> None:
    class Holder:
        def __init__(self) -> None:
            self.bias = ig.ones(2)

        @ig.jit
        def add(self, x: ig.Tensor) -> ig.Tensor:
            return x + self.bias

    assert Holder().add(ig.ones(2)).tolist() == [2.0, 2.0]


def test_results_come_in_the_classes_that_the_function_gave_them() -> None:
    def extremes(x: ig.Tensor) -> dict[str, object]:
        return {"max": x.max(1), "none": None, "svd": [x.sort(0)], "sum": x.sum()}

    x = ig.randn(3, 4)
    fast, eager = ig.jit(extremes)(x), extremes(x)
    assert fast["none"] is None
    assert np.array_equal(fast["max"].values.numpy(), eager["max"].values.numpy())
    assert type(fast["svd"][0]) is type(eager["svd"][0])
    assert np.array_equal(fast["svd"][0].indices.numpy(), eager["svd"][0].indices.numpy())
    assert fast["sum"].item() == eager["sum"].item()


def test_results_whose_derivative_was_spent_inside_have_none() -> None:
    def value_and_slope(x: ig.Tensor) -> tuple[ig.Tensor, ig.Tensor]:
        y = (x**3).sum()
        (slope,) = ig.autograd.grad(y, x)
        return y * 2, slope

    x = ig.tensor([1.0, 2.0], requires_grad=True)
    value, slope = ig.jit(value_and_slope)(x)
    assert value.item() == 18 and slope.tolist() == [3, 12]
    for function in (value_and_slope, ig.jit(value_and_slope)):
        with pytest.raises(ig.GradientError):
            function(x)[0].backward()
