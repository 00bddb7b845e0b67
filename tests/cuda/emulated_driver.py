"""A driver for the device runtime that runs kernels on the CPU: device memory is host memory that
starts as NaN between guards, modules are the CUDA text compiled with emulation.h."""

from __future__ import annotations

import ctypes
import re
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from intaglio.runtime.device.driver import Buffer, OutOfMemory
from tests.cuda.emulator import COMPILER, HERE, EmulationError, compile_unit

Array = np.ndarray[Any, Any]
KERNELS = re.compile(r"__global__ void __launch_bounds__\(\d+\)\s*(\w+)\(")
GUARD, FILLED = 256, 0xFF
PACKED = """
// Starts a kernel from arguments that lie behind each other, each aligned as its type wants.
template <class... A>
static const char *start_packed(void (*function)(A...), const int *shape, int reversed,
                                char *packed) {
  const size_t sizes[] = {sizeof(A)...}, steps[] = {alignof(A)...};
  void *arguments[sizeof...(A)];
  size_t place = 0;
  for (size_t k = 0; k < sizeof...(A); k++) {
    place = (place + steps[k] - 1) / steps[k] * steps[k];
    arguments[k] = packed + place;
    place += sizes[k];
  }
  return emulation::start(function, shape, reversed, arguments);
}
"""


class EmulatedDriver:
    """Devices that are this process's memory. `reverse` lets lanes and warps run in reverse;
    `launches` counts kernels, `uploads` and `downloads` what crossed the border."""

    def __init__(self, devices: int = 1, memory: int = 1 << 30) -> None:
        self._devices, self._memory = devices, memory
        self._blocks: dict[int, Array] = {}
        self._state = threading.local()
        self.folder = Path(tempfile.mkdtemp(prefix="emulated"))
        self.reverse = False
        self.launches = self.uploads = self.downloads = self.modules = 0

    def count(self) -> int:
        return self._devices

    def name(self, device: int) -> str:
        return "a GPU emulated on the CPU"

    def capability(self, device: int) -> tuple[int, int]:
        return 9, 0

    def memory(self, device: int) -> int:
        return self._memory

    def compiler(self) -> str:
        return "emulation " + (HERE / "emulation.h").read_text() + PACKED

    def compile(self, source: str, capability: tuple[int, int]) -> bytes:
        assert COMPILER, "the emulation needs g++"
        starters = "\n".join(
            f'extern "C" const char *start_{name}(const int *shape, int reversed, char *packed) '
            f"{{ return start_packed({name}, shape, reversed, packed); }}"
            for name in KERNELS.findall(source)
        )
        with tempfile.TemporaryDirectory() as folder:
            made = compile_unit(f"{PACKED}\n{source}\n{starters}", Path(folder))
            return made.read_bytes()

    @contextmanager
    def current(self, device: int) -> Iterator[None]:
        before = getattr(self._state, "device", None)
        self._state.device = device
        try:
            yield
        finally:
            self._state.device = before

    def _check_current(self) -> None:
        assert getattr(self._state, "device", None) is not None, "no device is current"

    def held(self) -> int:
        """Bytes taken from this driver."""
        return sum(b.nbytes - 3 * GUARD for b in self._blocks.values())

    def allocate(self, size: int) -> int:
        self._check_current()
        if self.held() + size > self._memory:
            raise OutOfMemory
        raw = np.full(size + 3 * GUARD, FILLED, np.uint8)
        address = (raw.ctypes.data + GUARD + 255) // 256 * 256
        self._blocks[address] = raw
        return address

    def free(self, address: int) -> None:
        self._check_current()
        self.check_guards(address)
        del self._blocks[address]

    def check_guards(self, *addresses: int) -> None:
        """See that nothing was written beside the blocks."""
        for address in addresses or tuple(self._blocks):
            raw = self._blocks[address]
            first = address - raw.ctypes.data
            last = first + raw.nbytes - 3 * GUARD
            assert (raw[:first] == FILLED).all() and (raw[last:] == FILLED).all(), "written beside"

    def _inside(self, address: int, size: int) -> None:
        """See that bytes lie in one block."""
        self._check_current()
        assert any(
            start <= address and address + size <= start + raw.nbytes - 3 * GUARD
            for start, raw in self._blocks.items()
        ), f"{size} bytes at {address:#x} are in no block"

    def upload(self, address: int, source: Array) -> None:
        self._inside(address, source.nbytes)
        self.uploads += 1
        ctypes.memmove(address, source.ctypes.data, source.nbytes)

    def download(self, target: Array, address: int) -> None:
        self._inside(address, target.nbytes)
        self.downloads += 1
        ctypes.memmove(target.ctypes.data, address, target.nbytes)

    def copy(self, target: int, source: int, size: int) -> None:
        self._inside(target, size)
        ctypes.memmove(target, source, size)

    def clear(self, address: int, size: int) -> None:
        self._inside(address, size)
        ctypes.memset(address, 0, size)

    def load(self, module: bytes) -> Any:
        self._check_current()
        self.modules += 1
        path = self.folder / f"{self.modules}.so"
        path.write_bytes(module)
        return ctypes.CDLL(str(path))

    def function(self, module: Any, name: str) -> Any:
        found = module[f"start_{name}"]
        found.restype = ctypes.c_char_p
        return name, found

    def launch(
        self, function: Any, grid: tuple[int, int], block: tuple[int, int], arguments: Buffer
    ) -> None:
        self._check_current()
        name, start = function
        self.launches += 1
        shape = (ctypes.c_int * 4)(*grid, *block)
        packed = ctypes.create_string_buffer(bytes(arguments), len(arguments))
        problem = start(shape, int(self.reverse), packed)
        if problem is not None:
            raise EmulationError(f"{name}: {problem.decode()}")

    def synchronize(self) -> None:
        self._check_current()
