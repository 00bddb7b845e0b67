"""The zeros around images: written before anybody stores into the image, since memory of the arena
is used again."""

from __future__ import annotations

from intaglio.compiler.dims import Shape, product
from intaglio.compiler.schedule.storage import Storage
from intaglio.compiler.schedule.template import Step, TemplateResult


def halo_kernel(name: str, storage: Storage, shape: Shape, bytes: int) -> TemplateResult | None:
    """The kernel that zeroes the halo of images in memory at p[0]; None where there is none.

    A chunk is one plane: rows above, rows below, and what lies between the rows."""
    sizes = storage.sizes(shape)
    blocked = bool(storage.blocks)
    *planes, rows, columns = sizes[:-1] if blocked else sizes
    low, high = storage.halo[-2], storage.halo[-1]
    if (low, high) == ((0, 0), (0, 0)):
        return None
    assert isinstance(rows, int) and isinstance(columns, int)
    pixel = bytes * (int(sizes[-1]) if blocked else 1)  # type: ignore[arg-type]  # it is an int
    row = columns * pixel
    first = low[0] * row + high[0] * pixel
    inside = rows - low[0] - low[1]
    between = (high[0] + high[1]) * pixel
    last = (rows - low[1]) * row - high[1] * pixel
    text = f"""\
static void {name}(const ig_worker *w, const void *args, int64_t lo, int64_t hi) {{
  IG_HEAD
  for (int64_t plane = lo; plane < hi; plane++) {{
    char *const x = (char *)p[0] + plane * {rows * row};
    __builtin_memset(x, 0, {first});
    for (int64_t r = 1; r < {inside}; r++)
      __builtin_memset(x + {low[0] * row - high[1] * pixel} + r * {row}, 0, {between});
    __builtin_memset(x + {last}, 0, {rows * row - last});
  }}
}}
"""
    count = product(tuple(planes))
    work = count * (rows * row - inside * (row - between)) // 8
    return TemplateResult(text, (Step(name, count, work),))
