"""`autograd.Function`, hooks of entries and of several tensors, inference tensors, checks."""

from __future__ import annotations

import gc
import weakref
from typing import Any

import numpy as np
import pytest

import intaglio as ig
from intaglio.autograd import Function, gradcheck, gradgradcheck, graph
from intaglio.autograd.function import once_differentiable


def leaf(*shape: int) -> ig.Tensor:
    return ig.ones(*shape, dtype=ig.float64, requires_grad=True)


class Exp(Function):
    @staticmethod
    def forward(x: ig.Tensor) -> ig.Tensor:
        return x.exp()

    @staticmethod
    def setup_context(ctx: Any, inputs: Any, output: Any) -> None:
        ctx.save_for_backward(output)

    @staticmethod
    def backward(ctx: Any, dy: ig.Tensor) -> ig.Tensor:
        return dy * ctx.saved_tensors[0]


def of(forward: Any, backward: Any) -> Any:
    """A Function with these methods; its apply."""
    methods = {"forward": staticmethod(forward), "backward": staticmethod(backward)}
    return type("Made", (Function,), methods).apply


def test_saved_results_are_connected_and_make_no_cycle() -> None:
    x = ig.tensor([0.3, -0.2], dtype=ig.float64, requires_grad=True)
    assert gradcheck(Exp.apply, x) and gradgradcheck(Exp.apply, x)
    third = Exp.apply(x).sum()
    for _ in range(3):
        (third,) = ig.autograd.grad(third.sum(), x, create_graph=True)
    np.testing.assert_allclose(third.detach().numpy(), np.exp([0.3, -0.2]), rtol=1e-15)
    second = ig.func.grad(lambda v: ig.func.grad(lambda u: Exp.apply(u).sum())(v).sum())
    data = x.detach()
    np.testing.assert_array_equal(ig.jit(second)(data).numpy(), second(data).numpy())
    gc.collect()
    gc.disable()
    try:
        y = Exp.apply(x)
        alive = weakref.ref(y.grad_fn)
        del y
        assert alive() is None
    finally:
        gc.enable()


def test_what_backward_gives_is_checked() -> None:
    double = lambda ctx, x, k=2: x * k  # noqa: E731
    with pytest.raises(ig.GradientError, match="gave 2 derivatives for 1 arguments"):
        of(double, lambda ctx, d: (d, d))(leaf(2)).sum().backward()
    with pytest.raises(ig.GradientError, match="argument 1, which was no tensor"):
        of(double, lambda ctx, d: (d, d))(leaf(2), 2).sum().backward()
    with pytest.raises(ig.GradientError, match=r"f32\[3\] as the derivative of argument 0"):
        of(double, lambda ctx, d: ig.ones(3))(leaf(2)).sum().backward()
    x = leaf(2)
    of(double, lambda ctx, d: (ig.ones(4, 2), None, None))(x, 2).sum().backward()
    assert x.grad is not None and x.grad.tolist() == [4, 4] and x.grad.dtype is ig.float64


def test_freed_and_changed_saved_tensors() -> None:
    def forward(ctx: Any, x: ig.Tensor) -> ig.Tensor:
        ctx.save_for_backward(x)
        return x * 2

    apply = of(forward, lambda ctx, d: d * ctx.saved_tensors[0])
    y = apply(leaf(2)).sum()
    y.backward()
    with pytest.raises(RuntimeError, match="retain_graph"):
        y.backward()
    h = leaf(2) * 1
    y = apply(h)
    h.add_(1)
    with pytest.raises(RuntimeError, match="changed in place"):
        y.sum().backward()


def test_dirty_tensors_are_given_back() -> None:
    def forward(ctx: Any, x: ig.Tensor) -> ig.Tensor:
        x.mul_(2)
        ctx.mark_dirty(x)
        return x

    apply = of(forward, lambda ctx, d: d * 7)
    x = leaf(4)
    whole = x * 1
    part = whole[:2]
    assert apply(part) is part
    whole.sum().backward()
    assert x.grad is not None and x.grad.tolist() == [7, 7, 1, 1]
    with pytest.raises(RuntimeError, match="leaf"):
        apply(leaf(2))


def test_other_results() -> None:
    def forward(ctx: Any, x: ig.Tensor) -> Any:
        extra = x * 3
        ctx.mark_non_differentiable(extra)
        return x * 2, extra, x.argmax(), "text"

    seen = []

    def backward(ctx: Any, *dys: Any) -> Any:
        seen.extend(dys)
        return dys[0] * 2

    x = leaf(2)
    y, extra, position, text = of(forward, backward)(x)
    assert y.requires_grad and not extra.requires_grad and not position.requires_grad
    assert text == "text" and type(y.grad_fn).__name__ == "MadeBackward"
    y.sum().backward()
    assert [d is None for d in seen] == [False, False, False, True]
    assert x.grad is not None and x.grad.tolist() == [2, 2]


def test_once_differentiable() -> None:
    apply = of(lambda ctx, x: x * 2, once_differentiable(lambda ctx, d: d * 2))
    x = leaf(2)
    (d,) = ig.autograd.grad((apply(x) ** 2).sum(), x, create_graph=True)
    with pytest.raises(RuntimeError, match="once_differentiable"):
        d.sum().backward()


def test_hooks_of_entries_and_groups() -> None:
    x = leaf(2)
    y, z, seen = x * 2, x * 3, []
    names = [y.grad_fn.name(), type(y.grad_fn).__name__]
    assert names == ["MulBackward0", "MulBackward0"]
    assert y.grad_fn.next_functions[0][0].variable is x and x.output_nr == 0
    y.grad_fn.register_prehook(lambda dys: (dys[0] * 10,))
    y.grad_fn.register_hook(lambda dxs, dys: seen.append((dxs[0].tolist(), dys[0].tolist())))
    group: list[Any] = []
    handle = graph.register_multi_grad_hook((y, z, x), lambda ds: group.append(len(ds)))
    first: list[Any] = []
    graph.register_multi_grad_hook((y, z), lambda d: first.append(d.tolist()), mode="any")
    (y + z).sum().backward()
    assert seen == [([20, 20], [10, 10])] and group == [3] and len(first) == 1
    handle.remove()
    (x * 2).sum().backward()
    assert group == [3]
    order: list[str] = []
    w = leaf(2)
    w.register_post_accumulate_grad_hook(lambda t: order.append("after"))
    w.register_hook(lambda d: order.append("before"))
    (w * 2).sum().backward()
    assert order == ["before", "after"]
    with pytest.raises(ig.Error, match="not supported"):
        graph.saved_tensors_hooks(id, id)


def test_errors_are_runtime_errors() -> None:
    x = leaf(2)
    with pytest.raises(RuntimeError, match="shapes must be equal"):
        (x * 2).backward(ig.ones(3))
    with pytest.raises(RuntimeError, match="does not fit"):
        x.grad = ig.ones(3)
    with pytest.raises(RuntimeError, match="only floats"):
        ig.tensor([1], requires_grad=True)
    with pytest.raises(RuntimeError, match="inputs is empty"):
        x.sum().backward(inputs=[])
    with pytest.raises(RuntimeError, match="NaN"), ig.autograd.detect_anomaly():
        (ig.zeros(2, requires_grad=True).sqrt() * 0).sum().backward()
    rows = ig.stack([ig.ones(2), ig.ones(2) * 3]).double()
    (d,) = ig.autograd.grad(x * 2, x, rows, is_grads_batched=True)
    assert d is not None and d.tolist() == [[2, 2], [6, 6]]


def test_inference_tensors() -> None:
    x = leaf(2)
    with ig.inference_mode():
        made, view = ig.ones(2).double(), x[:1]
        with ig.enable_grad():
            assert not (x * 2).requires_grad
    assert made.is_inference() and made[0].is_inference() and made.detach().is_inference()
    assert not view.is_inference() and not made.clone().is_inference()
    assert not (made * 2).is_inference() and not ig.ones(2).is_inference()
    assert (made + x).requires_grad
    with pytest.raises(RuntimeError, match="cannot be saved"):
        made * x
    with pytest.raises(RuntimeError, match="not to be written to"):
        made.add_(1)
    with pytest.raises(RuntimeError, match="clone"):
        made.requires_grad_()
    assert (made.clone() * x).requires_grad

    @ig.inference_mode
    def quiet(t: ig.Tensor) -> ig.Tensor:
        return t * 2

    assert quiet(x).is_inference() and (x * x).requires_grad


def test_options_of_gradcheck() -> None:
    x = ig.tensor([[0.3, -0.2]], dtype=ig.float64, requires_grad=True)
    f = lambda t: (ig.tanh(t @ t.mT), t.exp())  # noqa: E731
    assert gradcheck(f, x, check_forward_ad=True) and gradcheck(f, x, fast_mode=True)
    assert gradgradcheck(f, x, check_fwd_over_rev=True, gen_non_contig_grad_outputs=True)
    wrong = of(lambda ctx, t: t * 2, lambda ctx, d: d * 3)
    for options in ({}, {"fast_mode": True}, {"check_forward_ad": True}):
        assert not gradcheck(wrong, x, raise_exception=False, **options)
    noisy = of(lambda ctx, t: t * 2, lambda ctx, d: d * 2 + 1e-9 * ig.randn(1).double())
    assert not gradcheck(noisy, x, raise_exception=False)
    assert gradcheck(noisy, x, nondet_tol=1e-6)
    with pytest.raises(ValueError, match="require grad"):
        gradcheck(f, x.detach())
    with pytest.raises(ValueError, match="vmap"):
        gradcheck(f, x, check_batched_grad=True)
