"""The same code in torch and here: dtypes, indexing, functions, derivatives, in-place writes."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import intaglio as ig

pytestmark = pytest.mark.torch
torch: Any = pytest.importorskip("torch")

DTYPES = ["float64", "float32", "float16", "bfloat16", "int64", "int32", "int16", "int8"]
DTYPES += ["uint8", "bool"]


def name_of(dtype: Any) -> str:
    return repr(dtype).removeprefix("torch.").removeprefix("intaglio.")


@pytest.mark.parametrize("a", DTYPES)
def test_promotion(a: str) -> None:
    for b in DTYPES:
        for ranks in ((1, 1), (1, 0), (0, 1), (0, 0)):
            pair = [
                lib.ones((2,) * rank, dtype=getattr(lib, d))
                for lib in (ig, torch)
                for d, rank in zip((a, b), ranks, strict=True)
            ]
            assert name_of(ig.result_type(*pair[:2])) == name_of(torch.result_type(*pair[2:]))
    for number in (True, 2, 2.5):
        ours = ig.ones(2, dtype=getattr(ig, a)) * number
        theirs = torch.ones(2, dtype=getattr(torch, a)) * number
        assert name_of(ours.dtype) == name_of(theirs.dtype)


KEYS: list[Any] = [
    (0, slice(None), [1, 2]),
    (slice(None, None, 2), None, [0, 1]),
    ([0, 2], slice(None), [1, 3]),
    (Ellipsis, [[0], [1]], [1, 2]),
    (slice(-2, None), slice(1, -1)),
]


@pytest.mark.parametrize("key", KEYS, ids=str)
def test_indexing(key: Any) -> None:
    data = np.arange(60.0).reshape(3, 4, 5)
    results = []
    for lib in (ig, torch):
        x = lib.tensor(data, requires_grad=True)
        y = x * 1
        y[key] = y[key] * 2
        (y * y).sum().backward()
        results.append((x[key].detach().numpy(), y.detach().numpy(), x.grad.numpy()))
    for ours, theirs in zip(*results, strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-12)


FUNCTIONS: dict[str, Callable[[Any, Any, Any], Any]] = {
    "norms": lambda lib, x, y: x.norm() + x.norm(p=1, dim=1) + x.norm(p=3.0, dim=0).sum(),
    "logsumexp": lambda lib, x, y: lib.logsumexp(x, 1),
    "std": lambda lib, x, y: x.std(1) + x.var(unbiased=False),
    "extremes": lambda lib, x, y: x.max(1).values + x.min(1)[0] + x.amax(1),
    "where": lambda lib, x, y: lib.where(x > y, x, y * 2),
    "clamp": lambda lib, x, y: x.clamp(-0.5, 0.5) + lib.maximum(x, y),
    "products": lambda lib, x, y: x @ y.T + lib.einsum("ij,kj->ik", x, y),
    "outer": lambda lib, x, y: lib.outer(x[0], y[1]).sum(0),
    "cat": lambda lib, x, y: lib.cat([x, y.flip(0)], 0).roll(1, 0),
    "split": lambda lib, x, y: x.split(2, 1)[0] * y.chunk(3, 1)[0],
    "powers": lambda lib, x, y: x.abs() ** y + x**3 + 2.0**x,
    "cumulative": lambda lib, x, y: x.cumsum(1) * y.cumprod(0),
    "sorted": lambda lib, x, y: x.sort(1)[0] * y.topk(4, 1)[0],
    "masked": lambda lib, x, y: x.masked_fill(y > 0, 3.0) + x.tril() + y.triu(1),
    "gathered": lambda lib, x, y: x.gather(1, y.argsort(1)).index_select(0, lib.tensor([2, 0])),
    "softmax": lambda lib, x, y: x.softmax(1) * lib.log_softmax(y, 0),
    "addcmul": lambda lib, x, y: lib.addcmul(x, y, y, value=0.5).lerp(y, 0.25),
    "remainders": lambda lib, x, y: lib.fmod(x, 0.7) + lib.remainder(y, 0.3),
    "prod": lambda lib, x, y: (x * (y > 0)).prod(1),
    "complicated": lambda lib, x, y: (x[:, None] * y[None]).mean((0, 2)).unsqueeze(0).expand(2, 3),
}


@pytest.mark.parametrize("name", FUNCTIONS)
def test_functions_and_derivatives(name: str) -> None:
    rng = np.random.default_rng(5)
    a, b = rng.standard_normal((2, 3, 4))
    weights: Any = None
    found = []
    for lib in (ig, torch):
        x = lib.tensor(a, requires_grad=True)
        y = lib.tensor(b, requires_grad=True)
        z = FUNCTIONS[name](lib, x, y)
        if weights is None:
            weights = rng.standard_normal(tuple(z.shape))
        (z * lib.tensor(weights)).sum().backward()
        grads = [np.zeros((3, 4)) if t.grad is None else t.grad.numpy() for t in (x, y)]
        found.append([z.detach().numpy(), *grads])
    for ours, theirs in zip(*found, strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-9, atol=1e-12)


def test_writes_through_views() -> None:
    found = []
    for lib in (ig, torch):
        x = lib.tensor(np.arange(12.0).reshape(3, 4), requires_grad=True)
        y = x * 1
        y.t()[1].mul_(3)
        part = y.view(-1)[2:8]
        y[0].add_(part[:4].clone())
        part[::2] = 0
        loss = (y * y).sum() + part.sum()
        loss.backward()
        found.append((y.detach().numpy(), x.grad.numpy(), loss.item()))
    for ours, theirs in zip(*found, strict=True):
        np.testing.assert_allclose(ours, theirs)


def test_printing() -> None:
    for data in (
        [1.0, 2.5],
        [[1, 2], [3, 4]],
        [1e-5, 1.0],
        [1e10, 1.0],
        [True],
        [],
        [float("nan"), 1],
    ):
        assert repr(ig.tensor(data)) == repr(torch.tensor(data))
