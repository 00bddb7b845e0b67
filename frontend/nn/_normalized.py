"""softmax, log_softmax and the norms over trailing dimensions, with their derivatives stated."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import intaglio as ig
from intaglio._composite import as_one
from intaglio._halves import rounded_once
from intaglio._scope import entered
from intaglio._tensor import Tensor
from intaglio.compiler.dtypes import DType
from intaglio.compiler.errors import ShapeError

Tensors = tuple[Tensor, ...]


def _softmax_forward(x: Tensor, *, dim: int) -> Tensor:
    shifted = ig.exp(x - ig.amax(x, dim, keepdim=True))
    return shifted / ig.sum(shifted, dim, keepdim=True)


def _softmax_backward(xs: Tensors, ys: Tensors, dys: Tensors, *, dim: int) -> Tensors:
    weighted = dys[0] * ys[0]
    return (weighted - ys[0] * ig.sum(weighted, dim, keepdim=True),)


def _log_softmax_forward(x: Tensor, *, dim: int) -> Tensor:
    shifted = x - ig.amax(x, dim, keepdim=True)
    return shifted - ig.log(ig.sum(ig.exp(shifted), dim, keepdim=True))


def _log_softmax_backward(xs: Tensors, ys: Tensors, dys: Tensors, *, dim: int) -> Tensors:
    return (dys[0] - ig.exp(ys[0]) * ig.sum(dys[0], dim, keepdim=True),)


def _standardized(x: Tensor, dims: tuple[int, ...], eps: float) -> tuple[Tensor, Tensor]:
    """(x - mean) / sqrt(variance + eps) and 1 / sqrt(variance + eps), over `dims`."""
    centred = x - ig.mean(x, dims, keepdim=True)
    scale = ig.rsqrt(ig.mean(centred * centred, dims, keepdim=True) + eps)
    return centred * scale, scale


def _standardize_forward(x: Tensor, *, dims: tuple[int, ...], eps: float) -> Tensor:
    return _standardized(x, dims, eps)[0]


def _standardize_backward(
    xs: Tensors, ys: Tensors, dys: Tensors, *, dims: tuple[int, ...], eps: float
) -> Tensors:
    scale = _standardized(xs[0], dims, eps)[1]
    along = ig.mean(dys[0] * ys[0], dims, keepdim=True)
    return (scale * (dys[0] - ig.mean(dys[0], dims, keepdim=True) - ys[0] * along),)


_softmax = rounded_once(ig.custom_vjp(_softmax_forward, _softmax_backward))
_log_softmax = rounded_once(ig.custom_vjp(_log_softmax_forward, _log_softmax_backward))
standardize = rounded_once(ig.custom_vjp(_standardize_forward, _standardize_backward))


def _softmax_dim(name: str, x: Tensor, dim: int | None) -> int:
    if dim is None:
        dim = 0 if x.ndim in (0, 1, 3) else 1
    if not -max(x.ndim, 1) <= dim < max(x.ndim, 1):
        raise ig.IndexError(f"{name}: dim {dim} is out of range for {x.ndim} dimensions")
    return dim % max(x.ndim, 1)


@as_one
def softmax(
    input: Tensor, dim: int | None = None, _stacklevel: int = 3, dtype: DType | None = None
) -> Tensor:
    """exp(x - max) / sum(exp(x - max)) along `dim`; the shift by the maximum keeps it from
    overflowing."""
    x = input if dtype is None else input.to(dtype)
    axis = _softmax_dim("softmax", x, dim)
    with entered("softmax"):
        return x - x + 1.0 if _is_trivial(x) else _as_tensor(_softmax(x, dim=axis))


@as_one
def log_softmax(
    input: Tensor, dim: int | None = None, _stacklevel: int = 3, dtype: DType | None = None
) -> Tensor:
    """log(softmax(x)) along `dim`, without the cancellation of taking the logarithm afterwards."""
    x = input if dtype is None else input.to(dtype)
    axis = _softmax_dim("log_softmax", x, dim)
    with entered("log_softmax"):
        return x - x if _is_trivial(x) else _as_tensor(_log_softmax(x, dim=axis))


def softmin(
    input: Tensor, dim: int | None = None, _stacklevel: int = 3, dtype: DType | None = None
) -> Tensor:
    """softmax of -x."""
    return softmax(-input, dim, dtype=dtype)


def _is_trivial(x: Tensor) -> bool:
    """Whether there is one element in all, or none."""
    return x.ndim == 0 or any(isinstance(size, int) and size == 0 for size in x.shape)


def _as_tensor(value: Any) -> Tensor:
    assert isinstance(value, Tensor)
    return value


def _trailing(name: str, x: Tensor, normalized_shape: Sequence[int] | int) -> tuple[int, ...]:
    shape = (normalized_shape,) if isinstance(normalized_shape, int) else tuple(normalized_shape)
    if not shape or tuple(x.shape[x.ndim - len(shape) :]) != shape:
        raise ShapeError(
            f"{name}: the last sizes of {tuple(x.shape)} are not the normalized {shape}"
        )
    return tuple(range(x.ndim - len(shape), x.ndim))


def layer_norm(
    input: Tensor,
    normalized_shape: Sequence[int] | int,
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    eps: float = 1e-5,
) -> Tensor:
    """(x - mean) / sqrt(var + eps) * weight + bias over the trailing `normalized_shape` (Ba et al.
    2016)."""
    dims = _trailing("layer_norm", input, normalized_shape)
    return _layer_norm(input, weight, bias, len(dims), eps)


@as_one
@rounded_once
def _layer_norm(
    x: Tensor, weight: Tensor | None, bias: Tensor | None, trailing: int, eps: float
) -> Tensor:
    with entered("layer_norm"):
        dims = tuple(range(x.ndim - trailing, x.ndim))
        result = _as_tensor(standardize(x, dims=dims, eps=eps))
        result = result if weight is None else result * weight
        return result if bias is None else result + bias


def rms_norm(
    input: Tensor,
    normalized_shape: Sequence[int] | int,
    weight: Tensor | None = None,
    eps: float | None = None,
) -> Tensor:
    """x / sqrt(mean(x^2) + eps) * weight over the trailing `normalized_shape`; eps defaults to the
    dtype's."""
    dims = _trailing("rms_norm", input, normalized_shape)
    if eps is None:
        eps = float(ig.finfo(input.dtype).eps)
    with entered("rms_norm"):
        return _rms_norm(input, weight, dims, eps)


@rounded_once
def _rms_norm(x: Tensor, weight: Tensor | None, dims: tuple[int, ...], eps: float) -> Tensor:
    result = x * ig.rsqrt(ig.mean(x * x, dims, keepdim=True) + eps)
    return result if weight is None else result * weight
