"""The memory of a compiled function's calls: what goes where, for given sizes, and how much it is.

Temporaries, and new values of states that wait for the call to succeed, get their places in one
arena from the memory plan. Everything is known, and held against the cap, before anything is
allocated."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from intaglio.compiler.dims import evaluate
from intaglio.compiler.errors import CompileError, MemoryError
from intaglio.compiler.lowered import BufferSpec, Lowered
from intaglio.compiler.passes.plan import Arena, Lifetime, plan
from intaglio.runtime.settings import machine_memory, num_threads, show_bytes
from intaglio.runtime.signature import Sizes

LAYOUTS: Final = 64
"""Sizes whose layouts are remembered."""
ALIGNMENT: Final = 64
KINDS: Final = {"input", "output", "temp", "constant", "packed", "host"}


@dataclass(frozen=True, slots=True)
class Result:
    """An output that is returned: its entry in the pointers, and the array to make."""

    slot: int
    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    bytes: int


@dataclass(frozen=True, slots=True)
class Staged:
    """The new value of a state that can't be written in place: where it waits in the arena, the
    entry of the input that it replaces, and its bytes."""

    slot: int
    offset: int
    target: int
    bytes: int


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


class Planner:
    """The layouts of one lowered function, by sizes. `updates` maps its outputs to the inputs that
    they replace."""

    def __init__(
        self,
        lowered: Lowered,
        updates: Mapping[int, int],
        label: str = "",
        max_memory: int | None = None,
    ) -> None:
        unknown = {s.kind for s in lowered.buffers} - KINDS
        if unknown:
            raise CompileError(f"buffers of the kinds {unknown} have no place here")
        self.lowered, self.label, self._max_memory = lowered, label, max_memory
        self.updates = dict(updates)
        self._layouts: OrderedDict[tuple[int, ...], Layout] = OrderedDict()

    @property
    def stages(self) -> bool:
        """Whether new values of states wait for the call to succeed."""
        return any(
            s.kind == "output" and s.index in self.updates and s.may_alias is None
            for s in self.lowered.buffers
        )

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
        entries = {s.index: slot for slot, s in specs if s.kind == "input"}
        end = max((s.last for _, s in specs), default=0)
        temporary = [(slot, s) for slot, s in specs if s.kind == "temp"]
        waiting = [
            (slot, s)
            for slot, s in specs
            if s.kind == "output" and s.index in self.updates and s.may_alias is None
        ]
        lives = [Lifetime(evaluate(s.bytes, values), s.first, s.last) for _, s in temporary]
        lives += [Lifetime(evaluate(s.bytes, values), s.first, end) for _, s in waiting]
        arena = plan(lives)
        offsets = arena.offsets
        results = []
        outputs = sorted((s.index, slot) for slot, s in specs if s.kind == "output")
        for index, slot in outputs:
            if index not in self.updates:
                spec = self.lowered.buffers[slot]
                bytes = evaluate(spec.bytes, values)
                results.append(Result(slot, shape(spec), spec.dtype.numpy, bytes))
        return Layout(
            tuple(values[name] for name in self.lowered.size_names),
            arena,
            tuple((slot, offsets[k]) for k, (slot, _) in enumerate(temporary)),
            tuple(results),
            tuple(
                Staged(
                    slot,
                    offsets[len(temporary) + k],
                    entries[self.updates[s.index]],
                    evaluate(s.bytes, values),
                )
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
            "constants": sum(a.nbytes for a in self.lowered.constants),
            "packed weights": sum(p.bytes + ALIGNMENT for p in self.lowered.packs),
        }

    def admit(self, sizes: Sizes, threads: int) -> None:
        """Refuse a call that needs more than it may take, or than there is, before anything is
        allocated."""
        parts = self.memory(sizes, threads)
        total = sum(parts.values())
        limit = self._limit()
        if total > limit:
            told = ", ".join(f"{name} {show_bytes(part)}" for name, part in parts.items() if part)
            whose = "the machine has" if limit == self._machine() else "max_memory is"
            raise MemoryError(
                f"{self._head()}a call needs {show_bytes(total)} ({told}), and {whose} "
                f"{show_bytes(limit)}"
            )

    def fits(self, sizes: Sizes, threads: int | None) -> bool:
        """Whether a call may take what it needs."""
        return sum(self.memory(sizes, threads).values()) <= self._limit()

    def _machine(self) -> int:
        """Bytes of the memory that calls use."""
        return machine_memory()

    def _limit(self) -> int:
        machine = self._machine()
        return machine if self._max_memory is None else min(self._max_memory, machine)

    def refused(self, sizes: Sizes, threads: int) -> MemoryError:
        """The error for memory that the system did not give."""
        total = sum(self.memory(sizes, threads).values())
        return MemoryError(
            f"{self._head()}a call needs {show_bytes(total)}, and the system refused them"
        )

    def holders(self, sizes: Sizes) -> list[tuple[int, BufferSpec]]:
        """What is alive in the arena when it is fullest, with its bytes, largest first."""
        layout = self.layout(sizes)
        slots = [slot for slot, _ in layout.temporaries] + [s.slot for s in layout.staged]
        specs = [self.lowered.buffers[slots[k]] for k in layout.arena.holders]
        return [(evaluate(spec.bytes, sizes.by_name), spec) for spec in specs]

    def _head(self) -> str:
        return f"{self.label}: " if self.label else ""
