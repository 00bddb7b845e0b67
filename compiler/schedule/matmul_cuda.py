"""Matrix products on CUDA: a block of 16 x 16 threads makes one tile of one matrix of the batch.

Steps of 16 along k are brought to shared memory, read along whichever dim of the operand is
contiguous; each thread keeps 4 x 4 results, 8 x 8 of a large product. Every result is one chain of
fused multiply-adds in the order of k from 0, as on the CPU: a last partial step is shorter, not
padded. Results stay in registers up to the end; then they are copied to an array that a loop goes
through, so that the epilogue stands in the text once."""

from __future__ import annotations

from typing import Final

from intaglio.compiler.codegen.cuda import MOST_ACROSS, NARROW, TAIL, Layout, ceiling, magnitude
from intaglio.compiler.codegen.numbers import C_TYPES, compute_type
from intaglio.compiler.dims import Size, minimum, product as product_of
from intaglio.compiler.schedule.matmul_chunk import offset
from intaglio.compiler.schedule.matmul_tile import strides
from intaglio.compiler.schedule.template import Matrix, Product

SIDE: Final = 16
"""Threads along each side of a block, and elements of a step along k."""
HUGE, LARGE, SMALL = 128, 64, 16
"""Sides of tiles; a small one where the matrix is no larger, a huge one where there are enough."""
ENOUGH_TILES: Final = 64
"""Huge tiles that a product must have, so that they keep a device busy."""


def cuda_product(product: Product, parameters: list[str]) -> tuple[str, Layout]:
    """The text of the kernel, and how to launch it; `parameters` are the declarations of the
    buffers, called b0, b1, ..."""
    rows, columns = _tile(product)
    shared = SIDE * (rows + columns + 2) * max(product.dtype.size, 4)
    tiles = product_of(product.batch) * ceiling(product.m, rows) * ceiling(product.n, columns)
    layout = Layout((minimum(tiles, MOST_ACROSS), 1), (SIDE, SIDE), shared)
    kind = f"ig1_{compute_type(product.dtype)}"
    size = product.size
    count = len(parameters)
    pointers = ", ".join(f"(void *)b{k}" for k in range(count))
    lines = [
        f'extern "C" __global__ void __launch_bounds__({SIDE * SIDE})',
        f"{product.name}({', '.join([*parameters, TAIL])}) {{",
        "  if (error[0]) return;",
        f"  void *const p[] = {{{pointers}}};",
        f"  const int64_t m = {size(product.m)}, n = {size(product.n)}, k = {size(product.k)};",
        f"  const int64_t down = {size(ceiling(product.m, rows))};",
        f"  const int64_t across = {size(ceiling(product.n, columns))};",
        f"  const int64_t tiles = {size(product_of(product.batch))} * down * across;",
        "  const int thread = threadIdx.y * blockDim.x + threadIdx.x;",
        f"  __shared__ __align__(16) char shared[{shared}];",
        f"  {kind} *const left = ({kind} *)shared, *const right = left + {SIDE * (rows + 1)};",
        "  for (int64_t tile = blockIdx.x; tile < tiles; tile += gridDim.x) {",
        "    const int64_t batch = tile / (down * across);",
        f"    const int64_t top = tile / across % down * {rows}, side = tile % across * {columns};",
        "    (void)batch;",
        f"    const {C_TYPES[product.dtype.name]} *a = {product.a.pointer};",
        f"    const {C_TYPES[product.dtype.name]} *b = {product.b.pointer};",
        *offset(product, product.a, "a"),
        *offset(product, product.b, "b"),
        *_chains(product, kind, rows, columns, _index_type(product)),
        *(_direct(product, rows, columns) if product.store.plain else
          _finished(product, kind, rows, columns)),
        "  }",
        "}",
        "",
    ]  # fmt: skip
    return "\n".join(lines), layout


def _tile(product: Product) -> tuple[int, int]:
    """The rows and columns of a tile."""
    m, n, batch = product.m, product.n, product_of(product.batch)
    if product.dtype.name == "f32" and all(isinstance(s, int) for s in (m, n, batch)):
        tiles = batch * (m // HUGE) * (n // HUGE)
        if isinstance(tiles, int) and tiles >= ENOUGH_TILES:
            return HUGE, HUGE
    return _side(m), _side(n)


def _side(extent: Size) -> int:
    """The side of a tile along a dim."""
    return SMALL if isinstance(extent, int) and extent <= SMALL else LARGE


def _index_type(product: Product) -> str:
    """The type in which places in one matrix are computed."""
    m, n, k = (magnitude(s) + LARGE for s in (product.m, product.n, product.k))
    a, b = product.a, product.b
    reach = (
        m * magnitude(a.row) + k * magnitude(a.column) + m + k,
        k * magnitude(b.row) + n * magnitude(b.column) + k + n,
    )
    return "int" if max(reach) < NARROW else "int64_t"


def _chains(product: Product, kind: str, rows: int, columns: int, index: str) -> list[str]:
    """The sums of this thread: rows threadIdx.y + 16 i, columns threadIdx.x + 16 j of the tile."""
    high, wide = rows // SIDE, columns // SIDE
    (ar, ac), (br, bc) = strides(product, product.a), strides(product, product.b)
    compute = compute_type(product.dtype)
    join = f"ig1_fma_{compute}(x[i], y[j], sum[i][j])"
    if product.dtype.kind != "f":
        join = f"ig1_add_{compute}(sum[i][j], ig1_mul_{compute}(x[i], y[j]))"
    step = [
        f"{kind} x[{high}], y[{wide}];",
        "#pragma unroll",
        f"for (int i = 0; i < {high}; i++) x[i] = left[d * {rows + 1} + threadIdx.y + {SIDE} * i];",
        "#pragma unroll",
        f"for (int j = 0; j < {wide}; j++)",
        f"  y[j] = right[d * {columns + 1} + threadIdx.x + {SIDE} * j];",
        "#pragma unroll",
        f"for (int i = 0; i < {high}; i++)",
        "  #pragma unroll",
        f"  for (int j = 0; j < {wide}; j++) sum[i][j] = {join};",
    ]
    body = ["          " + line for line in step]
    return [
        f"    {kind} sum[{high}][{wide}];",
        "    #pragma unroll",
        f"    for (int i = 0; i < {high}; i++)",
        "      #pragma unroll",
        f"      for (int j = 0; j < {wide}; j++) sum[i][j] = 0;",
        f"    for ({index} start = 0; start < k; start += {SIDE}) {{",
        *_bring(product.a, "left", rows, ("top", "m"), (ar, ac), index),
        *_bring(product.b, "right", columns, ("side", "n"), (bc, br), index),
        "      __syncthreads();",
        f"      if (k - start >= {SIDE}) {{",
        "        #pragma unroll",
        f"        for (int d = 0; d < {SIDE}; d++) {{",
        *body,
        "        }",
        "      } else {",
        "        for (int d = 0; d < (int)(k - start); d++) {",
        *body,
        "        }",
        "      }",
        "      __syncthreads();",
        "    }",
    ]


def _bring(
    matrix: Matrix,
    target: str,
    extent: int,
    names: tuple[str, str],
    steps: tuple[str, str],
    index: str,
) -> list[str]:
    """Bring a step of an operand to shared memory, [k][other dim]. `steps` are its strides along
    the other dim and along k: where that is 1, neighbouring threads read along k."""
    source = "a" if target == "left" else "b"
    start, size = names
    by_k = (matrix.column if target == "left" else matrix.row) == 1
    other, depth = (f"e / {SIDE}", f"e % {SIDE}") if by_k else (f"e % {extent}", f"e / {extent}")
    return [
        "      #pragma unroll",
        f"      for (int e = thread; e < {SIDE * extent}; e += {SIDE * SIDE}) {{",
        f"        const {index} at = {start} + {other}, deep = start + {depth};",
        f"        {target}[({depth}) * {extent + 1} + {other}] =",
        f"          at < {size} && deep < k ? {source}[at * {steps[0]} + deep * {steps[1]}] : 0;",
        "      }",
    ]


def _direct(product: Product, rows: int, columns: int) -> list[str]:
    """Store the sums as they are."""
    element = C_TYPES[product.dtype.name]
    return [
        f"    {element} *const out = {product.store.plain} + batch * m * n;",
        "    #pragma unroll",
        f"    for (int i = 0; i < {rows // SIDE}; i++) {{",
        f"      const int64_t row = top + threadIdx.y + {SIDE} * i;",
        "      #pragma unroll",
        f"      for (int j = 0; j < {columns // SIDE}; j++) {{",
        f"        const int64_t column = side + threadIdx.x + {SIDE} * j;",
        f"        if (row < m && column < n) out[row * n + column] = ({element})sum[i][j];",
        "      }",
        "    }",
    ]


def _finished(product: Product, kind: str, rows: int, columns: int) -> list[str]:
    """Store the sums through the epilogue."""
    store = product.store.lines(
        batch="batch", row="row", column="column", lanes=1, count="1", value="value"
    )
    high, wide = rows // SIDE, columns // SIDE
    return [
        f"    {kind} made[{high * wide}];",
        "    #pragma unroll",
        f"    for (int i = 0; i < {high}; i++)",
        "      #pragma unroll",
        f"      for (int j = 0; j < {wide}; j++) made[i * {wide} + j] = sum[i][j];",
        "    #pragma unroll 1",
        f"    for (int e = 0; e < {high * wide}; e++) {{",
        f"      const int64_t row = top + threadIdx.y + {SIDE} * (e / {wide});",
        f"      const int64_t column = side + threadIdx.x + {SIDE} * (e % {wide});",
        "      if (row < m && column < n) {",
        f"        const {kind} value = made[e];",
        *("        " + line for line in store),
        "      }",
        "    }",
    ]
