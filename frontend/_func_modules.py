"""Modules as functions of their parameters: `functional_call` and `stack_module_state`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from intaglio._core import Tensor
from intaglio._functions_join import stack
from intaglio.compiler.errors import ArgumentError, GradientError


def _places(module: Any) -> dict[str, tuple[dict[str, Any], str]]:
    """Where each parameter and buffer is kept, by its name; tied ones under each of their names."""
    found: dict[str, tuple[dict[str, Any], str]] = {}
    for path, owner in module.named_modules(remove_duplicate=False):
        for registry in (owner._parameters, owner._buffers):
            for name, tensor in registry.items():
                if tensor is not None:
                    found[f"{path}.{name}" if path else name] = (registry, name)
    return found


def _tied(
    places: Mapping[str, tuple[dict[str, Any], str]], tensors: Mapping[str, Tensor]
) -> dict[str, Tensor]:
    """The tensors, each also under the other names of what it replaces."""
    names: dict[int, list[str]] = {}
    for path, (registry, name) in places.items():
        names.setdefault(id(registry[name]), []).append(path)
    made = dict(tensors)
    for group in names.values():
        given = [n for n in group if n in tensors]
        if len({id(tensors[n]) for n in given}) > 1:
            raise ArgumentError(
                f"functional_call: {' and '.join(given)} are one tensor of the module, but were"
                " given different ones; say tie_weights=False if that is meant"
            )
        if given:
            made.update((n, tensors[given[0]]) for n in group)
    return made


@contextmanager
def _swapped(
    places: Mapping[str, tuple[dict[str, Any], str]], tensors: Mapping[str, Tensor]
) -> Iterator[None]:
    """The module with other tensors in the place of its parameters and buffers."""
    before: list[tuple[dict[str, Any], str, Any]] = []
    try:
        for path, tensor in tensors.items():
            if path in places:
                registry, name = places[path]
                before.append((registry, name, registry[name]))
                registry[name] = tensor
        yield
    finally:
        for registry, name, value in reversed(before):
            registry[name] = value


def functional_call(
    module: Any,
    parameter_and_buffer_dicts: Mapping[str, Tensor] | Sequence[Mapping[str, Tensor]],
    args: Any = None,
    kwargs: Mapping[str, Any] | None = None,
    *,
    tie_weights: bool = True,
    strict: bool = False,
) -> Any:
    """Call a module with these tensors in the place of its own, by name.

    Tensors that the module knows under several names are replaced under all, unless `tie_weights`
    is off. Names that the module does not have are passed over; with `strict` they, and parameters
    or buffers that were not given, are errors."""
    given = parameter_and_buffer_dicts
    tensors: dict[str, Tensor] = {}
    for part in given if isinstance(given, tuple | list) else (given,):
        twice = sorted(tensors.keys() & part.keys())
        if twice:
            raise ArgumentError(f"functional_call: {', '.join(twice)} is given more than once")
        tensors.update(part)
    places = _places(module)
    swapped = _tied(places, tensors) if tie_weights else tensors
    if strict:
        unknown, missing = sorted(tensors.keys() - places), sorted(places.keys() - swapped.keys())
        if unknown or missing:
            raise GradientError(
                f"functional_call: strict, and there is no parameter or buffer {unknown} in"
                f" {type(module).__name__}, and {missing} were not given"
            )
    arguments = () if args is None else args if isinstance(args, tuple) else (args,)
    with _swapped(places, swapped):
        return module(*arguments, **(kwargs or {}))


def stack_module_state(models: Sequence[Any]) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """The parameters and buffers of modules of one class, each stacked along a new first
    dimension."""
    if not models:
        raise ArgumentError("stack_module_state: at least one module is wanted")
    if any(type(m) is not type(models[0]) for m in models):
        raise ArgumentError("stack_module_state: the modules must be of one class")
    if any(m.training != models[0].training for m in models):
        raise ArgumentError("stack_module_state: all modules must be training, or none")
    made = []
    for named in ("named_parameters", "named_buffers"):
        columns = [dict(getattr(m, named)()) for m in models]
        stacked = {}
        for name, first in columns[0].items():
            joined = stack([c[name].detach() for c in columns])
            stacked[name] = joined.requires_grad_(first.requires_grad)
        made.append(stacked)
    return made[0], made[1]
