"""What a direct convolution needs to know of its sizes, and which convolutions can be direct."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from intaglio.compiler.dims import Size
from intaglio.compiler.dtypes import float32
from intaglio.compiler.schedule.storage import Storage
from intaglio.compiler.types import TensorType

BLOCK = 16
"""Channels that lie side by side; the chains of the op take them in blocks of as many."""
PANEL = 32
"""Filters whose packed weights lie side by side."""
LEAST_FILTERS = 8
"""With fewer, most of a block would be computed for nothing."""


@dataclass(frozen=True)
class Shape2d:
    """The sizes of a two-dimensional convolution, all known but perhaps the number of images.
    `depthwise`: every channel has one filter of its own; else there is one group."""

    images: Size
    channels: int
    filters: int
    image: tuple[int, int]
    kernel: tuple[int, int]
    result: tuple[int, int]
    strides: tuple[int, int]
    dilations: tuple[int, int]
    low: tuple[int, int]
    high: tuple[int, int]
    depthwise: bool

    @property
    def taps(self) -> int:
        """Positions of the kernel."""
        return self.kernel[0] * self.kernel[1]

    @property
    def plain(self) -> bool:
        """Whether the images are read plane by plane, since they have too few channels for a
        block."""
        return not self.depthwise and self.channels < BLOCK

    @property
    def block(self) -> int | None:
        """The blocks of the images' channels."""
        return None if self.plain else BLOCK

    @property
    def halo(self) -> tuple[tuple[int, int], ...]:
        """The zeros that the kernel reads around an image."""
        reach = zip(self.image, self.kernel, self.result, self.strides, self.dilations, self.low,
                    strict=True)  # fmt: skip
        return tuple(
            (low, max(0, (o - 1) * s + (k - 1) * d + 1 - low - size))
            for size, k, o, s, d, low in reach
        )

    @property
    def storage(self) -> Storage:
        """The least storage that the images are read from."""
        return Storage.of_image(self.halo, self.block)

    @property
    def depth(self) -> int:
        """The length of a chain."""
        return self.taps * (1 if self.depthwise else self.channels)

    @property
    def nanoseconds(self) -> int:
        """Rough time for an image on one core."""
        count = self.filters * self.result[0] * self.result[1] * self.depth
        return max(1, count // (10 if self.depthwise else 40))


def shape_of(x: TensorType, w: TensorType, attributes: Mapping[str, Any]) -> Shape2d | str:
    """The sizes of the convolution of these operands, or why it can't be a direct one."""
    if x.dtype is not float32:
        return f"direct kernels are for f32, not {x.dtype}"
    if x.rank != 4:
        return f"direct kernels have two spatial dims, not {x.rank - 2}"
    sizes = [s for s in (*x.shape[1:], *w.shape) if isinstance(s, int)]
    if len(sizes) < 7:
        return "its sizes are known only when it is called"
    channels, height, width, filters, inner, *kernel = sizes
    groups = attributes["groups"]
    depthwise = groups == channels == filters and inner == 1 and groups > 1
    if groups > 1 and not depthwise:
        return f"its channels fall into {groups} groups"
    if filters < LEAST_FILTERS:
        return f"{filters} filters fill no block of {BLOCK}"
    spans = zip((height, width), kernel, *(attributes[k] for k in _GEOMETRY), strict=True)
    result = [(size + a + b - (k - 1) * d - 1) // s + 1 for size, k, s, a, b, d in spans]
    if x.shape[0] == 0 or 0 in result:
        return "it has no elements"
    sizes_of = {k: (attributes[k][0], attributes[k][1]) for k in _GEOMETRY}
    return Shape2d(
        x.shape[0],
        channels,
        filters,
        image=(height, width),
        kernel=(kernel[0], kernel[1]),
        result=(result[0], result[1]),
        depthwise=depthwise,
        **sizes_of,
    )


_GEOMETRY = ("strides", "low", "high", "dilations")
