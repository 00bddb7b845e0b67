"""Normalization layers over a batch, over single images, and over groups of channels."""

from __future__ import annotations

from typing import Any, ClassVar

import intaglio as ig
from intaglio._tensor import Parameter, Tensor
from intaglio.compiler.dtypes import DType
from intaglio.compiler.errors import ArgumentError, ShapeError
from intaglio.nn import functional as F
from intaglio.nn._module import Module


class _Norm(Module):
    """Base of the layers with statistics: scale and shift for each channel, and running
    statistics as buffers."""

    ranks: ClassVar[tuple[int, ...]]
    weight: Parameter | None
    bias: Parameter | None
    running_mean: Tensor | None
    running_var: Tensor | None
    num_batches_tracked: Tensor | None

    def __init__(
        self,
        num_features: int,
        eps: float,
        momentum: float | None,
        affine: bool,
        track_running_stats: bool,
        device: Any,
        dtype: DType | None,
        bias: bool,
    ) -> None:
        super().__init__()
        self.num_features, self.eps, self.momentum = num_features, eps, momentum
        self.affine, self.track_running_stats = affine, track_running_stats
        shape, made = (num_features,), {"device": device, "dtype": dtype}
        scale = Parameter(ig.ones(shape, **made)) if affine else None
        self.register_parameter("weight", scale)
        shift = Parameter(ig.zeros(shape, **made)) if affine and bias else None
        self.register_parameter("bias", shift)
        tracked = track_running_stats
        self.register_buffer("running_mean", ig.zeros(shape, **made) if tracked else None)
        self.register_buffer("running_var", ig.ones(shape, **made) if tracked else None)
        count = ig.zeros((), dtype=ig.int64, device=device) if tracked else None
        self.register_buffer("num_batches_tracked", count)

    def reset_running_stats(self) -> None:
        """Forget the statistics seen so far."""
        if self.running_mean is None or self.running_var is None:
            return
        with ig.no_grad():
            self.running_mean.zero_()
            self.running_var.fill_(1.0)
            if self.num_batches_tracked is not None:
                self.num_batches_tracked.zero_()

    def reset_parameters(self) -> None:
        """Scale 1, shift 0, no statistics."""
        self.reset_running_stats()
        with ig.no_grad():
            if self.weight is not None:
                self.weight.fill_(1.0)
            if self.bias is not None:
                self.bias.zero_()

    def _check(self, input: Tensor) -> None:
        if input.ndim not in self.ranks:
            wanted = " or ".join(map(str, self.ranks))
            raise ShapeError(
                f"{type(self).__name__}: {input._kind}: {wanted} dimensions are wanted"
            )

    def extra_repr(self) -> str:
        """The number of channels and the options."""
        return (
            f"{self.num_features}, eps={self.eps}, momentum={self.momentum}, affine={self.affine},"
            f" bias={self.bias is not None}, track_running_stats={self.track_running_stats}"
        )


class _BatchNorm(_Norm):
    """Batch normalization for inputs of some ranks."""

    def __init__(
        self,
        num_features: int,
        eps: float = 1e-5,
        momentum: float | None = 0.1,
        affine: bool = True,
        track_running_stats: bool = True,
        device: Any = None,
        dtype: DType | None = None,
        *,
        bias: bool = True,
    ) -> None:
        super().__init__(
            num_features, eps, momentum, affine, track_running_stats, device, dtype, bias
        )

    def forward(self, input: Tensor) -> Tensor:
        """input: [n, num_features, ...]; the result has its shape."""
        self._check(input)
        factor: Any = 0.0 if self.momentum is None else self.momentum
        if self.training and self.num_batches_tracked is not None:
            with ig.no_grad():
                self.num_batches_tracked.add_(1)
                if self.momentum is None:
                    factor = 1.0 / self.num_batches_tracked.to(input.dtype)
        by_batch = self.training or self.running_mean is None or self.running_var is None
        tracks = self.training and self.track_running_stats
        known = tracks or not by_batch
        return F.batch_norm(
            input,
            self.running_mean if known else None,
            self.running_var if known else None,
            self.weight,
            self.bias,
            by_batch,
            factor,
            self.eps,
        )


class BatchNorm1d(_BatchNorm):
    """Standardizes each channel by the statistics of the batch, then scales by `weight` and shifts
    by `bias` (Ioffe and Szegedy 2015). input: [n, c] or [n, c, l].

    In training `running_mean` and `running_var` follow the batches' statistics by `momentum` (None:
    they are the means over all batches so far, counted by `num_batches_tracked`); in evaluation
    they are used instead, so the layer is one scale and one shift for each channel."""

    ranks = (2, 3)


class BatchNorm2d(_BatchNorm):
    """`BatchNorm1d` for images. input: [n, c, h, w]."""

    ranks = (4,)


class BatchNorm3d(_BatchNorm):
    """`BatchNorm1d` for volumes. input: [n, c, d, h, w]."""

    ranks = (5,)


class SyncBatchNorm(_BatchNorm):
    """`BatchNorm1d` for inputs of any rank, [n, c, ...]. The statistics are those of this process's
    batch: with one process that is the whole batch, and `process_group` has no effect."""

    def __init__(
        self,
        num_features: int,
        eps: float = 1e-5,
        momentum: float | None = 0.1,
        affine: bool = True,
        track_running_stats: bool = True,
        process_group: Any = None,
        device: Any = None,
        dtype: DType | None = None,
        *,
        bias: bool = True,
    ) -> None:
        super().__init__(
            num_features, eps, momentum, affine, track_running_stats, device, dtype, bias=bias
        )
        self.process_group = process_group

    def _check(self, input: Tensor) -> None:
        if input.ndim < 2:
            raise ShapeError(f"SyncBatchNorm: {input._kind}: at least 2 dimensions are wanted")

    @classmethod
    def convert_sync_batchnorm(cls, module: Module, process_group: Any = None) -> Module:
        """The module with every batch norm below it replaced by one of this class that has the same
        parameters and buffers; a batch norm itself gives the new one."""
        made = module
        if isinstance(module, _BatchNorm):
            made = cls(
                module.num_features, module.eps, module.momentum, module.affine,
                module.track_running_stats, process_group, bias=module.bias is not None,
            )  # fmt: skip
            for name in (*module._parameters, *module._buffers):
                setattr(made, name, getattr(module, name))
            made.training = module.training
        for name, child in list(module.named_children()):
            made.add_module(name, cls.convert_sync_batchnorm(child, process_group))
        return made


class _InstanceNorm(_Norm):
    """Instance normalization for inputs of some ranks."""

    def __init__(
        self,
        num_features: int,
        eps: float = 1e-5,
        momentum: float = 0.1,
        affine: bool = False,
        track_running_stats: bool = False,
        device: Any = None,
        dtype: DType | None = None,
        *,
        bias: bool = True,
    ) -> None:
        super().__init__(
            num_features, eps, momentum, affine, track_running_stats, device, dtype, bias
        )

    def forward(self, input: Tensor) -> Tensor:
        """input: [n, num_features, ...], or without n; the result has its shape."""
        self._check(input)
        whole = input.unsqueeze(0) if input.ndim == self.ranks[0] else input
        made = F.instance_norm(
            whole,
            self.running_mean,
            self.running_var,
            self.weight,
            self.bias,
            self.training or not self.track_running_stats,
            0.0 if self.momentum is None else self.momentum,
            self.eps,
        )
        return made.squeeze(0) if input.ndim == self.ranks[0] else made


class InstanceNorm1d(_InstanceNorm):
    """Standardizes each channel of each element of the batch by its own statistics (Ulyanov et al.
    2016). input: [n, c, l] or [c, l]."""

    ranks = (2, 3)


class InstanceNorm2d(_InstanceNorm):
    """`InstanceNorm1d` for images. input: [n, c, h, w] or [c, h, w]."""

    ranks = (3, 4)


class InstanceNorm3d(_InstanceNorm):
    """`InstanceNorm1d` for volumes. input: [n, c, d, h, w] or [c, d, h, w]."""

    ranks = (4, 5)


class GroupNorm(Module):
    """Standardizes groups of channels of each image by their own statistics, then scales and shifts
    each channel (Wu and He 2018). input: [n, num_channels, ...]."""

    def __init__(
        self,
        num_groups: int,
        num_channels: int,
        eps: float = 1e-5,
        affine: bool = True,
        device: Any = None,
        dtype: DType | None = None,
        *,
        bias: bool = True,
    ) -> None:
        super().__init__()
        if num_groups < 1 or num_channels % num_groups:
            raise ArgumentError(
                f"GroupNorm: {num_channels} channels are not {num_groups} equal groups"
            )
        self.num_groups, self.num_channels = num_groups, num_channels
        self.eps, self.affine = eps, affine
        shape, made = (num_channels,), {"device": device, "dtype": dtype}
        scale = Parameter(ig.ones(shape, **made)) if affine else None
        self.register_parameter("weight", scale)
        shift = Parameter(ig.zeros(shape, **made)) if affine and bias else None
        self.register_parameter("bias", shift)

    def reset_parameters(self) -> None:
        """Scale 1, shift 0."""
        with ig.no_grad():
            if self.weight is not None:
                self.weight.fill_(1.0)
            if self.bias is not None:
                self.bias.zero_()

    def forward(self, input: Tensor) -> Tensor:
        """input: [n, num_channels, ...]; the result has its shape."""
        return F.group_norm(input, self.num_groups, self.weight, self.bias, self.eps)

    def extra_repr(self) -> str:
        """The sizes and options."""
        return (
            f"{self.num_groups}, {self.num_channels}, eps={self.eps}, affine={self.affine},"
            f" bias={self.bias is not None}"
        )


class _Response(Module):
    """What the norms over neighbouring channels share: their numbers."""

    def __init__(self, size: int, alpha: float = 1e-4, beta: float = 0.75, k: float = 1.0) -> None:
        super().__init__()
        self.size, self.alpha, self.beta, self.k = size, alpha, beta, k

    def extra_repr(self) -> str:
        """The size and options."""
        return f"{self.size}, alpha={self.alpha}, beta={self.beta}, k={self.k}"


class LocalResponseNorm(_Response):
    """Divides by a power of the mean square of `size` neighbouring channels (Krizhevsky et al.
    2012). input: [n, c, ...]."""

    def forward(self, input: Tensor) -> Tensor:
        """input: [n, c, ...]; the result has its shape."""
        return F.local_response_norm(input, self.size, self.alpha, self.beta, self.k)


class CrossMapLRN2d(_Response):
    """`LocalResponseNorm` of images whose window reaches (size - 1) // 2 channels to both sides.
    input: [n, c, h, w]."""

    def __init__(self, size: int, alpha: float = 1e-4, beta: float = 0.75, k: float = 1) -> None:
        super().__init__(size, alpha, beta, k)

    def forward(self, input: Tensor) -> Tensor:
        """input: [n, c, h, w]; the result has its shape."""
        if input.ndim != 4:
            raise ShapeError(f"CrossMapLRN2d: {input._kind}: 4 dimensions are wanted")
        window = (self.size - 1) // 2 * 2 + 1
        alpha = self.alpha * window / self.size
        return F.local_response_norm(input, window, alpha, self.beta, self.k)
