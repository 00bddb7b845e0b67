"""Runs a graph as often as wanted: checks the arrays of a call, picks or compiles the form for
their sizes, and commits updates of state only when everything has succeeded.

The first sizes get a form of their own (*specialised*); when a symbol takes a second value, the
*general* form is compiled, with extents at run time and the same bits, and serves every other size.
So a graph is compiled twice at most."""

from __future__ import annotations

import threading
from bisect import bisect_right
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Protocol

from intaglio.compiler.dims import Constraint, symbols
from intaglio.compiler.errors import ArgumentError, CompileError, DeviceError
from intaglio.compiler.ir import Function, Graph, Value
from intaglio.compiler.op import has_effect
from intaglio.compiler.passes.prints import expose, silence
from intaglio.compiler.types import TensorType
from intaglio.runtime.arrays import Array, is_writable, span
from intaglio.runtime.interpreted import Interpreted
from intaglio.runtime.prints import show
from intaglio.runtime.settings import LOG
from intaglio.runtime.signature import Signature, Sizes
from intaglio.runtime.toolchain import find_toolchain

if TYPE_CHECKING:  # lowering is not loaded where nothing is compiled
    from intaglio.runtime.checked import NaNCheck
    from intaglio.runtime.device.device import Device
    from intaglio.runtime.layout import Planner
    from intaglio.runtime.packed import PackedStates
    from intaglio.runtime.prepared import Prepared, Row


class Form(Protocol):
    """A graph made ready to run, for all sizes or for some."""

    native: bool

    @property
    def planner(self) -> Planner:
        """The lowered function and its memory."""
        ...

    def timed(self) -> AbstractContextManager[list[list[float]]]:
        """Time the steps of the calls made inside."""
        ...

    def run(
        self, arrays: list[Array], sizes: Sizes, threads: int | None, stable: object = None
    ) -> list[Array]:
        """The results without the updates, which are in the arrays of the states afterwards.

        The same `stable` object as in an earlier call says that the states' arrays are the same."""
        ...


class Executable:
    """A graph that can be called with arrays. Threads may call it at once.

    `updates` maps outputs to the inputs (states) that they replace: those outputs are written into
    the inputs' arrays instead of being returned, and only if the call succeeds. The last `states`
    inputs are states, mostly the same arrays from call to call: they are checked when they change.
    `general` compiles for run-time extents from the start; `backend` is `native`, `interpret`, or
    None for native where a compiler is found; `digest` identifies the graph, where something
    cheaper than its text does. With `packed`, packed copies of the states that are not updated are
    kept there and read in their place. What the graph is to show (`debug_print`) is shown after
    each call, unless `prints` is false. With `check_nan` the graph runs op by op and raises
    `NaNError` where a NaN came from. With a `device` it runs there: operands and states may lie
    on it or be ndarrays, results lie on it."""

    def __init__(
        self,
        graph: Graph,
        *,
        updates: Mapping[int, int] | None = None,
        states: int = 0,
        names: Sequence[str] = (),
        label: str = "",
        backend: str | None = None,
        max_memory: int | None = None,
        threads: int | None = None,
        general: bool = False,
        digest: str = "",
        packed: PackedStates | None = None,
        prints: bool = True,
        check_nan: NaNCheck | None = None,
        device: Device | None = None,
    ) -> None:
        shows = any(map(has_effect, graph.nodes))
        if shows:
            digest = f"{digest} {prints}" if digest else ""
            graph = graph if prints else silence(graph)
        own, checked = len(graph.outputs) - len(updates or {}), len(graph.outputs)
        graph, shown = expose(graph)
        self._shown = (own, shown) if shown else None
        self.graph, self.label, self.device = graph, label, device
        self.updates = dict(updates or {})
        self.names = tuple(names) or tuple(f"input {k}" for k in range(len(graph.inputs)))
        types = [v.type for v in graph.inputs]
        if symbols(*(s for t in types[len(types) - states :] for s in t.shape)):
            states = 0  # their sizes take part in each call
        self._count = len(types) - states
        count, names = self._count, self.names
        self.signature = self._signature(types[:count], names[:count], graph.constraints)
        self._kept = self._signature(types[count:], names[count:], ())
        self._trusted: tuple[Array, ...] = ()
        self._written: _Written | None = None
        self._packed = packed
        inside = set(self.updates.values())
        fixed = [k for k in range(self._count, len(types)) if k not in inside]
        self.packable = () if packed is None or device is not None else tuple(fixed)
        if check_nan is not None and device is not None:
            raise DeviceError(
                f"{label}: check_nan runs op by op on the CPU: move the tensors there"
            )
        if check_nan is not None and check_nan.outputs is None:
            check_nan = replace(check_nan, outputs=checked)
        self._options = Options(backend, max_memory, digest, label, check_nan)
        self.threads, self.general, self.compiles = threads, general, 0
        self._general: Form | None = None
        self._special: dict[tuple[int, ...], Form] = {}
        self._building = threading.Lock()
        self._writing = threading.Lock()

    def _signature(
        self, types: list[TensorType], names: tuple[str, ...], constraints: Sequence[Constraint]
    ) -> Signature:
        if self.device is None:
            return Signature(types, names, constraints, self.label)
        from intaglio.runtime.device.operands import DeviceSignature

        return DeviceSignature(self.device, types, names, constraints, self.label)

    def __call__(self, arrays: Sequence[object]) -> list[Array]:
        """The results for these arrays, in the order of the graph's outputs."""
        count = self._count
        if count == len(arrays):
            return self.call(arrays, ())
        return self.call(arrays[:count], tuple(arrays[count:]))

    def call(self, given: Sequence[object], states: tuple[object, ...]) -> list[Array]:
        """The results for these operands and states. It is quickest with the very tuple of states
        of the last call."""
        if self._count == len(self.names) and states:
            given, states = (*given, *states), ()
        admitted = self.signature.admit(given)
        sizes = self.signature.bind(admitted)
        if states:
            trusted = self._trusted
            arrays = trusted if states is trusted else self._admit_states(states)
            admitted += arrays
        form = self._special.get(sizes.key) or self._general or self.form(sizes)
        if not self.updates:
            results = form.run(admitted, sizes, self.threads, arrays if states else None)
        else:
            apart = self._keep_apart((*given, *states), admitted)
            with self._writing:
                stable = arrays if states and apart else None
                results = form.run(admitted, sizes, self.threads, stable)
        return results if self._shown is None else self._show(results)

    def _show(self, results: list[Array]) -> list[Array]:
        """The function's own results, once the others were shown."""
        assert self._shown is not None
        count, shown = self._shown
        hidden: Sequence[Any] = results[count:]
        show(shown, hidden if self.device is None else [array.to_host() for array in hidden])
        return results[:count]

    def form(self, sizes: Sizes) -> Form:
        """The form that serves these sizes, compiled now if there is none yet."""
        with self._building:
            found = self._special.get(sizes.key) or self._general
            if found is None:
                special = not self._special and not self.general
                found = self._compile(sizes, special)
                if special:
                    self._special[sizes.key] = found
                else:
                    self._general = found
        return found

    def _compile(self, sizes: Sizes, special: bool) -> Form:
        self.compiles += 1
        if self._options.check_nan is not None:
            return self._checked(self._options.check_nan)
        if self.device is not None:
            from intaglio.runtime.device.form import CudaForm

            return CudaForm(self.device, self._planner(sizes, special))
        if self._options.backend == "interpret" or not self._has_compiler():
            return Interpreted(self.graph, self.updates, self._options.max_memory)
        from intaglio.runtime.native_form import NativeForm

        planner = self._planner(sizes, special)
        return NativeForm(planner, self._count, self._packed, self.names)

    def _checked(self, check: NaNCheck) -> Form:
        from intaglio.runtime.checked import Checked

        native = self._options.backend != "interpret" and self._has_compiler()
        limit, label = self._options.max_memory, self.label
        return Checked(self.graph, self.updates, limit, check, self.names, label, native)

    def _has_compiler(self) -> bool:
        try:
            find_toolchain()
        except CompileError as error:
            if self._options.backend == "native":
                raise
            _warn_once(str(error))
            return False
        return True

    def _planner(self, sizes: Sizes, special: bool) -> Planner:
        """The lowered function for these sizes alone, or for all, with its memory. It reads weights
        as they are where a call with these sizes could take no packed copies and runs without."""
        from intaglio.runtime.compile import lowered_graph
        from intaglio.runtime.layout import Planner

        named = sizes.by_name if special and sizes.key else None
        options = self._options

        def plan(packable: Sequence[int]) -> Planner:
            target = "c" if self.device is None else "cuda"
            lowered = lowered_graph(
                self.graph, self.updates, named, options.digest, options.label, packable, target
            )
            if self.device is not None:
                from intaglio.runtime.device.form import DevicePlanner

                return DevicePlanner(
                    self.device, lowered, self.updates, options.label, options.max_memory
                )
            return Planner(lowered, self.updates, options.label, options.max_memory)

        made = plan(self.packable)
        if not made.lowered.packs or made.fits(sizes, self.threads):
            return made
        unpacked = plan(())
        return unpacked if unpacked.fits(sizes, self.threads) else made

    def row(self) -> Row | None:
        """A quicker way to call the general form, if it is simple enough."""
        from intaglio.runtime.native_form import NativeForm
        from intaglio.runtime.prepared import Row

        form = self._general if self._shown is None else None
        return Row(form) if isinstance(form, NativeForm) and Row.serves(form) else None

    def prepared(self, arrays: Sequence[Array]) -> Prepared | None:
        """A quicker way to call the general form with arrays of these types again, if it is simple
        enough."""
        from intaglio.runtime.native_form import NativeForm
        from intaglio.runtime.prepared import Prepared

        form, sizes = self._general, self.signature.bind(arrays)
        if self._shown or self.threads or not isinstance(form, NativeForm):
            return None
        if not Prepared.serves(form, sizes):
            return None
        return Prepared(form, sizes)

    def forms(self) -> str:
        """Which forms there are, in words."""
        found = [
            f"specialised to {', '.join(map(str, key))}" if key else "compiled"
            for key in self._special
        ]
        found += ["compiled for all sizes"] if self._general else []
        return "; ".join(found) or "not compiled yet"

    def planner(self, sizes: Sizes) -> Planner:
        """The lowered function that serves these sizes, with its memory; nothing is compiled."""
        form = self._special.get(sizes.key) or self._general
        if isinstance(form, Interpreted) or form is None:
            return self._planner(sizes, not self._special and not self.general)
        return form.planner

    # ------------------------------------------------------------------------------------- states

    def _admit_states(self, states: tuple[object, ...]) -> tuple[Array, ...]:
        """The arrays of the states; those not seen in the last call are checked. The same tuple as
        in the last call where they are the same."""
        trusted = self._trusted
        if len(states) == len(trusted):
            for array, known in zip(states, trusted, strict=True):
                if array is not known:
                    break
            else:
                return trusted
        arrays = self._kept.admit(states)
        self._kept.bind(arrays)
        admitted = tuple(arrays)
        if all(a is b for a, b in zip(admitted, states, strict=True)):
            admitted = states  # type: ignore[assignment]  # the caller's tuple is known again
        self._trusted = admitted
        return admitted

    def _keep_apart(self, given: Sequence[object], arrays: list[Array]) -> bool:
        """See that the updated arrays are writable and apart from each other, and copy operands
        that overlap one. Whether there were none of these."""
        targets = [arrays[j] for j in self.updates.values()]
        written = self._written
        if written is None or not written.same(targets):
            for array, j in zip(targets, self.updates.values(), strict=True):
                if array is not given[j] or not is_writable(array):
                    raise ArgumentError(
                        f"{self._place(j)} is updated in place: a writable, dense array is wanted"
                    )
            written = _Written(targets)
            if written.overlapping:
                raise ArgumentError(f"{self.label or 'the graph'}: two updated states overlap")
            self._written = written
        inside = set(self.updates.values())
        apart = True
        for k in range(len(arrays)):
            if k not in inside and written.meets(arrays[k]):
                arrays[k] = arrays[k].copy()
                apart = False
        return apart

    def _place(self, number: int) -> str:
        return f"{self.label}: {self.names[number]}" if self.label else self.names[number]


class _Written:
    """The memory that a call updates."""

    def __init__(self, arrays: list[Array]) -> None:
        self._arrays = arrays
        spans = sorted(map(span, arrays))
        self._starts = [start for start, _ in spans]
        self._ends = [end for _, end in spans]
        self.overlapping = any(b < e for e, b in zip(self._ends, self._starts[1:], strict=False))

    def same(self, arrays: list[Array]) -> bool:
        """Whether these are the very arrays."""
        return all(a is b for a, b in zip(self._arrays, arrays, strict=True))

    def meets(self, array: Array) -> bool:
        """Whether an array shares a byte with them."""
        start, end = span(array)
        k = bisect_right(self._ends, start)
        return k < len(self._starts) and self._starts[k] < end


@dataclass(frozen=True, slots=True)
class Options:
    """How a form is compiled."""

    backend: str | None = None
    max_memory: int | None = None
    digest: str = ""
    label: str = ""
    check_nan: NaNCheck | None = None


@lru_cache(maxsize=4)
def _warn_once(reason: str) -> None:
    LOG.warning("%s; functions run in NumPy meanwhile: slow, and with other last bits", reason)


def compile_graph(graph: Graph, **options: Any) -> Executable:
    """Make a graph callable. Options are those of `Executable`."""
    return Executable(graph, **options)


class FunctionExecutable(Executable):
    """A function of a program, over its arguments followed by the states named in `states`: those
    it reads, then those it only writes."""

    def __init__(self, function: Function, **options: Any) -> None:
        unread = [s for s in function.updates if s not in function.reads]
        values = function.update_values
        extra = [Value(values[s].type, s) for s in unread]
        graph = function.graph.replace(inputs=(*function.graph.inputs, *extra))
        self.function = function
        self.states: tuple[str, ...] = (*function.reads, *unread)
        place = {s: len(function.arguments) + k for k, s in enumerate(self.states)}
        first = len(function.results)
        updates = {first + k: place[s] for k, s in enumerate(function.updates)}
        names = (*function.arguments, *self.states)
        super().__init__(
            graph,
            updates=updates,
            states=len(self.states),
            names=names,
            label=function.name,
            **options,
        )


def compile_function(function: Function, **options: Any) -> FunctionExecutable:
    """Make a function of a program callable with its arguments and the arrays of its states, which
    it updates in place."""
    return FunctionExecutable(function, **options)
