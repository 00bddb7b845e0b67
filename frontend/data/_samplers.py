"""Samplers: in which order the examples of a dataset are taken. Names and meaning as in torch.

A random order is drawn as a whole when iteration begins. `state_dict()` tells what the next
iteration depends on: after `load_state_dict` of it, `iter(sampler)` gives the same order again."""

from __future__ import annotations

import itertools
import math
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence, Sized
from typing import Any, Generic, TypeVar

import numpy as np

from intaglio._functions_create import as_tensor
from intaglio._functions_random import Generator
from intaglio._functions_sampling import multinomial
from intaglio.compiler.dtypes import float64
from intaglio.compiler.errors import ArgumentError, DTypeError
from intaglio.data._order import drawn_seed, draws_below, permutation

Number_co = TypeVar("Number_co", covariant=True)


class Sampler(Generic[Number_co]):
    """An order: a class of one's own defines `__iter__`, which gives numbers of examples (or lists
    of them, for a loader's `batch_sampler`), and where it can `__len__`."""

    def __init__(self, data_source: Sized | None = None) -> None:
        pass

    def __iter__(self) -> Iterator[Number_co]:
        raise NotImplementedError(
            f"{type(self).__name__} is a Sampler and defines no __iter__(self)"
        )


class SequentialSampler(Sampler[int]):
    """The order in which the examples lie."""

    def __init__(self, data_source: Sized) -> None:
        self.data_source = data_source

    def __iter__(self) -> Iterator[int]:
        return iter(range(len(self.data_source)))

    def __len__(self) -> int:
        return len(self.data_source)


class _Drawing(Sampler[int]):
    """A sampler that draws: from its generator, or from one seeded by the default stream."""

    generator: Generator | None
    _next_seed: int | None = None

    def _stream(self) -> Generator:
        """The generator for one iteration."""
        if self.generator is not None:
            return self.generator
        seed, self._next_seed = self._seed(), None
        return Generator().manual_seed(seed)

    def _seed(self) -> int:
        if self._next_seed is None:
            self._next_seed = drawn_seed()
        return self._next_seed

    def state_dict(self) -> dict[str, Any]:
        """What the next iteration depends on: the generator's state, or the seed that it will
        take."""
        if self.generator is not None:
            return {"generator": [int(x) for x in self.generator.get_state().numpy()]}
        return {"seed": self._seed()}

    def load_state_dict(self, state_dict: Mapping[str, Any]) -> None:
        """Let the next iteration be the one that was next when `state_dict()` was called."""
        wanted = "seed" if self.generator is None else "generator"
        if set(state_dict) != {wanted}:
            raise ArgumentError(
                f"{type(self).__name__}.load_state_dict: {sorted(state_dict)} is the state of a"
                f" sampler {'with' if wanted == 'seed' else 'without'} a generator of its own"
            )
        if self.generator is None:
            self._next_seed = int(state_dict["seed"])
        else:
            state = np.asarray(state_dict["generator"], np.int64)
            self.generator.set_state(as_tensor(state))


class RandomSampler(_Drawing):
    """All examples in random order, or `num_samples` of them: beyond the dataset's length it begins
    another order. With `replacement` each is drawn from all."""

    def __init__(
        self,
        data_source: Sized,
        replacement: bool = False,
        num_samples: int | None = None,
        generator: Generator | None = None,
    ) -> None:
        self.data_source, self.replacement = data_source, replacement
        self._num_samples, self.generator = num_samples, generator
        _check_flag("RandomSampler", "replacement", replacement)
        _check_count("RandomSampler", "num_samples", self.num_samples)

    @property
    def num_samples(self) -> int:
        """How many are taken: the dataset's length now, unless another number was given."""
        return len(self.data_source) if self._num_samples is None else self._num_samples

    def __iter__(self) -> Iterator[int]:
        size, count, stream = len(self.data_source), self.num_samples, self._stream()
        if self.replacement:
            return iter(draws_below(size, count, stream).tolist())
        orders = [permutation(size, stream) for _ in range(-(-count // size))]
        joined = orders[0] if len(orders) == 1 else np.concatenate(orders)
        return iter(joined[:count].tolist())

    def __len__(self) -> int:
        return self.num_samples


class SubsetRandomSampler(_Drawing):
    """The examples of these numbers in random order."""

    def __init__(self, indices: Sequence[int], generator: Generator | None = None) -> None:
        self.indices, self.generator = indices, generator

    def __iter__(self) -> Iterator[int]:
        order = permutation(len(self.indices), self._stream()).tolist()
        return iter([self.indices[k] for k in order])

    def __len__(self) -> int:
        return len(self.indices)


class WeightedRandomSampler(_Drawing):
    """Examples drawn with these weights as probabilities, which need not add up to 1; without
    `replacement` no example comes twice."""

    def __init__(
        self,
        weights: Sequence[float],
        num_samples: int,
        replacement: bool = True,
        generator: Generator | None = None,
    ) -> None:
        _check_count("WeightedRandomSampler", "num_samples", num_samples)
        _check_flag("WeightedRandomSampler", "replacement", replacement)
        self.weights = as_tensor(weights, dtype=float64)
        if self.weights.ndim != 1:
            raise ArgumentError(
                f"WeightedRandomSampler: weights in one dimension are wanted: {self.weights._kind}"
            )
        self.num_samples, self.replacement = num_samples, replacement
        self.generator = generator

    def __iter__(self) -> Iterator[int]:
        stream = self._stream()
        drawn = multinomial(self.weights, self.num_samples, self.replacement, generator=stream)
        return iter(drawn.tolist())

    def __len__(self) -> int:
        return self.num_samples


class BatchSampler(Sampler[list[int]]):
    """The numbers that a sampler gives, in lists of `batch_size`; the last one may be shorter, and
    is left out with `drop_last`."""

    def __init__(
        self, sampler: Sampler[int] | Iterable[int], batch_size: int, drop_last: bool
    ) -> None:
        _check_count("BatchSampler", "batch_size", batch_size)
        if not isinstance(drop_last, bool):
            raise ArgumentError(f"BatchSampler: drop_last is True or False, not {drop_last!r}")
        self.sampler, self.batch_size, self.drop_last = sampler, batch_size, drop_last

    def __iter__(self) -> Iterator[list[int]]:
        return self._batches(iter(self.sampler))

    def _batches(self, numbers: Iterator[int]) -> Iterator[list[int]]:
        while batch := list(itertools.islice(numbers, self.batch_size)):
            if self.drop_last and len(batch) < self.batch_size:
                return
            yield batch

    def __len__(self) -> int:
        size: int = len(self.sampler)  # type: ignore[arg-type]  # raises its own error
        return size // self.batch_size if self.drop_last else -(-size // self.batch_size)

    def state_dict(self) -> dict[str, Any]:
        """The state of the sampler, where it has one."""
        has = hasattr(self.sampler, "state_dict")
        return {"sampler": self.sampler.state_dict()} if has else {}  # type: ignore[union-attr]  # asked

    def load_state_dict(self, state_dict: Mapping[str, Any]) -> None:
        """Restore the sampler's state."""
        if "sampler" in state_dict:
            self.sampler.load_state_dict(state_dict["sampler"])  # type: ignore[union-attr]  # it gave it


class DistributedSampler(Sampler[int]):
    """This process's share of the examples, when `num_replicas` processes take one share each:
    every num_replicas-th of one order, which all of them know from `seed` and the epoch.

    `num_replicas` and `rank` are taken from the environment (WORLD_SIZE and RANK, as launchers set
    them) where they are not given. Call `set_epoch` before each epoch for another order. All shares
    are of one length: the first examples come twice, or with `drop_last` the last ones not at all.
    """

    def __init__(
        self,
        dataset: Sized,
        num_replicas: int | None = None,
        rank: int | None = None,
        shuffle: bool = True,
        seed: int = 0,
        drop_last: bool = False,
    ) -> None:
        replicas = _from_launcher("num_replicas", "WORLD_SIZE", num_replicas)
        rank = _from_launcher("rank", "RANK", rank)
        if not 0 <= rank < replicas:
            raise ArgumentError(
                f"DistributedSampler: rank {rank} is not between 0 and {replicas - 1}"
            )
        self.dataset, self.num_replicas, self.rank = dataset, replicas, rank
        self.shuffle, self.seed, self.drop_last = shuffle, seed, drop_last
        self.epoch = 0
        size = len(dataset)
        self.num_samples = size // replicas if drop_last else math.ceil(size / replicas)
        self.total_size = self.num_samples * replicas

    def __iter__(self) -> Iterator[int]:
        size = len(self.dataset)
        stream = Generator().manual_seed(self.seed + self.epoch)
        order = permutation(size, stream) if self.shuffle else np.arange(size)
        # resize repeats the order from its beginning until there are enough, or cuts it off
        taken = np.resize(order, self.total_size)[self.rank :: self.num_replicas]
        return iter(taken.tolist())

    def __len__(self) -> int:
        return self.num_samples

    def set_epoch(self, epoch: int) -> None:
        """Take the order of this epoch from now on."""
        self.epoch = epoch

    def state_dict(self) -> dict[str, Any]:
        """The epoch."""
        return {"epoch": self.epoch}

    def load_state_dict(self, state_dict: Mapping[str, Any]) -> None:
        """Take the order of the epoch that `state_dict()` told."""
        self.epoch = int(state_dict["epoch"])


def _from_launcher(name: str, variable: str, given: int | None) -> int:
    """The number given, or the one that the launcher of several processes put into the
    environment."""
    if given is not None:
        return given
    text = os.environ.get(variable, "")
    if not text.isdecimal():
        raise ArgumentError(
            f"DistributedSampler: {name} is not given, and {variable} is"
            f" {f'{text!r}, no number' if text else 'not set'}"
        )
    return int(text)


def _check_count(owner: str, name: str, count: Any) -> None:
    if not isinstance(count, int) or isinstance(count, bool) or count <= 0:
        raise ArgumentError(f"{owner}: {name} is a number above 0, not {count!r}")


def _check_flag(owner: str, name: str, flag: Any) -> None:
    if not isinstance(flag, bool):
        raise DTypeError(f"{owner}: {name} is True or False, not {flag!r}")
