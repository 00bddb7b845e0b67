"""The innermost part of a direct convolution: some pixels by some filters in registers while the
chains of the op run.

For every link of a chain one row of the packed weights is loaded and one element of each pixel is
broadcast; every accumulator takes one fused multiply-add. Depthwise, lanes are channels: a link
loads the weights and the pixels of a block. The chains are those that the op defines, so a tile's
size changes no bit. Tiles leave their sums in a small array, a row of `PANEL` per pixel."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from intaglio.compiler.schedule.conv_direct_shape import BLOCK, PANEL, Shape2d

WIDE_PIXELS = 14
"""Pixels of a tile where there are 32 vector registers of 64 bytes."""
NARROW_PIXELS = 6
"""Pixels of a tile where there are 16 registers."""


def even_cut(extent: int, largest: int) -> tuple[int, ...]:
    """The nearly equal pieces, at most `largest`, that an extent is cut into, larger ones first."""
    pieces = -(-extent // largest)
    base, more = divmod(extent, pieces)
    return (base + 1,) * more + (base,) * (pieces - more)


@dataclass(frozen=True)
class Source:
    """Where the elements of the images lie, in floats: steps between neighbours."""

    image: int
    block: int
    """From block to block of channels (from channel to channel in plain images)."""
    row: int
    pixel: int


@dataclass(frozen=True)
class Tiling:
    """How the plane of results is cut into tiles: the pieces of its rows and of its columns.

    With `flat` the plane is one long row, and pieces of it are counted as columns."""

    rows: tuple[int, ...]
    columns: tuple[int, ...]
    flat: bool

    @staticmethod
    def of(shape: Shape2d, source: Source, pixels: int) -> Tiling:
        """The tiling with tiles of at most so many pixels."""
        height, width = shape.result
        whole = shape.kernel == shape.strides == (1, 1) and source.row == width * source.pixel
        if whole and shape.halo == ((0, 0), (0, 0)):
            return Tiling((1,), even_cut(height * width, pixels), True)
        rows = even_cut(height, max(1, pixels // width))
        return Tiling(rows, even_cut(width, pixels // rows[0]), False)

    @property
    def sizes(self) -> tuple[tuple[int, int], ...]:
        """The sizes of tiles that occur."""
        return tuple(sorted({(h, w) for h in self.rows for w in self.columns}))

    @property
    def count(self) -> int:
        """Tiles of the plane."""
        return len(self.rows) * len(self.columns)


@dataclass(frozen=True)
class Tile:
    """Prints the functions of tiles: `<name>_t<rows>x<columns>v<vectors>(x, q, held, next)`.

    x is the element that the first pixel's first tap sees, q the weights, next what is fetched."""

    name: str
    shape: Shape2d
    source: Source
    skip: int
    """Bytes that a link of a chain fetches ahead; 0 where nothing is."""

    def lines(self, size: tuple[int, int], vectors: int) -> Iterator[str]:
        """The function of one size of tile."""
        (down, right), source = self.shape.strides, self.source
        pixels = [
            i * down * source.row + j * right * source.pixel
            for i in range(size[0])
            for j in range(size[1])
        ]
        name = f"{self.name}_t{size[0]}x{size[1]}v{vectors}"
        yield f"static __attribute__((noinline)) void {name}("
        yield "    const float *IG_RESTRICT x, const float *IG_RESTRICT q, float *IG_RESTRICT held,"
        yield "    const char *next) {"
        if not self.skip:
            yield "  (void)next;"
        for p in range(len(pixels)):
            sums = ", ".join(f"s{p}_{j} = {{0}}" for j in range(vectors))
            yield f"  igv_f32 {sums};"
        if self.shape.depthwise:
            yield from self._depthwise(pixels)
        else:
            yield from self._chains(pixels, vectors)
        for p in range(len(pixels)):
            keep = (
                f"igv_keep_f32(held + {p * PANEL} + {j} * IG_W, s{p}_{j});" for j in range(vectors)
            )
            yield "  " + " ".join(keep)
        yield "}"

    def _taps(self) -> Iterator[str]:
        """The loops over the taps; `y` is what the first pixel sees."""
        (height, width), (down, right) = self.shape.kernel, self.shape.dilations
        yield f"    for (int64_t r = 0; r < {height}; r++)"
        yield f"    for (int64_t k = 0; k < {width}; k++) {{"
        row, pixel = down * self.source.row, right * self.source.pixel
        yield f"      const float *const y = x + r * {row} + k * {pixel};"

    def _chains(self, pixels: Sequence[int], vectors: int) -> Iterator[str]:
        """Blocks of channels, taps, channels."""
        whole, rest = divmod(self.shape.channels, BLOCK)
        if self.shape.plain:
            yield "  {"
            yield from self._taps()
            yield from self._links(pixels, vectors, rest, self.source.block)
            yield "    }"
            yield "  }"
            return
        yield f"  for (int64_t b = 0; b < {whole}; b++, x += {self.source.block}) {{"
        yield from self._taps()
        yield from self._links(pixels, vectors, BLOCK, 1)
        yield "    }"
        yield "  }"
        if rest:
            yield "  {"
            yield from self._taps()
            yield from self._links(pixels, vectors, rest, 1)
            yield "    }"
            yield "  }"

    def _links(
        self, pixels: Sequence[int], vectors: int, channels: int, step: int
    ) -> Iterator[str]:
        """One link for each channel."""
        yield f"      for (int64_t c = 0; c < {channels}; c++, q += {PANEL}) {{"
        if self.skip:
            yield f"        IG_PREFETCH(next); next += {self.skip};"
        for j in range(vectors):
            yield f"        const igv_f32 w{j} = igv_fetch_f32(q + {j} * IG_W);"
        at = "c" if step == 1 else f"c * {step}"
        for p, place in enumerate(pixels):
            steps = " ".join(f"s{p}_{j} = igv_fma_f32(a, w{j}, s{p}_{j});" for j in range(vectors))
            yield f"        {{ const igv_f32 a = igv_splat_f32(y[{place} + {at}]); {steps} }}"
        yield "      }"

    def _depthwise(self, pixels: Sequence[int]) -> Iterator[str]:
        """Taps; lanes are channels."""
        yield "  {"
        yield from self._taps()
        yield "      const igv_f32 w0 = igv_fetch_f32(q);"
        yield f"      q += {BLOCK};"
        for p, place in enumerate(pixels):
            yield f"      s{p}_0 = igv_fma_f32(igv_fetch_f32(y + {place}), w0, s{p}_0);"
        yield "    }"
        yield "  }"
