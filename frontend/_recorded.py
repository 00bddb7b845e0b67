"""A Python function recorded for arguments of certain types: its graph with named states, and how
Python's arguments and results map to it."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from intaglio._core import Array, wrap
from intaglio._kind import Kind, kind_of, kind_of_array, kind_of_type
from intaglio._places import place_of, to_host, zeros
from intaglio._reach import Reached
from intaglio._scope import Spot
from intaglio._structure import describe, flatten, unflatten
from intaglio._tensor import Tensor
from intaglio._trace import (
    Capture,
    Recording,
    Trace,
    live,
    outside_randomness_refused,
    traced_like,
    tracing,
)
from intaglio.compiler.dims import Dim, Size
from intaglio.compiler.dtypes import DType, float32
from intaglio.compiler.errors import TraceError
from intaglio.compiler.ir import Graph, Structure, Value
from intaglio.compiler.op import Builder
from intaglio.compiler.types import TensorType
from intaglio.runtime.structure import builder

if TYPE_CHECKING:
    from intaglio.runtime.device.device import Device


@dataclass(frozen=True, slots=True)
class Spec:
    """The type of an argument: a shape, whose sizes may be symbolic, and a dtype."""

    shape: tuple[Size, ...]
    dtype: DType = float32

    @property
    def type(self) -> TensorType:
        """As the IR has it."""
        return TensorType(self.dtype, self.shape)

    def __str__(self) -> str:
        return str(self.type)


def spec(shape: Any, dtype: Any = float32) -> Spec:
    """An argument of this shape and dtype for `trace`. A size may be an int, a `Dim`, or a text,
    which makes a `Dim` of that name from 1 up."""
    from intaglio._dtype_names import as_dtype

    sizes = (shape,) if isinstance(shape, int | Dim | str) else tuple(shape)
    made = tuple(Dim(s) if isinstance(s, str) else s for s in sizes)
    return Spec(made, as_dtype(dtype))


@dataclass(slots=True, eq=False)
class StateRef:
    """A state by reference: a tensor, or the `.grad` of one, which may be None and then counts as
    zeros."""

    tensor: Tensor
    gradient: bool = False

    def array(self) -> Array:
        """The array that holds the state's value now."""
        if not self.gradient:
            data: Array = self.tensor._data
            return data
        if self.tensor._grad is None:
            kind = self.tensor._kind
            self.tensor._grad = wrap(zeros(kind), kind)
        held: Array = self.tensor._grad._data
        return held

    def peek(self) -> Array:
        """The value now as an ndarray, without making a gradient that is not there."""
        if self.gradient and self.tensor._grad is None:
            kind = self.tensor._kind
            return np.broadcast_to(np.zeros((), kind.numpy), tuple(kind.shape))
        return to_host(self.array())

    @property
    def key(self) -> tuple[int, bool]:
        """What makes two references the same."""
        return id(self.tensor), self.gradient


@dataclass(slots=True, eq=False)
class Recorded:
    """The graph's inputs are the arguments' leaves, then `reads`; its outputs the results' leaves,
    then the new values of `updates`."""

    graph: Graph
    arguments: tuple[str, ...]
    results: tuple[str, ...]
    reads: list[StateRef]
    updates: list[StateRef]
    input_structure: Structure
    output_structure: Structure
    parameters: tuple[str, ...]
    reached: Reached
    cleared: list[Tensor] = field(default_factory=list)
    grad_dependent: list[tuple[Tensor, bool]] = field(default_factory=list)
    extra: Any = None
    rebuild: Callable[[Sequence[Any]], Any] = field(default=tuple)
    """Puts the results' leaves together as the function did, in its own classes of tuples."""
    place: Device | None = None  # where it runs: where its tensors lie
    writes: list[tuple[int, Spot]] = field(default_factory=list)
    """Arguments that were written to in place, by number, and where: their new values are outputs
    behind those of `updates`."""


def is_leaf(value: Any) -> bool:
    """Whether an argument or result is a tensor of some kind."""
    return isinstance(value, Tensor | Spec | np.ndarray | np.generic)


def _kind_of(leaf: Any) -> tuple[Kind, bool]:
    if isinstance(leaf, Tensor):
        return leaf._kind, leaf.requires_grad
    if isinstance(leaf, Spec):
        return kind_of_type(leaf.type), False
    return kind_of_array(np.asarray(leaf)), False


def parameter_names(function: Callable[..., Any], count: int) -> tuple[str, ...]:
    """The names of the first parameters of a callable; `arg0`, ... where it has none."""
    target = getattr(type(function), "forward", None)
    described = getattr(function, "__signature__", None)
    if target is not None and hasattr(function, "_modules") and described is None:
        function = target.__get__(function)
    try:
        found = list(inspect.signature(function).parameters.values())
    except (TypeError, ValueError):
        found = []
    names: list[str] = []
    for p in found:
        if p.kind is inspect.Parameter.VAR_POSITIONAL:
            names += [f"{p.name}{k}" for k in range(count - len(names))]
        elif p.kind is not inspect.Parameter.VAR_KEYWORD:
            names.append(p.name)
    names = names[:count]
    return tuple(names + [f"arg{k}" for k in range(len(names), count)])


def record(
    name: str,
    function: Callable[..., Any],
    args: Sequence[Any],
    kwargs: dict[str, Any],
    *,
    grad: bool,
    requires_grad: bool = False,
    zero_gradients: bool = False,
    after: Callable[[Trace, list[Any], list[Tensor]], Any] | None = None,
) -> Recorded:
    """Run `function` once on stand-ins for the tensors among its arguments. `after` may record more
    (a derivative) before the trace ends; it gets the trace, the arguments' and results' leaves."""
    reached = Reached(function)
    names = [*parameter_names(function, len(args)), *kwargs]
    trace = Trace(zero_gradients=zero_gradients)
    stand_ins: list[Any] = []
    leaf_names: list[str] = []
    parts: list[Structure] = []
    given: list[Any] = []
    used: list[str] = []
    with tracing(trace, grad), outside_randomness_refused(name):
        for parameter, value in zip(names, [*args, *kwargs.values()], strict=True):
            structure, leaves = _described(value, parameter, name)
            if leaves:
                parts.append(structure)
                used.append(parameter)
            made = []
            for path, leaf in leaves:
                kind, wants = _kind_of(leaf)
                made.append(traced_like(trace, kind, wants and requires_grad, path))
                leaf_names.append(path)
            stand_ins += made
            trace.arguments.update((id(t), t._data) for t in made)
            given.append(_rebuilt(value, iter(made)))
        outcome = function(
            *given[: len(args)], **dict(zip(kwargs, given[len(args) :], strict=True))
        )
        reached.settle()
        _check_plain(name, reached)
        output_structure, result_leaves = describe(outcome, _is_result, "", f"{name}: the result")
        tensors = [_as_result(leaf) for _, leaf in result_leaves]
        extra = after(trace, stand_ins, tensors) if after is not None else None
        writes = _argument_writes(trace, stand_ins)
        recording = trace.finish(tensors)
        dependent = [
            (s.tensor, s.grad is None)
            for s in trace.snapshots.values()
            if id(s.tensor) in trace.grad_read
        ]
    made_ = _assemble(recording, len(stand_ins), [value for _, _, value in writes], extra)
    made_.writes = [(k, place) for k, place, _ in writes]
    made_.arguments, made_.parameters = tuple(leaf_names), tuple(used)
    made_.results = _result_names([path for path, _ in result_leaves])
    made_.input_structure = ("tuple", tuple(parts))
    made_.output_structure, made_.reached = output_structure, reached
    made_.rebuild = _rebuilder(outcome, output_structure)
    made_.grad_dependent = dependent
    captured = [ref.tensor for ref in (*made_.reads, *made_.updates)]
    made_.place = place_of([t._kind for t in (*stand_ins, *captured)])
    return made_


def _described(value: Any, parameter: str, name: str) -> tuple[Structure, list[tuple[str, Any]]]:
    if not is_leaf(value) and not isinstance(value, tuple | list | dict):
        return "None", []
    return describe(_frozen(value), is_leaf, parameter, f"{name}: the argument {parameter}")


def _frozen(value: Any) -> Any:
    """The nest with plain values as None: they are part of the trace, not of the signature."""
    if is_leaf(value) or value is None:
        return value
    if isinstance(value, tuple | list):
        return (
            type(value)([_frozen(v) for v in value])
            if not hasattr(value, "_fields")
            else tuple(_frozen(v) for v in value)
        )
    if isinstance(value, dict):
        return {k: _frozen(v) for k, v in value.items()}
    return None


def _rebuilt(value: Any, made: Any) -> Any:
    if is_leaf(value):
        return next(made)
    if isinstance(value, tuple | list):
        parts = [_rebuilt(v, made) for v in value]
        return type(value)(*parts) if hasattr(value, "_fields") else type(value)(parts)
    if isinstance(value, dict):
        return {k: _rebuilt(v, made) for k, v in value.items()}
    return value


def _is_result(value: Any) -> bool:
    return isinstance(value, Tensor | bool | int | float | np.ndarray | np.generic | Dim)


def _as_result(value: Any) -> Tensor:
    """A result as a tensor: plain numbers are constants of the program."""
    if isinstance(value, Tensor):
        return value
    from intaglio._apply import constant, full
    from intaglio._promote import number_dtype, size_tensor

    if isinstance(value, Dim):
        return size_tensor(value)
    if isinstance(value, np.ndarray | np.generic):
        return constant(np.asarray(value))
    return full(value, kind_of(number_dtype(value), ()))


def _rebuilder(outcome: Any, structure: Structure) -> Callable[[Sequence[Any]], Any]:
    """How leaves become a nest like `outcome`, of which nothing else is kept."""
    leaves, nest = flatten(outcome)
    if not _has_fields(nest):
        return builder(structure)
    absent = [x is None for x in leaves]

    def build(made: Sequence[Any]) -> Any:
        following = iter(made)
        return unflatten(nest, [None if missing else next(following) for missing in absent])

    return build


def _has_fields(nest: Any) -> bool:
    return nest is not None and (hasattr(nest[0], "_fields") or any(map(_has_fields, nest[-1])))


def _result_names(paths: Sequence[str]) -> tuple[str, ...]:
    return tuple(path or "result" for path in paths)


def _check_plain(name: str, reached: Reached) -> None:
    changes = list(reached.changed())
    if changes:
        raise TraceError(
            f"{name}: {changes[0]} after tracing: a change of a plain Python value"
            f" happens once, when"
            " tracing, and not when the program runs; keep it in a tensor (a buffer of the module),"
            " or change it outside of the traced function"
        )


def _argument_writes(trace: Trace, stand_ins: Sequence[Tensor]) -> list[tuple[int, Spot, Value]]:
    """The arguments that hold other values than they were given."""
    made = []
    for k, tensor in enumerate(stand_ins):
        if id(tensor) in trace.written and trace.read(tensor) is not trace.arguments[id(tensor)]:
            if tensor._node is not None or tensor._kind.type != trace.arguments[id(tensor)].type:
                from intaglio._trace_errors import taped_argument

                raise taped_argument(tensor, trace.written[id(tensor)])
            made.append((k, trace.written[id(tensor)], trace.read(tensor)))
    return made


def _assemble(
    recording: Recording, arguments: int, writes: Sequence[Value], extra: Any
) -> Recorded:
    """The graph with only the states that it reads or updates."""
    builder: Builder = recording.builder
    references = {id(c.value): _reference(c, recording) for c in recording.captures}
    updates: list[tuple[StateRef, Value]] = []
    for tensor, value in recording.updates:
        owner = recording.old_gradients.get(id(tensor))
        updates.append((StateRef(owner, True) if owner is not None else StateRef(tensor), value))
    updates += [(StateRef(tensor, True), value) for tensor, value in recording.gradients]
    extra_values = list(extra.values) if extra is not None else []
    outputs = [*recording.results, *(v for _, v in updates), *writes, *extra_values]
    graph = live(builder.graph(outputs))
    used = {v for node in graph.nodes for v in node.inputs} | set(graph.outputs)
    inputs = list(builder.inputs)
    seeds = set(extra.seeds) if extra is not None else set()
    captured = [v for v in inputs if id(v) in references and v in used]
    plain = [v for v in inputs if id(v) not in references and v not in seeds]
    assert len(plain) == arguments
    ordered = [*plain, *captured, *(v for v in inputs if v in seeds)]
    return Recorded(
        graph.replace(inputs=ordered),
        (),
        (),
        [references[id(v)] for v in captured],
        [ref for ref, _ in updates],
        "None",
        "*",
        (),
        None,  # type: ignore[arg-type]  # filled by record
        cleared=recording.cleared,
        extra=extra,
    )


def _reference(capture: Capture, recording: Recording) -> StateRef:
    owner = recording.old_gradients.get(id(capture.tensor))
    return StateRef(owner, True) if owner is not None else StateRef(capture.tensor)
