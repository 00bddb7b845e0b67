"""Layers, losses and containers with torch's names: what a model is put together from."""

from intaglio._tensor import Parameter
from intaglio.nn import functional, init, utils
from intaglio.nn._activations import (
    ELU,
    GELU,
    LeakyReLU,
    LogSoftmax,
    PReLU,
    ReLU,
    ReLU6,
    Sigmoid,
    SiLU,
    Softmax,
    Softplus,
    Tanh,
)
from intaglio.nn._attention import MultiheadAttention, TransformerEncoder, TransformerEncoderLayer
from intaglio.nn._containers import ModuleDict, ModuleList, ParameterList, Sequential
from intaglio.nn._criteria import (
    BCELoss,
    BCEWithLogitsLoss,
    CrossEntropyLoss,
    HuberLoss,
    L1Loss,
    MSELoss,
    NLLLoss,
    SmoothL1Loss,
)
from intaglio.nn._layers import (
    Dropout,
    Embedding,
    Flatten,
    Identity,
    LayerNorm,
    Linear,
    RMSNorm,
    Unflatten,
)
from intaglio.nn._module import LoadError, Module
from intaglio.nn._recurrent import GRU, LSTM, RNN
from intaglio.nn._recurrent_cells import GRUCell, LSTMCell, RNNCell

__all__ = [
    "ELU", "GELU", "GRU", "LSTM", "RNN", "BCELoss", "BCEWithLogitsLoss", "CrossEntropyLoss",
    "Dropout", "Embedding", "Flatten", "GRUCell", "HuberLoss", "Identity", "L1Loss", "LSTMCell",
    "LayerNorm", "LeakyReLU", "Linear", "LoadError", "LogSoftmax", "MSELoss", "Module",
    "ModuleDict", "ModuleList", "MultiheadAttention", "NLLLoss", "PReLU", "Parameter",
    "ParameterList", "RMSNorm", "RNNCell", "ReLU", "ReLU6", "Sequential", "SiLU",
    "Sigmoid", "SmoothL1Loss", "Softmax", "Softplus", "Tanh", "TransformerEncoder",
    "TransformerEncoderLayer", "Unflatten", "functional", "init", "utils",
]  # fmt: skip
