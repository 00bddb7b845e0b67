"""Comparisons, and logic on truth values and bits."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from intaglio._apply import apply, binary
from intaglio._core import Tensor
from intaglio._promote import cast, check_numbers, common, into, pair, wrapped
from intaglio.compiler.dtypes import boolean, int64
from intaglio.compiler.errors import ArgumentError, DTypeError


def _comparison(op: str, text: str) -> Callable[..., Tensor]:
    def call(input: Any, other: Any, *, out: Tensor | None = None) -> Tensor:
        a, b = input, other
        if not (isinstance(a, Tensor) and isinstance(b, Tensor) and a._kind is b._kind):
            a, b = pair(op, input, other, numbers="second")
        made = binary(op, a, b)
        return made if out is None else into(out, made)

    call.__name__ = call.__qualname__ = op
    call.__doc__ = text
    return call


eq = _comparison("eq", "Whether each element equals the other's.")
ne = not_equal = _comparison("ne", "Whether each element differs from the other's.")
lt = less = _comparison("lt", "Whether each element is smaller than the other's.")
le = less_equal = _comparison("le", "Whether each element is not larger than the other's.")
gt = greater = _comparison("gt", "Whether each element is larger than the other's.")
ge = greater_equal = _comparison("ge", "Whether each element is not smaller than the other's.")


def equal(input: Tensor, other: Tensor) -> bool:
    """Whether two tensors have the same shape and elements: a Python bool."""
    return input.shape == other.shape and bool(eq(input, other).all())


def isclose(
    input: Tensor, other: Tensor, rtol: float = 1e-5, atol: float = 1e-8, equal_nan: bool = False
) -> Tensor:
    """|input - other| <= atol + rtol * |other|, and equal infinities."""
    a, b = pair("isclose", input, other, numbers="none")
    for name, bound in (("rtol", rtol), ("atol", atol)):
        if bound < 0:
            raise ArgumentError(f"isclose: {name} is {bound}; it must not be negative")
    same = eq(a, b)
    if a.dtype.kind == "f":
        near = le(abs(a - b), abs(b) * rtol + atol) & (abs(b) < float("inf"))
        same = same | (near & (abs(a) < float("inf")))
        return same | (ne(a, a) & ne(b, b)) if equal_nan else same
    if a.dtype is boolean:
        a, b = cast(a, int64), cast(b, int64)
    return same | le(abs(a - b), abs(b) * rtol + atol)


def allclose(
    input: Tensor, other: Tensor, rtol: float = 1e-5, atol: float = 1e-8, equal_nan: bool = False
) -> bool:
    """Whether all elements are close: a Python bool."""
    return bool(isclose(input, other, rtol, atol, equal_nan).all())


def truth(x: Tensor) -> Tensor:
    """Whether each element is not zero."""
    return x if x._kind.dtype is boolean else ne(x, 0)


def _logic(op: str, name: str, text: str) -> Callable[..., Tensor]:
    def call(input: Any, other: Any) -> Tensor:
        check_numbers(name, (input, other), "none")
        a, b = (truth(x) for x in common(name, (wrapped(input), wrapped(other))))
        return apply(op, (a, b))[0]

    call.__name__ = call.__qualname__ = name
    call.__doc__ = text
    return call


logical_and = _logic("and", "logical_and", "Whether both are true (not zero).")
logical_or = _logic("or", "logical_or", "Whether one is true (not zero).")
logical_xor = _logic("xor", "logical_xor", "Whether exactly one is true (not zero).")


def logical_not(input: Tensor) -> Tensor:
    """Whether each element is zero or false."""
    return apply("not", (truth(input),))[0]


def _bits(op: str, name: str, text: str) -> Callable[..., Tensor]:
    def call(input: Any, other: Any) -> Tensor:
        a, b = pair(name, input, other, numbers="one")
        if a.dtype.kind == "f":
            raise DTypeError(f"{name}: {a._kind} has no bits to combine; integers and bools do")
        return apply(op, (a, b))[0]

    call.__name__ = call.__qualname__ = name
    call.__doc__ = text
    return call


bitwise_and = _bits("and", "bitwise_and", "The bits set in both.")
bitwise_or = _bits("or", "bitwise_or", "The bits set in one or both.")
bitwise_xor = _bits("xor", "bitwise_xor", "The bits set in exactly one.")
bitwise_left_shift = _bits("shl", "bitwise_left_shift", "The bits moved up.")
bitwise_right_shift = _bits("shr", "bitwise_right_shift", "The bits moved down, keeping the sign.")


def bitwise_not(input: Tensor) -> Tensor:
    """All bits inverted; of a bool, the negation."""
    return apply("not", (input,))[0]
