"""Batches as messages: what is around the arrays as bytes, the arrays in shared memory.

A batch is any nest of Python objects. Pickling leaves a numbered gap for each array (and for what a
fetcher takes apart into an array), so the rest needs no walk of its own. Most batches of a run
differ in their arrays' values alone; then nothing but a number is sent."""

from __future__ import annotations

import io
import pickle
from collections.abc import Hashable
from typing import Any, Final, NamedTuple

import numpy as np

from intaglio.runtime.loading.fetching import Fetcher
from intaglio.runtime.loading.memory import COPIED, Ring, Room, Slot

Array = np.ndarray[Any, Any]
_PROTOCOL: Final = pickle.HIGHEST_PROTOCOL


class Leaf(NamedTuple):
    """One array of a batch: its type, its place, and as what the fetcher puts it together."""

    dtype: np.dtype[Any]
    shape: tuple[int, ...]
    offset: int
    kind: Hashable


class Layout(NamedTuple):
    """A batch without the arrays' values."""

    skeleton: bytes
    leaves: tuple[Leaf, ...]
    used: int


class _Packer(pickle.Pickler):
    def __init__(self, file: io.BytesIO, fetcher: Fetcher, room: Room) -> None:
        super().__init__(file, _PROTOCOL)
        self._take_apart, self._room = fetcher.take_apart, room
        self.leaves: list[Leaf] = []
        self._numbers: dict[tuple[int, Hashable], int] = {}

    def persistent_id(self, thing: Any) -> int | None:
        apart = self._take_apart(thing)
        if apart is None:
            return None
        array, kind = apart
        made, offset = self._room.place(array)
        number = self._numbers.setdefault((id(made), kind), len(self.leaves))
        if number == len(self.leaves):
            self.leaves.append(Leaf(made.dtype, made.shape, offset, kind))
        return number


def pack(batch: object, fetcher: Fetcher, room: Room) -> Layout:
    """Put a batch's arrays into the room; what is left of it."""
    file = io.BytesIO()
    packer = _Packer(file, fetcher, room)
    packer.dump(batch)
    return Layout(file.getvalue(), tuple(packer.leaves), room.used)


class _Opener(pickle.Unpickler):
    def __init__(self, skeleton: bytes, things: list[object]) -> None:
        super().__init__(io.BytesIO(skeleton))
        self._things = things

    def persistent_load(self, number: int) -> object:
        return self._things[number]


def open_batch(layout: Layout, fetcher: Fetcher, ring: Ring, slot: Slot) -> object:
    """The batch in a slot. A small one is copied and the slot is free again; the arrays of others
    lie in the slot and hold it. (A slot outside of the ring is theirs for good.)"""
    skeleton, leaves, used = layout
    if slot.key < 0:
        root = np.ndarray((used,), np.uint8, slot.segment, slot.offset)
    elif used <= COPIED:
        root = np.empty(used, np.uint8)
        root[...] = np.ndarray((used,), np.uint8, slot.segment, slot.offset)
        ring.give_back(slot)
    else:
        root = ring.lend(slot, used)
    return fill(skeleton, leaves, fetcher, root)


def fill(skeleton: bytes, leaves: tuple[Leaf, ...], fetcher: Fetcher, root: Array) -> object:
    """The batch whose arrays' bytes are given."""
    put = fetcher.put_together
    things = [put(np.ndarray(s, d, root, at), kind) for d, s, at, kind in leaves]
    return _Opener(skeleton, things).load()
