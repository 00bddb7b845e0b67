"""Nested tuples, lists and dicts of arguments and results: taken apart into leaves, and put
together again."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from intaglio.compiler.errors import ArgumentError
from intaglio.compiler.ir import Structure

LEAF = "*"
NOTHING = "None"


def flatten(value: Any) -> tuple[list[Any], Any]:
    """The leaves of a nest in order, and its shape for `unflatten`; dict keys keep their order."""
    leaves: list[Any] = []

    def walk(x: Any) -> Any:
        if isinstance(x, tuple | list):
            return (type(x), [walk(y) for y in x])
        if isinstance(x, Mapping):
            return (type(x), list(x), [walk(y) for y in x.values()])
        leaves.append(x)
        return None

    return leaves, walk(value)


def unflatten(structure: Any, leaves: Sequence[Any]) -> Any:
    """The nest of this shape with these leaves."""
    following: Iterator[Any] = iter(leaves)

    def build(s: Any) -> Any:
        if s is None:
            return next(following)
        kind, *rest = s
        if len(rest) == 2:
            made = zip(rest[0], [build(y) for y in rest[1]], strict=True)
            return dict(made) if not hasattr(kind, "fromkeys") else kind(made)
        parts = [build(y) for y in rest[0]]
        if hasattr(kind, "_fields"):
            return kind(*parts)
        return kind(parts)

    return build(structure)


def describe(
    value: Any, is_leaf: Callable[[Any], bool], name: str, what: str
) -> tuple[Structure, list[tuple[str, Any]]]:
    """The structure as programs hold it, and the leaves with their names (`batch.0`, `loss`)."""
    leaves: list[tuple[str, Any]] = []

    def walk(x: Any, path: str) -> Structure:
        if x is None:
            return NOTHING
        if is_leaf(x):
            leaves.append((path, x))
            return LEAF
        if isinstance(x, tuple | list):
            kind = "tuple" if isinstance(x, tuple) else "list"
            return kind, tuple(walk(y, f"{path}.{k}" if path else str(k)) for k, y in enumerate(x))
        if isinstance(x, Mapping):
            keys = tuple(x)
            if not all(isinstance(k, str) for k in keys):
                raise ArgumentError(f"{what}: the keys of a dict must be texts, not {keys}")
            parts = tuple(walk(y, f"{path}.{k}" if path else k) for k, y in x.items())
            return "dict", keys, parts
        raise ArgumentError(
            f"{what}: {path or 'the value'} is {type(x).__name__}; tensors, None and nested tuples,"
            " lists and dicts of them are understood"
        )

    return walk(value, name), leaves
