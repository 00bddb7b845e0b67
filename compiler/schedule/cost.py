"""Rough costs, for choices that never change results: what to keep instead of computing it again,
and whether a function is worth several threads."""

from __future__ import annotations

from dataclasses import replace
from typing import Final

from intaglio.compiler.dims import Size, substitute
from intaglio.compiler.loop import Call, Expr, Kernel, Load, Loop, Stmt
from intaglio.compiler.schedule.nest import variables_of

CHEAP: Final = frozenset(
    [
        "add",
        "sub",
        "mul",
        "neg",
        "abs",
        "maximum",
        "minimum",
        "eq",
        "ne",
        "lt",
        "le",
        "gt",
        "ge",
        "select",
        "and",
        "or",
        "xor",
        "not",
        "cast",
        "bitcast",
        "exactly",
        "shl",
        "shr",
        "floor",
        "ceil",
        "trunc",
        "round",
        "sign",
        "copysign",
    ]
)
"""Functions of about one instruction."""
MODERATE: Final = frozenset({"div", "sqrt", "recip", "rsqrt"})
KEEP: Final = 5
"""An expression at least this costly is kept in memory rather than computed a second time."""
RELOAD: Final = 2
"""The same for one that is stored as a result anyway."""
CEILING: Final = 10_000
CHUNK: Final = 2_000
"""Nanoseconds of work that are worth handing to a thread: several times what handing over costs."""


def function_cost(function: str) -> int:
    """Instructions per vector, roughly."""
    return 1 if function in CHEAP else 4 if function in MODERATE else 20


class Costs:
    """Costs of expressions, remembered."""

    def __init__(self) -> None:
        self._known: dict[Expr, int] = {}

    def __call__(self, expr: Expr) -> int:
        """The cost of computing an expression with everything under it."""
        found = self._known.get(expr)
        if found is None:
            found = self._known[expr] = self._cost(expr)
        return found

    def _cost(self, expr: Expr) -> int:
        if isinstance(expr, Call):
            return min(CEILING, function_cost(expr.function) + sum(map(self, expr.arguments)))
        return 1 if isinstance(expr, Load) else 0


def kernel_nanoseconds(kernel: Kernel) -> Size:
    """What one core needs for a kernel, roughly."""
    return _loop_cost(kernel.body) // 64 + 1


def shared_finely(kernel: Kernel) -> Kernel:
    """The kernel with fewer iterations in a chunk where each takes long, so that threads have
    something to share: a power of two of them, for equal shares."""
    loop = kernel.body
    inner = [_statement_cost(stmt) for stmt in loop.body]
    each = sum(n for n in inner if isinstance(n, int)) // 64 + 1
    enough = 1 << max(CHUNK // each, 1).bit_length() - 1
    known = isinstance(loop.grain, int) and all(isinstance(n, int) for n in inner)
    if not known or loop.kind != "parallel" or loop.folds or enough >= loop.grain:
        return kernel
    return replace(kernel, body=replace(loop, grain=enough))


def _loop_cost(loop: Loop) -> Size:
    """In units of a 64th of a nanosecond: one cheap function of one element is about two."""
    each: Size = 2 + 2 * len(loop.folds)
    for stmt in loop.body:
        each = each + _statement_cost(stmt)
    first = dict.fromkeys(variables_of(loop.extent), 0)
    return each * substitute(loop.extent, first)


def _statement_cost(stmt: Stmt) -> Size:
    if isinstance(stmt, Loop):
        return _loop_cost(stmt)
    value = getattr(stmt, "value", None)
    if isinstance(value, Call):
        return 2 * function_cost(value.function)
    return 3
