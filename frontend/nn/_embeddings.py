"""Rows of a table by position, one by one or joined by bags."""

from __future__ import annotations

import intaglio as ig
from intaglio._halves import widened
from intaglio._scope import entered
from intaglio._tensor import Tensor
from intaglio.compiler.errors import ArgumentError, DTypeError, ShapeError

Tensors = tuple[Tensor, ...]


def _scaled_forward(rows: Tensor, scale: Tensor) -> Tensor:
    return rows * 1.0


def _scaled_backward(xs: Tensors, ys: Tensors, dys: Tensors) -> tuple[Tensor, None]:
    return dys[0] * xs[1], None


_with_scaled_derivative = ig.custom_vjp(_scaled_forward, _scaled_backward)


def _checked_table(name: str, weight: Tensor, input: Tensor) -> None:
    if weight.ndim != 2:
        raise ShapeError(f"{name}: the weight {weight._kind}: [n, d] is wanted")
    if input.dtype.kind not in "iu":
        raise DTypeError(f"{name}: the positions {input._kind} are not integers")


def _padding(name: str, weight: Tensor, padding_idx: int | None) -> int | None:
    """The padding row counted from the front."""
    if padding_idx is None:
        return None
    count = weight.shape[0]
    if isinstance(count, int) and not -count <= padding_idx < count:
        raise ArgumentError(f"{name}: padding_idx {padding_idx} is not one of {count} rows")
    return padding_idx if padding_idx >= 0 else count + padding_idx


def _uses(weight: Tensor, input: Tensor) -> Tensor:
    """How often each row is named: i64[n]."""
    flat = input.reshape(-1).to(ig.int64)
    zeros = ig.zeros((weight.shape[0],), dtype=ig.int64, device=weight.device)
    return zeros.index_add(0, flat, ig.ones_like(flat))


def _renormalize(weight: Tensor, input: Tensor, max_norm: float, norm_type: float) -> None:
    """Shorten, in place, the rows in use that are longer than `max_norm`."""
    with ig.no_grad():
        length = ig.norm(weight.detach(), float(norm_type), 1)
        long = (length > max_norm) & (_uses(weight, input) > 0)
        scale = ig.where(long, max_norm / (length + 1e-7), 1.0)
        weight.copy_(weight * scale.unsqueeze(1))


def _rows(weight: Tensor, input: Tensor, padding: int | None, by_freq: bool) -> Tensor:
    """The named rows; none of the padding row's use reaches the derivative."""
    if padding is not None:
        keep = (ig.arange(weight.shape[0], device=weight.device) != padding).unsqueeze(1)
        weight = ig.where(keep, weight, weight.detach())
    rows = ig.take_rows(weight, input)
    if not by_freq:
        return rows
    scale = 1.0 / ig.take_rows(_uses(weight, input), input).to(rows.dtype)
    scaled: Tensor = _with_scaled_derivative(rows, scale.unsqueeze(-1).expand(*rows.shape))
    return scaled


def embedding(
    input: Tensor,
    weight: Tensor,
    padding_idx: int | None = None,
    max_norm: float | None = None,
    norm_type: float = 2.0,
    scale_grad_by_freq: bool = False,
    sparse: bool = False,
) -> Tensor:
    """Rows of `weight` ([n, d]) at the integer positions `input` ([...]); the result is [..., d].

    The row `padding_idx` gets no gradient. Rows in use that are longer than `max_norm` are
    shortened in place first. `scale_grad_by_freq` divides a row's gradient by how often it is used.
    Gradients are dense whatever `sparse` says. Raises `IndexError` for a position outside 0 to
    n - 1."""
    _checked_table("embedding", weight, input)
    padding = _padding("embedding", weight, padding_idx)
    with entered("embedding"):
        if max_norm is not None:
            _renormalize(weight, input, max_norm, norm_type)
        return _rows(weight, input, padding, scale_grad_by_freq)


def embedding_bag(
    input: Tensor,
    weight: Tensor,
    offsets: Tensor | None = None,
    max_norm: float | None = None,
    norm_type: float = 2,
    scale_grad_by_freq: bool = False,
    mode: str = "mean",
    sparse: bool = False,
    per_sample_weights: Tensor | None = None,
    include_last_offset: bool = False,
    padding_idx: int | None = None,
) -> Tensor:
    """The `sum`, `mean` or `max` of the rows of `weight` ([n, d]) that each bag names: [bags, d].

    input: i64[bags, l], or i64[total] with `offsets`, where each bag starts (and, with
    `include_last_offset`, where the last one ends). Empty bags give zeros. Uses of the row
    `padding_idx` do not count. `per_sample_weights`, of the input's shape, are for sums. Other
    arguments as in `embedding`. The former order of arguments, the weight first, is taken too."""
    if weight.dtype is ig.int64 and input.dtype.kind == "f":
        input, weight = weight, input
    _checked_table("embedding_bag", weight, input)
    _check_bag(input, offsets, mode, scale_grad_by_freq, sparse, per_sample_weights)
    padding = _padding("embedding_bag", weight, padding_idx)
    with entered("embedding_bag"):
        if max_norm is not None:
            _renormalize(weight, input, max_norm, norm_type)
        rows = widened(_rows(weight, input, None, scale_grad_by_freq))
        if per_sample_weights is not None:
            rows = rows * per_sample_weights.unsqueeze(-1)
        counted = (input == input) if padding is None else (input != padding)
        counted = counted.unsqueeze(-1)
        if offsets is None:
            return _fixed_bags(rows, counted, mode).to(weight.dtype)
        return _bags(rows, counted, offsets, include_last_offset, mode).to(weight.dtype)


def _check_bag(
    input: Tensor,
    offsets: Tensor | None,
    mode: str,
    by_freq: bool,
    sparse: bool,
    weights: Tensor | None,
) -> None:
    if input.ndim not in (1, 2):
        raise ShapeError(f"embedding_bag: {input._kind}: [bags, l] or [total] is wanted")
    if (input.ndim == 1) != (offsets is not None) or (offsets is not None and offsets.ndim != 1):
        raise ShapeError(
            f"embedding_bag: {input._kind}: one dimension takes offsets [bags], two take none"
        )
    if mode not in ("sum", "mean", "max"):
        raise ArgumentError(f"embedding_bag: mode is 'sum', 'mean' or 'max', not {mode!r}")
    if mode == "max" and (by_freq or sparse):
        raise ArgumentError("embedding_bag: 'max' takes neither scale_grad_by_freq nor sparse")
    if weights is None:
        return
    if mode != "sum":
        raise ArgumentError(f"embedding_bag: per_sample_weights go with 'sum', not {mode!r}")
    if tuple(weights.shape) != tuple(input.shape):
        raise ShapeError(
            f"embedding_bag: per_sample_weights {weights._kind} have not the shape of {input._kind}"
        )


def _fixed_bags(rows: Tensor, counted: Tensor, mode: str) -> Tensor:
    """rows: [bags, l, d]; counted: [bags, l, 1]."""
    if mode == "max":
        top = ig.max(ig.where(counted, rows, float("-inf")), 1)[0]
        return ig.where(ig.any(counted, 1), top, 0.0)
    total = ig.where(counted, rows, 0.0).sum(1)
    if mode == "sum":
        return total
    return total / counted.to(ig.int64).sum(1).clamp(min=1).to(rows.dtype)


def _bags(rows: Tensor, counted: Tensor, offsets: Tensor, last: bool, mode: str) -> Tensor:
    """rows: [total, d] joined by the bag that each position lies in."""
    if last:
        offsets = offsets[:-1]
    places = ig.arange(rows.shape[0]).to(offsets.dtype)
    bag = ig.searchsorted(offsets, places, right=True).to(ig.int64) - 1
    shape = (offsets.shape[0], rows.shape[1])
    zeros = ig.zeros(shape, dtype=rows.dtype, device=rows.device)
    if mode == "max":
        kept = ig.where(counted, rows, float("-inf"))
        wide = bag.unsqueeze(1).expand(*rows.shape)
        lowest = ig.full(shape, float("-inf"), dtype=rows.dtype, device=rows.device)
        top = ig.scatter_reduce(lowest, 0, wide, kept, "amax")
        return ig.where(top == float("-inf"), 0.0, top)
    total = zeros.index_add(0, bag, ig.where(counted, rows, 0.0))
    if mode == "sum":
        return total
    empty = ig.zeros((shape[0],), dtype=ig.int64, device=rows.device)
    count = empty.index_add(0, bag, counted.squeeze(1).to(ig.int64))
    return total / count.clamp(min=1).to(rows.dtype).unsqueeze(1)
