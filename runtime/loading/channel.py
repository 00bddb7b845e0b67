"""Messages between a process and one worker: a Unix socket that carries numbered payloads and, with
them, descriptors of shared segments.

Neither side ever waits in `send`: what the socket does not take is kept and goes out with the next
call, so two processes that send to each other can't lock up."""

from __future__ import annotations

import os
import select
import socket
import struct
from collections import deque
from typing import Any, Final, NamedTuple

from intaglio.runtime.loading.errors import LoadingError

_HEAD: Final = struct.Struct("<qII")
_WITH_DESCRIPTOR: Final = 1 << 16
_ROOM: Final = socket.CMSG_SPACE(struct.calcsize("i"))
_CHUNK: Final = 1 << 16


class Message(NamedTuple):
    """What arrived: its kind, the number it is about, its bytes, and a descriptor or -1."""

    kind: int
    number: int
    payload: bytes
    descriptor: int = -1


class _Waiting:
    """What the socket has not taken yet. `holder` keeps the descriptor open until it is sent."""

    def __init__(self, data: bytes, descriptor: int, holder: object) -> None:
        self.data, self.descriptor, self.holder = memoryview(data), descriptor, holder


class Channel:
    """One end of a socket between two processes."""

    def __init__(self, end: socket.socket) -> None:
        end.setblocking(False)
        self.socket = end
        self._inbox = bytearray()
        self._arrived: deque[int] = deque()
        self._outbox: deque[_Waiting] = deque()
        self._poll = select.poll()
        self._poll.register(end, select.POLLIN)

    def send(self, kind: int, number: int, payload: bytes = b"", segment: Any = None) -> None:
        """Send a message, with the descriptor of a segment if one is given."""
        descriptor = -1 if segment is None else segment.descriptor
        head = _HEAD.pack(number, len(payload), kind | (_WITH_DESCRIPTOR * (descriptor >= 0)))
        self._outbox.append(_Waiting(head + payload, descriptor, segment))
        self.flush()

    def flush(self) -> bool:
        """Hand the socket what it takes; whether nothing is left."""
        while self._outbox:
            first = self._outbox[0]
            try:
                sent = self._push(first)
            except BlockingIOError:
                return False
            if sent < len(first.data):
                first.data, first.descriptor = first.data[sent:], -1
            else:
                self._outbox.popleft()
        return True

    def _push(self, one: _Waiting) -> int:
        if one.descriptor < 0:
            return self.socket.send(one.data, socket.MSG_NOSIGNAL)
        carried = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, struct.pack("i", one.descriptor))]
        return self.socket.sendmsg([one.data], carried, socket.MSG_NOSIGNAL)

    def wait_sent(self, seconds: float) -> bool:
        """Wait until everything is sent, so long at most; whether it is."""
        if not self.flush():
            with_room = select.poll()
            with_room.register(self.socket, select.POLLOUT)
            with_room.poll(seconds * 1000)
        return self.flush()

    def receive(self, seconds: float) -> Message | None:
        """The next message; None when none came in time. Raises `EOFError` when the other end is
        gone."""
        message = self._parse()
        while message is None:
            if not self._read():
                if not self._wait(seconds):
                    return None
                if not self._read():
                    return None
            message = self._parse()
        return message

    def _wait(self, seconds: float) -> bool:
        """Wait until there is something to read, or something was sent; whether it was so."""
        try:
            self._poll.modify(self.socket, self.awaited())
            came = self._poll.poll(max(seconds, 0) * 1000)
            self.flush()
        except OSError as error:  # the other end went while something was on its way to it
            raise EOFError from error
        return bool(came)

    def awaited(self) -> int:
        """What to poll the socket for: something to read, and room while not all is sent."""
        return select.POLLIN if self.flush() else select.POLLIN | select.POLLOUT

    def _read(self) -> bool:
        """Take in what has come; whether there was anything."""
        try:
            data, carried, flags, _ = self.socket.recvmsg(_CHUNK, _ROOM, socket.MSG_CMSG_CLOEXEC)
        except BlockingIOError:
            return False
        except OSError as error:
            raise EOFError from error
        for level, kind, content in carried:
            if level == socket.SOL_SOCKET and kind == socket.SCM_RIGHTS:
                self._arrived.extend(struct.unpack(f"{len(content) // 4}i", content))
        if flags & socket.MSG_CTRUNC:
            raise LoadingError(
                "a segment of shared memory got lost on its way: this process may open no more"
                " files (ulimit -n)"
            )
        if not data:
            raise EOFError
        self._inbox += data
        return True

    def _parse(self) -> Message | None:
        inbox = self._inbox
        if len(inbox) < _HEAD.size:
            return None
        number, length, kind = _HEAD.unpack_from(inbox)
        end = _HEAD.size + length
        if len(inbox) < end:
            return None
        payload, descriptor = bytes(inbox[_HEAD.size : end]), -1
        del inbox[:end]
        if kind & _WITH_DESCRIPTOR:
            kind, descriptor = kind & ~_WITH_DESCRIPTOR, self._arrived.popleft()
        return Message(kind, number, payload, descriptor)

    def close(self) -> None:
        """Close this end, and what came and was not taken."""
        self._outbox.clear()
        while self._arrived:
            os.close(self._arrived.popleft())
        self.socket.close()
