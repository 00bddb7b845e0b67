"""Runs a compiler: no shell, a process group of its own, a time limit, and bounded output.

The output is read as it comes and only its end is kept, so a compiler that prints without end costs
no memory. When the limit is over, or the caller is interrupted, the whole group is killed."""

from __future__ import annotations

import os
import selectors
import signal
import subprocess
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Final

KEPT: Final = 8192
"""Bytes of output that are kept, counted from the end."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a command ended: its exit status (negative: the signal that killed it; None: it ran past
    its limit) and the end of its output."""

    command: tuple[str, ...]
    status: int | None
    output: str

    @property
    def succeeded(self) -> bool:
        """Whether it ended with status 0."""
        return self.status == 0

    def describe(self) -> str:
        """How it ended, in words."""
        if self.status is None:
            return "did not end in time and was killed"
        if self.status < 0:
            return f"was killed by signal {-self.status}"
        return f"ended with status {self.status}"


class Running:
    """A command that was started, its output read as it comes."""

    def __init__(self, command: Sequence[str], folder: str, environment: Mapping[str, str]) -> None:
        self.command = tuple(command)
        self._process = subprocess.Popen(
            self.command,
            cwd=folder,
            env=dict(environment),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        assert self._process.stdout is not None
        self.pipe = self._process.stdout
        os.set_blocking(self.pipe.fileno(), False)
        self._kept = b""

    def drain(self) -> bool:
        """Read what is there; True when the output was closed."""
        chunk = os.read(self.pipe.fileno(), 1 << 16)
        self._kept = (self._kept + chunk)[-KEPT:]
        return not chunk

    def finish(self, deadline: float) -> Outcome:
        """Wait for its end, until the deadline at most."""
        status = None
        with suppress(subprocess.TimeoutExpired):
            status = self._process.wait(max(deadline - time.monotonic(), 0.01))
        self.kill()
        return Outcome(self.command, status, self._kept.decode("utf-8", "replace"))

    def kill(self) -> None:
        """End the command and everything it started; harmless when it has ended."""
        if self._process.returncode is None:  # not reaped yet, so the group's number is still ours
            with suppress(ProcessLookupError, PermissionError):
                os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()
        self.pipe.close()


def run(
    commands: Sequence[Sequence[str]],
    folder: str,
    environment: Mapping[str, str],
    seconds: float,
    at_once: int = 1,
) -> list[Outcome]:
    """Run commands, up to `at_once` at a time, all within `seconds`. Stops at the first that fails.

    The outcomes of those that ended, the failed one last. Raises `OSError` when one can't be
    started."""
    deadline = time.monotonic() + seconds
    waiting, ended = list(commands), []
    running: list[Running] = []
    with selectors.DefaultSelector() as selector:
        try:
            while waiting or running:
                while waiting and len(running) < at_once:
                    running.append(Running(waiting.pop(0), folder, environment))
                    selector.register(running[-1].pipe, selectors.EVENT_READ, running[-1])
                left = deadline - time.monotonic()
                closed = [k.data for k, _ in selector.select(max(left, 0)) if k.data.drain()]
                if left <= 0 and not closed:
                    closed = running[:1]
                for one in closed:
                    selector.unregister(one.pipe)
                    running.remove(one)
                    ended.append(one.finish(deadline))
                    if not ended[-1].succeeded:
                        return ended
        finally:
            for one in running:
                one.kill()
    return ended
