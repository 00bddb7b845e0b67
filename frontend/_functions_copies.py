"""torch's forms of views that copy (`permute_copy`), that put a part back (`select_scatter`), and
that promise nothing about memory (`unsafe_split`)."""

from __future__ import annotations

import builtins
from typing import Any

from intaglio._core import Tensor
from intaglio._functions_diagonal import diagonal
from intaglio._functions_index import getitem
from intaglio._functions_join import chunk, split
from intaglio._functions_movement import (
    clone,
    detach,
    expand,
    narrow,
    owned,
    permute,
    select,
    squeeze,
    t,
    transpose,
    unbind,
    unsqueeze,
    view,
)
from intaglio._functions_reduce import axis_of
from intaglio._functions_strided import as_strided, unfold
from intaglio._inplace import slice_update
from intaglio._promote import cast, into, spelled
from intaglio.compiler.errors import ArgumentError, ShapeError


def alias_copy(input: Tensor) -> Tensor:
    """A copy."""
    return clone(input)


def detach_copy(input: Tensor) -> Tensor:
    """A copy through which no derivative flows."""
    return clone(detach(input))


def as_strided_copy(input: Tensor, size: Any, stride: Any, storage_offset: Any = None) -> Tensor:
    """A copy of what `as_strided` shows."""
    return clone(as_strided(input, size, stride, storage_offset))


def diagonal_copy(input: Tensor, offset: int = 0, dim1: int = 0, dim2: int = 1) -> Tensor:
    """A copy of what `diagonal` shows."""
    return clone(diagonal(input, offset, dim1, dim2))


def expand_copy(input: Tensor, *size: Any, implicit: bool = False) -> Tensor:
    """`expand`, with memory for each element."""
    return clone(expand(input, *size))


def narrow_copy(input: Tensor, dim: int, start: Any, length: Any) -> Tensor:
    """A copy of `length` positions from `start` along a dimension."""
    return clone(narrow(input, dim, start, length))


def permute_copy(input: Tensor, *dims: Any) -> Tensor:
    """A copy with the dimensions in another order."""
    return clone(permute(input, *dims))


def select_copy(input: Tensor, dim: int, index: Any) -> Tensor:
    """A copy of the slice at an index of a dimension, without it."""
    return clone(select(input, dim, index))


def slice(input: Tensor, dim: int = 0, start: Any = None, end: Any = None, step: int = 1) -> Tensor:
    """Every `step`-th position from `start` up to `end` of a dimension: a view."""
    key = _key("slice", input, dim, start, end, step)
    return getitem(input, key)


def _key(name: str, x: Tensor, dim: int, start: Any, end: Any, step: int) -> tuple[Any, ...]:
    if not x.ndim:
        raise ShapeError(f"{name}: {x._kind} has no dimension to cut")
    axis = axis_of(name, x, dim)
    if step <= 0:
        raise ArgumentError(f"{name}: the step {step} is not positive")
    return (*(builtins.slice(None),) * axis, builtins.slice(start, end, step))


def slice_copy(
    input: Tensor, dim: int = 0, start: Any = None, end: Any = None, step: int = 1
) -> Tensor:
    """A copy of what `slice` shows."""
    return clone(slice(input, dim, start, end, step))


def split_copy(input: Tensor, split_size: Any, dim: int = 0) -> tuple[Tensor, ...]:
    """Copies of what `split` shows."""
    return tuple(clone(part) for part in split(input, split_size, dim))


def split_with_sizes(input: Tensor, split_sizes: Any, dim: int = 0) -> tuple[Tensor, ...]:
    """Pieces of these sizes: views."""
    return split(input, list(split_sizes), dim)


def split_with_sizes_copy(
    input: Tensor, split_sizes: Any, dim: int = 0, *, out: Any = None
) -> tuple[Tensor, ...]:
    """Copies of pieces of these sizes; written to the tensors of `out`, if given."""
    made = tuple(clone(part) for part in split(input, list(split_sizes), dim))
    if out is not None:
        into(out, made)
    return made


def squeeze_copy(input: Tensor, dim: Any = None) -> Tensor:
    """A copy without dimensions of size 1."""
    return clone(squeeze(input, dim))


def t_copy(input: Tensor) -> Tensor:
    """A copy of the transposed matrix."""
    return clone(t(input))


def transpose_copy(input: Tensor, dim0: int, dim1: int) -> Tensor:
    """A copy with two dimensions exchanged."""
    return clone(transpose(input, dim0, dim1))


def unbind_copy(input: Tensor, dim: int = 0) -> tuple[Tensor, ...]:
    """Copies of the slices along a dimension."""
    return tuple(clone(part) for part in unbind(input, dim))


def unfold_copy(input: Tensor, dimension: int, size: int, step: int) -> Tensor:
    """A copy of the windows that `Tensor.unfold` shows."""
    return clone(unfold(input, dimension, size, step))


def unsqueeze_copy(input: Tensor, dim: int) -> Tensor:
    """A copy with a new dimension of size 1."""
    return clone(unsqueeze(input, dim))


def view_copy(input: Tensor, *shape: Any) -> Tensor:
    """A copy in another shape, or of the same bits as another dtype."""
    return clone(view(input, *shape))


# ------------------------------------------------------------------------- without looks at memory


@spelled
def unsafe_chunk(input: Tensor, chunks: int, dim: int = 0) -> tuple[Tensor, ...]:
    """`chunk`; torch promises no views of this form."""
    return chunk(input, chunks, dim)


@spelled
def unsafe_split(input: Tensor, split_size: Any, dim: int = 0) -> tuple[Tensor, ...]:
    """`split`; torch promises no views of this form."""
    return split(input, split_size, dim)


@spelled
def unsafe_split_with_sizes(input: Tensor, split_sizes: Any, dim: int = 0) -> tuple[Tensor, ...]:
    """`split_with_sizes`; torch promises no views of this form."""
    return split_with_sizes(input, split_sizes, dim)


# -------------------------------------------------------------------------------- a part replaced


def slice_scatter(
    input: Tensor, src: Tensor, dim: int = 0, start: Any = None, end: Any = None, step: int = 1
) -> Tensor:
    """input with every `step`-th position from `start` up to `end` of a dimension replaced by those
    of `src`."""
    part = getitem(input, _key("slice_scatter", input, dim, start, end, step))
    if tuple(part.shape) != tuple(src.shape):
        raise ShapeError(f"slice_scatter: the source {src._kind} does not fit {part._kind}")
    return _replaced(input, part, src)


def _replaced(x: Tensor, part: Tensor, src: Tensor) -> Tensor:
    """x with the part that a slice of it shows replaced."""
    if part._view is None or part._view[1] != "slice":  # all of it
        return clone(cast(src, x.dtype))
    return owned(slice_update(x, cast(src, x.dtype), **part._view[2]), x, src)


@spelled
def select_scatter(input: Tensor, src: Tensor, dim: int, index: int) -> Tensor:
    """input with the slice at an index of a dimension replaced by `src`."""
    if not input.ndim:
        raise ShapeError(f"select_scatter: {input._kind} has no dimension to select from")
    axis = axis_of("select_scatter", input, dim)
    shape = (*input.shape[:axis], *input.shape[axis + 1 :])
    if tuple(src.shape) != shape:
        raise ShapeError(f"select_scatter: the source {src._kind} has not the shape {shape}")
    select(input, axis, index)  # which checks the index
    size = input.shape[axis]
    at = index + size if isinstance(index, int) and index < 0 else index
    starts = tuple(at if k == axis else 0 for k in range(input.ndim))
    stops = tuple(at + 1 if k == axis else n for k, n in enumerate(input.shape))
    part = cast(unsqueeze(src, axis), input.dtype)
    return owned(slice_update(input, part, starts, stops, (1,) * input.ndim), input, src)


def fill(input: Tensor, value: Any) -> Tensor:
    """A copy with every element set to a number; the derivative flows to it if it is a tensor."""
    made: Tensor = clone(input).fill_(value)
    return made
