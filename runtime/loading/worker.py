"""The worker process: receives tasks, fetches, writes batches into slots, and tells which.

It ends when the main process closes the socket, raises the stop mark, or is gone (another parent),
whichever it sees first. Ctrl-C is the main process's affair."""

from __future__ import annotations

import os
import pickle
import signal
import socket
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Final

import numpy as np

from intaglio.runtime.loading.channel import Channel, Message
from intaglio.runtime.loading.errors import Exhausted, pack
from intaglio.runtime.loading.fetching import Fetcher
from intaglio.runtime.loading.layout import Layout, pack as pack_batch
from intaglio.runtime.loading.memory import Room
from intaglio.runtime.settings import set_num_threads
from intaglio.runtime.shared import Segment

BEGIN, SEGMENT, FORGET, TASKS = range(4)
"""Kinds of messages to a worker."""
SAME, OTHER, FAILED, ENDED, SKIPPED = range(10, 15)
"""Kinds of messages from a worker: a batch laid out as the one before, or otherwise; an exception;
nothing more in this run; a task that nobody wants any longer."""
MARK: Final = np.dtype(np.int64)
STOP: Final = (1 << 63) - 1
"""The mark in shared memory is the number of the first task that is still wanted; this ends all."""
_LOOK: Final = 2.0
"""Seconds after which a waiting worker looks whether its parent still lives."""

_HELD: Final = signal.SIGINT, signal.SIGTERM


@contextmanager
def without_signals() -> Iterator[None]:
    """For the start of a worker: Ctrl-C and SIGTERM arrive afterwards. During a fork Python would
    lose their exceptions, and a new process meet them before it is ready. `work` lets them in."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, _HELD)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def work(
    end: socket.socket,
    others: Sequence[socket.socket],
    marks: Segment,
    fetcher: Fetcher,
    number: int,
    workers: int,
    parent: int,
) -> None:
    """Run a worker until it is not wanted any longer. `others` are the main process's sockets, as
    far as a forked child has them too."""
    for other in others:
        other.close()
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, _HELD)
    set_num_threads(1)
    worker = _Worker(Channel(end), marks, fetcher, number, parent)
    try:
        worker.open(workers)
        worker.run()
    except EOFError:
        pass  # the main process is gone or wants no more


class _Worker:
    def __init__(
        self, channel: Channel, marks: Segment, fetcher: Fetcher, number: int, parent: int
    ) -> None:
        self.channel, self.fetcher, self.number, self.parent = channel, fetcher, number, parent
        self.wanted = marks.array(MARK, (1,))
        self.segments: dict[int, Segment] = {}
        self.last: Layout | None = None
        self.broken: BaseException | None = None
        self.unbegun: BaseException | None = None

    def open(self, workers: int) -> None:
        """Prepare the fetcher; what fails is told with every task."""
        try:
            self.fetcher.open(self.number, workers)
        except Exception as error:
            self.broken = error

    def run(self) -> None:
        """Answer messages until the end."""
        while self.wanted[0] != STOP:
            message = self.channel.receive(_LOOK)
            if message is not None:
                self.answer(message)
            elif os.getppid() != self.parent:
                return

    def answer(self, message: Message) -> None:
        """Do what a message says."""
        if message.kind == TASKS:
            for task in pickle.loads(message.payload):  # noqa: S301  # from our own parent
                self.task(*task)
        elif message.kind == SEGMENT:
            self.segments[message.number] = Segment.adopt(message.descriptor)
        elif message.kind == FORGET:
            del self.segments[message.number]
        else:
            self.begin(message.payload)

    def begin(self, payload: bytes) -> None:
        """Begin a run; what fails is told with every task of it."""
        self.unbegun = None
        try:
            self.fetcher.begin(pickle.loads(payload))  # noqa: S301  # as above
        except Exception as error:
            self.unbegun = error

    def task(self, number: int, key: int, offset: int, size: int, task: Any) -> None:
        """Fetch one batch and tell how it went."""
        if number < self.wanted[0]:
            self.tell(SKIPPED, number)
            return
        try:
            if failed := self.broken or self.unbegun:
                raise failed
            room = Room(self.segments[key], offset, size)
            layout = pack_batch(self.fetcher.fetch(task, room), self.fetcher, room)
            moved = room.moved() if room.overflowed else None
        except Exhausted:
            self.tell(ENDED, number)
        except Exception as error:
            self.tell(FAILED, number, pack(error, self.number, self.fetcher.describe(task)))
        else:
            if layout == self.last:
                self.tell(SAME, number, segment=moved)
            else:
                self.last = layout
                self.tell(OTHER, number, pickle.dumps(tuple(layout)), moved)

    def tell(
        self, kind: int, number: int, payload: bytes = b"", segment: Segment | None = None
    ) -> None:
        """Send a message, and wait until it is on its way."""
        try:
            self.channel.send(kind, number, payload, segment)
            while not self.channel.wait_sent(_LOOK):
                if os.getppid() != self.parent or self.wanted[0] == STOP:
                    raise EOFError
        except OSError as error:
            raise EOFError from error
