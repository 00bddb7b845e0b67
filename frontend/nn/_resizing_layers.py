"""Padding, resizing and dropping whole channels as modules."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

from intaglio._tensor import Tensor
from intaglio.compiler.errors import ArgumentError
from intaglio.nn import functional as F
from intaglio.nn._layers import _Dropout
from intaglio.nn._module import Module

# ------------------------------------------------------------------------------------------ padding


class _Pad(Module):
    """Room around the last dimensions."""

    rank: ClassVar[int]
    mode: ClassVar[str] = "constant"

    def __init__(self, padding: int | Sequence[int]) -> None:
        super().__init__()
        sides = (padding,) * (2 * self.rank) if isinstance(padding, int) else tuple(padding)
        if len(sides) != 2 * self.rank:
            raise ArgumentError(
                f"{type(self).__name__}: padding is an integer or {2 * self.rank}, not {padding}"
            )
        self.padding = sides

    def forward(self, input: Tensor) -> Tensor:
        """input: [..., *spatial]; (before, after) of the last dimension come first."""
        return F.pad(input, self.padding, mode=self.mode)

    def extra_repr(self) -> str:
        """The padding."""
        return f"{self.padding}"


class _ConstantPad(_Pad):
    """A number around the last dimensions."""

    def __init__(self, padding: int | Sequence[int], value: float) -> None:
        super().__init__(padding)
        self.value = value

    def forward(self, input: Tensor) -> Tensor:
        """input: [..., *spatial]."""
        return F.pad(input, self.padding, value=self.value)

    def extra_repr(self) -> str:
        """The padding and the number."""
        return f"padding={self.padding}, value={self.value}"


class ConstantPad1d(_ConstantPad):
    """A number around the last dimension."""

    rank = 1


class ConstantPad2d(_ConstantPad):
    """A number around the last two dimensions."""

    rank = 2


class ConstantPad3d(_ConstantPad):
    """A number around the last three dimensions."""

    rank = 3


class _ZeroPad(_ConstantPad):
    """Zeros around the last dimensions."""

    def __init__(self, padding: int | Sequence[int]) -> None:
        super().__init__(padding, 0.0)

    def extra_repr(self) -> str:
        """The padding."""
        return f"{self.padding}"


class ZeroPad1d(_ZeroPad, ConstantPad1d):
    """Zeros around the last dimension."""


class ZeroPad2d(_ZeroPad, ConstantPad2d):
    """Zeros around the last two dimensions."""


class ZeroPad3d(_ZeroPad, ConstantPad3d):
    """Zeros around the last three dimensions."""


class ReflectionPad1d(_Pad):
    """The last dimension mirrored at its ends."""

    rank, mode = 1, "reflect"


class ReflectionPad2d(_Pad):
    """The last two dimensions mirrored at their ends."""

    rank, mode = 2, "reflect"


class ReflectionPad3d(_Pad):
    """The last three dimensions mirrored at their ends."""

    rank, mode = 3, "reflect"


class ReplicationPad1d(_Pad):
    """The elements at the ends of the last dimension repeated."""

    rank, mode = 1, "replicate"


class ReplicationPad2d(_Pad):
    """The elements at the ends of the last two dimensions repeated."""

    rank, mode = 2, "replicate"


class ReplicationPad3d(_Pad):
    """The elements at the ends of the last three dimensions repeated."""

    rank, mode = 3, "replicate"


class CircularPad1d(_Pad):
    """The last dimension continued from its other end."""

    rank, mode = 1, "circular"


class CircularPad2d(_Pad):
    """The last two dimensions continued from their other ends."""

    rank, mode = 2, "circular"


class CircularPad3d(_Pad):
    """The last three dimensions continued from their other ends."""

    rank, mode = 3, "circular"


# ----------------------------------------------------------------------------------------- resizing


class Upsample(Module):
    """The spatial dimensions in another size; see `functional.interpolate`."""

    def __init__(
        self,
        size: Any = None,
        scale_factor: Any = None,
        mode: str = "nearest",
        align_corners: bool | None = None,
        recompute_scale_factor: bool | None = None,
    ) -> None:
        super().__init__()
        self.size, self.mode, self.align_corners = size, mode, align_corners
        several = isinstance(scale_factor, tuple | list)
        self.scale_factor = (
            tuple(map(float, scale_factor))
            if several
            else None
            if scale_factor is None
            else float(scale_factor)
        )
        self.recompute_scale_factor = recompute_scale_factor

    def forward(self, input: Tensor) -> Tensor:
        """input: [n, c, ...]; the same in another size."""
        return F.interpolate(
            input, self.size, self.scale_factor, self.mode, self.align_corners,
            self.recompute_scale_factor,
        )  # fmt: skip

    def extra_repr(self) -> str:
        """The size or scale, and the mode."""
        what = "size" if self.scale_factor is None else "scale_factor"
        return f"{what}={getattr(self, what)!r}, mode={self.mode!r}"


class UpsamplingNearest2d(Upsample):
    """`Upsample` by repeating."""

    def __init__(self, size: Any = None, scale_factor: Any = None) -> None:
        super().__init__(size, scale_factor, "nearest")


class UpsamplingBilinear2d(Upsample):
    """`Upsample` by interpolating between four neighbours, corners staying corners."""

    def __init__(self, size: Any = None, scale_factor: Any = None) -> None:
        super().__init__(size, scale_factor, "bilinear", align_corners=True)


class PixelShuffle(Module):
    """Channels become pixels; see `functional.pixel_shuffle`."""

    def __init__(self, upscale_factor: int) -> None:
        super().__init__()
        self.upscale_factor = upscale_factor

    def forward(self, input: Tensor) -> Tensor:
        """input: [..., c r^2, h, w]; the result is [..., c, h r, w r]."""
        return F.pixel_shuffle(input, self.upscale_factor)

    def extra_repr(self) -> str:
        """The factor."""
        return f"upscale_factor={self.upscale_factor}"


class PixelUnshuffle(Module):
    """Pixels become channels; see `functional.pixel_unshuffle`."""

    def __init__(self, downscale_factor: int) -> None:
        super().__init__()
        self.downscale_factor = downscale_factor

    def forward(self, input: Tensor) -> Tensor:
        """input: [..., c, h r, w r]; the result is [..., c r^2, h, w]."""
        return F.pixel_unshuffle(input, self.downscale_factor)

    def extra_repr(self) -> str:
        """The factor."""
        return f"downscale_factor={self.downscale_factor}"


class ChannelShuffle(Module):
    """The channels of groups dealt out in turn; see `functional.channel_shuffle`."""

    def __init__(self, groups: int) -> None:
        super().__init__()
        self.groups = groups

    def forward(self, input: Tensor) -> Tensor:
        """input: [n, c, ...]; the result has its shape."""
        return F.channel_shuffle(input, self.groups)

    def extra_repr(self) -> str:
        """The groups."""
        return f"groups={self.groups}"


# ------------------------------------------------------------------------------------------ dropout


class Dropout1d(_Dropout):
    """Zeroes whole channels with probability p while training (Tompson et al. 2015). input: [n, c,
    l] or [c, l]."""

    def forward(self, input: Tensor) -> Tensor:
        """The channels that are left are scaled by 1 / (1 - p)."""
        return F.dropout1d(input, self.p, self.training, self.inplace)


class Dropout2d(_Dropout):
    """`Dropout1d` for images. input: [n, c, h, w]."""

    def forward(self, input: Tensor) -> Tensor:
        """The channels that are left are scaled by 1 / (1 - p)."""
        return F.dropout2d(input, self.p, self.training, self.inplace)


class Dropout3d(_Dropout):
    """`Dropout1d` for volumes. input: [n, c, d, h, w] or [c, d, h, w]."""

    def forward(self, input: Tensor) -> Tensor:
        """The channels that are left are scaled by 1 / (1 - p)."""
        return F.dropout3d(input, self.p, self.training, self.inplace)
