"""The form that looks for NaN: a graph run op by op, by the very kernels that eager code uses, so
with the bits of the compiled form, and every float result looked at.

An op that makes a NaN from operands without one is remembered as its *origin*, and so is, for every
value that holds NaN from then on, where that came from. When a NaN reaches a result or a state, the
error names the origin, and no state is changed. A NaN that is masked away before (by `where`, say)
is no error: derivatives make such ones on purpose."""

from __future__ import annotations

import weakref
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np

from intaglio.compiler.errors import NaNError
from intaglio.compiler.interpret import evaluating, interpret, observing
from intaglio.compiler.ir import Attributes, Graph, Node, blocks
from intaglio.compiler.passes.dce import dce
from intaglio.compiler.passes.inline import inline
from intaglio.compiler.text import printable
from intaglio.compiler.where import Places, describe
from intaglio.runtime.arrays import Array
from intaglio.runtime.interpreted import Interpreted
from intaglio.runtime.signature import Sizes

_SHOWN: Final = 3
"""Positions of NaN that a message names."""


@dataclass(frozen=True, slots=True)
class NaNCheck:
    """What is looked at: the operands before anything runs (`inputs`), and the first `outputs`
    outputs (None: all)."""

    inputs: bool = True
    outputs: int | None = None


class Checked(Interpreted):
    """The graph run op by op; raises `NaNError` where a result would hold NaN."""

    def __init__(
        self,
        graph: Graph,
        updates: Mapping[int, int],
        max_memory: int | None,
        check: NaNCheck,
        names: Sequence[str],
        label: str,
        kernels: bool = True,
    ) -> None:
        super().__init__(dce(inline(graph)), updates, max_memory)
        self._check, self._names, self._label, self._kernels = check, names, label, kernels

    def _outputs(self, arrays: list[Array], sizes: Sizes) -> list[Array]:
        from intaglio.runtime.eager import evaluate

        watch = _Watch()
        for name, array in zip(self._names, arrays, strict=True):
            if holds_nan(array):
                origin = f"{printable(name)} holds NaN at {positions(array)}"
                if self._check.inputs:
                    raise NaNError(f"{printable(self._label)}: {origin}")
                watch.remember(array, Origin(origin))
        with evaluating(evaluate if self._kernels else None), observing(watch):
            made = interpret(self._graph, arrays, sizes.by_name)
        for array in made[: self._check.outputs]:
            if holds_nan(array):
                origin_ = watch.origin_of(array)
                text = origin_.text if origin_ is not None else f"NaN at {positions(array)}"
                raise NaNError(f"{printable(self._label)}: {text}")
        return made


@dataclass(frozen=True, slots=True)
class Origin:
    """Where a NaN came from, in words."""

    text: str


@dataclass(slots=True)
class _Loop:
    """A node with blocks that runs: how often each node inside has run, and the first NaN that was
    made inside."""

    node: Node
    attributes: Mapping[str, Any]
    counts: dict[Node, int] = field(default_factory=dict)
    first: Origin | None = None


class _Watch:
    """Follows NaN through a run. Arrays are known by identity as long as they live."""

    def __init__(self) -> None:
        self._known: dict[int, tuple[weakref.ref[Any], Origin]] = {}
        self._loops: list[_Loop] = []

    def begin(self, node: Node, attributes: Attributes) -> None:
        """A node is about to run."""
        if any(True for _ in blocks(node)):
            self._loops.append(_Loop(node, attributes))

    def end(self, node: Node, operands: Sequence[Array], results: Sequence[Array]) -> None:
        """A node has run."""
        inner = None
        if self._loops and self._loops[-1].node is node:
            inner = self._loops.pop()
        wild = [r for r in results if holds_nan(r)]
        if wild:
            origin = self._came_in(operands) or (inner.first if inner is not None else None)
            if origin is None:
                origin = self._made(node, operands, wild[0])
            for array in wild:
                self.remember(array, origin)
        if self._loops:
            counts = self._loops[-1].counts
            counts[node] = counts.get(node, 0) + 1

    def remember(self, array: Array, origin: Origin) -> None:
        """The NaN in an array comes from there."""
        if isinstance(array, np.ndarray):  # numbers of NumPy's own can't be referred to weakly
            self._known[id(array)] = (weakref.ref(array), origin)

    def origin_of(self, array: Array) -> Origin | None:
        """Where the NaN in an array, or in what it is a view of, comes from."""
        here: Any = array
        while isinstance(here, np.ndarray):
            found = self._known.get(id(here))
            if found is not None and found[0]() is here:
                return found[1]
            here = here.base
        return None

    def _came_in(self, operands: Sequence[Array]) -> Origin | None:
        for array in operands:
            origin = self.origin_of(array)
            if origin is not None and holds_nan(array):
                return origin
        return None

    def _made(self, node: Node, operands: Sequence[Array], result: Array) -> Origin:
        rounds = ""
        for loop in reversed(self._loops):
            count = loop.counts.get(node, 0) if loop is self._loops[-1] else None
            rounds += _round_text(loop, count)
        origin = Origin(nan_text(node.op, operands, result, node.where) + rounds)
        for loop in self._loops:
            loop.first = loop.first or origin
        return origin


def _round_text(loop: _Loop, count: int | None) -> str:
    if count is None:
        count = max(loop.counts.values(), default=0)
    length = loop.attributes.get("length")
    if loop.attributes.get("reverse") and isinstance(length, int):
        count = length - 1 - count
    place = f" ({printable(describe(loop.node.where))})" if loop.node.where else ""
    return f", in round {count} of the {loop.node.op}{place}"


def holds_nan(array: Any) -> bool:
    """Whether there is a NaN among the elements; repeated ones (of stride 0) are looked at once.
    What lies on a device is copied here."""
    array = array if isinstance(array, np.ndarray) else array.to_host()
    if array.dtype.kind not in "fV":
        return False
    if array.ndim and 0 in array.strides and array.size:
        array = array[tuple(slice(1) if s == 0 else slice(None) for s in array.strides)]
    return bool(np.isnan(array).any())


def positions(array: Any) -> str:
    """Where the NaN are: the first few positions, and how many there are."""
    array = array if isinstance(array, np.ndarray) else array.to_host()
    found = np.argwhere(np.isnan(array))
    shown = ", ".join(str([int(k) for k in row]) for row in found[:_SHOWN])
    return shown if len(found) <= _SHOWN else f"{shown} and {len(found) - _SHOWN} more places"


def nan_text(op: str, operands: Sequence[Array], result: Array, where: Places) -> str:
    """An op that made NaN: its operand types, where in the result, from which elements, and its
    line."""
    from intaglio.compiler.dtypes import dtype_of
    from intaglio.compiler.types import TensorType

    types = ", ".join(str(TensorType(dtype_of(a.dtype), a.shape)) for a in operands)
    text = f"{op}: {types or 'no operands'}: NaN at {positions(result)}"
    first = tuple(np.argwhere(np.isnan(result))[0])
    if operands and all(a.shape == result.shape for a in operands):
        text += f" from {' and '.join(str(a[first]) for a in operands)}"
    else:
        wild = [str(k) for k, a in enumerate(operands) if a.dtype.kind in "fV" and _unbounded(a)]
        text += f" (operand {' and '.join(wild)} holds inf)" if wild else ""
    return text + (f" ({printable(describe(where))})" if where else "")


def _unbounded(array: Array) -> bool:
    return bool(np.isinf(array).any())
