"""Where a NaN came from: compiled functions, saved files, loops, eager ops and derivatives."""

import itertools
import linecache
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import intaglio as ig
import intaglio.nn.functional as F
from intaglio import nn, optim
from intaglio.runtime import checked

HERE = Path(__file__).name


class Root(nn.Module):
    """sqrt |w x|, whose derivative at 0 is inf, times 0: NaN."""

    def __init__(self) -> None:
        super().__init__()
        self.w = nn.Parameter(ig.zeros(3))

    def forward(self, x: ig.Tensor) -> Any:
        root = (x * self.w).abs().sqrt()  # root
        return (root * 0).sum()


def refused(function: Callable[..., Any], *args: Any) -> str:
    with pytest.raises(ig.NaNError) as found:
        function(*args)
    return str(found.value)


def assert_line(text: str, mark: str) -> None:
    """The message names the line of this file that ends in the comment `mark`."""
    lines = linecache.getlines(__file__)
    (number,) = [k for k, line in enumerate(lines, 1) if line.rstrip().endswith("# " + mark)]
    assert f"{HERE}:{number}" in text, text


def test_the_op_the_place_and_the_elements() -> None:
    class Log(nn.Module):
        def forward(self, x: ig.Tensor) -> Any:
            shifted = x - 5
            return shifted.log() + 1  # log

    class Outer(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.inner = Log()

        def forward(self, x: ig.Tensor) -> Any:
            return self.inner(x * 2)

    fast = ig.jit(Outer(), check_nan=True)
    text = refused(fast, ig.tensor([[4.0, 1.0]]))
    assert text.startswith("Outer: log: f32[1,2]: NaN at [0, 1] from -3.0 (")
    assert "in Outer.inner" in text
    assert_line(text, "log")
    fine = ig.tensor([[3.0, 4.0]])
    assert np.array_equal(fast(fine).numpy(), Outer()(fine).numpy())


def test_operands_and_states_are_looked_at_first(tmp_path: Path) -> None:
    model = Root()
    fast = ig.jit(model, check_nan=True)
    x = np.ones((4, 3), np.float32)
    x[2, 1] = np.nan
    assert refused(fast, ig.tensor(x)) == "Root: x holds NaN at [2, 1]"
    ig.trace(model, ig.spec(("n", 3))).save(tmp_path / "m.ig")
    loaded = ig.load(tmp_path / "m.ig", check_nan=True)
    assert refused(loaded, x) == "forward: x holds NaN at [2, 1]"
    loaded.state["w"] = np.array([1, 2, np.nan], np.float32)
    assert refused(loaded, np.ones((4, 3), np.float32)) == "forward: w holds NaN at [2]"


def saved_step(path: Path) -> None:
    model = Root()
    opt = optim.Adam(model.parameters(), lr=0.1)

    def step(x: ig.Tensor) -> Any:
        opt.zero_grad()
        loss = model(x)
        loss.backward()
        opt.step()
        return loss

    ig.Program().trace("step", step, ig.spec(("n", 3))).save(path)


def test_a_saved_training_step_names_the_line_it_differentiates(tmp_path: Path) -> None:
    saved_step(tmp_path / "m.ig")
    model = ig.load(tmp_path / "m.ig", check_nan=True)
    before = model.state_dict()
    x = np.ones((2, 3), np.float32)
    text = refused(model.step, x)
    assert "gradient of" in text and "in Root" in text
    assert_line(text, "root")
    after = model.state_dict()
    assert all(v.tobytes() == after[k].tobytes() for k, v in before.items())
    model.state["w"] = np.array([1, 2, 3], np.float32)
    plain = ig.load(tmp_path / "m.ig")
    plain.state["w"] = np.array([1, 2, 3], np.float32)
    assert model.step(x) == plain.step(x)
    for name, value in plain.state_dict().items():
        assert value.tobytes() == model.state_dict()[name].tobytes(), name


def test_jitted_derivatives() -> None:
    model = Root()
    loss = ig.jit(model, check_nan=True)(ig.ones(2, 3))
    text = refused(loss.backward)
    assert_line(text, "root")
    assert "gradient of" in text and model.w.grad is None


@pytest.mark.parametrize("reverse", [False, True])
def test_in_a_loop_the_round(reverse: bool) -> None:
    def looped(x: ig.Tensor) -> Any:
        def body(carry: ig.Tensor, part: ig.Tensor) -> Any:
            return (carry - part).sqrt(), carry * 2  # carry

        return ig.scan(body, ig.full((2,), 2.0), x, reverse=reverse)[1]

    text = refused(ig.jit(looped, check_nan=True), ig.ones(5, 2))
    assert_line(text, "carry")
    assert "sqrt: f32[2]: NaN at [0], [1] from -1.0" in text
    assert "in round 2 of the scan" in text  # the third of five, from either side
    text = refused(ig.jit(looped, check_nan=True), ig.ones(4, 2))
    assert f"in round {1 if reverse else 2} of the scan" in text


def test_what_is_masked_away_and_what_is_infinite_is_no_error() -> None:
    def masked(x: ig.Tensor) -> Any:
        return ig.where(x > 0, x.log(), 0.0) + (1 / (x * 0)).abs().clamp(max=1)

    x = ig.tensor([1.0, -1.0])
    assert ig.jit(masked, check_nan=True)(x).tolist() == [1.0, 1.0]


def test_the_origin_is_found_behind_many_others() -> None:
    def chain(x: ig.Tensor) -> Any:
        good = ig.where(x > 0, x.log(), 0.0)
        bad = ((x - x) / (x - x)).reshape(2, 1).expand(2, 3)  # origin
        return F.softmax((good.unsqueeze(1) + bad).T.contiguous() * 2, -1).sum()

    text = refused(ig.jit(chain, check_nan=True), ig.tensor([1.0, -1.0]))
    assert_line(text, "origin")
    assert "div" in text and "from 0.0 and 0.0" in text


def test_training_without_nan_raises_nothing_and_has_the_same_bits() -> None:
    def trained(check_nan: bool) -> list[Any]:
        ig.manual_seed(1)
        model = nn.Sequential(nn.Linear(4, 8), nn.LayerNorm(8), nn.GELU(), nn.Dropout(0.2))
        head = nn.Linear(8, 3)
        opt = optim.AdamW([*model.parameters(), *head.parameters()], lr=1e-2)

        def step(x: ig.Tensor, t: ig.Tensor) -> Any:
            opt.zero_grad()
            loss = F.cross_entropy(head(model(x)), t)
            loss.backward()
            opt.step()
            return loss

        fast = ig.jit(step, check_nan=check_nan)
        x, t = ig.randn(6, 4), ig.randint(0, 3, (6,))
        losses = [fast(x, t).item() for _ in range(4)]
        return [*losses, *(p.detach().numpy().tobytes() for p in model.parameters())]

    assert trained(True) == trained(False)


def test_it_is_a_floating_point_error_and_refuses_other_devices(tmp_path: Path) -> None:
    assert issubclass(ig.NaNError, FloatingPointError) and issubclass(ig.NaNError, ig.Error)
    saved_step(tmp_path / "m.ig")
    with pytest.raises(ig.DeviceError, match="check_nan"):
        ig.load(tmp_path / "m.ig", device="cuda", check_nan=True)


# ------------------------------------------------------------------------------------------ eagerly


def test_eager_ops() -> None:
    x = ig.tensor([1.0, -1.0])
    with ig.autograd.detect_anomaly():
        assert ig.autograd.is_anomaly_enabled()
        text = refused(lambda: x.sqrt())  # eager
        assert text.startswith("sqrt: f32[2]: NaN at [1] from -1.0 (")
        assert_line(text, "eager")
        assert "softmax" in refused(lambda: F.softmax(x / 0, -1))
        inside = ig.jit(lambda x: x.sqrt())
        assert "NaN at [1]" in refused(inside, x)
        assert (x / 0).isinf().all().item()
    assert not ig.autograd.is_anomaly_enabled()
    assert np.isnan(x.sqrt().numpy()[1]) and np.isnan(inside(x).numpy()[1])


def test_eager_derivatives_name_the_forward_line() -> None:
    model = Root()
    loss = model(ig.ones(3))
    with ig.autograd.detect_anomaly():
        text = refused(loss.backward)
        assert text.startswith("gradient of sqrt: ") and "in Root" in text
        assert_line(text, "root")
        opt = optim.SGD([w := nn.Parameter(ig.ones(2))], lr=0.1)
        for _ in range(4):
            opt.zero_grad()
            w.pow(2.0).sum().backward()
            opt.step()
        assert (w < 1).all().item()


def test_switches_and_threads() -> None:
    ig.autograd.set_detect_anomaly(True)
    try:
        refused(lambda: ig.tensor(-1.0).log())
        found: list[bool] = []
        thread = threading.Thread(
            target=lambda: found.append(bool(ig.tensor(-1.0).log().isnan().item()))
        )
        thread.start()
        thread.join()
        assert found == [True]
        with ig.autograd.detect_anomaly(check_nan=False):
            assert ig.tensor(-1.0).log().isnan().item()
        refused(lambda: ig.tensor(-1.0).log())
    finally:
        ig.autograd.set_detect_anomaly(False)
    assert ig.tensor(-1.0).log().isnan().item()
    with ig.autograd.set_detect_anomaly(True):
        refused(lambda: ig.tensor(-1.0).log())
    assert ig.tensor(-1.0).log().isnan().item()


def test_looking_for_nan_sees_through_repeats() -> None:
    wide = np.broadcast_to(np.float32(np.nan), (1 << 20, 1 << 12))  # 16 GiB if it were copied
    assert checked.holds_nan(wide)
    assert not checked.holds_nan(np.zeros((0, 3), np.float32))
    assert not checked.holds_nan(np.array([1, 2]))


# ---------------------------------------------------------------------------------- running eagerly


def test_disable_and_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    runs = itertools.count()

    def noted(x: ig.Tensor) -> ig.Tensor:
        next(runs)
        return x + 1

    def calls() -> int:
        return int(repr(runs)[6:-1])

    x = ig.ones(2)
    eager, fast = ig.jit(noted, disable=True), ig.jit(noted)
    for _ in range(3):
        eager(x)
    assert calls() == 3 and eager.compilations == 0
    for _ in range(3):
        fast(x)
    assert calls() == 4 and fast.compilations == 1
    monkeypatch.setenv("INTAGLIO_EAGER", "1")
    fast(x)
    assert calls() == 5
    monkeypatch.delenv("INTAGLIO_EAGER")
    fast(x)
    assert calls() == 5
