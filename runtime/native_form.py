"""A graph compiled to one native function, and its calls.

Lowering gives the text and a list of buffers; the memory plan gives each temporary its place in one
arena, exactly as large as needed. A *layout* is that for given sizes. A *frame* is what one call in
flight owns: a context, an arena, the array of pointers. Frames are kept and used again, so a call
writes the pointers that changed and makes one foreign call."""

from __future__ import annotations

import builtins
import ctypes
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Final

import numpy as np

from intaglio.compiler.errors import InterruptedError, MemoryError
from intaglio.compiler.lowered import BufferSpec, Lowered
from intaglio.runtime.arrays import Array, address
from intaglio.runtime.build import open_library
from intaglio.runtime.hosts import FAILED, HostCalls
from intaglio.runtime.layout import ALIGNMENT, Layout, Planner
from intaglio.runtime.packed import Held, PackedOperands, PackedStates
from intaglio.runtime.pool import WATCHED, Context, Entry, failure, with_moves
from intaglio.runtime.settings import num_threads
from intaglio.runtime.signature import Sizes
from intaglio.runtime.spare import empty

QUICK: Final = 1024
"""Sizes that are remembered as too quick for Ctrl-C to matter."""


class NativeForm:
    """The compiled function, for all sizes or for some. `stable` is the number of the first input
    that is a state: those arrays are mostly the same from call to call. `packed` keeps the packed
    copies of them that the function reads."""

    native = True

    def __init__(
        self,
        planner: Planner,
        stable: int,
        packed: PackedStates | None = None,
        names: Sequence[str] = (),
    ) -> None:
        lowered = planner.lowered
        self.planner, self.lowered = planner, lowered
        entries = (lowered.entry, *(p.entry for p in lowered.packs))
        self._library = open_library(lowered.sources, entries)
        entry, *packing = [_entry_point(self._library, name) for name in entries]
        self.entry: Entry = entry
        self._packed: PackedOperands | None = None
        if packed is not None and lowered.packs:
            self._packed = PackedOperands(packed, names, lowered.packs, packing)
        places = [(s.index, slot) for slot, s in enumerate(lowered.buffers) if s.kind == "packed"]
        self._packed_slots = [slot for _, slot in sorted(places)]
        if planner.stages:
            self.entry = with_moves(entry, 8 * len(lowered.size_names))
        slots: dict[int, list[int]] = {}
        for slot, spec in enumerate(lowered.buffers):
            if spec.kind == "input":
                slots.setdefault(spec.index, []).insert(0, slot)
            elif spec.kind == "output" and spec.may_alias is not None:
                slots.setdefault(spec.may_alias, []).append(slot)
        pairs = [(slot, k) for k, here in slots.items() for slot in here]
        self.argument_slots = [(slot, k) for slot, k in pairs if k < stable]
        self._states = [(slot, k) for slot, k in pairs if k >= stable]
        self._in_place = any(spec.may_alias is not None for spec in lowered.buffers)
        self._constants = [np.ascontiguousarray(a) for a in lowered.constants]
        self._frames: list[Frame] = []
        self.bare_frames: list[Frame] = []
        self._timed: list[list[float]] | None = None
        self._quick: set[tuple[int, ...]] = set()

    @property
    def is_plain(self) -> bool:
        """Whether there are arguments and results alone: no states, updates or packed copies."""
        plain = not self._states and not self._in_place and not self.planner.stages
        return plain and not self.lowered.packs and not self.lowered.hosts

    def is_quick(self, sizes: Sizes) -> bool:
        """Whether a call with these sizes was too quick for Ctrl-C to matter."""
        return sizes.key in self._quick

    def frame(self, layout: Layout, threads: int) -> Frame:
        """A new frame, made ready for a layout."""
        made = Frame(self.lowered, len(self._states))
        made.fit(layout, threads, self._constants, self.lowered.buffers)
        return made

    # -------------------------------------------------------------------------------------- calls

    def run(
        self,
        arrays: Sequence[Array],
        sizes: Sizes,
        threads: int | None,
        stable: object = None,
    ) -> list[Array]:
        """The results; the states that are updated hold their new values afterwards."""
        layout = self.planner.layout(sizes)
        count = threads or num_threads()
        try:
            frame = self._frames.pop()
        except builtins.IndexError:
            frame = Frame(self.lowered, len(self._states))
        try:
            if frame.layout is not layout or frame.context.threads != count:
                self.planner.admit(sizes, count)
                frame.fit(layout, count, self._constants, self.lowered.buffers)
            if self._packed is not None:
                held = self._packed.hold(arrays, stable, frame.context)  # alive until the end
                if frame.held != held.serial:
                    self._point_packed(frame, held)
            if stable is None or frame.stable is not stable:
                self._point_states(frame, arrays, stable)
            results = self._point(frame, layout, arrays)
            if frame.hosts is not None:
                frame.hosts.alive = (list(arrays), results, frame.arena)
            self._call(frame, sizes.key)
        except builtins.MemoryError as error:
            if isinstance(error, MemoryError):
                raise
            raise self.planner.refused(sizes, count) from None
        finally:
            if frame.hosts is not None:
                frame.hosts.alive = None
            self._frames.append(frame)
        return results

    def _point(self, frame: Frame, layout: Layout, arrays: Sequence[Array]) -> list[Array]:
        """Write the pointers of a call; the arrays of its results."""
        table = frame.table
        for slot, k in self.argument_slots:
            table[slot] = address(arrays[k])
        results = []
        for result in layout.results:
            array = empty(result.shape, result.dtype, result.bytes)
            table[result.slot] = address(array)
            results.append(array)
        return results

    def _point_states(self, frame: Frame, arrays: Sequence[Array], stable: object) -> None:
        """Write the pointers to the states."""
        table, seen = frame.table, frame.seen
        frame.stable = None
        for number, (slot, k) in enumerate(self._states):
            array = arrays[k]
            if seen[number] is not array:
                seen[number] = array
                table[slot] = address(array)
        frame.stable = stable

    def _point_packed(self, frame: Frame, held: Held) -> None:
        """Write the pointers to the packed copies."""
        frame.held = 0
        for slot, place in zip(self._packed_slots, held.addresses, strict=True):
            frame.table[slot] = place
        frame.held = held.serial

    def _call(self, frame: Frame, key: tuple[int, ...]) -> None:
        context = frame.context
        try:
            if self._timed is not None:
                status, times = context.call_timed(self.entry, frame.pointers, frame.sizes)
                self._timed.append(times)
            elif key in self._quick:
                status = self.entry(context.pointer, frame.pointers, frame.sizes)
            else:
                status, seconds = context.call_watched(self.entry, frame.pointers, frame.sizes)
                if seconds < WATCHED and len(self._quick) < QUICK:
                    self._quick.add(key)
        except KeyboardInterrupt:
            stopped = context.error.kind
            context.clear()
            if stopped:
                raise InterruptedError("stopped by Ctrl-C; no state was changed") from None
            raise
        if status:
            if frame.hosts is not None and context.error.kind == FAILED:
                error = frame.hosts.failure(self.lowered.nodes)
            else:
                error = failure(context.error, [where for _, where in self.lowered.nodes])
            context.clear()
            raise error

    @contextmanager
    def timed(self) -> Iterator[list[list[float]]]:
        """Time the steps of the calls made inside: a list of seconds for each call."""
        found: list[list[float]] = []
        self._timed = found
        try:
            yield found
        finally:
            self._timed = None


def _entry_point(library: ctypes.CDLL, name: str) -> Entry:
    found = getattr(library, name)
    found.argtypes = [ctypes.c_void_p] * 3
    found.restype = ctypes.c_int
    entry: Entry = found
    return entry


class Frame:
    """What one call in flight owns. `pointers` and `sizes` are the addresses that the function
    gets; `hosts` makes its calls into Python; `seen` the arrays of states whose pointers are in
    place, `stable` what stood for them, `held` the packed copies' serial."""

    def __init__(self, lowered: Lowered, states: int) -> None:
        self.context = Context()
        self.hosts = HostCalls(lowered.hosts) if lowered.hosts else None
        self._names = lowered.size_names
        self.table = (ctypes.c_void_p * len(lowered.buffers))()
        self.pointers = ctypes.addressof(self.table)
        self.seen: list[Array | None] = [None] * states
        self.stable: object = None
        self.held = 0
        self.layout: Layout | None = None
        self.sizes = 0
        self.dims: Any = None
        self.arena = np.empty(0, np.uint8)
        self._start = 0

    def fit(
        self,
        layout: Layout,
        threads: int,
        constants: Sequence[Array],
        buffers: Sequence[BufferSpec],
    ) -> None:
        """Make it fit a layout: the arena grows if it must, temporaries get their places."""
        self.layout = None
        if self.arena.nbytes < layout.arena.bytes + ALIGNMENT:
            self.arena = np.empty(0, np.uint8)
            self.arena = np.empty(layout.arena.bytes + ALIGNMENT, np.uint8)
        self._start = -(-address(self.arena) // ALIGNMENT) * ALIGNMENT
        self.context.prepare(threads, layout.scratch)
        moves = [n for s in layout.staged for n in (s.target, s.slot, s.bytes)]
        numbers = [*layout.sizes, len(layout.staged), *moves]
        self.dims = (ctypes.c_int64 * len(numbers))(*numbers)
        self.sizes = ctypes.addressof(self.dims)
        for slot, offset in layout.temporaries:
            self.table[slot] = self._start + offset
        for staged in layout.staged:
            self.table[staged.slot] = self._start + staged.offset
        for slot, spec in enumerate(buffers):
            if spec.kind == "constant":
                self.table[slot] = address(constants[spec.index])
            elif spec.kind == "host" and self.hosts is not None:
                self.hosts.fit(dict(zip(self._names, layout.sizes, strict=True)))
                self.table[slot] = self.hosts.address
        self.layout = layout

    def turn(self, layout: Layout) -> None:
        """Make a frame without temporaries fit another layout that has none."""
        self.context.prepare(self.context.threads, layout.scratch)
        for k, size in enumerate(layout.sizes):
            self.dims[k] = size
        self.layout = layout
