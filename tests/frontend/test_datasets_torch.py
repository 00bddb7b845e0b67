"""The same datasets, samplers and batches in torch and here: shares, lengths, nests, dtypes."""

import collections
import types
import warnings
from typing import Any, NamedTuple

import numpy as np
import pytest

import intaglio as ig
from intaglio import data

pytestmark = pytest.mark.torch
torch: Any = pytest.importorskip("torch")
theirs: Any = pytest.importorskip("torch.utils.data")


class Point(NamedTuple):
    x: Any
    y: Any


class Frozen(collections.abc.Mapping[str, Any]):
    def __init__(self, given: dict[str, Any]) -> None:
        self.given = given

    def __getitem__(self, key: str) -> Any:
        return self.given[key]

    def __iter__(self) -> Any:
        return iter(self.given)

    def __len__(self) -> int:
        return len(self.given)


def shown(x: Any) -> Any:
    """A nest with its types, for comparison."""
    if isinstance(x, ig.Tensor | torch.Tensor):
        return ("tensor", repr(x.dtype).rpartition(".")[2], tuple(x.shape), x.tolist())
    if isinstance(x, np.ndarray):
        return ("array", x.dtype, x.tolist())
    if isinstance(x, collections.abc.Mapping):
        return type(x).__name__, [(k, shown(v)) for k, v in x.items()]
    if isinstance(x, list | tuple | collections.deque):
        return type(x).__name__, [shown(v) for v in x]
    return type(x).__name__, x


EXAMPLES: list[Any] = [
    1, 2.5, True, "text", b"bytes", np.float32(2), np.int16(3), np.bool_(True), np.float64(1),
    np.arange(3), np.ones((2, 2), np.float16), np.array(7), np.array(2.5, np.float32),
    [1, 2.5], (1, 2.5), Point(1, (2, 3)), {"a": 1, "b": [np.ones(2), "t"]},
    collections.OrderedDict(z=1, a=2.0), collections.defaultdict(int, a=1), Frozen({"k": (1,)}),
    types.MappingProxyType({"k": 1}), range(3), {}, [], (),
    collections.deque([1, 2]), [[[1], (2,)], {"a": {"b": 1}}],
]  # fmt: skip


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda x: type(x).__name__)
def test_collate_and_convert(example: Any) -> None:
    for ours, other in (
        (data.default_collate([example] * 3), theirs.default_collate([example] * 3)),
        (data.default_convert(example), theirs.default_convert(example)),
    ):
        assert shown(ours) == shown(other)


def test_collate_of_tensors() -> None:
    for lib, collate in ((ig, data.default_collate), (torch, theirs.default_collate)):
        batch = collate([{"x": lib.ones(2, 3), "n": lib.tensor(k)} for k in range(4)])
        assert tuple(batch["x"].shape) == (4, 2, 3)
        assert batch["n"].tolist() == [0, 1, 2, 3]


@pytest.mark.parametrize(
    "batch",
    [[None], [object()], [[1], [1, 2]], [np.zeros(2), np.zeros(3)], [np.array(["a"])], []],
    ids=repr,
)
def test_both_refuse(batch: Any) -> None:
    kinds = []
    for collate in (data.default_collate, theirs.default_collate):
        with pytest.raises((TypeError, RuntimeError, ValueError, LookupError)) as caught:
            collate(batch)
        kinds.append(isinstance(caught.value, TypeError))
    assert kinds[0] == kinds[1]


@pytest.mark.parametrize("size", [1, 2, 7, 10, 12])
@pytest.mark.parametrize("replicas", [1, 3, 5])
@pytest.mark.parametrize("drop_last", [False, True])
def test_shares(size: int, replicas: int, drop_last: bool) -> None:
    for rank in range(replicas):
        ours, other = (
            s(range(size), replicas, rank, shuffle=False, drop_last=drop_last)
            for s in (data.DistributedSampler, theirs.DistributedSampler)
        )
        assert (list(ours), len(ours)) == (list(other), len(other))


@pytest.mark.parametrize("drop_last", [False, True])
@pytest.mark.parametrize("batch", [1, 3, 10, 11])
def test_batches(batch: int, drop_last: bool) -> None:
    ours = data.BatchSampler(data.SequentialSampler(range(10)), batch, drop_last)
    other = theirs.BatchSampler(theirs.SequentialSampler(range(10)), batch, drop_last)
    assert (list(ours), len(ours)) == (list(other), len(other))


@pytest.mark.parametrize(
    ("size", "lengths"),
    [(10, [3, 7]), (10, [0.5, 0.5]), (11, [0.3, 0.3, 0.4]), (5, [0.1, 0.9]), (3, [0, 3])],
)
def test_split_lengths(size: int, lengths: list[float]) -> None:
    with warnings.catch_warnings(record=True) as ours:
        warnings.simplefilter("always")
        one = [len(s) for s in data.random_split(range(size), lengths)]  # type: ignore[arg-type]
    with warnings.catch_warnings(record=True) as others:
        warnings.simplefilter("always")
        assert one == [len(s) for s in theirs.random_split(range(size), lengths)]
    assert len(ours) == len(others)


def test_lengths_of_samplers() -> None:
    for name, arguments in (
        ("RandomSampler", (range(10), False, 25)),
        ("RandomSampler", (range(10), True, 3)),
        ("RandomSampler", (range(10),)),
        ("SubsetRandomSampler", ([1, 5, 2],)),
        ("WeightedRandomSampler", ([0.5, 0.5, 2.0], 7)),
        ("WeightedRandomSampler", ([0.5, 0.5, 2.0], 3, False)),
    ):
        ours, other = (getattr(lib, name)(*arguments) for lib in (data, theirs))
        assert len(ours) == len(other) == len(list(ours)) == len(list(other))


@pytest.mark.parametrize(
    ("name", "arguments"),
    [
        ("RandomSampler", (range(3), 1)),
        ("RandomSampler", (range(3), False, 0)),
        ("BatchSampler", (range(3), 0, False)),
        ("BatchSampler", (range(3), 2, "no")),
        ("WeightedRandomSampler", ([1.0], 0)),
        ("WeightedRandomSampler", ([[1.0]], 1)),
        ("DistributedSampler", (range(3), 2, 2)),
        ("ConcatDataset", ([],)),
        ("StackDataset", ()),
    ],
)
def test_both_refuse_arguments(name: str, arguments: Any) -> None:
    for lib in (data, theirs):
        with pytest.raises((TypeError, ValueError, AssertionError)):
            getattr(lib, name)(*arguments)
