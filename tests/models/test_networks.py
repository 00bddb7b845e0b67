"""Model code as people write it for torch, with only its imports replaced: with torch's weights the
outputs, the gradients of all parameters and the running statistics are torch's."""

from __future__ import annotations

import importlib
import importlib.util
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import intaglio as ig
from benchmarks.networks import source
from intaglio import nn, optim
from intaglio.runtime import load

torch: Any = None
if importlib.util.find_spec("torch") is not None:
    torch = importlib.import_module("torch")

Array = np.ndarray[Any, Any]


def photos(rows: int) -> Array:
    return np.random.default_rng(rows).standard_normal((rows, 3, 64, 64))


NETWORKS: dict[str, tuple[Callable[[Any], Any], Callable[[int], Array]]] = {
    "resnet18": (lambda file: file("resnet").resnet18(num_classes=10), photos),
    "mobilenetv2": (
        lambda file: file("mobilenet").MobileNetV2(num_classes=10, dropout=0.0),
        photos,
    ),
}
"""By name: how it is made of the sources, and what it reads."""


def made(name: str, framework: str) -> Any:
    return NETWORKS[name][0](lambda file: source(file, framework)).double()


@pytest.fixture(params=sorted(NETWORKS))
def name(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.mark.torch
@pytest.mark.parametrize("kind", ["npz", "safetensors"])
def test_outputs_and_gradients_are_torchs(name: str, kind: str, tmp_path: Path) -> None:
    torch.manual_seed(0)
    theirs, ours = made(name, "torch"), made(name, "intaglio")
    path = tmp_path / f"weights.{kind}"
    weights = {key: value.numpy() for key, value in theirs.state_dict().items()}
    if kind == "npz":
        np.savez(path, **weights)
    else:
        pytest.importorskip("safetensors.torch").save_file(theirs.state_dict(), path)
    ours.load_state_dict(ig.load_weights(path))
    x = NETWORKS[name][1](4)
    wanted, found = theirs(torch.tensor(x)), ours(ig.tensor(x))
    seed = np.random.default_rng(1).standard_normal(wanted.shape)
    (wanted * torch.tensor(seed)).sum().backward()
    (found * ig.tensor(seed)).sum().backward()
    close(found.detach(), wanted.detach())
    expected = dict(theirs.named_parameters())
    assert [key for key, _ in ours.named_parameters()] == list(expected)
    for key, parameter in ours.named_parameters():
        close(parameter.grad, expected[key].grad)
    for key, value in ours.state_dict().items():
        close(value, theirs.state_dict()[key])
    with ig.no_grad(), torch.no_grad():
        close(ours.eval()(ig.tensor(x)), theirs.eval()(torch.tensor(x)))


def close(found: Any, wanted: Any) -> None:
    scale = max(1.0, float(wanted.abs().max()))
    np.testing.assert_allclose(found.numpy() / scale, wanted.numpy() / scale, rtol=1e-8, atol=1e-8)


def test_one_file_runs_any_batch(name: str, tmp_path: Path) -> None:
    ig.manual_seed(0)
    model, reads = made(name, "intaglio").float().eval(), NETWORKS[name][1]
    n = ig.Dim("n", min=1, max=64)
    first = reads(1).astype(np.float32) if reads(1).dtype == np.float64 else reads(1)
    spec = ig.spec((n, *first.shape[1:]), ig.from_numpy(first).dtype)
    ig.trace(model, spec).save(tmp_path / "model.ig")
    saved = load(tmp_path / "model.ig")
    with ig.no_grad():
        for rows in (1, 3):
            x = reads(rows).astype(first.dtype)
            assert saved(x).tobytes() == model(ig.from_numpy(x)).numpy().tobytes()


def test_it_trains(name: str) -> None:
    ig.manual_seed(0)
    model, x = made(name, "intaglio").float(), ig.from_numpy(NETWORKS[name][1](4))
    x = x.float() if x.is_floating_point() else x
    optimizer = optim.SGD(model.parameters(), lr=0.02, momentum=0.9)
    target = ig.tensor([1, 2, 3, 4])

    @ig.jit
    def step() -> ig.Tensor:
        optimizer.zero_grad()
        scores = model(x)
        loss = nn.functional.cross_entropy(scores.reshape(4, -1)[:, :10], target)
        loss.backward()
        optimizer.step()
        return loss

    losses = [step().item() for _ in range(6)]
    assert losses[-1] < losses[0] / 2
