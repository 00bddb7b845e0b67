"""Which buffers a kernel touches, and which it reads only where it writes."""

from __future__ import annotations

from collections.abc import Iterator

from intaglio.compiler.dims import Dim
from intaglio.compiler.loop import Buffer, Check, Expr, Kernel, Let, Load, Loop, Stmt, Store
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
    return [stmt.value] if isinstance(stmt, Let | Check) else []


def read_in_place(kernel: Kernel) -> list[Buffer]:
    """The buffers that an elementwise kernel loads only at the address where it stores."""
    loops = [s for s in kernel.body.body if isinstance(s, Loop)]
    outside = [s for s in kernel.body.body if not isinstance(s, Loop)]
    if len(loops) != 1 or loops[0].folds or any(isinstance(s, Store) for s in outside):
        return []
    inside = loops[0].body
    if any(isinstance(s, Loop) for s in inside):
        return []
    places = {address_of(s.buffer, s.index) for s in inside if isinstance(s, Store)}
    if len(places) != 1:
        return []
    elsewhere = {e.buffer for s in outside for e in _expressions(s) if isinstance(e, Load)}
    here: list[Buffer] = []
    for stmt in inside:
        for expr in _expressions(stmt):
            if not isinstance(expr, Load):
                continue
            plain = all(isinstance(p, int | Dim) for p in expr.index)
            if plain and address_of(expr.buffer, expr.index) in places:
                here.append(expr.buffer)
            else:
                elsewhere.add(expr.buffer)
    return [b for b in dict.fromkeys(here) if b not in elsewhere]
