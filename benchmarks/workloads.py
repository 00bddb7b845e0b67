"""What is timed: each workload once for torch and intaglio, and in NumPy where that is natural."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from benchmarks.char_transformer import (
    char_transformer_4x128_train,
    char_transformer_clipped_train,
    char_transformer_train,
)
from benchmarks.decoding import gpt_decode_step
from benchmarks.frameworks import Build, Framework, Function, Step
from benchmarks.networks import image_network, lenet_forward, lenet_train
from benchmarks.perceptrons import (
    TINY,
    eager_tiny_train,
    mlp,
    mlp_train,
    numpy_mlp,
    numpy_tiny_train,
)
from benchmarks.pointwise import (
    eager_chain10,
    eager_layer_norm,
    eager_softmax,
    softmax_ln_gelu,
)
from benchmarks.recurrent import lstm, lstm_char_train
from benchmarks.transformers import bert_mini, gpt_mini_train

INFERENCE = ("torch", "torch_jit", "torch_compile")
TRAINING = ("torch", "torch_compile")
OURS = ("intaglio_eager", "intaglio_jit", "intaglio_file")
ON_GPU = ("torch_cuda", "intaglio_cuda")
"""Peers of every workload that run only when they are asked for."""


@dataclass(frozen=True)
class Workload:
    """A model and the peers that run it."""

    build: Build
    variants: tuple[str, ...]
    numpy: Callable[[], Function] | None = None

    @property
    def peers(self) -> tuple[str, ...]:
        """Names of all ways to run this workload."""
        return (*(("numpy",) if self.numpy else ()), *self.variants)


def eager_add(fw: Framework) -> Step:
    """One addition of 8 elements: what a single op costs."""
    a = np.arange(8, dtype=np.float32)
    return Step(lambda x, y: x + y, (a, a[::-1].copy()))


def numpy_add() -> Function:
    """The same addition in NumPy."""
    a = np.arange(8, dtype=np.float32)
    b = a[::-1].copy()
    return lambda: a + b


def chained_adds(fw: Framework) -> Step:
    """100 additions of 8 elements and their derivative: what the tape costs."""
    x = fw.tensor(np.linspace(0, 1, 8, dtype=np.float32)).requires_grad_(True)

    def step(y: Any) -> Any:
        x.grad = None
        total = y
        for _ in range(100):
            total = total + x
        total.sum().backward()
        return x.grad

    return Step(step, (np.zeros(8, np.float32),))


WORKLOADS: dict[str, Workload] = {
    "tiny_b1": Workload(mlp(1, TINY), INFERENCE + OURS, numpy_mlp(1, TINY)),
    "mlp_b1": Workload(mlp(1), INFERENCE + OURS, numpy_mlp(1)),
    "mlp_b64": Workload(mlp(64), INFERENCE + OURS, numpy_mlp(64)),
    "char_transformer_train": Workload(char_transformer_train, TRAINING + OURS),
    "char_transformer_4x128_train": Workload(char_transformer_4x128_train, TRAINING + OURS),
    "char_transformer_clipped_train": Workload(char_transformer_clipped_train, TRAINING + OURS),
    "lenet_b32": Workload(lenet_forward, INFERENCE + OURS),
    "resnet18_b1": Workload(image_network("resnet", "resnet18", 1), INFERENCE + OURS),
    "mobilenetv2_b1": Workload(image_network("mobilenet", "MobileNetV2", 1), INFERENCE + OURS),
    "lenet_train_b64": Workload(lenet_train, TRAINING + OURS),
    "bert_mini_b1": Workload(bert_mini, INFERENCE + OURS),
    "gpt_decode_step": Workload(gpt_decode_step, ("torch", *OURS)),
    "softmax_ln_gelu": Workload(softmax_ln_gelu, INFERENCE + OURS),
    "mlp_train_b64": Workload(mlp_train, TRAINING + OURS),
    "gpt_mini_train": Workload(gpt_mini_train, TRAINING + OURS),
    "lstm_b16": Workload(lstm, ("torch", "torch_jit", *OURS)),
    "lstm_char_train": Workload(lstm_char_train, ("torch", *OURS)),
    "eager_add": Workload(eager_add, ("torch", "intaglio_eager"), numpy_add),
    "chained_adds": Workload(chained_adds, ("torch", "intaglio_eager")),
    "eager_softmax": Workload(eager_softmax, ("torch", "intaglio_eager")),
    "eager_layer_norm": Workload(eager_layer_norm, ("torch", "intaglio_eager")),
    "eager_chain10": Workload(eager_chain10, ("torch", "intaglio_eager")),
    "eager_tiny_train": Workload(eager_tiny_train, ("torch", *OURS), numpy_tiny_train),
}
