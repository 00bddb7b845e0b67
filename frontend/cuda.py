"""CUDA devices: whether there are any, what they are, and their memory. Names as in torch."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

from intaglio import _cuda_amp as amp
from intaglio.compiler.errors import DeviceError
from intaglio.runtime.device.driver import find_driver, is_available as is_available

if TYPE_CHECKING:
    from intaglio.runtime.device.device import Device


sys.modules[f"{__name__}.amp"] = amp  # for `from intaglio.cuda.amp import autocast`


def device_count() -> int:
    """How many devices there are; 0 without a driver."""
    try:
        return find_driver().count()
    except DeviceError:
        return 0


def _device(device: Any = None) -> Device:
    from intaglio.runtime.device.device import find_device

    return find_device(f"cuda:{device}" if isinstance(device, int) else device or "cuda")


def get_device_name(device: Any = None) -> str:
    """What a device calls itself."""
    found = _device(device)
    return found.driver.name(found.number)


def get_device_capability(device: Any = None) -> tuple[int, int]:
    """A device's compute capability."""
    return _device(device).capability


def synchronize(device: Any = None) -> None:
    """Wait for all work on a device."""
    _device(device).synchronize()


def manual_seed(seed: int) -> None:
    """Nothing: every device draws from one stream of random numbers, that of
    `intaglio.manual_seed`."""


manual_seed_all = manual_seed


def memory_allocated(device: Any = None) -> int:
    """Bytes of a device's memory that tensors and running functions hold."""
    return _device(device).statistics().allocated


def max_memory_allocated(device: Any = None) -> int:
    """The most bytes that were held at one time."""
    return _device(device).statistics().peak


def memory_reserved(device: Any = None) -> int:
    """Bytes taken from the driver, in use or kept to be used again."""
    return _device(device).statistics().reserved


def set_memory_limit(size: int | str | None, device: Any = None) -> None:
    """Bound what is taken from the driver (`"4GiB"`); None: no bound but the device's memory."""
    from intaglio.runtime.settings import parse_bytes

    _device(device).pool.limit = None if size is None else parse_bytes(size)


def empty_cache(device: Any = None) -> None:
    """Give memory that is not in use back to the driver, if there is one."""
    if device_count():
        _device(device).empty_cache()
