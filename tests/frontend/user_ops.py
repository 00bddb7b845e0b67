"""Ops of a user, as a file that other processes import too: a new process runs it by itself."""

from __future__ import annotations

from typing import Any

import numpy as np

import intaglio as ig


def fast_gelu(x: Any) -> Any:
    """x times a steep logistic function."""
    return x / (1 + np.exp(-1.702 * x))


gelu_fast = ig.custom_op("test_ops::gelu_fast", element=fast_gelu)


def leaky_element(x: Any, y: Any, *, slope: float = 0.1) -> Any:
    """x where it is above y, else a part of it."""
    return np.where(x > y, x, slope * x)


leaky = ig.custom_op(
    "test_ops::leaky",
    element=leaky_element,
    vjp=lambda dy, z, x, y, slope: (ig.where(x > y, dy, dy * slope), None),
)
inverse = ig.numpy_op(
    np.linalg.inv, name="test_ops::inverse", vjp=lambda dy, y, x: -(y.mT @ dy @ y.mT)
)


@ig.custom_op(
    "test_ops::polar",
    type=lambda x, y: (x, x),
    vjp=lambda dys, ys, x, y: (
        (dys[0] * x * ys[0] - dys[1] * y) / (ys[0] * ys[0]),
        (dys[0] * y * ys[0] + dys[1] * x) / (ys[0] * ys[0]),
    ),
)
def polar(x: Any, y: Any) -> Any:
    """Radius and angle."""
    return np.hypot(x, y), np.arctan2(y, x)


ROW_SUMS = """
int row_sums(const void *const *in, void *const *out, const int64_t *sizes) {
  const double *x = in[0];
  double *y = out[0];
  const int64_t rows = sizes[1], columns = sizes[2];
  if (sizes[0] != 2 || sizes[3] != 1 || sizes[4] != rows) return 7;
  for (int64_t i = 0; i < rows; i++) {
    y[i] = 0;
    for (int64_t j = 0; j < columns; j++) y[i] += x[i * columns + j];
    if (y[i] > 1e6) return 3;
  }
  return 0;
}
"""
row_sums = ig.c_op(
    "test_ops::row_sums",
    ROW_SUMS,
    "row_sums",
    type=lambda x: x.with_shape(x.shape[0]),
    vjp=lambda dy, y, x: dy.unsqueeze(1).expand(x.shape),
)


def model(x: ig.Tensor) -> ig.Tensor:
    """All of them, with other ops in between."""
    square = gelu_fast(x * 0.5) @ x.mT + 9 * ig.eye(3, dtype=ig.float64, device=x.device)
    radius, angle = polar(inverse(square), leaky(square, ig.sin(square), slope=0.3))
    return ig.exp(row_sums(radius) * 0.1) + angle.sum(1)
