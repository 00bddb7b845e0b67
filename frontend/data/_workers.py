"""What a loader's workers do, and the main process itself where there are none: examples of a
dataset to batches."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from intaglio._core import Tensor, from_array
from intaglio._modes import modes
from intaglio._places import to_host
from intaglio.compiler.errors import GradientError, IndexError
from intaglio.data._collate import collate_arrays, default_collate
from intaglio.data._datasets import (
    ConcatDataset,
    StackDataset,
    Subset,
    TensorDataset,
    row_numbers,
)
from intaglio.data._seeds import batch_seed, seed_all, seeded
from intaglio.runtime.loading import Exhausted, Fetcher, Room
from intaglio.runtime.loading.fetching import listed

Array = np.ndarray[Any, Any]
Collate = Callable[[Any], Any]
TENSOR, LEAF = "tensor", "leaf"
"""Kinds of arrays between processes: a tensor, and one that requires grad."""


@dataclass(frozen=True)
class WorkerInfo:
    """What `get_worker_info()` tells: the worker's number `id` among `num_workers`, the seed that
    its generators had at first, and its copy of the dataset."""

    id: int
    num_workers: int
    seed: int
    dataset: Any


_info: list[WorkerInfo] = []


def get_worker_info() -> WorkerInfo | None:
    """In a worker process of a loader, what that worker is; None anywhere else."""
    return _info[0] if _info else None


def draws_nothing(dataset: Any) -> bool:
    """Whether fetching from this dataset can't run code that draws random numbers: it is made of
    the classes of this package alone."""
    kind = type(dataset)
    if kind is Subset:
        return type(dataset.indices) in (list, range) and draws_nothing(dataset.dataset)
    if kind is ConcatDataset:
        return all(map(draws_nothing, dataset.datasets))
    if kind is StackDataset:
        inner = dataset.datasets
        return all(map(draws_nothing, inner.values() if isinstance(inner, dict) else inner))
    return kind is TensorDataset


class _Gather:
    """Batches of a `TensorDataset`, or of subsets of one: each column's rows in a single step, from
    where they lie to where the main process reads them."""

    def __init__(self, columns: list[Array], chosen: list[Array]) -> None:
        self._columns, self._chosen = columns, chosen

    @classmethod
    def of(cls, dataset: Any) -> _Gather | None:
        """For a dataset that is just that, on the CPU and without a derivative."""
        chosen = []
        while type(dataset) is Subset:
            chosen.append(np.asarray(dataset.indices, np.int64))
            dataset = dataset.dataset
        if type(dataset) is not TensorDataset:
            return None
        columns = [tensor._data for tensor in dataset.tensors if not tensor.requires_grad]
        plain = all(isinstance(column, np.ndarray) for column in columns)
        plain &= len(columns) == len(dataset.tensors)
        return cls(columns, chosen) if plain else None

    def __call__(self, wanted: Sequence[int], room: Room) -> list[Array]:
        """The rows of these numbers, negative ones counted from the end."""
        rows = row_numbers(wanted)
        for chosen in self._chosen:
            rows = chosen[rows]
        size = len(self._columns[0])
        least, most = (int(rows.min()), int(rows.max())) if rows.size else (0, -1)
        if not -size <= least <= most + 1 <= size:
            at = least if least < -size else most
            raise IndexError(f"DataLoader: {at} is out of range for {size} examples")
        rows = np.where(rows < 0, rows + size, rows) if least < 0 else rows
        made = []
        for column in self._columns:
            out = room.empty((len(rows), *column.shape[1:]), column.dtype)
            made.append(np.take(column, rows, axis=0, out=out, mode="clip"))
        return made


class BatchFetcher(Fetcher):
    """Common to both kinds of datasets. `collate` is None for the default one, which makes arrays
    where they are sent instead of tensors."""

    def __init__(
        self,
        dataset: Any,
        collate: Collate,
        base_seed: int,
        init: Callable[[int], object] | None = None,
    ) -> None:
        self.dataset, self.base_seed, self.init = dataset, base_seed, init
        self.collate = None if collate is default_collate else collate
        self.draws = not (draws_nothing(dataset) and self.collate is None)
        self.worker = 0
        self.alone = True

    def open(self, worker: int, workers: int) -> None:
        """Be worker number so and so, in a process of its own."""
        self.worker, self.alone = worker, False
        modes.trace = modes.watch = None
        modes.grad, modes.inference = True, False
        seed = self.base_seed + worker
        seed_all(seed)
        _info[:] = [WorkerInfo(worker, workers, seed, self.dataset)]
        if self.init is not None:
            self.init(worker)

    def _seeded(self, stream: int, number: int) -> AbstractContextManager[None]:
        """The random state of a batch; in a process of its own nothing need be put back."""
        if not self.draws:
            return nullcontext()
        seed = batch_seed(self.base_seed, stream, number)
        if self.alone:
            return seeded(seed)
        seed_all(seed)
        return nullcontext()

    def _collated(self, examples: Any, room: Room | None) -> Any:
        if self.collate is not None:
            return self.collate(examples)
        return default_collate(examples) if room is None else collate_arrays(examples, room.empty)

    def take_apart(self, thing: object) -> tuple[Array, Hashable] | None:
        """Tensors and arrays travel through shared memory."""
        if isinstance(thing, Tensor):
            if thing._node is not None:
                raise GradientError(
                    "DataLoader: a batch holds a tensor that was computed from one that requires"
                    " grad; its derivative can't leave the worker: detach() it, or load with"
                    " no_grad()"
                )
            return to_host(thing._data), LEAF if thing.requires_grad else TENSOR
        found = super().take_apart(thing)
        return (found[0], TENSOR) if found is not None and self.collate is None else found

    def put_together(self, array: Array, kind: Hashable) -> object:
        """A tensor, where it was one or the default collate made it."""
        if kind is None:
            return array
        made = from_array(array)
        if kind == LEAF:
            made.requires_grad = True
        return made


class MapFetcher(BatchFetcher):
    """Batches of a dataset that gives examples by number. A task is a batch's number and those of
    its examples; with `batched=False` the number of one example."""

    batched: bool = True
    _failed: Any = None
    _gather: _Gather | None = None

    def open(self, worker: int, workers: int) -> None:
        """As for all, and see whether batches can be gathered."""
        super().open(worker, workers)
        if self.batched and self.collate is None:
            self._gather = _Gather.of(self.dataset)

    def begin(self, given: int) -> None:
        """Take an epoch's seed."""
        self.base_seed = given

    def fetch(self, task: tuple[int, Any], room: Room | None) -> Any:
        """The batch of a task."""
        number, wanted = task
        if room is not None and self._gather is not None:
            return self._gather(wanted, room)
        with self._seeded(0, number):
            examples = self._several(wanted) if self.batched else self.dataset[wanted]
            return self._collated(examples, room)

    def _several(self, wanted: Sequence[Any]) -> Any:
        several = getattr(self.dataset, "__getitems__", None)
        if several:
            return several(wanted)
        dataset, examples = self.dataset, []
        self._failed = None
        try:
            for index in wanted:
                examples.append(dataset[index])  # tells where it failed
        except Exception:
            self._failed = index
            raise
        return examples

    def describe(self, task: tuple[int, Any]) -> str:
        """The batch's number and its examples', and which of them failed if that is known."""
        number, wanted = task
        if not self.batched:
            return f"batch {number}, sample {wanted!r}"
        if not isinstance(wanted, list | tuple):
            return f"batch {number}, samples {wanted!r:.200}"
        failed = "" if self._failed is None else f", at sample {self._failed!r}"
        return f"batch {number}, samples {listed(wanted)}{failed}"


@dataclass
class Stream:
    """Where one worker's part of an iterable stands: batches handed out, and the dataset's own
    state behind them, if it keeps one."""

    batches: int = 0
    state: Any = None


class IterableFetcher(BatchFetcher):
    """Batches of a dataset that is iterated over. Every task asks for the next batch; an answer is
    (worker, the dataset's state, batch)."""

    def __init__(self, *given: Any, batch_size: int | None, drop_last: bool) -> None:
        super().__init__(*given)
        self.batch_size, self.drop_last = batch_size, drop_last
        self.draws = True
        self._examples: Iterator[Any] | None = None

    def begin(self, given: tuple[int, list[Stream]]) -> None:
        """Begin an epoch of this seed, behind what was handed out of it already."""
        self.base_seed, streams = given
        stream = streams[self.worker]
        self._number, self._skipped = stream.batches, stream.batches
        kept = stream.state is not None
        with self._seeded(self.worker, -1):
            if kept:
                self.dataset.load_state_dict(stream.state)
            self._examples = iter(self.dataset)
        if not kept:
            self._number = 0
            while self._number < self._skipped and self._examples is not None:
                self._next(None)

    def fetch(self, task: Any, room: Room | None) -> tuple[int, Any, Any]:
        """The next batch."""
        batch = self._next(room) if self._examples is not None else _NOTHING
        if batch is _NOTHING:
            raise Exhausted
        keeps = getattr(self.dataset, "state_dict", None)
        return self.worker, keeps() if keeps is not None else None, batch

    def _next(self, room: Room | None) -> Any:
        """The next batch, skipped ones as None; `_NOTHING` at the end."""
        assert self._examples is not None
        skipping = self._number < self._skipped
        with self._seeded(self.worker, self._number):
            self._number += 1
            found = self._take(self._examples)
            if found is _NOTHING or skipping:
                return found
            return self._collated(found, room)

    def _take(self, examples: Iterator[Any]) -> Any:
        if self.batch_size is None:
            found = next(examples, _NOTHING)
            if found is _NOTHING:
                self._examples = None
            return found
        taken = []
        for example in examples:
            taken.append(example)
            if len(taken) == self.batch_size:
                return taken
        self._examples = None
        return _NOTHING if self.drop_last or not taken else taken

    def describe(self, task: Any) -> str:
        """Which batch of this worker's."""
        return f"batch {self._number - 1} of this worker's"


_NOTHING: Final = object()
