"""States of which a function replaces a part: only this part of their memory is written, after
every check, and whoever reads the old elements reads them before."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from intaglio.compiler.dtypes import float32, int64
from intaglio.compiler.errors import IndexError
from intaglio.compiler.ir import Graph
from intaglio.compiler.lower import lower
from intaglio.compiler.op import Builder
from intaglio.compiler.passes import PIPELINE
from intaglio.compiler.passes.fuse import fuse
from intaglio.compiler.types import TensorType
from intaglio.runtime.executor import Executable

ROWS, WIDTH = 64, 24
X = np.arange(ROWS * WIDTH, dtype=np.float32).reshape(ROWS, WIDTH)


def boxes() -> Graph:
    """Two boxes written to a state, which is read between them and after."""
    b = Builder()
    x, part = b.input(TensorType(float32, (ROWS, WIDTH))), b.input(TensorType(float32, (1, WIDTH)))
    start = b.input(TensorType(int64, (2,)))
    one = b.dynamic_update_slice(x, part, start)
    between = b.sum(b.dynamic_slice(one, start, sizes=(2, WIDTH)), axes=(0,))
    next_ = b.add(start, b.constant(np.array([1, 0])))
    two = b.dynamic_update_slice(one, b.neg(part), next_)
    return b.graph([between, b.dynamic_slice(two, start, sizes=(2, WIDTH)), two])


def rows() -> Graph:
    """Rows set at checked places; the old state is read after that, and other indices are used."""
    b = Builder()
    x, part = b.input(TensorType(float32, (ROWS, WIDTH))), b.input(TensorType(float32, (2, WIDTH)))
    places, others = b.input(TensorType(int64, (2,))), b.input(TensorType(int64, (3,)))
    wide = b.expand(places, shape=(2, WIDTH), axes=(0,))
    new = b.scatter(x, wide, part, axis=0)
    old = b.take(x, places, axis=0)
    return b.graph([old, b.take(new, others, axis=0), new])


def prepared(graph: Graph) -> Graph:
    for step in PIPELINE:
        graph = step(graph)
    return fuse(graph)


def aliases(graph: Graph, updates: dict[int, int]) -> dict[int, Any]:
    lowered = lower(prepared(graph), in_place=updates)
    return {s.index: s.may_alias for s in lowered.buffers if s.kind == "output"}


def test_boxes_are_written_in_place_one_after_the_other() -> None:
    assert aliases(boxes(), {2: 0})[2] == 0
    x, part = X.copy(), np.full((1, WIDTH), 0.5, np.float32)
    between, after = Executable(boxes(), updates={2: 0})([x, part, np.array([5, 0])])
    np.testing.assert_array_equal(between, X[6] + 0.5)
    np.testing.assert_array_equal(after, np.concatenate([part, -part]))
    expected = X.copy()
    expected[5], expected[6] = 0.5, -0.5
    np.testing.assert_array_equal(x, expected)


def test_only_the_part_is_written() -> None:
    """The rest of the state lies in pages that can't be written to, which a copy would notice."""
    import ctypes
    import mmap

    count = 4 * mmap.PAGESIZE // 4 // WIDTH * WIDTH
    memory = mmap.mmap(-1, 16 * mmap.PAGESIZE)
    whole = np.frombuffer(memory, np.float32)[: count // WIDTH * WIDTH].reshape(-1, WIDTH)
    b = Builder()
    x, part = b.input(TensorType(float32, whole.shape)), b.input(TensorType(float32, (1, WIDTH)))
    start = b.input(TensorType(int64, (2,)))
    run = Executable(b.graph([b.dynamic_update_slice(x, part, start)]), updates={0: 0})
    given = np.ones((1, WIDTH), np.float32)
    run([whole, given, np.array([0, 0])])
    libc = ctypes.CDLL(None)
    begin = whole.ctypes.data + mmap.PAGESIZE
    read_only, writable = mmap.PROT_READ, mmap.PROT_READ | mmap.PROT_WRITE
    assert libc.mprotect(ctypes.c_void_p(begin), 2 * mmap.PAGESIZE, read_only) == 0
    try:
        run([whole, 2 * given, np.array([1, 0])])
    finally:
        assert libc.mprotect(ctypes.c_void_p(begin), 2 * mmap.PAGESIZE, writable) == 0
    assert whole[0, 0] == 1 and whole[1, 0] == 2 and not whole[2:].any()


def test_the_old_state_is_read_before_and_indices_are_checked_before() -> None:
    assert aliases(rows(), {2: 0})[2] == 0
    run = Executable(rows(), updates={2: 0})
    x, part = X.copy(), np.full((2, WIDTH), -1, np.float32)
    old, new = run([x, part, np.array([3, 9]), np.array([9, 0, 3])])
    np.testing.assert_array_equal(old, X[[3, 9]])
    np.testing.assert_array_equal(new, np.stack([part[0], X[0], part[0]]))
    before = x.copy()
    with pytest.raises(IndexError, match="64 is out of range"):
        run([x, part - 1, np.array([3, 9]), np.array([9, 64, 3])])
    with pytest.raises(IndexError, match="-1 is out of range"):
        run([x, part - 1, np.array([3, -1]), np.array([9, 0, 3])])
    np.testing.assert_array_equal(x, before)


def test_a_state_that_is_also_returned_is_copied() -> None:
    b = Builder()
    x, part = b.input(TensorType(float32, (ROWS, WIDTH))), b.input(TensorType(float32, (1, WIDTH)))
    start = b.input(TensorType(int64, (2,)))
    new = b.dynamic_update_slice(x, part, start)
    other = b.dynamic_update_slice(new, b.neg(part), start)
    graph = b.graph([b.mul(new, new), other, new])
    state = X.copy()
    square, second = Executable(graph, updates={2: 0})(
        [state, np.full((1, WIDTH), 2, np.float32), np.array([1, 0])]
    )
    expected = X.copy()
    expected[1] = 2
    np.testing.assert_array_equal(state, expected)
    np.testing.assert_array_equal(square, expected * expected)
    expected[1] = -2
    np.testing.assert_array_equal(second, expected)


def test_a_state_is_updated_in_place_beside_a_loop() -> None:
    b = Builder()
    h, y = b.input(TensorType(float32, (WIDTH,))), b.input(TensorType(float32, (WIDTH,)))
    body = b.graph([b.add(b.mul(h, h), y)])
    b = Builder()
    x, part = b.input(TensorType(float32, (ROWS, WIDTH))), b.input(TensorType(float32, (3, WIDTH)))
    start = b.input(TensorType(int64, (2,)))
    zero = b.full(0.0, float32, (WIDTH,))
    last = b.scan(zero, part, body=body, carries=1, xs=1, length=3, reverse=False)
    new = b.dynamic_update_slice(x, b.reshape(last, shape=(1, WIDTH)), start)
    graph = b.graph([b.dynamic_slice(new, start, sizes=(1, WIDTH)), new])
    assert aliases(graph, {1: 0})[1] == 0
    state = X.copy()
    (row,) = Executable(graph, updates={1: 0})(
        [state, np.ones((3, WIDTH), np.float32), np.array([7, 0])]
    )
    expected = X.copy()
    expected[7] = 5
    np.testing.assert_array_equal(row, expected[7:8])
    np.testing.assert_array_equal(state, expected)
