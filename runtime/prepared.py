"""Calls of a compiled form with little around them, for eager ops: what was checked once holds for
every call, since operands have the types for which the call was prepared.

A `Row` serves rows of any length, a `Prepared` call one set of sizes. Each call in flight has a
frame of its own, so threads may call at once."""

from __future__ import annotations

import builtins
from collections.abc import Sequence
from typing import Final

import numpy as np

from intaglio.runtime.arrays import Array, address
from intaglio.runtime.native_form import Frame, NativeForm
from intaglio.runtime.pool import failure
from intaglio.runtime.settings import num_threads
from intaglio.runtime.signature import Sizes
from intaglio.runtime.spare import LARGE

SMALL: Final = 1 << 12
"""Bytes of temporaries up to which a prepared call keeps memory of its own."""


class Row:
    """A form over rows of one length, without temporaries: operands and result are dense and
    equally long."""

    def __init__(self, form: NativeForm) -> None:
        buffers = form.lowered.buffers
        self._entry = form.entry
        self._inputs = [slot for slot, spec in enumerate(buffers) if spec.kind == "input"]
        (self._output,) = [slot for slot, spec in enumerate(buffers) if spec.kind == "output"]
        self._form = form
        self._frames: list[Frame] = []
        self._size = Sizes(dict.fromkeys(form.lowered.size_names, 1))

    @staticmethod
    def serves(form: NativeForm) -> bool:
        """Whether a form is as simple as that."""
        kinds = [spec.kind for spec in form.lowered.buffers]
        simple = set(kinds) == {"input", "output"} and kinds.count("output") == 1
        return simple and not form.lowered.nodes and len(form.lowered.size_names) == 1

    def __call__(self, arrays: Sequence[Array], length: int, result: Array) -> None:
        """Fill `result`."""
        count = num_threads()
        try:
            frame = self._frames.pop()
        except builtins.IndexError:
            frame = self._form.frame(self._form.planner.layout(self._size), count)
        if frame.context.threads != count:
            frame.context.prepare(count, 0)
        table = frame.table
        for slot, array in zip(self._inputs, arrays):  # noqa: B905  # equally many by construction
            table[slot] = address(array)
        table[self._output] = address(result)
        frame.dims[0] = length
        self._entry(frame.context.pointer, frame.pointers, frame.sizes)
        self._frames.append(frame)


class Prepared:
    """A form for dense operands of fixed types, with small temporaries and results. All calls of a
    form that need no temporaries share its bare frames, in which only the sizes differ."""

    def __init__(self, form: NativeForm, sizes: Sizes) -> None:
        self._form, self._entry = form, form.entry
        self._layout = form.planner.layout(sizes)
        self._inputs = form.argument_slots
        self._results = [(r.slot, r.shape, r.dtype) for r in self._layout.results]
        bare = self._layout.arena.bytes == 0
        self._frames: list[Frame] = form.bare_frames if bare else []

    @staticmethod
    def serves(form: NativeForm, sizes: Sizes) -> bool:
        """Whether a form can be called so: no states, little memory, and known to be quick, so that
        Ctrl-C need not be watched for."""
        if not form.is_plain or not form.is_quick(sizes):
            return False
        layout = form.planner.layout(sizes)
        if any(result.bytes >= LARGE for result in layout.results):
            return False
        return layout.arena.bytes == 0 or max(layout.arena.bytes, layout.scratch) <= SMALL

    def __call__(self, arrays: Sequence[Array]) -> list[Array]:
        """The results for these operands."""
        count = num_threads()
        try:
            frame = self._frames.pop()
        except builtins.IndexError:
            frame = self._form.frame(self._layout, count)
        context = frame.context
        if frame.layout is not self._layout:
            frame.turn(self._layout)
        if context.threads != count:
            context.prepare(count, self._layout.scratch)
        table = frame.table
        for slot, k in self._inputs:
            table[slot] = address(arrays[k])
        made = []
        for slot, shape, dtype in self._results:
            array = np.empty(shape, dtype)
            table[slot] = address(array)
            made.append(array)
        status = self._entry(context.pointer, frame.pointers, frame.sizes)
        if status:
            error = failure(context.error, [where for _, where in self._form.lowered.nodes])
            context.clear()
            self._frames.append(frame)
            raise error
        self._frames.append(frame)
        return made
