"""Convolutions as model code calls them: what they accept, what they refuse, and what they mean."""

from __future__ import annotations

import numpy as np
import pytest

import intaglio as ig
import intaglio.nn.functional as F


def numbers(*shape: int) -> ig.Tensor:
    count = int(np.prod(shape))
    return ig.tensor((np.arange(count) % 7 - 3).reshape(shape), dtype=ig.float64)


def test_same_padding_keeps_the_sizes() -> None:
    x = numbers(2, 3, 8, 9)
    for kernel, dilation in (((3, 3), 1), ((2, 5), 1), ((4, 3), (1, 3))):
        y = F.conv2d(x, numbers(4, 3, *kernel), padding="same", dilation=dilation)
        assert y.shape == (2, 4, 8, 9)
    whole = F.conv2d(x, numbers(4, 3, 2, 2), padding="same")
    wide = ig.constant_pad(x, (0, 1, 0, 1))  # one more zero behind than before
    assert np.array_equal(whole.numpy(), F.conv2d(wide, numbers(4, 3, 2, 2)).numpy())


def test_valid_padding_is_none() -> None:
    x, w = numbers(1, 2, 6), numbers(3, 2, 3)
    assert np.array_equal(
        F.conv1d(x, w, padding="valid").numpy(), F.conv1d(x, w, padding=0).numpy()
    )


def test_one_image_needs_no_batch() -> None:
    x, w, b = numbers(3, 6, 5), numbers(4, 3, 3, 3), numbers(4)
    alone = F.conv2d(x, w, b, padding=1)
    assert alone.shape == (4, 6, 5)
    assert np.array_equal(alone.numpy(), F.conv2d(x.unsqueeze(0), w, b, padding=1).numpy()[0])
    back = F.conv_transpose2d(x, numbers(3, 2, 3, 3), stride=2)
    assert back.shape == (2, 13, 11)


def test_short_floats_are_computed_in_f32() -> None:
    x, w = numbers(1, 2, 6, 6), numbers(3, 2, 3, 3)
    y = F.conv2d(x.to(ig.bfloat16), w.to(ig.bfloat16))
    assert y.dtype is ig.bfloat16
    assert np.array_equal(
        y.to(ig.float64).numpy(), F.conv2d(x, w).to(ig.bfloat16).to(ig.float64).numpy()
    )


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda x, w: F.conv2d(x, w, stride=2, padding="same"), "stride of 1"),
        (lambda x, w: F.conv2d(x, w, padding="full"), "'same' and 'valid'"),
        (lambda x, w: F.conv2d(x, w, stride=0), "stride is 0"),
        (lambda x, w: F.conv2d(x, w, padding=-1), "padding is -1"),
        (lambda x, w: F.conv2d(x, w, stride=(1, 2, 3)), "one for each of 2 dims"),
        (lambda x, w: F.conv2d(x, w, groups=2), "in 2 groups"),
        (lambda x, w: F.conv2d(x, w, groups=0), "groups is 0"),
        (lambda x, w: F.conv2d(x, w.to(ig.float32)), "cast with"),
        (lambda x, w: F.conv2d(x, w[0]), r"\[out, in, \*kernel\]"),
        (lambda x, w: F.conv2d(x[0, 0], w), "one image"),
        (lambda x, w: F.conv2d(x[:, :2], w), "2 channels, and the weight takes 3"),
        (lambda x, w: F.conv2d(x, w, x[0, 0, 0]), "one number for 4 channels"),
        (lambda x, w: F.conv2d(x, w, dilation=4), "does not fit"),
        (lambda x, w: F.conv_transpose2d(x, w), "3 channels, and the weight takes 4"),
        (lambda x, w: F.conv_transpose2d(x, w[:3], output_padding=1), "smaller than the stride"),
    ],
)
def test_refusals_name_the_call_and_the_rule(call, words: str) -> None:
    with pytest.raises(ig.Error, match=words) as raised:
        call(numbers(2, 3, 6, 6), numbers(4, 3, 3, 3))
    assert "conv" in str(raised.value)


def test_any_number_of_images_in_one_trace() -> None:
    w = numbers(4, 3, 3, 3)

    @ig.jit
    def f(x: ig.Tensor) -> ig.Tensor:
        return F.conv2d(x, w, padding=1).relu()

    for n in (1, 2, 5):
        x = numbers(n, 3, 6, 6)
        assert np.array_equal(f(x).numpy(), F.conv2d(x, w, padding=1).relu().numpy())


def test_patches_go_back_to_where_they_came_from() -> None:
    x = numbers(2, 3, 7, 8)
    columns = F.unfold(x, (3, 2), dilation=(1, 2), padding=(1, 0), stride=2)
    assert columns.shape == (2, 18, 12)
    ones = F.unfold(ig.ones_like(x), (3, 2), dilation=(1, 2), padding=(1, 0), stride=2)
    count = F.fold(ones, (7, 8), (3, 2), dilation=(1, 2), padding=(1, 0), stride=2)
    back = F.fold(columns, (7, 8), (3, 2), dilation=(1, 2), padding=(1, 0), stride=2)
    assert np.array_equal(back.numpy(), (count * x).numpy())
    with pytest.raises(ig.ShapeError, match="columns"):
        F.fold(columns, (9, 8), (3, 2))
