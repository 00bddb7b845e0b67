"""Prints kernels as CUDA, from the same loop IR: a block of threads per row, a thread per lane.

An elementwise kernel is one flat grid-stride loop. In the others blocks stride over the rows, the
threads of a block over the vector loops, and folds are joined by warp shuffles and then over the
warps in shared memory, always in the same order. All threads of a block compute what belongs to a
row; one of them stores it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from intaglio.compiler.codegen.c import scratch_bytes
from intaglio.compiler.codegen.folds import join_of, start_of
from intaglio.compiler.codegen.numbers import C_TYPES, compute_type
from intaglio.compiler.codegen.printer import Printer, Text
from intaglio.compiler.dims import Size
from intaglio.compiler.loop import Check, Fold, Kernel, Loop, Store, symbol_of

THREADS = 256
WARP = 32


def cuda_kernel_text(kernel: Kernel, name: str, dims: Mapping[str, int]) -> str:
    """A kernel as the text of one `__global__` function called `name`.

    Its parameters are the buffers' pointers, the block of scratch memory and its bytes per thread
    block, the sizes, and the error record (kind, node, value, limit)."""
    return CudaPrinter(dims).kernel(kernel, name)


class CudaPrinter(Printer):
    """The printer for CUDA."""

    def __init__(self, dims: Mapping[str, int]) -> None:
        super().__init__(dims)
        self._inside = False

    def kernel(self, kernel: Kernel, name: str) -> str:
        """The text of the whole function."""
        parameters = []
        for k, buffer in enumerate(kernel.buffers):
            kind = C_TYPES[buffer.dtype.name]
            const = "const " if buffer.role == "input" else ""
            self.define_buffer(buffer, f"b{k}")
            parameters.append(f"{const}{kind} *b{k}")
        parameters += ["char *scratch", "const int64_t *dims", "int64_t *error", "int node"]
        offset: Size = 0
        for k, buffer in enumerate(kernel.scratch):
            kind = C_TYPES[buffer.dtype.name]
            self.define_buffer(buffer, f"s{k}")
            at = self.size(offset)
            self.line(f"{kind} *const s{k} = ({kind} *)(mine + {at});")
            offset = offset + scratch_bytes(buffer.shape, buffer.dtype)
        if kernel.scratch:
            self.lines.insert(
                0, f"  char *const mine = scratch + blockIdx.x * ({self.size(offset)});"
            )
        self._rows(kernel.body)
        head = f'extern "C" __global__ void {name}({", ".join(parameters)}) {{'
        return "\n".join([head, *self.size_declarations(), *self.lines, "}", ""])

    def _rows(self, loop: Loop) -> None:
        inner = [s for s in loop.body if isinstance(s, Loop)]
        variable = self.bind(symbol_of(loop.variable))
        extent = self.size(loop.extent)
        flat = len(inner) == 1 and inner[0].kind == "vector" and not inner[0].folds
        if (flat and not any(isinstance(s, Store) for s in loop.body)) or not inner:
            step = "(int64_t)gridDim.x * blockDim.y" if inner else "(int64_t)gridDim.x * blockDim.x"
            start = (
                "(int64_t)blockIdx.x * blockDim.y + threadIdx.y"
                if inner
                else "(int64_t)blockIdx.x * blockDim.x + threadIdx.x"
            )
        else:
            start, step = "blockIdx.x", "gridDim.x"
        self.open(
            f"for (int64_t {variable} = {start}; {variable} < {extent}; {variable} += {step})"
        )
        self._body(loop)
        self.close()

    def _body(self, loop: Loop) -> None:
        several = sum(isinstance(s, Loop) for s in loop.body) > 1
        for stmt in loop.body:
            if (
                isinstance(stmt, Store)
                and not self._inside
                and any(isinstance(s, Loop) for s in loop.body)
            ):
                value = self.value(stmt.value)
                self.open("if (threadIdx.x == 0)")
                base, data = self.address(stmt.buffer, stmt.index)
                kind = C_TYPES[stmt.buffer.dtype.name]
                self.line(f"*({self.pointer(stmt.buffer, base, data)}) = ({kind}){value.text};")
                self.close()
                continue
            self.statements([stmt])
            if several and isinstance(stmt, Loop):
                self.line("__syncthreads();")

    def loop(self, loop: Loop) -> None:
        """Print a loop inside a kernel."""
        variable = self.bind(symbol_of(loop.variable))
        spread = loop.kind == "vector" and not self._inside
        for fold in loop.folds:
            name = self.fresh("r")
            start = start_of(fold, serial=False)
            self.line(f"ig1_{compute_type(fold.local.dtype)} {name} = {start};")
            self.define(fold.local, Text(name))
        first, step = ("threadIdx.x", "blockDim.x") if spread else ("0", "1")
        extent = self.size(loop.extent)
        self.open(
            f"for (int64_t {variable} = {first}; {variable} < {extent}; {variable} += {step})"
        )
        outer, self._inside = self._inside, self._inside or loop.kind == "vector"
        self.statements(loop.body)
        for fold in loop.folds:
            value, name = self.value(fold.value), self.value(fold.local).text
            self.line(f"{name} = ig1_{join_of(fold)}({name}, {value.text});")
        self._inside = outer
        self.close()
        if spread:
            self._join(loop.folds)

    def _join(self, folds: Sequence[Fold]) -> None:
        """Join the threads' results: lanes of a warp by halves, then the warps in order."""
        for fold in folds:
            name, join = self.value(fold.local).text, f"ig1_{join_of(fold)}"
            kind = f"ig1_{compute_type(fold.local.dtype)}"
            shared = self.fresh("w")
            self.line(f"__shared__ {kind} {shared}[{WARP}];")
            self.open(f"for (int offset = {WARP // 2}; offset > 0; offset >>= 1)")
            self.line(f"{name} = {join}({name}, __shfl_down_sync(0xffffffffu, {name}, offset));")
            self.close()
            self.line("__syncthreads();")
            self.line(f"if (threadIdx.x % {WARP} == 0) {shared}[threadIdx.x / {WARP}] = {name};")
            self.line("__syncthreads();")
            self.line(f"{name} = {shared}[0];")
            self.open(f"for (int k = 1; k < (int)(blockDim.x / {WARP}); k++)")
            self.line(f"{name} = {join}({name}, {shared}[k]);")
            self.close()

    def check(self, stmt: Check) -> None:
        """Record an index that is out of range; the first to claim the record wins."""
        value, bound = self.value(stmt.value), self.size(stmt.bound)
        self.open(f"if ({value.text} < 0 || {value.text} >= {bound})")
        self.open("if (atomicCAS((unsigned long long *)error, 0ull, 1ull) == 0ull)")
        self.line(f"error[1] = node; error[2] = {value.text}; error[3] = {bound};")
        self.close()
        self.line("return;")
        self.close()
