"""Where the elements of packed sequences are, for the networks that run them padded.

Packed, the elements of all sequences stand in the order of time: first the first element of every
sequence, the longest sequence first, then the second of those that have one, ... How many there are
of each is `batch_sizes`, plain numbers: inside a trace they are constants."""

from __future__ import annotations

from typing import Any

import numpy as np

import intaglio as ig
from intaglio._tensor import Tensor

Array = np.ndarray[Any, np.dtype[np.int64]]


def batch_numbers(batch_sizes: Tensor) -> Array:
    """The numbers of `batch_sizes`. They belong to the layout of the data, like a shape, so that
    they may be read inside a trace."""
    data = batch_sizes._data
    return np.asarray(data if isinstance(data, np.ndarray) else batch_sizes.tolist(), np.int64)


def packed_rows(batch_sizes: Tensor) -> Array:
    """Where in the data the element of each time and sequence is, in the order of falling lengths:
    i64[t, b], -1 behind the end of a sequence."""
    counts = batch_numbers(batch_sizes)
    starts = np.cumsum(counts) - counts
    number = np.arange(int(counts[0]) if len(counts) else 0)
    held = number[None, :] < counts[:, None]
    return np.where(held, starts[:, None] + number[None, :], -1)


def padded(data: Tensor, rows: Array) -> Tensor:
    """The data laid out by `rows`: [t, b, ...]; whatever there is stands behind the ends."""
    return ig.take_rows(data, ig.tensor(np.maximum(rows, 0)))


def packed(x: Tensor, rows: Array) -> Tensor:
    """The elements of x ([t, b, ...]) that `rows` holds, in the order of time: [n, ...]."""
    return ig.take_rows(x.flatten(0, 1), ig.tensor(np.flatnonzero(rows.reshape(-1) >= 0)))
