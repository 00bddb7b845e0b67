"""Device memory: blocks that are kept when they are given back and handed out again.

Sizes are rounded up to classes, four to a doubling, so that blocks are found again. A block that
is given back may still be read by work under way; since all work of a device happens in one order,
whoever gets the block next writes it only after that. Blocks may be given back by any thread at any
moment (by the garbage collector), so that only notes them; they are sorted when one is next
wanted."""

from __future__ import annotations

import threading
from collections import deque
from dataclasses import dataclass
from typing import Final

from intaglio.compiler.errors import MemoryError
from intaglio.runtime.device.driver import Driver, OutOfMemory
from intaglio.runtime.settings import show_bytes

SMALLEST: Final = 512
"""Bytes of the smallest block."""


def size_class(size: int) -> int:
    """The size of the block that serves a request: at most a quarter more than was asked for."""
    if size <= SMALLEST:
        return SMALLEST
    unit = 1 << max((size - 1).bit_length() - 3, 7)
    return -(-size // unit) * unit


class Block:
    """A piece of device memory. It goes back to its pool when nobody holds it any more."""

    __slots__ = ("_pool", "address", "size")

    def __init__(self, pool: Pool, address: int, size: int) -> None:
        self._pool, self.address, self.size = pool, address, size

    def __del__(self) -> None:
        self._pool.returned.append((self.address, self.size))


@dataclass(frozen=True, slots=True)
class MemoryStatistics:
    """Bytes of a device: held by blocks in use (now and at most so far), taken from the driver, and
    how often the driver was asked."""

    allocated: int
    peak: int
    reserved: int
    requests: int


class Pool:
    """The blocks of one device. Calls are made with the device current, `limit` bounds what is
    taken from the driver."""

    def __init__(self, driver: Driver, limit: int | None = None) -> None:
        self._driver, self.limit = driver, limit
        self.returned: deque[tuple[int, int]] = deque()
        self._free: dict[int, list[int]] = {}
        self._lock = threading.RLock()
        self._allocated = self._peak = self._reserved = self._requests = 0

    def allocate(self, size: int) -> Block:
        """A block of at least so many bytes, with anything in it. Raises `MemoryError`."""
        wanted = size_class(size)
        with self._lock:
            self._sort()
            kept = self._free.get(wanted)
            address = kept.pop() if kept else self._fresh(wanted)
            self._allocated += wanted
            self._peak = max(self._peak, self._allocated)
            return Block(self, address, wanted)

    def _sort(self) -> None:
        while self.returned:
            address, size = self.returned.popleft()
            self._free.setdefault(size, []).append(address)
            self._allocated -= size

    def _fresh(self, size: int) -> int:
        if not self._admits(size):
            self._release()
        if not self._admits(size):
            raise self._refused(size, f"the limit is {show_bytes(self.limit or 0)}")
        try:
            address = self._driver.allocate(size)
        except OutOfMemory:
            self._release()
            try:
                address = self._driver.allocate(size)
            except OutOfMemory:
                raise self._refused(size, "the device has no more") from None
        self._reserved += size
        self._requests += 1
        return address

    def _admits(self, size: int) -> bool:
        return self.limit is None or self._reserved + size <= self.limit

    def _refused(self, size: int, why: str) -> MemoryError:
        return MemoryError(
            f"{show_bytes(size)} of device memory are wanted, {show_bytes(self._allocated)} are in "
            f"use, and {why}"
        )

    def _release(self) -> None:
        self._driver.synchronize()
        for size, addresses in self._free.items():
            for address in addresses:
                self._driver.free(address)
            self._reserved -= size * len(addresses)
        self._free.clear()

    def release(self) -> None:
        """Give the blocks that are not in use back to the driver."""
        with self._lock:
            self._sort()
            self._release()

    def statistics(self) -> MemoryStatistics:
        """What is in use now."""
        with self._lock:
            self._sort()
            return MemoryStatistics(self._allocated, self._peak, self._reserved, self._requests)
