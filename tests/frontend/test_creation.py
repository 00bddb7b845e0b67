"""Tensors from numbers, lists, arrays and sizes: dtypes and edges as torch has them, and its old
names."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import intaglio as ig

MADE: dict[str, tuple[Callable[[], ig.Tensor], ig.dtype, Any]] = {
    "arange of floats": (lambda: ig.arange(0, 5, 1.5), ig.float32, [0, 1.5, 3, 4.5]),
    "arange as integers": (lambda: ig.arange(1.5, 5, dtype=ig.int64), ig.int64, [1, 2, 3, 4]),
    "arange of a tensor": (lambda: ig.arange(ig.tensor(3)), ig.int64, [0, 1, 2]),
    "arange of nothing": (lambda: ig.arange(0, 0), ig.int64, []),
    "range": (lambda: ig.range(0, 1, 0.5), ig.float32, [0, 0.5, 1]),
    "linspace": (lambda: ig.linspace(0, -7, 4, dtype=ig.int32), ig.int32, [0, -2, -4, -7]),
    "linspace of one": (lambda: ig.linspace(3, 9, 1), ig.float32, [3]),
    "linspace of tensors": (
        lambda: ig.linspace(ig.tensor(0), ig.tensor(5), 6, dtype=ig.int64), ig.int64, [*range(6)]),
    "logspace": (lambda: ig.logspace(0, 3, 4, base=2), ig.float32, [1, 2, 4, 8]),
    "full of a bool": (lambda: ig.full((2,), True), ig.bool, [True, True]),
    "full of an integer": (lambda: ig.full((2,), 1.5, dtype=ig.int64), ig.int64, [1, 1]),
    "full_like": (lambda: ig.full_like(ig.arange(2), 2.7), ig.int64, [2, 2]),
    "full_like a tensor": (lambda: ig.full_like(ig.ones(2), ig.tensor(3)), ig.float32, [3, 3]),
    "tensor of nothing": (lambda: ig.tensor([]), ig.float32, []),
    "large floats as integers": (
        lambda: ig.tensor([16777217.0], dtype=ig.int64), ig.int64, [16777217]),
    "-1 as unsigned": (lambda: ig.tensor(-1, dtype=ig.uint8), ig.uint8, 255),
    "tensors in lists": (lambda: ig.tensor([ig.tensor(1), 2.5]), ig.float32, [1, 2.5]),
    "eye": (lambda: ig.eye(2, 3, dtype=ig.bool), ig.bool, np.eye(2, 3, dtype=bool)),
    "sizes by name": (lambda: ig.ones(size=(2,), dtype=ig.int8), ig.int8, [1, 1]),
    "scalar_tensor": (lambda: ig.scalar_tensor(3), ig.float32, 3),
    "frombuffer": (
        lambda: ig.frombuffer(bytearray(b"abcd"), dtype=ig.uint8, count=2, offset=1), ig.uint8,
        [98, 99]),
    "LongTensor": (lambda: ig.LongTensor([1, 2]), ig.int64, [1, 2]),
    "FloatTensor": (lambda: ig.FloatTensor((1, 2)), ig.float32, [1, 2]),
    "Tensor of sizes": (lambda: ig.Tensor(1, 2), ig.float32, [[0, 0]]),
    "Tensor of a list": (lambda: ig.Tensor([1, 2]), ig.float32, [1, 2]),
    "new_full": (lambda: ig.arange(2).new_full((2,), 3.5), ig.int64, [3, 3]),
    "new_zeros": (lambda: ig.ones(1, dtype=ig.float64).new_zeros(2), ig.float64, [0, 0]),
    "tril_indices": (lambda: ig.tril_indices(2, 2, device="cpu"), ig.int64, [[0, 1, 1], [0, 0, 1]]),
}  # fmt: skip


@pytest.mark.parametrize("name", sorted(MADE))
def test_values_and_dtypes(name: str) -> None:
    make, dtype, expected = MADE[name]
    made = make()
    assert made.dtype is dtype
    np.testing.assert_array_equal(made.numpy(), np.asarray(expected))


WRONG: dict[str, Callable[[], Any]] = {
    "arange away": lambda: ig.arange(2, 0),
    "arange in no steps": lambda: ig.arange(0, 1, 0),
    "arange of bools": lambda: ig.arange(3, dtype=ig.bool),
    "linspace": lambda: ig.linspace(0, 1, -1),
    "linspace of vectors": lambda: ig.linspace(ig.ones(2), 3, 4),
    "eye": lambda: ig.eye(-1),
    "zeros": lambda: ig.zeros(-1),
    "zeros of a float": lambda: ig.zeros(1.5),
    "full with nan": lambda: ig.full((2,), float("nan"), dtype=ig.int64),
    "full too large": lambda: ig.full((2,), 300, dtype=ig.uint8),
    "tensor too large": lambda: ig.tensor([300], dtype=ig.uint8),
    "tensor of 70 bits": lambda: ig.tensor(2**70),
    "ragged": lambda: ig.tensor([[1], [1, 2]]),
    "text": lambda: ig.tensor("a"),
    "integers that require grad": lambda: ig.zeros(2, dtype=ig.int64, requires_grad=True),
    "a sparse layout": lambda: ig.zeros(2, layout="sparse_coo"),
    "a format": lambda: ig.zeros_like(ig.ones(1), memory_format="columns"),
    "frombuffer": lambda: ig.frombuffer(b"abc", dtype=ig.int32),
    "a device": lambda: ig.device("tpu"),
    "empty_strided": lambda: ig.empty_strided((2, 2), (1,)),
    "empty_permuted": lambda: ig.empty_permuted((2, 2), (0, 0)),
    "sharing a list": lambda: ig.asarray([1, 2], copy=False),
}


@pytest.mark.parametrize("name", sorted(WRONG))
def test_what_is_wrong_is_refused(name: str) -> None:
    with pytest.raises(ig.Error):
        WRONG[name]()


def test_where_elements_lie() -> None:
    assert ig.empty_strided((2, 3), (1, 2)).stride() == (1, 2)
    assert ig.empty_permuted((2, 3, 4), (2, 0, 1)).stride() == (3, 1, 6)
    array = np.arange(4.0)
    assert np.shares_memory(ig.asarray(array).numpy(), array)
    assert not np.shares_memory(ig.asarray(array, copy=True).numpy(), array)
    made = ig.zeros(2, 3, layout=ig.strided, pin_memory=True, requires_grad=True)
    assert made.requires_grad
    images = ig.ones(1, 2, 3, 3).contiguous(memory_format=ig.channels_last)
    assert ig.empty_like(images, memory_format=ig.preserve_format).shape == (1, 2, 3, 3)
    out = ig.empty(3)
    assert ig.full((3,), 2.0, out=out) is out and out.tolist() == [2.0] * 3


def test_types_and_devices_by_name() -> None:
    x = ig.ones(2)
    assert isinstance(x, ig.FloatTensor) and not isinstance(x, ig.LongTensor)
    assert x.type() == "torch.FloatTensor" and x.type("torch.LongTensor").dtype is ig.int64
    assert (
        x.device == ig.device("cpu") == "cpu" and x.device.type == "cpu" and x.device.index is None
    )
    second = ig.device("cuda", 1)
    assert second == ig.device("cuda:1") == ig.device(1) and second.index == 1
    assert repr(second) == "device(type='cuda', index=1)" and copy.deepcopy(second) == second
    assert x.to(x.device) is x and x.get_device() == -1
    assert x.float(memory_format=ig.preserve_format) is x
    assert ig.numel(x) == 2 and ig.is_floating_point(x) and not ig.is_complex(x)


def test_in_a_trace_with_ends_that_are_data() -> None:
    def line(a: ig.Tensor) -> ig.Tensor:
        return ig.linspace(a, 2 * a, 5, dtype=ig.float64) + ig.arange(5) * ig.eye(5)

    a = ig.tensor(0.3)
    assert np.array_equal(line(a).numpy(), ig.jit(line)(a).numpy())
