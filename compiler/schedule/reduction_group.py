"""A group of nodes with reductions, composed into folds and stores but not yet put into loops.

All reductions of a group reduce the same axes of the same shape; the axes that are kept count the
*rows*. What a group does in a row falls into *phases*: phase q holds the folds that depend on q
earlier ones, and stores what depends on no later one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from intaglio.compiler.dims import Shape, Size, compare
from intaglio.compiler.dtypes import DType, float32, int32, int64
from intaglio.compiler.ir import Graph, Node, Value
from intaglio.compiler.loop import (
    Buffer,
    Call,
    Expr,
    Index,
    Load,
    Local,
    Position,
    Unfusable,
    call,
    cast,
    number,
)
from intaglio.compiler.op import op_named
from intaglio.compiler.schedule.compose import Composer, Rewriter
from intaglio.compiler.schedule.domain import Axis, address_of, addresses, axes_of
from intaglio.compiler.schedule.halves import widened
from intaglio.compiler.schedule.nest import walk


def reduction_of(node: Node) -> tuple[str, tuple[int, ...]] | None:
    """The kind and axes of a reduction; None for another node."""
    rule = getattr(op_named(node.op), "reduction", None)
    return None if rule is None else rule(**node.attributes)


def fold_dtype(dtype: DType) -> DType:
    """The type that a fold is carried in: short integers in i32, short floats in f32."""
    if dtype.is_half:
        return float32
    return int32 if dtype.kind in "iu" and dtype.size < 4 else dtype


@dataclass
class Step:
    """A fold to be made: the local that holds its result, its kind, what it joins, and the number
    of folds it depends on."""

    local: Local
    kind: str
    value: Expr
    phase: int


@dataclass(frozen=True)
class Target:
    """An element to be stored."""

    buffer: Buffer
    position: tuple[Position, ...]
    value: Expr


@dataclass(frozen=True)
class Space:
    """The iteration space: axes kept and reduced, and the positions they make."""

    shape: Shape
    reduced: tuple[int, ...]
    kept_axes: tuple[Axis, ...]
    reduced_axes: tuple[Axis, ...]
    position: tuple[Position, ...]

    @property
    def by_row(self) -> bool:
        """Whether the last axis is reduced, which decides the order of folds."""
        return bool(self.shape) and len(self.shape) - 1 in self.reduced

    @property
    def kept_position(self) -> tuple[Position, ...]:
        """The position of a reduction's result."""
        return tuple(p for k, p in enumerate(self.position) if k not in self.reduced)


def space_of(graph: Graph) -> Space:
    """The space of a group's reductions; `Unfusable` when they differ."""
    found: set[tuple[Shape, tuple[int, ...]]] = set()
    for node in graph.nodes:
        kind = reduction_of(node)
        if kind is not None:
            found.add((node.inputs[0].type.shape, kind[1]))
    if len(found) != 1:
        raise Unfusable("reductions over different axes or shapes")
    ((shape, reduced),) = found
    axes, position = axes_of(shape)
    by_variable = {a.variable: a for a in axes}
    parts: tuple[list[Axis], list[Axis]] = ([], [])
    for k, p in enumerate(position):
        if p != 0:
            parts[k in reduced].append(by_variable[p])  # type: ignore[index]
    return Space(shape, reduced, tuple(parts[0]), tuple(parts[1]), position)


class Group:
    """A group composed into folds and stores, not yet in loops."""

    def __init__(
        self,
        graph: Graph,
        memory: Mapping[Value, Buffer],
        results: Sequence[tuple[Value, Buffer]],
    ) -> None:
        self.space = space_of(graph)
        self.graph = graph
        self.folds: list[Step] = []
        self._results: dict[Value, Expr] = {}
        self._phases: dict[Local, int] = {}
        self.composer = Composer(graph, memory, self._known)
        for node in graph.nodes:
            if reduction_of(node) is not None:
                self._reduce(node)
        self.full: list[tuple[Target, int]] = []
        self.rows: list[Target] = []
        for value, buffer in results:
            self._target(value, buffer)

    # ------------------------------------------------------------------------------- composition

    def _known(self, value: Value, index: tuple[Position, ...]) -> Expr | None:
        found = self._results.get(value)
        if found is None:
            return None
        if index != self.space.kept_position:
            raise Unfusable("the result of a reduction is wanted in another row")
        return found

    def _reduce(self, node: Node) -> None:
        kind, axes = reduction_of(node) or ("", ())
        source = node.inputs[0]
        element = widened(self.composer.at(source, self.space.position))
        carried = fold_dtype(element.dtype)
        if kind in ("argmax", "argmin"):
            result = self._find_extreme(kind, axes[0], element)
        else:
            result = self._fold(kind, cast(element, carried))
        wanted = node.output.type.dtype
        self._results[node.output] = self.composer.intern(cast(result, wanted))

    def _fold(self, kind: str, value: Expr) -> Expr:
        local = Local(value.dtype)
        value = self.composer.intern(value)
        self._phases[local] = phase = self.phase(value) + 1
        self.folds.append(Step(local, kind, value, phase - 1))
        return local

    def _find_extreme(self, kind: str, axis: int, element: Expr) -> Expr:
        """The first position of the largest or smallest element; NaN comes before all numbers."""
        carried = fold_dtype(element.dtype)
        extreme = cast(self._fold(kind[3:], cast(element, carried)), element.dtype)
        matches: Expr = call("eq", element, extreme)
        if element.dtype.is_floating_point:
            matches = call("or", matches, call("ne", element, element))
        size = self.space.shape[axis]
        short = compare(size, (1 << 31) - 1)
        dtype = int32 if short is not None and short <= 0 else int64
        position = self.space.position[axis]
        assert not isinstance(position, Call | Load | Local)
        last = number((1 << (8 * dtype.size - 1)) - 1, dtype)
        place = Index(position, dtype)  # type: ignore[arg-type]
        return cast(self._fold("min", call("select", matches, place, last)), int64)

    def phase(self, expr: Expr) -> int:
        """How many folds in sequence the expression depends on."""
        return max(
            (self._phases.get(e, 0) for e in walk([expr]) if isinstance(e, Local)), default=0
        )

    def _target(self, value: Value, buffer: Buffer) -> None:
        sizes = tuple(s for s in value.type.shape if s != 1)
        kept = tuple(a.extent for a in self.space.kept_axes)
        whole = tuple(s for s in self.space.shape if s != 1)
        if sizes == kept:
            variables = [a.variable for a in self.space.kept_axes]
        elif sizes == whole:
            variables = [p for p in self.space.position if p != 0]  # type: ignore[misc]
        else:
            raise Unfusable("a result that is neither a row's nor an element's")
        left = iter(variables)
        position = tuple(0 if s == 1 else next(left) for s in value.type.shape)
        target = Target(buffer, buffer.place(position), self.composer.at(value, position))
        if sizes == kept:
            self.rows.append(target)
        else:
            self.full.append((target, self.phase(target.value)))

    @property
    def phases(self) -> int:
        """The number of loops over the reduced axes."""
        return 1 + max([f.phase for f in self.folds] + [p for _, p in self.full])

    def rewrite(self, rewriter: Rewriter) -> None:
        """Replace index variables everywhere."""

        def renewed(target: Target) -> Target:
            place = tuple(map(rewriter.position, target.position))
            return Target(target.buffer, place, rewriter(target.value))

        for fold in self.folds:
            fold.value = rewriter(fold.value)
        self.full = [(renewed(t), p) for t, p in self.full]
        self.rows = [renewed(t) for t in self.rows]

    def addresses(self) -> list[Size]:
        """Every address and index used as data."""
        targets = [t for t, _ in self.full] + self.rows
        found = addresses([*(f.value for f in self.folds), *(t.value for t in targets)])
        return found + [address_of(t.buffer, t.position) for t in targets]
