"""Memory of large results is used again, never while somebody holds it, and never beyond a bound;
large elementwise ops have the same bits whoever computes them."""

from __future__ import annotations

import os
import threading
from typing import Any

import numpy as np
import pytest

from intaglio.runtime import spare
from intaglio.runtime.eager import SHARED, evaluate

F32 = np.dtype(np.float32)
SHAPE = (256, 128)
BYTES = 4 * 256 * 128


@pytest.fixture(autouse=True)
def nothing_remembered() -> Any:
    spare.forget()
    yield
    spare.forget()


def made(shape: tuple[int, ...] = SHAPE, dtype: Any = F32) -> np.ndarray[Any, Any]:
    return spare.empty(shape, dtype, int(np.prod(shape)) * dtype.itemsize)


def test_memory_is_used_again_once_nobody_holds_it() -> None:
    array = made()
    known = id(array)
    other = made()
    assert other is not array
    del array
    again = made()
    assert id(again) == known
    assert made() is not other


def test_views_exports_and_memoryviews_hold_memory() -> None:
    holders = (lambda a: a[3:5], memoryview, lambda a: a.__dlpack__(), lambda a: a.T[:2].T[1:])
    for hold in holders:
        array = made()
        known, held = id(array), hold(array)
        del array
        others = [made() for _ in range(10)]
        assert known not in map(id, others)
        del held
    view = made()[:1]
    view[:] = 7
    others = [made() for _ in range(5)]
    for other in others:
        other[:] = 8
    assert (view == 7).all()


def test_changed_arrays_are_not_handed_out() -> None:
    array = made()
    array.flags.writeable = False
    del array
    assert made().flags.writeable


def test_small_and_huge_results_are_not_remembered() -> None:
    made((4,))
    spare.empty((1,), F32, spare.KEPT)
    assert spare._bytes == 0


def test_what_is_remembered_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(spare, "KEPT", 20 * BYTES)
    held = [made((256, 128 + k)) for k in range(40)]
    assert spare._bytes <= 20 * BYTES
    alike = [made() for _ in range(12)]
    assert len(spare._queues[SHAPE, F32]) == spare.ALIKE
    assert spare._bytes == sum(a.nbytes for q in spare._queues.values() for a in q)
    assert len({id(a) for a in (*held, *alike)}) == 52


def test_threads_never_get_the_same_memory() -> None:
    wrong: list[int] = []

    def work(number: int) -> None:
        for _ in range(300):
            mine = made()
            mine[:] = number
            if not (mine == number).all():
                wrong.append(number)

    threads = [threading.Thread(target=work, args=(n,)) for n in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_a_child_forked_while_the_lock_is_held_goes_on() -> None:
    with spare._changing:
        child = os.fork()
        if child == 0:
            done = threading.Thread(target=made)
            done.start()
            done.join(20)
            os._exit(0 if not done.is_alive() else 1)
    assert os.waitpid(child, 0)[1] == 0


OPERANDS = {
    "dense": lambda x, y: (x, y),
    "a number on the right": lambda x, y: (x, np.broadcast_to(F32.type(1.7), x.shape)),
    "a number on the left": lambda x, y: (np.broadcast_to(F32.type(1.7), x.shape), y),
    "turned": lambda x, y: (x, np.ascontiguousarray(y.T).T),
    "two numbers": lambda x, y: (np.broadcast_to(F32.type(0.3), x.shape),) * 2,
    "a repeated row": lambda x, y: (x, np.broadcast_to(y[0], x.shape)),
}


@pytest.mark.parametrize("op", ["add", "sub", "mul", "div"])
@pytest.mark.parametrize("how", OPERANDS)
def test_large_ops_have_numpys_bits(op: str, how: str) -> None:
    rng = np.random.default_rng(5)
    x, y = (rng.standard_normal((640, 641)).astype(np.float32) for _ in range(2))
    y[0, :3] = 0.0, np.inf, np.nan
    assert x.nbytes >= SHARED
    a, b = OPERANDS[how](x, y)
    ufunc = {"add": np.add, "sub": np.subtract, "mul": np.multiply, "div": np.divide}[op]
    with np.errstate(all="ignore"):
        expected = ufunc(a, b)
    for _ in range(3):
        (found,) = evaluate(op, (a, b))
        assert np.array_equal(found, expected, equal_nan=True)
        assert np.array_equal(np.signbit(found), np.signbit(expected)) or np.isnan(expected).any()


def test_results_in_use_keep_their_values() -> None:
    x = np.ones((300, 300), np.float32)
    kept = [evaluate("add", (x, np.full_like(x, k)))[0] for k in range(20)]
    assert all((k + 1 == array).all() for k, array in enumerate(kept))


def test_results_begin_on_a_cache_line() -> None:
    for shape in ((1 << 14,), (131, 127), (3, 1 << 13)):  # at least 64 KiB each
        array = made(shape)
        assert array.ctypes.data % 64 == 0 and array.flags.carray and array.shape == shape


def test_large_results_have_the_same_bits_on_one_thread_and_two() -> None:
    """Written past the caches by several threads, and read at once."""
    import intaglio as ig

    x = np.random.default_rng(3).standard_normal((2051, 1024)).astype(np.float32)
    shift = ig.jit(lambda t: t * 3 - t.amax(1, keepdim=True))
    expected = x * np.float32(3) - x.max(1, keepdims=True)
    threads = ig.get_num_threads()
    try:
        for count in (1, 2):
            ig.set_num_threads(count)
            for _ in range(3):
                np.testing.assert_array_equal(np.asarray(shift(ig.as_tensor(x))), expected)
    finally:
        ig.set_num_threads(threads)
