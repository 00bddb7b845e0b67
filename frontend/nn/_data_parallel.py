"""`DataParallel`, for code that wraps its model in it: one device runs the whole batch."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from intaglio.nn._module import Module


class DataParallel(Module):
    """Calls `module`, which is the child of that name, with the whole batch on the device where it
    is: the same values as a batch split over `device_ids`, which has no effect here, like
    `output_device` and `dim`."""

    def __init__(
        self,
        module: Module,
        device_ids: Sequence[Any] | None = None,
        output_device: Any = None,
        dim: int = 0,
    ) -> None:
        super().__init__()
        self.module, self.dim = module, dim
        self.device_ids = [] if device_ids is None else list(device_ids)
        self.output_device = output_device

    def forward(self, *inputs: Any, **kwargs: Any) -> Any:
        """The result of the module."""
        return self.module(*inputs, **kwargs)
