"""Memory that several processes see: one anonymous file per segment, handed on by its descriptor.

A segment has no name in any file system: the kernel frees it when the last process that maps it or
holds its descriptor is gone, however that process ended. Forked children see the segments of their
parent; to other processes a segment goes as an argument of `multiprocessing.Process` or through a
`Queue` or `Pipe`, which carry its descriptor. A process that knows a segment already finds it again
instead of mapping it twice.

A segment is meant to hold many arrays: descriptors are few."""

from __future__ import annotations

import errno
import mmap
import os
import sys
import weakref
from collections.abc import Sequence
from multiprocessing import reduction
from typing import Any, Final, Self

import numpy as np

from intaglio.compiler.errors import ArgumentError

Array = np.ndarray[Any, Any]

_OPTIONS: Final[dict[str, Any]] = {"trackfd": False} if sys.version_info >= (3, 13) else {}
"""Before Python 3.13 `mmap` takes a descriptor of its own, which the segment uses too."""

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
        descriptor = -1
        try:
            descriptor = os.memfd_create("intaglio", os.MFD_CLOEXEC)
            os.ftruncate(descriptor, nbytes)
            return cls._map(descriptor)
        except OSError as error:
            if descriptor >= 0:
                os.close(descriptor)
            if error.errno == errno.EMFILE:
                raise OSError(
                    error.errno,
                    f"{error.strerror}: shared memory takes a descriptor for each large tensor;"
                    " share a module as a whole, or allow more (ulimit -n)",
                ) from None
            raise MemoryError(f"no {nbytes} bytes of shared memory: {error.strerror}") from None

    @classmethod
    def adopt(cls, descriptor: int) -> Segment:
        """The segment behind a descriptor, which is the segment's from now on."""
        about = os.fstat(descriptor)
        found = _known.get((about.st_dev, about.st_ino))
        if found is None:
            try:
                return cls._map(descriptor)
            except OSError:
                os.close(descriptor)
                raise
        os.close(descriptor)
        return found

    @classmethod
    def _map(cls, descriptor: int) -> Self:
        about = os.fstat(descriptor)
        identity = (about.st_dev, about.st_ino)
        following = _next_descriptor(descriptor)
        made = super().__new__(cls, descriptor, about.st_size, **_OPTIONS)
        if not _OPTIONS and _is_of(following, identity):  # the one that `mmap` took, and closes
            os.close(descriptor)
            made.descriptor = following
        else:
            made.descriptor = descriptor
            weakref.finalize(made, os.close, descriptor)
        made.nbytes, made.identity = about.st_size, identity
        _known[identity] = made
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


def _next_descriptor(descriptor: int) -> int:
    """The number that the next descriptor will have, unless another thread takes it."""
    free = os.dup(descriptor)
    os.close(free)
    return free


def _is_of(descriptor: int, identity: tuple[int, int]) -> bool:
    """Whether this is a descriptor of the segment of this identity."""
    try:
        about = os.fstat(descriptor)
    except OSError:
        return False
    return (about.st_dev, about.st_ino) == identity


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
