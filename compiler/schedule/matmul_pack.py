"""Packing the second operand of a matrix product: the columns of a group brought together, k by k, padded with zeros.

A group of columns (256 bytes of them) becomes panels as wide as the machine's tiles, each k x width and contiguous. Rows of B
that lie contiguously are copied; columns that lie contiguously (the transposed weights of a linear layer) are
turned in squares of 16-byte vectors, 64 steps of k at a time so that the panel's lines are filled while in cache.
"""

from __future__ import annotations

from collections.abc import Iterator

from intaglio.compiler.dtypes import DType
from intaglio.compiler.schedule.matmul_tile import C_TYPES


def pack_text(name: str, dtype: DType, row: str, column: str) -> str:
    """C text of `<name>_pack(b, k, width, out)`; `row` and `column` are C texts of B's strides, literals or
    else parameters `br`, `bc` that follow."""
    t = C_TYPES[dtype.name]
    extra = "".join(
        f", int64_t {parameter}"
        for parameter, s in (("br", row), ("bc", column))
        if not s.isdigit()
    )
    r, c = row if row.isdigit() else "br", column if column.isdigit() else "bc"
    return "\n".join((
        f"static void {name}_pack(const {t} *b, int64_t k, int64_t width, {t} *out{extra}) {{",
        f"  for (int64_t s = 0; s < width; s += {name}_panel, out += k * {name}_panel) {{",
        f"    const {t} *const x = b + s * {c};",
        f"    const int64_t w = width - s < {name}_panel ? width - s : {name}_panel;",
        *(_rows if column == "1" else _columns if row == "1" else _any)(name, dtype, r, c),
        f"    for (int64_t i = 0; w < {name}_panel && i < k; i++)",
        f"      for (int64_t j = w; j < {name}_panel; j++) out[i * {name}_panel + j] = 0;",
        "  }",
        "}",
    ))  # fmt: skip


def _rows(name: str, dtype: DType, row: str, column: str) -> Iterator[str]:
    """Copies rows that lie contiguously."""
    d = dtype.name
    yield f"    if (w == {name}_panel)"
    yield "      for (int64_t i = 0; i < k; i++)"
    yield f"        for (int64_t j = 0; j < {name}_panel; j += {name}_lanes)"
    yield f"          igv_keep_{d}(out + i * {name}_panel + j, igv_fetch_{d}(x + i * {row} + j));"
    yield "    else"
    yield "      for (int64_t i = 0; i < k; i++)"
    yield f"        for (int64_t j = 0; j < w; j++) out[i * {name}_panel + j] = x[i * {row} + j];"


def _any(name: str, dtype: DType, row: str, column: str) -> Iterator[str]:
    """Copies element by element."""
    yield "    for (int64_t i = 0; i < k; i++)"
    yield f"      for (int64_t j = 0; j < w; j++) out[i * {name}_panel + j] = x[i * {row} + j * {column}];"


def _columns(name: str, dtype: DType, row: str, column: str) -> Iterator[str]:
    """Turns columns that lie contiguously, in squares."""
    t, side = C_TYPES[dtype.name], 16 // dtype.size
    word = "int32_t" if dtype.size == 4 else "int64_t"
    yield f"    typedef {t} quad __attribute__((vector_size(16)));"
    yield f"    typedef {t} quad_at __attribute__((vector_size(16), aligned(sizeof({t})), may_alias));"
    yield f"    typedef {word} pick __attribute__((vector_size(16), unused));"
    yield "    for (int64_t i0 = 0; i0 < k; i0 += 64) {"
    yield "      const int64_t i1 = k - i0 < 64 ? k : i0 + 64;"
    yield "      int64_t j = 0;"
    yield f"      for (; j + {side} <= w; j += {side}) {{"
    yield f"        const {t} *const y = x + j * {column};"
    yield "        int64_t i = i0;"
    yield f"        for (; i + {side} <= i1; i += {side}) {{"
    for r in range(side):
        yield f"          const quad r{r} = *(const quad_at *)(y + {r} * {column} + i);"
    yield from _turn(side)
    for r in range(side):
        yield f"          *(quad_at *)(out + (i + {r}) * {name}_panel + j) = o{r};"
    yield "        }"
    yield "        for (; i < i1; i++)"
    yield f"          for (int64_t r = 0; r < {side}; r++) out[i * {name}_panel + j + r] = y[r * {column} + i];"
    yield "      }"
    yield "      for (; j < w; j++)"
    yield f"        for (int64_t i = i0; i < i1; i++) out[i * {name}_panel + j] = x[j * {column} + i];"
    yield "    }"


def _turn(side: int) -> Iterator[str]:
    """The transpose o of a square r, in registers."""
    pad = " " * 10
    if side == 2:
        yield f"{pad}const quad o0 = IG_SHUFFLE(pick, r0, r1, 0, 2), o1 = IG_SHUFFLE(pick, r0, r1, 1, 3);"
        return
    low, high = "0, 4, 1, 5", "2, 6, 3, 7"
    for a, b, i in ((0, 1, 0), (2, 3, 2)):
        yield (
            f"{pad}const quad u{i} = IG_SHUFFLE(pick, r{a}, r{b}, {low}), "
            f"u{i + 1} = IG_SHUFFLE(pick, r{a}, r{b}, {high});"
        )
    for a, i in ((0, 0), (1, 2)):
        yield (
            f"{pad}const quad o{i} = IG_SHUFFLE(pick, u{a}, u{a + 2}, 0, 1, 4, 5), "
            f"o{i + 1} = IG_SHUFFLE(pick, u{a}, u{a + 2}, 2, 3, 6, 7);"
        )
