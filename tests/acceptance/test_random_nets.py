"""Random functions with every kind of op and odd sizes: eager, compiled and loaded agree bit for
bit, derivatives too, and all are close to NumPy."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import intaglio as ig
from tests.acceptance.models import bits, save
from tests.acceptance.random_nets import Array, Net, draw

QUICK, LONG = 10, 200


def with_derivative(net: Net) -> Callable[..., tuple[ig.Tensor, ...]]:
    """The net's results, and the derivatives of their sum with respect to the inputs."""

    def run(*inputs: ig.Tensor) -> tuple[ig.Tensor, ...]:
        def total(*xs: ig.Tensor) -> ig.Tensor:
            return sum((ig.sin(y).sum() for y in net.run(0, xs)), ig.zeros(()))

        derivatives = ig.func.grad(total, argnums=tuple(range(len(inputs))))(*inputs)
        return (*net.run(0, inputs), *derivatives)

    return run


def close(ours: Any, theirs: Array, dtype: Any) -> bool:
    tolerance = 1e-3 if dtype == np.float32 else 1e-8
    return ours.shape == theirs.shape and np.allclose(ours, theirs, rtol=tolerance, atol=tolerance)


def symbolic(inputs: list[Array]) -> list[Any]:
    """Specs with the first dims symbolic where there is more than a vector."""
    n = ig.Dim("n", min=0, max=1000)
    made = []
    for x in inputs:
        shape: tuple[Any, ...] = x.shape
        if len(shape) > 1:
            shape = (n, *shape[1:])
        made.append(ig.spec(shape, getattr(ig, str(x.dtype))))
    return made


def check(seed: int, folder: Path) -> bool:
    """Check one net; whether its file has symbolic sizes."""
    net = draw(seed)
    run = with_derivative(net)
    given = [ig.from_numpy(x) for x in net.inputs]
    eager = run(*given)
    want = net.run(1, [x.astype(np.float64) for x in net.inputs])
    for ours, theirs in zip(eager, want, strict=False):
        assert close(ours.numpy(), np.asarray(theirs), net.inputs[0].dtype), seed
    expected = [bits(y) for y in eager]
    assert [bits(y) for y in ig.jit(run)(*given)] == expected, seed
    free = True
    try:
        program = ig.trace(run, *symbolic(net.inputs))
        save(program, folder)(*net.inputs)
    except ig.Error:
        free = False
        program = ig.trace(run, *given)
    model = save(program, folder)
    assert [bits(y) for y in model(*net.inputs)] == expected, seed
    return free


def test_nets_are_of_all_kinds() -> None:
    nets = [draw(k) for k in range(LONG)]
    used = {id(pair[0]) for net in nets for pair, _, _ in net.steps}
    assert len(used) >= 40
    sizes = {n for net in nets for x in net.inputs for n in x.shape}
    assert {0, 1, 70} <= sizes
    assert sum(len(net.steps) >= 8 for net in nets) > LONG // 2


def test_random_nets_agree(tmp_path: Path) -> None:
    free = sum(check(seed, tmp_path) for seed in range(QUICK))
    assert free >= QUICK // 2


@pytest.mark.long
def test_many_random_nets_agree(tmp_path: Path) -> None:
    for seed in range(QUICK, LONG):
        check(seed, tmp_path)


@pytest.mark.parametrize("shape", [(33, 33, 1), (2000, 1), (513, 1, 1), (3, 700, 1, 1)])
def test_a_single_long_column(shape: tuple[int, ...]) -> None:
    """The last dim is kept and has one element, so that no axis is left for the lanes."""
    axes = (0, 1) if len(shape) == 3 else 0 if len(shape) == 2 else 1
    x = np.random.default_rng(0).standard_normal(shape).astype(np.float32)
    given = ig.from_numpy(x)

    def f(x: ig.Tensor) -> tuple[ig.Tensor, ...]:
        return (x * x).sum(axes), x.amax(axes), (x + 1).sum(axes) * 2

    eager = f(given)
    assert [bits(y) for y in ig.jit(f)(given)] == [bits(y) for y in eager]
    np.testing.assert_allclose(eager[0].numpy(), (x * x).sum(axes), rtol=1e-5)
    np.testing.assert_array_equal(eager[1].numpy(), x.max(axes))
