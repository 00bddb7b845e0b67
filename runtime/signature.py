"""What a compiled graph asks of the arrays of a call, checked fast: dtypes and layout for each
array, and sizes through a table of the shapes met before."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping, Sequence
from typing import Final

import numpy as np

from intaglio.compiler.dims import Constraint, Dim, Symbol, evaluate, symbols
from intaglio.compiler.errors import ArgumentError, ShapeError
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
            found = Sizes(self._solve(shapes))
            self._known[shapes] = found
            while len(self._known) > REMEMBERED:
                self._known.popitem(last=False)
        return found

    def _solve(self, shapes: Shapes) -> dict[str, int]:
        for k, shape in enumerate(shapes):
            if len(shape) != self.types[k].rank:
                raise self._mismatch(k, shape, "its rank differs")
        values = solve(self.types, shapes)
        for k, (type, shape) in enumerate(zip(self.types, shapes, strict=True)):
            for axis, (size, found) in enumerate(zip(type.shape, shape, strict=True)):
                if isinstance(size, int):
                    wanted = size
                elif all(name in values for name in symbols(size)):
                    wanted = evaluate(size, values)
                else:
                    raise self._mismatch(k, shape, f"{size} has no solution for axis {axis}")
                if wanted != found:
                    told = "" if isinstance(size, int) else f" = {size}"
                    raise self._mismatch(k, shape, f"axis {axis} must be {wanted}{told}")
        for symbol in self.symbols:
            value = values[symbol.name]
            if not symbol.low <= value <= symbol.high:
                raise ShapeError(
                    f"{self._head()}{symbol.name} = {value} is outside its bounds "
                    f"{symbol.low} to {symbol.high}"
                )
        for constraint in self.constraints:
            if not constraint.holds(values):
                at = f" ({constraint.where})" if constraint.where else ""
                given = ", ".join(f"{k} = {v}" for k, v in values.items())
                raise ShapeError(f"{self._head()}{constraint} does not hold for {given}{at}")
        return {symbol.name: values[symbol.name] for symbol in self.symbols}

    def _head(self) -> str:
        return f"{self.label}: " if self.label else ""

    def _mismatch(self, number: int, shape: tuple[int, ...], why: str) -> ShapeError:
        type = self.types[number]
        shown = f"{type.dtype}[{','.join(map(str, shape))}]"
        return ShapeError(f"{self.place(number)} is {shown}, and {type} is wanted: {why}")


def solve(types: Sequence[TensorType], shapes: Shapes) -> dict[str, int]:
    """The values of the symbols that stand alone in some size, as in `n` or `2*n+1`; what can't be
    solved so is left out."""
    values: dict[str, int] = {}
    for type, shape in zip(types, shapes, strict=True):
        for size, found in zip(type.shape, shape, strict=True):
            if isinstance(size, Dim):
                solved = _solve_one(size, found)
                if solved is not None:
                    values.setdefault(*solved)
    return values


def _solve_one(size: Dim, found: int) -> tuple[str, int] | None:
    """The symbol of `a * symbol + b == found`, and its value."""
    factor, rest, symbol = 0, 0, None
    for monomial, coefficient in size.terms:
        if not monomial:
            rest = coefficient
        elif len(monomial) == 1 and isinstance(monomial[0], Symbol) and symbol is None:
            symbol, factor = monomial[0], coefficient
        else:
            return None
    if symbol is None or (found - rest) % factor:
        return None
    return symbol.name, (found - rest) // factor
