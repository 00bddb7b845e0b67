"""Matrix products printed, compiled and called on arrays."""

import ctypes
import subprocess
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from intaglio.compiler.dims import Dim, Quotient, Shape, Size, Symbol, evaluate, product
from intaglio.compiler.dtypes import DType, dtype_of
from intaglio.compiler.schedule.matmul import matmul_kernels, pack_kernels, packed_bytes
from intaglio.compiler.schedule.template import Matrix, Product, TemplateResult

Array = NDArray[Any]
ROOT = Path(__file__).parents[3]
PRELUDE, NATIVE = ROOT / "compiler/codegen/prelude", ROOT / "runtime/native"
FLAGS = ["-O2", "-march=native", "-std=gnu99", "-ffp-contract=off"]
FLAGS += ["-fno-math-errno", "-fno-trapping-math"]
INCLUDES = [f"-I{PRELUDE}", f"-I{NATIVE}"]
HEAD = """\
#include "ig_prelude.h"
#include "ig_abi.h"
typedef struct { void *const *p; const int64_t *dims; } ig_args;
#define IG_HEAD void *const *const p = ((const ig_args *)args)->p; \\
  const int64_t *const dims = ((const ig_args *)args)->dims; (void)p; (void)dims; (void)w;
typedef struct { ig_args args; int64_t chunks; } whole;
"""
ENTRY = """\
void run_{name}(void *const *p, const int64_t *dims, void *scratch, int64_t lo, int64_t hi) {{
  const ig_worker w = {{.scratch = scratch}};
  const ig_args args = {{p, dims}};
  {name}(&w, &args, lo, hi);
}}
static int body_{name}(ig_worker *w, const void *args) {{
  return w->ctx->step(w, {name}, args, ((const whole *)args)->chunks);
}}
int team_{name}(const ig_ctx *ctx, void *const *p, const int64_t *dims, int64_t chunks) {{
  const whole args = {{{{p, dims}}, chunks}};
  return ctx->run(ctx, body_{name}, &args, 0);
}}
"""
GUARD = 4096
C_NAMES = {"f32": "float", "f64": "double", "i64": "int64_t", "i32": "int32_t", "u32": "uint32_t",
           "i16": "int16_t", "i8": "int8_t", "u8": "uint8_t"}  # fmt: skip
SYMBOLS = ("m", "n", "k")


def print_size(size: Size) -> str:
    """C text of a size; the symbols m, n, k are dims[0..2]."""
    if isinstance(size, int):
        return f"INT64_C({size})"
    terms = [" * ".join([f"INT64_C({c})", *map(_atom, atoms)]) for atoms, c in size.terms]
    return f"({' + '.join(terms)})"


def _atom(atom: Symbol | Quotient) -> str:
    if isinstance(atom, Symbol):
        return f"dims[{SYMBOLS.index(atom.name)}]"
    a, b = print_size(atom.left), print_size(atom.right)
    match atom.kind:
        case "min":
            return f"({a} < {b} ? {a} : {b})"
        case "max":
            return f"({a} > {b} ? {a} : {b})"
    return f"({a} {atom.kind[0]} {b})"


@dataclass(frozen=True)
class ToBuffer:
    """Stores a result densely at p[2], after an epilogue: C statements on the block `{value}`."""

    dtype: DType
    m: Size
    n: Size
    plain: str | None
    epilogue: str = ""

    def ahead(self, *, batch: str, row: str, column: str, bytes: int) -> list[str]:
        return [f"__builtin_prefetch(a + {row});"]

    def lines(
        self, *, batch: str, row: str, column: str, lanes: int, count: str, value: str
    ) -> list[str]:
        kind = self.dtype.name if self.dtype.size >= 4 else "i32"
        storage = self.dtype.name
        at = f"({batch} * {print_size(self.m)} + {row}) * {print_size(self.n)} + {column}"
        block = f"ig{lanes}_{kind}"
        fields = {"L": lanes, "column": column, "count": count, "at": at}
        return [
            f"{{ {block} y = {value};",
            f"  {C_NAMES[storage]} *const o = ({C_NAMES[storage]} *)p[2] + {at};",
            "  " + self.epilogue.format(**fields),
            f"  ig{lanes}_store_{storage}(o, y, {count}); }}",
        ]


@dataclass(frozen=True, eq=False)
class Case:
    """One product of two arrays, used with the strides they have.

    `symbolic` makes m, n, k known at run time only (operands must then be dense, or transposed).
    """

    a: Array
    b: Array
    packed: bool = False
    symbolic: bool = False
    through_store: bool = False
    epilogue: str = ""

    @cached_property
    def dtype(self) -> DType:
        return dtype_of(self.a.dtype)

    @cached_property
    def batch(self) -> tuple[int, ...]:
        return self.a.shape[:-2]

    @cached_property
    def sizes(self) -> dict[str, int]:
        return {"m": self.a.shape[-2], "n": self.b.shape[-1], "k": self.a.shape[-1]}

    def matrix(self, array: Array, pointer: int, rows: Size, columns: Size) -> Matrix:
        strides = tuple(s // array.itemsize for s in array.strides)
        row: Size = strides[-2]
        column: Size = strides[-1]
        if self.symbolic:
            # A dense matrix, or the transposed view of one.
            row, column = (columns, 1) if array.flags.c_contiguous else (1, rows)
        text = f"((const {C_NAMES[self.dtype.name]} *)p[{pointer}])"
        return Matrix(text, strides[:-2], row, column)

    def product(self, name: str) -> Product:
        m, n, k = (Dim(s, min=0) if self.symbolic else self.sizes[s] for s in SYMBOLS)
        plain = f"(({C_NAMES[self.dtype.name]} *)p[2])"
        store = ToBuffer(
            self.dtype,
            m,
            n,
            None if self.through_store or self.epilogue else plain,
            self.epilogue,
        )
        a, b = self.matrix(self.a, 0, m, k), self.matrix(self.b, 1, k, n)
        return Product(name, self.dtype, self.batch, m, n, k, a, b, "p[3]", store, print_size)


@dataclass(frozen=True, eq=False)
class Compiled:
    """A case with its loaded kernels."""

    case: Case
    name: str
    library: ctypes.CDLL
    result: TemplateResult
    packing: TemplateResult | None

    @property
    def chunks(self) -> int:
        return evaluate(self.result.steps[0].chunks, self.case.sizes)

    def prepare(self, out: Array, extra: Array | None = None) -> Callable[[int, int], None]:
        """A call for a range of chunks, with scratch of its own."""
        b = self.pack() if self.packing else self.case.b
        size = evaluate(self.result.scratch, self.case.sizes)
        scratch = aligned(size + GUARD)
        scratch[:] = 0xFF  # NaN, if anything reads what it did not write
        arrays = (self.case.a, b, out, extra)
        held = pointers(arrays)
        dims = (ctypes.c_int64 * 3)(*(self.case.sizes[s] for s in SYMBOLS))
        call = getattr(self.library, f"run_{self.name}")
        call.argtypes = [ctypes.c_void_p] * 3 + [ctypes.c_int64] * 2
        call.restype = None
        where = scratch.ctypes.data

        def run(lo: int, hi: int, keep: tuple[object, ...] = (arrays, scratch)) -> None:
            call(held, dims, where, lo, hi)
            assert (scratch[size:] == 0xFF).all(), "the kernel wrote behind its scratch"

        return run

    def __call__(self, extra: Array | None = None) -> Array:
        out = self.empty()
        self.prepare(out, extra)(0, self.chunks)
        return out

    def empty(self) -> Array:
        """A result, each element set to a number that no test expects."""
        shape = (*self.case.batch, self.case.sizes["m"], self.case.sizes["n"])
        return np.full(shape, 77, self.case.a.dtype)

    def pack(self) -> Array:
        """The packed form of b."""
        assert self.packing is not None
        case = self.case
        n, k = case.sizes["n"], case.sizes["k"]
        shared = all(s == 0 for s in case.b.strides[:-2])
        batch: Shape = () if shared else case.batch
        packed = aligned(evaluate(packed_bytes(n, k, case.dtype, batch), {}))
        dims = (ctypes.c_int64 * 3)(*(case.sizes[s] for s in SYMBOLS))
        call = getattr(self.library, f"run_{self.name}_pack")
        call.argtypes = [ctypes.c_void_p] * 3 + [ctypes.c_int64] * 2
        call.restype = None
        held = pointers((None, case.b, packed))
        call(held, dims, None, 0, evaluate(self.packing.steps[0].chunks, case.sizes))
        return packed


def pointers(arrays: Sequence[Array | None]) -> Any:
    """A C table of the arrays' addresses."""
    return (ctypes.c_void_p * len(arrays))(*(None if x is None else x.ctypes.data for x in arrays))


def aligned(size: int) -> Array:
    """Bytes that start at a multiple of 64."""
    room = np.empty(size + 64, np.uint8)
    start = -room.ctypes.data % 64
    return room[start : start + size]


def print_case(case: Case, name: str) -> tuple[str, TemplateResult, TemplateResult | None]:
    """C text of a case with its entries."""
    made, packing = case.product(name), None
    text = ENTRY.format(name=name)
    if case.packed:
        shared = all(s == 0 for s in made.b.batch)
        weights = replace(made, name=f"{name}_pack", batch=() if shared else made.batch)
        if shared:
            weights = replace(weights, b=replace(made.b, batch=()))
        packing = pack_kernels(weights, "p[2]")
        text = packing.text + ENTRY.format(name=f"{name}_pack") + text
        made = replace(made, b=replace(made.b, packed=True))
    result = matmul_kernels(made)
    assert evaluate(product(made.batch), {}) >= 0
    return result.text + text, result, packing


def compile_cases(
    cases: Sequence[Case], folder: Path, flags: Sequence[str] = (), label: str = "all"
) -> list[Compiled]:
    """All cases in one library."""
    printed = [print_case(case, f"k{i}") for i, case in enumerate(cases)]
    source, library = folder / f"{label}.c", folder / f"{label}.so"
    source.write_text(HEAD + "".join(text for text, _, _ in printed))
    # gcc does not see that at most 64 steps are turned together, and doubts a loop over them.
    quiet = ("unused-variable", "unused-function", "aggressive-loop-optimizations")
    command = ["gcc", *FLAGS, "-Wall", "-Werror", *(f"-Wno-{name}" for name in quiet)]
    command += [*flags, "-fPIC", "-shared", *INCLUDES, str(source), "-o", str(library)]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    loaded = ctypes.CDLL(str(library))
    return [
        Compiled(case, f"k{i}", loaded, result, packing)
        for i, (case, (_, result, packing)) in enumerate(zip(cases, printed, strict=True))
    ]
