"""The functions that layers are made of, with torch's names, arguments and meanings.

Each is a composite of primitives; softmax, log_softmax and layer_norm state their own derivatives,
because the one that follows from their formulas by the chain rule costs more and loses digits."""

from __future__ import annotations

import math

import intaglio as ig
from intaglio._functions_convolution import (
    conv1d,
    conv2d,
    conv3d,
    conv_transpose1d,
    conv_transpose2d,
    conv_transpose3d,
    fold,
    unfold,
)
from intaglio._scope import entered
from intaglio._tensor import Tensor
from intaglio.compiler.dtypes import DType
from intaglio.compiler.errors import ArgumentError, ShapeError
from intaglio.nn import _smooth
from intaglio.nn._batchnorm import batch_norm, group_norm, instance_norm, local_response_norm
from intaglio.nn._channel_dropout import dropout1d, dropout2d, dropout3d
from intaglio.nn._losses import (
    binary_cross_entropy,
    binary_cross_entropy_with_logits,
    cross_entropy,
    huber_loss,
    l1_loss,
    mse_loss,
    nll_loss,
    smooth_l1_loss,
)
from intaglio.nn._normalized import layer_norm, log_softmax, rms_norm, softmax
from intaglio.nn._pooling import (
    adaptive_avg_pool1d,
    adaptive_avg_pool2d,
    adaptive_avg_pool3d,
    adaptive_max_pool1d,
    adaptive_max_pool2d,
    adaptive_max_pool3d,
    avg_pool1d,
    avg_pool2d,
    avg_pool3d,
    lp_pool1d,
    lp_pool2d,
    max_pool1d,
    max_pool2d,
    max_pool3d,
    max_unpool1d,
    max_unpool2d,
    max_unpool3d,
)
from intaglio.nn._resizing import channel_shuffle, interpolate, pixel_shuffle, pixel_unshuffle

__all__ = [
    "adaptive_avg_pool1d", "adaptive_avg_pool2d", "adaptive_avg_pool3d", "adaptive_max_pool1d",
    "adaptive_max_pool2d", "adaptive_max_pool3d", "avg_pool1d", "avg_pool2d", "avg_pool3d",
    "batch_norm", "binary_cross_entropy", "binary_cross_entropy_with_logits", "channel_shuffle",
    "conv1d", "conv2d", "conv3d", "conv_transpose1d", "conv_transpose2d", "conv_transpose3d",
    "cross_entropy", "dropout", "dropout1d", "dropout2d", "dropout3d", "elu", "embedding",
    "fold", "gelu", "group_norm", "hardtanh", "huber_loss", "instance_norm", "interpolate",
    "l1_loss", "layer_norm", "leaky_relu", "linear", "local_response_norm", "log_softmax",
    "logsigmoid", "lp_pool1d", "lp_pool2d", "max_pool1d", "max_pool2d", "max_pool3d",
    "max_unpool1d", "max_unpool2d", "max_unpool3d", "mse_loss", "nll_loss", "normalize",
    "one_hot", "pad", "pixel_shuffle", "pixel_unshuffle", "relu", "relu6", "rms_norm",
    "scaled_dot_product_attention", "sigmoid", "silu", "smooth_l1_loss", "softmax", "softmin",
    "softplus", "tanh", "unfold",
]  # fmt: skip


def linear(input: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """`input @ weight.T + bias`. input: [..., i], weight: [o, i], bias: [o]; the result is [...,
    o]."""
    if input.shape[-1] != weight.shape[-1] and isinstance(input.shape[-1], int):
        raise ShapeError(
            f"linear: the input's last size {input.shape[-1]} is not "
            f"the {weight.shape[-1]} that the weight takes"
        )
    product = input @ weight.mT
    return product if bias is None else product + bias


def embedding(input: Tensor, weight: Tensor, padding_idx: int | None = None) -> Tensor:
    """Rows of `weight` ([n, d]) at the integer positions `input` ([...]); the result is [..., d].

    The row `padding_idx` gets no gradient. Raises `IndexError` for a position outside 0 to n - 1.
    """
    if padding_idx is not None:
        row = padding_idx % weight.shape[0]
        keep = (ig.arange(weight.shape[0], device=weight.device) != row).unsqueeze(1)
        weight = ig.where(keep, weight, weight.detach())
    return ig.take_rows(weight, input)


# -------------------------------------------------------------------------------------- activations


def relu(input: Tensor, inplace: bool = False) -> Tensor:
    """max(x, 0); the derivative at 0 is 0."""
    return _result(input, ig.relu(input), inplace)


def relu6(input: Tensor, inplace: bool = False) -> Tensor:
    """min(max(x, 0), 6)."""
    return hardtanh(input, 0.0, 6.0, inplace)


def hardtanh(
    input: Tensor, min_val: float = -1.0, max_val: float = 1.0, inplace: bool = False
) -> Tensor:
    """x limited to min_val .. max_val."""
    return _result(input, input.clamp(min_val, max_val), inplace)


def leaky_relu(input: Tensor, negative_slope: float = 0.01, inplace: bool = False) -> Tensor:
    """x for x > 0, else negative_slope * x."""
    return _result(input, ig.where(input > 0, input, input * negative_slope), inplace)


def elu(input: Tensor, alpha: float = 1.0, inplace: bool = False) -> Tensor:
    """x for x > 0, else alpha * (exp(x) - 1)."""
    low = ig.expm1(ig.where(input > 0, 0.0, input)) * alpha
    return _result(input, ig.where(input > 0, input, low), inplace)


def gelu(input: Tensor, approximate: str = "none") -> Tensor:
    """x * Phi(x), Phi being the standard normal distribution; `approximate="tanh"` uses Hendrycks
    and Gimpel's formula."""
    with entered("gelu"):
        if approximate == "none":
            return _smooth.gelu(input)
        if approximate == "tanh":
            return _smooth.gelu_tanh(input)
    raise ArgumentError(f"gelu: approximate is 'none' or 'tanh', not {approximate!r}")


def silu(input: Tensor, inplace: bool = False) -> Tensor:
    """x * sigmoid(x)."""
    with entered("silu"):
        return _result(input, _smooth.silu(input), inplace)


def sigmoid(input: Tensor) -> Tensor:
    """1 / (1 + exp(-x))."""
    return ig.sigmoid(input)


def tanh(input: Tensor) -> Tensor:
    """The hyperbolic tangent."""
    return ig.tanh(input)


def logsigmoid(input: Tensor) -> Tensor:
    """log(sigmoid(x)), without overflow."""
    return ig.minimum(input, ig.zeros_like(input)) - ig.log1p(ig.exp(-ig.abs(input)))


def softplus(input: Tensor, beta: float = 1.0, threshold: float = 20.0) -> Tensor:
    """log(1 + exp(beta x)) / beta; x itself where beta x > threshold."""
    scaled = input * beta
    high = scaled > threshold
    return ig.where(high, input, ig.log1p(ig.exp(ig.where(high, 0.0, scaled))) / beta)


def softmin(input: Tensor, dim: int | None = None, dtype: DType | None = None) -> Tensor:
    """softmax of -x."""
    return softmax(-input, dim, dtype=dtype)


def _result(input: Tensor, value: Tensor, inplace: bool) -> Tensor:
    return input.copy_(value) if inplace else value


# ----------------------------------------------------------------------------------------- the rest


def dropout(input: Tensor, p: float = 0.5, training: bool = True, inplace: bool = False) -> Tensor:
    """Zero each element with probability p and scale the others by 1 / (1 - p); the input itself
    unless training."""
    if not 0.0 <= p <= 1.0:
        raise ArgumentError(f"dropout: the probability is between 0 and 1, not {p}")
    if not training or p == 0.0:
        return input
    with entered("dropout"):
        if p == 1.0:
            return _result(input, input * 0.0, inplace)
        kept = ig.rand(input.shape, dtype=input.dtype, device=input.device) >= p
        return _result(input, ig.where(kept, input * (1.0 / (1.0 - p)), 0.0), inplace)


def one_hot(tensor: Tensor, num_classes: int = -1) -> Tensor:
    """i64[..., num_classes] with 1 where the class is the element's; -1 takes the largest element
    plus one (not in a trace)."""
    if num_classes < 0:
        num_classes = int(tensor.max().item()) + 1
    return (tensor.unsqueeze(-1) == ig.arange(num_classes, device=tensor.device)).to(ig.int64)


def pad(input: Tensor, pad: tuple[int, ...], mode: str = "constant", value: float = 0.0) -> Tensor:
    """Pad the last dimensions: (left, right) of the last, then of the one before, and so on. `mode`
    is `constant`, `reflect`, `replicate` or `circular`."""
    if mode != "constant":
        return ig.pad_by_index(input, pad, mode)
    return ig.constant_pad(input, pad, value)


def normalize(input: Tensor, p: float = 2.0, dim: int = 1, eps: float = 1e-12) -> Tensor:
    """x / max(norm_p(x), eps) along `dim`."""
    return input / ig.norm(input, p, dim, keepdim=True).clamp(min=eps)


def scaled_dot_product_attention(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attn_mask: Tensor | None = None,
    dropout_p: float = 0.0,
    is_causal: bool = False,
    scale: float | None = None,
) -> Tensor:
    """softmax(query key^T * scale + mask) value (Vaswani et al. 2017).

    query: [..., l, e], key: [..., s, e], value: [..., s, v]; a bool mask ([..., l, s]) tells where
    to attend, a float mask is added; `is_causal` lets position i see up to i. `scale` is 1 /
    sqrt(e) unless given. The result is [..., l, v]."""
    with entered("scaled_dot_product_attention"):
        factor = 1.0 / math.sqrt(query.shape[-1]) if scale is None else scale
        scores = (query * factor) @ key.mT
        if is_causal:
            if attn_mask is not None:
                raise ArgumentError(
                    "scaled_dot_product_attention: give a mask or is_causal, not both"
                )
            rows = ig.arange(query.shape[-2], device=query.device).unsqueeze(1)
            attn_mask = rows >= ig.arange(key.shape[-2], device=query.device)
        if attn_mask is not None:
            allowed = attn_mask.dtype == ig.bool
            scores = ig.where(attn_mask, scores, -math.inf) if allowed else scores + attn_mask
        weights = dropout(softmax(scores, -1), dropout_p, dropout_p > 0.0)
        return weights @ value
