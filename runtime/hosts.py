"""The calls into Python that a compiled function makes between its native steps.

The function hands over the number of a call and the addresses of its operands and results, in its
own buffers. Here they become arrays: the operands are looks that can't be written, the results are
copied to where the function wants them. What a call raises is kept, since it can't cross native
code; the function then reports that a call failed, and whoever called it raises what was kept."""

from __future__ import annotations

import ctypes
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from intaglio.compiler.dims import Dim, evaluate
from intaglio.compiler.errors import Error, InterruptedError
from intaglio.compiler.lowered import HostSpec
from intaglio.compiler.op import located, op_named
from intaglio.compiler.ops.host import HostCall
from intaglio.compiler.types import TensorType
from intaglio.compiler.where import Places
from intaglio.runtime.arrays import Array

FAILED: Final = 4
"""The kind of error that native code reports for a call that failed."""
CALLER: Final = ctypes.CFUNCTYPE(None, ctypes.c_int64, ctypes.c_void_p, ctypes.c_void_p)
UNSHARED: Final = 2
"""References to an array in a list that nobody else has, as `sys.getrefcount` tells."""
Typed = tuple[np.dtype[Any], tuple[int, ...], int]
"""A dtype, a shape and the bytes."""


@dataclass(frozen=True, slots=True)
class HostCallee:
    """A call for given sizes: the op, its attributes, operands and results."""

    rule: HostCall
    attributes: Mapping[str, Any]
    operands: tuple[Typed, ...]
    results: tuple[Typed, ...]
    wanted: tuple[tuple[np.dtype[Any], tuple[int, ...]], ...]

    def __call__(self, arrays: Sequence[Array]) -> tuple[Array, ...]:
        """The results for these operands."""
        return self.rule.called(arrays, self.attributes, self.wanted)


def callee(spec: HostSpec, sizes: Mapping[str, int]) -> HostCallee:
    """A call for given sizes."""
    values = {name: _known(value, sizes) for name, value in spec.attributes}

    def typed(type: TensorType) -> Typed:
        shape = tuple(evaluate(size, sizes) for size in type.shape)
        return type.dtype.numpy, shape, evaluate(type.bytes, sizes)

    operands, results = (tuple(map(typed, many)) for many in (spec.operands, spec.results))
    rule = op_named(spec.op)
    assert isinstance(rule, HostCall)
    wanted = tuple((dtype, shape) for dtype, shape, _ in results)
    return HostCallee(rule, values, operands, results, wanted)


def _known(attribute: object, sizes: Mapping[str, int]) -> object:
    """An attribute with the sizes in place."""
    if isinstance(attribute, Dim):
        return evaluate(attribute, sizes)
    if isinstance(attribute, tuple):
        return tuple(_known(item, sizes) for item in attribute)
    return attribute


@dataclass(frozen=True, slots=True)
class Looks:
    """Where the operands and results of a call lie, and the arrays there."""

    places: tuple[int | None, ...]
    memory: list[Any]
    operands: list[Array]
    results: list[Array]


class HostCalls:
    """The calls of one call in flight; `address` is that of the C function that makes them."""

    def __init__(self, specs: Sequence[HostSpec]) -> None:
        self._specs = specs
        self._callees: list[HostCallee] = []
        self.alive: object = None
        """What owns the memory that a call in flight works on."""
        self._last: dict[int, Looks] = {}
        self._raised: tuple[HostSpec, BaseException] | None = None
        self._caller: Callable[..., None] = CALLER(self._call)
        self.address = ctypes.cast(self._caller, ctypes.c_void_p).value

    def fit(self, sizes: Mapping[str, int]) -> None:
        """Make ready for calls with these sizes."""
        self._callees = [callee(spec, sizes) for spec in self._specs]
        self._last.clear()

    def _call(self, number: int, pointers: int, done: int) -> None:
        """Make a call; set `done` as the last act, since an exception that comes from nowhere
        (Ctrl-C) would be swallowed on the way."""
        try:
            one = self._callees[number]
            looks = self._looks(number, one, pointers)
            try:
                for target, result in zip(looks.results, one(looks.operands), strict=True):
                    np.copyto(target, result)
            finally:
                self._let_go(number, looks)
        except BaseException as error:  # native code lies between here and whoever wants it
            self._raised = self._specs[number], error
            return
        ctypes.c_int64.from_address(done).value = 1

    def _looks(self, number: int, one: HostCallee, pointers: int) -> Looks:
        """The operands and results of a call: those of the last one where they lie there again."""
        count = len(one.operands)
        places = tuple((ctypes.c_void_p * (count + len(one.results))).from_address(pointers))
        last = self._last.get(number)
        if last is None or last.places != places:
            typed = zip((*one.operands, *one.results), places, strict=True)
            memory = [memory_at(place, bytes) for (_, _, bytes), place in typed]
            whole = zip((*one.operands, *one.results), memory, strict=True)
            arrays = [np.ndarray(shape, dtype, m) for (dtype, shape, _), m in whole]
            last = Looks(places, memory[:count], arrays[:count], arrays[count:])
            self._last[number] = last
        return last

    def _let_go(self, number: int, looks: Looks) -> None:
        """Where a callee kept a look at an operand, let it keep the memory alive."""
        for k in range(len(looks.operands)):
            if sys.getrefcount(looks.operands[k]) > UNSHARED:
                looks.memory[k].owner = self.alive
                self._last.pop(number, None)

    def failure(self, nodes: Sequence[tuple[str, Places]]) -> BaseException:
        """What the call that failed raised, with the place of its node."""
        kept, self._raised = self._raised, None
        if kept is None or isinstance(kept[1], KeyboardInterrupt):
            return InterruptedError("stopped by Ctrl-C; no state was changed")
        spec, error = kept
        if not isinstance(error, Error):
            return error
        made = located(error, nodes[spec.node][1])
        made.__cause__ = error.__cause__
        return made


def memory_at(place: int | None, bytes: int) -> Any:
    """The memory at an address, as an object that NumPy takes and that can hold on to an owner."""
    if not place or not bytes:
        return (ctypes.c_char * 1)()
    return (ctypes.c_char * bytes).from_address(place)
