"""Every op as CUDA text: run by the emulation against the op's reference, lanes in both orders."""

from __future__ import annotations

from collections import defaultdict

import numpy as np
import pytest

from intaglio.compiler.lower import lower
from tests.cuda.emulator import COMPILER, emulate
from tests.samples import Case, cases, graph_of, results

pytestmark = pytest.mark.skipif(COMPILER is None, reason="the emulation needs g++")
FEW = 6
"""Samples of each op in the quick test."""


def chosen(most: int) -> list[Case]:
    """The first samples of each op, those with other operand types first."""
    by_op: dict[str, dict[tuple[str, ...], list[Case]]] = defaultdict(lambda: defaultdict(list))
    for case in cases():
        if case.op != "fused" and not case.is_host:
            by_op[case.op][tuple(t.dtype.name for t in case.types)].append(case)
    found = []
    for kinds in by_op.values():
        turns = max(map(len, kinds.values()))
        found += [c for k in range(turns) for many in kinds.values() for c in many[k : k + 1]][
            :most
        ]
    return found


def check(samples: list[Case]) -> None:
    """Lower, compile, run and compare."""
    functions = emulate([lower(graph_of(c), sizes={}, target="cuda") for c in samples])
    for case, function in zip(samples, functions, strict=True):
        ahead, back = (function(*case.operands, reverse=r) for r in (False, True))
        assert function.error[0] == 0
        for one, other, expected in zip(ahead, back, results(case), strict=True):
            assert one.tobytes() == other.tobytes(), case.id
            assert one.dtype == expected.dtype and one.shape == expected.shape, case.id
            if one.dtype.kind == "f":
                close = 1e-5 if one.dtype == np.float32 else 1e-11
                np.testing.assert_allclose(one, expected, close, close, err_msg=case.id)
            else:
                np.testing.assert_array_equal(one, expected, err_msg=case.id)


def test_samples_run_as_cuda() -> None:
    samples = chosen(FEW)
    assert len({c.op for c in samples}) > 80
    check(samples)


@pytest.mark.long
def test_all_samples_run_as_cuda() -> None:
    check(chosen(1 << 30))
