"""Prints kernels as CUDA, from the same loop IR, with the bits of the C.

There are five ways to share a kernel among threads.

- *Each*: no thread needs another's result. Threads along x take the elements of the vector loops,
  threads along y the iterations of the parallel loop; both stride over the grid.
- *Warp*: rows of at most 4096 elements with folds. A warp takes a row; lanes stride over it.
- *Block*: longer rows. A block takes a row; its warps take chunks of 4096 elements in turn.
- *Columns*: folds that stand inside a vector loop. A block takes 32 columns; its warps take chunks
  of 64 of their elements in turn, or elements where nothing is folded.
- *Chains*: rows that are chains in order. A lane goes along each, see `cuda_chains`.

A fold keeps the order of architecture §6: each lane has two partial sums in f32 (64 in all), one in
f64; they are joined by halves through shuffles, and the results of chunks by the binary carry that
the C uses. Short folds inside a vector loop belong to one thread and are printed as in C."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from intaglio.compiler.codegen.c import SERIAL_CHUNK, VECTOR_CHUNK, CPrinter, scratch_bytes
from intaglio.compiler.codegen.cuda_chains import chain_of, print_chain
from intaglio.compiler.codegen.folds import is_at_most, join_of, start_of
from intaglio.compiler.codegen.indices import as_size
from intaglio.compiler.codegen.numbers import C_TYPES, bracketed
from intaglio.compiler.dims import (
    Quotient,
    Size,
    bounds,
    compare,
    maximum,
    minimum,
    substitute,
    terms_of,
)
from intaglio.compiler.loop import Bind, Check, Fold, Kernel, Let, Loop, Stmt, Store, symbol_of
from intaglio.compiler.schedule.nest import variables_of

THREADS = 256
WARP = 32
ROWS = 4
"""Rows that a block takes at a time, one by each warp."""
CHUNKS = 8
"""Chunks of a long row that a block takes at a time, one by each warp."""
MANY_COLUMNS = 1 << 17
"""Columns that keep a device busy with a thread for each."""
OWN_SHARED = 8 << 10
"""Bytes of scratch up to which a row belongs to a warp."""
MOST_SHARED = 40 << 10
"""Bytes of scratch up to which it lies in shared memory."""
MOST_BLOCKS = 1024
"""Blocks of a kernel whose scratch lies in global memory."""
MOST_ACROSS, MOST_DOWN = (1 << 31) - 1, 65535
"""Blocks that a grid may have along x and along y."""
NARROW = 1 << 30
"""Indices below this are computed in 32 bits, with room for the strides of a grid."""
TAIL = "char *scratch, const int64_t *dims, int64_t *error, int node"
"""The parameters that every kernel has behind its pointers."""


@dataclass(frozen=True)
class Layout:
    """How a kernel is launched: see `launch.Launch`."""

    grid: tuple[Size, Size]
    block: tuple[int, int]
    shared: int = 0
    scratch: Size = 0


def cuda_kernel(kernel: Kernel, name: str, dims: Mapping[str, int]) -> tuple[str, Layout]:
    """A kernel as the text of one `__global__` function called `name`, and how to launch it."""
    printer = CudaPrinter(dims, "int")
    made = printer.global_function(kernel, name)
    return made if printer.fits else CudaPrinter(dims).global_function(kernel, name)


def ceiling(size: Size, unit: int) -> Size:
    """How many pieces of `unit` cover a size."""
    return (size + (unit - 1)) // unit


class CudaPrinter(CPrinter):
    """The printer for CUDA: blocks of one lane, and vector loops shared among threads."""

    def __init__(self, dims: Mapping[str, int], index_type: str = "int64_t") -> None:
        super().__init__(dims)
        self.index_type = index_type
        self.fits = True
        """Whether 32 bits hold every index printed so far."""
        self._way = "each"
        self._inside = False
        self._barrier = False

    def global_function(self, kernel: Kernel, name: str) -> tuple[str, Layout]:
        """The text of the whole function, and how to launch it."""
        parameters = []
        for k, buffer in enumerate(kernel.buffers):
            const = "const " if buffer.role == "input" else ""
            self.define_buffer(buffer, f"b{k}")
            parameters.append(f"{const}{C_TYPES[buffer.dtype.name]} *b{k}")
        self._way = way_of(kernel)
        total = sum((scratch_bytes(b.shape, b.dtype) for b in kernel.scratch), 0)
        vectors = list(_vectors(kernel.body.body))
        self._barrier = len(vectors) > 1 or bool(kernel.scratch)
        layout = self._layout(kernel, vectors, total)
        head = self._scratch_lines(kernel, layout, total)
        chain = chain_of(kernel)
        if chain is None:
            self._rows(kernel)
        else:
            print_chain(self, kernel, chain, self.index_type)
        lines = [
            f'extern "C" __global__ void __launch_bounds__({layout.block[0] * layout.block[1]})',
            f"{name}({', '.join([*parameters, TAIL])}) {{",
            "  if (error[0]) return;",
            *self.size_declarations(),
            *head,
            *self.lines,
            "}",
            "",
        ]
        return "\n".join(lines), layout

    def size(self, size: Size) -> str:
        """A size as C text."""
        self.fits = self.fits and magnitude(size) < NARROW
        return super().size(size)

    # ------------------------------------------------------------------------------------ launching

    def _layout(self, kernel: Kernel, vectors: Sequence[Loop], total: Size) -> Layout:
        rows = kernel.body.extent
        chain = chain_of(kernel)
        if chain is not None:
            blocks = minimum(ceiling(rows, WARP), MOST_ACROSS)
            return Layout((blocks, 1), (WARP, 1), chain.shared)
        if self._way == "each":
            extent: Size = 1
            for loop in vectors:
                extent = maximum(extent, _first_extent(loop))
            across = _power_of_two(max((bounds(v.extent)[1] for v in vectors), default=1))
            down = THREADS // across
            grid = (minimum(ceiling(rows, down), MOST_ACROSS),
                    minimum(ceiling(extent, across), MOST_DOWN))  # fmt: skip
            return Layout(grid, (across, down))
        if self._way == "warp":
            assert isinstance(total, int)
            return Layout((minimum(ceiling(rows, ROWS), MOST_ACROSS), 1), (WARP, ROWS),
                          ROWS * total)  # fmt: skip
        if self._way == "columns":
            (loop,) = vectors
            tiles = ceiling(_first_extent(loop), WARP)
            folds = sum(len(s.folds) for s in loop.body if isinstance(s, Loop))
            return Layout((minimum(rows, MOST_ACROSS), minimum(tiles, MOST_DOWN)), (WARP, CHUNKS),
                          8 * WARP * CHUNKS * folds)  # fmt: skip
        joins = sum(8 * CHUNKS for loop in vectors for _ in loop.folds)
        if isinstance(total, int) and total <= MOST_SHARED:
            return Layout((minimum(rows, MOST_ACROSS), 1), (WARP, CHUNKS), total + joins)
        return Layout((minimum(rows, MOST_BLOCKS), 1), (WARP, CHUNKS), joins, total)

    def _scratch_lines(self, kernel: Kernel, layout: Layout, total: Size) -> list[str]:
        """Where the row's scratch memory lies."""
        if not kernel.scratch:
            return []
        lines = []
        if layout.scratch != 0:
            size = bracketed(self.size(total))
            lines.append(f"  char *const mine = scratch + (int64_t)blockIdx.x * {size};")
        else:
            rows = layout.block[1] if self._way == "warp" else 1
            lines.append(f"  __shared__ __align__(16) char own[{rows}][{total}];")
            at = "threadIdx.y" if self._way == "warp" else "0"
            lines.append(f"  char *const mine = own[{at}];")
        offset: Size = 0
        for k, buffer in enumerate(kernel.scratch):
            kind = C_TYPES[buffer.dtype.name]
            self.define_buffer(buffer, f"s{k}")
            at = self.size(offset)
            lines.append(f"  {kind} *const s{k} = ({kind} *)(mine + {bracketed(at)});")
            offset = offset + scratch_bytes(buffer.shape, buffer.dtype)
        return lines

    # ---------------------------------------------------------------------------------------- rows

    def _rows(self, kernel: Kernel) -> None:
        loop = kernel.body
        variable = self.bind(symbol_of(loop.variable))
        extent = self.size(loop.extent)
        start, step = "(int64_t)blockIdx.x * blockDim.y + threadIdx.y", "gridDim.x * blockDim.y"
        if self._way in ("block", "columns"):
            start, step = "blockIdx.x", "gridDim.x"
        self.open(
            f"for ({self.index_type} {variable} = {start}; {variable} < {extent}; "
            f"{variable} += (int64_t){step})"
        )
        stores = [s for s in loop.body if isinstance(s, Store)]
        self.statements([s for s in loop.body if not isinstance(s, Store)])
        if stores and self._way != "each":
            self._synchronise()
            who = "threadIdx.x == 0" + (" && threadIdx.y == 0" if self._way == "block" else "")
            self.open(f"if ({who})")
            self.statements(stores)
            self.close()
        else:
            self.statements(stores)
        if kernel.scratch:
            self._synchronise()
        self.close()

    def _synchronise(self) -> None:
        """Wait for the threads that share the row."""
        self.line("__syncwarp();" if self._way == "warp" else "__syncthreads();")

    def check(self, stmt: Check) -> None:
        """Record an index that is out of range; the first to claim the record wins."""
        value, bound = self.value(stmt.value).text, self.size(stmt.bound)
        self.open(f"if ({value} < 0 || {value} >= {bound})")
        self.open("if (atomicCAS((unsigned long long *)error, 0ull, 1ull) == 0ull)")
        self.line(f"error[1] = node; error[2] = {value}; error[3] = {bound};")
        self.close()
        self.line("return;")
        self.close()

    # --------------------------------------------------------------------------------------- loops

    def loop(self, loop: Loop) -> None:
        """Print a loop inside a kernel."""
        if loop.kind != "vector":
            super().loop(loop)
            return
        if self._inside:
            raise TypeError("a vector loop stands in no other one")
        self._inside = True
        if self._way == "columns":
            self._columns(loop)
        elif loop.folds:
            self._fold(loop)
        else:
            start, step = {
                "each": ("(int64_t)blockIdx.y * blockDim.x + threadIdx.x",
                         "gridDim.y * blockDim.x"),
                "warp": ("threadIdx.x", str(WARP)),
                "block": (f"threadIdx.y * {WARP} + threadIdx.x", str(WARP * CHUNKS)),
            }[self._way]  # fmt: skip
            self._strides(loop, start, self.size(loop.extent), f"(int64_t){step}")
        self._inside = False
        if self._barrier and self._way != "each":
            self._synchronise()

    def _strides(self, loop: Loop, start: str, end: str, step: str) -> None:
        variable = self.bind(symbol_of(loop.variable))
        self.open(
            f"for ({self.index_type} {variable} = {start}; {variable} < {end}; "
            f"{variable} += {step})"
        )
        self.statements(loop.body)
        self.close()

    # ------------------------------------------------------------------------------------- columns

    def _columns(self, loop: Loop) -> None:
        """Share 32 columns at a time among the threads of a block. Threads behind the last column
        go along with it, since they are waited for, and store nothing."""
        extent, variable = self.size(loop.extent), self.bind(symbol_of(loop.variable))
        self.open(
            f"for (int64_t base = (int64_t)blockIdx.y * {WARP}; base < {extent}; "
            f"base += (int64_t)gridDim.y * {WARP})"
        )
        self.line("const int64_t place = base + threadIdx.x;")
        self.line(
            f"const {self.index_type} {variable} = ig_minimum_of(place, {bracketed(extent)} - 1);"
        )
        self.line(f"const int mine = place < {extent};")
        stores = [s for s in loop.body if isinstance(s, Store)]
        for stmt in loop.body:
            if isinstance(stmt, Loop):
                self._column_loop(stmt)
            elif not isinstance(stmt, Store):
                self.statements([stmt])
        if stores:
            self.open("if (mine && threadIdx.y == 0)")
            self.statements(stores)
            self.close()
        self.line("__syncthreads();")
        self.close()

    def _column_loop(self, loop: Loop) -> None:
        """Share a loop along the columns among the warps."""
        if loop.folds:
            self._fold_columns(loop)
            return
        variable, extent = self.bind(symbol_of(loop.variable)), self.size(loop.extent)
        self.open(
            f"for ({self.index_type} {variable} = threadIdx.y; {variable} < {extent}; "
            f"{variable} += {CHUNKS})"
        )
        self._column_body(loop)
        self.close()
        self.line("__syncthreads();")

    def _column_body(self, loop: Loop) -> None:
        """The statements of a loop; the stores stand last, and only of columns that exist."""
        stores = [s for s in loop.body if isinstance(s, Store)]
        self.statements([s for s in loop.body if not isinstance(s, Store)])
        if stores:
            self.open("if (mine)")
            self.statements(stores)
            self.close()

    def _fold_columns(self, loop: Loop) -> None:
        """Fold chunks of a column by different warps; all of them join the results in order."""
        parts = {}
        for fold in loop.folds:
            self.declare(fold, lanes=False)
            parts[fold] = self.fresh("w")
        self.open("")
        for fold, name in parts.items():
            kind = self.type(fold.local.dtype, False)
            self.line(f"__shared__ {kind} {name}[{CHUNKS}][{WARP}];")
        whole, variable = self.fresh("e"), self.bind(symbol_of(loop.variable))
        self.line(f"const int64_t {whole} = {self.size(loop.extent)};")
        self.declare_stacks(loop, SERIAL_CHUNK)
        step = SERIAL_CHUNK * CHUNKS
        self.open(f"for (int64_t start = 0; start == 0 || start < {whole}; start += {step})")
        self.line(f"const int64_t low = start + threadIdx.y * {SERIAL_CHUNK};")
        end = self.fresh("e")
        self.line(f"const int64_t {end} = ig_minimum_of(low + {SERIAL_CHUNK}, {whole});")
        for fold in loop.folds:
            self.line(f"{self.result(fold)} = {self._start(fold, whole, False)};")
        self.open(f"for ({self.index_type} {variable} = low; {variable} < {end}; {variable}++)")
        self._column_body(loop)
        for fold in loop.folds:
            name, value = self.result(fold), self.value(fold.value).text
            self.line(f"{name} = ig1_{join_of(fold)}({name}, {value});")
        self.close()
        for fold, name in parts.items():
            self.line(f"{name}[threadIdx.y][threadIdx.x] = {self.result(fold)};")
        self.line("__syncthreads();")
        self.line("int64_t at = start;")
        self.open(f"for (int k = 0; k == 0 || (k < {CHUNKS} && at < {whole}); k++)")
        for fold, name in parts.items():
            self.line(f"{self.result(fold)} = {name}[k][threadIdx.x];")
        self.push_chunk(loop)
        self.line(f"at += {SERIAL_CHUNK};")
        self.close()
        self.line("__syncthreads();")
        self.close()
        self.join_chunks(loop)
        self.close()

    # -------------------------------------------------------------------------- folds along rows

    def _fold(self, loop: Loop) -> None:
        for fold in loop.folds:
            self.declare(fold, lanes=False)
        self.open("")
        whole = self.fresh("e")
        self.line(f"const int64_t {whole} = {self.size(loop.extent)};")
        if self._way == "warp":
            self._chunk(loop, "threadIdx.x", whole)
            self.close()
            return
        parts = {fold: self.fresh("w") for fold in loop.folds}
        for fold, name in parts.items():
            self.line(f"__shared__ {self.type(fold.local.dtype, False)} {name}[{CHUNKS}];")
        self.declare_stacks(loop, VECTOR_CHUNK)
        step = VECTOR_CHUNK * CHUNKS
        self.open(
            f"for (int64_t start = 0; start == 0 || start < {whole}; start += {step})"
        )  # an empty row is one empty chunk
        self.line(f"const int64_t low = start + threadIdx.y * {VECTOR_CHUNK};")
        end = self.fresh("e")
        self.line(f"const int64_t {end} = ig_minimum_of(low + {VECTOR_CHUNK}, {whole});")
        self._chunk(loop, "low + threadIdx.x", end)
        for fold, name in parts.items():
            self.line(f"if (threadIdx.x == 0) {name}[threadIdx.y] = {self.result(fold)};")
        self.line("__syncthreads();")
        self.line("int64_t at = start;")
        self.open(f"for (int k = 0; k == 0 || (k < {CHUNKS} && at < {whole}); k++)")
        for fold, name in parts.items():
            self.line(f"{self.result(fold)} = {name}[k];")
        self.push_chunk(loop)
        self.line(f"at += {VECTOR_CHUNK};")
        self.close()
        self.line("__syncthreads();")
        self.close()
        self.join_chunks(loop)
        self.close()

    def _chunk(self, loop: Loop, start: str, end: str) -> None:
        """Fold the elements of one chunk by one warp; every lane gets the results."""
        partials = {fold: self._partials(fold) for fold in loop.folds}
        turning = any(len(names) > 1 for names in partials.values())
        odd = self.fresh("o")
        if turning:
            self.line(f"int {odd} = 0;")
        variable = self.bind(symbol_of(loop.variable))
        self.open(
            f"for ({self.index_type} {variable} = {start}; {variable} < {end}; "
            f"{variable} += {WARP})"
        )
        self.statements(loop.body)
        for fold, names in partials.items():
            value = self.value(fold.value).text
            join = f"ig1_{join_of(fold)}"
            if len(names) == 1:
                self.line(f"{names[0]} = {join}({names[0]}, {value});")
                continue
            self.line(f"const {self.type(fold.local.dtype, False)} {names[2]} = "
                      f"{join}({names[0]}, {value});")  # fmt: skip
            self.line(f"{names[0]} = {names[1]}; {names[1]} = {names[2]};")
        if turning:
            self.line(f"{odd} ^= 1;")
        self.close()
        for fold, names in partials.items():
            self._join_lanes(fold, names, odd)

    def _partials(self, fold: Fold) -> list[str]:
        """The partial results of one lane: two that take turns where the order shows in f32."""
        dtype = fold.local.dtype
        rounds = dtype.kind == "f" and fold.kind in ("sum", "prod")
        names = [self.fresh("a") for _ in range(2 if rounds and dtype.size <= 4 else 1)]
        for name in names:
            self.line(f"{self.type(dtype, False)} {name} = {start_of(fold, serial=False)};")
        return [*names, self.fresh("t")] if len(names) > 1 else names

    def _join_lanes(self, fold: Fold, names: Sequence[str], odd: str) -> None:
        first, join = names[0], f"ig1_{join_of(fold)}"
        if len(names) > 1:
            even, turned = f"{join}({first}, {names[1]})", f"{join}({names[1]}, {first})"
            self.line(f"{first} = {odd} ? {turned} : {even};")
        for offset in (16, 8, 4, 2, 1):
            other = f"__shfl_down_sync(0xffffffffu, {first}, {offset})"
            self.line(f"{first} = {join}({first}, {other});")
        self.line(f"{self.result(fold)} = __shfl_sync(0xffffffffu, {first}, 0);")


def magnitude(size: Size) -> int:
    """What no part of the arithmetic of a size exceeds; a bound, not the least one."""
    total = 0
    for monomial, factor in terms_of(size):
        part = abs(factor)
        for atom in monomial:
            low, high = bounds(as_size(atom))
            part *= max(abs(low), abs(high))
            if isinstance(atom, Quotient):
                total += magnitude(atom.left) + magnitude(atom.right)
        total += part
    return total


def way_of(kernel: Kernel) -> str:
    """How a kernel is shared among threads: `each`, `warp`, `block` or `columns`."""
    body = kernel.body.body
    vectors = list(_vectors(body))
    if _has_long_columns(kernel):
        return "columns"
    outside = vectors and any(isinstance(s, Store) for s in body)
    if not any(v.folds for v in vectors) and not outside and not kernel.scratch:
        return "each"
    total: Size = sum((scratch_bytes(b.shape, b.dtype) for b in kernel.scratch), 0)
    short = all(is_at_most(v.extent, VECTOR_CHUNK) for v in vectors)
    return "warp" if short and isinstance(total, int) and total <= OWN_SHARED else "block"


def _has_long_columns(kernel: Kernel) -> bool:
    """Whether all that a kernel does is to fold columns of several chunks and to store elements,
    and there are not columns enough for a thread each."""
    loops = [s for s in kernel.body.body if not isinstance(s, Let | Bind)]
    if kernel.scratch or len(loops) != 1:
        return False
    (loop,) = loops
    if not isinstance(loop, Loop) or loop.kind != "vector" or loop.folds:
        return False
    if compare(kernel.body.extent * _first_extent(loop), MANY_COLUMNS) == 1:
        return False
    inner = [s for s in loop.body if isinstance(s, Loop)]
    plain = all(isinstance(s, Let | Bind | Store) for s in loop.body if not isinstance(s, Loop))
    simple = all(isinstance(s, Let | Bind | Store) for i in inner for s in i.body)
    folded = [i for i in inner if i.folds]
    long = all(not is_at_most(i.extent, SERIAL_CHUNK) for i in folded)
    flat = not any(f.tree for i in folded for f in i.folds)
    return bool(folded) and plain and simple and long and flat


def _first_extent(loop: Loop) -> Size:
    """How far a loop goes in the first rounds of those around it, which is the farthest."""
    return substitute(loop.extent, dict.fromkeys(variables_of(loop.extent), 0))


def _vectors(body: Sequence[Stmt]) -> list[Loop]:
    """The vector loops in a body, those inside serial loops too."""
    found: list[Loop] = []
    for stmt in body:
        if isinstance(stmt, Loop):
            found += [stmt] if stmt.kind == "vector" else _vectors(stmt.body)
    return found


def _power_of_two(extent: int) -> int:
    """Threads along the vector loops: a power of two, no more than there is to do."""
    return min(THREADS, 1 << max(extent - 1, 0).bit_length())
