"""Diagonals, windows and looks by steps share memory, take writes and differentiate, also in a
trace."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import intaglio as ig


def numbers(*shape: int, dtype: ig.dtype = ig.float64) -> ig.Tensor:
    count = int(np.prod(shape))
    return ig.arange(count, dtype=dtype).reshape(*shape).clone()


def same(function: Callable[..., Any], *args: ig.Tensor) -> None:
    """The compiled function gives the bits of the eager one."""
    eager, compiled = function(*args), ig.jit(function)(*args)
    pairs = zip(eager, compiled, strict=True) if isinstance(eager, tuple) else [(eager, compiled)]
    for a, b in pairs:
        assert np.array_equal(np.asarray(a), np.asarray(b))


@pytest.mark.parametrize("offset", [-4, -1, 0, 2, 5])
def test_diagonals_are_views(offset: int) -> None:
    x = numbers(3, 4, 2)
    for a, b in ((0, 1), (1, 0), (2, -2)):
        expected = np.diagonal(x.numpy(), offset, a, b)
        made = x.diagonal(offset, a, b)
        np.testing.assert_array_equal(made.numpy(), expected)
        assert np.shares_memory(made.numpy(), x.numpy()) == (expected.size > 0)
    x.permute(1, 0, 2).diagonal(offset).add_(100)
    again = np.arange(24.0).reshape(3, 4, 2).transpose(1, 0, 2)
    where = np.arange(3)[None, :] - np.arange(4)[:, None] == offset
    again[where] += 100
    np.testing.assert_array_equal(x.numpy().transpose(1, 0, 2), again)


def test_windows_and_looks() -> None:
    x = numbers(5, 6)
    windows = x.unfold(1, 3, 2)
    expected = np.lib.stride_tricks.sliding_window_view(x.numpy(), 3, 1)[:, ::2]
    np.testing.assert_array_equal(windows.numpy(), expected)
    assert windows.stride() == (6, 2, 1)
    assert ig.tensor(3.0).unfold(0, 1, 1).tolist() == [3.0]
    part = x[1:, 2:]
    assert part.storage_offset() == 8
    look = part.as_strided((2, 2), (1, 12))
    assert look.tolist() == [[8.0, 20.0], [9.0, 21.0]]
    look.zero_()
    assert x.numpy().reshape(-1)[[8, 20, 9, 21]].tolist() == [0.0] * 4
    for wrong in ((lambda: x.as_strided((2, 2), (30, 1))), (lambda: x.as_strided((2,), (-1,)))):
        with pytest.raises(ig.Error, match="as_strided"):
            wrong()
    with pytest.raises(ig.ShapeError, match="windows of 7"):
        x.unfold(1, 7, 1)


@pytest.mark.parametrize("traced", [False, True])
def test_no_writes_where_elements_share_a_place(traced: bool) -> None:
    def write(x: ig.Tensor) -> ig.Tensor:
        y = x.clone()
        y.unfold(0, 2, 1).mul_(2)
        return y

    with pytest.raises(ig.GradientError, match=r"unfold or as_strided.*clone"):
        (ig.jit(write) if traced else write)(numbers(4))


def test_writes_reach_the_parent_in_a_trace() -> None:
    def write(x: ig.Tensor) -> tuple[ig.Tensor, ig.Tensor]:
        y = x.clone()
        y.diagonal(1).mul_(2)
        y.t()[1:].diagonal().add_(5)
        y.as_strided((2,), (5,), 1).add_(1)
        y.unfold(0, 2, 2).sub_(3)
        y.view(-1).view(ig.int64)[0] = 0
        return y, y.unfold(1, 3, 1).sum(-1)

    same(write, numbers(4, 5))


def test_derivatives() -> None:
    x = ig.randn(4, 5, dtype=ig.float64, requires_grad=True)
    for f in (
        lambda t: t.diagonal(1) ** 2,
        lambda t: t.unfold(0, 2, 1) * t[0, 0],
        lambda t: t.as_strided((3, 2), (2, 3), 1).exp(),
        lambda t: ig.diag_embed(t, 1, 0, 2).sum(1),
        lambda t: ig.diagonal_scatter(t, t.diagonal() ** 2),
        lambda t: ig.select_scatter(t, t[0] * t[1], 0, 2),
        lambda t: ig.slice_scatter(t, t[:, :2] ** 2, 1, 0, 4, 2),
        lambda t: ig.as_strided_scatter(t, t[0, :2] ** 3, (2,), (7,), 2),
    ):
        assert ig.autograd.gradcheck(f, (x,))
        assert ig.autograd.gradgradcheck(f, (x,))


def test_derivatives_through_writes_to_a_diagonal() -> None:
    x = numbers(3, 3).requires_grad_()
    y = x * 1
    y.diagonal().mul_(10)
    (y * y).sum().backward()
    expected = 2 * np.arange(9.0).reshape(3, 3)
    expected[np.diag_indices(3)] *= 100
    assert x.grad is not None
    np.testing.assert_array_equal(x.grad.numpy(), expected)


def test_what_was_overwritten_has_the_derivative_zero() -> None:
    x = numbers(3).requires_grad_()
    for y in (x.clone().zero_(), ig.fill(x, 2.0), x.clone().copy_(ig.ones(3))):
        assert y.requires_grad
        (gradient,) = ig.autograd.grad(y.sum(), [x])
        assert gradient is not None and gradient.tolist() == [0.0] * 3
    value = ig.tensor(2.0, dtype=ig.float64, requires_grad=True)
    ig.fill(x, value).sum().backward()
    assert value.grad is not None and value.grad.item() == 3.0


def test_shape_changed_in_place_keeps_the_memory() -> None:
    x = numbers(2, 3)
    row = x[1]
    y = x.view(2, 3)
    y.t_().unsqueeze_(0)
    assert y.shape == (1, 3, 2) and x.shape == (2, 3)
    y.add_(1)
    assert row.tolist() == [4.0, 5.0, 6.0]

    def turned(a: ig.Tensor) -> ig.Tensor:
        b = a.clone()
        c = b[:, 1:]
        c.t_().mul_(2)
        c[0] = 7.0
        return b

    same(turned, numbers(3, 4))


def test_sizes_changed_in_place() -> None:
    x = ig.arange(6)
    assert x.resize_(2, 2).tolist() == [[0, 1], [2, 3]]
    assert x.resize_(5).tolist() == [0, 1, 2, 3, 0]
    assert x.resize_as_(ig.zeros(1, 3)).tolist() == [[0, 1, 2]]
    with pytest.raises(ig.GradientError, match="requires grad"):
        ig.ones(2, requires_grad=True).resize_(3)


def test_the_same_bits_as_another_dtype_are_a_view() -> None:
    x = ig.ones(2, 3)
    bits = x.view(ig.int32)
    assert bits[0, 0].item() == 0x3F800000
    bits[0] = 0
    assert x.tolist() == [[0.0] * 3, [1.0] * 3]


def test_copies_own_their_memory() -> None:
    x = numbers(3, 4)
    for made in (
        ig.permute_copy(x, 1, 0), ig.view_copy(x, 12), ig.diagonal_copy(x), ig.alias_copy(x),
        ig.narrow_copy(x, 0, 1, 2), ig.t_copy(x), ig.unfold_copy(x, 0, 2, 1),
        ig.expand_copy(x, 2, 3, 4),
        *ig.unbind_copy(x), *ig.split_copy(x, 2), ig.slice_copy(x, 1, 1, 3), ig.squeeze_copy(x),
        ig.unsqueeze_copy(x, 0), ig.select_copy(x, 0, 1), ig.as_strided_copy(x, (2,), (1,)),
    ):  # fmt: skip
        assert not np.shares_memory(made.numpy(), x.numpy())
    parts = (ig.empty(1, 4, dtype=ig.float64), ig.empty(2, 4, dtype=ig.float64))
    ig.split_with_sizes_copy(x, (1, 2), out=parts)
    np.testing.assert_array_equal(ig.cat(parts).numpy(), x.numpy())


@pytest.mark.parametrize("traced", [False, True])
def test_a_write_that_reads_what_it_overwrites_has_its_derivative(traced: bool) -> None:
    def slope(x: ig.Tensor) -> ig.Tensor:
        y = x * 1
        y.sin_().mul_(y.detach().clone())
        y[0].pow_(3)
        (gradient,) = ig.autograd.grad(y.sum(), [x])
        assert gradient is not None
        return gradient

    x = numbers(2, 3).requires_grad_()
    made = (ig.jit(slope) if traced else slope)(x)
    v = np.arange(6.0).reshape(2, 3)
    first = np.sin(v) * np.cos(v)
    expected = first * np.where(np.arange(2)[:, None] == 0, 3 * np.sin(v) ** 4, 1)
    np.testing.assert_allclose(made.numpy(), expected, rtol=1e-12, atol=1e-15)


def test_a_change_of_what_was_broadcast_is_noticed() -> None:
    scale, weight = ig.ones(3), ig.ones(2, 3, requires_grad=True)
    loss = (scale * weight).sum()
    scale.add_(1)
    with pytest.raises(ig.GradientError, match="changed in place"):
        loss.backward()
