"""Packed copies of a loaded model's weights: made when first wanted, shared by the functions that
read the same state in the same form, forgotten when the state is written.

A copy belongs to one array. A call that finds another array in the state's place makes a new copy;
states that are written in place are forgotten first, while nobody reads them. A call in flight
keeps what it reads."""

from __future__ import annotations

import ctypes
import itertools
import threading
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Final

import numpy as np

from intaglio.compiler.lowered import PackSpec
from intaglio.runtime.arrays import Array, address
from intaglio.runtime.pool import Context, Entry, failure

ALIGNMENT: Final = 64
_serials: Final = itertools.count(1)


@dataclass(frozen=True, slots=True)
class Copy:
    """The packed form of an array, and where it begins in its memory."""

    source: Array
    memory: Array
    address: int


@dataclass(frozen=True, slots=True)
class Held:
    """What a call reads: the copies' addresses, and the arrays (by the number of the operand) that
    they were made from. `stable` stands for those arrays; `serial` tells it from all others."""

    stable: object
    sources: tuple[tuple[int, Array], ...]
    copies: tuple[Copy, ...]
    addresses: tuple[int, ...]
    serial: int = field(default_factory=_serials.__next__)


class PackedStates:
    """The packed copies of one model's states."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._copies: dict[str, dict[str, Copy]] = {}
        self._readers: list[PackedOperands] = []

    @property
    def bytes(self) -> int:
        """The memory of all copies."""
        with self._lock:
            return sum(c.memory.nbytes for forms in self._copies.values() for c in forms.values())

    def forget_all(self, names: Iterable[str]) -> None:
        """Drop the copies of several states."""
        if self._copies:
            for name in names:
                self.forget(name)

    def forget(self, name: str) -> None:
        """Drop the copies of a state that has been replaced, or is about to be written by a caller
        that nobody reads beside."""
        if name in self._copies:
            with self._lock:
                self._copies.pop(name, None)
                for reader in self._readers:
                    reader.forget(name)

    def add_reader(self, reader: PackedOperands) -> None:
        """Let a reader know of what is forgotten."""
        with self._lock:
            self._readers.append(reader)

    def copies(
        self, wanted: Sequence[tuple[str, PackSpec, Entry, Array]], context: Context
    ) -> tuple[Copy, ...]:
        """The copies of these states' arrays; those that are missing are made with the entries."""
        with self._lock:
            return tuple(self._copy(*one, context) for one in wanted)

    def _copy(
        self, name: str, spec: PackSpec, entry: Entry, source: Array, context: Context
    ) -> Copy:
        forms = self._copies.setdefault(name, {})
        found = forms.get(spec.form)
        if found is None or found.source is not source:
            forms.pop(spec.form, None)
            memory = np.empty(spec.bytes + ALIGNMENT, np.uint8)
            start = -(-address(memory) // ALIGNMENT) * ALIGNMENT
            pointers = (ctypes.c_void_p * 2)(address(source), start)
            if entry(context.pointer, ctypes.addressof(pointers), 0):
                error = failure(context.error, ())
                context.clear()
                raise error
            found = forms[spec.form] = Copy(source, memory, start)
        return found


class PackedOperands:
    """The packed operands of one compiled function: the states' names and the numbers of their
    inputs, how they are packed, and the functions that pack them."""

    def __init__(
        self,
        states: PackedStates,
        names: Sequence[str],
        specs: Sequence[PackSpec],
        entries: Sequence[Entry],
    ) -> None:
        self._states = states
        self._wanted = [(names[s.input], s, e) for s, e in zip(specs, entries, strict=True)]
        self._held: Held | None = None
        states.add_reader(self)

    def forget(self, name: str) -> None:
        """Drop what is held of a state."""
        if any(name == wanted for wanted, _, _ in self._wanted):
            self._held = None

    def hold(self, arrays: Sequence[Array], stable: object, context: Context) -> Held:
        """The copies for a call with these operands; valid as long as the result is kept. The same
        `stable` object as in an earlier call says that the states' arrays are the same."""
        held = self._held
        if held is not None:
            if stable is not None and held.stable is stable:
                return held
            if stable is None and all(arrays[k] is source for k, source in held.sources):
                return held
        wanted = [(name, spec, entry, arrays[spec.input]) for name, spec, entry in self._wanted]
        copies = self._states.copies(wanted, context)
        sources = {spec.input: array for _, spec, _, array in wanted}
        held = Held(stable, tuple(sources.items()), copies, tuple([c.address for c in copies]))
        self._held = held
        return held
