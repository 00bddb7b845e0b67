"""What a lowered function does, step by step: kernels with their memory, loops of steps, and which
steps run together.

Steps are numbered in the order they run. Neighbours that touch no common memory except to read it
share a number: they become one step of several parts. A loop's steps are numbered once; what lives
outside the loop and is used in it lives as long as the whole loop."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np

from intaglio.compiler.dims import Dim, Size
from intaglio.compiler.lowered import StepInfo
from intaglio.compiler.schedule.storage import View
from intaglio.compiler.types import TensorType
from intaglio.compiler.where import Places, join

MOST_PARTS = 24
"""Kernels that share a step at most; those that share a function and are short, or take their
length from the call, count once."""
SHORT = 100
"""Nanoseconds."""
LOOK = 6
"""How many steps a call may go back to one that runs the same kernel."""


class Memory:
    """The buffers of a function, by number."""

    def __init__(self) -> None:
        self.kinds: list[tuple[str, int]] = []
        self.types: list[TensorType] = []
        self.constants: list[np.ndarray[Any, Any]] = []
        self._temporaries = 0

    def add(self, kind: str, index: int, type: TensorType) -> int:
        """A new buffer's number."""
        self.kinds.append((kind, index))
        self.types.append(type)
        return len(self.kinds) - 1

    def temporary(self, type: TensorType) -> int:
        """A new temporary's number."""
        self._temporaries += 1
        return self.add("temp", self._temporaries - 1, type)

    def constant(self, array: np.ndarray[Any, Any], type: TensorType) -> int:
        """A new constant's number."""
        self.constants.append(array)
        return self.add("constant", len(self.constants) - 1, type)


@dataclass
class Call:
    """One kernel applied to memory: views of buffers in the order of its parameters (workspaces
    among them), how many chunks it has, and the number for its errors. `same_place` holds pairs of
    a buffer that it writes and one that it reads, which may be the same memory. One that `copies`
    puts every element where it was, and is left out where both are the same memory. A call into
    Python has its number in `host`, and no function; like a check it may fail.

    `sizes` stand for the function's own where its text is that of several lengths. `spans` are the
    stretches it writes of a buffer (number, first element, end), where they are known. `alike` are
    calls of the same function with other memory that run in this call's place, all as one: `reads`,
    `writes`, `where` and the time are those of all."""

    function: str
    views: tuple[View, ...]
    reads: tuple[int, ...]
    writes: tuple[int, ...]
    chunks: Size
    nanoseconds: Size
    ops: tuple[str, ...] = ()
    where: Places = ()
    node: int = 0
    same_place: tuple[tuple[int, int], ...] = ()
    check: bool = False
    copies: bool = False
    number: int = -1
    host: int | None = None
    sizes: tuple[Size, ...] = ()
    spans: tuple[tuple[int, int, int], ...] = ()
    alike: list[Call] = field(default_factory=list)

    @property
    def every(self) -> tuple[Call, ...]:
        """This call, as it was alone, and those alike."""
        return (self, *self.alike)

    @property
    def is_light(self) -> bool:
        """Whether any number of these may share a step."""
        short = isinstance(self.nanoseconds, int) and self.nanoseconds <= SHORT
        return bool(self.sizes) or short

    def may_take(self, other: Call) -> bool:
        """Whether another call may run as one with this."""
        alone = any(c.check or c.copies or c.host is not None for c in (self, other))
        return not alone and self._form == other._form

    @property
    def _form(self) -> tuple[object, ...]:
        return self.function, self.node, len(self.views), len(self.sizes)

    def take(self, other: Call) -> None:
        """Let another call run as one with this."""
        self.alike.append(other)
        self.reads = tuple(dict.fromkeys((*self.reads, *other.reads)))
        self.writes = tuple(dict.fromkeys((*self.writes, *other.writes)))
        self.same_place = tuple(dict.fromkeys((*self.same_place, *other.same_place)))
        self.where = join(self.where, other.where)
        self.nanoseconds = self.nanoseconds + other.nanoseconds


class Batch:
    """Calls that run as one step."""

    def __init__(self, call: Call, replaced: Collection[int] = ()) -> None:
        self.calls: list[Call] = []
        self.read: set[int] = set()
        self.written: set[int] = set()
        self.replaced: set[int] = set()
        """The inputs whose memory is wanted for what is written."""
        self._spans: dict[int, list[tuple[int, int]] | None] = {}
        self._parts = 0
        self.add(call, replaced)

    def add(self, call: Call, replaced: Collection[int]) -> None:
        """One more call beside the others."""
        twin = self._twin(call)
        apart = {n: (first, end) for n, first, end in call.spans}
        for n in call.writes:
            known = self._spans.setdefault(n, [])
            if known is not None and n in apart:
                known.append(apart[n])
            else:
                self._spans[n] = None
        self.read.update(call.reads)
        self.written.update(call.writes)
        self.replaced.update(replaced)
        if twin is None:
            self.calls.append(call)
        else:
            twin.take(call)
        self._parts += twin is None or not call.is_light

    @property
    def has_room(self) -> bool:
        """Whether there may be one more kernel."""
        return self._parts < MOST_PARTS

    @property
    def may_be_passed(self) -> bool:
        """Whether what stands behind may come before: not where something can fail."""
        return not any(c.check or c.host is not None for c in self.calls)

    def has_twin(self, call: Call) -> bool:
        """Whether a call fits in as one with another."""
        return (self.has_room or call.is_light) and self._twin(call) is not None

    def is_independent(self, call: Call, wanted: Sequence[int]) -> bool:
        """Whether a call may run beside these; one that would like to write over what they read
        does not. `wanted` are the inputs that it replaces."""
        return (
            self.written.isdisjoint(call.reads)
            and self.read.isdisjoint((*call.writes, *wanted))
            and not self.writes_into(call)
        )

    def _twin(self, call: Call) -> Call | None:
        """The call that takes this one in: none where another would write over what this reads,
        which only whole calls are asked for."""
        if not self.replaced.isdisjoint(call.reads):
            return None
        return next((c for c in self.calls if c.may_take(call)), None)

    def writes_into(self, call: Call) -> bool:
        """Whether a call writes what others write."""
        apart = {n: (first, end) for n, first, end in call.spans}
        for n in self.written.intersection(call.writes):
            known = self._spans[n]
            if known is None or n not in apart:
                return True
            first, end = apart[n]
            if any(a < end and first < b for a, b in known):
                return True
        return False


@dataclass
class LoopStep:
    """Steps repeated `length` times; `round` counts from 0."""

    round: Dim
    length: Size
    items: list[Batch | LoopStep] = field(default_factory=list)
    first: int = 0
    last: int = 0


class Timeline:
    """The steps of a function in the order they run."""

    def __init__(self) -> None:
        self.items: list[Batch | LoopStep] = []
        self.replaces: dict[int, int] = {}
        """The input whose memory an output would like to take."""
        self._open: list[LoopStep] = []
        self._next = 0
        self._spans: dict[int, tuple[int, int]] = {}
        self._born: dict[int, int] = {}
        self._outer: dict[int, set[int]] = {}
        self.nanoseconds: Size = 0

    def add(self, call: Call) -> None:
        """Append a kernel: to the last step when it may run beside it, else as a new step."""
        if call.chunks == 0:
            return
        here = self._open[-1].items if self._open else self.items
        wanted = [self.replaces[n] for n in call.writes if n in self.replaces]
        work, touched = call.nanoseconds, (*call.reads, *call.writes)
        batch = None if call.check else self._batch_for(here, call, wanted)
        if batch is not None:
            call.number = batch.calls[0].number
            batch.add(call, wanted)
        else:
            call.number = self._next
            self._next += 1
            here.append(Batch(call, wanted))
        for loop in self._open:
            work = work * loop.length
        self.nanoseconds = self.nanoseconds + work
        for number in touched:
            self._touch(number, call.number)

    def _batch_for(
        self, here: Sequence[Batch | LoopStep], call: Call, wanted: Sequence[int]
    ) -> Batch | None:
        """The step that a call may be a part of: one of the last that runs the same kernel, where
        nothing in between has to come first, or the very last."""
        found = None
        for back, batch in enumerate(reversed(here[-LOOK:])):
            apart = isinstance(batch, Batch) and batch.is_independent(call, wanted)
            if not isinstance(batch, Batch) or not apart or not batch.may_be_passed:
                break
            if batch.has_twin(call):
                return batch
            if back == 0 and batch.has_room:
                found = batch
        return found

    def _touch(self, number: int, at: int) -> None:
        depth = self._born.setdefault(number, len(self._open))
        first, last = self._spans.get(number, (at, at))
        self._spans[number] = (min(first, at), max(last, at))
        for loop in self._open[depth:]:
            self._outer.setdefault(id(loop), set()).add(number)

    def touch_all(self, numbers: Sequence[int]) -> None:
        """Let buffers live at the step before the next one."""
        for number in numbers:
            self._touch(number, max(self._next - 1, 0))

    def born(self, number: int) -> None:
        """Say that a buffer belongs to the loop that is open now."""
        self._born[number] = len(self._open)

    def open_loop(self, round: Dim, length: Size) -> None:
        """Begin a loop of steps."""
        self._open.append(LoopStep(round, length, [], self._next))

    @property
    def in_loop(self) -> bool:
        """Whether a loop is open."""
        return bool(self._open)

    def close_loop(self) -> None:
        """End it."""
        loop = self._open.pop()
        loop.last = max(self._next - 1, loop.first)
        (self._open[-1].items if self._open else self.items).append(loop)
        for number in self._outer.pop(id(loop), set()):
            first, last = self._spans[number]
            self._spans[number] = (min(first, loop.first), max(last, loop.last))

    def lifetime(self, number: int) -> tuple[int, int]:
        """The first and last step that touch a buffer; (0, -1) when none does."""
        return self._spans.get(number, (0, -1))

    @property
    def leaves(self) -> bool:
        """Whether there are calls into Python."""
        return any(map(leaves, self.items))

    def calls(self) -> list[Call]:
        """Every call, in order."""
        return _calls(self.items)

    def infos(self) -> tuple[StepInfo, ...]:
        """What is known of every call."""
        return tuple(
            StepInfo(
                c.function,
                c.number,
                c.ops,
                c.where,
                c.reads,
                c.writes,
                c.nanoseconds,
                len(c.every),
            )
            for c in self.calls()
        )


def leaves(item: Batch | LoopStep) -> bool:
    """Whether a step, or a loop of steps, has a call into Python."""
    return any(call.host is not None for call in _calls([item]))


def _calls(items: Sequence[Batch | LoopStep]) -> list[Call]:
    found: list[Call] = []
    for item in items:
        found += item.calls if isinstance(item, Batch) else _calls(item.items)
    return found


class Span(NamedTuple):
    """A call, and the first and last step at which it may run: those of the loop around it."""

    call: Call
    first: int
    last: int
    looped: bool

    def copies(self, source: int, target: int) -> bool:
        """Whether it only copies one buffer to the other."""
        call = self.call
        return call.copies and call.reads == (source,) and call.writes == (target,)


def in_place_inputs(
    timeline: Timeline, memory: Memory, wanted: Mapping[int, int], inputs: Sequence[int]
) -> dict[int, int]:
    """Which outputs may take the memory of the input they ask for: the input is read by no other
    part of the step that writes the output first, and by none after it; the writing kernel reads
    it only where it writes; and no check comes later. A copy from the one to the other does not
    count: it is left out then.

    A loop counts as one step. What follows the first write in place can't be interrupted, and a
    loop may take long: what is written before or in the last loop is written in place only where
    the whole would be copied otherwise."""
    granted: dict[int, int] = {}
    looped = max((i.last for i in timeline.items if isinstance(i, LoopStep)), default=-1)
    spans = list(_spans(timeline.items))
    checked = max((s.last for s in spans if s.call.check), default=-1)
    targets = {index: k for k, (kind, index) in enumerate(memory.kinds) if kind == "output"}
    for output, source in wanted.items():
        number, target = inputs[source], targets[output]
        rest = [s for s in spans if not s.copies(number, target)]
        writers = [s for s in rest if target in s.call.writes]
        readers = [s for s in rest if number in s.call.reads]
        if not writers or source in granted.values():
            continue
        begin = min(s.first for s in writers)
        if begin <= looped and len(rest) == len(spans):
            continue
        if len(writers) == 1 and writers[0] in readers and not writers[0].looped:
            call = writers[0].call
            if target not in call.reads and (target, number) in call.same_place:
                readers.remove(writers[0])
        if checked < begin and all(s.last < begin for s in readers):
            granted[output] = source
    return granted


def first_in_place(
    timeline: Timeline, memory: Memory, granted: Mapping[int, int], inputs: Sequence[int]
) -> int | None:
    """The step that is the first to write an input's memory: from there on a call goes to its end;
    None: no step does. A loop counts as one step, its first."""
    targets = {memory.kinds.index(("output", k)): inputs[n] for k, n in granted.items()}
    return min(
        (
            s.first
            for s in _spans(timeline.items)
            for n in s.call.writes
            if n in targets and not s.copies(targets[n], n)
        ),
        default=None,
    )


def _spans(items: Sequence[Batch | LoopStep]) -> Iterator[Span]:
    for item in items:
        if isinstance(item, Batch):
            yield from (Span(call, call.number, call.number, False) for call in item.calls)
        else:
            yield from (Span(call, item.first, item.last, True) for call in _calls(item.items))
