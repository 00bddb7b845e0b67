"""The tour of the README is executed: scripts, commands, and what they are said to print."""

from pathlib import Path

import pytest

from tests.documents import run_page

README = Path(__file__).parents[2] / "README.md"


def test_the_tour_is_true(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("safetensors")
    folder = tmp_path / "tour"
    folder.mkdir()
    monkeypatch.chdir(folder)
    assert run_page(README, folder) >= 3
