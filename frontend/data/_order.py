"""Random orders of whole numbers as NumPy arrays, from the streams that tensors are drawn from: the
same numbers as `ig.randperm` and `ig.randint` give."""

from __future__ import annotations

from typing import Any

import numpy as np

from intaglio._functions_random import Generator, default_generator, integers
from intaglio.compiler.dtypes import int64

Array = np.ndarray[Any, Any]


def permutation(n: int, generator: Generator | None = None) -> Array:
    """The numbers 0 to n - 1 in random order, i64[n], from one draw."""
    high, low = (generator or default_generator).bits((n,), 2)
    keys = high.numpy().astype(np.uint64)
    keys <<= np.uint64(32)
    keys |= low.numpy()
    return np.argsort(keys, kind="stable")


def draws_below(n: int, count: int, generator: Generator | None = None) -> Array:
    """So many numbers from 0 to n - 1, each drawn on its own, i64[count], from one draw."""
    return integers(0, n, (count,), int64, generator).numpy()


def drawn_seed(generator: Generator | None = None) -> int:
    """A seed for another stream, from one draw: 0 to 2^63 - 1."""
    high, low = (int(word) for word in (generator or default_generator).bits((), 2))
    return (high << 32 | low) >> 1
