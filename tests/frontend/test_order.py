"""Sorting, prefix functions, scatter and boxes: eager against NumPy, and in programs with equal
bits."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import intaglio as ig

RANDOM = np.random.default_rng(3)
ROWS = RANDOM.integers(-9, 9, (4, 30)).astype(np.float32)
WILD = ROWS.copy()
WILD[1, 3:9:2] = np.nan
WILD[2, ::4] = -0.0
INDEX = RANDOM.integers(0, 30, (4, 7))
SOURCE = RANDOM.standard_normal((4, 7)).astype(np.float32)


def same(function: Callable[..., Any], *arrays: np.ndarray[Any, Any]) -> list[Any]:
    """The eager results, which a program's have the bits of."""
    tensors = [ig.tensor(a) for a in arrays]
    eager = flat(function(*tensors))
    traced = flat(ig.jit(function)(*tensors))
    for a, b in zip(eager, traced, strict=True):
        assert a.dtype is b.dtype and a.shape == b.shape
        assert a.numpy().tobytes() == b.numpy().tobytes()
    return [t.numpy() for t in eager]


def flat(made: Any) -> list[Any]:
    return list(made) if isinstance(made, tuple) else [made]


@pytest.mark.parametrize("descending", [False, True])
@pytest.mark.parametrize("dim", [0, 1])
def test_sort_is_stable_with_nan_last(dim: int, descending: bool) -> None:
    values, places = same(lambda x: ig.sort(x, dim, descending), WILD)
    turned = np.flip(WILD, dim) if descending else WILD
    order = np.argsort(turned, dim, kind="stable")
    if descending:
        order = WILD.shape[dim] - 1 - np.flip(order, dim)
    np.testing.assert_array_equal(places, order)
    np.testing.assert_array_equal(values, np.take_along_axis(WILD, order, dim))


@pytest.mark.parametrize("largest", [False, True])
def test_topk_takes_the_first_of_equal_elements(largest: bool) -> None:
    values, places = same(lambda x: ig.topk(x, 9, 1, largest), WILD)
    everything = same(lambda x: ig.sort(x, 1, largest), WILD)
    np.testing.assert_array_equal(values, everything[0][:, :9])
    np.testing.assert_array_equal(places, everything[1][:, :9])


def test_order_statistics() -> None:
    (middle, place) = same(lambda x: ig.median(x, 1), WILD)
    np.testing.assert_array_equal(
        middle, [np.sort(r)[14] if r[3] == r[3] else np.nan for r in WILD]
    )
    np.testing.assert_array_equal(WILD[np.arange(4), place], middle)
    (third, place) = same(lambda x: ig.kthvalue(x, 3, 1), ROWS)
    np.testing.assert_array_equal(third, np.sort(ROWS, 1)[:, 2])
    np.testing.assert_array_equal(ROWS[np.arange(4), place], third)


@pytest.mark.parametrize("dim", [0, 1])
def test_prefix_functions(dim: int) -> None:
    sums, products = same(lambda x: (ig.cumsum(x, dim), ig.cumprod(x * 0.1, dim)), ROWS)
    np.testing.assert_array_equal(sums, np.cumsum(ROWS, dim, np.float64).astype(np.float32))
    small = (ROWS * np.float32(0.1)).astype(np.float64)
    np.testing.assert_array_equal(products, np.cumprod(small, dim).astype(np.float32))
    logs, best, where = same(lambda x: (ig.logcumsumexp(x, dim), *ig.cummax(x, dim)), ROWS)
    np.testing.assert_allclose(logs, np.logaddexp.accumulate(ROWS, dim), rtol=1e-5)
    np.testing.assert_array_equal(best, np.maximum.accumulate(ROWS, dim))
    np.testing.assert_array_equal(np.take_along_axis(ROWS, where, dim), best)


def test_an_extreme_is_where_it_was_met_last() -> None:
    values, places = same(lambda x: ig.cummin(x, 0), np.array([2.0, 1.0, 1.0, 3.0, np.nan, 0.0]))
    np.testing.assert_array_equal(values, [2, 1, 1, 1, np.nan, np.nan])
    np.testing.assert_array_equal(places, [0, 1, 2, 2, 4, 4])


def test_sums_of_f32_are_kept_in_f64() -> None:
    x = np.full(1 << 20, 0.1, np.float32)
    (sums,) = same(lambda x: ig.cumsum(x, 0), x)
    assert abs(sums[-1] / (np.float64(np.float32(0.1)) * (1 << 20)) - 1) < 1e-7


@pytest.mark.parametrize("reduce", ["sum", "prod", "mean", "amax", "amin"])
@pytest.mark.parametrize("include", [False, True])
def test_scatter_reduce(reduce: str, include: bool) -> None:
    def function(x: Any, i: Any, s: Any) -> Any:
        return ig.scatter_reduce(x, 1, i, s, reduce, include_self=include)

    (made,) = same(function, ROWS, INDEX, SOURCE)
    kinds = {"sum": np.sum, "prod": np.prod, "mean": np.mean, "amax": np.max, "amin": np.min}
    for row in range(4):
        for place in range(30):
            terms = [s for i, s in zip(INDEX[row], SOURCE[row], strict=True) if i == place]
            start = [ROWS[row, place]] if include or not terms else []
            np.testing.assert_allclose(made[row, place], kinds[reduce](start + terms), rtol=1e-5)


def test_the_last_of_several_writes_stays() -> None:
    index = np.array([2, 0, 2])
    (made,) = same(
        lambda x, i: ig.index_put(x, (i,), ig.tensor([1.0, 2.0, 3.0])), np.zeros(4), index
    )
    np.testing.assert_array_equal(made, [2, 0, 3, 0])
    (made,) = same(
        lambda x, i, s: x.scatter(0, i, s), np.zeros(4), index, np.array([1.0, 2.0, 3.0])
    )
    np.testing.assert_array_equal(made, [2, 0, 3, 0])


def test_masked_scatter() -> None:
    mask = ROWS > 2
    (made,) = same(ig.masked_scatter, ROWS, mask, np.arange(120, dtype=np.float32).reshape(4, 30))
    expected = ROWS.copy()
    expected[mask] = np.arange(mask.sum())
    np.testing.assert_array_equal(made, expected)


def test_boxes_are_moved_into_range() -> None:
    x, part = np.arange(24.0).reshape(4, 6), np.full((2, 2), -1.0)
    (box,) = same(lambda x, s: ig.dynamic_slice(x, (s, 1), (2, 3)), x, np.array(9))
    np.testing.assert_array_equal(box, x[2:, 1:4])
    (made,) = same(lambda x, p, s: ig.dynamic_update_slice(x, p, s), x, part, np.array([-3, 5]))
    x[:2, 4:] = -1
    np.testing.assert_array_equal(made, x)


def test_parts_at_traced_places() -> None:
    x = np.arange(24.0).reshape(4, 6)

    def read(x: Any, i: Any) -> Any:
        return x[i], x[:, i], x[1, i : i + 2], x[i - 1 : i + 1, 2]

    made = same(read, x, np.array(1))
    for got, want in zip(made, (x[1], x[:, 1], x[1, 1:3], x[0:2, 2]), strict=True):
        np.testing.assert_array_equal(got, want)

    def write(x: Any, i: Any) -> Any:
        x = x.clone()
        x[:, i] = 7.0
        x[i : i + 2, 1 + i : i + 3] = ig.tensor([[1.0, 2.0]])
        x[0, i + 3 : i + 5] += 0.5
        return x

    (made,) = same(write, x, np.array(1))
    x[:, 1] = 7
    x[1:3, 2:4] = [1, 2]
    x[0, 4:6] += 0.5
    np.testing.assert_array_equal(made, x)


def test_traced_places_out_of_range_are_errors() -> None:
    function = ig.jit(lambda x, i: x[i])
    assert function(ig.arange(4), ig.tensor(3)).item() == 3
    with pytest.raises(ig.IndexError, match="out of range"):
        function(ig.arange(4), ig.tensor(4))

    def write(x: Any, i: Any) -> Any:
        x = x.clone()
        x[i : i + 2] = 0
        return x

    with pytest.raises(ig.IndexError, match="out of range"):
        ig.jit(write)(ig.arange(4), ig.tensor(3))


def test_known_parts_of_a_state_are_written_in_place(tmp_path: Path) -> None:
    class Rows(ig.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.register_buffer("rows", ig.arange(1 << 18).reshape(-1, 4).to(ig.float32))

        def forward(self, x: Any) -> Any:
            self.rows[2:4, 1:3] = x
            self.rows[5] *= 2
            return self.rows[2:6].sum()

    module = Rows()
    ig.trace(module, ig.ones(2, 2)).save(tmp_path / "rows.ig")
    model = ig.load(tmp_path / "rows.ig")
    expected = module.rows.numpy().copy()
    expected[2:4, 1:3] = 1
    expected[5] *= 2
    assert model.plan().peak_bytes < 1 << 19
    assert model(np.ones((2, 2), np.float32)) == expected[2:6].sum()
    np.testing.assert_array_equal(model.state["rows"], expected)


def test_the_length_of_a_slice_is_no_data() -> None:
    with pytest.raises(ig.TraceError, match="depends on data"):
        ig.jit(lambda x, i, j: x[i:j])(ig.arange(4), ig.tensor(1), ig.tensor(2))


def test_errors_name_what_is_wrong() -> None:
    x = ig.zeros(3, 4)
    with pytest.raises(ig.Error, match="there are no 5 elements along dim 1"):
        ig.topk(x, 5, 1)
    with pytest.raises(ig.Error, match="reduce is one of"):
        ig.scatter_reduce(x, 1, ig.zeros(3, 1, dtype=ig.int64), x, "median")
    with pytest.raises(ig.Error, match="logcumsumexp: .* a float tensor"):
        ig.logcumsumexp(ig.arange(3), 0)
    with pytest.raises(ig.Error, match="a box of"):
        ig.dynamic_slice(x, (0, 0), (4, 1))
