"""Direct convolutions over images whose channels lie in blocks of 16, with a halo of zeros.

A chunk is some rows of one image's results for one panel of 32 filters (depthwise: one block of
channels). It runs over tiles of pixels (`conv_direct_tile`), whose sums go through a small array to
the store, which applies what was fused behind. Weights come packed (`conv_direct_pack`). Chunks
follow each other along the rows while a panel's weights stay in cache or, where all weights do,
panel by panel over the same rows; late layers fetch the next panel ahead."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from intaglio.compiler.codegen.c import CPrinter
from intaglio.compiler.dims import Shape
from intaglio.compiler.ir import Graph, Node, Value
from intaglio.compiler.loop import Buffer, Unfusable
from intaglio.compiler.schedule.conv_direct_pack import packed_floats, packed_shape
from intaglio.compiler.schedule.conv_direct_shape import BLOCK, PANEL, Shape2d
from intaglio.compiler.schedule.conv_direct_store import ImageStore
from intaglio.compiler.schedule.conv_direct_tile import (
    NARROW_PIXELS,
    WIDE_PIXELS,
    Source,
    Tile,
    Tiling,
)
from intaglio.compiler.schedule.template import Step, TemplateResult

ENOUGH_CHUNKS = 24
"""So many chunks give threads equal shares."""
LEAST_CHUNK = 5_000
"""Nanoseconds of work below which rows are not cut finer."""
STREAMED = 1 << 18
"""Bytes of packed weights above which the next panel is fetched ahead."""


@dataclass(frozen=True)
class DirectConvolution:
    """The kernel of a group around a convolution: its text and step, the buffers in the order of
    its parameters (packed weights among them), and the pairs of a result and an operand of the
    epilogue that may be the same memory."""

    made: TemplateResult
    buffers: list[Buffer]
    same: list[tuple[Buffer, Buffer]]


def direct_of_group(
    graph: Graph,
    node: Node,
    shape: Shape2d,
    image: Buffer,
    memory: Mapping[Value, Buffer],
    results: Sequence[tuple[Value, Buffer]],
    packed: Buffer,
    name: str,
    printer: Callable[[], CPrinter],
) -> DirectConvolution:
    """The kernel of a convolution with its epilogue, which reads its images from `image`."""
    store = ImageStore(graph, node, shape, memory, results, printer)
    buffers = list(dict.fromkeys([image, packed, *store.reads, *(r for _, r in results)]))
    numbers = {buffer: k for k, buffer in enumerate(buffers)}
    text = _Kernel(name, shape, _source(image), store, numbers, (image, packed))
    count = shape.images * text.panels * text.strips
    steps = (Step(name, count, shape.images * shape.nanoseconds),)
    same = [pair for pair in store.read_in_place if pair[1] is not image]
    return DirectConvolution(TemplateResult("\n".join([*text.lines(), ""]), steps), buffers, same)


def _source(image: Buffer) -> Source:
    steps: Shape = image.strides[:4]
    if not all(isinstance(s, int) for s in steps):
        raise Unfusable("images whose place in memory is known only at run time")
    return Source(*steps)  # type: ignore[arg-type]  # all are int


class _Kernel:
    """Prints the functions of a direct convolution."""

    def __init__(
        self,
        name: str,
        shape: Shape2d,
        source: Source,
        store: ImageStore,
        numbers: Mapping[Buffer, int],
        operands: tuple[Buffer, Buffer],
    ) -> None:
        self._name, self._shape, self._source, self._store = name, shape, source, store
        self._numbers, self._operands = numbers, operands
        self._width = BLOCK if shape.depthwise else PANEL
        self.panels = -(-shape.filters // self._width)
        self._floats = packed_floats(packed_shape(shape))
        wide = Tiling.of(shape, source, WIDE_PIXELS)
        pieces = len(wide.columns if wide.flat else wide.rows)
        images = shape.images if isinstance(shape.images, int) else 1
        wanted = -(-ENOUGH_CHUNKS // (images * self.panels))
        worth = max(1, shape.nanoseconds // (self.panels * LEAST_CHUNK))
        self.strips = max(1, min(wanted, worth, pieces))

    def lines(self) -> Iterator[str]:
        """The text for machines with wide vectors, and for the others."""
        yield "#if IG_W == 16"
        yield from self._machine(WIDE_PIXELS, (1,) if self._shape.depthwise else (1, 2))
        yield "#else"
        yield from self._machine(NARROW_PIXELS, (1,) if self._shape.depthwise else (2,))
        yield "#endif"

    def _machine(self, pixels: int, vectors: Sequence[int]) -> Iterator[str]:
        tiling = Tiling.of(self._shape, self._source, pixels)
        rest = self._shape.filters % PANEL
        if vectors == (1, 2):
            wanted = {2: rest == 0 or rest > BLOCK or self.panels > 1, 1: 0 < rest <= BLOCK}
            vectors = [v for v in vectors if wanted[v]]
        streamed = not self._shape.depthwise and 4 * self._floats >= STREAMED
        skip = -(-4 * PANEL // tiling.count) if streamed else 0
        tile = Tile(self._name, self._shape, self._source, skip)
        for size in tiling.sizes:
            for count in vectors:
                yield from tile.lines(size, count)
        yield from self._chunks(tiling, vectors, skip)

    def _chunks(self, tiling: Tiling, vectors: Sequence[int], skip: int) -> Iterator[str]:
        shape, source = self._shape, self._source
        image, packed = (self._numbers[b] for b in self._operands)
        head = "const ig_worker *w, const void *args, int64_t lo, int64_t hi"
        yield f"static void {self._name}({head}) {{"
        yield "  IG_HEAD"
        yield "  for (int64_t chunk = lo; chunk < hi; chunk++) {"
        yield from self._decoded()
        start = f"(const float *)p[{image}] + image * {source.image}"
        if shape.depthwise:
            start += f" + panel * {source.block}"
        yield f"    const float *const x = {start};"
        size = self._width * shape.depth
        yield f"    const float *const q = (const float *)p[{packed}] + panel * {size};"
        yield from self._lanes()
        outer = tiling.columns if tiling.flat else tiling.rows
        inner = (1,) if tiling.flat else tiling.columns
        yield f"    const int64_t end = {len(outer)} * (strip + 1) / {self.strips};"
        yield f"    for (int64_t t = {len(outer)} * strip / {self.strips}; t < end; t++) {{"
        yield from _piece("t", "top", "height", outer)
        yield f"    for (int64_t u = 0; u < {len(inner)}; u++) {{"
        yield from _piece("u", "left", "width", inner)
        yield from self._tile(tiling, vectors, skip, len(inner))
        yield from self._stored(tiling)
        yield "    }"
        yield "    }"
        yield "  }"
        yield "}"

    def _decoded(self) -> Iterator[str]:
        """Which image, panel and strip a chunk is."""
        panels, strips = self.panels, self.strips
        first, second = ("strip", "panel"), (strips, panels)
        if 4 * self._floats <= 2 * STREAMED:
            first, second = ("panel", "strip"), (panels, strips)
        yield f"    const int64_t {first[0]} = chunk % {second[0]};"
        yield f"    const int64_t {first[1]} = chunk / {second[0]} % {second[1]};"
        yield f"    const int64_t image = chunk / {panels * strips};"

    def _lanes(self) -> Iterator[str]:
        """How many lanes of a panel are computed."""
        if self._shape.depthwise:
            yield f"    enum {{ lanes = {BLOCK} }};"
            return
        rest = self._shape.filters % PANEL
        if 0 < rest <= BLOCK:
            rule = f"panel == {self.panels - 1} ? {BLOCK} : {PANEL}"
            yield f"    const int64_t lanes = {rule};"
        else:
            yield f"    enum {{ lanes = {PANEL} }};"

    def _tile(self, tiling: Tiling, vectors: Sequence[int], skip: int, inner: int) -> Iterator[str]:
        """The sums of a tile."""
        shape, source = self._shape, self._source
        most = max(h * w for h, w in tiling.sizes)
        yield f"      float held[{most * PANEL}] __attribute__((aligned(64)));"
        if tiling.flat:
            yield f"      const float *const at = x + top * {source.pixel};"
        else:
            (down, right), (above, before) = shape.strides, shape.low
            yield f"      const float *const at = x + (top * {down} - {above}) * {source.row}"
            yield f"        + (left * {right} - {before}) * {source.pixel};"
        begin = f"(t * {inner} + u) * {skip * shape.depth}"
        following = f"(const char *)(q + {PANEL * shape.depth}) + {begin}"
        next = following if skip else "(const char *)q"
        yield f"      const char *const next = {next};"
        count = f"(lanes > IG_W ? {vectors[-1]} : 1)" if len(vectors) > 1 else str(vectors[0])
        yield f"      const int64_t vectors = {count};"
        size = ("1", "height") if tiling.flat else ("height", "width")
        yield "      for (int64_t s = 0; s < lanes; s += vectors * IG_W)"
        moved = "at + s" if shape.depthwise else "at"
        choices = [
            (f"{size[0]} == {h} && {size[1]} == {w} && vectors == {v}", f"_t{h}x{w}v{v}")
            for h, w in tiling.sizes
            for v in vectors
        ]
        for k, (condition, tile) in enumerate(choices):
            test = f"if ({condition}) " if k < len(choices) - 1 else ""
            call = f"{self._name}{tile}({moved}, q + s, held + s, next);"
            yield f"        {'else ' if k else ''}{test}{call}"

    def _stored(self, tiling: Tiling) -> Iterator[str]:
        """The store of a tile."""
        wide = "1" if tiling.flat else "width"
        yield "      for (int64_t part = 0; part < lanes; part += 16) {"
        yield f"        const int64_t block = panel * {self._width // BLOCK} + part / 16;"
        count = str(BLOCK)
        if self._shape.filters % BLOCK:
            yield f"        const int64_t left_over = {self._shape.filters} - block * {BLOCK};"
            yield "        if (left_over <= 0) break;"
            yield f"        const int count = left_over < {BLOCK} ? (int)left_over : {BLOCK};"
            count = "count"
        yield "        for (int64_t i = 0; i < height; i++)"
        yield f"        for (int64_t j = 0; j < {wide}; j++) {{"
        if tiling.flat:
            width = self._shape.result[1]
            yield f"          const int64_t row = (top + i) / {width};"
            yield f"          const int64_t column = (top + i) % {width};"
        else:
            yield "          const int64_t row = top + i, column = left + j;"
        yield "          (void)row; (void)column; (void)block; (void)image;"
        yield f"          const float *const sums = held + (i * {wide} + j) * {PANEL} + part;"
        yield "          const ig16_f32 value = ig16_load_f32(sums, 16);"
        for line in self._store.lines(self._numbers, count, "value"):
            yield "          " + line
        yield "        }"
        yield "      }"


def _piece(number: str, start: str, size: str, pieces: Sequence[int]) -> Iterator[str]:
    """Where a piece of an even cut starts, and its size."""
    base, more = pieces[-1], pieces.count(pieces[0]) if pieces[0] != pieces[-1] else 0
    if not more:
        yield f"      const int64_t {start} = {number} * {base}, {size} = {base};"
        return
    extra = f"({number} < {more} ? {number} : {more})"
    yield f"      const int64_t {start} = {number} * {base} + {extra};"
    yield f"      const int64_t {size} = {base} + ({number} < {more});"
