"""The tape: what was applied to what, kept for derivatives.

An entry points only to its inputs, so it lives exactly as long as a result of it does. What it
saves is found by differentiating the op's rule once per (op, types, which operands need it) and
keeping the operands and results that the derivative reads. A saved result is kept as bare data, so
that an entry never points to itself; a saved operand with its write counter, so that a change in
place is noticed.

Each entry carries a number for the structure of the tape that ends in it, found while recording: a
structure is the entry's derivative and, for each operand that needs one, the leaf's identity or the
structure of the entry that made it and how much earlier that was. So equal numbers mean equal
tapes, shared parts included, and `_backward_plan` looks a whole tape up by one number."""

from __future__ import annotations

import itertools
import weakref
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Final

from intaglio._core import Tensor, counter_of, is_inference, wrap
from intaglio._kind import kind_of_type
from intaglio._modes import inference_used, modes
from intaglio._scope import Spot, where_of
from intaglio.compiler.dims import Constraint, collecting
from intaglio.compiler.errors import Error, GradientError
from intaglio.compiler.ir import Attributes, Graph, Value
from intaglio.compiler.op import Builder, located, op_named
from intaglio.compiler.types import TensorType
from intaglio.runtime.eager import Evaluator, graph_evaluator

if TYPE_CHECKING:
    from intaglio._apply import Rule
    from intaglio._kind import Kind
    from intaglio.runtime.device.device import Device

_order: Final = itertools.count()
_derivatives: Final = itertools.count()
_structures: Final = itertools.count(1)
_STRUCTURES: Final[dict[tuple[int, ...], int]] = {}
_REMEMBERED: Final = 50_000
"""Structures that are known at a time; beyond, all are forgotten, and no number is given twice."""
Edge = tuple[Any, int] | None  # (entry or leaf tensor, which result), None: no derivative wanted


class Derivative:
    """A derivative graph of one op: its inputs are the operands, results and result derivatives
    that it reads (by number), its outputs the operand derivatives (`None`: zero). `steps` apply it
    to tensors, `values` to their bare data."""

    __slots__ = (
        "_place",
        "_run",
        "dys",
        "entry",
        "graph",
        "kinds",
        "known",
        "places",
        "returned",
        "serial",
        "slots",
        "steps",
        "xs",
        "ys",
    )

    def __init__(
        self,
        xs: Sequence[tuple[int, Value]],
        ys: Sequence[tuple[int, Value]],
        dys: Sequence[tuple[int, Value]],
        graph: Graph,
        outputs: Sequence[Value | None],
        place: Device | None = None,
    ) -> None:
        read = {v for node in graph.nodes for v in node.inputs} | set(outputs)
        kept = [[(k, v) for k, v in group if v in read] for group in (xs, ys, dys)]
        self.xs, self.ys, self.dys = (tuple(k for k, _ in group) for group in kept)
        slot = {v: n for n, v in enumerate(v for group in kept for _, v in group)}
        self.steps: list[tuple[str, tuple[int, ...], Attributes]] = []
        for node in graph.nodes:
            self.steps.append((node.op, tuple(slot[v] for v in node.inputs), node.attributes))
            for v in node.outputs:
                slot[v] = len(slot)
        self.slots = len(slot)
        self.returned = tuple(None if v is None else slot[v] for v in outputs)
        self.kinds = tuple(None if v is None else kind_of_type(v.type, place) for v in outputs)
        self._place = place
        self.serial = next(_derivatives)
        self.known = place is None and not any(op_named(n.op).effect for n in graph.nodes)
        self.graph = graph.replace(inputs=[v for group in kept for _, v in group])
        self._run: Evaluator | None = None
        self.entry: type[OpEntry] = OpEntry

    def values(self, data: Sequence[Any]) -> list[Tensor | None]:
        """The operand derivatives from the data of what is read, off the tape."""
        if self._run is None:
            if self._place is None:
                self._run = graph_evaluator(self.graph)
            else:
                from intaglio.runtime.device.eager import device_graph_evaluator

                self._run = device_graph_evaluator(self._place, self.graph)
        made = iter(self._run(*data))
        return [None if k is None else wrap(next(made), k) for k in self.kinds]


def build_derivative(
    op: str,
    inputs: Sequence[TensorType],
    outputs: Sequence[TensorType],
    attributes: Attributes,
    needs: tuple[bool, ...],
    given: tuple[bool, ...],
    place: Device | None = None,
) -> Derivative:
    """Differentiate one op for operands and results of these types, on a device."""
    g = Builder()
    xs = [g.input(t) for t in inputs]
    ys = [g.input(t) for t in outputs]
    dys = [g.input(t) if there else None for t, there in zip(outputs, given, strict=True)]
    found: list[Constraint] = []
    with collecting(found):
        made = op_named(op).vjp(g, dys, ys, xs, needs, **attributes)
    wanted = [v if need else None for v, need in zip(made, needs, strict=True)]
    graph = g.graph([v for v in wanted if v is not None])
    return Derivative(
        list(enumerate(xs)),
        list(enumerate(ys)),
        [(k, v) for k, v in enumerate(dys) if v is not None],
        live(graph),
        wanted,
        place,
    )


def live(graph: Graph) -> Graph:
    """The graph without nodes that nothing reads."""
    wanted = set(graph.outputs)
    nodes = []
    for node in reversed(graph.nodes):
        if any(v in wanted for v in node.outputs):
            nodes.append(node)
            wanted.update(node.inputs)
    return graph.replace(nodes=reversed(nodes))


class Entry:
    """One application on the tape. Subclasses say how its derivative is computed."""

    __slots__ = (
        "__weakref__",
        "edges",
        "hooks",
        "kinds",
        "number",
        "place",
        "retained",
        "saved",
        "structure",
    )
    op = ""  # what was applied
    structure: int  # of the tape that ends here; 0: nothing is known of it

    def __init__(
        self, inputs: Sequence[Tensor], outputs: Sequence[Tensor], place: Spot | None
    ) -> None:
        self.number = next(_order)
        self.edges: tuple[Edge, ...] = tuple([edge_of(t) for t in inputs])
        self.kinds: tuple[Kind, ...] = tuple([t._kind for t in outputs])
        self.place = place
        self.structure = 0
        self.saved: Any = None
        self.hooks: dict[int, list[Callable[..., Any]]] | None = None
        self.retained: dict[int, weakref.ref[Tensor]] | None = None
        for k, t in enumerate(outputs):
            if t._kind.dtype.kind == "f":
                t._node, t._index, t.requires_grad = self, k, True

    def pull(self, dys: list[Tensor | None]) -> Sequence[Tensor | None]:
        """Operand derivatives from result derivatives."""
        raise NotImplementedError

    def free(self) -> None:
        """Drop what was saved."""
        self.saved = None

    def describe(self) -> str:
        """The op and its place, for messages."""
        place = f" ({where_of(self.place)})" if self.place is not None else ""
        return f"{self.op}{place}"

    def _freed(self) -> GradientError:
        return GradientError(
            f"{self.describe()}: its saved values were freed by an earlier backward;"
            " give that call retain_graph=True"
        )

    def retain(self, tensor: Tensor) -> None:
        """Let backward set `.grad` of a result of this entry."""
        if self.retained is None:
            self.retained = {}
        self.retained[tensor._index] = weakref.ref(tensor)

    def retains(self, index: int) -> bool:
        """Whether backward sets `.grad` of this result."""
        return self.retained is not None and index in self.retained

    @property
    def next_functions(self) -> tuple[tuple[Any, int], ...]:
        """The entries and leaves (as `AccumulateGrad`) that this one reads from, each with the
        number of the result; `(None, 0)` where no derivative goes."""
        return tuple(
            (None, 0) if e is None else (AccumulateGrad(e[0]), 0) if isinstance(e[0], Tensor) else e
            for e in self.edges
        )

    def __repr__(self) -> str:
        return f"<{self.name()}>"

    def name(self) -> str:
        """The name as torch spells it: `MulBackward0`."""
        return _backward_name(self.op)

    def register_hook(self, hook: Callable[..., Any]) -> HookHandle:
        """Call `hook(operand derivatives, result derivatives)` after this entry was differentiated;
        a tuple that it returns replaces the operand derivatives."""
        return self._hooked(AFTER, hook)

    def register_prehook(self, hook: Callable[..., Any]) -> HookHandle:
        """Call `hook(result derivatives)` before this entry is differentiated; a tuple that it
        returns replaces them."""
        return self._hooked(BEFORE, hook)

    def _hooked(self, where: int, hook: Callable[..., Any]) -> HookHandle:
        if self.hooks is None:
            self.hooks = {}
        hooks = self.hooks.setdefault(where, [])
        hooks.append(hook)
        return HookHandle(hooks, hook)


BEFORE: Final = -1
AFTER: Final = -2
"""Keys of an entry's hooks that are not of one result but of the whole entry."""


class AccumulateGrad:
    """Where a walk over `next_functions` ends: the leaf, as `variable`, whose `.grad` is added
    to."""

    __slots__ = ("variable",)
    next_functions: tuple[Any, ...] = ()

    def __init__(self, variable: Tensor) -> None:
        self.variable = variable

    def name(self) -> str:
        """The name as torch spells it."""
        return "torch::autograd::AccumulateGrad"

    def register_hook(self, hook: Callable[..., Any]) -> HookHandle:
        """Call `hook((), (derivative,))` after the leaf's `.grad` was added to."""

        def added(leaf: Tensor) -> None:
            hook((), (leaf.grad,))

        return register_accumulate_hook(self.variable, added)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, AccumulateGrad) and other.variable is self.variable

    def __hash__(self) -> int:
        return hash(self.variable)


def _backward_name(op: str) -> str:
    words = op.replace(".", "_").split("_")
    return "".join(w[:1].upper() + w[1:] for w in words) + "Backward0"


_new: Final = object.__new__


class OpEntry(Entry):
    """The application of an op of the registry."""

    __slots__ = ("every", "rule")
    rule: Rule
    every: Derivative  # for all results' derivatives: what was saved is what it reads

    @property
    def op(self) -> str:  # type: ignore[override]  # a constant elsewhere
        """The op."""
        return self.rule.op

    def needs(self) -> tuple[bool, ...]:
        """Which operands want a derivative."""
        return tuple([e is not None for e in self.edges])

    def pull(self, dys: list[Tensor | None]) -> Sequence[Tensor | None]:
        """Operand derivatives, by the op's own rule."""
        if self.saved is None:
            raise self._freed()
        derivative, every = self.every, self.every
        if None in dys:
            derivative = self.rule.derivative(self.needs(), tuple([d is not None for d in dys]))
        if derivative.steps and modes.trace is None is modes.watch and not modes.grad:
            data = self._data(derivative, dys)
            with suppress(Exception):  # raised again below, with its place
                return derivative.values(data)
        operands, results = self.saved
        env: list[Tensor] = []
        for k in derivative.xs:
            tensor, version = operands[every.xs.index(k)]
            if tensor._counter[0] != version:
                raise self._changed("operand", k, version, tensor._counter[0])
            env.append(tensor)
        for k in derivative.ys:
            data, counter, version = results[every.ys.index(k)]
            if counter[0] != version:
                raise self._changed("result", k, version, counter[0])
            y = wrap(data, self.kinds[k])
            y._node, y._index, y.requires_grad = self, k, True
            env.append(y)
        for k in derivative.dys:
            dy = dys[k]
            assert dy is not None
            env.append(dy)
        return self.rule.differentiate(derivative, env)

    def _data(self, derivative: Derivative, dys: list[Tensor | None]) -> list[Any]:
        """The data of what a derivative reads."""
        every = self.every
        operands, results = self.saved
        data = []
        for k in derivative.xs:
            tensor, version = operands[every.xs.index(k)]
            if tensor._counter[0] != version:
                raise self._changed("operand", k, version, tensor._counter[0])
            data.append(tensor._data)
        for k in derivative.ys:
            array, counter, version = results[every.ys.index(k)]
            if counter[0] != version:
                raise self._changed("result", k, version, counter[0])
            data.append(array)
        for k in derivative.dys:
            dy = dys[k]
            assert dy is not None
            data.append(dy._data)
        return data

    def _changed(self, what: str, k: int, before: int, now: int) -> GradientError:
        kind = self.rule.inputs[k] if what == "operand" else self.kinds[k]
        return GradientError(
            f"{self.describe()}: its {what} {k}, {kind}, which the derivative needs, was changed in"
            f" place afterwards (it was at version {before}, it is at {now});"
            " change a clone() of it instead"
        )


def edge_of(tensor: Tensor) -> Edge:
    """Where the derivative of a tensor goes: to its entry, to itself if it is a leaf."""
    if not tensor.requires_grad:
        return None
    node = tensor._node
    return (tensor, 0) if node is None else (node, tensor._index)


def record(rule: Rule, inputs: Sequence[Tensor], outputs: Sequence[Tensor], place: Spot) -> None:
    """Put an application on the tape, unless none of its results can have a derivative."""
    needs = tuple([t.requires_grad for t in inputs])
    every = rule.saving.get(needs)
    if every is None:
        if not any(k.dtype.kind == "f" for k in rule.outputs):
            return
        try:
            every = rule.derivative(needs, (True,) * len(outputs))
        except Error as error:
            raise located(error, (where_of(place),)) from None
        rule.saving[needs] = every
        every.entry = _class_of(rule.op)
    if inference_used:
        _check_saved([inputs[k] for k in every.xs], rule.op, place)
    entry = _new(every.entry)
    entry.rule, entry.every, entry.place = rule, every, place
    entry.hooks = entry.retained = None
    number = entry.number = next(_order)
    edges: list[Edge] = []
    key = [every.serial]
    known = every.known and modes.trace is None
    entry.kinds = rule.outputs if known else tuple([t._kind for t in outputs])
    for t in inputs:
        if not t.requires_grad:
            edges.append(None)
        elif (node := t._node) is None:
            edges.append((t, 0))
            key.append(-id(t))  # alive as long as the tape: the same number is the same leaf
        else:
            edges.append((node, t._index))
            if not node.structure:
                known = False
            key += (number - node.number, node.structure, t._index)
    entry.edges = tuple(edges)
    entry.structure = 0
    if known:
        entry.structure = _STRUCTURES.get(tuple(key)) or _structure(tuple(key))
    for k, t in enumerate(outputs):
        if t._kind.floating:
            t._node, t._index, t.requires_grad = entry, k, True
    operands: Any = ()
    if every.xs:
        operands = [(inputs[k], (inputs[k]._counter or counter_of(inputs[k]))[0]) for k in every.xs]
    results: Any = ()
    if every.ys:
        counters = [counter_of(outputs[k]) for k in every.ys]
        results = [(outputs[k]._data, c, c[0]) for k, c in zip(every.ys, counters, strict=True)]
    entry.saved = (operands, results)


def _check_saved(tensors: Sequence[Tensor], op: str, place: Spot) -> None:
    for t in tensors:
        if is_inference(t):
            raise located(
                GradientError(
                    f"{op}: {t._kind} was made in inference_mode, so it cannot be saved for a"
                    " derivative; use a clone() of it"
                ),
                (where_of(place),),
            )


_CLASSES: Final[dict[str, type[OpEntry]]] = {}


def _class_of(op: str) -> type[OpEntry]:
    """The class of an op's entries: its name is what code that walks a tape shows."""
    found = _CLASSES.get(op)
    if found is None:
        found = _CLASSES[op] = type(_backward_name(op), (OpEntry,), {"__slots__": ()})
    return found


def _structure(key: tuple[int, ...]) -> int:
    """The number of a structure that was not known."""
    if len(_STRUCTURES) >= _REMEMBERED:
        _STRUCTURES.clear()
    made = _STRUCTURES[key] = next(_structures)
    return made


class HookHandle:
    """Takes a hook off again: `handle.remove()`."""

    def __init__(self, hooks: list[Callable[..., Any]], hook: Callable[..., Any]) -> None:
        self._hooks, self._hook = hooks, hook

    def remove(self) -> None:
        """Take the hook off; doing it twice is fine."""
        if self._hook in self._hooks:
            self._hooks.remove(self._hook)


def register_hook(tensor: Tensor, hook: Callable[..., Any]) -> HookHandle:
    """Call `hook` with the derivative of a tensor."""
    if not tensor.requires_grad:
        raise GradientError("register_hook: the tensor does not require grad")
    node = tensor._node
    if node is None:
        if tensor._hooks is None:
            tensor._hooks = []
        hooks = tensor._hooks
    else:
        if node.hooks is None:
            node.hooks = {}
        hooks = node.hooks.setdefault(tensor._index, [])
    hooks.append(hook)
    return HookHandle(hooks, hook)


def register_accumulate_hook(tensor: Tensor, hook: Callable[[Tensor], None]) -> HookHandle:
    """Call `hook` with a leaf after its `.grad` was added to."""
    if tensor._node is not None or not tensor.requires_grad:
        raise GradientError("register_post_accumulate_grad_hook: only leaves that require grad")
    hooks = tensor.__dict__.setdefault("_accumulate_hooks", [])
    hooks.append(hook)
    return HookHandle(hooks, hook)
