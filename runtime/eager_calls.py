"""The compiled kernels that eager ops share, each made at first need, and quick calls of them."""

from __future__ import annotations

import threading
from collections.abc import Callable, Hashable, Sequence
from typing import Final

import numpy as np

from intaglio.compiler.errors import CompileError
from intaglio.compiler.ir import Graph
from intaglio.runtime.arrays import DENSE, Array, is_dense
from intaglio.runtime.executor import Executable
from intaglio.runtime.prepared import Prepared
from intaglio.runtime.toolchain import find_toolchain

Evaluator = Callable[..., tuple[Array, ...]]

_KERNELS: Final[dict[Hashable, Executable]] = {}
TRIES: Final = 8
"""Calls after which a kernel that was not found quick enough for the short way stays on the long
one."""
_making: Final = threading.Lock()


def has_compiler() -> bool:
    """Whether kernels can be compiled here."""
    try:
        find_toolchain()
    except CompileError:
        return False
    return True


def kernel_of(key: Hashable, make: Callable[[], Graph]) -> Executable:
    """The kernel of a key, made at first need; it is compiled when first called."""
    found = _KERNELS.get(key)
    if found is None:
        with _making:
            found = _KERNELS.get(key)
            if found is None:
                found = _KERNELS[key] = Executable(make(), general=True)
    return found


def calls_of(kernel: Executable) -> Callable[[Sequence[Array]], list[Array]]:
    """Calls of a kernel with dense operands of the same types each time."""
    quick: Prepared | None = None
    tries = 0

    def call(arrays: Sequence[Array]) -> list[Array]:
        nonlocal quick, tries
        if quick is not None:
            return quick(arrays)
        made = kernel(arrays)
        if tries < TRIES:
            tries += 1
            quick = kernel.prepared(arrays)
        return made

    return call


def called_often(graph: Graph) -> Callable[[Sequence[Array]], list[Array]]:
    """A graph with known sizes as one compiled function of its operands' arrays."""
    kernel = Executable(graph, general=True)
    call = calls_of(kernel)

    def run(arrays: Sequence[Array]) -> list[Array]:
        return call([a if a.flags.num & DENSE == DENSE else as_dense(a) for a in arrays])

    return run


def as_dense(array: Array) -> Array:
    """The array itself where it is dense, else a copy."""
    return array if is_dense(array) else np.array(array, order="C", copy=True)
