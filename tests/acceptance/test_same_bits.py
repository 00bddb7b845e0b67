"""Eager, compiled and loaded agree bit for bit: losses and every state, over several steps."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import intaglio as ig
import intaglio.nn.functional as F
from intaglio import nn, optim
from tests.acceptance.models import LM, MLP, Array, Task, bits, codes, differing, numbers, save

N, T = ig.Dim("n", min=1, max=64), ig.Dim("t", min=1, max=16)
ROWS = (ig.spec((N, 16)), ig.spec((N,), ig.int64))
TEXTS = (ig.spec((N, T), ig.int64), ig.spec((N, T), ig.int64))


def rows(k: int) -> tuple[Array, Array]:
    return numbers((8 + k % 2, 16), k), codes((8 + k % 2,), 5, k)


def texts(k: int) -> tuple[Array, Array]:
    return codes((3, 7 + k % 2), 11, k), codes((3, 7 + k % 2), 11, 100 + k)


class Normed(nn.Module):
    """Layer and RMS norms, gelu and softmax between linear maps."""

    def __init__(self) -> None:
        super().__init__()
        self.a, self.b = nn.Linear(16, 12), nn.Linear(12, 5)
        self.layer, self.rms = nn.LayerNorm(12), nn.RMSNorm(12)

    def forward(self, x: ig.Tensor) -> ig.Tensor:
        h = F.gelu(self.layer(self.a(x)))
        h = h + F.gelu(self.rms(h), approximate="tanh") * ig.softmax(h, -1)
        return self.b(F.silu(h))


class Gathers(nn.Module):
    """Embeddings looked up, gathered, scattered and added by index."""

    def __init__(self) -> None:
        super().__init__()
        self.table, self.out = nn.Embedding(11, 6), nn.Linear(6, 11)

    def forward(self, x: ig.Tensor) -> ig.Tensor:
        h = self.table(x)
        turned = h.gather(2, (x % 6).unsqueeze(2).expand(-1, -1, 6))
        h = h.scatter_add(2, (x % 6).unsqueeze(2), turned[:, :, :1])
        first = ig.zeros(11, 6).index_add(0, x[:, 0], h[:, 0])
        return self.out(h + ig.take_rows(first, x))


def sgd(parameters: Any) -> optim.Optimizer:
    return optim.SGD(parameters, lr=0.1, momentum=0.9, weight_decay=0.01)


def adam(parameters: Any) -> optim.Optimizer:
    return optim.Adam(parameters, lr=0.01)


def adamw(parameters: Any) -> optim.Optimizer:
    return optim.AdamW(parameters, lr=0.01)


def run(step: Callable[..., Any], batches: list[tuple[Array, Array]], tensors: bool) -> list[bytes]:
    given = [tuple(map(ig.from_numpy, b)) if tensors else b for b in batches]
    return [bits(step(*b)) for b in given]


CASES = {
    "mlp-sgd": (MLP, sgd, rows, ROWS),
    "mlp-adam": (MLP, adam, rows, ROWS),
    "norms": (Normed, adamw, rows, ROWS),
    "gathers": (Gathers, adam, texts, TEXTS),
    "transformer": (lambda: LM(11, dropout=0.1), adamw, texts, TEXTS),
}


QUICK = ("mlp-sgd", "norms", "gathers")
WAYS = [n if n in QUICK else pytest.param(n, marks=pytest.mark.long) for n in CASES]


@pytest.mark.parametrize("name", WAYS)
def test_steps_agree_eagerly_compiled_and_loaded(name: str, tmp_path: Path) -> None:
    make, optimizer, batch, specs = CASES[name]
    batches = [batch(k) for k in range(4)]
    eager, traced = Task(make, optimizer), Task(make, optimizer)
    ig.manual_seed(7)
    losses = run(eager.train_step, batches, True)
    values = eager.values()
    ig.manual_seed(7)
    model = save(traced.program(*specs), tmp_path)
    assert run(model.train_step, batches, False) == losses
    known = model.state_dict()
    assert set(dict(traced.model.named_parameters())) < set(known)
    assert {n for n in known if n.startswith("optim.state.")} == {
        n for n in values if n.startswith("optim.state.")
    }
    assert not differing(known, values)
    assert not np.array_equal(known["optim.step"], 0)


@pytest.mark.parametrize(
    "name", ["mlp-sgd", "gathers", pytest.param("transformer", marks=pytest.mark.long)]
)
def test_jitted_steps_agree_with_eager_ones(name: str) -> None:
    make, optimizer, batch, _ = CASES[name]
    batches = [batch(2 * k) for k in range(3)]
    eager, compiled = Task(make, optimizer), Task(make, optimizer)
    ig.manual_seed(7)
    losses = run(eager.train_step, batches, True)
    ig.manual_seed(7)
    step = ig.jit(compiled.train_step)
    assert run(step, batches, True) == losses
    assert set(compiled.values()) == set(eager.values())
    assert not differing(compiled.values(), eager.values())


def test_the_functions_of_a_file_share_its_state(tmp_path: Path) -> None:
    eager = Task(MLP, sgd)
    model = save(eager.program(*ROWS), tmp_path)
    x, t = rows(0)
    given = tuple(map(ig.from_numpy, (x, t)))
    for _ in range(2):
        want = [bits(eager.model(given[0])), bits(eager.loss(*given))]
        assert [bits(model(x)), bits(model.loss(x, t))] == want
        eager.train_step(*given)
        model.train_step(x, t)


def test_random_draws_follow_the_seed_and_go_on(tmp_path: Path) -> None:
    def noisy(x: ig.Tensor) -> ig.Tensor:
        return F.dropout(x, 0.5) + ig.randn(x.shape) * ig.rand(x.shape)

    x = np.ones((5, 70), np.float32)
    ig.manual_seed(3)
    want = [bits(noisy(ig.from_numpy(x))) for _ in range(3)]
    assert len(set(want)) == 3
    ig.manual_seed(3)
    fast = ig.jit(noisy)
    assert [bits(fast(ig.from_numpy(x))) for _ in range(3)] == want
    ig.manual_seed(3)
    mixed = itertools.cycle([noisy, fast])
    assert [bits(next(mixed)(ig.from_numpy(x))) for _ in range(3)] == want
    ig.manual_seed(3)
    model = save(ig.trace(noisy, ig.spec((N, 70))), tmp_path)
    first = bits(model(x))
    model.save(tmp_path / "later.ig")
    again = ig.load(tmp_path / "later.ig")
    assert [first, bits(again(x)), bits(again(x))] == want
    model.state["random.draw"] = np.int64(0)
    assert bits(model(x)) == want[0]


COMPOSITIONS: dict[str, Callable[[ig.Tensor], ig.Tensor]] = {
    "softmax": lambda x: ig.softmax(x * 3, -1),
    "softmax over columns": lambda x: ig.softmax(x, 0),
    "log_softmax": lambda x: ig.log_softmax(x, 1),
    "layer_norm": lambda x: F.layer_norm(x, x.shape[1:]),
    "rms_norm": lambda x: F.rms_norm(x, x.shape[1:]),
    "gelu": lambda x: F.gelu(x) - F.gelu(x, approximate="tanh"),
    "logsumexp of norms": lambda x: ig.logsumexp(F.layer_norm(ig.exp(x), (x.shape[1],)), 1),
    "softmax of products": lambda x: ig.softmax(x @ x.mT / 3, -1) @ x,
    "variance": lambda x: (x - x.mean(0)) / (x.var(0) + 1e-3).sqrt(),
}


@pytest.mark.parametrize("dtype", ["float32", pytest.param("float64", marks=pytest.mark.long)])
def test_compositions_and_their_derivatives_agree(dtype: str, tmp_path: Path) -> None:
    data = numbers((9, 131), 4, dtype)

    def both(f: Callable[[ig.Tensor], ig.Tensor]) -> Callable[[ig.Tensor], tuple[ig.Tensor, ...]]:
        def run(x: ig.Tensor) -> tuple[ig.Tensor, ...]:
            y, pull = ig.func.vjp(f, x)
            return y, *pull(ig.cos(y))

        return run

    program = ig.Program()
    for k, f in enumerate(COMPOSITIONS.values()):
        program.trace(f"f{k}", both(f), ig.spec((N, 131), getattr(ig, dtype)))
    model = save(program, tmp_path)
    for k, (name, f) in enumerate(COMPOSITIONS.items()):
        want = [bits(y) for y in both(f)(ig.from_numpy(data))]
        assert [bits(y) for y in ig.jit(both(f))(ig.from_numpy(data))] == want, name
        assert [bits(y) for y in getattr(model, f"f{k}")(data)] == want, name
