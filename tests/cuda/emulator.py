"""Runs functions lowered to CUDA on the CPU: their text is compiled with emulation.h, and their
launch plan is carried out as a device runtime would."""

from __future__ import annotations

import ctypes
import re
import shutil
import subprocess
import tempfile
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

import intaglio.compiler
from intaglio.compiler.codegen.head import CUDA_HEAD
from intaglio.compiler.dims import evaluate
from intaglio.compiler.errors import CompileError
from intaglio.compiler.launch import ConcreteLaunch, concrete
from intaglio.compiler.lower import Lowered
from intaglio.compiler.passes.plan import Lifetime, plan

Array = np.ndarray[Any, Any]
HERE = Path(__file__).parent
PRELUDE = Path(str(intaglio.compiler.__file__)).parent / "codegen" / "prelude"
COMPILER = shutil.which("g++")
FLAGS = ["-x", "c++", "-std=c++17", "-Og", "-march=native", "-ffp-contract=off", "-fno-math-errno",
         "-fno-trapping-math", "-fPIC", "-shared", "-w"]  # fmt: skip
KERNEL = re.compile(r"^(\w+)\([^)]*\*error, int node\) \{", re.MULTILINE)


HEAD = '#include "emulation.h"\n#include "ig_prelude.h"\n'


class EmulationError(AssertionError):
    """A kernel did what a device leaves undefined."""


class Emulated:
    """A function whose kernels run on the CPU."""

    def __init__(self, lowered: Lowered, library: ctypes.CDLL, prefix: str) -> None:
        self.lowered, self._library, self._prefix = lowered, library, prefix
        self.error: tuple[int, ...] = (0, 0, 0, 0)
        self.launched: list[ConcreteLaunch] = []

    def __call__(
        self,
        *arrays: Array,
        sizes: Mapping[str, int] | None = None,
        reverse: bool = False,
        in_place: bool = False,
    ) -> list[Array]:
        """The results; NaN fills every output, temporary and scratch before. With `in_place`
        outputs lie in the memory of the inputs that they may take."""
        sizes = sizes or {}
        low = self.lowered
        given = [np.array(a, order="C", copy=True) for a in arrays]
        lives = [Lifetime(evaluate(b.bytes, sizes), b.first, b.last)
                 for b in low.buffers if b.kind == "temp"]  # fmt: skip
        planned = plan(lives)
        arena, offsets = _filled(planned.bytes), iter(planned.offsets)
        outputs: dict[int, Array] = {}
        bases: list[int] = []
        for b in low.buffers:
            if b.kind == "input":
                bases.append(given[b.index].ctypes.data)
            elif b.kind == "constant":
                bases.append(low.constants[b.index].ctypes.data)
            elif b.kind == "temp":
                bases.append(arena.ctypes.data + next(offsets))
            elif in_place and b.may_alias is not None:
                outputs[b.index] = given[b.may_alias]
                bases.append(outputs[b.index].ctypes.data)
            else:
                assert b.kind == "output"
                shape = tuple(evaluate(s, sizes) for s in b.shape)
                made = _filled(int(np.prod(shape, dtype=np.int64)) * b.dtype.size)
                outputs[b.index] = made.view(b.dtype.numpy).reshape(shape)
                bases.append(made.ctypes.data)
        dims = np.array([sizes[n] for n in low.size_names] or [0], np.int64)
        error = np.zeros(4, np.int64)
        scratch = _filled(evaluate(low.scratch_bytes, sizes))
        self.launched = list(concrete(low.launches, sizes))
        for item in self.launched:
            assert item.scratch <= scratch.size
            pointers = [bases[n] + offset for n, offset in item.pointers]
            pointers += [scratch.ctypes.data, dims.ctypes.data, error.ctypes.data]
            self._start(item, pointers, reverse)
        self.error = tuple(map(int, error))
        return [outputs[k] for k in sorted(outputs)]

    def _start(self, item: ConcreteLaunch, pointers: Sequence[int], reverse: bool) -> None:
        values: list[Any] = [ctypes.c_void_p(p) for p in pointers]
        values.append(ctypes.c_int(item.launch.node))
        arguments = (ctypes.c_void_p * len(values))(*(ctypes.addressof(v) for v in values))
        shape = (ctypes.c_int * 4)(*item.grid, *item.launch.block)
        function = self._library[f"start_{self._prefix}{item.launch.kernel}"]
        function.restype = ctypes.c_char_p
        problem = function(shape, int(reverse), arguments)
        if problem is not None:
            raise EmulationError(f"{item.launch.kernel}: {problem.decode()}")


def _filled(size: int) -> Array:
    raw = np.full(size + 320, 0xFF, np.uint8)
    start = -raw.ctypes.data % 256
    return raw[start : start + size]


def renamed(low: Lowered, prefix: str) -> str:
    """The text of a function without the head, its kernels with names of their own."""
    return re.sub(r"\b(k\d+)\(", rf"{prefix}\1(", "\n".join(low.sources).replace(CUDA_HEAD, ""))


def source_of(functions: Sequence[Lowered]) -> str:
    """One translation unit of many functions, whose kernels are called f0_k0, ..."""
    parts = [renamed(low, f"f{k}_") for k, low in enumerate(functions)]
    return "\n".join([CUDA_HEAD, *parts])


@cache
def head_folder() -> Path:
    """A folder with `head.h`, what every unit begins with, read by the compiler once for all."""
    assert COMPILER, "the emulation needs g++"
    folder = Path(tempfile.mkdtemp(prefix="emulated"))
    (folder / "head.h").write_text(HEAD)
    flags = ["c++-header" if f == "c++" else f for f in FLAGS]
    command = [COMPILER, *flags, f"-I{HERE}", f"-I{PRELUDE}", str(folder / "head.h")]
    subprocess.run([*command, "-o", str(folder / "head.h.gch")], check=True)
    return folder


def compile_unit(text: str, folder: Path) -> Path:
    """The library of a text that uses the head."""
    (folder / "unit.cu").write_text(f'#include "head.h"\n{text}\n')
    command = [COMPILER or "", *FLAGS, f"-I{head_folder()}", f"-I{HERE}", f"-I{PRELUDE}"]
    command += [str(folder / "unit.cu"), "-o", str(folder / "unit.so")]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        raise CompileError(done.stderr[-4000:])
    return folder / "unit.so"


def emulate_text(text: str) -> ctypes.CDLL:
    """The library of a CUDA text's kernels and their starters."""
    starters = "\n".join(
        f'extern "C" const char *start_{name}(const int *shape, int reversed, void **arguments) '
        f"{{ return emulation::start({name}, shape, reversed, arguments); }}"
        for name in KERNEL.findall(text)
    )
    folder = Path(tempfile.mkdtemp(prefix="emulated"))
    return ctypes.CDLL(str(compile_unit(f"{text}\n{starters}", folder)))


def emulate(functions: Sequence[Lowered]) -> list[Emulated]:
    """The functions, ready to run."""
    library = emulate_text(source_of(functions))
    return [Emulated(low, library, f"f{k}_") for k, low in enumerate(functions)]
