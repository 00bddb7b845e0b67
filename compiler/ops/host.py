"""Ops whose kernel is Python: a call into NumPy, LAPACK or a user's function, between native steps.

A compiled function reaches such a node, leaves its native code on the thread that called it, runs
the op's `reference` on views of its own buffers, and goes on. Such an op is pure, ordered by data
alone, and outside the promise of equal bits; but eager, compiled and loaded programs call the same
function on operands that lie row-major, so that in practice they agree. A call that fails leaves
all state unchanged: states are written in place only behind the last such call."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import numpy as np

from intaglio.compiler.dtypes import dtype_of
from intaglio.compiler.errors import Error
from intaglio.compiler.op import Array, Op, result_types
from intaglio.compiler.types import TensorType

Typed = tuple[Any, tuple[Any, ...]]
"""A NumPy dtype and a shape."""


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
        return self.called(arrays, attributes, [(t.dtype.numpy, t.shape) for t in wanted])

    def called(
        self, arrays: Sequence[Array], attributes: Mapping[str, Any], wanted: Sequence[Typed]
    ) -> tuple[Array, ...]:
        """What `reference` gives for operands of the right types, held against the dtypes and
        shapes of the results."""
        try:
            with np.errstate(all="ignore"):
                made = self.reference(*map(_operand, arrays), **attributes)
        except Error:
            raise
        except Exception as error:
            told = f"{type(error).__name__}: {error}"
            raise Error(f"{self.name}: {_shown(arrays)}: {told}") from error
        found = [np.asarray(a) for a in made] if isinstance(made, tuple) else [np.asarray(made)]
        if len(found) != len(wanted) or any(
            a.dtype != dtype or a.shape != shape
            for a, (dtype, shape) in zip(found, wanted, strict=False)
        ):
            said = ", ".join(f"{np.dtype(dtype)}{list(shape)}" for dtype, shape in wanted)
            given = ", ".join(f"{a.dtype}{list(a.shape)}" for a in found)
            raise Error(
                f"{self.name}: {_shown(arrays)}: its function returned {given}, and its type says "
                f"{said}"
            )
        return tuple([_owned(a, arrays) for a in found])


def _shown(arrays: Sequence[Array]) -> str:
    types = [str(TensorType(dtype_of(a.dtype), a.shape)) for a in arrays]
    return ", ".join(types) or "no operands"


def _operand(array: Array) -> Array:
    """A dense, read-only look at an operand, which may be one of NumPy's scalars."""
    array = np.asarray(array)
    dense = array.view() if array.flags.c_contiguous else np.array(array, order="C")
    dense.flags.writeable = False
    return dense


def _owned(result: Array, operands: Sequence[Array]) -> Array:
    """A dense result of its own: no operand, and no look at one."""
    if result.flags.c_contiguous and result.flags.owndata and result.flags.writeable:
        return result
    return np.array(result, order="C")
