"""Convolutions beside torch in f64: values, gradients, and gradients of gradients."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import intaglio as ig
import intaglio.nn.functional as F

torch = pytest.importorskip("torch")
pytestmark = pytest.mark.torch

CASES: list[tuple[str, tuple[int, ...], tuple[int, ...], dict[str, Any]]] = [
    ("conv1d", (2, 4, 11), (6, 4, 3), {}),
    ("conv1d", (2, 4, 11), (6, 2, 3), {"stride": 2, "padding": 2, "groups": 2}),
    ("conv1d", (2, 4, 11), (4, 4, 2), {"padding": "same", "dilation": 3}),
    ("conv1d", (4, 9), (3, 4, 3), {"padding": 1}),
    ("conv2d", (2, 3, 8, 9), (5, 3, 3, 3), {}),
    ("conv2d", (2, 3, 8, 9), (5, 3, 3, 2), {"stride": (2, 3), "padding": (1, 0)}),
    ("conv2d", (2, 3, 8, 9), (5, 3, 2, 3), {"padding": 2, "dilation": (3, 2)}),
    ("conv2d", (2, 3, 8, 9), (5, 3, 4, 2), {"padding": "same"}),
    ("conv2d", (2, 6, 8, 9), (6, 1, 3, 3), {"padding": 1, "groups": 6}),
    ("conv2d", (2, 6, 8, 9), (12, 1, 3, 3), {"stride": 2, "padding": 1, "groups": 6}),
    ("conv2d", (2, 6, 8, 9), (4, 3, 3, 3), {"stride": 2, "groups": 2}),
    ("conv2d", (2, 20, 5, 6), (18, 20, 1, 1), {}),
    ("conv2d", (2, 20, 5, 6), (18, 20, 1, 1), {"stride": 2}),
    ("conv2d", (2, 2, 9, 9), (3, 2, 7, 7), {"stride": 3, "padding": 3}),
    ("conv2d", (3, 6, 7), (2, 3, 3, 3), {"padding": 1}),
    ("conv2d", (2, 34, 6, 5), (35, 34, 3, 3), {"padding": 1}),
    ("conv3d", (2, 2, 5, 6, 4), (3, 2, 3, 2, 2), {"padding": (1, 0, 1)}),
    ("conv3d", (1, 4, 5, 6, 5), (4, 2, 2, 3, 2), {"stride": (2, 1, 2), "groups": 2}),
    ("conv_transpose1d", (2, 4, 6), (4, 3, 3), {"stride": 2, "padding": 1, "output_padding": 1}),
    ("conv_transpose1d", (4, 6), (4, 3, 3), {"dilation": 3, "output_padding": 2}),
    ("conv_transpose1d", (2, 4, 6), (4, 3, 3), {"dilation": 3, "output_padding": 2, "padding": 3}),
    ("conv_transpose2d", (2, 4, 5, 6), (4, 3, 3, 3), {}),
    ("conv_transpose2d", (2, 4, 5, 6), (4, 3, 2, 3), {"stride": (2, 3), "groups": 2}),
    ("conv_transpose2d", (2, 4, 5, 6), (4, 2, 4, 4), {"stride": 2, "padding": 1}),
    ("conv_transpose2d", (2, 4, 5, 6), (4, 1, 3, 3), {"stride": 2, "padding": 1, "groups": 4,
                                                      "output_padding": 1}),
    ("conv_transpose2d", (2, 4, 5, 6), (4, 2, 1, 1), {"stride": 3, "output_padding": (2, 0)}),
    ("conv_transpose3d", (1, 2, 3, 4, 3), (2, 2, 3, 2, 2), {"stride": 2, "padding": 1,
                                                            "output_padding": (1, 0, 1)}),
]  # fmt: skip


def close(ours: ig.Tensor, theirs: Any) -> None:
    np.testing.assert_allclose(ours.detach().numpy(), theirs.detach().numpy(), 1e-8, 1e-8)


@pytest.mark.parametrize(("name", "x", "w", "arguments"), CASES)
def test_values_and_derivatives_of_two_orders(
    name: str, x: tuple[int, ...], w: tuple[int, ...], arguments: dict[str, Any]
) -> None:
    rng = np.random.default_rng(0)
    channels = w[1] * arguments.get("groups", 1) if "transpose" in name else w[0]
    arrays = [rng.standard_normal(s) for s in (x, w, (channels,))]
    mine = [ig.tensor(a, requires_grad=True) for a in arrays]
    theirs = [torch.tensor(a, requires_grad=True) for a in arrays]
    y = getattr(F, name)(*mine, **arguments)
    want = getattr(torch.nn.functional, name)(*theirs, **arguments)
    close(y, want)
    dy = rng.standard_normal(want.shape)
    first = ig.autograd.grad((y * y * ig.tensor(dy)).sum(), mine, create_graph=True)
    first_want = torch.autograd.grad(
        (want * want * torch.tensor(dy)).sum(), theirs, create_graph=True
    )
    for a, b in zip(first, first_want, strict=True):
        close(a, b)
    total = sum((g * g).sum() for g in first)
    total_want = sum((g * g).sum() for g in first_want)
    for a, b in zip(
        ig.autograd.grad(total, mine), torch.autograd.grad(total_want, theirs), strict=True
    ):
        close(a, b)


@pytest.mark.parametrize("arguments", [
    {"kernel_size": 3}, {"kernel_size": (2, 3), "stride": 2, "padding": 1},
    {"kernel_size": 2, "dilation": (2, 3), "padding": (1, 2), "stride": (1, 2)},
])  # fmt: skip
def test_patches(arguments: dict[str, Any]) -> None:
    rng = np.random.default_rng(1)
    a = rng.standard_normal((2, 3, 7, 8))
    x, t = ig.tensor(a, requires_grad=True), torch.tensor(a, requires_grad=True)
    columns, want = F.unfold(x, **arguments), torch.nn.functional.unfold(t, **arguments)
    close(columns, want)
    back = F.fold(columns * columns, (7, 8), **arguments)
    back_want = torch.nn.functional.fold(want * want, (7, 8), **arguments)
    close(back, back_want)
    close(
        ig.autograd.grad((back * back).sum(), [x])[0],
        torch.autograd.grad((back_want * back_want).sum(), [t])[0],
    )
