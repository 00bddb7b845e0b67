"""Pooling, padding and resizing as modules: each calls the function of the same meaning with its
constructor's arguments."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, ClassVar

from intaglio._tensor import Tensor
from intaglio.compiler.errors import ArgumentError
from intaglio.nn import functional as F
from intaglio.nn._module import Module
from intaglio.nn._windows import each

Size = int | Sequence[int]


class _Windowed(Module):
    """A layer without weights that calls one function; `shown` are the options that `repr`
    names."""

    function: ClassVar[str]
    shown: ClassVar[tuple[str, ...]] = ()

    def _result(self, *inputs: Any, **options: Any) -> Any:
        function: Callable[..., Any] = getattr(F, self.function)
        return function(*inputs, **options)

    def extra_repr(self) -> str:
        """The options."""
        return ", ".join(f"{name}={getattr(self, name)}" for name in self.shown)


# ------------------------------------------------------------------------------------------- maxima


class _MaxPool(_Windowed):
    """Maxima over windows of some rank."""

    shown = ("kernel_size", "stride", "padding", "dilation", "ceil_mode")

    def __init__(
        self,
        kernel_size: Size,
        stride: Size | None = None,
        padding: Size = 0,
        dilation: Size = 1,
        return_indices: bool = False,
        ceil_mode: bool = False,
    ) -> None:
        super().__init__()
        self.kernel_size, self.padding, self.dilation = kernel_size, padding, dilation
        self.stride = kernel_size if stride is None else stride
        self.return_indices, self.ceil_mode = return_indices, ceil_mode

    def forward(self, input: Tensor) -> Any:
        """input: [n, c, ...] or [c, ...]; the maxima, with `return_indices` also their
        positions."""
        return self._result(
            input, self.kernel_size, self.stride, self.padding, self.dilation, self.ceil_mode,
            self.return_indices,
        )  # fmt: skip


class MaxPool1d(_MaxPool):
    """The largest element of every window; see `functional.max_pool1d`."""

    function = "max_pool1d"


class MaxPool2d(_MaxPool):
    """The largest element of every window; see `functional.max_pool2d`."""

    function = "max_pool2d"


class MaxPool3d(_MaxPool):
    """The largest element of every window; see `functional.max_pool3d`."""

    function = "max_pool3d"


class _MaxUnpool(_Windowed):
    """Maxima put back where they were."""

    shown = ("kernel_size", "stride", "padding")
    rank: ClassVar[int]

    def __init__(self, kernel_size: Size, stride: Size | None = None, padding: Size = 0) -> None:
        super().__init__()
        name = type(self).__name__
        self.kernel_size = each(name, "kernel_size", kernel_size, self.rank)
        self.stride = each(name, "stride", kernel_size if stride is None else stride, self.rank)
        self.padding = each(name, "padding", padding, self.rank)

    def forward(
        self, input: Tensor, indices: Tensor, output_size: Sequence[int] | None = None
    ) -> Tensor:
        """input and indices: what a max pool returned; zeros elsewhere."""
        made: Tensor = self._result(
            input, indices, self.kernel_size, self.stride, self.padding, output_size
        )
        return made


class MaxUnpool1d(_MaxUnpool):
    """The partial inverse of `MaxPool1d`."""

    function, rank = "max_unpool1d", 1


class MaxUnpool2d(_MaxUnpool):
    """The partial inverse of `MaxPool2d`."""

    function, rank = "max_unpool2d", 2


class MaxUnpool3d(_MaxUnpool):
    """The partial inverse of `MaxPool3d`."""

    function, rank = "max_unpool3d", 3


# -------------------------------------------------------------------------------------------- means


class AvgPool1d(_Windowed):
    """The mean of every window; see `functional.avg_pool1d`."""

    function = "avg_pool1d"
    shown = ("kernel_size", "stride", "padding")

    def __init__(
        self,
        kernel_size: Size,
        stride: Size | None = None,
        padding: Size = 0,
        ceil_mode: bool = False,
        count_include_pad: bool = True,
    ) -> None:
        super().__init__()
        self.kernel_size = each("AvgPool1d", "kernel_size", kernel_size, 1)
        self.stride = each("AvgPool1d", "stride", kernel_size if stride is None else stride, 1)
        self.padding = each("AvgPool1d", "padding", padding, 1)
        self.ceil_mode, self.count_include_pad = ceil_mode, count_include_pad

    def forward(self, input: Tensor) -> Tensor:
        """input: [n, c, l] or [c, l]; the means."""
        made: Tensor = self._result(
            input, self.kernel_size, self.stride, self.padding, self.ceil_mode,
            self.count_include_pad,
        )  # fmt: skip
        return made


class _AvgPool(_Windowed):
    """Means over windows, with a divisor of choice."""

    shown = ("kernel_size", "stride", "padding")

    def __init__(
        self,
        kernel_size: Size,
        stride: Size | None = None,
        padding: Size = 0,
        ceil_mode: bool = False,
        count_include_pad: bool = True,
        divisor_override: int | None = None,
    ) -> None:
        super().__init__()
        self.kernel_size, self.padding = kernel_size, padding
        self.stride = kernel_size if stride is None else stride
        self.ceil_mode, self.count_include_pad = ceil_mode, count_include_pad
        self.divisor_override = divisor_override

    def forward(self, input: Tensor) -> Tensor:
        """input: [n, c, ...] or [c, ...]; the means."""
        made: Tensor = self._result(
            input, self.kernel_size, self.stride, self.padding, self.ceil_mode,
            self.count_include_pad, self.divisor_override,
        )  # fmt: skip
        return made


class AvgPool2d(_AvgPool):
    """The mean of every window; see `functional.avg_pool2d`."""

    function = "avg_pool2d"


class AvgPool3d(_AvgPool):
    """The mean of every window; see `functional.avg_pool3d`."""

    function = "avg_pool3d"


class _LPPool(_Windowed):
    """Power means over windows."""

    shown = ("norm_type", "kernel_size", "stride", "ceil_mode")

    def __init__(
        self,
        norm_type: float,
        kernel_size: Size,
        stride: Size | None = None,
        ceil_mode: bool = False,
    ) -> None:
        super().__init__()
        self.norm_type, self.kernel_size, self.stride = norm_type, kernel_size, stride
        self.ceil_mode = ceil_mode

    def forward(self, input: Tensor) -> Tensor:
        """input: [n, c, ...] or [c, ...]; (sum x^p)^(1/p) of every window."""
        made: Tensor = self._result(
            input, float(self.norm_type), self.kernel_size, self.stride, self.ceil_mode
        )
        return made


class LPPool1d(_LPPool):
    """See `functional.lp_pool1d`."""

    function = "lp_pool1d"


class LPPool2d(_LPPool):
    """See `functional.lp_pool2d`."""

    function = "lp_pool2d"


class LPPool3d(_LPPool):
    """See `functional.lp_pool3d`."""

    function = "lp_pool3d"


# ------------------------------------------------------------------------------------------- random


class _FractionalMaxPool(_Windowed):
    """Maxima over windows at random places."""

    rank: ClassVar[int]

    def __init__(
        self,
        kernel_size: Size,
        output_size: Size | None = None,
        output_ratio: float | Sequence[float] | None = None,
        return_indices: bool = False,
        _random_samples: Tensor | None = None,
    ) -> None:
        super().__init__()
        if (output_size is None) == (output_ratio is None):
            raise ArgumentError(f"{type(self).__name__}: give either output_size or output_ratio")
        name, rank = type(self).__name__, self.rank
        self.kernel_size = each(name, "kernel_size", kernel_size, rank)
        self.output_size = (
            None if output_size is None else each(name, "output_size", output_size, rank)
        )
        self.output_ratio = (
            (output_ratio,) * rank if isinstance(output_ratio, float) else output_ratio
        )
        self.return_indices = return_indices
        self.register_buffer("_random_samples", _random_samples)

    def forward(self, input: Tensor) -> Any:
        """input: [n, c, ...] or [c, ...]; with `return_indices` also the positions."""
        return self._result(
            input,
            self.kernel_size,
            self.output_size,
            self.output_ratio,
            self.return_indices,
            self._random_samples,
        )


class FractionalMaxPool2d(_FractionalMaxPool):
    """See `functional.fractional_max_pool2d`."""

    function, rank = "fractional_max_pool2d", 2


class FractionalMaxPool3d(_FractionalMaxPool):
    """See `functional.fractional_max_pool3d`."""

    function, rank = "fractional_max_pool3d", 3


# --------------------------------------------------------------------------------------- as columns


class _Columns(_Windowed):
    """Patches as columns."""

    shown: ClassVar[tuple[str, ...]] = ("kernel_size", "dilation", "padding", "stride")

    def __init__(
        self, kernel_size: Size, dilation: Size = 1, padding: Size = 0, stride: Size = 1
    ) -> None:
        super().__init__()
        self.kernel_size, self.dilation = kernel_size, dilation
        self.padding, self.stride = padding, stride


class Unfold(_Columns):
    """The patches that a kernel sees, as columns; see `functional.unfold`."""

    function = "unfold"

    def forward(self, input: Tensor) -> Tensor:
        """input: [n, c, h, w] or [c, h, w]; the result is [n, c kh kw, patches]."""
        made: Tensor = self._result(
            input, self.kernel_size, self.dilation, self.padding, self.stride
        )
        return made


class Fold(_Columns):
    """The sums of patches where they came from; see `functional.fold`."""

    function = "fold"
    shown = ("output_size", *_Columns.shown)

    def __init__(
        self,
        output_size: Size,
        kernel_size: Size,
        dilation: Size = 1,
        padding: Size = 0,
        stride: Size = 1,
    ) -> None:
        super().__init__(kernel_size, dilation, padding, stride)
        self.output_size = output_size

    def forward(self, input: Tensor) -> Tensor:
        """input: [n, c kh kw, patches] or without n; the result is [n, c, *output_size]."""
        made: Tensor = self._result(
            input, self.output_size, self.kernel_size, self.dilation, self.padding, self.stride
        )
        return made


# ----------------------------------------------------------------------------------------- adaptive


class _Adaptive(_Windowed):
    """As many windows as are asked for."""

    shown = ("output_size",)

    def __init__(self, output_size: Any) -> None:
        super().__init__()
        self.output_size = output_size

    def forward(self, input: Tensor) -> Any:
        """input: [n, c, ...] or [c, ...]; one element for each window."""
        return self._result(input, self.output_size)


class AdaptiveAvgPool1d(_Adaptive):
    """See `functional.adaptive_avg_pool1d`."""

    function = "adaptive_avg_pool1d"


class AdaptiveAvgPool2d(_Adaptive):
    """See `functional.adaptive_avg_pool2d`."""

    function = "adaptive_avg_pool2d"


class AdaptiveAvgPool3d(_Adaptive):
    """See `functional.adaptive_avg_pool3d`."""

    function = "adaptive_avg_pool3d"


class _AdaptiveMax(_Adaptive):
    """The maxima of as many windows as are asked for."""

    def __init__(self, output_size: Any, return_indices: bool = False) -> None:
        super().__init__(output_size)
        self.return_indices = return_indices

    def forward(self, input: Tensor) -> Any:
        """input: [n, c, ...] or [c, ...]; one element for each window, with `return_indices` also
        its position."""
        return self._result(input, self.output_size, self.return_indices)


class AdaptiveMaxPool1d(_AdaptiveMax):
    """See `functional.adaptive_max_pool1d`."""

    function = "adaptive_max_pool1d"


class AdaptiveMaxPool2d(_AdaptiveMax):
    """See `functional.adaptive_max_pool2d`."""

    function = "adaptive_max_pool2d"


class AdaptiveMaxPool3d(_AdaptiveMax):
    """See `functional.adaptive_max_pool3d`."""

    function = "adaptive_max_pool3d"
