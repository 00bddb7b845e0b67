"""torch's old constructors by type: `FloatTensor(2, 3)`, `LongTensor([1, 2])`."""

from __future__ import annotations

from typing import Any, Final

from intaglio._core import Tensor
from intaglio._functions_create import of_type
from intaglio.compiler import dtypes
from intaglio.compiler.dtypes import DType


class TypedConstructor:
    """Makes tensors of one dtype: of sizes one to be written, of a list or array one that holds its
    elements. `isinstance(x, FloatTensor)` asks for the dtype."""

    __slots__ = ("dtype", "name")

    def __init__(self, name: str, dtype: DType) -> None:
        self.name, self.dtype = name, dtype

    def __call__(self, *given: Any) -> Tensor:
        return of_type(self.dtype, given)

    def __instancecheck__(self, value: object) -> bool:
        return isinstance(value, Tensor) and value.dtype is self.dtype

    def __repr__(self) -> str:
        return f"intaglio.{self.name}"


FloatTensor: Final = TypedConstructor("FloatTensor", dtypes.float32)
DoubleTensor: Final = TypedConstructor("DoubleTensor", dtypes.float64)
HalfTensor: Final = TypedConstructor("HalfTensor", dtypes.float16)
BFloat16Tensor: Final = TypedConstructor("BFloat16Tensor", dtypes.bfloat16)
LongTensor: Final = TypedConstructor("LongTensor", dtypes.int64)
IntTensor: Final = TypedConstructor("IntTensor", dtypes.int32)
ShortTensor: Final = TypedConstructor("ShortTensor", dtypes.int16)
CharTensor: Final = TypedConstructor("CharTensor", dtypes.int8)
ByteTensor: Final = TypedConstructor("ByteTensor", dtypes.uint8)
BoolTensor: Final = TypedConstructor("BoolTensor", dtypes.boolean)
