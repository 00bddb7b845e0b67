"""Nested arguments and results: taking tuples, lists and dicts apart into leaves by a recorded
structure, and putting them together again."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

from intaglio.compiler.errors import ArgumentError
from intaglio.compiler.ir import Structure

LEAF: Final = "*"


def count_leaves(structure: Structure) -> int:
    """How many leaves a structure has."""
    if isinstance(structure, str):
        return 1 if structure == LEAF else 0
    return sum(map(count_leaves, structure[-1]))


def flatten(structure: Structure, value: object, name: str, leaves: list[Any]) -> None:
    """Append the leaves of `value`, which must nest as `structure` says; errors call it `name`."""
    if structure == LEAF:
        leaves.append(value)
    elif isinstance(structure, str):
        if value is not None:
            raise ArgumentError(f"{name} was None when this was traced, and still must be")
    elif len(structure) == 3:
        keys = structure[1]
        if not isinstance(value, Mapping) or set(value) != set(keys):
            raise ArgumentError(f"{name}: a dict with the keys {', '.join(keys)} is wanted")
        for key, part in zip(keys, structure[2], strict=True):
            flatten(part, value[key], f"{name}[{key!r}]", leaves)
    else:
        kind, parts = structure
        if not isinstance(value, tuple | list) or len(value) != len(parts):
            raise ArgumentError(f"{name}: a {kind} of {len(parts)} is wanted")
        for k, (part, item) in enumerate(zip(parts, value, strict=True)):
            flatten(part, item, f"{name}[{k}]", leaves)


def builder(structure: Structure) -> Callable[[Sequence[Any]], Any]:
    """The function that puts leaves together as `structure` says."""
    if structure == LEAF:
        return lambda leaves: leaves[0]

    def build(leaves: Sequence[Any]) -> Any:
        return unflatten(structure, iter(leaves))

    return build


def unflatten(structure: Structure, leaves: Any) -> Any:
    """The nested value whose leaves the iterator `leaves` gives in order."""
    if structure == LEAF:
        return next(leaves)
    if isinstance(structure, str):
        return None
    made = [unflatten(part, leaves) for part in structure[-1]]
    if len(structure) == 3:
        return dict(zip(structure[1], made, strict=True))
    return made if structure[0] == "list" else tuple(made)


def by_parameter(structure: Structure, parameters: Sequence[str]) -> tuple[Structure, ...] | None:
    """The structure of each parameter, when the input structure is a tuple with one part for
    each."""
    if isinstance(structure, str) or structure[0] == "dict":
        return None
    parts = structure[-1]
    return tuple(parts) if len(parts) == len(parameters) else None
