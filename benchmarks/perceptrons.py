"""Linear layers with ReLU between them: forward, and steps of SGD and Adam."""

from collections.abc import Callable
from typing import Any

import numpy as np

from benchmarks.frameworks import Build, Framework, Function, Step

SIZES = (784, 512, 512, 10)
TINY = (16, 32, 4)


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


def mlp(batch: int, sizes: tuple[int, ...] = SIZES) -> Build:
    """The forward pass alone."""

    def build(fw: Framework) -> Step:
        model = perceptron(fw, sizes).eval()

        def forward(x: Any) -> Any:
            with fw.no_grad():
                return model(x)

        return Step(forward, (images(batch, sizes[0]),), model)

    return build


def numpy_mlp(batch: int, sizes: tuple[int, ...] = SIZES) -> Callable[[], Function]:
    """The same network in NumPy."""

    def make() -> Function:
        *inner, last = (w.T.copy() for w in perceptron_weights(sizes))
        *inner_biases, last_bias = (np.zeros(n, np.float32) for n in sizes[1:])
        layers = list(zip(inner, inner_biases, strict=True))
        x = images(batch, sizes[0])

        def forward() -> Any:
            h = x
            for weight, bias in layers:
                h = np.maximum(h @ weight + bias, 0)
            return h @ last + last_bias

        return forward

    return make


def train(fw: Framework, model: Any, optimizer: Any, batch: int, sizes: tuple[int, ...]) -> Step:
    """Forward, cross entropy, backward and the optimizer's step."""

    def train_step(x: Any, t: Any) -> Any:
        optimizer.zero_grad()
        loss = fw.functional.cross_entropy(model(x), t)
        loss.backward()
        optimizer.step()
        return loss

    return Step(train_step, (images(batch, sizes[0]), np.arange(batch) % sizes[-1]))


def eager_tiny_train(fw: Framework) -> Step:
    """One step of SGD on an MLP 16-32-4, batch 8: what a small training step costs."""
    model = perceptron(fw, TINY)
    return train(fw, model, fw.optim.SGD(model.parameters(), lr=0.1), 8, TINY)


def mlp_train(fw: Framework) -> Step:
    """One step of Adam on an MLP 784-512-512-10, batch 64."""
    model = perceptron(fw, SIZES)
    return train(fw, model, fw.optim.Adam(model.parameters(), lr=1e-3), 64, SIZES)


def numpy_tiny_train() -> Function:
    """The step of SGD with its derivative written out in NumPy."""
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
