"""Multi-head attention and the transformer's encoder layers (Vaswani et al. 2017)."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable
from typing import Any

import intaglio as ig
import intaglio.nn.functional as F
from intaglio._tensor import Parameter, Tensor
from intaglio.compiler.dtypes import DType
from intaglio.compiler.errors import ArgumentError, DTypeError, ShapeError
from intaglio.nn import init
from intaglio.nn._containers import ModuleList
from intaglio.nn._layers import Dropout, LayerNorm, Linear, NonDynamicallyQuantizableLinear
from intaglio.nn._module import Module


class MultiheadAttention(Module):
    """Attention of `num_heads` heads over `embed_dim` features.

    With equal sizes the three input projections are one weight, `in_proj_weight`: [3 * embed_dim,
    embed_dim]; with `kdim` or `vdim` they are `q_proj_weight`, `k_proj_weight` and `v_proj_weight`.
    `add_bias_kv` trains one more key and value, `add_zero_attn` adds one of zeros.
    """

    def __init__(
        self,
        embed_dim: int,
        num_heads: int,
        dropout: float = 0.0,
        bias: bool = True,
        add_bias_kv: bool = False,
        add_zero_attn: bool = False,
        kdim: int | None = None,
        vdim: int | None = None,
        batch_first: bool = False,
        device: Any = None,
        dtype: DType | None = None,
    ) -> None:
        super().__init__()
        if embed_dim % num_heads:
            raise ArgumentError(
                f"MultiheadAttention: {embed_dim} features do not divide into {num_heads} heads"
            )
        self.embed_dim, self.num_heads, self.dropout = embed_dim, num_heads, dropout
        self.kdim = embed_dim if kdim is None else kdim
        self.vdim = embed_dim if vdim is None else vdim
        self.batch_first, self.head_dim = batch_first, embed_dim // num_heads
        made = {"device": device, "dtype": dtype}
        joined = self.kdim == embed_dim and self.vdim == embed_dim
        sizes = {"q_proj_weight": embed_dim, "k_proj_weight": self.kdim, "v_proj_weight": self.vdim}
        for name, size in sizes.items():
            own = None if joined else Parameter(ig.empty((embed_dim, size), **made))
            self.register_parameter(name, own)
        whole = Parameter(ig.empty((3 * embed_dim, embed_dim), **made)) if joined else None
        self.register_parameter("in_proj_weight", whole)
        shift = Parameter(ig.zeros((3 * embed_dim,), **made)) if bias else None
        self.register_parameter("in_proj_bias", shift)
        self.out_proj = NonDynamicallyQuantizableLinear(embed_dim, embed_dim, bias=bias, **made)
        self.add_zero_attn = add_zero_attn
        for name in ("bias_k", "bias_v"):
            row = Parameter(ig.empty((1, 1, embed_dim), **made)) if add_bias_kv else None
            self.register_parameter(name, row)
        self._reset_parameters()

    def _reset_parameters(self) -> None:
        """Draw new weights; those of `out_proj` have been drawn."""
        for row in (self.bias_k, self.bias_v):
            if row is not None:
                init.xavier_normal_(row)
        for name in ("in_proj_weight", "q_proj_weight", "k_proj_weight", "v_proj_weight"):
            if getattr(self, name) is not None:
                init.xavier_uniform_(getattr(self, name))
        if self.in_proj_bias is not None:
            init.zeros_(self.in_proj_bias)
            init.zeros_(self.out_proj.bias)

    def _projected(self, query: Tensor, key: Tensor, value: Tensor) -> list[Tensor]:
        """The three inputs projected: [b, l, e] each."""
        e = self.embed_dim
        if self.in_proj_weight is not None and query is key and key is value:
            return list(F.linear(query, self.in_proj_weight, self.in_proj_bias).split(e, -1))
        if self.in_proj_weight is not None:
            weights = list(self.in_proj_weight.split(e, 0))
        else:
            weights = [self.q_proj_weight, self.k_proj_weight, self.v_proj_weight]
        shift = self.in_proj_bias
        biases = [None] * 3 if shift is None else list(shift.split(e, 0))
        inputs = (query, key, value)
        return [F.linear(x, w, b) for x, w, b in zip(inputs, weights, biases, strict=True)]

    def forward(
        self,
        query: Tensor,
        key: Tensor,
        value: Tensor,
        key_padding_mask: Tensor | None = None,
        need_weights: bool = True,
        attn_mask: Tensor | None = None,
        average_attn_weights: bool = True,
        is_causal: bool = False,
    ) -> tuple[Tensor, Tensor | None]:
        """Attend from `query` to `key` and `value`.

        query: [l, b, e] (or [b, l, e] with `batch_first`, or [l, e]); key, value: likewise with
        length s. A bool mask is true where attention is *not* allowed; a float mask is added.
        Returns the result, of the query's shape, and the weights [b, l, s] (per head [b, h, l, s]
        unless averaged; None unless `need_weights`). `is_causal` is a hint that goes with
        `attn_mask`."""
        self._check(query, key, value, key_padding_mask, attn_mask, is_causal)
        if self.bias_k is not None or self.add_zero_attn:
            masks = (key_padding_mask, attn_mask)
            return self._with_more_keys(
                query, key, value, *masks, need_weights, average_attn_weights, is_causal
            )
        same = query is key and key is value
        unbatched, sequence_first = query.ndim == 2, not self.batch_first
        arranged = [_batch_first(x, unbatched, sequence_first) for x in (query, key, value)]
        if same:
            arranged = [arranged[0]] * 3
        b, length, _ = arranged[0].shape
        q, k, v = [
            x.unflatten(-1, (self.num_heads, self.head_dim)).transpose(1, 2)
            for x in self._projected(*arranged)
        ]
        mask = _merged_mask(attn_mask, key_padding_mask, b, self.num_heads, q.dtype)
        dropout = self.dropout if self.training else 0.0
        weights: Tensor | None = None
        if need_weights:
            scores = (q * (1.0 / math.sqrt(self.head_dim))) @ k.mT
            weights = F.softmax(scores if mask is None else scores + mask, -1)
            weights = F.dropout(weights, dropout, dropout > 0.0)
            result = weights @ v
        else:
            result = F.scaled_dot_product_attention(q, k, v, attn_mask=mask, dropout_p=dropout)
        result = self.out_proj(result.transpose(1, 2).reshape(b, length, self.embed_dim))
        if weights is not None and average_attn_weights:
            weights = weights.mean(1)
        if unbatched:
            return result.squeeze(0), None if weights is None else weights.squeeze(0)
        return result.transpose(0, 1) if sequence_first else result, weights

    def _check(
        self,
        query: Tensor,
        key: Tensor,
        value: Tensor,
        padding: Tensor | None,
        mask: Tensor | None,
        is_causal: bool,
    ) -> None:
        """Refuse inputs that do not fit each other or the layer."""
        several = (query, key, value)
        if query.ndim not in (2, 3) or {key.ndim, value.ndim} != {query.ndim}:
            raise self._refusal(*several, "all have 3 dimensions, or 2 for one sequence")
        widths = (self.embed_dim, self.kdim, self.vdim)
        if tuple(x.shape[-1] for x in several) != widths:
            raise self._refusal(*several, f"the last sizes must be {widths}")
        if key.shape[:-1] != value.shape[:-1]:
            raise self._refusal(*several, "key and value differ in their length or batch")
        batch, length = (0, 1) if self.batch_first else (1, 0)
        if query.ndim == 2:
            b, q, k = 1, query.shape[0], key.shape[0]
        else:
            b, q, k = query.shape[batch], query.shape[length], key.shape[length]
            if key.shape[batch] != b:
                raise self._refusal(*several, "the numbers of sequences differ")
        if is_causal and mask is None:
            raise ArgumentError(f"{type(self).__name__}: is_causal is a hint beside an attn_mask")
        columns = (k,) if query.ndim == 2 else (b, k)
        _check_mask("key_padding_mask", padding, (columns,))
        _check_mask("attn_mask", mask, ((q, k), (b * self.num_heads, q, k)))

    def _refusal(self, query: Tensor, key: Tensor, value: Tensor, rule: str) -> ShapeError:
        return ShapeError(
            f"{type(self).__name__}: query {query._kind}, key {key._kind}, value {value._kind}:"
            f" {rule}"
        )

    def _with_more_keys(
        self,
        query: Tensor,
        key: Tensor,
        value: Tensor,
        key_padding_mask: Tensor | None,
        attn_mask: Tensor | None,
        need_weights: bool,
        average_attn_weights: bool,
        is_causal: bool,
    ) -> tuple[Tensor, Tensor | None]:
        """As `forward`, with the trained key and value, or the zeros, behind all others."""
        swap = self.batch_first and query.ndim == 3
        q, k, v = (x.transpose(0, 1) if swap else x for x in (query, key, value))
        made, weights = F.multi_head_attention_forward(
            q,
            k,
            v,
            self.embed_dim,
            self.num_heads,
            self.in_proj_weight,
            self.in_proj_bias,
            self.bias_k,
            self.bias_v,
            self.add_zero_attn,
            self.dropout,
            self.out_proj.weight,
            self.out_proj.bias,
            self.training,
            key_padding_mask,
            need_weights,
            attn_mask,
            self.in_proj_weight is None,
            self.q_proj_weight,
            self.k_proj_weight,
            self.v_proj_weight,
            average_attn_weights=average_attn_weights,
            is_causal=is_causal,
        )
        return made.transpose(0, 1) if swap else made, weights


def _check_mask(name: str, mask: Tensor | None, wanted: tuple[tuple[Any, ...], ...]) -> None:
    if mask is None:
        return
    if mask.dtype is not ig.bool and mask.dtype.kind != "f":
        raise DTypeError(f"MultiheadAttention: {name} {mask._kind} is bool or floating-point")
    known = all(isinstance(s, int) for shape in (mask.shape, *wanted) for s in shape)
    if mask.ndim not in map(len, wanted) or (known and tuple(mask.shape) not in wanted):
        shapes = " or ".join(str(list(shape)) for shape in wanted)
        raise ShapeError(f"MultiheadAttention: {name} {mask._kind}: {shapes} is wanted")


def _batch_first(x: Tensor, unbatched: bool, sequence_first: bool) -> Tensor:
    if unbatched:
        return x.unsqueeze(0)
    return x.transpose(0, 1) if sequence_first else x


def _as_float_mask(mask: Tensor, dtype: DType) -> Tensor:
    if mask.dtype != ig.bool:
        return mask
    return ig.where(mask, ig.full((), -math.inf, dtype=dtype), ig.zeros((), dtype=dtype))


def _merged_mask(
    attn_mask: Tensor | None, padding: Tensor | None, b: int, heads: int, dtype: DType
) -> Tensor | None:
    """One float mask that broadcasts to [b, h, l, s]."""
    merged = None if attn_mask is None else _as_float_mask(attn_mask, dtype)
    if merged is not None and merged.ndim == 3:
        merged = merged.reshape(b, heads, *merged.shape[1:])
    if padding is None:
        return merged
    padding = padding.unsqueeze(0) if padding.ndim == 1 else padding
    columns = _as_float_mask(padding, dtype).unsqueeze(1).unsqueeze(1)
    return columns if merged is None else merged + columns


_ACTIVATIONS: dict[str, Callable[..., Tensor]] = {"relu": F.relu, "gelu": F.gelu}


class TransformerEncoderLayer(Module):
    """Self-attention and a two-layer feed-forward net, each with a residual connection and a layer
    norm."""

    def __init__(
        self,
        d_model: int,
        nhead: int,
        dim_feedforward: int = 2048,
        dropout: float = 0.1,
        activation: str | Callable[[Tensor], Tensor] = F.relu,
        layer_norm_eps: float = 1e-5,
        batch_first: bool = False,
        norm_first: bool = False,
        bias: bool = True,
        device: Any = None,
        dtype: DType | None = None,
    ) -> None:
        super().__init__()
        made = {"device": device, "dtype": dtype}
        self.self_attn = MultiheadAttention(
            d_model, nhead, dropout, bias=bias, batch_first=batch_first, **made
        )
        self.linear1 = Linear(d_model, dim_feedforward, bias, **made)
        self.dropout = Dropout(dropout)
        self.linear2 = Linear(dim_feedforward, d_model, bias, **made)
        self.norm_first = norm_first
        self.norm1 = LayerNorm(d_model, layer_norm_eps, bias=bias, **made)
        self.norm2 = LayerNorm(d_model, layer_norm_eps, bias=bias, **made)
        self.dropout1, self.dropout2 = Dropout(dropout), Dropout(dropout)
        if isinstance(activation, str) and activation not in _ACTIVATIONS:
            raise ArgumentError(f"TransformerEncoderLayer: activation {activation!r} is not known")
        if isinstance(activation, str):
            activation = _ACTIVATIONS[activation]
        self.activation: Callable[..., Tensor] = activation

    def forward(
        self,
        src: Tensor,
        src_mask: Tensor | None = None,
        src_key_padding_mask: Tensor | None = None,
        is_causal: bool = False,
    ) -> Tensor:
        """src: [l, b, d] ([b, l, d] with `batch_first`); the result has its shape. Masks as in
        `MultiheadAttention`."""
        masks = (src_mask, src_key_padding_mask, is_causal)
        x = src
        if self.norm_first:
            x = x + self._attend(self.norm1(x), *masks)
            return x + self._feed_forward(self.norm2(x))
        x = self.norm1(x + self._attend(x, *masks))
        return self.norm2(x + self._feed_forward(x))

    def _attend(
        self, x: Tensor, mask: Tensor | None, padding: Tensor | None, is_causal: bool
    ) -> Tensor:
        attended, _ = self.self_attn(
            x,
            x,
            x,
            attn_mask=mask,
            key_padding_mask=padding,
            need_weights=False,
            is_causal=is_causal,
        )
        return self.dropout1(attended)

    def _feed_forward(self, x: Tensor) -> Tensor:
        return self.dropout2(self.linear2(self.dropout(self.activation(self.linear1(x)))))


class TransformerEncoder(Module):
    """`num_layers` copies of a layer, and a norm at the end if one is given."""

    def __init__(
        self,
        encoder_layer: Module,
        num_layers: int,
        norm: Module | None = None,
        enable_nested_tensor: bool = True,
        mask_check: bool = True,
    ) -> None:
        super().__init__()
        self.layers = ModuleList(copy.deepcopy(encoder_layer) for _ in range(num_layers))
        self.num_layers, self.norm = num_layers, norm
        self.enable_nested_tensor, self.mask_check = enable_nested_tensor, mask_check

    def forward(
        self,
        src: Tensor,
        mask: Tensor | None = None,
        src_key_padding_mask: Tensor | None = None,
        is_causal: bool | None = None,
    ) -> Tensor:
        """src as the layers take it; the result has its shape."""
        for layer in self.layers:
            src = layer(
                src,
                src_mask=mask,
                src_key_padding_mask=src_key_padding_mask,
                is_causal=bool(is_causal),
            )
        return src if self.norm is None else self.norm(src)
