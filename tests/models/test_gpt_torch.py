"""The GPT under both libraries, from the same weights in f64: names, results, gradients, training,
generation."""

from typing import Any

import numpy as np
import pytest

import intaglio as ig
from benchmarks.networks import source

torch = pytest.importorskip("torch")
pytestmark = pytest.mark.torch
OPTIONS: dict[str, dict[str, Any]] = {
    "fused": {"layers": 4},
    "by hand": {"fused": False},
    "no bias": {"bias": False, "layers": 1, "heads": 2},
}


def both(**options: Any) -> tuple[Any, Any, Any, Any]:
    """Both modules, and a model of each with the same weights in f64."""
    ours, theirs = source("gpt", "intaglio"), source("gpt", "torch")
    torch.manual_seed(1)
    other = theirs.GPT(theirs.Config(**options)).double()
    net = ours.GPT(ours.Config(**options)).double()
    with torch.no_grad():  # away from the start, where much is zero or alike
        for p in other.parameters():
            p.add_(0.1 * torch.randn(p.shape).double())
    assert list(net.state_dict()) == list(other.state_dict())
    assert [n for n, _ in net.named_parameters()] == [n for n, _ in other.named_parameters()]
    net.load_state_dict({k: ig.tensor(v.numpy()) for k, v in other.state_dict().items()})
    assert net.head.weight is net.transformer.tokens.weight
    return ours, theirs, net, other


def tokens(*shape: int) -> np.ndarray:
    return np.random.default_rng(2).integers(0, 65, shape)


def close(a: Any, b: Any) -> None:
    np.testing.assert_allclose(a.detach().numpy(), b.detach().numpy(), rtol=1e-8, atol=1e-10)


@pytest.mark.parametrize("name", OPTIONS)
def test_results_and_gradients(name: str) -> None:
    _, _, net, other = both(**OPTIONS[name])
    x, y = tokens(3, 20), tokens(3, 20)
    y[1, 4:9] = -1
    logits, loss = net(ig.tensor(x), ig.tensor(y))
    logits2, loss2 = other(torch.tensor(x), torch.tensor(y))
    close(logits, logits2)
    close(loss, loss2)
    (loss + logits.square().mean()).backward()
    (loss2 + logits2.square().mean()).backward()
    for (key, p), q in zip(net.named_parameters(), other.parameters(), strict=True):
        assert q.grad.abs().max() > 0, key
        close(p.grad, q.grad)
    close(net(ig.tensor(x))[0], other(torch.tensor(x))[0])


@pytest.mark.parametrize("name", ["fused", "by hand"])
def test_traced_and_jitted_gradients(name: str) -> None:
    _, _, net, other = both(**{**OPTIONS[name], "layers": 1})
    x, y = tokens(2, 9), tokens(2, 9)
    _, loss = ig.jit(net)(ig.tensor(x), ig.tensor(y))
    _, loss2 = other(torch.tensor(x), torch.tensor(y))
    loss.backward()
    loss2.backward()
    close(loss, loss2)
    for p, q in zip(net.parameters(), other.parameters(), strict=True):
        close(p.grad, q.grad)


def test_training_takes_the_same_course() -> None:
    ours, theirs, net, other = both(layers=1)
    x, y = tokens(5, 4, 16), tokens(5, 4, 16)
    pairs = list(zip(x, y, strict=True))
    mine = ours.train(net, [(ig.tensor(a), ig.tensor(b)) for a, b in pairs], accumulate=2)
    wanted = theirs.train(
        other, [(torch.tensor(a), torch.tensor(b)) for a, b in pairs], accumulate=2
    )
    np.testing.assert_allclose(mine, wanted, rtol=1e-7)
    for p, q in zip(net.parameters(), other.parameters(), strict=True):
        np.testing.assert_allclose(p.detach().numpy(), q.detach().numpy(), rtol=1e-5, atol=1e-7)


def test_generation_and_shortening() -> None:
    _, _, net, other = both()
    start = tokens(2, 3)
    found = net.eval().generate(ig.tensor(start), 40, top_k=9, greedy=True)
    expected = other.eval().generate(torch.tensor(start), 40, top_k=9, greedy=True)
    assert found.tolist() == expected.tolist()
    net.shorten(10)
    other.shorten(10)
    x = tokens(2, 10)
    close(net(ig.tensor(x))[0], other(torch.tensor(x))[0])
