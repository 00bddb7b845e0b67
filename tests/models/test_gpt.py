"""A GPT written for torch runs here with its import lines replaced: eagerly, traced with symbolic
sizes, jitted, from a file, trained."""

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import intaglio as ig
from benchmarks.networks import SOURCES, for_torch, source

gpt = source("gpt", "intaglio")


@pytest.fixture
def data() -> Any:
    """Texts that repeat: something to learn."""
    ig.manual_seed(5)
    return ig.arange(600) % 7 + 3 * (ig.arange(600) % 5)


def model(seed: int = 1, **options: Any) -> Any:
    ig.manual_seed(seed)
    return gpt.GPT(gpt.Config(**options))


@pytest.mark.parametrize("name", ["gpt", "mobilenet", "resnet"])
def test_only_import_lines_are_replaced(name: str) -> None:
    ours = (SOURCES / f"{name}.py").read_text()
    lines = zip(ours.split("\n"), for_torch(ours).split("\n"), strict=True)
    found = [(before, after) for before, after in lines if before != after]
    assert 2 <= len(found) <= 3
    assert all(re.match(r"(import|from) torch\b", after) for _, after in found)
    assert all(before.replace("intaglio", "torch") in (after, f"{after} as torch")
               for before, after in found)  # fmt: skip
    assert "intaglio" not in for_torch(ours)


def test_shapes_tied_weights_and_states() -> None:
    net = model(bias=False)
    names = [name for name, _ in net.named_parameters()]
    assert "transformer.tokens.weight" in names and "head.weight" not in names
    assert net.head.weight is net.transformer.tokens.weight
    keys = list(net.state_dict())
    assert "head.weight" in keys and not any("visible" in k or "bias" in k for k in keys)
    assert net.count_parameters(False) - net.count_parameters() == 32 * 32
    x = ig.randint(0, 65, (3, 10))
    logits, loss = net(x)
    assert tuple(logits.shape) == (3, 1, 65) and loss is None
    logits, loss = net(x, ig.randint(0, 65, (3, 10)))
    assert tuple(logits.shape) == (3, 10, 65) and abs(loss.item() - np.log(65)) < 0.3
    with pytest.raises(AssertionError, match="33 tokens, the context is 32"):
        net(ig.zeros(1, 33, dtype=ig.long))
    net.shorten(8)
    assert tuple(net(x[:, :8])[0].shape) == (3, 1, 65)


@pytest.mark.parametrize("fused", [True, False])
def test_traced_with_symbolic_batch_and_length(tmp_path: Path, fused: bool) -> None:
    net = model(fused=fused, layers=1).eval()
    kind = ig.spec((ig.Dim("b"), ig.Dim("t", max=32)), ig.int64)
    ig.trace(net, kind, kind).save(tmp_path / "gpt.ig")
    loaded = ig.load(tmp_path / "gpt.ig")
    for shape in ((1, 1), (3, 17), (2, 32)):
        x = ig.randint(0, 65, shape)
        y = ig.randint(0, 65, shape)
        y[0, 0] = -1  # ignored, unless it is the only one
        expected = net(x, y)
        for a, b in zip(loaded(x.numpy(), y.numpy()), expected, strict=True):
            assert a.tobytes() == b.detach().numpy().tobytes(), shape
    with pytest.raises(ig.ShapeError):
        loaded(np.zeros((1, 33), np.int64), np.zeros((1, 33), np.int64))


def test_an_assertion_on_an_unbounded_size_says_what_to_do() -> None:
    with pytest.raises(ig.TraceError, match=r"t <= 32: .*Dim\('n', min=1, max=128\)"):
        ig.trace(model(), ig.spec(("b", "t"), ig.int64))


def test_it_trains_with_dropout_clipping_and_accumulation(data: Any) -> None:
    net = model(dropout=0.05, layers=1)
    batches = [gpt.batch(data, 32, 8) for _ in range(20)]
    losses = gpt.train(net, batches, accumulate=2, top=1e-2)
    assert losses[0] > 4 and losses[-1] < losses[0] / 2, losses
    assert gpt.estimate(net, batches[:2]).item() < losses[0] / 2
    assert net.training
    rates = [gpt.learning_rate(k, top=1.0, low=0.1, warm=2, total=10) for k in range(12)]
    assert max(rates) == 1.0 and rates[-1] == 0.1


def test_it_generates(data: Any) -> None:
    net = model(layers=1).eval()
    start = data[:3].reshape(1, 3)
    greedy = net.generate(start, 34, greedy=True)
    assert tuple(greedy.shape) == (1, 37) and greedy[:, :3].tolist() == start.tolist()
    assert greedy.tolist() == net.generate(start, 34, greedy=True).tolist()
    ig.manual_seed(3)
    one = net.generate(start, 5, temperature=0.7, top_k=4)
    ig.manual_seed(3)
    assert one.tolist() == net.generate(start, 5, temperature=0.7, top_k=4).tolist()


def test_eager_and_traced_runs_agree_op_by_op(data: Any) -> None:
    net = model(fused=False, layers=1)
    x, y = gpt.batch(data, 32, 2)
    found = ig.compare(net, net, (x, y), show=False)
    assert found.same_bits and len(found.ops) > 60, found


def test_a_saved_training_step_goes_on_as_the_eager_one(tmp_path: Path, data: Any) -> None:
    net = model(dropout=0.1, layers=1)
    optimizer = net.optimizer(0.1, 1e-2, (0.9, 0.95))

    def step(x: ig.Tensor, y: ig.Tensor) -> Any:
        optimizer.zero_grad(set_to_none=True)
        _, loss = net(x, y)
        loss.backward()
        ig.nn.utils.clip_grad_norm_(net.parameters(), 1.0)
        optimizer.step()
        return loss

    x, y = gpt.batch(data, 16, 4)
    step(x, y)
    kind = ig.spec((ig.Dim("b"), ig.Dim("t", max=32)), ig.int64)
    ig.Program().trace("step", step, kind, kind).save(tmp_path / "gpt.ig")
    loaded = ig.load(tmp_path / "gpt.ig")
    batches = [gpt.batch(data, 16, 4) for _ in range(3)]  # draws, so the files' counter lags
    loaded.state["random.draw"] = np.asarray(ig.get_rng_state())[1]
    for x, y in batches:
        expected = step(x, y)
        assert loaded.step(x.numpy(), y.numpy()).tobytes() == expected.detach().numpy().tobytes()
