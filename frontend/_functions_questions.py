"""Questions about tensors that no op has to answer."""

from __future__ import annotations

from typing import Any

from intaglio import _core as core
from intaglio._core import Tensor


def numel(input: Tensor) -> Any:
    """Number of elements."""
    return input.numel()


def is_floating_point(input: Tensor) -> bool:
    """Whether the dtype is a floating-point one."""
    return input.is_floating_point()


def is_nonzero(input: Tensor) -> bool:
    """Whether the only element is not zero."""
    return bool(input != 0)


def is_same_size(input: Tensor, other: Tensor) -> bool:
    """Whether two tensors have the same shape."""
    return tuple(input.shape) == tuple(other.shape)


def is_signed(input: Tensor) -> bool:
    """Whether the dtype has negative numbers."""
    return input.dtype.kind in "if"


def is_complex(input: Tensor) -> bool:
    """Whether the dtype is complex: never, there are none here."""
    return False


def is_storage(obj: Any) -> bool:
    """Whether an object is one of torch's storages: never, memory is an array's here."""
    return False


def get_device(input: Tensor) -> int:
    """The number of the device; -1 for the CPU."""
    index = input.device.index
    return -1 if input.device.type == "cpu" else index or 0


def is_inference(input: Tensor) -> bool:
    """Whether the tensor was made in inference mode (`inference_mode`), or is a view of one that
    was."""
    return core.is_inference(input)


def is_conj(input: Tensor) -> bool:
    """Whether a conjugation is still to be done: never, there are no complex dtypes."""
    return False


def is_neg(input: Tensor) -> bool:
    """Whether a sign is still to be changed: never, every op is done at once."""
    return False


def is_pinned(input: Tensor, device: Any = None) -> bool:
    """Whether the memory is locked for copies to a device: never told apart here."""
    return False


def pin_memory(input: Tensor, device: Any = None) -> Tensor:
    """The tensor itself: copies to a device need no locked memory here."""
    return input


def to_dense(input: Tensor, dtype: Any = None, *, masked_grad: Any = None) -> Tensor:
    """The tensor itself (in a dtype, if given): all are dense."""
    return input if dtype is None else input.to(dtype)


def const_data_ptr(input: Tensor) -> int:
    """The address of the first element."""
    return input.data_ptr()
