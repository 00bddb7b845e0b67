"""`compare` names the first op at which two versions of a model differ, and says when none does."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import intaglio as ig
import intaglio.nn.functional as F
from intaglio import nn, optim


def net() -> nn.Module:
    ig.manual_seed(0)
    return nn.Sequential(nn.Linear(4, 8), nn.LayerNorm(8), nn.GELU(), nn.Linear(8, 3))


def training(model: nn.Module) -> Callable[..., Any]:
    opt = optim.Adam(model.parameters(), lr=1e-2)

    def step(x: ig.Tensor, t: ig.Tensor) -> dict[str, ig.Tensor]:
        opt.zero_grad()
        loss = F.cross_entropy(F.dropout(model(x)), t)
        loss.backward()
        opt.step()
        return {"loss": loss}

    return step


def test_equal_bits_are_said_to_be_equal(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    model, x = net(), ig.randn(5, 4)
    program = ig.trace(model, ig.spec(("n", 4)))
    program.save(tmp_path / "m.ig")
    loaded = ig.load(tmp_path / "m.ig")
    others = (model, ig.jit(model), program, loaded, loaded.forward)
    for other in others:
        found = ig.compare(model, other, x)
        assert capsys.readouterr().out == f"{found}\n"
        assert found.same_bits and found.within and found.first is None and not found.unmatched
        assert str(found) == f"equal bits in {len(found.ops)} ops and 1 results"
        assert len(found.ops) > 8 and len(found.compiled) == 1


def test_the_first_op_that_differs_and_its_line(tmp_path: Path) -> None:
    model, x = net(), ig.randn(5, 4)
    ig.trace(model, x).save(tmp_path / "m.ig")
    loaded = ig.load(tmp_path / "m.ig")
    loaded.state["3.bias"] = loaded.state["3.bias"] + np.float32([0, 0.5, 0])
    found = ig.compare(model, loaded, x, show=False)
    assert found.first is not None and found.first.op == "expand"  # the bias
    assert found.first.position[1] == 1 and abs(found.first.absolute - 0.5) < 1e-6
    assert "Sequential.3" in found.first.where and "test_compare.py:" in found.first.where
    assert not found.within and not found.same_bits
    assert {d.op for d in found.worst()} == {"expand", "add"}
    text = str(found)
    assert text.startswith(f"the first of {len(found.ops)} ops that differs: expand: f32[5,3] (")
    assert "result: f32[5,3]: 0.5 apart" in text
    loose = ig.compare(model, loaded, x, atol=1.0, show=False)
    assert loose.within and loose.first is None and loose.first_bits is not None
    assert "within tolerance; the first with other bits: expand" in str(loose)


def test_training_steps_with_derivatives_and_random_draws(tmp_path: Path) -> None:
    model, x, t = net(), ig.randn(5, 4), ig.tensor([0, 1, 2, 0, 1])
    step = training(model)
    step(x, t)
    ig.Program().trace("step", step, x, t).save(tmp_path / "m.ig")
    loaded = ig.load(tmp_path / "m.ig")
    before = loaded.state_dict()
    found = ig.compare(step, loaded.step, (x, t), show=False)
    assert found.same_bits, found
    assert sum(d.where.startswith("gradient of") for d in found.ops) > 20
    assert all(v.tobytes() == before[k].tobytes() for k, v in loaded.state_dict().items())
    found = ig.compare(step, ig.jit(step), (x, t), show=False)
    assert found.same_bits, found
    apart = ig.compare(step, loaded.step, (x, t), show=False)  # the eager one has moved on
    assert apart.first is not None and not apart.within


def test_two_files_and_another_version_of_the_source(tmp_path: Path) -> None:
    model, x = net(), ig.randn(5, 4)
    ig.trace(model, x).save(tmp_path / "a.ig")
    with ig.no_grad():
        for p in model.parameters():
            p += 1e-9
    ig.trace(model, x).save(tmp_path / "b.ig")  # from another line
    one, two = ig.load(tmp_path / "a.ig"), ig.load(tmp_path / "b.ig")
    assert ig.compare(one, one, x, show=False).same_bits
    found = ig.compare(one, two, x, show=False)
    assert not found.unmatched and found.first is None and found.within
    assert found.first_bits is not None and found.first_bits.other


def test_an_op_more_on_one_side() -> None:
    model, x = net(), ig.randn(5, 4)

    def more(x: ig.Tensor) -> Any:
        return model(x * 2) / 2

    found = ig.compare(model, more, x, show=False)
    assert any(text.startswith("mul") for text in found.unmatched)
    assert "on one side only:" in str(found) and not found.within


def test_nan_is_equal_to_nan_and_infinitely_far_from_numbers() -> None:
    from intaglio.runtime.comparison import difference

    a, b = np.array([np.nan, 1.0, np.inf]), np.array([np.nan, 1.0 + 1e-12, np.inf])
    found = difference("x", "", "", a, b, 1e-5, 0.0)
    assert found.within and not found.same_bits and found.position == (1,)
    assert not difference("x", "", "", a, np.array([0.0, 1.0, np.inf]), 1e-5, 0.0).within
    assert not difference("x", "", "", a, a.astype(np.float32), 1e-5, 0.0).within
    whole = difference("x", "", "", np.array([True, False]), np.array([True, True]), 0.0, 0.5)
    assert whole.absolute == 1.0 and not whole.within


def test_refusals() -> None:
    with pytest.raises(ig.ArgumentError, match="compare: int can't be"):
        ig.compare(net(), 3, ig.ones(1, 4))
    with pytest.raises(ig.ArgumentError, match="compare: int can't be"):
        ig.compare(3, net(), ig.ones(1, 4))
    with pytest.raises(ig.ArgumentError, match="1 results, the other 2"):
        ig.compare(lambda x: x + 1, lambda x: (x + 1, x), ig.ones(1, 4))
