"""`compile`: torch's name for `jit`, with its arguments."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, Final

from intaglio._jit import jit
from intaglio.compiler.errors import ArgumentError

if TYPE_CHECKING:
    from intaglio.nn import Module

_BACKENDS: Final = {"inductor": False, "intaglio": False, "eager": True, "aot_eager": True}
_MODES: Final = (
    "default", "reduce-overhead", "max-autotune", "max-autotune-no-cudagraphs",
)  # fmt: skip


def compile(
    model: Callable[..., Any] | None = None,
    *,
    fullgraph: bool = False,
    dynamic: bool | None = None,
    backend: str = "inductor",
    mode: str | None = None,
    options: Mapping[str, Any] | None = None,
    disable: bool = False,
) -> Any:
    """`jit` of a function, or a module whose forward is compiled; also a decorator.

    A function is always compiled as one graph, anew for each signature, so that `fullgraph`,
    `dynamic` and `mode` change nothing. `backend` is "inductor" or "intaglio" (both compile),
    "eager" or "aot_eager" (as `disable`). `options` are the other compiler's: any raise
    `ArgumentError`."""
    if model is None:
        return functools.partial(
            compile, fullgraph=fullgraph, dynamic=dynamic, backend=backend, mode=mode,
            options=options, disable=disable,
        )  # fmt: skip
    if backend not in _BACKENDS:
        raise ArgumentError(f"compile: backend {backend!r} is none of {', '.join(_BACKENDS)}")
    if mode is not None and mode not in _MODES:
        raise ArgumentError(f"compile: mode {mode!r} is none of {', '.join(_MODES)}")
    if options:
        raise ArgumentError(
            f"compile: the option {next(iter(options))!r} is torch's own; leave options out"
        )
    eager = disable or _BACKENDS[backend]
    from intaglio.nn import Module

    return _compiled(model, eager) if isinstance(model, Module) else jit(model, disable=eager)


def _compiled(model: Module, eager: bool) -> Module:
    """A module that shares everything with `model` and whose calls are compiled."""
    from intaglio.nn._compiled import CompiledModule

    return CompiledModule(model, eager)
