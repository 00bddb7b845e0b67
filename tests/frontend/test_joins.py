"""Joining, cutting, turning and repeating, beside NumPy; what torch refuses is refused."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import intaglio as ig


def numbers(*shape: int) -> ig.Tensor:
    return ig.arange(int(np.prod(shape)), dtype=ig.float64).reshape(*shape).clone()


def equal(made: Any, expected: Any) -> None:
    if isinstance(expected, tuple | list):
        assert len(made) == len(expected)
        for a, b in zip(made, expected, strict=True):
            equal(a, b)
    else:
        np.testing.assert_array_equal(made.numpy(), expected)


@pytest.mark.parametrize("name", ["hstack", "vstack", "dstack", "column_stack"])
@pytest.mark.parametrize("shape", [(), (3,), (2, 3), (2, 3, 2)])
def test_stacks(name: str, shape: tuple[int, ...]) -> None:
    x, y = numbers(*shape), numbers(*shape) + 10
    if name == "column_stack" and not shape:
        expected = np.column_stack([np.atleast_1d(x.numpy()), np.atleast_1d(y.numpy())])
    else:
        expected = getattr(np, name)([x.numpy(), y.numpy()])
    equal(getattr(ig, name)([x, y]), expected)


@pytest.mark.parametrize("shape", [(), (3,), (2, 3), (2, 3, 2)])
@pytest.mark.parametrize("rank", [1, 2, 3])
def test_at_least(shape: tuple[int, ...], rank: int) -> None:
    name = f"atleast_{rank}d"
    x = numbers(*shape)
    equal(getattr(ig, name)(x), getattr(np, name)(x.numpy()))
    both = getattr(ig, name)([x, numbers(2)])
    assert isinstance(both, tuple) and len(both) == 2


@pytest.mark.parametrize("wanted", [2, (1, 3), (0, 5, -1), (3, 2)])
def test_splits(wanted: Any) -> None:
    x = numbers(4, 4, 2)
    equal(ig.tensor_split(x, wanted, 1), np.array_split(x.numpy(), wanted, 1))
    if wanted == 2:
        equal(ig.dsplit(x, 2), np.dsplit(x.numpy(), 2))
    equal(ig.vsplit(x, wanted), np.array_split(x.numpy(), wanted, 0))
    equal(ig.hsplit(x, wanted), np.array_split(x.numpy(), wanted, 1))
    equal(ig.tensor_split(x, ig.tensor(wanted)), np.array_split(x.numpy(), wanted, 0))
    for part in x.tensor_split(wanted):
        assert part.numel() == 0 or np.shares_memory(part.numpy(), x.numpy())


def test_grids_and_products() -> None:
    x, y = numbers(3), numbers(2)
    for indexing in ("ij", "xy"):
        equal(
            ig.meshgrid(x, y, indexing=indexing),
            np.meshgrid(x.numpy(), y.numpy(), indexing=indexing),
        )
    equal(
        ig.meshgrid([x, ig.tensor(7.0, dtype=ig.float64)]), (np.arange(3.0)[:, None], [[7.0]] * 3)
    )
    assert ig.cartesian_prod(x, y).tolist()[:3] == [[0.0, 0.0], [0.0, 1.0], [1.0, 0.0]]
    assert ig.combinations(x).tolist() == [[0.0, 1.0], [0.0, 2.0], [1.0, 2.0]]
    assert ig.combinations(x, 1, with_replacement=True).shape == (3, 1)
    blocks = ig.block_diag(ig.ones(2, 1), 5, ig.tensor([1, 2]))
    assert blocks.tolist() == [[1, 0, 0, 0], [1, 0, 0, 0], [0, 5, 0, 0], [0, 0, 1, 2]]


def test_diagonals_made() -> None:
    x = numbers(3)
    for k in (-2, 0, 1):
        equal(ig.diag(x, k), np.diag(x.numpy(), k))
        equal(ig.diagflat(numbers(2, 2), k), np.diagflat(np.arange(4.0), k))
        equal(ig.diag(numbers(3, 4), k), np.diag(np.arange(12.0).reshape(3, 4), k))
    assert ig.diag_embed(numbers(2, 3), 1, 0, 2).shape == (4, 2, 4)
    equal(ig.diag_embed(numbers(2, 3), -1, 1, 0).diagonal(-1, 1, 0), np.arange(6.0).reshape(2, 3))
    square = ig.zeros(7, 3).fill_diagonal_(1, wrap=True)
    expected = np.zeros((7, 3), np.float32)
    np.fill_diagonal(expected, 1, wrap=True)
    equal(square, expected)
    assert ig.trace(numbers(2, 3)).item() == numbers(2, 3).trace().item() == 4.0


def test_repeats() -> None:
    x = numbers(2, 3)
    equal(ig.repeat_interleave(x, 2, 1), np.repeat(x.numpy(), 2, 1))
    equal(ig.repeat_interleave(ig.tensor([2, 0, 1])), [0, 0, 2])
    equal(x.repeat_interleave(ig.tensor([0, 2]), 0, output_size=2), np.repeat(x.numpy(), [0, 2], 0))
    with pytest.raises(ig.ShapeError, match="not 3"):
        x.repeat_interleave(ig.tensor([0, 2]), 0, output_size=3)
    equal(ig.tile(x, (2, 1, 2)), np.tile(x.numpy(), (2, 1, 2)))
    equal(ig.rot90(x, 3), np.rot90(x.numpy(), 3))
    equal(ig.roll(x, (1, -1), (0, 1)), np.roll(x.numpy(), (1, -1), (0, 1)))
    equal(
        ig.movedim(numbers(2, 3, 4), (0, 1), (1, 2)),
        np.arange(24.0).reshape(2, 3, 4).transpose(2, 0, 1),
    )


def test_positions() -> None:
    x = numbers(2, 3)
    found = ig.unravel_index(ig.tensor([5, 7, 11]), (3, 4))
    equal(found, np.unravel_index([5, 7, 11], (3, 4)))
    assert x.put(ig.tensor([1, -1]), ig.tensor([7.0, 8.0], dtype=ig.float64)).tolist()[1][2] == 8.0
    y = x.clone().put_(ig.tensor([1, 1]), ig.ones(2, dtype=ig.float64), accumulate=True)
    assert y[0, 1].item() == 3.0
    for name, value in (("index_add", 5.0), ("index_copy", 2.0)):
        scalar, two = ig.tensor(3.0), ig.tensor(2.0)
        assert getattr(ig, name)(scalar, 0, ig.tensor(0), two).item() == value
    assert ig.tensor(3.0).index_fill(0, ig.tensor([0]), 9).item() == 9.0
    assert ig.broadcast_shapes((2, 1), 3, ()) == (2, 3)


WRONG = {
    "flipud": lambda: ig.flipud(ig.tensor(1.0)),
    "fliplr": lambda: ig.fliplr(ig.ones(2)),
    "narrow": lambda: ig.narrow(ig.tensor(1.0), 0, 0, 1),
    "narrow start": lambda: ig.narrow(ig.ones(3), 0, -4, 1),
    "roll": lambda: ig.roll(ig.ones(2), (1, 1), 0),
    "rot90": lambda: ig.rot90(ig.ones(2, 2), 1, (0, 0)),
    "gather": lambda: ig.gather(ig.ones(2), 0, ig.tensor([0]), out=ig.ones(1, dtype=ig.float64)),
    "index_select": lambda: ig.index_select(ig.ones(2, 2), 0, ig.zeros(1, 1, dtype=ig.int64)),
    "cat": lambda: ig.cat(ig.ones(2, 2)),
    "movedim": lambda: ig.movedim(ig.ones(2, 2), 0, (0, 1)),
    "masked_fill": lambda: ig.ones(2).masked_fill(ig.tensor([1, 0]), 2),
    "permute": lambda: ig.ones(2, 2).permute(0, 0),
    "meshgrid": lambda: ig.meshgrid(ig.ones(2), ig.arange(2)),
    "hsplit": lambda: ig.hsplit(ig.ones(2, 3), 2),
    "chunk": lambda: ig.chunk(ig.ones(2), 0),
    "expand": lambda: ig.ones(2).expand(-1, 2),
    "unbind": lambda: ig.tensor(1.0).unbind(),
    "diag": lambda: ig.diag(ig.ones(2, 2, 2)),
    "diagonal": lambda: ig.ones(2, 2).diagonal(0, 1, -1),
    "block_diag": lambda: ig.block_diag(ig.ones(1, 1, 1)),
    "select_scatter": lambda: ig.select_scatter(ig.ones(2, 2), ig.ones(3), 0, 0),
    "diagonal_scatter": lambda: ig.diagonal_scatter(ig.ones(2, 2), ig.ones(3)),
    "complex": lambda: ig.complex(ig.ones(2), ig.ones(2)),
    "out=": lambda: ig.cat([ig.ones(2), ig.ones(2)], out=ig.zeros(4, dtype=ig.int64)),
}


@pytest.mark.parametrize("name", sorted(WRONG))
def test_what_is_wrong_is_refused(name: str) -> None:
    with pytest.raises(ig.Error):
        WRONG[name]()
