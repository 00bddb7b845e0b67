"""The same sharing in torch and here: who sees whose writes, what is refused, which names exist."""

import inspect
from typing import Any

import pytest

import intaglio as ig
import intaglio.multiprocessing as ours
from intaglio import nn

pytestmark = pytest.mark.torch
torch: Any = pytest.importorskip("torch")
theirs: Any = pytest.importorskip("torch.multiprocessing")

BOTH = [(ig, ours), (torch, theirs)]


def test_who_sees_what_after_sharing() -> None:
    seen = []
    for lib, _ in BOTH:
        x = lib.arange(6.0).reshape(2, 3)
        row, turned = x[1], x.t()
        row.share_memory_()
        x[1, 0] = 100.0
        seen.append((row.tolist(), turned.tolist(), turned.stride(), x.is_shared()))
    assert seen[0] == seen[1]


def test_what_a_pipe_carries() -> None:
    seen = []
    for lib, mp in BOTH:
        here, there = mp.Pipe()
        x = lib.zeros(3, 4)
        parameter = (nn if lib is ig else torch.nn).Parameter(lib.ones(2))
        here.send([x, x[1:, ::2], parameter, x])
        a, b, c, d = there.recv()
        a.add_(1)
        seen.append((x.tolist(), b.tolist(), b.stride(), type(c).__name__, c.requires_grad, a is d))
    assert seen[0] == seen[1]


def test_both_refuse_results_that_require_grad() -> None:
    for lib, mp in BOTH:
        here, _ = mp.Pipe()
        with pytest.raises(RuntimeError, match="grad"):
            here.send(lib.ones(2, requires_grad=True) * 2)


def raise_in(number: int) -> None:
    raise ValueError(f"from {number}")


def leave(number: int) -> None:
    raise SystemExit(3)


def test_both_tell_how_a_process_failed() -> None:
    for target, name in ((raise_in, "ProcessRaisedException"), (leave, "ProcessExitedException")):
        found = []
        for _, mp in BOTH:
            with pytest.raises(getattr(mp, name)) as caught:
                mp.start_processes(target, nprocs=1, start_method="fork")
            code = getattr(caught.value, "exit_code", None)
            found.append((caught.value.error_index, code, "from 0" in str(caught.value)))
        assert found[0] == found[1]


def test_names_and_arguments() -> None:
    missing = [n for n in theirs.__all__ if not hasattr(ours, n)]
    assert not missing
    for name in ("spawn", "start_processes"):
        mine, other = (inspect.signature(getattr(mp, name)) for _, mp in BOTH)
        assert list(mine.parameters) == list(other.parameters)[: len(mine.parameters)]
        defaults = [[p.default for p in s.parameters.values()] for s in (mine, other)]
        assert defaults[0] == defaults[1][: len(defaults[0])]
    for kind in ("ProcessContext", "SpawnContext"):
        for method in ("join", "pids"):
            mine, other = (inspect.signature(getattr(getattr(mp, kind), method)) for _, mp in BOTH)
            assert list(mine.parameters) == list(other.parameters)
