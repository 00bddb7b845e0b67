"""The random state in which a batch is fetched: a function of the epoch's seed, the worker's stream
and the batch's number alone.

So random changes to examples are the same with 0, 1 or many workers, and the same again when a run
is resumed. What is seeded is `ig`'s default generator, Python's `random` and NumPy's `np.random`.
In the main process the caller's own states are put back afterwards."""

from __future__ import annotations

import ctypes
import random
from collections.abc import Callable
from typing import Any, Final

import numpy as np

from intaglio._functions_random import default_generator

_WORDS: Final = 625
"""32-bit words of NumPy's Mersenne Twister: 624 of state, then the position."""
_MASK: Final = (1 << 64) - 1


def batch_seed(base: int, stream: int, number: int) -> int:
    """A seed of 63 bits for a batch: the numbers, mixed by the finalizer of SplitMix64 (Steele,
    Lea and Flood, 2014)."""
    mixed = base & _MASK
    for part in (stream, number):
        mixed = (mixed + 0x9E3779B97F4A7C15 * (part + 1)) & _MASK
        mixed = ((mixed ^ (mixed >> 30)) * 0xBF58476D1CE4E5B9) & _MASK
        mixed = ((mixed ^ (mixed >> 27)) * 0x94D049BB133111EB) & _MASK
        mixed ^= mixed >> 31
    return mixed >> 1


def seed_all(seed: int) -> None:
    """Seed the three generators."""
    default_generator.manual_seed(seed)
    random.seed(seed)
    np.random.seed(seed & 0xFFFFFFFF)


class seeded:
    """Within, the three generators are seeded; afterwards they go on where they were."""

    def __init__(self, seed: int) -> None:
        self._seed = seed

    def __enter__(self) -> None:
        self._ours = int(default_generator.seed_value._data), int(default_generator.draw._data)
        self._python = random.getstate()
        self._put_back = _keep_numpy()
        seed_all(self._seed)

    def __exit__(self, *_: object) -> None:
        seed, draw = self._ours
        default_generator.manual_seed(seed)
        default_generator.draw._data[...] = draw
        random.setstate(self._python)
        self._put_back()


def _twister() -> Any:
    """NumPy's global generator, if it is the one that is there by default."""
    found = np.random.mtrand._rand._bit_generator
    return found if type(found) is np.random.MT19937 else None


def _memory(twister: Any) -> Any:
    return (ctypes.c_uint32 * _WORDS).from_address(twister.ctypes.state_address)


def _readable() -> bool:
    """Whether this NumPy keeps the state as `_memory` takes it to."""
    probe = np.random.MT19937(1)
    probe.random_raw(5)
    told = probe.state["state"]
    return list(_memory(probe)) == [*told["key"].tolist(), told["pos"]]


_QUICK: Final = _readable()


def _keep_numpy() -> Callable[[], None]:
    """What puts NumPy's global state back as it is now.

    `get_state` and `set_state` take 60 us each, copying the words takes one. Only the spare normal
    deviate, which the generator may hold besides, can't be copied: whether there is one is seen by
    drawing a normal, which then leaves the words as they are."""
    twister = _twister() if _QUICK else None
    if twister is None:
        return _keep_slowly(None)
    words = bytes(_memory(twister))
    spare = np.random.standard_normal()
    if bytes(_memory(twister)) == words:
        return _keep_slowly(spare)

    def put_back() -> None:
        now = _twister()
        if now is twister:
            np.random.seed(0)  # drops a spare deviate
            ctypes.memmove(_memory(twister), words, len(words))
        else:
            np.random.set_bit_generator(twister)  # type: ignore[attr-defined,unused-ignore]
            put_back()

    return put_back


def _keep_slowly(spare: float | None) -> Callable[[], None]:
    state: Any = np.random.get_state(legacy=False)
    if spare is not None:
        state["has_gauss"], state["gauss"] = 1, spare
    return lambda: np.random.set_state(state)
