"""Drawings: nothing overlaps, lines go down, frames hold what is in them, depth folds modules."""

import re
import xml.etree.ElementTree as ET
from pathlib import Path

import pytest

from intaglio.compiler.dtypes import float32
from intaglio.compiler.ir import Function
from intaglio.compiler.op import Builder
from intaglio.compiler.types import TensorType
from intaglio.tools.diagram import Box, Diagram, diagram, fitting_depth
from intaglio.tools.dot import dot
from intaglio.tools.drawing import svg
from intaglio.tools.dump import graph_after
from intaglio.tools.layout import GAP, Item, Line, lay_out
from intaglio.tools.modules import Group
from intaglio.tools.picture import HEAD, INSET, Placed, place
from intaglio.tools.show import signature
from tests.tools.commands import Done, here

SVG = "{http://www.w3.org/2000/svg}"


def every(placed: Placed) -> list[Placed]:
    return [placed, *(p for _, child in placed.groups for p in every(child))]


@pytest.mark.parametrize("name", ["forward", "train_step"])
@pytest.mark.parametrize("depth", [None, 0, 1, 2])
def test_items_do_not_overlap_and_lines_go_down(
    functions: dict[str, Function],
    name: str,
    depth: int | None,
) -> None:
    made = place(diagram(functions[name], depth))
    for placed in every(made):
        layout = placed.layout
        for layer in layout.layers:
            for left, right in zip(layer, layer[1:], strict=False):
                space = layout.x[right] - layout.x[left]
                wide = (layout.items[left].width + layout.items[right].width) / 2
                assert space >= wide + GAP - 1e-6
        for path in layout.paths:
            assert all(
                layout.layer_of[a] < layout.layer_of[b]
                for a, b in zip(path, path[1:], strict=False)
            )
        for _, child in placed.groups:
            assert placed.x + INSET - 1e-6 <= child.x
            assert child.x + child.width <= placed.x + placed.width - INSET + 1e-6
            assert placed.y + HEAD <= child.y
            assert child.y + child.height <= placed.y + placed.height


def test_lines_meet_at_the_ports_of_frames(functions: dict[str, Function]) -> None:
    made = place(diagram(functions["train_step"]))
    checked = 0
    for placed in every(made):
        children = dict(placed.groups)
        for line in placed.layout.lines:
            for item, off, ports in (
                (line.source, line.leave, "leaves"), (line.target, line.enter, "enters"),
            ):  # fmt: skip
                if item in children:
                    child = children[item]
                    at = placed.x + INSET + placed.layout.x[item] + off
                    found = getattr(child, ports).values()
                    known = [child.x + INSET + child.layout.x[p] for p in found]
                    assert any(abs(at - x) < 1e-6 for x in known)
                    checked += 1
    assert checked > 10


def test_depth_folds_modules_and_keeps_what_flows(functions: dict[str, Function]) -> None:
    forward = functions["forward"]
    assert [b.kind for b in diagram(forward, 0).boxes] == ["argument", "module", "result"]
    one = diagram(forward, 1)
    assert [b.title for b in one.boxes] == ["x", "blocks.0", "blocks.1", "blocks.2", "result"]
    assert [(a.source, a.target) for a in one.arrows] == [(0, 1), (1, 2), (2, 3), (3, 4)]
    assert all(b.outputs == ("f32[4,8]",) for b in one.boxes[:-1])
    assert "reads 4 states" in one.boxes[1].tip
    full = diagram(forward)
    assert fitting_depth(forward) is None
    assert sum(b.kind == "state" for b in full.boxes) == 12
    assert {b.title for b in full.boxes if b.kind == "state"} == {"weight", "bias"}


def test_fused_operations_are_in_the_module_that_they_share(
    functions: dict[str, Function],
) -> None:
    forward = functions["forward"]
    made = diagram(forward.with_graph(graph_after(forward.graph, "fuse")))
    (net,) = made.root.groups()
    blocks = list(net.groups())
    assert [g.name for g in blocks] == ["blocks.0", "blocks.1", "blocks.2"]
    for group in blocks:
        fused = [made.boxes[k] for k in group.members if isinstance(k, int)]
        assert any(b.kind == "fused" and "matmul" in b.detail for b in fused)


def test_labels_leave_out_what_one_expects() -> None:
    b = Builder()
    x = b.input(TensorType(float32, (4, 6)), "x")
    made = b.slice(x, starts=(0, 0), stops=(4, 5), steps=(1, 1))
    made = b.sum(made, axes=(0,))
    function = Function("f", b.graph([made]), ("x",), ("",), parameters=("x",))
    details = {box.title: box.detail for box in diagram(function).boxes}
    assert details["slice"] == "stops=(4, 5)"
    assert details["sum"] == "axes=(0,)"


def test_a_picture_says_what_its_colours_mean(functions: dict[str, Function]) -> None:
    made = diagram(functions["forward"])
    root = ET.fromstring(svg([made]))
    legend = next(g for g in root if g.attrib.get("class") == "legend")
    told = {t.text for t in legend.iter(f"{SVG}text")}
    assert told == {b.kind for b in made.boxes}
    frames = [t.text for t in root.iter(f"{SVG}text") if t.attrib.get("class") == "frame"]
    assert {"Net", "blocks.0", "a", "b"} <= set(frames)
    types = [t.text for t in root.iter(f"{SVG}text") if t.attrib.get("class") == "type"]
    assert "f32[4,8]" in types
    assert root.attrib["viewBox"] == f"0 0 {root.attrib['width']} {root.attrib['height']}"


def test_dot_nests_clusters(functions: dict[str, Function]) -> None:
    text = dot([diagram(functions["forward"])])
    assert text.count("{") == text.count("}")
    for name in ("Net", "blocks.1", "a"):
        assert f'label="{name}";' in text
    assert '[label="f32[4,8]"]' in text


def test_what_depends_on_nothing_lies_above_its_user() -> None:
    items = [Item(10, 10) for _ in range(5)]
    made = lay_out(items, [Line(0, 1), Line(1, 2), Line(2, 3), Line(4, 3)])
    assert made.layer_of == [0, 1, 2, 3, 2]
    pinned = [Item(5, 0, top=True), Item(10, 10), Item(5, 0, bottom=True), Item(5, 0, bottom=True)]
    made = lay_out(pinned, [Line(0, 1), Line(1, 2), Line(0, 3)])
    assert made.layer_of[:4] == [0, 1, 2, 2]


def test_long_chains_are_laid_out_quickly() -> None:
    made = Diagram("chain")
    first = made.add(Box("argument", "x", outputs=("f32[]",)))
    last = first
    for _ in range(3000):
        last = made.add(Box("other", "add", outputs=("f32[]",)), [(first, 0), (last, 0)])
    assert len(place(made).layout.layers) == 3001


@pytest.mark.parametrize("payload", ['"]; evil [label="', "\\", 'a\\"b', "<b>&amp;</b>", "\x00\n"])
def test_drawings_escape_text(payload: str) -> None:
    made = Diagram(payload)
    number = made.add(Box("other", payload, payload, payload, (payload,)))
    made.add(Box("result", payload), [(number, 0)])
    made.root = Group(payload, [Group(payload, list(made.root.members))])
    root = ET.fromstring(svg([made]))
    assert len(root.findall(f".//{SVG}rect[@class='box']")) == 2
    plain = Diagram("name")
    number = plain.add(Box("other", "title", "detail", "tip", ("type",)))
    plain.add(Box("result", "title"), [(number, 0)])
    plain.root = Group("name", [Group("name", list(plain.root.members))])
    strings = r'"(?:[^"\\\n]|\\.)*"'
    assert re.sub(strings, "S", dot([made])) == re.sub(strings, "S", dot([plain]))


def test_large_programs_are_folded_and_said_to_be(
    residual: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("intaglio.tools.dump.LONG", 5)
    monkeypatch.setattr("intaglio.tools.diagram.BOXES", 8)
    done = here("dump", residual)
    assert "shown by module; --depth all" in done.err
    assert "blocks.2" in done.out
    assert "matmul(" not in done.out
    assert "matmul(" in here("dump", residual, "--depth", "all").out
    assert "matmul(" in here("dump", residual, "--after", "cse").out
    done = here("dump", residual, "--format", "svg", "--function", "forward")
    assert done.err == "intaglio: forward is drawn to the depth 1; --depth all draws everything\n"
    words = ("dump", residual, "--format", "svg", "--function", "forward", "--depth")
    assert here(*words, "1") == Done(0, done.out, "")
    assert len(here(*words, "all").out) > len(done.out)
    for wrong in (["x"], ["1", "--format", "json"], ["1", "--source"]):
        assert here("dump", residual, "--depth", *wrong).code == 2


def test_signatures_head_the_functions(functions: dict[str, Function]) -> None:
    drawn = [diagram(f) for f in functions.values()]
    texts = [t.text for t in ET.fromstring(svg(drawn)).iter(f"{SVG}text")]
    assert all(signature(f) in texts for f in functions.values())
