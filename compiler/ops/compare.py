"""Comparisons, logic and bits, and the choice between two tensors by a third."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

import numpy as np

from intaglio.compiler.dims import same_shape
from intaglio.compiler.dtypes import boolean
from intaglio.compiler.errors import DTypeError, ShapeError
from intaglio.compiler.loop import Expr, Operand, Position, call
from intaglio.compiler.op import Array, Op, Ops, Sample, V
from intaglio.compiler.ops.elementwise import Binary, Unary
from intaglio.compiler.ops.rules import check_count, check_same, refused
from intaglio.compiler.types import TensorType


class Comparison(Binary):
    """Base: any dtype, a bool result; every comparison with NaN but `ne` is false."""

    kinds, exact = "fiub", "fiub"

    def type(self, *types: TensorType) -> TensorType:
        """bool of the operands' shape."""
        return super().type(*types).with_dtype(boolean)

    def reference(self, *arrays: Array) -> Array:
        """NumPy's comparison."""
        return np.asarray(type(self).compute(*arrays), np.bool_)


class Eq(Comparison):
    """a == b; the two zeros are equal."""

    name, compute = "eq", np.equal


class Ne(Comparison):
    """a != b; true for NaN."""

    name, compute = "ne", np.not_equal


class Lt(Comparison):
    """a < b"""

    name, compute = "lt", np.less


class Le(Comparison):
    """a <= b"""

    name, compute = "le", np.less_equal


class Gt(Comparison):
    """a > b"""

    name, compute = "gt", np.greater


class Ge(Comparison):
    """a >= b"""

    name, compute = "ge", np.greater_equal


class And(Binary):
    """Logical and of bools, bitwise and of integers."""

    name, kinds, exact, compute = "and", "biu", "biu", np.bitwise_and


class Or(Binary):
    """Logical or of bools, bitwise or of integers."""

    name, kinds, exact, compute = "or", "biu", "biu", np.bitwise_or


class Xor(Binary):
    """Logical exclusive or of bools, bitwise of integers."""

    name, kinds, exact, compute = "xor", "biu", "biu", np.bitwise_xor


class Not(Unary):
    """Logical not of bools, bitwise complement of integers."""

    name, kinds, exact, compute = "not", "biu", "biu", np.invert

    def simplify(self, g: Any, xs: Sequence[Any], node: Any) -> Any:
        """not not x = x."""
        producer = g.producer(xs[0])
        return producer.inputs[0] if producer is not None and producer.op == self.name else None


class _Shift(Binary):
    """Base of shifts: by less than 0 or by the width and more, everything is shifted out."""

    kinds, exact = "iu", "iu"
    ufunc: ClassVar[Any]

    def reference(self, *arrays: Array) -> Array:
        """NumPy's shift within the width; beyond it 0, or -1 where an arithmetic shift fills with
        the sign."""
        x, by = arrays
        width = x.dtype.itemsize * 8
        inside = (by >= 0) & (by < width)
        filled = np.where(x < 0, -1, 0) if self.name == "shr" else np.zeros_like(x)
        shifted = type(self).ufunc(x, np.where(inside, by, 0).astype(x.dtype))
        return np.asarray(np.where(inside, shifted, filled)).astype(x.dtype)


class Shl(_Shift):
    """x << by"""

    name, ufunc = "shl", np.left_shift


class Shr(_Shift):
    """x >> by; fills with the sign for signed integers."""

    name, ufunc = "shr", np.right_shift


class Where(Op):
    """x where the condition is true, else y: `where(condition: bool, x, y)`, all of one shape."""

    name, exact = "where", "fiub"
    samples = (
        Sample("bool[3,4]", "f64[3,4]", "f64[3,4]"),
        Sample("bool[]", "f32[]", "f32[]"),
        Sample("bool[70]", "i64[70]", "i64[70]"),
        Sample("bool[5]", "bool[5]", "bool[5]"),
        Sample("bool[3]", "u8[3]", "u8[3]"),
        Sample("bool[0,2]", "f32[0,2]", "f32[0,2]"),
        Sample(
            np.array([True, False]), np.array([1.0, np.nan]), np.array([np.nan, np.inf]),
            derivative=False,
        ),
    )  # fmt: skip

    def moves(self, **attributes: Any) -> bool:
        """Elements move."""
        return True

    def type(self, *types: TensorType) -> TensorType:
        """The type of x and y."""
        check_count(self, types, 3)
        if types[0].dtype is not boolean:
            raise refused(DTypeError, self, types, f"the condition is {types[0].dtype}, not bool")
        check_same(self, types[1:])
        if not same_shape(types[0].shape, types[1].shape):
            raise refused(ShapeError, self, types, "the shapes differ")
        return types[1]

    def reference(self, condition: Array, x: Array, y: Array) -> Array:
        """NumPy's where."""
        return np.asarray(np.where(condition, x, y), x.dtype)

    def vjp(
        self,
        g: Ops[V],
        dys: Sequence[V | None],
        ys: Sequence[V],
        xs: Sequence[V],
        needs: Sequence[bool],
    ) -> Sequence[V | None]:
        """dy on the chosen side, zero on the other."""
        dy, condition = dys[0], xs[0]
        if dy is None or not g.type_of(xs[1]).dtype.is_floating_point:
            return [None, None, None]
        zero = g.like(0.0, dy)
        return [
            None,
            g.where(condition, dy, zero) if needs[1] else None,
            g.where(condition, zero, dy) if needs[2] else None,
        ]

    def jvp(
        self, g: Ops[V], dxs: Sequence[V | None], xs: Sequence[V], ys: Sequence[V]
    ) -> Sequence[V | None]:
        """The choice between the tangents."""
        if dxs[1] is None and dxs[2] is None:
            return [None]
        dx, dy = (g.like(0.0, ys[0]) if d is None else d for d in dxs[1:])
        return [g.where(xs[0], dx, dy)]

    def element(self, index: tuple[Position, ...], c: Operand, x: Operand, y: Operand) -> Expr:
        """A select."""
        return call("select", c(*index), x(*index), y(*index))

    def simplify(self, g: Any, xs: Sequence[Any], node: Any) -> Any:
        """A constant condition or equal sides decide."""
        known = g.number_of(xs[0])
        if known is not None:
            return xs[1] if known else xs[2]
        return xs[1] if xs[1] is xs[2] else None
