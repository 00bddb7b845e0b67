"""Finding values: their places in sorted rows, and whether they are among others."""

from __future__ import annotations

from typing import Any

from intaglio._apply import apply, full, one
from intaglio._core import Tensor
from intaglio._functions_movement import reshape
from intaglio._functions_sort import sort
from intaglio._promote import (
    as_tensor_like,
    cast,
    number_dtype,
    promote_types,
    result_type,
    spelled,
    wrapped,
)
from intaglio.compiler.dims import same_shape
from intaglio.compiler.dtypes import DType, float32, int32, int64
from intaglio.compiler.errors import ArgumentError, DTypeError, ShapeError


def _wide(dtype: DType) -> DType:
    """The dtype in which a search compares: the narrow floats' order is that of f32."""
    return float32 if dtype.kind == "f" and dtype.size < 4 else dtype


def _from_the_right(right: bool, side: str | None) -> bool:
    if side is None:
        return bool(right)
    if side not in ("left", "right"):
        raise ArgumentError(f"searchsorted: side is 'left' or 'right', not {side!r}")
    if right and side == "left":
        raise ArgumentError("searchsorted: side='left' and right=True contradict each other")
    return side == "right"


def _sorted_by(rows: Tensor, sorter: Tensor) -> Tensor:
    if sorter.dtype is not int64:
        raise DTypeError(f"searchsorted: sorter {sorter._kind} is not int64")
    if not same_shape(tuple(sorter.shape), tuple(rows.shape)):
        raise ShapeError(
            f"searchsorted: sorter {sorter._kind} has another shape than the rows {rows._kind}"
        )
    return apply("take_along", (rows, sorter), {"axis": rows.ndim - 1})[0]


def _place(rows: Tensor, values: Tensor, right: bool, out_int32: bool) -> Tensor:
    common = _wide(promote_types(rows.dtype, values.dtype))
    made = one("search", cast(rows.detach(), common), cast(values.detach(), common), right=right)
    return cast(made, int32) if out_int32 else made


@spelled
def searchsorted(
    sorted_sequence: Tensor,
    values: Any = None,
    *,
    out_int32: bool = False,
    right: bool = False,
    side: str | None = None,
    sorter: Tensor | None = None,
    input: Any = None,
) -> Tensor:
    """How many elements of a sorted row come before each value; with `right` (or side="right"), how
    many do not come after it: i64, or i32 with `out_int32`.

    sorted_sequence: [n] with values of any shape, or [..., n] with values [..., m]; `sorter` holds
    the order (`argsort`) of rows that are not sorted themselves. NaN comes last. The search halves
    the row; it has no derivative."""
    wanted = wrapped(input if values is None else values)
    from_right = _from_the_right(right, side)
    rows = sorted_sequence if sorter is None else _sorted_by(sorted_sequence, sorter)
    if not isinstance(wanted, Tensor):
        wanted = as_tensor_like(wanted, promote_types(number_dtype(wanted), rows.dtype))
    elif wanted.dtype is not rows.dtype:
        raise DTypeError(
            f"searchsorted: rows {rows._kind} and values {wanted._kind} must have one dtype"
        )
    if rows.ndim == 0:
        raise ShapeError(f"searchsorted: rows {rows._kind} have one dimension at least")
    if rows.ndim > 1 and (
        rows.ndim != wanted.ndim or not same_shape(tuple(rows.shape[:-1]), tuple(wanted.shape[:-1]))
    ):
        raise ShapeError(
            f"searchsorted: rows {rows._kind} and values {wanted._kind} must agree in all sizes but"
            " the last, or the rows be one row"
        )
    return _place(rows, wanted, from_right, out_int32)


@spelled
def bucketize(
    input: Any, boundaries: Tensor, *, out_int32: bool = False, right: bool = False
) -> Tensor:
    """How many boundaries come before each element (or not after it, with `right`); boundaries:
    [n], ascending."""
    if boundaries.ndim != 1:
        raise ShapeError(f"bucketize: boundaries {boundaries._kind} must have one dimension")
    values = wrapped(input)
    if not isinstance(values, Tensor):
        values = as_tensor_like(values, promote_types(number_dtype(values), boundaries.dtype))
    return _place(boundaries, values, bool(right), out_int32)


@spelled
def isin(
    elements: Any, test_elements: Any, *, assume_unique: bool = False, invert: bool = False
) -> Tensor:
    """Whether each element is among the test elements (or is not, with `invert`): bool, in the
    shape of `elements`. NaN is never among others."""
    a, b = wrapped(elements), wrapped(test_elements)
    if not (isinstance(a, Tensor) or isinstance(b, Tensor)):
        raise ArgumentError("isin: give a tensor as elements or test_elements")
    common = _wide(result_type(a, b))
    x, among = as_tensor_like(a, common), as_tensor_like(b, common)
    among = sort(reshape(among.detach(), -1) if among.numel() != 0 else reshape(among, 0)).values
    size = among.shape[0]
    if isinstance(size, int) and size == 0:
        return full(bool(invert), (x != x)._kind)
    place = one("search", among, x.detach(), right=False)
    last = full(0, place._kind) + size - 1
    found = apply("take", (among, apply("minimum", (place, last))[0]), {"axis": 0})[0]
    return found != x if invert else found == x
