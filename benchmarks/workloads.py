"""What is timed: each workload once for torch and intaglio, and in NumPy where that is natural."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from benchmarks.char_transformer import char_transformer_train
from benchmarks.frameworks import Build, Framework, Function, Step
from benchmarks.networks import image_network, lenet_forward, lenet_train
from benchmarks.recurrent import lstm, lstm_char_train

INFERENCE = ("torch", "torch_jit", "torch_compile")
OURS = ("intaglio_eager", "intaglio_jit", "intaglio_file")
ON_GPU = ("torch_cuda", "intaglio_cuda")
"""Peers of every workload that run only when they are asked for."""
SIZES = (784, 512, 512, 10)
TINY = (16, 32, 4)


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


def perceptron(fw: Framework, sizes: tuple[int, ...]) -> Any:
    """Linear layers with ReLU between them."""
    layers: list[Any] = []
    for size_in, size_out in zip(sizes, sizes[1:], strict=False):
        layers += [fw.nn.Linear(size_in, size_out), fw.nn.ReLU()]
    model = fw.nn.Sequential(*layers[:-1])
    fw.fill(model, seed=0)
    return model


def perceptron_weights(sizes: tuple[int, ...]) -> list[np.ndarray]:
    """The same weights as `perceptron` gets, one matrix for each layer; biases start at zero."""
    rng = np.random.default_rng(0)
    shapes = zip(sizes[1:], sizes, strict=False)
    return [(rng.standard_normal(s) / np.sqrt(s[1])).astype(np.float32) for s in shapes]


def images(batch: int, size: int) -> np.ndarray:
    """A batch of inputs: f32[batch, size]."""
    return np.random.default_rng(1).random((batch, size), dtype=np.float32)


def mlp(batch: int) -> Build:
    """MLP 784-512-512-10 with ReLU, forward only."""

    def build(fw: Framework) -> Step:
        model = perceptron(fw, SIZES).eval()

        def forward(x: Any) -> Any:
            with fw.no_grad():
                return model(x)

        return Step(forward, (images(batch, SIZES[0]),), model)

    return build


def numpy_mlp(batch: int) -> Callable[[], Function]:
    """The same network in NumPy."""

    def make() -> Function:
        first, second, third = (w.T.copy() for w in perceptron_weights(SIZES))
        b1, b2, b3 = (np.zeros(n, np.float32) for n in SIZES[1:])
        x = images(batch, SIZES[0])

        def forward() -> Any:
            h = np.maximum(x @ first + b1, 0)
            h = np.maximum(h @ second + b2, 0)
            return h @ third + b3

        return forward

    return make


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


def eager_tiny_train(fw: Framework) -> Step:
    """One step of SGD on an MLP 16-32-4, batch 8: what a small training step costs."""
    model = perceptron(fw, TINY)
    optimizer = fw.optim.SGD(model.parameters(), lr=0.1)

    def train_step(x: Any, t: Any) -> Any:
        optimizer.zero_grad()
        loss = fw.functional.cross_entropy(model(x), t)
        loss.backward()
        optimizer.step()
        return loss

    return Step(train_step, (images(8, TINY[0]), np.arange(8) % TINY[-1]))


def numpy_tiny_train() -> Function:
    """The same step with its derivative written out in NumPy."""
    w1, w2 = (w.T.copy() for w in perceptron_weights(TINY))
    b1, b2 = (np.zeros(n, np.float32) for n in TINY[1:])
    x, t = images(8, TINY[0]), np.arange(8) % TINY[-1]
    rows, rate = np.arange(8), np.float32(0.1)

    def train_step() -> Any:
        h = np.maximum(x @ w1 + b1, 0)
        y = h @ w2 + b2
        shifted = y - y.max(1, keepdims=True)
        e = np.exp(shifted)
        total = e.sum(1, keepdims=True)
        loss = -(shifted[rows, t] - np.log(total[:, 0])).mean()
        dy = e / total
        dy[rows, t] -= 1
        dy /= 8
        dh = (dy @ w2.T) * (h > 0)
        np.subtract(w2, rate * (h.T @ dy), out=w2)
        np.subtract(b2, rate * dy.sum(0), out=b2)
        np.subtract(w1, rate * (x.T @ dh), out=w1)
        np.subtract(b1, rate * dh.sum(0), out=b1)
        return loss

    return train_step


WORKLOADS: dict[str, Workload] = {
    "mlp_b1": Workload(mlp(1), INFERENCE + OURS, numpy_mlp(1)),
    "mlp_b64": Workload(mlp(64), INFERENCE + OURS, numpy_mlp(64)),
    "char_transformer_train": Workload(char_transformer_train, ("torch", "torch_compile", *OURS)),
    "lenet_b32": Workload(lenet_forward, INFERENCE + OURS),
    "resnet18_b1": Workload(image_network("resnet", "resnet18", 1), INFERENCE + OURS),
    "mobilenetv2_b1": Workload(image_network("mobilenet", "MobileNetV2", 1), INFERENCE + OURS),
    "lenet_train_b64": Workload(lenet_train, ("torch", "torch_compile", *OURS)),
    "lstm_b16": Workload(lstm, ("torch", "torch_jit", *OURS)),
    "lstm_char_train": Workload(lstm_char_train, ("torch", *OURS)),
    "eager_add": Workload(eager_add, ("torch", "intaglio_eager"), numpy_add),
    "chained_adds": Workload(chained_adds, ("torch", "intaglio_eager")),
    "eager_tiny_train": Workload(eager_tiny_train, ("torch", *OURS), numpy_tiny_train),
}
