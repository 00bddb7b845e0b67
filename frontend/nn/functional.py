"""The functions that layers are made of, with torch's names, arguments and meanings.

They live by topic in the modules named below. Each is a composite of primitives; some, as softmax,
state their own derivatives, because the one that follows from their formulas by the chain rule
costs more and loses digits."""

from __future__ import annotations

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
from intaglio._tensor import Tensor
from intaglio.nn._attending import (
    multi_head_attention_forward,
    scaled_dot_product_attention,
)
from intaglio.nn._batchnorm import (
    batch_norm,
    group_norm,
    instance_norm,
    local_response_norm,
)
from intaglio.nn._channel_dropout import (
    dropout1d,
    dropout2d,
    dropout3d,
)
from intaglio.nn._ctc import (
    ctc_loss,
)
from intaglio.nn._distances import (
    cosine_similarity,
    normalize,
    pairwise_distance,
    pdist,
)
from intaglio.nn._dropouts import (
    alpha_dropout,
    dropout,
    feature_alpha_dropout,
    gumbel_softmax,
)
from intaglio.nn._embeddings import (
    embedding,
    embedding_bag,
)
from intaglio.nn._fractional import (
    fractional_max_pool2d,
    fractional_max_pool3d,
)
from intaglio.nn._grids import (
    affine_grid,
    grid_sample,
)
from intaglio.nn._likelihoods import (
    gaussian_nll_loss,
    kl_div,
    poisson_nll_loss,
)
from intaglio.nn._linear import (
    bilinear,
    linear,
)
from intaglio.nn._losses import (
    binary_cross_entropy,
    binary_cross_entropy_with_logits,
    cross_entropy,
    huber_loss,
    l1_loss,
    linear_cross_entropy,
    mse_loss,
    nll_loss,
    smooth_l1_loss,
)
from intaglio.nn._margins import (
    cosine_embedding_loss,
    hinge_embedding_loss,
    margin_ranking_loss,
    multi_margin_loss,
    multilabel_margin_loss,
    multilabel_soft_margin_loss,
    soft_margin_loss,
    triplet_margin_loss,
    triplet_margin_with_distance_loss,
)
from intaglio.nn._normalized import (
    layer_norm,
    log_softmax,
    rms_norm,
    softmax,
    softmin,
)
from intaglio.nn._pointwise import (
    celu,
    celu_,
    elu,
    elu_,
    gelu,
    glu,
    hardshrink,
    hardsigmoid,
    hardswish,
    hardtanh,
    hardtanh_,
    leaky_relu,
    leaky_relu_,
    logsigmoid,
    mish,
    prelu,
    relu,
    relu6,
    relu_,
    rrelu,
    rrelu_,
    selu,
    selu_,
    sigmoid,
    silu,
    softplus,
    softshrink,
    softsign,
    tanh,
    tanhshrink,
    threshold,
    threshold_,
)
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
    lp_pool3d,
    max_pool1d,
    max_pool2d,
    max_pool3d,
    max_unpool1d,
    max_unpool2d,
    max_unpool3d,
)
from intaglio.nn._resizing import (
    channel_shuffle,
    interpolate,
    pixel_shuffle,
    pixel_unshuffle,
    upsample,
    upsample_bilinear,
    upsample_nearest,
)
from intaglio.nn._with_indices import (
    adaptive_max_pool1d_with_indices,
    adaptive_max_pool2d_with_indices,
    adaptive_max_pool3d_with_indices,
    fractional_max_pool2d_with_indices,
    fractional_max_pool3d_with_indices,
    max_pool1d_with_indices,
    max_pool2d_with_indices,
    max_pool3d_with_indices,
)

__all__ = [
    "adaptive_avg_pool1d", "adaptive_avg_pool2d", "adaptive_avg_pool3d", "adaptive_max_pool1d",
    "adaptive_max_pool1d_with_indices", "adaptive_max_pool2d",
    "adaptive_max_pool2d_with_indices", "adaptive_max_pool3d",
    "adaptive_max_pool3d_with_indices", "affine_grid", "alpha_dropout", "avg_pool1d",
    "avg_pool2d", "avg_pool3d", "batch_norm", "bilinear", "binary_cross_entropy",
    "binary_cross_entropy_with_logits", "celu", "celu_", "channel_shuffle", "conv1d", "conv2d",
    "conv3d", "conv_transpose1d", "conv_transpose2d", "conv_transpose3d",
    "cosine_embedding_loss", "cosine_similarity", "cross_entropy", "ctc_loss", "dropout",
    "dropout1d", "dropout2d", "dropout3d", "elu", "elu_", "embedding", "embedding_bag",
    "feature_alpha_dropout", "fold", "fractional_max_pool2d",
    "fractional_max_pool2d_with_indices", "fractional_max_pool3d",
    "fractional_max_pool3d_with_indices", "gaussian_nll_loss", "gelu", "glu", "grid_sample",
    "group_norm", "gumbel_softmax", "hardshrink", "hardsigmoid", "hardswish", "hardtanh",
    "hardtanh_", "hinge_embedding_loss", "huber_loss", "instance_norm", "interpolate", "kl_div",
    "l1_loss", "layer_norm", "leaky_relu", "leaky_relu_", "linear", "linear_cross_entropy",
    "local_response_norm", "log_softmax", "logsigmoid", "lp_pool1d", "lp_pool2d", "lp_pool3d",
    "margin_ranking_loss", "max_pool1d", "max_pool1d_with_indices", "max_pool2d",
    "max_pool2d_with_indices", "max_pool3d", "max_pool3d_with_indices", "max_unpool1d",
    "max_unpool2d", "max_unpool3d", "mish", "mse_loss", "multi_head_attention_forward",
    "multi_margin_loss", "multilabel_margin_loss", "multilabel_soft_margin_loss", "nll_loss",
    "normalize", "one_hot", "pad", "pairwise_distance", "pdist", "pixel_shuffle",
    "pixel_unshuffle", "poisson_nll_loss", "prelu", "relu", "relu6", "relu_", "rms_norm",
    "rrelu", "rrelu_", "scaled_dot_product_attention", "selu", "selu_", "sigmoid", "silu",
    "smooth_l1_loss", "soft_margin_loss", "softmax", "softmin", "softplus", "softshrink",
    "softsign", "tanh", "tanhshrink", "threshold", "threshold_", "triplet_margin_loss",
    "triplet_margin_with_distance_loss", "unfold", "upsample", "upsample_bilinear",
    "upsample_nearest",
]  # fmt: skip


def one_hot(tensor: Tensor, num_classes: int = -1) -> Tensor:
    """i64[..., num_classes] with 1 where the class is the element's; -1 takes the largest element
    plus one (not in a trace). Raises `IndexError` for an element that is no class."""
    if num_classes < 0:
        num_classes = int(tensor.max().item()) + 1
    classes = ig.arange(num_classes, device=tensor.device)
    found = ig.take_rows(classes, tensor)  # the same numbers, each looked at
    return (found.unsqueeze(-1) == classes).to(ig.int64)


def pad(input: Tensor, pad: tuple[int, ...], mode: str = "constant", value: float = 0.0) -> Tensor:
    """Pad the last dimensions: (left, right) of the last, then of the one before, and so on. `mode`
    is `constant`, `reflect`, `replicate` or `circular`."""
    if mode != "constant":
        return ig.pad_by_index(input, pad, mode)
    return ig.constant_pad(input, pad, value)
