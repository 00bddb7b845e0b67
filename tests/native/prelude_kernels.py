"""Drivers around the prelude: C text that applies each function to arrays, called by ctypes."""

from __future__ import annotations

import ctypes
import functools
import hashlib
import os
import subprocess
import tempfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np

PRELUDE = Path(__file__).parents[2] / "compiler" / "codegen" / "prelude"
FLAGS = [
    "-O2",
    "-march=native",
    "-std=gnu99",
    "-ffp-contract=off",
    "-fno-math-errno",
    "-fno-trapping-math",
]
C_TYPES = {
    "f32": "float",
    "f64": "double",
    "i64": "int64_t",
    "i32": "int32_t",
    "u32": "uint32_t",
    "bool": "uint8_t",
    "i16": "int16_t",
    "i8": "int8_t",
    "u8": "uint8_t",
}
NUMPY = {
    "f32": np.float32,
    "f64": np.float64,
    "i64": np.int64,
    "i32": np.int32,
    "u32": np.uint32,
    "bool": np.bool_,
    "i16": np.int16,
    "i8": np.int8,
    "u8": np.uint8,
}
COMPUTE = ("f32", "f64", "i64", "i32", "u32", "bool")
FLOATS = ("f32", "f64")
INTEGERS = ("i64", "i32", "u32")

ELEMENTARY = [
    "exp",
    "expm1",
    "exp2",
    "log",
    "log1p",
    "log2",
    "log10",
    "sin",
    "cos",
    "tan",
    "tanh",
    "sinh",
    "cosh",
    "asin",
    "acos",
    "atan",
    "sigmoid",
    "erf",
    "erfc",
]

Function = tuple[str, tuple[str, ...], str]  # name without the block, operand types, result type


def functions() -> list[Function]:
    """Every elementwise function of the prelude."""
    found: list[Function] = []
    for t in FLOATS:
        unary = ELEMENTARY + [
            "neg",
            "abs",
            "sqrt",
            "rsqrt",
            "recip",
            "floor",
            "ceil",
            "trunc",
            "round",
            "sign",
            "exp_flushed",
        ]
        found += [(f"{name}_{t}", (t,), t) for name in unary]
        binary = (
            "add sub mul div minimum maximum copysign pow atan2 truncmod floormod floordiv truncdiv"
        )
        found += [(f"{name}_{t}", (t, t), t) for name in binary.split()]
        found += [(f"{name}_{t}", (t, t, t), t) for name in ("fma", "fnma")]
    for t in INTEGERS:
        found += [(f"{name}_{t}", (t,), t) for name in ("neg", "abs", "sign", "not")]
        binary = (
            "add sub mul floordiv floormod truncdiv truncmod minimum maximum and or xor shl shr"
        )
        found += [(f"{name}_{t}", (t, t), t) for name in binary.split()]
    found.append(("mulhi_u32", ("u32", "u32"), "u32"))
    for t in COMPUTE:
        found += [(f"{name}_{t}", (t, t), "bool") for name in ["eq", "ne", "lt", "le", "gt", "ge"]]
        found.append((f"select_{t}", ("bool", t, t), t))
        found += [(f"cast_{t}_{u}", (t,), u) for u in COMPUTE]
    found += [(f"{name}_bool", ("bool", "bool"), "bool") for name in ("and", "or", "xor")]
    found.append(("not_bool", ("bool",), "bool"))
    casts = ["f32_i32", "i32_f32", "f32_u32", "u32_f32", "f64_i64", "i64_f64"]
    found += [(f"bitcast_{c}", (c[:3],), c[4:]) for c in casts]
    return found


def driver(function: Function, length: int) -> str:
    """C text of `void t{length}_{name}(inputs.., out, n)`: whole blocks, then one partial block."""
    name, operands, result = function
    inputs = ", ".join(f"const {C_TYPES[t]} *p{k}" for k, t in enumerate(operands))

    def block(count: str) -> str:
        loads = ", ".join(f"ig{length}_load_{t}(p{k} + i, {count})" for k, t in enumerate(operands))
        return f"ig{length}_store_{result}(out + i, ig{length}_{name}({loads}), {count});"

    return (
        f"void t{length}_{name}({inputs}, {C_TYPES[result]} *out, int64_t n) {{\n"
        f"  int64_t i = 0;\n  for (; i + {length} <= n; i += {length}) {block(str(length))}\n"
        f"  if (i < n) {block('(int)(n - i)')}\n}}\n"
    )


@functools.cache
def compile_c(
    text: str, flags: tuple[str, ...] = (), compiler: tuple[str, ...] = ("gcc",)
) -> ctypes.CDLL:
    """The shared library of `text`, which may include the prelude."""
    folder = Path(tempfile.gettempdir()) / f"intaglio-native-tests-{os.getuid()}"
    folder.mkdir(mode=0o700, exist_ok=True)
    sources = "".join(p.read_text() for p in sorted(PRELUDE.glob("*.h")))
    key = hashlib.sha256("\0".join([text, sources, *flags, *compiler]).encode()).hexdigest()[:24]
    library = folder / f"{key}.so"
    if not library.exists():
        source = folder / f"{key}.c"
        source.write_text(text)
        made = folder / f"{key}.{id(text)}.tmp"
        command = [
            *compiler,
            *FLAGS,
            *flags,
            "-I",
            str(PRELUDE),
            "-shared",
            "-fPIC",
            str(source),
            "-o",
            str(made),
        ]
        done = subprocess.run(command, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        made.rename(library)
    return ctypes.CDLL(str(library))


class Build:
    """The prelude's functions under one set of flags, applied to arrays."""

    def __init__(
        self,
        *flags: str,
        lengths: Sequence[int] = (64, 32, 1),
        only: Sequence[Function] | None = None,
        compiler: tuple[str, ...] = ("gcc",),
    ):
        self.functions = {f[0]: f for f in (functions() if only is None else only)}
        text = '#include "ig_prelude.h"\n'
        text += "".join(driver(f, n) for f in self.functions.values() for n in lengths)
        self.library = compile_c(text, flags, compiler)

    def __call__(self, name: str, *arrays: np.ndarray, length: int = 64) -> np.ndarray:
        """`name` of the arrays, which are converted to the operand types."""
        _, operands, result = self.functions[name]
        given = [np.ascontiguousarray(a, NUMPY[t]) for a, t in zip(arrays, operands, strict=True)]
        out = np.empty(given[0].shape, NUMPY[result])
        call = self.library[f"t{length}_{name}"]
        pointers = [ctypes.c_void_p(a.ctypes.data) for a in (*given, out)]
        call(*pointers, ctypes.c_int64(given[0].size))
        return out


def bits(a: np.ndarray) -> np.ndarray:
    """The bits of `a` as unsigned integers, every NaN made the same one."""
    a = np.ascontiguousarray(a)
    if a.dtype.kind == "f":
        a = np.where(np.isnan(a), a.dtype.type(np.nan), a)
    return a.view(f"u{a.dtype.itemsize}")
