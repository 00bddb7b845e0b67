"""The Tensor: outside a trace it holds an array and its place on the tape, inside a trace a value
of the program being written.

The class holds data and identity only. What can be done with tensors are functions by topic
(`_functions_*.py`), which `_methods.py` also attaches as methods and operators."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any, Final, NoReturn

import numpy as np

from intaglio._device_names import device
from intaglio._kind import Kind, Size, kind_of_array
from intaglio._modes import inference_used, modes
from intaglio._places import is_data, is_dense, to_host
from intaglio.compiler.dtypes import DType
from intaglio.compiler.errors import ArgumentError, DeviceError, DTypeError, GradientError
from intaglio.compiler.ir import Value
from intaglio.runtime.device.array import CUDA, DeviceArray

if TYPE_CHECKING:
    from intaglio._tape import Entry

Array = np.ndarray[Any, Any]


class Tensor:
    """An array of numbers of one dtype, with torch's methods and operators.

    `Tensor(data)` copies nested lists or an array to float32; `intaglio.tensor` keeps the dtype.
    """

    __slots__ = (
        "__dict__",
        "__weakref__",
        "_counter",
        "_data",
        "_grad",
        "_hooks",
        "_index",
        "_kind",
        "_node",
        "_seen",
        "_view",
        "requires_grad",
    )
    _data: Any  # ndarray, or the Value in a trace
    _kind: Kind
    _node: Entry | None  # who made it, when its derivative is recorded
    _index: int  # which of the entry's results it is
    _grad: Tensor | None
    _counter: list[int] | None  # how often the memory was written; shared by its views
    _view: tuple[Tensor, str, Any] | None  # (parent, op, attributes) of a view
    _seen: int  # the counter when this view was last brought up to date
    _hooks: list[Callable[..., Any]] | None
    requires_grad: bool

    __array_priority__ = 1000

    def __new__(cls, data: Any = (), *args: Any, **kwargs: Any) -> Tensor:
        from intaglio._functions_create import as_float_tensor

        if cls is Tensor and kwargs and next(iter(kwargs)) != "device":
            raise ArgumentError(
                f"Tensor() takes no {next(iter(kwargs))!r}; intaglio.tensor(data, dtype=...,"
                " requires_grad=...) does"
            )
        made = as_float_tensor(data, *args)
        return wrap(made._data, made._kind, cls)

    if TYPE_CHECKING:

        def __init__(self, data: Any = (), *args: Any, **kwargs: Any) -> None: ...
        def __getattr__(self, name: str) -> Any: ...
        def __add__(self, other: Any) -> Tensor: ...
        def __radd__(self, other: Any) -> Tensor: ...
        def __sub__(self, other: Any) -> Tensor: ...
        def __rsub__(self, other: Any) -> Tensor: ...
        def __mul__(self, other: Any) -> Tensor: ...
        def __rmul__(self, other: Any) -> Tensor: ...
        def __truediv__(self, other: Any) -> Tensor: ...
        def __rtruediv__(self, other: Any) -> Tensor: ...
        def __floordiv__(self, other: Any) -> Tensor: ...
        def __rfloordiv__(self, other: Any) -> Tensor: ...
        def __mod__(self, other: Any) -> Tensor: ...
        def __rmod__(self, other: Any) -> Tensor: ...
        def __pow__(self, other: Any) -> Tensor: ...
        def __rpow__(self, other: Any) -> Tensor: ...
        def __matmul__(self, other: Any) -> Tensor: ...
        def __rmatmul__(self, other: Any) -> Tensor: ...
        def __and__(self, other: Any) -> Tensor: ...
        def __rand__(self, other: Any) -> Tensor: ...
        def __or__(self, other: Any) -> Tensor: ...
        def __ror__(self, other: Any) -> Tensor: ...
        def __xor__(self, other: Any) -> Tensor: ...
        def __rxor__(self, other: Any) -> Tensor: ...
        def __lshift__(self, other: Any) -> Tensor: ...
        def __rshift__(self, other: Any) -> Tensor: ...
        def __neg__(self) -> Tensor: ...
        def __pos__(self) -> Tensor: ...
        def __abs__(self) -> Tensor: ...
        def __invert__(self) -> Tensor: ...
        def __lt__(self, other: Any) -> Tensor: ...
        def __le__(self, other: Any) -> Tensor: ...
        def __gt__(self, other: Any) -> Tensor: ...
        def __ge__(self, other: Any) -> Tensor: ...
        def __eq__(self, other: object) -> Tensor: ...  # type: ignore[override]  # elementwise
        def __ne__(self, other: object) -> Tensor: ...  # type: ignore[override]  # elementwise
        def __getitem__(self, key: Any) -> Tensor: ...
        def __setitem__(self, key: Any, value: Any) -> None: ...

    __hash__ = object.__hash__

    # ---------------------------------------------------------------------------------- description

    @property
    def dtype(self) -> DType:
        """The element type."""
        return self._kind.dtype

    @property
    def shape(self) -> Size:
        """The sizes; in a trace some may be symbolic."""
        return self._kind.shape

    @property
    def ndim(self) -> int:
        """Number of dimensions."""
        return self._kind.rank

    @property
    def device(self) -> device:
        """Where the data lies: `cpu`, or a device such as `cuda:0`."""
        return self._kind.device

    @property
    def is_cuda(self) -> bool:
        """Whether the data lies on a CUDA device."""
        return self._kind.place is not None

    def size(self, dim: int | None = None) -> Any:
        """The shape, or one size of it."""
        if dim is None:
            return self._kind.shape
        rank = self._kind.rank
        if not -rank <= dim < rank:
            from intaglio.compiler.errors import IndexError as AxisError

            raise AxisError(f"size: dim {dim} is out of range for {self._kind}")
        return self._kind.shape[dim]

    def dim(self) -> int:
        """Number of dimensions."""
        return self._kind.rank

    ndimension = dim

    def numel(self) -> Any:
        """Number of elements."""
        return self._kind.shape.numel()

    nelement = numel

    @property
    def itemsize(self) -> int:
        """Bytes per element."""
        return self._kind.dtype.size

    def element_size(self) -> int:
        """Bytes per element."""
        return self._kind.dtype.size

    @property
    def nbytes(self) -> Any:
        """Bytes of all elements."""
        return self.numel() * self._kind.dtype.size

    def is_floating_point(self) -> bool:
        """Whether the dtype is a floating-point one."""
        return self._kind.dtype.kind == "f"

    def stride(self, dim: int | None = None) -> Any:
        """Steps between neighbours along each dimension, in elements."""
        data = self._present("stride")
        steps = tuple(s // data.itemsize for s in data.strides)
        return steps if dim is None else steps[dim]

    def is_contiguous(self, memory_format: Any = None) -> bool:
        """Whether the elements lie densely in row-major order. A traced value does, unless it is a
        view that would not."""
        if is_data(self._data):
            return is_dense(self._data)
        if self._view is None:
            return True
        from intaglio._strides import lies_densely

        return lies_densely(self)

    def data_ptr(self) -> int:
        """The address of the first element."""
        data = self._present("data_ptr")
        if isinstance(data, DeviceArray):
            return data.address
        return int(data.__array_interface__["data"][0])

    # -------------------------------------------------------------------------- reading from Python

    def _concrete(self, wanted: str) -> Array:
        """The array, copied down from a device; raises `TraceError` when there is none yet."""
        data = self._present(wanted)
        return data if isinstance(data, np.ndarray) else to_host(data)

    def _present(self, wanted: str) -> Any:
        """The data where it lies; raises `TraceError` when there is none yet."""
        data = self._data
        if is_data(data):
            trace = modes.trace
            if trace is None or wanted == "repr":
                return data
            if not trace.reads_freely(self):
                self._refuse(wanted)
            return data
        self._refuse(wanted)

    def _refuse(self, wanted: str) -> NoReturn:
        from intaglio._trace_errors import refuse_reading

        raise refuse_reading(self, wanted)

    def item(self) -> Any:
        """The only element as a Python number."""
        data = self._concrete("item()")
        if data.size != 1:
            raise ArgumentError(f"item: {self._kind} has not exactly one element")
        value = data.reshape(())[()]
        return float(value) if self._kind.dtype.kind == "f" else value.item()

    def tolist(self) -> Any:
        """The elements as nested Python lists; a number for 0 dimensions."""
        data = self._concrete("tolist()")
        return (data.astype(np.float32) if data.dtype.kind == "V" else data).tolist()

    def numpy(self, *, force: bool = False) -> Array:
        """The array that this tensor holds, sharing its memory. Raises where a derivative is
        recorded, unless `force` is given."""
        if not force:
            self._check_host("numpy")
        data = self._concrete("numpy()")
        if self.requires_grad and not force:
            raise GradientError(
                "numpy: the tensor requires grad, and changes of the array would not be recorded;"
                " call detach().numpy()"
            )
        return data

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> Array:
        # No error for tensors that require grad, unlike numpy(): saved models take them as inputs,
        # and NumPy's functions come to __array_function__ first, which differentiates.
        self._check_host("np.asarray")
        data = self._concrete("np.asarray()")
        if dtype is None or np.dtype(dtype) == data.dtype:
            return data.copy() if copy else data
        return data.astype(dtype)

    def __dlpack__(self, **keywords: Any) -> Any:
        if self.requires_grad:
            raise GradientError("__dlpack__: the tensor requires grad; export detach() of it")
        return self._present("__dlpack__()").__dlpack__(**keywords)

    def __dlpack_device__(self) -> tuple[int, int]:
        place = self._kind.place
        return (1, 0) if place is None else (CUDA, place.number)

    def _check_host(self, wanted: str) -> None:
        if self._kind.place is not None:
            raise DeviceError(
                f"{wanted}: {self._kind} lies on {self._kind.device}; copy it with .cpu() first"
            )

    def __bool__(self) -> bool:
        data = self._concrete("bool()")
        if data.size != 1:
            raise ArgumentError(
                f"bool: the truth of {self._kind} with more or less than one element is ambiguous;"
                " use any() or all()"
            )
        return bool(data.reshape(())[()])

    def __int__(self) -> int:
        return int(self._single("int()"))

    def __float__(self) -> float:
        return float(self._single("float()"))

    def __complex__(self) -> complex:
        return complex(self._single("complex()"))

    def __index__(self) -> int:
        value = self._single("an index")
        if self._kind.dtype.kind == "f":
            raise DTypeError(f"index: only integers index, not {self._kind}")
        return int(value)

    def _single(self, wanted: str) -> Any:
        data = self._concrete(wanted)
        if data.size != 1:
            raise ArgumentError(f"{wanted}: {self._kind} has not exactly one element")
        return data.reshape(())[()]

    def __len__(self) -> int:
        if not self._kind.rank:
            raise DTypeError("len: a tensor without dimensions has no length")
        size = self._kind.shape[0]
        if not isinstance(size, int):
            self._refuse("len()")
        return size

    def __iter__(self) -> Iterator[Tensor]:
        if not self._kind.rank:
            raise DTypeError("iteration: a tensor without dimensions has nothing to iterate over")
        return (self[k] for k in range(len(self)))

    def __contains__(self, element: Any) -> bool:
        return bool((self == element).any())

    def __format__(self, form: str) -> str:
        if form and self._kind.rank == 0 and is_data(self._data):
            return format(self.item(), form)
        return format(repr(self), form) if form else repr(self)

    def __repr__(self) -> str:
        from intaglio._repr import show

        return show(self)

    __str__ = __repr__

    def _repr_html_(self) -> str:
        from intaglio._html import tensor_html

        return tensor_html(self)

    def __reduce_ex__(self, protocol: Any) -> Any:
        return _rebuild, (type(self), self._concrete("pickle"), self.requires_grad)

    def __deepcopy__(self, memo: dict[int, Any]) -> Tensor:
        if self._node is not None:
            raise GradientError("deepcopy: only tensors made by the user can be copied; detach it")
        made = wrap(self._present("deepcopy").copy(), self._kind, type(self))
        made.requires_grad = self.requires_grad
        made.__dict__.update(self.__dict__)
        memo[id(self)] = made
        if self._grad is not None:
            made._grad = self._grad.__deepcopy__(memo)
        return made

    # ---------------------------------------------------------------------------------- derivatives

    @property
    def grad(self) -> Tensor | None:
        """The accumulated derivative of what `backward` was called on."""
        trace = modes.trace
        if trace is not None:
            trace.read_grad(self)
        return self._grad

    @grad.setter
    def grad(self, value: Tensor | None) -> None:
        if value is not None and not isinstance(value, Tensor):
            raise DTypeError(f"grad: a tensor or None is wanted, not {type(value).__name__}")
        if value is not None and value._kind is not self._kind:
            raise GradientError(f"grad: {value._kind} does not fit the tensor's {self._kind}")
        trace = modes.trace
        if trace is not None:
            trace.note_grad(self, value)
        self._grad = value

    @grad.deleter
    def grad(self) -> None:
        self.grad = None

    @property
    def grad_fn(self) -> Entry | None:
        """The entry of the tape that made this tensor; None for tensors made by the user."""
        return self._node

    @property
    def output_nr(self) -> int:
        """Which of the results of `grad_fn` this tensor is; 0 for tensors made by the user."""
        return self._index if self._node is not None else 0

    @property
    def is_leaf(self) -> bool:
        """Whether the user made this tensor, rather than a recorded op."""
        return self._node is None

    @property
    def retains_grad(self) -> bool:
        """Whether `.grad` will be set although an op made this tensor."""
        return self._node is not None and self._node.retains(self._index)

    def requires_grad_(self, requires_grad: bool = True) -> Tensor:
        """Record derivatives for this tensor from now on, or (for one the user made) no longer."""
        if requires_grad and self._kind.dtype.kind != "f":
            raise GradientError(f"requires_grad_: {self._kind} has no derivative; only floats do")
        if requires_grad and is_inference(self) and not modes.inference:
            raise GradientError(
                f"requires_grad_: {self._kind} was made in inference_mode; use a clone() of it"
            )
        if not requires_grad and self._node is not None:
            raise GradientError(
                "requires_grad_: only tensors made by the user can be switched off; use detach()"
            )
        if modes.trace is not None:
            modes.trace.note(self)
        self.requires_grad = requires_grad
        return self

    def retain_grad(self) -> None:
        """Let `backward` set `.grad` here too, although an op made this tensor."""
        if not self.requires_grad:
            raise GradientError("retain_grad: the tensor does not require grad")
        if self._node is not None:
            self._node.retain(self)

    def backward(
        self,
        gradient: Tensor | None = None,
        retain_graph: bool | None = None,
        create_graph: bool = False,
        inputs: Sequence[Tensor] | Tensor | None = None,
    ) -> None:
        """Add the derivative of this tensor (times `gradient`) to `.grad` of what it was made
        from."""
        from intaglio._backward import backward

        backward((self,), (gradient,), retain_graph, create_graph, inputs)

    def register_hook(self, hook: Callable[[Tensor], Tensor | None]) -> Any:
        """Call `hook(grad)` when this tensor's derivative is known; what it returns replaces it."""
        from intaglio._tape import register_hook

        return register_hook(self, hook)

    def register_post_accumulate_grad_hook(self, hook: Callable[[Tensor], None]) -> Any:
        """Call `hook(tensor)` after `.grad` was added to."""
        from intaglio._tape import register_accumulate_hook

        return register_accumulate_hook(self, hook)

    @property
    def data(self) -> Tensor:
        """The same memory, apart from the tape."""
        return self.detach()

    @data.setter
    def data(self, value: Tensor) -> None:
        from intaglio._inplace import replace

        replace(self, value)

    @property
    def _version(self) -> int:
        """How often this tensor's memory was written."""
        return self._counter[0] if self._counter is not None else 0

    def is_shared(self) -> bool:
        """Whether the memory is shared between processes."""
        from intaglio.runtime.shared import segment_of

        data = self._data
        return self.is_cuda or (isinstance(data, np.ndarray) and segment_of(data) is not None)


class Parameter(Tensor):
    """A tensor that a module trains: assigned to a module's attribute it is registered there."""

    __slots__ = ()

    def __new__(cls, data: Any = (), requires_grad: bool = True) -> Parameter:
        array = data._present("Parameter()") if isinstance(data, Tensor) else Tensor(data)._data
        made = wrap(array, kind_of_array(array), cls)
        assert isinstance(made, Parameter)
        made.requires_grad = requires_grad
        return made

    if TYPE_CHECKING:

        def __init__(self, data: Any = (), requires_grad: bool = True) -> None: ...


_new: Final = object.__new__
INFERENCE: Final = -1
"""Number of the result, for a tensor of no tape: made in inference mode."""


def wrap(data: Any, kind: Kind, cls: type[Tensor] = Tensor) -> Tensor:
    """A tensor around an array or a traced value of this kind; no check, no copy."""
    made = _new(cls)
    made._data = data
    made._kind = kind
    made._node = None
    made._index = 0
    made._grad = None
    made._counter = None
    made._view = None
    made._seen = 0
    made._hooks = None
    made.requires_grad = False
    if inference_used and modes.inference:
        made._index = INFERENCE
    return made


def is_inference(tensor: Tensor) -> bool:
    """Whether a tensor was made in inference mode."""
    return tensor._index == INFERENCE and tensor._node is None


def counter_of(tensor: Tensor) -> list[int]:
    """The write counter of a tensor's memory, made when first asked for."""
    counter = tensor._counter
    if counter is None:
        counter = tensor._counter = [0]
    return counter


def from_array(array: Any) -> Tensor:
    """A tensor that shares an array's memory, here or on a device."""
    return wrap(array, kind_of_array(array))


def is_tensor(value: object) -> bool:
    """Whether a value is a Tensor."""
    return isinstance(value, Tensor)


def is_traced(value: object) -> bool:
    """Whether a value is a tensor that stands for a value of the program being traced."""
    return isinstance(value, Tensor) and isinstance(value._data, Value)


def _rebuild(cls: type[Tensor], array: Array, requires_grad: bool) -> Tensor:
    made = wrap(array, kind_of_array(array), cls)
    made.requires_grad = requires_grad
    return made
