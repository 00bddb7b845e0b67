"""Plans the memory of a function: an offset in one arena for every temporary, from its lifetime.

Temporaries are placed in order of decreasing size, each at the lowest offset where it meets no
temporary that is alive at the same time (first fit; the strategy of TensorFlow Lite's planner and
of Pisarchyk and Lee, "Efficient memory management for deep neural net inference", 2020)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

ALIGNMENT = 64


@dataclass(frozen=True, slots=True)
class Lifetime:
    """A temporary: its bytes, and the first and last step (inclusive) that touch it."""

    bytes: int
    first: int
    last: int


@dataclass(frozen=True, slots=True)
class Arena:
    """The plan: an offset per temporary, the arena's exact size, and what is alive at the step that
    needs most (numbers of temporaries, largest first)."""

    offsets: tuple[int, ...]
    bytes: int
    peak_step: int
    holders: tuple[int, ...]


def aligned(size: int) -> int:
    """The size rounded up to whole cache lines."""
    return -(-size // ALIGNMENT) * ALIGNMENT


def plan(lifetimes: Sequence[Lifetime]) -> Arena:
    """Offsets such that no two temporaries that live at the same time overlap. Pure; the same
    lifetimes give the same plan."""
    order = sorted(
        range(len(lifetimes)), key=lambda k: (-lifetimes[k].bytes, lifetimes[k].first, k)
    )
    offsets = [0] * len(lifetimes)
    placed: list[int] = []
    for k in order:
        mine = lifetimes[k]
        if mine.bytes == 0:
            continue
        others = sorted(
            (offsets[j], offsets[j] + aligned(lifetimes[j].bytes))
            for j in placed
            if lifetimes[j].first <= mine.last and mine.first <= lifetimes[j].last
        )
        at = 0
        for low, high in others:
            if low - at >= aligned(mine.bytes):
                break
            at = max(at, high)
        offsets[k] = at
        placed.append(k)
    size = max((offsets[k] + aligned(lifetimes[k].bytes) for k in placed), default=0)
    peak_step, holders = _peak(lifetimes, placed)
    return Arena(tuple(offsets), size, peak_step, holders)


def _peak(lifetimes: Sequence[Lifetime], placed: Sequence[int]) -> tuple[int, tuple[int, ...]]:
    """The step whose temporaries take most, and which those are."""
    changes: dict[int, int] = {}
    for k in placed:
        life = lifetimes[k]
        changes[life.first] = changes.get(life.first, 0) + aligned(life.bytes)
        changes[life.last + 1] = changes.get(life.last + 1, 0) - aligned(life.bytes)
    step = most = held = 0
    for at in sorted(changes):
        held += changes[at]
        if held > most:
            step, most = at, held
    alive = [k for k in placed if lifetimes[k].first <= step <= lifetimes[k].last]
    return step, tuple(sorted(alive, key=lambda k: -lifetimes[k].bytes))
