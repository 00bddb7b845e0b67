"""Sorting, prefix functions, scatter and index writes against torch: values, indices, first and
second derivatives."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import intaglio as ig

pytestmark = pytest.mark.torch
torch: Any = pytest.importorskip("torch")

RANDOM = np.random.default_rng(11)
X = RANDOM.standard_normal((5, 6, 4))
SAME = RANDOM.integers(-2, 3, (5, 6, 4)).astype(np.float64)
INDEX = RANDOM.integers(0, 6, (5, 3, 4))
ONCE = np.argsort(RANDOM.random((5, 6, 4)), 1)[:, :3]
SOURCE = RANDOM.standard_normal((5, 3, 4))
ROWS = np.array([4, 0, 2])


def both(function: Callable[..., Any], *arrays: Any) -> None:
    """Equal results here and there; equal derivatives by the float operands, and by them again."""
    found = []
    for lib in (ig, torch):
        xs = [lib.tensor(a) for a in arrays]
        floats = [x.requires_grad_() for x, a in zip(xs, arrays, strict=True)
                  if a.dtype.kind == "f"]  # fmt: skip
        made = function(lib, *xs)
        many = list(made) if isinstance(made, tuple) else [made]
        results = [np.asarray(m.detach().numpy()) for m in many]
        smooth = [m for m, r in zip(many, results, strict=True) if r.dtype.kind == "f"]
        total = sum((lib.sin(m * 0.5) * m).sum() for m in smooth)
        first = lib.autograd.grad(total, floats, create_graph=True)
        results += [g.detach().numpy() for g in first]
        again = sum((g * g).sum() for g in first)
        results += [g.detach().numpy() for g in lib.autograd.grad(again, floats)]
        found.append(results)
    for ours, theirs in zip(*found, strict=True):
        assert ours.dtype == theirs.dtype and ours.shape == theirs.shape
        np.testing.assert_allclose(ours, theirs, 1e-8, 1e-8)


@pytest.mark.parametrize("dim", [0, 1, -1])
@pytest.mark.parametrize("descending", [False, True])
def test_sort(dim: int, descending: bool) -> None:
    both(lambda lib, x: tuple(lib.sort(x, dim=dim, descending=descending, stable=True)), SAME)
    both(lambda lib, x: tuple(lib.sort(x, dim=dim, descending=descending)), X)


@pytest.mark.parametrize("dim", [0, 1])
def test_order_statistics(dim: int) -> None:
    both(lambda lib, x: tuple(lib.topk(x, 3, dim)), X)
    both(lambda lib, x: tuple(lib.topk(x, 2, dim, largest=False)), X)
    both(lambda lib, x: tuple(lib.kthvalue(x, 2, dim)), X)
    both(lambda lib, x: tuple(lib.median(x, dim, keepdim=True)), X)
    both(lambda lib, x: lib.median(x), X)


@pytest.mark.parametrize("dim", [0, 1, 2])
def test_prefix(dim: int) -> None:
    zeros = np.where(SAME == 0, 0.0, X)
    for array in (X, zeros):
        both(lambda lib, x: lib.cumsum(x, dim), array)
        both(lambda lib, x: lib.cumprod(x, dim), array)
        both(lambda lib, x: tuple(lib.cummax(x, dim)), array)
    both(lambda lib, x: lib.logcumsumexp(x, dim), X)  # at dy = 0 torch's second one is wrong
    both(lambda lib, x: tuple(lib.cummin(x, dim)), SAME)


@pytest.mark.parametrize("reduce", ["sum", "prod", "mean", "amax", "amin"])
@pytest.mark.parametrize("include", [False, True])
def test_scatter_reduce(reduce: str, include: bool) -> None:
    def function(lib: Any, x: Any, i: Any, s: Any) -> Any:
        return lib.scatter_reduce(x, 1, i, s, reduce, include_self=include)

    both(function, X, INDEX, SOURCE)


def test_writes_by_index() -> None:
    both(lambda lib, x, i, s: x.scatter(1, i, s), X, ONCE, SOURCE)
    both(lambda lib, x, i: x.scatter(1, i, 2.5), X, ONCE)
    both(lambda lib, x, i, s: x.scatter_add(1, i, s), X, INDEX, SOURCE)
    rows = SOURCE[0, :, :, None] * np.ones((3, 4, 2))
    wide = rows[:, :3, :].repeat(2, 1)[:, :, :1] * np.ones((3, 6, 4))
    both(lambda lib, x, i, s: x.index_copy(0, i, s), X, ROWS, wide)
    both(lambda lib, x, i, s: x.index_add(0, i, s, alpha=2), X, ROWS, wide)
    both(lambda lib, x, i: x.index_fill(0, i, 1.5), X, ROWS)
    for kind in ("prod", "mean", "amax", "amin"):
        both(lambda lib, x, i, s, k=kind: x.index_reduce(0, i, s, k), X, ROWS, wide)

    def put(lib: Any, x: Any, i: Any, s: Any) -> Any:
        y = x * 1
        y[i, :, 1] = s[:, :6, 0]
        y[1, i] += 0.5
        return y.index_put((i, i), s[:, 0], accumulate=True)

    both(put, X, ROWS, wide)
    both(lambda lib, x, s: x.masked_scatter(lib.tensor(SAME > 0), s * 2), X, X[::-1].copy())
