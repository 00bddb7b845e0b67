"""Looks at memory by counting in steps: `as_strided`, sliding windows, and sizes changed in place.

`as_strided` speaks of the memory that a tensor lies in, which may be that of what it is a view of.
The look is taken at the nearest tensor, going up from view to parent, that lies densely in
row-major order and has all elements asked for; so writes reach it and derivatives flow to it."""

from __future__ import annotations

from typing import Any

import numpy as np

from intaglio._apply import one, view as apply_view
from intaglio._core import Tensor
from intaglio._functions_movement import narrow, owned, reshape, sizes
from intaglio._functions_reduce import axis_of
from intaglio._inplace import put_back, replace
from intaglio._modes import modes
from intaglio._places import is_data, is_dense
from intaglio._promote import cast
from intaglio._strides import dense, offset_of, strides_of
from intaglio.compiler.dims import Size, product
from intaglio.compiler.errors import ArgumentError, GradientError, ShapeError


def _offset(x: Tensor) -> Size | None:
    """Where a tensor's first element lies in the memory of what it is a view of, in elements; None
    where that cannot be told."""
    if not isinstance(x._data, np.ndarray):
        return offset_of(x)
    root = x
    while root._view is not None:
        root = root._view[0]
    if not isinstance(root._data, np.ndarray):
        return None
    return (_address(x._data) - _address(root._data)) // x._data.itemsize


def _address(array: Any) -> int:
    return int(array.__array_interface__["data"][0])


def storage_offset(input: Tensor) -> Any:
    """Where the first element lies in the memory of what this tensor is a view of."""
    found = _offset(input)
    return 0 if found is None else found


def _is_dense(x: Tensor) -> bool:
    if is_data(x._data):
        return is_dense(x._data)
    return strides_of(x) == dense(x.shape)


def _look(
    name: str, x: Tensor, size: Any, stride: Any, offset: Any
) -> tuple[Tensor, dict[str, Any]]:
    """The nearest dense tensor around x that holds all elements, and the attributes of the op
    `strided` that shows them in its flat form."""
    shape, steps = sizes((size,)), sizes((stride,))
    if len(shape) != len(steps):
        raise ArgumentError(f"{name}: the size {shape} and the stride {steps} differ in length")
    if any(isinstance(s, int) and s < 0 for s in (*shape, *steps)):
        raise ArgumentError(f"{name}: the size {shape} or the stride {steps} is negative")
    own = _offset(x)
    if own is None:
        raise ShapeError(f"{name}: {x._kind}: where its elements lie in memory is not known")
    start = own if offset is None else offset
    if isinstance(start, int) and start < 0:
        raise ArgumentError(f"{name}: the storage offset {start} is negative")
    if 0 in shape:
        return x, {"shape": shape, "starts": (0,), "steps": (steps,)}
    last = start
    for count, step in zip(shape, steps, strict=True):
        last = last + (count - 1) * step
    around: Tensor | None = x
    while around is not None:
        begin = _offset(around)
        if begin is not None and _is_dense(around) and _inside(begin, start, last, around):
            attributes = {"shape": shape, "starts": (start - begin,), "steps": (steps,)}
            return around, attributes
        around = None if around._view is None else around._view[0]
    raise ShapeError(
        f"{name}: {x._kind}: elements {start} to {last} do not lie within memory in row-major"
        " order; take the look at a tensor that is contiguous()"
    )


def _inside(begin: Size, start: Size, last: Size, around: Tensor) -> bool:
    if not all(isinstance(s, int) for s in (begin, start, last, around.numel())):
        return around._view is None  # the op holds it to be so
    return bool(begin <= start and last < begin + around.numel())


def as_strided(input: Tensor, size: Any, stride: Any, storage_offset: Any = None) -> Tensor:
    """The memory of input (and of what it is a view of) seen with this size, these strides and this
    offset, all counted in elements: a view."""
    around, attributes = _look("as_strided", input, size, stride, storage_offset)
    return apply_view("strided", reshape(around, around.numel()), attributes)


def as_strided_scatter(
    input: Tensor, src: Tensor, size: Any, stride: Any, storage_offset: Any = None
) -> Tensor:
    """A copy of input in which the elements that `as_strided` would show are those of `src`."""
    copy = reshape(input, input.numel())
    shape, steps = sizes((size,)), sizes((stride,))
    if tuple(src.shape) != shape:
        raise ShapeError(f"as_strided_scatter: the source {src._kind} has not the size {shape}")
    attributes = {"shape": shape, "starts": (storage_offset or 0,), "steps": (steps,)}
    made = put_back("strided", attributes, copy, cast(src, input.dtype))
    return owned(one("reshape", made, shape=tuple(input.shape)))


def unfold(input: Tensor, dimension: int, size: int, step: int) -> Tensor:
    """Windows of `size` elements along a dimension, beginning every `step` elements: that dimension
    counts the windows and a new last one runs within each: a view."""
    axis = axis_of("unfold", input, dimension)
    extent = input.shape[axis] if input.ndim else 1
    if size < 0 or step <= 0:
        raise ArgumentError(f"unfold: the size {size} is negative or the step {step} not positive")
    if isinstance(extent, int) and size > extent:
        raise ShapeError(
            f"unfold: {input._kind}: windows of {size} do not fit a dimension of {extent}"
        )
    if not input.ndim:
        return reshape(input, 1) if size else narrow(reshape(input, 1), 0, 0, 0)
    count = (extent - size) // step + 1
    rank = input.ndim
    shape = (*input.shape[:axis], count, *input.shape[axis + 1 :], size)
    steps = tuple(
        (*((step if k == axis else 1) if k == j else 0 for j in range(rank)), int(k == axis))
        for k in range(rank)
    )
    return apply_view("strided", input, {"shape": shape, "starts": (0,) * rank, "steps": steps})


# ---------------------------------------------------------------------------------- sizes in place


def resize_(input: Tensor, *shape: Any, memory_format: Any = None) -> Tensor:
    """Another shape in place: the first elements in row-major order are kept, further ones are 0.
    The tensor gets memory of its own when elements are added."""
    target = sizes(shape)
    if input.requires_grad:
        raise GradientError(f"resize_: {input._kind} requires grad, so its size may not change")
    if any(isinstance(s, int) and s < 0 for s in target):
        raise ArgumentError(f"resize_: a size in {target} is negative")
    if target == tuple(input.shape):
        return input
    flat, wanted = reshape(input, input.numel()), product(target)
    kept = wanted if _fits(wanted, flat.numel()) else flat.numel()
    part = one("slice", flat, starts=(0,), stops=(kept,), steps=(1,))
    if kept != wanted:
        zero: Any = {"f": 0.0, "b": False}.get(input.dtype.kind, 0)
        part = one("pad", part, low=(0,), high=(wanted - kept,), value=zero)
    replace(input, one("reshape", part, shape=target))
    return input


def _fits(wanted: Any, count: Any) -> bool:
    if not isinstance(wanted, int) or not isinstance(count, int):
        raise ShapeError("resize_: symbolic sizes are not supported; use reshape or pad")
    return wanted <= count


def resize_as_(input: Tensor, the_template: Tensor, *, memory_format: Any = None) -> Tensor:
    """The shape of another tensor in place, as `resize_`."""
    return resize_(input, *the_template.shape)


def set_(input: Tensor, source: Tensor) -> Tensor:
    """Let input hold the memory and shape of another tensor of its dtype."""
    if not isinstance(source, Tensor) or source.dtype is not input.dtype:
        raise ArgumentError(f"set_: a tensor of {input.dtype} is wanted")
    replace(input, source)
    return input


def is_set_to(input: Tensor, tensor: Tensor) -> bool:
    """Whether both look at the same memory in the same way."""
    if modes.trace is not None:
        return input is tensor
    a, b = input._data, tensor._data
    same = input._kind is tensor._kind and input.stride() == tensor.stride()
    return bool(same and (input.data_ptr() == tensor.data_ptr() or a is b))
