"""A device: its driver, its memory, its compiled modules, and arrays to and from it."""

from __future__ import annotations

import functools
import math
import os
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any, Final, TypeVar

import numpy as np

from intaglio.compiler.errors import DeviceError
from intaglio.runtime.arrays import Array, is_dense
from intaglio.runtime.device.array import DeviceArray
from intaglio.runtime.device.cubins import compiled_module
from intaglio.runtime.device.driver import REMEDY, Driver, find_driver
from intaglio.runtime.device.memory import MemoryStatistics, Pool

T = TypeVar("T")

_devices: Final[dict[tuple[int, int], Device]] = {}  # a device keeps its driver, so ids last
_opening: Final = threading.Lock()


class Device:
    """One device of this process. `kept` holds what belongs to it and is made once."""

    def __init__(self, driver: Driver, number: int) -> None:
        self.driver, self.number, self.name = driver, number, f"cuda:{number}"
        self.capability = driver.capability(number)
        self.memory_bytes = driver.memory(number)
        self.pool = Pool(driver)
        self._lock = threading.RLock()
        self._modules: dict[str, Any] = {}
        self._kept: dict[Any, Any] = {}

    def __repr__(self) -> str:
        return f"{self.name} ({self.driver.name(self.number)})"

    @contextmanager
    def working(self) -> Iterator[None]:
        """Have the device to oneself, current in this thread."""
        with self._lock, self.driver.current(self.number):
            yield

    def kept(self, key: Any, make: Callable[[], T]) -> T:
        """What `make` made for this key the first time."""
        found = self._kept.get(key)
        if found is None:
            with self._lock:
                found = self._kept.get(key)
                if found is None:
                    found = self._kept[key] = make()
        made: T = found
        return made

    # -------------------------------------------------------------------------------------- arrays

    def empty(self, shape: Sequence[int], dtype: np.dtype[Any]) -> DeviceArray:
        """A new array with anything in it."""
        shape = tuple(shape)
        with self.working():
            block = self.pool.allocate(math.prod(shape) * dtype.itemsize)
        return DeviceArray(self, block, block.address, dtype, shape)

    def upload(self, array: Array) -> DeviceArray:
        """A copy of an ndarray. What is repeated in memory (strides of 0) is copied once."""
        stored = array
        for axis, (size, stride) in enumerate(zip(array.shape, array.strides, strict=True)):
            if stride == 0 and size > 1:
                stored = stored.take([0], axis)
        dense = stored if is_dense(stored) else np.array(stored, order="C", copy=True)
        made = self.empty(dense.shape, dense.dtype)
        with self.working():
            if dense.size:
                self.driver.upload(made.address, dense)
        if stored is array:
            return made
        strides = tuple(
            0 if n > 1 and s == 0 else m
            for n, s, m in zip(array.shape, array.strides, made.strides, strict=True)
        )
        return made.look(array.shape, strides, 0)

    def download(self, array: DeviceArray) -> Array:
        """A copy of a device array as an ndarray."""
        self._own(array)
        source = array if array.is_dense else array.copy()
        made = np.empty(source.shape, source.dtype)
        if made.size:
            with self.working():
                self.driver.download(made, source.address)
        return made

    def copy(self, target: DeviceArray, source: DeviceArray) -> None:
        """Copy the elements of one array into another of its shape and dtype."""
        self._own(target)
        self._own(source)
        if not target.size:
            return
        with self.working():
            if target.is_dense and source.is_dense:
                self.driver.copy(target.address, source.address, target.nbytes)
                return
            if _meet(target, source):
                source = source.copy()
            from intaglio.runtime.device.copying import copy_strided

            copy_strided(self, target, source)

    def _own(self, array: DeviceArray) -> None:
        if array.device is not self:
            raise DeviceError(f"the array lies on {array.device.name}, and not on {self.name}")

    # ----------------------------------------------------------------------------------- functions

    def functions(self, sources: Sequence[str], names: Sequence[str]) -> dict[str, Any]:
        """The kernels of these names in CUDA texts, which are compiled side by side where they are
        not in the build cache."""
        homes = {name: s for s in sources for name in names if f"\n{name}(" in s}
        fresh = [s for s in dict.fromkeys(homes.values()) if s not in self._modules]
        if fresh:
            make = functools.partial(compiled_module, self.driver, capability=self.capability)
            with ThreadPoolExecutor(min(len(fresh), len(os.sched_getaffinity(0)))) as workers:
                binaries = dict(zip(fresh, workers.map(make, fresh), strict=True))
            with self.working():
                for source, binary in binaries.items():
                    if source not in self._modules:
                        self._modules[source] = self.driver.load(binary)
        with self.working():
            return {
                name: self.driver.function(self._modules[source], name)
                for name, source in homes.items()
            }

    def synchronize(self) -> None:
        """Wait for all work on the device."""
        with self.working():
            self.driver.synchronize()

    def empty_cache(self) -> None:
        """Give memory that is not in use back to the driver."""
        with self.working():
            self.pool.release()

    def statistics(self) -> MemoryStatistics:
        """How much memory is in use."""
        return self.pool.statistics()


def _meet(target: DeviceArray, source: DeviceArray) -> bool:
    """Whether two arrays may share a byte."""
    (a, b), (c, d) = target.span, source.span
    return a < d and c < b


def find_device(name: str) -> Device:
    """The device of a name, `cuda` or `cuda:1`. Raises `DeviceError` where there is none."""
    kind, _, number = str(name).partition(":")
    if kind != "cuda" or (number and not number.isdecimal()):
        raise DeviceError(f"there is no device {name!r}: write 'cpu', 'cuda' or 'cuda:1'")
    driver, place = find_driver(), int(number or 0)
    with _opening:
        found = _devices.get((id(driver), place))
        if found is None:
            count = driver.count()
            if place >= count:
                has = f"this machine has {count}" if count else f"this machine has none; {REMEDY}"
                raise DeviceError(f"there is no device 'cuda:{place}': {has}")
            found = _devices[id(driver), place] = Device(driver, place)
        return found
