"""Ops of one's own in one file: for one element, from SciPy, and in C; trained, saved and loaded.

Run it as a script, or give it to the command line, which then knows the ops that the file names:

    python examples/custom_op.py
    intaglio --ops examples/custom_op.py run custom_op.ig --input x=x.npy

It needs SciPy: pip install scipy
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path
from typing import Any

import numpy as np

import intaglio as ig
from intaglio import nn

try:
    from scipy import special
except ImportError:
    raise SystemExit("this example needs SciPy: pip install scipy") from None

# For one element, in NumPy: becomes part of kernels in C and CUDA, and is differentiated by itself.
gelu = ig.custom_op("example::gelu", element=lambda x: x / (1 + np.exp(-1.702 * x)))

# Functions of SciPy, the one being the derivative of the other: called between native steps.
trigamma = ig.numpy_op(lambda x: special.polygamma(1, x).astype(x.dtype), name="example::trigamma")
digamma = ig.numpy_op(special.psi, name="example::digamma", vjp=lambda dy, y, x: dy * trigamma(x))
gammaln = ig.numpy_op(
    special.gammaln, name="example::gammaln", vjp=lambda dy, y, x: dy * digamma(x)
)

# A function in C: the median of each row, whose derivative goes to the element in the middle.
MEDIANS = r"""
#include <stdlib.h>
static int compare(const void *a, const void *b) {
  const float x = *(const float *)a, y = *(const float *)b;
  return (x > y) - (x < y);
}
int medians(const void *const *inputs, void *const *outputs, const int64_t *sizes) {
  const float *x = inputs[0];
  float *y = outputs[0];
  const int64_t rows = sizes[1], columns = sizes[2];
  float *row = malloc((size_t)columns * sizeof *row + 1);
  if (!row || !columns) { free(row); return 1; }
  for (int64_t i = 0; i < rows; i++) {
    for (int64_t j = 0; j < columns; j++) row[j] = x[i * columns + j];
    qsort(row, (size_t)columns, sizeof *row, compare);
    y[i] = row[(columns - 1) / 2];
  }
  free(row);
  return 0;
}
"""
medians = ig.c_op(
    "example::medians",
    MEDIANS,
    "medians",
    type=lambda x: x.with_shape(x.shape[0]),
    vjp=lambda dy, y, x: ig.where(x == y.unsqueeze(1), dy.unsqueeze(1), 0.0),
)


class CountModel(nn.Module):
    """How many events to expect: logarithms of the means of Poisson distributions."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.last = nn.Linear(4, 16), nn.Linear(16, 1)

    def forward(self, x: ig.Tensor) -> ig.Tensor:
        """The logarithms of the means, f32[n]: relative to each row's median."""
        made = self.last(gelu(self.first(x - medians(x).unsqueeze(1))))
        return made.squeeze(1)


def surprise(logs: ig.Tensor, counts: ig.Tensor) -> ig.Tensor:
    """The mean negative logarithm of the probability of what was counted."""
    return (logs.exp() - counts * logs + gammaln(counts + 1)).mean()


def train(steps: int = 200, seed: int = 0) -> tuple[CountModel, float, float]:
    """A model of made-up counts, and its loss before and after."""
    random = np.random.default_rng(seed)
    data = random.standard_normal((256, 4)).astype(np.float32)
    means = np.exp(1 + np.sin(data[:, 0] - np.sort(data, 1)[:, 1]))
    x, counts = ig.tensor(data), ig.tensor(random.poisson(means).astype(np.float32))
    ig.manual_seed(seed)
    model = CountModel()
    optimizer = ig.optim.Adam(model.parameters(), lr=0.02)

    @ig.jit
    def step(x: ig.Tensor, counts: ig.Tensor) -> ig.Tensor:
        optimizer.zero_grad()
        loss = surprise(model(x), counts)
        loss.backward()
        optimizer.step()
        return loss

    losses = [step(x, counts).item() for _ in range(steps)]
    return model, losses[0], losses[-1]


def main(arguments: Any = None) -> None:
    """Train, save, load, and compare."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--steps", type=int, default=200)
    steps = parser.parse_args(arguments).steps
    model, first, last = train(steps)
    print(f"loss {first:.4f} -> {last:.4f} after {steps} steps")
    x = np.random.default_rng(1).standard_normal((5, 4)).astype(np.float32)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "custom_op.ig"
        ig.trace(model, ig.spec((ig.Dim("n", max=1000), 4))).save(path)
        loaded = ig.load(path, ops=[gelu, medians])
        same = np.array_equal(loaded(x), model(ig.tensor(x)).detach().numpy())
        print(f"the file gives {'the same bits' if same else 'OTHER BITS'}: {loaded(x).round(3)}")


if __name__ == "__main__":
    main()
