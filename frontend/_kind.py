"""Interned types: one `Kind` object per (dtype, shape, device), compared and hashed by identity on
the hot path."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Any, Final
from weakref import WeakValueDictionary

import numpy as np

from intaglio._device_names import CPU, device
from intaglio.compiler.dims import Shape, Size as DimSize, product
from intaglio.compiler.dtypes import DType, dtype_of
from intaglio.compiler.types import TensorType

if TYPE_CHECKING:
    from intaglio.runtime.device.device import Device


class Size(tuple[Any, ...]):
    """The shape of a tensor: a tuple of sizes that can also say how many elements they make."""

    __slots__ = ()

    def numel(self) -> DimSize:
        """Number of elements."""
        return product(tuple(self))

    def __repr__(self) -> str:
        return f"intaglio.Size([{', '.join(map(str, self))}])"


class Kind:
    """dtype, shape and device (`place`; None is the CPU) of tensors, made once: `a.kind is b.kind`
    means that all are equal."""

    __slots__ = (
        "__weakref__",
        "dtype",
        "floating",
        "numpy",
        "place",
        "rank",
        "row",
        "shape",
        "type",
    )
    row: Any
    """What indexing keeps about the rows of such tensors."""

    def __init__(self, type: TensorType, place: Device | None = None) -> None:
        self.place, self.row = place, None
        self.type, self.dtype, self.shape = type, type.dtype, Size(type.shape)
        self.numpy, self.rank = type.dtype.numpy, len(type.shape)
        self.floating = type.dtype.kind == "f"

    @property
    def device(self) -> device:
        """The device's name."""
        return CPU if self.place is None else device(self.place.name)

    def __str__(self) -> str:
        return str(self.type)


_KINDS: Final[WeakValueDictionary[tuple[str, Shape, Device | None], Kind]] = WeakValueDictionary()

_RECENT: Final[deque[Kind]] = deque(maxlen=256)
"""The last ones made live on a while: a loop makes a tensor of the same few kinds every time."""


def kind_of(dtype: DType, shape: Shape, place: Device | None = None) -> Kind:
    """The one kind of this dtype, shape and device."""
    shape = tuple(shape)
    key = (dtype.name, shape, place)
    found = _KINDS.get(key)
    if found is None:
        found = _KINDS[key] = Kind(TensorType(dtype, shape), place)
        if place is None:
            _RECENT.append(found)
    return found


def kind_of_type(type: TensorType, place: Device | None = None) -> Kind:
    """The one kind of a type of the IR on a device."""
    return kind_of(type.dtype, type.shape, place)


_DTYPES: Final[dict[Any, DType]] = {}


def kind_of_array(array: Any) -> Kind:
    """The one kind of an array, here or on a device; raises `DTypeError` for an element type that
    is not ours."""
    dtype = _DTYPES.get(array.dtype)
    if dtype is None:
        dtype = _DTYPES[array.dtype] = dtype_of(array.dtype)
    place = None if isinstance(array, np.ndarray) else array.device
    return kind_of(dtype, array.shape, place)
