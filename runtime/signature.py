"""What a compiled graph asks of the arrays of a call, checked fast: dtypes and layout for each
array, and sizes through a table of the shapes met before."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping, Sequence
from typing import Final

import numpy as np

from intaglio.compiler.dims import Constraint, Symbol, symbols
from intaglio.compiler.errors import ArgumentError, ShapeError
from intaglio.compiler.interpret import bind_sizes
from intaglio.compiler.types import TensorType
from intaglio.runtime.arrays import DENSE, Array, as_operand

REMEMBERED: Final = 256
"""Tuples of shapes whose sizes are remembered."""

Shapes = tuple[tuple[int, ...], ...]


class Sizes:
    """The values that a call gives to the symbols of a graph: `by_name`, and `key` in a fixed
    order."""

    __slots__ = ("by_name", "key")

    def __init__(self, by_name: Mapping[str, int]) -> None:
        self.by_name = dict(by_name)
        self.key = tuple(self.by_name.values())


class Signature:
    """The types and names of a graph's inputs, and the constraints on its sizes."""

    def __init__(
        self,
        types: Sequence[TensorType],
        names: Sequence[str],
        constraints: Sequence[Constraint] = (),
        label: str = "",
    ) -> None:
        self.types, self.names, self.constraints = tuple(types), tuple(names), tuple(constraints)
        self.label = label
        self.symbols: tuple[Symbol, ...] = tuple(
            symbols(*(s for t in types for s in t.shape)).values()
        )
        self._dtypes = [t.dtype.numpy for t in self.types]
        self._known: OrderedDict[Shapes, Sizes] = OrderedDict()

    def admit(self, values: Sequence[object]) -> list[Array]:
        """The values as dense arrays of the right dtypes; the very arrays where they are so."""
        if len(values) != len(self.types):
            raise ArgumentError(
                f"{self.label or 'the function'} takes {len(self.types)} arrays "
                f"({', '.join(self.names)}), and {len(values)} were given"
            )
        admitted = []
        for k, value in enumerate(values):
            if (
                value.__class__ is np.ndarray
                and value.dtype == self._dtypes[k]
                and value.flags.num & DENSE == DENSE
            ):
                admitted.append(value)
            else:
                admitted.append(as_operand(value, self.types[k], self.place(k)))
        return admitted

    def place(self, number: int) -> str:
        """How messages call an input."""
        return f"{self.label}: {self.names[number]}" if self.label else self.names[number]

    def bind(self, arrays: Sequence[Array]) -> Sizes:
        """The sizes of a call; raises `ShapeError` when a shape breaks its type or a constraint."""
        shapes = tuple([a.shape for a in arrays])
        found = self._known.get(shapes)
        if found is None:
            found = Sizes(self._solve(arrays))
            self._known[shapes] = found
            while len(self._known) > REMEMBERED:
                self._known.popitem(last=False)
        return found

    def _solve(self, arrays: Sequence[Array]) -> dict[str, int]:
        places = [self.place(k) for k in range(len(self.types))]
        values = bind_sizes(self.types, arrays, places)
        for constraint in self.constraints:
            if not constraint.holds(values):
                given = ", ".join(f"{k} = {v}" for k, v in values.items())
                head = f"{self.label}: " if self.label else ""
                at = f" ({constraint.where})" if constraint.where else ""
                raise ShapeError(f"{head}{constraint} does not hold for {given}{at}")
        return {symbol.name: values[symbol.name] for symbol in self.symbols}
