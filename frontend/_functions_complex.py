"""torch's functions that make or take apart complex numbers, which do not exist here: each says so,
and what to do instead."""

from __future__ import annotations

from typing import Any

from intaglio._core import Tensor
from intaglio.compiler.errors import DTypeError


def _refuse(name: str, x: Any) -> DTypeError:
    kind = x._kind if isinstance(x, Tensor) else type(x).__name__
    return DTypeError(
        f"{name}: {kind}: complex dtypes are not supported; keep the real and the imaginary part as"
        " two tensors"
    )


def complex(real: Tensor, imag: Tensor) -> Tensor:
    """Raises `DTypeError`: there are no complex tensors."""
    raise _refuse("complex", real)


def polar(abs: Tensor, angle: Tensor) -> Tensor:
    """Raises `DTypeError`: there are no complex tensors."""
    raise _refuse("polar", abs)


def view_as_complex(input: Tensor) -> Tensor:
    """Raises `DTypeError`: there are no complex tensors."""
    raise _refuse("view_as_complex", input)


def view_as_real(input: Tensor) -> Tensor:
    """Raises `DTypeError`, as torch does for every tensor that is not complex."""
    raise _refuse("view_as_real", input)
