"""A lock that many readers or one writer may hold."""

from __future__ import annotations

import threading


class SharedLock:
    """`with lock.reading:` shares it with other readers, `with lock.writing:` has it alone. Waiting
    writers go before new readers."""

    def __init__(self) -> None:
        self._change = threading.Condition(threading.Lock())
        self._readers = 0
        self._writing = False
        self._waiting = 0
        self.reading = _Reading(self)
        self.writing = _Writing(self)

    def begin_reading(self) -> None:
        """Wait until nobody writes."""
        with self._change:
            while self._writing or self._waiting:
                self._change.wait()
            self._readers += 1

    def end_reading(self) -> None:
        """Let a waiting writer go on, if this was the last reader."""
        with self._change:
            self._readers -= 1
            if self._waiting and not self._readers:
                self._change.notify_all()

    def begin_writing(self) -> None:
        """Wait until nobody reads or writes."""
        with self._change:
            self._waiting += 1
            try:
                while self._writing or self._readers:
                    self._change.wait()
            finally:
                self._waiting -= 1
            self._writing = True

    def end_writing(self) -> None:
        """Let the others go on."""
        with self._change:
            self._writing = False
            self._change.notify_all()


class _Reading:
    """A context in which a lock is read."""

    __slots__ = ("_lock",)

    def __init__(self, lock: SharedLock) -> None:
        self._lock = lock

    def __enter__(self) -> None:
        self._lock.begin_reading()

    def __exit__(self, *error: object) -> None:
        self._lock.end_reading()


class _Writing:
    """A context in which a lock is written."""

    __slots__ = ("_lock",)

    def __init__(self, lock: SharedLock) -> None:
        self._lock = lock

    def __enter__(self) -> None:
        self._lock.begin_writing()

    def __exit__(self, *error: object) -> None:
        self._lock.end_writing()
