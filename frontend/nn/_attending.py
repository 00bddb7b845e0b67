"""Attention as functions: of queries, keys and values, and with heads and projections (Vaswani et
al. 2017)."""

from __future__ import annotations

import math
from typing import Any

import intaglio as ig
from intaglio._halves import rounded_once
from intaglio._scope import entered
from intaglio._tensor import Tensor
from intaglio.compiler.dtypes import DType
from intaglio.compiler.errors import ArgumentError, DTypeError, ShapeError
from intaglio.nn._dropouts import dropout
from intaglio.nn._linear import linear
from intaglio.nn._normalized import softmax


def _shared_heads(x: Tensor, name: str, heads: int) -> Tensor:
    """Each of x's heads for several of the query's, next to each other."""
    own = x.shape[-3]
    if not isinstance(own, int) or heads % own:
        raise ShapeError(
            f"scaled_dot_product_attention: the {name} {x._kind} has {own} heads, which do not"
            f" divide the query's {heads}"
        )
    return x if own == heads else x.repeat_interleave(heads // own, -3)


def _check_attention(query: Tensor, key: Tensor, value: Tensor, mask: Tensor | None) -> None:
    for what, x in (("query", query), ("key", key), ("value", value)):
        if x.ndim < 2:
            raise ShapeError(
                f"scaled_dot_product_attention: the {what} {x._kind}: [..., l, e] is wanted"
            )
        if x.dtype is not query.dtype or x.dtype.kind != "f":
            raise DTypeError(
                f"scaled_dot_product_attention: query {query._kind} and {what} {x._kind}: one"
                " floating-point dtype is wanted"
            )
    if query.shape[-1] != key.shape[-1] and isinstance(query.shape[-1], int):
        raise ShapeError(
            f"scaled_dot_product_attention: query {query._kind} and key {key._kind} differ in their"
            " last size"
        )
    if mask is None:
        return
    if mask.ndim < 2:
        raise ShapeError(
            f"scaled_dot_product_attention: the mask {mask._kind}: [l, s] with or without leading"
            " dimensions is wanted"
        )
    if mask.dtype is not ig.bool and mask.dtype is not query.dtype:
        raise DTypeError(
            f"scaled_dot_product_attention: the mask {mask._kind} is bool or of the query's dtype"
        )


@rounded_once
def scaled_dot_product_attention(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attn_mask: Tensor | None = None,
    dropout_p: float = 0.0,
    is_causal: bool = False,
    scale: float | None = None,
    enable_gqa: bool = False,
) -> Tensor:
    """softmax(query key^T * scale + mask) value (Vaswani et al. 2017).

    query: [..., l, e], key: [..., s, e], value: [..., s, v]; a bool mask ([..., l, s]) tells where
    to attend, a float mask is added; `is_causal` lets position i see up to i. `scale` is 1 /
    sqrt(e) unless given. With `enable_gqa` the heads (third last dimension) of key and value are
    each shared by several of the query's. The result is [..., l, v]."""
    _check_attention(query, key, value, attn_mask)
    if is_causal and attn_mask is not None:
        raise ArgumentError("scaled_dot_product_attention: give a mask or is_causal, not both")
    with entered("scaled_dot_product_attention"):
        if enable_gqa:
            heads = query.shape[-3]
            key, value = _shared_heads(key, "key", heads), _shared_heads(value, "value", heads)
        factor = 1.0 / math.sqrt(query.shape[-1]) if scale is None else scale
        scores = (query * factor) @ key.mT
        if is_causal:
            rows = ig.arange(query.shape[-2], device=query.device).unsqueeze(1)
            attn_mask = rows >= ig.arange(key.shape[-2], device=query.device)
        if attn_mask is not None:
            allowed = attn_mask.dtype == ig.bool
            scores = ig.where(attn_mask, scores, -math.inf) if allowed else scores + attn_mask
        weights = dropout(softmax(scores, -1), dropout_p, dropout_p > 0.0)
        return weights @ value


# --------------------------------------------------------------------------------------- with heads


def _fail(message: str) -> ShapeError:
    return ShapeError(f"multi_head_attention_forward: {message}")


def _check_heads(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    padding: Tensor | None,
    mask: Tensor | None,
    embed_dim: int,
    heads: int,
) -> None:
    kinds = f"query {query._kind}, key {key._kind}, value {value._kind}"
    if query.ndim not in (2, 3) or {key.ndim, value.ndim} != {query.ndim}:
        raise _fail(f"{kinds}: all [l, n, e], or all [l, e], are wanted")
    if key.shape[:-1] != value.shape[:-1]:
        raise _fail(f"{kinds}: key and value differ in their length or batch")
    if query.shape[-1] != embed_dim:
        raise _fail(f"{kinds}: the embedding is not {embed_dim} wide")
    if embed_dim % heads:
        raise _fail(f"{embed_dim} features do not divide into {heads} heads")
    if padding is not None and padding.ndim != query.ndim - 1:
        raise _fail(f"key_padding_mask {padding._kind}: [n, s] (or [s], without a batch) is wanted")
    batch = query.shape[1] if query.ndim == 3 else 1
    pair = (query.shape[0], key.shape[0])
    if mask is not None and tuple(mask.shape) not in (pair, (batch * heads, *pair)):
        raise _fail(f"attn_mask {mask._kind}: {pair} or {(batch * heads, *pair)} is wanted")
    for name, given in (("key_padding_mask", padding), ("attn_mask", mask)):
        if given is not None and given.dtype is not ig.bool and given.dtype.kind != "f":
            raise DTypeError(
                f"multi_head_attention_forward: {name} {given._kind} is bool or floating-point"
            )


def _float_mask(mask: Tensor | None, dtype: DType) -> Tensor | None:
    """A bool mask, true where attention is *not* allowed, as numbers to add."""
    if mask is None or mask.dtype is not ig.bool:
        return mask
    return ig.where(mask, ig.full((), -math.inf, dtype=dtype), 0.0)


def _wider(x: Tensor | None) -> Tensor | None:
    """One column of zeros more."""
    return None if x is None else ig.constant_pad(x, (0, 1), 0.0)


def _head_rows(x: Tensor, rows: int, size: int) -> Tensor:
    """[l, n, e] as [n * heads, l, e / heads]."""
    return x.reshape(x.shape[0], rows, size).transpose(0, 1)


def multi_head_attention_forward(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    embed_dim_to_check: int,
    num_heads: int,
    in_proj_weight: Tensor | None,
    in_proj_bias: Tensor | None,
    bias_k: Tensor | None,
    bias_v: Tensor | None,
    add_zero_attn: bool,
    dropout_p: float,
    out_proj_weight: Tensor,
    out_proj_bias: Tensor | None,
    training: bool = True,
    key_padding_mask: Tensor | None = None,
    need_weights: bool = True,
    attn_mask: Tensor | None = None,
    use_separate_proj_weight: bool = False,
    q_proj_weight: Tensor | None = None,
    k_proj_weight: Tensor | None = None,
    v_proj_weight: Tensor | None = None,
    static_k: Tensor | None = None,
    static_v: Tensor | None = None,
    average_attn_weights: bool = True,
    is_causal: bool = False,
) -> tuple[Tensor, Tensor | None]:
    """Attention of `num_heads` heads between projections of query, key and value, projected again.

    query: [l, n, e] or [l, e]; key, value: [s, n, e] or [s, e]. The projections are one weight
    [3 e, e], or three. A bool mask is true where attention is *not* allowed, a float mask is added:
    attn_mask [l, s] or [n * heads, l, s], key_padding_mask [n, s] or [s]. `bias_k` and `bias_v`, or
    zeros with `add_zero_attn`, are one more key and value. `static_k` and `static_v` ([n * heads,
    s, e / heads]) replace the projected ones. Returns the result, shaped as the query, and, with
    `need_weights`, the weights [n, l, s], averaged over heads or by head. `is_causal` is a hint
    that goes with `attn_mask`."""
    masks = (key_padding_mask, attn_mask)
    _check_heads(query, key, value, *masks, embed_dim_to_check, num_heads)
    if is_causal and attn_mask is None:
        raise ArgumentError("multi_head_attention_forward: is_causal goes with its attn_mask")
    _check_more(bias_k, bias_v, static_k, static_v)
    single = query.ndim == 2
    weights = (q_proj_weight, k_proj_weight, v_proj_weight) if use_separate_proj_weight else None
    with entered("multi_head_attention_forward"):
        inputs = [x.unsqueeze(1) if single else x for x in (query, key, value)]
        n, width = inputs[0].shape[1], embed_dim_to_check // num_heads
        q, k, v = _projections(inputs, in_proj_weight, in_proj_bias, weights)
        mask, padding = _float_mask(attn_mask, q.dtype), _float_mask(key_padding_mask, q.dtype)
        if bias_k is not None and bias_v is not None:
            k, v = (_with_row(x, b) for x, b in ((k, bias_k), (v, bias_v)))
            mask, padding = _wider(mask), _wider(padding)
        rows = n * num_heads
        q = _head_rows(q, rows, width)
        k = _head_rows(k, rows, width) if static_k is None else static_k
        v = _head_rows(v, rows, width) if static_v is None else static_v
        if add_zero_attn:
            k, v = (ig.constant_pad(x, (0, 0, 0, 1), 0.0) for x in (k, v))
            mask, padding = _wider(mask), _wider(padding)
        mask = _joined_masks(mask, padding, n, num_heads, k.shape[1])
        q = q * math.sqrt(1.0 / width)
        shares = softmax(q @ k.mT if mask is None else ig.baddbmm(mask, q, k.mT), -1)
        shares = dropout(shares, dropout_p, training and dropout_p > 0.0)
        joined = (shares @ v).transpose(0, 1).reshape(-1, n, embed_dim_to_check)
        result = linear(joined, out_proj_weight, out_proj_bias)
        result = result.squeeze(1) if single else result
        if not need_weights:
            return result, None
        return result, _shown(shares, n, num_heads, average_attn_weights, single)


def _check_more(
    bias_k: Tensor | None, bias_v: Tensor | None, static_k: Tensor | None, static_v: Tensor | None
) -> None:
    if (bias_k is None) != (bias_v is None):
        raise ArgumentError("multi_head_attention_forward: bias_k and bias_v go together")
    if bias_k is not None and (static_k is not None or static_v is not None):
        raise ArgumentError("multi_head_attention_forward: static keys or values take no bias")


def _joined_masks(
    mask: Tensor | None, padding: Tensor | None, n: Any, heads: int, length: Any
) -> Tensor | None:
    """A mask [l, s] or [n * heads, l, s] and one of keys, [n, s], as one with three dimensions."""
    mask = mask.unsqueeze(0) if mask is not None and mask.ndim == 2 else mask
    if padding is None:
        return mask
    wide = padding.reshape(n, 1, 1, -1).expand(n, heads, 1, length)
    columns = wide.reshape(n * heads, 1, length)
    return columns if mask is None else mask + columns


def _shown(shares: Tensor, n: Any, heads: int, averaged: bool, single: bool) -> Tensor:
    """The weights [n * heads, l, s] as they are returned: by image, averaged over heads or not."""
    shares = shares.reshape(n, heads, *shares.shape[1:])
    shares = shares.mean(1) if averaged else shares
    return shares.squeeze(0) if single else shares


def _with_row(x: Tensor, bias: Tensor) -> Tensor:
    """x: [s, n, e] with one row more, the same for all of the batch."""
    row = bias.reshape(1, 1, -1).expand(1, x.shape[1], x.shape[2])
    return ig.cat([x, row], 0)


def _projections(
    inputs: list[Tensor],
    joined: Tensor | None,
    bias: Tensor | None,
    weights: tuple[Tensor | None, ...] | None,
) -> list[Tensor]:
    """Query, key and value, each by its part of the joined weight or by its own."""
    biases = [None] * 3 if bias is None else list(bias.chunk(3))
    if weights is None:
        if joined is None:
            raise ArgumentError("multi_head_attention_forward: in_proj_weight is missing")
        weights = joined.chunk(3)
    projected = []
    for x, w, b, name in zip(inputs, weights, biases, ("query", "key", "value"), strict=True):
        if w is None:
            raise ArgumentError(f"multi_head_attention_forward: the {name}'s weight is missing")
        projected.append(linear(x, w, b))
    return projected
