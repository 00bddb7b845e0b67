"""Chains along rows on CUDA: a warp takes 32 rows, each lane goes along its own.

What a chain is made of is brought to shared memory for 32 elements of every row at a time, by lanes
that lie along the row, and its values go back the same way: so the warp touches whole lines of
memory though each lane has another row. The chain itself is the one that the C goes along."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from intaglio.compiler.codegen.folds import is_at_most
from intaglio.compiler.codegen.numbers import bracketed
from intaglio.compiler.codegen.printer import Printer, Text
from intaglio.compiler.loop import (
    Assign,
    Bind,
    Call,
    Const,
    Declare,
    Expr,
    Index,
    Kernel,
    Let,
    Load,
    Local,
    Loop,
    Stmt,
    Store,
    symbol_of,
)

ROWS: Final = 32
"""Rows of a warp, and elements of each that it brings at a time; with one to spare, so that lanes
meet in no bank of shared memory."""
SHORT: Final = 16
"""Elements up to which rows are not worth it."""
MOST_VALUES: Final = 3
"""What a row's elements may bring to its chain, so that it fits into shared memory."""


@dataclass(frozen=True)
class Chain:
    """A kernel whose rows are chains: what stands before the loop, what each element brings without
    the chain (`ahead`), the values among that which the chain takes (`taken`), the chain's own
    statements, and the store of its value."""

    binds: tuple[Bind, ...]
    start: Declare
    loop: Loop
    ahead: tuple[Let, ...]
    taken: tuple[Local, ...]
    own: tuple[Stmt, ...]
    store: Store

    @property
    def shared(self) -> int:
        """Bytes of shared memory at most."""
        return (len(self.taken) + 1) * ROWS * (ROWS + 1) * 8


def chain_of(kernel: Kernel) -> Chain | None:
    """The kernel as a chain, if it is one of some length."""
    *before, last = kernel.body.body
    if kernel.scratch or not isinstance(last, Loop) or last.kind != "serial" or last.folds:
        return None
    binds = tuple(s for s in before if isinstance(s, Bind))
    starts = [s for s in before if isinstance(s, Declare)]
    if len(starts) != 1 or len(binds) + 1 != len(before) or not isinstance(starts[0].value, Const):
        return None
    *body, store = last.body
    plain = isinstance(store, Store) and store.guard is None
    if not plain or not all(isinstance(s, Let | Assign) for s in body):
        return None
    assert isinstance(store, Store)
    others = [b for b in kernel.buffers if b is not store.buffer]
    if is_at_most(last.extent, SHORT) or any(b.role != "input" for b in others):
        return None
    return _cut(binds, starts[0], last, body, store)


def _cut(
    binds: tuple[Bind, ...], start: Declare, loop: Loop, body: Sequence[Stmt], store: Store
) -> Chain | None:
    """Cut the body of a loop into what needs the chain and what does not."""
    ahead: list[Let] = []
    own: list[Stmt] = []
    needing = {start.local}
    for stmt in body:
        assert isinstance(stmt, Let | Assign)
        if isinstance(stmt, Assign) or needing & set(_locals(stmt.value)):
            needing.add(stmt.local)
            own.append(stmt)
            if any(isinstance(e, Load) for e in _parts(stmt.value)):
                return None
        else:
            ahead.append(stmt)
            if any(isinstance(e, Load) and e.buffer is store.buffer for e in _parts(stmt.value)):
                return None
    made = {s.local for s in ahead}
    used = [x for s in own if isinstance(s, Let | Assign) for x in _locals(s.value)]
    used += _locals(store.value)
    taken = tuple(dict.fromkeys(x for x in used if x in made))
    fixed = not any(_locals(p) for p in store.index if not isinstance(p, int) and _is_expr(p))
    if not fixed or not 0 < len(taken) <= MOST_VALUES:
        return None
    return Chain(binds, start, loop, tuple(ahead), taken, tuple(own), store)


def _is_expr(position: object) -> bool:
    return isinstance(position, Const | Local | Index | Load | Call)


def _parts(expr: Expr) -> Iterator[Expr]:
    yield expr
    if isinstance(expr, Call):
        for argument in expr.arguments:
            yield from _parts(argument)


def _locals(expr: object) -> list[Local]:
    return [e for e in _parts(expr) if isinstance(e, Local)]  # type: ignore[arg-type]  # any


def print_chain(printer: Printer, kernel: Kernel, chain: Chain, index: str) -> None:
    """Print the rows of a kernel; its blocks are single warps."""
    rows = printer.size(kernel.body.extent)
    tiles = {local: printer.fresh("s") for local in chain.taken}
    made = printer.fresh("s")
    for local, name in (*tiles.items(), (chain.start.local, made)):
        dtype = chain.store.buffer.dtype if name == made else local.dtype
        printer.line(f"__shared__ {printer.type(dtype, False)} {name}[{ROWS}][{ROWS + 1}];")
    printer.line("const int lane = threadIdx.x;")
    printer.open(
        f"for (int64_t first = (int64_t)blockIdx.x * {ROWS}; first < {rows}; "
        f"first += (int64_t)gridDim.x * {ROWS})"
    )
    printer.line(f"const int rows = (int)ig_minimum_of({ROWS}, {bracketed(rows)} - first);")
    printer.statements([chain.start])
    length = bracketed(printer.size(chain.loop.extent))
    printer.open(f"for (int64_t begin = 0; begin < {length}; begin += {ROWS})")
    printer.line(f"const int count = (int)ig_minimum_of({ROWS}, {length} - begin);")
    _open_rows(printer, kernel, chain, index)
    printer.statements(chain.ahead)
    for local, name in tiles.items():
        printer.line(f"{name}[r][lane] = {printer.value(local).text};")
    _close_rows(printer)
    printer.open("for (int t = 0; t < count; t++)")
    for local, name in tiles.items():
        printer.define(local, Text(f"{name}[lane][t]", False))
    printer.statements(chain.own)
    printer.line(f"{made}[lane][t] = {printer.value(chain.store.value).text};")
    printer.close()
    printer.line("__syncwarp();")
    _open_rows(printer, kernel, chain, index)
    value = Local(chain.store.value.dtype)
    printer.define(value, Text(f"{made}[r][lane]", False))
    printer.statements([Store(chain.store.buffer, chain.store.index, value)])
    _close_rows(printer)
    printer.close()
    printer.close()


def _open_rows(printer: Printer, kernel: Kernel, chain: Chain, index: str) -> None:
    """Begin a loop over the warp's rows `r`, with a lane for each of `count` elements."""
    printer.open("if (lane < count)")
    printer.open("for (int r = 0; r < rows; r++)")
    row = printer.bind(symbol_of(kernel.body.variable))
    printer.line(f"const {index} {row} = first + r;")
    printer.statements(chain.binds)
    time = printer.bind(symbol_of(chain.loop.variable))
    printer.line(f"const {index} {time} = begin + lane;")


def _close_rows(printer: Printer) -> None:
    printer.close()
    printer.close()
    printer.line("__syncwarp();")
