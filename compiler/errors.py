"""The errors that intaglio raises: one class per layer, each also the Python classes that a user
would catch: NumPy's for a wrong shape, dtype or argument, and the RuntimeError of torch."""

from __future__ import annotations

import builtins
import re
import sys
from collections.abc import Callable
from types import FrameType
from typing import Any, Final

import numpy as np

Locator = Callable[[FrameType], str]
"""Says for the frame that raises which line of the author's code led there; "" for none."""
_locators: Final[list[Locator]] = []
_LOCATED: Final = re.compile(r":\d+[^()]*\)$")


def locate_errors_by(locator: Locator) -> None:
    """From now on let errors whose text does not end with a place end with what `locator` says."""
    _locators[:] = [locator]


class Error(Exception):
    """Base of every error that intaglio raises on purpose. `located`: its text names a line;
    `message`: the text before the line was added."""

    located: bool = False

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        self.message = str(args[0]) if args else ""
        if _locators and len(args) == 1 and isinstance(args[0], str):
            place = "" if _LOCATED.search(args[0]) else _locators[0](sys._getframe(1))
            if place:
                args = (f"{args[0]} ({place})",)
                self.located = True
        super().__init__(*args, **kwargs)


class DTypeError(Error, TypeError, RuntimeError):
    """Operands whose dtypes do not fit an op or each other."""


class ShapeError(Error, ValueError, RuntimeError):
    """Operands whose shapes do not fit an op, each other, or a function's signature."""


class ArgumentError(Error, ValueError, RuntimeError):
    """An argument that is none of the values a function takes."""


class IndexError(Error, builtins.IndexError):
    """An index or axis outside its range, found when building a graph or while running it."""


class GradientError(Error, RuntimeError):
    """A derivative that was asked for and does not exist, or whose saved operand was changed."""


class LinAlgError(Error, np.linalg.LinAlgError, RuntimeError):
    """A matrix that has no such factor, inverse or solution, or an iteration that did not
    converge."""


class NaNError(Error, FloatingPointError, RuntimeError):
    """A NaN that an operand or state holds, or that an op made, found where `check_nan` or
    `detect_anomaly` looks for it; the text names the op and the line."""


class TraceError(Error, RuntimeError):
    """Python code that can't be recorded: the value it wants exists only when the program runs."""


class VerifyError(Error, ValueError):
    """A graph that breaks the rules of the IR."""


class FormatError(Error, ValueError):
    """A file that is not a model, is damaged, or is of another version."""


class CompileError(Error, RuntimeError):
    """The C or CUDA compiler is missing, failed, or made something unusable."""


class DeviceError(Error, RuntimeError):
    """A device that is not there, or an operand on another device than the others."""


class MemoryError(Error, builtins.MemoryError):
    """The plan of a function needs more memory than it may take or than there is."""


class InterruptedError(Error, KeyboardInterrupt):
    """A native call was stopped by Ctrl-C; no state was changed by it."""


class MissingExtra(Error, ImportError):
    """An optional dependency is not installed; the message holds the pip line."""

    def __init__(self, package: str, extra: str, purpose: str) -> None:
        super().__init__(f"{purpose} needs {package}: pip install 'intaglio[{extra}]'")
