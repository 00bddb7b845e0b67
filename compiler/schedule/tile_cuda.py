"""Tiles of products on CUDA: what a block of 16 x 16 threads does for one tile of one matrix.

Steps of 16 along k are brought to shared memory, [k][row or column]; each thread keeps up to 8 x 8
sums in registers. Every sum is one chain of fused multiply-adds in the order of k from 0: a last
partial step is shorter, not padded. How an operand is read is the caller's: a matrix, or the taps
of a convolution. Results stay in registers up to the end; with an epilogue they are copied to an
array that a loop goes through, so that the epilogue stands in the text once."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from intaglio.compiler.codegen.cuda import ceiling
from intaglio.compiler.codegen.numbers import C_TYPES, compute_type
from intaglio.compiler.dims import Size
from intaglio.compiler.dtypes import DType
from intaglio.compiler.schedule.template import Store

SIDE: Final = 16
"""Threads along each side of a block, and elements of a step along k."""
THREADS: Final = SIDE * SIDE
HUGE, LARGE, MIDDLE, SMALL = 128, 64, 32, 16
"""Sides of tiles: a thread keeps 8, 4, 2 or 1 results along one."""
ENOUGH_TILES: Final = 64
"""Tiles that keep a device busy."""


@dataclass(frozen=True)
class Fetch:
    """How an operand's elements are found. C statements define what `value` is made of: `tile` runs
    once for a tile, `step` for each step (from `start` on), `deep` for an element's place along k
    (`deep`, which is `depth` behind `start`), `place` for one along the other dim (`other` behind
    the tile's first; number `j` of this thread). Neighbouring threads read along k if `by_depth`;
    then each has several places and one depth, else one place and several depths."""

    by_depth: bool
    value: str
    tile: Sequence[str] = ()
    step: Sequence[str] = ()
    deep: Sequence[str] = ()
    place: Sequence[str] = ()


@dataclass(frozen=True)
class Results:
    """Where the results of a tile go: `lines` define `batch`, `row` and `column` of the one that
    lies `down` and `across` in the tile, `condition` tells whether it exists, and `plain` is its
    place in a dense result."""

    store: Store
    lines: Sequence[str]
    condition: str
    plain: str


@dataclass(frozen=True)
class Tile:
    """A tile of `rows` x `columns` results."""

    dtype: DType
    rows: int
    columns: int

    @property
    def kind(self) -> str:
        """The C type of a sum."""
        return f"ig1_{compute_type(self.dtype)}"

    @property
    def shared(self) -> int:
        """Bytes of shared memory."""
        return SIDE * (self.rows + self.columns + 2) * max(self.dtype.size, 4)

    def declarations(self) -> list[str]:
        """The number of the thread and the steps in shared memory: `left` and `right`."""
        kind = self.kind
        return [
            "const int thread = threadIdx.y * blockDim.x + threadIdx.x;",
            f"__shared__ __align__(16) char shared[{self.shared}];",
            f"{kind} *const left = ({kind} *)shared, *const right = left + "
            f"{SIDE * (self.rows + 1)};",
        ]

    def sums(self, name: str) -> list[str]:
        """An array of this thread's results, zeros at first: rows threadIdx.y + 16 i, columns
        threadIdx.x + 16 j of the tile."""
        return [f"{self.kind} {name}[{self.rows // SIDE}][{self.columns // SIDE}];"] + self.each(
            f"{name}[i][j] = 0;"
        )

    def each(self, statement: str) -> list[str]:
        """A statement for every result (i, j) of a thread."""
        return [
            "#pragma unroll",
            f"for (int i = 0; i < {self.rows // SIDE}; i++)",
            "  #pragma unroll",
            f"  for (int j = 0; j < {self.columns // SIDE}; j++) {statement}",
        ]

    def chains(self, left: Fetch, right: Fetch, index: str) -> list[str]:
        """Go along k and add to `sum`."""
        high, wide = self.rows // SIDE, self.columns // SIDE
        compute = compute_type(self.dtype)
        join = f"ig1_fma_{compute}(x[i], y[j], sum[i][j])"
        if self.dtype.kind != "f":
            join = f"ig1_add_{compute}(sum[i][j], ig1_mul_{compute}(x[i], y[j]))"
        body = [
            f"{self.kind} x[{high}], y[{wide}];",
            "#pragma unroll",
            f"for (int i = 0; i < {high}; i++)",
            f"  x[i] = left[d * {self.rows + 1} + threadIdx.y + {SIDE} * i];",
            "#pragma unroll",
            f"for (int j = 0; j < {wide}; j++)",
            f"  y[j] = right[d * {self.columns + 1} + threadIdx.x + {SIDE} * j];",
            *self.each(f"sum[i][j] = {join};"),
        ]
        body = ["    " + line for line in body]
        return [
            f"for ({index} start = 0; start < k; start += {SIDE}) {{",
            *_bring(left, "left", self.rows, index),
            *_bring(right, "right", self.columns, index),
            "  __syncthreads();",
            f"  if (k - start >= {SIDE}) {{",
            "    #pragma unroll",
            f"    for (int d = 0; d < {SIDE}; d++) {{",
            *("  " + line for line in body),
            "    }",
            "  } else {",
            "    for (int d = 0; d < (int)(k - start); d++) {",
            *("  " + line for line in body),
            "    }",
            "  }",
            "  __syncthreads();",
            "}",
        ]

    def finish(self, name: str, results: Results) -> list[str]:
        """Store the sums, through the epilogue if there is one."""
        high, wide = self.rows // SIDE, self.columns // SIDE
        plain, element = results.store.plain, C_TYPES[self.dtype.name]
        if plain:
            return [
                "#pragma unroll",
                f"for (int j = 0; j < {wide}; j++) {{",
                f"  const int across = threadIdx.x + {SIDE} * j;",
                "  #pragma unroll",
                f"  for (int i = 0; i < {high}; i++) {{",
                f"    const int down = threadIdx.y + {SIDE} * i;",
                *("    " + line for line in results.lines),
                f"    if ({results.condition}) {plain}[{results.plain}] = ({element}){name}[i][j];",
                "  }",
                "}",
            ]
        store = results.store.lines(
            batch="batch", row="row", column="column", lanes=1, count="1", value="value"
        )
        return [
            f"{self.kind} made[{high * wide}];",
            *self.each(f"made[i * {wide} + j] = {name}[i][j];"),
            "#pragma unroll 1",
            f"for (int e = 0; e < {high * wide}; e++) {{",
            f"  const int down = threadIdx.y + {SIDE} * (e / {wide});",
            f"  const int across = threadIdx.x + {SIDE} * (e % {wide});",
            *("  " + line for line in results.lines),
            f"  if ({results.condition}) {{",
            f"    const {self.kind} value = made[e];",
            *("    " + line for line in store),
            "  }",
            "}",
        ]


def _bring(fetch: Fetch, target: str, extent: int, index: str) -> list[str]:
    """Bring a step of an operand to shared memory."""
    deep = [f"const {index} deep = start + depth;", *fetch.deep]
    store = f"{target}[depth * {extent + 1} + other] = {fetch.value};"
    if fetch.by_depth:
        outer = [f"const int depth = thread % {SIDE};", *deep]
        inner = [f"const int other = thread / {SIDE} + {SIDE} * j;", *fetch.place]
    else:
        outer = [f"const int other = thread % {extent};", *fetch.place]
        inner = [f"const int depth = thread / {extent} + {THREADS // extent} * j;", *deep]
    return [
        "  {",
        *("    " + line for line in (*fetch.step, *outer)),
        "    #pragma unroll",
        f"    for (int j = 0; j < {extent // SIDE}; j++) {{",
        *("      " + line for line in (*inner, store)),
        "    }",
        "  }",
    ]


def side_for(extent: Size) -> int:
    """The side of a tile along a dim."""
    return SMALL if isinstance(extent, int) and extent <= SMALL else LARGE


def tile_for(dtype: DType, m: Size, n: Size, matrices: Size, most: int = HUGE) -> Tile:
    """The largest tile, of sides up to `most`, of which there are enough to keep a device busy; of
    few results, as many tiles as there can be."""
    if not all(isinstance(s, int) for s in (m, n, matrices)):
        return Tile(dtype, side_for(m), side_for(n))
    rows, columns = (next(s for s in _SIDES if s <= most and (s < 2 * e or s == SMALL))
                     for e in (m, n))  # fmt: skip
    while True:
        tiles = matrices * ceiling(m, rows) * ceiling(n, columns)
        fits = dtype.size <= 4 or rows * columns <= LARGE * LARGE
        if (fits and isinstance(tiles, int) and tiles >= ENOUGH_TILES) or rows == columns == SMALL:
            return Tile(dtype, rows, columns)
        if rows >= columns:
            rows //= 2
        else:
            columns //= 2


_SIDES: Final = (HUGE, LARGE, MIDDLE, SMALL)
