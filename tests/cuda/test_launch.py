"""The launch plan of CUDA functions: what it says for given sizes, and that it can be stored."""

from __future__ import annotations

from typing import Any

import numpy as np

from intaglio.compiler.dims import Dim, evaluate
from intaglio.compiler.launch import Launch, LaunchLoop, Pointer, Turn, concrete
from intaglio.compiler.lower import Lowered, lower
from intaglio.compiler.passes.fuse import fuse
from intaglio.runtime import plans
from tests.cuda.programs import f32, of, softmax
from tests.cuda.test_functions import CASES, down


def general(name: str) -> Lowered:
    return lower(fuse(CASES[name][0]), target="cuda")


def test_the_grid_grows_with_the_sizes() -> None:
    low = general("epilogue")
    (launch,) = low.launches
    assert isinstance(launch, Launch) and launch.kernel == low.steps[0].kernel
    assert [low.buffers[p.buffer].kind for p in launch.pointers].count("output") == 1
    grids = [next(concrete(low.launches, {"n": n})).grid for n in (1, 64, 65, 1000)]
    assert grids == [(2, 1), (2, 1), (4, 1), (32, 1)], "two tiles across, so many down"
    assert not list(concrete(low.launches, {"n": 0})), "nothing is launched for no rows"


def test_loops_of_steps_move_the_pointers() -> None:
    low = general("recurrent")
    loops = [x for x in low.launches if isinstance(x, LaunchLoop)]
    assert [evaluate(x.length, {"n": 5}) for x in loops] == [5, 5]
    ran = list(concrete(low.launches, {"n": 5}))
    xs = next(k for k, b in enumerate(low.buffers) if (b.kind, b.index) == ("input", 0))
    offsets = [o for item in ran for k, o in item.pointers if k == xs]
    row = 6 * 40 * 4
    assert offsets[:5] == [0, row, 2 * row, 3 * row, 4 * row]


def test_what_a_loop_carries_changes_places() -> None:
    turning = Pointer(3, Turn(8), 4, Turn(0, (1,)))
    launch = Launch("k0", (turning,), (1, 1), (32, 1), 0, 0, 0, 0)
    plan = (LaunchLoop(3, (LaunchLoop(2, (launch,)),)),)
    assert [item.pointers for item in concrete(plan, {})] == [((k, 8),) for k in (3, 3, 4, 4, 3, 3)]


def test_a_plan_can_be_stored() -> None:
    for name in ("recurrent", "mixed long", "epilogue"):
        low = general(name)
        known = {k: Dim(k) for k in low.size_names}
        read: Any = plans.decode(tuple[Launch | LaunchLoop, ...], plans.encode(low.launches), known)
        assert read == low.launches and hash(read) == hash(low.launches)


def test_scratch_is_what_the_largest_grid_needs() -> None:
    low = general("mixed long")
    for m in (10, 40_000):
        ran = list(concrete(low.launches, {"n": 3000, "m": m}))
        assert max(i.scratch for i in ran) == evaluate(low.scratch_bytes, {"n": 3000, "m": m}) > 0
    short = lower(fuse(CASES["mixed"][0]), sizes={"n": 3, "m": 700}, target="cuda")
    assert short.scratch_bytes == 0, "short rows are kept in shared memory"
    assert np.prod(next(concrete(short.launches, {})).launch.block) == 128


def test_indices_take_64_bits_only_where_they_need_them() -> None:
    def text(rows: int) -> str:
        graph = of([f32(rows, 3, 40_000)], lambda b, x: b.exp(b.permute(x, axes=(2, 1, 0))))
        return lower(fuse(graph), sizes={}, target="cuda").sources[0]

    small, large = text(30), text(30_000)
    assert "for (int i" in small and "for (int64_t i" not in small
    assert "for (int64_t i" in large and "for (int i" not in large


def test_the_way_to_share_a_row_follows_its_length() -> None:
    def blocks(length: int, rows: int = 500) -> list[tuple[int, int]]:
        graph = of([f32(rows, length)], softmax)
        low = lower(fuse(graph), sizes={}, target="cuda")
        return [x.launch.block for x in concrete(low.launches, {})]

    assert blocks(10) == [(32, 4)] and blocks(1500) == [(32, 4)], "a warp for each row"
    assert blocks(9000) == [(32, 8)], "a block for each row"
    assert (32, 8) not in blocks(100_000, 2), "few rows are split into chunks"


def test_a_block_shares_columns_where_there_are_few() -> None:
    def blocks(rows: int, columns: int) -> set[tuple[int, int]]:
        low = lower(fuse(of([f32(2, rows, columns)], down)), sizes={}, target="cuda")
        return {x.launch.block for x in concrete(low.launches, {})}

    assert (32, 8) in blocks(300, 70), "a chunk of 64 for each warp"
    assert (32, 8) not in blocks(300, 200_000) | blocks(60, 70), "a thread each"
