"""The innermost part of a matrix product: a tile of the result held in vector registers while k runs.

A tile is `rows` x `vectors` native vectors. For each k one row of B is loaded (`vectors` loads) and one element of each row of A
is broadcast; each accumulator takes one fused multiply-add. So every element of the result is one chain of fused multiply-adds
over k, starting at zero, whatever the tile: the tiling changes no bit.

The same text serves every machine: what depends on the width of the vectors is chosen by the preprocessor. Machines with
32 wide registers hold 6 x 4 vectors (12 x 2, 12 x 1 when the whole result is that narrow), others 6 x 2. Six rows keep the
addresses of A in general registers also when its row stride is known only at run time, and rows that lie a power of two
apart do not evict each other from the first-level cache.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from intaglio.compiler.dims import Size
from intaglio.compiler.dtypes import DType

C_TYPES = {"f32": "float", "f64": "double"}
ROWS = 6
"""Rows of a tile; see `Tiling.rows` for the exception."""

SOME_HEIGHTS = (1, 3, ROWS)
"""Heights of the tiles when the number of rows is known only at run time: few, since each is text to compile."""


def group(dtype: DType) -> int:
    """Columns of a group: what one packed panel holds and one block of lanes covers; 256 bytes."""
    return 256 // dtype.size


@dataclass(frozen=True)
class Tiling:
    """The tiles that one family of machines uses: heights up to `rows`, and how many vectors wide."""

    rows: int
    heights: tuple[int, ...]
    vectors: tuple[int, ...]


def cut(extent: int, largest: int) -> tuple[int, ...]:
    """The sizes of the nearly equal pieces, at most `largest` each, that `extent` is cut into; as the kernels do it."""
    pieces = -(-extent // largest)
    return tuple(sorted({extent // pieces, -(-extent // pieces)})) if pieces else ()


def heights(m: Size, blocks: Size, rows: int) -> tuple[int, ...]:
    """Every height of a tile that occurs when m rows are cut into blocks and these into nearly equal tiles; for unknown m
    the few heights that blocks are then cut into, the tallest that fits first."""
    if not isinstance(m, int) or not isinstance(blocks, int):
        return SOME_HEIGHTS
    ends = [m * i // blocks for i in range(blocks + 1)]
    sizes = {b - a for a, b in zip(ends, ends[1:], strict=False)}
    return tuple(sorted({h for size in sizes for h in cut(size, rows)}))


def tilings(dtype: DType, m: Size, n: Size, blocks: Size) -> tuple[Tiling, Tiling]:
    """The tiles for machines with 64-byte vectors, and for the others."""
    wide, width = 64 // dtype.size, group(dtype)
    if isinstance(n, int):
        # All groups but the last are full, the last takes as many vectors as it needs.
        used = {4} if n >= width else set()
        if n % width:
            used.add(-(-(n % width) // wide))
        vectors = tuple(sorted(used, reverse=True))
    else:
        vectors = (4, 2, 1)
    rows = 2 * ROWS if vectors and vectors[0] <= 2 and isinstance(m, int) and m > ROWS else ROWS
    return (
        Tiling(rows, heights(m, blocks, rows), vectors),
        Tiling(ROWS, heights(m, blocks, ROWS), (2,)),
    )


@dataclass(frozen=True)
class Tile:
    """Prints the C functions for tiles: `<name>_t<height>x<vectors>(a, b, b_row, c, c_row, k, next, skip)`.

    `a_row`, `a_column` are C texts of A's strides: literals, or parameters `ar`, `ac` of the function.
    """

    name: str
    dtype: DType
    a_row: str
    a_column: str

    @property
    def strides(self) -> tuple[str, ...]:
        """The parameters for those strides of A that are no literals, with their arguments."""
        pairs = (("ar", self.a_row), ("ac", self.a_column))
        return tuple(name for name, text in pairs if not text.isdigit())

    @property
    def parameters(self) -> str:
        """The parameter list of every tile function."""
        t = C_TYPES[self.dtype.name]
        fixed = (
            f"const {t} *IG_RESTRICT a, const {t} *IG_RESTRICT b, int64_t br, {t} *IG_RESTRICT c, "
            "int64_t cr, int64_t k, const char *next, int64_t skip"
        )
        return ", ".join((fixed, *(f"int64_t {s}" for s in self.strides)))

    def lines(self, height: int, vectors: int) -> Iterator[str]:
        """The function for one size of tile."""
        d, row = self.dtype.name, "ar" if "ar" in self.strides else self.a_row
        column = "ac" if "ac" in self.strides else self.a_column
        each = range(vectors)
        yield f"static __attribute__((noinline)) void {self.name}_t{height}x{vectors}({self.parameters}) {{"
        for i in range(height):
            yield f"  igv_{d} " + ", ".join(f"s{i}_{j} = {{0}}" for j in each) + ";"
        yield "  for (; k > 0; k--) {"
        yield "    IG_PREFETCH(next);"
        for j in each:
            yield f"    const igv_{d} b{j} = igv_fetch_{d}(b + {j} * {self.name}_lanes);"
        for i in range(height):
            steps = " ".join(f"s{i}_{j} = igv_fma_{d}(x, b{j}, s{i}_{j});" for j in each)
            yield f"    {{ const igv_{d} x = igv_splat_{d}(a[{i} * {row}]); {steps} }}"
        yield f"    a += {column}; b += br; next += skip;"
        yield "  }"
        for i in range(height):
            yield "  " + " ".join(
                f"igv_keep_{d}(c + {i} * cr + {j} * {self.name}_lanes, s{i}_{j});" for j in each
            )
        yield "}"

    def family(self, tiling: Tiling) -> Iterator[str]:
        """All tile functions of a family of machines, the largest height as a constant, and a table of them by vectors and height."""
        yield f"enum {{ {self.name}_rows = {tiling.rows}, {self.name}_vectors = {max(tiling.vectors, default=1)} }};"
        for vectors in tiling.vectors:
            for height in tiling.heights:
                yield from self.lines(height, vectors)
        yield f"static const {self.name}_tile {self.name}_tiles[5][{tiling.rows + 1}] = {{"
        for vectors in tiling.vectors:
            entries = ", ".join(f"[{h}] = {self.name}_t{h}x{vectors}" for h in tiling.heights)
            yield f"  [{vectors}] = {{{entries}}},"
        yield "};"

    def text(self, wide: Tiling, narrow: Tiling) -> str:
        """Everything for all machines."""
        lanes = "IG_W" if self.dtype.size == 4 else "IG_W2"
        return "\n".join(
            (
                f"enum {{ {self.name}_lanes = {lanes} }};",
                f"typedef void (*{self.name}_tile)({self.parameters});",
                "#if IG_W == 16",
                *self.family(wide),
                "#else",
                *self.family(narrow),
                "#endif",
            )
        )
