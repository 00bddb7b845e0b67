"""The driver of real devices: PyCUDA, imported when a device is first asked for.

Each device's primary context is retained, which other libraries of the process share, and is pushed
only while something is done with it: PyCUDA ends the process when a thread ends, or the interpreter
does, with a context still on the thread's stack. All work goes to the default stream."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np

from intaglio.compiler.errors import DeviceError
from intaglio.runtime.arrays import Array
from intaglio.runtime.device.driver import REMEDY, Buffer, OutOfMemory
from intaglio.runtime.device.nvrtc import find_compiler


def open_pycuda() -> PyCuda:
    """The driver through PyCUDA. Raises `DeviceError` when it, the driver or a device is not
    there."""
    try:
        import pycuda  # noqa: F401  # alone it needs no driver: tells which of the two is missing
    except ImportError:
        raise DeviceError(f"CUDA needs PyCUDA, which is not installed: {REMEDY}") from None
    try:
        import pycuda.driver as cuda

        cuda.init()
        count = cuda.Device.count()
    except ImportError as error:
        raise DeviceError(f"CUDA's driver is not here ({error}): {REMEDY}") from None
    except cuda.Error as error:
        raise DeviceError(f"CUDA's driver does not start ({error}): {REMEDY}") from None
    if not count:
        raise DeviceError(f"this machine has no GPU that CUDA can use: {REMEDY}")
    return PyCuda(cuda)


class PyCuda:
    """CUDA's driver; `cuda` is the module `pycuda.driver`, initialised."""

    def __init__(self, cuda: Any) -> None:
        self._cuda = cuda
        self._devices = [cuda.Device(k) for k in range(cuda.Device.count())]
        self._contexts: dict[int, Any] = {}
        self._blocks: dict[int, Any] = {}
        self._retaining = threading.Lock()
        self._thread = threading.local()
        self._process = os.getpid()

    def count(self) -> int:
        """How many devices there are."""
        return len(self._devices)

    def name(self, device: int) -> str:
        """What a device calls itself."""
        return str(self._devices[device].name())

    def capability(self, device: int) -> tuple[int, int]:
        """Its compute capability."""
        major, minor = self._devices[device].compute_capability()
        return int(major), int(minor)

    def memory(self, device: int) -> int:
        """Bytes of its memory."""
        return int(self._devices[device].total_memory())

    def compiler(self) -> str:
        """What identifies the compiler."""
        return find_compiler().fingerprint

    def compile(self, source: str, capability: tuple[int, int]) -> bytes:
        """The module made from CUDA text."""
        return find_compiler().compile(source, capability)

    @contextmanager
    def current(self, device: int) -> Iterator[None]:
        """Make a device current in the calling thread."""
        before = getattr(self._thread, "device", None)
        if before == device:
            yield
            return
        if os.getpid() != self._process:
            raise DeviceError(
                "CUDA was started by the parent of this forked process and can't be used here; "
                "start processes with multiprocessing's 'spawn'"
            )
        self._context(device).push()
        self._thread.device = device
        try:
            yield
        except self._cuda.Error as error:
            raise DeviceError(f"cuda:{device} failed: {error}") from None
        finally:
            self._thread.device = before
            self._cuda.Context.pop()

    def _context(self, device: int) -> Any:
        with self._retaining:
            found = self._contexts.get(device)
            if found is None:
                try:
                    found = self._devices[device].retain_primary_context()
                except self._cuda.Error as error:
                    raise DeviceError(f"cuda:{device} can't be used: {error}") from None
                self._contexts[device] = found
            return found

    def allocate(self, size: int) -> int:
        """The address of new memory."""
        try:
            block = self._cuda.mem_alloc(size)
        except self._cuda.MemoryError:
            raise OutOfMemory from None
        address = int(block)
        self._blocks[address] = block
        return address

    def free(self, address: int) -> None:
        """Give memory back."""
        self._blocks.pop(address).free()

    def upload(self, address: int, source: Array) -> None:
        """Copy a dense array to the device."""
        self._cuda.memcpy_htod(address, _bytes(source))

    def download(self, target: Array, address: int) -> None:
        """Copy into a dense array once all work before is done."""
        self._cuda.memcpy_dtoh(_bytes(target), address)

    def copy(self, target: int, source: int, size: int) -> None:
        """Copy bytes on the device."""
        self._cuda.memcpy_dtod(target, source, size)

    def clear(self, address: int, size: int) -> None:
        """Fill memory with zero bytes."""
        self._cuda.memset_d8(address, 0, size)

    def load(self, module: bytes) -> Any:
        """Make a compiled module ready."""
        return self._cuda.module_from_buffer(module)

    def function(self, module: Any, name: str) -> Any:
        """A kernel of a module."""
        return module.get_function(name)

    def launch(
        self, function: Any, grid: tuple[int, int], block: tuple[int, int], arguments: Buffer
    ) -> None:
        """Start a kernel."""
        # What `prepared_call` does, without packing arguments that are packed already.
        function._launch_kernel(grid, (*block, 1), arguments, 0, None)

    def synchronize(self) -> None:
        """Wait for all work."""
        self._cuda.Context.synchronize()


def _bytes(array: Array) -> Array:
    """The bytes of a dense array: not every element type can be handed over as it is."""
    return array.reshape(-1).view(np.uint8)
