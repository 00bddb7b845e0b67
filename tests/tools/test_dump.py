"""dump: the IR in each format, at each stage, drawn so that it can be read."""

import json
import re
import subprocess
import xml.etree.ElementTree as ET
from pathlib import Path

import pytest

from intaglio.compiler.passes import PIPELINE
from intaglio.tools.diagram import diagram
from tests.tools import programs
from tests.tools.commands import here

SVG = "{http://www.w3.org/2000/svg}"


@pytest.fixture
def model(tmp_path: Path) -> Path:
    return programs.save(tmp_path / "model.ig")


def test_text_has_types_lines_and_state(model: Path) -> None:
    done = here("dump", model)
    assert done.code == 0
    assert "f32[n,3] = matmul(" in done.out
    assert "net.py:12 in Net.a" in done.out
    assert "state w: f32[5,3] (parameter)" in done.out
    one = here("dump", model, "--function", "eval").out
    assert one.startswith(
        "state w: f32[5,3] (parameter)\nstate b: f32[3] (parameter)\nfunction eval"
    )
    assert "optim.lr" not in one
    assert "train_step" not in one


def test_every_pass_can_be_seen(model: Path) -> None:
    texts = {}
    for step in PIPELINE:
        done = here("dump", model, "--function", "train_step", "--after", step.__name__)
        assert done.code == 0, done.err
        texts[step.__name__] = done.out
    assert all("matmul" in text for text in texts.values())
    wrong = here("dump", model, "--after", "magic")
    assert wrong.code == 2
    assert all(step.__name__ in wrong.err for step in PIPELINE)


def test_json_numbers_the_values(model: Path) -> None:
    data = json.loads(here("dump", model, "--format", "json").out)
    step = next(f for f in data["functions"] if f["name"] == "train_step")
    graph = step["graph"]
    assert graph["values"][graph["inputs"][0]] == "f32[n,5]"
    made = set(graph["inputs"])
    for node in graph["nodes"]:
        assert made.issuperset(node["inputs"])
        made.update(node["outputs"])
        assert node["where"] == ["net.py:12 in Net.a"]
    assert made == set(range(len(graph["values"])))
    assert step["sizes"] == {"n": [1, 4096]}
    assert [s["names"] for s in data["state"]] == [["w"], ["b"], ["optim.lr"], ["optim.steps"]]


def test_svg_draws_every_box_once(model: Path, tmp_path: Path) -> None:
    done = here("dump", model, "--format", "svg", "--output", tmp_path / "a.svg")
    assert (done.code, done.out) == (0, "")
    root = ET.parse(tmp_path / "a.svg").getroot()
    program = programs.program()
    boxes = [len(diagram(f).boxes) for f in program.functions.values()]
    assert len(root.findall(f".//{SVG}rect[@class='box']")) == sum(boxes)
    width, height = (float(root.attrib[k]) for k in ("width", "height"))
    for rect in root.findall(f".//{SVG}rect[@class='box']"):
        assert 0 <= float(rect.attrib["x"]) <= width - float(rect.attrib["width"])
        assert 0 <= float(rect.attrib["y"]) <= height
    texts = [t.text for t in root.iter(f"{SVG}text")]
    assert "matmul" in texts
    assert "train_step(x: f32[n,5], t: f32[n,3]) -> loss: f32[]" in texts
    assert any("net.py:12" in (t.text or "") for t in root.iter(f"{SVG}title"))


def test_html_is_one_page_without_scripts(model: Path) -> None:
    text = here("dump", model, "--format", "html").out
    assert text.startswith("<!DOCTYPE html>")
    assert text.count("<svg ") == text.count("<pre>") == 3
    assert "<script" not in text
    for shown in ("optim.lr", "net.py:12 in Net.a", "matmul"):
        assert shown in text


def test_dot_has_every_box_and_arrow(model: Path) -> None:
    made = diagram(programs.program().functions["train_step"])
    text = here("dump", model, "--function", "train_step", "--format", "dot").out
    assert len(re.findall(r"^ +n0_\d+ \[label", text, re.MULTILINE)) == len(made.boxes)
    assert len(re.findall(r"n0_\d+ -> n0_\d+ ", text)) == len(made.arrows)


def test_compiled_views_exclude_formats(model: Path) -> None:
    for words in (["--kernels", "--format", "svg"], ["--source", "--after", "cse"]):
        done = here("dump", model, *words)
        assert done.code == 2


def test_an_unwritable_output_is_an_error_and_leaves_nothing(model: Path, tmp_path: Path) -> None:
    done = here("dump", model, "--output", tmp_path / "no" / "a.txt")
    assert done.code == 1
    assert "No such file" in done.err
    assert subprocess.run(["ls", "-A", tmp_path], capture_output=True, text=True, check=True
                          ).stdout.split() == ["model.ig"]  # fmt: skip
