"""What the ops' type rules share: the form of their errors, and checks of dtypes, shapes, axes and
attributes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from intaglio.compiler.dims import Dim, Shape, bounds, holds, same_shape
from intaglio.compiler.dtypes import DType
from intaglio.compiler.errors import ArgumentError, DTypeError, Error, IndexError, ShapeError
from intaglio.compiler.op import Op
from intaglio.compiler.types import TensorType

KINDS: Final = {"f": "floating-point", "i": "signed", "u": "unsigned", "b": "bool"}
"""The kinds of dtypes as messages spell them."""


def refused(kind: type[Error], op: Op, types: Sequence[TensorType], rule: str) -> Error:
    """The error that a broken rule raises: `op: operand types: rule`."""
    return kind(f"{op.name}: {', '.join(map(str, types)) or 'no operands'}: {rule}")


def check_count(op: Op, types: Sequence[TensorType], count: int) -> None:
    """Refuse another number of operands."""
    if len(types) != count:
        raise refused(ArgumentError, op, types, f"it takes {count} operands, not {len(types)}")


def check_kind(op: Op, types: Sequence[TensorType], kinds: str) -> None:
    """Refuse operands whose dtype is of no kind in `kinds`."""
    for type in types:
        if type.dtype.kind not in kinds:
            allowed = " or ".join(KINDS[k] for k in kinds)
            raise refused(DTypeError, op, types, f"{type.dtype} is not {allowed}")


def check_same(op: Op, types: Sequence[TensorType]) -> None:
    """Refuse operands that differ in dtype or shape."""
    first = types[0]
    for type in types[1:]:
        if type.dtype is not first.dtype:
            raise refused(
                DTypeError, op, types, f"the dtypes {first.dtype} and {type.dtype} differ"
            )
        if type.shape != first.shape and not same_shape(first.shape, type.shape):
            raise refused(ShapeError, op, types, "the shapes differ")


def check_size(op: Op, types: Sequence[TensorType], name: str, size: Any) -> None:
    """Refuse what is no size: an integer or a `Dim`, zero at least."""
    if not isinstance(size, int | Dim) or isinstance(size, bool) or bounds(size)[1] < 0:
        raise refused(ShapeError, op, types, f"{name} holds {size!r}, which is no size")


def check_shape(op: Op, types: Sequence[TensorType], shape: Any, name: str = "shape") -> None:
    """Refuse what is not a tuple of sizes."""
    if not isinstance(shape, tuple):
        raise refused(ShapeError, op, types, f"{name} is {shape!r}, not a tuple of sizes")
    for size in shape:
        check_size(op, types, name, size)


def check_per_axis(op: Op, types: Sequence[TensorType], **attributes: Any) -> None:
    """Refuse attributes that do not hold one size per axis of the first operand."""
    for name, value in attributes.items():
        check_shape(op, types, value, name)
        if len(value) != types[0].rank:
            raise refused(
                ShapeError, op, types, f"{name} has {len(value)} entries for rank {types[0].rank}"
            )


def check_axis(op: Op, types: Sequence[TensorType], axis: Any, rank: int) -> None:
    """Refuse an axis outside `0 <= axis < rank`."""
    if not isinstance(axis, int) or isinstance(axis, bool):
        raise refused(ArgumentError, op, types, f"the axis {axis!r} is no integer")
    if not 0 <= axis < rank:
        raise refused(IndexError, op, types, f"the axis {axis} is out of range for rank {rank}")


def check_axes(op: Op, types: Sequence[TensorType], axes: Any, rank: int) -> None:
    """Refuse axes that are not distinct, ascending and in range."""
    if not isinstance(axes, tuple):
        raise refused(ArgumentError, op, types, f"axes is {axes!r}, not a tuple of integers")
    for axis in axes:
        check_axis(op, types, axis, rank)
    if any(a >= b for a, b in zip(axes, axes[1:], strict=False)):
        raise refused(ArgumentError, op, types, f"the axes {axes} are not ascending and distinct")


def check_dtype(op: Op, types: Sequence[TensorType], dtype: Any) -> None:
    """Refuse what is no `DType`."""
    if not isinstance(dtype, DType):
        raise refused(DTypeError, op, types, f"dtype is {dtype!r}, which is no dtype")


def check_not_empty(op: Op, types: Sequence[TensorType], axes: Sequence[int]) -> None:
    """Refuse to reduce over no elements an op that has no value for them."""
    for axis in axes:
        if not holds(1, "<=", types[0].shape[axis]):
            raise refused(
                ShapeError, op, types, f"axis {axis} has no elements, and {self_name(op)} of none"
            )


def self_name(op: Op) -> str:
    """`there is no max`, for messages."""
    return f"there is no {op.name}"


def kept_axes(rank: int, axes: Sequence[int]) -> tuple[int, ...]:
    """The axes that a reduction over `axes` keeps."""
    return tuple(k for k in range(rank) if k not in axes)


def without(shape: Shape, axes: Sequence[int]) -> Shape:
    """The shape with these axes removed."""
    return tuple(s for k, s in enumerate(shape) if k not in axes)
