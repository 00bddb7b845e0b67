"""Layers that learn the number of their input's features or channels from the first input.

A lazy layer has parameters without a shape. Its first call gives them one, draws them, and turns
the layer into one of the usual class; a state dict that is loaded before gives them theirs. That
happens in Python, so the first call is an eager one."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

import numpy as np

import intaglio as ig
from intaglio._tensor import Tensor
from intaglio.compiler.dtypes import DType
from intaglio.compiler.errors import ArgumentError, ShapeError, TraceError
from intaglio.nn import _batchnorm_layers as norms, _convolutions as convolutions
from intaglio.nn._layers import Linear
from intaglio.nn._module import Module
from intaglio.nn._uninitialized import (
    UninitializedBuffer,
    UninitializedParameter,
    is_uninitialized,
)

Size = int | Sequence[int]


class LazyModuleMixin(Module):
    """What lazy layers share. `cls_to_become`: the class of the layer after its first call;
    `initialize_parameters(*inputs)` gives the parameters their shapes and numbers."""

    cls_to_become: ClassVar[type[Module] | None] = None

    def has_uninitialized_params(self) -> bool:
        """Whether a parameter or buffer of this module has no shape yet."""
        held = (*self._parameters.values(), *self._buffers.values())
        return any(map(is_uninitialized, held))

    def initialize_parameters(self, *inputs: Any, **keywords: Any) -> None:
        """Give the parameters shapes and numbers that fit an input."""
        raise NotImplementedError(f"{type(self).__name__} defines no initialize_parameters")

    def __call__(self, *inputs: Any, **keywords: Any) -> Any:
        if self.has_uninitialized_params() and ig.is_tracing():
            raise TraceError(
                f"{type(self).__name__}: its parameters have no shapes yet; call the model once"
                " with an input before it is traced or compiled"
            )
        self.initialize_parameters(*inputs, **keywords)
        if self.has_uninitialized_params():
            raise ShapeError(f"{type(self).__name__}: some parameters are still without a shape")
        if self.cls_to_become is None:
            return super().__call__(*inputs, **keywords)
        self.__class__ = self.cls_to_become  # type: ignore[assignment]  # it becomes another class
        return self(*inputs, **keywords)

    # ---------------------------------------------------------------------------------------- state

    def _save_to_state_dict(
        self, destination: dict[str, Any], prefix: str, keep_vars: bool
    ) -> None:
        super()._save_to_state_dict(destination, prefix, keep_vars)
        for name, tensor in self._own_tensors().items():
            if is_uninitialized(tensor):
                destination[prefix + name] = tensor

    def _load_from_state_dict(self, state_dict: Any, prefix: str, *rest: Any) -> None:
        for name, tensor in self._own_tensors().items():
            given = state_dict.get(prefix + name)
            if is_uninitialized(tensor) and given is not None and not is_uninitialized(given):
                tensor.materialize(given.shape if isinstance(given, Tensor) else np.shape(given))
        super()._load_from_state_dict(state_dict, prefix, *rest)

    def _load_tensor_impl(self, name: str, tensor: Tensor, value: Any, *rest: Any) -> None:
        if not (is_uninitialized(tensor) and is_uninitialized(value)):
            super()._load_tensor_impl(name, tensor, value, *rest)


# ------------------------------------------------------------------------------------------- linear


class LazyLinear(LazyModuleMixin, Linear):
    """`Linear` whose `in_features` is the last size of the first input."""

    cls_to_become = Linear

    def __init__(
        self, out_features: int, bias: bool = True, device: Any = None, dtype: DType | None = None
    ) -> None:
        super().__init__(0, 0, False)
        made = {"device": device, "dtype": dtype}
        self.out_features = out_features
        self.weight = UninitializedParameter(**made)
        self.register_parameter("bias", UninitializedParameter(**made) if bias else None)

    def reset_parameters(self) -> None:
        """Draw new weights, if they have a shape."""
        if not self.has_uninitialized_params() and self.in_features:
            super().reset_parameters()

    def initialize_parameters(self, input: Tensor) -> None:
        """input: [..., in_features]."""
        if self.has_uninitialized_params():
            self.in_features = input.shape[-1]
            self.weight.materialize((self.out_features, self.in_features))
            if self.bias is not None:
                self.bias.materialize((self.out_features,))
            self.reset_parameters()
        self.in_features = self.weight.shape[-1]


# ------------------------------------------------------------------------------------- convolutions


class _LazyConvolution(LazyModuleMixin, convolutions._Convolution):
    """A convolution whose `in_channels` are the first input's."""

    def _become_lazy(
        self, out_channels: int, groups: int, bias: bool, device: Any, dtype: DType | None
    ) -> None:
        if groups < 1 or out_channels % groups:
            raise ArgumentError(
                f"{type(self).__name__}: {out_channels} channels are not {groups} equal groups"
            )
        made = {"device": device, "dtype": dtype}
        self.out_channels = out_channels
        self.weight = UninitializedParameter(**made)
        self.register_parameter("bias", UninitializedParameter(**made) if bias else None)

    def reset_parameters(self) -> None:
        """Draw new weights, if they have a shape."""
        if not self.has_uninitialized_params() and self.in_channels:
            super().reset_parameters()

    def initialize_parameters(self, input: Tensor, *rest: Any) -> None:
        """input: [n, in_channels, ...] or without n."""
        if input.ndim not in (self.rank + 1, self.rank + 2):
            raise ShapeError(
                f"{type(self).__name__}: {input._kind}: {self.rank + 2} dimensions are wanted, or"
                f" {self.rank + 1} without a batch"
            )
        if not self.has_uninitialized_params():
            # A state dict has brought the weight.
            given = self.weight.shape[0 if self.transposed else 1]
            self.in_channels = given if self.transposed else given * self.groups
            return
        channels = input.shape[-self.rank - 1]
        if channels % self.groups:
            raise ArgumentError(
                f"{type(self).__name__}: {input._kind}: {channels} channels are not"
                f" {self.groups} equal groups"
            )
        self.in_channels = channels
        pair = (self.out_channels, channels // self.groups)
        if self.transposed:
            pair = (channels, self.out_channels // self.groups)
        self.weight.materialize((*pair, *self.kernel_size))
        if self.bias is not None:
            self.bias.materialize((self.out_channels,))
        self.reset_parameters()


class _LazyConv(_LazyConvolution):
    """The forward convolutions."""

    def __init__(
        self,
        out_channels: int,
        kernel_size: Size,
        stride: Size = 1,
        padding: Size = 0,
        dilation: Size = 1,
        groups: int = 1,
        bias: bool = True,
        padding_mode: str = "zeros",
        device: Any = None,
        dtype: DType | None = None,
    ) -> None:
        options: dict[str, Any] = {"dilation": dilation, "groups": groups, "bias": False}
        super().__init__(0, 0, kernel_size, stride, padding, padding_mode=padding_mode, **options)
        self._become_lazy(out_channels, groups, bias, device, dtype)


class _LazyConvTranspose(_LazyConvolution):
    """The transposed convolutions."""

    def __init__(
        self,
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
        options: dict[str, Any] = {"dilation": dilation, "groups": groups, "bias": False}
        super().__init__(
            0, 0, kernel_size, stride, padding, output_padding, padding_mode=padding_mode, **options
        )
        self._become_lazy(out_channels, groups, bias, device, dtype)


class LazyConv1d(_LazyConv, convolutions.Conv1d):
    """`Conv1d` whose `in_channels` are the first input's."""

    cls_to_become = convolutions.Conv1d


class LazyConv2d(_LazyConv, convolutions.Conv2d):
    """`Conv2d` whose `in_channels` are the first input's."""

    cls_to_become = convolutions.Conv2d


class LazyConv3d(_LazyConv, convolutions.Conv3d):
    """`Conv3d` whose `in_channels` are the first input's."""

    cls_to_become = convolutions.Conv3d


class LazyConvTranspose1d(_LazyConvTranspose, convolutions.ConvTranspose1d):
    """`ConvTranspose1d` whose `in_channels` are the first input's."""

    cls_to_become = convolutions.ConvTranspose1d


class LazyConvTranspose2d(_LazyConvTranspose, convolutions.ConvTranspose2d):
    """`ConvTranspose2d` whose `in_channels` are the first input's."""

    cls_to_become = convolutions.ConvTranspose2d


class LazyConvTranspose3d(_LazyConvTranspose, convolutions.ConvTranspose3d):
    """`ConvTranspose3d` whose `in_channels` are the first input's."""

    cls_to_become = convolutions.ConvTranspose3d


# -------------------------------------------------------------------------------------------- norms


class _LazyNorm(LazyModuleMixin, norms._Norm):
    """A norm whose `num_features` are the first input's channels."""

    def __init__(
        self,
        eps: float = 1e-5,
        momentum: float | None = 0.1,
        affine: bool = True,
        track_running_stats: bool = True,
        device: Any = None,
        dtype: DType | None = None,
        *,
        bias: bool = True,
    ) -> None:
        super().__init__(0, eps, momentum, False, False)  # type: ignore[call-arg]  # as above
        self.affine, self.track_running_stats = affine, track_running_stats
        made = {"device": device, "dtype": dtype}
        if affine:
            self.weight = UninitializedParameter(**made)
            if bias:
                self.bias = UninitializedParameter(**made)
        if track_running_stats:
            self.running_mean = UninitializedBuffer(**made)
            self.running_var = UninitializedBuffer(**made)
            self.num_batches_tracked = ig.zeros((), dtype=ig.int64, device=device)

    def reset_parameters(self) -> None:
        """Scale 1, shift 0, no statistics, if they have a shape."""
        if not self.has_uninitialized_params() and self.num_features:
            super().reset_parameters()

    def initialize_parameters(self, input: Tensor) -> None:
        """input: [n, num_features, ...], or without n where the norm takes that."""
        self._check(input)
        held = [t for t in (*self._parameters.values(), *self._buffers.values()) if t is not None]
        if self.has_uninitialized_params():
            single = isinstance(self, norms._InstanceNorm) and input.ndim == self.ranks[0]
            self.num_features = input.shape[0 if single else 1]
            for tensor in held:
                if isinstance(tensor, UninitializedParameter | UninitializedBuffer):
                    tensor.materialize((self.num_features,))
            self.reset_parameters()
        elif held:
            self.num_features = held[0].shape[0]


class LazyBatchNorm1d(_LazyNorm, norms._BatchNorm):
    """`BatchNorm1d` whose `num_features` are the first input's."""

    cls_to_become, ranks = norms.BatchNorm1d, norms.BatchNorm1d.ranks


class LazyBatchNorm2d(_LazyNorm, norms._BatchNorm):
    """`BatchNorm2d` whose `num_features` are the first input's."""

    cls_to_become, ranks = norms.BatchNorm2d, norms.BatchNorm2d.ranks


class LazyBatchNorm3d(_LazyNorm, norms._BatchNorm):
    """`BatchNorm3d` whose `num_features` are the first input's."""

    cls_to_become, ranks = norms.BatchNorm3d, norms.BatchNorm3d.ranks


class LazyInstanceNorm1d(_LazyNorm, norms._InstanceNorm):
    """`InstanceNorm1d` whose `num_features` are the first input's."""

    cls_to_become, ranks = norms.InstanceNorm1d, norms.InstanceNorm1d.ranks


class LazyInstanceNorm2d(_LazyNorm, norms._InstanceNorm):
    """`InstanceNorm2d` whose `num_features` are the first input's."""

    cls_to_become, ranks = norms.InstanceNorm2d, norms.InstanceNorm2d.ranks


class LazyInstanceNorm3d(_LazyNorm, norms._InstanceNorm):
    """`InstanceNorm3d` whose `num_features` are the first input's."""

    cls_to_become, ranks = norms.InstanceNorm3d, norms.InstanceNorm3d.ranks
