"""A lock that many readers or one writer may hold."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager


class SharedLock:
    """Readers share it, a writer has it alone. Waiting writers go before new readers."""

    def __init__(self) -> None:
        self._change = threading.Condition(threading.Lock())
        self._readers = 0
        self._writing = False
        self._waiting = 0

    @contextmanager
    def reading(self) -> Iterator[None]:
        """Hold it together with other readers."""
        with self._change:
            while self._writing or self._waiting:
                self._change.wait()
            self._readers += 1
        try:
            yield
        finally:
            with self._change:
                self._readers -= 1
                if not self._readers:
                    self._change.notify_all()

    @contextmanager
    def writing(self) -> Iterator[None]:
        """Hold it alone."""
        with self._change:
            self._waiting += 1
            try:
                while self._writing or self._readers:
                    self._change.wait()
            finally:
                self._waiting -= 1
            self._writing = True
        try:
            yield
        finally:
            with self._change:
                self._writing = False
                self._change.notify_all()
