"""The order of examples, and cutting arguments into batches."""

import numpy as np
import pytest

from intaglio.compiler.dims import Dim, Size
from intaglio.compiler.dtypes import float32
from intaglio.compiler.ir import Function, Graph, Value
from intaglio.compiler.types import TensorType
from intaglio.runtime.batching import batching, cut, order
from intaglio.runtime.datasets import DataError


def test_the_order_never_changes() -> None:
    assert order(8, 0, 0).tolist() == [0, 2, 1, 5, 4, 3, 6, 7]
    assert order(8, 7, 3).tolist() == [2, 5, 7, 3, 0, 6, 4, 1]


def test_every_epoch_is_a_permutation_of_its_own() -> None:
    seen = {tuple(order(50, seed, epoch)) for seed in range(4) for epoch in range(4)}
    assert len(seen) == 16
    assert all(sorted(o) == list(range(50)) for o in seen)
    assert order(0, 0, 0).shape == (0,)


def test_the_order_is_fair() -> None:
    places = np.array([np.argsort(order(10, seed, 1)) for seed in range(2000)])
    assert np.abs(places.mean(0) - 4.5).max() < 0.3


def function(*shapes: tuple[Size, ...]) -> Function:
    values = tuple(Value(TensorType(float32, shape)) for shape in shapes)
    names = tuple("abcdef"[: len(shapes)])
    return Function("f", Graph(values, (), ()), names, ())


def arrays(*shapes: tuple[int, ...]) -> list[np.ndarray]:
    return [np.zeros(shape, np.float32) for shape in shapes]


N = Dim("n", min=1, max=64)


def test_arguments_with_the_rows_are_cut_and_others_are_not() -> None:
    cuts = batching(function((), (N, 3), (N,), (4,)), arrays((), (10, 3), (10,), (4,)))
    assert cuts.batched == (False, True, True, False)
    assert (cuts.low, cuts.high, cuts.examples, cuts.fixed) == (1, 64, 10, False)
    assert cuts.spans(4) == [(0, 4), (4, 8), (8, 10)]
    assert cuts.dropped(4) == 0
    given = arrays((), (10, 3), (10,), (4,))
    batches = list(cut(cuts, given, 4))
    assert [rows for rows, _ in batches] == [4, 4, 2]
    assert [a.shape for a in batches[2][1]] == [(), (2, 3), (2,), (4,)]


def test_batch_sizes_follow_the_bounds() -> None:
    cuts = batching(function((N,)), arrays((100,)))
    assert cuts.choose(None, 32) == 32
    assert cuts.choose(None, 1000) == 64
    assert cuts.choose(64, 32) == 64
    with pytest.raises(DataError, match="batches of 65: the function takes 1 to 64 rows"):
        cuts.choose(65, 32)
    least = batching(function((Dim("m", min=5, max=9),)), arrays((23,)))
    assert least.spans(9) == [(0, 9), (9, 18), (18, 23)]
    assert least.spans(8) == [(0, 8), (8, 16), (16, 23)]
    assert least.dropped(7) == 2


def test_fixed_sizes_drop_the_rest() -> None:
    cuts = batching(function((8, 2), (8, 8)), arrays((20, 2), (8, 8)))
    assert cuts.batched == (True, False)
    assert cuts.fixed
    assert cuts.choose(None, 32) == 8
    assert cuts.spans(8) == [(0, 8), (8, 16)]
    assert cuts.dropped(8) == 4


def test_rows_that_differ_are_refused() -> None:
    with pytest.raises(DataError, match="a has 10 rows and b has 9"):
        batching(function((N, 3), (N,)), arrays((10, 3), (9,)))


def test_a_function_without_rows_is_called_once() -> None:
    cuts = batching(function(()), arrays(()))
    assert cuts.spans(1) == [(0, 1)]
    assert list(cut(cuts, arrays(()), 1))[0][0] == 1
