"""Checkpoints: every kind of value, all objects or none, and runs that are killed go on exactly."""

import math
import random
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest

import intaglio as ig
from intaglio import nn, optim
from intaglio.runtime import checkpoints
from intaglio.runtime.checkpoints import decoded, outline
from intaglio.runtime.datasets import DataError
from intaglio.runtime.file import limits, read
from tests.frontend.checkpoint_training import Run, check_kills
from tests.tools.commands import here


def net(width: int = 4) -> nn.Module:
    return nn.Sequential(nn.Linear(3, width), nn.BatchNorm1d(width), nn.Dropout(0.5))


def trained(model: nn.Module, optimizer: Any, steps: int = 2) -> list[float]:
    losses = []
    for _ in range(steps):
        optimizer.zero_grad()
        loss = model(ig.randn(5, 3)).square().sum()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    return losses


VALUES: dict[str, Any] = {
    "epoch": 3, "best": 0.1 + 0.2, "none": None, "yes": True, "text": 'a "b" \n\u00e9',
    "minus": -0.0,
    "infinite": -math.inf, "large": 1 << 90, "least": -(1 << 63), "bytes": b"\x00\xff",
    "list": [1, [2.5, None], (True, "x"), ()], "numbers": list(range(100)),
    "floats": [k / 7 for k in range(50)], "nested": {"a": {"b": {}}, "c": []},
    "keys": {1: "x", "$a": 2, None: 3, 2.5: 4}, "marks": {"$tensor": "no"}, "set": {1, "b"},
    "dtype": ig.bfloat16, "frozen": {"x": frozenset({1, 2})}, "long": "\ud800\u00e9" * 70_000,
    "data": bytes(range(256)) * 300, "": {"": {"": 1}, "\ud800": 2, "a.b": [], "$": "\0"},
}  # fmt: skip


def test_plain_values_come_back_as_they_were(tmp_path: Path) -> None:
    ig.save_checkpoint(tmp_path / "c.ig", **VALUES)
    made = ig.load_checkpoint(tmp_path / "c.ig")
    assert made == VALUES
    assert list(made) == list(VALUES)
    assert {k: type(v) for k, v in made.items()} == {k: type(v) for k, v in VALUES.items()}
    assert math.copysign(1, made["minus"]) == -1
    assert type(made["list"][2]) is tuple
    first = (tmp_path / "c.ig").read_bytes()
    ig.save_checkpoint(tmp_path / "c.ig", **made)
    assert (tmp_path / "c.ig").read_bytes() == first


def test_tensors_and_arrays_come_back_with_their_bits(tmp_path: Path) -> None:
    values = {
        str(d): ig.tensor([[1, 0], [2, 3]]).to(d)
        for d in (ig.float64, ig.bfloat16, ig.int8, ig.bool)
    }
    nan = np.array([np.nan, -0.0], np.float32)
    ig.save_checkpoint(
        tmp_path / "c.ig", t=values, view=ig.arange(6).reshape(2, 3).mT, nan=nan,
        empty=ig.zeros(0, 3), number=np.float32(2.5), scalar=ig.tensor(7),
    )  # fmt: skip
    made = ig.load_checkpoint(tmp_path / "c.ig")
    for name, tensor in values.items():
        assert made["t"][name].dtype is tensor.dtype
        assert bool((made["t"][name] == tensor).all())
    assert made["view"].tolist() == [[0, 3], [1, 4], [2, 5]]
    assert made["nan"].tobytes() == nan.tobytes()
    assert made["nan"].flags.writeable
    assert tuple(made["empty"].shape) == (0, 3)
    assert (made["number"], type(made["number"])) == (2.5, np.float32)
    made["scalar"].add_(1)
    assert made["scalar"].item() == 8


def test_names_may_be_anything(tmp_path: Path) -> None:
    names = [
        "",
        ".",
        "a.b",
        "~",
        "/../x",
        "\ud800",
        "\0\n\x1b[2J",
        "$tensor",
        "k" * 70_000,
        "k" * 70_001,
    ]
    parts = {name: {other: ig.tensor([i, k]) for k, other in enumerate(names)}
             for i, name in enumerate(names)}  # fmt: skip
    parts["a"] = {"b": {"": ig.tensor([7])}, "shape": ig.zeros(2, 3).shape}
    ig.save_checkpoint(tmp_path / "c.ig", **parts)
    made = ig.load_checkpoint(tmp_path / "c.ig")
    assert made["a"]["shape"] == (2, 3)
    for i, name in enumerate(names):
        assert [made[name][n].tolist() for n in names] == [[i, k] for k in range(len(names))]
    assert here("info", tmp_path / "c.ig").code == 0


def test_what_would_come_back_as_something_else_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Pair(NamedTuple):
        a: int

    endless: list[Any] = []
    endless.append(endless)
    for value, told in (
        (Pair(1), "a is a .*Pair, which would come back as a plain value"),
        (np.ma.zeros(2), "a is a masked array"),
        (endless, "nests too deep, or holds itself"),
        ([str(k) * 9 for k in range(100)], "more than the 2000 that a checkpoint holds"),
        ([ig.zeros(1)] * 40, "41 arrays and lists of numbers are more than the 40"),
    ):
        monkeypatch.setattr(checkpoints, "TEXTS", 2000)
        monkeypatch.setitem(limits.TABLES, "state", 40)
        with pytest.raises(DataError, match=told):
            ig.save_checkpoint(tmp_path / "c.ig", a=value)
    assert not list(tmp_path.iterdir())


def test_objects_go_on_from_where_they_were(tmp_path: Path) -> None:
    ig.manual_seed(1)
    model, path = net(), tmp_path / "c.ig"
    optimizer = optim.Adam(model.parameters(), lr=0.01)
    numpy, own = np.random.default_rng(3), ig.Generator().manual_seed(4)
    trained(model, optimizer)
    parts = {
        "model": model, "optimizer": optimizer, "numpy": numpy, "own": own, "python": random,
        "legacy": np.random, "again": [own, {"x": numpy}],
    }  # fmt: skip
    ig.save_checkpoint(path, epoch=1, **parts)

    def on() -> list[Any]:
        drawn = [numpy.random(), random.random(), np.random.rand(), own.get_state().tolist()]
        ig.randn(2, generator=own)
        return [*drawn, *trained(model, optimizer, 3), ig.rand(1).item()]

    expected = on()
    assert ig.load_checkpoint(path, **parts) == {"epoch": 1}
    assert on() == expected
    fresh = net()
    other = optim.Adam(fresh.parameters())
    ig.load_checkpoint(path, **(parts | {"model": fresh, "optimizer": other}))
    model, optimizer = fresh, other
    assert on() == expected


def test_compiled_steps_see_what_is_loaded(tmp_path: Path) -> None:
    model = net()
    optimizer = optim.SGD(model.parameters(), lr=0.1, momentum=0.9)

    def step(x: ig.Tensor) -> ig.Tensor:
        optimizer.zero_grad()
        loss = model(x).square().sum()
        loss.backward()
        optimizer.step()
        return loss

    fast, x = ig.jit(step), ig.randn(5, 3)
    fast(x)
    ig.save_checkpoint(tmp_path / "c.ig", model=model, optimizer=optimizer)
    expected = [fast(x).item() for _ in range(3)]
    ig.load_checkpoint(tmp_path / "c.ig", model=model, optimizer=optimizer)
    assert [fast(x).item() for _ in range(3)] == expected
    ig.load_checkpoint(tmp_path / "c.ig", model=model, optimizer=optimizer)
    assert [step(x).item() for _ in range(3)] == expected


def schedules(optimizer: Any) -> Any:
    scheduler = optim.lr_scheduler
    first, then = (
        scheduler.LinearLR(optimizer, total_iters=2),
        scheduler.MultiStepLR(optimizer, [1, 3]),
    )
    return scheduler.SequentialLR(optimizer, [first, then], milestones=[2])


def test_schedules_and_averages_go_on(tmp_path: Path) -> None:
    def run(parts: dict[str, Any], steps: int) -> list[Any]:
        model, optimizer = parts["model"], parts["optimizer"]
        found: list[Any] = []
        for _ in range(steps):
            x = ig.randn(5, 3)

            def loss(x: ig.Tensor = x) -> ig.Tensor:
                optimizer.zero_grad()
                made = model(x).square().sum()
                made.backward()
                return made

            now = optimizer.step(loss).item()
            parts["schedule"].step()
            parts["plateau"].step(now)
            parts["average"].update_parameters(model)
            found += [now, optimizer.param_groups[0]["lr"]]
        return [*found, bits(parts["average"])]

    def fresh() -> dict[str, Any]:
        model = nn.Linear(3, 4)
        optimizer = optim.NAdam(model.parameters(), lr=0.01)
        return {
            "model": model, "optimizer": optimizer, "schedule": schedules(optimizer),
            "plateau": optim.lr_scheduler.ReduceLROnPlateau(optimizer, patience=0),
            "average": optim.swa_utils.AveragedModel(model),
        }  # fmt: skip

    parts = fresh()
    run(parts, 3)
    ig.save_checkpoint(tmp_path / "c.ig", **parts)
    expected = run(parts, 3)
    parts = fresh()
    ig.load_checkpoint(tmp_path / "c.ig", **parts)
    assert run(parts, 3) == expected


def test_the_default_stream_may_be_left_alone(tmp_path: Path) -> None:
    ig.manual_seed(5)
    ig.save_checkpoint(tmp_path / "c.ig", epoch=1)
    first = ig.rand(1).item()
    second = ig.rand(1).item()
    ig.load_checkpoint(tmp_path / "c.ig")
    assert ig.rand(1).item() == first
    ig.load_checkpoint(tmp_path / "c.ig", rng=False)
    assert ig.rand(1).item() == second
    ig.save_checkpoint(tmp_path / "c.ig", rng=False, epoch=1)
    assert ig.load_checkpoint(tmp_path / "c.ig") == {"epoch": 1}


class Refusing:
    """Takes no state, at the end of a load."""

    def state_dict(self) -> dict[str, Any]:
        return {"a": 1}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        if state["a"] == 2:
            raise ValueError("it does not fit")


def bits(*values: Any) -> bytes:
    return b"".join(
        t.numpy().tobytes() for v in values for t in v.state_dict().values() if hasattr(t, "numpy")
    )


def test_nothing_is_changed_when_one_object_refuses(tmp_path: Path) -> None:
    model, path = net(), tmp_path / "c.ig"
    optimizer = optim.Adam(model.parameters(), lr=0.01)
    trained(model, optimizer)
    saved = Refusing()
    saved.state_dict = lambda: {"a": 2}  # type: ignore[method-assign]  # what the file will hold
    parts = {"model": model, "optimizer": optimizer}
    ig.save_checkpoint(path, **parts, last=saved)
    trained(model, optimizer)
    before, moments = bits(model), optimizer.state_dict()["state"]
    kept = {k: {n: np.array(t.numpy()) for n, t in m.items()} for k, m in moments.items()}
    stream = ig.get_rng_state().tolist()
    with pytest.raises(ig.CheckpointError, match=r"last: it does not fit"):
        ig.load_checkpoint(path, **parts, last=Refusing())
    assert bits(model) == before
    assert ig.get_rng_state().tolist() == stream
    for k, values in optimizer.state_dict()["state"].items():
        for name, tensor in values.items():
            assert np.array_equal(tensor.numpy(), kept[k][name]), name


def test_one_that_refuses_twice_does_not_keep_others_from_their_state(tmp_path: Path) -> None:
    class Refusing:
        fails_to = ""

        def state_dict(self) -> dict[str, int]:
            if self.fails_to == "give":
                raise ValueError("nothing to give")
            return {"x": 1}

        def load_state_dict(self, state: dict[str, int]) -> None:
            if self.fails_to == "take":
                raise ValueError("nothing is taken")

    model, refusing = nn.Linear(2, 2), Refusing()
    ig.save_checkpoint(tmp_path / "c.ig", model=model, other=refusing)
    with ig.no_grad():
        model.weight.fill_(7.0)
    for refusing.fails_to in ("give", "take"):
        before = ig.get_rng_state().tolist()
        with pytest.raises(ig.CheckpointError, match=f"other: nothing .*{refusing.fails_to[:3]}"):
            ig.load_checkpoint(tmp_path / "c.ig", model=model, other=refusing)
        assert (model.weight.detach().numpy() == 7.0).all()
        assert ig.get_rng_state().tolist() == before


def test_what_does_not_fit_is_named(tmp_path: Path) -> None:
    path = tmp_path / "c.ig"
    model = net()
    optimizer = optim.Adam(model.parameters())
    trained(model, optimizer)
    ig.save_checkpoint(path, model=model, optimizer=optimizer, epoch=3, pair=[model])

    def refused(said: str, **parts: Any) -> None:
        with pytest.raises(ig.Error, match=said):
            ig.load_checkpoint(path, **parts)

    wide = net(5)
    refused(r"model\.0\.weight has the shape \(4, 3\), and \(5, 3\) is wanted", model=wide)
    refused(
        r"model\.weight is missing; model\.0\.weight is unknown", model=nn.Linear(3, 4, bias=False)
    )
    refused(r"optimizer.*exp_avg.* has the shape", optimizer=optim.Adam(wide.parameters()))
    refused(r"has no 'net'; it has 'model', 'optimizer', 'epoch'", net=model)
    refused(r"a int takes no state", epoch=4)
    refused(r"pair: \['0'\] in the checkpoint, and \['0', '1'\] given", pair=[model, model])
    with pytest.raises(DataError, match=r"extra.call is a function.*state_dict"):
        ig.save_checkpoint(path, model=model, extra={"call": refused})
    with pytest.raises(DataError, match=r"z: .*complex64 has no counterpart"):
        ig.save_checkpoint(path, z=np.zeros(2, np.complex64))
    assert ig.load_checkpoint(path)["epoch"] == 3, "the old file stayed"
    ig.trace(model.eval(), ig.zeros(2, 3)).save(tmp_path / "m.ig")
    with pytest.raises(DataError, match="is a model, and no checkpoint"):
        ig.load_checkpoint(tmp_path / "m.ig")
    with pytest.raises(ig.TraceError, match="outside of the traced function"):
        ig.trace(lambda x: ig.save_checkpoint(path, x=x), ig.zeros(2))
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)
    with pytest.raises(ig.FormatError):
        ig.load_checkpoint(path)


def test_damaged_structures_are_refused(tmp_path: Path) -> None:
    ig.save_checkpoint(tmp_path / "c.ig", **VALUES, t=ig.arange(3), a=np.arange(4.0))
    found = read(tmp_path / "c.ig")
    text, dice = str(found.metadata["checkpoint"]), random.Random(3)
    refused = 0
    for _ in range(2000):
        made = list(text)
        for _ in range(dice.choice((1, 2, 6))):
            made[dice.randrange(len(made))] = dice.choice('{}[]",:$0123456789tensorarlifdc')
        changed = {"checkpoint": "".join(made)}
        outline(changed)
        try:
            decoded(found.program, found.values, changed, "c.ig")
        except ig.Error:
            refused += 1
    assert 1000 < refused < 2000
    for deep in ("[" * 100_000, '{"a":' * 100_000, '{"a":' + "[" * 900 + "]" * 900 + "}"):
        outline({"checkpoint": deep})
        with pytest.raises(ig.FormatError, match="is damaged"):
            decoded(found.program, found.values, {"checkpoint": deep}, "c.ig")


def test_weights_and_the_command_line_read_them(tmp_path: Path) -> None:
    path = tmp_path / "c.ig"
    model = net()
    optimizer = optim.Adam(model.parameters())
    trained(model, optimizer, 1)
    ig.save_checkpoint(path, model=model, optimizer=optimizer, epoch=3)
    weights = ig.load_weights(path, "model")
    assert list(weights) == list(model.state_dict())
    net().load_state_dict(weights)
    assert "optimizer.state.0.exp_avg" in ig.load_weights(path)
    with pytest.raises(DataError, match="no 'ema', but holds state_dicts: give key='model'"):
        ig.load_weights(path, "ema")
    told = here("info", path).out
    assert "checkpoint\n  model      7 arrays (0.weight, 0.bias" in told
    assert "  epoch      3\n" in told
    assert "model.0.weight" in here("weights", path).out
    assert "optimizer.state.0.exp_avg" in here("weights", path, "--all").out


def test_tied_weights_are_one_state(tmp_path: Path) -> None:
    model = nn.Sequential(nn.Linear(3, 3, bias=False), nn.Linear(3, 3, bias=False))
    model[1].weight = model[0].weight
    ig.save_checkpoint(tmp_path / "c.ig", model=model)
    assert "model.0.weight = model.1.weight" in here("info", tmp_path / "c.ig").out
    made = ig.load_weights(tmp_path / "c.ig", "model")
    assert np.shares_memory(made["0.weight"], made["1.weight"])


def test_a_killed_run_ends_with_the_weights_of_a_whole_one(tmp_path: Path) -> None:
    check_kills(tmp_path, kills=2, steps=40, workers=2)


def test_a_run_that_stops_goes_on(tmp_path: Path) -> None:
    expected = Run(0).train(tmp_path / "whole.ig", 9)
    for steps in (2, 3, 7, 9):
        made = Run(0).train(tmp_path / "parts.ig", steps)
    assert made == expected
