"""Convolutions on CUDA: a thread per result, neighbouring threads along a plane, so that what they
read lies together. Every result is the chain that defines it, with the bits of the CPU."""

from __future__ import annotations

from intaglio.compiler.codegen.cuda import MOST_ACROSS, TAIL, Layout, ceiling
from intaglio.compiler.codegen.numbers import compute_type
from intaglio.compiler.dims import minimum
from intaglio.compiler.schedule.conv_loops import element_lines, stored
from intaglio.compiler.schedule.convolution import Convolution

THREADS = 256


def cuda_convolution(problem: Convolution, parameters: list[str]) -> tuple[str, Layout]:
    """The text of the kernel, and how to launch it; `parameters` are the declarations of the
    buffers, called b0, b1, ..."""
    size = problem.size
    total = problem.outer * problem.rows * problem.columns
    layout = Layout((minimum(ceiling(total, THREADS), MOST_ACROSS), 1), (THREADS, 1))
    pointers = ", ".join(f"(void *)b{k}" for k in range(len(parameters)))
    lines = [
        f'extern "C" __global__ void __launch_bounds__({THREADS})',
        f"{problem.name}({', '.join([*parameters, TAIL])}) {{",
        "  if (error[0]) return;",
        f"  void *const p[] = {{{pointers}}};",
        f"  const int64_t columns = {size(problem.columns)}, total = {size(total)};",
        f"  int64_t at = (int64_t)blockIdx.x * {THREADS} + threadIdx.x;",
        f"  for (; at < total; at += (int64_t)gridDim.x * {THREADS}) {{",
        f"    const int64_t column = at % columns, row = at / columns % {problem.rows};",
        f"    const int64_t batch = at / columns / {problem.rows};",
        "    (void)batch;",
        *("    " + line for line in element_lines(problem)),
        f"    const ig1_{compute_type(problem.dtype)} value = sum;",
        *("    " + line for line in stored(problem)),
        "  }",
        "}",
        "",
    ]
    return "\n".join(lines), layout
