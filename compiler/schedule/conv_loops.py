"""Convolutions element by element: the chain that defines a result, as plain loops.

This is the kernel of integers, and the body of a thread on CUDA; what the others compute faster has
the bits of these loops."""

from __future__ import annotations

from collections.abc import Iterator

from intaglio.compiler.codegen.numbers import C_TYPES, compute_type
from intaglio.compiler.errors import CompileError
from intaglio.compiler.ops.convolution import CHANNEL_BLOCK
from intaglio.compiler.schedule.convolution import Convolution
from intaglio.compiler.schedule.matmul_integer import INTEGERS
from intaglio.compiler.schedule.template import Step, TemplateResult

AXES = range(3)


def loops_kernel(problem: Convolution) -> TemplateResult:
    """C text of the kernel; one chunk is one row of results."""
    name, size = problem.name, problem.size
    rows = size(problem.rows)
    kind = f"ig1_{compute_type(problem.dtype)}"
    lines = (
        f"static void {name}(const ig_worker *w, const void *args, int64_t lo, int64_t hi) {{",
        "  IG_HEAD",
        "  (void)w;",
        f"  const int64_t columns = {size(problem.columns)};",
        "  for (int64_t q = lo; q < hi; q++) {",
        f"    const int64_t batch = q / {rows}, row = q % {rows};",
        "    (void)batch;",
        "    for (int64_t column = 0; column < columns; column++) {",
        *("      " + line for line in element_lines(problem)),
        f"      const {kind} value = sum;",
        *("      " + line for line in stored(problem)),
        "    }",
        "  }",
        "}",
    )
    step = Step(name, problem.outer * problem.rows, problem.nanoseconds * 8)
    return TemplateResult(text="\n".join(lines) + "\n", steps=(step,))


def stored(problem: Convolution) -> list[str]:
    """The epilogue for one element `value`."""
    return problem.store.lines(
        batch="batch", row="row", column="column", lanes=1, count="1", value="value"
    )


def check_dtype(problem: Convolution) -> None:
    """Refuse dtypes without a kernel."""
    if problem.dtype.name not in (*INTEGERS, "f32", "f64"):
        raise CompileError(
            f"{problem.kind}: there is no kernel for {problem.dtype}; cast the operands to float32"
        )


def element_lines(problem: Convolution) -> Iterator[str]:
    """C statements that make `sum`, the result at (batch, row, column)."""
    check_dtype(problem)
    kind = f"ig1_{compute_type(problem.dtype)}"
    yield f"{kind} sum = 0;"
    yield "{"
    if problem.kind == "conv_weight":
        yield from _weight(problem, kind)
    else:
        yield from _image(problem, kind)
    yield "}"


def _joined(problem: Convolution, left: str, right: str, sum: str) -> str:
    compute = compute_type(problem.dtype)
    if problem.dtype.kind == "f":
        return f"ig1_fma_{compute}({left}, {right}, {sum})"
    return f"ig1_add_{compute}({sum}, ig1_mul_{compute}({left}, {right}))"


def _taken_apart(names: str, extents: list[str]) -> Iterator[str]:
    """The positions `<names>0..2` that `left` counts."""
    for d in reversed(AXES):
        part = f"left % {extents[d]}" if d else "left"
        yield f"  const int64_t {names}{d} = {part};"
        if d:
            yield f"  left /= {extents[d]};"


def _image(problem: Convolution, kind: str) -> Iterator[str]:
    """The chain of `conv` and `conv_input`: blocks of channels, taps, channels of the block."""
    forward, windows, size = problem.kind == "conv", problem.windows, problem.size
    element = C_TYPES[problem.dtype.name]
    outputs = size(problem.outputs)
    made, chain = outputs, size(problem.inputs)
    if not forward:
        made, chain = chain, made
    a, b = ([size(s) for s in o.strides] for o in (problem.first, problem.second))
    extents = [size(w.output if forward else w.image) for w in windows]
    limits = [size(w.image if forward else w.output) for w in windows]
    yield "  int64_t left = column;"
    yield from _taken_apart("i", extents)
    yield f"  const int64_t group = row / {made}, mine = row % {made};"
    yield f"  const {element} *x = {problem.first.pointer} + batch * {a[0]};"
    yield f"  const {element} *k = {problem.second.pointer};"
    yield f"  x += group * {chain} * {a[1]};"
    along = b[1] if forward else b[0]
    yield f"  k += group * {outputs} * {b[0]} + mine * {b[0] if forward else b[1]};"
    yield f"  for (int64_t block = 0; block < {chain}; block += {CHANNEL_BLOCK})"
    for d in AXES:
        yield f"  for (int64_t t{d} = 0; t{d} < {windows[d].kernel}; t{d}++)"
    yield "  {"
    for d, window in enumerate(windows):
        if forward:
            place = f"i{d} * {window.stride} + t{d} * {window.dilation} - {window.low}"
            yield f"    const int64_t p{d} = {place};"
        else:
            yield f"    int64_t p{d} = i{d} + {window.low} - t{d} * {window.dilation};"
            yield f"    if (p{d} % {window.stride}) continue;"
            yield f"    p{d} /= {window.stride};"
    inside = " && ".join(f"p{d} >= 0 && p{d} < {limits[d]}" for d in AXES)
    yield f"    const int inside = {inside};"
    at = " + ".join(f"p{d} * {a[d + 2]}" for d in AXES)
    tap = " + ".join(f"t{d} * {b[d + 2]}" for d in AXES)
    most = f"block + {CHANNEL_BLOCK} < {chain} ? block + {CHANNEL_BLOCK} : {chain}"
    yield f"    const int64_t end = {most};"
    yield "    for (int64_t c = block; c < end; c++) {"
    yield f"      const {kind} seen = inside ? x[c * {a[1]} + {at}] : 0;"
    yield f"      sum = {_joined(problem, 'seen', f'k[c * {along} + {tap}]', 'sum')};"
    yield "    }"
    yield "  }"


def _weight(problem: Convolution, kind: str) -> Iterator[str]:
    """The chains of `conv_weight`, one per image, and their sum."""
    windows, size = problem.windows, problem.size
    element = C_TYPES[problem.dtype.name]
    a, b = ([size(s) for s in o.strides] for o in (problem.first, problem.second))
    yield "  int64_t left = column;"
    for d in reversed(AXES):
        yield f"  const int64_t t{d} = left % {windows[d].kernel};"
        yield f"  left /= {windows[d].kernel};"
    yield f"  const {element} *x = {problem.first.pointer};"
    yield f"  const {element} *y = {problem.second.pointer} + row * {b[1]};"
    outputs, inputs = size(problem.outputs), size(problem.inputs)
    yield f"  x += (row / {outputs} * {inputs} + left) * {a[1]};"
    yield f"  for (int64_t image = 0; image < {size(problem.images)}; image++) {{"
    yield f"    {kind} chain = 0;"
    for d in AXES:
        yield f"    for (int64_t p{d} = 0; p{d} < {size(windows[d].output)}; p{d}++)"
    yield "    {"
    for d, w in enumerate(windows):
        yield f"      const int64_t i{d} = p{d} * {w.stride} + t{d} * {w.dilation} - {w.low};"
    inside = " && ".join(f"i{d} >= 0 && i{d} < {size(w.image)}" for d, w in enumerate(windows))
    at = " + ".join(f"i{d} * {a[d + 2]}" for d in AXES)
    here = " + ".join(f"p{d} * {b[d + 2]}" for d in AXES)
    yield f"      const {kind} seen = {inside} ? x[image * {a[0]} + {at}] : 0;"
    yield f"      chain = {_joined(problem, 'seen', f'y[image * {b[0]} + {here}]', 'chain')};"
    yield "    }"
    added = f"ig1_add_{compute_type(problem.dtype)}(sum, chain)"
    yield f"    sum = image ? {added} : chain;"
    yield "  }"
