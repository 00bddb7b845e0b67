"""Datasets: what has examples by number, what gives them one after another, and how such are put
together. Names and meaning as in torch.

`__getitems__(indices)` gives several examples at once. Where all of them lie in tensors it gives
`Rows`, one gather per tensor, which collate takes as they are."""

from __future__ import annotations

import bisect
import itertools
import math
import warnings
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Generic, TypeVar, overload

import numpy as np

from intaglio._core import Tensor, from_array
from intaglio._functions_gather import index_select
from intaglio._functions_random import Generator
from intaglio.compiler.errors import ArgumentError, DTypeError, IndexError
from intaglio.data._order import permutation

Example = TypeVar("Example")
Example_co = TypeVar("Example_co", covariant=True)


class Rows(Sequence[tuple[Tensor, ...]]):
    """Examples that lie in the rows of tensors: reads like a list of tuples of tensors, and holds
    the tensors themselves as `columns`."""

    def __init__(self, columns: tuple[Tensor, ...]) -> None:
        self.columns = columns

    def __len__(self) -> int:
        return len(self.columns[0])

    @overload
    def __getitem__(self, index: int) -> tuple[Tensor, ...]: ...
    @overload
    def __getitem__(self, index: slice) -> Rows: ...
    def __getitem__(self, index: int | slice) -> tuple[Tensor, ...] | Rows:
        parts = tuple(column[index] for column in self.columns)
        return Rows(parts) if isinstance(index, slice) else parts


class Dataset(Generic[Example_co]):
    """Examples by number: a class of one's own defines `__getitem__`, mostly `__len__`, and where
    several examples are cheaper than each of them `__getitems__(indices)`, a list of them."""

    def __getitem__(self, index: Any) -> Example_co:
        raise NotImplementedError(
            f"{type(self).__name__} is a Dataset and defines no __getitem__(self, index)"
        )

    def __add__(self, other: Dataset[Example_co]) -> ConcatDataset[Example_co]:
        return ConcatDataset([self, other])


class IterableDataset(Dataset[Example_co], Iterable[Example_co]):
    """Examples one after another: a class of one's own defines `__iter__`. Every worker of a loader
    iterates over a copy, which `get_worker_info()` tells which it is."""

    def __add__(self, other: Dataset[Example_co]) -> Any:
        return ChainDataset([self, other])


class TensorDataset(Dataset[tuple[Tensor, ...]]):
    """Examples that are the rows of tensors, all with the same first size."""

    def __init__(self, *tensors: Tensor) -> None:
        for tensor in tensors:
            if not isinstance(tensor, Tensor):
                raise DTypeError(
                    f"TensorDataset: a tensor is wanted, not {type(tensor).__name__};"
                    " ig.from_numpy(array) shares an array's memory"
                )
        if not tensors or any(t.ndim == 0 or t.size(0) != tensors[0].size(0) for t in tensors):
            shown = ", ".join(str(t._kind) for t in tensors) or "no tensors"
            raise ArgumentError(f"TensorDataset: {shown}: one first size is wanted for all")
        self.tensors = tensors

    def __getitem__(self, index: Any) -> tuple[Tensor, ...]:
        return tuple(tensor[index] for tensor in self.tensors)

    def __getitems__(self, indices: Sequence[int]) -> Rows:
        """The rows of these numbers."""
        chosen = row_numbers(indices)
        return Rows(tuple(_gather(tensor, chosen) for tensor in self.tensors))

    def __len__(self) -> int:
        return len(self.tensors[0])


def row_numbers(indices: Sequence[int]) -> np.ndarray[Any, Any]:
    """The numbers of rows as an array, i64[n]; an error for what is no whole number."""
    found = np.asarray(indices)
    if found.dtype.kind not in "iu" and found.size:
        raise IndexError(
            f"TensorDataset: rows have whole numbers; the sampler gives {found.dtype} such as"
            f" {indices[0]!r}"
        )
    return found.astype(np.int64, copy=False)


def _gather(tensor: Tensor, rows: np.ndarray[Any, Any]) -> Tensor:
    if isinstance(tensor._data, np.ndarray) and not tensor.requires_grad:
        return from_array(tensor._data.take(rows, axis=0))
    size = tensor.shape[0]
    counted = np.where(rows < 0, rows + size, rows)
    return index_select(tensor, 0, from_array(counted))


def fetch(dataset: Any, indices: Sequence[int]) -> Any:
    """Several examples of a dataset: at once where it can, else one by one."""
    several = getattr(dataset, "__getitems__", None)
    if callable(several):
        return several(indices)
    return [dataset[index] for index in indices]


class Subset(Dataset[Example_co]):
    """The examples of a dataset that have these numbers."""

    def __init__(self, dataset: Dataset[Example_co], indices: Sequence[int]) -> None:
        self.dataset, self.indices = dataset, indices

    def __getitem__(self, index: Any) -> Example_co:
        if isinstance(index, list):
            return self.dataset[[self.indices[k] for k in index]]
        return self.dataset[self.indices[index]]

    def __getitems__(self, indices: Sequence[int]) -> Any:
        """The examples of these numbers."""
        return fetch(self.dataset, [self.indices[k] for k in indices])

    def __len__(self) -> int:
        return len(self.indices)


class ConcatDataset(Dataset[Example_co]):
    """The examples of several datasets, those of the first one first."""

    datasets: list[Dataset[Example_co]]
    cumulative_sizes: list[int]

    def __init__(self, datasets: Iterable[Dataset[Example_co]]) -> None:
        self.datasets = list(datasets)
        if not self.datasets:
            raise ArgumentError("ConcatDataset: at least one dataset is wanted")
        for dataset in self.datasets:
            if isinstance(dataset, IterableDataset):
                raise ArgumentError(
                    "ConcatDataset: an IterableDataset has no examples by number; use ChainDataset"
                )
        sizes: Iterator[int] = (len(d) for d in self.datasets)  # type: ignore[arg-type]  # all have one
        self.cumulative_sizes = list(itertools.accumulate(sizes))

    def __len__(self) -> int:
        return self.cumulative_sizes[-1]

    def _place(self, index: int) -> tuple[int, int]:
        """Which dataset, and the number there."""
        counted = index + len(self) if index < 0 else index
        if not 0 <= counted < len(self):
            raise IndexError(f"ConcatDataset: there is no example {index} of {len(self)}")
        which = bisect.bisect_right(self.cumulative_sizes, counted)
        return which, counted - (self.cumulative_sizes[which - 1] if which else 0)

    def __getitem__(self, index: int) -> Example_co:
        which, number = self._place(index)
        return self.datasets[which][number]

    def __getitems__(self, indices: Sequence[int]) -> list[Example_co]:
        """The examples of these numbers, fetched from each dataset at once."""
        places = [self._place(index) for index in indices]
        found: list[Any] = [None] * len(places)
        for which in {which for which, _ in places}:
            at = [k for k, place in enumerate(places) if place[0] == which]
            fetched = fetch(self.datasets[which], [places[k][1] for k in at])
            if len(at) == len(places):
                return fetched
            for k, example in zip(at, fetched, strict=True):
                found[k] = example
        return found


class ChainDataset(IterableDataset[Example_co]):
    """The examples of several iterable datasets, one dataset after the other."""

    def __init__(self, datasets: Iterable[Dataset[Example_co]]) -> None:
        self.datasets = datasets

    def _checked(self) -> Iterator[IterableDataset[Example_co]]:
        for dataset in self.datasets:
            if not isinstance(dataset, IterableDataset):
                raise DTypeError(
                    f"ChainDataset: {type(dataset).__name__} is no IterableDataset;"
                    " ConcatDataset joins datasets with examples by number"
                )
            yield dataset

    def __iter__(self) -> Iterator[Example_co]:
        for dataset in self._checked():
            yield from dataset

    def __len__(self) -> int:
        parts: Iterator[Any] = self._checked()
        return sum(len(dataset) for dataset in parts)


class StackDataset(Dataset[Any]):
    """Examples put together from several datasets of one length: tuples for datasets given by
    position, dicts for those given by name."""

    datasets: tuple[Any, ...] | dict[str, Any]

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        if bool(args) == bool(kwargs):
            raise ArgumentError("StackDataset: datasets are wanted, all by position or all by name")
        self.datasets = args or kwargs
        lengths = [len(dataset) for dataset in (args or kwargs.values())]
        if len(set(lengths)) > 1:
            raise ArgumentError(f"StackDataset: the lengths of the datasets differ: {lengths}")
        self._length = lengths[0]

    def __getitem__(self, index: Any) -> Any:
        if isinstance(self.datasets, dict):
            return {name: dataset[index] for name, dataset in self.datasets.items()}
        return tuple(dataset[index] for dataset in self.datasets)

    def __getitems__(self, indices: Sequence[int]) -> list[Any]:
        """The examples of these numbers, fetched from each dataset at once."""
        named = isinstance(self.datasets, dict)
        parts = self.datasets.values() if isinstance(self.datasets, dict) else self.datasets
        fetched = [fetch(dataset, indices) for dataset in parts]
        for dataset, examples in zip(parts, fetched, strict=True):
            if len(examples) != len(indices):
                raise ArgumentError(
                    f"StackDataset: {type(dataset).__name__} gave {len(examples)} examples for"
                    f" {len(indices)} numbers"
                )
        rows = zip(*fetched, strict=True)
        return [dict(zip(self.datasets, row, strict=True)) for row in rows] if named else list(rows)

    def __len__(self) -> int:
        return self._length


def random_split(
    dataset: Dataset[Example],
    lengths: Sequence[int | float],
    generator: Generator | None = None,
) -> list[Subset[Example]]:
    """The examples of a dataset, dealt out at random into subsets of these lengths, or of these
    shares of 1 (rounded down, the rest going one by one to the first subsets)."""
    size: int = len(dataset)  # type: ignore[arg-type]  # raises its own error
    counts = _shares(size, lengths) if _are_shares(lengths) else [int(n) for n in lengths]
    if sum(counts) != size or any(n < 0 for n in counts):
        raise ArgumentError(
            f"random_split: the lengths {list(lengths)} do not add up to the {size} examples"
        )
    order = permutation(size, generator).tolist()
    ends = itertools.accumulate(counts)
    return [Subset(dataset, order[end - n : end]) for end, n in zip(ends, counts, strict=True)]


def _are_shares(lengths: Sequence[int | float]) -> bool:
    return math.isclose(sum(lengths), 1) and sum(lengths) <= 1


def _shares(size: int, shares: Sequence[int | float]) -> list[int]:
    for k, share in enumerate(shares):
        if not 0 <= share <= 1:
            raise ArgumentError(f"random_split: the share {share} at {k} is not between 0 and 1")
    counts = [math.floor(size * share) for share in shares]
    for k in range(size - sum(counts)):
        counts[k % len(counts)] += 1
    for k, count in enumerate(counts):
        if not count:
            warnings.warn(f"random_split: subset {k} is empty", stacklevel=3)
    return counts
