"""Views share memory, in-place writes reach every view, and the tape notices."""

import numpy as np
import pytest

import intaglio as ig


def leaf(*shape: int) -> ig.Tensor:
    count = int(np.prod(shape))
    return ig.arange(count, dtype=ig.float64).reshape(*shape).clone().requires_grad_()


def test_views_share_memory() -> None:
    x = ig.zeros(2, 3)
    for view in (x.view(6), x.t(), x[0], x[:, 1:], x.unsqueeze(0), x.expand(4, 2, 3), x.detach()):
        assert np.shares_memory(view.numpy(), x.numpy())
    x[1].add_(2)
    x.view(-1)[0] = 9
    assert x.tolist() == [[9.0, 0.0, 0.0], [2.0, 2.0, 2.0]]
    assert not np.shares_memory(x.flip(0).numpy(), x.numpy())
    assert not np.shares_memory(x.t().reshape(6).numpy(), x.numpy())
    with pytest.raises(ig.ShapeError, match="reshape"):
        x.t().view(6)


def test_writes_are_cast_or_refused() -> None:
    whole = ig.zeros(2, dtype=ig.int64)
    with pytest.raises(ig.DTypeError, match="cannot be cast"):
        whole.add_(0.5)
    with pytest.raises(ig.ShapeError, match="does not fit"):
        ig.zeros(2).add_(ig.zeros(3, 2))
    with pytest.raises(ig.GradientError, match="share one place"):
        ig.zeros(1).expand(3).add_(1)
    half = ig.zeros(2, dtype=ig.float16)
    half += ig.ones(2)
    assert half.dtype is ig.float16 and half.tolist() == [1.0, 1.0]


def test_a_changed_operand_is_caught_with_its_line() -> None:
    x = leaf(3)
    y = x * 2
    z = y * y
    y.add_(1)
    with pytest.raises(ig.GradientError, match=r"mul \(test_views\.py:\d+\).*changed in place"):
        z.sum().backward()


def test_a_changed_result_is_caught() -> None:
    x = leaf(3)
    y = ig.sqrt(x + 1)
    y.mul_(2)
    with pytest.raises(ig.GradientError, match="result 0"):
        y.sum().backward()


def test_writing_what_no_derivative_needs_is_fine() -> None:
    x = leaf(3)
    y = x + 1
    y.mul_(3)
    y.sum().backward()
    assert x.grad is not None and x.grad.tolist() == [3.0, 3.0, 3.0]


def test_derivatives_through_a_write_to_a_view() -> None:
    x = leaf(2, 3)
    y = x * 1
    row = y[1]
    row.mul_(10)
    y[:, 0] = 5.0
    (y * y).sum().backward()
    base = np.arange(6.0).reshape(2, 3)
    expected = 2 * base
    expected[1] *= 100
    expected[:, 0] = 0
    assert x.grad is not None
    np.testing.assert_array_equal(x.grad.numpy(), expected)


def test_other_views_see_the_write_on_the_tape() -> None:
    x = leaf(4)
    y = x * 1
    left, whole = y[:2], y.view(2, 2)
    y.mul_(3)
    left.mul_(2)
    whole.sum().backward()
    assert x.grad is not None and x.grad.tolist() == [6.0, 6.0, 3.0, 3.0]


def test_strided_writes() -> None:
    x = leaf(7)
    y = x * 1
    value = leaf(3)
    y[1:6:2] = value * 2
    assert y.tolist() == [0, 0, 2, 2, 4, 4, 6]
    (y * ig.arange(7, dtype=ig.float64)).sum().backward()
    assert x.grad is not None and value.grad is not None
    assert x.grad.tolist() == [0, 0, 2, 0, 4, 0, 6]
    assert value.grad.tolist() == [2, 6, 10]


def test_leaves_that_require_grad_are_not_written() -> None:
    x = leaf(2)
    with pytest.raises(ig.GradientError, match="no_grad"):
        x.add_(1)
    with pytest.raises(ig.GradientError, match="no_grad"):
        x[0] = 1
    with ig.no_grad():
        x.add_(1)
    assert x.requires_grad and x.tolist() == [1.0, 2.0]


def test_data_replaces_the_memory() -> None:
    x = leaf(2)
    x.data = ig.ones(3, dtype=ig.float64)
    assert x.shape == (3,) and x.requires_grad
    x.data.zero_()
    assert x.tolist() == [0.0, 0.0, 0.0]


@pytest.mark.parametrize(
    "key",
    [
        1,
        slice(1, None, 2),
        (slice(None), 0),
        (Ellipsis, -1),
        (None, 1, None),
        [0, 2, 2],
        ([0, 1], [1, -1]),
        (slice(None), [2, 0]),
        ([[0], [1]], slice(None), [1, 2]),
    ],
    ids=str,
)
def test_indexing_as_numpy(key: object) -> None:
    a = np.arange(60).reshape(3, 4, 5)
    x = ig.from_numpy(a.copy())
    np.testing.assert_array_equal(x[key].numpy(), a[key])  # type: ignore[index]
    written = a.copy()
    written[key] = -1  # type: ignore[index]
    x[key] = -1
    np.testing.assert_array_equal(x.numpy(), written)


def test_masks_and_their_writes() -> None:
    a = np.arange(12.0).reshape(3, 4)
    x = ig.from_numpy(a.copy())
    np.testing.assert_array_equal(x[x > 5].numpy(), a[a > 5])
    np.testing.assert_array_equal(x[ig.tensor([True, False, True])].numpy(), a[[0, 2]])
    x[x > 5] = 0
    a[a > 5] = 0
    np.testing.assert_array_equal(x.numpy(), a)
    x[ig.tensor([False, True, False])] = ig.arange(4, dtype=ig.float64)
    a[1] = np.arange(4)
    np.testing.assert_array_equal(x.numpy(), a)


def test_out_of_range_is_an_index_error() -> None:
    x = ig.arange(3)
    for key in (3, -4, [0, 3], ([3],)):
        with pytest.raises(ig.IndexError, match="out of range"):
            x[key]
    with pytest.raises(ig.IndexError, match="out of range"):
        ig.zeros(2, 3)[[0], [3]]


def test_gather_scatter() -> None:
    a = np.arange(12.0).reshape(3, 4)
    index = np.array([[0, 1, 1], [3, 0, 2]])
    x, i = ig.from_numpy(a), ig.from_numpy(index)
    np.testing.assert_array_equal(x.gather(1, i).numpy(), np.take_along_axis(a[:2], index, 1))
    added = a.copy()
    for r in range(2):
        for c in range(3):
            added[r, index[r, c]] += 10
    ten = ig.full((2, 3), 10.0, dtype=ig.float64)
    np.testing.assert_array_equal(x.scatter_add(1, i, ten).numpy(), added)
    put = a.copy()
    np.put_along_axis(put[:2], index, np.arange(6.0).reshape(2, 3), 1)
    source = ig.arange(6, dtype=ig.float64).reshape(2, 3)
    np.testing.assert_array_equal(x.scatter(1, i, source).numpy(), put)
    np.testing.assert_array_equal(x.index_select(1, ig.tensor([3, 3])).numpy(), a[:, [3, 3]])


@pytest.mark.parametrize("at", [1, -2])
def test_rows_that_were_read_before_take_part_in_writes(at: int) -> None:
    """What a row is a view of is only told when it is asked for: later, by a write or a trace."""
    whole = leaf(3, 2).detach()
    row, deep = whole[at], whole[at][0]
    scale = ig.tensor([2.0, 3.0], dtype=ig.float64, requires_grad=True)
    row.copy_(scale * 2)  # the row is on the tape from now on, and so is all of the tensor
    assert deep.item() == 4.0 and whole.tolist() == [[0.0, 1.0], [4.0, 6.0], [4.0, 5.0]]
    (whole.sum() + deep).backward()
    assert scale.grad is not None and scale.grad.tolist() == [4.0, 2.0]

    plain = ig.arange(6).reshape(3, 2).clone()
    kept = plain[at]

    @ig.jit
    def step() -> ig.Tensor:
        kept.add_(10)
        return plain.sum()

    assert step().item() == 35 and plain.tolist() == [[0, 1], [12, 13], [4, 5]]
    plain[at] = 7
    assert kept.tolist() == [7, 7] and step().item() == 44
