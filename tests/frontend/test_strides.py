"""The strides that a trace computes are those that NumPy has: what it takes for a view is one."""

from __future__ import annotations

import random

import numpy as np

from intaglio._strides import reshaped
from intaglio.compiler.dims import Dim


def some_array(draw: random.Random) -> np.ndarray:
    """Zeros of a few small dims, cut with steps, turned, or broadcast."""
    shape = [draw.choice([1, 1, 2, 3, 4, 6]) for _ in range(draw.randint(1, 4))]
    array = np.zeros(shape, np.int8)
    if draw.random() < 0.6:
        array = np.zeros([2 * n for n in shape], np.int8)
        cuts = [slice(0, n) if draw.random() < 0.7 else slice(0, 2 * n, 2) for n in shape]
        array = array[tuple(cuts)]
    if draw.random() < 0.4:
        array = array.transpose(draw.sample(range(array.ndim), array.ndim))
    return np.broadcast_to(array[:1], array.shape) if draw.random() < 0.2 else array


def some_shape(size: int, draw: random.Random) -> list[int]:
    """Factors of `size` in any order, with ones in between."""
    shape = []
    while size > 1:
        shape.append(draw.choice([n for n in range(2, size + 1) if size % n == 0]))
        size //= shape[-1]
    for _ in range(draw.randint(0, 2)):
        shape.insert(draw.randint(0, len(shape)), 1)
    return shape


def test_reshapes_are_views_where_numpy_says_so() -> None:
    draw = random.Random(0)
    views = 0
    for _ in range(3000):
        array = some_array(draw)
        target = some_shape(array.size, draw)
        result = array.reshape(target)
        found = reshaped(array.shape, array.strides, target)
        assert (found is not None) == np.shares_memory(array, result), (array.shape, target)
        if found is not None:
            views += 1
            pairs = zip(found, result.strides, target, strict=True)
            assert all(mine == numpys for mine, numpys, n in pairs if n > 1)
    assert 500 < views < 2500


def test_symbolic_sizes() -> None:
    n, t = Dim("n"), Dim("t")
    assert reshaped((n, t, 6), (t * 6, 6, 1), (n * t, 2, 3)) == (6, 3, 1)
    assert reshaped((n, t, 6), (6, n * 6, 1), (n, t, 2, 3)) == (6, n * 6, 3, 1)
    assert reshaped((n, t, 6), (6, n * 6, 1), (n * t, 6)) is None
    assert reshaped((n, 1, 4), (8, 99, 1), (1, n, 4, 1)) == (1, 8, 1, 1)
