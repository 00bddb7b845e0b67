"""Memory that several processes see: one anonymous file per segment, handed on by its descriptor.

A segment has no name in any file system: the kernel frees it when the last process that maps it or
holds its descriptor is gone, however that process ended. Forked children see the segments of their
parent; to other processes a segment goes as an argument of `multiprocessing.Process` or through a
`Queue` or `Pipe`, which carry its descriptor. A process that knows a segment already finds it again
instead of mapping it twice.

A segment is meant to hold many arrays: descriptors are few."""

from __future__ import annotations

import mmap
import os
import weakref
from collections.abc import Sequence
from multiprocessing import reduction
from typing import Any, Self

import numpy as np

from intaglio.compiler.errors import ArgumentError

Array = np.ndarray[Any, Any]

_known: weakref.WeakValueDictionary[tuple[int, int], Segment] = weakref.WeakValueDictionary()


class Segment(mmap.mmap):
    """Bytes shared between processes, zero at first. The arrays within keep it mapped."""

    descriptor: int
    nbytes: int
    identity: tuple[int, int]
    """Tells it from all other segments that exist now, in every process: device and inode."""
    lent: bool = False
    """Whether it is written again once its arrays are gone, so that nobody may hand them on."""

    def __new__(cls, nbytes: int) -> Self:
        """A new segment of so many bytes. Raises `MemoryError` where the system has none left."""
        if nbytes <= 0:
            raise ArgumentError(f"a shared segment of {nbytes} bytes: one at least")
        descriptor = os.memfd_create("intaglio", os.MFD_CLOEXEC)
        try:
            os.ftruncate(descriptor, nbytes)
            return cls._map(descriptor)
        except OSError as error:
            os.close(descriptor)
            raise MemoryError(f"no {nbytes} bytes of shared memory: {error.strerror}") from None

    @classmethod
    def adopt(cls, descriptor: int) -> Segment:
        """The segment behind a descriptor, which is the segment's from now on."""
        about = os.fstat(descriptor)
        found = _known.get((about.st_dev, about.st_ino))
        if found is None:
            return cls._map(descriptor)
        os.close(descriptor)
        return found

    @classmethod
    def _map(cls, descriptor: int) -> Self:
        about = os.fstat(descriptor)
        made = super().__new__(cls, descriptor, about.st_size)
        made.descriptor, made.nbytes = descriptor, about.st_size
        made.identity = (about.st_dev, about.st_ino)
        _known[made.identity] = made
        weakref.finalize(made, os.close, descriptor)
        return made

    def array(self, dtype: np.dtype[Any], shape: Sequence[int], offset: int = 0) -> Array:
        """An array over the bytes from `offset` on."""
        return np.ndarray(tuple(shape), dtype, self, offset)

    def __reduce__(self) -> Any:
        """Only what `multiprocessing` hands to another process can carry the descriptor."""
        return Segment.adopt_sent, (reduction.DupFd(self.descriptor),)

    @staticmethod
    def adopt_sent(sent: Any) -> Segment:
        """The segment that another process sent."""
        return Segment.adopt(sent.detach())


def find_segment(identity: tuple[int, int]) -> Segment | None:
    """The segment of this identity, if this process maps it."""
    return _known.get(identity)


def segment_of(array: Array) -> Segment | None:
    """The segment that an array lies in, or None: also where the memory is only lent."""
    holder: Any = array
    while holder is not None and not isinstance(holder, Segment):
        viewed = isinstance(holder, memoryview)
        holder = holder.obj if viewed else getattr(holder, "base", None)
    return None if holder is None or holder.lent else holder


def offset_in(segment: Segment, array: Array) -> int:
    """Where in the segment the array's first element lies, in bytes."""
    start: int = np.frombuffer(segment, np.uint8).__array_interface__["data"][0]
    at: int = array.__array_interface__["data"][0]
    return at - start
