"""Functions that join tensors and cut them into pieces."""

from __future__ import annotations

import builtins
import itertools
from collections.abc import Sequence
from typing import Any

import numpy as np

from intaglio._apply import apply, constant, full
from intaglio._core import Tensor, is_traced
from intaglio._functions_movement import (
    atleast_1d,
    atleast_2d,
    atleast_3d,
    clone,
    expand,
    narrow,
    pad_sides,
    ravel,
    reshape,
    unsqueeze,
)
from intaglio._functions_reduce import axis_of
from intaglio._kind import kind_of
from intaglio._promote import as_tensor_like, cast, number_dtype, result_type, spelled
from intaglio.compiler.dims import Dim, maximum, minimum
from intaglio.compiler.dtypes import int64
from intaglio.compiler.errors import ArgumentError, DTypeError, ShapeError


@spelled
def cat(tensors: Sequence[Tensor], dim: int = 0) -> Tensor:
    """Joined along a dimension, in the common dtype."""
    if isinstance(tensors, Tensor):
        raise ArgumentError(f"cat: a sequence of tensors is wanted, not the tensor {tensors._kind}")
    parts = _parts("cat", tensors)
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
    parts = _parts("stack", tensors)
    if any(tuple(x.shape) != tuple(parts[0].shape) for x in parts):
        texts = ", ".join(str(x._kind) for x in parts)
        raise ShapeError(f"stack: {texts}: the shapes differ")
    return cat([unsqueeze(x, dim) for x in parts], dim % (parts[0].ndim + 1))


def _parts(name: str, tensors: Any) -> list[Tensor]:
    parts = list(tensors)
    if not parts or not all(isinstance(x, Tensor) for x in parts):
        raise ArgumentError(f"{name}: a sequence of at least one tensor is wanted")
    return parts


@spelled
def hstack(tensors: Sequence[Tensor]) -> Tensor:
    """Joined along the second dimension (the first, for one dimension)."""
    parts = [atleast_1d(x) for x in _parts("hstack", tensors)]
    return cat(parts, 0 if parts[0].ndim == 1 else 1)


@spelled
def vstack(tensors: Sequence[Tensor]) -> Tensor:
    """Joined as rows."""
    return cat([atleast_2d(x) for x in _parts("vstack", tensors)], 0)


row_stack = vstack


@spelled
def dstack(tensors: Sequence[Tensor]) -> Tensor:
    """Joined along the third dimension."""
    return cat([atleast_3d(x) for x in _parts("dstack", tensors)], 2)


@spelled
def column_stack(tensors: Sequence[Tensor]) -> Tensor:
    """Joined along the second dimension, vectors and numbers as columns."""
    parts = [reshape(x, x.numel(), 1) if x.ndim < 2 else x for x in _parts("column_stack", tensors)]
    return cat(parts, 1)


def block_diag(*tensors: Any) -> Tensor:
    """A matrix with these matrices (or rows, or numbers) along its diagonal, zeros elsewhere."""
    parts = [x if isinstance(x, Tensor) else as_tensor_like(x, number_dtype(x)) for x in tensors]
    if not parts:
        raise ArgumentError("block_diag: at least one tensor is wanted")
    if any(x.ndim > 2 for x in parts):
        raise ShapeError(f"block_diag: {parts[0]._kind}: a block has at most two dimensions")
    parts = [atleast_2d(x) if x.ndim else reshape(x, 1, 1) for x in parts]
    dtype = result_type(*parts)
    width = builtins.sum(x.shape[1] for x in parts)
    rows, before = [], 0
    for x in parts:
        low, high = (0, before), (0, width - before - x.shape[1])
        rows.append(pad_sides(cast(x, dtype), low, high))
        before = before + x.shape[1]
    return cat(rows, 0)


def cartesian_prod(*tensors: Tensor) -> Tensor:
    """All rows (a, b, ...) with one element of each vector: [product of the sizes, number]."""
    parts = _parts("cartesian_prod", tensors)
    if any(x.ndim != 1 for x in parts):
        raise ShapeError(f"cartesian_prod: {parts[0]._kind}: vectors are wanted")
    if len(parts) == 1:
        return parts[0]
    return stack([ravel(grid) for grid in meshgrid(*parts, indexing="ij")], 1)


def combinations(input: Tensor, r: int = 2, with_replacement: bool = False) -> Tensor:
    """All selections of r elements of a vector in order: [number, r]."""
    if input.ndim != 1 or r < 0:
        raise ArgumentError(f"combinations: {input._kind}, r = {r}: a vector and r >= 0 are wanted")
    size = input.shape[0]
    if not isinstance(size, int):
        raise ShapeError(f"combinations: {input._kind}: the size must be known")
    choose = itertools.combinations_with_replacement if with_replacement else itertools.combinations
    if r == 0:
        return full(0, kind_of(input.dtype, (0,))).clone()
    found = np.array(list(choose(range(size), r)), np.int64).reshape(-1, r)
    return apply("take", (input, constant(found)), {"axis": 0})[0]


@spelled
def split(input: Tensor, split_size_or_sections: Any, dim: int = 0) -> tuple[Tensor, ...]:
    """Pieces of this size (the last may be smaller), or of these sizes: views."""
    if not input.ndim:
        raise ShapeError(f"split: {input._kind} has no dimension to split")
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
    if not input.ndim or (isinstance(chunks, int) and chunks <= 0):
        raise ArgumentError(f"chunk: {input._kind} cannot be cut into {chunks} pieces")
    size = input.shape[axis_of("chunk", input, dim)]
    step = size // chunks if isinstance(size, Dim) else -(-size // chunks)
    if isinstance(size, Dim):
        return split(input, [step] * chunks, dim)
    return split(input, step or 1, dim)


@spelled
def tensor_split(input: Tensor, indices_or_sections: Any, dim: int = 0) -> tuple[Tensor, ...]:
    """Pieces that end before each index, or this many of nearly equal size: views."""
    if not input.ndim:
        raise ShapeError(f"tensor_split: {input._kind} has no dimension to split")
    axis = axis_of("tensor_split", input, dim)
    size = input.shape[axis]
    wanted = indices_or_sections
    if isinstance(wanted, Tensor):
        if wanted.dtype is not int64 or wanted.ndim > 1:
            raise DTypeError(f"tensor_split: i64[] or i64[n] is wanted, not {wanted._kind}")
        if is_traced(wanted):
            from intaglio._trace_errors import data_dependent

            raise data_dependent("tensor_split at places that are a tensor", wanted)
        wanted = wanted.tolist()
    if isinstance(wanted, int):
        if wanted <= 0:
            raise ArgumentError(f"tensor_split: {wanted} sections are not possible")
        base, extra = divmod(size, wanted)
        parts = [base + (k < extra) for k in range(wanted)]
        return split(input, parts, axis)
    cuts = [minimum(c if c >= 0 else maximum(c + size, 0), size) for c in wanted]
    ends = [*cuts, size]
    starts = [0, *cuts]
    return tuple(
        narrow(input, axis, a, maximum(b - a, 0)) for a, b in zip(starts, ends, strict=True)
    )


def _even_split(name: str, x: Tensor, wanted: Any, dim: int, rank: int) -> tuple[Tensor, ...]:
    if x.ndim < rank:
        raise ShapeError(f"{name}: {x._kind} has fewer than {rank} dimensions")
    size = x.shape[dim]
    if isinstance(wanted, int) and (wanted <= 0 or size % wanted != 0):
        raise ShapeError(f"{name}: {x._kind}: {size} is not divided evenly by {wanted}")
    return tensor_split(x, wanted, dim)


def hsplit(input: Tensor, indices_or_sections: Any) -> tuple[Tensor, ...]:
    """Pieces along the second dimension (the first of a vector), as many or at these indices."""
    return _even_split("hsplit", input, indices_or_sections, 0 if input.ndim == 1 else 1, 1)


def vsplit(input: Tensor, indices_or_sections: Any) -> tuple[Tensor, ...]:
    """Pieces along the first dimension, this many equal ones or at these indices."""
    return _even_split("vsplit", input, indices_or_sections, 0, 2)


def dsplit(input: Tensor, indices_or_sections: Any) -> tuple[Tensor, ...]:
    """Pieces along the third dimension, this many equal ones or at these indices."""
    return _even_split("dsplit", input, indices_or_sections, 2, 3)


@spelled
def roll(input: Tensor, shifts: Any, dim: Any = None) -> Tensor:
    """Moved along dimensions, what leaves at the end coming back at the start."""
    if dim is None:
        return reshape(roll(ravel(input), shifts, 0), *input.shape)
    if len(_many(shifts)) != len(_many(dim)):
        raise ArgumentError(f"roll: {input._kind}: {shifts} and {dim} are not as many numbers")
    pairs = zip(_many(shifts), _many(dim), strict=True)
    if not input.ndim:
        raise ShapeError(f"roll: {input._kind} has no dimension {dim}")
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
    """Coordinate grids of vectors (or numbers): grid k repeats vector k along all dimensions but
    its own, the k-th. With indexing "xy" the first two dimensions are exchanged."""
    one_list = len(tensors) == 1 and not isinstance(tensors[0], Tensor)
    parts = _parts("meshgrid", tensors[0] if one_list else tensors)
    if any(x.ndim > 1 for x in parts):
        raise ShapeError(f"meshgrid: {', '.join(str(x._kind) for x in parts)}: vectors are wanted")
    if any(x.dtype is not parts[0].dtype for x in parts):
        raise DTypeError(f"meshgrid: {', '.join(str(x._kind) for x in parts)}: the dtypes differ")
    if indexing not in ("ij", "xy"):
        raise ArgumentError(f"meshgrid: indexing is 'ij' or 'xy', not {indexing!r}")
    order = list(range(len(parts)))
    if indexing == "xy" and len(parts) > 1:
        order[0], order[1] = 1, 0
    shape = tuple(parts[k].numel() for k in order)
    made = []
    for k, x in enumerate(parts):
        at = order.index(k)
        line = reshape(x, *(x.numel() if j == at else 1 for j in range(len(parts))))
        made.append(expand(line, *shape))
    return tuple(made)
