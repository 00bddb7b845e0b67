"""A graph compiled to CUDA kernels, and its calls: the form that an executable uses on a device.

For given sizes a *plan* holds the launches, and for every argument of every launch which buffer it
points into and how far. A call works all addresses out at once, starts the kernels, and then, only
if some check could have failed, waits and reads the error record. Kernels do nothing once the
record is set, so that states updated in place are untouched by a call that fails; other updates lie
in the arena until the call has succeeded. A call into Python waits for the kernels before it, and
has its operands and results copied."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field
from time import perf_counter
from typing import Any, Final

import numpy as np

from intaglio.compiler.errors import Error
from intaglio.compiler.launch import HostLaunch, concrete
from intaglio.compiler.lowered import HostSpec
from intaglio.compiler.op import located
from intaglio.runtime.arrays import Array
from intaglio.runtime.device.array import DeviceArray
from intaglio.runtime.device.device import Device
from intaglio.runtime.device.interrupts import uninterrupted
from intaglio.runtime.device.memory import Block
from intaglio.runtime.hosts import HostCallee, callee
from intaglio.runtime.layout import Layout, Planner
from intaglio.runtime.pool import INDEX, ErrorRecord, failure
from intaglio.runtime.signature import Sizes

PLANS: Final = 64
"""Sizes whose plans are remembered."""
RECORD: Final = np.dtype(np.int64).itemsize * 4
"""Bytes of the error record: set, node, value, bound."""


@dataclass(slots=True)
class Started:
    """A kernel's start: what `Driver.launch` takes, with the bounds of its arguments."""

    function: Any
    grid: tuple[int, int]
    block: tuple[int, int]
    first: int
    last: int
    step: int


@dataclass(slots=True)
class Called:
    """A call into Python: what is called, the number of its first argument, the node."""

    callee: HostCallee
    first: int
    spec: HostSpec
    step: int


@dataclass(slots=True)
class Plan:
    """The launches of a call with given sizes. Argument k of all of them together is the address of
    buffer `buffers[k]` plus `offsets[k]`; behind the function's buffers come the scratch memory,
    the array of sizes, the error record, and the address 0 for plain numbers."""

    layout: Layout
    starts: list[Started | Called]
    buffers: Array
    offsets: Array
    dims: Block
    bases: Array = field(init=False)


class CudaForm:
    """The kernels of a function, for all sizes or for some."""

    native = True

    def __init__(self, device: Device, planner: Planner) -> None:
        self.device, self.planner, self.lowered = device, planner, planner.lowered
        names = sorted({step.kernel for step in self.lowered.steps if step.kernel})
        self._functions = device.functions(self.lowered.sources, names)
        buffers = self.lowered.buffers
        self._count = len(buffers)
        self._inputs: dict[int, list[int]] = {}
        for slot, spec in enumerate(buffers):
            if spec.kind == "input":
                self._inputs.setdefault(spec.index, []).insert(0, slot)
            elif spec.kind == "output" and spec.may_alias is not None:
                self._inputs.setdefault(spec.may_alias, []).append(slot)
        self._constants = [device.upload(np.ascontiguousarray(a)) for a in self.lowered.constants]
        self._written = set(planner.updates.values())
        self._checks = bool(self.lowered.nodes)
        self._plans: OrderedDict[tuple[int, ...], Plan] = OrderedDict()
        self._timed: list[list[float]] | None = None
        with device.working():
            self._error = device.pool.allocate(RECORD)
            device.driver.clear(self._error.address, RECORD)

    # -------------------------------------------------------------------------------------- plans

    def _plan(self, sizes: Sizes) -> Plan:
        found = self._plans.get(sizes.key)
        if found is None:
            self.planner.admit(sizes, 1)
            found = self._plans[sizes.key] = self._made(sizes)
            while len(self._plans) > PLANS:
                self._plans.popitem(last=False)
        return found

    def _made(self, sizes: Sizes) -> Plan:
        layout = self.planner.layout(sizes)
        scratch, dims, error, plain = range(self._count, self._count + 4)
        starts: list[Started | Called] = []
        buffers: list[int] = []
        offsets: list[int] = []
        for item in concrete(self.lowered.launches, sizes.by_name):
            if isinstance(item.launch, HostLaunch):
                call = self.lowered.hosts[item.launch.host]
                one = callee(call, sizes.by_name)
                starts.append(Called(one, len(buffers), call, item.launch.step))
                buffers += [b for b, _ in item.pointers]
                offsets += [o for _, o in item.pointers]
                continue
            if item.launch.copies and self._is_one_place(item.pointers):
                continue
            first = 8 * len(buffers)
            buffers += [b for b, _ in item.pointers] + [scratch, dims, error, plain]
            offsets += [o for _, o in item.pointers] + [0, 0, 0, item.launch.node]
            last = 8 * len(buffers) - 4  # the node's number has four bytes
            function = self._functions[item.launch.kernel]
            starts.append(
                Started(function, item.grid, item.launch.block, first, last, item.launch.step)
            )
        numbers = np.array([*layout.sizes, 0], np.int64)
        block = self.device.pool.allocate(numbers.nbytes)
        self.device.driver.upload(block.address, numbers)
        plan = Plan(layout, starts, np.array(buffers, np.intp), np.array(offsets, np.int64), block)
        plan.bases = np.zeros(self._count + 4, np.int64)
        plan.bases[dims], plan.bases[error] = block.address, self._error.address
        for slot, spec in enumerate(self.lowered.buffers):
            if spec.kind == "constant":
                plan.bases[slot] = self._constants[spec.index].address
        return plan

    def _is_one_place(self, pointers: Sequence[tuple[int, int]]) -> bool:
        """Whether both pointers of a copy are the same: of a state that is updated in place."""
        (a, low), (b, high) = pointers
        return low == high and any(a in slots and b in slots for slots in self._inputs.values())

    # -------------------------------------------------------------------------------------- calls

    def run(
        self, arrays: Sequence[Any], sizes: Sizes, threads: int | None, stable: object = None
    ) -> list[Any]:
        """The results, as device arrays. States that are updated hold their new values afterwards,
        those that are ndarrays too. Operands are dense: device arrays, or ndarrays to upload."""
        with self.device.working():
            plan = self._plan(sizes)
            placed = [a if isinstance(a, DeviceArray) else self.device.upload(a) for a in arrays]
            for k, slots in self._inputs.items():
                plan.bases[slots] = placed[k].address
            results = []
            for result in plan.layout.results:
                made = self.device.empty(result.shape, result.dtype)
                plan.bases[result.slot] = made.address
                results.append(made)
            with uninterrupted() if self._written else nullcontext():
                self._execute(plan)
                for k in self._written:
                    if isinstance(arrays[k], np.ndarray) and arrays[k].size:
                        self.device.driver.download(arrays[k], placed[k].address)
            return results

    def _execute(self, plan: Plan) -> None:
        """Give temporaries their places, start the kernels, check, and commit what waited."""
        layout, bases = plan.layout, plan.bases
        arena = self.device.pool.allocate(layout.arena.bytes)
        scratch = self.device.pool.allocate(layout.scratch)
        bases[self._count] = scratch.address
        for slot, offset in layout.temporaries:
            bases[slot] = arena.address + offset
        for s in layout.staged:
            bases[s.slot] = arena.address + s.offset
        self._start(plan)
        self._check()
        for s in layout.staged:
            self.device.driver.copy(int(bases[s.target]), arena.address + s.offset, s.bytes)

    def _start(self, plan: Plan) -> None:
        """Start all kernels."""
        arguments = plan.bases[plan.buffers] + plan.offsets
        raw = arguments.view(np.uint8).data
        launch = self.device.driver.launch
        if self._timed is not None:
            self._timed.append(self._start_timed(plan, arguments, raw))
            return
        for s in plan.starts:
            if isinstance(s, Called):
                self._make_call(s, arguments)
            else:
                launch(s.function, s.grid, s.block, raw[s.first : s.last])

    def _make_call(self, called: Called, arguments: Array) -> None:
        """Copy a call's operands from the device, call, and copy its results there."""
        self._check()
        driver, one = self.device.driver, called.callee
        places = map(int, arguments[called.first :])
        operands = []
        for dtype, shape, bytes in one.operands:
            operands.append(np.empty(shape, dtype))
            place = next(places)
            if bytes:
                driver.download(operands[-1], place)
        try:
            results = one(operands)
        except Error as error:
            _, where = self.lowered.nodes[called.spec.node]
            raise located(error, where) from error.__cause__
        for result in results:
            place = next(places)
            if result.nbytes:
                driver.upload(place, result)

    def _start_timed(self, plan: Plan, arguments: Array, raw: memoryview) -> list[float]:
        """Start the kernels one by one, waiting for each; the seconds of each step."""
        driver = self.device.driver
        found = [0.0] * (1 + max((s.number for s in self.lowered.steps), default=-1))
        for s in plan.starts:
            driver.synchronize()
            began = perf_counter()
            if isinstance(s, Called):
                self._make_call(s, arguments)
            else:
                driver.launch(s.function, s.grid, s.block, raw[s.first : s.last])
            driver.synchronize()
            found[s.step] += perf_counter() - began
        return found

    def _check(self) -> None:
        """Raise what a check reported."""
        if not self._checks:
            return
        record = np.empty(4, np.int64)
        self.device.driver.download(record, self._error.address)
        if record[0]:
            self.device.driver.clear(self._error.address, RECORD)
            _, node, value, bound = map(int, record)
            error = ErrorRecord(INDEX, node, value, bound)
            raise failure(error, [where for _, where in self.lowered.nodes])

    @contextmanager
    def timed(self) -> Iterator[list[list[float]]]:
        """Time the steps of the calls made inside: a list of seconds for each call."""
        found: list[list[float]] = []
        self._timed = found
        try:
            yield found
        finally:
            self._timed = None


class DevicePlanner(Planner):
    """The layouts of a function on a device, held against the device's memory."""

    def __init__(self, device: Device, *args: Any, **options: Any) -> None:
        self._device = device
        super().__init__(*args, **options)

    def memory(self, sizes: Sizes, threads: int | None = None) -> dict[str, int]:
        """Bytes that a call takes, by what for; a device's scratch serves all its threads."""
        return super().memory(sizes, 1)

    def _machine(self) -> int:
        return self._device.memory_bytes
