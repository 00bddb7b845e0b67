"""The page about training files is executed."""

from pathlib import Path

import pytest

from tests.documents import run_page

PAGE = Path(__file__).parents[2] / "docs" / "training-file.md"


def test_the_page_is_true(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert run_page(PAGE, tmp_path) == 8
