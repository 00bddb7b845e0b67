"""Tensors in memory that several processes share.

Sharing a tensor moves all the memory that it is a view of into a segment, and every tensor of this
process that looks at that memory along with it, so they still see each other's writes. NumPy arrays
that looked at it keep the old memory. Small tensors lie together in segments, so that descriptors
are few."""

from __future__ import annotations

import ctypes
import gc
import os
import sys
import threading
from bisect import bisect_right
from collections.abc import Iterable, Sequence
from typing import Any, Final, NamedTuple, TypeVar

import numpy as np

from intaglio._core import Tensor, from_array
from intaglio._modes import modes
from intaglio.compiler.errors import TraceError
from intaglio.runtime.arrays import address
from intaglio.runtime.shared import Segment, segment_of
from intaglio.runtime.spare import is_store, remembers

Array = np.ndarray[Any, Any]
Shared = TypeVar("Shared", bound=Tensor)

LINE: Final = 64
SIZES: Final = ((1 << 16, 1 << 20), (1 << 20, 1 << 23))
"""Tensors up to so many bytes lie together in segments of so many; larger ones have their own."""


class _Arena:
    """Room in segments: the last one of each size is filled up before the next is made."""

    def __init__(self) -> None:
        self._changing = threading.Lock()
        self._open: dict[int, tuple[Segment, int]] = {}

    def room(self, nbytes: int) -> tuple[Segment, int]:
        """A segment and an offset with room for so many bytes."""
        size = next((whole for limit, whole in SIZES if nbytes <= limit), None)
        if size is None:
            return Segment(nbytes), 0
        with self._changing:
            segment, used = self._open.get(size) or (Segment(size), 0)
            if used + nbytes > size:
                segment, used = Segment(size), 0
            self._open[size] = segment, _aligned(used + nbytes)
        return segment, used


_arena = _Arena()


def _forked() -> None:
    global _arena
    _arena = _Arena()  # the parent goes on filling the segments of the old one


os.register_at_fork(after_in_child=_forked)


def _aligned(nbytes: int) -> int:
    return -(-max(nbytes, 1) // LINE) * LINE


class _Span(NamedTuple):
    """Memory from `low` to `high` (exclusive)."""

    low: int
    high: int


def share_memory(tensor: Shared) -> Shared:
    """Move a tensor into memory that other processes can share, unless it lies there; the tensor
    itself. Tensors on a device stay where they are."""
    share_together([tensor], one_segment=False)
    return tensor


def share_together(tensors: Iterable[Tensor], one_segment: bool = True) -> None:
    """Move several tensors into shared memory, into one segment."""
    if modes.trace is not None:
        raise TraceError("share_memory_: share tensors before the traced function is called")
    unshared = [t for t in tensors if not _stays(t)]
    moving = [t for t in unshared if _root(t._data).flags.writeable]
    copied = [t for t in unshared if not _root(t._data).flags.writeable]
    alone = len(moving) == 1 and _is_alone(moving[0])
    spans = _merged([_extent(_root(t._data)) for t in moving])
    sizes = [s.high - s.low for s in spans]
    targets = _targets([*sizes, *(t._data.size * t._data.itemsize for t in copied)], one_segment)
    looking = moving if alone or not spans else _looking_at(spans)
    for span, (segment, offset) in zip(spans, targets, strict=False):
        ctypes.memmove(_start(segment) + offset, span.low, span.high - span.low)
    for tensor in looking:
        _move(tensor, spans, targets)
    for tensor, (segment, offset) in zip(copied, targets[len(spans) :], strict=True):
        made = segment.array(tensor._data.dtype, tensor._data.shape, offset)
        np.copyto(made, tensor._data)
        tensor._data = made


def _stays(tensor: Tensor) -> bool:
    """Whether a tensor lies in shared memory, or on a device."""
    data = tensor._present("share_memory_")
    return not isinstance(data, np.ndarray) or segment_of(data) is not None


def _root(array: Array) -> Array:
    """The array that this one is, at last, a view of."""
    root = array
    holder: Any = array.base
    while holder is not None and not is_store(holder):
        if isinstance(holder, np.ndarray):
            root = holder
        viewed = isinstance(holder, memoryview)  # NumPy puts such and others between some views
        holder = holder.obj if viewed else getattr(holder, "base", None)
    return root


def _extent(array: Array) -> _Span:
    """The memory that an array's elements lie in."""
    start = address(array)
    if not array.size:
        return _Span(start, start)
    steps = [(n - 1) * s for n, s in zip(array.shape, array.strides, strict=True)]
    low = start + sum(s for s in steps if s < 0)
    return _Span(low, start + sum(s for s in steps if s > 0) + array.itemsize)


def _merged(spans: Iterable[_Span]) -> list[_Span]:
    """The spans in order, those that overlap as one."""
    found: list[_Span] = []
    for span in sorted(spans):
        if found and (span.low < found[-1].high or span.low == found[-1].low):
            span = _Span(found[-1].low, max(found.pop().high, span.high))
        found.append(span)
    return found


def _targets(sizes: Sequence[int], one_segment: bool) -> list[tuple[Segment, int]]:
    """Where each of several pieces of memory goes."""
    if not one_segment or len(sizes) < 2:
        return [_arena.room(size) for size in sizes]
    offsets = [0]
    for size in sizes:
        offsets.append(offsets[-1] + _aligned(size))
    segment = Segment(offsets[-1])
    return [(segment, offset) for offset in offsets[:-1]]


def _start(segment: Segment) -> int:
    return address(segment.array(np.dtype(np.uint8), (1,)))


def _within(array: Array, spans: Sequence[_Span]) -> int | None:
    """Which span an array lies in as a whole."""
    extent = _extent(array)
    k = bisect_right(spans, (extent.low, sys.maxsize)) - 1
    return k if k >= 0 and extent.high <= spans[k].high else None


def _move(tensor: Tensor, spans: Sequence[_Span], targets: Sequence[tuple[Segment, int]]) -> None:
    """Let a tensor that looks at a span look at the same bytes of its target."""
    old = tensor._data
    k = _within(old, spans)
    assert k is not None
    segment, offset = targets[k]
    place = offset + address(old) - spans[k].low
    made: Array = np.ndarray(old.shape, old.dtype, segment, place, old.strides)
    made.flags.writeable = old.flags.writeable
    tensor._data = made


def _looking_at(spans: Sequence[_Span]) -> list[Tensor]:
    """All tensors of this process whose elements lie in the spans."""
    if gc.get_freeze_count():
        gc.unfreeze()  # it tells of no object that is frozen
    return [
        thing
        for thing in gc.get_objects()
        if issubclass(type(thing), Tensor)
        and isinstance(thing._data, np.ndarray)
        and _within(thing._data, spans) is not None
    ]


def _holders(tensor: Tensor) -> int:
    """How many references there are to a tensor's array, beside those for a later use."""
    return sys.getrefcount(tensor._data) - remembers(tensor._data)


_ALONE: Final = _holders(from_array(np.empty(1)))


def _is_alone(tensor: Tensor) -> bool:
    """Whether nobody else can look at a tensor's memory, as far as that is quickly told."""
    whole = tensor._data.base is None or remembers(tensor._data)
    return whole and _holders(tensor) == _ALONE
