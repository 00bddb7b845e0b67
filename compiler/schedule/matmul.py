"""Matrix products: how `a[.., m, k] @ b[.., k, n]` is cut into chunks, and what each needs.

A chunk is one block of rows times one group of columns of one matrix of the batch. It brings its
group of B into a panel (packed just before use in per-thread scratch, or read in place, or packed
once and for all by `pack_kernels`), then runs over the tiles of its rows (`matmul_tile`). A is
always read in place: its elements are broadcast one by one, so any strides do. Finished tiles go
straight to the result when nothing is fused, else through a tile in cache to the store, which
applies the epilogue.

The order of every sum is that of k, one fused multiply-add after the other: cutting, packing,
threads and vectors change no bit.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from intaglio.compiler.dims import Size, maximum, minimum, product as product_of
from intaglio.compiler.dtypes import DType
from intaglio.compiler.schedule.matmul_chunk import (
    BLOCK_ROWS,
    LONG,
    Cut,
    chunk_text,
    is_blocked,
    offset,
    turns_for_few,
)
from intaglio.compiler.schedule.matmul_integer import integer_text
from intaglio.compiler.schedule.matmul_pack import pack_call, pack_text
from intaglio.compiler.schedule.matmul_tile import (
    C_TYPES,
    ROWS,
    Tile,
    group,
    lanes_text,
    literal,
    strides,
    tilings,
)
from intaglio.compiler.schedule.template import Product, Step, Store, TemplateResult

ENOUGH_CHUNKS = 16
"""Below this many chunks rows are cut finer, so that several threads get equal shares."""
ENOUGH_PACKING = 6
"""The same where each block of rows packs B again."""


def matmul_kernels(product: Product) -> TemplateResult:
    """The C text of a matrix product with its steps and the scratch they need."""
    if 0 in (*product.batch, product.m, product.n):
        return _nothing(product)
    if product.dtype.name not in C_TYPES:
        rows = product_of(product.batch) * product.m
        step = Step(product.name, rows, product_nanoseconds(product))
        return TemplateResult(text=integer_text(product), steps=(step,))
    product = joined(product)
    cut = Cut(_groups(product), _blocks(product))
    wide, narrow = tilings(product, cut.blocks)
    parts = [Tile.of(product, is_blocked(product)).text(wide, narrow), _panel_text(product)]
    if not product.b.packed:
        parts.append(pack_text(product, turns_for_few(product)))
    parts.append(chunk_text(product, cut, wide))
    chunks = product_of(product.batch) * cut.blocks * cut.groups
    return TemplateResult(
        text="\n".join(parts) + "\n",
        steps=(Step(product.name, chunks, product_nanoseconds(product)),),
        scratch=_scratch(product),
    )


def packed_bytes(n: Size, k: Size, dtype: DType, batch: tuple[Size, ...] = ()) -> Size:
    """Bytes of the packed form of B matrices [.., k, n]: whole groups of columns."""
    return product_of(batch) * _ceil(n, group(dtype)) * group(dtype) * k * dtype.size


def pack_kernels(product: Product, destination: str) -> TemplateResult:
    """The kernel that makes the packed form of `product.b` at the C pointer `destination`.

    The form takes `packed_bytes` bytes, 64-byte aligned. Only `name`, `dtype`, `batch`, `n`, `k`,
    `b` and `size` of the product are looked at.
    """
    if 0 in (*product.batch, product.n, product.k):
        return _nothing(product)
    name, t, columns = product.name, C_TYPES[product.dtype.name], group(product.dtype)
    groups, size = _groups(product), product.size
    lanes = lanes_text(product.dtype)
    lines = (
        f"enum {{ {name}_lanes = {lanes}, {name}_vectors = IG_W == 16 ? 4 : 2 }};",
        _panel_text(product),
        pack_text(product),
        f"static void {name}(const ig_worker *w, const void *args, int64_t lo, int64_t hi) {{",
        "  IG_HEAD",
        "  (void)w;",
        f"  const int64_t n = {size(product.n)}, k = {size(product.k)}, groups = {size(groups)};",
        f"  {t} *const out = ({t} *)({destination});",
        "  for (int64_t q = lo; q < hi; q++) {",
        f"    const int64_t batch = q / groups, column = q % groups * {columns};",
        f"    const int64_t width = n - column < {columns} ? n - column : {columns};",
        "    (void)batch;",
        f"    const {t} *b = {product.b.pointer};",
        *offset(product, product.b, "b"),
        f"    b += column * {strides(product, product.b)[1]};",
        f"    {pack_call(product, 'b', 'k', f'out + q * {columns} * k')}",
        "  }",
        "}",
    )
    chunks = product_of(product.batch) * groups
    cost = product_of(product.batch) * product.n * product.k // 2 + 100
    return TemplateResult(text="\n".join(lines) + "\n", steps=(Step(name, chunks, cost),))


@dataclass(frozen=True)
class _Unjoined:
    """The store of a product whose last batch dimension of `extent` matrices was joined with the
    `rows` of each."""

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
        within = self.store.lines(
            batch=f"{batch}_", row=f"{row}_", column=column, lanes=lanes, count=count, value=value
        )
        return self._found(batch, row, within)

    def ahead(self, *, batch: str, row: str, column: str, bytes: int) -> list[str]:
        """The same for what is fetched."""
        within = self.store.ahead(batch=f"{batch}_", row=f"{row}_", column=column, bytes=bytes)
        return self._found(batch, row, within) if within else []

    def _found(self, batch: str, row: str, within: list[str]) -> list[str]:
        matrix, inner = f"{batch}_", f"{row}_"
        return [
            f"{{ const int64_t {matrix} = {batch} * {self.extent} + {row} / {self.rows};",
            f"const int64_t {inner} = {row} % {self.rows}; (void){matrix}; (void){inner};",
            *within,
            "}",
        ]


def joined(product: Product) -> Product:
    """The same product with batch dimensions joined to the rows, where B is the same for all of
    them and A's rows go on at the same stride."""
    while product.batch and (product.b.batch[-1] == 0 or product.batch[-1] == 1):
        *batch, last = product.batch
        *a_batch, step = product.a.batch
        row = product.a.row
        if product.m == 1 and last != 1:
            row = step
        elif last != 1 and step != product.m * row:
            break
        store = _Unjoined(product.store, literal(product, last), literal(product, product.m))
        product = replace(
            product,
            batch=tuple(batch),
            m=product.m * last,
            a=replace(product.a, batch=tuple(a_batch), row=row),
            b=replace(product.b, batch=product.b.batch[:-1]),
            store=store,
        )
    return product


def _nothing(product: Product) -> TemplateResult:
    """The kernel of a result without elements."""
    parameters = "const ig_worker *w, const void *args, int64_t lo, int64_t hi"
    body = "(void)w, (void)args, (void)lo, (void)hi;"
    text = f"static void {product.name}({parameters}) {{ {body} }}\n"
    return TemplateResult(text=text, steps=(Step(product.name, 0, 0),))


def _ceil(size: Size, unit: Size) -> Size:
    """How many pieces of `unit` cover a size; written without negative operands, since C rounds
    their quotient the other way."""
    return (size + (unit - 1)) // unit


def _groups(product: Product) -> Size:
    """How many groups of columns there are."""
    return _ceil(product.n, group(product.dtype))


def _blocks(product: Product) -> Size:
    """Into how many blocks the rows are cut."""
    finest, enough = (32, ENOUGH_CHUNKS) if product.b.packed else (64, ENOUGH_PACKING)
    others = maximum(1, product_of(product.batch) * _groups(product))
    wanted = minimum(_ceil(enough, others), product.m // finest)
    return maximum(1, maximum(_ceil(product.m, BLOCK_ROWS), wanted))


def product_nanoseconds(product: Product) -> Size:
    """Work of the product on one core: arithmetic, and B read or packed once."""
    area = product_of(product.batch) * product.n * product.k
    return area * product.m // (400 // product.dtype.size) + area // 4 + 100


def _scratch(product: Product) -> Size:
    """Bytes per thread: a tile before its store, zeros and partial sums of k blocks, a panel."""
    columns = group(product.dtype)
    elements: Size = 2 * ROWS * columns
    if is_blocked(product):
        elements = elements + columns + BLOCK_ROWS * columns
    if not product.b.packed:
        k = minimum(product.k, LONG) if is_blocked(product) else product.k
        elements = elements + columns * k
    return elements * product.dtype.size


def _panel_text(product: Product) -> str:
    """The width of a panel in elements, as a C constant."""
    return f"enum {{ {product.name}_panel = {product.name}_vectors * {product.name}_lanes }};"
