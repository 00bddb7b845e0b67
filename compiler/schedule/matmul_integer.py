"""Products of integer matrices: a plain loop, exact modulo the width of the type."""

from __future__ import annotations

from intaglio.compiler.errors import CompileError
from intaglio.compiler.schedule.matmul_chunk import offset
from intaglio.compiler.schedule.matmul_tile import strides
from intaglio.compiler.schedule.template import Product

INTEGERS = {
    "i64": ("int64_t", "uint64_t", "i64"),
    "i32": ("int32_t", "uint32_t", "i32"),
    "u32": ("uint32_t", "uint32_t", "u32"),
    "i16": ("int16_t", "uint32_t", "i32"),
    "i8": ("int8_t", "uint32_t", "i32"),
    "u8": ("uint8_t", "uint32_t", "i32"),
}
"""By dtype: the C type of an element, the unsigned one that sums wrap in, and the compute type."""


def integer_text(product: Product) -> str:
    """C text of the kernel; one chunk is one row of the result."""
    if product.dtype.name not in INTEGERS:
        raise CompileError(
            f"matmul: there is no kernel for {product.dtype}; cast the operands to float32"
        )
    size = product.size
    element, word, compute = INTEGERS[product.dtype.name]
    (ar, ac), (br, bc) = strides(product, product.a), strides(product, product.b)
    store = product.store.lines(
        batch="batch", row="row", column="column", lanes=1, count="1", value="value"
    )
    name = product.name
    lines = (
        f"static void {name}(const ig_worker *w, const void *args, int64_t lo, int64_t hi) {{",
        "  IG_HEAD",
        "  (void)w;",
        f"  const int64_t m = {size(product.m)}, n = {size(product.n)}, k = {size(product.k)};",
        "  for (int64_t q = lo; q < hi; q++) {",
        "    const int64_t batch = q / m, row = q % m;",
        f"    const {element} *a = {product.a.pointer}, *b = {product.b.pointer};",
        *offset(product, product.a, "a"),
        *offset(product, product.b, "b"),
        "    (void)batch;",
        f"    a += row * {ar};",
        "    for (int64_t column = 0; column < n; column++) {",
        f"      {word} sum = 0;",
        "      for (int64_t i = 0; i < k; i++)",
        f"        sum += ({word})a[i * {ac}] * ({word})b[i * {br} + column * {bc}];",
        f"      const ig1_{compute} value = (ig1_{compute})sum;",
        *("      " + line for line in store),
        "    }",
        "  }",
        "}",
    )
    return "\n".join(lines) + "\n"
