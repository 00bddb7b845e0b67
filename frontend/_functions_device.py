"""Moving tensors between devices: copies, through which derivatives flow back."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from intaglio._apply import refresh
from intaglio._core import Tensor, counter_of, wrap
from intaglio._kind import kind_of
from intaglio._modes import modes
from intaglio._places import is_data, moved, place_named
from intaglio._scope import spot
from intaglio._tape import Entry

if TYPE_CHECKING:
    from intaglio.runtime.device.device import Device


class MoveEntry(Entry):
    """A copy to another device on the tape: its derivative is copied back."""

    __slots__ = ("origin",)
    op = "to_device"
    origin: Device | None

    def pull(self, dys: list[Tensor | None]) -> Sequence[Tensor | None]:
        """The derivative where the operand lies."""
        return [None if dy is None else on_place(dy, self.origin) for dy in dys]


def on_place(tensor: Tensor, place: Device | None) -> Tensor:
    """The tensor on a device (None: the CPU); itself when it lies there. In a trace it is the same
    value: a function runs on one device as a whole."""
    if tensor._kind.place is place:
        return tensor
    if tensor._view is not None and tensor._seen != counter_of(tensor)[0]:
        refresh(tensor)
    kind = kind_of(tensor.dtype, tensor.shape, place)
    data = tensor._data if modes.trace is None else modes.trace.read(tensor)
    made = wrap(moved(data, place) if is_data(data) else data, kind)
    if tensor.requires_grad and modes.grad:
        entry = MoveEntry((tensor,), (made,), spot())
        entry.origin = tensor._kind.place
    return made


def on_device(tensor: Tensor, device: Any) -> Tensor:
    """A fresh tensor where a `device=` argument wants it (None: where it is)."""
    return tensor if device is None else on_place(tensor, place_named(device))


def cpu(input: Tensor, memory_format: Any = None) -> Tensor:
    """The tensor in the CPU's memory; itself when it lies there."""
    return on_place(input, None)


def cuda(input: Tensor, device: Any = None, non_blocking: bool = False) -> Tensor:
    """The tensor on a CUDA device (`"cuda:1"`, a number; the first one by default); itself when it
    lies there. Raises `DeviceError` where there is none."""
    name = f"cuda:{device}" if isinstance(device, int) else device or "cuda"
    return on_place(input, place_named(name))
