"""Compiles lowered functions with the machine's C compiler and calls them through ctypes: many
functions to a translation unit, so that the tests are quick."""

from __future__ import annotations

import ctypes
import re
import shutil
import subprocess
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

import intaglio.compiler
from intaglio.compiler.codegen.head import C_HEAD, PARTS
from intaglio.compiler.dims import evaluate
from intaglio.compiler.lower import Lowered
from intaglio.compiler.passes.plan import Lifetime, plan

Array = np.ndarray[Any, Any]
PRELUDE = Path(str(intaglio.compiler.__file__)).parent / "codegen" / "prelude"
NATIVE = PRELUDE.parents[2] / "runtime" / "native"
FLAGS = [
    "-march=native",
    "-std=gnu99",
    "-ffp-contract=off",
    "-fno-math-errno",
    "-fno-trapping-math",
    "-fPIC",
]
COMPILER = shutil.which("gcc") or shutil.which("cc")

DRIVER = """
#include <stdlib.h>
typedef struct { ig_ctx ctx; int32_t backwards; } driver;
static int drive_step(ig_worker *w, ig_kernel kernel, const void *args, int64_t chunks) {
  if (w->ctx->error->kind) return 1;
  if (((const driver *)w->ctx)->backwards)
    for (int64_t c = chunks - 1; c >= 0; c--) kernel(w, args, c, c + 1);
  else
    kernel(w, args, 0, chunks);
  return w->ctx->error->kind != 0;
}
static int drive_run(const ig_ctx *ctx, ig_body body, const void *args, int32_t want) {
  ig_worker w = {ctx, 0, 1, ctx->scratch[0], 0, 0, 0};
  (void)want;
  return body(&w, args) ? ctx->error->kind : 0;
}
static void drive_report(const ig_worker *w, int32_t kind, int32_t node, int64_t value,
                         int64_t limit) {
  if (!w->ctx->error->kind) *w->ctx->error = (ig_error){kind, node, value, limit};
}
int drive(int (*f)(const ig_ctx *, void *const *, const int64_t *), void *const *buffers,
          const int64_t *dims, void *scratch, ig_error *error, int32_t backwards);
int drive(int (*f)(const ig_ctx *, void *const *, const int64_t *), void *const *buffers,
          const int64_t *dims, void *scratch, ig_error *error, int32_t backwards) {
  void *const blocks[] = {scratch};
  static const int32_t stop = 0;
  driver d = {{drive_run, drive_step, drive_report, 1, blocks, error, &stop}, backwards};
  return f(&d.ctx, buffers, dims);
}
"""


class Function:
    """A compiled function: call it with arrays and, for the general form, sizes."""

    def __init__(self, lowered: Lowered, library: ctypes.CDLL, name: str) -> None:
        self.lowered = lowered
        self._function = ctypes.cast(getattr(library, name), ctypes.c_void_p)
        self._drive = library.drive
        base = name.removesuffix("ig_f0")
        self._packs = [
            ctypes.cast(getattr(library, base + p.entry), ctypes.c_void_p) for p in lowered.packs
        ]
        self.error: tuple[int, ...] = (0, 0, 0, 0)

    def __call__(
        self,
        *arrays: Array,
        sizes: Mapping[str, int] | None = None,
        backwards: bool = False,
        in_place: bool = False,
    ) -> list[Array]:
        """The results; NaN fills every output, temporary and scratch before."""
        sizes = sizes or {}
        low = self.lowered
        kept: list[Array] = []
        given = [np.array(a, order="C", copy=True) for a in arrays]
        lives = [
            Lifetime(evaluate(b.bytes, sizes), b.first, b.last)
            for b in low.buffers
            if b.kind == "temp"
        ]
        planned = plan(lives)
        arena = _aligned(planned.bytes)
        offsets = iter(planned.offsets)
        outputs: dict[int, Array] = {}
        pointers = (ctypes.c_void_p * max(1, len(low.buffers)))()
        for k, b in enumerate(low.buffers):
            if b.kind == "input":
                pointers[k] = given[b.index].ctypes.data
            elif b.kind == "constant":
                pointers[k] = low.constants[b.index].ctypes.data
            elif b.kind == "packed":
                kept.append(_aligned(evaluate(b.bytes, sizes)))
                pointers[k] = kept[-1].ctypes.data
            elif b.kind == "temp":
                pointers[k] = arena.ctypes.data + next(offsets)
            elif in_place and b.may_alias is not None:
                outputs[b.index] = given[b.may_alias]
                pointers[k] = outputs[b.index].ctypes.data
            else:
                shape = tuple(evaluate(s, sizes) for s in b.shape)
                made = _aligned(int(np.prod(shape, dtype=np.int64)) * b.dtype.size)
                outputs[b.index] = made.view(b.dtype.numpy).reshape(shape)
                pointers[k] = made.ctypes.data
        scratch = _aligned(evaluate(low.scratch_bytes, sizes))
        dims = (ctypes.c_int64 * max(1, len(low.size_names)))(*(sizes[n] for n in low.size_names))
        error = np.zeros(3, np.int64)
        for pack, spec in zip(self._packs, low.packs, strict=True):
            target = next(k for k, b in enumerate(low.buffers)
                          if b.kind == "packed" and low.packs[b.index] is spec)  # fmt: skip
            pair = (ctypes.c_void_p * 2)(given[spec.input].ctypes.data, pointers[target])
            self._drive(
                pack, pair, dims, ctypes.c_void_p(scratch.ctypes.data),
                ctypes.c_void_p(error.ctypes.data), int(backwards),
            )  # fmt: skip
        self._drive(
            self._function, pointers, dims, ctypes.c_void_p(scratch.ctypes.data),
            ctypes.c_void_p(error.ctypes.data), int(backwards),
        )  # fmt: skip
        head = error[:1].view(np.int32)
        self.error = (int(head[0]), int(head[1]), int(error[1]), int(error[2]))
        return [outputs[k] for k in sorted(outputs)]


def _aligned(size: int) -> Array:
    raw = np.full(size + 128, 0xFF, np.uint8)
    start = -raw.ctypes.data % 64
    return raw[start : start + size]


def build(
    functions: Sequence[Lowered], flags: Sequence[str] = ("-O1",), per_unit: int = 60
) -> list[Function]:
    """Compile functions; several go into one translation unit."""
    assert COMPILER, "these tests need a C compiler"
    folder = Path(tempfile.mkdtemp(prefix="codegen"))
    made: list[Function] = []
    running: list[tuple[subprocess.Popen[bytes], Path, list[tuple[int, Lowered]]]] = []
    numbered = list(enumerate(functions))
    for start in range(0, len(numbered), per_unit):
        group = numbered[start : start + per_unit]
        source, target = folder / f"u{start}.c", folder / f"u{start}.so"
        parts = [C_HEAD, "#define IG_KERNEL static", PARTS, DRIVER]
        parts += [rename("\n".join(low.sources), f"f{k}_") for k, low in group]
        source.write_text("\n".join(parts))
        command = [COMPILER, *flags, *FLAGS, f"-I{PRELUDE}", f"-I{NATIVE}", "-shared"]
        command += ["-Wall", "-Werror=implicit-function-declaration", "-w"]
        process = subprocess.Popen(
            [*command, str(source), "-o", str(target)], stderr=subprocess.PIPE
        )
        running.append((process, target, group))
        if len(running) % 2 == 0:
            running[-2][0].wait()
    for process, target, group in running:
        _, message = process.communicate()
        assert process.returncode == 0, message.decode()[-4000:]
        library = ctypes.CDLL(str(target))
        made += [Function(low, library, f"f{k}_ig_f0") for k, low in group]
    return made


def build_units(low: Lowered) -> Function:
    """Compile a function unit by unit, as it is."""
    assert COMPILER
    folder = Path(tempfile.mkdtemp(prefix="units"))
    driver = "\n".join([C_HEAD, DRIVER])
    names = []
    for k, text in enumerate([*low.sources, driver]):
        (folder / f"{k}.c").write_text(text)
        names.append(str(folder / f"{k}.c"))
    command = [COMPILER, "-O1", *FLAGS, f"-I{PRELUDE}", f"-I{NATIVE}", "-shared", *names]
    subprocess.run([*command, "-o", str(folder / "all.so")], check=True)
    return Function(low, ctypes.CDLL(str(folder / "all.so")), "ig_f0")


def rename(text: str, prefix: str) -> str:
    """A function's text with names of its own, without what all units share."""
    text = text.replace(C_HEAD, "").replace(PARTS, "")
    text = re.sub(r"#define IG_KERNEL .*", "", text)
    return re.sub(r"\b(k\d+\w*|p\d+\w*|ig_f0\w*|ig_p\d+\w*)\b", prefix + r"\1", text)
