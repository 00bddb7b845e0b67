"""Sequences of several lengths as one tensor: padded, or packed step by step.

Lengths are values that Python reads, so in a trace they must be given as numbers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

import intaglio as ig
from intaglio._core import wrap
from intaglio._kind import kind_of_array
from intaglio._tensor import Tensor
from intaglio.compiler.errors import ArgumentError
from intaglio.nn._packed import batch_numbers

__all__ = [
    "PackedSequence",
    "invert_permutation",
    "pack_padded_sequence",
    "pack_sequence",
    "pad_packed_sequence",
    "pad_sequence",
    "unpack_sequence",
    "unpad_sequence",
]


class PackedSequence(NamedTuple):
    """Sequences step by step: `data` holds the first elements of all, then the second ones of those
    that have them, ...; `batch_sizes` (i64[t]) how many there are at each step. `sorted_indices`
    sorts the batch by falling length, `unsorted_indices` undoes that."""

    data: Tensor
    batch_sizes: Tensor
    sorted_indices: Tensor | None = None
    unsorted_indices: Tensor | None = None

    def to(self, *args: Any, **kwargs: Any) -> PackedSequence:
        """The elements converted or moved."""
        return self._replace(data=self.data.to(*args, **kwargs))

    @property
    def is_cuda(self) -> bool:
        """Whether the elements lie on a CUDA device."""
        return self.data.is_cuda


def _numbers(lengths: Any) -> Any:
    made = lengths.tolist() if isinstance(lengths, Tensor) else list(lengths)
    return np.array([int(n) for n in made], np.int64)


def _outside_traces(numbers: Any) -> Tensor:
    """A tensor whose elements Python may read inside a trace, too: they are constants of it."""
    return wrap(numbers, kind_of_array(numbers))


def invert_permutation(permutation: Tensor | None) -> Tensor | None:
    """The permutation that undoes one: i64[n]."""
    return None if permutation is None else permutation.argsort()


def pad_sequence(
    sequences: Tensor | Sequence[Tensor],
    batch_first: bool = False,
    padding_value: float = 0.0,
    padding_side: str = "right",
) -> Tensor:
    """Tensors [t_k, ...] padded to the longest and stacked: [t, n, ...], or [n, t, ...]."""
    if padding_side not in ("left", "right"):
        raise ArgumentError(f"pad_sequence: padding_side is 'left' or 'right', not {padding_side}")
    several = list(sequences)
    if not several:
        raise ArgumentError("pad_sequence: there is no sequence")
    longest, padded = max(s.shape[0] for s in several), []
    for s in several:
        missing = longest - s.shape[0]
        sides = (0, missing) if padding_side == "right" else (missing, 0)
        padded.append(
            ig.nn.functional.pad(s, (*(0, 0) * (s.ndim - 1), *sides), value=padding_value)
        )
    return ig.stack(padded, 0 if batch_first else 1)


def unpad_sequence(
    padded_sequences: Tensor, lengths: Any, batch_first: bool = False
) -> list[Tensor]:
    """What `pad_sequence` padded on the right, as the sequences again."""
    x = padded_sequences if batch_first else padded_sequences.transpose(0, 1)
    return [x[k, :n] for k, n in enumerate(_numbers(lengths).tolist())]


def pack_padded_sequence(
    input: Tensor, lengths: Any, batch_first: bool = False, enforce_sorted: bool = True
) -> PackedSequence:
    """A padded batch [t, n, ...] (or [n, t, ...]) as a packed one. `enforce_sorted` says that the
    lengths fall; otherwise the batch is sorted."""
    counts = _numbers(lengths)
    x = input.transpose(0, 1) if batch_first else input
    if len(counts) != x.shape[1]:
        raise ArgumentError(
            f"pack_padded_sequence: {len(counts)} lengths for a batch of {x.shape[1]}"
        )
    if not len(counts) or counts.min() <= 0 or counts.max() > x.shape[0]:
        raise ArgumentError(
            f"pack_padded_sequence: lengths lie in 1 .. {x.shape[0]}, and are {counts.tolist()}"
        )
    order = None
    if not enforce_sorted:
        order = ig.tensor(np.argsort(-counts, kind="stable"))
        counts = -np.sort(-counts, kind="stable")
        x = x.index_select(1, order)
    elif (np.diff(counts) > 0).any():
        raise ArgumentError(
            f"pack_padded_sequence: lengths must fall, and are {counts.tolist()}; give"
            " enforce_sorted=False"
        )
    sizes = (counts[None] > np.arange(counts[0])[:, None]).sum(1)
    rows = np.concatenate([t * len(counts) + np.arange(size) for t, size in enumerate(sizes)])
    flat = x.reshape(x.shape[0] * x.shape[1], *x.shape[2:])
    data = flat.index_select(0, ig.tensor(rows, device=input.device))
    return PackedSequence(data, _outside_traces(sizes), order, invert_permutation(order))


def pad_packed_sequence(
    sequence: PackedSequence,
    batch_first: bool = False,
    padding_value: float = 0.0,
    total_length: int | None = None,
) -> tuple[Tensor, Tensor]:
    """A packed batch as the padded one [t, n, ...] (or [n, t, ...]) and its lengths, i64[n]."""
    sizes = batch_numbers(sequence.batch_sizes)
    steps, count = len(sizes), int(sizes[0])
    if total_length is not None and total_length < steps:
        raise ArgumentError(
            f"pad_packed_sequence: total_length {total_length} is less than the longest, {steps}"
        )
    data, length = sequence.data, steps if total_length is None else total_length
    rows = np.full((length, count), data.shape[0], np.int64)  # the row of padding
    starts = np.cumsum(sizes) - sizes
    for t, size in enumerate(sizes):
        rows[t, :size] = starts[t] + np.arange(size)
    lengths = (np.arange(count)[None] < sizes[:, None]).sum(0)
    padding = ig.full((1, *data.shape[1:]), padding_value, dtype=data.dtype, device=data.device)
    taken = ig.cat([data, padding]).index_select(0, ig.tensor(rows.ravel(), device=data.device))
    made = taken.reshape(length, count, *data.shape[1:])
    found = ig.tensor(lengths)
    if sequence.unsorted_indices is not None:
        made = made.index_select(1, sequence.unsorted_indices)
        found = found.index_select(0, sequence.unsorted_indices)
    return made.transpose(0, 1) if batch_first else made, found


def pack_sequence(sequences: Sequence[Tensor], enforce_sorted: bool = True) -> PackedSequence:
    """Sequences as a packed batch."""
    lengths = [s.shape[0] for s in sequences]
    return pack_padded_sequence(pad_sequence(sequences), lengths, enforce_sorted=enforce_sorted)


def unpack_sequence(packed_sequences: PackedSequence) -> list[Tensor]:
    """The sequences of a packed batch."""
    padded, lengths = pad_packed_sequence(packed_sequences)
    return unpad_sequence(padded, lengths)
