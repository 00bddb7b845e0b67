"""Saved files loaded on a device: their functions give the C's bits, their state trains there."""

from __future__ import annotations

import gc
import os
import signal
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import intaglio as ig
import intaglio.nn.functional as F
from intaglio import nn, optim
from intaglio.compiler.errors import DeviceError, DTypeError, IndexError, MemoryError, ShapeError
from intaglio.runtime.device.array import DeviceArray
from intaglio.runtime.device.device import Device, find_device
from intaglio.runtime.model import Model
from intaglio.runtime.prints import set_print_sink
from tests.cuda.emulated_driver import EmulatedDriver
from tests.runtime import programs

Array = np.ndarray[Any, Any]


class Net(nn.Module):
    """Embeddings of codes, normalised, with dropout, scored."""

    def __init__(self) -> None:
        super().__init__()
        self.codes, self.norm = nn.Embedding(20, 16), nn.LayerNorm(16)
        self.drop, self.scores = nn.Dropout(0.25), nn.Linear(16, 20)

    def forward(self, x: ig.Tensor) -> ig.Tensor:
        return self.scores(self.drop(self.norm(F.gelu(self.codes(x)))))


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file with a train step and an evaluation for n examples."""
    ig.manual_seed(5)
    net = Net()
    optimizer = optim.AdamW(net.parameters(), lr=1e-2)

    def step(x: ig.Tensor, t: ig.Tensor) -> dict[str, ig.Tensor]:
        optimizer.zero_grad()
        loss = F.cross_entropy(net(x), t)
        loss.backward()
        optimizer.step()
        return {"loss": loss}

    n = ig.Dim("n", min=1, max=64)
    codes = ig.spec((n,), ig.int64)
    program = ig.trace(step, codes, codes, name="step")
    net.eval()
    program.trace("forward", net, codes)
    path = tmp_path_factory.mktemp("models") / "net.ig"
    program.save(path)
    return path


@pytest.fixture
def pair(device: Device, saved: Path) -> Iterator[tuple[Model, Model]]:
    """The file on the CPU and on the device."""
    yield ig.load(saved), ig.load(saved, device="cuda")


def batch(n: int, seed: int = 0) -> tuple[Array, Array]:
    random = np.random.default_rng(seed)
    return random.integers(0, 20, n), random.integers(0, 20, n)


def same_state(one: Model, other: Model) -> bool:
    left, right = one.state_dict(), other.state_dict()
    return left.keys() == right.keys() and all(
        left[k].tobytes() == right[k].tobytes() for k in left
    )


def test_training_and_running_give_the_bits_of_the_c(pair: tuple[Model, Model]) -> None:
    cpu, gpu = pair
    assert gpu.device == "cuda:0" and same_state(cpu, gpu)
    for k, n in enumerate((7, 7, 33, 12)):
        x, t = batch(n, k)
        expected, found = cpu.step(x, t)["loss"], gpu.step(x, t)["loss"]
        assert isinstance(found, DeviceArray) and found.to_host() == expected
    assert same_state(cpu, gpu), "parameters, moments, step counts and the generator"
    x, _ = batch(9)
    assert gpu(x).to_host().tobytes() == cpu(x).tobytes()
    assert gpu.forward.executable.compiles == 1 and gpu.step.executable.compiles == 2


def test_operands_and_results_stay_on_the_device(
    pair: tuple[Model, Model], emulated: EmulatedDriver
) -> None:
    _, gpu = pair
    device = find_device("cuda")
    x, t = (device.upload(a) for a in batch(7))
    gpu.step(x, t)
    before = emulated.uploads, emulated.downloads
    gpu.step(x, t)
    assert emulated.uploads == before[0], "nothing is copied up"
    assert emulated.downloads == before[1] + 1, "the error record alone is copied down"


def test_a_trained_model_saves_and_goes_on_elsewhere(
    pair: tuple[Model, Model], tmp_path: Path
) -> None:
    cpu, gpu = pair
    for model in pair:
        model.step(*batch(7))
    gpu.save(tmp_path / "gpu.ig")
    cpu.save(tmp_path / "cpu.ig")
    assert (tmp_path / "gpu.ig").read_bytes() == (tmp_path / "cpu.ig").read_bytes()
    back = ig.load(tmp_path / "gpu.ig")
    assert back.step(*batch(7, 1))["loss"] == cpu.step(*batch(7, 1))["loss"]


def test_state_is_read_and_set(pair: tuple[Model, Model]) -> None:
    cpu, gpu = pair
    name = next(n for n in gpu.state if n.endswith("scores.bias"))
    value = np.linspace(-1, 1, 20).astype(np.float32)
    for model in pair:
        model.state[name] = value
    found = gpu.state[name]
    assert isinstance(found, np.ndarray) and (found == value).all()
    found[:] = 0
    assert (gpu.state[name] == value).all(), "what is read is a copy"
    x, _ = batch(5)
    assert gpu(x).to_host().tobytes() == cpu(x).tobytes()
    with pytest.raises(ShapeError):
        gpu.state[name] = value[:3]
    gpu.load_state_dict(cpu.state_dict())
    assert same_state(cpu, gpu)


def test_a_failed_call_changes_no_state(pair: tuple[Model, Model]) -> None:
    cpu, gpu = pair
    x, t = batch(7)
    for model in pair:
        model.step(x, t)
    bad = x.copy()
    bad[3] = 20
    with pytest.raises(IndexError, match=r"index 20 is out of range for axis of size 20 .*\.py:"):
        gpu.step(bad, t)
    assert same_state(cpu, gpu)
    with pytest.raises(DTypeError, match=r"f32\[7\], and i64\[n\] is wanted"):
        gpu.step(find_device("cuda").upload(x.astype(np.float32)), t)
    with pytest.raises(ShapeError):
        gpu.step(x, t[:5])
    with pytest.raises(ShapeError):
        gpu.step(find_device("cuda").upload(x), t[:5])
    assert gpu.step(x, t)["loss"].to_host() == cpu.step(x, t)["loss"]
    assert same_state(cpu, gpu)


def test_updates_that_can_not_be_made_in_place_wait_for_success(device: Device) -> None:
    model = Model(programs.program(), programs.values(), device="cuda")
    before = model.state_dict()
    with pytest.raises(IndexError, match=r"net\.py:12 in Net\.emb"):
        model.train(programs.inputs(4), np.array([0, 1, 3, 0]))
    after = model.state_dict()
    assert all(after[k].tobytes() == before[k].tobytes() for k in before)
    ids = np.array([0, 2, 2, 1])
    total, rest = model.train(programs.inputs(4), ids=ids)
    assert (rest["b"].to_host() == before["b"]).all(), "the state before"
    assert (model.state["b"] == before["b"] + before["w"][ids].sum(0)).all()


def test_memory_is_planned_limited_and_given_back(
    saved: Path, device: Device, emulated: EmulatedDriver
) -> None:
    gc.collect()
    before = device.statistics().allocated
    model = ig.load(saved, device="cuda")
    held = device.statistics().allocated - before
    assert held >= sum(model.state[n].nbytes for n in model.state)
    plan = model.plan("step", n=8)
    assert plan.peak_bytes > plan.arena_bytes > 0
    for _ in range(3):
        model.step(*batch(8))
    kept = device.statistics().allocated
    for _ in range(3):
        model.step(*batch(8))
    assert device.statistics().allocated == kept, "a call keeps nothing"
    small = ig.load(saved, device="cuda", max_memory=model.plan("step", n=64).peak_bytes - 1)
    with pytest.raises(MemoryError, match=r"a call needs .* max_memory is"):
        small.step(*batch(64))
    assert same_state(small, ig.load(saved))
    del model, small
    gc.collect()
    assert device.statistics().allocated == before


def test_threads_share_a_model(pair: tuple[Model, Model]) -> None:
    cpu, gpu = pair
    x, _ = batch(9)
    expected = cpu(x).tobytes()
    wrong: list[int] = []

    def work() -> None:
        for _ in range(5):
            if gpu(x).to_host().tobytes() != expected:
                wrong.append(1)

    threads = [threading.Thread(target=work) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong


def test_a_profile_times_the_steps(pair: tuple[Model, Model]) -> None:
    _, gpu = pair
    before = gpu.state_dict()
    profile = gpu.profile("step", *batch(8), calls=2)
    assert len(profile.steps) > 3 and all((s.seconds or 0) >= 0 for s in profile.steps)
    assert sum(s.seconds or 0 for s in profile.steps) > 0
    after = gpu.state_dict()
    assert all(before[k].tobytes() == after[k].tobytes() for k in before)


def test_lanes_and_warps_in_reverse_change_nothing(
    pair: tuple[Model, Model], emulated: EmulatedDriver
) -> None:
    cpu, gpu = pair
    emulated.reverse = True
    try:
        for k in range(2):
            assert gpu.step(*batch(9, k))["loss"].to_host() == cpu.step(*batch(9, k))["loss"]
    finally:
        emulated.reverse = False
    assert same_state(cpu, gpu)


def test_a_device_that_is_not_there(saved: Path, emulated: EmulatedDriver) -> None:
    with pytest.raises(DeviceError, match="cuda:5"):
        ig.load(saved, device="cuda:5")
    with pytest.raises(DeviceError, match="no device 'tpu'"):
        ig.load(saved, device="tpu")


def test_ctrl_c_during_an_update_is_heard_when_it_is_whole(
    pair: tuple[Model, Model], emulated: EmulatedDriver, monkeypatch: pytest.MonkeyPatch
) -> None:
    cpu, gpu = pair
    launch, count = emulated.launch, 0

    def interrupting(*arguments: Any) -> None:
        nonlocal count
        count += 1
        if count == 3:
            os.kill(os.getpid(), signal.SIGINT)
        launch(*arguments)

    x, t = batch(7)
    monkeypatch.setattr(emulated, "launch", interrupting)
    with pytest.raises(KeyboardInterrupt):
        gpu.step(x, t)
    monkeypatch.undo()
    assert count > 3
    cpu.step(x, t)
    assert same_state(cpu, gpu), "the whole step was made"
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_tensors_of_the_device_are_operands_and_values_are_shown(device: Device) -> None:
    def f(x: ig.Tensor) -> ig.Tensor:
        return ig.debug_print(x * 2, "twice") + 1

    texts: dict[str, list[str]] = {"cpu": [], "cuda": []}
    program = ig.trace(f, ig.spec((3,)))
    for name, shown in texts.items():
        before = set_print_sink(shown.append)
        try:
            made = Model(program.ir, {}, device=name)(ig.arange(3.0, device=name))
        finally:
            set_print_sink(before)
        assert (made if name == "cpu" else made.to_host()).tolist() == [1, 3, 5]
    assert texts["cuda"] == texts["cpu"] and "= [0., 2., 4.]" in texts["cpu"][0]
