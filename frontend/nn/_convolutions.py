"""Convolution layers of one, two and three dimensions, and their transposes."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any, ClassVar

import intaglio as ig
from intaglio._tensor import Parameter, Tensor
from intaglio.compiler.dtypes import DType
from intaglio.compiler.errors import ArgumentError
from intaglio.nn import functional as F, init
from intaglio.nn._module import Module
from intaglio.nn._windows import each

_MODES = ("zeros", "reflect", "replicate", "circular")
Size = int | Sequence[int]


class _Convolution(Module):
    """What the layers share: weights, their first values, and how they are shown."""

    rank: ClassVar[int]
    transposed: ClassVar[bool] = False
    bias: Parameter | None

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: Size,
        stride: Size,
        padding: Size | str,
        output_padding: Size,
        dilation: Size,
        groups: int,
        bias: bool,
        padding_mode: str,
        device: Any,
        dtype: DType | None,
    ) -> None:
        super().__init__()
        name, rank = type(self).__name__, self.rank
        if groups < 1 or in_channels % groups or out_channels % groups:
            raise ArgumentError(
                f"{name}: {in_channels} to {out_channels} channels are not {groups} equal groups"
            )
        if padding_mode not in _MODES or (self.transposed and padding_mode != "zeros"):
            modes = "zeros" if self.transposed else ", ".join(_MODES)
            raise ArgumentError(f"{name}: padding_mode {padding_mode!r} is none of {modes}")
        self.in_channels, self.out_channels, self.groups = in_channels, out_channels, groups
        self.kernel_size = each(name, "kernel_size", kernel_size, rank)
        self.stride = each(name, "stride", stride, rank)
        self.padding = padding if isinstance(padding, str) else each(name, "padding", padding, rank)
        self.dilation = each(name, "dilation", dilation, rank)
        self.output_padding = each(name, "output_padding", output_padding, rank)
        self.padding_mode = padding_mode
        if isinstance(padding, str):
            self._check_text(name, padding)
        shape = (
            (in_channels, out_channels // groups)
            if self.transposed
            else (out_channels, in_channels // groups)
        )
        made = {"device": device, "dtype": dtype}
        self.weight = Parameter(ig.empty((*shape, *self.kernel_size), **made))
        shift = Parameter(ig.empty((out_channels,), **made)) if bias else None
        self.register_parameter("bias", shift)
        self.reset_parameters()

    def _check_text(self, name: str, padding: str) -> None:
        if padding not in ("same", "valid"):
            raise ArgumentError(f"{name}: padding is numbers, 'same' or 'valid', not {padding!r}")
        if padding == "same" and any(s != 1 for s in self.stride):
            raise ArgumentError(f"{name}: padding='same' takes a stride of 1, not {self.stride}")

    def reset_parameters(self) -> None:
        """Draw new weights: uniform within 1 / sqrt(fan in), both weight and bias."""
        if math.prod(self.weight.shape):
            init.kaiming_uniform_(self.weight, a=math.sqrt(5.0))
        if self.bias is not None:
            fan_in = self.weight.shape[1] * math.prod(self.kernel_size)
            if fan_in:
                bound = 1.0 / math.sqrt(fan_in)
                init.uniform_(self.bias, -bound, bound)

    def _sides(self) -> list[int]:
        """The padding in the order of `F.pad`: before and after, the last dimension first."""
        found: list[int] = []
        for k in reversed(range(self.rank)):
            total = self.dilation[k] * (self.kernel_size[k] - 1)
            if self.padding == "same":
                found += [total // 2, total - total // 2]
            elif isinstance(self.padding, str):
                found += [0, 0]
            else:
                found += [self.padding[k]] * 2
        return found

    def extra_repr(self) -> str:
        """The sizes and what differs from the defaults."""
        ones, zeros = (1,) * self.rank, (0,) * self.rank
        parts = [str(self.in_channels), str(self.out_channels)]
        parts += [f"kernel_size={self.kernel_size}", f"stride={self.stride}"]
        if self.padding != zeros:
            parts.append(f"padding={self.padding}")
        if self.dilation != ones:
            parts.append(f"dilation={self.dilation}")
        if self.output_padding != zeros:
            parts.append(f"output_padding={self.output_padding}")
        if self.groups != 1:
            parts.append(f"groups={self.groups}")
        if self.bias is None:
            parts.append("bias=False")
        if self.padding_mode != "zeros":
            parts.append(f"padding_mode={self.padding_mode}")
        return ", ".join(parts)


class _Conv(_Convolution):
    """The forward convolutions."""

    function: ClassVar[str]

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: Size,
        stride: Size = 1,
        padding: Size | str = 0,
        dilation: Size = 1,
        groups: int = 1,
        bias: bool = True,
        padding_mode: str = "zeros",
        device: Any = None,
        dtype: DType | None = None,
    ) -> None:
        super().__init__(
            in_channels, out_channels, kernel_size, stride, padding, 0, dilation, groups, bias,
            padding_mode, device, dtype,
        )  # fmt: skip

    def forward(self, input: Tensor) -> Tensor:
        """input: [n, in_channels, ...] or without n; the result has out_channels."""
        padding: Any = self.padding
        if self.padding_mode != "zeros":
            input, padding = F.pad(input, tuple(self._sides()), mode=self.padding_mode), 0
        convolve: Callable[..., Tensor] = getattr(F, self.function)
        return convolve(
            input, self.weight, self.bias, self.stride, padding, self.dilation, self.groups
        )


class Conv1d(_Conv):
    """Cross-correlation of the last dimension with learned windows, plus a bias. weight:
    [out_channels, in_channels / groups, k], uniform at first.

    input: [n, in_channels, l]; the result is [n, out_channels, (l + 2 padding - dilation (k - 1) -
    1) / stride + 1]. `padding` may be `"same"` or `"valid"`; `padding_mode` says what it holds:
    `zeros`, `reflect`, `replicate` or `circular`."""

    rank, function = 1, "conv1d"


class Conv2d(_Conv):
    """As `Conv1d` over the last two dimensions. weight: [out_channels, in_channels / groups, *k].
    input: [n, in_channels, h, w]."""

    rank, function = 2, "conv2d"


class Conv3d(_Conv):
    """As `Conv1d` over the last three dimensions. weight: [out_channels, in_channels / groups,
    *k]. input: [n, in_channels, d, h, w]."""

    rank, function = 3, "conv3d"


class _ConvTranspose(_Convolution):
    """The transposed convolutions."""

    transposed = True
    function: ClassVar[str]

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: Size,
        stride: Size = 1,
        padding: Size = 0,
        output_padding: Size = 0,
        groups: int = 1,
        bias: bool = True,
        dilation: Size = 1,
        padding_mode: str = "zeros",
        device: Any = None,
        dtype: DType | None = None,
    ) -> None:
        super().__init__(
            in_channels, out_channels, kernel_size, stride, padding, output_padding, dilation,
            groups, bias, padding_mode, device, dtype,
        )  # fmt: skip

    def forward(self, input: Tensor, output_size: Sequence[int] | None = None) -> Tensor:
        """input: [n, in_channels, ...] or without n; `output_size` chooses among the spatial sizes
        that a stride above 1 leaves open."""
        extra = self.output_padding if output_size is None else self._extra(input, output_size)
        convolve: Callable[..., Tensor] = getattr(F, self.function)
        return convolve(
            input, self.weight, self.bias, self.stride, self.padding, extra, self.groups,
            self.dilation,
        )  # fmt: skip

    def _extra(self, input: Tensor, output_size: Sequence[int]) -> tuple[int, ...]:
        """The output padding that gives a wanted size."""
        wanted = tuple(output_size)[-self.rank :]
        padding = each("padding", "padding", self.padding, self.rank)
        found = []
        for k, (size, given) in enumerate(zip(input.shape[-self.rank :], wanted, strict=True)):
            span = self.dilation[k] * (self.kernel_size[k] - 1) + 1
            least = (size - 1) * self.stride[k] - 2 * padding[k] + span
            if not 0 <= given - least < max(self.stride[k], self.dilation[k]):
                raise ArgumentError(
                    f"{type(self).__name__}: output_size {wanted} does not follow from"
                    f" {tuple(input.shape)}: dim {k} starts at {least}"
                )
            found.append(given - least)
        return tuple(found)


class ConvTranspose1d(_ConvTranspose):
    """The transpose of `Conv1d` as a map of its input: spreads every element over a window. weight:
    [in_channels, out_channels / groups, k].

    input: [n, in_channels, l]; the result is [n, out_channels, (l - 1) stride - 2 padding +
    dilation (k - 1) + output_padding + 1]."""

    rank, function = 1, "conv_transpose1d"


class ConvTranspose2d(_ConvTranspose):
    """As `ConvTranspose1d` over the last two dimensions. input: [n, in_channels, h, w]."""

    rank, function = 2, "conv_transpose2d"


class ConvTranspose3d(_ConvTranspose):
    """As `ConvTranspose1d` over the last three dimensions. input: [n, in_channels, d, h, w]."""

    rank, function = 3, "conv_transpose3d"
