"""Datasets, what is put together from them, and the batches that collate makes of examples."""

import collections
import subprocess
import sys
from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
import pytest

import intaglio as ig
from intaglio.data import (
    ChainDataset,
    ConcatDataset,
    Dataset,
    IterableDataset,
    StackDataset,
    Subset,
    TensorDataset,
    default_collate,
    default_convert,
    random_split,
)
from intaglio.data._collate import collate_arrays


class Squares(Dataset[int]):
    def __init__(self, size: int) -> None:
        self.size = size

    def __getitem__(self, index: int) -> int:
        return index * index

    def __len__(self) -> int:
        return self.size


class Counting(IterableDataset[int]):
    def __init__(self, begin: int, end: int) -> None:
        self.begin, self.end = begin, end

    def __iter__(self) -> Iterator[int]:
        return iter(range(self.begin, self.end))

    def __len__(self) -> int:
        return self.end - self.begin


class Point(NamedTuple):
    x: Any
    y: Any


def table(rows: int = 6) -> TensorDataset:
    return TensorDataset(ig.arange(rows * 2).reshape(rows, 2), ig.arange(rows) * 10)


def test_a_dataset_without_getitem_says_so() -> None:
    with pytest.raises(NotImplementedError, match="defines no __getitem__"):
        Dataset[int]()[0]


def test_tensor_dataset_by_number_and_several_at_once() -> None:
    data = table()
    assert len(data) == 6
    x, y = data[2]
    assert (x.tolist(), y.item()) == ([4, 5], 20)
    rows = data.__getitems__([5, 0, -1, 0])
    assert len(rows) == 4
    assert [y.item() for _, y in rows] == [50, 0, 50, 0]
    assert [y.item() for _, y in rows[1:3]] == [0, 50]
    x, y = default_collate(rows)
    assert x.tolist() == [[10, 11], [0, 1], [10, 11], [0, 1]]
    assert y.tolist() == [50, 0, 50, 0]


def test_tensor_dataset_gathers_rows_whose_gradient_is_wanted() -> None:
    w = ig.ones(4, 2, requires_grad=True)
    (rows,) = default_collate(TensorDataset(w).__getitems__([1, -1, 1]))
    rows.sum().backward()
    assert w.grad is not None
    assert w.grad.tolist() == [[0, 0], [2, 2], [0, 0], [1, 1]]


def test_tensor_dataset_refuses() -> None:
    with pytest.raises(ig.ArgumentError, match="one first size"):
        TensorDataset(ig.zeros(3), ig.zeros(4))
    with pytest.raises(ig.ArgumentError, match="no tensors"):
        TensorDataset()
    with pytest.raises(ig.DTypeError, match="from_numpy"):
        TensorDataset(np.zeros(3))  # type: ignore[arg-type]
    with pytest.raises(IndexError):
        table().__getitems__([6])
    for odd in ([1.5], [True, False], ["1"]):
        with pytest.raises(ig.IndexError, match="whole numbers"):
            table().__getitems__(odd)  # type: ignore[arg-type]


def test_subset_reaches_through_to_the_gather() -> None:
    part = Subset(Subset(table(), [5, 3, 1]), [2, 0])
    assert len(part) == 2
    assert part[1][1].item() == 50
    assert default_collate(part.__getitems__([1, 0, 1]))[1].tolist() == [50, 10, 50]
    assert Subset(Squares(9), [3, 4]).__getitems__([1, 0]) == [16, 9]


def test_concat_dataset() -> None:
    joined = Squares(3) + Squares(2)
    assert isinstance(joined, ConcatDataset)
    assert [joined[k] for k in range(-1, len(joined))] == [1, 0, 1, 4, 0, 1]
    assert joined.__getitems__([4, 0, 2, 3]) == [1, 0, 4, 0]
    both = ConcatDataset([table(2), table(3)])
    assert [y.item() for _, y in both.__getitems__([4, 0, 1])] == [20, 0, 10]
    assert default_collate(both.__getitems__([4, 3]))[1].tolist() == [20, 10]
    for beyond in (5, -6):
        with pytest.raises(ig.IndexError, match=f"no example {beyond} of 5"):
            joined[beyond]
    with pytest.raises(ig.ArgumentError, match="at least one"):
        ConcatDataset([])
    with pytest.raises(ig.ArgumentError, match="ChainDataset"):
        ConcatDataset([Counting(0, 2)])


def test_chain_dataset() -> None:
    chained = Counting(0, 2) + Counting(5, 7)
    assert list(chained) == [0, 1, 5, 6]
    assert len(chained) == 4
    with pytest.raises(ig.DTypeError, match="no IterableDataset"):
        list(ChainDataset([Squares(2)]))


def test_stack_dataset() -> None:
    pairs = StackDataset(Squares(4), table(4))
    assert pairs[3][0] == 9
    named = StackDataset(a=Squares(4), b=Squares(4))
    assert named[3] == {"a": 9, "b": 9}
    assert named.__getitems__([1, 2]) == [{"a": 1, "b": 1}, {"a": 4, "b": 4}]
    square, (x, y) = default_collate(pairs.__getitems__([2, 0]))
    assert (square.tolist(), x.tolist(), y.tolist()) == ([4, 0], [[4, 5], [0, 1]], [20, 0])
    with pytest.raises(ig.ArgumentError, match=r"differ: \[4, 5\]"):
        StackDataset(Squares(4), Squares(5))
    for given in ((), (Squares(1),)):
        with pytest.raises(ig.ArgumentError, match="all by position or all by name"):
            StackDataset(*given, **({"a": Squares(1)} if given else {}))


def test_random_split_deals_every_example_once() -> None:
    parts = random_split(Squares(10), [3, 7], ig.Generator().manual_seed(4))
    again = random_split(Squares(10), [3, 7], ig.Generator().manual_seed(4))
    assert [list(p.indices) for p in parts] == [list(p.indices) for p in again]
    assert sorted(k for p in parts for k in p.indices) == list(range(10))
    shares = random_split(Squares(11), [0.5, 0.25, 0.25])
    assert [len(p) for p in shares] == [6, 3, 2]


def test_random_split_refuses() -> None:
    with pytest.raises(ig.ArgumentError, match="do not add up to the 10"):
        random_split(Squares(10), [3, 3])
    with pytest.raises(ig.ArgumentError, match="share 1.5 at 0"):
        random_split(Squares(10), [1.5, -0.5])
    with pytest.warns(UserWarning, match="subset 1 is empty"):
        random_split(Squares(1), [0.5, 0.5])


def test_collate_keeps_the_nest() -> None:
    example = {"p": Point(np.float32(1), np.ones((2, 3), np.int16)), "t": "text", "l": [1, (2.5,)]}
    batch = default_collate([example, example, example])
    assert type(batch["p"]) is Point
    assert (batch["p"].x.dtype, batch["p"].x.tolist()) == (ig.float32, [1, 1, 1])
    assert (batch["p"].y.dtype, tuple(batch["p"].y.shape)) == (ig.int16, (3, 2, 3))
    assert list(batch["t"]) == ["text"] * 3
    assert (batch["l"][0].dtype, batch["l"][1][0].dtype) == (ig.int64, ig.float64)
    assert default_collate([True, False]).dtype is ig.bool
    ordered = default_collate([collections.OrderedDict(a=1), collections.OrderedDict(a=2)])
    assert type(ordered) is collections.OrderedDict
    assert ordered["a"].tolist() == [1, 2]


def test_collate_joins_dtypes_as_tensors_do() -> None:
    """As torch, and not as NumPy, which takes f64 for i64 and f32."""
    for pair in ([np.array([1]), np.array([2.5], "f4")], [ig.tensor([1]), ig.tensor([2.5])]):
        assert default_collate(pair).dtype is ig.float32
        assert default_collate(pair[::-1]).tolist() == [[2.5], [1.0]]
    assert default_collate([1, 2.5]).dtype is ig.float32
    assert default_collate([np.array([1], "u1"), np.array([-1], "i1")]).dtype is ig.int16


def test_collate_keeps_the_tape() -> None:
    w = ig.ones(2, requires_grad=True)
    default_collate([w * 2, w * 3]).sum().backward()
    assert w.grad is not None
    assert w.grad.tolist() == [5, 5]


def test_collate_refuses() -> None:
    with pytest.raises(ig.ShapeError, match=r"\[\(2,\), \(3,\)\].*collate_fn"):
        default_collate([np.zeros(2), np.zeros(3)])
    with pytest.raises(ig.ShapeError, match=r"several lengths: \[1, 2\]"):
        default_collate([[1], [1, 2]])
    for odd in (None, object(), np.array(["a"]), np.datetime64("2020-01-01")):
        with pytest.raises(ig.DTypeError, match="are understood"):
            default_collate([odd, odd])


def test_arrays_are_collated_into_the_memory_given() -> None:
    ring = np.zeros(1000, np.uint8)
    used = 0

    def out(shape: tuple[int, ...], dtype: np.dtype[Any]) -> np.ndarray[Any, Any]:
        nonlocal used
        made = np.ndarray(shape, dtype, ring.data, used)
        used += -(-made.nbytes // 64) * 64
        return made

    examples = [(np.full((2, 3), k, np.float32), k, ig.tensor(k)) for k in range(4)]
    for batch in (collate_arrays(examples, out), collate_arrays(table().__getitems__([1, 2]), out)):
        assert isinstance(batch, list)
        assert all(isinstance(x, np.ndarray) and np.may_share_memory(x, ring) for x in batch)
        plain = collate_arrays(examples if len(batch) == 3 else table().__getitems__([1, 2]))
        assert all((x == y).all() for x, y in zip(batch, plain, strict=True))


def test_convert() -> None:
    made = default_convert({"a": np.arange(3), "b": (np.float32(2), "t", 7), "c": np.array(["x"])})
    assert made["a"].tolist() == [0, 1, 2]
    assert made["b"][0].item() == 2.0
    assert made["b"][1:] == ["t", 7]
    assert isinstance(made["c"], np.ndarray)
    assert type(default_convert(Point(np.ones(1), 2))) is Point


def test_found_under_utils_too() -> None:
    code = (
        "import intaglio.utils.data, intaglio.data;"
        "from intaglio.utils.data import Dataset, random_split;"
        "from intaglio.utils.data.distributed import DistributedSampler;"
        "from intaglio.utils.data.sampler import RandomSampler;"
        "from intaglio.utils.data.dataset import TensorDataset;"
        "from intaglio.utils.data.dataloader import DataLoader;"
        "import intaglio as ig;"
        "assert ig.utils.data.Dataset is ig.data.Dataset is Dataset"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
