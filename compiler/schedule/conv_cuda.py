"""Convolutions on CUDA: which kernels make one, and those of a thread per result.

Where a group has enough channels, results are made tile by tile (`conv_images_cuda`,
`conv_weight_cuda`). A thread makes a result by itself otherwise, neighbouring threads along a
plane, so that what they read lies together. The derivative by the kernels has few results of long
chains, one for each image: those of all images are made at once where the results alone would leave
a device idle, and joined in their order. Every result has the bits of the CPU."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final

from intaglio.compiler.codegen.cuda import MOST_ACROSS, TAIL, THREADS, Layout, ceiling
from intaglio.compiler.codegen.numbers import compute_type
from intaglio.compiler.dims import Size, bounds, minimum
from intaglio.compiler.schedule.conv_images_cuda import image_tiles
from intaglio.compiler.schedule.conv_loops import check_dtype, element_lines, stored
from intaglio.compiler.schedule.conv_weight_cuda import weight_tiles
from intaglio.compiler.schedule.convolution import Convolution, Operand
from intaglio.compiler.schedule.tile_cuda import LARGE

FEW: Final = 8
"""Results' channels of a group below which most of a tile would be empty."""
MOST_PHASES: Final = 4096
"""Phases of strided results that a kernel has tables for."""
BUSY: Final = 132
"""Tiles below which a device is not busy."""


@dataclass(frozen=True)
class CudaConvolution:
    """The kernels of a convolution in their order, each with its launch; `workspace` bytes, if
    any, come as a last pointer."""

    kernels: tuple[tuple[str, Layout], ...]
    workspace: Size = 0


def cuda_convolution(problem: Convolution, parameters: list[str]) -> CudaConvolution:
    """The kernels; `parameters` are the declarations of the buffers, called b0, b1, ..."""
    check_dtype(problem)
    tiled = _is_tiled(problem)
    if problem.kind != "conv_weight":
        make = image_tiles if tiled else _direct
        return CudaConvolution((make(problem, parameters),))
    if not _splits(problem, tiled):
        make = weight_tiles if tiled else _direct
        return CudaConvolution((make(problem, parameters),))
    parameters = [*parameters, f"char *b{len(parameters)}"]
    chains = (
        weight_tiles(problem, parameters, split=True) if tiled else _chains(problem, parameters)
    )
    size = compute_size(problem)
    workspace = problem.images * problem.rows * problem.columns * size
    return CudaConvolution((chains, _joined(problem, parameters)), workspace)


def compute_size(problem: Convolution) -> int:
    """Bytes of a sum."""
    return max(problem.dtype.size, 4)


def _is_tiled(problem: Convolution) -> bool:
    if problem.phases > MOST_PHASES:
        return False
    made = problem.inputs if problem.kind == "conv_input" else problem.outputs
    if isinstance(made, int):
        return made >= FEW
    return problem.groups == 1


def _splits(problem: Convolution, tiled: bool) -> bool:
    """Whether the images' chains are made at once: there are several, and few results."""
    if problem.images == 0 or problem.images == 1:
        return False
    rows, columns = problem.outputs, problem.columns
    tiles = problem.groups * ceiling(rows, LARGE) * ceiling(columns, LARGE)
    if not tiled:
        tiles = ceiling(problem.rows * columns, THREADS)
    return bounds(tiles)[1] < BUSY


def _kernel(
    name: str, problem: Convolution, parameters: Sequence[str], total: Size, body: Sequence[str]
) -> tuple[str, Layout]:
    """A kernel whose threads take elements `at` of so many."""
    layout = Layout((minimum(ceiling(total, THREADS), MOST_ACROSS), 1), (THREADS, 1))
    pointers = ", ".join(f"(void *)b{k}" for k in range(len(parameters)))
    size = problem.size
    lines = [
        f'extern "C" __global__ void __launch_bounds__({THREADS})',
        f"{name}({', '.join([*parameters, TAIL])}) {{",
        "  if (error[0]) return;",
        f"  void *const p[] = {{{pointers}}};",
        f"  const int64_t columns = {size(problem.columns)}, rows = {size(problem.rows)};",
        f"  const int64_t total = {size(total)};",
        f"  int64_t at = (int64_t)blockIdx.x * {THREADS} + threadIdx.x;",
        f"  for (; at < total; at += (int64_t)gridDim.x * {THREADS}) {{",
        "    const int64_t column = at % columns, row = at / columns % rows;",
        "    const int64_t batch = at / columns / rows;",
        "    (void)batch;",
        *("    " + line for line in body),
        "  }",
        "}",
        "",
    ]
    return "\n".join(lines), layout


def _direct(problem: Convolution, parameters: Sequence[str]) -> tuple[str, Layout]:
    """A thread makes a result."""
    total = problem.outer * problem.rows * problem.columns
    kind = f"ig1_{compute_type(problem.dtype)}"
    body = [*element_lines(problem), f"const {kind} value = sum;", *stored(problem)]
    return _kernel(problem.name, problem, parameters, total, body)


def _chains(problem: Convolution, parameters: Sequence[str]) -> tuple[str, Layout]:
    """A thread makes an image's chain of a result: here `batch` counts images."""
    total = problem.images * problem.rows * problem.columns
    one = replace(
        problem,
        images=1,
        first=_of_image(problem, problem.first),
        second=_of_image(problem, problem.second),
    )
    kind = f"ig1_{compute_type(problem.dtype)}"
    body = [*element_lines(one), f"(({kind} *){problem.workspace})[at] = sum;"]
    return _kernel(problem.name, problem, parameters, total, body)


def _of_image(problem: Convolution, operand: Operand) -> Operand:
    step = problem.size(operand.strides[0])
    return replace(operand, pointer=f"({operand.pointer} + batch * {step})")


def _joined(problem: Convolution, parameters: Sequence[str]) -> tuple[str, Layout]:
    """The images' chains added in their order."""
    compute = compute_type(problem.dtype)
    kind = f"ig1_{compute}"
    body = [
        f"const {kind} *const chains = (const {kind} *){problem.workspace};",
        f"{kind} sum = 0;",
        f"for (int64_t image = 0; image < {problem.size(problem.images)}; image++) {{",
        f"  const {kind} chain = chains[image * total + at];",
        f"  sum = image ? ig1_add_{compute}(sum, chain) : chain;",
        "}",
        f"const {kind} value = sum;",
        *stored(problem),
    ]
    return _kernel(problem.name, problem, parameters, problem.rows * problem.columns, body)
