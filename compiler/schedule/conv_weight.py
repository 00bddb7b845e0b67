"""The vector kernels of `conv_weight`: chains over the positions of an image, many side by side.

What flowed back to the results is laid out with its channels side by side, so that vectors run over
them; the images are laid out as zero-padded planes (`conv_planes` tells of their phases) of a line
of channels side by side, whose elements are broadcast. A tile is a few rows (input channels at one
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
from intaglio.compiler.dims import Size, bounds, floordiv, product
from intaglio.compiler.schedule.conv_gather import KERNEL_PARAMETERS
from intaglio.compiler.schedule.conv_planes import Gather
from intaglio.compiler.schedule.convolution import RANK, Convolution
from intaglio.compiler.schedule.matmul_pack import pack_call, pack_text
from intaglio.compiler.schedule.matmul_tile import group, lanes_text
from intaglio.compiler.schedule.template import Matrix, Product, Step, TemplateResult

FEW_CHANNELS = 4
"""Up to so many channels of images all their taps become rows."""
MOST_ROWS = 12
"""Rows of a tile at most, where they are taps."""
ROWS = 8
"""Rows of a tile where they are channels: a part of a line."""


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
        return p.groups != 1 and p.inputs == p.outputs == 1

    @property
    def flat(self) -> bool:
        """Whether all taps are rows."""
        inputs = self.problem.inputs
        return not self.depthwise and isinstance(inputs, int) and inputs <= FEW_CHANNELS

    @property
    def groups(self) -> Size:
        """Groups that are computed one by one."""
        return 1 if self.depthwise else self.problem.groups

    @property
    def across(self) -> Size:
        """Channels of the results that vectors run over."""
        return self.problem.groups if self.depthwise else self.problem.outputs

    @property
    def line(self) -> int:
        """Elements of a line of the cache: so many channels of an image lie side by side."""
        return 64 // self.problem.dtype.size

    @property
    def lines(self) -> int:
        """Lines of the results' channels in a tile."""
        return 1 if self.depthwise or bounds(self.across)[1] <= self.line else 2

    @property
    def wide(self) -> int:
        """Channels of the results in a tile."""
        return self.lines * self.line

    @property
    def blocks(self) -> Size:
        """Tiles across."""
        return ceiling(self.across, self.wide)

    @property
    def rows(self) -> Size:
        """Rows of all tiles above each other."""
        if self.depthwise:
            return self.problem.taps
        return self.problem.inputs * (self.problem.taps if self.flat else 1)

    @property
    def height(self) -> int:
        """Rows of a tile: parts of a line, or nearly equal pieces, which narrow vectors halve."""
        if not self.flat and not self.depthwise:
            return ROWS
        rows = self.rows
        assert isinstance(rows, int)
        height = -(-rows // -(-rows // MOST_ROWS))
        return height if self.depthwise or height <= 6 else -(-height // 2) * 2

    @property
    def stacked(self) -> Size:
        """Tiles above each other."""
        return ceiling(self.rows, self.height)

    @property
    def taps(self) -> int:
        """How often there are tiles for other taps."""
        return 1 if self.flat or self.depthwise else self.problem.taps

    @property
    def positions(self) -> Size:
        """Positions of an image."""
        return product(tuple(w.output for w in self.problem.windows))

    @property
    def beside(self) -> int:
        """Elements of a panel side by side."""
        return self.height if self.flat else self.line

    @property
    def panel(self) -> Size:
        """Elements of a panel: of one tile's rows where they are taps, else of a line of
        channels."""
        if self.flat:
            return self.positions * self.beside
        return self.sides.area * (len(self.sides.planes) * self.beside)

    @property
    def above(self) -> Size:
        """Panels of a group of an image."""
        if self.flat:
            return self.stacked
        return ceiling(self.problem.groups if self.depthwise else self.rows, self.line)

    @property
    def panels(self) -> Size:
        """Panels of an image."""
        return self.groups * self.above

    @property
    def sums(self) -> Size:
        """Elements of all tiles."""
        return self.groups * self.blocks * self.stacked * (self.taps * self.height * self.wide)


def ceiling(size: Size, step: int) -> Size:
    """How many steps cover a size."""
    return floordiv(size + (step - 1), step)


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
    yield f"  {const}{t} *const right = sums + {size(g.sums)};"
    yield f"  const int64_t blocks = {size(g.blocks)}, each = {size(g.groups * g.blocks)};"
    yield f"  const int64_t images = {size(g.problem.images)}, across = {size(g.across)};"
    yield f"  const int64_t above = {size(g.above)}, panels = {size(g.panels)};"
    yield f"  const int64_t stacked = {size(g.stacked)};"
    yield f"  {const}{t} *const left = right + images * each * positions * {g.wide};"
    yield "  (void)sums; (void)right; (void)left; (void)positions; (void)panel; (void)blocks;"
    yield "  (void)each; (void)images; (void)across; (void)above; (void)panels; (void)stacked;"


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


def _turning(g: Tiles, side: str, matrix: Matrix) -> Product:
    """What the packing of matrix products is told about one side: positions are its rows, channels
    its columns."""
    p = g.problem
    nothing = Matrix("", (), 0, 0)
    name = f"{p.name}_{side}"
    return Product(name, p.dtype, (), 1, 1, 1, nothing, matrix, "", p.store, p.size)


def _turnings(g: Tiles) -> tuple[Product, Product]:
    """The images' side, and the results' side."""
    x, y = g.problem.first.strides, g.problem.second.strides
    left = Matrix("", (), x[-1] * g.sides.sides[-1].step, x[1])
    # Dims of one element have no stride, but dense positions lie side by side in any of them.
    right = Matrix("", (), 1 if _is_dense(g.problem) else y[-1], y[1])
    return _turning(g, "x", left), _turning(g, "y", right)


def _pack(g: Tiles) -> Iterator[str]:
    """The kernel that lays out both sides."""
    problem, size = g.problem, g.problem.size
    name, t = problem.name, C_TYPES[problem.dtype.name]
    left, right = _turnings(g)
    for turning, panel in ((left, g.line), (right, g.wide)):
        yield f"enum {{ {turning.name}_lanes = {name}_lanes, {turning.name}_panel = {panel} }};"
        if turning is right or not g.flat:
            yield pack_text(turning)
    yield f"static void {name}_pack({KERNEL_PARAMETERS}) {{"
    yield "  IG_HEAD"
    yield "  (void)w;"
    yield from _memory(g, "")
    yield "  const int64_t rights = images * each;"
    yield "  for (int64_t q = lo; q < hi; q++) {"
    yield "    if (q < rights) {"
    yield from _pack_right(g, right)
    yield "      continue;"
    yield "    }"
    yield "    const int64_t image = (q - rights) / panels, part = (q - rights) % panels;"
    a, b, *_ = (size(s) for s in problem.first.strides)
    yield f"    {t} *out = left + (q - rights) * panel;"
    yield f"    const {t} *const x = {problem.first.pointer} + image * {a};"
    yield from _pack_flat(g, b) if g.flat else _pack_panel(g, b, left)
    yield "  }"
    yield "}"


def _pack_right(g: Tiles, turning: Product) -> Iterator[str]:
    """One block of the results' channels of an image, side by side."""
    problem, size = g.problem, g.problem.size
    t = C_TYPES[problem.dtype.name]
    a, b, *steps = (size(s) for s in problem.second.strides)
    extents = [size(w.output) for w in problem.windows]
    yield f"      const int64_t image = q / each, first = q % each % blocks * {g.wide};"
    yield f"      const {t} *const y = {problem.second.pointer} + image * {a}"
    yield f"        + (q % each / blocks * across + first) * {b};"
    yield f"      {t} *out = right + q * positions * {g.wide};"
    yield "      const int64_t left_over = across - first;"
    yield f"      const int64_t width = left_over < {g.wide} ? left_over : {g.wide};"
    if _is_dense(problem):
        yield f"      {pack_call(turning, 'y', 'positions', 'out')}"
        return
    yield f"      for (int64_t z = 0; z < {extents[0]}; z++)"
    yield f"        for (int64_t v = 0; v < {extents[1]}; v++, out += {extents[2]} * {g.wide}) {{"
    source = f"y + z * {steps[0]} + v * {steps[1]}"
    yield f"          {pack_call(turning, source, extents[2], 'out')}"
    yield "        }"


def _is_dense(problem: Convolution) -> bool:
    """Whether the positions of what flowed back lie one after the other."""
    step: Size = 1
    for window, stride in reversed(
        tuple(zip(problem.windows, problem.second.strides[2:], strict=True))
    ):
        if window.output != 1 and stride != step:
            return False
        step = step * window.output
    return True


def _pack_flat(g: Tiles, channel: str) -> Iterator[str]:
    """All taps of all channels side by side, position by position."""
    problem, size, t = g.problem, g.problem.size, C_TYPES[g.problem.dtype.name]
    *_, s0, s1, s2 = (size(s) for s in problem.first.strides)
    k0, k1, k2 = problem.kernel
    z, y, x = problem.windows
    yield f"    for (int64_t r = 0; r < {g.height}; r++) {{"
    yield f"      const int64_t row = part % above * {g.height} + r;"
    yield f"      const int64_t c = part / above * {problem.inputs} + row / {problem.taps};"
    taps = (f"row / {k1 * k2} % {k0}", f"row / {k2} % {k1}", f"row % {k2}")
    for d, w in enumerate(problem.windows):
        yield f"      const int64_t a{d} = {taps[d]} * {w.dilation} - {w.low};"
    yield f"      {t} *o = out + r;"
    yield f"      for (int64_t z = 0; z < {size(z.output)}; z++)"
    yield f"        for (int64_t y = 0; y < {size(y.output)}; y++) {{"
    yield f"          const int64_t i0 = z * {z.stride} + a0, i1 = y * {y.stride} + a1;"
    limits = [size(w.image) for w in problem.windows]
    inside = " && ".join(f"i{d} >= 0 && i{d} < {n}" for d, n in enumerate(limits[:2]))
    yield f"          const int within = row < {g.rows} && {inside};"
    place = f"c * {channel} + i0 * {s0} + i1 * {s1}"
    yield f"          const {t} *const from = x + (within ? {place} : 0);"
    yield f"          for (int64_t v = 0; v < {size(x.output)}; v++, o += {g.height}) {{"
    yield f"            const int64_t i2 = v * {x.stride} + a2;"
    yield f"            *o = within && i2 >= 0 && i2 < {limits[2]} ? from[i2 * {s2}] : 0;"
    yield "          }"
    yield "        }"
    yield "    }"


def _pack_panel(g: Tiles, channel: str, turning: Product) -> Iterator[str]:
    """Planes of a line of channels side by side; zeros stand for channels that do not exist."""
    problem, size, sides = g.problem, g.problem.size, g.sides.sides
    t, line = C_TYPES[problem.dtype.name], g.line
    *_, s0, s1, s2 = (size(s) for s in problem.first.strides)
    count = size(problem.groups if g.depthwise else problem.inputs)
    yield f"    const int64_t first = part % above * {line}, rest = {count} - first;"
    yield f"    const {t} *const from = x + (part / above * {count} + first) * {channel};"
    yield f"    const int64_t width = rest < {line} ? rest : {line};"
    limits = [size(s.source) for s in sides]
    last, extent = sides[-1], size(sides[-1].extent)
    for plane in g.sides.planes:
        lead = plane[-1] - last.shift
        for d, side in enumerate(sides[:-1]):
            yield f"    for (int64_t u{d} = 0; u{d} < {size(side.extent)}; u{d}++)"
        yield "    {"
        for d, side in enumerate(sides[:-1]):
            yield f"      const int64_t i{d} = u{d} * {side.step} + {plane[d] - side.shift};"
        inside = " && ".join(f"i{d} >= 0 && i{d} < {limits[d]}" for d in range(RANK - 1))
        yield f"      int64_t begin = {max(0, -(lead // last.step))};"
        yield f"      int64_t end = ({limits[-1]} - {lead} + {last.step - 1}) / {last.step};"
        yield f"      if (end > {extent}) end = {extent};"
        yield f"      if (!({inside}) || end < begin) begin = end = {extent};"
        yield f"      for (int64_t i = 0; i < begin * {line}; i++) out[i] = 0;"
        place = f"i0 * {s0} + i1 * {s1} + (begin * {last.step} + {lead}) * {s2}"
        call = pack_call(turning, f"from + {place}", "end - begin", f"out + begin * {line}")
        yield f"      if (begin < end) {{ {call} }}"
        yield f"      for (int64_t i = end * {line}; i < {extent} * {line}; i++) out[i] = 0;"
        yield f"      out += {extent} * {line};"
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
    output = [size(w.output) for w in problem.windows]
    extent = output if g.flat else [size(s.extent) for s in g.sides.sides]
    yield f"  const int64_t ax = {g.beside}, ay = {extent[2]} * ax, az = {extent[1]} * ay;"
    yield "  for (int64_t q = lo; q < hi; q++) {"
    yield f"    const int64_t tap = q % {g.taps}, tile = q / {g.taps} % stacked;"
    yield f"    const int64_t block = q / {g.taps} / stacked;"
    yield f"    {t} *const c = sums + q * {g.height * g.wide};"
    part = "block / blocks * above"
    if g.depthwise:
        part = "block"
    elif g.flat:
        part += " + tile"
    else:
        part += f" + tile / {g.line // ROWS}"
    yield "    (void)tap; (void)tile;"
    yield f"    const int64_t size = {g.height * g.wide};"
    yield "    for (int64_t i = 0; !images && i < size; i++) c[i] = 0;"
    yield "    for (int64_t image = 0; image < images; image++) {"
    yield f"      const {t} *a = left + (image * panels + {part}) * panel;"
    yield f"      const {t} *const b = right"
    yield f"        + (image * each + block) * positions * {g.wide};"
    shifts = ""
    if g.depthwise:
        shifts = f"shifts + tile * {g.height} + r, "
    else:
        within = f" + tile % {g.line // ROWS} * {ROWS}" if g.line > ROWS and not g.flat else ""
        yield f"      a += shifts[tap]{within};"
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
    area, beside = size(g.sides.area), g.beside
    ((_, taps),) = g.sides.phases
    found = [
        f"({tap.plane} * {area} + ({tap.shifts[0]} * {e1} + {tap.shifts[1]}) * {e2}"
        f" + {tap.shifts[2]}) * {beside}"
        for tap in taps
    ]
    if g.depthwise:
        assert isinstance(g.stacked, int)
        found += ["0"] * (g.height * g.stacked - len(found))
    yield f"  const int64_t shifts[] = {{{', '.join(found)}}};"


def _store(g: Tiles) -> Iterator[str]:
    """The kernel that brings a row of the result together, and stores it."""
    problem = g.problem
    name, d = problem.name, problem.dtype.name
    t, columns = C_TYPES[d], group(problem.dtype)
    count = problem.size(problem.inputs * problem.taps)
    yield f"static void {name}({KERNEL_PARAMETERS}) {{"
    yield "  IG_HEAD"
    yield from _memory(g, "const ")
    yield f"  {t} *const ready = ({t} *)w->scratch;"
    yield "  const int64_t batch = 0;"
    yield "  (void)batch;"
    yield "  for (int64_t row = lo; row < hi; row++) {"
    yield f"    const int64_t block = row / across * blocks + row % across / {g.wide};"
    yield f"    const int64_t lane = row % across % {g.wide};"
    tile = g.height * g.wide
    yield f"    for (int64_t i = 0; i < {count}; i++) {{"
    line, tap = "i", "0"
    if not g.flat and not g.depthwise:
        line, tap = f"i / {problem.taps}", f"i % {problem.taps}"
    yield f"      const int64_t line = {line}, tap = {tap};"
    place = f"(block * stacked + line / {g.height}) * {g.taps} + tap"
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
