"""Ops that run in Python, for tests; the registry holds them only inside of `registered`."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, ClassVar

import numpy as np

from intaglio.compiler.errors import ArgumentError
from intaglio.compiler.op import OPS, Op
from intaglio.compiler.ops.host import HostCall
from intaglio.compiler.types import TensorType

Array = np.ndarray[Any, Any]


class Calls:
    """What was called: the names of the threads, and what is to happen in the next call,
    and the operands where they are wanted."""

    def __init__(self) -> None:
        self.threads: list[str] = []
        self.before: Callable[[], None] | None = None
        self.kept: list[Array] | None = None


@contextmanager
def registered() -> Iterator[Calls]:
    """`test_inverse`, `test_split` (two results) and `test_wrong` (not what its type says)."""
    calls = Calls()
    known = set(OPS)

    class Inverse(HostCall):
        """The inverse of a matrix, shifted by a number."""

        name = "test_inverse"

        def type(self, *types: TensorType, shift: Any = 0, sizes: Any = ()) -> TensorType:
            """The operand's type."""
            return types[0]

        def reference(self, x: Array, *, shift: Any = 0, sizes: Any = ()) -> Array:
            """By NumPy. `sizes` are what the operand's sizes are said to be."""
            calls.threads.append(threading.current_thread().name)
            if calls.before is not None:
                calls.before()
            if calls.kept is not None:
                calls.kept.append(x)
            if x.flags.writeable or not x.flags.c_contiguous or (sizes and x.shape != sizes):
                raise ArgumentError(f"test_inverse: {x.flags} {x.shape}")
            return np.asarray(np.linalg.inv(x + shift))

    class Split(HostCall):
        """A vector's elements in order, and its extremes."""

        name = "test_split"

        def type(self, x: TensorType) -> tuple[TensorType, ...]:
            """A vector, and two numbers."""
            return x, x.with_shape(2)

        def reference(self, x: Array) -> tuple[Array, ...]:
            """By NumPy."""
            return np.sort(x), np.array([x.min(), x.max()], x.dtype)

    class Wrong(HostCall):
        """Says another type than it returns."""

        name = "test_wrong"
        returns: ClassVar[type] = np.float32

        def type(self, x: TensorType) -> TensorType:
            """The operand's type."""
            return x

        def reference(self, x: Array) -> Array:
            """Another dtype."""
            return x.astype(np.int16)

    try:
        yield calls
    finally:
        for name in set(OPS) - known:
            del OPS[name]


def op(name: str) -> Op:
    """A registered op."""
    return OPS[name]
