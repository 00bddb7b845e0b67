"""What a call on a device is given: arrays that lie there are taken as they are, everything else as
for a call on the CPU, to be uploaded."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from intaglio.compiler.dims import Constraint
from intaglio.compiler.dtypes import dtype_of
from intaglio.compiler.errors import DeviceError, DTypeError, ShapeError
from intaglio.compiler.types import TensorType
from intaglio.runtime.arrays import Array, as_operand
from intaglio.runtime.device.array import CUDA, DeviceArray
from intaglio.runtime.device.device import Device
from intaglio.runtime.signature import Signature


class DeviceSignature(Signature):
    """What a graph on a device asks of the arrays of a call."""

    def __init__(
        self,
        device: Device,
        types: Sequence[TensorType],
        names: Sequence[str],
        constraints: Sequence[Constraint] = (),
        label: str = "",
    ) -> None:
        super().__init__(types, names, constraints, label)
        self._device = device

    def admit(self, values: Sequence[object]) -> list[Array]:
        """The values as dense arrays of the right dtypes, on the device or not."""
        found: list[Any] = [self._device_array(v, k) for k, v in enumerate(values)]
        if len(found) == len(self.types):
            host = [k for k, array in enumerate(found) if array is None]
            for k in host:
                found[k] = as_operand(values[k], self.types[k], self.place(k))
            return found
        return super().admit(values)  # which says how many are wanted

    def _device_array(self, value: object, number: int) -> DeviceArray | None:
        """The value as a dense array on the device; None for one that lies elsewhere."""
        array = value if isinstance(value, DeviceArray) else adopted(self._device, value)
        if array is None or number >= len(self.types):
            return array
        name, type = self.place(number), self.types[number]
        if array.device is not self._device:
            raise DeviceError(
                f"{name} lies on {array.device.name}, and {self._device.name} is wanted: copy it"
            )
        shape = ",".join(map(str, array.shape))
        shown = f"{name} is {dtype_of(array.dtype)}[{shape}], and {type} is wanted"
        if array.dtype != type.dtype.numpy:
            raise DTypeError(f"{shown}; values are never cast silently: convert it first")
        if array.ndim != type.rank:
            raise ShapeError(shown)
        return array if array.is_dense else array.copy()


def adopted(device: Device, value: object) -> DeviceArray | None:
    """Another library's array on the device, without a copy; None where it is none."""
    if value.__class__ is np.ndarray or not hasattr(value, "__dlpack_device__"):
        return None
    kind, number = value.__dlpack_device__()
    if int(kind) != CUDA:
        return None
    if number != device.number:
        raise DeviceError(f"an array lies on cuda:{number}, and {device.name} is wanted: copy it")
    from intaglio.runtime.device.dlpack import adopt

    return adopt(device, value)
