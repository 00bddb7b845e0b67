"""Reading and writing parts of tensors in all mixes of indices, beside NumPy."""

from __future__ import annotations

import random
from typing import Any

import numpy as np
import pytest

import intaglio as ig

BASIC = ("none", "slice", "slice", "number", "number")
ADVANCED = ("none", "slice", "slice", "array", "array", "list", "mask", "bool")


def an_item(
    pick: random.Random, kinds: tuple[str, ...], sizes: tuple[int, ...], common: tuple[int, ...]
) -> tuple[Any, int]:
    """One item of a key (as NumPy takes it) and how many dimensions it uses."""
    n = sizes[0]
    kind = pick.choice(kinds)
    if kind == "none":
        return None, 0
    if kind == "bool":
        return pick.random() < 0.7, 0
    if kind == "mask":
        dims = pick.randint(1, min(2, len(sizes)))
        return np.array(pick.choices([True, False], k=int(np.prod(sizes[:dims])))).reshape(
            sizes[:dims]
        ), dims
    if kind == "slice" or not n:
        ends = [None, *range(-n - 1, n + 2)]
        return slice(pick.choice(ends), pick.choice(ends), pick.choice([None, 1, 2])), 1
    if kind == "number":
        return pick.randint(-n, n - 1), 1
    shape = pick.choice([common, (1,)])
    array = np.array([pick.randint(-n, n - 1) for _ in range(int(np.prod(shape)))]).reshape(shape)
    return (array.tolist() if kind == "list" else array), 1


def a_key(pick: random.Random, shape: tuple[int, ...]) -> tuple[Any, ...]:
    """A random key for a shape. Numbers and arrays are not mixed: there NumPy counts a number as an
    array, and torch does not."""
    kinds = pick.choice([BASIC, ADVANCED, ADVANCED])
    common = pick.choice([(2,), (3,), (2, 3)])
    items: list[Any] = []
    used = 0
    while used < len(shape) and pick.random() < 0.85:
        if pick.random() < 0.1 and Ellipsis not in [i for i in items if i is Ellipsis]:
            items.append(Ellipsis)
            used += pick.randint(0, len(shape) - used)
            continue
        item, count = an_item(pick, kinds, shape[used:], common)
        items.append(item)
        used += count
    return tuple(items)


def ours(item: Any) -> Any:
    return ig.tensor(item) if isinstance(item, np.ndarray) else item


@pytest.mark.parametrize("seed", range(8))
def test_any_mix_of_indices(seed: int) -> None:
    pick = random.Random(seed)
    done = 0
    for _ in range(60):
        shape = tuple(pick.choice([0, 1, 2, 3, 3, 4]) for _ in range(pick.randint(1, 4)))
        order = pick.sample(range(len(shape)), len(shape))
        array = np.arange(float(np.prod(shape))).reshape(shape)
        key = a_key(pick, tuple(shape[k] for k in order))
        x = ig.tensor(array)
        try:
            expected = array.transpose(order)[key]
        except (IndexError, ValueError):
            with pytest.raises(ig.Error):
                x.permute(*order)[tuple(map(ours, key))]
            continue
        made = x.permute(*order)[tuple(map(ours, key))]
        np.testing.assert_array_equal(made.numpy(), expected, err_msg=str(key))
        value = np.arange(float(expected.size)).reshape(expected.shape) - 100
        if pick.random() < 0.3:
            value = np.array(-7.0)
        array.transpose(order)[key] = value
        x.permute(*order)[tuple(map(ours, key))] = ig.tensor(value)
        np.testing.assert_array_equal(x.numpy(), array, err_msg=str(key))
        done += 1
    assert done > 20


def test_mixes_in_a_trace_have_the_same_bits() -> None:
    def read_and_write(x: ig.Tensor, i: ig.Tensor, j: ig.Tensor) -> tuple[ig.Tensor, ...]:
        y = x.clone()
        y[i, :, j] = 5.0
        y[1:, i] += y[0, j][None]
        y[..., None, -1] *= 2
        y.transpose(0, 2)[[0, -1], 1:] = i[:, None].to(y.dtype).unsqueeze(-1)
        return y, x[i, None, j, 1:], x[:, i][..., j], x[i[:, None], j], x[True, 0]

    x = ig.tensor(np.arange(64.0).reshape(4, 4, 4))
    i, j = ig.tensor([0, -1]), ig.tensor([2, 1])
    for a, b in zip(read_and_write(x, i, j), ig.jit(read_and_write)(x, i, j), strict=True):
        assert np.array_equal(a.numpy(), b.numpy())


def test_keys_that_are_wrong_are_refused() -> None:
    x = ig.arange(6).reshape(2, 3)
    keys: tuple[Any, ...] = (
        (slice(None, None, -1),), 1.5, "a", 2, (0, 0, 0), ig.tensor([0.5]), ig.tensor([2]),
        ig.tensor([True, False, True]), (Ellipsis, Ellipsis),
        (ig.tensor([0, 1]), ig.tensor([0, 1, 2])),
    )  # fmt: skip
    for key in keys:
        with pytest.raises(ig.Error):
            x[key]
        with pytest.raises(ig.Error):
            x[key] = 1


def test_bools_accumulate() -> None:
    x = ig.tensor([True, False, False])
    index, values = ig.tensor([1, 1]), ig.tensor([True, True])
    assert x.index_put([index], values, accumulate=True).tolist() == [True, True, False]
    assert x.scatter_reduce(0, index, values, "prod").tolist() == [True, False, False]
    assert x.scatter_add(0, index, values).tolist() == [True, True, False]
