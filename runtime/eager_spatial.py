"""Kernels of convolutions and windows for eager use: one for each geometry (kernel, strides,
padding, dilations), which serves images of all sizes and all numbers of channels.

Up to `FEW` channels are part of the kernel, since its loops depend on them: images of one to four
channels, depthwise convolutions. A convolution that takes each pixel for itself sees images as rows
of pixels. Sizes that the operands' shapes do not tell come as the lengths of operands that are not
read."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, Final

import numpy as np

from intaglio.compiler.dims import Dim, Size
from intaglio.compiler.dtypes import uint8
from intaglio.compiler.ir import Graph
from intaglio.compiler.op import Builder, Op
from intaglio.compiler.ops.convolution import window_size
from intaglio.compiler.types import TensorType
from intaglio.runtime.arrays import Array
from intaglio.runtime.eager_calls import Evaluator, as_dense, calls_of, kernel_of

FEW: Final = 4
"""Channels that stay numbers in a kernel."""
MANY: Final = 256
"""Pixels from which a kernel knows that images need no padding for its last vectors."""


def convolution_evaluator(
    rule: Op, types: Sequence[TensorType], result: TensorType, attributes: Mapping[str, Any]
) -> Evaluator:
    """The evaluator of a convolution or one of its derivatives for operands of these types."""
    x, w, y = _roles(rule.name, types, result)
    sizes, kernel = x.shape[2:], w.shape[2:]
    options = dict(attributes)
    pointwise = _is_pointwise(kernel, options)
    if pointwise:
        sizes, kernel = (math.prod(sizes),), (1,)
        flat: dict[str, Any] = {"strides": (1,), "low": (0,), "high": (0,), "dilations": (1,)}
        options |= flat
    groups = _open(options["groups"], "g")
    inside = _open(w.shape[1], "ci")
    outside = _open(w.shape[0] // options["groups"], "co")
    spatial = _images(sizes, kernel, options)
    windows = _windows(spatial, kernel, options)
    n = Dim("n")
    shapes = {
        "x": (n, groups * inside, *spatial),
        "w": (groups * outside, inside, *kernel),
        "y": (n, groups * outside, *windows),
    }
    options["groups"] = groups
    told = [(groups, attributes["groups"])]
    if rule.name == "conv_input":
        options["sizes"] = spatial
        told += [(s, size) for s, size in zip(spatial, sizes, strict=True)]
    elif rule.name == "conv_weight":
        options["sizes"] = kernel
    names = {"conv": "xw", "conv_input": "yw", "conv_weight": "xy"}[rule.name]
    open_types = [t.with_shape(*shapes[k]) for t, k in zip(types, names, strict=True)]
    views = [(*t.shape[:2], math.prod(t.shape[2:])) if pointwise else t.shape for t in types]
    return _evaluator(rule, open_types, views, options, told, result)


def window_evaluator(
    rule: Op, types: Sequence[TensorType], result: TensorType, attributes: Mapping[str, Any]
) -> Evaluator:
    """The evaluator of an op over windows for operands of these types."""
    options = dict(attributes)
    kernel = options["sizes"]
    rank = len(kernel)
    whole = options.get("shape", types[0].shape[-rank:])
    spatial = _images(whole, kernel, options)
    windows = _windows(spatial, kernel, options)
    n = Dim("n")
    told: list[tuple[Size, Any]] = []
    if "shape" in options:
        options["shape"] = spatial
        told += zip(spatial, whole, strict=True)
        first = windows
    else:
        first = spatial
    open_types = [types[0].with_shape(n, *first)]
    open_types += [t.with_shape(n, *windows) for t in types[1:]]
    views = [(math.prod(t.shape[:-rank]), *t.shape[-rank:]) for t in types]
    return _evaluator(rule, open_types, views, options, told, result)


def _roles(
    name: str, types: Sequence[TensorType], result: TensorType
) -> tuple[TensorType, TensorType, TensorType]:
    """Images, kernels and results, whichever of them the op makes."""
    first, second = types
    if name == "conv":
        return first, second, result
    return (result, second, first) if name == "conv_input" else (first, result, second)


def _is_pointwise(kernel: Sequence[Size], options: Mapping[str, Any]) -> bool:
    edges = (*options["low"], *options["high"])
    return all(k == 1 for k in (*kernel, *options["strides"])) and not any(edges)


def _open(size: Size, name: str) -> Size:
    """A number of channels that is known only when the kernel is called, unless they are few."""
    return size if isinstance(size, int) and size <= FEW else Dim(name, FEW + 1)


def _images(
    sizes: Sequence[Size], kernel: Sequence[Any], options: Mapping[str, Any]
) -> tuple[Size, ...]:
    """Sizes of images that are known only when the kernel is called, one window at least."""
    low, high, dilations = options["low"], options["high"], options["dilations"]
    spans = [(k - 1) * d + 1 for k, d in zip(kernel, dilations, strict=True)]
    least = [max(1, s - a - b) for s, a, b in zip(spans, low, high, strict=True)]
    if len(sizes) == 1 and sizes[0] >= MANY:
        least = [MANY]
    return tuple(Dim(f"s{d}", size) for d, size in enumerate(least))


def _windows(
    sizes: Sequence[Size], kernel: Sequence[Any], options: Mapping[str, Any]
) -> tuple[Size, ...]:
    geometry = [options[name] for name in ("strides", "low", "high", "dilations")]
    return tuple(window_size(*each) for each in zip(sizes, kernel, *geometry, strict=True))


def _evaluator(
    rule: Op,
    types: Sequence[TensorType],
    views: Sequence[tuple[Any, ...]],
    options: Mapping[str, Any],
    told: Sequence[tuple[Size, Any]],
    result: TensorType,
) -> Evaluator:
    """The evaluator over operands with the open types, which are seen in the shapes `views`. `told`
    are sizes that come with their values, each as an operand of that length."""
    known = [(size, value) for size, value in told if isinstance(size, Dim)]

    def graph() -> Graph:
        b = Builder()
        operands = [b.input(t) for t in types]
        for size, _ in known:
            b.input(TensorType(uint8, (size,)))
        return b.graph(b.apply(rule.name, operands, options))

    least = tuple(s.bounds[0] for t in types for s in t.shape if isinstance(s, Dim))
    key = (rule.name, tuple(map(str, types)), least, tuple(sorted(options.items())))
    call = calls_of(kernel_of(key, graph))
    lengths = [np.empty(value, np.uint8) for _, value in known]
    shape = result.shape

    def run(*arrays: Array) -> tuple[Array, ...]:
        flat = [as_dense(a).reshape(view) for a, view in zip(arrays, views, strict=True)]
        return (call([*flat, *lengths])[0].reshape(shape),)

    return run
