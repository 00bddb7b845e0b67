"""The tutorials of the examples are executed beside the examples."""

from pathlib import Path

import pytest

from tests.documents import run_page
from tests.examples.scripts import EXAMPLES

DOCS = Path(__file__).parents[2] / "docs"
PAGES = {"gpt": 5, "diffusion": 4, "transfer": 7}
"""By page: the blocks that must at least be run."""


@pytest.mark.parametrize("name", PAGES)
def test_the_page_is_true(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("sklearn")
    pytest.importorskip("safetensors")
    folder = tmp_path / "page"
    folder.mkdir()
    (folder / "examples").symlink_to(EXAMPLES)
    monkeypatch.chdir(folder)
    assert run_page(DOCS / f"tutorial-{name}.md", folder) >= PAGES[name]
