"""Rows put in order as CUDA text: a block takes a row and sorts its pairs of key and position by a
bitonic network, in shared memory where they fit, otherwise in scratch memory.

The row is filled up to a power of two with pairs that come after all others. No two pairs are
equal, so the result is the stable order that the C kernel finds."""

from __future__ import annotations

from typing import Final

from intaglio.compiler.codegen.cuda import (
    MOST_BLOCKS,
    MOST_SHARED,
    TAIL,
    THREADS,
    CudaPrinter,
    Layout,
)
from intaglio.compiler.codegen.numbers import C_TYPES
from intaglio.compiler.dims import Size, minimum
from intaglio.compiler.schedule.ordering import Rows, key_of


def cuda_order(
    rows: Rows,
    name: str,
    printer: CudaPrinter,
    row: str,
) -> tuple[str, Layout]:
    """The text of the kernel and how to launch it."""
    size = printer.size
    key, bytes_ = ("uint64_t", 16) if rows.wide else ("uint32_t", 12)
    room: Size = 2 * rows.length * bytes_
    if isinstance(rows.length, int):
        room = (1 << max(0, rows.length - 1).bit_length()) * bytes_
    inside = room if isinstance(room, int) and room <= MOST_SHARED else 0
    element = C_TYPES[rows.dtype.name]
    room_text = size(room)
    memory = (
        f"__shared__ __align__(16) char mine[{room}];"
        if inside
        else f"char *const mine = scratch + (int64_t)blockIdx.x * ({room_text});"
    )
    before, value = key_of(rows)
    text = _KERNEL.format(
        before=before, value=value,
        threads=THREADS, element=element, tail=TAIL, memory=memory, key=key, row=row,
        rows=size(rows.count), length=size(rows.length), wanted=size(rows.wanted),
        a=size(rows.starts[0]), b=size(rows.starts[1]), c=size(rows.starts[2]),
        sa=size(rows.steps[0]), sb=size(rows.steps[1]), sc=size(rows.steps[2]),
        sizes="\n".join(printer.size_declarations()),
    )  # fmt: skip
    blocks = minimum(rows.count, MOST_BLOCKS)
    layout = Layout((blocks, 1), (THREADS, 1), inside, 0 if inside else room)
    return text.replace("@", name), layout


_KERNEL: Final = """\
extern "C" __global__ void __launch_bounds__({threads})
@(const {element} *b0, {element} *b1, int64_t *b2, {tail}) {{
  if (error[0]) return;
{sizes}
  const int64_t n = {length}, m = {wanted}, rows = {rows};
  int64_t all = 1;
  while (all < n) all <<= 1;
  {memory}
  int64_t *const at = (int64_t *)mine;
  {key} *const keys = ({key} *)(mine + all * 8);
  for (int64_t {row} = blockIdx.x; {row} < rows; {row} += gridDim.x) {{
    const {element} *const line = b0 + ({a});
    {element} *const values = b1 + ({b});
    int64_t *const positions = b2 + ({c});
    for (int64_t i = threadIdx.x; i < all; i += {threads}) {{
      keys[i] = ({key})~({key})0;
      at[i] = i;
      if (i < n) {{
        const {element} x = line[i * ({sa})];
        {before}
        keys[i] = {value};
      }}
    }}
    __syncthreads();
    for (int64_t size = 2; size <= all; size <<= 1) {{
      for (int64_t step = size >> 1; step > 0; step >>= 1) {{
        for (int64_t t = threadIdx.x; t < all / 2; t += {threads}) {{
          const int64_t i = 2 * t - (t & (step - 1)), j = i + step;
          const {key} left = keys[i], right = keys[j];
          const int64_t here = at[i], there = at[j];
          const bool after = left > right || (left == right && here > there);
          if (after == ((i & size) == 0)) {{
            keys[i] = right;
            keys[j] = left;
            at[i] = there;
            at[j] = here;
          }}
        }}
        __syncthreads();
      }}
    }}
    for (int64_t i = threadIdx.x; i < m; i += {threads}) {{
      const int64_t from = at[i];
      values[i * ({sb})] = line[from * ({sa})];
      positions[i * ({sc})] = from;
    }}
    __syncthreads();
  }}
}}
"""
