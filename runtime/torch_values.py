"""What the names in torch's files stand for: a fixed table, and plain values made by it.

A tensor is a place in a storage: where it begins, its sizes and strides. Tensors are made last, by
`finished`, when the storages' bytes are known; it also bounds the result: nesting, the number of
values counted as often as they are met, and the bytes of all tensors beside those of the file, so
that what looks at every value of the result takes no more than a file of its size deserves."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

import ml_dtypes
import numpy as np
from numpy.lib.stride_tricks import as_strided

from intaglio.compiler.dtypes import DType, dtype_of
from intaglio.compiler.errors import DTypeError
from intaglio.runtime.arrays import Array
from intaglio.runtime.datasets import DataError
from intaglio.runtime.torch_opcodes import hashable

MAX_NESTING: Final = 64
MAX_VALUES: Final = 4_000_000
MAX_DIMS: Final = 32
EXPANSION: Final = 16
"""Bytes of tensors for each byte of the file, counted as often as tensors name them."""
FREE_BYTES: Final = 16 << 20

REMEDY: Final = (
    "only tensors and plain values are read; in torch, save the state_dict() alone, or use "
    "safetensors"
)

DTYPES: Final[dict[str, np.dtype[Any]]] = {
    "float64": np.dtype("<f8"), "double": np.dtype("<f8"), "float32": np.dtype("<f4"),
    "float": np.dtype("<f4"), "float16": np.dtype("<f2"), "half": np.dtype("<f2"),
    "bfloat16": np.dtype(ml_dtypes.bfloat16), "int64": np.dtype("<i8"), "long": np.dtype("<i8"),
    "int32": np.dtype("<i4"), "int": np.dtype("<i4"), "int16": np.dtype("<i2"),
    "short": np.dtype("<i2"), "int8": np.dtype("i1"), "uint8": np.dtype("u1"),
    "uint16": np.dtype("<u2"), "uint32": np.dtype("<u4"), "uint64": np.dtype("<u8"),
    "bool": np.dtype(np.bool_),
}  # fmt: skip
"""torch's dtypes by name."""
STORAGES: Final[dict[str, np.dtype[Any] | None]] = {
    "DoubleStorage": DTYPES["float64"], "FloatStorage": DTYPES["float32"],
    "HalfStorage": DTYPES["float16"], "BFloat16Storage": DTYPES["bfloat16"],
    "LongStorage": DTYPES["int64"], "IntStorage": DTYPES["int32"],
    "ShortStorage": DTYPES["int16"], "CharStorage": DTYPES["int8"],
    "ByteStorage": DTYPES["uint8"], "BoolStorage": DTYPES["bool"], "UntypedStorage": None,
}  # fmt: skip
"""Types of storages with their elements; None: bytes."""
REASONS: Final = {
    "torch._utils._rebuild_sparse_tensor": "a sparse tensor",
    "torch._utils._rebuild_sparse_csr_tensor": "a sparse tensor",
    "torch._utils._rebuild_qtensor": "a quantized tensor",
    "torch._utils._rebuild_nested_tensor": "a nested tensor",
    "torch._utils._rebuild_meta_tensor_no_storage": "a tensor without data (device meta)",
    "torch._utils._rebuild_wrapper_subclass": "a subclass of Tensor",
    "torch._tensor._rebuild_from_type_v2": "a subclass of Tensor",
    "torch.ComplexFloatStorage": "complex numbers",
    "torch.ComplexDoubleStorage": "complex numbers",
    "torch.QInt8Storage": "a quantized tensor",
    "torch.QUInt8Storage": "a quantized tensor",
    "torch.QInt32Storage": "a quantized tensor",
}
"""What some refused names mean."""
NUMBERS: Final = {
    f"{kind}{size}": np.dtype(f"{kind}{size}")
    for kind, sizes in (("i", (1, 2, 4, 8)), ("u", (1, 2, 4, 8)), ("f", (2, 4, 8)))
    for size in sizes
} | {"b1": np.dtype(np.bool_)}
"""Dtypes of NumPy that files may hold."""


@dataclass(frozen=True)
class Name:
    """A name of the table, before it is called."""

    text: str


@dataclass(eq=False)
class Storage:
    """The memory of tensors: `count` elements of `dtype` (None: bytes) under `key`."""

    key: str
    dtype: np.dtype[Any] | None
    count: int

    @property
    def nbytes(self) -> int:
        """Its size."""
        return self.count * (1 if self.dtype is None else self.dtype.itemsize)


@dataclass(eq=False)
class Place:
    """A tensor's place in its storage, in elements."""

    storage: Storage
    dtype: np.dtype[Any]
    offset: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]

    @property
    def nbytes(self) -> int:
        """Bytes of the tensor when nothing is shared."""
        count = self.dtype.itemsize
        for size in self.shape:
            count *= size
        return count


@dataclass(eq=False)
class NumPyValue:
    """A dtype or array of NumPy that gets its state later."""

    dtype: np.dtype[Any] | None = None
    array: Array | None = field(default=None)


def find(module: str, name: str) -> Name:
    """The name, if the table has it; raises `DataError` otherwise."""
    module = module.replace("__builtin__", "builtins").replace("numpy._core", "numpy.core")
    full = f"{module}.{name}"
    if full in CALLS or full in INERT or storage_type(full) is not UNKNOWN:
        return Name(full)
    reason = REASONS.get(full)
    shown = full if full.replace(".", "_").isidentifier() and len(full) < 100 else repr(full[:100])
    said = f"it holds {reason} ({shown})" if reason else f"it names {shown}"
    raise DataError(f"{said}, which is refused: {REMEDY}")


UNKNOWN: Final = object()
INERT: Final = frozenset(
    [f"torch.{name}" for name in DTYPES]
    + ["numpy.ndarray", "builtins.list", "builtins.dict", "builtins.int", "builtins.float"]
)
"""Names that stand for themselves."""


def storage_type(full: str) -> object:
    """The element type of a storage's name, or `UNKNOWN`."""
    module, _, name = full.rpartition(".")
    if module not in ("torch", "torch.storage", "torch.cuda"):
        return UNKNOWN
    return STORAGES.get(name, UNKNOWN)


def storage(parts: Any) -> Storage:
    """What a persistent id says of a storage."""
    if type(parts) is not tuple or len(parts) not in (5, 6) or parts[0] != "storage":
        raise DataError("a persistent id that is no storage")
    kind, key, _, count = parts[1:5]
    if len(parts) == 6 and parts[5] is not None:
        raise DataError("a storage that is a view of another, as torch before 0.4 wrote them")
    dtype = storage_type(kind.text) if isinstance(kind, Name) else UNKNOWN
    if dtype is UNKNOWN or type(key) is not str or not natural(count):
        raise DataError("a storage of an unknown type, name or size")
    return Storage(key, dtype, count)  # type: ignore[arg-type]  # None or a dtype, no UNKNOWN


def natural(value: object) -> bool:
    """Whether this is an integer from 0 up to what memory can hold."""
    return type(value) is int and 0 <= value < 1 << 62


def call(function: Any, arguments: tuple[Any, ...]) -> Any:
    """The result of calling a name of the table."""
    made = CALLS.get(function.text) if isinstance(function, Name) else None
    if made is None:
        raise DataError("a call of what is no function of the table")
    try:
        return made(*arguments)
    except TypeError:
        raise DataError(f"{function.text} with {len(arguments)} arguments") from None


def build(target: Any, state: Any) -> Any:
    """An object with its state: dicts of modules keep none, arrays of NumPy get their elements."""
    if type(target) is dict:
        return target  # `_metadata` of a state_dict
    if isinstance(target, NumPyValue) and type(state) is tuple:
        (fill_array if target.dtype is None else fill_dtype)(target, state)
        return target
    raise DataError("state for an object that takes none")


# ------------------------------------------------------------------------------------- tensors


def tensor(
    held: Any, offset: Any, shape: Any, strides: Any, dtype: np.dtype[Any] | None = None
) -> Place:
    """A tensor's place, checked against its storage."""
    if not isinstance(held, Storage):
        raise DataError("a tensor without a storage")
    given = dtype or held.dtype
    if given is None:
        raise DataError("a tensor of bytes without a dtype")
    if type(shape) is not tuple or type(strides) is not tuple or len(shape) != len(strides):
        raise DataError("a tensor whose sizes and strides do not match")
    if len(shape) > MAX_DIMS or not all(map(natural, (offset, *shape, *strides))):
        raise DataError(f"a tensor of sizes {str(shape)[:80]} from {str(offset)[:20]}")
    place = Place(held, given, offset, shape, strides)
    if place.nbytes:
        last = offset + sum((n - 1) * s for n, s in zip(shape, strides, strict=True))
        if (last + 1) * given.itemsize > held.nbytes:
            raise DataError(
                f"a tensor of sizes {shape} and strides {strides} from {offset} leaves its "
                f"storage of {held.nbytes} bytes"
            )
    return place


def tensor_v1(held: Any, offset: Any, shape: Any, strides: Any) -> Place:
    """A tensor as torch 0.3 wrote it."""
    return tensor(held, offset, shape, strides)


def tensor_v2(
    held: Any, offset: Any, shape: Any, strides: Any, grad: Any, hooks: Any, metadata: Any = None
) -> Place:
    """A tensor as torch writes it since 0.4."""
    return tensor(held, offset, shape, strides)


def tensor_v3(
    held: Any,
    offset: Any,
    shape: Any,
    strides: Any,
    grad: Any,
    hooks: Any,
    dtype: Any,
    metadata: Any = None,
) -> Place:
    """A tensor of a dtype that has no type of storage."""
    name = dtype.text.removeprefix("torch.") if isinstance(dtype, Name) else ""
    if name not in DTYPES:
        raise DataError(f"a tensor of an unknown dtype {name!r}")
    return tensor(held, offset, shape, strides, DTYPES[name])


def parameter(data: Any, grad: Any, hooks: Any, state: Any = None) -> Place:
    """A parameter's tensor."""
    if not isinstance(data, Place):
        raise DataError("a parameter without a tensor")
    return data


# -------------------------------------------------------------------------------- plain values


def pairs(given: Any = ()) -> dict[Any, Any]:
    """A dict from another, or from keys and values."""
    if type(given) is dict:
        return dict(given)
    if type(given) not in (list, tuple) or not all(
        type(pair) in (list, tuple) and len(pair) == 2 for pair in given
    ):
        raise DataError("a dict made of something else than keys and values")
    return {hashable(key): value for key, value in given}


def default_dict(factory: Any = None, given: Any = ()) -> dict[Any, Any]:
    """A dict with a default, which is dropped."""
    return pairs(given)


def elements(given: Any) -> list[Any]:
    """The elements of a list or tuple."""
    if type(given) not in (list, tuple):
        raise DataError(f"a {type(given).__name__} where a list is wanted")
    return list(given)


def size(given: Any = ()) -> tuple[int, ...]:
    """A torch.Size as a tuple."""
    return tuple(elements(given))


def members(given: Any = ()) -> set[Any]:
    """A set."""
    return {hashable(value) for value in elements(given)}


def frozen(given: Any = ()) -> frozenset[Any]:
    """A frozen set."""
    return frozenset(members(given))


def device(kind: Any, index: Any = None) -> str:
    """A torch.device as its name."""
    if type(kind) is not str or not (index is None or natural(index)):
        raise DataError("a device of an unknown name")
    return kind if index is None else f"{kind}:{index}"


def encoded(given: Any, encoding: Any = "latin1") -> bytes:
    """Bytes that protocol 2 writes as text."""
    if type(given) is not str or encoding not in ("latin1", "latin-1"):
        raise DataError("bytes in an unknown encoding")
    try:
        return given.encode("latin-1")
    except UnicodeEncodeError:
        raise DataError("bytes that are no bytes") from None


def no_bytes() -> bytes:
    """Empty bytes."""
    return b""


# --------------------------------------------------------------------------------------- NumPy


def numpy_dtype(code: Any, align: Any = False, copy: Any = True) -> NumPyValue:
    """A dtype of numbers."""
    made = NUMBERS.get(code) if type(code) is str else None
    if made is None:
        raise DataError(f"an array of NumPy's dtype {code!r}")
    return NumPyValue(dtype=made)


def empty_array(kind: Any, shape: Any, code: Any) -> NumPyValue:
    """An array that gets its elements later."""
    return NumPyValue()


def numpy_number(dtype: Any, data: Any) -> Any:
    """A number of NumPy as Python's."""
    kind = known_dtype(dtype)
    if type(data) is not bytes or len(data) != kind.itemsize:
        raise DataError("a number of NumPy with the wrong bytes")
    return np.frombuffer(data, kind)[0].item()


def known_dtype(value: Any) -> np.dtype[Any]:
    """The dtype that a value stands for."""
    if not isinstance(value, NumPyValue) or value.dtype is None:
        raise DataError("an array of NumPy without a dtype")
    return value.dtype


def fill_dtype(target: NumPyValue, state: tuple[Any, ...]) -> None:
    """Set a dtype's order of bytes."""
    assert target.dtype is not None
    if len(state) < 2 or state[1] not in ("<", ">", "|", "=") or any(state[2:5]):
        raise DataError("a dtype of NumPy that is no number")
    target.dtype = target.dtype.newbyteorder(state[1])


def fill_array(target: NumPyValue, state: tuple[Any, ...]) -> None:
    """Set an array's elements, in the machine's own order of bytes."""
    if len(state) != 5 or type(state[1]) is not tuple or type(state[4]) is not bytes:
        raise DataError("an array of NumPy of an unknown form")
    _, shape, dtype, columns, data = state
    kind = known_dtype(dtype)
    count = 1
    if len(shape) > MAX_DIMS or not all(map(natural, shape)):
        raise DataError("an array of NumPy with an impossible shape")
    for extent in shape:
        count *= extent
    if count * kind.itemsize != len(data) or (not count and max(shape) > 1 << 40):
        raise DataError("an array of NumPy with the wrong bytes")
    flat = np.frombuffer(data, kind).astype(kind.newbyteorder("="))
    target.array = flat.reshape(shape, order="F" if columns is True else "C")


CALLS: Final[Mapping[str, Callable[..., Any]]] = {
    "collections.OrderedDict": pairs,
    "collections.Counter": pairs,
    "collections.defaultdict": default_dict,
    "builtins.set": members,
    "builtins.frozenset": frozen,
    "builtins.bytes": no_bytes,
    "torch.Size": size,
    "torch.device": device,
    "torch._utils._rebuild_tensor": tensor_v1,
    "torch._utils._rebuild_tensor_v2": tensor_v2,
    "torch._utils._rebuild_tensor_v3": tensor_v3,
    "torch._utils._rebuild_parameter": parameter,
    "torch._utils._rebuild_parameter_with_state": parameter,
    "_codecs.encode": encoded,
    "numpy.dtype": numpy_dtype,
    "numpy.core.multiarray._reconstruct": empty_array,
    "numpy.core.multiarray.scalar": numpy_number,
}
"""The functions that a file may call, as written here."""


# ------------------------------------------------------------------------------------ the result


class Finish:
    """Makes a stream's value final: tensors become arrays over `data(storage)`, names of dtypes
    dtypes. Raises `DataError` where the result would be larger than the file deserves."""

    def __init__(self, data: Callable[[Storage], Array], file_bytes: int) -> None:
        self.data = data
        self.budget = FREE_BYTES + EXPANSION * file_bytes
        self.done: dict[int, tuple[Any, int, int]] = {}
        self.open: set[int] = set()

    def value(self, given: Any, depth: int = 0) -> tuple[Any, int, int]:
        """The final value, how many values it holds, and how many bytes of tensors, each counted
        as often as it is met."""
        if isinstance(given, str | int | float | bytes | type(None)):
            return given, 1, 0
        found = self.done.get(id(given))
        if found is None:
            if id(given) in self.open or depth > MAX_NESTING:
                raise DataError(f"its values hold each other, or nest deeper than {MAX_NESTING}")
            self.open.add(id(given))
            found = self.made(given, depth)
            self.open.discard(id(given))
            self.done[id(given)] = found
            if found[1] > MAX_VALUES or found[2] > self.budget:
                raise DataError("its values are much larger than the file itself")
        return found

    def made(self, given: Any, depth: int) -> tuple[Any, int, int]:
        """The final form of a container or tensor."""
        if isinstance(given, Place):
            if given.nbytes > self.budget:
                raise DataError(f"a tensor of sizes {given.shape} is much larger than the file")
            return self.array(given), 1, given.nbytes
        if isinstance(given, NumPyValue) and given.array is not None:
            return given.array, 1, given.array.nbytes
        if isinstance(given, Name) and given.text.startswith("torch.") and given.text in INERT:
            return self.dtype(given.text.removeprefix("torch.")), 1, 0
        if isinstance(given, set | frozenset):
            return given, 1 + len(given), 0
        if isinstance(given, dict):
            parts = {key: self.value(value, depth + 1) for key, value in given.items()}
            made: Any = {key: part[0] for key, part in parts.items()}
            return made, *totals(list(parts.values()))
        if isinstance(given, list | tuple):
            several = [self.value(value, depth + 1) for value in given]
            return type(given)(part[0] for part in several), *totals(several)
        raise DataError(f"a {type(given).__name__.lower()} that belongs to no tensor")

    def array(self, place: Place) -> Array:
        """A tensor as a read-only array over its storage."""
        if not place.nbytes:
            try:
                return np.zeros(place.shape, place.dtype)
            except (ValueError, MemoryError):
                raise DataError(f"a tensor of sizes {place.shape}") from None
        item = place.dtype.itemsize
        held = self.data(place.storage)
        held = held[: len(held) // item * item].view(place.dtype)
        made = as_strided(
            held[place.offset :], place.shape, [s * item for s in place.strides], writeable=False
        )
        if place.dtype == np.bool_ and bool((made.view(np.uint8) > 1).any()):
            raise DataError("a tensor of bool with other bytes than 0 and 1")
        return made

    def dtype(self, name: str) -> DType:
        """The dtype of this name of torch's."""
        try:
            return dtype_of(DTYPES[name])
        except DTypeError:
            raise DataError(f"the dtype torch.{name}, which there is none of here") from None


def totals(parts: list[tuple[Any, int, int]]) -> tuple[int, int]:
    """How many values and bytes these hold, with the one around them."""
    return 1 + sum(part[1] for part in parts), sum(part[2] for part in parts)
