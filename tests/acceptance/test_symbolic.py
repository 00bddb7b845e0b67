"""One file for every batch and length: a causal transformer with its loss and training step runs at
sizes that it has not seen, without compiling again, with the bits of eager code."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import intaglio as ig
from intaglio import optim
from tests.acceptance.models import LM, Task, bits, codes, differing, save

SIZES = [(2, 5), (3, 9), (1, 1), (4, 16)]


def make() -> Task:
    return Task(lambda: LM(11, width=8, dropout=0.1), lambda p: optim.AdamW(p, lr=0.01))


def test_any_batch_and_length_from_one_file(tmp_path: Path) -> None:
    n, t = ig.Dim("n", max=64), ig.Dim("t", max=16)
    spec = ig.spec((n, t), ig.int64)
    eager, traced = make(), make()
    ig.manual_seed(5)
    model = save(traced.program(spec, spec), tmp_path)
    ig.manual_seed(5)
    functions = [model.function(f) for f in ("forward", "loss", "train_step")]
    for number, size in enumerate(SIZES):
        x, y = codes(size, 11, number), codes(size, 11, 50 + number)
        given = ig.from_numpy(x), ig.from_numpy(y)
        assert bits(model.train_step(x, y)) == bits(eager.train_step(*given))
        eager.model.eval()
        assert bits(model(x)) == bits(eager.model(given[0]))
        assert bits(model.loss(x, y)) == bits(eager.loss(*given))
        eager.model.train()
        assert all(f.executable.compiles == min(number + 1, 2) for f in functions)
    assert not differing(model.state_dict(), eager.values())
    for name in ("forward", "train_step"):
        small, large = (model.plan(name, n=k, t=k).peak_bytes for k in (2, 8))
        assert 0 < small < large
    with pytest.raises(ig.ShapeError, match="t"):
        model(codes((2, 17), 11))
    with pytest.raises(ig.ShapeError):
        model.loss(codes((2, 5), 11), codes((2, 6), 11))


def test_causal_means_that_what_follows_is_not_read() -> None:
    model = make().model.eval()
    x = codes((1, 8), 11)
    y = x.copy()
    y[0, 5:] = (y[0, 5:] + 1) % 11
    with ig.no_grad():
        a, b = model(ig.from_numpy(x)).numpy(), model(ig.from_numpy(y)).numpy()
    np.testing.assert_allclose(a[0, :5], b[0, :5], atol=1e-5)
    assert np.abs(a[0, 5:] - b[0, 5:]).max() > 1e-3


@pytest.mark.long
def test_specialised_and_general_forms_agree(tmp_path: Path) -> None:
    n, t = ig.Dim("n", max=64), ig.Dim("t", max=16)
    spec = ig.spec((n, t), ig.int64)
    x, y = codes((3, 6), 11), codes((3, 6), 11, 1)
    program = make().program(spec, spec)
    states = []
    for warmed in (False, True):
        model = save(program, tmp_path)
        before = model.state_dict()
        if warmed:  # two other sizes first, so that (3, 6) runs in the general form
            for size in ((2, 2), (1, 4)):
                model.train_step(codes(size, 11), codes(size, 11))
            model.load_state_dict(before)
        losses = [bits(model.train_step(x, y)) for _ in range(2)]
        states.append((losses, {k: bits(v) for k, v in model.state_dict().items()}))
    assert states[0] == states[1]


def test_sizes_reach_results(tmp_path: Path) -> None:
    n, t = ig.Dim("n", max=64), ig.Dim("t", max=64)

    def f(x: ig.Tensor) -> tuple[ig.Tensor, ...]:
        rows, columns = x.shape
        return (
            x.sum() / rows,
            x.reshape(-1).mean() * columns,
            x.reshape(columns, rows).sum(0),
            ig.cat([x, x[: rows // 2]], 0).sum(1),
            x[:, ::2].sum(1) + rows,
            ig.arange(rows * columns).reshape(rows, columns) + x,
            x.flatten()[-rows:],
            x[0, columns - 1] + x[rows - 1, -1],
        )

    model = save(ig.trace(f, ig.spec((n, t))), tmp_path)
    for size in [(4, 6), (5, 3), (1, 1), (7, 64)]:
        x = np.random.default_rng(0).standard_normal(size).astype(np.float32)
        want = [bits(y) for y in f(ig.from_numpy(x))]
        assert [bits(y) for y in model(x)] == want, size


def test_symbolic_places_of_unknown_sign_are_checked_at_the_call(tmp_path: Path) -> None:
    n = ig.Dim("n", max=64)
    cases = [(lambda x: x[x.shape[0] - 3 :], (3, 5, 64), (1, 2)),
             (lambda x: x[1 - x.shape[0] :], (2, 5, 64), (1,)),
             (lambda x: x[x.shape[0] - 3], (3, 5), (2,))]  # fmt: skip
    for k, (f, right, wrong) in enumerate(cases):
        model = save(ig.trace(f, ig.spec((n, 2))), tmp_path, f"{k}.ig")
        for size in right:
            x = np.arange(2 * size, dtype=np.float32).reshape(size, 2)
            assert bits(model(x)) == bits(f(ig.from_numpy(x)))
        for size in wrong:
            with pytest.raises(ig.ShapeError, match=Path(__file__).name):
                model(np.zeros((size, 2), np.float32))
