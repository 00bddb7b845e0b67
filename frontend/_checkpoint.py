"""Checkpoints of training that runs eagerly: `save_checkpoint` and `load_checkpoint`.

A checkpoint is one file that is replaced whole: whoever is killed while writing it has the old one.
It holds the state of every object that it is given and the default stream of random numbers, so
that a run that is stopped at any moment goes on to the bits it would have had. Loading changes all
objects or none."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from typing import Any, NamedTuple

import numpy as np

from intaglio._core import Array, Tensor, wrap
from intaglio._functions_random import Generator, default_generator
from intaglio._kind import Size, kind_of_array
from intaglio._modes import modes
from intaglio._places import to_host
from intaglio.compiler.errors import ArgumentError, Error, TraceError
from intaglio.runtime.checkpoints import Held, read_checkpoint, write_checkpoint
from intaglio.runtime.datasets import DataError

RANDOM = "random"
"""The part that holds the default stream of random numbers."""
SHOWN = 5
"""Problems that an error lists."""


class CheckpointError(Error, RuntimeError):
    """A checkpoint that does not fit the objects it is loaded into."""


class Access(NamedTuple):
    """How the state of an object is read and set."""

    get: Callable[[], Any]
    set: Callable[[Any], Any]


def save_checkpoint(path: str | os.PathLike[str], *, rng: bool = True, **parts: Any) -> None:
    """Write the state of a training run into one file, which replaces the old one whole.

    `parts` are, by names of your choice: objects with `state_dict()` and `load_state_dict()`
    (modules, optimizers, schedulers, loaders, averages), generators (`ig.Generator`,
    `numpy.random.Generator`, and the modules `random` and `numpy.random` themselves), lists and
    dicts of these, tensors, arrays, and plain values: numbers, text, lists, dicts, None. With `rng`
    the default stream of random numbers is kept too.

    Raises `DataError` that names what can't be kept; the old file then stays."""
    if modes.trace is not None:
        raise TraceError("save_checkpoint: save outside of the traced function")
    if RANDOM in parts and rng:
        raise ArgumentError(f"save_checkpoint: {RANDOM!r} is the default stream: another name")
    try:
        kept = {name: _content(value) for name, value in parts.items()}
    except RecursionError:
        raise DataError("save_checkpoint: a part nests too deep, or holds itself") from None
    if rng:
        kept[RANDOM] = _plain(default_generator.get_state(), "random")
    write_checkpoint(path, kept)


def load_checkpoint(
    path: str | os.PathLike[str], *, rng: bool = True, **parts: Any
) -> dict[str, Any]:
    """Set the objects given by name to what the checkpoint `path` holds of them, and the default
    stream of random numbers (unless `rng` is false). Everything else that the file holds is
    returned by name: plain values, tensors, and the states of objects that were not given.

    Nothing is changed when an error is raised: `FormatError` for a damaged file, `CheckpointError`
    that names parts that are missing, or names and shapes that do not fit."""
    if modes.trace is not None:
        raise TraceError("load_checkpoint: load outside of the traced function")
    held = read_checkpoint(path)
    name = os.fspath(path)
    missing = [part for part in parts if part not in held]
    if missing:
        raise CheckpointError(
            f"{name} has no {', '.join(map(repr, missing))}; it has {', '.join(map(repr, held))}"
        )
    state = held.pop(RANDOM, None) if rng else None
    setters: list[tuple[str, Access, Any]] = []
    for part, target in parts.items():
        for place, item, value in _paired(part, target, held.pop(part)):
            access = _access(item)
            _check_fit(place, item, access, value)
            setters.append((place, access, value))
    if state is not None:
        setters.append((RANDOM, _access(default_generator), state))
    _set_all(name, setters)
    return {part: _tensors(value) for part, value in held.items()}


# ------------------------------------------------------------------------------ objects with state


def _find_access(value: Any) -> Access | None:
    """How the state of an object is reached, or None for a plain value."""
    if isinstance(value, np.random.Generator):
        bits = value.bit_generator
        return Access(lambda: bits.state, lambda state: setattr(bits, "state", state))
    if isinstance(value, Tensor | np.ndarray | type):
        return None
    for get, set in (
        ("state_dict", "load_state_dict"),
        ("get_state", "set_state"),
        ("getstate", "setstate"),
    ):
        getter, setter = getattr(value, get, None), getattr(value, set, None)
        if callable(getter) and callable(setter):
            return Access(getter, setter)
    return None


def _access(value: Any) -> Access:
    found = _find_access(value)
    if found is None:
        raise ArgumentError(
            f"load_checkpoint: a {type(value).__qualname__} takes no state: give objects with"
            " load_state_dict(), and read values from the result"
        )
    return found


def _content(value: Any) -> Any:
    """What is kept of a part: the states of objects, nested in lists and dicts or not, and plain
    values as they are."""
    from intaglio.nn import Module
    from intaglio.optim import Optimizer

    if isinstance(value, Module):
        trained = {name for name, _ in value.named_parameters(remove_duplicate=False)}
        state = value.state_dict().items()
        return {n: _plain(t, "parameter" if n in trained else "buffer") for n, t in state}
    access = _find_access(value)
    if access is not None:
        kinds = (Optimizer, "optimizer"), (Generator, "random")
        kind = next((kind for of, kind in kinds if isinstance(value, of)), "constant")
        return _plain(access.get(), kind)
    if type(value) in (list, tuple):
        return type(value)(map(_content, value))
    if isinstance(value, Mapping):
        return {key: _content(item) for key, item in value.items()}
    return _plain(value, "constant")


def _paired(part: str, target: Any, value: Any) -> Iterator[tuple[str, Any, Any]]:
    """The objects in `target`, each with its state; what they nest in must match."""
    if _find_access(target) is not None or not isinstance(target, list | tuple | Mapping):
        yield part, target, value
        return
    given, found = _children(target), _children(value)
    if given.keys() != found.keys():
        raise CheckpointError(f"{part}: {list(found)} in the checkpoint, and {list(given)} given")
    for key, item in given.items():
        yield from _paired(f"{part}.{key}", item, found[key])


def _children(value: Any) -> dict[str, Any]:
    """The parts of a list or dict by name."""
    if isinstance(value, Mapping):
        return {str(key): item for key, item in value.items()}
    return {str(k): v for k, v in enumerate(value)} if isinstance(value, list | tuple) else {}


def _check_fit(part: str, target: Any, access: Access, value: Any) -> None:
    """The names of a module, and the shapes of modules and optimizers, must be those given."""
    from intaglio.nn import Module
    from intaglio.optim import Optimizer

    if not isinstance(target, Module | Optimizer):
        return
    own, given = dict(_leaves(access.get())), dict(_leaves(value))
    problems = []
    if isinstance(target, Module):
        problems += [f"{part}.{name} is missing" for name in own if name not in given]
        problems += [f"{part}.{name} is unknown" for name in given if name not in own]
    for name in own:
        here, there = _shape(own[name]), _shape(given.get(name))
        if here is not None and there is not None and here != there:
            problems.append(f"{part}.{name} has the shape {there}, and {here} is wanted")
    if problems:
        more = f" (and {len(problems) - SHOWN} more)" if len(problems) > SHOWN else ""
        raise CheckpointError("; ".join(problems[:SHOWN]) + more)


def _leaves(value: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    """Every value that is no container, by its path."""
    if isinstance(value, Mapping | list | tuple):
        for key, item in _children(value).items():
            yield from _leaves(item, f"{path}.{key}" if path else key)
    else:
        yield path, value


def _shape(value: Any) -> tuple[int, ...] | None:
    if isinstance(value, Held):
        return tuple(value.array.shape)
    return tuple(value.shape) if isinstance(value, Tensor) else None


def _set_all(name: str, setters: list[tuple[str, Access, Any]]) -> None:
    """Give each object its state; when one refuses, all get back what they had."""
    before: list[tuple[Access, Any]] = []
    part = ""
    try:
        for place, access, value in setters:
            part = place
            before.append((access, _copied(access.get())))
            access.set(_tensors(value))
    except BaseException as error:
        for access, old in reversed(before):
            with suppress(Exception):  # one that refuses its own state does not stop the others
                access.set(old)
        if isinstance(error, Exception):
            raise CheckpointError(f"{name}: {part}: {error}") from error
        raise


# ------------------------------------------------------------------------------------------ values


def _plain(value: Any, kind: str) -> Any:
    """A value in which tensors are arrays that the file holds."""
    if isinstance(value, Tensor):
        return Held(to_host(value.detach()._data), kind)
    return _mapped(value, lambda item: _plain(item, kind))


def _tensors(value: Any) -> Any:
    """A value of a file, with tensors of their own memory."""
    if isinstance(value, Held):
        array: Array = value.array.copy()
        return wrap(array, kind_of_array(array))
    return _mapped(value, _tensors)


def _copied(value: Any) -> Any:
    """A value with copies of its tensors and arrays."""
    if isinstance(value, Tensor):
        return value.detach().clone()
    return value.copy() if isinstance(value, np.ndarray) else _mapped(value, _copied)


def _mapped(value: Any, change: Callable[[Any], Any]) -> Any:
    """A dict, list or tuple with its parts changed; other values as they are."""
    if isinstance(value, Mapping):
        return {key: change(item) for key, item in value.items()}
    if type(value) in (list, tuple):
        return type(value)(map(change, value))
    return tuple(value) if type(value) is Size else value
