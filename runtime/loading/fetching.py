"""What workers do: a fetcher turns a task into a batch."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from typing import TYPE_CHECKING, Any, Final

import numpy as np

if TYPE_CHECKING:
    from intaglio.runtime.loading.memory import Room

Array = np.ndarray[Any, Any]
_SHOWN: Final = 8


class Fetcher:
    """The work of a pool: a class of one's own defines `fetch`. It is handed to every worker once
    (inherited by a fork, pickled otherwise), and what it changes in itself stays in that worker."""

    def open(self, worker: int, workers: int) -> None:
        """Called once in each worker before anything else: it is number `worker` of `workers`."""

    def begin(self, given: Any) -> None:
        """Called in each worker when a run begins, with what `Pool.run(begin=...)` was given."""

    def fetch(self, task: Any, room: Room) -> object:
        """The batch for a task: a nest of Python objects and arrays. Arrays from
        `room.empty(shape, dtype)` lie where the main process reads them; others are copied there.
        Raises `Exhausted` when this worker has nothing more for this run."""
        raise NotImplementedError

    def describe(self, task: Any) -> str:
        """The task in the words of an error message."""
        return f"task {task!r:.200}"

    def take_apart(self, thing: object) -> tuple[Array, Hashable] | None:
        """For an object that travels through shared memory, its array and a kind that says what
        the array was; None for all others."""
        kind = type(thing)
        if (kind is np.ndarray or kind is np.memmap) and not thing.dtype.hasobject:  # type: ignore[attr-defined]
            return thing, None  # type: ignore[return-value]  # one of the two kinds of arrays
        return None

    def put_together(self, array: Array, kind: Hashable) -> object:
        """What was taken apart, from the array and its kind."""
        return array


class ArrayFetcher(Fetcher):
    """Batches of rows of arrays: a task is an array of row numbers, i64[n]; its batch the list of
    `a[rows]` for each of `arrays`. Memory-mapped arrays are read by the workers."""

    def __init__(self, arrays: Sequence[Array]) -> None:
        self.arrays = list(arrays)

    def fetch(self, task: Array, room: Room) -> list[Array]:
        """Gather the rows straight into the room."""
        made = []
        for array in self.arrays:
            into = room.empty((len(task), *array.shape[1:]), array.dtype)
            made.append(np.take(array, task, axis=0, out=into, mode="clip"))
        return made

    def describe(self, task: Array) -> str:
        """The first of its rows."""
        return "rows " + listed(task)


def listed(numbers: Sequence[object] | Array) -> str:
    """The first few of some numbers, and how many there are."""
    shown = ", ".join(str(n) for n in numbers[:_SHOWN])
    more = len(numbers) - _SHOWN
    return f"[{shown}]" if more <= 0 else f"[{shown}, ... {more} more]"
