"""The rows of `layer_table` for recurrent networks, attention and transformers."""

from __future__ import annotations

from typing import Any

import numpy as np

from tests.frontend.layer_table import Case, Fixed, Made, case, function, normal

T, B, IN, H = 4, 3, 5, 6
SEQUENCE, ONE, FIRST = (T, B, IN), (T, IN), (B, T, IN)


def _network(states: int) -> list[Case]:
    """Rows for a network whose state is one tensor, or a tuple of two."""

    def start(*shape: int) -> Any:
        return shape if states == 1 else [shape, shape]

    return [
        case(IN, H, x=SEQUENCE), case(IN, H, x=ONE), case(IN, H, batch_first=True, x=FIRST),
        case(IN, H, bias=False, x=SEQUENCE), case(IN, H, 2, x=SEQUENCE),
        case(IN, H, bidirectional=True, x=SEQUENCE),
        case(IN, H, num_layers=2, bidirectional=True, bias=False, batch_first=True, x=FIRST),
        case(IN, H, x=[SEQUENCE, start(1, B, H)]), case(IN, H, x=[ONE, start(1, H)]),
        case(IN, H, 2, bidirectional=True, x=[SEQUENCE, start(4, B, H)]),
        case(IN, H, batch_first=True, x=[FIRST, start(1, B, H)]),
        case(IN, H, 2, dropout=0.5, x=SEQUENCE, eval=True), case(IN, H, 3, dropout=0.0, x=SEQUENCE),
        case(1, 1, x=(1, 1, 1)),
    ]  # fmt: skip


def _cell(states: int) -> list[Case]:
    def start(*shape: int) -> Any:
        return shape if states == 1 else [shape, shape]

    return [
        case(IN, H, x=(B, IN)), case(IN, H, x=(IN,)), case(IN, H, bias=False, x=(B, IN)),
        case(IN, H, x=[(B, IN), start(B, H)]), case(IN, H, x=[(IN,), start(H)]),
    ]  # fmt: skip


RECURRENT = {
    "RNN": [
        *_network(1), case(IN, H, nonlinearity="relu", x=SEQUENCE),
        case(IN, H, 2, "relu", False, True, 0.0, True, x=FIRST),
    ],
    "GRU": _network(1),
    "LSTM": [
        *_network(2), case(IN, H, proj_size=2, x=SEQUENCE),
        case(IN, H, 2, proj_size=3, bidirectional=True, bias=False, x=SEQUENCE),
        case(IN, H, proj_size=2, x=[SEQUENCE, [(1, B, 2), (1, B, H)]]),
        case(IN, H, 2, True, True, 0.0, True, 4, x=FIRST),
    ],
    "RNNCell": [*_cell(1), case(IN, H, nonlinearity="relu", x=(B, IN))],
    "GRUCell": _cell(1),
    "LSTMCell": _cell(2),
}  # fmt: skip

E, Q, K = 8, 4, 5
_UPPER = np.triu(np.ones((Q, K), bool), 2)
_LATE = np.arange(K)[None] >= np.array([5, 4, 3])[:, None]
_ADDED = Fixed(normal(Q, K))
_CAUSAL = np.triu(np.ones((Q, Q), bool), 1)
_CAUSAL_ADDED = Fixed(np.where(_CAUSAL, -np.inf, 0.0))
_HEADS = np.broadcast_to(_UPPER, (B * 2, Q, K)).copy()
_HEADS[1::2, :, 0] = True
_TWO_MASKS = {"key_padding_mask": _LATE, "attn_mask": _UPPER}
THREE = [(Q, B, E), (K, B, E), (K, B, E)]
LATE_ADDED = Fixed(np.where(_LATE, -np.inf, 0.0))

ATTENTION = {
    "MultiheadAttention": [
        case(E, 2, x=THREE), case(E, 8, x=THREE), case(E, 1, bias=False, x=THREE),
        case(E, 2, kdim=6, vdim=5, x=[(Q, B, E), (K, B, 6), (K, B, 5)]),
        case(E, 2, kdim=6, bias=False, x=[(Q, B, E), (K, B, 6), (K, B, E)]),
        case(E, 2, vdim=6, batch_first=True, x=[(B, Q, E), (B, K, E), (B, K, 6)]),
        case(E, 2, add_bias_kv=True, x=THREE), case(E, 2, add_zero_attn=True, x=THREE),
        case(E, 2, 0.0, True, True, True, 6, 5, True, x=[(B, Q, E), (B, K, 6), (B, K, 5)]),
        case(E, 2, batch_first=True, x=[(B, Q, E), (B, K, E), (B, K, E)]),
        case(E, 2, 0.5, x=THREE, eval=True),
        case(E, 2, x=[(Q, E), (K, E), (K, E)]),
        case(E, 2, add_bias_kv=True, x=[(Q, E), (K, E), (K, E)]),
        case(E, 2, x=THREE, options={"need_weights": False}),
        case(E, 2, x=THREE, options={"average_attn_weights": False}),
        case(E, 2, x=[(Q, E), (K, E), (K, E)], options={"average_attn_weights": False}),
        case(E, 2, x=THREE, options={"attn_mask": _UPPER}),
        case(E, 2, x=THREE, options={"attn_mask": _ADDED}),
        case(E, 2, x=THREE, options={"attn_mask": _HEADS}),
        case(E, 2, x=THREE, options={"key_padding_mask": _LATE}),
        case(E, 2, x=THREE, options={"key_padding_mask": LATE_ADDED}),
        case(E, 2, x=THREE, options={**_TWO_MASKS, "need_weights": False}),
        case(E, 2, x=THREE, options={"key_padding_mask": LATE_ADDED, "attn_mask": _ADDED}),
        case(E, 2, x=[(Q, E), (K, E), (K, E)], options={"key_padding_mask": _LATE[1]}),
        case(E, 2, x=[(Q, E), (K, E), (K, E)], options={"attn_mask": _HEADS[:2]}),
        case(E, 2, x=[(Q, B, E)] * 3, options={"attn_mask": _CAUSAL, "is_causal": True}),
        case(
            E, 2, x=[(Q, B, E)] * 3,
            options={"attn_mask": _CAUSAL, "is_causal": True, "need_weights": False},
        ),
        case(E, 2, add_bias_kv=True, x=THREE, options=_TWO_MASKS),
        case(
            E, 2, add_zero_attn=True, x=THREE,
            options={"key_padding_mask": _LATE, "attn_mask": _ADDED, "need_weights": False},
        ),
        case(
            E, 2, add_bias_kv=True, add_zero_attn=True, batch_first=True,
            x=[(B, Q, E), (B, K, E), (B, K, E)], options={"average_attn_weights": False},
        ),
    ],
}  # fmt: skip

PADDED = np.arange(Q)[None] >= np.array([4, 2, 3])[:, None]
_SIZES = {"dim_feedforward": 6, "dropout": 0.0}
_OWN = (Q, B, E)

TRANSFORMERS = {
    "TransformerEncoderLayer": [
        case(E, 2, 6, 0.0, x=_OWN), case(E, 4, **_SIZES, norm_first=True, x=_OWN),
        case(E, 2, **_SIZES, activation="gelu", batch_first=True, x=(B, Q, E)),
        case(E, 2, **_SIZES, activation=function("silu"), x=_OWN),
        case(E, 2, **_SIZES, activation=function("gelu"), layer_norm_eps=0.1, x=_OWN),
        case(E, 2, **_SIZES, bias=False, x=_OWN), case(E, 2, 6, 0.4, x=_OWN, eval=True),
        case(E, 2, **_SIZES, x=(Q, E)), case(E, 2, **_SIZES, x=[_OWN, _CAUSAL]),
        case(E, 2, **_SIZES, x=_OWN, options={"src_mask": _CAUSAL_ADDED, "is_causal": True}),
        case(E, 2, **_SIZES, norm_first=True, x=_OWN, options={"src_key_padding_mask": PADDED}),
        case(
            E, 2, **_SIZES, batch_first=True, x=(B, Q, E),
            options={"src_mask": _CAUSAL, "src_key_padding_mask": PADDED},
        ),
    ],
    "TransformerDecoderLayer": [
        case(E, 2, 6, 0.0, x=[_OWN, (K, B, E)]),
        case(E, 4, **_SIZES, norm_first=True, x=[_OWN, (K, B, E)]),
        case(E, 2, **_SIZES, activation="gelu", batch_first=True, x=[(B, Q, E), (B, K, E)]),
        case(E, 2, **_SIZES, activation=function("tanh"), bias=False, x=[_OWN, (K, B, E)]),
        case(E, 2, 6, 0.4, x=[_OWN, (K, B, E)], eval=True),
        case(E, 2, **_SIZES, x=[(Q, E), (K, E)]),
        case(
            E, 2, **_SIZES, x=[_OWN, (K, B, E)],
            options={"tgt_mask": _CAUSAL, "memory_mask": _UPPER},
        ),
        case(
            E, 2, **_SIZES, norm_first=True, x=[_OWN, (K, B, E)],
            options={"tgt_key_padding_mask": PADDED, "memory_key_padding_mask": _LATE},
        ),
        case(
            E, 2, **_SIZES, x=[_OWN, (K, B, E)],
            options={
                "tgt_mask": _CAUSAL_ADDED, "tgt_is_causal": True,
                "memory_key_padding_mask": LATE_ADDED,
            },
        ),
    ],
    "TransformerEncoder": [
        case(
            Made(lambda nn: nn.TransformerEncoderLayer(E, 2, 6, 0.0)), 2,
            Made(lambda nn: nn.LayerNorm(E)), enable_nested_tensor=False, x=_OWN,
        ),
        case(
            Made(lambda nn: nn.TransformerEncoderLayer(E, 2, 6, 0.0, batch_first=True)), 2,
            mask_check=False, enable_nested_tensor=True, x=(B, Q, E),
            options={"src_key_padding_mask": PADDED},
        ),
        case(
            Made(lambda nn: nn.TransformerEncoderLayer(E, 2, 6, 0.0, norm_first=True)),
            num_layers=1,
            x=_OWN, enable_nested_tensor=False, options={"mask": _CAUSAL_ADDED, "is_causal": True},
        ),
        case(
            Made(lambda nn: nn.TransformerEncoderLayer(E, 2, 6, 0.3)), 2, None, False, x=_OWN,
            eval=True,
            options={"mask": _CAUSAL_ADDED},
        ),
    ],
    "TransformerDecoder": [
        case(
            Made(lambda nn: nn.TransformerDecoderLayer(E, 2, 6, 0.0)), 2,
            Made(lambda nn: nn.LayerNorm(E)), x=[_OWN, (K, B, E)],
        ),
        case(
            Made(lambda nn: nn.TransformerDecoderLayer(E, 2, 6, 0.0, batch_first=True)),
            num_layers=1,
            x=[(B, Q, E), (B, K, E)],
            options={"tgt_mask": _CAUSAL_ADDED, "memory_key_padding_mask": LATE_ADDED},
        ),
    ],
    "Transformer": [
        case(E, 2, 1, 1, 6, 0.0, x=[(K, B, E), _OWN]),
        case(
            E, 2, 2, 1, 6, 0.0, function("gelu"), batch_first=True, norm_first=True, bias=False,
            x=[(B, K, E), (B, Q, E)], options={"tgt_mask": _CAUSAL_ADDED, "tgt_is_causal": True},
        ),
        case(
            E, 2, 1, 1, 6, 0.0, x=[(K, B, E), _OWN],
            options={
                "src_key_padding_mask": _LATE, "memory_key_padding_mask": _LATE,
                "tgt_key_padding_mask": PADDED, "tgt_mask": _CAUSAL, "memory_mask": _UPPER,
            },
        ),
        case(E, 2, 1, 1, 6, 0.0, x=[(K, E), (Q, E)]),
        case(
            E, 2, 1, 1, 6, 0.0, x=[(K, B, E), _OWN],
            custom_encoder=Made(lambda nn: nn.TransformerEncoder(
                nn.TransformerEncoderLayer(E, 2, 6, 0.0), 1, enable_nested_tensor=False)),
        ),
    ],
}  # fmt: skip

CASES: dict[str, list[Case]] = RECURRENT | ATTENTION | TRANSFORMERS
