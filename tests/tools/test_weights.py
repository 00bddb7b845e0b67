"""weights: the list, weights from elsewhere, weights for elsewhere."""

import json
from pathlib import Path

import numpy as np
import pytest

from intaglio.runtime.file import read
from intaglio.runtime.model import load
from intaglio.runtime.weights import load_weights, save_weights
from tests.tools import programs
from tests.tools.commands import alone, here

pytest.importorskip("safetensors")


@pytest.fixture
def model(tmp_path: Path) -> Path:
    return programs.save(tmp_path / "model.ig")


def test_the_list_has_every_weight(model: Path) -> None:
    done = here("weights", model)
    assert (done.code, done.err) == (0, "")
    head, w, b, total = done.out.splitlines()
    assert head.split() == ["name", "dtype", "shape", "kind", "bytes", "sha256"]
    assert w.split()[:5] == ["w", "float32", "[5,3]", "parameter", "60"]
    assert b.split()[:5] == ["b", "float32", "[3]", "parameter", "12"]
    assert total == "2 arrays, 18 numbers, 72 bytes"
    rows = json.loads(here("weights", model, "--json", "--all").out)
    assert [r["name"] for r in rows] == list(programs.values())
    assert rows[0]["sha256"].startswith(w.split()[5])


@pytest.mark.parametrize("ending", ["safetensors", "npz"])
def test_exported_and_loaded_weights_are_the_same_bits(
    model: Path, tmp_path: Path, ending: str
) -> None:
    file, out = tmp_path / f"w.{ending}", tmp_path / "new.ig"
    done = alone("weights", model, "--export", file, folder=tmp_path)
    assert (done.code, done.out) == (0, "")
    assert done.err == f"intaglio: wrote {file}: 2 arrays\n"
    assert sorted(load_weights(file)) == ["b", "w"]
    other = {k: v + 1 for k, v in load_weights(file).items()}
    save_weights(file, other)
    done = here("weights", model, "--load", file, "--out", out)
    assert done.code == 0, done.err
    made = load(out)
    for name, value in other.items():
        assert made.state[name].tobytes() == value.tobytes()
    assert made.state["optim.lr"] == programs.values()["optim.lr"]
    assert made.metadata["data"] == "made up"
    listed = here("weights", file).out.splitlines()
    assert sorted(line.split()[0] for line in listed[1:-1]) == ["b", "w"]


def test_everything_goes_and_comes_with_all(model: Path, tmp_path: Path) -> None:
    file, out = tmp_path / "w.npz", tmp_path / "new.ig"
    here("weights", model, "--export", file, "--all")
    assert list(load_weights(file)) == list(programs.values())
    assert here("weights", model, "--load", file, "--all", "--out", out).code == 0
    assert read(out).weights_digest == read(model).weights_digest


def test_names_must_match_unless_told_otherwise(model: Path, tmp_path: Path) -> None:
    file, out = tmp_path / "w.npz", tmp_path / "new.ig"
    save_weights(file, {"w": np.ones((5, 3), np.float32), "head": np.ones(2)})
    done = here("weights", model, "--load", file, "--out", out)
    assert (done.code, done.out) == (1, "")
    assert "lacks 'b'; the model has no 'head' (--no-strict allows that)" in done.err
    assert not out.exists()
    done = here("weights", model, "--load", file, "--out", out, "--no-strict")
    assert done.code == 0
    assert np.all(load(out).state["w"] == 1)


def test_types_are_cast_where_nothing_is_lost(model: Path, tmp_path: Path) -> None:
    file, out = tmp_path / "w.npz", tmp_path / "new.ig"
    save_weights(file, {"w": np.ones((5, 3)), "b": np.ones(3, np.float16)})
    done = here("weights", model, "--load", file, "--out", out)
    assert done.code == 0
    assert "w: cast from float64 to float32" in done.err
    save_weights(file, {"w": np.ones((5, 4), np.float32), "b": np.ones(3, np.float32)})
    done = here("weights", model, "--load", file, "--out", out)
    assert done.code == 1
    assert "w is f32[5,4], and f32[5,3] is wanted" in done.err


def test_wrong_command_lines(model: Path, tmp_path: Path) -> None:
    file = tmp_path / "w.npz"
    save_weights(file, {"a": np.ones(2)})
    for words, code in (
        ([model, "--load", file], 2), ([model, "--out", tmp_path / "o.ig"], 2),
        ([model, "--export", tmp_path / "w.pt"], 2), ([file, "--export", tmp_path / "v.npz"], 2),
        ([model, "--export", tmp_path / "no" / "w.npz"], 1), ([tmp_path / "none.npz"], 1),
        ([model, "--load", tmp_path / "w.pt", "--out", tmp_path / "o.ig"], 1),
    ):  # fmt: skip
        done = here("weights", *words)
        assert (done.code, done.out) == (code, ""), (words, done)
        assert "Traceback" not in done.err
