"""What an op is: one class that says everything the system needs to know about it, and the registry
of them.

Defining a subclass of `Op` with a `name` registers it; no other list of ops exists. Every generic
test runs over the registry with the samples that the class carries, and every back end, pass and
file asks the class. See `docs/ops.md` for how to add one."""

from __future__ import annotations

import importlib
import inspect
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any, ClassVar, Final, Generic, Protocol, TypeVar

import numpy as np

from intaglio.compiler.dims import Constraint, Shape, Size, collecting
from intaglio.compiler.dtypes import DType, bfloat16, dtype_of, float16
from intaglio.compiler.errors import ArgumentError, Error, GradientError, VerifyError
from intaglio.compiler.ir import (
    NO_ATTRIBUTES,
    Attribute,
    Attributes,
    Graph,
    Literal,
    Node,
    Value,
    blocks,
)
from intaglio.compiler.types import TensorType
from intaglio.compiler.where import Places, describe

Array = np.ndarray[Any, Any]
V = TypeVar("V")


HALVES: Final = frozenset({float16.numpy, bfloat16.numpy})
"""The short floats, as NumPy knows them."""


def _as_f32(array: Array) -> Array:
    """A short float's array as f32; another as it is."""
    return array.astype(np.float32) if array.dtype in HALVES else array


class Sample:
    """Inputs for the generic tests of an op: operands as types or arrays, attributes, and what
    about it is checked."""

    __slots__ = ("attributes", "derivative", "operands", "range")

    def __init__(
        self,
        *operands: str | Array,
        range: tuple[float, float] = (-2.0, 2.0),
        derivative: bool = True,
        **attributes: Attribute,
    ) -> None:
        """Operands are type texts such as `"f32[3,4]"` (filled from `range`, seeded) or arrays
        taken as they are.

        `derivative=False` leaves the finite-difference test out, for samples at which the op is not
        smooth."""
        self.operands, self.range, self.derivative, self.attributes = (
            operands,
            range,
            derivative,
            attributes,
        )

    def __repr__(self) -> str:
        texts = [o if isinstance(o, str) else f"array{list(o.shape)}" for o in self.operands]
        return ",".join(texts + [f"{k}={v}" for k, v in self.attributes.items()])


class Op:
    """Base of all ops. Every method gets the node's attributes as keywords.

    `reads_order` is true for ops that look at more than one element of an operand per result
    element (reductions, products): fusion treats only ops with `element` as inlinable. `checks` is
    true when running it can record an error."""

    name: ClassVar[str] = ""
    version: ClassVar[int] = 1
    checks: ClassVar[bool] = False
    keeps_order: ClassVar[bool] = False
    """Whether the result has the operand's elements in the same row-major order."""
    exact: ClassVar[str] = ""
    """The kinds of dtypes (`f` float, `i`, `u` integers, `b` bool) for which `reference` has the
    defined bits: these may be folded."""
    effect: ClassVar[bool] = False
    """Whether running it is seen from outside: such a node stays where nobody reads its result, and
    stands for itself alone. (Its operand is its result.)"""
    updates_operand: ClassVar[bool] = False
    """Whether the result is operand 0 with some elements replaced: where nobody needs the operand
    any more, they are written into its memory."""
    samples: ClassVar[Sequence[Sample]] = ()

    def __init_subclass__(cls, **keywords: Any) -> None:
        super().__init_subclass__(**keywords)
        if cls.__dict__.get("name"):
            if cls.name in OPS:
                raise VerifyError(f"the op {cls.name} is defined twice")
            OPS[cls.name] = cls()

    def type(self, *types: TensorType, **attributes: Any) -> TensorType | tuple[TensorType, ...]:
        """The result type or types, or an `Error` that names the op, the operand types and the rule
        that is broken."""
        raise NotImplementedError(f"{self.name} lacks its type rule")

    def upgrade(self, version: int, attributes: Attributes) -> Attributes:
        """The attributes of this version of the op, for a node that a file holds with an older
        `version`. An op whose version is raised overrides this."""
        raise VerifyError(f"{self.name}: version {version} can't be read any more")

    def reference(self, *arrays: Array, **attributes: Any) -> Array | tuple[Array, ...]:
        """The meaning, in NumPy: the oracle of the tests and the fallback without a compiler."""
        raise NotImplementedError(f"{self.name} lacks its reference")

    def results(self, *arrays: Array, **attributes: Any) -> tuple[Array, ...]:
        """What `reference` gives, always as a tuple. Short floats are computed in f32: they go in
        as such, and what comes out is rounded once; the ops in a block do so themselves."""
        plain = not any(a.dtype in HALVES for a in arrays) or self.moves(**attributes)
        if plain or any(isinstance(value, Graph) for value in attributes.values()):
            made = self.reference(*arrays, **attributes)
            return made if isinstance(made, tuple) else (made,)
        types = [TensorType(dtype_of(a.dtype), a.shape) for a in arrays]
        wanted = result_types(self, types, attributes)
        wide = self.reference(*map(_as_f32, arrays), **attributes)
        many = wide if isinstance(wide, tuple) else (wide,)
        with np.errstate(all="ignore"):
            return tuple(
                np.asarray(a).astype(t.dtype.numpy, copy=False)
                for a, t in zip(many, wanted, strict=True)
            )

    def vjp(
        self,
        g: Ops[V],
        dys: Sequence[V | None],
        ys: Sequence[V],
        xs: Sequence[V],
        needs: Sequence[bool],
        /,
        **attributes: Any,
    ) -> Sequence[V | None]:
        """Operand derivatives from result derivatives `dys` (None: zero), written in ops.

        Returns one entry per operand: None where the derivative is zero, where `needs` is false, or
        for integer operands."""
        raise GradientError(f"{self.name} has no derivative")

    def jvp(
        self,
        g: Ops[V],
        dxs: Sequence[V | None],
        xs: Sequence[V],
        ys: Sequence[V],
        /,
        **attributes: Any,
    ) -> Sequence[V | None] | None:
        """Result derivatives from operand derivatives, where that is cheaper than transposing
        `vjp`; None: not given."""
        return None

    element: ClassVar[Callable[..., Any] | None] = None
    """`element(self, index, *xs, **attributes)`: one result element as a scalar expression;
    `xs[k](*index)` is a load or a fused producer."""

    def moves(self, **attributes: Any) -> bool:
        """Whether the results are elements of the operands, bit for bit: nothing is computed, and
        so short floats are not taken to f32 and back."""
        return False

    def bounds_checks(self, *types: TensorType, **attributes: Any) -> tuple[tuple[int, Size], ...]:
        """The operands whose elements are positions, each with the exclusive upper bound; of ops
        that `checks`."""
        return ()

    def fold(self, arrays: Sequence[Array], **attributes: Any) -> tuple[Array, ...] | None:
        """The results for constant operands, computed when compiling; None leaves the node alone.

        By default the reference, where `exact` says that it has the defined bits; NaNs are left to
        the machine, whose choice of their bits is its own."""
        if any(a.dtype.kind not in self.exact for a in arrays):
            return None
        results = self.results(*arrays, **attributes)
        wild = any(r.dtype.kind == "f" and bool(np.isnan(r).any()) for r in results)
        return None if wild else results

    def simplify(self, g: Rewriter, xs: Sequence[Value], node: Node) -> Value | None:
        """A simpler value with the same bits, made by `g` or one of `xs`; None leaves the node
        alone."""
        return None

    def permuted(self, g: Rewriter, node: Node, axes: Sequence[int]) -> Value | None:
        """The result of a node with its dims in another order, made as cheaply and with the same
        bits; None where the op has no such form."""
        return None

    def reshaped(self, g: Rewriter, node: Node, shape: Shape) -> Value | None:
        """The result of a node in another shape, likewise."""
        return None

    def prune(self, node: Node, used: Sequence[bool]) -> Node:
        """The node without what serves only its unused results, for ops that can drop a part; the
        results that are left keep their identity."""
        return node

    def hoisted(self, node: Node) -> tuple[list[Node], Node] | None:
        """For ops that repeat a block: the nodes of it that make the same in every round, to run
        before, and the node without them, its results keeping their identity; None where there are
        none."""
        return None

    def merge(self, first: Node, second: Node) -> tuple[Node, dict[Value, Value]] | None:
        """One node that does the work of two with the same operands, and which of its results
        stands for each of theirs; None where the op can't."""
        return None

    def placements(self, *types: TensorType, **attributes: Any) -> tuple[Shape, ...] | None:
        """Where in the result each operand begins, for ops whose result is the operands side by
        side and nothing else: they may be made there. None for others."""
        return None

    def with_results(
        self, node: Node, block: str, values: Sequence[Value]
    ) -> tuple[Node, Sequence[Value]] | None:
        """The node with `values` of one of its blocks as further results, one for every run of the
        block along a leading dim, and these results; None where the op can't."""
        return None


OPS: Final[dict[str, Op]] = {}
"""The registry: every op by name. Importing `intaglio.compiler.ops` fills it."""


def op_named(name: str) -> Op:
    """The registered op of this name; raises `VerifyError` when there is none."""
    found = OPS.get(name)
    if found is None:
        importlib.import_module("intaglio.compiler.ops")  # which imports this module
        found = OPS.get(name)
    if found is None:
        raise VerifyError(f"there is no op called {name!r}")
    return found


def has_effect(node: Node) -> bool:
    """Whether running a node, or what is in its blocks, is seen from outside."""
    if op_named(node.op).effect:
        return True
    return any(has_effect(inner) for _, block in blocks(node) for inner in block.nodes)


def result_types(
    op: Op, types: Sequence[TensorType], attributes: Attributes
) -> tuple[TensorType, ...]:
    """What `op.type` says, always as a tuple; an `Error` also where the operands' number or the
    attributes' names are not the op's."""
    try:
        made = op.type(*types, **attributes)
    except TypeError as error:
        try:
            inspect.signature(op.type).bind(*types, **attributes)
        except TypeError as misfit:
            raise ArgumentError(
                f"{op.name}: {', '.join(map(str, types)) or 'no operands'}: {misfit}"
            ) from None
        raise error from None
    return made if isinstance(made, tuple) else (made,)


class Ops(Protocol, Generic[V]):
    """What derivative rules and rewrites are written against: it applies ops to values of some
    kind.

    A graph builder makes nodes, the eager front end runs at once; the rules can't tell. Ops are
    also methods: `g.add(a, b)`, `g.sum(x, axes=(0,))` are `g.apply("add", (a, b))[0]` and so on; an
    op with several results gives a tuple."""

    def apply(
        self, op: str, inputs: Sequence[V], attributes: Attributes = NO_ATTRIBUTES
    ) -> tuple[V, ...]:
        """Apply an op by name; all its results."""
        ...

    def type_of(self, value: V) -> TensorType:
        """The type of a value."""
        ...

    def full(self, number: float, dtype: DType, shape: Shape = ()) -> V:
        """A tensor with every element equal to `number`."""
        ...

    def like(self, number: float, value: V) -> V:
        """A tensor of the type of `value` with every element equal to `number`."""
        ...

    def constant(self, array: Array) -> V:
        """A constant array."""
        ...

    def placed(self, where: Places) -> AbstractContextManager[None]:
        """Let what is made inside carry `where`, if it carries places at all."""
        ...

    def __getattr__(self, op: str) -> Callable[..., Any]:
        """The op of this name as a method."""
        ...


class OpsBase(Generic[V]):
    """The conveniences of `Ops`, on top of `apply` and `type_of`."""

    def apply(
        self, op: str, inputs: Sequence[V], attributes: Attributes = NO_ATTRIBUTES
    ) -> tuple[V, ...]:
        """Apply an op by name; all its results."""
        raise NotImplementedError

    def type_of(self, value: V) -> TensorType:
        """The type of a value."""
        raise NotImplementedError

    def full(self, number: float, dtype: DType, shape: Shape = ()) -> V:
        """A tensor with every element equal to `number`."""
        return self.apply("full", (), {"value": number, "dtype": dtype, "shape": shape})[0]

    def like(self, number: float, value: V) -> V:
        """A tensor of the type of `value` with every element equal to `number`."""
        type = self.type_of(value)
        return self.full(number, type.dtype, type.shape)

    def constant(self, array: Array) -> V:
        """A constant array."""
        return self.apply("constant", (), {"value": Literal(array)})[0]

    def placed(self, where: Places) -> AbstractContextManager[None]:
        """Let what is made inside carry `where`, if it carries places at all."""
        return nullcontext()

    def __getattr__(self, op: str) -> Callable[..., Any]:
        if op.startswith("_"):
            raise AttributeError(op)
        try:
            op_named(op)
        except VerifyError as error:
            raise AttributeError(str(error)) from None

        def call(*inputs: V, **attributes: Attribute) -> Any:
            made = self.apply(op, inputs, attributes)
            return made[0] if len(made) == 1 else made

        return call


class Builder(OpsBase[Value]):
    """Builds a graph: applies type rules, appends nodes, and records the constraints that the rules
    could not decide.

    `places` is what the nodes made now carry; `placed(where)` sets it for a while.
    """

    def __init__(self) -> None:
        self.inputs: list[Value] = []
        self.nodes: list[Node] = []
        self.constraints: list[Constraint] = []
        self.places: Places = ()

    def input(self, type: TensorType, hint: str = "") -> Value:
        """A new input of the graph."""
        self.inputs.append(value := Value(type, hint))
        return value

    def type_of(self, value: Value) -> TensorType:
        """The type of a value."""
        return value.type

    def apply(
        self, op: str, inputs: Sequence[Value], attributes: Attributes = NO_ATTRIBUTES
    ) -> tuple[Value, ...]:
        """Append a node; its results. A type error gets this builder's `places`."""
        rule = op_named(op)
        known = len(self.constraints)
        try:
            with collecting(self.constraints):
                types = result_types(rule, [v.type for v in inputs], attributes)
        except Error as error:
            raise located(error, self.places) from None
        if len(self.constraints) > known:
            self._place_constraints(known)
        node = Node(op, inputs, [Value(t) for t in types], attributes, self.places)
        Builder.append(self, node)
        return node.outputs

    def append(self, node: Node) -> None:
        """Append a node that exists already; its operands must be here or inputs. What its blocks
        need to hold of sizes, the graph needs."""
        self.nodes.append(node)
        for _, block in blocks(node):
            self.constraints += [c for c in block.constraints if c not in self.constraints]

    def inline(self, graph: Graph, inputs: Sequence[Value]) -> list[Value]:
        """Append a copy of `graph` applied to `inputs`; its outputs here."""
        here = dict(zip(graph.inputs, inputs, strict=True))
        for node in graph.nodes:
            copy = node.with_inputs([here[v] for v in node.inputs])
            here.update(zip(node.outputs, copy.outputs, strict=True))
            self.nodes.append(copy)
        for constraint in graph.constraints:
            if constraint not in self.constraints:
                self.constraints.append(constraint)
        return [here[v] for v in graph.outputs]

    @contextmanager
    def placed(self, where: Places) -> Iterator[None]:
        """Let nodes made inside carry `where`."""
        before, self.places = self.places, where
        try:
            yield
        finally:
            self.places = before

    def graph(self, outputs: Iterable[Value]) -> Graph:
        """What was built, with these outputs."""
        return Graph(tuple(self.inputs), tuple(self.nodes), tuple(outputs), tuple(self.constraints))

    def _place_constraints(self, first: int) -> None:
        """Give new constraints this builder's `places`; drop those that were known."""
        new, self.constraints[first:] = self.constraints[first:], ()
        known = {(c.left, c.relation, c.right) for c in self.constraints}
        place = describe(self.places)
        for c in new:
            if (c.left, c.relation, c.right) not in known:
                self.constraints.append(Constraint(c.left, c.relation, c.right, place))


class Rewriter(Builder):
    """A builder that knows what made its values: what `simplify` rules look at.

    It starts with a graph's own inputs and constraints, so that the result has the same signature.
    """

    def __init__(self, graph: Graph) -> None:
        super().__init__()
        self.inputs, self.constraints = list(graph.inputs), list(graph.constraints)
        self._producers: dict[Value, Node] = {}
        self._uses = Counter(v for node in graph.nodes for v in node.inputs)
        self._uses.update(graph.outputs)

    def used_once(self, value: Value) -> bool:
        """Whether a value of the graph that is rewritten is read in one place only."""
        return self._uses[value] == 1

    def append(self, node: Node) -> None:
        """Append a node and remember what it makes."""
        super().append(node)
        self._producers.update((value, node) for value in node.outputs)

    def apply(
        self, op: str, inputs: Sequence[Value], attributes: Attributes = NO_ATTRIBUTES
    ) -> tuple[Value, ...]:
        """Append a node, remember what it makes; its results."""
        made = super().apply(op, inputs, attributes)
        self._producers.update((value, self.nodes[-1]) for value in made)
        return made

    def producer(self, value: Value) -> Node | None:
        """The node that makes a value; None for inputs."""
        return self._producers.get(value)

    def number_of(self, value: Value) -> int | float | bool | None:
        """The number that fills a value, if a `full` made it."""
        node = self._producers.get(value)
        if node is None or node.op != "full":
            return None
        number = node.attributes["value"]
        assert isinstance(number, bool | int | float)
        return number


def run_graph(g: Ops[V], graph: Graph, inputs: Sequence[V]) -> list[V]:
    """Apply a graph's nodes by `g`, to values of its kind; the graph's outputs."""
    here: dict[Value, V] = dict(zip(graph.inputs, inputs, strict=True))
    for node in graph.nodes:
        with g.placed(node.where) if node.where else nullcontext():
            made = g.apply(node.op, [here[v] for v in node.inputs], node.attributes)
        here.update(zip(node.outputs, made, strict=True))
    return [here[v] for v in graph.outputs]


def located(error: Error, where: Places) -> Error:
    """The same error with `(file:line)` added to its message, unless it has one or nothing is
    known."""
    text = str(error)
    if not where or error.located:
        return error
    made = type(error)(f"{text} ({describe(where)})")
    made.located = True
    return made
