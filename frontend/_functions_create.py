"""Functions that make tensors from numbers, lists, arrays and other libraries' tensors."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

import intaglio._methods as _methods
from intaglio._apply import apply, constant, full as fill, one
from intaglio._core import Array, Tensor, from_array, wrap
from intaglio._dtype_names import as_dtype
from intaglio._functions_device import on_device
from intaglio._functions_movement import sizes
from intaglio._kind import kind_of, kind_of_array
from intaglio._modes import modes
from intaglio._promote import cast, get_default_dtype, number_dtype, stack_nested
from intaglio.compiler.dims import Dim
from intaglio.compiler.dtypes import DType, dtype_of, int64
from intaglio.compiler.errors import ArgumentError, ShapeError
from intaglio.runtime.device.array import CUDA, DeviceArray

_methods.attach()


def _made(tensor: Tensor, device: Any, requires_grad: bool) -> Tensor:
    """A fresh tensor where it is wanted."""
    made = on_device(tensor, device)
    return made.requires_grad_() if requires_grad else made


def _array_of(data: Any, dtype: DType | None) -> Array:
    """A fresh array of Python data, with torch's choice of dtype."""
    if isinstance(data, np.ndarray | np.generic):
        array = np.array(data, copy=True)
    else:
        array = np.array(data)
        if array.dtype == np.float64:
            array = array.astype(get_default_dtype().numpy)
        if array.dtype == object:
            raise ShapeError(
                "tensor: the nested lists have rows of different lengths, or no numbers"
            )
        if array.size == 0 and dtype is None:
            array = array.astype(get_default_dtype().numpy)
    if not array.dtype.isnative:
        array = array.astype(array.dtype.newbyteorder("="))
    if dtype is not None and array.dtype != dtype.numpy:
        source = np.array(data, dtype=np.float64) if _wants_wide(data, dtype) else array
        array = source.astype(dtype.numpy)
    dtype_of(array.dtype)
    return array


def _wants_wide(data: Any, dtype: DType) -> bool:
    return dtype.kind == "f" and not isinstance(data, np.ndarray | np.generic)


def tensor(
    data: Any,
    dtype: Any = None,
    *,
    device: Any = None,
    requires_grad: bool = False,
    pin_memory: bool = False,
) -> Tensor:
    """A new tensor with a copy of the data: numbers, nested lists, an array, a tensor. Python
    floats become float32, integers int64; arrays keep their dtype."""
    wanted = None if dtype is None else as_dtype(dtype)
    if isinstance(data, Tensor):
        made = data.detach().clone()
        made = made if wanted is None else cast(made, wanted)
    elif isinstance(data, list | tuple) and _holds_tensors(data):
        made = stack_nested(data)
        made = (made if wanted is None else cast(made, wanted)).detach()
    elif isinstance(data, Dim):
        made = _methods.size_tensor(data)
    else:
        made = constant(_array_of(data, wanted))
    return _made(made, device, requires_grad)


def _holds_tensors(data: Any) -> bool:
    if isinstance(data, list | tuple):
        return any(_holds_tensors(x) for x in data)
    return isinstance(data, Tensor)


def as_float_tensor(data: Any) -> Tensor:
    """What `Tensor(data)` makes: the data in the default float dtype."""
    return tensor(data, get_default_dtype())


def as_tensor(data: Any, dtype: Any = None, device: Any = None) -> Tensor:
    """The data as a tensor, sharing memory where it is an array or a tensor of this dtype."""
    wanted = None if dtype is None else as_dtype(dtype)
    if isinstance(data, Tensor):
        return on_device(data if wanted is None else cast(data, wanted), device)
    if isinstance(data, np.ndarray):
        made = from_numpy(data)
        return on_device(made if wanted is None else cast(made, wanted), device)
    if isinstance(data, DeviceArray):
        made = from_array(data)
        return on_device(made if wanted is None else cast(made, wanted), device)
    return tensor(data, wanted, device=device)


asarray = as_tensor


def from_numpy(array: Array) -> Tensor:
    """A tensor that shares the array's memory: writes to one are seen in the other."""
    if not isinstance(array, np.ndarray):
        raise ArgumentError(f"from_numpy: an ndarray is wanted, not {type(array).__name__}")
    if not array.dtype.isnative:
        raise ArgumentError(
            f"from_numpy: the array's byte order {array.dtype.str} is not this machine's; "
            'convert it with array.astype(array.dtype.newbyteorder("="))'
        )
    if modes.trace is not None:
        return constant(array)
    return from_array(array)


def from_dlpack(source: Any) -> Tensor:
    """A tensor that shares the memory of another library's tensor."""
    kind, number = source.__dlpack_device__()
    if int(kind) == CUDA:
        from intaglio.runtime.device.device import find_device
        from intaglio.runtime.device.dlpack import adopt

        return from_array(adopt(find_device(f"cuda:{number}"), source))
    return from_array(np.from_dlpack(source))


def scalar_tensor(value: Any, *, dtype: Any = None, device: Any = None) -> Tensor:
    """A tensor without dimensions; of the default float dtype unless another is given."""
    return tensor(value, get_default_dtype() if dtype is None else dtype, device=device)


def _filled(
    shape: tuple[Any, ...], value: Any, dtype: Any, device: Any, requires_grad: bool
) -> Tensor:
    wanted = as_dtype(dtype)
    if modes.trace is not None or any(isinstance(s, Dim) for s in shape):
        made = fill(value, kind_of(wanted, shape))
    else:
        for size in shape:
            if size < 0:
                raise ShapeError(f"a size of {size} in {shape} is negative")
        made = from_array(np.full(shape, value, wanted.numpy))
    return _made(made, device, requires_grad)


def zeros(
    *size: Any, dtype: Any = None, device: Any = None, requires_grad: bool = False, out: Any = None
) -> Tensor:
    """Zeros of a shape."""
    return _filled(sizes(size), 0, dtype or get_default_dtype(), device, requires_grad)


def ones(
    *size: Any, dtype: Any = None, device: Any = None, requires_grad: bool = False, out: Any = None
) -> Tensor:
    """Ones of a shape."""
    return _filled(sizes(size), 1, dtype or get_default_dtype(), device, requires_grad)


def empty(
    *size: Any,
    dtype: Any = None,
    device: Any = None,
    requires_grad: bool = False,
    memory_format: Any = None,
) -> Tensor:
    """A tensor of a shape whose elements are to be written: zeros, so that runs repeat."""
    return _filled(sizes(size), 0, dtype or get_default_dtype(), device, requires_grad)


def full(
    size: Any,
    fill_value: Any,
    *,
    dtype: Any = None,
    device: Any = None,
    requires_grad: bool = False,
) -> Tensor:
    """A shape filled with one number, in the number's dtype unless another is given."""
    shape = (size,) if isinstance(size, int | Dim) else tuple(size)
    if isinstance(fill_value, Tensor):
        made = fill_value if dtype is None else cast(fill_value, as_dtype(dtype))
        return on_device(made.expand(shape).clone(), device)
    wanted = number_dtype(fill_value) if dtype is None else dtype
    return _filled(shape, fill_value, wanted, device, requires_grad)


def _like(x: Tensor, value: Any, dtype: Any, device: Any, requires_grad: bool) -> Tensor:
    shape, wanted = tuple(x.shape), x.dtype if dtype is None else dtype
    return _filled(shape, value, wanted, device or x.device, requires_grad)


def zeros_like(
    input: Tensor,
    *,
    dtype: Any = None,
    device: Any = None,
    requires_grad: bool = False,
    memory_format: Any = None,
) -> Tensor:
    """Zeros of a tensor's shape and dtype."""
    return _like(input, 0, dtype, device, requires_grad)


def ones_like(
    input: Tensor,
    *,
    dtype: Any = None,
    device: Any = None,
    requires_grad: bool = False,
    memory_format: Any = None,
) -> Tensor:
    """Ones of a tensor's shape and dtype."""
    return _like(input, 1, dtype, device, requires_grad)


empty_like = zeros_like


def full_like(
    input: Tensor,
    fill_value: Any,
    *,
    dtype: Any = None,
    device: Any = None,
    requires_grad: bool = False,
    memory_format: Any = None,
) -> Tensor:
    """A tensor's shape and dtype filled with one number."""
    return _like(input, fill_value, dtype, device, requires_grad)


def new_zeros(
    input: Tensor, *size: Any, dtype: Any = None, device: Any = None, requires_grad: bool = False
) -> Tensor:
    """Zeros of a shape, in the tensor's dtype."""
    return _filled(sizes(size), 0, dtype or input.dtype, device or input.device, requires_grad)


def new_ones(
    input: Tensor, *size: Any, dtype: Any = None, device: Any = None, requires_grad: bool = False
) -> Tensor:
    """Ones of a shape, in the tensor's dtype."""
    return _filled(sizes(size), 1, dtype or input.dtype, device or input.device, requires_grad)


new_empty = new_zeros


def new_full(
    input: Tensor,
    size: Any,
    fill_value: Any,
    *,
    dtype: Any = None,
    device: Any = None,
    requires_grad: bool = False,
) -> Tensor:
    """A shape filled with one number, in the tensor's dtype."""
    return full(
        size,
        fill_value,
        dtype=dtype or input.dtype,
        device=device or input.device,
        requires_grad=requires_grad,
    )


def new_tensor(
    input: Tensor, data: Any, *, dtype: Any = None, device: Any = None, requires_grad: bool = False
) -> Tensor:
    """A copy of the data, in the tensor's dtype."""
    return tensor(
        data, dtype or input.dtype, device=device or input.device, requires_grad=requires_grad
    )


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
    whole = all(isinstance(x, int | Dim | np.integer) for x in numbers)
    wanted = (int64 if whole else get_default_dtype()) if dtype is None else as_dtype(dtype)
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
    count = -((start - end) // step) if whole else math.ceil((end - start) / step)
    values = (np.arange(count) * step + start) if whole else start + step * np.arange(count)
    made = constant(values.astype(wanted.numpy))
    return _made(made, device, requires_grad)


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
    if modes.trace is not None and any(isinstance(x, Tensor) for x in (start, end)):
        part = constant(np.linspace(0.0, 1.0, steps))
        return on_device(cast(start * (1.0 - part) + end * part, wanted), device)
    a, b = (x.item() if isinstance(x, Tensor) else x for x in (start, end))
    made = constant(np.linspace(a, b, steps).astype(wanted.numpy))
    return _made(made, device, requires_grad)


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
    a, b = (x.item() if isinstance(x, Tensor) else x for x in (start, end))
    wanted = get_default_dtype() if dtype is None else as_dtype(dtype)
    made = constant((base ** np.linspace(a, b, steps)).astype(wanted.numpy))
    return _made(made, device, requires_grad)


def eye(
    n: int,
    m: int | None = None,
    *,
    dtype: Any = None,
    device: Any = None,
    requires_grad: bool = False,
) -> Tensor:
    """Ones on the diagonal of an n x m matrix."""
    wanted = get_default_dtype() if dtype is None else as_dtype(dtype)
    made = constant(np.eye(n, n if m is None else m, dtype=wanted.numpy))
    return _made(made, device, requires_grad)


def tril_indices(row: int, col: int, offset: int = 0, *, dtype: Any = int64) -> Tensor:
    """Rows and columns of the positions in the lower triangle: i64[2, count]."""
    found = np.stack(np.tril_indices(row, offset, col))
    return constant(found.astype(as_dtype(dtype).numpy))


def triu_indices(row: int, col: int, offset: int = 0, *, dtype: Any = int64) -> Tensor:
    """Rows and columns of the positions in the upper triangle: i64[2, count]."""
    found = np.stack(np.triu_indices(row, offset, col))
    return constant(found.astype(as_dtype(dtype).numpy))


def stand_in(array: Sequence[Any]) -> Tensor:
    """A tensor around an array, whatever the mode: for state that functions keep."""
    made = np.asarray(array)
    return wrap(made, kind_of_array(made))
