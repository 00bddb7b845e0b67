"""Calling a loaded function with the flat list of its arguments' leaves, whose names are in the
file: how programs that know only the file hand data over."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from intaglio.compiler.ir import Function
from intaglio.runtime.arrays import Array
from intaglio.runtime.datasets import DataError, Tell, fit
from intaglio.runtime.model import LoadedFunction
from intaglio.runtime.structure import LEAF, by_parameter, flatten, unflatten


def call_leaves(function: LoadedFunction, leaves: Sequence[Array]) -> list[Array]:
    """The results' leaves on the CPU, in the order of `function.function.results`."""
    made = function(*nested(function, leaves))
    results: list[Any] = []
    flatten(function.function.output_structure, made, "the result", results)
    return [r if isinstance(r, np.ndarray) else r.to_host() for r in results]


def nested(function: LoadedFunction, leaves: Sequence[Array]) -> list[Any]:
    """The arguments that have these leaves."""
    names = function.parameters
    parts = by_parameter(function.function.input_structure, names) or (LEAF,) * len(names)
    given = iter(leaves)
    return [unflatten(part, given) for part in parts]


def pick(function: Function, arrays: Mapping[str, Array], tell: Tell) -> list[Array]:
    """The leaves of a function's arguments from arrays by name, cast where that loses nothing.
    Raises `DataError` for a missing one; what the function does not take is told."""
    missing = [name for name in function.arguments if name not in arrays]
    if missing:
        raise DataError(
            f"{function.name} needs {', '.join(map(repr, missing))}; "
            f"the data have {', '.join(map(repr, arrays)) or 'nothing'}"
        )
    unused = [name for name in arrays if name not in function.arguments]
    if unused:
        tell(f"{function.name} does not take {', '.join(map(repr, unused))}")
    types = [value.type for value in function.argument_values]
    return [
        fit(arrays[name], type, name, tell)
        for name, type in zip(function.arguments, types, strict=True)
    ]
