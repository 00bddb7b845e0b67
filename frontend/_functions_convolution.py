"""Convolutions in one to three dimensions, and the transposed ones, with torch's arguments; and the
patches that they see, as columns (`unfold`, `fold`)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from intaglio._apply import apply
from intaglio._core import Tensor
from intaglio._functions_movement import pad_sides, reshape
from intaglio._promote import cast
from intaglio._scope import entered
from intaglio.compiler.dims import product
from intaglio.compiler.dtypes import float32
from intaglio.compiler.errors import ArgumentError, DTypeError, ShapeError

Sizes = int | Sequence[int]


def conv1d(
    input: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    stride: Sizes = 1,
    padding: str | Sizes = 0,
    dilation: Sizes = 1,
    groups: int = 1,
) -> Tensor:
    """Cross-correlation: input [n, c, l] or [c, l], weight [o, c / groups, k], bias [o]; the result
    is [n, o, l'] or [o, l']. `padding` is a number of zeros, `"valid"` or `"same"`."""
    return _conv("conv1d", 1, input, weight, bias, stride, padding, dilation, groups)


def conv2d(
    input: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    stride: Sizes = 1,
    padding: str | Sizes = 0,
    dilation: Sizes = 1,
    groups: int = 1,
) -> Tensor:
    """Cross-correlation: input [n, c, h, w] or [c, h, w], weight [o, c / groups, kh, kw], bias [o];
    the result is [n, o, h', w'] or [o, h', w'], `h' = (h + 2 padding - dilation (kh - 1) - 1) //
    stride + 1`. `padding` is a number of zeros (for each dim, or for both), `"valid"` or
    `"same"`."""
    return _conv("conv2d", 2, input, weight, bias, stride, padding, dilation, groups)


def conv3d(
    input: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    stride: Sizes = 1,
    padding: str | Sizes = 0,
    dilation: Sizes = 1,
    groups: int = 1,
) -> Tensor:
    """Cross-correlation: input [n, c, d, h, w] or [c, d, h, w], weight [o, c / groups, kd, kh, kw],
    bias [o]; as `conv2d`."""
    return _conv("conv3d", 3, input, weight, bias, stride, padding, dilation, groups)


def conv_transpose1d(
    input: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    stride: Sizes = 1,
    padding: Sizes = 0,
    output_padding: Sizes = 0,
    groups: int = 1,
    dilation: Sizes = 1,
) -> Tensor:
    """The transposed convolution: input [n, c, l] or [c, l], weight [c, o / groups, k], bias [o];
    the result has `(l - 1) stride - 2 padding + dilation (k - 1) + output_padding + 1` positions.
    """
    numbers = (stride, padding, output_padding, dilation)
    return _transposed("conv_transpose1d", 1, input, weight, bias, numbers, groups)


def conv_transpose2d(
    input: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    stride: Sizes = 1,
    padding: Sizes = 0,
    output_padding: Sizes = 0,
    groups: int = 1,
    dilation: Sizes = 1,
) -> Tensor:
    """The transposed convolution in two dimensions: weight [c, o / groups, kh, kw]; sizes as for
    `conv_transpose1d`."""
    numbers = (stride, padding, output_padding, dilation)
    return _transposed("conv_transpose2d", 2, input, weight, bias, numbers, groups)


def conv_transpose3d(
    input: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    stride: Sizes = 1,
    padding: Sizes = 0,
    output_padding: Sizes = 0,
    groups: int = 1,
    dilation: Sizes = 1,
) -> Tensor:
    """The transposed convolution in three dimensions: weight [c, o / groups, kd, kh, kw]; sizes as
    for `conv_transpose1d`."""
    numbers = (stride, padding, output_padding, dilation)
    return _transposed("conv_transpose3d", 3, input, weight, bias, numbers, groups)


# ------------------------------------------------------------------------------------ the arguments


def per_dim(name: str, what: str, value: Any, rank: int, least: int) -> tuple[int, ...]:
    """An argument with a number for each of `rank` dims; one number stands for all."""
    given = value if isinstance(value, tuple | list) else (value,)
    numbers = [int(v) for v in given if isinstance(v, int | np.integer)]
    if len(numbers) != len(given) or len(given) not in (1, rank) or isinstance(value, bool):
        raise ArgumentError(
            f"{name}: {what} is {value!r}; it takes an integer, or one for each of {rank} dims"
        )
    if any(v < least for v in numbers):
        raise ArgumentError(f"{name}: {what} is {value!r}; the least possible is {least}")
    return tuple(numbers * rank if len(numbers) == 1 else numbers)


def _checked(
    name: str, rank: int, x: Tensor, weight: Tensor, bias: Tensor | None, groups: int
) -> None:
    """Refuse operands of other ranks, dtypes and channels than the convolution takes."""
    for what, tensor in (("input", x), ("weight", weight)):
        if not isinstance(tensor, Tensor):
            raise ArgumentError(f"{name}: the {what} is a {type(tensor).__name__}, not a tensor")
    text = f"{name}: {x._kind} with the weight {weight._kind}"
    if weight.ndim != rank + 2:
        raise ShapeError(f"{text}: a weight of {rank + 2} dims is wanted: [out, in, *kernel]")
    if x.ndim not in (rank + 1, rank + 2):
        rule = f"an input of {rank + 2} dims is wanted, or of {rank + 1}: one image"
        raise ShapeError(f"{text}: {rule}")
    dtypes = [x.dtype, weight.dtype, *([] if bias is None else [bias.dtype])]
    if any(d is not x.dtype for d in dtypes):
        texts = ", ".join(map(str, dtypes))
        raise DTypeError(f"{text}: the dtypes {texts} differ; cast with .to(dtype)")
    if not isinstance(groups, int) or isinstance(groups, bool) or groups < 1:
        raise ArgumentError(f"{text}: groups is {groups!r}, not 1 or more")


def _check_channels(
    name: str, rank: int, x: Tensor, weight: Tensor, wanted: Any, groups: int
) -> None:
    found = x.shape[-rank - 1]
    if isinstance(found, int) and found != wanted:
        raise ShapeError(
            f"{name}: {x._kind} with the weight {weight._kind}: the input has {found} channels, "
            f"and the weight takes {wanted}" + (f" in {groups} groups" if groups > 1 else "")
        )


def _biased(name: str, y: Tensor, bias: Tensor | None) -> Tensor:
    """The result with a number added to every channel."""
    if bias is None:
        return y
    channels = y.shape[1]
    if bias.ndim != 1 or bias.shape[0] != channels:
        raise ShapeError(f"{name}: the bias {bias._kind} is not one number for {channels} channels")
    shape = tuple(y._kind.shape)
    return y + apply("expand", (bias,), {"shape": shape, "axes": (1,)})[0]


def _conv(
    name: str,
    rank: int,
    x: Tensor,
    weight: Tensor,
    bias: Tensor | None,
    stride: Any,
    padding: Any,
    dilation: Any,
    groups: int,
) -> Tensor:
    _checked(name, rank, x, weight, bias, groups)
    _check_channels(name, rank, x, weight, weight.shape[1] * groups, groups)
    if weight.shape[0] % groups:
        raise ShapeError(
            f"{name}: the weight {weight._kind} has {weight.shape[0]} results, which don't fall "
            f"into {groups} groups"
        )
    strides = per_dim(name, "stride", stride, rank, 1)
    dilations = per_dim(name, "dilation", dilation, rank, 1)
    low, high = _padding(name, padding, strides, dilations, weight.shape[2:], rank)
    geometry = {
        "strides": strides, "low": low, "high": high, "dilations": dilations, "groups": groups
    }  # fmt: skip
    return _run(name, "conv", rank, x, weight, bias, geometry)


def _padding(
    name: str,
    padding: Any,
    strides: Sequence[int],
    dilations: Sequence[int],
    kernel: Sequence[int],
    rank: int,
) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """The zeros before and after every dim."""
    if not isinstance(padding, str):
        both = per_dim(name, "padding", padding, rank, 0)
        return both, both
    if padding == "valid":
        return (0,) * rank, (0,) * rank
    if padding != "same":
        raise ArgumentError(f"{name}: padding is {padding!r}; the words are 'same' and 'valid'")
    if any(s != 1 for s in strides):
        raise ArgumentError(f"{name}: padding='same' is for a stride of 1, not {tuple(strides)}")
    total = [d * (k - 1) for d, k in zip(dilations, kernel, strict=True)]
    low = tuple(t // 2 for t in total)
    return low, tuple(t - a for t, a in zip(total, low, strict=True))


def _transposed(
    name: str,
    rank: int,
    x: Tensor,
    weight: Tensor,
    bias: Tensor | None,
    numbers: tuple[Any, Any, Any, Any],
    groups: int,
) -> Tensor:
    _checked(name, rank, x, weight, bias, groups)
    _check_channels(name, rank, x, weight, weight.shape[0], groups)
    if weight.shape[0] % groups:
        raise ShapeError(
            f"{name}: the weight {weight._kind} takes {weight.shape[0]} channels, which don't fall "
            f"into {groups} groups"
        )
    names = (("stride", 1), ("padding", 0), ("output_padding", 0), ("dilation", 1))
    found = [
        per_dim(name, what, n, rank, least) for (what, least), n in zip(names, numbers, strict=True)
    ]
    sizes, high, rest = [], [], []
    each = zip(x.shape[-rank:], weight.shape[2:], *found, strict=True)
    for size, kernel, stride, pad, more, dilation in each:
        if more >= max(stride, dilation):
            raise ArgumentError(
                f"{name}: output_padding is {more}; it must be smaller than the stride {stride} "
                f"or the dilation {dilation}"
            )
        # As many positions behind the last as leave the convolution its number of results; what
        # is left are zeros that nothing reaches.
        after = pad if more < stride else max(pad - more, 0)
        zeros = more - pad if more >= stride and more - pad + after >= stride else 0
        whole = (size - 1) * stride - 2 * pad + dilation * (kernel - 1) + more + 1
        sizes.append(whole - zeros)
        high.append(after)
        rest.append(zeros)
    strides, low, _, dilations = found
    geometry = {
        "sizes": tuple(sizes), "strides": strides, "low": low, "high": tuple(high),
        "dilations": dilations, "groups": groups,
    }  # fmt: skip
    return _run(name, "conv_input", rank, x, weight, bias, geometry, rest)


def _run(
    name: str,
    op: str,
    rank: int,
    x: Tensor,
    weight: Tensor,
    bias: Tensor | None,
    attributes: dict[str, Any],
    rest: Sequence[int] = (),
) -> Tensor:
    """The op on a batch; short floats are computed in f32. `rest` zeros follow along every dim."""
    with entered(name):
        single = x.ndim == rank + 1
        images = reshape(x, 1, *x.shape) if single else x
        short = x.dtype.kind == "f" and x.dtype.size < 4
        operands = (cast(images, float32), cast(weight, float32)) if short else (images, weight)
        y = apply(op, operands, attributes)[0]
        if any(rest):
            y = pad_sides(y, [0] * (rank + 2), [0, 0, *rest], 0)
        if bias is not None:
            y = _biased(name, y, cast(bias, float32) if short else bias)
        if short:
            y = cast(y, x.dtype)
        return reshape(y, *y.shape[1:]) if single else y


# ------------------------------------------------------------------------------- patches as columns


def unfold(
    input: Tensor,
    kernel_size: Sizes,
    dilation: Sizes = 1,
    padding: Sizes = 0,
    stride: Sizes = 1,
) -> Tensor:
    """The patches that a kernel sees, as columns: [n, c, h, w] (or one image) becomes [n, c kh kw,
    number of patches], zero-padded."""
    kernel, dilations, pads, strides = _patches("unfold", kernel_size, dilation, padding, stride)
    if input.ndim not in (3, 4):
        raise ShapeError(f"unfold: {input._kind}: an image or a batch of images is wanted")
    with entered("unfold"):
        single = input.ndim == 3
        x = reshape(input, 1, *input.shape) if single else input
        x = pad_sides(x, [0, 0, *pads], [0, 0, *pads], 0)
        n, c = x.shape[:2]
        counts = _counts("unfold", x.shape[2:], kernel, dilations, (0, 0), strides)
        pieces = []
        for tap in np.ndindex(*kernel):
            start = tuple(int(t) * d for t, d in zip(tap, dilations, strict=True))
            stop = tuple(
                a + (m - 1) * s + 1 for a, m, s in zip(start, counts, strides, strict=True)
            )
            cut = {"starts": (0, 0, *start), "stops": (n, c, *stop), "steps": (1, 1, *strides)}
            piece = apply("slice", (x,), cut)[0]
            pieces.append(reshape(piece, n, c, 1, product(counts)))
        columns = pieces[0] if len(pieces) == 1 else apply("concat", pieces, {"axis": 2})[0]
        made = reshape(columns, n, c * len(pieces), product(counts))
        return reshape(made, *made.shape[1:]) if single else made


def fold(
    input: Tensor,
    output_size: Sizes,
    kernel_size: Sizes,
    dilation: Sizes = 1,
    padding: Sizes = 0,
    stride: Sizes = 1,
) -> Tensor:
    """The sum of patches where they came from, the transpose of `unfold`: [n, c kh kw, number of
    patches] becomes [n, c, h, w] of `output_size`."""
    kernel, dilations, pads, strides = _patches("fold", kernel_size, dilation, padding, stride)
    whole = per_dim("fold", "output_size", output_size, 2, 1)
    counts = _counts("fold", whole, kernel, dilations, pads, strides)
    taps = product(kernel)
    if input.ndim not in (2, 3) or input.shape[-1] != product(counts) or input.shape[-2] % taps:
        raise ShapeError(
            f"fold: {input._kind}: columns [n, channels * {taps}, {product(counts)}] are wanted "
            f"for images of {tuple(whole)} and a kernel of {kernel}"
        )
    with entered("fold"):
        single = input.ndim == 2
        x = reshape(input, 1, *input.shape) if single else input
        n, c = x.shape[0], x.shape[1] // taps
        x = reshape(x, n, c, taps, *counts)
        total: Tensor | None = None
        for number, tap in enumerate(np.ndindex(*kernel)):
            start = [int(t) * d for t, d in zip(tap, dilations, strict=True)]
            part = _placed(x, number, start, (n, c, *counts), strides, whole, pads)
            total = part if total is None else total + part
        assert total is not None
        return reshape(total, *total.shape[1:]) if single else total


def _placed(
    x: Tensor,
    number: int,
    start: Sequence[int],
    shape: Sequence[Any],
    strides: Sequence[int],
    whole: Sequence[int],
    pads: Sequence[int],
) -> Tensor:
    """What one tap saw, where it saw it, between zeros."""
    n, c, rows, columns = shape
    cut = {
        "starts": (0, 0, number, 0, 0),
        "stops": (n, c, number + 1, rows, columns),
        "steps": (1,) * 5,
    }
    piece = reshape(apply("slice", (x,), cut)[0], n, c, rows, 1, columns, 1)
    down, across = strides
    piece = pad_sides(piece, [0] * 6, [0, 0, 0, down - 1, 0, across - 1], 0)
    piece = reshape(piece, n, c, rows * down, columns * across)
    low = [0, 0, *(a - p for a, p in zip(start, pads, strict=True))]
    ends = (rows * down, columns * across)
    high = [0, 0, *(w - e - a for w, e, a in zip(whole, ends, low[2:], strict=True))]
    return pad_sides(piece, low, high, 0)


def _patches(
    name: str, kernel: Any, dilation: Any, padding: Any, stride: Any
) -> tuple[tuple[int, ...], ...]:
    wanted = (("kernel_size", kernel, 1), ("dilation", dilation, 1), ("padding", padding, 0))
    found = [per_dim(name, what, value, 2, least) for what, value, least in wanted]
    return (*found, per_dim(name, "stride", stride, 2, 1))


def _counts(
    name: str,
    sizes: Sequence[Any],
    kernel: Sequence[int],
    dilations: Sequence[int],
    pads: Sequence[int],
    strides: Sequence[int],
) -> tuple[Any, ...]:
    """How many patches there are along each dim."""
    found = []
    for size, k, d, p, s in zip(sizes, kernel, dilations, pads, strides, strict=True):
        if isinstance(size, int) and size + 2 * p < (k - 1) * d + 1:
            raise ShapeError(
                f"{name}: a kernel of {tuple(kernel)} does not fit into {tuple(sizes)}"
            )
        found.append((size + 2 * p - (k - 1) * d - 1) // s + 1)
    return tuple(found)
