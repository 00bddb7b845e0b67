"""Common dtypes and shapes of operands: torch's category rules, and broadcasting.

A dimensioned tensor outranks a tensor without dimensions, which outranks a Python number, within
one category (bool < integer < float); a higher category wins whoever brings it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cache, wraps
from typing import Any, Final

import numpy as np

from intaglio._apply import apply, constant, full, one
from intaglio._core import Tensor
from intaglio._kind import kind_of
from intaglio._places import share_memory
from intaglio.compiler.dims import Dim, Shape, Size
from intaglio.compiler.dtypes import (
    DType,
    boolean,
    dtype_of,
    float32,
    int16,
    int64,
    uint8,
    uint32,
)
from intaglio.compiler.errors import ArgumentError, DTypeError, ShapeError

_CATEGORY: Final = {"b": 0, "u": 1, "i": 1, "f": 2}
_default: list[DType] = [float32]


def get_default_dtype() -> DType:
    """The dtype of floats made from Python numbers."""
    return _default[0]


def set_default_dtype(dtype: DType) -> None:
    """Let Python floats become tensors of this floating-point dtype from now on."""
    if dtype.kind != "f":
        raise DTypeError(f"set_default_dtype: {dtype} is not a floating-point dtype")
    _default[0] = dtype


@cache
def promote_types(a: DType, b: DType) -> DType:
    """The smallest dtype that holds both, by torch's table."""
    if a is b:
        return a
    ca, cb = _CATEGORY[a.kind], _CATEGORY[b.kind]
    if ca != cb:
        return a if ca > cb else b
    if ca == 2:
        return float32 if a.size == b.size else (a if a.size > b.size else b)
    if a.kind == b.kind:
        return a if a.size > b.size else b
    unsigned, signed = (a, b) if a.kind == "u" else (b, a)
    if unsigned is uint32:
        return int64
    assert unsigned is uint8
    return int16 if signed.size == 1 else signed


def number_dtype(value: Any) -> DType:
    """The dtype of a Python number."""
    if isinstance(value, bool | np.bool_):
        return boolean
    if isinstance(value, int | np.integer):
        return int64
    if isinstance(value, float | np.floating):
        return _default[0]
    raise DTypeError(f"a tensor or a number is wanted, not {type(value).__name__}")


def result_type(*operands: Any) -> DType:
    """The common dtype of tensors and numbers."""
    ranked: list[DType | None] = [None, None, None]  # dimensioned, without dimensions, numbers
    for x in operands:
        if isinstance(x, Tensor):
            place, dtype = (0 if x._kind.rank else 1), x._kind.dtype
        elif isinstance(x, DType):
            place, dtype = 0, x
        else:
            place, dtype = 2, number_dtype(x)
        before = ranked[place]
        ranked[place] = dtype if before is None else promote_types(before, dtype)
    found: DType | None = None
    for dtype_ in reversed(ranked):
        if dtype_ is not None:
            found = dtype_ if found is None else _outrank(dtype_, found)
    assert found is not None
    return found


def _outrank(higher: DType, lower: DType) -> DType:
    return lower if _CATEGORY[lower.kind] > _CATEGORY[higher.kind] else higher


def cast(x: Tensor, dtype: DType) -> Tensor:
    """x in another dtype; x itself when it has it."""
    return x if x._kind.dtype is dtype else one("cast", x, dtype=dtype)


def as_tensor_like(value: Any, dtype: DType, shape: Shape = ()) -> Tensor:
    """A tensor from a tensor, number or array, in this dtype; a number gets this shape."""
    if isinstance(value, Tensor):
        return cast(value, dtype)
    if isinstance(value, np.ndarray):
        return cast(constant(value), dtype)
    if isinstance(value, list | tuple):
        return cast(constant(np.asarray(value)), dtype)
    return full(value, kind_of(dtype, shape))


def fitting(name: str, value: Any, dtype: DType) -> Any:
    """What is to be stored in elements of this dtype: an integer dtype refuses numbers that it does
    not hold; integers below zero wrap in unsigned ones, as in torch."""
    if isinstance(value, int | float) and dtype.kind in "iu":
        bits = 8 * dtype.size - (dtype.kind == "i")
        low = 0 if dtype.kind == "u" and isinstance(value, float) else -(1 << bits)
        if not low <= value < (1 << bits) or (dtype.kind == "u" and value == low < 0):
            raise ArgumentError(f"{name}: {dtype.long_name} does not hold {value}")
    return value


def wrapped(value: Any) -> Any:
    """The operand as a tensor, unless it is a number."""
    if isinstance(value, Tensor):
        return value
    if isinstance(value, np.ndarray):
        dtype_of(value.dtype)
        return constant(value)
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, Dim):
        return size_tensor(value)
    return value


def size_tensor(size: Size) -> Tensor:
    """A size as i64[]."""
    if isinstance(size, int):
        return full(size, kind_of(int64, ()))
    return one("size", value=size)


def broadcast_shapes(*shapes: Sequence[Any]) -> tuple[Any, ...]:
    """The common shape: sizes are matched from the last; only a literal 1 grows. A symbolic size
    that meets another size is taken to be equal to it, which the op then records as a condition."""
    rank = max(map(len, shapes), default=0)
    result: list[Any] = [1] * rank
    for shape in shapes:
        for k, size in enumerate(shape, rank - len(shape)):
            here = result[k]
            if here == size or _is_one(size):
                continue
            if _is_one(here):
                result[k] = size
            elif isinstance(here, int) and isinstance(size, int):
                texts = " and ".join(str(tuple(s)) for s in shapes)
                raise ShapeError(f"broadcasting: the shapes {texts} differ: {here} is not {size}")
            elif isinstance(size, int):
                result[k] = size
    return tuple(result)


def _is_one(size: Any) -> bool:
    return isinstance(size, int) and size == 1


def expand_to(x: Tensor, shape: Shape) -> Tensor:
    """x repeated along missing dims and dims of size 1."""
    own = x._kind.shape
    if own == shape:
        return x
    rank, more = len(shape), len(shape) - len(own)
    if more == 0 and all(a == b or not _is_one(a) for a, b in zip(own, shape, strict=True)):
        return x  # symbolic sizes that the op will hold to be equal
    target = tuple(
        b if k < more or _is_one(own[k - more]) else own[k - more] for k, b in enumerate(shape)
    )
    return apply("expand", (x,), {"shape": target, "axes": tuple(range(more, rank))})[0]


_MAY_BE_NUMBERS: Final = {"both": (), "one": (), "second": (0,), "none": (0, 1)}


def check_numbers(name: str, operands: Sequence[Any], numbers: str) -> None:
    """Raise `DTypeError` where a Python number stands for an operand that torch wants as a tensor:
    `numbers` says which may be one: "both", "one" of them, only the "second", or "none"."""
    if numbers == "both":
        return
    given = [isinstance(x, Tensor | np.ndarray) for x in operands]
    wanted = [k for k in _MAY_BE_NUMBERS[numbers] if not given[k]]
    if wanted or not any(given):
        which = f"the {('first', 'second')[wanted[0]]}" if wanted else "one"
        raise DTypeError(_described(name, f"{which} operand must be a tensor", *operands))


def pair(
    name: str, a: Any, b: Any, dtype: DType | None = None, numbers: str = "both"
) -> tuple[Tensor, Tensor]:
    """Two operands in their common dtype (or the given one) and shape. `numbers`: see
    `check_numbers`."""
    check_numbers(name, (a, b), numbers)
    a, b = wrapped(a), wrapped(b)
    try:
        common = result_type(a, b) if dtype is None else dtype
        if isinstance(a, Tensor) and isinstance(b, Tensor):
            shape: Shape = a._kind.shape
            if b._kind.shape != shape:
                shape = broadcast_shapes(shape, b._kind.shape)
            return expand_to(cast(a, common), shape), expand_to(cast(b, common), shape)
        shape = (
            a._kind.shape
            if isinstance(a, Tensor)
            else b._kind.shape
            if isinstance(b, Tensor)
            else ()
        )
        return as_tensor_like(a, common, shape), as_tensor_like(b, common, shape)
    except (DTypeError, ShapeError) as error:
        raise type(error)(_described(name, error.message, a, b)) from None


def _described(name: str, message: str, *operands: Any) -> str:
    texts = ", ".join(str(x._kind) if isinstance(x, Tensor) else type(x).__name__ for x in operands)
    return f"{name}: {texts}: {message}"


def common(name: str, operands: Sequence[Any], dtype: DType | None = None) -> list[Tensor]:
    """Any number of operands in their common dtype and shape."""
    operands = [wrapped(x) for x in operands]
    wanted = result_type(*operands) if dtype is None else dtype
    try:
        shape = broadcast_shapes(*(x.shape for x in operands if isinstance(x, Tensor)))
    except ShapeError as error:
        raise ShapeError(_described(name, error.message, *operands)) from None
    return [expand_to(as_tensor_like(x, wanted, shape), shape) for x in operands]


def to_float(x: Any) -> Tensor:
    """Operand of a function of real numbers: integers become the default float dtype."""
    if not isinstance(x, Tensor):
        x = wrapped(x)
        if not isinstance(x, Tensor):
            dtype = number_dtype(x)
            return full(x, kind_of(dtype if dtype.kind == "f" else _default[0], ()))
    return x if x._kind.dtype.kind == "f" else one("cast", x, dtype=_default[0])


def float_dtype(dtype: DType) -> DType:
    """The dtype itself if floating, else the default one."""
    return dtype if dtype.kind == "f" else _default[0]


_SPELLINGS: Final = {
    "axis": "dim",
    "keepdims": "keepdim",
    "a": "input",
    "x": "input",
    "axes": "dims",
    "axis1": "dim1",
    "axis2": "dim2",
}


def spelled(function: Callable[..., Any]) -> Callable[..., Any]:
    """Let NumPy's spellings of arguments (`axis`, `keepdims`) be used beside torch's."""

    @wraps(function)
    def accepts(*args: Any, **kwargs: Any) -> Any:
        if kwargs:
            out = kwargs.pop("out", None)
            kwargs = {_SPELLINGS.get(k, k): v for k, v in kwargs.items()}
            if out is not None:
                check_out(function.__name__, out, args)
                return into(out, function(*args, **kwargs))
        return function(*args, **kwargs)

    return accepts


_APART: Final = frozenset({"cat", "concat", "gather", "index_select"})
"""Functions that torch lets read nothing of what `out=` writes."""


def check_out(name: str, out: Any, operands: Sequence[Any]) -> None:
    """Refuse an `out=` of another dtype or with memory of an operand, where torch does."""
    if name not in _APART or not isinstance(out, Tensor):
        return
    read = [x for o in operands for x in (o if isinstance(o, tuple | list) else (o,))]
    for x in read:
        if isinstance(x, Tensor) and share_memory(out._data, x._data):
            raise ArgumentError(
                f"{name}: out= shares memory with an operand, {x._kind}; give another tensor"
            )
    if name in ("gather", "index_select") and out.dtype is not read[0].dtype:
        raise DTypeError(f"{name}: out= is {out._kind}, the result has {read[0].dtype}")


def into(out: Any, result: Any) -> Any:
    """What `out=` does: the result's elements written into the given tensor."""
    from intaglio._inplace import replace, write

    if isinstance(out, tuple | list):
        for o, r in zip(out, result, strict=True):
            into(o, r)
        return out
    if not isinstance(out, Tensor):
        raise ArgumentError(f"out=: a tensor is wanted, not {type(out).__name__}")
    if _CATEGORY[result.dtype.kind] > _CATEGORY[out.dtype.kind]:
        raise DTypeError(f"out=: the result {result._kind} cannot be cast to {out.dtype}")
    if out.shape != result.shape:
        replace(out, cast(result, out.dtype))
        return out
    return write(out, result, "out=")


def stack_nested(data: Any) -> Tensor:
    """Nested lists of numbers and tensors without dimensions as one tensor."""
    if isinstance(data, Tensor):
        return data
    if not isinstance(data, list | tuple):
        return full(data, kind_of(number_dtype(data), ()))
    parts = common("tensor", [stack_nested(x) for x in data])
    wide = [one("reshape", x, shape=(1, *x.shape)) for x in parts]
    return apply("concat", wide, {"axis": 0})[0]
