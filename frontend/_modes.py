"""What holds for the ops of this thread: whether derivatives are recorded, and the trace being
written."""

from __future__ import annotations

import functools
import threading
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final, TypeVar

if TYPE_CHECKING:
    from intaglio._trace import Trace
    from intaglio._watch import Watch

F = TypeVar("F", bound=Callable[..., Any])


class _Modes(threading.local):
    """Per thread: `grad` (are derivatives recorded), `inference`, the innermost `trace`, and who
    watches the ops that run (`watch`)."""

    grad: bool = True
    inference: bool = False
    trace: Trace | None = None
    watch: Watch | None = None


modes: Final = _Modes()
inference_used: Final[list[bool]] = []
"""Not empty once `inference_mode` was entered anywhere: before, no tensor was made in it."""


class _GradMode:
    """A context manager and decorator that switches the recording of derivatives."""

    def __init__(self, mode: bool) -> None:
        self._mode = mode
        self._before: list[bool] = []

    def __enter__(self) -> None:
        self._before.append(modes.grad)
        modes.grad = self._mode and not modes.inference

    def __exit__(self, *_: object) -> None:
        modes.grad = self._before.pop()

    def __call__(self, function: F) -> F:
        mode = self._mode

        @functools.wraps(function)
        def wrapped(*args: Any, **kwargs: Any) -> Any:
            with _GradMode(mode):
                return function(*args, **kwargs)

        return wrapped  # type: ignore[return-value]  # the same signature as the function's


class no_grad(_GradMode):
    """Ops inside record nothing for derivatives: `with no_grad(): ...`, or as a decorator."""

    def __new__(cls, function: Any = None) -> Any:
        made = super().__new__(cls)
        if function is None:
            return made
        _GradMode.__init__(made, False)
        return made(function)

    def __init__(self, function: Any = None) -> None:
        super().__init__(False)


class enable_grad(_GradMode):
    """Ops inside record derivatives again, within `no_grad`."""

    def __new__(cls, function: Any = None) -> Any:
        made = super().__new__(cls)
        if function is None:
            return made
        _GradMode.__init__(made, True)
        return made(function)

    def __init__(self, function: Any = None) -> None:
        super().__init__(True)


class set_grad_enabled(_GradMode):
    """Switch the recording of derivatives: at once when called, and back at the end of a `with`."""

    def __init__(self, mode: bool) -> None:
        super().__init__(mode)
        self._earlier: bool | None = modes.grad
        modes.grad = mode and not modes.inference

    def __enter__(self) -> None:
        self._before.append(modes.grad if self._earlier is None else self._earlier)
        self._earlier = None
        modes.grad = self._mode and not modes.inference

    def __call__(self, function: F) -> F:
        if self._earlier is not None:
            modes.grad, self._earlier = self._earlier, None
        return super().__call__(function)


class inference_mode(_GradMode):
    """`no_grad` for code that never asks for derivatives of what it makes: a tensor made inside can
    neither be saved for a derivative nor be written to outside; a `clone()` of it can."""

    def __new__(cls, mode: Any = True) -> Any:
        return cls()(mode) if callable(mode) else super().__new__(cls)

    def __init__(self, mode: bool = True) -> None:
        super().__init__(not mode)
        self._inference: list[bool] = []

    def __enter__(self) -> None:
        self._inference.append(modes.inference)
        modes.inference = not self._mode
        inference_used[:] = [True]
        super().__enter__()

    def __call__(self, function: F) -> F:
        mode = not self._mode

        @functools.wraps(function)
        def wrapped(*args: Any, **kwargs: Any) -> Any:
            with inference_mode(mode):
                return function(*args, **kwargs)

        return wrapped  # type: ignore[return-value]  # the same signature as the function's

    def __exit__(self, *_: object) -> None:
        super().__exit__()
        modes.inference = self._inference.pop()


def is_grad_enabled() -> bool:
    """Whether ops record derivatives now."""
    return modes.grad


def is_inference_mode_enabled() -> bool:
    """Whether `inference_mode` holds now."""
    return modes.inference
