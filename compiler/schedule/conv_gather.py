"""The vector kernels of `conv` and `conv_input`: results gathered from zero-padded planes.

Both are one thing seen from two sides: `conv_planes` tells of planes and phases. A row of registers
runs over a plane as if it were one long row and so serves several rows of results at once; the few
elements between two rows are computed in vain. An image that is not padded is its own plane.

Two kernels: `<name>_pack` makes the planes, and brings weights into the order of the chains;
`<name>` runs tiles of a few channels x a few vectors over strips of the planes, takes out the
results that exist, and stores them through the epilogue. The order of the chain is the op's: blocks
of 16 channels, taps, channels of the block, and so no cutting changes a bit.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from intaglio.compiler.codegen.numbers import C_TYPES
from intaglio.compiler.dims import Size
from intaglio.compiler.ops.convolution import CHANNEL_BLOCK
from intaglio.compiler.schedule.conv_planes import STRIP, Gather, tile_shape
from intaglio.compiler.schedule.convolution import RANK, Convolution
from intaglio.compiler.schedule.matmul_tile import group, lanes_text
from intaglio.compiler.schedule.template import Step, TemplateResult

KERNEL_PARAMETERS = "const ig_worker *w, const void *args, int64_t lo, int64_t hi"


def gather_kernels(problem: Convolution) -> TemplateResult:
    """The C text of the kernels with their steps and the memory they need."""
    g = Gather(problem)
    channels = problem.images * (problem.groups * g.chain)
    planes = 0 if g.in_place else channels * g.area * len(g.planes)
    text = "\n".join([*_constants(g), *_tiles(g), *_pack(g), *_main(g)]) + "\n"
    size = problem.dtype.size
    packing = planes // (2000 // size) + g.weight_elements + 100
    packed = problem.groups * g.tiles + (0 if g.in_place else channels)
    chunks = problem.images * (problem.groups * g.tiles) * g.strips
    steps = (
        Step(f"{problem.name}_pack", packed, packing),
        Step(problem.name, chunks, problem.nanoseconds),
    )
    return TemplateResult(
        text=text,
        steps=steps,
        workspace=(planes + (g.weight_elements + g.slack)) * size,
        scratch=_scratch_elements(g)[2] * size,
    )


def _scratch_elements(g: Gather) -> tuple[Size, Size, Size]:
    """Elements per thread: of a row of a tile, of a row of results, and of everything."""
    rows = tile_shape(g.made)[0]
    row = (g.pitch + STRIP) + 2 * g.slack
    made = row if g.problem.kind != "conv_input" else row * len(g.phases)
    return row, made, g.slack + row * rows + made * (rows if len(g.phases) > 1 else 1)


def _constants(g: Gather) -> Iterator[str]:
    name, rows = g.problem.name, tile_shape(g.made)
    yield f"enum {{ {name}_rows = {rows[0]}, {name}_lanes = {lanes_text(g.problem.dtype)} }};"


# ---------------------------------------------------------------------------------------- the tiles


def _tiles(g: Gather) -> Iterator[str]:
    """The tile functions `<name>_t(vectors)(a, b, c, cr, shifts, taps, area)` for both families."""
    rows, wide, few, narrow = tile_shape(g.made)
    yield "#if IG_W == 16"
    yield from _family(g, rows, wide)
    yield "#else"
    yield from _family(g, few, narrow)
    yield "#endif"


def widths(vectors: int) -> tuple[int, ...]:
    """The widths of the tiles that are printed, the widest first."""
    return (8, 4, 2, 1) if vectors == 8 else tuple(range(vectors, 0, -1))


def _family(g: Gather, rows: int, vectors: int) -> Iterator[str]:
    name, t = g.problem.name, C_TYPES[g.problem.dtype.name]
    parameters = f"const {t} *a, const {t} *b, {t} *c, int64_t cr, const int64_t *shifts"
    parameters += ", int64_t taps, int64_t area"
    if not isinstance(g.chain, int):
        parameters += ", int64_t chain"
    yield f"enum {{ {name}_height = {rows}, {name}_vectors = {vectors} }};"
    yield f"typedef void (*{name}_tile)({parameters});"
    for width in widths(vectors):
        yield from _tile(g, parameters, rows, width)
    best = [min(w for w in widths(vectors) if w >= k) for k in range(1, vectors + 1)]
    entries = ", ".join(f"{name}_t{w}" for w in best)
    yield f"static const {name}_tile {name}_table[{vectors + 1}] = {{0, {entries}}};"
    if g.in_place:
        entries = ", ".join(map(str, best))
        yield f"static const int64_t {name}_widths[{vectors + 1}] = {{0, {entries}}};"


def _tile(g: Gather, parameters: str, rows: int, vectors: int) -> Iterator[str]:
    """One tile in registers: the chains of `rows` channels x `vectors` vectors of places."""
    name, d = g.problem.name, g.problem.dtype.name
    t, lanes, each = C_TYPES[d], f"{name}_lanes", range(vectors)
    chain = g.chain if isinstance(g.chain, int) else "chain"
    yield f"static __attribute__((noinline)) void {name}_t{vectors}({parameters}) {{"
    for i in range(rows):
        yield f"  igv_{d} {', '.join(f's{i}_{j} = {{0}}' for j in each)};"
    yield f"  for (int64_t block = 0; block < {chain}; block += {CHANNEL_BLOCK}) {{"
    left = f"{chain} - block"
    yield f"    const int64_t some = {left} < {CHANNEL_BLOCK} ? {left} : {CHANNEL_BLOCK};"
    yield "    for (int64_t t = 0; t < taps; t++) {"
    yield f"      const {t} *x = b + block * area + shifts[t];"
    yield "      for (int64_t k = some; k > 0; k--) {"
    for j in each:
        yield f"        const igv_{d} x{j} = igv_fetch_{d}(x + {j} * {lanes});"
    for i in range(rows):
        steps = " ".join(f"s{i}_{j} = igv_fma_{d}(f{i}, x{j}, s{i}_{j});" for j in each)
        yield f"        {{ const igv_{d} f{i} = igv_splat_{d}(a[{i}]); {steps} }}"
    yield f"        x += area; a += {name}_rows;"
    yield "      }"
    yield "    }"
    yield "  }"
    for i in range(rows):
        keep = (f"igv_keep_{d}(c + {i} * cr + {j} * {lanes}, s{i}_{j});" for j in each)
        yield "  " + " ".join(keep)
    yield "}"


# ------------------------------------------------------------------------------------------ packing


def _pack(g: Gather) -> Iterator[str]:
    """The kernel that makes the planes, and the weights in the order of the chains."""
    problem, size = g.problem, g.problem.size
    name, t = problem.name, C_TYPES[problem.dtype.name]
    yield f"static void {name}_pack({KERNEL_PARAMETERS}) {{"
    yield "  IG_HEAD"
    yield "  (void)w;"
    yield from _channels(g)
    yield f"  {t} *const packed = ({t} *){problem.workspace};"
    yield f"  {t} *const planes = packed + {size(g.weight_elements)};"
    yield "  const int64_t weights = groups * tiles, channels = groups * chain;"
    yield "  (void)channels;"
    yield "  for (int64_t q = lo; q < hi; q++) {"
    yield "    if (q < weights) {"
    yield from _pack_weights(g)
    yield "      continue;"
    yield "    }"
    if g.in_place:
        yield "    (void)planes;"
        yield "  }"
        yield "}"
        return
    yield "    const int64_t image = (q - weights) / channels;"
    yield "    const int64_t channel = (q - weights) % channels;"
    first, second, *steps = (size(s) for s in problem.first.strides)
    yield f"    const {t} *x = {problem.first.pointer};"
    yield f"    x += image * {first} + channel * {second};"
    yield f"    {t} *out = planes + (q - weights) * {size(g.area * len(g.planes))};"
    for plane in g.planes:
        yield from _pack_plane(g, plane, steps)
    yield "  }"
    yield "}"


def _pack_plane(g: Gather, plane: Sequence[int], steps: Sequence[str]) -> Iterator[str]:
    """One plane: rows of zeros, and rows with what exists of the source in between."""
    t, size = C_TYPES[g.problem.dtype.name], g.problem.size
    last = g.sides[-1]
    for d, side in enumerate(g.sides[:-1]):
        yield f"    for (int64_t u{d} = 0; u{d} < {size(side.extent)}; u{d}++)"
    yield "    {"
    for d, side in enumerate(g.sides[:-1]):
        yield f"      const int64_t i{d} = u{d} * {side.step} + {plane[d] - side.shift};"
    inside = " && ".join(
        f"i{d} >= 0 && i{d} < {size(s.source)}" for d, s in enumerate(g.sides[:-1])
    )
    lead = plane[-1] - last.shift
    begin = max(0, -(lead // last.step))
    yield f"      const int64_t extent = {size(last.extent)}, source = {size(last.source)};"
    yield "      int64_t u = 0;"
    yield f"      if ({inside}) {{"
    place = " + ".join(f"i{d} * {s}" for d, s in enumerate(steps[:-1]))
    yield f"        const {t} *const row = x + {place};"
    yield f"        int64_t end = (source - {lead} + {last.step - 1}) / {last.step};"
    yield "        if (end > extent) end = extent;"
    if begin:
        yield f"        for (; u < {begin} && u < extent; u++) out[u] = 0;"
    at = f"u * {last.step} + {lead}" if last.step != 1 else f"u + {lead}"
    read = f"row[{at}]" if steps[-1] == "1" else f"row[({at}) * {steps[-1]}]"
    yield f"        for (; u < end; u++) out[u] = {read};"
    yield "      }"
    yield "      for (; u < extent; u++) out[u] = 0;"
    yield "      out += extent;"
    yield "    }"


def _pack_weights(g: Gather) -> Iterator[str]:
    """The weights of one tile of channels: phase by phase, in each block by block, tap by tap,
    channel by channel, the rows of the tile side by side."""
    problem, name = g.problem, g.problem.name
    t, forward = C_TYPES[problem.dtype.name], problem.kind != "conv_input"
    o, c, *steps = (problem.size(s) for s in problem.second.strides)
    row, along = (o, c) if forward else (c, o)
    outputs = "made" if forward else "chain"
    yield f"      const int64_t group = q / tiles, first = q % tiles * {name}_rows;"
    yield f"      const {t} *const k = {problem.second.pointer} + group * {outputs} * {o};"
    yield f"      {t} *out = packed + q * {problem.taps} * chain * {name}_rows;"
    order = [tap.number for _, taps in g.phases for tap in taps]
    ends, total = [], 0
    for _, taps in g.phases:
        total += len(taps)
        ends.append(total)
    yield f"      static const int64_t order[] = {{{', '.join(map(str, order))}}};"
    yield f"      static const int64_t ends[] = {{{', '.join(map(str, ends))}}};"
    yield f"      for (int64_t phase = 0, from = 0; phase < {len(ends)}; from = ends[phase++])"
    yield f"      for (int64_t block = 0; block < chain; block += {CHANNEL_BLOCK})"
    yield "      for (int64_t n = from; n < ends[phase]; n++) {"
    k0, k1, k2 = problem.kernel
    apart = f"order[n] / {k1 * k2} * {steps[0]} + order[n] / {k2} % {k1} * {steps[1]}"
    yield f"        const int64_t tap = {apart} + order[n] % {k2} * {steps[2]};"
    yield f"        const int64_t end = block + {CHANNEL_BLOCK};"
    yield "        const int64_t stop = end < chain ? end : chain;"
    yield f"        const {t} *s = k + first * {row} + block * {along} + tap;"
    yield f"        if (first + {name}_rows <= made)"
    yield f"          for (int64_t j = block; j < stop; j++, s += {along}, out += {name}_rows)"
    yield f"            for (int64_t r = 0; r < {name}_rows; r++) out[r] = s[r * {row}];"
    yield "        else"
    yield f"          for (int64_t j = block; j < stop; j++, s += {along}, out += {name}_rows)"
    yield f"            for (int64_t r = 0; r < {name}_rows; r++)"
    yield f"              out[r] = first + r < made ? s[r * {row}] : 0;"
    yield "      }"


# ------------------------------------------------------------------------------------ the main loop


def _main(g: Gather) -> Iterator[str]:
    """The kernel: a chunk is one strip of the results of one tile of channels of one image."""
    problem, size = g.problem, g.problem.size
    name, t = problem.name, C_TYPES[problem.dtype.name]
    dim = g.strip_dim
    yield f"static void {name}({KERNEL_PARAMETERS}) {{"
    yield "  IG_HEAD"
    yield from _channels(g)
    yield f"  const {t} *const packed = (const {t} *){problem.workspace};"
    yield f"  const {t} *const planes = packed + {size(g.weight_elements)};"
    yield from _names(g)
    yield "  for (int64_t q = lo; q < hi; q++) {"
    yield "    const int64_t tile = q % tiles, strip = q / tiles % strips;"
    yield "    const int64_t group = q / tiles / strips % groups;"
    yield "    const int64_t batch = q / tiles / strips / groups;"
    yield f"    const int64_t first = group * made + tile * {name}_rows;"
    yield f"    const int64_t left = made - tile * {name}_rows;"
    yield f"    const int64_t height = left < {name}_rows ? left : {name}_rows;"
    yield f"    const int64_t start = strip * depth, some = q{dim} - start;"
    yield "    const int64_t deep = some < depth ? some : depth;"
    if g.in_place:
        image, channel = (size(s) for s in problem.first.strides[:2])
        yield "    (void)planes;"
        yield f"    const {t} *const x = {problem.first.pointer} + batch * {image}"
        yield f"      + group * chain * {channel} + start * pitch;"
    else:
        yield f"    const {t} *const x = planes + (batch * groups + group) * chain * plane_area"
        yield "      + start * pitch;"
    tile = f"(group * tiles + tile) * {problem.taps} * chain"
    yield f"    const {t} *a = packed + {tile} * {name}_rows;"
    yield from _extent(g)
    yield from _bounds(g)
    done = 0
    for phase, taps in g.phases:
        yield "    {"
        yield from _run(g, done, len(taps))
        yield from _take(g, phase)
        yield "    }"
        done += len(taps)
    if _collects(g):
        yield "    for (int64_t r = 0; r < height; r++) {"
        yield "      const int64_t row = first + r;"
        yield f"      const {t} *const ready = rows_made + r * made_row;"
        yield from _finish(g, "ready")
        yield "    }"
    yield "  }"
    yield "}"


def _channels(g: Gather) -> Iterator[str]:
    """Names for numbers of channels: of groups, of the chain and made in a group, of tiles."""
    size, groups = g.problem.size, g.problem.groups
    yield f"  const int64_t groups = {size(groups)}, chain = {size(g.chain)};"
    yield f"  const int64_t made = {size(g.made)}, tiles = {size(g.tiles)};"
    yield "  (void)groups; (void)chain; (void)made; (void)tiles;"


def _names(g: Gather) -> Iterator[str]:
    """Names for this thread's scratch and for sizes."""
    size, name, t = g.problem.size, g.problem.name, C_TYPES[g.problem.dtype.name]
    row, made, _ = _scratch_elements(g)
    sides = g.sides
    yield f"  {t} *const held = ({t} *)w->scratch + {g.slack};"
    yield f"  const int64_t held_row = {size(row)}, area = {size(g.area)};"
    yield f"  const int64_t strips = {size(g.strips)};"
    if _collects(g):
        yield f"  {t} *const rows_made = held + {name}_rows * held_row;"
        yield f"  const int64_t made_row = {size(made)};"
    yield f"  const int64_t pitch = {size(g.pitch)}, depth = {size(g.depth)};"
    for d in range(RANK):
        yield (
            f"  const int64_t e{d} = {size(sides[d].extent)}, q{d} = {size(sides[d].places)},"
            f" n{d} = {size(sides[d].result)};"
        )
        yield f"  (void)e{d}; (void)q{d}; (void)n{d};"
    yield f"  const int64_t columns = n0 * n1 * n2, plane_area = area * {len(g.planes)};"
    yield from _shifts(g)


def _collects(g: Gather) -> bool:
    """Whether a strip's results of all rows are brought together before they are stored."""
    return len(g.phases) > 1


def _shifts(g: Gather) -> Iterator[str]:
    """Where each tap reads in the planes, phase by phase."""
    found = [
        f"{tap.plane} * area + ({tap.shifts[0]} * e1 + {tap.shifts[1]}) * e2 + {tap.shifts[2]}"
        for _, taps in g.phases
        for tap in taps
    ]
    yield f"  const int64_t shifts[] = {{{', '.join(found)}}};"


def _extent(g: Gather) -> Iterator[str]:
    """Over how many elements of a plane a strip runs: up to the last place that exists."""
    counts = [f"q{d}" for d in range(RANK)]
    counts[g.strip_dim] = "deep"
    z, y, x = counts
    yield f"    const int64_t flat = (({z} - 1) * e1 + {y} - 1) * e2 + {x};"


def _bounds(g: Gather) -> Iterator[str]:
    """The results of this strip: from which to which along the strip's dim, and their column."""
    dim, side = g.strip_dim, g.sides[g.strip_dim]
    inner = " * ".join([f"n{d}" for d in range(dim + 1, RANK)] or ["1"])
    yield f"    int64_t from = start * {side.stride} - {side.low};"
    yield f"    int64_t to = from + deep * {side.stride};"
    yield "    if (from < 0) from = 0;"
    yield f"    if (to > n{dim}) to = n{dim};"
    yield f"    const int64_t column0 = from * {inner}, count = (to - from) * {inner};"
    yield "    (void)from; (void)to; (void)column0; (void)count; (void)columns;"


def _run(g: Gather, done: int, taps: int) -> Iterator[str]:
    """All tiles of one phase of a strip."""
    name = g.problem.name
    yield f"      const int64_t step = {name}_vectors * {name}_lanes;"
    yield f"      for (int64_t r = 0; r < height; r += {name}_height)"
    yield "        for (int64_t f = 0; f < flat; f += step) {"
    yield f"          int64_t vectors = (flat - f + {name}_lanes - 1) / {name}_lanes;"
    yield f"          if (vectors > {name}_vectors) vectors = {name}_vectors;"
    at, chain = "f", "" if isinstance(g.chain, int) else ", chain"
    if g.in_place:
        yield f"          const int64_t past = f + {name}_widths[vectors] * {name}_lanes - flat;"
        yield "          const int64_t at = past > 0 ? f - past : f;"
        at = "at"
    yield f"          {name}_table[vectors](a + {done} * chain * {name}_rows + r, x + {at},"
    yield f"            held + r * held_row + {at}, held_row, shifts + {done}, {taps}, plane_area"
    yield f"            {chain});"
    yield "        }"


def _take(g: Gather, phase: Sequence[int]) -> Iterator[str]:
    """The results of a phase that exist, out of the rows of tiles."""
    t = C_TYPES[g.problem.dtype.name]
    dim, sides = g.strip_dim, g.sides
    if _collects(g):
        yield "      for (int64_t r = 0; r < height; r++) {"
        yield f"        const {t} *const from_row = held + r * held_row;"
        yield f"        {t} *const to_row = rows_made + r * made_row;"
        names = ("z", "y", "x")
        for d, axis in enumerate(names):
            most = "deep" if d == dim else f"q{d}"
            yield f"        for (int64_t {axis} = 0; {axis} < {most}; {axis}++) {{"
            base = f"({axis} + start)" if d == dim else axis
            offset = phase[d] - sides[d].low
            yield f"          const int64_t i{d} = {base} * {sides[d].stride} + {offset};"
            yield f"          if (i{d} < 0 || i{d} >= n{d}) continue;"
        place = "(i0 * n1 + i1) * n2 + i2 - column0"
        yield f"          to_row[{place}] = from_row[(z * e1 + y) * e2 + x];"
        yield "        }}}"
        yield "      }"
        return
    plain = g.problem.store.plain
    gaps = " || ".join(f"q{d} != e{d}" for d in range(max(dim, 0) + 1, RANK)) or "0"
    yield f"      const int gaps = {gaps};"
    yield "      for (int64_t r = 0; r < height; r++) {"
    yield "        const int64_t row = first + r;"
    yield f"        {t} *const ready = held + r * held_row;"
    target = "ready"
    if plain is not None:
        yield f"        {t} *const out = {plain} + (batch * groups * made + row) * columns"
        yield "          + column0;"
        target = "out"
        yield "        if (!gaps) for (int64_t i = 0; i < count; i++) out[i] = ready[i];"
    counts = [f"q{d}" for d in range(RANK)]
    counts[dim] = "deep"
    yield "        if (gaps) {"
    yield f"          {t} *o = {target};"
    yield f"          for (int64_t z = 0; z < {counts[0]}; z++)"
    yield f"            for (int64_t y = 0; y < {counts[1]}; y++, o += q2) {{"
    yield f"              const {t} *const piece = ready + (z * e1 + y) * e2;"
    yield f"              for (int64_t i = 0; i < {counts[2]}; i++) o[i] = piece[i];"
    yield "            }"
    yield "        }"
    if plain is None:
        yield from _finish(g, "ready")
    yield "      }"


def _finish(g: Gather, source: str) -> Iterator[str]:
    """Stores a row of a strip's results through the epilogue, a block of lanes at a time."""
    d, columns = g.problem.dtype.name, group(g.problem.dtype)
    yield f"        for (int64_t i = 0; i < count; i += {columns}) {{"
    yield "          const int64_t column = column0 + i;"
    yield f"          const int lanes = (int)(count - i < {columns} ? count - i : {columns});"
    yield f"          const ig{columns}_{d} value = ig{columns}_load_{d}({source} + i, {columns});"
    for line in g.problem.store.lines(
        batch="batch", row="row", column="column", lanes=columns, count="lanes", value="value"
    ):
        yield "          " + line
    yield "        }"
