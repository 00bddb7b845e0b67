"""Statistics, searching, histograms, areas and slopes against NumPy, compiled with equal bits."""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
import pytest

import intaglio as ig
from tests.frontend.equal_bits import same

RANDOM = np.random.default_rng(5)
SIDES: tuple[Literal["left"], Literal["right"]] = ("left", "right")
ROWS = RANDOM.standard_normal((4, 9))
HOLES = np.where(RANDOM.random((4, 9)) < 0.3, np.nan, ROWS)
WHOLE = RANDOM.integers(0, 5, (4, 9)).astype(np.float64)


@pytest.mark.parametrize("method", ["linear", "lower", "higher", "midpoint", "nearest"])
def test_quantiles(method: str) -> None:
    levels = np.array([0.0, 0.31, 0.5, 1.0])

    def both(x: Any, q: Any) -> Any:
        return (
            ig.quantile(x, q, 1, interpolation=method),
            ig.nanquantile(x, q, 0, True, interpolation=method),
        )

    plain, _ = same(both, ROWS, levels)
    np.testing.assert_allclose(plain, np.quantile(ROWS, levels, 1, method=method))
    nan, holes = same(both, HOLES, levels)
    np.testing.assert_allclose(nan, np.quantile(HOLES, levels, 1, method=method))
    wanted = np.nanquantile(HOLES, levels, 0, method=method, keepdims=True)
    np.testing.assert_allclose(holes, wanted)


def test_quantile_of_all_and_its_errors() -> None:
    x = ig.tensor(ROWS)
    np.testing.assert_allclose(ig.quantile(x, 0.3).item(), np.quantile(ROWS, 0.3))
    assert x.quantile(0.5, keepdim=True).shape == (1, 1)
    with pytest.raises(ig.ArgumentError, match="between 0 and 1"):
        ig.quantile(x, 1.5)
    with pytest.raises(ig.DTypeError, match="float32 or float64"):
        ig.quantile(ig.arange(3), 0.5)
    with pytest.raises(ig.ArgumentError, match="interpolation"):
        ig.quantile(x, 0.5, interpolation="cubic")
    assert ig.autograd.gradcheck(
        lambda t: ig.quantile(t, 0.37, 1), [ig.tensor(ROWS, requires_grad=True)]
    )


def test_medians_and_modes() -> None:
    middle, place = same(lambda x: ig.nanmedian(x, 1), HOLES)
    lower = [np.sort(r[~np.isnan(r)])[(np.sum(~np.isnan(r)) - 1) // 2] for r in HOLES]
    np.testing.assert_array_equal(middle, lower)
    np.testing.assert_array_equal(HOLES[np.arange(4), place], middle)
    values, last = same(lambda x: ig.mode(x, 1), WHOLE)
    for row, value, at in zip(WHOLE, values, last, strict=True):
        found, counts = np.unique(row, return_counts=True)
        assert value == found[np.argmax(counts)] and at == np.flatnonzero(row == value)[-1]
    x = ig.tensor([1.0, 3.0, 3.0, float("nan"), 7.0], requires_grad=True)
    ig.nanmedian(x).backward()
    np.testing.assert_array_equal(x.grad.numpy(), [0, 0.5, 0.5, 0, 0])
    x = ig.tensor([1.0, 3.0, 7.0, 3.0, 0.5], requires_grad=True)
    ig.median(x).backward()
    np.testing.assert_array_equal(x.grad.numpy(), [0, 0.5, 0, 0.5, 0])


def test_renorm_scales_long_slices() -> None:
    (made,) = same(lambda x: ig.renorm(x, 2, 0, 1.5), ROWS)
    np.testing.assert_allclose(
        np.linalg.norm(made, axis=1), np.minimum(np.linalg.norm(ROWS, axis=1), 1.5), rtol=1e-6
    )
    with pytest.raises(ig.ArgumentError, match="positive"):
        ig.renorm(ig.tensor(ROWS), -1, 0, 1.0)


# ---------------------------------------------------------------------------------------- searching


@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.int64, np.uint8])
def test_search_is_numpys(dtype: Any) -> None:
    edges = np.sort(RANDOM.integers(0, 40, 50)).astype(dtype)
    values = RANDOM.integers(0, 45, (3, 20)).astype(dtype)
    found = same(lambda a, b: tuple(ig.searchsorted(a, b, side=s) for s in SIDES), edges, values)
    for made, side in zip(found, SIDES, strict=True):
        np.testing.assert_array_equal(made, np.searchsorted(edges, values, side))


def test_search_in_rows_of_any_length() -> None:
    rows = np.sort(RANDOM.standard_normal((3, 7)), 1)
    wanted = RANDOM.standard_normal((3, 11))
    expected = np.stack([np.searchsorted(r, v) for r, v in zip(rows, wanted, strict=True)])
    (made,) = same(ig.searchsorted, rows, wanted)
    np.testing.assert_array_equal(made, expected)
    shuffled = np.argsort(RANDOM.random((3, 7)), 1)
    mixed, sorter = np.take_along_axis(rows, shuffled, 1), np.argsort(shuffled, 1)
    (made,) = same(lambda r, v, s: ig.searchsorted(r, v, sorter=s), mixed, wanted, sorter)
    np.testing.assert_array_equal(made, expected)
    symbolic = ig.trace(ig.bucketize, ig.spec(("m",), ig.float64), ig.spec(("n",), ig.float64))
    for n in (1, 2, 33):
        edges = np.sort(RANDOM.standard_normal(n))
        found = np.asarray(symbolic(ig.tensor(wanted[0]), ig.tensor(edges)))
        np.testing.assert_array_equal(found, np.searchsorted(edges, wanted[0]))


def test_search_without_elements() -> None:
    rows, order = np.zeros((2, 0)), np.zeros((2, 0), np.int64)
    (made,) = same(lambda r, v, s: ig.searchsorted(r, v, sorter=s), rows, ROWS[:2], order)
    assert made.shape == (2, 9) and not made.any()


def test_nan_comes_last_in_a_search() -> None:
    edges = np.array([1.0, 2.0, np.nan, np.nan])
    found = same(lambda e, v: tuple(ig.searchsorted(e, v, side=s) for s in SIDES), edges, edges)
    for made, side in zip(found, SIDES, strict=True):
        np.testing.assert_array_equal(made, np.searchsorted(edges, edges, side))


def test_search_refuses() -> None:
    edges, rows = ig.tensor([1.0, 2.0]), ig.tensor(ROWS).float()
    with pytest.raises(ig.DTypeError, match="one dtype"):
        ig.searchsorted(edges, ig.tensor([1]))
    with pytest.raises(ig.ShapeError, match="but the last"):
        ig.searchsorted(rows, edges)
    with pytest.raises(ig.ArgumentError, match="contradict"):
        ig.searchsorted(edges, 1.0, right=True, side="left")
    with pytest.raises(ig.ShapeError, match="one dimension"):
        ig.bucketize(edges, rows)
    assert ig.searchsorted(edges, 1.5, out_int32=True).dtype is ig.int32


def test_isin() -> None:
    few = np.array([3.0, 0.0, np.nan])
    found = same(lambda a, b: tuple(ig.isin(a, b, invert=i) for i in (False, True)), WHOLE, few)
    for made, invert in zip(found, (False, True), strict=True):
        np.testing.assert_array_equal(made, np.isin(WHOLE, few, invert=invert))
    assert ig.isin(ig.arange(3), 2).tolist() == [False, False, True]
    assert ig.isin(ig.arange(3), ig.empty(0)).tolist() == [False] * 3


# --------------------------------------------------------------------------------------- histograms


def test_histograms() -> None:
    x, weight = RANDOM.standard_normal((2, 60))

    def counted(x: Any, w: Any) -> Any:
        return (
            ig.histc(x, 7, -1, 2),
            ig.histogram(x, 5, range=(-1, 1), weight=w),
            ig.histogram(x, 6, density=True),
        )

    plain, some, edges, dense, all_edges = same(counted, x, weight)
    np.testing.assert_array_equal(plain, np.histogram(x, 7, (-1, 2))[0])
    np.testing.assert_allclose(some, np.histogram(x, 5, (-1, 1), weights=weight)[0])
    np.testing.assert_allclose(edges, np.linspace(-1, 1, 6))
    wanted = np.histogram(x, 6, density=True)
    np.testing.assert_allclose(dense, wanted[0])
    np.testing.assert_allclose(all_edges, wanted[1])


def test_histogram_of_points() -> None:
    points = RANDOM.standard_normal((50, 2))
    edges = [np.array([-2.0, -0.5, 0.1, 2.0]), np.array([-1.0, 0.0, 3.0])]
    (hist, *_) = same(lambda p, a, b: ig.histogramdd(p, [a, b]), points, *edges)
    np.testing.assert_array_equal(hist, np.histogramdd(points, edges)[0])
    (hist, *_) = same(lambda p: ig.histogramdd(p, [3, 4], density=True), points)
    np.testing.assert_allclose(hist, np.histogramdd(points, [3, 4], density=True)[0])


def test_histograms_refuse() -> None:
    x = ig.tensor([1.0, 2.0])
    with pytest.raises(ig.ArgumentError, match="one bin"):
        ig.histc(x, 0)
    with pytest.raises(ig.ArgumentError, match="smaller than min"):
        ig.histc(x, 3, 2, 1)
    with pytest.raises(ig.ArgumentError, match="not finite"):
        ig.histogram(ig.tensor([1.0, float("inf")]), 3)
    with pytest.raises(ig.ShapeError, match="3 coordinates"):
        ig.histogramdd(ig.ones(4, 3), [2, 2])


# ----------------------------------------------------------------------------------------- calculus


def test_areas() -> None:
    x = np.sort(RANDOM.random(9))
    steps = np.sort(RANDOM.random((4, 9)), 1)

    def areas(y: Any, x: Any, s: Any) -> Any:
        return (
            ig.trapezoid(y, x),
            ig.trapz(y, dx=0.5, dim=0),
            ig.trapezoid(y, s),
            ig.cumulative_trapezoid(y, x),
        )

    made = same(areas, ROWS, x, steps)
    np.testing.assert_allclose(made[0], np.trapezoid(ROWS, x))
    np.testing.assert_allclose(made[1], np.trapezoid(ROWS, dx=0.5, axis=0))
    np.testing.assert_allclose(made[2], np.trapezoid(ROWS, steps))
    np.testing.assert_allclose(made[3][:, -1], made[0])
    inputs = [ig.tensor(ROWS, requires_grad=True), ig.tensor(x, requires_grad=True)]
    assert ig.autograd.gradcheck(ig.trapezoid, inputs)
    with pytest.raises(ig.ArgumentError, match="not both"):
        ig.trapezoid(ig.tensor(ROWS), ig.tensor(x), dx=1.0)


@pytest.mark.parametrize("edge_order", [1, 2])
def test_slopes(edge_order: int) -> None:
    x = np.sort(RANDOM.random(9))

    def slopes(y: Any, x: Any) -> Any:
        return (
            *ig.gradient(y, edge_order=edge_order),
            *ig.gradient(y, spacing=(x,), dim=1, edge_order=edge_order),
            *ig.gradient(y, spacing=0.3, dim=0, edge_order=edge_order),
        )

    made = same(slopes, ROWS, x)
    order = edge_order
    wanted = [
        *np.gradient(ROWS, edge_order=order),
        np.gradient(ROWS, x, axis=1, edge_order=order),
        np.gradient(ROWS, 0.3, axis=0, edge_order=order),
    ]
    for a, b in zip(made, wanted, strict=True):
        np.testing.assert_allclose(a, b)


def test_differences() -> None:
    made = same(lambda x: (ig.diff(x, 2, 0), ig.diff(x, prepend=x, append=x[:, :1])), ROWS)
    np.testing.assert_allclose(made[0], np.diff(ROWS, 2, 0))
    np.testing.assert_allclose(made[1], np.diff(ROWS, prepend=ROWS, append=ROWS[:, :1]))
    assert ig.diff(ig.tensor([True, True, False])).tolist() == [False, True]
    with pytest.raises(ig.ArgumentError, match="count of times"):
        ig.diff(ig.tensor(ROWS), -1)


# ----------------------------------------------------------------------------- sets and data shapes


def test_distinct_elements_and_slices() -> None:
    x = RANDOM.integers(0, 3, (6, 2))
    values, inverse, counts = ig.unique(ig.tensor(x), return_inverse=True, return_counts=True)
    wanted = np.unique(x, return_inverse=True, return_counts=True)
    for a, b in zip((values, inverse, counts), wanted, strict=True):
        np.testing.assert_array_equal(a.numpy(), b.reshape(a.shape))
    rows, place = ig.unique(ig.tensor(x), dim=0, return_inverse=True)
    np.testing.assert_array_equal(rows.numpy(), np.unique(x, axis=0))
    np.testing.assert_array_equal(rows.numpy()[place.numpy()], x)
    runs, lengths = ig.unique_consecutive(ig.tensor([1, 1, 2, 2, 2, 1]), return_counts=True)
    assert runs.tolist() == [1, 2, 1] and lengths.tolist() == [2, 3, 1]
    with pytest.raises(ig.TraceError, match="depends on data"):
        ig.jit(ig.unique)(ig.tensor(x))


def test_positions_in_a_fixed_shape() -> None:
    x = np.array([[0.0, 2.0, 0.0], [3.0, 0.0, 4.0]])
    for size in (0, 2, 5):
        (made,) = same(lambda t, n=size: ig.nonzero_static(t, size=n), x)
        wanted = np.full((size, 2), -1)
        found = np.argwhere(x)[:size]
        wanted[: len(found)] = found
        np.testing.assert_array_equal(made, wanted)


def test_bincount() -> None:
    x, weight = np.array([3, 1, 1, 0]), np.array([0.5, 1.0, 2.0, -1.0])
    np.testing.assert_array_equal(
        ig.bincount(ig.tensor(x), minlength=6).numpy(), np.bincount(x, minlength=6)
    )
    np.testing.assert_array_equal(
        ig.bincount(ig.tensor(x), ig.tensor(weight)).numpy(), np.bincount(x, weight)
    )
    with pytest.raises(ig.ArgumentError, match="no such place"):
        ig.bincount(ig.tensor([-1]))


@pytest.mark.parametrize("reduce", ["sum", "mean", "max", "min", "prod"])
def test_segments(reduce: str) -> None:
    data, lengths = ROWS.T.copy(), np.array([2, 0, 4, 3])
    (made,) = same(
        lambda x, n: ig.segment_reduce(x, reduce, lengths=n, initial=1.0, unsafe=True),
        data,
        lengths,
    )
    ends = np.cumsum(lengths)
    for k, (end, n) in enumerate(zip(ends, lengths, strict=True)):
        part = np.concatenate([np.ones((1, 4)), data[end - n : end]])
        wanted = part.sum(0) / max(n, 1) if reduce == "mean" else getattr(part, reduce)(0)
        np.testing.assert_allclose(made[k], wanted)
    with pytest.raises(ig.ArgumentError, match="add up"):
        ig.segment_reduce(ig.tensor(data), reduce, lengths=ig.tensor([1, 2]))
