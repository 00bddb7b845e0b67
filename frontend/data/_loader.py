"""DataLoader: batches of a dataset, in the order of a sampler, fetched here or by worker processes.

The batches do not depend on the number of workers. An epoch is fixed when it begins, by what the
sampler will give and one seed from the generator; every batch is fetched in a random state that
follows from this seed and the batch's number. So a position is that beginning and the number of
batches handed out since, and `state_dict()` is just that."""

from __future__ import annotations

import itertools
import multiprocessing
import os
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import partial
from multiprocessing.context import BaseContext
from typing import Any, Final, Generic, TypeVar

import numpy as np

from intaglio._core import Tensor, from_array
from intaglio._functions_random import Generator
from intaglio.compiler.errors import ArgumentError, DTypeError
from intaglio.data._collate import default_collate, default_convert
from intaglio.data._datasets import IterableDataset
from intaglio.data._order import drawn_seed
from intaglio.data._samplers import BatchSampler, RandomSampler, SequentialSampler, _Drawing
from intaglio.data._workers import IterableFetcher, MapFetcher, Stream
from intaglio.runtime.loading import Exhausted, Pool

Example_co = TypeVar("Example_co", covariant=True)
_FIXED: Final = frozenset(
    ("batch_size", "batch_sampler", "sampler", "drop_last", "dataset", "persistent_workers")
)
_PREFETCH: Final = 2


@dataclass
class Position:
    """Where a loader is: the epoch, whether it was begun and with which seed, what sampler and
    generator were at its beginning, and what was handed out of it."""

    epoch: int = 0
    batches: int = 0
    base_seed: int | None = None
    sampler: Any = None
    generator: list[int] | None = None
    streams: list[Stream] = field(default_factory=list)
    last: int = -1

    def finish(self) -> None:
        """The epoch is over."""
        self.epoch, self.batches, self.base_seed = self.epoch + 1, 0, None
        self.sampler = self.generator = None
        self.streams, self.last = [], -1


class DataLoader(Generic[Example_co]):
    """Batches of a dataset: `for x, y in DataLoader(dataset, batch_size=64, shuffle=True)`.

    Arguments, their defaults and meaning are torch's; docs/data.md says where there is more to
    tell. With `num_workers`, processes fetch ahead (2 batches each; more of small ones, unless
    `prefetch_factor` says how many) and hand batches over in shared memory. The batches are the
    same for any number of workers, also where the dataset draws random numbers (from `ig`, `random`
    or `np.random`). `pin_memory` and `pin_memory_device` have no effect.

    An exception of the dataset is raised again as the same class; a worker that dies or exceeds
    `timeout` seconds raises `LoadingError`, a RuntimeError."""

    _ready = False
    _pool: Pool | None = None

    def __init__(
        self,
        dataset: Any,
        batch_size: int | None = 1,
        shuffle: bool | None = None,
        sampler: Iterable[Any] | None = None,
        batch_sampler: Iterable[Any] | None = None,
        num_workers: int = 0,
        collate_fn: Callable[[Any], Any] | None = None,
        pin_memory: bool = False,
        drop_last: bool = False,
        timeout: float = 0,
        worker_init_fn: Callable[[int], object] | None = None,
        multiprocessing_context: BaseContext | str | None = None,
        generator: Generator | None = None,
        *,
        prefetch_factor: int | None = None,
        persistent_workers: bool = False,
        pin_memory_device: str = "",
        in_order: bool = True,
    ) -> None:
        self.dataset, self.num_workers, self.timeout = dataset, num_workers, timeout
        self.pin_memory, self.pin_memory_device = pin_memory, pin_memory_device
        self.worker_init_fn, self.generator, self.in_order = worker_init_fn, generator, in_order
        self.persistent_workers, self._wanted_prefetch = persistent_workers, prefetch_factor
        self.prefetch_factor = _PREFETCH if num_workers and not prefetch_factor else prefetch_factor
        self._check_workers(prefetch_factor)
        self.multiprocessing_context = multiprocessing_context
        self._iterable = isinstance(dataset, IterableDataset)
        if self._iterable:
            self._check_iterable(shuffle, sampler, batch_sampler)
        self._check_batches(batch_size, bool(shuffle), sampler, batch_sampler, drop_last)
        if batch_sampler is not None:
            batch_size = None
        if sampler is None and not self._iterable:
            sampler = RandomSampler(dataset, generator=generator) if shuffle else None
            sampler = SequentialSampler(dataset) if sampler is None else sampler
        if sampler is not None and batch_size is not None and batch_sampler is None:
            batch_sampler = BatchSampler(sampler, batch_size, drop_last)
        self.batch_size, self.drop_last = batch_size, drop_last
        self.sampler, self.batch_sampler = sampler, batch_sampler
        self._batched = batch_sampler is not None or (self._iterable and batch_size is not None)
        self.collate_fn = collate_fn or (default_collate if self._batched else default_convert)
        self._position = Position()
        self._resumes = False
        self._told_length: int | None = None
        self._ready = True

    def _check_workers(self, prefetch_factor: int | None) -> None:
        """Refuse what does not fit the number of workers."""
        workers = self.num_workers
        if workers < 0:
            raise ArgumentError(f"DataLoader: num_workers={workers}; 0 is no worker processes")
        if self.timeout < 0:
            raise ArgumentError(f"DataLoader: timeout={self.timeout}; 0 is no limit")
        if prefetch_factor is not None and (not workers or prefetch_factor < 1):
            raise ArgumentError(
                f"DataLoader: prefetch_factor={prefetch_factor} with num_workers={workers}: it is"
                " how many batches each worker fetches ahead, 1 at least"
            )
        if self.persistent_workers and not workers:
            raise ArgumentError("DataLoader: persistent_workers needs num_workers > 0")
        cores = len(os.sched_getaffinity(0))
        if workers > cores:
            warnings.warn(
                f"DataLoader: {workers} workers on {cores} cores; more workers than cores are"
                " seldom faster",
                stacklevel=3,
            )

    def _check_iterable(self, shuffle: Any, sampler: Any, batch_sampler: Any) -> None:
        """Refuse what has no meaning for a dataset without numbers."""
        given = {"shuffle": shuffle or None, "sampler": sampler, "batch_sampler": batch_sampler}
        for name, value in given.items():
            if value is not None:
                raise ArgumentError(
                    f"DataLoader: {name}={value!r} with an IterableDataset, which has an order of"
                    " its own"
                )

    def _check_batches(
        self,
        batch_size: int | None,
        shuffle: bool,
        sampler: Any,
        batch_sampler: Any,
        drop_last: bool,
    ) -> None:
        """Refuse options that contradict each other."""
        if sampler is not None and shuffle:
            raise ArgumentError("DataLoader: sampler and shuffle exclude each other")
        if batch_sampler is not None:
            if batch_size != 1 or shuffle or sampler is not None or drop_last:
                raise ArgumentError(
                    "DataLoader: batch_sampler excludes batch_size, shuffle, sampler and drop_last"
                )
        elif batch_size is None:
            if drop_last:
                raise ArgumentError("DataLoader: batch_size=None makes no batches to drop")
        elif not isinstance(batch_size, int) or isinstance(batch_size, bool) or batch_size < 1:
            raise ArgumentError(f"DataLoader: batch_size={batch_size!r}; a number above 0 or None")

    @property
    def multiprocessing_context(self) -> Any:
        """How workers are started: a context of `multiprocessing`, or None for the default."""
        return self._context

    @multiprocessing_context.setter
    def multiprocessing_context(self, given: BaseContext | str | None) -> None:
        if given is not None and not self.num_workers:
            raise ArgumentError("DataLoader: multiprocessing_context needs num_workers > 0")
        if isinstance(given, str):
            methods = multiprocessing.get_all_start_methods()
            if given not in methods:
                raise ArgumentError(
                    f"DataLoader: multiprocessing_context={given!r}; it is one of {methods}"
                )
            given = multiprocessing.get_context(given)
        if given is not None and not isinstance(given, BaseContext):
            raise DTypeError(
                "DataLoader: multiprocessing_context is a context of multiprocessing or a start"
                f" method's name, not {given!r}"
            )
        self._context = given

    def __setattr__(self, name: str, value: Any) -> None:
        if self._ready and name in _FIXED:
            raise ArgumentError(f"DataLoader: {name} is fixed once the loader is made")
        super().__setattr__(name, value)

    def __len__(self) -> int:
        """The number of batches in an epoch; of an iterable, as far as its own length tells."""
        if not self._iterable:
            order = self.sampler if self.batch_sampler is None else self.batch_sampler
            return len(order)  # type: ignore[arg-type]  # raises its own error
        length = self._told_length = len(self.dataset)
        if self.batch_size is None:
            return length
        return length // self.batch_size if self.drop_last else -(-length // self.batch_size)

    def __iter__(self) -> Iterator[Any]:
        """The batches of the next epoch, or the rest of the one that was loaded."""
        position = self._position
        if not self._resumes:
            if position.base_seed is not None:  # the last epoch was left before its end
                position = self._position = Position(position.epoch + 1)
            self._begin(position)
        resumes, self._resumes = self._resumes, False
        maker = _iterable_epoch if self._iterable else _map_epoch
        return maker(self, position, resumes)

    def _begin(self, position: Position) -> None:
        """Note what the new epoch depends on, and draw its seed."""
        if self.generator is not None:
            position.generator = _numbers(self.generator.get_state())
        order = self._order()
        if hasattr(order, "state_dict"):
            position.sampler = order.state_dict()
        position.base_seed = drawn_seed(self.generator)

    def _order(self) -> Any:
        return self.sampler if self.batch_sampler is None else self.batch_sampler

    def _again(self, position: Position) -> None:
        """Put sampler and generator where they were when the epoch began."""
        if self.generator is not None and position.generator is not None:
            self.generator.set_state(_state(position.generator))
        order = self._order()
        if position.sampler is not None and hasattr(order, "load_state_dict"):
            order.load_state_dict(position.sampler)
        if self.generator is not None:
            drawn_seed(self.generator)

    def _workers(self, make: Callable[[], Any]) -> Pool:
        """The worker processes: those kept from the last epoch, or new ones."""
        if self._pool is not None and not self._pool.closed:
            return self._pool
        context = self._context
        if context is None and multiprocessing.get_start_method(allow_none=True) is not None:
            context = multiprocessing.get_context()
        pool = Pool(
            make(),
            self.num_workers,
            context=context,
            prefetch=self._wanted_prefetch,
            timeout=self.timeout,
        )
        if self.persistent_workers:
            self._pool = pool
        return pool

    def __getstate__(self) -> dict[str, Any]:
        """A loader is copied and pickled without its workers."""
        return {**self.__dict__, "_pool": None}

    # ------------------------------------------------------------------------------------- position

    def state_dict(self) -> dict[str, Any]:
        """The position: the epoch, what it depends on, and how many batches of it were handed out.
        Batches that workers fetched ahead do not count.

        The default generator is not part of it: it belongs to the whole run
        (`ig.get_rng_state()`)."""
        if self.num_workers and not self.in_order:
            raise ArgumentError("DataLoader.state_dict: with in_order=False there is no position")
        position = self._position
        sampler, generator = position.sampler, position.generator
        if position.base_seed is None:
            sampler = self._sampler_between_epochs()
            if self.generator is not None:
                generator = _numbers(self.generator.get_state())
        return {
            "epoch": position.epoch,
            "batches": position.batches,
            "base_seed": position.base_seed,
            "sampler": sampler,
            "generator": generator,
            "streams": [{"batches": s.batches, "state": s.state} for s in position.streams],
            "last": position.last,
        }

    def _sampler_between_epochs(self) -> Any:
        """The sampler's state, unless it is only a seed that the default generator will give."""
        order = self._order()
        inner = order.sampler if isinstance(order, BatchSampler) else order
        if isinstance(inner, _Drawing) and inner.generator is None:
            return None
        return order.state_dict() if hasattr(order, "state_dict") else None

    def load_state_dict(self, state_dict: Mapping[str, Any]) -> None:
        """Let the next `iter()` go on behind the last batch that was handed out when
        `state_dict()` was called, with any number of workers (for an iterable, the same)."""
        wanted = {"epoch", "batches", "base_seed", "sampler", "generator", "streams", "last"}
        if set(state_dict) != wanted:
            raise ArgumentError(
                f"DataLoader.load_state_dict: the keys {sorted(state_dict)} are not those of a"
                f" loader's state, {sorted(wanted)}"
            )
        given = dict(state_dict)
        seed = 0 if given["base_seed"] is None else given["base_seed"]
        counts = (given["epoch"], 0), (given["batches"], 0), (seed, 0), (given["last"], -1)
        if not all(isinstance(n, int | np.integer) and n >= least for n, least in counts):
            raise ArgumentError(
                "DataLoader.load_state_dict: the state is damaged: epoch, batches, base_seed and"
                f" last are whole numbers, not {[n for n, _ in counts]}"
            )
        given["streams"] = [Stream(s["batches"], s["state"]) for s in given["streams"]]
        position = Position(**given)
        streams = max(self.num_workers, 1)
        if position.streams and len(position.streams) != streams:
            raise ArgumentError(
                f"DataLoader.load_state_dict: the state is of {len(position.streams)} workers, and"
                f" this loader has {streams}: the order of an iterable depends on their number"
            )
        self._position, self._resumes = position, position.base_seed is not None
        if position.base_seed is None:
            order = self._order()
            if position.sampler is not None and hasattr(order, "load_state_dict"):
                order.load_state_dict(position.sampler)
            if self.generator is not None and position.generator is not None:
                self.generator.set_state(_state(position.generator))
            position.sampler = position.generator = None


def _numbers(state: Tensor) -> list[int]:
    return [int(number) for number in state.numpy()]


def _state(numbers: Iterable[int]) -> Tensor:
    return from_array(np.array(list(numbers), np.int64))


def _map_epoch(loader: DataLoader[Any], position: Position, resumes: bool) -> Iterator[Any]:
    """The batches of an epoch by numbers."""
    assert position.base_seed is not None
    if resumes:
        loader._again(position)
    numbers = iter(loader._order())
    for _ in itertools.islice(numbers, position.batches):
        pass
    tasks = zip(itertools.count(position.batches), numbers)  # one is without end
    seed = position.base_seed

    def make() -> MapFetcher:
        init = loader.worker_init_fn if loader.num_workers else None
        made = MapFetcher(loader.dataset, loader.collate_fn, seed, init)
        made.batched = loader._batched
        return made

    if not loader.num_workers:
        fetch = partial(_fetch_here, make())
        return _Epoch(loader, position, None, map(fetch, tasks))
    pool = loader._workers(make)
    return _Epoch(loader, position, pool, pool.run(tasks, begin=seed, ordered=loader.in_order))


def _fetch_here(fetcher: MapFetcher, task: tuple[int, Any]) -> Any:
    return fetcher.fetch(task, None)


def _iterable_epoch(loader: DataLoader[Any], position: Position, resumes: bool) -> Iterator[Any]:
    """The batches of an epoch of an iterable; each worker has its own part."""
    assert position.base_seed is not None
    if resumes:
        loader._again(position)
    workers = loader.num_workers
    seed = position.base_seed
    if not position.streams:
        position.streams = [Stream() for _ in range(max(workers, 1))]

    def make() -> IterableFetcher:
        init = loader.worker_init_fn if workers else None
        return IterableFetcher(
            loader.dataset,
            loader.collate_fn,
            seed,
            init,
            batch_size=loader.batch_size,
            drop_last=loader.drop_last,
        )

    begin = seed, position.streams
    if not workers:
        return _Epoch(loader, position, None, _iterate_here(make(), begin))
    pool = loader._workers(make)
    after = (position.last + 1) % workers
    tasks = itertools.repeat(None)
    run = pool.run(tasks, begin=begin, ordered=loader.in_order, turn=after)
    return _Epoch(loader, position, pool, run)


def _iterate_here(fetcher: IterableFetcher, begin: tuple[int, list[Stream]]) -> Iterator[Any]:
    fetcher.begin(begin)
    while True:
        try:
            yield fetcher.fetch(None, None)
        except Exhausted:
            return


class _Epoch(Iterator[Any]):
    """The batches of one epoch, counted."""

    def __init__(
        self,
        loader: DataLoader[Any],
        position: Position,
        pool: Pool | None,
        batches: Iterator[Any],
    ) -> None:
        self._loader, self._position, self._batches = loader, position, batches
        self._pool = None if loader.persistent_workers else pool
        self._iterable = loader._iterable
        self._left = position.base_seed

    def __next__(self) -> Any:
        position = self._position
        try:
            batch = next(self._batches)
        except StopIteration:
            self._finish()
            raise
        position.batches += 1
        if self._iterable:
            batch = self._of_stream(batch)
        return batch

    def _of_stream(self, answer: tuple[int, Any, Any]) -> Any:
        """Note whose batch it was."""
        position = self._position
        worker, state, batch = answer
        position.streams[worker].batches += 1
        position.streams[worker].state = state
        position.last = worker
        told = self._loader._told_length
        size = self._loader.batch_size or 1
        if told is not None and (position.batches - 1) * size >= told:
            self._loader._told_length = None
            warnings.warn(
                f"DataLoader: the IterableDataset said that it has {told} examples, and gives more;"
                " does each worker take only its part (get_worker_info())?",
                stacklevel=3,
            )
        return batch

    def _finish(self) -> None:
        if self._left is not None and self._position.base_seed == self._left:
            self._position.finish()
        self._left = None
        if self._pool is not None:
            self._pool.close()

    def __len__(self) -> int:
        """The number of batches in the whole epoch."""
        return len(self._loader)
