"""Calls into Python from functions that run on a device: the bits of the CPU, and its errors."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest

from intaglio.compiler.errors import Error
from intaglio.compiler.types import TensorType
from intaglio.runtime.device.device import Device
from intaglio.runtime.device.eager import device_evaluator
from intaglio.runtime.executor import Executable
from tests.runtime.host_ops import Calls, registered
from tests.runtime.test_host_calls import around, f64, looped, numbers, same, updating


@pytest.fixture(scope="module", autouse=True)
def calls() -> Iterator[Calls]:
    with registered() as found:
        yield found


def test_functions_with_calls_have_the_bits_of_the_cpu(device: Device) -> None:
    run, here = Executable(around(), device=device), Executable(around())
    for size in (3, 5):
        x = numbers(size, size, seed=size)
        assert same([a.to_host() for a in run([x])], here([x]))
    run, here = Executable(looped(), device=device), Executable(looped())
    for rounds in (1, 4):
        arrays = [numbers(3, 3), numbers(rounds, 3, 3)]
        assert same([a.to_host() for a in run(arrays)], here(arrays))
    form = run.form(run.signature.bind(arrays))
    with form.timed() as runs:
        run(arrays)
    assert len(runs) == 1 and min(runs[0]) > 0


def test_a_call_that_fails_on_a_device(device: Device) -> None:
    run = Executable(updating(), updates={1: 2, 2: 3}, states=2, device=device)
    whole, part = device.upload(np.eye(2)), device.upload(np.zeros((4, 2)))
    x, row = np.ones((2, 2)), np.zeros(1, np.int64)
    run([x, row, whole, part])
    before = whole.to_host().copy(), part.to_host().copy()
    with pytest.raises(Error, match="Singular"):
        run([-before[0], row, whole, part])
    with pytest.raises(IndexError):  # the check comes before the call, which would fail too
        run([-before[0], row + 9, whole, part])
    assert same([whole.to_host(), part.to_host()], list(before))
    run([x, row, whole, part])
    assert whole.to_host()[0, 0] == 3


def test_an_op_alone(device: Device) -> None:
    run = device_evaluator(device, "test_inverse", [TensorType(f64().dtype, (3, 3))], {"shift": 1})
    x = numbers(3, 3)
    up = device.upload(x)
    (found,) = run(up.look(up.shape, up.strides[::-1], 0))
    np.testing.assert_array_equal(found.to_host(), np.linalg.inv(np.ascontiguousarray(x.T) + 1))
