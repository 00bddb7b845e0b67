"""How a worker's exception reaches the main process: as the same class, its text ending in the
worker's traceback."""

from __future__ import annotations

import pickle
import traceback
from multiprocessing.reduction import ForkingPickler
from typing import Any

from intaglio.compiler.errors import Error


class LoadingError(Error, RuntimeError):
    """A worker that died, ran past its time, or raised what can't be raised again here."""


class Exhausted(Exception):
    """Raised by a fetcher that has nothing more to give in this run."""


class _Plain(str):
    """A text that shows its line breaks where an exception shows the text's `repr`."""

    def __repr__(self) -> str:
        return str(self)


def pack(error: BaseException, worker: int, task: str) -> bytes:
    """An exception as bytes: its class, if that can be named, and its story."""
    kind = type(error)
    name = f"{kind.__module__}.{kind.__qualname__}".removeprefix("builtins.")
    lines = "".join(traceback.format_exception(error)).rstrip()
    text = f"{name} in loader worker {worker}, {task}\nThe worker's own words:\n{lines}"
    try:
        return pickle.dumps((kind, text))
    except Exception:
        return pickle.dumps((None, text))


def unpack(payload: bytes) -> BaseException:
    """The exception to raise: of the same class where one of that class takes a text alone."""
    try:
        kind, text = ForkingPickler.loads(payload)
    except Exception as error:
        return LoadingError(f"a loader worker raised what can't be read here: {error}")
    if kind is None or issubclass(kind, StopIteration | Exhausted | GeneratorExit):
        return LoadingError(text)
    return _made(kind, text)


def _made(kind: Any, text: str) -> BaseException:
    try:
        made = kind(_Plain(text) if issubclass(kind, KeyError) else text)
    except Exception:
        return LoadingError(text)
    return made if isinstance(made, BaseException) else LoadingError(text)
