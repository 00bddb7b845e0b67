"""Construction of modules without drawing their parameters."""

from __future__ import annotations

import inspect
from typing import Any

from intaglio._functions_random import default_generator
from intaglio.compiler.errors import ArgumentError
from intaglio.nn._module import Module


def skip_init(module_cls: type[Module], *args: Any, **kwargs: Any) -> Module:
    """`module_cls(*args, **kwargs)`, whose parameters will be filled later: their values are
    unspecified, and the stream of random numbers stays where it is."""
    if not (isinstance(module_cls, type) and issubclass(module_cls, Module)):
        raise ArgumentError(f"skip_init: a class of modules is wanted, not {module_cls!r}")
    if "device" not in inspect.signature(module_cls).parameters:
        raise ArgumentError(f"skip_init: {module_cls.__name__} takes no argument `device`")
    state = default_generator.get_state()
    try:
        return module_cls(*args, **kwargs)
    finally:
        default_generator.set_state(state)
