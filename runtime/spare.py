"""Memory for large results, used again: touching fresh pages costs more than most kernels.

Arrays that were handed out are remembered by shape and dtype, the latest last, a bounded amount of
them. One that nobody else holds any more (no tensor, view or export: all of these hold the array
itself) is handed out again. They begin on a cache line, where kernels write fastest. What is
remembered beyond the bound is forgotten, oldest first, and is then freed like any array."""

from __future__ import annotations

import os
import sys
import threading
from collections import OrderedDict, deque
from typing import Any, Final

import numpy as np

from intaglio.runtime.arrays import Array

LARGE: Final = 1 << 16
"""Bytes from which on memory is used again."""
KEPT: Final = 256 << 20
"""Bytes that are remembered at most."""
LINE: Final = 64
"""Bytes of a cache line."""
ALIKE: Final = 8
"""Arrays of one shape and dtype that are remembered at most, so that a search is short."""

Key = tuple[tuple[int, ...], Any]

_queues: Final[OrderedDict[Key, deque[Array]]] = OrderedDict()
_bytes = 0
_changing = threading.RLock()  # the collector may run a finalizer that comes here again


def _unlocked() -> None:
    global _changing
    _changing = threading.RLock()


os.register_at_fork(after_in_child=_unlocked)  # another thread may have held it


def _references(queue: deque[Array], k: int) -> tuple[int, Array]:
    """The array in a place of the queue, and how many references to it are counted."""
    array = queue[k]
    return sys.getrefcount(array), array


_ALONE: Final = _references(deque([np.empty(1)]), 0)[0]
"""What is counted for an array that nobody else holds."""


class _Memory(np.ndarray[Any, Any]):
    """What an array lies in. Views of the array hold the array, not this: NumPy looks through an
    array to what it lies in only if both are of one class."""


def _on_lines(shape: tuple[int, ...], dtype: Any, nbytes: int) -> Array:
    """A new array that begins on a cache line."""
    memory = _Memory((nbytes + LINE,), np.uint8)
    return np.ndarray(shape, dtype, memory, -memory.ctypes.data % LINE)


def empty(shape: tuple[int, ...], dtype: Any, nbytes: int) -> Array:
    """A dense array with any elements; of memory used before, where it is large."""
    if not LARGE <= nbytes <= KEPT // 2:
        return np.empty(shape, dtype)
    key = (shape, dtype)
    with _changing:
        queue = _queues.get(key)
        for k in range(len(queue) - 1 if queue else -1, -1, -1):  # the latest may be in caches yet
            assert queue is not None
            count, array = _references(queue, k)
            if count == _ALONE and _is_as_made(array, key):
                del queue[k]
                queue.append(array)
                return array
    array = _on_lines(shape, dtype, nbytes)
    _remember(key, array)
    return array


def _is_as_made(array: Array, key: Key) -> bool:
    """Whether nobody changed the shape, the dtype or the flags."""
    return array.flags.carray and (array.shape, array.dtype) == key


def remembers(array: Array) -> bool:
    """Whether an array was handed out here and is kept for a later use."""
    if not is_store(array.base):
        return False
    with _changing:
        return any(known is array for known in _queues.get((array.shape, array.dtype), ()))


def is_store(thing: object) -> bool:
    """Whether this is the memory that an array handed out here lies in."""
    return type(thing) is _Memory


def forget() -> None:
    """Remember nothing: memory that nobody holds is freed."""
    global _bytes
    with _changing:
        _queues.clear()
        _bytes = 0


def _remember(key: Key, array: Array) -> None:
    global _bytes
    with _changing:
        queue = _queues.setdefault(key, deque())
        _queues.move_to_end(key)
        queue.append(array)
        _bytes += array.nbytes
        if len(queue) > ALIKE:
            _bytes -= queue.popleft().nbytes
        while _bytes > KEPT:
            oldest, dropped = next(iter(_queues.items()))
            _bytes -= dropped.popleft().nbytes
            if not dropped:
                del _queues[oldest]
