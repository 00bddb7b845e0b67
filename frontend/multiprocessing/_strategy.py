"""The switch between ways of sharing memory that torch has. Here there is one way: anonymous files,
known by descriptors, with room for many small tensors in each."""

from __future__ import annotations

from typing import Final

from intaglio.compiler.errors import ArgumentError

_ONLY: Final = "file_descriptor"


def get_all_sharing_strategies() -> set[str]:
    """The strategies that there are."""
    return {_ONLY}


def get_sharing_strategy() -> str:
    """The strategy in use."""
    return _ONLY


def set_sharing_strategy(new_strategy: str) -> None:
    """Accepts "file_descriptor", which is in use; raises `ArgumentError` for any other."""
    if new_strategy != _ONLY:
        raise ArgumentError(
            f"set_sharing_strategy: {new_strategy!r} is not there, only {_ONLY!r}; small tensors"
            " share descriptors here, so they do not run out: leave the call away"
        )
