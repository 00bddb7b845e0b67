"""train --metrics and --plot: rows that survive a resumption, pictures that can be opened."""

import json
import sys
import xml.etree.ElementTree as ET
from pathlib import Path

import numpy as np
import pytest

from intaglio.tools import history
from tests.tools import programs
from tests.tools.commands import here


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    programs.save(tmp_path / "model.ig")
    np.savez(tmp_path / "train.npz", **programs.data(100))
    np.savez(tmp_path / "test.npz", **programs.data(30))
    return tmp_path


def train(folder: Path, *words: object, model: str = "model.ig") -> list[object]:
    return ["train", folder / model, "--data", folder / "train.npz", "--eval-data",
            folder / "test.npz", "--out", folder / "out.ig", *words]  # fmt: skip


@pytest.mark.parametrize("ending", ["csv", "jsonl"])
def test_a_resumed_run_goes_on_with_its_rows(folder: Path, ending: str) -> None:
    metrics = folder / f"m.{ending}"
    done = here(*train(folder, "--epochs", 2, "--metrics", metrics))
    assert done.code == 0, done.err
    before = history.read_rows(str(metrics))
    done = here(*train(folder, "--epochs", 4, "--resume", "--metrics", metrics, model="out.ig"))
    assert done.code == 0, done.err
    rows = history.read_rows(str(metrics))
    assert rows[:2] == before
    assert [row["epoch"] for row in rows] == [1, 2, 3, 4]
    assert list(rows[0]) == ["epoch", "loss", "eval.loss", "seconds"]
    assert rows[3]["loss"] < rows[0]["loss"]
    if ending == "jsonl":
        first = json.loads(metrics.read_text().splitlines()[0])
        assert isinstance(first["epoch"], int)


def test_curves_are_drawn_as_text_that_can_be_searched(folder: Path) -> None:
    pytest.importorskip("matplotlib")
    done = here(*train(folder, "--epochs", 3, "--plot", folder / "c.svg"))
    assert (done.code, done.err) == (0, "")
    ET.parse(folder / "c.svg")
    text = (folder / "c.svg").read_text()
    for shown in ("epoch", "loss", "training", "evaluation"):
        assert shown in text
    here(*train(folder, "--epochs", 1, "--plot", folder / "c.png"))
    assert (folder / "c.png").read_bytes().startswith(b"\x89PNG")


def test_one_plot_for_each_result_with_its_evaluation() -> None:
    pytest.importorskip("matplotlib")
    rows = [
        {"epoch": k, "loss": 1 / k, "eval.loss": 2 / k, "eval.$x$": float("nan"), "seconds": 1}
        for k in (1, 2, 3)
    ]
    figure = history.curves(rows)
    assert [a.get_ylabel() for a in figure.axes] == ["loss", r"\$x\$"]
    assert [[line.get_label() for line in a.lines] for a in figure.axes] == [
        ["training", "evaluation"], ["evaluation"],
    ]  # fmt: skip
    assert figure.axes[0].lines[1].get_ydata().tolist() == [2, 1, 2 / 3]
    figure.draw_without_rendering()


def test_the_same_curves_are_the_same_bytes(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    for name in ("a.svg", "b.svg"):
        kept = history.History(None, str(tmp_path / name), 0)
        kept.rows = [{"epoch": 1, "loss": 2.0}, {"epoch": 2, "loss": 1.0}]
        kept.draw()
    assert (tmp_path / "a.svg").read_bytes() == (tmp_path / "b.svg").read_bytes()


def test_what_is_wrong_is_told_before_training(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for words, code, told in (
        (["--metrics", "m.txt"], 2, ".csv or .jsonl"), (["--plot", "p.gif"], 2, ".png or .svg"),
        (["--plot", folder / "no" / "p.png"], 1, "No such file"),
    ):  # fmt: skip
        done = here(*train(folder, *words))
        assert (done.code, done.out) == (code, ""), words
        assert told in done.err
    here(*train(folder))
    (folder / "m.jsonl").write_text("[1]\n")
    done = here(*train(folder, "--resume", "--epochs", 2, "--metrics", folder / "m.jsonl",
                       model="out.ig"))  # fmt: skip
    assert done.code == 1
    assert "m.jsonl is no file of metrics" in done.err
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    done = here(*train(folder, "--plot", folder / "c.png"))
    assert done.code == 1
    assert "pip install 'intaglio[plot]'" in done.err
