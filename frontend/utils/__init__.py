"""Helpers under torch's names: `utils.data` is `intaglio.data`."""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from intaglio.utils import data as data

_SUBMODULES = ("data",)


if not TYPE_CHECKING:  # type checkers would take it as a promise that any name exists

    def __getattr__(name: str) -> object:
        """Import a submodule on first use."""
        if name in _SUBMODULES:
            return import_module(f"intaglio.utils.{name}")
        raise AttributeError(f"module 'intaglio.utils' has no attribute {name!r}")
