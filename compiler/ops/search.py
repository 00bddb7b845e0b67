"""Finding places in sorted rows: `search`.

A value's place is found by halving. The steps are powers of two, the largest first: a step is taken
if it stays within the row and the element before the place that it leads to comes before the value.
In a row that is not in order the answer means nothing, and is the same everywhere."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar, Final

import numpy as np

from intaglio.compiler.dims import Size, bounds, same_shape
from intaglio.compiler.dtypes import int64
from intaglio.compiler.errors import ArgumentError, DTypeError, ShapeError
from intaglio.compiler.loop import Expr, Index, Operand, Position, call, number
from intaglio.compiler.op import Array, Op, Ops, Sample, V
from intaglio.compiler.ops.rules import check_count, refused
from intaglio.compiler.types import TensorType

LONGEST: Final = 40
"""Steps for a row of unknown length: more elements have no place in memory."""


def step_count(size: Size) -> int:
    """How many steps reach every place in a row of this size."""
    return min(max(bounds(size)[1], 0).bit_length(), LONGEST)


_ROWS = np.array([[0.0, 1.0, 1.0, 2.5], [-3.0, 0.0, np.inf, np.nan]])
_WANTED = np.array([[1.0, -0.5, 9.0, 2.5, np.nan, 0.0], [np.inf, np.nan, -4.0, 0.0, -0.0, 7.0]])


class Search(Op):
    """How many elements of a sorted row come before each value; with `right`, how many do not come
    after it. NaN comes after every number. rows: [n] for values of any shape, or [..., n] for
    values [..., m] with the same leading sizes; the result is i64 of the values' shape."""

    name, exact = "search", "fiub"
    count: ClassVar[int] = 2
    samples = tuple(
        Sample(*operands, right=right, derivative=False)
        for right in (False, True)
        for operands in (
            (_ROWS, _WANTED),
            (_ROWS.astype(np.float32), _WANTED.astype(np.float32)),
            (np.arange(100) // 3, np.arange(-5, 50).reshape(5, 11)),
            (np.array([False, True, True]), np.array([True, False])),
            (np.zeros((0,), np.float32), _WANTED.astype(np.float32)),
            (np.arange(7, dtype=np.uint8), np.array(3, np.uint8)),
        )
    )

    def type(self, *types: TensorType, right: bool) -> TensorType:
        """The shape of the values, in i64."""
        check_count(self, types, self.count)
        rows, values = types
        if rows.dtype is not values.dtype:
            raise refused(DTypeError, self, types, "rows and values differ in dtype")
        if rows.rank == 0:
            raise refused(ShapeError, self, types, "rows have one dimension at least")
        if rows.rank > 1 and (
            rows.rank != values.rank or not same_shape(rows.shape[:-1], values.shape[:-1])
        ):
            raise refused(ShapeError, self, types, "rows and values differ before their last sizes")
        if not isinstance(right, bool):
            raise refused(ArgumentError, self, types, f"right is {right!r}, not a bool")
        return TensorType(int64, values.shape)

    def reference(self, rows: Array, values: Array, *, right: bool) -> Array:
        """All values halve their ranges together."""
        size = rows.shape[-1]
        place = np.zeros(values.shape, np.int64)
        if size == 0:
            return place
        for k in reversed(range(step_count(size))):
            far = place + (1 << k)
            at = np.minimum(far, size) - 1
            found = rows[at] if rows.ndim == 1 else np.take_along_axis(rows, at, -1)
            place = np.where((far <= size) & _comes_before(found, values, right), far, place)
        return place

    def vjp(
        self,
        g: Ops[V],
        dys: Sequence[V | None],
        ys: Sequence[V],
        xs: Sequence[V],
        needs: Sequence[bool],
        **attributes: Any,
    ) -> Sequence[V | None]:
        """A place has no derivative."""
        return [None, None]

    def jvp(
        self,
        g: Ops[V],
        dxs: Sequence[V | None],
        xs: Sequence[V],
        ys: Sequence[V],
        **attributes: Any,
    ) -> Sequence[V | None]:
        """A place has no tangent."""
        return [None]

    def element(
        self, index: tuple[Position, ...], rows: Operand, values: Operand, *, right: bool
    ) -> Expr:
        """The steps, written out; nothing beyond the row is read."""
        value = values(*index)
        lead = index[: rows.type.rank - 1]
        size = rows.type.shape[-1]
        place: Expr = number(0, int64)
        one = number(1, int64)
        for k in reversed(range(step_count(size))):
            far = call("add", place, number(1 << k, int64))
            inside = call("le", far, Index(size))
            found = rows.where(inside, *lead, call("sub", far, one))
            before: Expr = call("le" if right else "lt", found, value)
            if value.dtype.kind == "f":
                before = _with_nan(before, found, value, right)
            place = call("select", call("and", inside, before), far, place)
        return place


def _comes_before(found: Array, value: Array, right: bool) -> Array:
    with np.errstate(invalid="ignore"):
        before = found <= value if right else found < value
    if value.dtype.kind != "f":
        return np.asarray(before)
    return np.asarray(before | ((value != value) & (True if right else found == found)))


def _with_nan(before: Expr, found: Expr, value: Expr, right: bool) -> Expr:
    last = call("ne", value, value)
    if not right:
        last = call("and", last, call("eq", found, found))
    return call("or", before, last)
