"""Random numbers: the same numbers eagerly, compiled and from a file; their distributions; streams
and what is refused."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import intaglio as ig

COUNT = 20_000
DRAWS: dict[str, Callable[[], Any]] = {
    "counts": lambda: (
        ig.poisson(ig.tensor(np.linspace(0, 30, 64))),
        ig.binomial(ig.tensor([5.0, 100.0]), ig.tensor([0.3, 0.9])),
    ),
    "choices": lambda: (
        ig.randperm(50),
        ig.multinomial(ig.tensor([[1.0, 2.0, 3.0, 0.0], [0.0, 0.0, 1.0, 1.0]]), 2),
        ig.multinomial(ig.tensor([0.0, 2.0, 3.0, 0.0]), 20, True),
    ),
    "filled": lambda: (
        ig.empty(40).exponential_(2.0),
        ig.empty(40).cauchy_(1.0, 2.0),
        ig.empty(40).geometric_(0.3),
        ig.empty(40, dtype=ig.float64).log_normal_(0.0, 0.5),
        ig.empty(40, dtype=ig.int64).random_(),
        ig.empty(40).uniform_(-1, 1),
        ig.empty(40).normal_(3.0, 0.5),
        ig.empty(40).bernoulli_(0.3),
        ig.bernoulli(ig.full((40,), 0.7)),
    ),
}


def arrays(made: Any) -> list[Any]:
    return [np.asarray(t) for t in made]


@pytest.mark.parametrize("name", sorted(DRAWS))
def test_numbers_are_the_same_however_they_are_drawn(name: str, tmp_path: Path) -> None:
    draw = DRAWS[name]
    ig.manual_seed(3)
    eager = [arrays(draw()), arrays(draw())]
    ig.manual_seed(3)
    compiled = ig.jit(draw)
    runs = [[arrays(compiled()), arrays(compiled())]]
    ig.manual_seed(3)
    ig.trace(draw).save(str(tmp_path / "model.ig"))
    model = ig.load(str(tmp_path / "model.ig"))
    runs.append([arrays(model()), arrays(model())])
    for run in runs:
        for a, b in zip(sum(eager, []), sum(run, []), strict=True):
            assert a.dtype == b.dtype and a.tobytes() == b.tobytes()
    assert any(a.tobytes() != b.tobytes() for a, b in zip(*eager, strict=True))


def worst_gap(x: Any, below: Callable[[float], float]) -> float:
    """The largest distance of the share of elements up to a value from what it should be (the
    statistic of Kolmogorov and Smirnov), times the root of the count."""
    ordered = np.sort(np.asarray(x, np.float64).ravel())
    wanted = np.array([below(v) for v in ordered])
    n = len(ordered)
    above = np.arange(1, n + 1) / n - wanted
    under = wanted - np.arange(n) / n
    return float(max(above.max(), under.max()) * math.sqrt(n))


def normal_below(v: float) -> float:
    return 0.5 * math.erfc(-v / math.sqrt(2))


CONTINUOUS: dict[str, tuple[Callable[[Any], Any], Callable[[float], float]]] = {
    "uniform": (lambda t: t.uniform_(2, 5), lambda v: (v - 2) / 3),
    "normal": (lambda t: t.normal_(1, 2), lambda v: normal_below((v - 1) / 2)),
    "exponential": (lambda t: t.exponential_(0.5), lambda v: 1 - math.exp(-0.5 * v)),
    "cauchy": (lambda t: t.cauchy_(1, 2), lambda v: 0.5 + math.atan((v - 1) / 2) / math.pi),
    "log_normal": (
        lambda t: t.log_normal_(0.2, 0.5),
        lambda v: normal_below((math.log(v) - 0.2) * 2),
    ),
}


@pytest.mark.parametrize("name", sorted(CONTINUOUS))
@pytest.mark.parametrize("dtype", [ig.float32, ig.float64])
def test_continuous_distributions(name: str, dtype: Any) -> None:
    fill, below = CONTINUOUS[name]
    ig.manual_seed(11)
    made = fill(ig.empty(COUNT, dtype=dtype)).numpy()
    assert np.isfinite(made).all()
    assert worst_gap(made, below) < 1.63  # exceeded once in a hundred seeds


def chi_square(counts: Any, shares: Any) -> float:
    """How far counts lie from shares of their sum, in deviations of what chance makes of it."""
    wanted = np.asarray(shares) * counts.sum()
    gap = ((counts - wanted) ** 2 / wanted).sum()
    freedom = len(wanted) - 1
    return float((gap - freedom) / math.sqrt(2 * freedom))


def poisson_shares(mean: float, top: int) -> Any:
    shares = [math.exp(k * math.log(mean) - mean - math.lgamma(k + 1)) for k in range(top)]
    return np.array([*shares, 1 - sum(shares)])


@pytest.mark.parametrize(("mean", "top"), [(0.7, 4), (9.5, 18), (14.0, 24)])
def test_poisson_numbers(mean: float, top: int) -> None:
    ig.manual_seed(12)
    made = ig.poisson(ig.full((COUNT,), mean)).numpy()
    counts = np.bincount(np.minimum(made.astype(int), top), minlength=top + 1)
    assert abs(chi_square(counts, poisson_shares(mean, top))) < 4
    assert ig.poisson(ig.zeros(5)).tolist() == [0.0] * 5


@pytest.mark.parametrize(("n", "p"), [(6, 0.3), (40, 0.45), (30, 0.8)])
def test_binomial_numbers(n: int, p: float) -> None:
    ig.manual_seed(13)
    made = ig.binomial(ig.full((COUNT,), float(n)), ig.full((COUNT,), p)).numpy()
    shares = np.array([math.comb(n, k) * p**k * (1 - p) ** (n - k) for k in range(n + 1)])
    often = shares * COUNT > 5
    counts = np.bincount(made.astype(int), minlength=n + 1)[often]
    assert abs(chi_square(counts, shares[often] / shares[often].sum())) < 4


def test_choices_by_weight() -> None:
    ig.manual_seed(14)
    weights = ig.tensor([1.0, 0.0, 3.0, 4.0])
    made = ig.multinomial(weights, COUNT, True).numpy()
    counts = np.bincount(made, minlength=4)
    assert counts[1] == 0
    assert abs(chi_square(counts[[0, 2, 3]], [1 / 8, 3 / 8, 4 / 8])) < 4
    pairs = ig.multinomial(weights.expand(COUNT, 4), 2).numpy()
    assert (pairs[:, 0] != pairs[:, 1]).all() and not (pairs == 1).any()
    assert abs(chi_square(np.bincount(pairs[:, 0])[[0, 2, 3]], [1 / 8, 3 / 8, 4 / 8])) < 4
    then = pairs[pairs[:, 0] == 3, 1]
    assert abs(chi_square(np.bincount(then, minlength=3)[[0, 2]], [1 / 4, 3 / 4])) < 4


def test_permutations_are_uniform() -> None:
    ig.manual_seed(15)
    firsts = np.array([ig.randperm(5).numpy() for _ in range(2000)])
    assert (np.sort(firsts, 1) == np.arange(5)).all()
    for column in firsts.T:
        assert abs(chi_square(np.bincount(column, minlength=5), [0.2] * 5)) < 6


def test_geometric_and_whole_numbers() -> None:
    ig.manual_seed(16)
    made = ig.empty(COUNT, dtype=ig.int64).geometric_(0.4).numpy()
    shares = np.array([0.4 * 0.6**k for k in range(8)])
    counts = np.bincount(np.minimum(made, 9), minlength=10)[1:]
    assert abs(chi_square(counts, [*shares, 1 - shares.sum()])) < 4
    for dtype, top in ((ig.uint8, 255), (ig.int8, 127), (ig.bool, 1)):
        found = ig.empty(COUNT, dtype=dtype).random_().numpy().astype(int)
        assert found.min() == 0 and found.max() == top


# ------------------------------------------------------------------------------------------ streams


def test_streams_of_their_own() -> None:
    a, b = ig.Generator().manual_seed(5), ig.Generator().manual_seed(5)
    ig.manual_seed(1)
    first = ig.rand(4, generator=a)
    ig.rand(100)
    assert first.tolist() == ig.rand(4, generator=b).tolist()
    state = a.get_state()
    after = ig.randperm(9, generator=a).tolist()
    assert ig.randperm(9, generator=a.set_state(state)).tolist() == after
    assert a.initial_seed() == 5 and a.device == "cpu"
    assert a.seed() == a.initial_seed() != 5
    with pytest.raises(ig.ArgumentError, match="i64"):
        a.set_state(ig.zeros(3))


def test_the_default_stream_comes_back_after_a_fork() -> None:
    ig.manual_seed(7)
    with ig.random.fork_rng():
        inside = ig.rand(3).tolist()
        ig.manual_seed(99)
    assert ig.initial_seed() == 7
    assert ig.rand(3).tolist() == inside
    state = ig.get_rng_state()
    ahead = ig.randn(2).tolist()
    ig.set_rng_state(state)
    assert ig.randn(2).tolist() == ahead


def test_a_generator_reached_by_a_program_goes_on() -> None:
    mine = ig.Generator().manual_seed(8)
    wanted = [ig.rand(3, generator=mine).tolist() for _ in range(3)]
    mine.manual_seed(8)
    draw = ig.jit(lambda: ig.rand(3, generator=mine))
    assert [draw().tolist() for _ in range(2)] == wanted[:2]
    assert ig.rand(3, generator=mine).tolist() == wanted[2]


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: ig.multinomial(ig.tensor([1.0, -1.0]), 1), "finite and not negative"),
        (lambda: ig.multinomial(ig.zeros(3), 1, True), "above 0"),
        (lambda: ig.multinomial(ig.tensor([1.0, 0.0]), 2), "2 at least"),
        (lambda: ig.multinomial(ig.ones(2), 3), "with replacement"),
        (lambda: ig.bernoulli(ig.tensor([1.5])), "between 0 and 1"),
        (lambda: ig.poisson(ig.tensor([-1.0])), "not negative"),
        (lambda: ig.empty(2).exponential_(0.0), "above 0"),
        (lambda: ig.empty(2).cauchy_(0.0, 0.0), "above 0"),
        (lambda: ig.empty(2).geometric_(1.0), "between 0 and 1"),
        (lambda: ig.empty(2).uniform_(3, 1), "no number"),
        (lambda: ig.normal(0.0, -1.0, (2,)), "not negative"),
        (lambda: ig.randperm(300, dtype=ig.uint8), "does not hold"),
        (lambda: ig.empty(2, dtype=ig.int32).normal_(), "not floating-point"),
    ],
)
def test_refused(call: Callable[[], Any], message: str) -> None:
    with pytest.raises(ig.Error, match=message):
        call()
