"""Composes the `element` rules of a group of nodes into scalar expressions.

The element of a value at an index is its op's rule applied to operands that load from memory, or
that are composed in turn. Results are remembered per (value, index, guard), and equal expressions
are made one object, so that a value used many times is computed once and the text stays linear in
the number of nodes. A rule that can't say its element at an index raises `Unfusable`."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping, Sequence

from intaglio.compiler.codegen.numbers import constant
from intaglio.compiler.dims import Dim, Size, Symbol, substitute
from intaglio.compiler.dtypes import boolean, float32, int64
from intaglio.compiler.ir import Graph, Value
from intaglio.compiler.loop import (
    Buffer,
    Call,
    Const,
    Expr,
    Index,
    Load,
    Local,
    Operand,
    Position,
    Unfusable,
    call,
    number,
)
from intaglio.compiler.op import op_named
from intaglio.compiler.schedule.halves import narrowed, widened


class Interner:
    """Makes equal expressions the same object. What it has seen it knows again, so that an
    expression whose parts are shared is gone through once."""

    def __init__(self) -> None:
        self._made: dict[Hashable, Expr] = {}
        self._seen: dict[Expr, Expr] = {}

    def __call__(self, expr: Expr) -> Expr:
        """The one object equal to `expr`."""
        found = self._seen.get(expr)
        if found is None:
            found = self._seen[expr] = self._find(expr)
        return found

    def _find(self, expr: Expr) -> Expr:
        match expr:
            case Local():
                return expr
            case Const():
                return self._keep(("const", expr.dtype, constant(expr.value, expr.dtype)), expr)
            case Index():
                if isinstance(expr.size, int):
                    return self(number(expr.size, expr.dtype))
                return self._keep(("index", expr.size, expr.dtype), expr)
            case Load():
                index = tuple(self.position(p) for p in expr.index)
                guard = None if expr.guard is None else self(expr.guard)
                key = ("load", expr.buffer, *map(position_key, index), guard)
                return self._keep(key, Load(expr.buffer, index, guard))
            case Call():
                arguments = tuple(map(self, expr.arguments))
                key = ("call", expr.function, expr.dtype, *arguments)
                return self._keep(key, Call(expr.function, arguments, expr.dtype))

    def position(self, position: Position) -> Position:
        """A position with its expressions made unique; an `Index` is its size."""
        if isinstance(position, int | Dim):
            return position
        if isinstance(position, Index) and position.dtype == int64:
            return position.size
        if isinstance(position, Const):
            return int(position.value)
        return self(position)

    def _keep(self, key: Hashable, expr: Expr) -> Expr:
        found = self._made.setdefault(key, expr)
        self._seen[found] = found
        return found


def position_key(position: Position) -> Hashable:
    """What makes two positions equal."""
    return position


Known = Callable[[Value, tuple[Position, ...]], Expr | None]


class Composer:
    """Composes elements of the values of `graph`. Values in `memory` are loaded; `known` may answer
    for others (a fold's result, a stashed row)."""

    def __init__(
        self,
        graph: Graph,
        memory: Mapping[Value, Buffer],
        known: Known = lambda value, index: None,
    ) -> None:
        self.graph, self.memory, self.known = graph, dict(memory), known
        self.intern = Interner()
        self._done: dict[Hashable, Expr] = {}

    def at(self, value: Value, index: Sequence[Position], guard: Expr | None = None) -> Expr:
        """The element of `value` at `index`; loads happen only where `guard` holds."""
        place = tuple(
            0 if size == 1 else self.intern.position(p)
            for size, p in zip(value.type.shape, index, strict=True)
        )
        key = (value, tuple(map(position_key, place)), guard)
        found = self._done.get(key)
        if found is None:
            found = self._done[key] = self.intern(self._compose(value, place, guard))
        return found

    def forget(self) -> None:
        """Drop what was composed, after `memory` or what `known` says has changed."""
        self._done.clear()

    def _compose(self, value: Value, index: tuple[Position, ...], guard: Expr | None) -> Expr:
        buffer = self.memory.get(value)
        if buffer is not None:
            return Load(buffer, buffer.place(index), guard)
        answer = self.known(value, index)
        if answer is not None:
            return answer
        node = self.graph.producers.get(value)
        if node is None:
            raise Unfusable("a value that is neither computed here nor in memory")
        op = op_named(node.op)
        if op.element is None:
            raise Unfusable(f"{node.op} has no element rule")
        halves = any(v.type.dtype.is_half for v in (value, *node.inputs))
        if halves and not op.moves(**node.attributes):
            wide = (self._widened(self._operand(v, guard)) for v in node.inputs)
            return narrowed(op.element(index, *wide, **node.attributes), value.type.dtype)
        return op.element(  # type: ignore[no-any-return]
            index, *(self._operand(v, guard) for v in node.inputs), **node.attributes
        )

    def _widened(self, operand: Operand) -> Operand:
        """An operand of a short float as one of f32."""
        if not operand.type.dtype.is_half:
            return operand

        def at(index: tuple[Position, ...], condition: Expr | None) -> Expr:
            return widened(operand.where(condition, *index))

        return Operand(operand.type.with_dtype(float32), at)

    def _operand(self, value: Value, outer: Expr | None) -> Operand:
        def at(index: tuple[Position, ...], condition: Expr | None) -> Expr:
            if condition is None:
                return self.at(value, index, outer)
            condition = self.intern(condition)
            both = condition if outer is None else self.intern(call("and", outer, condition))
            element = self.at(value, index, both)
            if isinstance(element, Load):
                return element
            if element.dtype == boolean:
                return call("and", condition, element)
            return call("select", condition, element, number(0, element.dtype))

        return Operand(value.type, at)


class Rewriter:
    """Replaces index variables in expressions."""

    def __init__(self, intern: Interner, values: Mapping[Symbol, Size]) -> None:
        self._intern, self._values = intern, values
        self._done: dict[Expr, Expr] = {}

    def __call__(self, expr: Expr) -> Expr:
        """The expression over the new variables."""
        found = self._done.get(expr)
        if found is None:
            found = self._done[expr] = self._intern(self._rewrite(expr))
        return found

    def size(self, size: Size) -> Size:
        """The size over the new variables."""
        return substitute(size, self._values)

    def position(self, position: Position) -> Position:
        """The position over the new variables."""
        return self.size(position) if isinstance(position, int | Dim) else self(position)

    def _rewrite(self, expr: Expr) -> Expr:
        match expr:
            case Index():
                return Index(self.size(expr.size), expr.dtype)
            case Load():
                guard = None if expr.guard is None else self(expr.guard)
                return Load(expr.buffer, tuple(map(self.position, expr.index)), guard)
            case Call():
                return Call(expr.function, tuple(map(self, expr.arguments)), expr.dtype)
        return expr
