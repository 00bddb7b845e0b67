"""The kernel of a matrix product as C text: from a chunk's number to its panel and its tiles.

When k is long, a chunk takes it in blocks, so that the panel stays in the second-level cache, and
in short ones where A is transposed and wide, so that its lines do: the tiles' sums are kept in
scratch between the blocks and taken up again, which changes no bit.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from intaglio.compiler.dims import Size
from intaglio.compiler.schedule.matmul_pack import pack_call
from intaglio.compiler.schedule.matmul_tile import (
    C_TYPES,
    ROWS,
    SOME_HEIGHTS,
    Tile,
    Tiling,
    group,
    strides,
)
from intaglio.compiler.schedule.template import Matrix, Product

BLOCK_ROWS = 256
"""Rows of a chunk at most: their part of A stays in the second-level cache while groups pass."""
K_BLOCK = 1024
"""Steps of k per block when k is long."""
LONG = 1536
"""Up to so many steps k is not blocked."""
FAR = 1 << 20
"""Bytes that a row of a transposed A is spread over from which it is `far`: the next tile wants the
other elements of the same lines, and only a short block of k leaves them in the second-level
cache."""
REACH = 512 << 10
"""Bytes over which a block of k spreads where A is far; a cache holds few lines that lie a power of
two apart."""
FAR_BLOCKS = 64, 256
"""Fewest and most steps of such a block."""
LONG_BLOCK = f"k > {LONG} ? {K_BLOCK} : k"
"""C text of the steps of k per block elsewhere."""
FEWEST_ROWS, SHORT_BLOCK = 2, 64
"""For so few rows columns are turned in short blocks, which stay in the first-level cache."""
FEW_ROWS = 64
"""Up to so many rows B is read in place if its rows lie contiguously: copying would cost more.
Narrower vectors touch a line of each row at a time, and it pays only for a few tiles."""
NEAR = 640 << 10
"""Bytes of a B that stays in the second-level cache, where reading in place costs no more."""


@dataclass(frozen=True)
class Cut:
    """Into how many groups of columns and blocks of rows each matrix of the result is cut."""

    groups: Size
    blocks: Size


def is_blocked(product: Product) -> bool:
    """Whether the kernel can take k in blocks."""
    long = not isinstance(product.k, int) or product.k > LONG
    return long or turns_for_few(product) or _far_block(product) is not None


def turns_for_few(product: Product) -> bool:
    """Whether columns of B may be turned for so few rows that the panel is hardly used."""
    row, column = strides(product, product.b)
    few = not isinstance(product.m, int) or product.m <= FEWEST_ROWS
    return few and not product.b.packed and row == "1" and column != "1"


def _far_block(product: Product) -> str | None:
    """C text of the steps of k per block if the lines of A that hold a row may leave the
    second-level cache; None: they stay."""
    row, column = strides(product, product.a)
    if row != "1" or column in ("0", "1"):
        return None
    k, step, size = product.k, product.a.column, product.dtype.size
    least, most = FAR_BLOCKS
    if isinstance(k, int) and isinstance(step, int):
        steps = min(max(REACH // size // step, least), most)
        return str(steps) if k > steps + steps // 2 and k * step * size >= FAR else None
    some = f"{REACH // size} / {column}"
    block = f"{some} < {least} ? {least} : {some} < {most} ? {some} : {most}"
    far = f"k > {most} && k * {column} >= {FAR // size}"
    return f"{far} ? {block} : {LONG_BLOCK}"


def _block(product: Product) -> str:
    """C text of the number of steps of k per block."""
    short = f"m <= {FEWEST_ROWS} ? {SHORT_BLOCK} : " if turns_for_few(product) else ""
    return short + (_far_block(product) or LONG_BLOCK)


def offset(product: Product, matrix: Matrix, pointer: str) -> Iterator[str]:
    """C statements that move a pointer to the matrix number `batch`."""
    if not product.batch or all(s == 0 for s in matrix.batch):
        return
    steps: list[str] = []
    for extent, stride in reversed(tuple(zip(product.batch, matrix.batch, strict=True))):
        if stride != 0:
            steps.append(f"{pointer} += z % {product.size(extent)} * {product.size(stride)};")
        steps.append(f"z /= {product.size(extent)};")
    yield "    { int64_t z = batch; " + " ".join(steps) + " }"


def chunk_text(product: Product, cut: Cut, wide: Tiling) -> str:
    """The kernel."""
    name, t, columns = product.name, C_TYPES[product.dtype.name], group(product.dtype)
    size, blocked = product.size, is_blocked(product)
    lines = [
        f"static void {name}(const ig_worker *w, const void *args, int64_t lo, int64_t hi) {{",
        "  IG_HEAD",
        f"  const int64_t m = {size(product.m)}, n = {size(product.n)}, k = {size(product.k)};",
        f"  const int64_t blocks = {size(cut.blocks)}, groups = {size(cut.groups)};",
        *_scratch(product, blocked),
        "  for (int64_t q = lo; q < hi; q++) {",
        f"    const int64_t batch = q / groups / blocks, column = q % groups * {columns};",
        "    const int64_t block = q / groups % blocks, first = m * block / blocks;",
        "    const int64_t rows = m * (block + 1) / blocks - first;",
        f"    const int64_t width = n - column < {columns} ? n - column : {columns};",
        "    (void)batch;",
        f"    const {t} *a = {product.a.pointer}, *b = {product.b.pointer};",
        *offset(product, product.a, "a"),
        *_vectors(product, wide.vectors),
        f"    const int64_t tiles = (rows + {name}_rows - 1) / {name}_rows;",
        "    (void)tiles;",
        *_panel(product),
    ]
    if blocked:
        lines += [
            f"    const int64_t step = {_block(product)};",
            "    int64_t done = 0;",
            "    do {",
            "    const int64_t some = k - done < step ? k - done : step;",
            "    const int last = done + some == k;",
        ]
    else:
        lines += ["    const int64_t some = k, done = 0;"]
    lines += [*_part(product), *_tiles(product, cut, blocked)]
    if blocked:
        lines += ["    } while ((done += step) < k);"]
    return "\n".join((*lines, "  }", "}"))


def _scratch(product: Product, blocked: bool) -> Iterator[str]:
    """Names for the parts of this thread's scratch."""
    t, columns = C_TYPES[product.dtype.name], group(product.dtype)
    yield f"  {t} *const held = ({t} *)w->scratch;"
    end = f"held + {2 * ROWS * columns}"
    if blocked:
        yield f"  {t} *const zeros = {end}, *const sums = zeros + {columns};"
        yield f"  for (int64_t j = 0; j < {columns}; j++) zeros[j] = 0;"
        end = f"sums + {BLOCK_ROWS * columns}"
    if not product.b.packed:
        yield f"  {t} *const packed = {end};"


def _vectors(product: Product, wide: tuple[int, ...]) -> Iterator[str]:
    """How many vectors a tile is wide in this group, and how many panels the group has."""
    name, lanes = product.name, 64 // product.dtype.size
    rule = str(wide[-1])
    for vectors, narrower in reversed(tuple(zip(wide, wide[1:], strict=False))):
        rule = f"width > {narrower * lanes} ? {vectors} : {rule}"
    yield f"    const int64_t vectors = IG_W == 16 ? ({rule}) : {name}_vectors;"
    yield f"    const int64_t panels = (width + {name}_panel - 1) / {name}_panel;"


def _panel(product: Product) -> Iterator[str]:
    """Where the group's columns of B begin: `b`, and whether they are read there: `direct`.

    And what to fetch ahead into the second-level cache, the next group: tile i of the first four
    touches a line at every step of k, from `ahead + i * apart` on, `skip` bytes further each.
    """
    name, columns, bytes = product.name, group(product.dtype), product.dtype.size
    if product.b.packed:
        matrix = "batch * groups + " if any(s != 0 for s in product.b.batch) else ""
        yield f"    b += ({matrix}q % groups) * {columns} * k;"
        yield "    const int64_t skip = 64, apart = 64 * k;"
        yield f"    const char *const ahead = (const char *)(b + {columns} * k);"
        return
    row, column = strides(product, product.b)
    yield from offset(product, product.b, "b")
    yield f"    b += column * {column};"
    yield f"    const char *const ahead = (const char *)(b + {columns} * {column});"
    if column == "1":
        # Rows that lie contiguously are read in place where copying them would not pay, and where
        # no vector reaches outside of them.
        yield f"    const int64_t skip = {row} * {bytes}, apart = 64;"
        few = f"(IG_W == 16 ? {FEW_ROWS} : {2 * ROWS})"
        yield f"    const int direct = (m <= {few} || k * {row} <= {NEAR // bytes})"
        yield f"      && panels * vectors * {name}_lanes == width;"
    else:
        yield f"    const int64_t skip = 64, apart = {columns * bytes // 4} * {column};"


def _part(product: Product) -> Iterator[str]:
    """The panel for `some` steps of k after the `done` ones: `part`, its row stride `br`, and `bp`
    from panel to panel."""
    name, t = product.name, C_TYPES[product.dtype.name]
    if product.b.packed:
        yield f"    const int64_t br = {name}_panel, bp = k * {name}_panel;"
        yield f"    const {t} *const part = b + done * {name}_panel;"
        return
    row, column = strides(product, product.b)
    yield f"    const {t} *part = b + done * {row};"
    yield f"    int64_t br = {name}_panel, bp = some * {name}_panel;"
    ahead = ""
    if turns_for_few(product):
        ahead = f"done + some < k ? some : {group(product.dtype)} * {column} - done"
    pack = f"{pack_call(product, 'part', 'some', 'packed', ahead)} part = packed;"
    if column == "1":
        yield f"    if (direct) {{ br = {row}; bp = {name}_panel; }} else {{ {pack} }}"
    else:
        yield f"    {pack}"


def _tiles(product: Product, cut: Cut, blocked: bool) -> Iterator[str]:
    """The loop over the tiles of a chunk."""
    name, t, columns = product.name, C_TYPES[product.dtype.name], group(product.dtype)
    row, column = strides(product, product.a)
    plain = product.store.plain
    yield "    for (int64_t i = 0, row = first; row < first + rows; i++) {"
    yield from _height(product, cut)
    place = ("held", str(columns))
    if plain is not None:
        yield f"      const int whole = panels * vectors * {name}_lanes == width;"
        result = f"{plain} + (batch * m + row) * n + column"
        place = (f"(whole ? {result} : held)", f"(whole ? n : {columns})")
    if blocked:
        sums = f"sums + (row - first) * {columns}"
        place = (f"last ? {place[0]} : {sums}", f"last ? {place[1]} : {columns}")
        yield f"      const {t} *const from = done ? {sums} : zeros;"
        yield f"      const int64_t fr = done ? {columns} : 0;"
    yield f"      {t} *const c = {place[0]};"
    yield f"      const int64_t cr = {place[1]};"
    yield f"      const {name}_tile run = {name}_tiles[vectors][h];"
    yield from _fetch(product, cut)
    extra = [text for s, text in (("ar", row), ("ac", column)) if s in Tile.of(product).strides]
    if blocked:
        extra[:0] = [f"from + s * {name}_panel", "fr"]
    yield from _ahead(product, blocked)
    yield "      for (int64_t s = 0; s < panels; s++)"
    yield (
        f"        run(a + row * {row} + done * {column}, part + s * bp, br, "
        f"c + s * {name}_panel, cr, some,"
    )
    yield f"          {', '.join(['next', 'ahead_by', *extra])});"
    yield from _store(product, blocked)
    yield "      row += h;"
    yield "    }"


def _fetch(product: Product, cut: Cut) -> Iterator[str]:
    """What a tile fetches ahead: the next tile's rows of A where each is used once, else a quarter
    of the next group of B."""
    row, column = strides(product, product.a)
    if cut.groups == 1 and column == "1":
        yield f"      const char *const next = (const char *)(a + (row + h) * {row});"
        yield "      const int64_t ahead_by = 64; (void)skip, (void)apart, (void)ahead;"
        return
    yield "      const int fetch = i < 4 && done == 0;"
    yield "      const char *const next = fetch ? ahead + i * apart : (const char *)part;"
    yield "      const int64_t ahead_by = fetch ? skip : 0;"


def _ahead(product: Product, blocked: bool) -> Iterator[str]:
    """Fetches what the store of this tile reads, while the tile is computed."""
    lines = product.store.ahead(batch="batch", row="at", column="column", bytes=256)
    if not lines:
        return
    condition = "r < h && last" if blocked else "r < h"
    yield f"      for (int64_t r = 0; {condition}; r++) {{"
    yield "        const int64_t at = row + r;"
    for line in lines:
        yield "        " + line
    yield "      }"


def _height(product: Product, cut: Cut) -> Iterator[str]:
    """The height h of the next tile: nearly equal ones, or the tallest of a few that fits."""
    if isinstance(product.m, int) and isinstance(cut.blocks, int):
        yield "      const int64_t h = rows / tiles + (i < rows % tiles);"
        return
    least, middle, most = SOME_HEIGHTS
    yield "      const int64_t left = first + rows - row;"
    rule = f"left >= {most} ? {most} : left >= {middle} ? {middle} : {least}"
    yield f"      const int64_t h = {rule};"


def _store(product: Product, blocked: bool) -> Iterator[str]:
    """What goes through the store: tiles with an epilogue, and those that are not whole."""
    dtype, columns = product.dtype.name, group(product.dtype)
    full = isinstance(product.n, int) and product.n % columns == 0
    if product.store.plain is not None and full:
        return
    conditions = ["r < h"]
    if product.store.plain is not None:
        conditions.append("!whole")
    if blocked:
        conditions.append("last")
    block = f"ig{columns}"
    yield f"      for (int64_t r = 0; {' && '.join(conditions)}; r++) {{"
    yield "        const int64_t at = row + r;"
    yield (
        f"        const {block}_{dtype} value = "
        f"{block}_load_{dtype}(held + r * {columns}, {columns});"
    )
    count = str(columns) if full else "(int)width"
    for line in product.store.lines(
        batch="batch", row="at", column="column", lanes=columns, count=count, value="value"
    ):
        yield "        " + line
    yield "      }"
