"""Recording: runs a Python function once on stand-ins and writes down the ops that it applies.

While a trace runs, tensors hold values of the graph being built. A tensor that has data and is
reached without being given (a parameter, a buffer, something in a closure) is *captured*: it
becomes an input of the graph, and until the trace ends the very object holds the traced value,
so that in-place updates, `.grad` and optimizers act on it as they always do. When the trace ends
every captured tensor gets its data back; those whose value has changed are updates of state.

The tape works inside a trace as it does outside: `loss.backward()` walks it and records the
derivative's ops."""

from __future__ import annotations

import random
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np

from intaglio._core import Tensor, counter_of, wrap
from intaglio._kind import Kind
from intaglio._modes import modes
from intaglio._places import copied, zeros
from intaglio._scope import Spot, spot, where_of
from intaglio.compiler.dims import Constraint, Size
from intaglio.compiler.errors import TraceError
from intaglio.compiler.ir import Attributes, Graph, Value
from intaglio.compiler.op import Builder, has_effect
from intaglio.compiler.types import TensorType
from intaglio.compiler.where import Places, Where, describe

_LOCK: Final = threading.RLock()
_SLOTS: Final = (
    "_data",
    "_kind",
    "_node",
    "_index",
    "_grad",
    "_view",
    "_seen",
    "_hooks",
    "requires_grad",
)


@dataclass(slots=True, eq=False)
class Snapshot:
    """A tensor as it was before the trace touched it."""

    tensor: Tensor
    slots: tuple[Any, ...]
    version: int

    @property
    def grad(self) -> Tensor | None:
        """Its `.grad` before."""
        found: Tensor | None = self.slots[_SLOTS.index("_grad")]
        return found

    @property
    def data(self) -> Any:
        """Its array before."""
        return self.slots[_SLOTS.index("_data")]

    def restore(self) -> None:
        """Make the tensor what it was."""
        for name, value in zip(_SLOTS, self.slots, strict=True):
            setattr(self.tensor, name, value)
        if self.tensor._counter is not None:
            self.tensor._counter[0] = self.version


@dataclass(slots=True, eq=False)
class Capture:
    """A tensor with data that the traced code reached, and the graph's input that stands for it."""

    tensor: Tensor
    value: Value


@dataclass(slots=True, eq=False)
class Recording:
    """What a trace found: the graph's values, before names are given to the captured tensors."""

    builder: Builder
    captures: list[Capture]
    results: list[Value]
    updates: list[tuple[Tensor, Value]]
    gradients: list[tuple[Tensor, Value]]
    cleared: list[Tensor]
    old_gradients: dict[int, Tensor] = field(default_factory=dict)


class Trace:
    """A graph being recorded."""

    def __init__(
        self, *, block: bool = False, lift: bool = False, zero_gradients: bool = False
    ) -> None:
        self.builder = Builder()
        self.block, self.lift, self.zero_gradients = block, lift, zero_gradients
        self.lifted: dict[int, tuple[Tensor, Value]] = {}  # what a block reads from around it
        self.known: set[Value] = set()
        self.arguments: dict[int, Value] = {}  # the stand-ins, which outlive the trace
        self.written: dict[int, Spot] = {}  # those written to, and where first
        self.captures: dict[int, Capture] = {}
        self.snapshots: dict[int, Snapshot] = {}
        self.assigned: set[int] = set()
        self.grad_read: set[int] = set()  # leaves whose `.grad` decided what was recorded
        self.started: dict[int, Tensor] = {}
        self.deriving: Spot | None = None  # the place that the derivative recorded now belongs to
        self.replayed: Places = ()  # those of the node of a file that is recorded anew
        self._places: dict[Any, Where] = {}

    def input(self, type: TensorType, hint: str = "") -> Value:
        """A new input of the graph."""
        value = self.builder.input(type, hint)
        self.known.add(value)
        return value

    def apply(
        self, op: str, values: Sequence[Value], attributes: Attributes, place: Spot
    ) -> tuple[Value, ...]:
        """Record a node."""
        derived = self.deriving is not None
        place = self.deriving or place
        key = (place[0], place[1], id(place[2]), derived)
        where = self._places.get(key)
        if where is None:
            where = where_of(place)
            where = self._places[key] = where.derivative() if derived else where
        self.builder.places = (where,) if derived else self.replayed or (where,)
        made = self.builder.apply(op, values, attributes)
        self.known.update(made)
        return made

    def require(self, left: Size, relation: str, right: Size) -> None:
        """Let every call be refused in which a relation of sizes does not hold."""
        made = Constraint(left, relation, right, describe((where_of(spot()),)))
        if made not in self.builder.constraints:
            self.builder.constraints.append(made)

    def read(self, tensor: Tensor) -> Value:
        """The value that stands for a tensor; captures it when it has data."""
        data = tensor._data
        if isinstance(data, Value):
            if data not in self.known:
                return self._from_around(tensor)
            return data
        return self._capture(tensor)

    def read_all(self, tensors: Sequence[Tensor]) -> list[Value]:
        """The values that stand for tensors now: views see what was written since."""
        from intaglio._apply import refresh

        for tensor in tensors:
            if tensor._view is not None and tensor._seen != counter_of(tensor)[0]:
                refresh(tensor)
        return [self.read(t) for t in tensors]

    def touch(self, tensor: Tensor) -> None:
        """A tensor is about to be written."""
        if id(tensor) in self.arguments:
            self.written.setdefault(id(tensor), spot())
            return
        if self.read(tensor) is not tensor._data:
            from intaglio._trace_errors import at

            raise at(
                f"the body of a loop writes in place to {tensor._kind} from around it:"
                f" make it a carry"
            )

    def _from_around(self, tensor: Tensor) -> Value:
        if not self.lift:
            self._refuse_foreign(tensor)
        found = self.lifted.get(id(tensor))
        if found is None:
            found = self.lifted[id(tensor)] = (tensor, self.input(tensor._kind.type))
        return found[1]

    def _refuse_foreign(self, tensor: Tensor) -> None:
        from intaglio._trace_errors import at, escaped

        if self.block:
            raise at(
                f"a tensor of type {tensor._kind} is used inside of a function with its own"
                " derivative without being given to it: add it to the arguments"
            )
        raise escaped("trace", tensor)

    def _capture(self, tensor: Tensor) -> Value:
        if self.block:
            return self._from_around(tensor)
        if tensor._view is not None:
            return self._capture_view(tensor)
        self.note(tensor)
        value = self.input(tensor._kind.type)
        self.captures[id(tensor)] = Capture(tensor, value)
        tensor._data = value
        tensor._node = None
        return value

    def _capture_view(self, tensor: Tensor) -> Value:
        """A view of a tensor is captured as that view of what it shows."""
        from intaglio._apply import apply

        assert tensor._view is not None
        parent, op, attributes = tensor._view
        self.note(tensor)
        made = apply(op, (parent,), attributes)[0]
        tensor._data = made._data
        if op != "stop_gradient":
            tensor._node, tensor._index = made._node, made._index
            tensor.requires_grad = made.requires_grad
        value: Value = tensor._data
        return value

    def note(self, tensor: Tensor) -> None:
        """Remember what a tensor with data is like, before it is changed."""
        if id(tensor) in self.snapshots or isinstance(tensor._data, Value):
            return
        version = tensor._counter[0] if tensor._counter is not None else 0
        slots = tuple(getattr(tensor, name) for name in _SLOTS)
        self.snapshots[id(tensor)] = Snapshot(tensor, slots, version)

    def read_grad(self, tensor: Tensor) -> None:
        """`.grad` is about to be read."""
        self.note(tensor)
        if id(tensor) not in self.assigned:
            self.grad_read.add(id(tensor))

    def note_grad(self, tensor: Tensor, value: Tensor | None) -> None:
        """`.grad` is about to be assigned."""
        self.note(tensor)
        self.assigned.add(id(tensor))

    def gradient_before(self, leaf: Tensor) -> Tensor | None:
        """What a derivative is added to, where the leaf had no `.grad` when the trace began and it
        was not cleared since: in a program, a state that starts as zeros."""
        if id(leaf) not in self.snapshots:
            return None
        if not self.zero_gradients or id(leaf) in self.assigned or id(leaf) not in self.captures:
            return None
        started = self.started[id(leaf)] = wrap(zeros(leaf._kind), leaf._kind)
        return started

    def reads_freely(self, tensor: Tensor) -> bool:
        """Whether Python may read a tensor's data while this trace runs."""
        return False

    # -------------------------------------------------------------------------------------- the end

    def finish(self, results: Sequence[Tensor]) -> Recording:
        """The values that came out: results, updates of captured tensors, gradients left set."""
        values = self.read_all(results)
        gradients, cleared, old, replaced = [], [], {}, {id(None)}
        for snapshot in list(self.snapshots.values()):
            tensor, before = snapshot.tensor, snapshot.grad
            if before is not None:
                old[id(before)] = tensor
            if id(tensor) in self.started:
                old[id(self.started[id(tensor)])] = tensor
            if tensor._grad is None and self._keeps_gradient(tensor, before):
                gradients.append((tensor, self._zero_like(tensor)))
                replaced |= {id(before), id(self.started.get(id(tensor)))}
            elif tensor._grad is before:
                continue
            if tensor._grad is None:
                cleared.append(tensor)
            elif tensor._grad is not self.started.get(id(tensor)):
                gradients.append((tensor, self.read(tensor._grad)))
        updates = [
            (c.tensor, c.tensor._data)
            for c in self.captures.values()
            if c.tensor._data is not c.value and id(c.tensor) not in replaced
        ]
        captures = list(self.captures.values())
        return Recording(self.builder, captures, values, updates, gradients, cleared, old)

    def _keeps_gradient(self, tensor: Tensor, before: Tensor | None) -> bool:
        """Whether a program that cleared a gradient holds it as state: it is zero for the next
        call."""
        if not self.zero_gradients:
            return False
        return id(tensor) in self.started or (before is not None and id(before) in self.captures)

    def _zero_like(self, tensor: Tensor) -> Value:
        from intaglio._apply import full

        return self.read(full(0.0, tensor._kind))

    def restore(self) -> None:
        """Give every tensor back what it held before."""
        for snapshot in self.snapshots.values():
            snapshot.restore()


@contextmanager
def tracing(trace: Trace, grad: bool = True) -> Iterator[Trace]:
    """Let ops record into `trace`; tensors are restored at the end, whatever happens."""
    with _LOCK:
        before, before_grad = modes.trace, modes.grad
        modes.trace, modes.grad = trace, grad
        try:
            yield trace
        finally:
            modes.trace, modes.grad = before, before_grad
            trace.restore()


def record_block(function: Callable[..., Sequence[Tensor]], kinds: Sequence[Kind]) -> Graph:
    """The graph of a function of its arguments alone."""
    trace = Trace(block=True)
    with tracing(trace, grad=False):
        inputs = [wrap(trace.input(k.type), k) for k in kinds]
        values = trace.read_all(function(*inputs))
    return live(trace.builder.graph(values))


def record_body(
    function: Callable[..., Sequence[Tensor]], kinds: Sequence[Kind]
) -> tuple[Graph, list[Tensor]]:
    """The graph of a loop's body, and the tensors around it that it reads: further inputs."""
    trace = Trace(block=True, lift=True)
    with tracing(trace, grad=False):
        inputs = [wrap(trace.input(k.type), k) for k in kinds]
        values = trace.read_all(function(*inputs))
    around = [tensor for tensor, _ in trace.lifted.values()]
    return live(trace.builder.graph(values)), around


def live(graph: Graph) -> Graph:
    """The graph without nodes that nothing reads and that have no effect; inputs stay."""
    wanted = set(graph.outputs)
    nodes = []
    for node in reversed(graph.nodes):
        if any(v in wanted for v in node.outputs) or has_effect(node):
            nodes.append(node)
            wanted.update(node.inputs)
    return graph.replace(nodes=reversed(nodes))


@contextmanager
def outside_randomness_refused(name: str) -> Iterator[None]:
    """Raise `TraceError` when Python's or NumPy's own generator was used inside."""
    python = random.getstate()
    legacy: Any = np.random.get_state()
    yield
    changed = []
    if random.getstate() != python:
        changed.append("Python's random module")
    now: Any = np.random.get_state()
    if now[2] != legacy[2] or not np.array_equal(now[1], legacy[1]):
        changed.append("NumPy's random module")
    if changed:
        raise TraceError(
            f"{name}: {' and '.join(changed)} was used while tracing, and its numbers"
            f" would be frozen"
            " into the program; draw with ig.rand, ig.randn or ig.randint"
        )


def traced_like(trace: Trace, kind: Kind, requires_grad: bool, hint: str = "") -> Tensor:
    """A stand-in for an argument."""
    made = wrap(trace.input(kind.type, hint), kind)
    made.requires_grad = requires_grad and kind.floating
    return made


def is_tracing() -> bool:
    """Whether ops are being recorded into a program."""
    return modes.trace is not None


def copied_outside_trace(tensor: Tensor) -> Tensor:
    """A new tensor with the elements that this one holds outside of the running trace: state that a
    traced function makes for itself."""
    data = tensor._data
    if isinstance(data, Value):
        trace = modes.trace
        snapshot = trace.snapshots.get(id(tensor)) if trace is not None else None
        if snapshot is None:
            from intaglio._trace_errors import escaped

            raise escaped("copied_outside_trace", tensor)
        data = snapshot.slots[_SLOTS.index("_data")]
    return wrap(copied(data), tensor._kind)
