"""Convolution of images and its two derivatives, which are each other's: three ops closed under
differentiation.

`conv` slides a kernel over zero-padded images, `conv_input` is its derivative by the images (and so
the transposed convolution), `conv_weight` its derivative by the kernel. All are bilinear in their
two operands, and share one equation: with `y[o] = sum over k of x[o * stride + k * dilation - low]
w[k]` in every spatial dim, each op computes one of x, w, y from the other two. So the derivative of
any of the three is made of the other two.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, ClassVar

import numpy as np

from intaglio.compiler.dims import Dim, Shape, Size, bounds, floordiv, holds, modulo
from intaglio.compiler.errors import ArgumentError, DTypeError, ShapeError
from intaglio.compiler.op import Array, Op, Ops, Sample, V
from intaglio.compiler.ops.rules import check_count, check_kind, check_shape, refused
from intaglio.compiler.types import TensorType

CHANNEL_BLOCK = 16
"""How many channels one tap of a chain takes in before the next tap's turn."""
FARTHEST = (1 << 31) - 1
"""The largest stride, dilation or padding: places of images stay numbers of 64 bits."""


def window_size(size: Size, kernel: int, stride: int, low: int, high: int, dilation: int) -> Size:
    """How many positions a kernel takes along one padded dim."""
    return floordiv(size + (low + high - (kernel - 1) * dilation - 1), stride) + 1


class Convolution(Op):
    """Base: the geometry that the three share.

    Attributes, one entry per spatial dim: `strides`, zero padding `low` and `high`, `dilations`;
    and `groups`, in which the channels meet only their own group's.
    """

    kernel: ClassVar[str]

    def check(self, types: Sequence[TensorType], **attributes: Any) -> int:
        """Refuse wrong counts, dtypes, ranks and attributes; the number of spatial dims."""
        check_count(self, types, 2)
        check_kind(self, types, "fiu")
        first, second = types
        if first.dtype is not second.dtype:
            raise refused(
                DTypeError, self, types, f"the dtypes {first.dtype} and {second.dtype} differ"
            )
        if first.rank != second.rank or not 3 <= first.rank <= 5:
            rule = "both operands have a rank of 3, 4 or 5: two dims before 1 to 3 spatial dims"
            raise refused(ShapeError, self, types, rule)
        groups = attributes.pop("groups")
        if not isinstance(groups, int | Dim) or isinstance(groups, bool) or bounds(groups)[0] < 1:
            raise refused(ArgumentError, self, types, f"groups is {groups!r}, not 1 or more")
        for name, value in attributes.items():
            least = 0 if name in ("low", "high") else 1
            self._check_numbers(types, name, value, least, first.rank - 2)
        return first.rank - 2

    def _check_numbers(
        self, types: Sequence[TensorType], name: str, value: Any, least: int, rank: int
    ) -> None:
        good = isinstance(value, tuple) and all(
            isinstance(v, int) and not isinstance(v, bool) and least <= v <= FARTHEST for v in value
        )
        if not good or len(value) != rank:
            rule = f"{name} is {value!r}, not {rank} integers from {least} to {FARTHEST}"
            raise refused(ArgumentError, self, types, rule)

    def check_kernel(
        self, types: Sequence[TensorType], channels: Size, kernel: Shape, groups: Size
    ) -> None:
        """Refuse a kernel with symbolic or no sizes, or whose results don't fall into groups."""
        for size in kernel:
            if not isinstance(size, int) or size < 1:
                rule = f"the kernel's sizes {kernel} must be numbers, 1 at least"
                raise refused(ShapeError, self, types, rule)
        self.check_groups(types, "results'", channels, groups)

    def check_groups(
        self, types: Sequence[TensorType], whose: str, channels: Size, groups: Size
    ) -> None:
        """Refuse channels that don't fall into groups."""
        if not holds(1, "<=", channels) or not holds(modulo(channels, groups), "==", 0):
            rule = f"the {whose} {channels} channels don't fall into {groups} groups"
            raise refused(ShapeError, self, types, rule)

    def check_channels(
        self, types: Sequence[TensorType], what: str, found: Size, wanted: Size
    ) -> None:
        """Refuse another number of channels."""
        if not holds(found, "==", wanted):
            rule = f"{what} has {found} channels where {wanted} are needed"
            raise refused(ShapeError, self, types, rule)

    def windows(
        self,
        types: Sequence[TensorType],
        image: Shape,
        kernel: Shape,
        *,
        strides: Sequence[int],
        low: Sequence[int],
        high: Sequence[int],
        dilations: Sequence[int],
    ) -> Shape:
        """The sizes of the positions of a kernel on an image; refused where it does not fit."""
        found = []
        for size, k, s, a, b, d in zip(image, kernel, strides, low, high, dilations, strict=True):
            assert isinstance(k, int)
            if not holds((k - 1) * d + 1, "<=", size + (a + b)):
                rule = (
                    f"a kernel that spans {(k - 1) * d + 1} positions does not fit into a size of "
                    f"{size} padded by {a} and {b}"
                )
                raise refused(ShapeError, self, types, rule)
            found.append(window_size(size, k, s, a, b, d))
        return tuple(found)

    def check_windows(self, types: Sequence[TensorType], found: Shape, wanted: Shape) -> None:
        """Refuse other spatial sizes than the geometry gives."""
        if not all(holds(a, "==", b) for a, b in zip(found, wanted, strict=True)):
            rule = f"the spatial sizes {found} are not the kernel's positions {wanted}"
            raise refused(ShapeError, self, types, rule)

    def jvp(
        self,
        g: Ops[V],
        dxs: Sequence[V | None],
        xs: Sequence[V],
        ys: Sequence[V],
        **attributes: Any,
    ) -> Sequence[V | None]:
        """The op of each tangent with the other operand, added."""
        da, db = dxs
        left = None if da is None else g.apply(self.name, (da, xs[1]), attributes)[0]
        right = None if db is None else g.apply(self.name, (xs[0], db), attributes)[0]
        return [right if left is None else left if right is None else g.add(left, right)]


def _taps(
    kernel: Sequence[int], positions: Sequence[int], strides: Sequence[int], dilations: Any
) -> Iterator[tuple[Any, Any]]:
    """Every tap of a kernel, and the part of the padded image that it sees."""
    for tap in np.ndindex(*kernel):
        part = zip(tap, positions, strides, dilations, strict=True)
        yield tap, tuple(slice(t * d, t * d + (o - 1) * s + 1, s) for t, o, s, d in part)


def _wide(x: Array) -> Array:
    """In the dtype that the reference computes in."""
    return x if x.dtype.kind in "iu" else x.astype(np.float64)


def _padded(x: Array, low: Sequence[int], high: Sequence[int]) -> Array:
    """Images between zeros, in the dtype that the reference computes in."""
    return np.pad(_wide(x), ((0, 0), (0, 0), *zip(low, high, strict=True)))


def _grouped(x: Array, groups: int, axis: int) -> Array:
    """One more dim before `axis`, over the groups."""
    shape = (*x.shape[:axis], groups, x.shape[axis] // groups, *x.shape[axis + 1 :])
    return x.reshape(shape)


def _sample(first: str, second: str, **changes: Any) -> Sample:
    """A sample with the plain geometry of its rank, but for `changes`."""
    rank = first.count(",") - 1
    zeros, ones = (0,) * rank, (1,) * rank
    plain: dict[str, Any] = {"strides": ones, "low": zeros, "high": zeros, "dilations": ones}
    plain |= {"groups": 1, "range": (-0.5, 0.5)}
    return Sample(first, second, **(plain | changes))


class Conv(Convolution):
    """Cross-correlation of images x[n, g*ci, *S] with kernels w[g*co, ci, *K], zero-padded.

    `y[n, o, p] = sum over c, k of x[n, c, p * stride + k * dilation - low] w[o, c, k]`.
    Each element is one chain of fused multiply-adds from +0: for every block of 16 input channels
    of the group, for every tap in row-major order, for every channel of the block. The padding
    takes part as zeros.
    """

    name, exact = "conv", "iu"
    kernel: ClassVar[str] = "conv"
    samples = (
        _sample("f64[2,2,5,4]", "f64[3,2,3,2]", low=(1, 0), high=(0, 2)),
        _sample("f64[1,4,7,6]", "f64[6,2,3,2]", strides=(2, 3), low=(1, 1), high=(2, 0), groups=2),
        _sample("f64[2,3,7]", "f64[2,3,2]", strides=(2,), dilations=(3,), low=(1,), high=(1,)),
        _sample("f64[1,2,4,3,4]", "f64[2,2,2,3,2]", low=(0, 1, 1), high=(1, 1, 0)),
        _sample("f64[2,3,4,5]", "f64[6,1,3,3]", groups=3, low=(1, 1), high=(1, 1)),
        _sample("f64[2,18,3,3]", "f64[2,18,2,2]"),
        _sample("f32[2,20,9,13]", "f32[35,20,3,3]", low=(1, 1), high=(1, 1)),
        _sample("f32[1,3,23,40]", "f32[17,3,5,5]", strides=(2, 2), low=(2, 2), high=(2, 2)),
        _sample("f32[2,18,6,37]", "f32[18,1,3,3]", groups=18, low=(1, 1), high=(1, 1)),
        _sample("f32[1,33,5,7]", "f32[19,33,1,1]"),
        _sample("f32[3,6,50]", "f32[4,3,4]", groups=2, dilations=(2,), low=(3,), high=(0,)),
        _sample(
            "f32[1,2,3,5,18]", "f32[3,2,2,3,3]", strides=(1, 2, 1), low=(1, 0, 1), high=(0, 0, 1)
        ),
        _sample("f32[0,2,5,5]", "f32[3,2,3,3]"),
        _sample("i64[2,2,4,4]", "i64[2,2,2,2]", low=(1, 1), high=(0, 0)),
        _sample("i32[1,4,5]", "i32[4,2,2]", groups=2, strides=(2,)),
    )

    def type(
        self,
        *types: TensorType,
        strides: tuple[int, ...],
        low: tuple[int, ...],
        high: tuple[int, ...],
        dilations: tuple[int, ...],
        groups: Size,
    ) -> TensorType:
        """[n, g*co, *O], `O = (S + low + high - (K - 1) * dilation - 1) // stride + 1`."""
        geometry: Any = {"strides": strides, "low": low, "high": high, "dilations": dilations}
        self.check(types, groups=groups, **geometry)
        x, w = types
        self.check_kernel(types, w.shape[0], w.shape[2:], groups)
        self.check_groups(types, "kernel's", w.shape[1], 1)
        self.check_channels(types, "x", x.shape[1], w.shape[1] * groups)
        positions = self.windows(types, x.shape[2:], w.shape[2:], **geometry)
        return x.with_shape(x.shape[0], w.shape[0], *positions)

    def reference(
        self, x: Array, w: Array, *, strides: Any, low: Any, high: Any, dilations: Any, groups: int
    ) -> Array:
        """A product per tap, floats in f64."""
        image = _grouped(_padded(x, low, high), groups, 1)
        kernel = _grouped(_wide(w), groups, 0)
        spans = zip(image.shape[3:], w.shape[2:], strides, dilations, strict=True)
        positions = [(size - (k - 1) * d - 1) // s + 1 for size, k, s, d in spans]
        made = np.zeros((x.shape[0], groups, kernel.shape[1], *positions), kernel.dtype)
        with np.errstate(all="ignore"):
            for tap, part in _taps(w.shape[2:], positions, strides, dilations):
                seen = image[(..., *part)].reshape(*image.shape[:3], int(np.prod(positions)))
                made += np.matmul(kernel[(..., *tap)], seen).reshape(made.shape)
            return made.reshape(x.shape[0], w.shape[0], *positions).astype(x.dtype)

    def vjp(
        self,
        g: Ops[V],
        dys: Sequence[V | None],
        ys: Sequence[V],
        xs: Sequence[V],
        needs: Sequence[bool],
        **geometry: Any,
    ) -> Sequence[V | None]:
        """dy with w gives dx, x with dy gives dw."""
        dy, (x, w) = dys[0], xs
        if dy is None or not g.type_of(x).dtype.is_floating_point:
            return [None, None]
        image, kernel = g.type_of(x).shape[2:], g.type_of(w).shape[2:]
        return [
            g.conv_input(dy, w, sizes=image, **geometry) if needs[0] else None,
            g.conv_weight(x, dy, sizes=kernel, **geometry) if needs[1] else None,
        ]


class ConvInput(Convolution):
    """The derivative of `conv` by its images, and so the transposed convolution: from
    y[n, g*co, *O] and w[g*co, ci, *K] images [n, g*ci, *sizes].

    `x[n, c, i] = sum over o, k of y[n, o, p] w[o, c, k] where p * stride + k * dilation - low = i`.
    Each element is one chain of fused multiply-adds from +0: for every block of 16 channels o of
    the group, for every tap in row-major order that meets the stride (`i + low - k * dilation` is a
    multiple of it), for every channel of the block. Positions p outside of y take part as zeros.
    """

    name, exact = "conv_input", "iu"
    kernel: ClassVar[str] = "conv_input"
    samples = (
        _sample("f64[2,3,3,5]", "f64[3,2,3,2]", sizes=(4, 4), low=(1, 0), high=(0, 2)),
        _sample(
            "f64[1,6,4,2]",
            "f64[6,2,3,2]",
            sizes=(7, 5),
            strides=(2, 3),
            low=(1, 1),
            high=(2, 0),
            groups=2,
        ),
        _sample(
            "f64[2,2,3]",
            "f64[2,3,2]",
            sizes=(7,),
            strides=(2,),
            dilations=(3,),
            low=(1,),
            high=(1,),
        ),
        _sample("f64[1,2,4,3,4]", "f64[2,2,2,3,2]", sizes=(4, 3, 4), low=(0, 1, 1), high=(1, 1, 0)),
        _sample("f64[2,6,4,5]", "f64[6,1,3,3]", sizes=(4, 5), groups=3, low=(1, 1), high=(1, 1)),
        _sample("f64[1,2,2,2]", "f64[2,1,1,1]", sizes=(4, 5), strides=(3, 3)),
        _sample("f64[2,18,2,2]", "f64[18,2,2,2]", sizes=(3, 3)),
        _sample("f32[2,35,9,13]", "f32[35,20,3,3]", sizes=(9, 13), low=(1, 1), high=(1, 1)),
        _sample(
            "f32[1,17,12,20]",
            "f32[17,3,5,5]",
            sizes=(23, 40),
            strides=(2, 2),
            low=(2, 2),
            high=(2, 2),
        ),
        _sample(
            "f32[2,18,6,37]", "f32[18,1,3,3]", sizes=(6, 37), groups=18, low=(1, 1), high=(1, 1)
        ),
        _sample("f32[1,19,5,7]", "f32[19,33,1,1]", sizes=(5, 7)),
        _sample(
            "f32[3,4,47]", "f32[4,3,4]", sizes=(50,), groups=2, dilations=(2,), low=(3,), high=(0,)
        ),
        _sample(
            "f32[1,3,3,2,18]",
            "f32[3,2,2,3,3]",
            sizes=(3, 5, 18),
            strides=(1, 2, 1),
            low=(1, 0, 1),
            high=(0, 0, 1),
        ),
        _sample("f32[0,3,3,3]", "f32[3,2,3,3]", sizes=(5, 5)),
        _sample(
            "f32[1,2,1,1]",
            "f32[2,3,2,2]",
            sizes=(3, 1),
            strides=(3, 2),
            low=(0, 1),
            dilations=(2, 1),
            groups=2,
        ),
        _sample("i64[2,2,4,4]", "i64[2,2,2,2]", sizes=(4, 4), low=(1, 1), high=(0, 0)),
        _sample("i32[1,4,2]", "i32[4,2,2]", sizes=(5,), groups=2, strides=(2,)),
    )

    def type(
        self,
        *types: TensorType,
        sizes: Shape,
        strides: tuple[int, ...],
        low: tuple[int, ...],
        high: tuple[int, ...],
        dilations: tuple[int, ...],
        groups: Size,
    ) -> TensorType:
        """[n, g*ci, *sizes]"""
        geometry: Any = {"strides": strides, "low": low, "high": high, "dilations": dilations}
        rank = self.check(types, groups=groups, **geometry)
        y, w = types
        self.check_kernel(types, w.shape[0], w.shape[2:], groups)
        self.check_groups(types, "kernel's", w.shape[1], 1)
        check_shape(self, types, sizes, "sizes")
        if len(sizes) != rank:
            rule = f"sizes has {len(sizes)} entries for {rank} spatial dims"
            raise refused(ShapeError, self, types, rule)
        self.check_channels(types, "y", y.shape[1], w.shape[0])
        self.check_windows(types, y.shape[2:], self.windows(types, sizes, w.shape[2:], **geometry))
        return y.with_shape(y.shape[0], w.shape[1] * groups, *sizes)

    def reference(
        self,
        y: Array,
        w: Array,
        *,
        sizes: Any,
        strides: Any,
        low: Any,
        high: Any,
        dilations: Any,
        groups: int,
    ) -> Array:
        """A product per tap, added where it belongs, floats in f64."""
        kernel = _grouped(_wide(w), groups, 0)
        images = _grouped(_wide(y), groups, 1)
        flat = images.reshape(*images.shape[:3], int(np.prod(y.shape[2:])))
        whole = [n + a + b for n, a, b in zip(sizes, low, high, strict=True)]
        made = np.zeros((y.shape[0], groups, w.shape[1], *whole), kernel.dtype)
        with np.errstate(all="ignore"):
            for tap, part in _taps(w.shape[2:], y.shape[2:], strides, dilations):
                seen = np.matmul(np.swapaxes(kernel[(..., *tap)], 1, 2), flat)
                made[(..., *part)] += seen.reshape(*made.shape[:3], *y.shape[2:])
            inner: Any = tuple(slice(a, a + n) for a, n in zip(low, sizes, strict=True))
            cut = made[(..., *inner)]
            return cut.reshape(y.shape[0], w.shape[1] * groups, *sizes).astype(y.dtype)

    def vjp(
        self,
        g: Ops[V],
        dys: Sequence[V | None],
        ys: Sequence[V],
        xs: Sequence[V],
        needs: Sequence[bool],
        *,
        sizes: Shape,
        **geometry: Any,
    ) -> Sequence[V | None]:
        """The derivative is an image: with w it gives dy, with y it gives dw."""
        dx, (y, w) = dys[0], xs
        if dx is None or not g.type_of(y).dtype.is_floating_point:
            return [None, None]
        kernel = g.type_of(w).shape[2:]
        return [
            g.conv(dx, w, **geometry) if needs[0] else None,
            g.conv_weight(dx, y, sizes=kernel, **geometry) if needs[1] else None,
        ]


class ConvWeight(Convolution):
    """The derivative of `conv` by its kernels: from images x[n, g*ci, *S] and y[n, g*co, *O]
    kernels [g*co, ci, *sizes].

    `w[o, c, k] = sum over n, p of y[n, o, p] x[n, c, p * stride + k * dilation - low]`.
    Each element is, per image, one chain of fused multiply-adds from +0 over the positions p in
    row-major order, in which the padding takes part as zeros; the images' results are added in
    their order, to that of the first.
    """

    name, exact = "conv_weight", "iu"
    kernel: ClassVar[str] = "conv_weight"
    samples = (
        _sample("f64[2,2,5,4]", "f64[2,3,4,5]", sizes=(3, 2), low=(1, 0), high=(0, 2)),
        _sample(
            "f64[1,4,7,6]",
            "f64[1,6,4,3]",
            sizes=(3, 2),
            strides=(2, 3),
            low=(1, 1),
            high=(2, 2),
            groups=2,
        ),
        _sample(
            "f64[2,3,7]",
            "f64[2,2,3]",
            sizes=(2,),
            strides=(2,),
            dilations=(3,),
            low=(1,),
            high=(1,),
        ),
        _sample("f64[1,2,4,3,4]", "f64[1,2,4,3,4]", sizes=(2, 3, 2), low=(0, 1, 1), high=(1, 1, 0)),
        _sample("f64[3,3,4,5]", "f64[3,6,4,5]", sizes=(3, 3), groups=3, low=(1, 1), high=(1, 1)),
        _sample("f32[3,20,9,13]", "f32[3,35,9,13]", sizes=(3, 3), low=(1, 1), high=(1, 1)),
        _sample(
            "f32[2,3,23,40]",
            "f32[2,17,12,20]",
            sizes=(5, 5),
            strides=(2, 2),
            low=(2, 2),
            high=(2, 2),
        ),
        _sample(
            "f32[2,18,6,37]", "f32[2,18,6,37]", sizes=(3, 3), groups=18, low=(1, 1), high=(1, 1)
        ),
        _sample("f32[2,33,5,7]", "f32[2,19,5,7]", sizes=(1, 1)),
        _sample("f32[2,6,5,3]", "f32[2,5,4,1]", sizes=(2, 3)),
        _sample(
            "f32[3,6,50]", "f32[3,4,47]", sizes=(4,), groups=2, dilations=(2,), low=(3,), high=(0,)
        ),
        _sample(
            "f32[1,2,3,5,18]",
            "f32[1,3,3,2,18]",
            sizes=(2, 3, 3),
            strides=(1, 2, 1),
            low=(1, 0, 1),
            high=(0, 0, 1),
        ),
        _sample("f32[0,2,5,5]", "f32[0,3,3,3]", sizes=(3, 3)),
        _sample("i64[2,2,4,4]", "i64[2,2,4,4]", sizes=(2, 2), low=(1, 1), high=(0, 0)),
        _sample("i32[1,4,5]", "i32[1,4,2]", sizes=(2,), groups=2, strides=(2,)),
    )

    def type(
        self,
        *types: TensorType,
        sizes: Shape,
        strides: tuple[int, ...],
        low: tuple[int, ...],
        high: tuple[int, ...],
        dilations: tuple[int, ...],
        groups: Size,
    ) -> TensorType:
        """[g*co, ci, *sizes]"""
        geometry: Any = {"strides": strides, "low": low, "high": high, "dilations": dilations}
        self.check(types, groups=groups, sizes=sizes, **geometry)
        x, y = types
        if not holds(x.shape[0], "==", y.shape[0]):
            rule = f"the numbers of images {x.shape[0]} and {y.shape[0]} differ"
            raise refused(ShapeError, self, types, rule)
        self.check_kernel(types, y.shape[1], sizes, groups)
        self.check_groups(types, "images'", x.shape[1], groups)
        self.check_windows(types, y.shape[2:], self.windows(types, x.shape[2:], sizes, **geometry))
        return x.with_shape(y.shape[1], floordiv(x.shape[1], groups), *sizes)

    def reference(
        self,
        x: Array,
        y: Array,
        *,
        sizes: Any,
        strides: Any,
        low: Any,
        high: Any,
        dilations: Any,
        groups: int,
    ) -> Array:
        """A product per tap, floats in f64."""
        image = _grouped(_padded(x, low, high), groups, 1)
        other = _grouped(_wide(y), groups, 1)
        positions = y.shape[2:]
        other = other.reshape(*other.shape[:3], int(np.prod(positions)))
        shape = (y.shape[1], x.shape[1] // groups, *sizes)
        made = np.zeros((groups, shape[0] // groups, *shape[1:]), other.dtype)
        with np.errstate(all="ignore"):
            for tap, part in _taps(sizes, positions, strides, dilations):
                seen = image[(..., *part)].reshape(*image.shape[:3], other.shape[-1])
                made[(..., *tap)] = np.matmul(other, np.swapaxes(seen, 2, 3)).sum(0)
            return made.reshape(shape).astype(x.dtype)

    def vjp(
        self,
        g: Ops[V],
        dys: Sequence[V | None],
        ys: Sequence[V],
        xs: Sequence[V],
        needs: Sequence[bool],
        *,
        sizes: Shape,
        **geometry: Any,
    ) -> Sequence[V | None]:
        """The derivative is a kernel: with y it gives dx, with x it gives dy."""
        dw, (x, y) = dys[0], xs
        if dw is None or not g.type_of(x).dtype.is_floating_point:
            return [None, None]
        image = g.type_of(x).shape[2:]
        return [
            g.conv_input(y, dw, sizes=image, **geometry) if needs[0] else None,
            g.conv(x, dw, **geometry) if needs[1] else None,
        ]
