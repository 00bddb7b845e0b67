"""What the device runtime asks of a CUDA driver, and which driver this process uses.

Everything above this protocol is written once; what implements it is PyCUDA, or in tests a driver
that runs kernels on the CPU. All work goes to the device's default stream, so it happens in the
order in which it was asked for."""

from __future__ import annotations

from contextlib import AbstractContextManager
from typing import Any, Final, Protocol

from intaglio.compiler.errors import DeviceError
from intaglio.runtime.arrays import Array

Buffer = bytes | bytearray | memoryview
"""The arguments of a launch as the device reads them: one after the other, aligned."""


class OutOfMemory(Exception):
    """The device has no memory of the size that was asked for."""


class Driver(Protocol):
    """Devices by number, and what is done on the one that is current in the calling thread."""

    def count(self) -> int:
        """How many devices there are."""
        ...

    def name(self, device: int) -> str:
        """What a device calls itself."""
        ...

    def capability(self, device: int) -> tuple[int, int]:
        """Its compute capability."""
        ...

    def memory(self, device: int) -> int:
        """Bytes of its memory."""
        ...

    def compiler(self) -> str:
        """What identifies the compiler in cache keys; raises `CompileError` without one."""
        ...

    def compile(self, source: str, capability: tuple[int, int]) -> bytes:
        """The module made from CUDA text; raises `CompileError`."""
        ...

    def current(self, device: int) -> AbstractContextManager[None]:
        """Make a device current in the calling thread; it may be current already. What the driver
        refuses inside comes out as `DeviceError`."""
        ...

    def allocate(self, size: int) -> int:
        """The address of new memory, aligned to 256 bytes. Raises `OutOfMemory`."""
        ...

    def free(self, address: int) -> None:
        """Give memory back."""
        ...

    def upload(self, address: int, source: Array) -> None:
        """Copy a dense array to the device; it may be changed afterwards."""
        ...

    def download(self, target: Array, address: int) -> None:
        """Copy into a dense array once all work before is done."""
        ...

    def copy(self, target: int, source: int, size: int) -> None:
        """Copy bytes on the device."""
        ...

    def clear(self, address: int, size: int) -> None:
        """Fill memory with zero bytes."""
        ...

    def load(self, module: bytes) -> Any:
        """Make a compiled module ready."""
        ...

    def function(self, module: Any, name: str) -> Any:
        """A kernel of a module."""
        ...

    def launch(
        self, function: Any, grid: tuple[int, int], block: tuple[int, int], arguments: Buffer
    ) -> None:
        """Start a kernel."""
        ...

    def synchronize(self) -> None:
        """Wait for all work."""
        ...


REMEDY: Final = "install the driver of an NVIDIA GPU and: pip install 'intaglio[cuda]'"
_driver: list[Driver] = []


def find_driver() -> Driver:
    """The driver of this process. Raises `DeviceError` where there is none."""
    if not _driver:
        from intaglio.runtime.device.pycuda_driver import open_pycuda

        _driver.append(open_pycuda())
    return _driver[0]


def use_driver(driver: Driver | None) -> None:
    """Let this process use a driver from now on (None: look for one when it is next wanted)."""
    _driver[:] = [] if driver is None else [driver]


def is_available() -> bool:
    """Whether there is a device to run on."""
    try:
        return find_driver().count() > 0
    except DeviceError:
        return False
