"""DLPack: arrays handed to other libraries, and taken from them, without a copy.

The structures are those of DLPack's C header, version 0.x (`DLManagedTensor`): a capsule called
`dltensor` holds one, whoever takes it renames the capsule to `used_dltensor` and calls the
structure's deleter when done."""

from __future__ import annotations

import ctypes
from typing import TYPE_CHECKING, Any, Final

import ml_dtypes
import numpy as np

from intaglio.compiler.errors import DTypeError
from intaglio.runtime.device.array import CUDA, DeviceArray

if TYPE_CHECKING:
    from intaglio.runtime.device.device import Device

INT, UINT, FLOAT, BFLOAT, BOOL = 0, 1, 2, 4, 6
FRESH, USED = b"dltensor", b"used_dltensor"


class _Type(ctypes.Structure):
    _fields_ = [("code", ctypes.c_uint8), ("bits", ctypes.c_uint8), ("lanes", ctypes.c_uint16)]


class _Tensor(ctypes.Structure):
    _fields_ = [
        ("data", ctypes.c_void_p),
        ("device", ctypes.c_int32),
        ("number", ctypes.c_int32),
        ("rank", ctypes.c_int32),
        ("type", _Type),
        ("shape", ctypes.POINTER(ctypes.c_int64)),
        ("strides", ctypes.POINTER(ctypes.c_int64)),
        ("offset", ctypes.c_uint64),
    ]


class _Managed(ctypes.Structure):
    pass


_Deleter = ctypes.CFUNCTYPE(None, ctypes.POINTER(_Managed))
_Managed._fields_ = [("tensor", _Tensor), ("context", ctypes.c_void_p), ("deleter", _Deleter)]

_api = ctypes.pythonapi
_Destructor = ctypes.CFUNCTYPE(None, ctypes.c_void_p)
_api.PyCapsule_New.argtypes = [ctypes.c_void_p, ctypes.c_char_p, _Destructor]
_api.PyCapsule_New.restype = ctypes.py_object
_is_valid: Any = ctypes.PYFUNCTYPE(ctypes.c_int, ctypes.c_void_p, ctypes.c_char_p)(
    ("PyCapsule_IsValid", _api)
)
_pointer: Any = ctypes.PYFUNCTYPE(ctypes.c_void_p, ctypes.c_void_p, ctypes.c_char_p)(
    ("PyCapsule_GetPointer", _api)
)
_api.PyCapsule_SetName.argtypes = [ctypes.py_object, ctypes.c_char_p]

_exported: Final[dict[int, tuple[Any, ...]]] = {}
"""What an exported structure needs to stay alive, by the structure's address."""


def export(array: DeviceArray) -> Any:
    """A capsule of a device array, which keeps its memory alive."""
    rank = array.ndim
    shape = (ctypes.c_int64 * max(rank, 1))(*array.shape)
    steps = [s // array.itemsize for s in array.strides]
    strides = (ctypes.c_int64 * max(rank, 1))(*steps)
    made = _Managed()
    made.tensor = _Tensor(
        array.address, CUDA, array.device.number, rank, _type_of(array.dtype), shape, strides, 0
    )
    made.deleter = _delete
    place = ctypes.addressof(made)
    _exported[place] = (made, shape, strides, array)
    return _api.PyCapsule_New(place, FRESH, _forget)


def _let_go(managed: Any) -> None:
    _exported.pop(ctypes.addressof(managed.contents), None)


def _drop_capsule(capsule: int) -> None:
    if _is_valid(capsule, FRESH):  # nobody took it
        _exported.pop(_pointer(capsule, FRESH), None)


_delete: Final = _Deleter(_let_go)
_forget: Final = _Destructor(_drop_capsule)


class _Taken:
    """A structure that another library lent; given back when nobody holds it any more."""

    def __init__(self, place: int) -> None:
        self.managed = _Managed.from_address(place)

    def __del__(self) -> None:
        if self.managed.deleter:
            self.managed.deleter(ctypes.pointer(self.managed))


def adopt(device: Device, value: Any) -> DeviceArray:
    """Another library's array on this device, which shares its memory."""
    capsule = value.__dlpack__(stream=1)  # its work is done before ours on the default stream
    place = _pointer(id(capsule), FRESH)
    taken = _Taken(place)
    _api.PyCapsule_SetName(capsule, USED)
    tensor = taken.managed.tensor
    dtype = _dtype_of(tensor.type)
    shape = tuple(tensor.shape[k] for k in range(tensor.rank))
    strides = None
    if tensor.strides:
        strides = tuple(tensor.strides[k] * dtype.itemsize for k in range(tensor.rank))
    address = (tensor.data or 0) + tensor.offset
    return DeviceArray(device, taken, address, dtype, shape, strides)


def _type_of(dtype: np.dtype[Any]) -> _Type:
    bits = 8 * dtype.itemsize
    if dtype == np.dtype(ml_dtypes.bfloat16):
        return _Type(BFLOAT, bits, 1)
    return _Type({"f": FLOAT, "i": INT, "u": UINT, "b": BOOL}[dtype.kind], bits, 1)


def _dtype_of(type: _Type) -> np.dtype[Any]:
    code, bits = int(type.code), int(type.bits)
    kind = {FLOAT: "f", INT: "i", UINT: "u"}.get(code)
    if type.lanes == 1 and bits in (8, 16, 32, 64):
        if kind is not None:
            return np.dtype(f"{kind}{bits // 8}")
        if (code, bits) == (BFLOAT, 16):
            made: np.dtype[Any] = np.dtype(ml_dtypes.bfloat16)
            return made
        if (code, bits) == (BOOL, 8):
            return np.dtype(np.bool_)
    raise DTypeError(f"DLPack: no dtype here has the code {code} and {bits} bits")
