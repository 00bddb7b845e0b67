"""Watching eager ops: something that looks at the results of every op as it runs.

Ops find their evaluator in a table by op and operand types. While somebody watches, the table is
begun anew and evaluators go in wrapped; afterwards it is begun anew again. So watching costs
nothing where nobody does. A watcher sees the ops of its own thread only; compiled functions run
eagerly meanwhile."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final

from intaglio._core import Tensor
from intaglio._modes import modes
from intaglio._places import to_host
from intaglio._scope import spot, where_of
from intaglio.compiler.errors import NaNError
from intaglio.runtime.checked import holds_nan, nan_text, positions

if TYPE_CHECKING:
    from intaglio._apply import Rule
    from intaglio._core import Array
    from intaglio._tape import Entry

_counting: Final = threading.Lock()
_watching = 0


class Watch:
    """Base of watchers."""

    def seen(self, rule: Rule, arrays: Sequence[Array], made: Sequence[Array]) -> None:
        """An op has run on these arrays and given those."""

    def pull(self, entry: Entry, dys: list[Tensor | None]) -> Sequence[Tensor | None]:
        """Run an entry's derivative."""
        return entry.pull(dys)


@contextmanager
def watching(watch: Watch | None) -> Iterator[None]:
    """Let `watch` look at the ops of this thread (None: nobody)."""
    before = modes.watch
    begin(watch)
    try:
        yield
    finally:
        begin(before)


def begin(watch: Watch | None) -> None:
    """Let `watch` look from now on."""
    from intaglio._apply import forget_rules

    global _watching
    before, modes.watch = modes.watch, watch
    with _counting:
        _watching += (watch is not None) - (before is not None)
        forget_rules()


def watched(rule: Rule, run: Callable[..., Sequence[Any]]) -> Callable[..., Sequence[Any]]:
    """An evaluator that shows what it does to whoever watches."""
    if not _watching:
        return run

    def shown(*arrays: Array) -> Sequence[Any]:
        made = run(*arrays)
        watch = modes.watch
        if watch is not None:
            watch.seen(rule, arrays, made)
        return made

    return shown


class _Anomalies(Watch):
    """Raises where an op makes NaN from operands without one."""

    def seen(self, rule: Rule, arrays: Sequence[Array], made: Sequence[Array]) -> None:
        """An op has run: forward, or where a derivative is itself differentiated."""
        wild = [a for a in map(to_host, made) if holds_nan(a)]
        if wild:
            given = [to_host(a) for a in arrays]
            if not any(map(holds_nan, given)):
                name = str(rule.attributes.get("scope") or rule.op)
                raise _placed(nan_text(name, given, wild[0], (where_of(spot()),)))

    def pull(self, entry: Entry, dys: list[Tensor | None]) -> Sequence[Tensor | None]:
        """The derivative as a whole is looked at: inside, rules make NaN that they mask."""
        watch, modes.watch = modes.watch, None
        try:
            dxs = entry.pull(dys)
        finally:
            modes.watch = watch
        if not any(dy is not None and holds_nan(to_host(dy._data)) for dy in dys):
            for number, dx in enumerate(dxs):
                if dx is not None and holds_nan(data := to_host(dx._data)):
                    place = f" (gradient of {where_of(entry.place)})" if entry.place else ""
                    kinds = ", ".join(str(dx._kind) for dx in dxs if dx is not None)
                    raise _placed(
                        f"gradient of {entry.op}: {kinds}: NaN at {positions(data)} in the"
                        f" derivative of operand {number}{place}"
                    )
        return dxs


def _placed(text: str) -> NaNError:
    error = NaNError(text)
    error.located = True
    return error


class set_detect_anomaly:
    """Look for NaN in every eager op and derivative of this thread, or no longer: at once when
    called, and back at the end of a `with`. Without `check_nan` nothing is looked for: lines are
    kept anyway. See `detect_anomaly`."""

    def __init__(self, mode: bool, check_nan: bool = True) -> None:
        self._before = modes.watch
        begin(_Anomalies() if mode and check_nan else None)

    def __enter__(self) -> None:
        pass

    def __exit__(self, *_: object) -> None:
        begin(self._before)


class detect_anomaly:
    """`with detect_anomaly(): ...`: an op that makes a NaN from operands without one raises
    `NaNError` with the op, its types and the author's line; a derivative that does raises it with
    the line of the op that it differentiates. Only NaN counts, not inf. Slow; compiled functions
    run eagerly inside."""

    def __init__(self, check_nan: bool = True) -> None:
        self._check_nan = check_nan
        self._before: list[Watch | None] = []

    def __enter__(self) -> None:
        self._before.append(modes.watch)
        begin(_Anomalies() if self._check_nan else None)

    def __exit__(self, *_: object) -> None:
        begin(self._before.pop())


def is_anomaly_enabled() -> bool:
    """Whether NaN is looked for in this thread."""
    return isinstance(modes.watch, _Anomalies)
