"""The reference of the command line is executed, and names every command and option."""

from pathlib import Path

import pytest

from intaglio.tools import cli
from tests.documents import compare, run_page

PAGE = Path(__file__).parents[2] / "docs" / "command-line.md"


def test_the_reference_is_true(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("safetensors")
    pytest.importorskip("matplotlib")
    folder = tmp_path / "page"
    folder.mkdir()
    monkeypatch.chdir(folder)
    assert run_page(PAGE, folder) >= 10


@pytest.mark.parametrize("name", sorted(cli.commands.commands))
def test_every_option_is_in_the_reference(name: str) -> None:
    text = PAGE.read_text(encoding="utf-8")
    section = text.partition(f"\n## {name}\n")[2].partition("\n## ")[0]
    assert section, f"there is no section for {name}"
    everywhere = text.partition("\n## Options that several commands share\n")[2]
    for option in cli.commands.commands[name].params:
        for spelled in option.opts:
            if spelled.startswith("--"):
                assert f"`{spelled}" in section or f"`{spelled}" in everywhere, spelled


def test_outputs_are_compared() -> None:
    compare("", "a 1.5 b\n...\nend ...\n", "a 1.5 b\nx\ny\nend of it\n", False)
    compare("", "loss 0.25 (3 ms)  f1e2d3c4b5a6\n", "loss 1e-7 (17 s) 0123456789ab\n", True)
    for shown, printed, varies in (
        ("a 1\n", "a 2\n", False), ("a 1\n", "b 1\n", True), ("a\n", "a\nb\n", True),
        ("a\nb\n", "a\n", False), ("...\nb\n", "a\nc\n", False),
    ):  # fmt: skip
        with pytest.raises(AssertionError):
            compare("", shown, printed, varies)
