"""The innermost part of a matrix product: a tile of the result in registers while k runs.

A tile is `height` rows x `vectors` native vectors. For each k one row of B is loaded and one
element of each row of A is broadcast; each accumulator takes one fused multiply-add. So every
element of the result is one chain of fused multiply-adds over k, starting at zero, whatever the
tile: tiling changes no bit.

The same text serves every machine: what depends on the width of the vectors is chosen by the
preprocessor. Machines with 32 wide registers hold 6 x 4 vectors (12 x 2 or 12 x 1 when the whole
result is that narrow), others 6 x 2. With six rows the addresses of A fit in general registers also
when its row stride is known only at run time, and rows that lie a power of two apart do not evict
each other from the first-level cache.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from intaglio.compiler.dims import Size
from intaglio.compiler.dtypes import DType
from intaglio.compiler.schedule.template import Matrix, Product

C_TYPES = {"f32": "float", "f64": "double"}
ROWS = 6
"""Rows of a tile; twice as many in narrow results."""
AHEAD = 24
"""Steps of k that a transposed A is fetched ahead of its use: each step is on a line of its own, on
a page of its own when A is wide, where the machine does not fetch ahead by itself."""
SOME_HEIGHTS = (1, 3, ROWS)
"""Heights of the tiles when the number of rows is known only at run time: few, since each is text
to compile."""


def group(dtype: DType) -> int:
    """Columns of a group, 256 bytes: what a block of lanes covers, and the packed form pads to."""
    return 256 // dtype.size


def lanes_text(dtype: DType) -> str:
    """The prelude's name for the number of lanes in a native vector."""
    return "IG_W" if dtype.size == 4 else "IG_W2"


def literal(product: Product, size: Size) -> str:
    """C text of a size; plain digits where it is known."""
    return str(size) if isinstance(size, int) else product.size(size)


def strides(product: Product, matrix: Matrix) -> tuple[str, str]:
    """C texts of a matrix's row and column strides."""
    return literal(product, matrix.row), literal(product, matrix.column)


@dataclass(frozen=True)
class Tiling:
    """The tiles that one family of machines uses, largest first: how many vectors wide, and their
    heights up to `rows`; `panel` is the number of vectors in a row of a panel."""

    rows: int
    heights: tuple[int, ...]
    vectors: tuple[int, ...]
    panel: int


def cut(extent: int, largest: int) -> tuple[int, ...]:
    """The sizes of the nearly equal pieces, at most `largest`, that `extent` is cut into."""
    pieces = -(-extent // largest)
    return tuple(sorted({extent // pieces, -(-extent // pieces)})) if pieces else ()


def heights(m: Size, blocks: Size, rows: int) -> tuple[int, ...]:
    """Every height of a tile that occurs when m rows are cut into blocks, and these into tiles."""
    if not isinstance(m, int) or not isinstance(blocks, int):
        return SOME_HEIGHTS
    ends = [m * i // blocks for i in range(blocks + 1)]
    sizes = {b - a for a, b in zip(ends, ends[1:], strict=False)}
    return tuple(sorted({h for size in sizes for h in cut(size, rows)}))


def tilings(product: Product, blocks: Size) -> tuple[Tiling, Tiling]:
    """The tiles for machines with 64-byte vectors, and for the others."""
    m, n, wide = product.m, product.n, 64 // product.dtype.size
    vectors: tuple[int, ...] = (4, 2, 1)
    if isinstance(n, int):
        # All groups but the last are full; the last takes as many vectors as it needs.
        needed = {4} if n >= 4 * wide else set()
        if n % (4 * wide):
            needed.add(-(-(n % (4 * wide)) // wide))
        vectors = tuple(sorted(needed, reverse=True))
    narrow = vectors[0] <= 2 and isinstance(m, int) and m > ROWS
    rows = 2 * ROWS if narrow else ROWS
    # The form of weights packed once does not depend on the sizes.
    panel = 4 if product.b.packed else vectors[0]
    return (
        Tiling(rows, heights(m, blocks, rows), vectors, panel),
        Tiling(ROWS, heights(m, blocks, ROWS), (2,), 2),
    )


@dataclass(frozen=True)
class Tile:
    """Prints the C functions of the tiles, and a table of them by vectors and height.

    A function is `<name>_t<height>x<vectors>(a, b, b's row stride, c, c's row stride, k, next,
    skip)`, followed by where the sums start from and the row stride there if k is `blocked`, and by
    the strides of A that are no literals. `next` is prefetched, `skip` bytes further at each k; so
    are the elements of A that come later, where they do not lie side by side.
    """

    name: str
    dtype: DType
    a_row: str
    a_column: str
    blocked: bool = False

    @staticmethod
    def of(product: Product, blocked: bool = False) -> Tile:
        """The tiles of a product."""
        return Tile(product.name, product.dtype, *strides(product, product.a), blocked)

    @property
    def strides(self) -> tuple[str, ...]:
        """The parameters for those strides of A that are no literals."""
        pairs = (("ar", self.a_row), ("ac", self.a_column))
        return tuple(name for name, text in pairs if not text.isdigit())

    @property
    def parameters(self) -> str:
        """The parameter list of every tile function."""
        t = C_TYPES[self.dtype.name]
        found = [f"const {t} *IG_RESTRICT a", f"const {t} *IG_RESTRICT b", "int64_t br"]
        found += [f"{t} *c", "int64_t cr", "int64_t k", "const char *next", "int64_t skip"]
        if self.blocked:
            found += [f"const {t} *from", "int64_t fr"]
        return ", ".join((*found, *(f"int64_t {s}" for s in self.strides)))

    def lines(self, height: int, vectors: int) -> Iterator[str]:
        """The function for one size of tile."""
        d, row = self.dtype.name, "ar" if "ar" in self.strides else self.a_row
        column = "ac" if "ac" in self.strides else self.a_column
        each, lanes = range(vectors), f"{self.name}_lanes"
        name = f"{self.name}_t{height}x{vectors}"
        yield f"static __attribute__((noinline)) void {name}({self.parameters}) {{"
        for i in range(height):
            start = (
                "= igv_fetch_{d}(from + {i} * fr + {j} * {lanes})" if self.blocked else "= {{0}}"
            )
            sums = (f"s{i}_{j} " + start.format(d=d, i=i, j=j, lanes=lanes) for j in each)
            yield f"  igv_{d} {', '.join(sums)};"
        yield "  for (; k > 0; k--) {"
        yield "    IG_PREFETCH(next);"
        if row == "1" and column != "1":
            yield f"    IG_PREFETCH(a + {AHEAD} * {column});"
        for j in each:
            yield f"    const igv_{d} b{j} = igv_fetch_{d}(b + {j} * {lanes});"
        for i in range(height):
            steps = " ".join(f"s{i}_{j} = igv_fma_{d}(x, b{j}, s{i}_{j});" for j in each)
            yield f"    {{ const igv_{d} x = igv_splat_{d}(a[{i} * {row}]); {steps} }}"
        yield f"    a += {column}; b += br; next += skip;"
        yield "  }"
        for i in range(height):
            keep = (f"igv_keep_{d}(c + {i} * cr + {j} * {lanes}, s{i}_{j});" for j in each)
            yield "  " + " ".join(keep)
        yield "}"

    def family(self, tiling: Tiling) -> Iterator[str]:
        """The tile functions of one family of machines, the table, and the constants they imply."""
        yield f"enum {{ {self.name}_rows = {tiling.rows}, {self.name}_vectors = {tiling.panel} }};"
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
        head = (
            f"enum {{ {self.name}_lanes = {lanes_text(self.dtype)} }};",
            f"typedef void (*{self.name}_tile)({self.parameters});",
            "#if IG_W == 16",
        )
        return "\n".join((*head, *self.family(wide), "#else", *self.family(narrow), "#endif"))
