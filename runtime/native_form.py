"""A graph compiled to one native function, and its calls.

Lowering gives the text and a list of buffers; the memory plan gives each temporary its place in one
arena, exactly as large as needed. A *layout* is that for given sizes. A *frame* is what one call in
flight owns: a context, an arena, the array of pointers. Frames are kept and used again, so a call
writes the pointers that changed and makes one foreign call."""

from __future__ import annotations

import builtins
import ctypes
import sys
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from intaglio.compiler.dims import evaluate
from intaglio.compiler.errors import CompileError, InterruptedError, MemoryError
from intaglio.compiler.lower import BufferSpec, Lowered
from intaglio.compiler.passes.plan import Arena, Lifetime, plan
from intaglio.runtime.arrays import Array, address
from intaglio.runtime.build import open_library
from intaglio.runtime.pool import WATCHED, Context, Entry, commit_all, failure
from intaglio.runtime.settings import num_threads, show_bytes
from intaglio.runtime.signature import Sizes

LAYOUTS: Final = 64
"""Sizes whose layouts are remembered."""
REUSED: Final = 1 << 16
"""Bytes from which a result's memory is used again once its caller has dropped it: touching fresh
pages costs more than most kernels."""
QUICK: Final = 1024
"""Sizes that are remembered as too quick for Ctrl-C to matter."""
ALIGNMENT: Final = 64


@dataclass(frozen=True, slots=True)
class Result:
    """An output that is returned: its entry in the pointers, and the array to make."""

    slot: int
    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    large: bool


@dataclass(frozen=True, slots=True)
class Staged:
    """The new value of a state that can't be written in place: where it waits in the arena, and the
    input it replaces."""

    slot: int
    offset: int
    target: int


@dataclass(frozen=True, slots=True)
class Layout:
    """The memory of a call with given sizes."""

    sizes: tuple[int, ...]
    arena: Arena
    temporaries: tuple[tuple[int, int], ...]
    results: tuple[Result, ...]
    staged: tuple[Staged, ...]
    scratch: int
    results_bytes: int


class NativeForm:
    """The compiled function, for all sizes or for some. `stable` is the number of the first input
    that is a state: those arrays are mostly the same from call to call."""

    native = True

    def __init__(
        self,
        lowered: Lowered,
        updates: Mapping[int, int],
        stable: int,
        label: str = "",
        max_memory: int | None = None,
    ) -> None:
        self.lowered, self.label, self._max_memory = lowered, label, max_memory
        self._library = open_library(lowered.sources, (lowered.entry,))
        entry = getattr(self._library, lowered.entry)
        entry.argtypes = [ctypes.c_void_p] * 3
        entry.restype = ctypes.c_int
        self._entry: Entry = entry
        self._updates = dict(updates)
        specs = list(enumerate(lowered.buffers))
        unknown = {s.kind for _, s in specs} - {"input", "output", "temp", "constant"}
        if unknown:
            raise CompileError(f"buffers of the kinds {unknown} have no place here")
        inputs = [(slot, s.index) for slot, s in specs if s.kind == "input"]
        self._arguments = [(slot, k) for slot, k in inputs if k < stable]
        self._states = [(slot, k) for slot, k in inputs if k >= stable]
        self._aliases = [
            (slot, s.may_alias)
            for slot, s in specs
            if s.kind == "output" and s.may_alias is not None
        ]
        self._constants = [np.ascontiguousarray(a) for a in lowered.constants]
        self._layouts: OrderedDict[tuple[int, ...], Layout] = OrderedDict()
        self._frames: list[Frame] = []
        self._spare: dict[int, Array] = {}
        self._quick: set[tuple[int, ...]] = set()

    # ------------------------------------------------------------------------------------- memory

    def layout(self, sizes: Sizes) -> Layout:
        """The memory of a call with these sizes; checked against the cap."""
        found = self._layouts.get(sizes.key)
        if found is None:
            found = self._layout(sizes)
            self._layouts[sizes.key] = found
            while len(self._layouts) > LAYOUTS:
                self._layouts.popitem(last=False)
        return found

    def _layout(self, sizes: Sizes) -> Layout:
        values = sizes.by_name

        def shape(spec: BufferSpec) -> tuple[int, ...]:
            return tuple(evaluate(size, values) for size in spec.shape)

        specs = list(enumerate(self.lowered.buffers))
        end = max((s.last for _, s in specs), default=0)
        temporary = [(slot, s) for slot, s in specs if s.kind == "temp"]
        waiting = [
            (slot, s)
            for slot, s in specs
            if s.kind == "output" and s.index in self._updates and s.may_alias is None
        ]
        lives = [Lifetime(evaluate(s.bytes, values), s.first, s.last) for _, s in temporary]
        lives += [Lifetime(evaluate(s.bytes, values), s.first, end) for _, s in waiting]
        arena = plan(lives)
        offsets = arena.offsets
        results = []
        outputs = sorted((s.index, slot) for slot, s in specs if s.kind == "output")
        for index, slot in outputs:
            if index not in self._updates:
                spec = self.lowered.buffers[slot]
                bytes = evaluate(spec.bytes, values)
                results.append(Result(slot, shape(spec), spec.dtype.numpy, bytes >= REUSED))
        return Layout(
            tuple(values[name] for name in self.lowered.size_names),
            arena,
            tuple((slot, offsets[k]) for k, (slot, _) in enumerate(temporary)),
            tuple(results),
            tuple(
                Staged(slot, offsets[len(temporary) + k], self._updates[s.index])
                for k, (slot, s) in enumerate(waiting)
            ),
            evaluate(self.lowered.scratch_bytes, values),
            sum(evaluate(self.lowered.buffers[r.slot].bytes, values) for r in results),
        )

    def memory(self, sizes: Sizes, threads: int | None = None) -> dict[str, int]:
        """Bytes that a call with these sizes takes, by what for."""
        layout = self.layout(sizes)
        count = threads or num_threads()
        return {
            "arena": layout.arena.bytes,
            "scratch": -(-layout.scratch // ALIGNMENT) * ALIGNMENT * count,
            "outputs": layout.results_bytes,
            "constants": sum(a.nbytes for a in self._constants),
        }

    def _admit(self, sizes: Sizes, threads: int) -> None:
        """Refuse a call that needs more than it may take, before anything is allocated."""
        if self._max_memory is None:
            return
        parts = self.memory(sizes, threads)
        total = sum(parts.values())
        if total > self._max_memory:
            told = ", ".join(f"{name} {show_bytes(part)}" for name, part in parts.items() if part)
            head = f"{self.label}: " if self.label else ""
            raise MemoryError(
                f"{head}a call needs {show_bytes(total)} ({told}), and max_memory is "
                f"{show_bytes(self._max_memory)}"
            )

    # -------------------------------------------------------------------------------------- calls

    def run(self, arrays: Sequence[Array], sizes: Sizes, threads: int | None) -> list[Array]:
        """The results; the states that are updated hold their new values afterwards."""
        layout = self._layouts.get(sizes.key) or self.layout(sizes)
        count = threads or num_threads()
        try:
            frame = self._frames.pop()
        except builtins.IndexError:
            frame = Frame(len(self.lowered.buffers), len(self._states))
        try:
            if frame.layout is not layout or frame.context.threads != count:
                self._admit(sizes, count)
                frame.fit(layout, count, self._constants, self.lowered.buffers)
            results = self._point(frame, layout, arrays)
            self._call(frame, sizes.key)
            if layout.staged:
                commit_all(frame.updates(layout, arrays))
        except builtins.MemoryError as error:
            if isinstance(error, MemoryError):
                raise
            raise self._too_little(sizes, count) from None
        finally:
            self._frames.append(frame)
        return results

    def _point(self, frame: Frame, layout: Layout, arrays: Sequence[Array]) -> list[Array]:
        """Write the pointers of a call; the arrays of its results."""
        table, seen = frame.table, frame.seen
        for slot, k in self._arguments:
            table[slot] = address(arrays[k])
        for number, (slot, k) in enumerate(self._states):
            array = arrays[k]
            if seen[number] is not array:
                seen[number] = array
                table[slot] = address(array)
        for slot, k in self._aliases:
            table[slot] = address(arrays[k])
        results = []
        for result in layout.results:
            array = self._reused(result) if result.large else np.empty(result.shape, result.dtype)
            table[result.slot] = address(array)
            results.append(array)
        return results

    def _reused(self, result: Result) -> Array:
        """Memory for a large result: that of the last one, if nobody else holds it any more."""
        spare = self._spare.pop(result.slot, None)
        usable = (
            spare is not None
            and sys.getrefcount(spare) == 2
            and spare.shape == result.shape
            and spare.flags.carray
        )
        array = spare if usable else np.empty(result.shape, result.dtype)
        assert array is not None
        self._spare[result.slot] = array
        return array

    def _call(self, frame: Frame, key: tuple[int, ...]) -> None:
        context = frame.context
        try:
            if self._aliases or key in self._quick:
                status = self._entry(context.pointer, frame.pointers, frame.sizes)
            else:
                status, seconds = context.call_watched(self._entry, frame.pointers, frame.sizes)
                if seconds < WATCHED and len(self._quick) < QUICK:
                    self._quick.add(key)
        except KeyboardInterrupt:
            if context.error.kind:
                context.clear()
                raise InterruptedError("stopped by Ctrl-C; no state was changed") from None
            raise
        if status:
            error = failure(context.error, [where for _, where in self.lowered.nodes])
            context.clear()
            raise error

    def _too_little(self, sizes: Sizes, threads: int) -> MemoryError:
        total = sum(self.memory(sizes, threads).values())
        head = f"{self.label}: " if self.label else ""
        return MemoryError(f"{head}a call needs {show_bytes(total)}, and the system refused them")


class Frame:
    """What one call in flight owns. `pointers` and `sizes` are the addresses that the function
    gets; `seen` the arrays of states whose pointers are in place."""

    def __init__(self, buffers: int, states: int) -> None:
        self.context = Context()
        self.table = (ctypes.c_void_p * buffers)()
        self.pointers = ctypes.addressof(self.table)
        self.seen: list[Array | None] = [None] * states
        self.layout: Layout | None = None
        self.sizes = 0
        self._dims: Any = None
        self._arena = np.empty(0, np.uint8)
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
        if self._arena.nbytes < layout.arena.bytes + ALIGNMENT:
            self._arena = np.empty(0, np.uint8)
            self._arena = np.empty(layout.arena.bytes + ALIGNMENT, np.uint8)
        self._start = -(-address(self._arena) // ALIGNMENT) * ALIGNMENT
        self.context.prepare(threads, layout.scratch)
        self._dims = (ctypes.c_int64 * max(len(layout.sizes), 1))(*layout.sizes)
        self.sizes = ctypes.addressof(self._dims)
        for slot, offset in layout.temporaries:
            self.table[slot] = self._start + offset
        for staged in layout.staged:
            self.table[staged.slot] = self._start + staged.offset
        for slot, spec in enumerate(buffers):
            if spec.kind == "constant":
                self.table[slot] = address(constants[spec.index])
        self.layout = layout

    def updates(self, layout: Layout, arrays: Sequence[Array]) -> list[tuple[Array, Array]]:
        """The states to be written after a successful call, with their new values."""
        skip = self._start - address(self._arena)
        found = []
        for staged in layout.staged:
            target = arrays[staged.target]
            first = skip + staged.offset
            found.append((target, self._arena[first : first + target.nbytes]))
        return found
