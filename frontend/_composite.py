"""Composites that run eagerly as one op: `as_one`.

Inside a trace a composite is the ops it is written in, for the compiler to see. Eagerly each of
these would cost a dispatch and an entry on the tape; so they are recorded once per operand types
and then run as one: node by node at first, as one kernel compiled for run-time sizes once that
pays. The derivative is that of the recorded ops by their own rules, which computes again what it
reads of the values in between. The bits are those of the single ops: for that, a composite that
hands an operand more than one derivative (whose sum would have another order) is taped op by op."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Final, TypeVar

from intaglio._apply import Rule, refresh
from intaglio._core import Tensor, wrap
from intaglio._kind import Kind, kind_of, kind_of_type
from intaglio._modes import modes
from intaglio._often import OFTEN, calls_python, may_compile
from intaglio._scope import spot
from intaglio._tape import Derivative, live, record
from intaglio._trace import record_block
from intaglio.compiler.dims import Dim
from intaglio.compiler.dtypes import DType
from intaglio.compiler.errors import Error, GradientError
from intaglio.compiler.ir import Attributes, Graph, Value
from intaglio.compiler.op import Builder
from intaglio.compiler.passes.gradient import backpropagate
from intaglio.compiler.where import Places
from intaglio.runtime.eager import graph_evaluator
from intaglio.runtime.eager_calls import as_dense, calls_of, kernel_of

F = TypeVar("F", bound=Callable[..., Any])
Quick = Callable[[Sequence[Any]], Sequence[Any]]

LARGE: Final = 1 << 15
"""Elements of operands from which on a second call is enough for a composite to be compiled."""
_PLAIN: Final = frozenset({int, float, bool, str, type(None), DType})
_LIMIT: Final = 5_000
_RULES: Final[dict[Any, Any]] = {}  # rules by function, operand kinds and options; None: not as one


def as_one(function: F) -> F:
    """Let a composite of one result run eagerly as one op: `function(*args, **options)` of tensors
    and plain values (numbers, texts, None), a pure function of its arguments."""
    return as_one_of(function)(function)


def as_one_of(body: Callable[..., Any]) -> Callable[[F], F]:
    """As `as_one`, with `body` as what is recorded: the same function with, say, another
    derivative."""

    def decorate(function: F) -> F:
        @functools.wraps(function)
        def call(*args: Any, **options: Any) -> Any:
            if modes.trace is None is modes.watch:
                made = _run(body, args, options)
                if made is not None:
                    return made
            return function(*args, **options)

        return call  # type: ignore[return-value]  # the same signature as the function's

    return decorate


def _run(function: Callable[..., Any], args: tuple[Any, ...], options: Any) -> Tensor | None:
    """The result; None where the function is to run op by op, or to raise its error."""
    key: list[Any] = [function]
    tensors = []
    taped = False
    for x in (*args, *options.values()) if options else args:
        if isinstance(x, Tensor):
            if x._view is not None and x._seen != x._counter[0]:  # type: ignore[index]  # views have one
                refresh(x)
            key.append(x._kind)
            tensors.append(x)
            taped = taped or x.requires_grad
        elif x.__class__ in _PLAIN:
            key += (x.__class__, x)
        else:
            return None
    if options:
        key += options
    whole = tuple(key)
    try:
        rule = _RULES[whole]
    except KeyError:
        rule = _RULES[whole] = _rule_of(function, args, options)
    if rule is None:
        return None
    taped = taped and modes.grad
    if taped and rule.splits(tuple([t.requires_grad for t in tensors])):
        return None
    try:
        (array,) = (rule.run or rule.prepare())(*[t._data for t in tensors])
    except Exception:
        return None  # the single ops raise it again, with their place
    made = wrap(array, rule.outputs[0])
    if taped:
        code, offset, scope = spot()
        record(rule, tensors, (made,), (code, offset, (scope, rule.op)))
    return made


def _rule_of(function: Callable[..., Any], args: tuple[Any, ...], options: Any) -> Any:
    if len(_RULES) >= _LIMIT:
        _RULES.clear()
    values = (*args, *options.values())
    kinds = [x._kind for x in values if isinstance(x, Tensor)]
    if not kinds or any(k.place is not None for k in kinds):
        return None

    def body(*tensors: Tensor) -> tuple[Tensor]:
        given = iter(tensors)
        filled = [next(given) if isinstance(x, Tensor) else x for x in values]
        named = dict(zip(options, filled[len(args) :], strict=True))
        return (function(*filled[: len(args)], **named),)

    plain = tuple([(x.__class__, x) for x in values if not isinstance(x, Tensor)])
    places = tuple([isinstance(x, Tensor) for x in values])
    try:
        rule = _Composite(function, body, kinds, (plain, places, *options))
    except Error:
        return None
    return rule if rule.serves() else None


class _Composite(Rule):
    """What holds for a composite, operand kinds and options."""

    __slots__ = ("_body", "_key", "_split", "_writes")

    def __init__(
        self,
        function: Callable[..., Any],
        body: Callable[..., Sequence[Tensor]],
        kinds: Sequence[Kind],
        key: tuple[Any, ...],
    ) -> None:
        self.op, self.inputs = function.__name__.strip("_"), tuple(kinds)
        self.attributes: Attributes = {}
        self.place, self.run, self.single, self.looks = None, None, None, False
        self.derivatives: dict[Any, Derivative] = {}
        self.saving: dict[tuple[bool, ...], Derivative] = {}
        self._split: dict[tuple[bool, ...], bool] = {}
        self._writes, self._key = body, (function, key)
        self._body = record_block(body, kinds)
        self.outputs = tuple([kind_of_type(v.type) for v in self._body.outputs])

    def serves(self) -> bool:
        """Whether the ops can run as one: the result is made by them, of known sizes, natively."""
        made = {v for node in self._body.nodes for v in node.outputs}
        sizes = [s for k in (*self.inputs, *self.outputs) for s in k.shape]
        known = not any(isinstance(s, Dim) or s == 0 for s in sizes)
        fresh = all(v in made for v in self._body.outputs)
        blocks = any(isinstance(a, Graph) for n in self._body.nodes if n.op != "custom_vjp"
                     for a in n.attributes.values())  # fmt: skip
        return known and fresh and not blocks and not calls_python(self._body)

    def prepare(self) -> Callable[..., Sequence[Any]]:
        """The evaluator, made now."""
        slow, hot = graph_evaluator(self._body), _Hot(self, self._compiled)

        def run(*arrays: Any) -> Sequence[Any]:
            quick = hot.quick or hot.look()
            if quick is None:
                return slow(*arrays)
            made: Sequence[Any] = quick([as_dense(a) for a in arrays])
            return made

        self.run = run
        return run

    def _compiled(self) -> Quick:
        """The ops as one kernel for any sizes."""
        wide, key = self._widened()
        return calls_of(kernel_of(key, lambda: record_block(self._writes, wide)))

    def compiled_derivative(self, made: _QuickDerivative, given: tuple[bool, ...]) -> Quick | None:
        """A derivative as one kernel for any sizes; None where it does not read the same."""
        needs = made.needs
        wide, key = self._widened()

        def graph() -> Graph:
            return _differentiate(record_block(self._writes, wide), needs, given)[0].graph

        kernel = kernel_of((*key, needs, given), graph)
        same = len(kernel.graph.inputs) == len(made.graph.inputs)
        return calls_of(kernel) if same else None

    def _widened(self) -> tuple[list[Kind], Any]:
        """The operands' kinds with sizes that are known only when the kernel is called, equal ones
        the same, and the key of kernels for them."""
        sizes = dict.fromkeys(s for k in self.inputs for s in k.shape if s != 1)
        names: dict[Any, Any] = {size: Dim(f"d{n}", 2) for n, size in enumerate(sizes)}
        wide = [kind_of(k.dtype, tuple(names.get(s, s) for s in k.shape)) for k in self.inputs]
        return wide, ("composite", *self._key, tuple(map(str, wide)))

    def splits(self, needs: tuple[bool, ...]) -> bool:
        """Whether an operand would get the sum of several derivatives, or none can be made."""
        found = self._split.get(needs)
        if found is None:
            try:
                self.derivative(needs, (True,) * len(self.outputs))
            except GradientError:
                self._split[needs] = True
            found = self._split[needs]
        return found

    def derivative(self, needs: tuple[bool, ...], given: tuple[bool, ...]) -> Derivative:
        """The derivative of the recorded ops for the operands that need one."""
        found = self.derivatives.get((needs, given))
        if found is None:
            made, self._split[needs] = _differentiate(self._body, needs, given)
            made.hot = _Hot(self, lambda: self.compiled_derivative(made, given))
            found = self.derivatives[needs, given] = made
        return found


class _Hot:
    """Counts runs and compiles once: after a few for large operands, after many for small ones.
    `quick` is the compiled kernel, if there is one."""

    __slots__ = ("_calls", "_make", "quick")

    def __init__(self, rule: Rule, make: Callable[[], Quick | None]) -> None:
        total = sum(k.shape.numel() for k in rule.inputs)
        self._calls = 1 if total >= LARGE else OFTEN
        self._make = make
        self.quick: Quick | None = None

    def look(self) -> Quick | None:
        """The kernel, made when it is time."""
        self._calls -= 1
        if self._calls == -1 and may_compile():
            with suppress(Error):
                self.quick = self._make()
        return self.quick


@dataclass(frozen=True)
class _Use:
    """A node whose reading of operands is told apart: `(operand, number)` for each."""

    op: str
    inputs: tuple[Any, ...]
    outputs: tuple[Value, ...]
    attributes: Attributes
    where: Places


class _QuickDerivative(Derivative):
    """The derivative of a composite, which may be compiled."""

    __slots__ = ("hot", "needs")
    hot: _Hot
    needs: tuple[bool, ...]

    def values(self, data: Sequence[Any]) -> list[Tensor | None]:
        """The operand derivatives from the data of what is read, off the tape."""
        quick = self.hot.quick or self.hot.look()
        if quick is None:
            return super().values(data)
        made = iter(quick([as_dense(a) for a in data]))
        return [None if k is None else wrap(next(made), k) for k in self.kinds]


def _differentiate(
    body: Graph, needs: tuple[bool, ...], given: tuple[bool, ...]
) -> tuple[_QuickDerivative, bool]:
    """The derivative of a graph, and whether an operand gets a sum of several."""
    g = Builder()
    xs = [g.input(v.type) for v in body.inputs]
    ys = [g.input(v.type) for v in body.outputs]
    dys = [g.input(v.type) if there else None for v, there in zip(body.outputs, given, strict=True)]
    here: dict[Any, Value] = dict(zip(body.inputs, xs, strict=True))
    asked = {v for v, need in zip(body.inputs, needs, strict=True) if need}
    steps: list[_Use] = []
    uses: list[tuple[Value, int]] = []
    for node in body.nodes:
        copy = node.with_inputs([here[v] for v in node.inputs])
        g.append(copy)
        here.update(zip(node.outputs, copy.outputs, strict=True))
        read: list[Any] = []
        for v in node.inputs:
            if v in asked:
                uses.append((v, len(uses)))
                read.append(uses[-1])
            else:
                read.append(v)
        steps.append(_Use(node.op, tuple(read), node.outputs, node.attributes, node.where))
    here.update(zip(body.outputs, ys, strict=True))
    seeds = {v: dy for v, dy in zip(body.outputs, dys, strict=True) if dy is not None}
    found: Any = backpropagate(
        g, reversed(steps), seeds, set(uses), lambda k: here[k[0] if isinstance(k, tuple) else k]
    )
    parts = {v: [found[use] for use in uses if use[0] is v and use in found] for v in asked}
    wanted = [parts[v][0] if parts.get(v) else None for v in body.inputs]
    graph = live(g.graph([v for v in wanted if v is not None]))
    made = _QuickDerivative(
        list(enumerate(xs)),
        list(enumerate(ys)),
        [(k, v) for k, v in enumerate(dys) if v is not None],
        graph,
        wanted,
    )
    made.needs = needs
    return made, any(len(each) > 1 for each in parts.values())
