"""The text around kernels: the body that runs a function's steps, its entry point, and the cut into
translation units that are compiled in parallel."""

from __future__ import annotations

import heapq
import re
from collections.abc import Mapping, Sequence
from typing import Final, Protocol

from intaglio.compiler.codegen.head import C_HEAD, CUDA_HEAD, PARTS
from intaglio.compiler.codegen.numbers import bracketed, size_text
from intaglio.compiler.dims import Size, Symbol
from intaglio.compiler.loop import symbol_of
from intaglio.compiler.schedule.storage import View
from intaglio.compiler.steps import Batch, Call, LoopStep, Memory, Timeline

UNIT_WORK: Final = 100
"""Block operations in one translation unit; gcc takes about two milliseconds for each."""
KERNEL_WORK: Final = 4
"""What a kernel costs beyond its block operations, in the same unit."""
_BLOCK_OPERATION: Final = re.compile(r"\big(?:16|32|64)_(?!load|store|splat)\w+\(")
CUDA_KERNELS: Final = 8
"""Kernels in one translation unit of CUDA; each takes as long as the head that they share."""
WORTH_THREADS: Final = 20_000
"""Nanoseconds of work on one core below which a function runs on one thread."""
NAME: Final = "IG_NAME"
_SHARED: Final = re.compile(r"^static void (k\d+\w*)\((?=const ig_worker)", re.MULTILINE)
"""The head of a template's kernel function."""


class Packings(Protocol):
    """The functions that make packed copies of inputs."""

    def text(self, name: str) -> str:
        """Their text, without the placeholder for a kernel's name."""
        ...


class Lowered(Protocol):
    """What is known of a function when its text is made."""

    texts: dict[str, str]
    timeline: Timeline
    memory: Memory

    @property
    def dims(self) -> Mapping[str, int]:
        """Where in `dims[]` a named size is found."""
        ...

    @property
    def packings(self) -> Packings:
        """What is packed."""
        ...


def function_sources(lowered: Lowered, target: str, certain: int | None = None) -> tuple[str, ...]:
    """The translation units of a function; in C the first holds its entry point `ig_f0`. From the
    step `certain` on nothing stops it but an error."""
    kernels = [text.replace(NAME, name) for text, name in lowered.texts.items()]
    if target == "cuda":
        starts = range(0, max(len(kernels), 1), CUDA_KERNELS)
        return tuple("\n".join([CUDA_HEAD, *kernels[k : k + CUDA_KERNELS]]) for k in starts)
    body = lowered.packings.text(NAME) + _Body(lowered, certain).text()
    units = _units(kernels)
    if len(units) <= 1:
        return ("\n".join([C_HEAD, "#define IG_KERNEL static", *kernels, PARTS, body]),)
    hidden = '#define IG_KERNEL __attribute__((visibility("hidden")))'
    names = sorted({c.function for c in lowered.timeline.calls()})
    declared = [
        f"IG_KERNEL void {n}(const ig_worker *, const void *, int64_t, int64_t);" for n in names
    ]
    first = "\n".join([C_HEAD, hidden, *declared, PARTS, body])
    shared = [[_SHARED.sub(r"IG_KERNEL void \1(", text) for text in unit] for unit in units]
    return (first, *("\n".join([C_HEAD, hidden, *unit]) for unit in shared))


def _units(kernels: Sequence[str]) -> list[list[str]]:
    """The kernels dealt out over units of about equal work, an even number of them; the largest
    kernel first, each to the unit that has the least."""
    works = [KERNEL_WORK + len(_BLOCK_OPERATION.findall(text)) for text in kernels]
    count = -(-sum(works) // UNIT_WORK)
    if count <= 1:
        return [list(kernels)] if kernels else []
    units = [(0, k) for k in range(count + count % 2)]
    place = {}
    for number in sorted(range(len(kernels)), key=lambda k: -works[k]):
        load, unit = heapq.heappop(units)
        place[number] = unit
        heapq.heappush(units, (load + works[number], unit))
    made: list[list[str]] = [[] for _ in units]
    for number, text in enumerate(kernels):
        made[place[number]].append(text)
    return [unit for unit in made if unit]


class _Body:
    """Prints the body of a function."""

    def __init__(self, lowered: Lowered, certain: int | None) -> None:
        self._lowered, self._certain = lowered, certain
        self._lines: list[str] = []
        self._depth = 1
        self._rounds: dict[Symbol, str] = {}

    def text(self) -> str:
        """The body and the entry point."""
        self._items(self._lowered.timeline.items)
        work = self._size(self._lowered.timeline.nanoseconds)
        return "\n".join(
            [
                "IG_ONCE static int ig_f0_body(ig_worker *w, const void *args) {",
                "  void *const *const b = ((const ig_args *)args)->p;",
                "  const int64_t *const dims = ((const ig_args *)args)->dims;",
                "  (void)b; (void)dims; (void)w;",
                *self._lines,
                "  return 0;",
                "}",
                "int ig_f0(const ig_ctx *ctx, void *const *buffers, const int64_t *dims);",
                "int ig_f0(const ig_ctx *ctx, void *const *buffers, const int64_t *dims) {",
                "  const ig_args args = {buffers, dims, 0};",
                f"  const int small = {work} < {WORTH_THREADS};",
                "  return ctx->run(ctx, ig_f0_body, &args, small ? 1 : 0);",
                "}",
                "",
            ]
        )

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
        for k, call in enumerate(batch.calls):
            pointers = ", ".join(self._pointer(v) for v in call.views) or "0"
            self._line(f"void *const q{k}[] = {{{pointers}}};")
        if len(batch.calls) == 1:
            (call,) = batch.calls
            self._line(f"const ig_args a = {{q0, dims, {call.node}}};")
            certain = isinstance(call.chunks, int) and not call.copies
            self._step(call.function, "a", self._chunks(call, 0), certain)
        else:
            self._parts(batch.calls)
        self._depth -= 1
        self._line("}")

    def _chunks(self, call: Call, number: int) -> str:
        """How many chunks a call has: none where it would copy memory to itself."""
        chunks = self._size(call.chunks)
        return f"(q{number}[0] == q{number}[1] ? 0 : {chunks})" if call.copies else chunks

    def _parts(self, calls: Sequence[Call]) -> None:
        self._line("const int64_t c0 = 0;")
        for k, call in enumerate(calls):
            self._line(f"const int64_t c{k + 1} = c{k} + {self._chunks(call, k)};")
        parts = [f"{{{c.function}, {{q{k}, dims, {c.node}}}, c{k}}}" for k, c in enumerate(calls)]
        last = f"c{len(calls)}"
        self._line(f"const ig_part parts[] = {{{', '.join(parts)}, {{0, {{0, 0, 0}}, {last}}}}};")
        self._line(f"const ig_parts a = {{parts, {len(calls)}}};")
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
