"""Composites on short floats: computed in f32 and rounded once, as an op is.

A composite of several ops would round f16 and bf16 after each of them. `rounded_once` makes a
function take such tensors as f32 and give its results back in their dtype; derivatives go the same
way, since the conversions have derivatives."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Any, ParamSpec, TypeVar, cast as typed, overload

from intaglio._core import Tensor
from intaglio._promote import cast, result_type
from intaglio.compiler.dtypes import DType, float32

P = ParamSpec("P")
R = TypeVar("R")


def rounded_once(function: Callable[P, R]) -> Callable[P, R]:
    """The function, in f32 for short floats. Its results are tensors, or tuples of them; those of
    f32 are rounded to the common dtype of the tensors given, if that is a short float."""

    @wraps(function)
    def computed(*args: P.args, **options: P.kwargs) -> R:
        for x in args:
            if isinstance(x, Tensor) and x._kind.dtype.is_half:
                break
        else:
            if not options or not any(_is_half(x) for x in options.values()):
                return function(*args, **options)
        if options.get("dtype") is not None:  # which is then that of the results
            return function(*args, **options)
        given = [x for x in (*args, *options.values()) if isinstance(x, Tensor)]
        dtype = result_type(*given)
        wide: Any = [_as_f32(x) for x in args]
        named: Any = {name: _as_f32(x) for name, x in options.items()}
        made: Any = function(*wide, **named)
        return typed(R, _narrow(made, dtype)) if dtype.is_half else typed(R, made)

    return computed


@overload
def widened(x: Tensor) -> Tensor: ...


@overload
def widened(x: None) -> None: ...


def widened(x: Tensor | None) -> Tensor | None:
    """A short float's tensor as f32; another, and nothing, as it is."""
    wide: Tensor | None = _as_f32(x)
    return wide


def _is_half(x: Any) -> bool:
    return isinstance(x, Tensor) and x._kind.dtype.is_half


def _as_f32(x: Any) -> Any:
    return cast(x, float32) if _is_half(x) else x


def _narrow(made: Any, dtype: DType) -> Any:
    """Results of f32 in the dtype wanted."""
    if isinstance(made, Tensor):
        return cast(made, dtype) if made._kind.dtype is float32 else made
    if isinstance(made, tuple):
        parts = [_narrow(x, dtype) for x in made]
        return type(made)(*parts) if hasattr(made, "_fields") else tuple(parts)
    return made
