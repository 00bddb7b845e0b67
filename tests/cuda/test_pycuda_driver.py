"""The driver through PyCUDA, over a stand-in for the module `pycuda.driver` that keeps its rules:
one stack of contexts per thread, calls only with a context, arguments as a packed buffer. Where
PyCUDA itself is installed the stand-in's names are compared with it."""

from __future__ import annotations

import os
import threading
from typing import Any

import numpy as np
import pytest

from intaglio.compiler.errors import DeviceError, MemoryError
from intaglio.runtime.device import pycuda_driver
from intaglio.runtime.device.device import Device
from intaglio.runtime.device.pycuda_driver import PyCuda
from intaglio.runtime.executor import Executable
from tests.cuda.emulated_driver import EmulatedDriver
from tests.cuda.programs import f32, of, softmax


class FakeCuda:
    """`pycuda.driver` over the emulation. Context stacks are per thread, as PyCUDA's are."""

    class Error(Exception):
        pass

    class MemoryError(Error):
        pass

    def __init__(self, memory: int = 1 << 24) -> None:
        self.inner = EmulatedDriver(memory=memory)
        self.local = threading.local()
        fake = self

        class Context:
            def push(self) -> None:
                fake.stack().append(self)

            @staticmethod
            def pop() -> None:
                fake.stack().pop()

            @staticmethod
            def synchronize() -> None:
                fake.check()

        class DeviceClass:
            def __init__(self, number: int) -> None:
                assert number == 0

            @staticmethod
            def count() -> int:
                return 1

            def name(self) -> str:
                return "stand-in"

            def compute_capability(self) -> tuple[int, int]:
                return (9, 0)

            def total_memory(self) -> int:
                return memory

            def retain_primary_context(self) -> Context:
                return Context()

        self.Context, self.Device = Context, DeviceClass

    def stack(self) -> list[Any]:
        if not hasattr(self.local, "stack"):
            self.local.stack = []
        found: list[Any] = self.local.stack
        return found

    def check(self) -> None:
        if not self.stack():
            raise self.Error("invalid device context")

    def run(self, name: str, *arguments: Any) -> Any:
        self.check()
        with self.inner.current(0):
            return getattr(self.inner, name)(*arguments)

    def mem_alloc(self, size: int) -> Any:
        fake = self
        try:
            address = self.run("allocate", size)
        except Exception as error:
            raise self.MemoryError("out of memory") from error

        class DeviceAllocation:
            def __int__(self) -> int:
                return int(address)

            def free(self) -> None:
                fake.run("free", address)

        return DeviceAllocation()

    def memcpy_htod(self, dest: int, src: Any) -> None:
        self.run("upload", dest, np.frombuffer(memoryview(src), np.uint8))

    def memcpy_dtoh(self, dest: Any, src: int) -> None:
        self.run("download", np.frombuffer(memoryview(dest), np.uint8), src)

    def memcpy_dtod(self, dest: int, src: int, size: int) -> None:
        self.run("copy", dest, src, size)

    def memset_d8(self, dest: int, data: int, size: int) -> None:
        assert data == 0
        self.run("clear", dest, size)

    def module_from_buffer(self, buffer: Any) -> Any:
        fake, module = self, self.run("load", bytes(buffer))

        class Function:
            def __init__(self, name: str) -> None:
                self.handle = fake.run("function", module, name)

            def _launch_kernel(
                self, grid: Any, block: Any, buffer: Any, shared: int, stream: Any
            ) -> None:
                assert len(block) == 3 and block[2] == 1 and shared == 0 and stream is None
                assert len(memoryview(buffer)) == memoryview(buffer).nbytes
                fake.run("launch", self.handle, grid, block[:2], buffer)

        class Module:
            def get_function(self, name: str) -> Function:
                return Function(name)

        return Module()


class Compiler:
    """The emulation's compiler in place of NVRTC."""

    fingerprint = EmulatedDriver().compiler()

    def compile(self, source: str, capability: tuple[int, int]) -> bytes:
        return EmulatedDriver().compile(source, capability)


@pytest.fixture
def cuda(monkeypatch: pytest.MonkeyPatch) -> FakeCuda:
    monkeypatch.setattr(pycuda_driver, "find_compiler", Compiler)
    return FakeCuda()


def test_a_function_runs_and_no_context_stays(cuda: FakeCuda) -> None:
    device = Device(PyCuda(cuda), 0)
    graph = of([f32(9, 10)], softmax)
    x = np.linspace(-1, 1, 90, dtype=np.float32).reshape(9, 10)
    (expected,) = Executable(graph)([x])
    kernel = Executable(graph, device=device)
    found: Any = kernel([x])[0]
    assert found.to_host().tobytes() == expected.tobytes() and not cuda.stack()
    turned = found.look((10, 9), (4, 40), 0).copy()
    assert (turned.to_host() == expected.T).all() and not cuda.stack()
    seen: list[Any] = []

    def work() -> None:
        made: Any = kernel([x])[0]
        seen.extend([made.to_host().tobytes() == expected.tobytes(), list(cuda.stack())])

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert seen == [True, []], "another thread pushes the context too, and pops it"
    del found, turned
    device.empty_cache()
    assert cuda.inner.held() == device.statistics().reserved < 1 << 16


def test_what_the_driver_refuses_is_a_device_error(cuda: FakeCuda) -> None:
    device = Device(PyCuda(cuda), 0)
    with pytest.raises(MemoryError, match=r"32 MiB of device memory are wanted"):
        device.empty((1 << 23,), np.dtype(np.float32))

    def fail(*_: Any) -> None:
        raise cuda.Error("an illegal memory access was encountered")

    cuda.memcpy_dtoh = fail  # type: ignore[method-assign]
    with pytest.raises(DeviceError, match="cuda:0 failed: an illegal memory access"):
        device.upload(np.ones(3)).to_host()
    assert not cuda.stack()


def test_a_forked_child_is_told_to_spawn(cuda: FakeCuda, monkeypatch: pytest.MonkeyPatch) -> None:
    device = Device(PyCuda(cuda), 0)
    device.upload(np.ones(3))
    monkeypatch.setattr(os, "getpid", lambda: -1)
    with pytest.raises(DeviceError, match="forked process .* 'spawn'"):
        device.upload(np.ones(3))


def test_the_stand_in_has_the_names_of_pycuda(cuda: FakeCuda) -> None:
    real = pytest.importorskip("pycuda.driver", reason="PyCUDA, or CUDA's driver, is not here")
    names = [n for n in vars(FakeCuda) if n.startswith(("mem", "module"))]
    assert all(hasattr(real, n) for n in [*names, "Error", "MemoryError"])
    for mine, theirs in ((cuda.Context, real.Context), (cuda.Device, real.Device)):
        assert all(hasattr(theirs, n) for n in vars(mine) if not n.startswith("_"))
    assert hasattr(real.Function, "_launch_kernel") and hasattr(real.Module, "get_function")
