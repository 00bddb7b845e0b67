"""Kernels' derivatives on CUDA tile by tile: `conv_weight` as a product per image.

A tile's rows are channels of y of a group, its columns channels of x with their taps, and k counts
positions. An image's sums begin at 0; they are added to those of the images before, or all images'
sums are made at once and stored one behind another."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from intaglio.compiler.codegen.cuda import MOST_ACROSS, Layout, ceiling
from intaglio.compiler.codegen.numbers import C_TYPES, compute_type
from intaglio.compiler.dims import minimum, product
from intaglio.compiler.schedule.conv_images_cuda import index_type, is_dull, kernel_lines
from intaglio.compiler.schedule.convolution import Convolution
from intaglio.compiler.schedule.template import Store
from intaglio.compiler.schedule.tile_cuda import (
    LARGE,
    SIDE,
    Fetch,
    Results,
    Tile,
    side_for,
    tile_for,
)

AXES = range(3)


def weight_tiles(
    problem: Convolution, parameters: Sequence[str], split: bool = False
) -> tuple[str, Layout]:
    """The text of the kernel, and how to launch it; `split`: the workspace gets every image's
    sums."""
    return _Weights(problem, split).kernel(parameters)


@dataclass(frozen=True)
class _Kept:
    """A store without an epilogue."""

    plain: str

    def lines(
        self, *, batch: str, row: str, column: str, lanes: int, count: str, value: str
    ) -> list[str]:
        return []

    def ahead(self, *, batch: str, row: str, column: str, bytes: int) -> list[str]:
        return []


class _Weights:
    """The kernel of one convolution."""

    def __init__(self, problem: Convolution, split: bool) -> None:
        self.problem, self.size, self.split = problem, problem.size, split
        self.windows = problem.windows
        self.dims = [d for d in AXES if not is_dull(self.windows[d])]
        x, y = problem.first.strides, problem.second.strides
        self.index = index_type(
            *(problem.inputs * x[1], problem.outputs * y[1], problem.columns + 2 * LARGE),
            *(w.image * s for w, s in zip(self.windows, x[2:], strict=True)),
            *(w.output * s for w, s in zip(self.windows, y[2:], strict=True)),
            *(w.image + w.kernel * w.dilation + w.low for w in self.windows),
        )

    def _tile(self) -> Tile:
        m, n = self.problem.outputs, self.problem.columns
        if self.split:
            return Tile(self.problem.dtype, side_for(m), side_for(n))
        return tile_for(self.problem.dtype, m, n, self.problem.groups, LARGE)

    def kernel(self, parameters: Sequence[str]) -> tuple[str, Layout]:
        problem, size, tile = self.problem, self.size, self._tile()
        down = ceiling(problem.outputs, tile.rows)
        across = ceiling(problem.columns, tile.columns)
        tiles = problem.groups * down * across * (problem.images if self.split else 1)
        layout = Layout((minimum(tiles, MOST_ACROSS), 1), (SIDE, SIDE), tile.shared)
        positions = product(tuple(w.output for w in self.windows))
        body = [
            f"const {self.index} n = {size(problem.columns)}, k = {size(positions)};",
            f"const int64_t down = {size(down)}, across = {size(across)};",
            f"const int64_t groups = {size(problem.groups)}, images = {size(problem.images)};",
            f"const int64_t tiles = groups * down * across{' * images' if self.split else ''};",
            *tile.declarations(),
            "for (int64_t tile = blockIdx.x; tile < tiles; tile += gridDim.x) {",
            f"  const {self.index} top = tile % down * {tile.rows};",
            f"  const {self.index} side = tile / down % across * {tile.columns};",
            "  const int64_t group = tile / down / across % groups;",
            *("  " + line for line in self._columns(tile)),
            *("  " + line for line in self._images(tile)),
            "}",
        ]
        return kernel_lines(problem, parameters, body), layout

    def _images(self, tile: Tile) -> list[str]:
        chains = [*tile.sums("sum"), *tile.chains(self._made(), self._seen(), self.index)]
        if self.split:
            return [
                "const int64_t image = tile / down / across / groups;",
                *self._operands(),
                *chains,
                *tile.finish("sum", self._results()),
            ]
        add = f"ig1_add_{compute_type(self.problem.dtype)}(total[i][j], sum[i][j])"
        return [
            *tile.sums("total"),
            "for (int64_t image = 0; image < images; image++) {",
            *("  " + line for line in (*self._operands(), *chains)),
            *("  " + line for line in tile.each(f"total[i][j] = image ? {add} : sum[i][j];")),
            "}",
            *tile.finish("total", self._results()),
        ]

    def _operands(self) -> list[str]:
        """The group's channels of an image."""
        lines = []
        pairs = zip("xy", (self.problem.first, self.problem.second),
                    (self.problem.inputs, self.problem.outputs), strict=True)  # fmt: skip
        for name, operand, channels in pairs:
            image, channel = (self.size(s) for s in operand.strides[:2])
            lines.append(
                f"const {C_TYPES[self.problem.dtype.name]} *const {name} = {operand.pointer} + "
                f"image * {image} + group * {self.size(channels)} * {channel};"
            )
        return lines

    def _columns(self, tile: Tile) -> list[str]:
        """For each column that this thread brings: whether there is one, its channel's place, and
        where its tap begins to see."""
        index, count = self.index, tile.columns // SIDE
        places = ", ".join(f"q{d}s[{count}]" for d in AXES)
        lines = [
            f"{index} channels[{count}], {places};",
            "#pragma unroll",
            f"for (int j = 0; j < {count}; j++) {{",
            f"  {index} rest = side + thread / {SIDE} + {SIDE} * j;",
            "  const int real = rest < n;",
            "  if (!real) rest = 0;",
        ]
        for d in reversed(AXES):
            w = self.windows[d]
            lines.append(f"  q{d}s[j] = rest % {w.kernel} * {w.dilation} - {w.low};")
            lines.append(f"  rest /= {w.kernel};")
        stride = self.size(self.problem.first.strides[1])
        return [*lines, f"  channels[j] = real ? rest * {stride} : -1;", "}"]

    def _deep(self) -> list[str]:
        """The position `p0`.. that a place along k stands for."""
        sizes = [self.size(w.output) for w in self.windows]
        return [
            f"const {self.index} p2 = deep % {sizes[2]}, down_to = deep / {sizes[2]};",
            f"const {self.index} p1 = down_to % {sizes[1]}, p0 = down_to / {sizes[1]};",
        ]

    def _made(self) -> Fetch:
        """The elements of y: rows are channels of the group."""
        y = [self.size(s) for s in self.problem.second.strides]
        at = " + ".join([f"at * {y[1]}", *(f"p{d} * {y[d + 2]}" for d in self.dims)])
        return Fetch(
            by_depth=True,
            value=f"at < {self.size(self.problem.outputs)} && deep < k ? y[{at}] : 0",
            deep=self._deep(),
            place=(f"const {self.index} at = top + other;",),
        )

    def _seen(self) -> Fetch:
        """The elements of x that taps see: columns are channels with their taps."""
        x = [self.size(s) for s in self.problem.first.strides]
        places = [
            f"const {self.index} q{d} = q{d}s[j] + p{d} * {self.windows[d].stride};"
            for d in self.dims
        ]
        inside = [f"q{d} >= 0 && q{d} < {self.size(self.windows[d].image)}" for d in self.dims]
        condition = " && ".join(["channels[j] >= 0", "deep < k", *inside])
        at = " + ".join(["channels[j]", *(f"q{d} * {x[d + 2]}" for d in self.dims)])
        return Fetch(
            by_depth=True, value=f"{condition} ? x[{at}] : 0", deep=self._deep(), place=places
        )

    def _results(self) -> Results:
        problem, size = self.problem, self.size
        lines = [
            f"const int64_t row = group * {size(problem.outputs)} + top + down;",
            "const int64_t column = side + across, batch = 0;",
            "(void)batch;",
        ]
        store: Store = problem.store
        plain = "row * n + column"
        if self.split:
            kind = f"ig1_{compute_type(problem.dtype)}"
            store = _Kept(f"(({kind} *){problem.workspace})")
            plain = f"(image * {size(problem.rows)} + row) * n + column"
        condition = f"top + down < {size(problem.outputs)} && column < n"
        return Results(store, lines, condition, plain)
