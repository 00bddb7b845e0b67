"""Tensors of a module that are computed where they are read: a property on a class of its own.

The module's class is replaced by a subclass, so that other modules of the class stay as they
are."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from intaglio.nn._module import Module


def _give_class(module: Module, prefix: str, before: type, computed: dict[str, Any]) -> None:
    """A subclass of the class before for this module alone, with these properties; that class
    itself where there are none."""
    about = {"_class_before": before, "__module__": before.__module__, "__doc__": before.__doc__}
    name = f"{prefix}{before.__name__}"
    module.__class__ = type(name, (before,), about | computed) if computed else before


def inject(
    module: Module,
    name: str,
    prefix: str,
    read: Callable[[Any], Any],
    write: Callable[[Any, Any], None] | None = None,
) -> None:
    """Let `module.name` be what `read(module)` gives; assigned, it goes to `write`."""
    before, computed = _parts(module)
    _give_class(module, prefix, before, computed | {name: property(read, write)})


def take_back(module: Module, name: str) -> None:
    """Undo `inject`."""
    before, computed = _parts(module)
    prefix = type(module).__name__.removesuffix(before.__name__)
    del computed[name]
    _give_class(module, prefix, before, computed)


def _parts(module: Module) -> tuple[type, dict[str, Any]]:
    """The module's class as it was written, and what was injected."""
    kind = type(module)
    own = vars(kind)
    if "_class_before" not in own:
        return kind, {}
    return own["_class_before"], {k: v for k, v in own.items() if isinstance(v, property)}
