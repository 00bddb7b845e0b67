"""Notebook cells and the prompt as places, and what notebooks show: escaped, without colours."""

import linecache
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import intaglio as ig
from intaglio import nn
from intaglio.compiler.parse import parse_graph
from intaglio.compiler.text import print_graph
from intaglio.compiler.where import Where, describe

CELL = """import intaglio as ig

def f(x):
    h = x * 2
    if h.sum() > 0:
        return h
    return x
"""


def run_cell(source: str, name: str) -> dict[str, Any]:
    """Execute a cell as IPython does: compiled under its own name, its lines in linecache."""
    linecache.cache[name] = (len(source), None, source.splitlines(True), name)
    space: dict[str, Any] = {}
    exec(compile(source, name, "exec"), space)  # noqa: S102  # that is what a notebook does
    return space


@pytest.mark.parametrize(
    ("name", "place"),
    [
        ("<ipython-input-3-0123456789ab>", "cell 3, line 5"),
        ("/tmp/ipykernel_4711/1234567890.py", "cell ?, line 5"),
        ("<stdin>", "<stdin>:5"),
        ("<python-input-7>", "<python-input-7>:5"),
    ],
)
def test_errors_name_the_cell_and_show_its_line(name: str, place: str) -> None:
    f = run_cell(CELL, name)["f"]
    with pytest.raises(ig.TraceError) as found:
        ig.trace(f, ig.spec((2,)))
    assert f"({place}: if h.sum() > 0:)" in str(found.value)


def test_places_of_cells_go_through_dumps_and_files(tmp_path: Path) -> None:
    f = run_cell(CELL.replace("h.sum() > 0", "True"), "<ipython-input-12-0a>")["f"]
    program = ig.trace(f, ig.spec((2,)))
    assert "# cell 12, line 4" in str(program)
    program.save(tmp_path / "m.ig")
    assert "cell 12, line 4" in str(ig.load(tmp_path / "m.ig").explain())
    graph = program.ir.functions["forward"].graph
    assert print_graph(parse_graph(print_graph(graph))) == print_graph(graph)
    places = (Where("cell 3", 5, "Net.a"), Where("a.py", 7, "", True), Where("cell ?", 1, "", True))
    text = describe(places)
    assert text == "cell 3, line 5 in Net.a, gradient of a.py:7, gradient of cell ?, line 1"


def test_in_ipython() -> None:
    shells = pytest.importorskip("IPython.core.interactiveshell")
    shell = shells.InteractiveShell.instance()
    shell.run_cell("x = 1", store_history=True)
    shell.run_cell(CELL, store_history=True)
    shell.run_cell("program = ig.trace(f, ig.spec((2,)))", store_history=True)
    f, number = shell.user_ns["f"], shell.execution_count - 2
    with pytest.raises(ig.TraceError, match=rf"cell {number}, line 5: if h.sum\(\) > 0:"):
        ig.trace(f, ig.spec((2,)))
    shell.run_cell("t = ig.ones(2, 2)")
    shown, _ = shell.display_formatter.format(shell.user_ns["t"])
    assert "<table" in shown["text/html"]


class Sly(nn.Module):
    """Names and texts that would break a page."""

    def __init__(self) -> None:
        super().__init__()
        self.a = nn.Linear(3, 2)

    def extra_repr(self) -> str:
        return "<script>&"

    def forward(self, x: ig.Tensor) -> Any:
        return ig.debug_print(self.a(x), "</pre><b>")


def assert_safe(html: str) -> None:
    """Known tags only, balanced; no colour but the grey that fits both themes."""
    tags = re.findall(r"<(/?)(\w+)[^>]*>", html)
    assert {t for _, t in tags} <= {"table", "tr", "td", "th", "div", "b", "pre", "details",
                                    "summary"}  # fmt: skip
    opened = sorted(name for end, name in tags if not end)
    assert opened == sorted(name for end, name in tags if end)
    assert not re.search(r"(?<!-)color:|background:(?!none)", html)


def test_what_notebooks_show(tmp_path: Path) -> None:
    model = Sly()
    program = ig.trace(model, ig.spec(("n", 3)))
    program.save(tmp_path / "m.ig")
    loaded = ig.load(tmp_path / "m.ig", prints=False)
    x = np.ones((4, 3), np.float32)
    made = {
        "module": model._repr_html_(),
        "program": program._repr_html_(),
        "model": loaded._repr_html_(),
        "tensor": ig.ones(2, 3)._repr_html_(),
        "large": ig.ones(50, 30)._repr_html_(),
        "plan": loaded.plan("forward", n=4)._repr_html_(),
        "explain": loaded.explain("forward", n=4)._repr_html_(),
        "profile": loaded.profile("forward", x, calls=2)._repr_html_(),
        "compare": ig.compare(loaded, loaded, x, show=False)._repr_html_(),
    }
    for html in made.values():
        assert_safe(html)
    assert "Sly(&lt;script&gt;&amp;)" in made["module"] and "8 parameters" in made["module"]
    assert "&lt;/pre&gt;&lt;b&gt;" in made["program"]
    for name in ("program", "model"):
        assert "x: f32[n,3]" in made[name] and "a.weight" in made[name]
    assert made["tensor"].count("<td") == 6 and "f32[2,3]" in made["tensor"]
    assert made["large"].startswith("<pre") and "..." in made["large"]
    assert "arena" in made["plan"] and "test_notebooks.py" in made["explain"]
    assert "us on" in made["profile"] and "equal bits" in made["compare"]


def test_long_tables_are_cut() -> None:
    from intaglio.runtime.markup import MOST_ROWS, table

    html = table("t\x1b", ("k",), [(k,) for k in range(1000)])
    assert html.count("<tr") == MOST_ROWS + 2 and "and 950 more" in html
    assert "\x1b" not in html and r"t\x1b" in html
