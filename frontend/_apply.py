"""Applies an op to tensors: the only place that knows whether ops run at once, are taped, or are
recorded into a program.

What is known of an op for operands of certain types (its result types, its evaluator, its
derivatives) is looked up in one table by (op, operand kinds, attributes)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Final

import numpy as np

import intaglio.compiler.ops  # noqa: F401  # fills the registry of ops
from intaglio._core import Array, Tensor, counter_of, from_array, wrap
from intaglio._kind import Kind, kind_of_type
from intaglio._modes import inference_used, modes
from intaglio._places import filled, is_data, moved, place_of, share_memory
from intaglio._scope import spot, where_of
from intaglio._strides import is_view
from intaglio._tape import Derivative, build_derivative, record
from intaglio._watch import watched
from intaglio.compiler.dims import Dim, collecting
from intaglio.compiler.dtypes import DType
from intaglio.compiler.errors import Error
from intaglio.compiler.ir import NO_ATTRIBUTES, Attributes, Literal, Value
from intaglio.compiler.op import located, op_named, result_types
from intaglio.compiler.ops.movement import Movement
from intaglio.runtime.eager import evaluator

Run = Callable[..., Sequence[Any]]


class Rule:
    """What holds for one op, operand kinds and attributes; evaluator and derivatives are made when
    first needed."""

    __slots__ = (
        "attributes",
        "derivatives",
        "inputs",
        "looks",
        "op",
        "outputs",
        "place",
        "run",
        "saving",
        "single",
    )

    def __init__(self, op: str, inputs: tuple[Kind, ...], attributes: Attributes) -> None:
        types = [k.type for k in inputs]
        self.op, self.inputs, self.attributes = op, inputs, attributes
        made = result_types(op_named(op), types, attributes)
        self.place = place_of(inputs)
        self.outputs = tuple(kind_of_type(t, self.place) for t in made)
        self.derivatives: dict[Any, Derivative] = {}
        self.saving: dict[tuple[bool, ...], Derivative] = {}  # by which operands need one
        self.run: Run | None = None
        self.single: Callable[..., Any] | None = None  # the same, for an op of one result
        self.looks = isinstance(op_named(op), Movement)  # the result may share memory

    def prepare(self) -> Run:
        """The evaluator, made now."""
        types = tuple(k.type for k in self.inputs)
        run: Run
        if self.place is None:
            run = evaluator(self.op, types, self.attributes)
        else:
            from intaglio.runtime.device.eager import device_evaluator

            run = device_evaluator(self.place, self.op, types, self.attributes)
        self.run = watched(self, run)
        if self.run is run:
            self.single = getattr(run, "single", None)
        if self.single is None and len(self.outputs) == 1:
            whole = self.run
            self.single = lambda *arrays: whole(*arrays)[0]
        return self.run

    def derivative(self, needs: tuple[bool, ...], given: tuple[bool, ...]) -> Derivative:
        """The derivative for the operands that need one and the results that have one."""
        found = self.derivatives.get((needs, given))
        if found is None:
            found = build_derivative(
                self.op,
                [k.type for k in self.inputs],
                [k.type for k in self.outputs],
                self.attributes,
                needs,
                given,
                self.place,
            )
            self.derivatives[needs, given] = found
        return found

    def differentiate(self, derivative: Derivative, env: list[Tensor]) -> list[Tensor | None]:
        """Run a derivative on what it reads, in the order operands, results, their derivatives."""
        for op, slots, attributes in derivative.steps:
            made = apply(op, [env[k] for k in slots], attributes)
            if self.place is not None and not slots and modes.trace is None:
                made = tuple([from_array(moved(t._data, self.place)) for t in made])
            env.extend(made)
        return [None if k is None else env[k] for k in derivative.returned]


_RULES: Final[dict[Any, Rule]] = {}
_LIMIT: Final = 20_000


def _key(value: Any) -> Any:
    return ("float", value.hex()) if type(value) is float else value


def forget_rules() -> None:
    """Begin the table of rules anew."""
    _RULES.clear()


def rule_of(op: str, inputs: Sequence[Tensor], attributes: Attributes) -> Rule:
    """The rule for these operands; raises the op's own error, with the author's line."""
    if attributes:
        key = (op, *[t._kind for t in inputs], *[_key(a) for a in attributes.values()])
    else:
        key = (op, *[t._kind for t in inputs])
    rule = _RULES.get(key)
    if rule is None:
        if len(_RULES) >= _LIMIT:
            _RULES.clear()
        rule = _RULES[key] = Rule(op, tuple(t._kind for t in inputs), dict(attributes))
    return rule


def apply(
    op: str, inputs: Sequence[Tensor], attributes: Attributes = NO_ATTRIBUTES
) -> tuple[Tensor, ...]:
    """Apply an op of the registry to tensors; all its results."""
    for t in inputs:
        if t._view is not None and t._seen != t._counter[0]:  # type: ignore[index]  # views have one
            refresh(t)
    if modes.trace is not None:
        return _apply_traced(op, inputs, attributes)
    try:
        rule = rule_of(op, inputs, attributes)
        run = rule.run or rule.prepare()
        arrays = run(*[t._data for t in inputs])
    except Error as error:
        raise located(error, (where_of(spot()),)) from error.__cause__
    except Exception:
        check_live(op, inputs, attributes)
        raise
    if len(arrays) == 1:
        made: tuple[Tensor, ...] = (wrap(arrays[0], rule.outputs[0]),)
    else:
        made = tuple([wrap(a, k) for a, k in zip(arrays, rule.outputs, strict=True)])
    if rule.looks and share_memory(arrays[0], inputs[0]._data):
        made[0]._counter = counter_of(inputs[0])  # where it is saved, writes are noticed
    if modes.grad:
        for t in inputs:
            if t.requires_grad:
                record(rule, inputs, made, spot())
                break
    return made


def binary(op: str, a: Tensor, b: Tensor) -> Tensor:
    """Apply an op of two operands, one result and no attributes. The ordinary case takes the
    shortest way; whatever is special goes by `apply`."""
    if (
        modes.trace is None
        and (a._view is None or a._seen == a._counter[0])  # type: ignore[index]  # views have one
        and (b._view is None or b._seen == b._counter[0])  # type: ignore[index]  # views have one
    ):
        rule = _RULES.get((op, a._kind, b._kind))
        if rule is not None and rule.single is not None:
            try:
                array = rule.single(a._data, b._data)
            except Exception:
                return apply(op, (a, b))[0]  # which raises it again, with the line
            made = wrap(array, rule.outputs[0])
            if (a.requires_grad or b.requires_grad) and modes.grad:
                record(rule, (a, b), (made,), spot())
            return made
    return apply(op, (a, b))[0]


def unary(op: str, x: Tensor) -> Tensor:
    """Apply an op of one operand, one result and no attributes; as `binary`."""
    if modes.trace is None and (x._view is None or x._seen == x._counter[0]):  # type: ignore[index]  # views have one
        rule = _RULES.get((op, x._kind))
        if rule is not None and rule.single is not None:
            try:
                array = rule.single(x._data)
            except Exception:
                return apply(op, (x,))[0]  # which raises it again, with the line
            made = wrap(array, rule.outputs[0])
            if x.requires_grad and modes.grad:
                record(rule, (x,), (made,), spot())
            return made
    return apply(op, (x,))[0]


def check_live(op: str, inputs: Sequence[Tensor], attributes: Attributes) -> None:
    """Raise `TraceError` when an operand is a value of a trace that has ended, or an attribute has
    a size of one."""
    for t in inputs:
        if isinstance(t._data, Value):
            from intaglio._trace_errors import escaped

            raise escaped(op, t)
    for value in attributes.values():
        if isinstance(value, tuple) and any(isinstance(size, Dim) for size in value):
            from intaglio._trace_errors import symbolic

            raise symbolic(f"{op}: {value}")


def _apply_traced(op: str, inputs: Sequence[Tensor], attributes: Attributes) -> tuple[Tensor, ...]:
    trace = modes.trace
    assert trace is not None
    place = spot()
    values = [trace.read(t) for t in inputs]
    results = trace.apply(op, values, attributes, place)
    home = place_of([t._kind for t in inputs])
    made = tuple([wrap(v, kind_of_type(v.type, home)) for v in results])
    if modes.grad and any(t.requires_grad for t in inputs):
        with collecting([]):  # what the types need of sizes is in the trace already
            rule = rule_of(op, inputs, attributes)
        record(rule, inputs, made, place)
    return made


def one(op: str, *inputs: Tensor, **attributes: Any) -> Tensor:
    """Apply an op that has one result."""
    return apply(op, inputs, attributes)[0]


# -------------------------------------------------------------------------------------------- views


def view(op: str, parent: Tensor, attributes: Attributes, copies: bool = False) -> Tensor:
    """Apply a movement op whose result shares its operand's memory, and remember that it does.

    With `copies`, a result that NumPy could not express without a copy is an ordinary tensor."""
    made = apply(op, (parent,), attributes)[0]
    data = made._data
    if is_data(data):
        known = made._counter is not None and made._counter is parent._counter  # by `apply`
        if copies and not known and not share_memory(data, parent._data):
            return made
    elif copies and not is_view(parent, made.shape):
        return made
    return link(made, parent, op, attributes)


def link(made: Tensor, parent: Tensor, op: str, attributes: Attributes) -> Tensor:
    """Remember that `made` is a view of `parent`."""
    made._view = (parent, op, attributes)
    counter = counter_of(parent)
    made._counter = counter
    made._seen = counter[0]
    if inference_used and made._node is None:
        made._index = min(parent._index, 0)  # made in inference mode if the parent was
    return made


def refresh(tensor: Tensor) -> None:
    """Bring a view up to date after a write to the memory that it shares: its value in a trace, and
    its place on the tape."""
    chain = [tensor]
    while True:
        up = chain[-1]._view
        if up is None:
            break
        parent = up[0]
        if parent._view is None or parent._seen == counter_of(parent)[0]:
            break
        chain.append(parent)
    for stale in reversed(chain):
        assert stale._view is not None
        parent, op, attributes = stale._view
        counter = counter_of(parent)
        stale._seen = counter[0]
        if modes.trace is not None:
            modes.trace.note(stale)
        if op == "stop_gradient":
            stale._data = parent._data if modes.trace is None else modes.trace.read(parent)
            continue
        if modes.trace is None and not parent.requires_grad:
            continue
        fresh = apply(op, (parent,), attributes)[0]
        if modes.trace is not None:
            stale._data = fresh._data
        if not (stale.requires_grad and stale._node is None):
            stale._node, stale._index = fresh._node, fresh._index
            stale.requires_grad = fresh.requires_grad


# ---------------------------------------------------------------------------- numbers and constants

_FULL: Final[dict[Any, Tensor]] = {}
DENSE_BYTES: Final = 4096
"""Bytes up to which a constant is stored element by element."""


def full(number: Any, kind: Kind) -> Tensor:
    """A tensor of this kind with every element equal to a Python number. It is shared and takes
    little memory, so it must not be written to."""
    if modes.trace is None and number:  # 0.0 and -0.0 are equal keys
        found = _FULL.get((kind, number))
        if found is not None:
            return found
    dtype = kind.dtype
    value: Any = _as_number(number, dtype)
    if modes.trace is not None:
        return one("full", value=value, dtype=dtype, shape=tuple(kind.shape))
    key = (kind, number if number else _key(value))
    found = _FULL.get(key)
    if found is None:
        if len(_FULL) > 2_000:
            _FULL.clear()
        if any(isinstance(size, Dim) for size in kind.shape):
            from intaglio._trace_errors import symbolic

            raise symbolic(str(kind))
        found = _FULL[key] = wrap(_constant_data(value, kind), kind)
        found._index = 0  # also in inference mode: it is there for all
    return found


def _constant_data(value: Any, kind: Kind) -> Any:
    """One number in every element, not to be written: stored once, or densely where that takes
    little and so spares kernels a copy."""
    data = filled(value, kind)
    if kind.place is None and data.nbytes <= DENSE_BYTES:
        data = np.array(data, order="C")
        data.flags.writeable = False
    return data


def _as_number(number: Any, dtype: DType) -> Any:
    if dtype.kind == "f":
        return float(number)
    if dtype.kind == "b":
        return bool(number)
    bits = 8 * dtype.size  # integers wrap, as those of arrays do
    low = -(1 << bits - 1) if dtype.kind == "i" else 0
    return (int(number) - low) % (1 << bits) + low


def constant(array: Array) -> Tensor:
    """A tensor with an array's elements; in a trace, a constant of the program."""
    if modes.trace is not None:
        return one("constant", value=Literal(array))
    return from_array(array)
