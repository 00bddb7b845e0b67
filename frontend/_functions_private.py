"""torch's private functions that code made by its compiler calls: `_chunk_cat` and reads and writes
under a mask."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from intaglio._core import Tensor
from intaglio._functions_elementwise import clamp
from intaglio._functions_gather import masked_fill
from intaglio._functions_index import getitem, index_put
from intaglio._functions_join import cat
from intaglio._functions_movement import pad_sides, reshape
from intaglio._functions_reduce import axis_of
from intaglio.compiler.dims import product
from intaglio.compiler.errors import ArgumentError


def _chunk_cat(tensors: Sequence[Tensor], dim: int, num_chunks: int) -> Tensor:
    """Each tensor cut into `num_chunks` along a dimension (filled up with zeros), its further
    dimensions flattened, and all joined chunk by chunk."""
    parts = list(tensors)
    if not parts or num_chunks < 1:
        raise ArgumentError(f"_chunk_cat: {len(parts)} tensors in {num_chunks} chunks")
    axis = axis_of("_chunk_cat", parts[0], dim)
    made = []
    for x in parts:
        if tuple(x.shape[:axis]) != tuple(parts[0].shape[:axis]) or x.ndim <= axis:
            raise ArgumentError(f"_chunk_cat: {parts[0]._kind} and {x._kind} differ before {dim}")
        high = [0] * x.ndim
        high[axis] = -x.shape[axis] % num_chunks
        wide = pad_sides(x, (0,) * x.ndim, high)
        width = product(tuple(wide.shape[axis:])) // num_chunks
        made.append(reshape(wide, *x.shape[:axis], num_chunks, width))
    return cat(made, axis + 1)


def _inside(x: Tensor, indices: Sequence[Any]) -> list[Any]:
    """Indices moved into range; None stands for a whole dimension."""
    pairs = zip(x.shape, indices, strict=False)
    return [None if i is None else clamp(i, -size, size - 1) for size, i in pairs]


def _unsafe_masked_index(input: Tensor, mask: Tensor, indices: Sequence[Any], fill: Any) -> Tensor:
    """The elements at the indices, and `fill` where the mask is false; what it hides may be out of
    range."""
    key = tuple(slice(None) if i is None else i for i in _inside(input, indices))
    return masked_fill(getitem(input, key), ~mask, fill)


def _unsafe_masked_index_put_accumulate(
    input: Tensor, mask: Tensor, indices: Sequence[Any], values: Tensor
) -> Tensor:
    """input with the values added at the indices where the mask is true."""
    hidden = masked_fill(values, ~mask, 0)
    return index_put(input, _inside(input, indices), hidden, accumulate=True)
