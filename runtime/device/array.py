"""Arrays in device memory: a block, the place of the first element in it, shape and strides.

Several arrays may look at one block. Arrays that came from elsewhere hold their owner instead of a
block of ours."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Final, NoReturn

import numpy as np

from intaglio.compiler.errors import DeviceError
from intaglio.runtime.arrays import Array

if TYPE_CHECKING:
    from intaglio.runtime.device.device import Device


CUDA: Final = 2
"""DLPack's number for CUDA."""


class DeviceArray:
    """Elements of one dtype on a device. `shape`, `dtype`, `strides` (in bytes), `size` and
    `nbytes` are those of NumPy; `to_host()` copies the elements into an ndarray. Other libraries
    take it through DLPack or `__cuda_array_interface__`, without a copy."""

    __slots__ = ("__weakref__", "address", "device", "dtype", "is_dense", "owner", "shape",
                 "strides", "writable")  # fmt: skip

    def __init__(
        self,
        device: Device,
        owner: object,
        address: int,
        dtype: np.dtype[Any],
        shape: tuple[int, ...],
        strides: tuple[int, ...] | None = None,
        writable: bool = True,
    ) -> None:
        ideal = dense_strides(shape, dtype.itemsize)
        self.device, self.owner, self.address = device, owner, address
        self.dtype, self.shape, self.writable = dtype, shape, writable
        self.strides = ideal if strides is None else strides
        self.is_dense = strides is None or all(
            n == 1 or a == b for n, a, b in zip(shape, strides, ideal, strict=True)
        )
        """Whether the elements lie in row-major order without gaps."""

    @property
    def ndim(self) -> int:
        """Number of dimensions."""
        return len(self.shape)

    @property
    def size(self) -> int:
        """Number of elements."""
        return math.prod(self.shape)

    @property
    def itemsize(self) -> int:
        """Bytes of an element."""
        return self.dtype.itemsize

    @property
    def nbytes(self) -> int:
        """Bytes of all elements."""
        return self.size * self.dtype.itemsize

    @property
    def repeats(self) -> bool:
        """Whether several elements lie in one place."""
        return any(s == 0 and n > 1 for n, s in zip(self.shape, self.strides, strict=True))

    @property
    def span(self) -> tuple[int, int]:
        """The first address that the elements touch, and the one behind the last."""
        if not self.size:
            return self.address, self.address
        moves = [(n - 1) * s for n, s in zip(self.shape, self.strides, strict=True)]
        low = self.address + sum(m for m in moves if m < 0)
        return low, self.address + sum(m for m in moves if m > 0) + self.itemsize

    def look(
        self, shape: tuple[int, ...], strides: tuple[int, ...] | None, offset: int
    ) -> DeviceArray:
        """Other elements of the same memory; strides (None: dense) and offset in bytes."""
        return DeviceArray(
            self.device, self.owner, self.address + offset, self.dtype, shape, strides,
            self.writable,
        )  # fmt: skip

    def reshape(self, *shape: Any) -> DeviceArray:
        """The elements in another shape, given as a tuple or one by one; without a copy where
        strides allow."""
        first = shape[0] if len(shape) == 1 else shape
        wanted: tuple[int, ...] = (first,) if isinstance(first, int) else tuple(first)
        if -1 in wanted:
            rest = -math.prod(wanted)
            wanted = tuple(self.size // rest if n == -1 else n for n in wanted)
        strides = reshaped_strides(self.shape, self.strides, wanted, self.itemsize)
        if strides is None:
            return self.copy().reshape(wanted)
        return self.look(wanted, strides, 0)

    def copy(self) -> DeviceArray:
        """The elements in memory of their own, densely."""
        made = self.device.empty(self.shape, self.dtype)
        self.device.copy(made, self)
        return made

    def to_host(self) -> Array:
        """The elements as an ndarray, once all work before is done."""
        return self.device.download(self)

    def item(self) -> Any:
        """The only element as a Python number."""
        return self.to_host().item()

    def tolist(self) -> Any:
        """The elements as nested Python lists."""
        return self.to_host().tolist()

    def __float__(self) -> float:
        return float(self.item())

    def __int__(self) -> int:
        return int(self.item())

    def __bool__(self) -> bool:
        return bool(self.item())

    def __len__(self) -> int:
        if not self.shape:
            raise TypeError("an array without dimensions has no length")
        return self.shape[0]

    def __repr__(self) -> str:
        return f"{self.to_host()!r} on {self.device.name}"

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> NoReturn:
        raise DeviceError(
            f"the array lies on {self.device.name}, and NumPy reads the CPU's memory: copy it with"
            " .to_host()"
        )

    @property
    def __cuda_array_interface__(self) -> dict[str, Any]:
        if self.dtype.kind == "V":
            raise AttributeError("__cuda_array_interface__ has no name for bfloat16; use DLPack")
        return {
            "shape": self.shape,
            "typestr": self.dtype.str,
            "data": (self.address if self.size else 0, not self.writable),
            "version": 3,
            "strides": None if self.is_dense else self.strides,
            "stream": 1,  # the default stream, which all work goes to
        }

    def __dlpack__(self, *, stream: Any = None, **keywords: Any) -> Any:
        from intaglio.runtime.device.dlpack import export

        if stream not in (None, 1, -1):  # another stream may run ahead of ours
            self.device.synchronize()
        return export(self)

    def __dlpack_device__(self) -> tuple[int, int]:
        return (CUDA, self.device.number)


def dense_strides(shape: Sequence[int], itemsize: int) -> tuple[int, ...]:
    """Row-major strides in bytes."""
    made, step = [], itemsize
    for size in reversed(shape):
        made.append(step)
        step *= size
    return tuple(reversed(made))


def reshaped_strides(
    shape: Sequence[int], strides: Sequence[int], target: Sequence[int], itemsize: int
) -> tuple[int, ...] | None:
    """The strides of the same elements in another shape; None where it takes a copy.

    Dims of size 1 aside, each group of dims that has as many elements before as after must lie
    evenly in memory."""
    if 0 in shape:
        return dense_strides(target, itemsize)
    old = [(n, s) for n, s in zip(shape, strides, strict=True) if n != 1]
    made = [itemsize] * len(target)
    end = len(old)
    k = len(target)
    while end > 0:
        size, step = old[end - 1]
        begin = end - 1
        first = k
        count = 1
        while count != size:  # grow whichever side has fewer elements
            if count < size:
                first -= 1
                count *= target[first]
            else:
                begin -= 1
                if old[begin][1] != old[begin + 1][1] * old[begin + 1][0]:
                    return None
                size *= old[begin][0]
        for place in range(k - 1, first - 1, -1):
            made[place] = step
            step *= target[place]
        end, k = begin, first
    return tuple(made)
