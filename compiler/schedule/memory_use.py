"""Which buffers a kernel touches, and which it reads only where it writes."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from intaglio.compiler.dims import Dim, Size
from intaglio.compiler.loop import (
    Assign,
    Buffer,
    Check,
    Declare,
    Expr,
    Kernel,
    Let,
    Load,
    Loop,
    Position,
    Stmt,
    Store,
)
from intaglio.compiler.schedule.domain import address_of
from intaglio.compiler.schedule.nest import walk


def used_buffers(kernel: Kernel) -> dict[Buffer, bool]:
    """The buffers a kernel touches, and whether it loads from them."""
    found: dict[Buffer, bool] = {}
    for stmt in _statements(kernel.body):
        if isinstance(stmt, Store):
            found.setdefault(stmt.buffer, False)
        for expr in walk(_expressions(stmt)):
            if isinstance(expr, Load):
                found[expr.buffer] = True
    return found


def _statements(loop: Loop) -> Iterator[Stmt]:
    yield loop
    for stmt in loop.body:
        if isinstance(stmt, Loop):
            yield from _statements(stmt)
        else:
            yield stmt


def _expressions(stmt: Stmt) -> list[Expr]:
    if isinstance(stmt, Loop):
        return [fold.value for fold in stmt.folds]
    if isinstance(stmt, Store):
        return [stmt.value, *(p for p in stmt.index if not isinstance(p, int | Dim))]
    return [stmt.value] if isinstance(stmt, Let | Declare | Assign | Check) else []


def read_in_place(kernel: Kernel) -> list[tuple[Buffer, Buffer]]:
    """Pairs of a buffer that a kernel writes and one of the same type that it reads only where it
    writes the other, and before: such a pair may be the same memory.

    Every element is written once, so the iterations around a store differ in its address; a load
    from the address that is about to be written can then disturb no other iteration."""
    stores: dict[Buffer, _Uses] = {}
    loads: dict[Buffer, _Uses] = {}
    for order, stmt in enumerate(_statements(kernel.body)):
        if isinstance(stmt, Store) and stmt.buffer.role == "output":
            stores.setdefault(stmt.buffer, _Uses()).add(order, stmt.buffer, stmt.index)
        for expr in walk(_expressions(stmt)):
            if isinstance(expr, Load) and expr.buffer.role == "input":
                loads.setdefault(expr.buffer, _Uses()).add(order, expr.buffer, expr.index)
    return [
        (written, read)
        for written, store in stores.items()
        for read, load in loads.items()
        if read.dtype == written.dtype
        and store.place is not None
        and load.place == store.place
        and load.last < store.first
    ]


class _Uses:
    """Where and when a buffer is used: `place` is the address, None when there are several."""

    def __init__(self) -> None:
        self.place: Size | None = None
        self.first, self.last = -1, -1

    def add(self, order: int, buffer: Buffer, index: Sequence[Position]) -> None:
        """Note a use."""
        plain = all(isinstance(p, int | Dim) for p in index)
        place = address_of(buffer, index) if plain else None
        if self.first < 0:
            self.first, self.place = order, place
        elif place != self.place:
            self.place = None
        self.last = order
