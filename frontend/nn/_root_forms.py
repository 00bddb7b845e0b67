"""Functions of `nn.functional` in the forms that torch's root gives them: other orders of
arguments, and reductions as numbers (0: none, 1: the mean, 2: the sum)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Final

import intaglio as ig
from intaglio._scope import entered
from intaglio._tensor import Tensor
from intaglio.compiler.errors import ArgumentError, ShapeError
from intaglio.nn import functional as F
from intaglio.nn._channel_dropout import _dropped as dropped_channels
from intaglio.nn._embeddings import _renormalize as renormalize
from intaglio.nn._pointwise import floating

_REDUCTIONS: Final = ("none", "mean", "sum")


def _numbered(function: Callable[..., Any], arguments: str) -> Callable[..., Tensor]:
    """A loss whose arguments come in this order, the reduction as a number or a name."""
    name, names = function.__name__, arguments.split()

    def call(*args: Any, **named: Any) -> Tensor:
        if len(args) > len(names):
            raise ArgumentError(f"{name}: the arguments are {', '.join(names)}; {len(args)} came")
        given = dict(zip(names, args, strict=False))
        if twice := sorted(given.keys() & named.keys()):
            raise ArgumentError(f"{name}: {twice[0]} is given by place and by name")
        given |= named
        how = given.pop("reduction", 1)
        if isinstance(how, int) and 0 <= how < len(_REDUCTIONS):
            how = _REDUCTIONS[how]
        if how not in _REDUCTIONS:
            raise ArgumentError(
                f"{name}: reduction is 0 ('none'), 1 ('mean') or 2 ('sum'), not {how!r}"
            )
        made: Tensor = function(**given, reduction=how)
        return made

    call.__name__ = call.__qualname__ = name
    call.__doc__ = (
        f"`nn.functional.{name}` of ({', '.join(names)}). The reduction is 0 (none), 1 (the mean,"
        " as when it is not given) or 2 (the sum)."
    )
    return call


binary_cross_entropy_with_logits: Final = _numbered(
    F.binary_cross_entropy_with_logits, "input target weight pos_weight reduction"
)
cosine_embedding_loss: Final = _numbered(
    F.cosine_embedding_loss, "input1 input2 target margin reduction"
)
ctc_loss: Final = _numbered(
    F.ctc_loss, "log_probs targets input_lengths target_lengths blank reduction zero_infinity"
)
hinge_embedding_loss: Final = _numbered(F.hinge_embedding_loss, "input target margin reduction")
kl_div: Final = _numbered(F.kl_div, "input target reduction")
margin_ranking_loss: Final = _numbered(
    F.margin_ranking_loss, "input1 input2 target margin reduction"
)
poisson_nll_loss: Final = _numbered(F.poisson_nll_loss, "input target log_input full eps reduction")
triplet_margin_loss: Final = _numbered(
    F.triplet_margin_loss, "anchor positive negative margin p eps swap reduction"
)


def batch_norm(
    input: Tensor,
    weight: Tensor | None,
    bias: Tensor | None,
    running_mean: Tensor | None,
    running_var: Tensor | None,
    training: bool,
    momentum: float,
    eps: float,
    cudnn_enabled: bool = True,
) -> Tensor:
    """`nn.functional.batch_norm` with the weight and bias first; `cudnn_enabled` has no effect."""
    return F.batch_norm(input, running_mean, running_var, weight, bias, training, momentum, eps)


def instance_norm(
    input: Tensor,
    weight: Tensor | None,
    bias: Tensor | None,
    running_mean: Tensor | None,
    running_var: Tensor | None,
    use_input_stats: bool,
    momentum: float,
    eps: float,
    cudnn_enabled: bool = True,
) -> Tensor:
    """`nn.functional.instance_norm` with the weight and bias first; `cudnn_enabled` has no
    effect."""
    return F.instance_norm(
        input, running_mean, running_var, weight, bias, use_input_stats, momentum, eps
    )


def layer_norm(
    input: Tensor,
    normalized_shape: Sequence[int],
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    eps: float = 1e-5,
    cudnn_enable: bool = True,
) -> Tensor:
    """`nn.functional.layer_norm`; `cudnn_enable` has no effect."""
    return F.layer_norm(input, normalized_shape, weight, bias, eps)


def embedding(
    weight: Tensor,
    indices: Tensor,
    padding_idx: int = -1,
    scale_grad_by_freq: bool = False,
    sparse: bool = False,
) -> Tensor:
    """`nn.functional.embedding` with the table first; a negative `padding_idx` names no row."""
    padding = padding_idx if padding_idx >= 0 else None
    return F.embedding(
        indices, weight, padding, scale_grad_by_freq=scale_grad_by_freq, sparse=sparse
    )


def embedding_renorm_(input: Tensor, indices: Tensor, max_norm: float, norm_type: float) -> Tensor:
    """Shorten, in place, the rows of a table ([n, d]) at these positions that are longer than
    `max_norm`."""
    if input.ndim != 2 or indices.dtype.kind not in "iu":
        raise ShapeError(
            f"embedding_renorm_: {input._kind}, {indices._kind}: a table [n, d] and integers are"
            " wanted"
        )
    renormalize(input, indices, max_norm, norm_type)
    return input


def convolution(
    input: Tensor,
    weight: Tensor,
    bias: Tensor | None,
    stride: Sequence[int],
    padding: Sequence[int],
    dilation: Sequence[int],
    transposed: bool,
    output_padding: Sequence[int],
    groups: int,
) -> Tensor:
    """The convolution over as many dimensions as `input` ([n, c, ...]) has behind the channels, 1
    to 3, or the transposed one. See `nn.functional.conv2d` and `conv_transpose2d`."""
    rank = input.ndim - 2
    if rank not in (1, 2, 3):
        raise ShapeError(f"convolution: {input._kind}: 1 to 3 dimensions follow [n, c]")
    if transposed:
        turned = (F.conv_transpose1d, F.conv_transpose2d, F.conv_transpose3d)[rank - 1]
        return turned(input, weight, bias, stride, padding, output_padding, groups, dilation)
    return (F.conv1d, F.conv2d, F.conv3d)[rank - 1](
        input, weight, bias, stride, padding, dilation, groups
    )


def affine_grid_generator(theta: Tensor, size: Sequence[int], align_corners: bool) -> Tensor:
    """`nn.functional.affine_grid`."""
    return F.affine_grid(theta, size, align_corners)


def adaptive_max_pool1d(input: Tensor, output_size: Any) -> tuple[Tensor, Tensor]:
    """`nn.functional.adaptive_max_pool1d` and the positions of the maxima."""
    return F.adaptive_max_pool1d_with_indices(input, output_size)


def max_pool1d_with_indices(
    input: Tensor,
    kernel_size: Any,
    stride: Any = None,
    padding: Any = 0,
    dilation: Any = 1,
    ceil_mode: bool = False,
) -> tuple[Tensor, Tensor]:
    """`nn.functional.max_pool1d` and the positions of the maxima."""
    stride = None if isinstance(stride, list | tuple) and not stride else stride
    return F.max_pool1d_with_indices(input, kernel_size, stride, padding, dilation, ceil_mode)


def native_dropout(input: Tensor, p: float, train: bool | None) -> tuple[Tensor, Tensor]:
    """`nn.functional.dropout` (not done if `train` is False) and which elements were kept:
    bool[...]."""
    if not 0.0 <= p <= 1.0:
        raise ArgumentError(f"native_dropout: the probability is between 0 and 1, not {p}")
    floating("native_dropout", input)
    if train is False:
        return input.clone(), ig.ones_like(input, dtype=ig.bool)
    with entered("native_dropout"):
        scale = 0.0 if p == 1.0 else 1.0 / (1.0 - p)
        kept = ig.rand(input.shape, dtype=input.dtype, device=input.device) >= p
        return ig.where(kept, input * scale, 0.0), kept


def feature_dropout(input: Tensor, p: float, train: bool) -> Tensor:
    """Dropout of whole channels. input: [n, c, ...]."""
    if input.ndim == 2:
        return F.dropout(input, p, train)
    return dropped_channels("feature_dropout", input, 2, p, train, False)


def dropout_(input: Tensor, p: float, train: bool) -> Tensor:
    """`nn.functional.dropout` in place."""
    return F.dropout(input, p, train, True)


def feature_dropout_(input: Tensor, p: float, train: bool) -> Tensor:
    """`feature_dropout` in place."""
    return input.copy_(feature_dropout(input, p, train))


def alpha_dropout_(input: Tensor, p: float, train: bool) -> Tensor:
    """`nn.functional.alpha_dropout` in place."""
    return F.alpha_dropout(input, p, train, True)


def feature_alpha_dropout_(input: Tensor, p: float, train: bool) -> Tensor:
    """`nn.functional.feature_alpha_dropout` in place."""
    return F.feature_alpha_dropout(input, p, train, True)


def norm_except_dim(v: Tensor, pow: int = 2, dim: int = 0) -> Tensor:
    """The p-norms over all dimensions but `dim`, which are kept with size 1; over all, without
    dimensions, for `dim=-1`."""
    if dim == -1:
        return ig.norm(v, pow)
    if not 0 <= dim < v.ndim:
        raise ArgumentError(f"norm_except_dim: {v._kind} has no dimension {dim}")
    rows = v.movedim(dim, 0).reshape(v.shape[dim], -1)
    shape = [1] * v.ndim
    shape[dim] = v.shape[dim]
    return ig.norm(rows, pow, 1).reshape(shape)


def frobenius_norm(input: Tensor, dim: Any, keepdim: bool = False) -> Tensor:
    """The root of the sum of squares over `dim`, one or two dimensions."""
    axes = (dim,) if isinstance(dim, int) else tuple(dim)
    if len(axes) > 2:
        raise ArgumentError(f"frobenius_norm: at most two dimensions are wanted, not {axes}")
    return ig.linalg.vector_norm(input, 2, axes or None, keepdim)


def vander(x: Tensor, N: int | None = None, increasing: bool = False) -> Tensor:
    """The powers N - 1 to 0 of each element (0 to N - 1 if `increasing`): [n, N] of [n]; N is n
    when not given."""
    if x.ndim != 1:
        raise ShapeError(f"vander: {x._kind} is not [n]")
    made = (
        ig.linalg.vander(x, N=x.shape[0] if N is None else N)
        if N != 0
        else x.new_empty((x.shape[0], 0))
    )
    return made if increasing else made.flip(1)
