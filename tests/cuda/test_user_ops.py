"""Ops of a user on a device: fused into its kernels, or called on the CPU; the bits of the CPU."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

import intaglio as ig
from intaglio.compiler.op import OPS
from intaglio.runtime.device.device import Device
from tests.frontend.test_extend import CASES, OURS, numbers
from tests.frontend.user_ops import gelu_fast, inverse, model


@pytest.fixture(scope="module", autouse=True)
def registered() -> Iterator[None]:
    OPS.update(OURS)
    yield
    for name in OURS:
        del OPS[name]


@pytest.mark.parametrize("name", ["element", "attribute", "in Python", "several results", "C"])
def test_tensors_on_a_device(name: str, device: Device) -> None:
    f, here = CASES[name], numbers(2, 3)
    there = here.detach().to("cuda").requires_grad_()
    want, found = f(here), f(there)
    assert found.device.type == "cuda"
    assert np.array_equal(found.detach().cpu().numpy(), want.detach().numpy())
    want.sum().backward()
    found.sum().backward()
    assert np.array_equal(there.grad.cpu().numpy(), here.grad.numpy())  # type: ignore[union-attr]  # set


def test_compiled_and_loaded(device: Device, tmp_path: Path) -> None:
    x = numbers(3, 4).detach()
    want = model(x).numpy()
    assert np.array_equal(ig.jit(model)(x.to("cuda")).cpu().numpy(), want)
    ig.trace(model, ig.spec((3, 4), ig.float64)).save(tmp_path / "m.ig")
    loaded = ig.load(tmp_path / "m.ig", device="cuda", ops=[gelu_fast, inverse])
    assert np.array_equal(loaded(x.numpy()).to_host(), want)
