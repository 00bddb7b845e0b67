"""Interned types: one `Kind` object per (dtype, shape), compared and hashed by identity on the hot
path."""

from __future__ import annotations

from typing import Any, Final
from weakref import WeakValueDictionary

import numpy as np

from intaglio.compiler.dims import Shape, Size as DimSize, product
from intaglio.compiler.dtypes import DType, dtype_of
from intaglio.compiler.types import TensorType


class Size(tuple[Any, ...]):
    """The shape of a tensor: a tuple of sizes that can also say how many elements they make."""

    __slots__ = ()

    def numel(self) -> DimSize:
        """Number of elements."""
        return product(tuple(self))

    def __repr__(self) -> str:
        return f"intaglio.Size([{', '.join(map(str, self))}])"


class Kind:
    """dtype and shape of tensors, made once: `a.kind is b.kind` means equal types."""

    __slots__ = ("__weakref__", "dtype", "floating", "numpy", "rank", "shape", "type")

    def __init__(self, type: TensorType) -> None:
        self.type, self.dtype, self.shape = type, type.dtype, Size(type.shape)
        self.numpy, self.rank = type.dtype.numpy, len(type.shape)
        self.floating = type.dtype.kind == "f"

    def __str__(self) -> str:
        return str(self.type)


_KINDS: Final[WeakValueDictionary[tuple[str, Shape], Kind]] = WeakValueDictionary()


def kind_of(dtype: DType, shape: Shape) -> Kind:
    """The one kind of this dtype and shape."""
    shape = tuple(shape)
    key = (dtype.name, shape)
    found = _KINDS.get(key)
    if found is None:
        found = _KINDS[key] = Kind(TensorType(dtype, shape))
    return found


def kind_of_type(type: TensorType) -> Kind:
    """The one kind of a type of the IR."""
    return kind_of(type.dtype, type.shape)


_DTYPES: Final[dict[Any, DType]] = {}


def kind_of_array(array: np.ndarray[Any, Any]) -> Kind:
    """The one kind of an array; raises `DTypeError` for an element type that is not ours."""
    dtype = _DTYPES.get(array.dtype)
    if dtype is None:
        dtype = _DTYPES[array.dtype] = dtype_of(array.dtype)
    return kind_of(dtype, array.shape)
