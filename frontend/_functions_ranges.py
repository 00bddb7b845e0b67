"""Numbers at even steps, and the identity matrix: `arange`, `linspace`, `logspace`, `eye`."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from intaglio._apply import apply, constant, full as fill, one
from intaglio._core import Array, Tensor
from intaglio._dtype_names import as_dtype
from intaglio._functions_device import on_device
from intaglio._functions_elementwise import trunc, where
from intaglio._kind import kind_of
from intaglio._layouts import creates
from intaglio._promote import cast, get_default_dtype
from intaglio.compiler.dims import Dim
from intaglio.compiler.dtypes import DType, boolean, float64, int64
from intaglio.compiler.errors import ArgumentError, DTypeError, ShapeError


def _made(values: Array, dtype: DType, device: Any, requires_grad: bool) -> Tensor:
    """A fresh tensor of the values where it is wanted."""
    with np.errstate(all="ignore"):
        made = constant(values.astype(dtype.numpy))
    return _placed(made, device, requires_grad)


def _placed(tensor: Tensor, device: Any, requires_grad: bool) -> Tensor:
    made = on_device(tensor, device)
    return made.requires_grad_() if requires_grad else made


@creates
def arange(
    start: Any,
    end: Any = None,
    step: Any = 1,
    *,
    dtype: Any = None,
    device: Any = None,
    requires_grad: bool = False,
) -> Tensor:
    """start, start + step, ... before `end`; integers give int64. `arange(n)` counts from 0, and n
    may be symbolic."""
    if end is None:
        start, end = 0, start
    numbers = [x.item() if isinstance(x, Tensor) else x for x in (start, end, step)]
    start, end, step = numbers
    if any(not isinstance(x, int | float | Dim | np.number) for x in numbers):
        raise ArgumentError(f"arange: numbers are wanted, not {start!r}, {end!r}, {step!r}")
    whole = all(isinstance(x, int | Dim | np.integer) for x in numbers)
    wanted = (int64 if whole else get_default_dtype()) if dtype is None else as_dtype(dtype)
    if wanted is boolean:
        raise DTypeError("arange: bool does not count; take an integer dtype")
    if any(isinstance(x, Dim) for x in numbers):
        if step != 1:
            raise ArgumentError("arange: with a symbolic end the step must be 1")
        counted = one("iota", dtype=int64, shape=(end - start,), axis=0)
        if start != 0:
            counted = apply("add", (counted, fill(start, counted._kind)))[0]
        return on_device(cast(counted, wanted), device)
    if not whole and not all(math.isfinite(x) for x in (start, end, step)):
        raise ArgumentError(f"arange: {start} to {end} in steps of {step} has no end")
    if step == 0 or (end - start) * step < 0:
        raise ArgumentError(f"arange: {start} to {end} is not reached in steps of {step}")
    if wanted is int64 and not whole:
        start, end, step = (int(x) for x in (start, end, step))
        whole = step != 0
    if step == 0:
        raise ArgumentError("arange: the step of int64 is cut to 0")
    count = -((start - end) // step) if whole else math.ceil((end - start) / step)
    if wanted.kind != "f":  # as torch does: the numbers are made integers before they are added up
        start, step = int(start), int(step)
    return _made(np.arange(count) * step + start, wanted, device, requires_grad)


@creates
def range(
    start: Any = 0,
    end: Any = None,
    step: Any = 1,
    *,
    dtype: Any = None,
    device: Any = None,
    requires_grad: bool = False,
) -> Tensor:
    """start, start + step, ... up to and including `end`, as floats (torch keeps this old form
    beside `arange`)."""
    if end is None or step == 0 or (end - start) * step < 0:
        raise ArgumentError(f"range: {start} to {end} is not reached in steps of {step}")
    wanted = get_default_dtype() if dtype is None else as_dtype(dtype)
    count = math.floor((end - start) / step) + 1
    return _made(start + step * np.arange(count), wanted, device, requires_grad)


def _between(name: str, start: Any, end: Any, steps: Any, whole: bool = False) -> Any:
    """`steps` numbers between two numbers in f64: an array, or a tensor where an end is one. The
    first half counts from the start, the second from the end; `whole` ends are made integers."""
    if not hasattr(steps, "__index__") or steps < 0:
        raise ArgumentError(f"{name}: steps is an integer that is not negative, not {steps!r}")
    given = [x for x in (start, end) if isinstance(x, Tensor)]
    count, k = max(steps - 1, 1), np.arange(steps, dtype=np.float64)
    first = k < max(steps // 2, steps == 1)
    if not given:
        a, b = (math.trunc(x) if whole else x for x in (start, end))
        step = (b - a) / count
        return np.where(first, a + step * k, b - step * (count - k))
    if any(x.ndim for x in given):
        raise ShapeError(f"{name}: {given[0]._kind}: start and end have no dimensions")
    a, b = (cast(x, float64) if isinstance(x, Tensor) else _double(x) for x in (start, end))
    if whole:
        a, b = trunc(a), trunc(b)
    step = (b - a) / count
    return where(constant(first), a + step * constant(k), b - step * constant(count - k))


def _double(number: Any) -> Tensor:
    return fill(float(number), kind_of(float64, ()))


@creates
def linspace(
    start: Any,
    end: Any,
    steps: int,
    *,
    dtype: Any = None,
    device: Any = None,
    requires_grad: bool = False,
) -> Tensor:
    """`steps` numbers from `start` to `end`, evenly spaced, both included."""
    wanted = get_default_dtype() if dtype is None else as_dtype(dtype)
    values = _between("linspace", start, end, steps, wanted.kind != "f")
    if isinstance(values, Tensor):
        return _placed(cast(values.detach(), wanted), device, requires_grad)
    return _made(values, wanted, device, requires_grad)


@creates
def logspace(
    start: Any,
    end: Any,
    steps: int,
    base: float = 10.0,
    *,
    dtype: Any = None,
    device: Any = None,
    requires_grad: bool = False,
) -> Tensor:
    """base ** x for `steps` numbers x from `start` to `end`, evenly spaced."""
    wanted = get_default_dtype() if dtype is None else as_dtype(dtype)
    values = _between("logspace", start, end, steps, wanted.kind != "f")
    if isinstance(values, Tensor):
        powers = _double(base) ** values.detach()
        return _placed(cast(powers, wanted), device, requires_grad)
    return _made(np.power(float(base), values), wanted, device, requires_grad)


@creates
def eye(
    n: int,
    m: int | None = None,
    *,
    dtype: Any = None,
    device: Any = None,
    requires_grad: bool = False,
) -> Tensor:
    """Ones on the diagonal of an n x m matrix."""
    m = n if m is None else m
    for size in (n, m):
        if not hasattr(size, "__index__") or size < 0:
            raise ArgumentError(f"eye: a size is an integer that is not negative, not {size!r}")
    wanted = get_default_dtype() if dtype is None else as_dtype(dtype)
    return _made(np.eye(n, m), wanted, device, requires_grad)
