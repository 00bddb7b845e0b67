"""The generated CUDA text compiles for devices: many functions to a file, since nvcc is slow."""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path

import pytest

from intaglio.compiler.lower import Lowered, lower
from intaglio.compiler.passes.fuse import fuse
from intaglio.compiler.passes.specialise import specialise
from intaglio.runtime.compile import optimised
from tests.cuda.emulator import KERNEL, PRELUDE, source_of
from tests.cuda.programs import mlp_step, transformer_step
from tests.cuda.test_convolution import CASES as CONVOLUTIONS
from tests.cuda.test_functions import CASES
from tests.samples import cases, graph_of

NVCC = shutil.which("nvcc")
pytestmark = pytest.mark.skipif(NVCC is None, reason="no nvcc on this machine")
MOST_SHARED, MOST_SPILLED = 48 << 10, 512
"""Bytes: what a block has everywhere; what ptxas may put into local memory."""


def compile_all(units: Sequence[tuple[str, Sequence[Lowered]]], folder: Path) -> str:
    """Compile files of functions for an architecture each, all at once; what ptxas says about
    their kernels."""
    assert NVCC
    running = []
    names: list[str] = []
    for k, (architecture, functions) in enumerate(units):
        text = source_of(functions)
        names += KERNEL.findall(text)
        (folder / f"{k}.cu").write_text(text)
        command = [NVCC, f"-arch={architecture}", "-fmad=false", "-cubin", "-Xptxas", "-v"]
        command += [f"-I{PRELUDE}", str(folder / f"{k}.cu"), "-o", str(folder / f"{k}.cubin")]
        running.append(subprocess.Popen(command, stderr=subprocess.PIPE, text=True))
    told = []
    for process in running:
        _, message = process.communicate(timeout=900)
        assert process.returncode == 0, message[-3000:]
        told.append(message)
    compiled = re.findall(r"Compiling entry function '(\w+)'", "".join(told))
    assert sorted(compiled) == sorted(names)
    return "".join(told)


def step_functions() -> list[Lowered]:
    """The train steps, for any size and for one."""
    found = []
    for function in (mlp_step(), transformer_step()):
        for sizes in (None, {"n": 32}):
            found.append(lower(optimised(function.graph, sizes), target="cuda"))
    return found


def case_functions() -> list[Lowered]:
    """Whole functions in the general form, convolutions for their sizes too."""
    graphs = [graph for graph, _ in (*CASES.values(), *CONVOLUTIONS.values())]
    graphs += [specialise(*case) for case in CONVOLUTIONS.values()]
    return [lower(fuse(graph), target="cuda") for graph in graphs]


def check_resources(told: str) -> None:
    """Static shared memory that every device has, and no more than a little spilled."""
    shared = [int(s) for s in re.findall(r"(\d+) bytes smem", told)]
    spilled = [int(s) for s in re.findall(r"(\d+) bytes spill stores", told)]
    assert shared and max(shared) <= MOST_SHARED
    assert spilled and max(spilled) <= MOST_SPILLED


def test_a_choice_of_kernels_compiles(tmp_path: Path) -> None:
    """One sample of each op; products, convolutions, rows, columns, and the MLP's train step."""
    seen: dict[str, Lowered] = {}
    for case in cases():
        large = any(0 not in a.shape and a.ndim for a in case.operands) or not case.operands
        if large and case.op not in seen and case.op != "fused" and not case.is_host:
            seen[case.op] = lower(graph_of(case), sizes={}, target="cuda")
    assert len(seen) > 70
    step = lower(optimised(mlp_step().graph), target="cuda")
    names = ("epilogue", "mixed", "batched", "down 3x700x40", "chains")
    chosen = [lower(fuse(CASES[k][0]), target="cuda") for k in names]
    tiles = [CONVOLUTIONS[k] for k in ("blocks of channels", "strides and dilations")]
    convolutions = [lower(fuse(specialise(*case)), target="cuda") for case in tiles]
    convolutions.append(lower(fuse(CONVOLUTIONS["any size"][0]), target="cuda"))
    units = [("sm_80", [*seen.values()]), ("sm_90", [*chosen, *convolutions, step])]
    check_resources(compile_all(units, tmp_path))


@pytest.mark.long
@pytest.mark.parametrize("architecture", ["sm_80", "sm_90"])
def test_everything_compiles(tmp_path: Path, architecture: str) -> None:
    kernels = [c for c in cases() if c.op != "fused" and not c.is_host]
    samples = [lower(graph_of(c), sizes={}, target="cuda") for c in kernels]
    functions = [*step_functions(), *case_functions(), *samples]
    check_resources(compile_all([(architecture, functions[k::4]) for k in range(4)], tmp_path))
