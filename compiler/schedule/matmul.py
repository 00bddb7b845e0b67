"""The matrix product's kernels: how `a[.., m, k] @ b[.., k, n]` is cut into chunks, packed, tiled and stored.

A chunk is one block of rows times one group of columns of one matrix of the batch. It brings its group of B into a panel (packed
just before use in per-thread scratch, or read in place, or packed once and for all by `pack_kernels`), then runs over the tiles
of its rows (`matmul_tile`). A is always read in place: its elements are broadcast one by one, so any strides do. Finished tiles
go straight to the result when nothing is fused, else through a tile in cache to the store, which applies the epilogue.

The order of every sum is that of k, one fused multiply-add after the other: cutting, packing, threads and vectors change no bit.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

from intaglio.compiler.dims import Size, maximum, minimum, product as product_of
from intaglio.compiler.dtypes import DType
from intaglio.compiler.schedule.matmul_pack import pack_text
from intaglio.compiler.schedule.matmul_tile import C_TYPES, ROWS, SOME_HEIGHTS, Tile, group, tilings
from intaglio.compiler.schedule.template import Matrix, Product, Step, Store, TemplateResult

BLOCK_ROWS = 256
"""Rows of a chunk at most: their part of A stays in the second-level cache while the groups of columns pass."""
ENOUGH_CHUNKS = 16
"""Below this many chunks rows are cut finer, so that several threads get equal shares."""
INTEGERS = {"i64": "uint64_t", "i32": "uint32_t", "u32": "uint32_t", "i16": "uint32_t", "i8": "uint32_t", "u8": "uint32_t"}  # fmt: skip


def matmul_kernels(product: Product) -> TemplateResult:
    """The C text of a matrix product with its steps and the scratch they need."""
    if product.dtype.name not in C_TYPES:
        return _integer_kernels(product)
    product = _joined(product)
    groups, blocks = _groups(product), _blocks(product)
    tile = Tile(
        product.name,
        product.dtype,
        _literal(product, product.a.row),
        _literal(product, product.a.column),
    )
    wide, narrow = tilings(product.dtype, product.m, product.n, blocks)
    parts = [tile.text(wide, narrow), _panel_text(product)]
    if not product.b.packed:
        parts.append(pack_text(product.name, product.dtype, *_strides(product, product.b)))
    parts.append("\n".join(_kernel(product, tile, groups, blocks)))
    chunks = product_of(product.batch) * blocks * groups
    columns = group(product.dtype)
    panel: Size = 0 if product.b.packed else columns * product.k
    return TemplateResult(
        text="\n".join(parts) + "\n",
        steps=(Step(product.name, chunks, _nanoseconds(product)),),
        scratch=(2 * ROWS * columns + panel) * product.dtype.size,
    )


def packed_bytes(n: Size, k: Size, dtype: DType, batch: tuple[Size, ...] = ()) -> Size:
    """Bytes of the packed form of B matrices [.., k, n]: whole groups of columns."""
    return product_of(batch) * _ceil(n, group(dtype)) * group(dtype) * k * dtype.size


def pack_kernels(product: Product, destination: str) -> TemplateResult:
    """The kernel that makes the packed form of `product.b`, of `packed_bytes` bytes, at the C pointer `destination`.

    Only `name`, `dtype`, `batch`, `n`, `k`, `b` and `size` of the product are looked at.
    """
    name, t, columns = product.name, C_TYPES[product.dtype.name], group(product.dtype)
    groups, size = _groups(product), product.size
    lanes = "IG_W" if product.dtype.size == 4 else "IG_W2"
    lines = (
        f"enum {{ {name}_lanes = {lanes}, {name}_vectors = IG_W == 16 ? 4 : 2 }};",
        _panel_text(product),
        pack_text(name, product.dtype, *_strides(product, product.b)),
        f"static void {name}(const ig_worker *w, const void *args, int64_t lo, int64_t hi) {{",
        "  IG_HEAD",
        "  (void)w;",
        f"  const int64_t n = {size(product.n)}, k = {size(product.k)}, groups = {size(groups)};",
        f"  {t} *const out = ({t} *)({destination});",
        "  for (int64_t q = lo; q < hi; q++) {",
        f"    const int64_t batch = q / groups, column = q % groups * {columns};",
        f"    const int64_t width = n - column < {columns} ? n - column : {columns};",
        f"    const {t} *b = {product.b.pointer};",
        *_offset(product, product.b, "b"),
        f"    b += column * {_literal(product, product.b.column)};",
        f"    {_pack_call(product, 'b', f'out + q * {columns} * k')}",
        "  }",
        "}",
    )
    chunks = product_of(product.batch) * groups
    cost = product_of(product.batch) * product.n * product.k // 2 + 100
    return TemplateResult(text="\n".join(lines) + "\n", steps=(Step(name, chunks, cost),))


# --------------------------------------------------------------------------------------------------------- cutting the work


@dataclass(frozen=True)
class _Unjoined:
    """The store of a product whose last batch dimension of `extent` matrices was joined with the `rows` of each."""

    store: Store
    extent: str
    rows: str

    @property
    def plain(self) -> str | None:
        """The result lies as before."""
        return self.store.plain

    def lines(
        self, *, batch: str, row: str, column: str, lanes: int, count: str, value: str
    ) -> list[str]:
        """The statements, with the matrix and the row found again."""
        matrix, inner = f"{batch}_", f"{row}_"
        within = self.store.lines(
            batch=matrix, row=inner, column=column, lanes=lanes, count=count, value=value
        )
        return [
            f"{{ const int64_t {matrix} = {batch} * {self.extent} + {row} / {self.rows}, "
            f"{inner} = {row} % {self.rows}; (void){matrix}; (void){inner};",
            *within,
            "}",
        ]


def _joined(product: Product) -> Product:
    """The same product with batch dimensions joined to the rows where B is the same for all and A's rows go on."""
    while product.batch and product.b.batch[-1] == 0:
        *batch, last = product.batch
        *a_batch, step = product.a.batch
        if product.m != 1 and step != product.m * product.a.row:
            break
        store = _Unjoined(product.store, _literal(product, last), _literal(product, product.m))
        product = replace(
            product,
            batch=tuple(batch),
            m=product.m * last,
            a=replace(
                product.a, batch=tuple(a_batch), row=step if product.m == 1 else product.a.row
            ),
            b=replace(product.b, batch=product.b.batch[:-1]),
            store=store,
        )
    return product


def _ceil(size: Size, unit: Size) -> Size:
    """How many pieces of `unit` cover a size; without negative operands, whose division C rounds the other way."""
    return (size + (unit - 1)) // unit


def _groups(product: Product) -> Size:
    return _ceil(product.n, group(product.dtype))


def _blocks(product: Product) -> Size:
    """Into how many blocks the rows are cut."""
    finest = 32 if product.b.packed else 64
    others = maximum(1, product_of(product.batch) * _groups(product))
    wanted = minimum(_ceil(ENOUGH_CHUNKS, others), product.m // finest)
    return maximum(1, maximum(_ceil(product.m, BLOCK_ROWS), wanted))


def _nanoseconds(product: Product) -> Size:
    """Work of the product on one core: arithmetic, and B read or packed once."""
    area = product_of(product.batch) * product.n * product.k
    return area * product.m // (400 // product.dtype.size) + area // 4 + 100


def _literal(product: Product, size: Size) -> str:
    return str(size) if isinstance(size, int) else product.size(size)


def _strides(product: Product, matrix: Matrix) -> tuple[str, str]:
    return _literal(product, matrix.row), _literal(product, matrix.column)


# ------------------------------------------------------------------------------------------------------------- the C text


def _panel_text(product: Product) -> str:
    name = product.name
    return f"enum {{ {name}_panel = {name}_vectors * {name}_lanes }};"


def _offset(product: Product, matrix: Matrix, pointer: str) -> Iterator[str]:
    """Moves a pointer to the matrix number `batch`."""
    if not product.batch or all(s == 0 for s in matrix.batch):
        return
    steps: list[str] = []
    for extent, stride in reversed(tuple(zip(product.batch, matrix.batch, strict=True))):
        if stride != 0:
            steps.append(f"{pointer} += z % {product.size(extent)} * {product.size(stride)};")
        steps.append(f"z /= {product.size(extent)};")
    yield "    { int64_t z = batch; " + " ".join(steps) + " }"


def _pack_call(product: Product, source: str, out: str) -> str:
    row, column = _strides(product, product.b)
    extra = "".join(f", {s}" for s in (row, column) if not s.isdigit())
    return f"{product.name}_pack({source}, k, width, {out}{extra});"


def _kernel(product: Product, tile: Tile, groups: Size, blocks: Size) -> Iterator[str]:
    """The kernel: chunks to blocks of rows and groups of columns."""
    name, t, columns = product.name, C_TYPES[product.dtype.name], group(product.dtype)
    size = product.size
    yield f"static void {name}(const ig_worker *w, const void *args, int64_t lo, int64_t hi) {{"
    yield "  IG_HEAD"
    yield f"  const int64_t m = {size(product.m)}, n = {size(product.n)}, k = {size(product.k)};"
    yield f"  const int64_t blocks = {size(blocks)}, groups = {size(groups)};"
    yield f"  {t} *const held = ({t} *)w->scratch;"
    if not product.b.packed:
        yield f"  {t} *const packed = held + {2 * ROWS * columns};"
    yield "  for (int64_t q = lo; q < hi; q++) {"
    yield f"    const int64_t batch = q / groups / blocks, column = q % groups * {columns};"
    yield "    const int64_t block = q / groups % blocks, first = m * block / blocks;"
    yield "    const int64_t rows = m * (block + 1) / blocks - first;"
    yield f"    const int64_t width = n - column < {columns} ? n - column : {columns};"
    yield f"    const {t} *a = {product.a.pointer};"
    yield from _offset(product, product.a, "a")
    yield from _vectors(product, tilings(product.dtype, product.m, product.n, blocks)[0].vectors)
    yield f"    const int64_t tiles = (rows + {name}_rows - 1) / {name}_rows;"
    yield from _panel(product)
    yield from _tiles(product, tile, blocks)
    yield "  }"
    yield "}"


def _vectors(product: Product, wide: tuple[int, ...]) -> Iterator[str]:
    """How many vectors a tile is wide in this group, and how many panels the group has."""
    lanes = 64 // product.dtype.size
    rule = "4"
    if len(wide) > 1:
        last = wide[-1]
        rule = f"width > {wide[1] * lanes} ? 4 : {wide[1]}"
        if len(wide) == 3:
            rule = f"width > {wide[1] * lanes} ? 4 : width > {last * lanes} ? {wide[1]} : {last}"
    elif wide:
        rule = str(wide[0])
    yield f"    const int64_t vectors = IG_W == 16 ? {rule} : {product.name}_vectors;"
    yield f"    const int64_t panels = (width + {product.name}_panel - 1) / {product.name}_panel;"


def _panel(product: Product) -> Iterator[str]:
    """Where the group's part of B lies: `b`, its row stride `br`, from panel to panel `bp`, and what to fetch ahead."""
    name, t, columns = product.name, C_TYPES[product.dtype.name], group(product.dtype)
    if product.b.packed:
        yield f"    const {t} *b = {product.b.pointer};"
        if any(s != 0 for s in product.b.batch):
            yield f"    b += (batch * groups + q % groups) * {columns} * k;"
        else:
            yield f"    b += q % groups * {columns} * k;"
        yield f"    const int64_t br = {name}_panel, bp = k * {name}_panel;"
        yield f"    const int64_t skip = ({columns * product.dtype.size} / tiles + 63) & ~(int64_t)63;"
        yield f"    const char *const ahead = (const char *)(b + {columns} * k);"
        return
    yield f"    const {t} *b = {product.b.pointer};"
    yield from _offset(product, product.b, "b")
    row, column = _strides(product, product.b)
    yield f"    b += column * {column};"
    yield f"    int64_t br = {name}_panel, bp = k * {name}_panel;"
    pack = f"{_pack_call(product, 'b', 'packed')} b = packed;"
    if column == "1":
        # Rows of B that lie contiguously are read in place where packing would not pay, and no vector reaches outside.
        yield f"    if ((m <= {2 * ROWS} || k * {row} <= 8192) && panels * vectors * {name}_lanes == width) {{"
        yield f"      br = {row}; bp = {name}_panel;"
        yield f"    }} else {{ {pack} }}"
    else:
        yield f"    {pack}"
    yield "    const int64_t skip = 0;"
    yield "    const char *const ahead = (const char *)b;"


def _tiles(product: Product, tile: Tile, blocks: Size) -> Iterator[str]:
    """The loop over the tiles of a chunk."""
    name, t, columns = product.name, C_TYPES[product.dtype.name], group(product.dtype)
    row, column = _strides(product, product.a)
    extra = "".join(f", {text}" for s, text in (("ar", row), ("ac", column)) if s in tile.strides)
    yield "    for (int64_t i = 0, row = first; row < first + rows; i++) {"
    if isinstance(product.m, int) and isinstance(blocks, int):
        yield "      const int64_t h = rows / tiles + (i < rows % tiles);"
    else:
        largest, middle, least = reversed(SOME_HEIGHTS)
        yield "      const int64_t left = first + rows - row;"
        yield f"      const int64_t h = left >= {largest} ? {largest} : left >= {middle} ? {middle} : {least};"
    plain = product.store.plain
    if plain is None:
        yield f"      {t} *const c = held;"
        yield f"      const int64_t cr = {columns};"
    else:
        yield f"      const int whole = panels * vectors * {name}_lanes == width;"
        yield f"      {t} *const c = whole ? {plain} + (batch * m + row) * n + column : held;"
        yield f"      const int64_t cr = whole ? n : {columns};"
    yield f"      const {name}_tile run = {name}_tiles[vectors][h];"
    yield "      for (int64_t s = 0; s < panels; s++)"
    yield (
        f"        run(a + row * {row}, b + s * bp, br, c + s * {name}_panel, cr, k, "
        f"ahead + i * skip * k, skip{extra});"
    )
    full = isinstance(product.n, int) and product.n % columns == 0
    if plain is None or not full:
        yield f"      for (int64_t r = 0; r < h{'' if plain is None else ' && !whole'}; r++) {{"
        yield "        const int64_t at = row + r;"
        yield f"        const ig{columns}_{product.dtype.name} value = ig{columns}_load_{product.dtype.name}(held + r * {columns}, {columns});"
        count = str(columns) if full else "(int)width"
        for line in product.store.lines(
            batch="batch", row="at", column="column", lanes=columns, count=count, value="value"
        ):
            yield "        " + line
        yield "      }"
    yield "      row += h;"
    yield "    }"


# --------------------------------------------------------------------------------------------------------------- integers


def _integer_kernels(product: Product) -> TemplateResult:
    """Integer products, exact modulo the width: one chunk is one row of the result."""
    size, kind = product.size, product.dtype.name
    word = INTEGERS[kind]
    compute = kind if product.dtype.size >= 4 else "i32"
    element = {"i64": "int64_t", "i32": "int32_t", "u32": "uint32_t", "i16": "int16_t", "i8": "int8_t", "u8": "uint8_t"}[kind]  # fmt: skip
    (ar, ac), (br, bc) = _strides(product, product.a), _strides(product, product.b)
    lines = (
        f"static void {product.name}(const ig_worker *w, const void *args, int64_t lo, int64_t hi) {{",
        "  IG_HEAD",
        "  (void)w;",
        f"  const int64_t m = {size(product.m)}, n = {size(product.n)}, k = {size(product.k)};",
        "  for (int64_t q = lo; q < hi; q++) {",
        "    const int64_t batch = q / m, row = q % m;",
        f"    const {element} *a = {product.a.pointer};",
        f"    const {element} *b = {product.b.pointer};",
        *_offset(product, product.a, "a"),
        *_offset(product, product.b, "b"),
        f"    a += row * {ar};",
        "    for (int64_t column = 0; column < n; column++) {",
        f"      {word} sum = 0;",
        f"      for (int64_t i = 0; i < k; i++) sum += ({word})a[i * {ac}] * ({word})b[i * {br} + column * {bc}];",
        f"      const ig1_{compute} value = (ig1_{compute})sum;",
        *(
            "      " + line
            for line in product.store.lines(
                batch="batch", row="row", column="column", lanes=1, count="1", value="value"
            )
        ),
        "    }",
        "  }",
        "}",
    )
    return TemplateResult(
        text="\n".join(lines) + "\n",
        steps=(Step(product.name, product_of(product.batch) * product.m, _nanoseconds(product)),),
    )
