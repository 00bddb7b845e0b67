"""Calls that fail in the middle leave every state as it was, also where parts of it are written in
place, inside loops, and from the same memory as an input."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import intaglio as ig
from tests.acceptance.models import bits, numbers, save


def cache() -> tuple[ig.Tensor, Callable[..., Any]]:
    """A cache [8, 4] whose row `at` is written before a table is read at `index`."""
    rows = ig.from_numpy(numbers((8, 4)))

    def write(x: ig.Tensor, at: ig.Tensor, index: ig.Tensor) -> ig.Tensor:
        rows[at : at + 1] = x
        return rows.sum() + rows.index_select(0, index).sum()

    return rows, write


def loop() -> tuple[ig.Tensor, Callable[..., Any]]:
    """A state that is added to after a loop that reads a table at every step."""
    table = ig.from_numpy(numbers((5, 4)))
    total = ig.zeros(4)

    def run(index: ig.Tensor) -> ig.Tensor:
        def step(carry: ig.Tensor, k: ig.Tensor) -> tuple[ig.Tensor, ig.Tensor]:
            carry = carry + table.index_select(0, k.reshape(1))[0]
            return carry, carry.sum()

        last, sums = ig.scan(step, total, index)
        total.copy_(last)
        return sums

    return total, run


def specs(*values: Any) -> list[Any]:
    return [ig.spec(v.shape, getattr(ig, str(v.dtype))) for v in values]


GOOD = np.ones((1, 4), np.float32), np.array(2), np.array([7, 0])
BAD = np.full((1, 4), 9, np.float32), np.array(3), np.array([1, 8])


@pytest.mark.parametrize("threads", [1, 2])
def test_a_cache_is_unchanged_by_a_call_that_fails(threads: int, tmp_path: Path) -> None:
    rows, write = cache()
    model = save(ig.trace(write, *specs(*GOOD), name="write"), tmp_path, threads=threads)
    (name,) = model.state_dict()
    before = bits(model.state[name])
    for _ in range(2):
        with pytest.raises(ig.IndexError, match="test_failures_in_place"):
            model.write(*BAD)
        assert bits(model.state[name]) == before
    model.write(*GOOD)
    wanted = rows.numpy().copy()
    wanted[2] = 1
    assert bits(model.state[name]) == bits(wanted)


def test_an_index_out_of_range_in_a_loop_leaves_the_state(tmp_path: Path) -> None:
    _, run = loop()
    good, bad = np.array([0, 4, 2]), np.array([0, 5, 2])
    model = save(ig.trace(run, *specs(good)), tmp_path)
    fast = ig.jit(loop()[1])
    first = [np.array(v) for v in model.state_dict().values()]
    with pytest.raises(ig.IndexError):
        model(bad)
    with pytest.raises(ig.IndexError):
        fast(ig.from_numpy(bad))
    assert [bits(v) for v in model.state_dict().values()] == [bits(v) for v in first]
    assert bits(model(good)) == bits(fast(ig.from_numpy(good))) == bits(run(ig.from_numpy(good)))


def test_an_input_may_be_the_memory_of_the_state(tmp_path: Path) -> None:
    def fill(x: ig.Tensor, state: ig.Tensor) -> ig.Tensor:
        state[2:6] = x[1:5] * 2
        return state.sum(0)

    kept = ig.from_numpy(numbers((8, 4)))
    model = save(ig.trace(lambda x: fill(x, kept), ig.spec((8, 4))), tmp_path)
    (name,) = model.state_dict()
    other = ig.from_numpy(numbers((8, 4)))
    wanted = fill(ig.from_numpy(numbers((8, 4))), other)
    made = model(model.state[name])
    assert bits(made) == bits(wanted)
    assert bits(model.state[name]) == bits(other)


def test_what_a_failing_call_would_print_is_not_needed(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    table = ig.from_numpy(numbers((5, 4)))

    def look(index: ig.Tensor) -> ig.Tensor:
        return ig.debug_print(table.index_select(0, index), "rows").sum()

    model = save(ig.trace(look, ig.spec((2,), ig.int64)), tmp_path, prints=True)
    with pytest.raises(ig.IndexError):
        model(np.array([0, 5]))
    assert "rows" not in "".join(capfd.readouterr())
    model(np.array([0, 4]))
    assert "rows" in "".join(capfd.readouterr())


def test_a_child_process_writes_its_own_cache(tmp_path: Path) -> None:
    _, write = cache()
    model = save(ig.trace(write, *specs(*GOOD), name="write"), tmp_path, threads=2)
    model.write(*GOOD)
    (name,) = model.state_dict()
    before = bits(model.state[name])
    other = (GOOD[0] * 5, GOOD[1], GOOD[2])
    child = os.fork()
    if child == 0:
        model.write(*other)
        os._exit(0 if bits(model.state[name]) != before else 1)
    assert os.waitpid(child, 0)[1] == 0
    assert bits(model.state[name]) == before
