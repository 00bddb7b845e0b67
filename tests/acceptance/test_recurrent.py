"""Recurrent networks as programs: one file for every length and batch, with the bits of eager code,
of one size whatever the length; training steps included."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import intaglio as ig
from intaglio import nn, optim
from tests.acceptance.models import Task, bits, codes, differing, numbers, save


class Letters(nn.Module):
    """A character model: an embedding, a recurrent network and a linear head."""

    def __init__(self, kind: str = "LSTM", **options: Any) -> None:
        super().__init__()
        self.e = nn.Embedding(9, 6)
        self.r = getattr(nn, kind)(6, 10, batch_first=True, **options)
        self.o = nn.Linear(20 if options.get("bidirectional") else 10, 9)

    def forward(self, x: ig.Tensor) -> ig.Tensor:
        return self.o(self.r(self.e(x))[0])


def task(kind: str = "LSTM", **options: Any) -> Task:
    return Task(lambda: Letters(kind, **options), lambda p: optim.Adam(p, lr=0.01))


def test_any_length_and_batch_from_one_file(tmp_path: Path) -> None:
    n, t = ig.Dim("n", max=8), ig.Dim("t", max=64)
    spec = ig.spec((n, t), ig.int64)
    eager, traced = task(num_layers=2), task(num_layers=2)
    model = save(traced.program(spec, spec), tmp_path)
    for number, size in enumerate([(2, 7), (3, 1), (1, 64), (2, 7)]):
        x, y = codes(size, 9, number), codes(size, 9, 50 + number)
        given = ig.from_numpy(x), ig.from_numpy(y)
        assert bits(model(x)) == bits(eager.model(given[0]))
        assert bits(model.train_step(x, y)) == bits(eager.train_step(*given))
    assert not differing(model.state_dict(), eager.values())
    assert model.function("train_step").executable.compiles == 2


def test_a_program_does_not_grow_with_the_length(tmp_path: Path) -> None:
    sizes = []
    for length in (1, 7, 64):
        x = ig.from_numpy(codes((2, length), 9))
        path = tmp_path / f"{length}.ig"
        task().program(x, x).save(path)
        sizes.append(path.stat().st_size)
    assert max(sizes) - min(sizes) < 256, sizes  # lengths are numbers of a few digits


@pytest.mark.parametrize("kind", ["RNN", "GRU", "LSTM"])
def test_both_directions_train_with_the_same_bits(kind: str, tmp_path: Path) -> None:
    x, y = codes((3, 5), 9), codes((3, 5), 9, 1)
    given = ig.from_numpy(x), ig.from_numpy(y)
    eager, jitted, traced = (task(kind, bidirectional=True) for _ in range(3))
    step = ig.jit(jitted.train_step)
    program = traced.program(*given)
    models = [save(program, tmp_path, f"{k}.ig", threads=k) for k in (1, 2)]
    for _ in range(4):
        wanted = bits(eager.train_step(*given))
        assert bits(step(*given)) == wanted
        assert [bits(m.train_step(x, y)) for m in models] == [wanted] * 2
    for model in models:
        assert not differing(model.state_dict(), eager.values())
    assert not differing(jitted.values(), eager.values())


def test_a_network_learns_to_remember() -> None:
    """The first bit of a sequence is told at its end."""
    ig.manual_seed(0)
    net, head = nn.GRU(1, 12), nn.Linear(12, 1)
    optimizer = optim.Adam([*net.parameters(), *head.parameters()], lr=0.02)

    @ig.jit
    def step(x: ig.Tensor) -> ig.Tensor:
        optimizer.zero_grad()
        _, h = net(x)
        loss = nn.functional.binary_cross_entropy_with_logits(head(h[0]), x[0])
        loss.backward()
        optimizer.step()
        return loss

    rng = np.random.default_rng(0)
    losses = [step(ig.tensor((rng.random((8, 32, 1)) < 0.5).astype(np.float32))).item()
              for _ in range(250)]  # fmt: skip
    assert np.mean(losses[:5]) > 0.6
    assert np.mean(losses[-5:]) < 0.1


def test_rounds_repeat_no_work_that_stays_the_same() -> None:
    """A loop's body holds a product and one kernel; weights are packed before it."""
    from intaglio.compiler.lower import lower
    from intaglio.runtime.compile import optimised

    net = nn.LSTM(6, 10).eval()
    program = ig.trace(lambda x: net(x)[0], ig.spec((ig.Dim("t"), 3, 6), ig.float32))
    graph = next(iter(program.functions.values())).graph
    lowered = lower(optimised(graph))
    ops = [step.ops for step in lowered.steps]
    packs = [k for k, names in enumerate(ops) if names == ("pack for matmul",)]
    rounds = [k for k, names in enumerate(ops) if "tanh" in names]
    assert len(packs) == len(rounds) == 1
    assert packs[0] < rounds[0]
    assert "copy" not in [names[0] for names in ops[packs[0] + 1 :]]
    assert ops[rounds[0] - 1] == ("matmul", "add")


def test_loops_of_eager_code_are_compiled_when_they_come_again() -> None:
    net = nn.LSTM(6, 10)
    found = []
    for length in (4, 4, 4, 4, 9):
        x = ig.from_numpy(numbers((length, 3, 6)))
        net.zero_grad()
        made, _ = net(x)
        made.square().sum().backward()
        found.append([bits(made), *(bits(p.grad) for p in net.parameters())])
    assert found[0] == found[1] == found[2] == found[3]
    whole = ig.jit(net)
    assert bits(whole(x)[0]) == found[4][0]
