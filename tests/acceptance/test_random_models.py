"""Random convolutional and recurrent networks: eager, compiled and loaded agree bit for bit, with
one and two threads, with and without layouts, for a symbolic batch, forward and while training."""

from __future__ import annotations

import random
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import intaglio as ig
import intaglio.nn.functional as F
from intaglio import optim
from tests.acceptance.models import Array, Task, bits, differing, numbers, save
from tests.acceptance.random_models import draw, module, recurrent

QUICK, LONG = 2, 40


class Fit(Task):
    """A net with its optimizer; losses also of a value between, so that it has two readers."""

    def loss(self, x: ig.Tensor, t: ig.Tensor) -> ig.Tensor:
        scores, between = self.model(x)
        return F.cross_entropy(scores, t) + between.square().mean()


@contextmanager
def without_layouts() -> Iterator[None]:
    """Inside, everything is lowered row-major, and no stored plan is read or written."""
    from intaglio.compiler import lower
    from intaglio.compiler.passes.layout import Layout
    from intaglio.runtime import compile

    kept = lower.layout, compile.stored
    lower.layout = lambda graph: Layout()
    compile.stored = lambda kind, parts, sizes, make: make()
    try:
        yield
    finally:
        lower.layout, compile.stored = kept


def batch(shape: tuple[int, ...], n: int, axis: int, seed: int, dtype: Any) -> tuple[Array, Array]:
    """Data of `n` images or sequences, and classes."""
    x = numbers((*shape[:axis], n, *shape[axis:]), seed, dtype)
    return x, np.random.default_rng(seed).integers(0, 3, n)


def check(make: Any, shape: tuple[int, ...], axis: int, few: int, seed: int, folder: Path) -> None:
    """Compare the ways to run and train one net, whose batch is dim `axis` of x."""
    dice = random.Random(seed)
    dtype = dice.choice((ig.float32, ig.float32, ig.float64))
    kind = np.float64 if dtype is ig.float64 else np.float32

    def task() -> Fit:
        found = Fit(lambda: make().to(dtype), lambda p: optim.SGD(p, lr=0.05, momentum=0.9))
        for value in found.model.state_dict().values():
            assert value.dtype in (dtype, ig.int64)
        return found

    first, second = dice.sample(range(few, few + 4), 2)
    data = [batch(shape, n, axis, k, kind) for k, n in enumerate((first, second, first))]
    n = ig.Dim("n", min=few, max=64)
    specs = ig.spec((*shape[:axis], n, *shape[axis:]), dtype), ig.spec((n,), ig.int64)
    eager, jitted, traced = task(), task(), task()
    program = traced.program(*specs)
    models = {
        "1 thread": save(program, folder, "one.ig", threads=1),
        "2 threads": save(program, folder, "two.ig", threads=2),
    }
    fast = ig.jit(jitted.train_step)
    plain = save(program, folder, "plain.ig")
    for x, t in data:
        given = ig.from_numpy(x), ig.from_numpy(t)
        loss = bits(eager.train_step(*given))
        assert bits(fast(*given)) == loss, "jit"
        for name, model in models.items():
            assert bits(model.train_step(x, t)) == loss, name
        with without_layouts():
            assert bits(plain.train_step(x, t)) == loss, "no layouts"
    values = eager.values()
    assert not differing(jitted.values(), values), "jit"
    for name, model in (models | {"no layouts": plain}).items():
        assert not differing(model.state_dict(), values), name
    eager.model.eval()
    for x, _ in data[:2]:
        wanted = [bits(y) for y in eager.model(ig.from_numpy(x))]
        assert [bits(y) for y in ig.jit(eager.model)(ig.from_numpy(x))] == wanted, "jit, eval"
        for name, model in models.items():
            assert [bits(y) for y in model(x)] == wanted, f"{name}, eval"
        with without_layouts():
            assert [bits(y) for y in plain(x)] == wanted, "no layouts, eval"


def check_images(seed: int, folder: Path) -> None:
    """Check the convolutional net of this seed."""
    plan = draw(seed)
    check(lambda: module(plan, ig), plan.shape, 0, plan.few_images, seed, folder)


def check_sequences(seed: int, folder: Path) -> None:
    """Check the recurrent net of this seed."""
    _, size = recurrent(seed, ig)
    length = random.Random(seed).choice((1, 2, 5, 11))
    check(lambda: recurrent(seed, ig)[0], (length, size), 1, 1, seed, folder)


def test_nets_have_all_kinds_of_layers() -> None:
    plans = [draw(seed) for seed in range(200)]
    kinds = {layer.kind for plan in plans for layer in plan.layers}
    assert len(kinds) == 19
    convolutions = [x.options for p in plans for x in p.layers if x.kind == "conv"]
    assert {o["padding_mode"] for o in convolutions} >= {"zeros", "reflect", "circular"}
    assert any(o["groups"] == o["in_channels"] > 1 for o in convolutions)
    assert sum(len(p.layers) >= 3 for p in plans) > 190


@pytest.mark.parametrize("seed", range(QUICK))
def test_random_convolutional_nets_agree(seed: int, tmp_path: Path) -> None:
    check_images(seed, tmp_path)


@pytest.mark.parametrize("seed", range(QUICK))
def test_random_recurrent_nets_agree(seed: int, tmp_path: Path) -> None:
    check_sequences(seed, tmp_path)


@pytest.mark.long
def test_many_random_nets_agree(tmp_path: Path) -> None:
    for seed in range(QUICK, LONG):
        check_images(seed, tmp_path)
        check_sequences(seed, tmp_path)


def values_of(net: Any, lib: Any, x: Any) -> list[Array]:
    """What a net makes of x, and the derivatives by its parameters."""
    scores, between = net(x)
    (lib.sin(scores).sum() + lib.cos(between).sum()).backward()
    gradients = [p.grad for p in net.parameters() if p.grad is not None]
    return [y.detach().numpy() for y in (scores, between, *gradients)]


@pytest.mark.torch
@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("kind", ["images", "sequences"])
def test_random_nets_mean_what_they_mean_to_torch(kind: str, training: bool) -> None:
    torch = pytest.importorskip("torch")
    for seed in range(20):
        plan = draw(seed)
        size = recurrent(seed, ig)[1]
        nets = [module(plan, lib) if kind == "images" else recurrent(seed, lib)[0]
                for lib in (ig, torch)]  # fmt: skip
        ours, theirs = nets[0].to(ig.float64), nets[1].to(torch.float64)
        state = {n: torch.from_numpy(v.numpy().copy()) for n, v in ours.state_dict().items()}
        theirs.load_state_dict(state)
        shape = (plan.few_images + 1, *plan.shape) if kind == "images" else (4, 3, size)
        x = numbers(shape, seed, np.float64)
        ours.train(training)
        theirs.train(training)
        made = values_of(ours, ig, ig.from_numpy(x))
        wanted = values_of(theirs, torch, torch.from_numpy(x))
        for a, b in zip(made, wanted, strict=True):
            np.testing.assert_allclose(a, b, rtol=1e-7, atol=1e-8, err_msg=f"seed {seed}")
