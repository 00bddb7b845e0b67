"""What random programs found wrong: each was once a result that differed from torch in silence."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pytest

import intaglio as ig


@pytest.mark.parametrize(
    "place",
    [
        lambda v, x: v.copy_(x),
        lambda v, x: v.__setitem__(slice(None), x),
        lambda v, x: v.__setitem__(..., x),
        lambda v, x: v[:2].copy_(x),
    ],
)
@pytest.mark.parametrize("compiled", [False, True])
def test_a_leaf_written_over_a_tensor_keeps_its_derivative(
    place: Callable[..., object], compiled: bool
) -> None:
    def f(x: ig.Tensor) -> ig.Tensor:
        v = x * 2
        place(v, x)
        return (v * ig.tensor([3.0, 5.0])).sum() + (x * 2).sum()

    def derivative(x: ig.Tensor) -> ig.Tensor:
        return ig.autograd.grad(f(x), [x])[0]

    x = ig.tensor([1.0, -2.0], requires_grad=True)
    run = ig.jit(derivative) if compiled else derivative
    assert run(x).tolist() == [5.0, 7.0]
    assert x.is_leaf


def test_a_row_that_is_a_leaf_keeps_its_derivative() -> None:
    x = ig.tensor([1.0, -2.0], requires_grad=True)
    table = ig.zeros(3, 2)
    table[1] = x
    (table * 4).sum().backward()
    assert x.grad is not None and x.grad.tolist() == [4.0, 4.0]


def test_repeated_once_is_a_copy() -> None:
    for repeat in (
        lambda x: x.repeat_interleave(1, 0),
        lambda x: x.repeat(1, 1),
        lambda x: ig.tile(x, (1, 1)),
    ):
        x = ig.ones(2, 2)
        repeat(x).add_(1)
        assert x.tolist() == [[1, 1], [1, 1]]
    wide = ig.tile(ig.tensor(2.0), (2, 1))
    assert wide.add_(1).tolist() == [[3], [3]]
    assert ig.tensor(2.0).argmin(0).fill_(1).item() == 1


@pytest.mark.parametrize("compiled", [False, True])
@pytest.mark.parametrize(
    "place",
    [
        lambda x, y: x.select_scatter(y.select(0, 0), 0, 0),
        lambda x, y: x.slice_scatter(y, 0, 0, 1),
        lambda x, y: x.slice_scatter(y),
        lambda x, y: x.diagonal_scatter(y.diagonal()),
        lambda x, y: x.as_strided_scatter(y, (1, 2), (2, 1)),
        lambda x, y: x.narrow(1, 0, 0).diagonal_scatter(y.narrow(1, 0, 0).diagonal()),
    ],
)
def test_scattered_over_everything_is_a_copy(
    place: Callable[[ig.Tensor, ig.Tensor], ig.Tensor], compiled: bool
) -> None:
    def f(a: ig.Tensor) -> tuple[ig.Tensor, ig.Tensor]:
        x, y = a * 1, a * 2
        place(x, y).add_(100)
        return x, y

    x, y = (ig.jit(f) if compiled else f)(ig.ones(1, 2))
    assert (x.tolist(), y.tolist()) == ([[1, 1]], [[2, 2]])


def test_a_traced_view_is_contiguous_where_it_is_eagerly() -> None:
    def f(a: ig.Tensor) -> tuple[ig.Tensor, list[bool]]:
        x = a * 1
        views = [x[:, :2], x[:1], x.T, x[:, None], x.reshape(3, 2), x[::2], x[:, ::2], x.T[:1]]
        for view in views:
            view.contiguous().mul_(2)
        return x, [view.is_contiguous() for view in views]

    a = ig.tensor([[2.0, 3, 4], [5, 6, 7]])
    eager, compiled = f(a), ig.jit(f)(a)
    assert eager[0].tolist() == compiled[0].tolist()
    assert eager[1] == compiled[1] == [False, True, False, True, True, True, False, False]


def test_limits_of_nan() -> None:
    x, nan = ig.tensor([-2.0, 0.5, 3.0]), math.nan
    limits = ig.tensor([nan, 1.0, nan])
    assert x.clamp(min=limits).isnan().tolist() == [True, False, True]
    assert x.clamp(max=limits).isnan().tolist() == [True, False, True]
    assert x.clamp(0, nan).isnan().all()
    assert x.clamp(nan, 1).isnan().all()


def test_fmod_of_the_smallest_integer() -> None:
    x = ig.tensor([-128, -7, 7, 127, 0], dtype=ig.int8)
    assert ig.fmod(x, 3).tolist() == [-2, -1, 1, 1, 0]
    assert ig.fmod(x, -3).tolist() == [-2, -1, 1, 1, 0]
    y = np.array([-7, 7, -6, 6], np.int32)
    b = np.array([4, -4, 3, -3], np.int32)
    assert ig.fmod(ig.from_numpy(y), ig.from_numpy(b)).tolist() == np.fmod(y, b).tolist()


def test_derivative_of_fmod_without_a_rest() -> None:
    a = ig.tensor([-1.0, 2.0, -2.0, 0.0, -0.0], requires_grad=True)
    b = ig.tensor([-1.0, 0.5, -0.3, 2.0, 2.0], requires_grad=True)
    y = ig.fmod(a, b)
    expected = np.fmod(a.detach().numpy(), b.detach().numpy())
    assert np.array_equal(y.detach().numpy(), expected)
    assert np.array_equal(np.signbit(y.detach().numpy()), np.signbit(expected))
    by_a, by_b = ig.autograd.grad(y.sum(), [a, b])
    assert by_a.tolist() == [1, 1, 1, 1, 1]
    assert by_b.tolist() == [-1, -4, -6, 0, 0]


def test_lerp_ends_at_its_end() -> None:
    a, b = ig.tensor([1e8, 3.0]), ig.tensor([1.0, math.inf])
    assert ig.lerp(a, b, 1)[0].item() == 1
    assert ig.lerp(a, b, ig.tensor([1.0, 0.25])).tolist() == [1, math.inf]
    assert ig.lerp(a, b, 0).tolist()[0] == 1e8
    x = ig.tensor([1.0, 2.0], dtype=ig.float64, requires_grad=True)
    y = ig.tensor([5.0, -2.0], dtype=ig.float64, requires_grad=True)
    w = ig.tensor([0.25, 0.75], dtype=ig.float64, requires_grad=True)
    assert ig.autograd.gradcheck(ig.lerp, (x, y, w))


def test_ldexp_keeps_the_dtype_and_the_range() -> None:
    powers = ig.tensor([130, -140])
    assert ig.ldexp(ig.ones(2, dtype=ig.float64), powers).tolist() == [2.0**130, 2.0**-140]
    made = ig.ldexp(ig.ones(2, dtype=ig.float16), ig.tensor([3, -20]))
    assert made.dtype is ig.float16 and made.tolist() == [8, 2.0**-20]


def test_no_runs_of_nothing() -> None:
    values, inverse, counts = ig.unique_consecutive(ig.zeros(0, 3), True, True)
    assert (values.shape, inverse.shape, counts.shape) == ((0,), (0, 3), (0,))


def test_alpha_is_reckoned_in_the_common_dtype() -> None:
    small = ig.tensor([-32768, 3], dtype=ig.int16)
    assert ig.sub(ig.tensor([1, 1]), small, alpha=2).tolist() == [65537, -5]
    assert ig.add(ig.tensor([1.0, 1.0]), ig.tensor([3, 5]), alpha=0.5).tolist() == [2.5, 3.5]
    both = ig.add(ig.tensor([True, False]), ig.tensor([False, False]), alpha=2)
    assert both.dtype is ig.bool and both.tolist() == [True, False]


def test_distinct_short_floats_in_order_with_nan_last() -> None:
    x = ig.tensor([2.5, math.inf, math.nan, -0.5, 2.5], dtype=ig.bfloat16)
    values, inverse, counts = ig.unique(x, return_inverse=True, return_counts=True)
    assert values.tolist()[:3] == [-0.5, 2.5, math.inf] and math.isnan(values.tolist()[3])
    assert inverse.tolist() == [1, 2, 3, 0, 1] and counts.tolist() == [1, 2, 1, 1]
    assert ig.unique(ig.zeros(0, 2)).shape == (0,)


def test_gcd_of_the_smallest_integer() -> None:
    low = ig.tensor([-(2**31)], dtype=ig.int32)
    assert ig.gcd(ig.tensor([-1], dtype=ig.int32), low).tolist() == [1]


def test_derivative_of_nextafter() -> None:
    a = ig.ones(3, requires_grad=True)
    ig.nextafter(a, ig.tensor([1.0, 2.0, 0.5])).sum().backward()
    assert a.grad is not None and a.grad.tolist() == [0, 1, 1]


@pytest.mark.parametrize(
    "use",
    [
        lambda u: u + -1,
        lambda u: u * 300,
        lambda u: u > -1,
        lambda u: u.clamp(-1, 3),
        lambda u: u // -2,
        lambda u: u.masked_fill(u > 1, -1),
        lambda u: u.index_fill(0, ig.tensor([0]), -1),
    ],
)
def test_numbers_wrap_alike_when_compiled(use: Callable[[ig.Tensor], ig.Tensor]) -> None:
    u = ig.tensor([1, 2, 200], dtype=ig.uint8)
    assert ig.jit(use)(u).tolist() == use(u).tolist()


@pytest.mark.parametrize("number", [300, -2.5, -256, math.nan, math.inf])
def test_numbers_that_do_not_fit_are_not_stored(number: float) -> None:
    u, mask = ig.tensor([1, 2], dtype=ig.uint8), ig.tensor([True, False])
    for store in (
        lambda: u.fill_(number),
        lambda: u.masked_fill(mask, number),
        lambda: u.index_fill(0, ig.tensor([0]), number),
        lambda: u.__setitem__(0, number),
        lambda: u.__setitem__(mask, number),
    ):
        with pytest.raises(ig.Error, match="does not hold"):
            store()
    assert u.tolist() == [1, 2]
    assert u.fill_(-1).tolist() == [255, 255]
