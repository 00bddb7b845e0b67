"""Packing B of a matrix product: the columns of a group brought together, k by k.

A group of columns (256 bytes of them) becomes panels as wide as the machine's tiles, each k x width
and contiguous, padded with zeros. Rows of B that lie contiguously are copied. Columns that lie
contiguously (the transposed weights of a linear layer) are turned: 16 bytes from each of as many
columns as a vector has lanes, 64 steps of k at a time so that the panel's lines fill up in cache.
What is turned next can be fetched meanwhile: so many short pieces are no stream to the processor.
"""

from __future__ import annotations

from collections.abc import Iterator

from intaglio.compiler.dtypes import DType
from intaglio.compiler.schedule.matmul_tile import C_TYPES, strides
from intaglio.compiler.schedule.template import Product

STEPS = 64
"""Steps of k turned together: so many of a panel's lines stay in the first-level cache."""


def pack_text(product: Product, fetches: bool = False) -> str:
    """C text of `<name>_pack(b, k, width, out)`; strides of B that are no literals are parameters
    `br`, `bc` that follow. Last comes, if it `fetches`, how far beyond `b` lies what the next call
    turns."""
    t, name = C_TYPES[product.dtype.name], product.name
    row, column = strides(product, product.b)
    pairs = (("br", row), ("bc", column))
    extra = "".join(f", int64_t {parameter}" for parameter, s in pairs if not s.isdigit())
    extra += ", int64_t ahead" if fetches else ""
    r, c = (s if s.isdigit() else parameter for parameter, s in pairs)
    if column != "1" and row == "1":
        body = _columns(product.dtype, c, fetches)
    else:
        body = (_rows if column == "1" else _any)(product.dtype, r, c)
    lines = (
        f"static void {name}_pack(const {t} *b, int64_t k, int64_t width, {t} *out{extra}) {{",
        f"  enum {{ lanes = {name}_lanes, panel = {name}_panel }};",
        "  for (int64_t s = 0; s < width; s += panel, out += k * panel) {",
        f"    const {t} *const x = b + s * {c};",
        "    const int64_t w = width - s < panel ? width - s : panel;",
        *body,
        "    for (int64_t i = 0; w < panel && i < k; i++)",
        "      for (int64_t j = w; j < panel; j++) out[i * panel + j] = 0;",
        "  }",
        "}",
    )
    return "\n".join(lines)


def pack_call(product: Product, source: str, k: str, out: str, ahead: str = "") -> str:
    """C text of a call of that function; `ahead` where it fetches."""
    extra = "".join(f", {s}" for s in strides(product, product.b) if not s.isdigit())
    extra += f", {ahead}" if ahead else ""
    return f"{product.name}_pack({source}, {k}, width, {out}{extra});"


def _rows(dtype: DType, row: str, column: str) -> Iterator[str]:
    """Copies rows that lie contiguously."""
    d = dtype.name
    yield "    if (w == panel)"
    yield "      for (int64_t i = 0; i < k; i++)"
    yield "        for (int64_t j = 0; j < panel; j += lanes)"
    yield f"          igv_keep_{d}(out + i * panel + j, igv_fetch_{d}(x + i * {row} + j));"
    yield "    else"
    yield "      for (int64_t i = 0; i < k; i++)"
    yield f"        for (int64_t j = 0; j < w; j++) out[i * panel + j] = x[i * {row} + j];"


def _any(dtype: DType, row: str, column: str) -> Iterator[str]:
    """Copies element by element."""
    yield "    for (int64_t i = 0; i < k; i++)"
    yield "      for (int64_t j = 0; j < w; j++)"
    yield f"        out[i * panel + j] = x[i * {row} + j * {column}];"


def _columns(dtype: DType, column: str, fetches: bool) -> Iterator[str]:
    """Turns columns that lie contiguously.

    Pieces of the columns are first copied together where the last vector of columns is incomplete
    (zeros stand for the missing ones) and where columns lie so that they would evict each other
    from the first-level cache.
    """
    t, side = C_TYPES[dtype.name], 16 // dtype.size
    yield "#if defined(__clang__) || __GNUC__ >= 12"
    at = f"vector_size(16), aligned(sizeof({t})), may_alias"
    yield f"    typedef {t} quad __attribute__(({at}));"
    yield f"    typedef igv_i{8 * dtype.size} pick __attribute__((unused));"
    yield f"    for (int64_t first = 0; first < k; first += {STEPS}) {{"
    yield f"      const int n = k - first < {STEPS} ? (int)(k - first) : {STEPS};"
    if fetches:
        yield f"      const int64_t next = first + {STEPS} < k ? first + {STEPS} : ahead;"
    yield "      for (int64_t j = 0; j < w; j += lanes) {"
    if fetches:
        yield f"        const {t} *const z = x + j * {column} + next;"
    yield f"        {t} last[lanes * {STEPS}], *o = out + first * panel + j;"
    yield f"        const {t} *y = x + j * {column} + first;"
    yield f"        int64_t step = {column};"
    yield f"        if (j + lanes > w || step % {2048 // dtype.size} == 0) {{"
    yield "          for (int64_t r = 0; r < lanes; r++)"
    size = f"n * sizeof({t})"
    yield "            if (j + r < w)"
    yield f"              __builtin_memcpy(last + r * {STEPS}, y + r * step, {size});"
    yield f"            else __builtin_memset(last + r * {STEPS}, 0, {size});"
    yield f"          y = last, step = {STEPS};"
    yield "        }"
    yield "        int i = 0;"
    yield f"        for (; i + {side} <= n; i += {side}, o += {side} * panel) {{"
    if fetches:
        line = 4 * side
        yield "          for (int r = 0; r < lanes / 4; r++)"
        place = f"(i % {line} / {side} * (lanes / 4) + r) * {column} + i / {line} * {line}"
        yield f"            __builtin_prefetch(z + {place}, 0, 2);"
    for bits, widest in ((64, "#if IG_W == 16"), (32, "#elif IG_W == 8"), (16, "#else")):
        yield widest
        yield from _turn(dtype, bits // dtype.size)
    yield "#endif"
    for r in range(side):
        yield f"          igv_keep_{dtype.name}(o + {r} * panel, o{r});"
    yield "        }"
    yield "        for (; i < n; i++, o += panel)"
    yield "          for (int64_t r = 0; r < lanes; r++) o[r] = y[r * step + i];"
    yield "      }"
    yield "    }"
    yield "#else"
    yield from _any(dtype, "1", column)
    yield "#endif"


def _turn(dtype: DType, lanes: int) -> Iterator[str]:
    """Vectors o: the steps i, i + 1, .. of `lanes` columns, from 16 bytes of each column.

    A vector r is first filled with the pieces of the columns r, r + side, r + 2 side, ..; turning
    the squares of side x side that lie in its 16-byte parts then gives the columns in order.
    """
    side, pad = 16 // dtype.size, " " * 10
    for r in range(side):
        columns = range(r, lanes, side)
        pieces = [f"*(const quad *)(y + {c} * step + i)" for c in columns]
        yield f"{pad}const igv_{dtype.name} r{r} = {_joined(pieces, side)};"
    if side == 2:
        yield _shuffle(dtype, lanes, "o0", ("r0", "r1"), (0, 2))
        yield _shuffle(dtype, lanes, "o1", ("r0", "r1"), (1, 3))
        return
    for first, pair in ((0, ("r0", "r1")), (2, ("r2", "r3"))):
        yield _shuffle(dtype, lanes, f"u{first}", pair, (0, 4, 1, 5))
        yield _shuffle(dtype, lanes, f"u{first + 1}", pair, (2, 6, 3, 7))
    for first, pair in ((0, ("u0", "u2")), (2, ("u1", "u3"))):
        yield _shuffle(dtype, lanes, f"o{first}", pair, (0, 1, 4, 5))
        yield _shuffle(dtype, lanes, f"o{first + 1}", pair, (2, 3, 6, 7))


def _joined(pieces: list[str], lanes: int) -> str:
    """One vector of pieces of `lanes` each."""
    if len(pieces) == 1:
        return pieces[0]
    half = len(pieces) // 2
    order = ", ".join(str(i) for i in range(lanes * len(pieces)))
    low, high = _joined(pieces[:half], lanes), _joined(pieces[half:], lanes)
    return f"__builtin_shufflevector({low}, {high}, {order})"


def _shuffle(
    dtype: DType, lanes: int, name: str, pair: tuple[str, str], pattern: tuple[int, ...]
) -> str:
    """A vector whose every 16-byte part picks from the same parts of two vectors by a pattern."""
    side = len(pattern)
    picked = [
        part + i if i < side else lanes + part + i - side
        for part in range(0, lanes, side)
        for i in pattern
    ]
    order = ", ".join(str(i) for i in picked)
    shuffle = f"IG_SHUFFLE(pick, {pair[0]}, {pair[1]}, {order})"
    return f"          const igv_{dtype.name} {name} = {shuffle};"
