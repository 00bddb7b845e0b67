"""Images on CUDA tile by tile: `conv` and `conv_input` as products whose operands are never written
out (implicit GEMM).

A tile's rows are channels of a group of results, its columns positions of all images, and k counts
what the ops define: blocks of 16 channels, taps, channels of the block; so a step of 16 is often
one tap. Each thread reads from one position of one image, whose place it works out once.

Where the images that `conv_input` makes were strided over, an element meets only some of the taps,
those of its phase (its place modulo the strides). A tile has results of one phase, among which it
is a convolution without strides."""

from __future__ import annotations

from collections.abc import Sequence

from intaglio.compiler.codegen.cuda import MOST_ACROSS, NARROW, TAIL, Layout, ceiling, magnitude
from intaglio.compiler.codegen.numbers import C_TYPES
from intaglio.compiler.dims import Size, minimum, product
from intaglio.compiler.ops.convolution import CHANNEL_BLOCK
from intaglio.compiler.schedule.convolution import Convolution, Window
from intaglio.compiler.schedule.tile_cuda import SIDE, THREADS, Fetch, Results, tile_for

AXES = range(3)


def image_tiles(problem: Convolution, parameters: Sequence[str]) -> tuple[str, Layout]:
    """The text of the kernel, and how to launch it."""
    return _Images(problem).kernel(parameters)


def index_type(*reaches: Size) -> str:
    """The type for indices that stay below these."""
    return "int" if sum(map(magnitude, reaches)) < NARROW else "int64_t"


def kernel_lines(
    problem: Convolution, parameters: Sequence[str], body: Sequence[str], threads: int = THREADS
) -> str:
    """The text of a kernel around its body."""
    pointers = ", ".join(f"(void *)b{k}" for k in range(len(parameters)))
    lines = [
        f'extern "C" __global__ void __launch_bounds__({threads})',
        f"{problem.name}({', '.join([*parameters, TAIL])}) {{",
        "  if (error[0]) return;",
        f"  void *const p[] = {{{pointers}}};",
        *("  " + line for line in body),
        "}",
        "",
    ]
    return "\n".join(lines)


class _Images:
    """The kernel of one convolution."""

    def __init__(self, problem: Convolution) -> None:
        self.problem, self.size = problem, problem.size
        self.forward = problem.kind == "conv"
        made, chain = problem.outputs, problem.inputs
        self.made, self.chain = (made, chain) if self.forward else (chain, made)
        self.windows = problem.windows
        self.phased = [d for d in AXES if not self.forward and self.windows[d].stride > 1]
        self.extents = [
            w.output if self.forward else ceiling(w.image, w.stride) for w in self.windows
        ]
        """Columns of one image and phase, along each dim."""
        self.limits = [w.image if self.forward else w.output for w in self.windows]
        a, b = problem.first.strides, problem.second.strides
        self.index = index_type(
            *(self.chain * a[1], problem.groups * problem.outputs * b[0], problem.inputs * b[1]),
            *(r * s for r, s in zip(self.limits, a[2:], strict=True)),
            *(w.kernel * s for w, s in zip(self.windows, b[2:], strict=True)),
            self.chain * problem.taps + 2 * SIDE,
            *(w.image + w.kernel * w.dilation + w.low for w in self.windows),
        )

    def kernel(self, parameters: Sequence[str]) -> tuple[str, Layout]:
        problem, size = self.problem, self.size
        columns = problem.images * product(tuple(self.extents))
        phases = 1
        for d in self.phased:
            phases *= self.windows[d].stride
        tile = tile_for(problem.dtype, self.made, columns, problem.groups * phases)
        down, across = ceiling(self.made, tile.rows), ceiling(columns, tile.columns)
        tiles = problem.groups * phases * down * across
        layout = Layout((minimum(tiles, MOST_ACROSS), 1), (SIDE, SIDE), tile.shared)
        element = C_TYPES[problem.dtype.name]
        body = [
            f"const int64_t n = {size(columns)};",
            f"const int64_t down = {size(down)}, across = {size(across)};",
            f"const int64_t groups = {size(problem.groups)}, tiles = groups * down * across * "
            f"{phases};",
            *tile.declarations(),
            *self._tables(),
            "for (int64_t tile = blockIdx.x; tile < tiles; tile += gridDim.x) {",
            f"  const int64_t top = tile % down * {tile.rows};",
            f"  const int64_t side = tile / down % across * {tile.columns};",
            "  const int64_t group = tile / down / across % groups;",
            *("  " + line for line in self._phase()),
            f"  const {self.index} taps = {self._taps()}, k = {size(self.chain)} * taps;",
            f"  const {element} *const w = {problem.second.pointer} + "
            f"group * {size(problem.outputs)} * {size(problem.second.strides[0])};",
            *("  " + line for line in self._place(tile.columns)),
            *("  " + line for line in tile.sums("sum")),
            *("  " + line for line in tile.chains(self._kernels(), self._seen(), self.index)),
            *("  " + line for line in tile.finish("sum", self._results())),
            "}",
        ]
        return kernel_lines(problem, parameters, body), layout

    # ------------------------------------------------------------------------------------- phases

    def _tables(self) -> list[str]:
        """For each phase of a dim its first tap and how many it meets."""
        lines = []
        for d in self.phased:
            pairs = [_taps_of(self.windows[d], phase) for phase in range(self.windows[d].stride)]
            for name, values in zip(("first", "count"), zip(*pairs, strict=True), strict=True):
                lines.append(f"const int {name}s{d}[] = {{{', '.join(map(str, values))}}};")
        return lines

    def _phase(self) -> list[str]:
        """The phase of a tile: `f0`.., its first taps and their numbers."""
        lines = ["int64_t phase = tile / down / across / groups;"] if self.phased else []
        for d in reversed(self.phased):
            stride = self.windows[d].stride
            lines.append(f"const int f{d} = (int)(phase % {stride}); phase /= {stride};")
            lines.append(f"const int first{d} = firsts{d}[f{d}], count{d} = counts{d}[f{d}];")
        return lines

    def _count(self, d: int) -> str:
        return f"count{d}" if d in self.phased else str(self.windows[d].kernel)

    def _taps(self) -> str:
        return " * ".join(self._count(d) for d in AXES)

    def _move(self, d: int) -> int:
        """How far the next tap of a dim sees from the one before."""
        w = self.windows[d]
        return w.dilation if self.forward else -(_step(w) * w.dilation // w.stride)

    # ------------------------------------------------------------------------------------ operands

    def _turns(self) -> tuple[list[str], list[str]]:
        """Statements for each step, and for each `deep`: channel `c` and tap `t0`.. of a place."""
        taps = [
            f"const {self.index} t{d} = "
            + (f"tap{self._behind(d)} % {self._count(d)};" if d else f"tap{self._behind(d)};")
            for d in AXES
            if self.windows[d].kernel > 1
        ]
        chain, index, block = self.chain, self.index, CHANNEL_BLOCK
        if isinstance(chain, int) and chain % SIDE == 0 and block == SIDE:
            step = [f"const {index} turn = start / {SIDE}, tap = turn % taps;"]
            step += [f"const {index} channels = turn / taps * {SIDE};", "(void)tap;", *taps]
            return step, [f"const {index} c = channels + depth;"]
        if isinstance(chain, int) and chain <= block:
            deep = [f"const {index} tap = deep / {chain}, c = deep % {chain};"]
        else:
            left = f"{self.size(chain)} - block * {block}"
            deep = [
                f"const {index} block = deep / ({block} * taps), rest = deep % ({block} * taps);",
                f"const {index} more = {left};",
                f"const {index} wide = more < 1 ? 1 : more < {block} ? more : {block};",
                f"const {index} tap = rest / wide, c = block * {block} + rest % wide;",
            ]
        return [], [*deep, "(void)tap;", *taps]

    def _behind(self, d: int) -> str:
        """The division that leaves the taps of dims up to d."""
        counts = [self._count(e) for e in AXES if e > d and self.windows[e].kernel > 1]
        return f" / ({' * '.join(counts)})" if counts else ""

    def _tap(self, d: int) -> str:
        return f"t{d}" if self.windows[d].kernel > 1 else "0"

    def _kernels(self) -> Fetch:
        """The elements of the kernels: rows are the results' channels."""
        step, deep = self._turns()
        b = [self.size(s) for s in self.problem.second.strides]
        row, along = (b[0], b[1]) if self.forward else (b[1], b[0])
        places = []
        for d in AXES:
            tap = self._tap(d)
            if d in self.phased:
                tap = f"(first{d} + {tap} * {_step(self.windows[d])})"
            if self.windows[d].kernel > 1 or d in self.phased:
                places.append(f"{tap} * {b[d + 2]}")
        at = " + ".join([f"at * {row}", f"c * {along}", *places])
        return Fetch(
            by_depth=self.forward,
            value=f"at < {self.size(self.made)} && deep < k ? w[{at}] : 0",
            step=step,
            deep=deep,
            place=(f"const {self.index} at = ({self.index})top + other;",),
        )

    def _place(self, columns: int) -> list[str]:
        """The position that this thread reads from: its image `x`, and where the first tap sees."""
        problem, size, index = self.problem, self.size, self.index
        a = [size(s) for s in problem.first.strides]
        lines = [
            f"int64_t rest = side + thread % {columns};",
            "const int real = rest < n;",
            "if (!real) rest = 0;",
        ]
        for d in reversed(AXES):
            if not is_dull(self.windows[d]):
                lines.append(f"const {index} j{d} = ({index})(rest % {size(self.extents[d])});")
                lines.append(f"rest /= {size(self.extents[d])};")
                lines.append(f"const {index} p{d} = {self._first(d)};")
        base = f"{problem.first.pointer} + rest * {a[0]}"
        channels = f"group * {size(self.chain)} * {a[1]}"
        lines.append(f"const {C_TYPES[problem.dtype.name]} *const x = {base} + {channels};")
        return lines

    def _first(self, d: int) -> str:
        """Where the first tap of position j sees."""
        w = self.windows[d]
        if self.forward:
            return f"j{d} * {w.stride} - {w.low}"
        if d not in self.phased:
            return f"j{d} + {w.low}"
        return f"j{d} + (f{d} + {w.low} - first{d} * {w.dilation}) / {w.stride}"

    def _seen(self) -> Fetch:
        """The elements of the images that positions see: columns are positions."""
        step, deep = self._turns()
        seen = [d for d in AXES if not is_dull(self.windows[d])]
        places = [
            f"const {self.index} q{d} = p{d} + {self._tap(d)} * ({self._move(d)});" for d in seen
        ]
        inside = [f"q{d} >= 0 && q{d} < {self.size(self.limits[d])}" for d in seen]
        a = [self.size(s) for s in self.problem.first.strides]
        if step:
            step = [*step, *places, f"const int inside = {' && '.join(['real', *inside])};"]
        else:
            deep = [*deep, *places, f"const int inside = {' && '.join(['real', *inside])};"]
        at = " + ".join([f"c * {a[1]}", *(f"q{d} * {a[d + 2]}" for d in seen)])
        return Fetch(
            by_depth=False, value=f"inside && deep < k ? x[{at}] : 0", step=step, deep=deep
        )

    def _results(self) -> Results:
        """Rows are channels of the group, columns positions of all images."""
        size = self.size
        lines = [
            f"const int64_t row = group * {size(self.made)} + top + down;",
            "int64_t batch = side + across;",
            "const int real = batch < n;",
        ]
        conditions = [f"top + down < {size(self.made)}", "real"]
        total = size(product(tuple(w.output if self.forward else w.image for w in self.windows)))
        if not self.phased:
            lines.append(f"const int64_t column = batch % {total};")
            lines.append(f"batch /= {total};")
        else:
            places = []
            for d in reversed(AXES):
                extent, whole = size(self.extents[d]), self.windows[d].image
                lines.append(f"int64_t i{d} = batch % {extent};")
                lines.append(f"batch /= {extent};")
                if d in self.phased:
                    lines.append(f"i{d} = i{d} * {self.windows[d].stride} + f{d};")
                    conditions.append(f"i{d} < {size(whole)}")
                places.append(f"i{d}")
            one, two = size(self.windows[1].image), size(self.windows[2].image)
            lines.append(f"const int64_t column = (i0 * {one} + i1) * {two} + i2;")
        plain = f"(batch * {size(self.problem.rows)} + row) * {total} + column"
        return Results(self.problem.store, lines, " && ".join(conditions), plain)


def is_dull(window: Window) -> bool:
    """Whether a dim has a single position and tap, as those in front of a lower rank have."""
    return window == Window(1, 1, 1, 1, 0, 1)


def _step(window: Window) -> int:
    """From a tap to the next of the same phase."""
    step = 1
    while step * window.dilation % window.stride:
        step += 1
    return step


def _taps_of(window: Window, phase: int) -> tuple[int, int]:
    """The first tap of a phase, and how many there are."""
    met = [
        k
        for k in range(window.kernel)
        if (phase + window.low - k * window.dilation) % window.stride == 0
    ]
    return (met[0] if met else 0), len(met)
