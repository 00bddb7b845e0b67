"""Functions that join tensors and cut them into pieces."""

from __future__ import annotations

import builtins
from collections.abc import Sequence
from typing import Any

from intaglio._apply import apply
from intaglio._core import Tensor
from intaglio._functions_movement import clone, expand, narrow, ravel, reshape, transpose, unsqueeze
from intaglio._functions_reduce import axis_of
from intaglio._promote import cast, result_type, spelled
from intaglio.compiler.dims import Dim
from intaglio.compiler.errors import ArgumentError, ShapeError


@spelled
def cat(tensors: Sequence[Tensor], dim: int = 0) -> Tensor:
    """Joined along a dimension, in the common dtype."""
    parts = list(tensors)
    if not parts:
        raise ArgumentError("cat: at least one tensor is wanted")
    dtype = result_type(*parts)
    if len(parts) > 1:
        parts = [x for x in parts if tuple(x.shape) != (0,)] or parts[:1]
    axis = axis_of("cat", parts[0], dim)
    if not parts[0].ndim:
        raise ShapeError("cat: tensors without dimensions are not joined; use stack")
    return apply("concat", [cast(x, dtype) for x in parts], {"axis": axis})[0]


concat = concatenate = cat


@spelled
def stack(tensors: Sequence[Tensor], dim: int = 0) -> Tensor:
    """Joined along a new dimension."""
    parts = list(tensors)
    if not parts:
        raise ArgumentError("stack: at least one tensor is wanted")
    if any(tuple(x.shape) != tuple(parts[0].shape) for x in parts):
        texts = ", ".join(str(x._kind) for x in parts)
        raise ShapeError(f"stack: {texts}: the shapes differ")
    return cat([unsqueeze(x, dim) for x in parts], dim % (parts[0].ndim + 1))


def hstack(tensors: Sequence[Tensor]) -> Tensor:
    """Joined along the second dimension (the first, for one dimension)."""
    parts = [reshape(x, 1) if x.ndim == 0 else x for x in tensors]
    return cat(parts, 0 if parts[0].ndim == 1 else 1)


def vstack(tensors: Sequence[Tensor]) -> Tensor:
    """Joined as rows."""
    return cat([reshape(x, 1, -1) if x.ndim < 2 else x for x in tensors], 0)


row_stack = vstack


@spelled
def split(input: Tensor, split_size_or_sections: Any, dim: int = 0) -> tuple[Tensor, ...]:
    """Pieces of this size (the last may be smaller), or of these sizes: views."""
    axis = axis_of("split", input, dim)
    size = input.shape[axis]
    if isinstance(split_size_or_sections, int):
        if isinstance(size, Dim):
            raise ShapeError(f"split: {input._kind}: the number of pieces would be symbolic")
        step = split_size_or_sections
        if step <= 0:
            raise ArgumentError(f"split: a size of {step} is not positive")
        parts = [builtins.min(step, size - k) for k in range(0, size, step)] or [0]
    else:
        parts = list(split_size_or_sections)
        if isinstance(size, int) and builtins.sum(parts) != size:
            raise ShapeError(f"split: {input._kind}: {parts} do not add up to {size}")
    made, at = [], 0
    for part in parts:
        made.append(narrow(input, axis, at, part))
        at = at + part
    return tuple(made)


@spelled
def chunk(input: Tensor, chunks: int, dim: int = 0) -> tuple[Tensor, ...]:
    """At most this many pieces of equal size (the last may be smaller): views."""
    size = input.shape[axis_of("chunk", input, dim)]
    step = size // chunks if isinstance(size, Dim) else -(-size // chunks)
    if isinstance(size, Dim):
        return split(input, [step] * chunks, dim)
    return split(input, step or 1, dim)


@spelled
def tensor_split(input: Tensor, indices_or_sections: Any, dim: int = 0) -> tuple[Tensor, ...]:
    """Pieces that end before each index, or this many of nearly equal size: views."""
    axis = axis_of("tensor_split", input, dim)
    size = input.shape[axis]
    if isinstance(indices_or_sections, int):
        base, extra = divmod(size, indices_or_sections)
        parts = [base + (k < extra) for k in range(indices_or_sections)]
        return split(input, parts, axis)
    cuts = [
        builtins.min(c if c >= 0 else builtins.max(c + size, 0), size) for c in indices_or_sections
    ]
    ends = [*cuts, size]
    starts = [0, *cuts]
    return tuple(
        narrow(input, axis, a, builtins.max(b - a, 0)) for a, b in zip(starts, ends, strict=True)
    )


@spelled
def roll(input: Tensor, shifts: Any, dim: Any = None) -> Tensor:
    """Moved along dimensions, what leaves at the end coming back at the start."""
    if dim is None:
        return reshape(roll(ravel(input), shifts, 0), *input.shape)
    pairs = zip(_many(shifts), _many(dim), strict=True)
    for shift, d in pairs:
        axis = axis_of("roll", input, d)
        size = input.shape[axis] if input.ndim else 0
        if size == 0:
            continue
        by = shift % size
        if by != 0:
            input = cat(
                [narrow(input, axis, size - by, by), narrow(input, axis, 0, size - by)], axis
            )
    return clone(input)


def _many(x: Any) -> tuple[Any, ...]:
    return (x,) if isinstance(x, int) else tuple(x)


def meshgrid(*tensors: Any, indexing: str = "ij") -> tuple[Tensor, ...]:
    """Coordinate grids of one-dimensional tensors."""
    parts = (
        list(tensors[0])
        if len(tensors) == 1 and not isinstance(tensors[0], Tensor)
        else list(tensors)
    )
    swap = indexing == "xy" and len(parts) > 1
    if swap:
        parts[0], parts[1] = parts[1], parts[0]
    shape = tuple(x.numel() for x in parts)
    made = []
    for k, x in enumerate(parts):
        column = reshape(x, *(x.numel() if j == k else 1 for j in range(len(parts))))
        made.append(expand(column, *shape))
    if swap:
        made = [transpose(x, 0, 1) for x in made]
        made[0], made[1] = made[1], made[0]
    return tuple(made)
