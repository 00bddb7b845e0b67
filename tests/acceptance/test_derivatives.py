"""Derivatives of any order through eager, compiled and traced code; loops that train; transforms of
compiled functions."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import intaglio as ig
import intaglio.nn.functional as F
from intaglio import nn, optim
from intaglio.autograd import gradcheck
from tests.acceptance.models import MLP, Task, bits, codes, differing, numbers, save


def energy(x: ig.Tensor) -> ig.Tensor:
    return (ig.softmax(ig.tanh(x @ x.mT), 1) * F.gelu(x @ x.mT)).sum() + F.layer_norm(
        x, (x.shape[1],)
    ).pow(3).sum()


def penalty(x: ig.Tensor) -> ig.Tensor:
    """The squared norm of the derivative: its own derivative is of second order."""
    (d,) = ig.autograd.grad(energy(x), x, create_graph=True)
    return (d * d).sum()


def test_second_order_eagerly_compiled_and_traced(tmp_path: Path) -> None:
    data = numbers((4, 6), dtype=np.float64) / 2
    x = ig.from_numpy(data).requires_grad_()
    assert gradcheck(penalty, (x,))
    (want,) = ig.autograd.grad(penalty(x), x)
    fast = ig.jit(penalty)
    assert bits(fast(x)) == bits(penalty(x))
    assert bits(ig.autograd.grad(fast(x), x)[0]) == bits(want)
    of_jit = ig.jit(energy)
    (first,) = ig.autograd.grad(of_jit(x), x, create_graph=True)
    (second,) = ig.autograd.grad((first * first).sum(), x)
    np.testing.assert_allclose(second.numpy(), want.numpy(), rtol=1e-12, atol=1e-12)
    hessian_dot = ig.func.grad(lambda x: (ig.func.grad(energy)(x) ** 2).sum())
    assert np.allclose(hessian_dot(ig.from_numpy(data)).numpy(), want.numpy(), rtol=1e-12)
    n = ig.Dim("n", max=64)
    model = save(ig.trace(hessian_dot, ig.spec((n, 6), ig.float64)), tmp_path)
    assert bits(model(data)) == bits(hessian_dot(ig.from_numpy(data)))
    assert bits(ig.jit(hessian_dot)(ig.from_numpy(data))) == bits(model(data))


def test_third_order() -> None:
    def f(x: ig.Tensor) -> ig.Tensor:
        return (ig.sin(x) * ig.exp(x / 2)).sum()

    third = f
    for _ in range(3):
        third = (lambda g: lambda x: ig.func.grad(lambda y: g(y).sum())(x))(third)
    x = numbers((5,), dtype=np.float64)
    # d3/dx3 of Im exp((1/2 + i) x)
    want = ((0.5 + 1j) ** 3 * np.exp((0.5 + 1j) * x)).imag
    for g in (third, ig.jit(third)):
        np.testing.assert_allclose(g(ig.from_numpy(x)).numpy(), want, rtol=1e-10)


def test_transforms_of_a_compiled_function() -> None:
    fast, x = ig.jit(energy), ig.from_numpy(numbers((3, 4), dtype=np.float64))
    v = ig.from_numpy(numbers((3, 4), 1, np.float64))
    assert bits(ig.func.grad(fast)(x)) == bits(ig.func.grad(energy)(x))
    y, pull = ig.func.vjp(fast, x)
    want, pull_eager = ig.func.vjp(energy, x)
    assert bits(y) == bits(want)
    assert bits(pull(ig.ones(()).double())[0]) == bits(pull_eager(ig.ones(()).double())[0])
    for transform in (ig.func.jacrev, ig.func.hessian):
        made, eager = transform(fast)(x).numpy(), transform(energy)(x).numpy()
        np.testing.assert_allclose(made, eager, rtol=1e-11, atol=1e-11)
    tangent = ig.func.jvp(fast, (x,), (v,))[1].numpy()
    np.testing.assert_allclose(tangent, (ig.func.grad(energy)(x) * v).sum().numpy(), rtol=1e-11)
    compiled = ig.jit(ig.func.hessian(energy))
    np.testing.assert_allclose(
        compiled(x).numpy(), ig.func.hessian(energy)(x).numpy(), rtol=1e-11, atol=1e-11
    )


def test_a_compiled_loss_trains_eagerly() -> None:
    batches = [(numbers((8, 16), k), codes((8,), 5, k)) for k in range(3)]
    kept: list[dict[str, Any]] = []
    for compiled in (False, True):
        task = Task(MLP, lambda p: optim.Adam(p, lr=0.01))
        loss_of = ig.jit(task.loss) if compiled else task.loss
        for x, t in batches:
            task.optimizer.zero_grad()
            loss_of(ig.from_numpy(x), ig.from_numpy(t)).backward()
            task.optimizer.step()
        kept.append(task.values())
    assert not differing(*kept)


class Recurrent(nn.Module):
    """A gated cell scanned over time; scores from the last state."""

    def __init__(self) -> None:
        super().__init__()
        self.cell, self.out = nn.Linear(3 + 6, 12), nn.Linear(6, 4)

    def forward(self, x: ig.Tensor) -> ig.Tensor:
        def step(h: ig.Tensor, x: ig.Tensor) -> tuple[ig.Tensor, ig.Tensor]:
            gate, value = self.cell(ig.cat([x, h], 1)).chunk(2, 1)
            h = h * ig.sigmoid(gate) + ig.tanh(value) * (1 - ig.sigmoid(gate))
            return h, h.mean(1)

        last, means = ig.scan(step, ig.zeros(x.shape[0], 6), x.transpose(0, 1))
        return self.out(last) + means.sum(0).unsqueeze(1)


def test_a_scanned_loop_trains_with_the_same_bits(tmp_path: Path) -> None:
    batches = [(numbers((4, 5, 3), k), codes((4,), 4, k)) for k in range(3)]
    tasks = [Task(Recurrent, lambda p: optim.Adam(p, lr=0.05)) for _ in range(3)]
    eager = [bits(tasks[0].train_step(*map(ig.from_numpy, b))) for b in batches]
    assert len(set(eager)) == 3
    fast = ig.jit(tasks[1].train_step)
    assert [bits(fast(*map(ig.from_numpy, b))) for b in batches] == eager
    n, t = ig.Dim("n", max=64), ig.Dim("t", max=64)
    specs = ig.spec((n, t, 3)), ig.spec((n,), ig.int64)
    model = save(ig.Program().trace("train_step", tasks[2].train_step, *specs), tmp_path)
    assert [bits(model.train_step(*b)) for b in batches] == eager
    assert not differing(tasks[1].values(), tasks[0].values())
    assert not differing(model.state_dict(), tasks[0].values())


def test_a_scanned_loop_is_its_unrolled_form() -> None:
    w = ig.from_numpy(numbers((3, 3), dtype=np.float64) / 2)
    x = ig.from_numpy(numbers((6, 2, 3), 1, np.float64)).requires_grad_()

    def looped(w: ig.Tensor, x: ig.Tensor) -> ig.Tensor:
        last, ys = ig.scan(lambda h, x: (ig.tanh(h @ w + x), h), ig.zeros(2, 3).double(), x)
        return (last * ys).sum()

    def unrolled(w: ig.Tensor, x: ig.Tensor) -> ig.Tensor:
        h, ys = ig.zeros(2, 3).double(), []
        for k in range(6):
            ys.append(h)
            h = ig.tanh(h @ w + x[k])
        return (h * ig.stack(ys)).sum()

    assert gradcheck(looped, (w.requires_grad_(), x))
    for f in (looped, ig.jit(looped), ig.jit(unrolled)):
        assert np.isclose(f(w, x).item(), unrolled(w, x).item(), rtol=1e-13)
        for mine, theirs in zip(
            ig.autograd.grad(f(w, x), (w, x)), ig.autograd.grad(unrolled(w, x), (w, x)), strict=True
        ):
            np.testing.assert_allclose(mine.numpy(), theirs.numpy(), rtol=1e-11, atol=1e-12)


def test_gradients_accumulate_alike(tmp_path: Path) -> None:
    def accumulate(task: Task) -> Any:
        def step(x: ig.Tensor, t: ig.Tensor) -> ig.Tensor:
            loss = task.loss(x, t)
            loss.backward()
            return loss

        return step

    tasks = [Task(MLP, lambda p: optim.SGD(p, lr=0.1)) for _ in range(3)]
    batches = [(numbers((8, 16), k), codes((8,), 5, k)) for k in range(3)]
    specs = ig.spec((8, 16)), ig.spec((8,), ig.int64)
    model = save(ig.Program().trace("step", accumulate(tasks[2]), *specs), tmp_path)
    fast, eager = ig.jit(accumulate(tasks[1])), accumulate(tasks[0])
    for x, t in batches:
        eager(ig.from_numpy(x), ig.from_numpy(t))
        fast(ig.from_numpy(x), ig.from_numpy(t))
        model.step(x, t)
    names = [n for n in tasks[0].values() if n.endswith(".grad")]
    assert len(names) == 4
    assert not differing(tasks[0].values(), tasks[1].values())
    assert not differing({n: tasks[0].values()[n] for n in names}, model.state_dict())
    assert set(names) <= set(model.state_dict())


@pytest.mark.parametrize("compiled", [False, True])
def test_written_twice_or_freed_says_so(compiled: bool) -> None:
    f = ig.jit(energy) if compiled else energy
    x = ig.from_numpy(numbers((3, 4))).requires_grad_()
    y = f(x)
    y.backward()
    with pytest.raises(ig.GradientError, match="retain_graph"):
        y.backward()
