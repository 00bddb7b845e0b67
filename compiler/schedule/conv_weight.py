"""The vector kernels of `conv_weight`: chains over the positions of an image, many side by side.

What flowed back to the results is laid out with its channels side by side, so that vectors run over
them; the images are laid out as zero-padded planes (`conv_gather` tells of their phases) of a few
channels side by side, whose elements are broadcast. A tile is a few rows (input channels at one
tap) x a few vectors (channels of the results): it stays in registers while the positions of one
image run, and is then added to the sum of the images before. Images of few channels are laid out
with all taps of all channels side by side, as rows of one tap.

Where every group has one channel on either side (depthwise), vectors run over the groups, and the
rows of a tile are taps.

Three kernels: `<name>_pack` lays out, `<name>_sum` makes tiles, `<name>` brings them into the order
of the result and stores them through the epilogue. The order of the chain is the op's: positions of
an image, then images.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

from intaglio.compiler.codegen.numbers import C_TYPES
from intaglio.compiler.dims import Size, product
from intaglio.compiler.schedule.conv_gather import KERNEL_PARAMETERS, Gather
from intaglio.compiler.schedule.convolution import RANK, Convolution
from intaglio.compiler.schedule.matmul_tile import group, lanes_text
from intaglio.compiler.schedule.template import Step, TemplateResult

FEW_CHANNELS = 4
"""Up to so many channels of images all their taps become rows."""
MOST_TAPS = 12
"""Taps in a tile of a depthwise convolution."""


@dataclass(frozen=True)
class Tiles:
    """The problem with all that follows from it: `rows` that are `height` to a tile, in tiles that
    are `wide` results' channels wide, once for each of `taps`."""

    problem: Convolution

    @cached_property
    def sides(self) -> Gather:
        """The images' planes, as the forward convolution reads them."""
        return Gather(self.problem)

    @property
    def depthwise(self) -> bool:
        """Whether the vectors run over groups."""
        p = self.problem
        return p.groups > 1 and p.inputs == p.outputs == 1

    @property
    def flat(self) -> bool:
        """Whether all taps are rows."""
        return not self.depthwise and self.problem.inputs <= FEW_CHANNELS

    @property
    def groups(self) -> int:
        """Groups that are computed one by one."""
        return 1 if self.depthwise else self.problem.groups

    @property
    def across(self) -> int:
        """Channels of the results that vectors run over."""
        return self.problem.groups if self.depthwise else self.problem.outputs

    @property
    def wide(self) -> int:
        """Channels of the results in a tile: whole lines."""
        line = 64 // self.problem.dtype.size
        lines = 1 if self.depthwise else min(4, -(-self.across // line))
        return line * (4 if lines == 3 else lines)

    @property
    def lines(self) -> int:
        """Lines in a tile."""
        return self.wide * self.problem.dtype.size // 64

    @property
    def blocks(self) -> int:
        """Tiles across."""
        return -(-self.across // self.wide)

    @property
    def rows(self) -> int:
        """Rows of all tiles above each other."""
        if self.depthwise:
            return self.problem.taps
        return self.problem.inputs * (self.problem.taps if self.flat else 1)

    @property
    def height(self) -> int:
        """Rows of a tile: nearly equal pieces, which narrow vectors can halve."""
        most = MOST_TAPS if self.depthwise else 6 if self.lines > 2 else 12
        height = -(-self.rows // -(-self.rows // most))
        return height if self.depthwise or height <= 6 else -(-height // 2) * 2

    @property
    def stacked(self) -> int:
        """Tiles above each other."""
        return -(-self.rows // self.height)

    @property
    def taps(self) -> int:
        """How often there are tiles for other taps."""
        return 1 if self.flat or self.depthwise else self.problem.taps

    @property
    def positions(self) -> Size:
        """Positions of an image."""
        return product(tuple(w.output for w in self.problem.windows))

    @property
    def panel(self) -> Size:
        """Elements of what belongs to a tile's rows of one image."""
        if self.flat:
            return self.positions * self.height
        beside = self.wide if self.depthwise else self.height
        return self.sides.area * (len(self.sides.planes) * beside)

    @property
    def panels(self) -> int:
        """Panels of an image."""
        return self.blocks if self.depthwise else self.groups * self.stacked

    @property
    def sums(self) -> int:
        """Elements of all tiles."""
        return self.groups * self.blocks * self.stacked * self.taps * self.height * self.wide


def weight_kernels(problem: Convolution) -> TemplateResult:
    """The C text of the kernels with their steps and the memory they need."""
    g = Tiles(problem)
    name, size = problem.name, problem.dtype.size
    left = problem.images * g.panels * g.panel
    right = problem.images * (g.groups * g.blocks) * g.positions * g.wide
    text = "\n".join([*_constants(g), *_tile_family(g), *_pack(g), *_sum(g), *_store(g)]) + "\n"
    chunks = g.groups * g.blocks * g.stacked * g.taps
    steps = (
        Step(f"{name}_pack", problem.images * (g.panels + g.groups * g.blocks),
             (left + right) // (2000 // size) + 100),
        Step(f"{name}_sum", chunks, problem.nanoseconds),
        Step(name, problem.rows, problem.rows * problem.inputs * problem.taps // 2 + 50),
    )  # fmt: skip
    columns = group(problem.dtype)
    return TemplateResult(
        text=text,
        steps=steps,
        workspace=(right + left + g.sums) * size,
        scratch=(problem.inputs * problem.taps + 2 * columns) * size,
    )


def _constants(g: Tiles) -> Iterator[str]:
    name = g.problem.name
    yield f"enum {{ {name}_height = {g.height}, {name}_wide = {g.wide},"
    yield f"  {name}_lanes = {lanes_text(g.problem.dtype)} }};"


def _memory(g: Tiles, const: str) -> Iterator[str]:
    """The parts of the workspace: the sums, the results' side, the images' side."""
    t, size = C_TYPES[g.problem.dtype.name], g.problem.size
    yield f"  {t} *const sums = ({t} *){g.problem.workspace};"
    yield f"  const int64_t positions = {size(g.positions)}, panel = {size(g.panel)};"
    yield f"  {const}{t} *const right = sums + {g.sums};"
    count = g.problem.images * (g.groups * g.blocks)
    yield f"  {const}{t} *const left = right + {size(count)} * positions * {g.wide};"
    yield "  (void)sums; (void)right; (void)left; (void)positions; (void)panel;"


# ---------------------------------------------------------------------------------------- the tiles


def _tile_family(g: Tiles) -> Iterator[str]:
    """`<name>_tile(a, shifts, b, c, more, n0, n1, n2, ay, ax)`: the chains of one image, stored
    in c, or added to it if there is `more`. A machine with narrow vectors cuts the tile up."""
    vectors = g.lines
    yield "#if IG_W == 16"
    yield from _tile(g, g.height, vectors)
    yield "#else"
    if g.depthwise:
        yield from _tile(g, g.height, 1)
    else:
        yield from _tile(g, g.height if g.height <= 6 else g.height // 2, 2)
    yield "#endif"


def _tile(g: Tiles, height: int, vectors: int) -> Iterator[str]:
    name, d = g.problem.name, g.problem.dtype.name
    t, lanes, each = C_TYPES[d], f"{name}_lanes", range(vectors)
    rows = range(height)
    shifts = "const int64_t *shifts, " if g.depthwise else ""
    yield f"enum {{ {name}_some = {height}, {name}_vectors = {vectors} }};"
    yield f"static __attribute__((noinline)) void {name}_tile(const {t} *a, {shifts}const {t} *b,"
    yield f"    {t} *c, int more, int64_t n0, int64_t n1, int64_t n2, int64_t az, int64_t ay,"
    yield "    int64_t ax) {"
    for i in rows:
        yield f"  igv_{d} {', '.join(f's{i}_{j} = {{0}}' for j in each)};"
    if g.depthwise:
        yield f"  const int64_t {', '.join(f'h{i} = shifts[{i}]' for i in rows)};"
    yield "  for (int64_t z = 0; z < n0; z++)"
    yield "    for (int64_t y = 0; y < n1; y++) {"
    yield f"      const {t} *x = a + z * az + y * ay;"
    yield "      for (int64_t k = n2; k > 0; k--) {"
    for j in each:
        yield f"        const igv_{d} b{j} = igv_fetch_{d}(b + {j} * {lanes});"
    for i in rows:
        if g.depthwise:
            for j in each:
                fetch = f"igv_fetch_{d}(x + h{i} + {j} * {lanes})"
                yield f"        s{i}_{j} = igv_fma_{d}({fetch}, b{j}, s{i}_{j});"
            continue
        steps = " ".join(f"s{i}_{j} = igv_fma_{d}(x{i}, b{j}, s{i}_{j});" for j in each)
        yield f"        {{ const igv_{d} x{i} = igv_splat_{d}(x[{i}]); {steps} }}"
    yield f"        x += ax; b += {g.wide};"
    yield "      }"
    yield "    }"
    yield "  if (more) {"
    for i in rows:
        for j in each:
            place = f"c + {i} * {g.wide} + {j} * {lanes}"
            yield f"    s{i}_{j} = igv_add_{d}(igv_fetch_{d}({place}), s{i}_{j});"
    yield "  }"
    for i in rows:
        keep = (f"igv_keep_{d}(c + {i} * {g.wide} + {j} * {lanes}, s{i}_{j});" for j in each)
        yield "  " + " ".join(keep)
    yield "}"


# ------------------------------------------------------------------------------------------ packing


def _pack(g: Tiles) -> Iterator[str]:
    """The kernel that lays out both sides."""
    problem, size = g.problem, g.problem.size
    name, t = problem.name, C_TYPES[problem.dtype.name]
    each = g.groups * g.blocks
    yield f"static void {name}_pack({KERNEL_PARAMETERS}) {{"
    yield "  IG_HEAD"
    yield "  (void)w;"
    yield from _memory(g, "")
    yield f"  const int64_t rights = {size(problem.images * each)};"
    yield "  for (int64_t q = lo; q < hi; q++) {"
    yield "    if (q < rights) {"
    yield from _pack_right(g)
    yield "      continue;"
    yield "    }"
    yield f"    const int64_t image = (q - rights) / {g.panels}, part = (q - rights) % {g.panels};"
    a, b, *_ = (size(s) for s in problem.first.strides)
    yield f"    {t} *out = left + (q - rights) * panel;"
    yield f"    const {t} *const x = {problem.first.pointer} + image * {a};"
    yield from _pack_flat(g, b) if g.flat else _pack_panel(g, b)
    yield "  }"
    yield "}"


def _pack_right(g: Tiles) -> Iterator[str]:
    """One block of the results' channels of an image, side by side, a short stretch of positions at
    a time."""
    problem, size = g.problem, g.problem.size
    t = C_TYPES[problem.dtype.name]
    a, b, *steps = (size(s) for s in problem.second.strides)
    extents = [size(w.output) for w in problem.windows]
    each = g.groups * g.blocks
    yield f"      const int64_t image = q / {each}, first = q % {each} % {g.blocks} * {g.wide};"
    yield f"      const {t} *const y = {problem.second.pointer} + image * {a}"
    yield f"        + (q % {each} / {g.blocks} * {g.across} + first) * {b};"
    yield f"      {t} *out = right + q * positions * {g.wide};"
    yield f"      const int64_t left_over = {g.across} - first;"
    yield f"      const int64_t some = left_over < {g.wide} ? left_over : {g.wide};"
    yield f"      for (int64_t z = 0; z < {extents[0]}; z++)"
    yield f"        for (int64_t v = 0; v < {extents[1]}; v++) {{"
    yield f"          const {t} *const row = y + z * {steps[0]} + v * {steps[1]};"
    yield f"          for (int64_t from = 0; from < {extents[2]}; from += 16) {{"
    yield f"            const int64_t n = {extents[2]} - from < 16 ? {extents[2]} - from : 16;"
    yield "            for (int64_t j = 0; j < some; j++)"
    yield "              for (int64_t i = 0; i < n; i++)"
    yield f"                out[i * {g.wide} + j] = row[j * {b} + (from + i) * {steps[2]}];"
    yield f"            for (int64_t i = 0; i < n && some < {g.wide}; i++)"
    yield f"              for (int64_t j = some; j < {g.wide}; j++) out[i * {g.wide} + j] = 0;"
    yield f"            out += n * {g.wide};"
    yield "          }"
    yield "        }"


def _pack_flat(g: Tiles, channel: str) -> Iterator[str]:
    """All taps of all channels side by side, position by position."""
    problem, size = g.problem, g.problem.size
    *_, s0, s1, s2 = (size(s) for s in problem.first.strides)
    k0, k1, k2 = problem.kernel
    for d in range(RANK):
        yield f"    for (int64_t o{d} = 0; o{d} < {size(problem.windows[d].output)}; o{d}++)"
    yield f"    for (int64_t r = 0; r < {g.height}; r++) {{"
    yield f"      const int64_t row = part % {g.stacked} * {g.height} + r;"
    yield f"      const int64_t c = part / {g.stacked} * {problem.inputs} + row / {problem.taps};"
    taps = (f"row / {k1 * k2} % {k0}", f"row / {k2} % {k1}", f"row % {k2}")
    for d, w in enumerate(problem.windows):
        place = f"o{d} * {w.stride} + {taps[d]} * {w.dilation} - {w.low}"
        yield f"      const int64_t i{d} = {place};"
    inside = " && ".join(
        f"i{d} >= 0 && i{d} < {size(w.image)}" for d, w in enumerate(problem.windows)
    )
    place = f"c * {channel} + i0 * {s0} + i1 * {s1} + i2 * {s2}"
    yield f"      *out++ = row < {g.rows} && {inside} ? x[{place}] : 0;"
    yield "    }"


def _pack_panel(g: Tiles, channel: str) -> Iterator[str]:
    """Planes of a few channels side by side; zeros stand for channels that do not exist."""
    problem, size, sides = g.problem, g.problem.size, g.sides.sides
    *_, s0, s1, s2 = (size(s) for s in problem.first.strides)
    beside, count = (g.wide, problem.groups) if g.depthwise else (g.height, problem.inputs)
    above = g.blocks if g.depthwise else g.stacked
    yield f"    const int64_t first = part % {above} * {beside};"
    yield f"    const int64_t base = part / {above} * {count} + first;"
    yield f"    const int64_t some = {count} - first < {beside} ? {count} - first : {beside};"
    for plane in g.sides.planes:
        for d, side in enumerate(sides[:-1]):
            yield f"    for (int64_t u{d} = 0; u{d} < {size(side.extent)}; u{d}++)"
        yield "    {"
        for d, side in enumerate(sides[:-1]):
            yield f"      const int64_t i{d} = u{d} * {side.step} + {plane[d] - side.shift};"
        limits = [size(s.source) for s in sides[:-1]]
        inside = " && ".join(f"i{d} >= 0 && i{d} < {n}" for d, n in enumerate(limits))
        yield f"      const int within = {inside};"
        last, lead = sides[-1], plane[-1] - sides[-1].shift
        yield f"      for (int64_t u2 = 0; u2 < {size(last.extent)}; u2++, out += {beside}) {{"
        yield f"        const int64_t i2 = u2 * {last.step} + {lead};"
        yield f"        const int here = within && i2 >= 0 && i2 < {size(last.source)};"
        place = f"(base + r) * {channel} + i0 * {s0} + i1 * {s1} + i2 * {s2}"
        yield "        int64_t r = 0;"
        yield f"        if (here) for (; r < some; r++) out[r] = x[{place}];"
        yield f"        for (; r < {beside}; r++) out[r] = 0;"
        yield "      }"
        yield "    }"


# ----------------------------------------------------------------------------------- sums and store


def _sum(g: Tiles) -> Iterator[str]:
    """The kernel of the tiles: a chunk is one tile at one tap, for all images in order."""
    problem, size = g.problem, g.problem.size
    name, t = problem.name, C_TYPES[problem.dtype.name]
    yield f"static void {name}_sum({KERNEL_PARAMETERS}) {{"
    yield "  IG_HEAD"
    yield "  (void)w;"
    yield from _memory(g, "const ")
    yield from _shifts(g)
    beside = g.wide if g.depthwise else g.height
    output = [size(w.output) for w in problem.windows]
    extent = output if g.flat else [size(s.extent) for s in g.sides.sides]
    yield f"  const int64_t ax = {beside}, ay = {extent[2]} * ax, az = {extent[1]} * ay;"
    yield "  for (int64_t q = lo; q < hi; q++) {"
    yield f"    const int64_t tap = q % {g.taps}, tile = q / {g.taps} % {g.stacked};"
    yield f"    const int64_t block = q / {g.taps * g.stacked};"
    yield f"    {t} *const c = sums + q * {g.height * g.wide};"
    part = "block" if g.depthwise else f"block / {g.blocks} * {g.stacked} + tile"
    yield "    (void)tap; (void)tile;"
    yield f"    const int64_t images = {size(problem.images)}, size = {g.height * g.wide};"
    yield "    for (int64_t i = 0; !images && i < size; i++) c[i] = 0;"
    yield "    for (int64_t image = 0; image < images; image++) {"
    yield f"      const {t} *a = left + (image * {g.panels} + {part}) * panel;"
    yield f"      const {t} *const b = right"
    yield f"        + (image * {g.groups * g.blocks} + block) * positions * {g.wide};"
    shifts = ""
    if g.depthwise:
        shifts = f"shifts + tile * {g.height} + r, "
    else:
        yield "      a += shifts[tap];"
    row = "" if g.depthwise else " + r"
    column = " + v" if g.depthwise else ""
    yield f"      for (int64_t v = 0; v < {g.wide}; v += {name}_vectors * {name}_lanes)"
    yield f"        for (int64_t r = 0; r < {g.height}; r += {name}_some)"
    yield f"          {name}_tile(a{row}{column}, {shifts}b + v, c + r * {g.wide} + v, image > 0,"
    yield f"            {', '.join(output)}, az, ay, ax);"
    yield "    }"
    yield "  }"
    yield "}"


def _shifts(g: Tiles) -> Iterator[str]:
    """Where each tap begins in a panel, in elements."""
    if g.flat:
        yield "  static const int64_t shifts[] = {0};"
        return
    size, sides = g.problem.size, g.sides.sides
    e1, e2 = size(sides[1].extent), size(sides[2].extent)
    area, beside = size(g.sides.area), g.wide if g.depthwise else g.height
    ((_, taps),) = g.sides.phases
    found = [
        f"({tap.plane} * {area} + ({tap.shifts[0]} * {e1} + {tap.shifts[1]}) * {e2}"
        f" + {tap.shifts[2]}) * {beside}"
        for tap in taps
    ]
    if g.depthwise:
        found += ["0"] * (g.height * g.stacked - len(found))
    yield f"  const int64_t shifts[] = {{{', '.join(found)}}};"


def _store(g: Tiles) -> Iterator[str]:
    """The kernel that brings a row of the result together, and stores it."""
    problem = g.problem
    name, d = problem.name, problem.dtype.name
    t, columns, count = C_TYPES[d], group(problem.dtype), problem.inputs * problem.taps
    yield f"static void {name}({KERNEL_PARAMETERS}) {{"
    yield "  IG_HEAD"
    yield from _memory(g, "const ")
    yield f"  {t} *const ready = ({t} *)w->scratch;"
    yield "  const int64_t batch = 0;"
    yield "  (void)batch;"
    yield "  for (int64_t row = lo; row < hi; row++) {"
    yield f"    const int64_t block = row / {g.across} * {g.blocks} + row % {g.across} / {g.wide};"
    yield f"    const int64_t lane = row % {g.across} % {g.wide};"
    tile = g.height * g.wide
    yield f"    for (int64_t i = 0; i < {count}; i++) {{"
    line, tap = "i", "0"
    if not g.flat and not g.depthwise:
        line, tap = f"i / {problem.taps}", f"i % {problem.taps}"
    yield f"      const int64_t line = {line}, tap = {tap};"
    place = f"(block * {g.stacked} + line / {g.height}) * {g.taps} + tap"
    yield f"      const {t} *const c = sums + ({place}) * {tile};"
    yield f"      ready[i] = c[line % {g.height} * {g.wide} + lane];"
    yield "    }"
    yield f"    for (int64_t column = 0; column < {count}; column += {columns}) {{"
    left = f"{count} - column"
    yield f"      const int lanes = (int)({left} < {columns} ? {left} : {columns});"
    yield f"      const ig{columns}_{d} value = ig{columns}_load_{d}(ready + column, {columns});"
    for text in problem.store.lines(
        batch="batch", row="row", column="column", lanes=columns, count="lanes", value="value"
    ):
        yield "      " + text
    yield "    }"
    yield "  }"
    yield "}"
