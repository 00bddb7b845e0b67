"""The prelude in CUDA: every function for one element compiles for the device."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))
import prelude_kernels as kernels


def cuda_kernel(function: kernels.Function) -> str:
    """A CUDA kernel that applies the function to arrays."""
    name, operands, result = function
    inputs = ", ".join(f"const {kernels.C_TYPES[t]} *p{k}" for k, t in enumerate(operands))
    loads = ", ".join(f"ig1_load_{t}(p{k} + i, 1)" for k, t in enumerate(operands))
    return (
        f"__global__ void k_{name}({inputs}, {kernels.C_TYPES[result]} *out, int64_t n) {{\n"
        "  int64_t i = blockIdx.x * (int64_t)blockDim.x + threadIdx.x;\n"
        f"  if (i < n) ig1_store_{result}(out + i, ig1_{name}({loads}), 1);\n}}\n"
    )


def test_every_function_compiles(tmp_path: Path) -> None:
    nvcc = shutil.which("nvcc")
    if nvcc is None:
        pytest.skip("no nvcc on PATH")
    chosen = kernels.functions()
    source, made = tmp_path / "all.cu", tmp_path / "all.cubin"
    body = "".join(cuda_kernel(f) for f in chosen)
    source.write_text(f'#include "ig_prelude.h"\nextern "C" {{\n{body}}}\n')
    command = [nvcc, "-fmad=false", "-arch=sm_80", "-cubin", "-I", str(kernels.PRELUDE)]
    done = subprocess.run(
        [*command, str(source), "-o", str(made)], capture_output=True, text=True, timeout=300
    )
    assert done.returncode == 0, done.stderr[-3000:]
    names = made.read_bytes()
    assert all(b".text.k_" + f[0].encode() in names for f in chosen)
