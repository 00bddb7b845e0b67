"""`jit`: a function compiled for the arguments that it is called with, on the state that it shares
with its module.

Each signature (types of the tensors, plain arguments, grad mode) has its own compiled forms. A form
remembers what its trace rested on: the plain values and objects that it reached, which tensors
require grad, whether gradients were there. When one of them differs the function is traced again,
and `explain()` says why. A call that needs a derivative is one entry of the tape with a compiled
derivative of its own."""

from __future__ import annotations

import functools
import logging
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from intaglio._backward import grad as derive
from intaglio._core import Array, Tensor, counter_of, wrap
from intaglio._kind import kind_of_array, kind_of_type
from intaglio._modes import modes
from intaglio._partition import Partition, partition
from intaglio._places import copied, is_dense, is_writable, share_memory, store, zeros
from intaglio._reach import MISSING, same
from intaglio._recorded import Recorded, StateRef, is_leaf, record
from intaglio._scope import spot
from intaglio._structure import flatten
from intaglio._tape import Entry
from intaglio._trace import Trace
from intaglio.compiler.errors import ArgumentError, GradientError
from intaglio.compiler.ir import Graph, Value
from intaglio.compiler.where import describe
from intaglio.runtime.checked import NaNCheck
from intaglio.runtime.executor import Executable

LOG = logging.getLogger("intaglio")


@dataclass(slots=True, eq=False)
class _Derivative:
    """What a trace recorded beyond the function: seeds for the results' derivatives and the
    derivatives of the operands `wanted` (numbers of arguments, then of captured tensors)."""

    seeds: list[Value]
    values: list[Value]
    results: list[int]
    arguments: list[int]
    tensors: list[Tensor]


def _derivative(trace: Trace, stand_ins: list[Any], results: list[Tensor]) -> _Derivative | None:
    """Record the derivative of the results with respect to everything that requires grad."""
    numbers = [k for k, t in enumerate(results) if t.requires_grad and not _is_freed(t)]
    if not numbers:
        return None
    arguments = [k for k, t in enumerate(stand_ins) if t.requires_grad]
    tensors = [
        c.tensor
        for c in list(trace.captures.values())
        if c.tensor.requires_grad and c.tensor._node is None
    ]
    targets = [*(stand_ins[k] for k in arguments), *tensors]
    if not targets:
        return None
    seeds = [wrap(trace.input(results[k]._kind.type), results[k]._kind) for k in numbers]
    found = derive([results[k] for k in numbers], targets, seeds, materialize_grads=True)
    values = [trace.read(d) for d in found if d is not None]
    return _Derivative([s._data for s in seeds], values, numbers, arguments, tensors)


def _is_freed(tensor: Tensor) -> bool:
    """Whether a derivative taken inside the function has freed what this result's would need."""
    seen: set[int] = set()
    stack = [tensor._node]
    while stack:
        node = stack.pop()
        if node is None or id(node) in seen:
            continue
        if node.saved is None:
            return True
        seen.add(id(node))
        stack += [edge[0] for edge in node.edges if edge and isinstance(edge[0], Entry)]
    return False


class _Form:
    """One compiled trace of a function."""

    def __init__(self, name: str, recorded: Recorded, check_nan: bool = False) -> None:
        self.name, self.recorded, self.check_nan = name, recorded, check_nan
        self.reads, self.updates = recorded.reads, recorded.updates
        known = {r.key for r in self.reads}
        self.replaced = [r for r in self.updates if r.gradient and r.key not in known]
        self.only = [r for r in self.updates if not r.gradient and r.key not in known]
        self.rebuild = recorded.rebuild
        self.extra: _Derivative | None = recorded.extra
        self.tensors = [(r.tensor, r.tensor._kind, r.tensor.requires_grad) for r in self.reads]
        self.grads = recorded.grad_dependent
        self.count = len(recorded.results)
        self._refs = [*self.reads, *self.only]
        self._states: tuple[Array, ...] = ()
        self._uncopied = False
        self._compile()

    def _compile(self) -> None:
        graph, extra, place = self.recorded.graph, self.extra, self.recorded.place
        outputs = self.count + len(self.updates) + len(self.recorded.writes)
        self.part: Partition | None = None
        self.pull: Executable | None = None
        if extra is not None:
            self.part = partition(graph, extra.seeds, outputs, graph.outputs[outputs:])
            self.pull = Executable(
                self.part.backward,
                label=f"gradient of {self.name}",
                names=self._kept_names(self.part, len(extra.seeds)),
                check_nan=NaNCheck(inputs=False) if self.check_nan else None,
                device=place,
            )
            graph = self.part.forward
        self.result_kinds = [kind_of_type(v.type, place) for v in graph.outputs[: self.count]]
        arguments = len(self.recorded.arguments)
        places = {r.key: arguments + k for k, r in enumerate([*self.reads, *self.only])}
        inputs = [*graph.inputs, *(Value(r.tensor._kind.type) for r in self.only)]
        updates = {
            self.count + k: places[r.key] for k, r in enumerate(self.updates) if r.key in places
        }
        self.executable = Executable(
            graph.replace(inputs=inputs),
            updates=updates,
            states=len(self.reads) + len(self.only),
            names=[*self.recorded.arguments, *map(self._state_name, range(len(self._refs)))],
            label=self.name,
            check_nan=NaNCheck(outputs=outputs) if self.check_nan else None,
            device=place,
        )

    def _state_name(self, number: int) -> str:
        """How a state was reached: `model.a.weight`."""
        ref = self._refs[number]
        found = [n for n in self.recorded.reached.names.get(id(ref.tensor), []) if n]
        name = found[0] if found else f"state {number}"
        return f"{name}.grad" if ref.gradient else name

    def _kept_names(self, part: Partition, seeds: int) -> list[str]:
        """What the derivative reads, for messages: values of the function, by op and line."""
        names = []
        for k, value in enumerate(part.kept):
            node = part.forward.producers.get(value)
            place = f" ({describe(node.where)})" if node is not None and node.where else ""
            names.append(f"value {k}" if node is None else f"the result of {node.op}{place}")
        return [*names, *(f"the derivative of result {k}" for k in range(seeds))]

    def refusal(self) -> str | None:
        """Why this form does not fit what is there now; None when it does."""
        for where, key, expected, path in self.recorded.reached.found:
            now = dict.get(where, key, MISSING)
            if now is not expected and not same(now, expected):
                return f"{path} has changed"
        for cell, expected, path in self.recorded.reached.cells:
            now = cell.cell_contents
            if now is not expected and not same(now, expected):
                return f"{path} has changed"
        for tensor, kind, requires_grad in self.tensors:
            if tensor._kind is not kind or tensor.requires_grad is not requires_grad:
                return f"a captured tensor {kind} has changed its type or whether it requires grad"
        for tensor, missing in self.grads:
            if (tensor._grad is None) is not missing:
                return f"whether a parameter {tensor._kind} has a gradient has changed"
        return None

    def run(self, leaves: Sequence[Any], rerun: Callable[[], Any]) -> Any:
        """Execute on these arguments and the state."""
        arrays = [x._data if isinstance(x, Tensor) else x for x in leaves]
        states = self._state_arrays()
        for number, _ in self.recorded.writes:
            self._check_apart(number, arrays, states)
        outputs = self.executable.call(arrays, states)
        if not self._uncopied or self.updates or self.recorded.cleared:
            self._commit(states, outputs)
        results = [wrap(a, k) for a, k in zip(outputs, self.result_kinds, strict=False)]
        if self.recorded.writes:
            self._write_arguments(leaves, outputs)
        if self.extra is not None:
            self._record(leaves, results, outputs, rerun)
        return self.rebuild(results)

    def _state_arrays(self) -> tuple[Array, ...]:
        """The states' arrays, copied where they are not dense: the same tuple as long as they are
        the same, which the executable knows again."""
        for ref, known in zip(self._refs, self._states, strict=False):
            if (ref.array() if ref.gradient else ref.tensor._data) is not known:
                break
        else:
            if len(self._states) == len(self._refs):
                return self._states
        self._states = tuple(map(_dense, self._refs))
        pairs = zip(self._refs, self._states, strict=True)
        self._uncopied = all(ref.array() is array for ref, array in pairs)
        return self._states

    def _commit(self, states: tuple[Array, ...], outputs: list[Array]) -> None:
        if not self._uncopied:
            for ref, array in zip(self._refs, states, strict=True):
                if ref.array() is not array:
                    store(ref.array(), array)
        for ref in self.updates:
            if ref not in self.replaced:
                target = ref.tensor._grad if ref.gradient else ref.tensor
                assert target is not None
                counter_of(target)[0] += 1
        for tensor in self.recorded.cleared:
            tensor._grad = None
        for k, ref in enumerate(self.replaced):
            array = outputs[self.count + k]
            ref.tensor._grad = wrap(array, ref.tensor._kind)

    def _check_apart(self, number: int, arrays: Sequence[Any], states: Sequence[Array]) -> None:
        """See that an argument that is written to is writable, and that no other sees the write:
        in the trace they were apart."""
        target, name = arrays[number], self.recorded.arguments[number]
        if not is_writable(target):
            raise ArgumentError(f"{self.name}: {name} is written to in place, and is read-only")
        for k, other in enumerate((*arrays, *states)):
            if k != number and share_memory(target, other):
                raise ArgumentError(
                    f"{self.name}: {name} is written to in place, and shares its memory with"
                    " another argument or state: give a clone() of one of them"
                )

    def _write_arguments(self, leaves: Sequence[Any], outputs: list[Array]) -> None:
        first = len(outputs) - len(self.recorded.writes) - len(self.part.kept if self.part else ())
        for k, (number, _) in enumerate(self.recorded.writes):
            target = leaves[number]
            store(target._data if isinstance(target, Tensor) else target, outputs[first + k])
            if isinstance(target, Tensor):
                counter_of(target)[0] += 1

    def _record(
        self, leaves: Sequence[Any], results: list[Tensor], outputs: list[Array], rerun: Any
    ) -> None:
        extra = self.extra
        assert extra is not None and self.part is not None
        kept = outputs[len(outputs) - len(self.part.kept) :] if self.part.kept else []
        operands = [*(leaves[k] for k in extra.arguments), *extra.tensors]
        entry = JitEntry(operands, [results[k] for k in extra.results], spot())
        entry.form, entry.saved = self, list(kept)
        entry.rerun = rerun if not (self.updates or self.recorded.writes) else None


def _dense(ref: StateRef) -> Array:
    return _densely(ref.array())


def _densely(data: Any) -> Any:
    return data if is_dense(data) else copied(data)


class JitEntry(Entry):
    """A compiled call on the tape."""

    __slots__ = ("form", "rerun")
    form: _Form
    rerun: Callable[[], Any] | None

    @property
    def op(self) -> str:  # type: ignore[override]  # a constant elsewhere
        """The function's name."""
        return self.form.name

    def pull(self, dys: list[Tensor | None]) -> Sequence[Tensor | None]:
        """The compiled derivative; to differentiate it again the function runs uncompiled."""
        if self.saved is None:
            raise self._freed()
        if modes.grad:
            return self._pull_again(dys)
        arrays = [
            zeros(k) if d is None else _densely(d._data)
            for d, k in zip(dys, self.kinds, strict=True)
        ]
        assert self.form.pull is not None
        made = self.form.pull(
            [*self.saved, *(a.reshape(k.shape) for a, k in zip(arrays, self.kinds, strict=True))]
        )
        return [wrap(a, kind_of_array(a)) for a in made]

    def _pull_again(self, dys: list[Tensor | None]) -> Sequence[Tensor | None]:
        if self.rerun is None:
            raise GradientError(
                f"{self.describe()}: a compiled function that updates state can't be differentiated"
                " twice; call it with jit(..., disable=True)"
            )
        outputs = [t for t in flatten(self.rerun())[0] if isinstance(t, Tensor)]
        chosen = [outputs[k] for k in (self.form.extra.results if self.form.extra else ())]
        targets = [_target(e) for e in self.edges]
        pairs = [
            (y, d) for y, d in zip(chosen, dys, strict=True) if d is not None and y.requires_grad
        ]
        wanted = [t for t in targets if t is not None]
        found = iter(
            derive(
                [y for y, _ in pairs], wanted, [d for _, d in pairs], create_graph=True,
                materialize_grads=True,
            )
        )  # fmt: skip
        return [None if t is None else next(found) for t in targets]


def _target(edge: Any) -> Tensor | None:
    """The tensor at the other end of an edge, to differentiate with respect to."""
    if edge is None:
        return None
    target, index = edge
    if isinstance(target, Tensor):
        return target
    made = wrap(None, target.kinds[index])
    made._node, made._index, made.requires_grad = target, index, True
    return made


class Jitted:
    """A function that compiles itself per signature. Call it as the function."""

    def __init__(
        self, function: Callable[..., Any], disable: bool = False, check_nan: bool = False
    ) -> None:
        functools.update_wrapper(self, function, updated=())
        self.function, self.disabled, self.check_nan = function, disable, check_nan
        self._forms: dict[Any, list[_Form]] = {}
        self._history: list[str] = []
        self._name = str(getattr(function, "__name__", type(function).__name__))

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        if self.disabled or modes.trace is not None or modes.watch is not None:
            return self.function(*args, **kwargs)
        if os.environ.get("INTAGLIO_EAGER") == "1":
            return self.function(*args, **kwargs)
        tensors: Sequence[Any] = args
        key = _plain_key(args) if not kwargs else None
        if key is None:
            leaves, structure = flatten((args, kwargs))
            key = (_hashable(structure), modes.grad, *[_key_of(x) for x in leaves])
            tensors = [x for x in leaves if is_leaf(x)]
        forms = self._forms.setdefault(key, [])
        reason = (
            None
            if forms
            else "it is the first call"
            if not self._history
            else "these argument types are new"
        )
        for form in forms:
            refused = form.refusal()
            if refused is None:
                return form.run(tensors, lambda: self.function(*args, **kwargs))
            reason = reason or refused
        form = self._compile(args, kwargs, forms, str(reason), tensors)
        return form.run(tensors, lambda: self.function(*args, **kwargs))

    def _compile(
        self, args: Any, kwargs: Any, forms: list[_Form], reason: str, tensors: Sequence[Any]
    ) -> _Form:
        types = ", ".join(
            str(x._kind if isinstance(x, Tensor) else kind_of_array(x)) for x in tensors
        )
        line = f"compiled {self._name}({types}) because {reason}"
        LOG.debug(line)
        recorded = record(
            self._name, self.function, args, kwargs, grad=modes.grad, requires_grad=True,
            after=_derivative if modes.grad else None,
        )  # fmt: skip
        form = _Form(self._name, recorded, self.check_nan)
        self._history.append(line)
        forms.insert(0, form)
        del forms[8:]
        return form

    def __get__(self, instance: Any, owner: Any = None) -> Any:
        return self if instance is None else functools.partial(self, instance)

    def explain(self) -> str:
        """Every compilation so far, and why it happened."""
        return "\n".join(self._history) or f"{self._name} has not been compiled yet"

    @property
    def compilations(self) -> int:
        """How often the function was traced and compiled."""
        return len(self._history)

    @property
    def graphs(self) -> list[Graph]:
        """The graphs traced so far, the newest first per signature."""
        return [form.recorded.graph for forms in self._forms.values() for form in forms]


def _plain_key(args: Sequence[Any]) -> Any:
    """The signature of a call whose arguments are all tensors; None for any other."""
    key: list[Any] = [modes.grad]
    for x in args:
        if type(x) is not Tensor:
            return None
        key += (x._kind, x.requires_grad)
    return tuple(key)


def _key_of(leaf: Any) -> Any:
    if isinstance(leaf, Tensor):
        return leaf._kind, leaf.requires_grad
    if isinstance(leaf, np.ndarray | np.generic):
        return kind_of_array(np.asarray(leaf))
    try:
        hash(leaf)
    except TypeError:
        return id(leaf)
    return type(leaf), leaf


def _hashable(structure: Any) -> Any:
    if isinstance(structure, tuple | list):
        return tuple(_hashable(s) for s in structure)
    return structure


def jit(
    function: Callable[..., Any] | None = None, *, disable: bool = False, check_nan: bool = False
) -> Any:
    """`function` compiled at the first call with arguments of each signature. Also a decorator:
    `@jit`, `@jit(disable=True)`.

    With `disable` it runs eagerly, and so does every jitted function while the environment says
    `INTAGLIO_EAGER=1`, which is read at each call. With `check_nan` the traced function runs op by
    op, and raises `NaNError` with the op and line where a NaN came from; states stay as they
    were."""
    if function is None:
        return functools.partial(jit, disable=disable, check_nan=check_nan)
    return Jitted(function, disable, check_nan)
