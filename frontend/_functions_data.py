"""Functions whose result's shape depends on elements: they exist eagerly only, and say so in a
trace."""

from __future__ import annotations

from typing import Any

import numpy as np

from intaglio._apply import apply, constant
from intaglio._core import Tensor
from intaglio._functions_movement import ravel, reshape
from intaglio._functions_reduce import axis_of
from intaglio._modes import modes
from intaglio._promote import expand_to


def _elements(name: str, x: Tensor) -> np.ndarray[Any, Any]:
    if modes.trace is not None:
        from intaglio._trace_errors import data_dependent

        raise data_dependent(name, x)
    return x._concrete(name)


def nonzero(input: Tensor, *, as_tuple: bool = False) -> Any:
    """The positions of the elements that are not zero: i64[count, dims], or one tensor per
    dimension."""
    found = np.nonzero(_elements("nonzero", input))
    if as_tuple:
        return tuple(constant(f) for f in found)
    return constant(np.stack(found, -1) if found else np.zeros((int(bool(input)), 0), np.int64))


argwhere = nonzero


def masked_select(input: Tensor, mask: Tensor) -> Tensor:
    """The elements where the mask is true, in one dimension."""
    from intaglio._promote import broadcast_shapes

    shape = broadcast_shapes(input.shape, mask.shape)
    places = np.flatnonzero(_elements("masked_select", expand_to(mask, shape)))
    flat = reshape(expand_to(input, shape), -1) if input.numel() else ravel(input)
    return apply("take", (flat, constant(places)), {"axis": 0})[0]


def unique(
    input: Tensor, sorted: bool = True, return_inverse: bool = False, return_counts: bool = False
) -> Any:
    """The distinct elements, ascending; with the inverse positions and counts when asked for."""
    data = _elements("unique", input)
    values, inverse, counts = np.unique(data, return_inverse=True, return_counts=True)
    made = [constant(values)]
    if return_inverse:
        made.append(constant(inverse.reshape(data.shape)))
    if return_counts:
        made.append(constant(counts))
    return made[0] if len(made) == 1 else tuple(made)


def bincount(input: Tensor, weights: Tensor | None = None, minlength: int = 0) -> Tensor:
    """How often each number occurs, or the sum of its weights."""
    data = _elements("bincount", input)
    return constant(np.bincount(data, None if weights is None else weights._data, minlength))


def repeat_by_counts(input: Tensor, repeats: Tensor, dim: int | None) -> Tensor:
    """Each slice repeated as often as its own number says."""
    counts = _elements("repeat_interleave", repeats)
    x = ravel(input) if dim is None else input
    axis = 0 if dim is None else axis_of("repeat_interleave", x, dim)
    counts = np.broadcast_to(counts, (x.shape[axis],))
    index = constant(np.repeat(np.arange(x.shape[axis]), counts))
    return apply("take", (x, index), {"axis": axis})[0]
