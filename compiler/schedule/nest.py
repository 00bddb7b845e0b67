"""Puts composed expressions into loops, each at the outermost loop whose variables it needs.

What does not depend on an inner loop's variable is computed before that loop, once. Stores come
after everything that their loop body loads, so that a kernel may write over an operand it reads at
the same place."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field

from intaglio.compiler.dims import Dim, Quotient, Size, Symbol, terms_of
from intaglio.compiler.dtypes import float32
from intaglio.compiler.loop import (
    Bind,
    Buffer,
    Call,
    Const,
    Expr,
    Fold,
    Index,
    Let,
    Load,
    Local,
    Loop,
    Position,
    Stmt,
    Store,
    symbol_of,
)


@dataclass
class _Scope:
    """One loop body in the making."""

    statements: list[Stmt] = field(default_factory=list)
    bound: dict[Expr, Local] = field(default_factory=dict)
    stores: list[Store] = field(default_factory=list)


class Nest:
    """Loops being built, from the outermost (level 0) inwards."""

    def __init__(self, *variables: Dim) -> None:
        self._scopes = [_Scope()]
        self._levels: dict[Symbol, int] = {}
        self._local_levels: dict[Local, int] = {}
        self._known_levels: dict[Expr, int] = {}
        for variable in variables:
            self._levels[symbol_of(variable)] = 0

    def bind(self, variable: Dim, value: Size) -> None:
        """Define an index variable here."""
        self._levels[symbol_of(variable)] = len(self._scopes) - 1
        self._scopes[-1].statements.append(Bind(variable, value))

    def define(self, local: Local) -> None:
        """Say that a local is bound outside."""
        self._local_levels[local] = 0

    def enter(self, variable: Dim) -> None:
        """Begin the body of a loop."""
        self._levels[symbol_of(variable)] = len(self._scopes)
        self._scopes.append(_Scope())

    def leave(
        self, variable: Dim, extent: Size, kind: str, folds: Sequence[Fold] = (), grain: Size = 1
    ) -> None:
        """End the loop and put it into the body around it."""
        scope = self._scopes.pop()
        for fold in folds:
            self._local_levels[fold.local] = len(self._scopes) - 1
        body = (*scope.statements, *scope.stores)
        self._scopes[-1].statements.append(Loop(variable, extent, kind, body, tuple(folds), grain))

    def finish(self) -> tuple[Stmt, ...]:
        """The outermost body."""
        (scope,) = self._scopes
        return (*scope.statements, *scope.stores)

    def statement(self, stmt: Stmt) -> None:
        """Append a statement here."""
        self._scopes[-1].statements.append(stmt)

    def store(
        self, buffer: Buffer, index: Sequence[Position], value: Expr, guard: Expr | None = None
    ) -> None:
        """Store an element at the end of the loop body here, where the guard holds. A store to a
        short float rounds by itself."""
        if isinstance(value, Call) and value.function == "cast" and value.dtype is buffer.dtype:
            (source,) = value.arguments
            if buffer.dtype.is_half and source.dtype is float32:
                value = source
        places = tuple(p if isinstance(p, int | Dim) else self.place(p) for p in index)
        where = None if guard is None else self.place(guard)
        self._scopes[-1].stores.append(Store(buffer, places, self.place(value), where))

    def place(self, expr: Expr) -> Expr:
        """Let the expression be computed where it belongs; the name of its value."""
        if isinstance(expr, Const | Local | Index):
            return expr
        scope = self._scopes[self.level(expr)]
        local = scope.bound.get(expr)
        if local is None:
            placed = self._placed(expr)
            local = scope.bound[expr] = Local(expr.dtype)
            self._local_levels[local] = self.level(expr)
            scope.statements.append(Let(local, placed))
        return local

    def _placed(self, expr: Expr) -> Expr:
        if isinstance(expr, Call):
            return Call(expr.function, tuple(map(self.place, expr.arguments)), expr.dtype)
        assert isinstance(expr, Load)
        index = tuple(p if isinstance(p, int | Dim) else self.place(p) for p in expr.index)
        return Load(expr.buffer, index, None if expr.guard is None else self.place(expr.guard))

    def level(self, expr: Expr) -> int:
        """The innermost loop whose variable the expression needs."""
        if isinstance(expr, Local):
            return self._local_levels[expr]
        found = self._known_levels.get(expr)
        if found is None:
            parts = [self.level(p) for p in _parts(expr)]
            parts += [self._levels.get(s, 0) for size in sizes_in(expr) for s in variables_of(size)]
            found = self._known_levels[expr] = max(parts, default=0)
        return found


def _parts(expr: Expr) -> Iterator[Expr]:
    if isinstance(expr, Call):
        yield from expr.arguments
    if isinstance(expr, Load):
        yield from (p for p in expr.index if not isinstance(p, int | Dim))
        if expr.guard is not None:
            yield expr.guard


def sizes_in(expr: Expr) -> Iterator[Size]:
    """The sizes that an expression itself (not its parts) holds."""
    if isinstance(expr, Index):
        yield expr.size
    if isinstance(expr, Load):
        yield from (p for p in expr.index if isinstance(p, int | Dim))


def variables_of(size: Size) -> Iterator[Symbol]:
    """The loop variables in a size."""
    for monomial, _ in terms_of(size):
        for atom in monomial:
            if isinstance(atom, Quotient):
                yield from variables_of(atom.left)
                yield from variables_of(atom.right)
            elif atom.extent is not None:
                yield atom


def walk(roots: Iterable[Expr]) -> Iterator[Expr]:
    """Every expression under some roots, once."""
    seen: set[Expr] = set()
    waiting = list(roots)
    while waiting:
        expr = waiting.pop()
        if expr not in seen:
            seen.add(expr)
            yield expr
            waiting += _parts(expr)
