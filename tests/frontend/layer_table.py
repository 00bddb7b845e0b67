"""Layers with constructor arguments and inputs, to be compared with torch: the rows' form, and the
rows of pointwise layers, linear maps, norms, dropout, tables of vectors and containers.

A row is `case(*constructor's arguments, x=inputs, **constructor's keywords)`. An input is a shape
(a tuple: normal f64 numbers with a derivative), an array (floats have a derivative unless `fixed`),
a list of inputs (given as a tuple), or anything else as it is. `Made` holds what differs between
the two libraries: a function of the namespace `nn`."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np

Array = np.ndarray[Any, Any]


@dataclass(frozen=True)
class Made:
    """What a function makes of a library's `nn`, once as ours and once as torch's."""

    make: Callable[[Any], Any]


@dataclass(frozen=True)
class Fixed:
    """An array without a derivative."""

    array: Array


@dataclass(frozen=True)
class Case:
    """One layer to build and to call."""

    args: tuple[Any, ...]
    kwargs: dict[str, Any]
    inputs: tuple[Any, ...]
    options: dict[str, Any] = field(default_factory=dict)
    training: bool = True
    tolerance: float = 1e-8


def case(
    *args: Any,
    x: Any,
    options: dict[str, Any] | None = None,
    eval: bool = False,
    tolerance: float = 1e-8,
    **kwargs: Any,
) -> Case:
    """A row; `x`: one input's shape, or a list of inputs; `options`: forward's keywords;
    `tolerance`: relative, where torch itself computes with less than f64."""
    inputs = tuple(x) if isinstance(x, list) else (x,)
    return Case(args, kwargs, inputs, options or {}, not eval, tolerance)


def both(*args: Any, **kwargs: Any) -> list[Case]:
    """The row in training and in evaluation."""
    return [case(*args, **kwargs), case(*args, eval=True, **kwargs)]


def tensor(array: Any) -> Made:
    """A constructor's argument that is a tensor of these numbers."""
    return Made(lambda nn: library(nn).tensor(np.asarray(array)))


def library(nn: Any) -> Any:
    """The package whose `nn` this is."""
    if nn.__name__.startswith("torch"):
        import torch

        return torch
    import intaglio

    return intaglio


def function(name: str) -> Made:
    """A constructor's argument that is a function of `nn.functional`."""
    return Made(lambda nn: getattr(nn.functional, name))


_DRAWN = np.random.default_rng(20)


def ints(high: int, *shape: int, low: int = 0) -> Array:
    """Whole numbers from `low` up to below `high`."""
    return _DRAWN.integers(low, high, shape)


def positive(*shape: int) -> Array:
    """Numbers above 0."""
    return np.abs(_DRAWN.standard_normal(shape)) + 0.1


def unit(*shape: int) -> Array:
    """Numbers strictly between 0 and 1."""
    return _DRAWN.uniform(0.05, 0.95, shape)


def normal(*shape: int) -> Array:
    """Normal numbers."""
    return _DRAWN.standard_normal(shape)


def signs(*shape: int) -> Fixed:
    """Each 1 or -1."""
    return Fixed(np.where(_DRAWN.random(shape) < 0.5, -1.0, 1.0))


def row_sums_to_one(*shape: int) -> Array:
    """Distributions along the second axis."""
    drawn = positive(*shape)
    return drawn / drawn.sum(1 if len(shape) > 1 else 0, keepdims=True)


LINE, PLANE = (3, 6), (2, 3, 4)

POINTWISE = {
    "CELU": [
        case(x=LINE),
        case(0.4, x=LINE, tolerance=3e-8),
        case(alpha=2.0, inplace=True, x=LINE),
    ],
    "ELU": [case(x=LINE), case(0.4, x=LINE), case(1.5, inplace=True, x=LINE)],
    "GELU": [case(x=LINE), case("tanh", x=LINE), case(approximate="none", x=PLANE)],
    "GLU": [case(x=LINE), case(0, x=(4, 3)), case(dim=1, x=(2, 4, 3)), case(-2, x=(2, 4, 3))],
    "Hardshrink": [case(x=LINE), case(0.2, x=LINE), case(lambd=1.0, x=PLANE)],
    "Hardsigmoid": [case(x=LINE, tolerance=3e-8), case(inplace=True, x=(3, 5), tolerance=3e-8)],
    "Hardswish": [case(x=LINE), case(inplace=True, x=(3, 5))],
    "Hardtanh": [case(x=LINE), case(-0.4, 0.6, x=LINE), case(min_val=0.1, inplace=True, x=LINE)],
    "LeakyReLU": [case(x=LINE), case(0.2, x=LINE), case(negative_slope=0.3, inplace=True, x=LINE)],
    "LogSigmoid": [case(x=LINE)],
    "LogSoftmax": [case(-1, x=LINE), case(dim=0, x=LINE), case(1, x=PLANE), case(x=LINE)],
    "Mish": [case(x=LINE), case(inplace=True, x=LINE)],
    "PReLU": [case(x=LINE), case(6, x=LINE), case(3, init=0.1, x=PLANE), case(1, 0.5, x=(5,))],
    "RReLU": [case(x=LINE, eval=True), case(0.1, 0.4, x=LINE, eval=True), case(0.2, 0.2, x=LINE)],
    "ReLU": [case(x=LINE), case(inplace=True, x=LINE)],
    "ReLU6": [case(x=LINE), case(inplace=True, x=LINE)],
    "SELU": [case(x=LINE), case(inplace=True, x=LINE)],
    "SiLU": [case(x=LINE), case(inplace=True, x=LINE)],
    "Sigmoid": [case(x=LINE)],
    "Softmax": [case(-1, x=LINE), case(dim=0, x=LINE), case(1, x=PLANE)],
    "Softmax2d": [case(x=(2, 3, 2, 2)), case(x=(3, 2, 2))],
    "Softmin": [case(-1, x=LINE), case(dim=0, x=LINE)],
    "Softplus": [
        case(x=LINE),
        case(2.0, x=LINE),
        case(0.7, 1.0, x=LINE),
        case(threshold=0.1, x=LINE),
    ],
    "Softshrink": [case(x=LINE), case(0.2, x=LINE)],
    "Softsign": [case(x=LINE)],
    "Tanh": [case(x=LINE)],
    "Tanhshrink": [case(x=LINE)],
    "Threshold": [case(0.1, 0.7, x=LINE), case(-0.2, value=3.0, inplace=True, x=LINE)],
}

LINEAR = {
    "Identity": [case(x=LINE), case(54, unused=True, x=LINE)],
    "Linear": [
        case(5, 3, x=(4, 5)), case(5, 3, bias=False, x=(2, 3, 5)), case(5, 1, x=(5,)),
        case(1, 4, x=(2, 2, 2, 1)), case(5, 3, x=(0, 5)),
    ],
    "Bilinear": [
        case(3, 4, 2, x=[(5, 3), (5, 4)]), case(3, 2, 4, bias=False, x=[(2, 3, 3), (2, 3, 2)]),
        case(1, 1, 1, x=[(4, 1), (4, 1)]),
    ],
    "Flatten": [
        case(x=PLANE), case(0, 1, x=PLANE), case(start_dim=0, x=PLANE), case(-2, -1, x=PLANE),
    ],
    "Unflatten": [
        case(1, (2, 3), x=LINE), case(0, [3, 1], x=LINE), case(-1, (2, -1), x=LINE),
    ],
    "CosineSimilarity": [
        case(x=[LINE, LINE]), case(0, x=[LINE, LINE]), case(dim=-1, eps=0.5, x=[PLANE, PLANE]),
        case(1, x=[LINE, (1, 6)]),
    ],
    "PairwiseDistance": [
        case(x=[LINE, LINE]), case(1.0, x=[LINE, LINE]), case(3.0, 1e-3, x=[LINE, LINE]),
        case(keepdim=True, x=[LINE, LINE]), case(p=float("inf"), x=[LINE, LINE]),
        case(x=[(6,), (6,)]), case(p=0.5, x=[LINE, (6,)]),
    ],
    "Embedding": [
        case(7, 3, x=ints(7, 4)), case(7, 3, x=ints(7, 2, 5)),
        case(7, 3, padding_idx=2, x=ints(7, 9)),
        case(7, 3, padding_idx=-1, x=ints(7, 9)), case(7, 3, max_norm=1.0, x=ints(7, 4)),
        case(7, 3, max_norm=2.0, norm_type=1.0, x=ints(7, 4)),
        case(7, 3, scale_grad_by_freq=True, x=ints(7, 9)),
        case(7, 3, padding_idx=1, scale_grad_by_freq=True, x=ints(7, 3, 4)),
        case(4, 2, _weight=tensor(np.arange(8.0).reshape(4, 2)), x=ints(4, 3)),
        case(4, 2, None, None, 2.0, False, False, tensor(np.ones((4, 2))), True, x=ints(4, 3)),
    ],
    "EmbeddingBag": [
        case(7, 3, x=ints(7, 2, 4)), case(7, 3, mode="sum", x=ints(7, 2, 4)),
        case(7, 3, mode="max", x=ints(7, 2, 4)),
        case(7, 3, x=[ints(7, 6), np.array([0, 2, 2])]),
        case(7, 3, mode="sum", x=[ints(7, 6), np.array([0, 3])]),
        case(7, 3, mode="max", x=[ints(7, 6), np.array([0, 3])]),
        case(7, 3, mode="sum", x=[ints(7, 2, 3), None, (2, 3)]),
        case(7, 3, mode="sum", x=[ints(7, 5), np.array([0, 2]), (5,)]),
        case(7, 3, include_last_offset=True, x=[ints(7, 6), np.array([0, 2, 6])]),
        case(7, 3, padding_idx=1, x=ints(7, 2, 4)),
        case(7, 3, mode="max", padding_idx=2, x=ints(7, 2, 4)),
        case(7, 3, max_norm=1.5, x=ints(7, 2, 2)),
        # torch divides by the count of another position where counts differ: here they do not.
        case(7, 3, mode="sum", scale_grad_by_freq=True, x=np.array([[5, 2, 0], [2, 0, 5]])),
    ],
    "ChannelShuffle": [case(2, x=(1, 4, 2, 2)), case(groups=3, x=(2, 6, 2))],
}  # fmt: skip

NORMS = {
    "LayerNorm": [
        case(6, x=LINE), case((3, 4), x=PLANE), case([4], eps=0.1, x=PLANE),
        case(6, elementwise_affine=False, x=LINE), case(6, bias=False, x=LINE), case(6, x=(6,)),
        case((2, 3, 4), 1e-3, False, False, x=PLANE),
    ],
    "RMSNorm": [
        case(6, x=LINE), case((3, 4), x=PLANE), case(4, 0.1, x=PLANE),
        case(6, elementwise_affine=False, x=LINE), case(6, eps=1e-6, x=(6,)),
    ],
    "GroupNorm": [
        case(2, 6, x=(3, 6)), case(3, 6, x=(2, 6, 4)), case(1, 4, eps=0.1, x=(2, 4, 2, 2)),
        case(4, 4, affine=False, x=(2, 4, 3)), case(2, 4, bias=False, x=(2, 4, 3)),
        case(2, 4, x=(2, 4, 2, 2, 2)),
    ],
    "LocalResponseNorm": [
        case(2, x=(2, 5, 3)), case(3, 0.1, 0.5, 2.0, x=(2, 5, 3, 2)),
        case(5, alpha=0.3, x=(1, 4, 2, 2)),
    ],
    "CrossMapLRN2d": [
        # torch's sums keep channel 0, and its derivative is that of one channel only.
        case(3, x=(2, 1, 3, 2)), case(4, 0.1, 0.5, 2.0, x=(2, 2, 1, 2)),
        case(3, k=3.0, x=(2, 1, 2, 2)),
    ],
    "BatchNorm1d": [
        *both(6, x=(4, 6)), *both(3, x=(2, 3, 4)), *both(3, eps=0.1, momentum=0.4, x=(5, 3)),
        *both(3, momentum=None, x=(5, 3)), *both(3, affine=False, x=(5, 3)),
        *both(3, track_running_stats=False, x=(5, 3)),
        *both(3, 1e-3, 0.2, False, False, x=(2, 3, 4)), *both(3, bias=False, x=(5, 3)),
        case(3, momentum=0.0, x=(5, 3)), case(3, momentum=1.0, x=(5, 3)),
    ],
    "BatchNorm2d": [
        *both(3, x=(2, 3, 2, 2)), *both(3, momentum=None, x=(2, 3, 2, 2)),
        *both(3, affine=False, track_running_stats=False, x=(2, 3, 2, 2)),
        case(3, bias=False, x=(2, 3, 2, 3)),
    ],
    "BatchNorm3d": [
        *both(2, x=(2, 2, 2, 2, 2)), case(2, 0.1, None, False, x=(2, 2, 2, 2, 2)),
    ],
    "SyncBatchNorm": [
        *both(3, x=(2, 3, 2, 2)), *both(3, x=(4, 3)), *both(3, momentum=None, x=(2, 3, 2)),
        case(3, 0.1, 0.3, False, x=(2, 3, 2, 2)), *both(3, track_running_stats=False, x=(4, 3)),
    ],
    "InstanceNorm1d": [
        *both(3, x=(2, 3, 4)), case(3, x=(3, 4)), *both(3, affine=True, x=(2, 3, 4)),
        *both(3, track_running_stats=True, x=(2, 3, 4)),
        *both(3, eps=0.1, momentum=0.4, affine=True, track_running_stats=True, x=(2, 3, 4)),
        case(3, affine=True, bias=False, x=(2, 3, 4)),
    ],
    "InstanceNorm2d": [
        *both(3, x=(2, 3, 2, 3)), case(3, affine=True, x=(3, 2, 3)),
        *both(3, affine=True, track_running_stats=True, x=(2, 3, 2, 3)),
    ],
    "InstanceNorm3d": [
        case(2, x=(2, 2, 2, 2, 2)), case(2, affine=True, x=(2, 2, 2, 2)),
        *both(2, track_running_stats=True, x=(2, 2, 2, 2, 2)),
    ],
}  # fmt: skip

_DROPPED = [case(0.0, x=(2, 3, 4)), case(0.7, x=(2, 3, 4), eval=True), case(1.0, x=(2, 3, 4))]
DROPOUT = {
    "Dropout": [*_DROPPED, case(p=0.0, inplace=True, x=LINE)],
    "Dropout1d": _DROPPED,
    "Dropout2d": [case(0.3, x=(2, 3, 2, 2), eval=True), case(1.0, x=(2, 3, 2, 2))],
    "Dropout3d": [case(0.3, x=(2, 3, 2, 2, 1), eval=True), case(1.0, x=(2, 3, 2, 2, 1))],
    "AlphaDropout": [*_DROPPED[:2], case(0.5, inplace=True, x=LINE, eval=True)],
    "FeatureAlphaDropout": _DROPPED[:2],
}


def _named(nn: Any) -> Any:
    from collections import OrderedDict

    return OrderedDict(
        [("first", nn.Linear(6, 4)), ("second", nn.Tanh()), ("third", nn.Linear(4, 2))]
    )


CONTAINERS = {
    "Sequential": [
        case(x=LINE), case(Made(lambda nn: nn.Linear(6, 2)), x=LINE), case(Made(_named), x=LINE),
        case(
            *[Made(lambda nn: nn.Linear(6, 6)), Made(lambda nn: nn.ReLU(inplace=True))] * 2, x=LINE,
        ),
        case(
            Made(lambda nn: nn.Conv2d(1, 2, 3, padding=1)), Made(lambda nn: nn.BatchNorm2d(2)),
            Made(lambda nn: nn.MaxPool2d(2)), Made(lambda nn: nn.Flatten()),
            Made(lambda nn: nn.Sequential(nn.Linear(8, 3), nn.Softmax(dim=1))), x=(2, 1, 4, 4),
        ),
    ],
}  # fmt: skip

CASES: dict[str, list[Case]] = POINTWISE | LINEAR | NORMS | DROPOUT | CONTAINERS
