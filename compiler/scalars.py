"""Scalar expressions that are written as NumPy code: what the author of an elementwise op computes.

A function such as `lambda x: x / (1 + np.exp(-1.7 * x))` is run once on `Scalar`s. Python's
operators, NumPy's ufuncs and `np.where` on them make expressions of the loop IR, by the element
rules of the ops that stand for these ufuncs: whatever op has a NumPy ufunc as its meaning can be
used. So the same function is kernel in C and CUDA, meaning in NumPy and, as ops, derivative."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from typing import Any, Final

import numpy as np

from intaglio.compiler.dtypes import DType, boolean, dtype_of, float32
from intaglio.compiler.errors import ArgumentError, DTypeError, TraceError
from intaglio.compiler.loop import Call, Const, Expr, Local, Operand, call, cast
from intaglio.compiler.op import OPS, Ops, V, op_named, result_types
from intaglio.compiler.types import TensorType

ALIASES: Final = {
    "true_divide": "div",
    "power": "pow",
    "float_power": "pow",
    "fabs": "abs",
    "rint": "round",
    "around": "round",
    "floor_divide": "floordiv",
    "remainder": "floormod",
    "logical_and": "and",
    "logical_or": "or",
    "logical_xor": "xor",
    "logical_not": "not",
    "left_shift": "shl",
    "right_shift": "shr",
    "expit": "sigmoid",
    "gammaln": "lgamma",
    "psi": "digamma",
}
"""NumPy's and SciPy's names for ops that are called otherwise."""
LOGICAL: Final = frozenset({"logical_and", "logical_or", "logical_xor", "logical_not"})


def _operator(ufunc: Any, swapped: bool = False) -> Callable[[Scalar, Any], Any]:
    """An operator of Python's as a ufunc."""

    def operate(self: Scalar, other: Any) -> Any:
        return by_ufunc(ufunc, (other, self) if swapped else (self, other))

    return operate


class Scalar:
    """One element, as an expression. Arithmetic with Python numbers keeps its dtype."""

    __slots__ = ("expr",)
    __array_priority__ = 1000.0

    def __init__(self, expr: Expr) -> None:
        self.expr = expr

    @property
    def dtype(self) -> np.dtype[Any]:
        """The element's NumPy dtype."""
        return self.expr.dtype.numpy

    def astype(self, dtype: Any) -> Scalar:
        """The element in another dtype."""
        wanted = dtype if isinstance(dtype, DType) else dtype_of(np.dtype(dtype))
        return Scalar(cast(self.expr, wanted))

    def __array_ufunc__(self, ufunc: Any, method: str, *inputs: Any, **options: Any) -> Any:
        if method != "__call__" or options:
            raise ArgumentError(f"element: np.{ufunc.__name__} is called on elements alone here")
        return by_ufunc(ufunc, inputs)

    def __array_function__(
        self, function: Any, types: Any, args: Sequence[Any], options: Mapping[str, Any]
    ) -> Any:
        made = _FUNCTIONS.get(function.__name__)
        if made is None:
            raise ArgumentError(
                f"element: np.{function.__name__} can't be used on one element; operators, ufuncs, "
                "np.where and np.clip can"
            )
        return made(*args, **options)

    def __bool__(self) -> bool:
        raise TraceError(
            "element: `if`, `and`, `or` and `while` would decide for all elements at once; "
            "write np.where(condition, a, b), `&` and `|`"
        )

    def __float__(self) -> float:
        raise TraceError("element: an element has no value yet; write it with NumPy's ufuncs")

    __int__ = __index__ = __float__

    __add__, __radd__ = _operator(np.add), _operator(np.add, True)
    __sub__, __rsub__ = _operator(np.subtract), _operator(np.subtract, True)
    __mul__, __rmul__ = _operator(np.multiply), _operator(np.multiply, True)
    __truediv__, __rtruediv__ = _operator(np.true_divide), _operator(np.true_divide, True)
    __floordiv__, __rfloordiv__ = _operator(np.floor_divide), _operator(np.floor_divide, True)
    __mod__, __rmod__ = _operator(np.remainder), _operator(np.remainder, True)
    __and__, __rand__ = _operator(np.bitwise_and), _operator(np.bitwise_and, True)
    __or__, __ror__ = _operator(np.bitwise_or), _operator(np.bitwise_or, True)
    __xor__, __rxor__ = _operator(np.bitwise_xor), _operator(np.bitwise_xor, True)
    __lshift__, __rlshift__ = _operator(np.left_shift), _operator(np.left_shift, True)
    __rshift__, __rrshift__ = _operator(np.right_shift), _operator(np.right_shift, True)
    __rpow__ = _operator(np.power, True)
    __lt__ = _operator(np.less)
    __le__ = _operator(np.less_equal)
    __gt__ = _operator(np.greater)
    __ge__ = _operator(np.greater_equal)
    __eq__ = _operator(np.equal)
    __ne__ = _operator(np.not_equal)
    __hash__ = object.__hash__

    def __pow__(self, power: Any) -> Scalar:
        if isinstance(power, int) and not isinstance(power, bool) and 1 <= power <= 4:
            made = self
            for _ in range(power - 1):
                made = by_ufunc(np.multiply, (made, self))
            return made
        return by_ufunc(np.power, (self, power))

    def __neg__(self) -> Scalar:
        return by_ufunc(np.negative, (self,))

    def __pos__(self) -> Scalar:
        return self

    def __abs__(self) -> Scalar:
        return by_ufunc(np.absolute, (self,))

    def __invert__(self) -> Scalar:
        return by_ufunc(np.invert, (self,))


# -------------------------------------------------------------------------------------- functions


@lru_cache(maxsize=4)
def _by_meaning(count: int) -> dict[Any, str]:
    """The ops whose meaning is a ufunc, by it; `count` ops are registered."""
    found: dict[Any, str] = {}
    for name, rule in OPS.items():
        meaning = getattr(rule, "compute", None)
        if isinstance(meaning, np.ufunc) and rule.element is not None and "::" not in name:
            found.setdefault(meaning, name)
    return found


def by_ufunc(ufunc: Any, inputs: Sequence[Any]) -> Scalar:
    """What a ufunc makes of elements and numbers."""
    op_named("add")
    composed = _COMPOSED.get(ufunc.__name__)
    if composed is not None:
        made: Scalar = composed(*inputs)
        return made
    name = _by_meaning(len(OPS)).get(ufunc) or ALIASES.get(ufunc.__name__, ufunc.__name__)
    if name not in OPS or OPS[name].element is None:
        raise ArgumentError(f"element: there is no kernel for the ufunc {ufunc.__name__}")
    operands = alike(ufunc.__name__, inputs)
    if ufunc.__name__ in LOGICAL and any(o.expr.dtype is not boolean for o in operands):
        raise DTypeError(f"element: {ufunc.__name__} takes bool elements: write x != 0")
    return _applied(name, operands)


def _applied(name: str, operands: Sequence[Scalar]) -> Scalar:
    """The element rule of an op."""
    rule: Any = op_named(name)
    types = [TensorType(o.expr.dtype, ()) for o in operands]
    result_types(rule, types, {})
    given = [_operand(o.expr, t) for o, t in zip(operands, types, strict=True)]
    return Scalar(rule.element((), *given))


def _operand(expr: Expr, type: TensorType) -> Operand:
    return Operand(type, lambda index, guard: expr)


def alike(name: str, inputs: Sequence[Any]) -> list[Scalar]:
    """Elements in their common dtype, numbers as constants of it."""
    dtypes = [x.expr.dtype for x in inputs if isinstance(x, Scalar)]
    common = dtypes[0]
    for other in dtypes[1:]:
        common = _joined(common, other)
    return [
        x.astype(common) if isinstance(x, Scalar) else Scalar(_number(name, x, common))
        for x in inputs
    ]


def _joined(a: DType, b: DType) -> DType:
    if a is b or b is boolean:
        return a
    if a is boolean:
        return b
    if a.kind == b.kind == "f":
        return float32 if a.size == b.size else max(a, b, key=lambda d: d.size)
    if "f" in (a.kind, b.kind):
        return a if a.kind == "f" else b
    return dtype_of(np.promote_types(a.numpy, b.numpy))


def _number(name: str, value: Any, dtype: DType) -> Const:
    if isinstance(value, np.generic | np.ndarray) and np.ndim(value) == 0:
        value = value.item()
    if not isinstance(value, bool | int | float):
        raise DTypeError(
            f"element: {name}: an element or a number is wanted, not {type(value).__name__}"
        )
    if dtype is boolean and not isinstance(value, bool):
        raise DTypeError(f"element: {name}: a bool and the number {value}; write x.astype(...)")
    if dtype.kind in "iu" and isinstance(value, float):
        raise DTypeError(
            f"element: {name}: {dtype} and the number {value}; write x.astype(np.float32)"
        )
    return Const(float(value) if dtype.kind == "f" else value, dtype)


def _where(condition: Any, a: Any, b: Any) -> Scalar:
    if not isinstance(condition, Scalar) or condition.expr.dtype is not boolean:
        raise DTypeError("element: np.where takes a condition, such as x > 0")
    if not isinstance(a, Scalar) and not isinstance(b, Scalar):
        raise DTypeError(
            "element: np.where of two numbers has no dtype; write one as np.where(c, x * 0 + 1, 2)"
        )
    first, second = alike("np.where", (a, b))
    return Scalar(call("select", condition.expr, first.expr, second.expr))


def _clip(x: Any, a_min: Any = None, a_max: Any = None) -> Any:
    x = x if a_min is None else by_ufunc(np.maximum, (x, a_min))
    return x if a_max is None else by_ufunc(np.minimum, (x, a_max))


def _is_inf(x: Any) -> Any:
    return by_ufunc(np.equal, (by_ufunc(np.absolute, (x,)), float("inf")))


_FUNCTIONS: Final[dict[str, Callable[..., Any]]] = {"where": _where, "clip": _clip}
_COMPOSED: Final[dict[str, Callable[..., Any]]] = {
    "square": lambda x: by_ufunc(np.multiply, (x, x)),
    "positive": lambda x: x,
    "isnan": lambda x: by_ufunc(np.not_equal, (x, x)),
    "isinf": _is_inf,
    "isfinite": lambda x: by_ufunc(np.less, (by_ufunc(np.absolute, (x,)), float("inf"))),
    "clip": _clip,
}
"""Ufuncs that stand for more than one op."""


# ------------------------------------------------------------------------------- whole expressions


def element_of(
    function: Callable[..., Any], elements: Sequence[Expr], attributes: Mapping[str, Any]
) -> Expr:
    """What a function makes of elements, as an expression."""
    made = function(*map(Scalar, elements), **attributes)
    if isinstance(made, Scalar):
        return made.expr
    if isinstance(made, bool | int | float) and elements:
        return _number("the result", made, elements[0].dtype)
    raise ArgumentError(f"element: one element is wanted, not {type(made).__name__}")


def as_ops(g: Ops[V], expr: Expr, leaves: Mapping[Expr, V], like: TensorType) -> V:
    """An expression as ops on whole values: its locals are `leaves`, each call is the op of the
    same name. `like` tells the shape of constants."""
    known: dict[Expr, V] = dict(leaves)

    def made(part: Expr) -> V:
        if part not in known:
            known[part] = fresh(part)
        return known[part]

    def fresh(part: Expr) -> V:
        if isinstance(part, Const):
            return g.full(part.value, part.dtype, like.shape)
        if not isinstance(part, Call):
            raise ArgumentError(f"element: a {type(part).__name__} is no op")
        operands = [made(a) for a in part.arguments]
        if part.function == "cast":
            return g.apply("cast", operands, {"dtype": part.dtype})[0]
        return g.apply("where" if part.function == "select" else part.function, operands)[0]

    return made(expr)


def locals_of(types: Sequence[TensorType]) -> list[Expr]:
    """A variable for an element of each type."""
    return [Local(t.dtype) for t in types]
