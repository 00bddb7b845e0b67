"""Maxima over windows together with their positions, by the names that torch gives these forms."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from intaglio._tensor import Tensor
from intaglio.nn._fractional import fractional_max_pool2d, fractional_max_pool3d
from intaglio.nn._pooling import (
    adaptive_max_pool1d,
    adaptive_max_pool2d,
    adaptive_max_pool3d,
    max_pool1d,
    max_pool2d,
    max_pool3d,
)

Both = Callable[..., tuple[Tensor, Tensor]]


def _with_indices(function: Callable[..., Any], place: int) -> Both:
    """The function with `return_indices`, which stands at `place` among its arguments."""

    def call(*args: Any, **options: Any) -> tuple[Tensor, Tensor]:
        options.pop("return_indices", None)
        values, indices = function(
            *args[:place], *args[place + 1 :], **options, return_indices=True
        )
        return values, indices

    call.__name__ = call.__qualname__ = function.__name__ + "_with_indices"
    call.__doc__ = f"`{function.__name__}` and the positions of the maxima, whatever is asked for."
    return call


max_pool1d_with_indices = _with_indices(max_pool1d, 6)
max_pool2d_with_indices = _with_indices(max_pool2d, 6)
max_pool3d_with_indices = _with_indices(max_pool3d, 6)
adaptive_max_pool1d_with_indices = _with_indices(adaptive_max_pool1d, 2)
adaptive_max_pool2d_with_indices = _with_indices(adaptive_max_pool2d, 2)
adaptive_max_pool3d_with_indices = _with_indices(adaptive_max_pool3d, 2)
fractional_max_pool2d_with_indices = _with_indices(fractional_max_pool2d, 4)
fractional_max_pool3d_with_indices = _with_indices(fractional_max_pool3d, 4)
