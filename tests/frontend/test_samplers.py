"""Samplers: their orders, their shares, and the states that bring an order back."""

from typing import Any

import numpy as np
import pytest

import intaglio as ig
from intaglio.data import (
    BatchSampler,
    DistributedSampler,
    RandomSampler,
    Sampler,
    SequentialSampler,
    SubsetRandomSampler,
    WeightedRandomSampler,
)


def seeded(seed: int) -> ig.Generator:
    return ig.Generator().manual_seed(seed)


def test_a_sampler_without_iter_says_so() -> None:
    with pytest.raises(NotImplementedError, match="defines no __iter__"):
        iter(Sampler[int]())


def test_sequential() -> None:
    sampler = SequentialSampler("abc")
    assert (list(sampler), len(sampler)) == ([0, 1, 2], 3)


def test_random_takes_the_order_of_randperm() -> None:
    sampler = RandomSampler(range(1000), generator=seeded(3))
    numbers = seeded(3)
    for _ in range(2):
        assert list(sampler) == ig.randperm(1000, generator=numbers).tolist()


def test_random_beyond_and_below_the_length() -> None:
    assert len(list(RandomSampler(range(10), num_samples=4))) == 4
    more = list(RandomSampler(range(10), num_samples=25))
    assert len(more) == len(RandomSampler(range(10), num_samples=25)) == 25
    assert sorted(more[:10]) == sorted(more[10:20]) == list(range(10))
    drawn = list(RandomSampler(range(10), replacement=True, num_samples=10_000))
    assert all(800 < n < 1200 for n in np.bincount(drawn))


def test_random_follows_the_default_stream() -> None:
    orders = []
    for _ in range(2):
        ig.manual_seed(7)
        orders.append(list(RandomSampler(range(100))))
    assert orders[0] == orders[1] != list(RandomSampler(range(100)))


def test_subset_random() -> None:
    sampler = SubsetRandomSampler([4, 8, 15, 16, 23], generator=seeded(0))
    first, second = list(sampler), list(sampler)
    assert sorted(first) == sorted(second) == [4, 8, 15, 16, 23]
    assert len(sampler) == 5


def test_weighted_random() -> None:
    drawn = list(WeightedRandomSampler([0.0, 1.0, 3.0], 8000, generator=seeded(1)))
    counts = np.bincount(drawn, minlength=3)
    assert counts[0] == 0
    assert 5800 < counts[2] < 6200
    apart = list(WeightedRandomSampler([0.5, 1.0, 3.0], 3, replacement=False))
    assert sorted(apart) == [0, 1, 2]


def test_batches() -> None:
    assert list(BatchSampler(range(7), 3, False)) == [[0, 1, 2], [3, 4, 5], [6]]
    assert list(BatchSampler(SequentialSampler(range(7)), 3, True)) == [[0, 1, 2], [3, 4, 5]]
    assert (len(BatchSampler(range(7), 3, False)), len(BatchSampler(range(7), 3, True))) == (3, 2)


@pytest.mark.parametrize("drop_last", [False, True])
@pytest.mark.parametrize("size", [2, 10, 11, 12])
def test_shares_are_of_one_length_and_cover_the_examples(size: int, drop_last: bool) -> None:
    samplers = [DistributedSampler(range(size), 3, k, drop_last=drop_last) for k in range(3)]
    shares = [list(s) for s in samplers]
    assert {len(s) for s in shares} == {len(samplers[0])}
    taken = [number for share in shares for number in share]
    if drop_last:
        assert len(set(taken)) == len(taken) == size // 3 * 3
    else:
        assert set(taken) == set(range(size))


def test_epochs_of_a_share() -> None:
    sampler = DistributedSampler(range(100), 2, 1)
    first = list(sampler)
    assert list(sampler) == first
    sampler.set_epoch(1)
    state = sampler.state_dict()
    second = list(sampler)
    assert second != first
    other = DistributedSampler(range(100), 2, 1)
    other.load_state_dict(state)
    assert list(other) == second
    assert list(DistributedSampler(range(6), 2, 1, shuffle=False)) == [1, 3, 5]


def test_shares_from_the_launcher(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("WORLD_SIZE", raising=False)
    with pytest.raises(ig.ArgumentError, match="num_replicas is not given, and WORLD_SIZE is not"):
        DistributedSampler(range(4))
    monkeypatch.setenv("WORLD_SIZE", "4")
    monkeypatch.setenv("RANK", "2")
    sampler = DistributedSampler(range(4), shuffle=False)
    assert (sampler.num_replicas, sampler.rank, list(sampler)) == (4, 2, [2])
    with pytest.raises(ig.ArgumentError, match="rank 4 is not between 0 and 3"):
        DistributedSampler(range(4), rank=4)


@pytest.mark.parametrize("own", [False, True])
@pytest.mark.parametrize(
    "make",
    [
        lambda g: RandomSampler(range(50), generator=g),
        lambda g: RandomSampler(range(50), replacement=True, generator=g),
        lambda g: SubsetRandomSampler(range(50), generator=g),
        lambda g: WeightedRandomSampler([1.0] * 50, 20, generator=g),
        lambda g: BatchSampler(RandomSampler(range(50), generator=g), 4, False),
    ],
)
def test_a_state_brings_the_next_order_back(make: Any, own: bool) -> None:
    sampler = make(seeded(5) if own else None)
    list(sampler)
    state = sampler.state_dict()
    orders = [list(sampler), list(sampler)]
    assert orders[0] != orders[1]
    other = make(seeded(99) if own else None)
    other.load_state_dict(state)
    assert list(other) == orders[0]
    if own:
        assert list(other) == orders[1]


def test_states_of_the_other_kind_are_refused() -> None:
    state = RandomSampler(range(5)).state_dict()
    with pytest.raises(ig.ArgumentError, match="a sampler without a generator"):
        RandomSampler(range(5), generator=seeded(0)).load_state_dict(state)


def test_wrong_arguments() -> None:
    for count in (0, -1, 2.5, True):
        with pytest.raises(ig.ArgumentError, match="above 0"):
            RandomSampler(range(5), num_samples=count)  # type: ignore[arg-type]
        with pytest.raises(ig.ArgumentError, match="batch_size is a number above 0"):
            BatchSampler(range(5), count, False)  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="replacement"):
        RandomSampler(range(5), replacement=1)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="drop_last"):
        BatchSampler(range(5), 2, 1)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="one dimension"):
        WeightedRandomSampler([[1.0]], 1)  # type: ignore[list-item]
