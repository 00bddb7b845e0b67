"""Handing segments of shared memory to other processes: what is sent is a ticket of a few numbers.

The receiver opens the sender's descriptor under /proc and maps it, or finds the segment among those
it knows. Until then the sender keeps a descriptor of it open, one for all tickets of a segment.
Each ticket has a byte on the sender's *board*, a small segment of its own, which the receiver sets:
so no process waits for another, and no thread and no socket is needed. The sender looks at its
board when it hands something out, when it lets go of a segment that it has handed out, and after
garbage collections.

A ticket is worth something as long as the sender lives. A child process that ends waits a moment
for its last tickets to be taken."""

from __future__ import annotations

import errno
import gc
import os
import threading
import time
import weakref
from collections import OrderedDict
from multiprocessing import parent_process, util
from typing import Any, Final, NamedTuple
from weakref import WeakSet, WeakValueDictionary

import numpy as np

from intaglio.compiler.errors import Error
from intaglio.runtime.shared import Segment, find_segment

PLACES: Final = 1 << 16
"""Tickets that one board has room for."""
BOARDS: Final = 16
"""Boards of other processes that are kept open."""
LINGER: Final = 5.0
"""Seconds that an ending child waits for its tickets to be taken."""
_PENDING, _TAKEN = 1, 2


class SenderGoneError(Error, ConnectionError):
    """Shared memory that was sent by a process which ended before it was received."""


class Ticket(NamedTuple):
    """Where a segment and the byte for this ticket are: descriptors of process `pid`, told from
    others by their inodes."""

    pid: int
    descriptor: int
    identity: tuple[int, int]
    board: int
    board_identity: tuple[int, int]
    place: int


class _Pin:
    """A descriptor that keeps a segment there while tickets for it are on their way."""

    def __init__(self, segment: Segment) -> None:
        self.descriptor = os.dup(segment.descriptor)
        weakref.finalize(self, os.close, self.descriptor)


class _Board:
    """The bytes of one process's tickets."""

    def __init__(self) -> None:
        self.segment = Segment(PLACES)
        self.marks = self.segment.array(np.dtype(np.uint8), (PLACES,))
        self.free = list(range(PLACES - 1, -1, -1))
        self.held: dict[int, _Pin] = {}

    def sweep(self) -> None:
        """Let go what has been taken."""
        if not self.held:
            return
        for place in np.flatnonzero(self.marks == _TAKEN).tolist():
            self.marks[place] = 0
            del self.held[place]
            self.free.append(place)


class _Outbox:
    """What this process has handed out and nobody has taken yet."""

    def __init__(self) -> None:
        self._changing = threading.Lock()
        self._boards: list[_Board] = []
        self._pins: WeakValueDictionary[tuple[int, int], _Pin] = WeakValueDictionary()
        self._watched: WeakSet[Segment] = WeakSet()

    def hand(self, segment: Segment) -> Ticket:
        with self._changing:
            board = self._board()
            pin = self._pins.get(segment.identity)
            if pin is None:
                pin = self._pins[segment.identity] = _Pin(segment)
            if segment not in self._watched:
                self._watched.add(segment)
                weakref.finalize(segment, _sweep)
            place = board.free.pop()
            board.held[place] = pin
            board.marks[place] = _PENDING
        return Ticket(
            os.getpid(), pin.descriptor, segment.identity, board.segment.descriptor,
            board.segment.identity, place,
        )  # fmt: skip

    def _board(self) -> _Board:
        """One with room."""
        if _after_collection not in gc.callbacks:
            gc.callbacks.append(_after_collection)
        for board in self._boards:
            board.sweep()
            if board.free:
                return board
        self._boards.append(_Board())
        return self._boards[-1]

    def sweep(self) -> None:
        """Let go what has been taken, unless that is going on just now: this is also called in the
        middle of `hand`, by the collector."""
        if self._changing.acquire(blocking=False):
            try:
                for board in self._boards:
                    board.sweep()
            finally:
                self._changing.release()

    def pending(self) -> int:
        """How many tickets are on their way."""
        with self._changing:
            for board in self._boards:
                board.sweep()
            return sum(len(board.held) for board in self._boards)

    def linger(self) -> None:
        """Wait until all tickets are taken, for a few seconds at most."""
        parent, end = parent_process(), time.monotonic() + LINGER
        while self.pending() and time.monotonic() < end:
            if parent is None or not parent.is_alive():
                return
            time.sleep(0.005)


class _Inbox:
    """The boards of other processes, the latest last."""

    def __init__(self) -> None:
        self._changing = threading.Lock()
        self._boards: OrderedDict[tuple[int, int], Segment] = OrderedDict()

    def take(self, ticket: Ticket) -> Segment:
        segment = find_segment(ticket.identity)
        if segment is None:
            segment = _opened(ticket.pid, ticket.descriptor, ticket.identity)
        if segment is None:
            raise SenderGoneError(
                f"the memory of a tensor that process {ticket.pid} sent is gone: that process ended"
                " before this one received it; keep the sender alive (let it wait for an Event)"
                " until its tensors have arrived"
            )
        with self._changing:
            board = self._board(ticket)
            if board is not None:
                board[ticket.place] = _TAKEN
        return segment

    def _board(self, ticket: Ticket) -> Segment | None:
        key = ticket.board_identity
        board = find_segment(key) or _opened(ticket.pid, ticket.board, key)
        if board is not None:  # else nobody waits any more
            self._boards[key] = board
            self._boards.move_to_end(key)
            if len(self._boards) > BOARDS:
                self._boards.popitem(last=False)
        return board


def _opened(pid: int, descriptor: int, identity: tuple[int, int]) -> Segment | None:
    """The segment behind another process's descriptor, if that is still what it was."""
    try:
        opened = os.open(f"/proc/{pid}/fd/{descriptor}", os.O_RDWR | os.O_CLOEXEC)
    except PermissionError:
        raise Error(
            f"this process may not open what process {pid} shares under /proc/{pid}/fd: both must"
            " run for one user, and the sender must not be shielded (PR_SET_DUMPABLE)"
        ) from None
    except OSError as error:
        if error.errno in (errno.EMFILE, errno.ENFILE):
            raise
        return None
    about = os.fstat(opened)
    if (about.st_dev, about.st_ino) != identity:
        os.close(opened)
        return None
    return Segment.adopt(opened)


_outbox, _inbox = _Outbox(), _Inbox()


def _forked() -> None:
    global _outbox, _inbox
    _outbox, _inbox = _Outbox(), _Inbox()


os.register_at_fork(after_in_child=_forked)


def _sweep() -> None:
    _outbox.sweep()


def _after_collection(phase: str, _: Any) -> None:
    if phase == "stop":
        _outbox.sweep()


def _linger_at_end(_: Any = None) -> None:
    """Linger when this child process ends, after its queues have sent what was put into them."""
    util.Finalize(None, lambda: _outbox.linger(), exitpriority=-20)


util.register_after_fork(_Outbox, _linger_at_end)  # for children forked or spawned with this loaded
if parent_process() is not None:
    _linger_at_end()


def hand(segment: Segment) -> Ticket:
    """A ticket for one receiver in another process; the segment is held until it is taken."""
    return _outbox.hand(segment)


def take(ticket: Ticket) -> Segment:
    """The segment of a ticket. Raises `SenderGoneError` where its sender has ended."""
    return _inbox.take(ticket)


def pending() -> int:
    """How many of this process's tickets have not been taken yet."""
    return _outbox.pending()
