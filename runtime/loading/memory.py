"""The ring of batches: shared memory cut into slots, given to workers to write and lent to the
caller to read.

All accounts are kept by the main process. A slot is free, or with a worker, or lent: then it comes
back when the last array over it is gone, told by a weak reference. When no slot is free, more are
made, so nobody waits for memory. A fork makes children that see lent batches too; such slots are
given up instead of being written again.

What Python calls by itself, at forks and when arrays go, is no Python code: a Ctrl-C that arrived
in there would be lost."""

from __future__ import annotations

import os
import weakref
from collections import deque
from functools import partial
from typing import Any, ClassVar, Final

import numpy as np

from intaglio.runtime.shared import Segment

Array = np.ndarray[Any, Any]
ALIGNMENT: Final = 64
FIRST_BYTES: Final = 1 << 20
"""Bytes of a slot before any batch was seen. Memory that nobody writes costs nothing."""
COPIED: Final = 1 << 16
"""Bytes up to which a batch is copied out of its slot rather than lent."""
_PAGE: Final = 1 << 12


class _Forks:
    """How many children were forked that may see what was lent: all but the workers, which read no
    batches."""

    all: ClassVar[list[None]] = []
    own = 0

    @classmethod
    def foreign(cls) -> int:
        """The number of these children."""
        return len(cls.all) - cls.own


os.register_at_fork(before=partial(_Forks.all.append, None))


def note_own_fork() -> None:
    """The last fork was that of a worker."""
    _Forks.own += 1


def aligned(nbytes: int) -> int:
    """So many bytes, rounded up to where the next array may begin."""
    return -(-nbytes // ALIGNMENT) * ALIGNMENT


class LentSegment(Segment):
    """Shared memory that is written again: its arrays are not to be handed to other processes."""

    lent = True


class Slot:
    """A place for one batch: a segment, known by a number, and where in it."""

    __slots__ = ("key", "offset", "segment", "size")

    def __init__(self, key: int, segment: Segment, offset: int, size: int) -> None:
        self.key, self.segment, self.offset, self.size = key, segment, offset, size


class _Lease(weakref.ref[Array]):
    """The watch over what was lent: which slot, and how many forks there had been."""

    __slots__ = ("forks", "slot")
    slot: Slot
    forks: int


class Ring:
    """The slots of one pool."""

    def __init__(self, slots: int) -> None:
        self.size = FIRST_BYTES
        self.segments: dict[int, Segment] = {}
        self._left: dict[int, int] = {}
        self._free: deque[Slot] = deque()
        self._lent: dict[int, _Lease] = {}
        self._returned: deque[weakref.ref[Array]] = deque()
        self._next, self._first = 0, slots

    def take(self) -> Slot:
        """A free slot; where there is none, as many are made as there are already."""
        self.collect()
        try:
            return self._free.pop()
        except IndexError:
            self._extend(sum(self._left.values()) or self._first)
            return self._free.pop()

    def _extend(self, count: int) -> None:
        key, size = self._next, self.size
        segment = LentSegment(count * size)
        self.segments[key], self._left[key], self._next = segment, count, key + 1
        self._free.extend(Slot(key, segment, k * size, size) for k in reversed(range(count)))

    def give_back(self, slot: Slot) -> None:
        """Take a slot back from a worker."""
        if slot.size == self.size:
            self._free.append(slot)
        else:
            self._give_up(slot)

    def _give_up(self, slot: Slot) -> None:
        """One slot less; a segment without slots goes."""
        self._left[slot.key] -= 1
        if not self._left[slot.key]:
            del self._left[slot.key], self.segments[slot.key]

    def lend(self, slot: Slot, used: int) -> Array:
        """The slot's first bytes for the caller: u8[used], whose views hold the slot."""
        root = np.ndarray((used,), np.uint8, slot.segment, slot.offset)
        lease = _Lease(root, self._returned.append)
        lease.slot, lease.forks = slot, _Forks.foreign()
        self._lent[id(lease)] = lease
        return root

    def collect(self) -> None:
        """Take back the slots whose arrays are gone."""
        while self._returned:
            lease = self._lent.pop(id(self._returned.popleft()))
            if lease.forks == _Forks.foreign():
                self.give_back(lease.slot)
            else:
                self._give_up(lease.slot)

    def fit(self, nbytes: int) -> None:
        """Make slots large enough for batches of so many bytes, and somewhat larger ones."""
        self.collect()
        if nbytes <= self.size:
            return
        self.size = -(-max(nbytes + nbytes // 4, self.size) // _PAGE) * _PAGE
        while self._free:
            self._give_up(self._free.pop())


class Room:
    """Where a worker puts one batch: its slot, and private memory for what does not fit there."""

    def __init__(self, segment: Segment, offset: int, size: int) -> None:
        self.segment, self.offset, self.size = segment, offset, size
        self.used = 0
        self.placed: dict[int, tuple[Array, int]] = {}
        self._sources: list[Array] = []

    def empty(self, shape: tuple[int, ...], dtype: np.dtype[Any]) -> Array:
        """An array to fill, in the slot if it still fits. Without it the result is the same, and
        copied once more."""
        dtype = np.dtype(dtype)
        if dtype.hasobject:
            return np.empty(shape, dtype)
        count = 1
        for size in shape:
            count *= size
        return self._claim(tuple(shape), dtype, count * dtype.itemsize)

    def _claim(self, shape: tuple[int, ...], dtype: np.dtype[Any], nbytes: int) -> Array:
        at, self.used = self.used, self.used + aligned(nbytes)
        if self.used <= self.size:
            made = np.ndarray(shape, dtype, self.segment, self.offset + at)
        else:
            made = np.empty(shape, dtype)
        self.placed[id(made)] = made, at
        return made

    def place(self, array: Array) -> tuple[Array, int]:
        """Where in the batch an array stands: in its place since it was made, or copied now."""
        found = self.placed.get(id(array))
        if found is None:
            made = self._claim(array.shape, array.dtype, array.nbytes)
            made[...] = array
            found = self.placed[id(array)] = self.placed[id(made)]
            self._sources.append(array)  # as long as it lives, no other has its id
        return found

    @property
    def overflowed(self) -> bool:
        """Whether some of it is outside of the slot."""
        return self.used > self.size

    def moved(self) -> Segment:
        """A new segment with all that was placed, at the same distances."""
        whole = Segment(max(self.used, 1))
        for array, at in self.placed.values():
            np.ndarray(array.shape, array.dtype, whole, at)[...] = array
        return whole
