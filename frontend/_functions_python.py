"""Methods that call a Python function for each element. They read values, so that they run eagerly
on the CPU only, and no derivative goes through them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from intaglio._apply import constant
from intaglio._core import Tensor
from intaglio._inplace import write
from intaglio._modes import modes
from intaglio._promote import broadcast_shapes
from intaglio.compiler.errors import DeviceError, DTypeError, GradientError, ShapeError, TraceError


def apply_(input: Tensor, callable: Callable[[Any], Any]) -> Tensor:
    """Each element replaced by what the function makes of it, a Python number."""
    return _each("apply_", callable, input)


def map_(input: Tensor, other: Tensor, callable: Callable[[Any, Any], Any]) -> Tensor:
    """Each element replaced by what the function makes of it and the element of `other`, which
    broadcasts."""
    return _each("map_", callable, input, other)


def map2_(input: Tensor, x: Tensor, y: Tensor, callable: Callable[[Any, Any, Any], Any]) -> Tensor:
    """`map_` with the elements of two other tensors."""
    return _each("map2_", callable, input, x, y)


def _each(name: str, function: Callable[..., Any], *tensors: Tensor) -> Tensor:
    first = tensors[0]
    if modes.trace is not None:
        raise TraceError(
            f"{name}: a Python function of elements can't be traced; write it with intaglio's"
            " functions, or make it an op with custom_op"
        )
    if any(x.is_cuda for x in tensors):
        raise DeviceError(f"{name}: elements are read on the CPU; write x.cpu().{name}(...)")
    if first.requires_grad and modes.grad:
        raise GradientError(f"{name}: {first._kind} requires a derivative; write x.detach()")
    if any(x.dtype is not first.dtype for x in tensors):
        raise DTypeError(f"{name}: the dtypes of {', '.join(str(x._kind) for x in tensors)} differ")
    shape = tuple(first.shape)
    if broadcast_shapes(*(x.shape for x in tensors)) != shape:
        raise ShapeError(
            f"{name}: {', '.join(str(x._kind) for x in tensors)}: the others do not broadcast to"
            " the first"
        )
    columns = [np.broadcast_to(x.detach().numpy(), shape).reshape(-1).tolist() for x in tensors]
    made = [function(*row) for row in zip(*columns, strict=True)]
    result = np.array(made, first.dtype.numpy).reshape(shape)
    return write(first, constant(result), name)


def dim_order(input: Tensor, *, ambiguity_check: Any = False) -> tuple[int, ...]:
    """The dimensions from the one with the longest steps in memory to the shortest; equal ones in
    their order. With `ambiguity_check` equal steps raise `ShapeError`."""
    steps = input.stride()
    order = tuple(sorted(range(input.ndim), key=lambda k: -steps[k]))
    if ambiguity_check and len(set(steps)) != len(steps):
        raise ShapeError(f"dim_order: {input._kind}: dimensions with equal steps {tuple(steps)}")
    return order
