"""Kernels that put rows in order (`sort`, `topk`).

An element becomes a key, an unsigned integer in the same order: of a float the bits, turned over
where the sign is set, with both zeros alike and every NaN the greatest; descending order takes the
complement. A pair of key and position has no equal, so that any way to sort pairs is stable.

In C a row is sorted by the digits of its keys, from the lowest one, 8 bits or 11 at a time; a digit
that is the same everywhere is passed over, and short rows are sorted by insertion. The first few of
a long row are found with a heap of them: an element takes part if it comes before the last of them.
Rows are split over threads."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from intaglio.compiler.codegen.numbers import C_TYPES
from intaglio.compiler.dims import Dim, Size, compare, substitute
from intaglio.compiler.dtypes import DType
from intaglio.compiler.errors import CompileError
from intaglio.compiler.ir import Node
from intaglio.compiler.loop import Buffer, Position, symbol_of
from intaglio.compiler.schedule.domain import address_of, axes_of, count_rows, grain_for
from intaglio.compiler.schedule.template import Step, TemplateResult

HEAP: Final = 256
"""Up to so many elements are found with a heap."""
COUNTS: Final = 8 * 2048 * 4
"""Bytes for the numbers of elements of each digit."""

KEYS: Final = {
    "f32": (
        "const uint32_t u = ig1_bitcast_f32_u32(x);",
        "x != x ? 0xffffffffu : x == 0 ? 0x80000000u : u >> 31 ? ~u : u | 0x80000000u",
    ),
    "f64": (
        "const uint64_t u = (uint64_t)ig1_bitcast_f64_i64(x);",
        "x != x ? 0xffffffffffffffffull : x == 0 ? 0x8000000000000000ull"
        " : u >> 63 ? ~u : u | 0x8000000000000000ull",
    ),
    "i64": ("", "(uint64_t)x ^ 0x8000000000000000ull"),
}
"""By dtype: the statements and the expression that make the key of x; all others are cast."""


@dataclass(frozen=True)
class Rows:
    """Rows to be put in order: how many there are and how long, how much of each is wanted, and
    where a row begins in the operand, the values and the positions (in terms of `variable`), with
    the steps along it."""

    dtype: DType
    variable: Dim
    count: Size
    length: Size
    wanted: Size
    descending: bool
    starts: tuple[Size, ...]
    steps: tuple[Size, ...]

    @property
    def wide(self) -> bool:
        """Whether keys have 64 bits."""
        return self.dtype.size == 8


def rows_of(node: Node, x: Buffer, values: Buffer, positions: Buffer) -> Rows:
    """The rows that a node puts in order."""
    axis = node.attributes["axis"]
    assert isinstance(axis, int)
    shape = (*x.shape[:axis], 1, *x.shape[axis + 1 :])
    axes, place = axes_of(shape)
    counted = count_rows(axes)
    here = {symbol_of(v): value for v, value in counted.binds}
    at: list[Position] = [p if isinstance(p, int) else substitute(p, here)  # type: ignore[arg-type]
                          for p in place]  # fmt: skip
    buffers = (x, values, positions)
    descending = node.attributes.get("descending", node.attributes.get("largest"))
    if x.dtype.name not in C_TYPES:
        raise CompileError(f"{node.op}: there is no kernel for {x.dtype}; cast it to float32")
    return Rows(
        x.dtype, counted.variable, counted.extent, x.shape[axis],
        node.outputs[0].type.shape[axis], bool(descending),
        tuple(address_of(b, at) for b in buffers), tuple(b.strides[axis] for b in buffers),
    )  # fmt: skip


def key_of(rows: Rows) -> tuple[str, str]:
    """Statements and the expression that make the key of an element x."""
    short = "(uint32_t)x" if rows.dtype.kind in "ub" else "(uint32_t)(int32_t)x ^ 0x80000000u"
    before, value = KEYS.get(rows.dtype.name, ("", short))
    return before, f"~({value})" if rows.descending else f"({value})"


def _key_function(rows: Rows, name: str) -> list[str]:
    kind = "uint64_t" if rows.wide else "uint32_t"
    before, value = key_of(rows)
    head = f"static inline {kind} {name}({C_TYPES[rows.dtype.name]} x) {{"
    return [head, *([f"  {before}"] if before else []), f"  return {value};", "}"]


def order_text(rows: Rows, name: str, size: Callable[[Size], str], row: str) -> TemplateResult:
    """C text of the kernel; `size` prints sizes, `row` is how it prints the row's variable."""
    heap = compare(rows.wanted, HEAP) in (-1, 0) and rows.wanted != rows.length
    element = C_TYPES[rows.dtype.name]
    grain = grain_for(rows.length * 8)
    pair = _WIDE if rows.wide else _NARROW
    body = (_HEAP_ROW if heap else _SORT_ROW).format(sa=f"({size(rows.steps[0])})")
    kernel = _KERNEL.format(
        body=body, element=element, rows=size(rows.count), length=size(rows.length),
        wanted=size(rows.wanted), grain=size(grain), row=row,
        a=size(rows.starts[0]), b=size(rows.starts[1]), c=size(rows.starts[2]),
        sa=size(rows.steps[0]), sb=size(rows.steps[1]), sc=size(rows.steps[2]),
    )  # fmt: skip
    tools = _HEAP if heap else _RADIX.format(bits=64 if rows.wide else 32)
    lines = [*_key_function(rows, f"{name}_key"), pair, tools, kernel]
    text = "\n".join(lines).replace("@", name)
    bytes_ = 16 if rows.wide else 8
    kept: Size = rows.wanted if heap else 2 * rows.length
    chunks = (rows.count + grain - 1) // grain
    work = rows.count * rows.length * (2 if heap else 10) + 1
    step = Step(name, chunks, work)
    return TemplateResult(text, (step,), scratch=(kept + 1) * bytes_ + (0 if heap else COUNTS))


_NARROW: Final = """\
typedef uint64_t @_pair;
static inline @_pair @_join(uint32_t key, int64_t at) { return (uint64_t)key << 32 | (uint32_t)at; }
static inline uint64_t @_bits(@_pair p) { return p >> 32; }
static inline int64_t @_at(@_pair p) { return (int64_t)(p & 0xffffffffu); }
static inline int @_before(@_pair a, @_pair b) { return a < b; }"""
"""A pair of a short key and a position in one word."""

_WIDE: Final = """\
typedef struct { uint64_t key; int64_t at; } @_pair;
static inline @_pair @_join(uint64_t key, int64_t at) { return (@_pair){key, at}; }
static inline uint64_t @_bits(@_pair p) { return p.key; }
static inline int64_t @_at(@_pair p) { return p.at; }
static inline int @_before(@_pair a, @_pair b) {
  return a.key < b.key || (a.key == b.key && a.at < b.at);
}"""

_RADIX: Final = """\
static @_pair *@_sort(@_pair *a, @_pair *b, int64_t n, uint32_t *counts) {{
  if (n <= 48) {{
    for (int64_t i = 1; i < n; i++) {{
      const @_pair p = a[i];
      int64_t j = i;
      for (; j > 0 && @_before(p, a[j - 1]); j--) a[j] = a[j - 1];
      a[j] = p;
    }}
    return a;
  }}
  const int width = n > 12000 ? 11 : 8, passes = ({bits} + width - 1) / width;
  const uint64_t mask = ((uint64_t)1 << width) - 1;
  __builtin_memset(counts, 0, (uint64_t)passes * (mask + 1) * 4);
  for (int64_t i = 0; i < n; i++) {{
    uint64_t key = @_bits(a[i]);
    for (int k = 0; k < passes; k++, key >>= width) counts[((uint64_t)k << width) + (key & mask)]++;
  }}
  for (int k = 0; k < passes; k++) {{
    uint32_t *const count = counts + ((uint64_t)k << width);
    const int shift = k * width;
    if (count[@_bits(a[0]) >> shift & mask] == n) continue;
    uint32_t total = 0;
    for (uint64_t d = 0; d <= mask; d++) {{
      const uint32_t here = count[d];
      count[d] = total;
      total += here;
    }}
    for (int64_t i = 0; i < n; i++) b[count[@_bits(a[i]) >> shift & mask]++] = a[i];
    @_pair *const t = a;
    a = b;
    b = t;
  }}
  return a;
}}"""

_HEAP: Final = """\
static void @_sink(@_pair *heap, int64_t n, int64_t i) {
  const @_pair p = heap[i];
  for (;;) {
    int64_t j = 2 * i + 1;
    if (j >= n) break;
    if (j + 1 < n && @_before(heap[j], heap[j + 1])) j++;
    if (!@_before(p, heap[j])) break;
    heap[i] = heap[j];
    i = j;
  }
  heap[i] = p;
}"""
"""Pairs as a heap with the last of them on top."""

_SORT_ROW: Final = """\
    @_pair *one = (@_pair *)w->scratch, *const two = one + n;
    for (int64_t i = 0; i < n; i++) one[i] = @_join(@_key(x[i * {sa}]), i);
    one = @_sort(one, two, n, (uint32_t *)(two + n));"""

_HEAP_ROW: Final = """\
    @_pair *const one = (@_pair *)w->scratch;
    for (int64_t i = 0; i < m; i++) one[i] = @_join(@_key(x[i * {sa}]), i);
    for (int64_t i = m / 2; i-- > 0;) @_sink(one, m, i);
    for (int64_t i = m; i < n && m > 0; i++) {{
      const uint64_t key = @_key(x[i * {sa}]);
      if (key >= @_bits(one[0])) continue;
      one[0] = @_join(key, i);
      @_sink(one, m, 0);
    }}
    for (int64_t i = m - 1; i > 0; i--) {{
      const @_pair last = one[0];
      one[0] = one[i];
      one[i] = last;
      @_sink(one, i, 0);
    }}"""

_KERNEL: Final = """\
static void @(const ig_worker *w, const void *args, int64_t lo, int64_t hi) {{
  IG_HEAD
  const int64_t n = {length}, m = {wanted}, rows = {rows}, grain = {grain};
  const int64_t end = ig_minimum_of(hi * grain, rows);
  (void)m;
  for (int64_t {row} = lo * grain; {row} < end; {row}++) {{
    const {element} *const x = (const {element} *)p[0] + ({a});
    {element} *const values = ({element} *)p[1] + ({b});
    int64_t *const positions = (int64_t *)p[2] + ({c});
{body}
    for (int64_t i = 0; i < m; i++) {{
      const int64_t at = @_at(one[i]);
      values[i * ({sb})] = x[at * ({sa})];
      positions[i * ({sc})] = at;
    }}
  }}
}}
"""
