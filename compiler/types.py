"""What the compiler knows of a value before it runs: element type and logical shape, nothing
else."""

from __future__ import annotations

from dataclasses import dataclass

from intaglio.compiler.dims import Shape, Size, product
from intaglio.compiler.dtypes import DType


@dataclass(frozen=True, slots=True)
class TensorType:
    """dtype and shape of a value. No device, no layout: `f32[n,64]` in dumps."""

    dtype: DType
    shape: Shape

    @property
    def rank(self) -> int:
        """Number of dimensions."""
        return len(self.shape)

    @property
    def elements(self) -> Size:
        """Number of elements."""
        return product(self.shape)

    @property
    def bytes(self) -> Size:
        """Bytes that the elements take when they lie densely."""
        return self.elements * self.dtype.size

    def with_shape(self, *shape: Size) -> TensorType:
        """This element type in another shape."""
        return TensorType(self.dtype, shape)

    def with_dtype(self, dtype: DType) -> TensorType:
        """This shape with another element type."""
        return TensorType(dtype, self.shape)

    def __str__(self) -> str:
        return f"{self.dtype}[{','.join(map(str, self.shape))}]"
