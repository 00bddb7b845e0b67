"""Composites that run as one op eagerly: the bits of their single ops, compiled or not, the
derivatives too, and the errors of the single ops."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest

import intaglio as ig
from intaglio import _composite
from intaglio.nn import functional as F

RNG = np.random.default_rng(3)


def data(*shape: int) -> Any:
    return ig.tensor(RNG.standard_normal(shape).astype(np.float32))


CASES: dict[str, tuple[Callable[..., Any], list[Any]]] = {
    "linear": (F.linear, [data(6, 4), data(5, 4), data(5)]),
    "linear of batches": (F.linear, [data(2, 3, 4), data(5, 4)]),
    "linear of squares": (F.linear, [data(4, 4), data(4, 4), data(4)]),
    "relu": (ig.relu, [ig.tensor([-1.0, -0.0, 0.0, 2.0, float("nan"), float("inf")])]),
    "softmax": (lambda x: F.softmax(x, 1), [data(5, 7)]),
    "log_softmax": (lambda x: F.log_softmax(x, dim=0), [data(5, 7)]),
    "layer_norm": (lambda x, w, b: F.layer_norm(x, (7,), w, b), [data(5, 7), data(7), data(7)]),
    "layer_norm of planes": (lambda x: F.layer_norm(x, (3, 4)), [data(2, 3, 4)]),
    "gelu": (F.gelu, [data(5, 7)]),
    "gelu by tanh": (lambda x: F.gelu(x, approximate="tanh"), [data(5, 7)]),
    "silu": (F.silu, [data(5, 7)]),
    "mse_loss": (F.mse_loss, [data(5, 7), data(5, 7)]),
    "cross_entropy": (
        lambda x: F.cross_entropy(x, ig.tensor([0, 2, -100, 1, 6])), [data(5, 7)],
    ),
    "weighted cross_entropy": (
        lambda x, w: F.cross_entropy(x, ig.tensor([0, 2, 1]), w, reduction="sum"),
        [data(3, 4), data(4).abs()],
    ),
    "smoothed cross_entropy": (
        lambda x: F.cross_entropy(x, ig.tensor([0, 2, 1]), label_smoothing=0.1), [data(3, 4)],
    ),
}  # fmt: skip


@pytest.fixture(autouse=True)
def soon(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Compiled after the second call."""
    monkeypatch.setattr(_composite, "OFTEN", 1)
    _composite._RULES.clear()
    yield
    _composite._RULES.clear()


def rules() -> list[Any]:
    return [rule for rule in _composite._RULES.values() if rule is not None]


def outcome(function: Callable[..., Any], operands: list[Any], taped: bool) -> list[bytes]:
    """The bytes of the result and of all derivatives."""
    xs = [x.clone().requires_grad_(taped and x.dtype.is_floating_point) for x in operands]
    y = function(*xs)
    found = [y]
    if taped:
        y.backward(ig.tensor(np.linspace(-1, 2, y.numel(), dtype=np.float32)).reshape(y.shape))
        found += [x.grad for x in xs if x.requires_grad]
    return [t.detach().contiguous().numpy().tobytes() for t in found]


@pytest.mark.parametrize("name", CASES)
def test_as_one_gives_the_bits_of_the_single_ops(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    function, operands = CASES[name]
    with monkeypatch.context() as alone:
        alone.setattr(_composite, "_run", lambda *_: None)
        expected = outcome(function, operands, True)
    assert not rules()
    for _ in range(4):
        assert outcome(function, operands, True) == expected
        assert outcome(function, operands, False) == expected[:1]
    assert rules()
    jitted = ig.jit(function)
    assert outcome(jitted, operands, False) == expected[:1]


def test_one_kernel_serves_all_sizes() -> None:
    from intaglio.runtime import eager_calls

    for n in (3, 5, 9, 130):
        x = data(n, 2 * n)
        for _ in range(3):
            ig.softmax(x, 1)
    keys = [k for k in eager_calls._KERNELS if isinstance(k, tuple) and k[0] == "composite"]
    bodies = [
        k for k in keys if k[1].__name__ == "softmax" and k[2][0] == ((int, 1),) and len(k) == 4
    ]
    assert len(bodies) == 1


def test_one_entry_on_the_tape() -> None:
    x = data(3, 4).requires_grad_()
    y = F.linear(x, data(5, 4), data(5))
    assert y.grad_fn is not None and y.grad_fn.op == "linear"
    assert y.grad_fn.next_functions[0][0].variable is x


def test_the_result_of_relu_may_replace_its_operand() -> None:
    x = data(8).requires_grad_()
    y = x * 1.0
    z = F.relu(y, inplace=True)
    z.sum().backward()
    assert np.array_equal(x.grad.numpy(), (x.detach().numpy() > 0).astype(np.float32))


def test_derivatives_of_derivatives() -> None:
    for function in (F.gelu, ig.relu, lambda x: F.softmax(x, 0), lambda x: F.mse_loss(x, x * 2.0)):
        x = ig.tensor(RNG.standard_normal(5)).requires_grad_()
        assert ig.autograd.gradcheck(function, (x,))
        assert ig.autograd.gradgradcheck(function, (x,))


def test_errors_are_those_of_the_single_ops() -> None:
    for _ in range(4):
        with pytest.raises(ig.ShapeError, match="linear: the input's last size 4 is not"):
            F.linear(data(2, 4), data(3, 5))
        with pytest.raises(ig.Error, match=r"test_eager_composites\.py"):
            F.cross_entropy(data(2, 4), ig.tensor([1, 7]))
    x = data(2, 4)
    for target in ([1, 2], [0, 3], [1, 1]):
        F.cross_entropy(x, ig.tensor(target))
    with pytest.raises(ig.Error, match=r"test_eager_composites\.py"):
        F.cross_entropy(x, ig.tensor([1, 9]))


def test_operands_that_are_views_are_brought_up_to_date() -> None:
    base = data(4, 6)
    view = base[1:3]
    for k in range(4):
        base.fill_(float(k))
        assert np.array_equal(ig.relu(view).numpy(), np.full((2, 6), k, np.float32))


def test_numbers_of_other_types_are_other_options() -> None:
    x = data(3, 4)
    ones = [F.layer_norm(x, 4, eps=eps) for eps in (1, 1.0, 1e-5)]
    assert np.array_equal(ones[0].numpy(), ones[1].numpy())
    assert not np.array_equal(ones[0].numpy(), ones[2].numpy())


def test_the_path_of_modules_stays_in_messages() -> None:
    x = data(3, 4).requires_grad_()
    w = data(5, 4)
    loss = F.linear(x, w).sum()
    w.add_(1.0)
    with pytest.raises(ig.GradientError, match=r"linear \(test_eager_composites\.py:\d+"):
        loss.backward()
