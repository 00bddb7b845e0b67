"""The tape: accumulation, hooks, higher order, deep chains, functions with their own derivative."""

import gc
import sys
import weakref
from typing import Any

import numpy as np
import pytest

import intaglio as ig
from intaglio.autograd import Function, gradcheck, gradgradcheck


def leaf(*shape: int) -> ig.Tensor:
    rng = np.random.default_rng(sum(shape))
    return ig.from_numpy(rng.standard_normal(shape)).requires_grad_()


def test_accumulation_and_zeros() -> None:
    x = leaf(3)
    (x * 2).sum().backward()
    first = x.grad
    (x * 3).sum().backward()
    assert x.grad is first and x.grad is not None
    assert x.grad.tolist() == [5.0, 5.0, 5.0]
    y = leaf(2)
    ig.floor(y).sum().backward()
    assert y.grad is not None and y.grad.tolist() == [0.0, 0.0]


def test_gradients_of_two_leaves_do_not_share_memory() -> None:
    x, y = leaf(3), leaf(3)
    (x + y).backward(ig.ones(3, dtype=ig.float64))
    assert x.grad is not None and y.grad is not None
    x.grad.mul_(5)
    assert y.grad.tolist() == [1.0, 1.0, 1.0]


def test_the_graph_is_freed_unless_retained() -> None:
    x = leaf(2)
    y = (x * x).sum()
    y.backward(retain_graph=True)
    y.backward()
    with pytest.raises(ig.GradientError, match="retain_graph"):
        y.backward()
    with pytest.raises(ig.GradientError, match="does not require grad"):
        ig.ones(1).backward()
    with pytest.raises(ig.GradientError, match="single number"):
        (x * 2).backward()


def test_grad_leaves_grad_alone() -> None:
    x, y = leaf(2), leaf(2)
    (dx,) = ig.autograd.grad((x * x).sum(), x)
    assert dx is not None and x.grad is None
    np.testing.assert_array_equal(dx.numpy(), 2 * x.detach().numpy())
    with pytest.raises(ig.GradientError, match="allow_unused"):
        ig.autograd.grad((x * x).sum(), [x, y])
    found = ig.autograd.grad((x * x).sum(), [x, y], allow_unused=True)
    assert found[1] is None
    h = x * 3
    (dh,) = ig.autograd.grad((h * h).sum(), h)
    assert dh is not None
    np.testing.assert_allclose(dh.numpy(), 6 * x.detach().numpy())


def test_higher_orders() -> None:
    x = ig.tensor(2.0, dtype=ig.float64, requires_grad=True)
    y: Any = x * x * x * x
    for expected in (32.0, 48.0, 48.0, 24.0):
        (y,) = ig.autograd.grad(y, x, create_graph=True)
        assert y.item() == expected


def test_modes() -> None:
    x = leaf(2)
    with ig.no_grad():
        assert not (x * 2).requires_grad
        with ig.enable_grad():
            assert (x * 2).requires_grad
    with ig.inference_mode():
        assert not (x * 2).requires_grad

    @ig.no_grad()
    def quiet() -> ig.Tensor:
        return x * 2

    assert not quiet().requires_grad and (x * 2).requires_grad
    with ig.set_grad_enabled(False):
        assert not ig.is_grad_enabled()
    assert ig.is_grad_enabled()
    assert not (x.detach() * 2).requires_grad


def test_hooks_and_retained_gradients() -> None:
    x = leaf(2)
    y = x * 2
    y.retain_grad()
    seen: list[Any] = []
    handle = y.register_hook(lambda g: seen.append(g.tolist()))
    x.register_hook(lambda g: g * 10)
    (y * 3).sum().backward()
    assert seen == [[3.0, 3.0]]
    assert y.grad is not None and y.grad.tolist() == [3.0, 3.0]
    assert x.grad is not None and x.grad.tolist() == [60.0, 60.0]
    handle.remove()
    done: list[int] = []
    x.register_post_accumulate_grad_hook(lambda t: done.append(t.numel()))
    (x * 1).sum().backward()
    assert done == [2] and len(seen) == 1


def test_deep_chains_need_no_stack() -> None:
    x = ig.ones(1, dtype=ig.float64, requires_grad=True)
    y = x
    before = sys.getrecursionlimit()
    sys.setrecursionlimit(200)
    try:
        for _ in range(10_000):
            y = y + x
        y.sum().backward()
        del y
    finally:
        sys.setrecursionlimit(before)
    assert x.grad is not None and x.grad.item() == 10_001


def test_the_tape_makes_no_cycles() -> None:
    gc.collect()
    gc.disable()
    try:
        x = ig.ones(2, dtype=ig.float64, requires_grad=True)
        y = ig.sqrt(x) * x
        alive = [weakref.ref(y), weakref.ref(y.grad_fn)]
        y.sum().backward()
        del y
        assert [r() for r in alive] == [None, None]
    finally:
        gc.enable()


def test_gradcheck_finds_a_wrong_derivative() -> None:
    class Wrong(Function):
        @staticmethod
        def forward(ctx: Any, x: ig.Tensor) -> ig.Tensor:
            return x * x

        @staticmethod
        def backward(ctx: Any, dy: ig.Tensor) -> ig.Tensor:
            return dy

    with pytest.raises(ig.GradientError, match="differs from finite differences"):
        gradcheck(Wrong.apply, leaf(2))
    assert gradcheck(lambda x: x * x, leaf(2))


def test_functions_with_context() -> None:
    class Scaled(Function):
        @staticmethod
        def forward(ctx: Any, x: ig.Tensor, factor: float, y: ig.Tensor) -> tuple[Any, Any]:
            ctx.factor = factor
            ctx.save_for_backward(x, y)
            return x * factor, x * y

        @staticmethod
        def backward(ctx: Any, da: ig.Tensor, db: ig.Tensor) -> tuple[Any, ...]:
            x, y = ctx.saved_tensors
            assert ctx.needs_input_grad == (True, False, True)
            return da * ctx.factor + db * y, None, db * x

    x, y = leaf(3), leaf(3)
    assert gradcheck(lambda a, b: Scaled.apply(a, 2.5, b), (x, y))
    a, b = Scaled.apply(x, 2.0, y)
    assert repr(a).endswith("grad_fn=<ScaledBackward>)")
    traced = ig.trace(lambda p, q: Scaled.apply(p, 2.0, q)[1], x, y)
    np.testing.assert_array_equal(traced(x, y).numpy(), b.detach().numpy())


def test_custom_vjp_with_options() -> None:
    def forward(x: ig.Tensor, *, power: int) -> ig.Tensor:
        return x**power

    def backward(xs: Any, ys: Any, dys: Any, *, power: int) -> Any:
        return (dys[0] * xs[0] ** (power - 1) * power,)

    cube = ig.custom_vjp(forward, backward)
    assert gradcheck(lambda x: cube(x, power=3), leaf(4))
    assert gradgradcheck(lambda x: cube(x, power=3), leaf(4))
    with pytest.raises(ig.TraceError, match="arguments"):
        hidden = leaf(4)
        ig.custom_vjp(lambda x: x * hidden, lambda xs, ys, dys: (dys[0],))(leaf(4))


def test_double_backward_of_composites() -> None:
    f = ig.nn.functional
    assert gradgradcheck(lambda x: f.softmax(x, -1) * x, leaf(2, 3))
    assert gradcheck(lambda x: ig.logsumexp(x, 1) + x.norm(dim=1), leaf(2, 3))
    assert gradcheck(lambda x, w: (x @ w).max(1).values, (leaf(3, 2), leaf(2, 4)))
    assert gradcheck(lambda x: x[[0, 2, 0]] * x.cumsum(0), leaf(3, 2))
    assert gradcheck(lambda x: ig.sort(x).values * ig.arange(4), leaf(4))


def test_functional_transforms() -> None:
    x = leaf(3).detach()
    f = lambda v: (v * v * v).sum()  # noqa: E731
    np.testing.assert_allclose(ig.func.grad(f)(x).numpy(), 3 * x.numpy() ** 2)
    hessian = ig.func.hessian(f)(x)
    np.testing.assert_allclose(hessian.numpy(), np.diag(6 * x.numpy()))
    g = lambda v: v * v.sum()  # noqa: E731
    expected = np.eye(3) * x.numpy().sum() + x.numpy()[:, None]
    np.testing.assert_allclose(ig.func.jacrev(g)(x).numpy(), expected)
    np.testing.assert_allclose(ig.func.jacfwd(g)(x).numpy(), expected)
    value, change = ig.func.jvp(g, (x,), (ig.ones(3, dtype=ig.float64),))
    np.testing.assert_allclose(change.numpy(), expected.sum(1))
    value, pull = ig.func.vjp(g, x)
    np.testing.assert_allclose(pull(ig.ones(3, dtype=ig.float64))[0].numpy(), expected.sum(0))
    derivative, value = ig.func.grad_and_value(f)(x)
    assert not derivative.requires_grad and not value.requires_grad
    layer = ig.nn.Linear(3, 2)
    weights = {k: v.detach() * 2 for k, v in layer.named_parameters()}
    doubled = ig.func.functional_call(layer, weights, (ig.ones(1, 3),))
    np.testing.assert_allclose(
        doubled.detach().numpy(), 2 * layer(ig.ones(1, 3)).detach().numpy(), rtol=1e-6
    )
