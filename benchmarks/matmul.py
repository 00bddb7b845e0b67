"""Time matrix products beside NumPy's OpenBLAS: `python -m benchmarks.matmul [--rounds 9]`.

Our kernels run through the thread pool as compiled functions do, with B as it is (raw) and packed
once. Rounds are interleaved, and the table gives each one's fastest call, since other work on the
machine only takes away; the peak rate of fused multiply-adds is measured in the same rounds.
"""

import argparse
import ctypes
import subprocess
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks import machine
from intaglio.compiler.dims import evaluate
from tests.compiler.codegen.matmul_programs import (
    FLAGS,
    HEAD,
    INCLUDES,
    NATIVE,
    Case,
    Compiled,
    aligned,
    compile_cases,
    pointers,
)

Array = NDArray[Any]
SECONDS = 0.03  # of one timing
PEAK_STEPS = 100_000
PEAK = """\
int width(void) { return IG_W; }
double peak(int64_t n) {
  igv_f32 s[12], x = igv_splat_f32(0.999f), y = igv_splat_f32(0.001f);
  for (int i = 0; i < 12; i++) s[i] = igv_splat_f32(i);
  for (int64_t j = 0; j < n; j++) {
#pragma GCC unroll 12
    for (int i = 0; i < 12; i++) s[i] = igv_fma_f32(s[i], x, y);
  }
  for (int i = 1; i < 12; i++) s[0] += s[i];
  return s[0][0];
}
"""


def matrix(*shape: int) -> Array:
    """Numbers in f32."""
    return np.random.default_rng(shape).standard_normal(shape, np.float32)


def linear(m: int, n: int, k: int) -> tuple[Array, Array]:
    """The operands of `x @ w.T`."""
    return matrix(m, k), matrix(n, k).T


SHAPES: dict[str, tuple[Array, Array]] = {
    "x w^T (1,784,512)": linear(1, 512, 784),
    "x w^T (64,784,512)": linear(64, 512, 784),
    "x w^T (128,384,384)": linear(128, 384, 384),
    "x w^T (128,768,768)": linear(128, 768, 768),
    "x w^T (128,3072,768)": linear(128, 768, 3072),
    "x w (64,512,784)": (matrix(64, 512), matrix(512, 784)),
    "x w (128,768,768)": (matrix(128, 768), matrix(768, 768)),
    "x w (1024,1024,1024)": (matrix(1024, 1024), matrix(1024, 1024)),
    "dy^T x [512,64]x[64,784]": (matrix(64, 512).T, matrix(64, 784)),
    "dy^T x [384,1024]x[1024,384]": (matrix(1024, 384).T, matrix(1024, 384)),
    "64 x q k^T (64,16,64)": (matrix(64, 64, 16), matrix(64, 64, 16).swapaxes(1, 2)),
    "96 x q k^T (128,32,128)": (matrix(96, 128, 32), matrix(96, 128, 32).swapaxes(1, 2)),
    "96 x p v (128,128,32)": (matrix(96, 128, 128), matrix(96, 128, 32)),
}
"""Operands by name; the sizes are (m, k, n)."""


class Pool:
    """The runtime's thread pool, and contexts for calls with one or more threads."""

    def __init__(self, folder: Path) -> None:
        library = folder / "pool.so"
        command = ["gcc", "-O2", "-std=gnu11", "-pthread", "-fPIC", "-shared"]
        subprocess.run([*command, NATIVE / "ig_pool.c", "-o", library], check=True)
        self.library = ctypes.CDLL(str(library))

    def context(self, threads: int, scratch: int) -> Any:
        """A context with so many bytes of scratch per thread."""
        room = [aligned(scratch + 64) for _ in range(threads)]
        error = (ctypes.c_int64 * 3)()
        made = ctypes.create_string_buffer(256)
        self.library.ig_pool_config(threads, -1)
        self.library.ig_pool_make(made, threads, pointers(room), error, None)
        made.kept = (room, error, held := pointers(room))  # type: ignore[attr-defined]
        self.library.ig_pool_make(made, threads, held, error, None)
        return made


def caller(program: Compiled, pool: Pool, threads: int) -> Callable[[], object]:
    """A call of a compiled product on the pool."""
    context = pool.context(threads, evaluate(program.result.scratch, {}))
    case = program.case
    out = program.empty()
    b = program.pack() if program.packing else case.b
    held, dims = pointers((case.a, b, out)), (ctypes.c_int64 * 1)()
    call = getattr(program.library, f"team_{program.name}")
    chunks = ctypes.c_int64(program.chunks)

    def run(keep: object = (context, out, b)) -> object:
        return call(context, held, dims, chunks)

    run()
    assert np.allclose(out, np.matmul(case.a, case.b), rtol=1e-3, atol=1e-3)
    return run


def set_blas_threads(threads: int) -> None:
    """Tell NumPy's OpenBLAS how many threads to use."""
    for folder in Path(np.__file__).parents[1].glob("numpy.libs"):
        for path in folder.glob("lib*openblas*"):
            library = ctypes.CDLL(str(path))
            for name in ("scipy_openblas_set_num_threads64_", "openblas_set_num_threads64_"):
                if hasattr(library, name):
                    getattr(library, name)(threads)
                    return
    raise SystemExit("NumPy's OpenBLAS was not found")


def rate(call: Callable[[], object], work: float) -> float:
    """GFLOP/s of the fastest of the calls made in some time."""
    best, begun = float("inf"), time.perf_counter()
    while (start := time.perf_counter()) - begun < SECONDS:
        call()
        best = min(best, time.perf_counter() - start)
    return work / best * 1e-9


@dataclass
class Row:
    """Rates of one shape, by peer."""

    name: str
    work: float
    calls: dict[str, Callable[[], object]]
    rates: dict[str, list[float]]


def table(rows: list[Row], peak: float, threads: int) -> list[str]:
    """Markdown lines; rates are the best of all rounds in GFLOP/s."""
    peers = list(rows[0].calls)
    lines = [
        f"| {threads} thread(s): peak {peak:.0f} | {' | '.join(peers)} | best of ours / peak |",
        "|---" * (len(peers) + 2) + "|",
    ]
    for row in rows:
        rates = {peer: max(found) for peer, found in row.rates.items()}
        best = max(r for peer, r in rates.items() if peer != "OpenBLAS")
        cells = [row.name, *(f"{r:.0f}" for r in rates.values()), f"{best / peak:.0%}"]
        lines.append("| " + " | ".join(cells) + " |")
    return lines


def measure(
    programs: list[tuple[Compiled, Compiled]], pool: Pool, peak: ctypes.CDLL, threads: int
) -> None:
    """Print the table for a number of threads."""
    set_blas_threads(threads)
    rows, peaks = [], []
    for name, (raw, packed) in zip(SHAPES, programs, strict=True):
        a, b = raw.case.a, raw.case.b
        calls: dict[str, Callable[[], object]] = {
            "raw": caller(raw, pool, threads),
            "packed": caller(packed, pool, threads),
            "OpenBLAS": partial(np.matmul, a, b),
        }
        work = 2.0 * a.size * b.shape[-1]
        rows.append(Row(name, work, calls, {peer: [] for peer in calls}))
    for _ in range(ROUNDS):
        peaks.append(
            rate(partial(peak.peak, ctypes.c_int64(PEAK_STEPS)), 24.0 * peak.width() * PEAK_STEPS)
        )
        for row in rows:
            for peer, call in row.calls.items():
                row.rates[peer].append(rate(call, row.work))
    print("\n".join(table(rows, max(peaks) * threads, threads)) + "\n", flush=True)


ROUNDS = 9


def main() -> None:
    """Compile, time, print."""
    global ROUNDS
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    parser.add_argument("--threads", type=int, nargs="*", default=[1, 2])
    chosen = parser.parse_args()
    ROUNDS = chosen.rounds
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        source = folder / "peak.c"
        source.write_text(HEAD + PEAK)
        command = ["gcc", *FLAGS, "-w", "-fPIC", "-shared", *INCLUDES, str(source)]
        subprocess.run([*command, "-o", str(folder / "peak.so")], check=True)
        peak = ctypes.CDLL(str(folder / "peak.so"))
        raw = compile_cases([Case(a, b) for a, b in SHAPES.values()], folder, (), "raw")
        cases = [Case(a, b, packed=True) for a, b in SHAPES.values()]
        packed = compile_cases(cases, folder, (), "packed")
        pool = Pool(folder)
        for key, value in machine.describe(max(chosen.threads)).items():
            print(f"{key}: {value}")
        for threads in chosen.threads:
            measure(list(zip(raw, packed, strict=True)), pool, peak, threads)


if __name__ == "__main__":
    main()
