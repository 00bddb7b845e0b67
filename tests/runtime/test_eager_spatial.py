"""Eager convolutions and windows: one kernel for each geometry, with the bits of kernels that are
made for one size."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from intaglio.compiler.dtypes import dtype_of
from intaglio.compiler.op import Builder
from intaglio.compiler.types import TensorType
from intaglio.runtime import build
from intaglio.runtime.eager import evaluate
from intaglio.runtime.executor import Executable

Array = np.ndarray[Any, Any]


def _normal(*shape: int, seed: int = 0) -> Array:
    return np.random.default_rng(seed).standard_normal(shape).astype(np.float32)


def _geometry(stride: int, edge: int, rank: int = 2, groups: int = 1) -> dict[str, Any]:
    return {
        "strides": (stride,) * rank,
        "low": (edge,) * rank,
        "high": (edge,) * rank,
        "dilations": (1,) * rank,
        "groups": groups,
    }


def _alone(op: str, arrays: list[Array], attributes: dict[str, Any]) -> Array:
    """The op as a function compiled for these sizes alone."""
    b = Builder()
    inputs = [b.input(TensorType(dtype_of(a.dtype), a.shape)) for a in arrays]
    return Executable(b.graph(b.apply(op, inputs, attributes)), backend="native")(arrays)[0]


def _same(op: str, arrays: list[Array], attributes: dict[str, Any]) -> None:
    (made,) = evaluate(op, arrays, attributes)
    wanted = _alone(op, arrays, attributes)
    assert made.shape == wanted.shape and made.dtype == wanted.dtype
    assert made.tobytes() == wanted.tobytes()


def _all_three(x: Array, w: Array, geometry: dict[str, Any]) -> None:
    _same("conv", [x, w], geometry)
    (y,) = evaluate("conv", [x, w], geometry)
    _same("conv_input", [y, w], {"sizes": x.shape[2:], **geometry})
    _same("conv_weight", [x, y], {"sizes": w.shape[2:], **geometry})


@pytest.mark.parametrize(
    ("x", "w", "stride", "edge", "groups"),
    [
        ((2, 3, 9, 12), (7, 3, 3, 3), 2, 1, 1),
        ((1, 20, 9, 12), (33, 20, 3, 3), 1, 1, 1),
        ((2, 6, 6, 5), (6, 1, 3, 3), 1, 1, 6),
        ((2, 18, 9, 12), (36, 1, 3, 3), 2, 1, 18),
        ((2, 12, 5, 5), (18, 2, 3, 3), 1, 0, 6),
        ((1, 36, 5, 5), (36, 6, 3, 3), 2, 1, 6),
        ((2, 24, 17, 16), (9, 24, 1, 1), 1, 0, 1),
        ((3, 24, 2, 3), (2, 24, 1, 1), 1, 0, 1),
        ((2, 8, 7, 8), (4, 8, 1, 1), 2, 0, 1),
        ((2, 40, 31), (5, 40, 4), 3, 2, 1),
        ((1, 5, 4, 5, 6), (6, 5, 2, 2, 2), 1, 1, 1),
    ],
)
def test_bits(x: tuple[int, ...], w: tuple[int, ...], stride: int, edge: int, groups: int) -> None:
    _all_three(_normal(*x), _normal(*w, seed=1), _geometry(stride, edge, len(x) - 2, groups))


def test_one_kernel_for_all_images_and_channels() -> None:
    geometry = _geometry(1, 2)
    _all_three(_normal(2, 8, 6, 7), _normal(11, 8, 5, 5), geometry)
    before = build.compiled[0]
    for n, inside, outside, height, width in ((1, 5, 6, 1, 9), (3, 40, 17, 13, 13)):
        x, w = _normal(n, inside, height, width), _normal(outside, inside, 5, 5)
        (y,) = evaluate("conv", [x, w], geometry)
        evaluate("conv_input", [y, w], {"sizes": x.shape[2:], **geometry})
        evaluate("conv_weight", [x, y], {"sizes": w.shape[2:], **geometry})
    assert build.compiled[0] == before


WINDOW = {"sizes": (3, 2), "strides": (2, 3), "low": (1, 0), "high": (1, 1), "dilations": (1, 1)}


@pytest.mark.parametrize("shape", [(2, 3, 9, 70), (4, 5), (1, 7, 1, 2), (3, 1, 2, 8, 9)])
def test_windows(shape: tuple[int, ...]) -> None:
    x = _normal(*shape)
    for op in ("window_max", "window_argmax", "window_sum"):
        _same(op, [x], WINDOW)
    (tap,) = evaluate("window_argmax", [x], WINDOW)
    _same("window_read", [x, tap], WINDOW)
    dy = _normal(*tap.shape, seed=2)
    _same("window_put", [dy, tap], {"shape": shape[-2:], **WINDOW})
    _same("window_spread", [dy], {"shape": shape[-2:], **WINDOW})


def test_one_kernel_for_all_windowed_images() -> None:
    test_windows((2, 3, 9, 70))
    before = build.compiled[0]
    for shape in ((3, 8, 8), (2, 2, 11, 4), (1, 1, 1, 5, 64)):
        (tap,) = evaluate("window_argmax", [_normal(*shape)], WINDOW)
        evaluate("window_put", [_normal(*tap.shape), tap], {"shape": shape[-2:], **WINDOW})
        evaluate("window_max", [_normal(*shape)], WINDOW)
    assert build.compiled[0] == before


def test_views_are_copied() -> None:
    x, w = _normal(2, 9, 12, 20).transpose(0, 3, 1, 2), _normal(6, 20, 3, 3)
    geometry = _geometry(1, 1)
    (made,) = evaluate("conv", [x, w], geometry)
    (wanted,) = evaluate("conv", [np.ascontiguousarray(x), w], geometry)
    assert made.tobytes() == wanted.tobytes()
