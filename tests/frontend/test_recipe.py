"""The usual program: what its functions are called with, what they do, and a fresh start."""

import logging
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import intaglio as ig
import intaglio.nn.functional as F
from intaglio import nn, optim
from intaglio.optim import lr_scheduler, swa_utils
from intaglio.runtime import load

N = ig.Dim("n", min=2, max=64)


class Net(nn.Module):
    """Layers with parameters, statistics, dropout and a count of its own."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.norm = nn.Linear(4, 8), nn.BatchNorm1d(8)
        self.drop, self.last = nn.Dropout(0.3), nn.Linear(8, 3)
        self.register_buffer("calls", ig.full((), 7.0))

    def forward(self, x: ig.Tensor) -> Any:
        if self.training:
            self.calls.add_(1.0)
        return self.last(self.drop(ig.relu(self.norm(self.first(x)))))


class Two(nn.Module):
    """Two inputs, two results."""

    def __init__(self) -> None:
        super().__init__()
        self.a, self.b = nn.Linear(3, 2), nn.Linear(2, 2)

    def forward(self, left: ig.Tensor, right: ig.Tensor) -> Any:
        return self.a(left), self.b(right)


def accuracy(y: ig.Tensor, t: ig.Tensor) -> ig.Tensor:
    return (y.argmax(1) == t).float().mean()


def classifier(model: nn.Module, **options: Any) -> ig.Program:
    chosen = {"optim": optim.AdamW(model.parameters(), lr=0.01)} | options
    return ig.program(
        model, inputs=ig.spec((N, 4)), targets=ig.spec((N,), ig.int64), loss=F.cross_entropy,
        metrics={"accuracy": accuracy}, **chosen,
    )  # fmt: skip


def bytes_of(model: nn.Module) -> dict[str, bytes]:
    return {name: value.numpy().tobytes() for name, value in model.state_dict().items()}


def batch(rows: int = 8) -> tuple[ig.Tensor, ig.Tensor]:
    ig.manual_seed(1)
    return ig.randn(rows, 4), ig.randint(0, 3, (rows,))


def test_a_step_is_that_of_the_usual_loop(tmp_path: Path) -> None:
    model = Net()
    begun = bytes_of(model)
    program = classifier(model, clip_grad_norm=0.5, train_metrics=True)
    assert list(program.functions) == ["forward", "eval", "train_step", "init"]
    assert [program.functions[name].parameters for name in program.functions] == [
        ("x",), ("x", "t"), ("x", "t"), (),
    ]  # fmt: skip
    x, t = batch()
    twin = Net()
    twin.load_state_dict(model.state_dict())
    ig.manual_seed(5)
    program.save(tmp_path / "model.ig")
    loaded = load(tmp_path / "model.ig")
    trained = optim.AdamW(twin.parameters(), lr=0.01)
    for _ in range(2):
        found = loaded.train_step(x.numpy(), t.numpy())
        trained.zero_grad()
        y = twin(x)
        loss = F.cross_entropy(y, t)
        loss.backward()
        nn.utils.clip_grad_norm_(twin.parameters(), 0.5)
        trained.step()
    assert found == {"loss": loss.item(), "accuracy": accuracy(y, t).item()}
    state = loaded.state_dict()
    assert {n: state[n].tobytes() for n in begun} == bytes_of(twin)
    assert loaded.state["calls"] == 9 == twin.calls.item()
    assert bytes_of(model) == begun, "a file's model is not the module"
    loaded.init()
    assert loaded.state["calls"] == 7 and loaded.state["optim.step"] == 0
    assert not loaded.state["optim.state.0.exp_avg"].any()


def test_init_draws_what_the_constructor_drew() -> None:
    ig.manual_seed(3)
    model = nn.Sequential(
        Net(), nn.Sequential(nn.Linear(3, 5), nn.LayerNorm(5)), nn.PReLU(), nn.Linear(5, 3)
    )
    begun = bytes_of(model)
    program = classifier(model)
    for _ in range(2):
        program.train_step(*batch())
    assert bytes_of(model) != begun
    ig.manual_seed(3)
    program.init()
    assert bytes_of(model) == begun
    ig.manual_seed(4)
    program.init()
    assert bytes_of(model) != begun


def test_what_no_reset_reaches_is_told(caplog: pytest.LogCaptureFixture) -> None:
    class Own(Net):
        def __init__(self) -> None:
            super().__init__()
            self.shift = nn.Parameter(ig.zeros(3))

        def forward(self, x: ig.Tensor) -> Any:
            return super().forward(x) + self.shift

    with caplog.at_level(logging.WARNING, "intaglio"):
        program = classifier(Own())
    assert "init" not in program.functions
    assert "shift" in caplog.text and "init=" in caplog.text
    with pytest.raises(ig.ArgumentError, match="leaves parameters as they are: shift"):
        classifier(Own(), init=lambda model: None)
    model = Own()
    program = classifier(model, init=lambda m: nn.init.constant_(m.shift, 2.0))
    program.init()
    assert model.shift.tolist() == [2.0, 2.0, 2.0]
    frozen = Own()
    frozen.shift.requires_grad_(False)
    frozen.first.requires_grad_(False)
    kept = bytes_of(frozen)
    classifier(
        frozen, optim=optim.SGD([p for p in frozen.parameters() if p.requires_grad], lr=0.1)
    ).init()
    now = bytes_of(frozen)
    assert [name for name in kept if now[name] != kept[name]] == ["last.weight", "last.bias"]


def test_a_loss_with_parameters_is_trained_and_reset() -> None:
    class Scaled(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.head = nn.Linear(3, 3)

        def forward(self, y: ig.Tensor, t: ig.Tensor) -> Any:
            return F.cross_entropy(self.head(y), t)

    ig.manual_seed(0)
    model, loss = nn.Linear(4, 3), Scaled()
    begun = bytes_of(loss)
    both = [*model.parameters(), *loss.parameters()]
    program = ig.program(
        model, inputs=ig.spec((N, 4)), targets=ig.spec((N,), ig.int64), loss=loss,
        optim=optim.SGD(both, lr=0.1),
    )  # fmt: skip
    assert {"weight", "loss.head.weight"} <= set(program.ir.state)
    program.train_step(*batch())
    assert bytes_of(loss) != begun
    ig.manual_seed(0)
    program.init()
    assert bytes_of(loss) == begun


def test_several_inputs_and_targets(tmp_path: Path) -> None:
    model = Two()
    options: dict[str, Any] = {
        "loss": lambda y, s, t: F.mse_loss(y[0], s) + F.mse_loss(y[1], t),
        "optim": optim.SGD(model.parameters(), lr=0.1),
    }
    both = ig.spec((N, 3)), ig.spec((N, 2))
    program = ig.program(model, inputs=both, targets=(both[1], both[1]), **options)
    assert program.functions["forward"].parameters == ("left", "right")
    assert program.functions["train_step"].parameters == ("left", "right", "t0", "t1")
    named = ig.program(
        model, inputs={"right": both[1], "left": both[0]}, targets={"s": both[1], "u": both[1]},
        **options,
    )  # fmt: skip
    renamed = ig.program(
        model, inputs={"name": both[0], "function": both[1]}, targets=[both[1], both[1]], **options
    )
    assert named.functions["eval"].parameters == ("right", "left", "s", "u")
    assert renamed.functions["eval"].parameters == ("name", "function", "t0", "t1")
    renamed.save(tmp_path / "two.ig")
    loaded = load(tmp_path / "two.ig")
    left, right = ig.ones(4, 3), ig.ones(4, 2)
    expected = [y.detach().numpy() for y in model(left, right)]
    for found in (program(left, right), named(right, left)):
        for a, b in zip(found, expected, strict=True):
            np.testing.assert_array_equal(a.numpy(), b)
    for a, b in zip(loaded(left.numpy(), right.numpy()), expected, strict=True):
        np.testing.assert_array_equal(a, b)
    first = program.train_step(left, right, right, right)["loss"].item()
    assert named.train_step(right, left, right, right)["loss"].item() < first


def test_a_loss_without_targets() -> None:
    model = nn.Linear(3, 3)
    program = ig.program(
        model, inputs={"x": ig.spec((N, 3))}, targets=(), loss=lambda y: (y * y).mean(),
        optim=optim.SGD(model.parameters(), lr=0.1),
    )  # fmt: skip
    x = ig.ones(4, 3)
    before = program.eval(x)["loss"].item()
    program.train_step(x)
    assert program.eval(x)["loss"].item() < before


def test_what_does_not_go_together() -> None:
    model, x, t = Net(), ig.spec((N, 4)), ig.spec((N,), ig.int64)
    made = optim.SGD(model.parameters(), lr=0.1)
    for options, told in (
        ({"optim": made}, "need a loss"),
        ({"loss": F.cross_entropy}, "needs targets"),
        ({"loss": F.cross_entropy, "targets": t, "clip_grad_norm": 1.0}, "needs optim"),
        ({"loss": F.cross_entropy, "targets": t, "init": print}, "needs optim"),
        ({"loss": F.cross_entropy, "targets": t, "optim": made, "clip_grad_norm": 0}, "above 0"),
        ({"loss": F.cross_entropy, "targets": t, "optim": made, "schedule": "day"}, "'epoch'"),
        ({"loss": F.cross_entropy, "targets": {"x": t}}, "an input and of a target"),
        ({"loss": F.cross_entropy, "targets": {"a b": t}}, "no name of a parameter"),
        ({"loss": F.cross_entropy, "targets": t, "metrics": {"loss": accuracy}}, "can't be called"),
    ):
        with pytest.raises(ig.ArgumentError, match=told):
            ig.program(model, inputs=x, **options)
    assert model.training


def test_a_schedule_by_epochs_or_steps_and_its_start() -> None:
    x, t = batch()
    for schedule in ("epoch", "step"):
        model = nn.Linear(4, 3)
        made = optim.SGD(model.parameters(), lr=1.0)
        program = classifier(
            model, optim=made, scheduler=lr_scheduler.StepLR(made, 2, gamma=0.5), schedule=schedule
        )
        assert ("schedule" in program.functions) == (schedule == "epoch")
        rates = []
        for _ in range(5):
            rates.append(made.param_groups[0]["lr"])
            program.train_step(x, t)
            if schedule == "epoch":
                program.schedule()
        assert rates == [1.0, 1.0, 0.5, 0.5, 0.25]
        program.init()
        assert made.param_groups[0]["lr"] == 1.0
        assert program.state["schedule.last_epoch"] == 0


def test_a_schedule_that_looks_at_a_metric() -> None:
    x, t = batch()
    model = nn.Linear(4, 3)
    made = optim.SGD(model.parameters(), lr=1.0)
    watching = lr_scheduler.ReduceLROnPlateau(made, patience=0, factor=0.5)
    program = classifier(model, optim=made, scheduler=watching)
    assert program.functions["schedule"].parameters == ("metric",)
    for metric in (3.0, 2.0, 2.0, 1.0, 1.5):
        program.schedule(np.float64(metric))
    assert made.param_groups[0]["lr"] == 0.25
    by_loss = classifier(model, optim=made, scheduler=watching, schedule="step")
    program.init()
    assert made.param_groups[0]["lr"] == 1.0
    made.param_groups[0]["lr"] = 0.0
    for _ in range(3):
        by_loss.train_step(x, t)
    assert watching.num_bad_epochs == 0 and watching.best == by_loss.train_step(x, t)["loss"].item()


def test_an_average_is_what_is_served(tmp_path: Path) -> None:
    ig.manual_seed(2)
    model = Net()
    begun = bytes_of(model)
    ema = swa_utils.AveragedModel(model, avg_fn=swa_utils.get_ema_avg_fn(0.5))
    program = classifier(model, optim=optim.SGD(model.parameters(), lr=0.5), ema=ema)
    names = set(program.ir.state)
    assert {"first.weight", "ema.module.first.weight", "ema.n_averaged"} <= names
    x, t = batch()
    expected = None
    for _ in range(3):
        program.train_step(x, t)
        now = model.last.weight.detach().numpy().copy()
        expected = now if expected is None else expected * 0.5 + now * 0.5
    np.testing.assert_array_equal(ema.module.last.weight.detach().numpy(), expected)
    ema.eval()
    np.testing.assert_array_equal(program(x).numpy(), ema(x).detach().numpy())
    program.save(tmp_path / "model.ig")
    loaded = load(tmp_path / "model.ig")
    assert loaded.eval(x.numpy(), t.numpy())["loss"] == program.eval(x, t)["loss"].item()
    ig.manual_seed(2)
    program.init()
    assert bytes_of(model) == begun == bytes_of(ema.module)
    assert ema.n_averaged.item() == 0
