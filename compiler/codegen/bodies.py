"""The bodies of functions as C text: the steps in order, and the entry point that hands them to the
pool.

A function that calls into Python is cut at these calls: its entry point runs pieces of native
steps, each with a team of its own, and makes the calls in between, so that they happen on the
thread that called and while no other waits. Loops around such calls are the entry point's."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final, Protocol

from intaglio.compiler.codegen.head import HOST
from intaglio.compiler.codegen.numbers import bracketed, size_text
from intaglio.compiler.dims import Size, Symbol
from intaglio.compiler.loop import symbol_of
from intaglio.compiler.schedule.storage import View
from intaglio.compiler.steps import Batch, Call, LoopStep, Memory, Timeline, leaves

WORTH_THREADS: Final = 20_000
"""Nanoseconds of work on one core below which a function runs on one thread."""


class Steps(Protocol):
    """What is known of a function's steps when its body is printed."""

    timeline: Timeline
    memory: Memory
    caller: int | None

    @property
    def dims(self) -> Mapping[str, int]:
        """Where in `dims[]` a named size is found."""
        ...


def body_text(lowered: Steps, certain: int | None) -> str:
    """The body and the entry point `ig_f0`. From the step `certain` on nothing stops it but an
    error."""
    return (_Pieces if lowered.timeline.leaves else _Body)(lowered, certain).text()


class _Body:
    """Prints the body of a function."""

    def __init__(self, lowered: Steps, certain: int | None) -> None:
        self._lowered, self._certain = lowered, certain
        self._lines: list[str] = []
        self._depth = 1
        self._rounds: dict[Symbol, str] = {}
        self._each: dict[str, tuple[str, int, int]] = {}
        """The functions that go through calls alike: the kernel, how many pointers and how many
        sizes one call takes."""

    def text(self) -> str:
        """The body and the entry point."""
        self._items(self._lowered.timeline.items)
        work = self._size(self._lowered.timeline.nanoseconds)
        return "\n".join(
            [
                *self._loops(),
                "IG_ONCE static int ig_f0_body(ig_worker *w, const void *args) {",
                "  void *const *const b = ((const ig_args *)args)->p;",
                "  const int64_t *const dims = ((const ig_args *)args)->dims;",
                "  (void)b; (void)dims; (void)w;",
                *self._lines,
                "  return 0;",
                "}",
                *self._head(),
                "  const ig_args args = {buffers, dims, 0};",
                f"  const int small = {work} < {WORTH_THREADS};",
                "  return ctx->run(ctx, ig_f0_body, &args, small ? 1 : 0);",
                "}",
                "",
            ]
        )

    def _loops(self) -> list[str]:
        """The functions that go through calls alike."""
        head = "(const ig_worker *w, const void *args, int64_t lo, int64_t hi)"
        return [
            f"static void {name}{head} {{ ig_run_each(w, args, lo, hi, {of}, {views}, {sizes}); }}"
            for name, (of, views, sizes) in self._each.items()
        ]

    def _head(self) -> list[str]:
        """The head of the entry point."""
        head = "int ig_f0(const ig_ctx *ctx, void *const *buffers, const int64_t *dims)"
        return [f"{head};", f"{head} {{"]

    def _line(self, text: str) -> None:
        self._lines.append("  " * self._depth + text)

    def _name(self, symbol: Symbol) -> str:
        if symbol.extent is None:
            return f"dims[{self._lowered.dims[symbol.name]}]"
        return self._rounds[symbol]

    def _size(self, size: Size) -> str:
        return size_text(size, self._name)

    def _items(self, items: Sequence[Batch | LoopStep]) -> None:
        for item in items:
            last = item.calls[0].number if isinstance(item, Batch) else item.last
            if self._certain is not None and last >= self._certain:
                self._go_to_the_end()
            if isinstance(item, Batch):
                self._batch(item)
            else:
                self._loop(item)

    def _go_to_the_end(self) -> None:
        """What follows writes in place: each thread takes a context that hears of no stop."""
        self._certain = None
        self._line("ig_ctx certain = *w->ctx;")
        self._line("certain.stop = 0;")
        self._line("w->ctx = &certain;")

    def _loop(self, loop: LoopStep) -> None:
        length = self._size(loop.length)
        name = f"t{len(self._rounds)}"
        self._rounds[symbol_of(loop.round)] = name
        self._line(f"for (int64_t {name} = 0; {name} < {length}; {name}++) {{")
        self._depth += 1
        self._items(loop.items)
        self._depth -= 1
        self._line("}")

    def _batch(self, batch: Batch) -> None:
        self._line("{")
        self._depth += 1
        parts = [self._part(k, call) for k, call in enumerate(batch.calls)]
        if len(parts) == 1:
            ((function, args, chunks),) = parts
            (call,) = batch.calls
            self._line(f"const ig_args a = {{{args}}};")
            self._step(function, "a", chunks, isinstance(call.chunks, int) and not call.copies)
        else:
            self._parts(parts)
        self._depth -= 1
        self._line("}")

    def _part(self, k: int, call: Call) -> tuple[str, str, str]:
        """The function of a part of a step, its arguments, and how many chunks it has; the arrays
        that it takes are declared."""
        pointers = ", ".join(self._pointer(v) for c in call.every for v in c.views) or "0"
        self._line(f"void *const q{k}[] = {{{pointers}}};")
        sizes = ", ".join(self._size(s) for c in call.every for s in c.sizes)
        if not call.alike:
            if sizes:
                self._line(f"const int64_t d{k}[] = {{{sizes}}};")
            args = f"q{k}, {f'd{k}' if sizes else 'dims'}, {call.node}"
            return call.function, args, self._chunks(call, k)
        firsts: list[Size] = [0]
        for one in call.every:
            firsts.append(firsts[-1] + one.chunks)
        own = f"(int64_t)(d{k} + {len(firsts) + 2})" if sizes else "(int64_t)dims"
        table = [str(len(call.every)), own, *map(self._size, firsts), *([sizes] if sizes else [])]
        self._line(f"const int64_t d{k}[] = {{{', '.join(table)}}};")
        name = f"{call.function}_each"
        self._each[name] = (call.function, len(call.views), len(call.sizes))
        return name, f"q{k}, d{k}, {call.node}", self._size(firsts[-1])

    def _chunks(self, call: Call, number: int) -> str:
        """How many chunks a call has: none where it would copy memory to itself."""
        chunks = self._size(call.chunks)
        return f"(q{number}[0] == q{number}[1] ? 0 : {chunks})" if call.copies else chunks

    def _parts(self, parts: Sequence[tuple[str, str, str]]) -> None:
        self._line("const int64_t c0 = 0;")
        for k, (_, _, chunks) in enumerate(parts):
            self._line(f"const int64_t c{k + 1} = c{k} + {chunks};")
        rows = [f"{{{function}, {{{args}}}, c{k}}}" for k, (function, args, _) in enumerate(parts)]
        last = f"c{len(parts)}"
        self._line(f"const ig_part parts[] = {{{', '.join(rows)}, {{0, {{0, 0, 0}}, {last}}}}};")
        self._line(f"const ig_parts a = {{parts, {len(parts)}}};")
        self._step("ig_run_parts", "a", last, False)

    def _step(self, function: str, args: str, chunks: str, certain: bool) -> None:
        call = f"w->ctx->step(w, {function}, &{args}, {chunks})"
        if certain:
            self._line(f"if ({call}) return 1;")
        else:
            self._line(f"if ({bracketed(chunks)} > 0 && {call}) return 1;")

    def _pointer(self, view: View) -> str:
        """Where a view begins, as C text."""
        base = f"b[{view.buffer}]"
        if view.other is not None:
            assert view.round is not None
            odd = f"({self._size(view.round)}) & 1"
            base = f"(({odd}) ? b[{view.other}] : b[{view.buffer}])"
        if view.offset == 0:
            return base
        size = self._lowered.memory.types[view.buffer].dtype.size
        return f"(char *){base} + {bracketed(self._size(view.offset * size))}"


class _Pieces(_Body):
    """Prints the body of a function that calls into Python."""

    def __init__(self, lowered: Steps, certain: int | None) -> None:
        super().__init__(lowered, certain)
        self._bodies: list[str] = []
        self._most = 1
        """Loops inside of each other."""

    def text(self) -> str:
        """The pieces and the entry point."""
        self._around(self._lowered.timeline.items)
        return "\n".join(
            [
                HOST,
                *self._loops(),
                *self._bodies,
                *self._head(),
                "  void *const *const b = buffers;",
                f"  int64_t rounds[{self._most}] = {{0}};",
                "  const ig_piece args = {buffers, dims, rounds};",
                "  int status = 0;",
                "  (void)args; (void)b;",
                *self._lines,
                "  return status;",
                "}",
                "",
            ]
        )

    def _around(self, items: Sequence[Batch | LoopStep]) -> None:
        """Steps among which there are calls into Python."""
        native: list[Batch | LoopStep] = []
        for item in items:
            if not leaves(item):
                native.append(item)
                continue
            self._piece(native)
            native = []
            if isinstance(item, LoopStep):
                self._outer_loop(item)
            else:
                self._host(item.calls[0])
        self._piece(native)

    def _piece(self, items: Sequence[Batch | LoopStep]) -> None:
        """Native steps, as a body of their own."""
        if not items:
            return
        outer, rounds = self._lines, dict(self._rounds)
        depth, self._depth, self._lines = self._depth, 1, []
        for k, name in enumerate(rounds.values()):
            self._line(f"const int64_t {name} = ((const ig_piece *)args)->rounds[{k}];")
            self._line(f"(void){name};")
        self._items(items)
        name = f"ig_f0_piece{len(self._bodies)}"
        self._bodies.append(
            "\n".join(
                [
                    f"IG_ONCE static int {name}(ig_worker *w, const void *args) {{",
                    "  void *const *const b = ((const ig_piece *)args)->p;",
                    "  const int64_t *const dims = ((const ig_piece *)args)->dims;",
                    "  (void)b; (void)dims; (void)w;",
                    *self._lines,
                    "  return 0;",
                    "}",
                ]
            )
        )
        self._lines, self._depth, self._rounds = outer, depth, rounds
        small = f"{bracketed(self._size(_work(items)))} < {WORTH_THREADS}"
        self._line(f"status = ctx->run(ctx, {name}, &args, {small} ? 1 : 0);")
        self._line("if (status) return status;")

    def _outer_loop(self, loop: LoopStep) -> None:
        """A loop of pieces and calls."""
        number = len(self._rounds)
        name = f"t{number}"
        length = self._size(loop.length)
        self._rounds[symbol_of(loop.round)] = name
        self._line(f"for (int64_t {name} = 0; {name} < {length}; {name}++) {{")
        self._depth += 1
        self._line(f"rounds[{number}] = {name};")
        self._around(loop.items)
        self._depth -= 1
        self._line("}")
        self._most = max(self._most, len(self._rounds))
        del self._rounds[symbol_of(loop.round)]

    def _host(self, call: Call) -> None:
        """A call into Python."""
        pointers = ", ".join(self._pointer(v) for v in call.views) or "0"
        self._line("{")
        self._depth += 1
        self._line(f"void *const q[] = {{{pointers}}};")
        caller = f"(ig_host)b[{self._lowered.caller}]"
        self._line(f"const ig_host_args a = {{{caller}, {call.host}, q, {call.node}}};")
        self._line("status = ctx->run(ctx, ig_host_body, &a, 1);")
        self._line("if (status) return status;")
        self._depth -= 1
        self._line("}")


def _work(items: Sequence[Batch | LoopStep]) -> Size:
    """Nanoseconds that steps take, roughly."""
    total: Size = 0
    for item in items:
        if isinstance(item, Batch):
            total = sum((call.nanoseconds for call in item.calls), start=total)
        else:
            total = total + _work(item.items) * item.length
    return total
