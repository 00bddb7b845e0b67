"""A pool of worker processes that fetch batches ahead of the caller.

Tasks are dealt to the workers in turn, several in one message, and batches are handed out in the
order of their tasks. The main process never waits to send, keeps all accounts of memory, and while
it waits for a batch looks after the worker that owes it."""

from __future__ import annotations

import itertools
import multiprocessing
import os
import pickle
import select
import signal
import socket
import time
import weakref
from collections import deque
from collections.abc import Iterable, Iterator
from multiprocessing.context import BaseContext
from typing import Any, Final

from intaglio.compiler.errors import ArgumentError
from intaglio.runtime.loading import worker as work
from intaglio.runtime.loading.channel import Channel, Message
from intaglio.runtime.loading.errors import LoadingError, unpack
from intaglio.runtime.loading.fetching import Fetcher
from intaglio.runtime.loading.layout import Layout, Leaf, open_batch
from intaglio.runtime.loading.memory import Ring, Slot, note_own_fork
from intaglio.runtime.shared import Segment

LEAST, MOST = 2, 16
"""Batches that each worker fetches ahead, where the caller does not say: at first, and at most."""
AHEAD: Final = 1 << 20
"""Bytes up to which a worker fetches more than the least ahead."""
_FEW: Final = 4
"""Batches ahead up to which each one done is replaced at once."""
_LOOK: Final = 0.5
"""Seconds after which the main process looks whether the worker it waits for still lives."""
_HINTS: Final = {
    signal.SIGKILL: "; the system may have been out of memory",
    signal.SIGBUS: "; a file that it reads through a mapping may have been cut off meanwhile",
}
_PATIENCE: Final = 5.0
"""Seconds that workers have to end by themselves."""


class Member:
    """The main process's side of one worker."""

    def __init__(self, number: int, process: Any, channel: Channel) -> None:
        self.number, self.process, self.channel = number, process, channel
        self.known: set[int] = set()
        self.layout = Layout(b"", (), 0)
        self.owed = 0


class Pool:
    """Worker processes with one fetcher. They start at once and live until `close()`, the end of a
    `with` block, or the end of the pool object.

    `prefetch`: batches that each worker fetches ahead; by default 2, and more of small ones.
    `timeout`: seconds that the caller waits for a batch, 0 for as long as it takes.
    `context`: of `multiprocessing`; by default its `fork`."""

    def __init__(
        self,
        fetcher: Fetcher,
        workers: int,
        *,
        context: BaseContext | None = None,
        prefetch: int | None = None,
        timeout: float = 0.0,
    ) -> None:
        if workers < 1:
            raise ArgumentError(f"Pool: {workers} workers; one at least")
        if prefetch is not None and prefetch < 1:
            raise ArgumentError(f"Pool: prefetch={prefetch}; one batch at least")
        self.fetcher, self.timeout, self._prefetch = fetcher, timeout, prefetch
        self.depth = prefetch or LEAST
        self.members: list[Member] = []
        self._marks = Segment(64)
        self._wanted = self._marks.array(work.MARK, (1,))
        self._ring = Ring(workers * self.depth + 2)
        self._slots: dict[int, Slot] = {}
        self._numbers = itertools.count()
        self.owner = os.getpid()
        self._close = weakref.finalize(self, _end, self.owner, self._wanted, self.members)
        try:
            for number in range(workers):
                self._start(number, workers, context or multiprocessing.get_context("fork"))
        except BaseException:
            self._close()
            raise

    def _start(self, number: int, workers: int, context: Any) -> None:
        near, far = socket.socketpair()
        forked = context.get_start_method() == "fork"
        others = [near, *(m.channel.socket for m in self.members)] if forked else []
        process = context.Process(
            target=work.work,
            args=(far, others, self._marks, self.fetcher, number, workers, os.getpid()),
            name=f"loader-{number}",
            daemon=True,
        )
        try:
            with work.without_signals():
                process.start()
            if forked:
                note_own_fork()
        except BaseException as error:
            near.close()
            if not forked and "pickle" in str(error):
                raise LoadingError(
                    f"a loader's worker can't be started: {error}. What is not forked is pickled:"
                    " define dataset, collate_fn and worker_init_fn at the top level of a module,"
                    " not inside of a function or as a lambda, or start workers by 'fork'"
                ) from error
            raise
        finally:
            far.close()
        self.members.append(Member(number, process, Channel(near)))

    @property
    def first(self) -> int:
        """The number at which the run of now began."""
        return int(self._wanted[0])

    @property
    def closed(self) -> bool:
        """Whether this process has no workers here: they were ended by `close()`, or since one of
        them died, or they are those of a parent process."""
        return not self._close.alive or os.getpid() != self.owner

    def close(self) -> None:
        """End the workers. Batches that were handed out stay as they are."""
        self._close()

    def __enter__(self) -> Pool:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def run(
        self, tasks: Iterable[Any], *, begin: Any = None, ordered: bool = True, turn: int = 0
    ) -> Iterator[Any]:
        """The batches of these tasks, in their order, or with `ordered=False` as they come. A run
        that is begun ends the one before. Worker number `turn` gets the first task.

        An exception in a worker is raised in the place of its batch, and the run goes on behind
        it. Raises `LoadingError` when a worker dies, which closes the pool, or runs past the
        timeout."""
        if self.closed:
            raise LoadingError("the pool's workers were ended: make another pool")
        first = next(self._numbers)
        self._wanted[0] = first
        self._settle()
        payload = pickle.dumps(begin)
        for member in list(self.members):
            self._send(member, work.BEGIN, payload)
        return (_Ordered if ordered else _Unordered)(self, iter(tasks), first, turn)

    def deal(self, given: list[tuple[Member, Any]]) -> list[int]:
        """Send tasks to workers, those of one worker in one message; their numbers."""
        shares: dict[int, list[tuple[int, int, int, int, Any]]] = {}
        numbers = []
        for member, task in given:
            number, slot = next(self._numbers), self._ring.take()
            self._slots[number] = slot
            if slot.key not in member.known:
                self._introduce(member, slot)
            numbers.append(number)
            parts = (number, slot.key, slot.offset, slot.size, task)
            shares.setdefault(member.number, []).append(parts)
        for k, share in shares.items():
            self._send(self.members[k], work.TASKS, pickle.dumps(share, -1))
        return numbers

    def _send(self, member: Member, kind: int, payload: bytes) -> None:
        try:
            member.channel.send(kind, 0, payload)
        except OSError:
            raise self._lost(member) from None

    def _introduce(self, member: Member, slot: Slot) -> None:
        """Let a worker know a segment, and forget those that are gone."""
        gone = member.known - self._ring.segments.keys()
        try:
            for key in gone:
                member.channel.send(work.FORGET, key)
            member.channel.send(work.SEGMENT, slot.key, segment=slot.segment)
        except OSError:
            raise self._lost(member) from None
        member.known = (member.known - gone) | {slot.key}

    def hear(self, member: Member) -> Message:
        """The next message of a worker."""
        deadline = time.monotonic() + self.timeout if self.timeout else float("inf")
        while True:
            message = self._receive(member, min(_LOOK, deadline - time.monotonic()))
            if message is not None:
                return message
            self._look_after(member, deadline)

    def hear_any(self, members: list[Member]) -> tuple[Member, Message]:
        """The next message of any of the workers."""
        deadline = time.monotonic() + self.timeout if self.timeout else float("inf")
        poll = select.poll()
        while True:
            for member in members:
                message = self._receive(member, 0)
                if message is not None:
                    return member, message
                poll.register(member.channel.socket, self._awaited(member))
            if not poll.poll(max(0, min(_LOOK, deadline - time.monotonic())) * 1000):
                for member in members:
                    self._look_after(member, deadline)

    def _awaited(self, member: Member) -> int:
        try:
            return member.channel.awaited()
        except OSError:
            raise self._lost(member) from None

    def _settle(self) -> None:
        """Hear the last of a run that was left: workers skip its tasks, but for those at hand."""
        for member in list(self.members):
            while member.owed:
                message = self.hear(member)
                self._note(member, message)
                self.discard(message)

    def _receive(self, member: Member, seconds: float) -> Message | None:
        try:
            message = member.channel.receive(seconds)
        except EOFError:
            raise self._lost(member) from None
        except LoadingError:
            self.close()
            raise
        member.owed -= message is not None
        return message

    def _look_after(self, member: Member, deadline: float) -> None:
        """What there is to say when a worker has been silent for a while."""
        if not member.process.is_alive():
            raise self._lost(member)
        if time.monotonic() >= deadline:
            raise LoadingError(
                f"no batch from loader worker {member.number} (pid {member.process.pid}) within"
                f" the timeout of {self.timeout:g} seconds"
            )

    def _lost(self, member: Member) -> LoadingError:
        """The story of a worker that died; the pool ends."""
        member.process.join(_PATIENCE)
        pid, code = member.process.pid, member.process.exitcode
        if code is None:
            how = "closed its socket"
        elif code < 0:
            name = signal.Signals(-code).name if -code in set(signal.Signals) else "unknown"
            how = f"was killed by signal {-code} ({name})"
        else:
            how = f"exited with code {code}"
        self.close()
        hint = _HINTS.get(-code, "") if code is not None else ""
        return LoadingError(f"loader worker {member.number} (pid {pid}) {how}{hint}")

    def _note(self, member: Member, message: Message) -> None:
        """Keep what later messages build on: how this worker's last batch was laid out."""
        if message.kind == work.OTHER:
            parts = pickle.loads(message.payload)  # noqa: S301  # from our own child
            skeleton, leaves, used = parts
            member.layout = Layout(skeleton, tuple(Leaf(*x) for x in leaves), used)

    def discard(self, message: Message) -> None:
        """Take back what belongs to a batch that nobody wants."""
        self._ring.give_back(self._slots.pop(message.number))
        if message.descriptor >= 0:
            os.close(message.descriptor)

    def open(self, member: Member, message: Message) -> Any:
        """The batch that a message tells of, or its exception raised."""
        self._note(member, message)
        slot = self._slots.pop(message.number)
        if message.kind not in (work.SAME, work.OTHER):
            self._ring.give_back(slot)
            raise unpack(message.payload)
        layout = member.layout
        if message.descriptor >= 0:
            self._ring.give_back(slot)
            self._ring.fit(layout.used)
            slot = Slot(-1, Segment.adopt(message.descriptor), 0, layout.used)
        elif self._prefetch is None and layout.used * self.depth < AHEAD:
            self.depth = max(self.depth, min(MOST, AHEAD // max(layout.used, 1)))
        return open_batch(layout, self.fetcher, self._ring, slot)


def _end(owner: int, wanted: Any, members: list[Member]) -> None:
    """End all workers: ask, then wait, then insist."""
    if os.getpid() != owner:
        return
    wanted[0] = work.STOP
    for member in members:
        member.channel.close()
    deadline = time.monotonic() + _PATIENCE
    for member in members:
        process = member.process
        process.join(max(deadline - time.monotonic(), 0))
        for insist in (process.terminate, process.kill):
            if process.is_alive():
                insist()
                process.join(1)
        if not process.is_alive():
            process.close()
    members.clear()


class _Run:
    """The batches of one run, and the tasks dealt ahead of them."""

    def __init__(self, pool: Pool, tasks: Iterator[Any], first: int, turn: int) -> None:
        self.pool, self.first = pool, first
        self._tasks: Iterator[Any] | None = tasks
        self._error: BaseException | None = None
        self._active = deque(pool.members[turn:] + pool.members[:turn])
        self._owed: deque[tuple[int, Member]] = deque()

    def __iter__(self) -> Iterator[Any]:
        return self

    def __next__(self) -> Any:
        try:
            return self._advance()
        except KeyboardInterrupt:
            self.pool.close()
            raise

    def _advance(self) -> Any:
        self._check()
        self._fill()
        while self._owed:
            member, message = self._hear()
            if message.kind != work.ENDED:
                self._fill()
                return self.pool.open(member, message)
            self.pool.discard(message)
            if member in self._active:
                self._active.remove(member)
            if self._active:
                self._fill()
        self._check()
        raise StopIteration

    def _check(self) -> None:
        """Raise what keeps the run from going on."""
        if self.pool.closed and (self._owed or self._tasks is not None):
            here = os.getpid() == self.pool.owner
            how = "were ended, and this run with them" if here else "are those of a parent process"
            raise LoadingError(f"the pool's workers {how}")
        if not self.pool.closed and self.pool.first != self.first:
            raise LoadingError("this run was ended: another run of its pool was begun")
        if not self._owed and self._error is not None:
            error, self._error = self._error, None
            raise error

    def _fill(self) -> None:
        """Deal tasks until each worker has as many ahead as it may: of many, once half of them are
        done."""
        depth = self.pool.depth
        whole = depth * len(self._active)
        lacking = whole - len(self._owed)
        if self._tasks is None or lacking < (1 if depth <= _FEW else whole // 2):
            return
        given = []
        try:
            for task in itertools.islice(self._tasks, lacking):
                given.append((self._choose(), task))
            if len(given) < lacking:
                self._tasks = None
        except Exception as error:
            self._tasks, self._error = None, error
        numbers = self.pool.deal(given)
        self._owed.extend(zip(numbers, (member for member, _ in given), strict=True))

    def _choose(self) -> Member:
        """The worker that gets the next task."""
        raise NotImplementedError

    def _hear(self) -> tuple[Member, Message]:
        """The next answer, crossed off what is owed."""
        raise NotImplementedError


class _Ordered(_Run):
    """Batches in the order of their tasks; the workers take turns."""

    def _choose(self) -> Member:
        self._active.rotate(-1)
        chosen = self._active[-1]
        chosen.owed += 1
        return chosen

    def _hear(self) -> tuple[Member, Message]:
        _, member = self._owed[0]
        message = self.pool.hear(member)
        self._owed.popleft()
        return member, message


class _Unordered(_Run):
    """Batches as they come; a task goes to the worker that owes the fewest."""

    def _choose(self) -> Member:
        chosen = min(self._active, key=lambda member: member.owed)
        chosen.owed += 1
        return chosen

    def _hear(self) -> tuple[Member, Message]:
        owing = [member for member in self.pool.members if member.owed > 0]
        member, message = self.pool.hear_any(owing)
        self._owed.remove((message.number, member))
        return member, message
