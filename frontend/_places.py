"""Where tensors' data lies: in NumPy arrays, or in arrays of a CUDA device. What the front end does
with data beyond applying ops, for both."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

import numpy as np

from intaglio._kind import Kind
from intaglio.compiler.errors import DeviceError
from intaglio.runtime.device.array import DeviceArray

if TYPE_CHECKING:
    from intaglio.runtime.device.device import Device

Array = np.ndarray[Any, Any]


def place_named(device: Any) -> Device | None:
    """The device that a `device=` argument names (None: the CPU). Raises `DeviceError` for one that
    is not there."""
    text = str(device)
    if text.split(":")[0] == "cpu":
        return None
    from intaglio.runtime.device.device import find_device

    try:
        return find_device(text)
    except DeviceError as error:
        raise DeviceError(error.message) from None  # with the author's line


def place_of(kinds: Iterable[Kind]) -> Device | None:
    """The device among kinds; raises `DeviceError` when there are two."""
    found: Device | None = None
    for kind in kinds:
        if kind.place is not None and kind.place is not found:
            if found is not None:
                raise DeviceError(
                    f"operands lie on different devices, {found.name} and {kind.place.name}; move"
                    f" one of them with .to({found.name!r})"
                )
            found = kind.place
    return found


def is_data(data: Any) -> bool:
    """Whether a tensor's data is there, rather than traced."""
    return isinstance(data, np.ndarray | DeviceArray)


def to_host(data: Any) -> Array:
    """Data as an ndarray: itself, or a copy from its device."""
    made: Array = data if isinstance(data, np.ndarray) else data.to_host()
    return made


def moved(data: Any, place: Device | None) -> Any:
    """Data on another device, copied unless it is there."""
    if isinstance(data, DeviceArray) and data.device is place:
        return data
    host = to_host(data)
    return host if place is None else place.upload(host)


def copied(data: Any) -> Any:
    """A dense copy of data, where it lies."""
    return np.array(data, order="C") if isinstance(data, np.ndarray) else data.copy()


def is_dense(data: Any) -> bool:
    """Whether data lies in row-major order without gaps."""
    return bool(data.flags.c_contiguous if isinstance(data, np.ndarray) else data.is_dense)


def is_writable(data: Any) -> bool:
    """Whether each element has a place of its own that may be written."""
    if isinstance(data, np.ndarray):
        return data.flags.writeable and not (0 in data.strides and data.size > 1)
    return data.writable and not data.repeats


def store(target: Any, source: Any) -> None:
    """Write data into other data of its shape and dtype, across devices too."""
    if isinstance(target, np.ndarray):
        np.copyto(target, to_host(source))
    else:
        target.device.copy(target, moved(source, target.device))


def zeros(kind: Kind) -> Any:
    """Zeros of a kind with fixed sizes."""
    made = np.zeros(tuple(kind.shape), kind.numpy)
    return made if kind.place is None else kind.place.upload(made)


def filled(number: Any, kind: Kind) -> Any:
    """One number in every element of a kind, stored once, not to be written."""
    scalar = np.broadcast_to(np.array(number).astype(kind.numpy), tuple(kind.shape))
    if kind.place is None:
        return scalar
    from intaglio.runtime.device.eager import number_on

    return number_on(kind.place, scalar)


def share_memory(one: Any, other: Any) -> bool:
    """Whether two data of tensors look at the same memory."""
    if isinstance(one, np.ndarray) and isinstance(other, np.ndarray):
        return np.may_share_memory(one, other)
    return (
        isinstance(one, DeviceArray)
        and isinstance(other, DeviceArray)
        and (one.owner is other.owner)
    )


def is_shared(data: Any) -> bool:
    """Whether somebody else may look at this memory, or it can't be written."""
    if isinstance(data, np.ndarray):
        return not data.flags.owndata or not data.flags.writeable
    return not data.writable or data.repeats or sys.getrefcount(data.owner) > 2
