"""f16 and bf16 as CUDA text: the emulation gives the bits of the C for every op and for chains, and
the text compiles for devices."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from intaglio.compiler.dtypes import dtype_named
from intaglio.compiler.lower import lower
from intaglio.compiler.passes.fuse import fuse
from intaglio.compiler.passes.widen import widen
from tests.compiler.codegen.harness import build
from tests.compiler.codegen.test_halves import HALVES, chain, half_cases, values_of
from tests.cuda.emulator import COMPILER, emulate
from tests.cuda.test_nvcc import NVCC, compile_all
from tests.samples import graph_of

emulated = pytest.mark.skipif(COMPILER is None, reason="the emulation needs g++")
THIRD = 3
"""Of the samples every third runs here: the other back end runs them all."""


@emulated
def test_samples_have_the_bits_of_the_c() -> None:
    chosen = half_cases()[::THIRD]
    graphs = [graph_of(c) for c in chosen]
    ours = emulate([lower(g, sizes={}, target="cuda") for g in graphs])
    theirs = build([lower(g, sizes={}) for g in graphs])
    for case, cuda, c in zip(chosen, ours, theirs, strict=True):
        for one, other in zip(cuda(*case.operands), c(*case.operands), strict=True):
            assert one.tobytes() == other.tobytes(), case.id


@emulated
@pytest.mark.parametrize("half", HALVES)
def test_a_chain_has_the_bits_of_the_c(half: str) -> None:
    fused, operands = fuse(widen(chain(dtype_named(half)))), values_of(half)
    (cuda,) = emulate([lower(fused, sizes={}, target="cuda")])
    (c,) = build([lower(fused, sizes={})])
    for reverse in (False, True):
        for one, other in zip(cuda(*operands, reverse=reverse), c(*operands), strict=True):
            np.testing.assert_array_equal(
                one.view(f"u{one.itemsize}"), other.view(f"u{one.itemsize}")
            )


@pytest.mark.skipif(NVCC is None, reason="no nvcc on this machine")
def test_a_chain_compiles_for_devices(tmp_path: Path) -> None:
    graphs = [fuse(widen(chain(dtype_named(half)))) for half in HALVES]
    functions = [lower(g, sizes={}, target="cuda") for g in graphs]
    told = compile_all([("sm_80", functions[:1]), ("sm_90", functions[1:])], tmp_path)
    assert "error" not in told
