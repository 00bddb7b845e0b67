"""Matrix products on CUDA, tile by tile (see `tile_cuda`): a block makes one tile of one matrix of
the batch, and reads each operand along whichever dim of it is contiguous."""

from __future__ import annotations

from intaglio.compiler.codegen.cuda import MOST_ACROSS, NARROW, TAIL, Layout, ceiling, magnitude
from intaglio.compiler.codegen.numbers import C_TYPES
from intaglio.compiler.dims import minimum, product as product_of
from intaglio.compiler.schedule.matmul_chunk import offset
from intaglio.compiler.schedule.matmul_tile import strides
from intaglio.compiler.schedule.template import Matrix, Product
from intaglio.compiler.schedule.tile_cuda import (
    ENOUGH_TILES,
    HUGE,
    LARGE,
    SIDE,
    Fetch,
    Results,
    Tile,
    side_for,
)


def cuda_product(product: Product, parameters: list[str]) -> tuple[str, Layout]:
    """The text of the kernel, and how to launch it; `parameters` are the declarations of the
    buffers, called b0, b1, ..."""
    tile = _tile(product)
    rows, columns = tile.rows, tile.columns
    tiles = product_of(product.batch) * ceiling(product.m, rows) * ceiling(product.n, columns)
    layout = Layout((minimum(tiles, MOST_ACROSS), 1), (SIDE, SIDE), tile.shared)
    size = product.size
    count = len(parameters)
    pointers = ", ".join(f"(void *)b{k}" for k in range(count))
    left, right = _fetch(product, product.a, "a"), _fetch(product, product.b, "b")
    lines = [
        f'extern "C" __global__ void __launch_bounds__({SIDE * SIDE})',
        f"{product.name}({', '.join([*parameters, TAIL])}) {{",
        "  if (error[0]) return;",
        f"  void *const p[] = {{{pointers}}};",
        f"  const int64_t m = {size(product.m)}, n = {size(product.n)}, k = {size(product.k)};",
        f"  const int64_t down = {size(ceiling(product.m, rows))};",
        f"  const int64_t across = {size(ceiling(product.n, columns))};",
        f"  const int64_t tiles = {size(product_of(product.batch))} * down * across;",
        *("  " + line for line in tile.declarations()),
        "  for (int64_t tile = blockIdx.x; tile < tiles; tile += gridDim.x) {",
        "    const int64_t batch = tile / (down * across);",
        f"    const int64_t top = tile / across % down * {rows}, side = tile % across * {columns};",
        "    (void)batch;",
        f"    const {C_TYPES[product.dtype.name]} *a = {product.a.pointer};",
        f"    const {C_TYPES[product.dtype.name]} *b = {product.b.pointer};",
        *offset(product, product.a, "a"),
        *offset(product, product.b, "b"),
        *("    " + line for line in tile.sums("sum")),
        *("    " + line for line in tile.chains(left, right, _index_type(product))),
        *("    " + line for line in tile.finish("sum", _results(product))),
        "  }",
        "}",
        "",
    ]  # fmt: skip
    return "\n".join(lines), layout


def _results(product: Product) -> Results:
    lines = ("const int64_t row = top + down, column = side + across;",)
    plain = "(batch * m + row) * n + column"
    return Results(product.store, lines, "row < m && column < n", plain)


def _tile(product: Product) -> Tile:
    """The tile for a product: a small side where the matrix is no larger, huge ones where there are
    enough."""
    m, n, batch = product.m, product.n, product_of(product.batch)
    if product.dtype.name == "f32" and all(isinstance(s, int) for s in (m, n, batch)):
        tiles = batch * (m // HUGE) * (n // HUGE)
        if isinstance(tiles, int) and tiles >= ENOUGH_TILES:
            return Tile(product.dtype, HUGE, HUGE)
    return Tile(product.dtype, side_for(m), side_for(n))


def _index_type(product: Product) -> str:
    """The type in which places in one matrix are computed."""
    m, n, k = (magnitude(s) + LARGE for s in (product.m, product.n, product.k))
    a, b = product.a, product.b
    reach = (
        m * magnitude(a.row) + k * magnitude(a.column) + m + k,
        k * magnitude(b.row) + n * magnitude(b.column) + k + n,
    )
    return "int" if max(reach) < NARROW else "int64_t"


def _fetch(product: Product, matrix: Matrix, source: str) -> Fetch:
    """How `a` or `b` is read: along k if that is contiguous."""
    row, column = strides(product, matrix)
    first, size = ("top", "m") if source == "a" else ("side", "n")
    other, depth = (row, column) if source == "a" else (column, row)
    place = f"const {_index_type(product)} at = {first} + other;"
    value = f"at < {size} && deep < k ? {source}[at * {other} + deep * {depth}] : 0"
    return Fetch(depth == "1", value, place=(place,))
