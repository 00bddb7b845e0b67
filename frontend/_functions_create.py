"""Functions that make tensors from numbers, lists, arrays and other libraries' tensors."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, Final

import numpy as np

import intaglio._methods as _methods
from intaglio._apply import constant, full as fill
from intaglio._core import Array, Tensor, from_array, wrap
from intaglio._dtype_names import as_dtype
from intaglio._functions_device import on_device
from intaglio._functions_movement import sizes
from intaglio._functions_strided import as_strided
from intaglio._kind import Size, kind_of, kind_of_array
from intaglio._layouts import creates
from intaglio._modes import modes
from intaglio._places import share_memory
from intaglio._promote import cast, get_default_dtype, number_dtype, stack_nested
from intaglio.compiler.dims import Dim
from intaglio.compiler.dtypes import DType, dtype_of, uint8
from intaglio.compiler.errors import ArgumentError, DTypeError, ShapeError
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
        if not array.dtype.isnative:
            array = array.astype(array.dtype.newbyteorder("="))
    elif _is_foreign(data):
        array = np.array(_shared_array(data), copy=True)
    else:
        array = _array_of_numbers(data)
        plain = array.dtype == np.float64 and not _holds_doubles(data)
        if dtype is None and (plain or array.size == 0):
            array = array.astype(get_default_dtype().numpy)
        elif dtype is not None and dtype.kind in "iu" and array.dtype.kind in "iu":
            _check_range(array, dtype)
    if dtype is not None and array.dtype != dtype.numpy:
        with np.errstate(all="ignore"):
            array = array.astype(dtype.numpy)
    dtype_of(array.dtype)
    return array


def _array_of_numbers(data: Any) -> Array:
    """Nested lists of numbers as an array."""
    try:
        array = np.array(data)
    except ValueError:
        raise ShapeError("tensor: the nested lists have rows of different lengths") from None
    if array.dtype.kind not in "biufcV":
        raise ShapeError("tensor: the nested lists hold what is no number, or no number of 64 bits")
    return array


def _is_foreign(data: Any) -> bool:
    """Whether it is another library's tensor, which has a dtype of its own."""
    if isinstance(data, list | tuple | int | float):
        return False
    return hasattr(data, "__dlpack__") or hasattr(data, "__array__")


def _shared_array(data: Any) -> Array:
    """The memory of another library's tensor, which knows how to give it away."""
    data = data.detach() if getattr(data, "requires_grad", False) else data
    try:
        made = np.from_dlpack(data)
        return made if made.flags.writeable else np.asarray(data)
    except (AttributeError, BufferError, RuntimeError, TypeError):  # its dtype, place or version
        pass
    try:
        return np.asarray(data)
    except TypeError as error:
        raise DTypeError(
            f"tensor: NumPy can't read a {type(data).__name__} of"
            f" {getattr(data, 'dtype', 'its dtype')}: {error}; convert it first (x.float().cpu())"
        ) from error


def _holds_doubles(data: Any) -> bool:
    """Whether nested lists hold NumPy's (or another library's) 64-bit floats, which stay such."""
    if isinstance(data, list | tuple):
        return not _NUMBERS.issuperset(map(type, data)) and any(map(_holds_doubles, data))
    return bool(getattr(data, "dtype", None) is not None and np.asarray(data).dtype == np.float64)


def _check_range(array: Array, dtype: DType) -> None:
    """Refuse integers that the dtype does not hold; -1 and so on become unsigned as in C."""
    limits = np.iinfo(dtype.numpy.str)
    low = -int(limits.max) if dtype.kind == "u" else int(limits.min)
    if array.size and (int(array.min()) < low or int(array.max()) > int(limits.max)):
        raise ArgumentError(f"tensor: a number does not fit {dtype.long_name}")


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


_NUMBERS: Final = frozenset((float, int, bool))


def _holds_tensors(data: Any) -> bool:
    if isinstance(data, list | tuple):
        return not _NUMBERS.issuperset(map(type, data)) and any(map(_holds_tensors, data))
    return isinstance(data, Tensor)


def as_float_tensor(*data: Any) -> Tensor:
    """What `Tensor(data)` makes: the data in the default float dtype; zeros of a shape if integers
    are given."""
    return of_type(get_default_dtype(), data)


def of_type(dtype: DType, given: tuple[Any, ...]) -> Tensor:
    """What torch's old constructors make: of sizes a tensor to be written, of one list, array or
    tensor its elements in the dtype."""
    if not given:
        return empty(0, dtype=dtype)
    first = given[0]
    if isinstance(first, Size):
        return empty(first, dtype=dtype)
    if isinstance(first, int | Dim | np.integer) and not isinstance(first, bool):
        return empty(given, dtype=dtype)
    if len(given) > 1:
        raise ArgumentError("Tensor(): sizes, or one list, array or tensor, are wanted")
    return tensor(first, dtype)


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
    if _is_foreign(data) and not isinstance(data, np.generic):
        return as_tensor(_shared_array(data), wanted, device)
    return tensor(data, wanted, device=device)


def asarray(
    obj: Any,
    *,
    dtype: Any = None,
    device: Any = None,
    copy: bool | None = None,
    requires_grad: bool = False,
) -> Tensor:
    """The data as a tensor: shared where that is possible, copied if `copy`, and an error if it
    must not be copied (`copy=False`) and must be."""
    if copy:
        return tensor(obj, dtype, device=device, requires_grad=requires_grad)
    made = as_tensor(obj, dtype, device)
    if copy is False and made is not obj:
        source = obj if isinstance(obj, np.ndarray) else None
        if source is None or not share_memory(made._data, source):
            raise ArgumentError("asarray: the data can't be shared; leave out copy=False")
    return made.requires_grad_() if requires_grad else made


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


@creates
def scalar_tensor(
    value: Any, *, dtype: Any = None, device: Any = None, requires_grad: bool = False
) -> Tensor:
    """A tensor without dimensions; of the default float dtype unless another is given."""
    wanted = get_default_dtype() if dtype is None else dtype
    return tensor(value, wanted, device=device, requires_grad=requires_grad)


def frombuffer(
    buffer: Any, *, dtype: Any, count: int = -1, offset: int = 0, requires_grad: bool = False
) -> Tensor:
    """A tensor of one dimension that shares the memory of an object with Python's buffer protocol:
    `count` elements (-1: all) from the byte `offset`."""
    wanted = as_dtype(dtype)
    try:
        array = np.frombuffer(buffer, wanted.numpy, count, offset)
    except ValueError as error:
        raise ArgumentError(f"frombuffer: {error}") from None
    made = constant(array) if modes.trace is not None else from_array(array)
    return made.requires_grad_() if requires_grad else made


# ---------------------------------------------------------------------------- filled with a number


def _filled(
    name: str, shape: tuple[Any, ...], value: Any, dtype: Any, device: Any, requires_grad: bool
) -> Tensor:
    wanted = as_dtype(dtype)
    if wanted is uint8 and isinstance(value, int) and -256 < value < 0:
        value += 256  # as torch reads negative numbers here
    for size in shape:
        if not isinstance(size, Dim) and not hasattr(size, "__index__"):
            raise ArgumentError(f"{name}: a size is an integer, not {size!r}")
        if not isinstance(size, Dim) and size < 0:
            raise ShapeError(f"{name}: a size of {size} in {shape} is negative")
    if modes.trace is not None or any(isinstance(s, Dim) for s in shape):
        made = fill(value, kind_of(wanted, shape))
    else:
        try:
            if wanted.kind != "f" and isinstance(value, float) and not math.isfinite(value):
                raise ValueError
            number = np.float32(value) if wanted.is_half else value
            made = from_array(np.full(shape, number, wanted.numpy))
        except (OverflowError, TypeError, ValueError):
            raise ArgumentError(f"{name}: {value!r} is no {wanted.long_name}") from None
    return _made(made, device, requires_grad)


def _shape_of(given: tuple[Any, ...], size: Any) -> tuple[Any, ...]:
    return sizes(given if size is None else (size,))


@creates
def zeros(
    *shape: Any,
    size: Any = None,
    dtype: Any = None,
    device: Any = None,
    requires_grad: bool = False,
) -> Tensor:
    """Zeros of a shape."""
    wanted = dtype or get_default_dtype()
    return _filled("zeros", _shape_of(shape, size), 0, wanted, device, requires_grad)


@creates
def ones(
    *shape: Any,
    size: Any = None,
    dtype: Any = None,
    device: Any = None,
    requires_grad: bool = False,
) -> Tensor:
    """Ones of a shape."""
    wanted = dtype or get_default_dtype()
    return _filled("ones", _shape_of(shape, size), 1, wanted, device, requires_grad)


@creates
def empty(
    *shape: Any,
    size: Any = None,
    dtype: Any = None,
    device: Any = None,
    requires_grad: bool = False,
) -> Tensor:
    """A tensor of a shape whose elements are to be written: zeros, so that runs repeat."""
    wanted = dtype or get_default_dtype()
    return _filled("empty", _shape_of(shape, size), 0, wanted, device, requires_grad)


@creates
def empty_strided(
    size: Any,
    stride: Any,
    *,
    dtype: Any = None,
    device: Any = None,
    requires_grad: bool = False,
) -> Tensor:
    """A tensor of a size to be written, which lies in memory with these strides (in elements)."""
    shape, steps = sizes((size,)), sizes((stride,))
    if len(shape) != len(steps):
        raise ArgumentError(f"empty_strided: {shape} and the stride {steps} differ in length")
    if any(isinstance(s, int) and s < 0 for s in (*shape, *steps)):
        raise ArgumentError(f"empty_strided: the size {shape} or stride {steps} is negative")
    room: Any = 1
    for count, step in zip(shape, steps, strict=True):
        room = room + (count - 1) * step
    memory = empty(0 if 0 in shape else room, dtype=dtype, device=device)
    made = as_strided(memory, shape, steps)
    return made.requires_grad_() if requires_grad else made


@creates
def empty_permuted(
    size: Any,
    physical_layout: Any,
    *,
    dtype: Any = None,
    device: Any = None,
    requires_grad: bool = False,
) -> Tensor:
    """A tensor of a size to be written, whose dimensions lie in memory in this order, the outermost
    first."""
    shape, order = sizes((size,)), sizes((physical_layout,))
    if sorted(order) != list(range(len(shape))):
        raise ArgumentError(f"empty_permuted: {order} is no order of {len(shape)} dimensions")
    memory = empty(tuple(shape[k] for k in order), dtype=dtype, device=device)
    made = memory.permute(*(order.index(k) for k in range(len(order))))
    return made.requires_grad_() if requires_grad else made


@creates
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
        return _made(made.expand(shape).clone(), device, requires_grad)
    wanted = number_dtype(fill_value) if dtype is None else dtype
    return _filled("full", shape, fill_value, wanted, device, requires_grad)


def _like(name: str, x: Tensor, value: Any, dtype: Any, device: Any, requires_grad: bool) -> Tensor:
    if isinstance(value, Tensor):
        wanted = x.dtype if dtype is None else dtype
        where = device or x.device
        return full(tuple(x.shape), value, dtype=wanted, device=where, requires_grad=requires_grad)
    shape, wanted = tuple(x.shape), x.dtype if dtype is None else dtype
    return _filled(name, shape, value, wanted, device or x.device, requires_grad)


@creates
def zeros_like(
    input: Tensor, *, dtype: Any = None, device: Any = None, requires_grad: bool = False
) -> Tensor:
    """Zeros of a tensor's shape and dtype."""
    return _like("zeros_like", input, 0, dtype, device, requires_grad)


@creates
def ones_like(
    input: Tensor, *, dtype: Any = None, device: Any = None, requires_grad: bool = False
) -> Tensor:
    """Ones of a tensor's shape and dtype."""
    return _like("ones_like", input, 1, dtype, device, requires_grad)


empty_like = zeros_like


@creates
def full_like(
    input: Tensor,
    fill_value: Any,
    *,
    dtype: Any = None,
    device: Any = None,
    requires_grad: bool = False,
) -> Tensor:
    """A tensor's shape and dtype filled with one number."""
    return _like("full_like", input, fill_value, dtype, device, requires_grad)


@creates
def new_zeros(
    input: Tensor,
    *shape: Any,
    size: Any = None,
    dtype: Any = None,
    device: Any = None,
    requires_grad: bool = False,
) -> Tensor:
    """Zeros of a shape, in the tensor's dtype."""
    where, wanted = device or input.device, _shape_of(shape, size)
    return _filled("new_zeros", wanted, 0, dtype or input.dtype, where, requires_grad)


@creates
def new_ones(
    input: Tensor,
    *shape: Any,
    size: Any = None,
    dtype: Any = None,
    device: Any = None,
    requires_grad: bool = False,
) -> Tensor:
    """Ones of a shape, in the tensor's dtype."""
    where, wanted = device or input.device, _shape_of(shape, size)
    return _filled("new_ones", wanted, 1, dtype or input.dtype, where, requires_grad)


new_empty = new_zeros


@creates
def new_empty_strided(
    input: Tensor,
    size: Any,
    stride: Any,
    *,
    dtype: Any = None,
    device: Any = None,
    requires_grad: bool = False,
) -> Tensor:
    """`empty_strided` in the tensor's dtype."""
    return empty_strided(
        size,
        stride,
        dtype=dtype or input.dtype,
        device=device or input.device,
        requires_grad=requires_grad,
    )


def new(input: Tensor, *data: Any) -> Tensor:
    """What torch's old constructor of this tensor's type makes: of sizes a tensor to be written, of
    a list its elements."""
    return of_type(input.dtype, data).to(input.device)


@creates
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


@creates
def new_tensor(
    input: Tensor, data: Any, *, dtype: Any = None, device: Any = None, requires_grad: bool = False
) -> Tensor:
    """A copy of the data, in the tensor's dtype."""
    return tensor(
        data, dtype or input.dtype, device=device or input.device, requires_grad=requires_grad
    )


def stand_in(array: Sequence[Any]) -> Tensor:
    """A tensor around an array, whatever the mode: for state that functions keep."""
    made = np.asarray(array)
    return wrap(made, kind_of_array(made))
