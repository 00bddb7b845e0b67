"""Tensors print as torch's do."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest

import intaglio as ig

RNG = np.random.default_rng(0)
NORMAL = RNG.standard_normal
ARRAYS: dict[str, Any] = {
    "integer": np.array(1), "number": np.float32(1.5), "nan": np.float32("nan"),
    "truth": np.array(True), "none": np.zeros(0, np.float32), "no rows": np.zeros((2, 0), np.int64),
    "zeros": np.zeros(3, np.float32), "table": np.arange(20).reshape(4, 5),
    "normal": NORMAL((3, 4)).astype(np.float32), "small": NORMAL((3, 4)).astype(np.float32) * 1e-5,
    "large": NORMAL(3).astype(np.float32) * 1e9, "spread": np.array([1e-3, 1e5], np.float32),
    "infinite": np.array([1.5, np.nan, -np.inf], np.float32), "f64": NORMAL((2, 3, 4)),
    "whole with inf": np.array([1.0, 2.0, np.inf], np.float32), "u8": np.arange(3, dtype=np.uint8),
    "truths": np.array([[True, False], [True, True]]), "f16": NORMAL(5).astype(np.float16),
    "many": np.arange(2000), "many rows": NORMAL((40, 40)).astype(np.float32),
    "many whole": np.arange(5000, dtype=np.float32).reshape(50, 100), "-0": np.float32([1.0, -0.0]),
    "long lines": NORMAL((2, 30)).astype(np.float32), "deep": np.arange(24).reshape(2, 2, 2, 3),
    "i32 rows": np.arange(40, dtype=np.int32).reshape(2, 20), "1e10": np.float32([1e10]),
    "long with dtype": NORMAL(11), "thousandth": np.float32([1.0, 1000.0, 1000.5]),
}  # fmt: skip
TEXTS = {
    "integer": "tensor(1)",
    "nan": "tensor(nan)",
    "no rows": "tensor([], size=(2, 0), dtype=torch.int64)",
    "whole with inf": "tensor([1., 2., inf])",
    "truths": "tensor([[ True, False],\n        [ True,  True]])",
    "spread": "tensor([1.0000e-03, 1.0000e+05])",
    "many": "tensor([   0,    1,    2,  ..., 1997, 1998, 1999])",
    "u8": "tensor([0, 1, 2], dtype=torch.uint8)",
    "-0": "tensor([1., -0.])",
}


@pytest.fixture(autouse=True)
def usual_options() -> Iterator[None]:
    yield
    ig.set_printoptions(profile="default")


def shown(tensor: ig.Tensor) -> str:
    return repr(tensor).replace("intaglio.", "torch.").replace("ig.", "torch.")


@pytest.mark.parametrize("name", TEXTS)
def test_elements_have_one_width_and_notation(name: str) -> None:
    assert shown(ig.tensor(ARRAYS[name])) == TEXTS[name]


def test_what_made_a_tensor_is_said() -> None:
    leaf = ig.ones(2, requires_grad=True)
    assert repr(leaf) == "tensor([1., 1.], requires_grad=True)"
    assert repr(leaf * 2) == "tensor([2., 2.], grad_fn=<MulBackward0>)"
    assert repr(ig.nn.Parameter(ig.ones(1))).startswith("Parameter containing:\ntensor([1.]")


def test_options_change_how_tensors_print() -> None:
    ig.set_printoptions(precision=2, sci_mode=False, threshold=4, edgeitems=1)
    assert repr(ig.tensor([1.23456, 1e-6])) == "tensor([1.23, 0.00])"
    assert repr(ig.arange(9)) == "tensor([0,  ..., 8])"
    assert ig.get_printoptions()["edgeitems"] == 1
    with pytest.raises(ig.ArgumentError, match="full"):
        ig.set_printoptions(profile="fancy")


@pytest.mark.torch
@pytest.mark.parametrize("name", ARRAYS)
def test_the_text_is_torch_s(name: str) -> None:
    import torch

    array = np.asarray(ARRAYS[name])
    made: list[Callable[[Any, Any], Any]] = [lambda lib, t: t, lambda lib, t: t[..., None]]
    for options in ({}, {"precision": 2, "linewidth": 120}, {"profile": "short"}):
        torch.set_printoptions(profile="default")
        ig.set_printoptions(profile="default")
        torch.set_printoptions(**options)
        ig.set_printoptions(**options)
        for make in made:
            want = repr(make(torch, torch.from_numpy(array.copy())))
            assert shown(make(ig, ig.from_numpy(array.copy()))) == want
    torch.set_printoptions(profile="default")
