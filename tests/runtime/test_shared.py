"""Segments of shared memory: handed to processes, found again, freed with their last array."""

import gc
import multiprocessing
import os
import resource

import numpy as np
import pytest

from intaglio.runtime.shared import Segment, offset_in, segment_of

F32 = np.dtype(np.float32)


def receive(given: Segment, inbox: object, outbox: object) -> None:
    again = inbox.get()
    given.array(F32, (4,), 64)[1] = 5.0
    outbox.put(again is given)


@pytest.mark.parametrize("method", ["fork", "spawn"])
def test_a_segment_reaches_another_process(method):
    context = multiprocessing.get_context(method)
    segment = Segment(1 << 12)
    array = segment.array(F32, (4,), 64)
    inbox, outbox = context.Queue(), context.Queue()
    child = context.Process(target=receive, args=(segment, inbox, outbox))
    child.start()
    inbox.put(segment)
    assert outbox.get(timeout=60)
    child.join()
    assert array.tolist() == [0, 5, 0, 0]


def test_the_segment_of_an_array_is_found_through_views():
    segment = Segment(1 << 12)
    array = segment.array(F32, (4, 4), 128)
    assert segment_of(array[1:, ::2]) is segment
    assert offset_in(segment, array[1:]) == 128 + 16
    assert segment_of(np.zeros(3)) is None


def test_the_last_array_frees_it():
    segment = Segment(1 << 12)
    descriptor, array = segment.descriptor, segment.array(F32, (4,))
    del segment
    gc.collect()
    os.fstat(descriptor)
    assert array.sum() == 0
    del array
    gc.collect()
    with pytest.raises(OSError):
        os.fstat(descriptor)


def test_no_descriptor_is_left_by_a_refused_size():
    before = len(os.listdir("/proc/self/fd"))
    with pytest.raises(MemoryError):
        Segment(1 << 62)
    with pytest.raises(ValueError):
        Segment(0)
    assert len(os.listdir("/proc/self/fd")) == before


def test_a_segment_takes_one_descriptor():
    before = len(os.listdir("/proc/self/fd"))
    segments = [Segment(1 << 12) for _ in range(10)]
    assert len(os.listdir("/proc/self/fd")) == before + 10
    assert len({os.fstat(segment.descriptor).st_ino for segment in segments}) == 10
    again = Segment.adopt(os.dup(segments[0].descriptor))
    assert again is segments[0] and len(os.listdir("/proc/self/fd")) == before + 10
    del segments, again
    gc.collect()
    assert len(os.listdir("/proc/self/fd")) == before


def test_too_many_segments_are_refused_with_a_remedy():
    limits, made = resource.getrlimit(resource.RLIMIT_NOFILE), []
    before = len(os.listdir("/proc/self/fd"))
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (512, limits[1]))
        with pytest.raises(OSError, match="Too many open files.*ulimit -n"):
            made += [Segment(1 << 12) for _ in range(600)]
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, limits)
    gc.collect()
    assert len(os.listdir("/proc/self/fd")) == before
