"""Where the elements of a traced tensor would lie in memory if it were run eagerly: decides whether
a reshape is a view, to which writes go through, or a copy.

Strides are counted in elements and may hold symbolic sizes. Dims of size 1 are left out; each group
of the rest that has the same number of elements before and after must lie evenly in memory."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from intaglio.compiler.dims import Size, compare, modulo

if TYPE_CHECKING:
    from intaglio._core import Tensor

Strides = tuple[Size, ...]


def is_view(parent: Tensor, shape: Sequence[Size]) -> bool:
    """Whether `parent`, reshaped, shares its memory."""
    strides = strides_of(parent)
    return strides is not None and reshaped(parent.shape, strides, shape) is not None


def strides_of(tensor: Tensor) -> Strides | None:
    """The strides of a tensor from what it is a view of; None where they can't be told."""
    if tensor._view is None:
        return dense(tensor.shape)
    parent, op, attributes = tensor._view
    found = strides_of(parent)
    if found is None or op in ("stop_gradient", "bitcast"):
        return found
    if op == "reshape":
        return reshaped(parent.shape, found, tensor.shape)
    if op == "permute":
        return tuple(found[k] for k in attributes["axes"])
    if op == "slice":
        return tuple(s * step for s, step in zip(found, attributes["steps"], strict=True))
    if op == "strided":
        rows = attributes["steps"]
        return tuple(
            sum((row[j] * s for row, s in zip(rows, found, strict=True)), 0)
            for j in range(len(tensor.shape))
        )
    if op == "expand":
        made: list[Size] = [0] * len(tensor.shape)
        for k, axis in enumerate(attributes["axes"]):
            made[axis] = found[k] if parent.shape[k] == tensor.shape[axis] else 0
        return tuple(made)
    return None


def lies_densely(tensor: Tensor) -> bool:
    """Whether a view's elements follow each other in row-major order."""
    found = strides_of(tensor)
    if found is None:
        return False
    rows = zip(tensor.shape, found, dense(tensor.shape), strict=True)
    return 0 in tensor.shape or all(size == 1 or own == wanted for size, own, wanted in rows)


def offset_of(tensor: Tensor) -> Size | None:
    """Where the first element lies in the memory of what the tensor is a view of, in elements; None
    where that can't be told."""
    if tensor._view is None:
        return 0
    parent, op, attributes = tensor._view
    offset = offset_of(parent)
    if op not in ("slice", "strided") or offset is None:
        return offset
    strides = strides_of(parent)
    if strides is None:
        return None
    for start, stride in zip(attributes["starts"], strides, strict=True):
        offset = offset + start * stride
    return offset


def dense(shape: Sequence[Size]) -> Strides:
    """The strides of a row-major array."""
    made: list[Size] = []
    step: Size = 1
    for size in reversed(shape):
        made.append(step)
        step = step * size
    return tuple(reversed(made))


def reshaped(shape: Sequence[Size], strides: Strides, target: Sequence[Size]) -> Strides | None:
    """The strides of the reshaped array; None where it takes a copy, or nobody can tell."""
    if any(size == 0 for size in shape):
        return dense(target)
    old = [(n, s) for n, s in zip(shape, strides, strict=True) if n != 1]
    wanted = [n for n in target if n != 1]
    made: list[Size] = []
    k = j = 0
    while k < len(old) and j < len(wanted):
        before, after = old[k][0], wanted[j]
        end, stop = k + 1, j + 1
        while before != after:
            order = _order(before, after)
            if order is None:
                return None
            if order < 0:
                if end == len(old):
                    return None
                before, end = before * old[end][0], end + 1
            else:
                if stop == len(wanted):
                    return None
                after, stop = after * wanted[stop], stop + 1
        for (_, outer), (size, inner) in zip(old[k : end - 1], old[k + 1 : end], strict=True):
            if outer != inner * size:
                return None
        step = old[end - 1][1]
        group: list[Size] = []
        for size in reversed(wanted[j:stop]):
            group.append(step)
            step = step * size
        made += reversed(group)
        k, j = end, stop
    rest = iter(made)
    return tuple(1 if n == 1 else next(rest, 1) for n in target)


def _order(left: Size, right: Size) -> int | None:
    """Which of two sizes is smaller, if that is known or one divides the other."""
    order = compare(left, right)
    if order is None and modulo(right, left) == 0:
        return -1
    if order is None and modulo(left, right) == 0:
        return 1
    return order
