"""The page on debugging: its blocks run in order, and print what it says."""

import linecache
import re
from pathlib import Path
from typing import Any

import pytest

PAGE = Path(__file__).parents[2] / "docs" / "debugging.md"


def test_the_page(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    blocks = re.findall(r"```python\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)
    assert len(blocks) == 4
    space: dict[str, Any] = {}
    printed = []
    for block in blocks:
        name = "/page/net.py"
        linecache.cache[name] = (len(block), None, block.splitlines(True), name)
        exec(compile(block, name, "exec"), space)  # noqa: S102  # the page is the project's own
        printed.append(capsys.readouterr().out)
    shown, compiled, eager, compared = printed
    assert len(re.findall(r"^h: f32\[1,2\] \(net\.py:10 in Net\) = \[\[", shown, re.M)) == 2
    for text, block in ((compiled, blocks[1]), (eager, blocks[2])):
        (said,) = re.findall(r"^# (.*)$", block, re.M)
        assert text.strip() == said
    assert "differs: expand: f32[4,2] (net.py:" in compared and "Difference(" in compared
