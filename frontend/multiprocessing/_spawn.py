"""Several processes that run one function, each with its number; when one fails the others are
stopped, and the parent raises what happened. Names as in torch."""

from __future__ import annotations

import ctypes
import multiprocessing
import signal
import sys
import time
import traceback
import warnings
from collections.abc import Callable, Sequence
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from typing import Any, Final

from intaglio.compiler.errors import Error

_SET_PARENT_DEATH_SIGNAL: Final = 1
_TEXT: Final = 1 << 15
"""Bytes of a traceback that a child sends: they fit into a pipe that nobody reads yet."""


class ProcessException(Error):
    """A process that `spawn` or `start_processes` started has failed: its number and pid."""

    def __init__(self, msg: str, error_index: int, error_pid: int) -> None:
        super().__init__(msg)
        self.msg, self.error_index, self.error_pid = msg, error_index, error_pid

    def __reduce__(self) -> Any:
        return type(self), (self.msg, self.error_index, self.error_pid)


class ProcessRaisedException(ProcessException):
    """A process failed with an exception, whose traceback is in the text."""


class ProcessExitedException(ProcessException):
    """A process ended with another exit code than 0, or by a signal."""

    def __init__(
        self,
        msg: str,
        error_index: int,
        error_pid: int,
        exit_code: int,
        signal_name: str | None = None,
    ) -> None:
        super().__init__(msg, error_index, error_pid)
        self.exit_code, self.signal_name = exit_code, signal_name

    def __reduce__(self) -> Any:
        about = (self.error_index, self.error_pid, self.exit_code, self.signal_name)
        return type(self), (self.msg, *about)


def _run(
    function: Callable[..., Any], number: int, args: Sequence[Any], errors: Connection
) -> None:
    """What a child does. It is interrupted when its parent ends."""
    ctypes.CDLL(None).prctl(_SET_PARENT_DEATH_SIGNAL, signal.SIGINT)
    try:
        function(number, *args)
    except KeyboardInterrupt:
        pass  # the parent is interrupted too, or has ended
    except Exception:
        told = traceback.format_exc().encode(errors="replace")
        errors.send(told[-_TEXT:].decode(errors="ignore"))
        sys.exit(1)


class ProcessContext:
    """The processes that one call started."""

    def __init__(self, processes: list[BaseProcess], errors: list[Connection]) -> None:
        self.processes, self._errors = processes, errors
        self._running = {process.sentinel: k for k, process in enumerate(processes)}

    def pids(self) -> list[int]:
        """The processes' pids."""
        return [process.pid or 0 for process in self.processes]

    def join(self, timeout: float | None = None, grace_period: float | None = None) -> bool:
        """Wait until a process has ended, for `timeout` seconds at most; whether all of them have.
        Call it until it says True.

        When one has failed the others are stopped (those that still run after `grace_period`
        seconds, when it is given), and `ProcessRaisedException` or `ProcessExitedException` is
        raised."""
        if not self._running:
            return True
        failed = None
        for sentinel in wait(list(self._running), timeout):
            assert isinstance(sentinel, int)
            number = self._running.pop(sentinel)
            self.processes[number].join()
            if self.processes[number].exitcode != 0:
                failed = number
                break
        if failed is None:
            return not self._running
        self._stop_all(grace_period)
        raise self._failure(failed)

    def _stop_all(self, grace_period: float | None) -> None:
        end = time.monotonic() + (grace_period or 0.0)
        while grace_period and time.monotonic() < end and any(p.is_alive() for p in self.processes):
            time.sleep(0.01)
        for process in self.processes:
            if process.is_alive():
                process.terminate()
        for process in self.processes:
            process.join(30)
            if process.is_alive():  # it took the signal and went on
                process.kill()
                process.join()
        self._running.clear()

    def _failure(self, number: int) -> ProcessException:
        process, errors = self.processes[number], self._errors[number]
        pid, code = process.pid or 0, process.exitcode or 0
        if code < 0:
            name = signal.Signals(-code).name if -code in set(signal.Signals) else str(-code)
            text = f"process {number} (pid {pid}) was ended by the signal {name}"
            return ProcessExitedException(text, number, pid, code, name)
        try:
            told = errors.recv() if errors.poll() else None
        except EOFError:
            told = None
        if told is None:
            text = f"process {number} (pid {pid}) ended with exit code {code}"
            return ProcessExitedException(text, number, pid, code)
        text = f"process {number} (pid {pid}) failed with this error:\n{told}"
        return ProcessRaisedException(text, number, pid)


SpawnContext = ProcessContext


def start_processes(
    fn: Callable[..., Any],
    args: Sequence[Any] = (),
    nprocs: int = 1,
    join: bool = True,
    daemon: bool = False,
    start_method: str = "spawn",
) -> ProcessContext | None:
    """Run `fn(number, *args)` in `nprocs` processes. With `join` wait until all have ended;
    without, the result is the `ProcessContext` to do so with.

    Raises `ProcessRaisedException` or `ProcessExitedException` when one fails."""
    made = multiprocessing.get_context(start_method)
    processes: list[BaseProcess] = []
    errors: list[Connection] = []
    for number in range(nprocs):
        reader, writer = made.Pipe(duplex=False)
        process = made.Process(  # type: ignore[attr-defined]  # every context has it
            target=_run, args=(fn, number, tuple(args), writer), daemon=daemon
        )
        process.start()
        writer.close()
        processes.append(process)
        errors.append(reader)
    context = ProcessContext(processes, errors)
    if not join:
        return context
    while not context.join():
        pass
    return None


def spawn(
    fn: Callable[..., Any],
    args: Sequence[Any] = (),
    nprocs: int = 1,
    join: bool = True,
    daemon: bool = False,
    start_method: str = "spawn",
) -> ProcessContext | None:
    """`start_processes` with new interpreters: `fn` and `args` are pickled, and `fn` must be at the
    top level of a module that can be imported."""
    if start_method != "spawn":
        warnings.warn(
            f"spawn always starts new interpreters; start_processes takes {start_method!r}",
            FutureWarning,
            stacklevel=2,
        )
    return start_processes(fn, args, nprocs, join, daemon, "spawn")
