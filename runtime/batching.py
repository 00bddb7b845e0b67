"""Cutting a function's arguments into batches, and the order in which a training run takes the
examples.

The batch axis is the leading axis of the first argument that has one; every argument whose leading
size is the same and whose array has as many rows is cut along with it, all others are handed over
whole.

The order is a pure function of (seed, epoch): 64-bit words are drawn from NumPy's Philox4x64-10
generator with the key (seed, epoch), one for each example, and the examples are sorted by their
word (ties by number). Only the generator's raw words are used, which NumPy promises never to
change, so a run that is resumed elsewhere takes the same batches."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from intaglio.compiler.dims import Dim, Size, bounds
from intaglio.compiler.ir import Function
from intaglio.runtime.datasets import DataError

Array = np.ndarray[Any, Any]


def order(examples: int, seed: int, epoch: int) -> Array:
    """The numbers of all examples in the order of one epoch."""
    words = np.random.Philox(key=np.array([seed, epoch], np.uint64)).random_raw(examples)
    return np.argsort(words, kind="stable")


@dataclass(frozen=True)
class Batching:
    """How the arguments of a function are cut: which are, along which size (`axis`, None when the
    function has no batch axis), which batch sizes fit (`low` to `high`), how many rows there
    are."""

    batched: tuple[bool, ...]
    axis: Size | None
    low: int
    high: int
    examples: int

    @property
    def fixed(self) -> bool:
        """Whether only one batch size fits."""
        return self.low == self.high

    def choose(self, wanted: int | None, default: int) -> int:
        """The batch size to use: the one wanted, which must fit, or the default as far as it
        fits."""
        if wanted is None:
            return min(max(default, self.low), self.high)
        if not self.low <= wanted <= self.high:
            allowed = f"only {self.low}" if self.fixed else f"{self.low} to {self.high}"
            raise DataError(f"batches of {wanted}: the function takes {allowed} rows")
        return wanted

    def spans(self, size: int) -> list[tuple[int, int]]:
        """Begin and end of every batch, the last one as short as it comes if that fits."""
        cuts = range(0, self.examples, size)
        found = [(k, min(k + size, self.examples)) for k in cuts]
        if found and found[-1][1] - found[-1][0] < self.low:
            found.pop()
        return found

    def dropped(self, size: int) -> int:
        """How many rows at the end are in no batch."""
        spans = self.spans(size)
        return self.examples - (spans[-1][1] if spans else 0)

    def take(self, arrays: Sequence[Array], rows: slice | Array) -> list[Array]:
        """The arguments of one batch."""
        return [a[rows] if cut else a for a, cut in zip(arrays, self.batched, strict=True)]


def batching(function: Function, arrays: Sequence[Array]) -> Batching:
    """How these arguments of a function are cut. Raises `DataError` when rows do not match."""
    types = [v.type for v in function.argument_values]
    first = next((k for k, t in enumerate(types) if t.rank), None)
    if first is None or types[first].shape[0] == 0:
        return Batching((False,) * len(types), None, 1, 1, 1)
    axis, examples = types[first].shape[0], len(arrays[first])
    batched = []
    for k, type in enumerate(types):
        same = bool(type.rank) and type.shape[0] == axis
        whole = isinstance(axis, int) and len(arrays[k]) == axis if same else True
        cut = same and len(arrays[k]) == examples
        if not cut and not whole:
            names = function.arguments
            raise DataError(
                f"{names[first]} has {examples} rows and {names[k]} has {len(arrays[k])}"
            )
        batched.append(cut)
    low, high = bounds(axis) if isinstance(axis, Dim) else (axis, axis)
    return Batching(tuple(batched), axis, max(low, 1), high, examples)


def cut(
    batching: Batching, arrays: Sequence[Array], size: int
) -> Iterator[tuple[int, list[Array]]]:
    """The batches in the order of the rows, each with how many rows it has."""
    for begin, end in batching.spans(size):
        yield end - begin, batching.take(arrays, slice(begin, end))
