"""Ops whose kernel is Python: a call into NumPy, LAPACK or a user's function, between native steps.

A compiled function reaches such a node, leaves its native code on the thread that called it, runs
the op's `reference` on views of its own buffers, and goes on. Such an op is pure, ordered by data
alone, and outside the promise of equal bits; but eager, compiled and loaded programs call the same
function on operands that lie row-major, so that in practice they agree. A call that fails leaves
all state unchanged: states are written in place only behind the last such call."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np

from intaglio.compiler.dtypes import dtype_of
from intaglio.compiler.errors import Error
from intaglio.compiler.op import Array, Op, result_types
from intaglio.compiler.types import TensorType


class HostCall(Op):
    """Base of ops that run in Python. A subclass gives `type`, `reference`, `vjp` and `samples`.

    `reference` gets dense, row-major, read-only arrays, and returns arrays of exactly the dtypes
    and shapes that `type` tells. What it raises reaches the caller as an `Error` with the user's
    line: an `Error` of its own as it is, any other exception named in the text and as the cause."""

    host: ClassVar[bool] = True
    kernel: ClassVar[str] = "host"

    def results(self, *arrays: Array, **attributes: Any) -> tuple[Array, ...]:
        """What `reference` gives, held against the types."""
        types = [TensorType(dtype_of(a.dtype), a.shape) for a in arrays]
        wanted = result_types(self, types, attributes)
        try:
            with np.errstate(all="ignore"):
                made = self.reference(*map(_operand, arrays), **attributes)
        except Error:
            raise
        except Exception as error:
            told = f"{type(error).__name__}: {error}"
            raise Error(f"{self.name}: {', '.join(map(str, types))}: {told}") from error
        found = tuple(map(np.asarray, made if isinstance(made, tuple) else (made,)))
        if [(a.dtype, a.shape) for a in found] != [(t.dtype.numpy, t.shape) for t in wanted]:
            shown = ", ".join(f"{a.dtype}{list(a.shape)}" for a in found)
            raise Error(
                f"{self.name}: {', '.join(map(str, types)) or 'no operands'}: its function "
                f"returned {shown}, and its type says {', '.join(map(str, wanted))}"
            )
        return tuple(_owned(a, arrays) for a in found)


def _operand(array: Array) -> Array:
    """A dense, read-only look at an operand."""
    dense = np.ascontiguousarray(array).reshape(array.shape).view()
    dense.flags.writeable = False
    return dense


def _owned(result: Array, operands: tuple[Array, ...]) -> Array:
    """A dense result that shares no memory with an operand."""
    dense = np.ascontiguousarray(result).reshape(result.shape)
    if not dense.flags.writeable or any(np.may_share_memory(dense, a) for a in operands):
        return dense.copy()
    return dense
