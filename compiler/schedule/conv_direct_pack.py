"""Packed weights of direct convolutions.

Filters come together in panels of `PANEL`; in a panel the weights follow the chain of the op (for
every block of channels, for every tap, for every channel), one row of the panel's filters per link,
zeros standing for missing filters. Each filter is read in order, since many filters at once lie a
power of two apart too often and would evict each other. Depthwise: for every block of channels and
every tap a row of the block's weights."""

from __future__ import annotations

from dataclasses import dataclass

from intaglio.compiler.dtypes import DType, float32
from intaglio.compiler.schedule.conv_direct_shape import BLOCK, PANEL, Shape2d
from intaglio.compiler.schedule.template import Step, TemplateResult


@dataclass(frozen=True)
class FilterPacking:
    """How the weights `[filters, channels, rows, columns]` of a convolution lie in the input that
    is packed, in elements; equal ones share their copy."""

    input: int
    shape: tuple[int, ...]
    offset: int
    strides: tuple[int, ...]

    @property
    def dtype(self) -> DType:
        """The type of the elements."""
        return float32

    @property
    def bytes(self) -> int:
        """The size of the packed form."""
        return 4 * packed_floats(self.shape)

    @property
    def form(self) -> str:
        """What identifies the packed form: equal ones of one array are the same bytes."""
        sizes = ",".join(map(str, self.shape))
        return f"filters {sizes} at {self.offset} by {','.join(map(str, self.strides))}"


def packed_shape(shape: Shape2d) -> tuple[int, ...]:
    """Filters, channels of each (0: depthwise), rows, columns: what the packed form depends on."""
    return (shape.filters, 0 if shape.depthwise else shape.channels, *shape.kernel)


def packed_floats(shape: tuple[int, ...]) -> int:
    """Elements of the packed form."""
    filters, channels, rows, columns = shape
    if channels == 0:
        return -(-filters // BLOCK) * BLOCK * rows * columns
    return -(-filters // PANEL) * PANEL * channels * rows * columns


def pack_kernel(name: str, shape: tuple[int, ...], strides: tuple[int, ...]) -> TemplateResult:
    """The kernel that makes the packed form at p[1] of the weights at p[0]; a chunk is a panel."""
    filters, channels, rows, columns = shape
    width = PANEL if channels else BLOCK
    taps, (sf, sc, sr, sk) = rows * columns, strides
    depth = max(channels, 1)
    inside = min(BLOCK, depth)
    lines = [
        f"static void {name}(const ig_worker *w, const void *args, int64_t lo, int64_t hi) {{",
        "  IG_HEAD",
        "  for (int64_t panel = lo; panel < hi; panel++) {",
        f"    float *out = (float *)p[1] + panel * {width * taps * depth};",
        f"    const float *x = (const float *)p[0] + panel * {width * sf};",
        f"    const int64_t left = {filters} - panel * {width};",
        f"    const int64_t some = left < {width} ? left : {width};",
        f"    for (int64_t b = 0; b < {depth}; b += {BLOCK}, x += {BLOCK * sc}) {{",
        f"      const int64_t n = {depth} - b < {inside} ? {depth} - b : {inside};",
        f"      if (some < {width})",
        f"        __builtin_memset(out, 0, n * {4 * taps * width});",
        "      for (int64_t f = 0; f < some; f++)",
        f"      for (int64_t r = 0; r < {rows}; r++)",
        f"      for (int64_t k = 0; k < {columns}; k++) {{",
        f"        const float *const y = x + f * {sf} + r * {sr} + k * {sk};",
        f"        float *const o = out + (r * {columns} + k) * n * {width} + f;",
        f"        for (int64_t c = 0; c < n; c++) o[c * {width}] = y[c * {sc}];",
        "      }",
        f"      out += n * {taps * width};",
        "    }",
        "  }",
        "}",
    ]
    count = packed_floats(shape)
    step = Step(name, -(-filters // width), count)
    return TemplateResult(text="\n".join(lines) + "\n", steps=(step,))
