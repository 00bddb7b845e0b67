"""torch's names for layouts and memory formats. Tensors here are always strided, and formats
have no effect on values: what is named is checked, and then needs nothing done."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Any, Final

from intaglio.compiler.errors import ArgumentError, DTypeError


class layout:
    """How a tensor's elements are kept; there is only `intaglio.strided`."""

    __slots__ = ("name",)

    def __init__(self, name: str) -> None:
        self.name = name

    def __repr__(self) -> str:
        return f"intaglio.{self.name}"


class memory_format:
    """An order of an image's dimensions in memory, which is a wish without effect on values."""

    __slots__ = ("name",)

    def __init__(self, name: str) -> None:
        self.name = name

    def __repr__(self) -> str:
        return f"intaglio.{self.name}"


strided: Final = layout("strided")
contiguous_format: Final = memory_format("contiguous_format")
preserve_format: Final = memory_format("preserve_format")
channels_last: Final = memory_format("channels_last")
channels_last_3d: Final = memory_format("channels_last_3d")


def check_layout(name: str, wanted: Any) -> None:
    """Refuse any layout but the strided one."""
    if wanted is not None and str(wanted).rpartition(".")[2] != "strided":
        raise DTypeError(
            f"{name}: the layout {wanted} is not supported; tensors are strided (leave layout out)"
        )


def check_format(name: str, wanted: Any) -> None:
    """Refuse what names no memory format."""
    formats = (contiguous_format, preserve_format, channels_last, channels_last_3d)
    if wanted is not None and str(wanted).rpartition(".")[2] not in {f.name for f in formats}:
        raise ArgumentError(f"{name}: {wanted!r} is no memory format")


def creates(function: Callable[..., Any]) -> Callable[..., Any]:
    """Let a function that makes tensors take torch's arguments about memory (`layout`,
    `pin_memory`, `memory_format`, `out`), which change no values."""
    name = function.__name__

    @wraps(function)
    def accepts(*args: Any, **kwargs: Any) -> Any:
        if kwargs:
            check_layout(name, kwargs.pop("layout", None))
            check_format(name, kwargs.pop("memory_format", None))
            kwargs.pop("pin_memory", None)
            out = kwargs.pop("out", None)
            if out is not None:
                from intaglio._promote import into

                return into(out, function(*args, **kwargs))
        return function(*args, **kwargs)

    return accepts
