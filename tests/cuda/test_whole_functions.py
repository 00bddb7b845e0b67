"""Whole functions on a device, compiled for their sizes and then in the general form: the bits of
the CPU. All of them on a GPU; on the emulation, which `test_functions` and `test_convolution` put
them through already, one of each kind."""

from __future__ import annotations

import numpy as np
import pytest

from intaglio.runtime.device.device import Device, find_device
from intaglio.runtime.executor import Executable
from tests.cuda import test_convolution, test_functions
from tests.cuda.programs import Array, operands

FEW = ("chains", "strides", "down f64")
CASES = test_functions.CASES | test_convolution.CASES
ROUNDS = 3


def larger(sizes: dict[str, int]) -> dict[str, int]:
    """Other sizes, for which the general form is compiled."""
    return {name: size + 1 for name, size in sizes.items()}


def check(name: str, device: Device) -> None:
    """Compare results, several times over: a race need not show at once."""
    graph, first = CASES[name]
    here, there = Executable(graph), Executable(graph, device=device)
    for sizes in (first, larger(first)):
        given: list[Array] = [x - x.dtype.type(x.mean()) if x.dtype.kind == "f" else x
                              for x in operands(graph, sizes)]  # fmt: skip
        expected = [np.asarray(e) for e in here(given)]
        for _ in range(ROUNDS):
            found = [x.to_host() for x in there([device.upload(x) for x in given])]
            for one, other in zip(found, expected, strict=True):
                assert one.tobytes() == other.tobytes(), (name, sizes, one.shape)


@pytest.mark.parametrize("name", FEW)
def test_functions_of_each_kind(name: str, emulated: object) -> None:
    check(name, find_device("cuda"))


@pytest.mark.gpu
@pytest.mark.parametrize("name", CASES)
def test_every_function_on_a_gpu(name: str, gpu: Device) -> None:
    check(name, gpu)
