"""The Python blocks of pages that show no files: each page is one script."""

import re
from pathlib import Path

import pytest

from intaglio.compiler.op import OPS

DOCS = Path(__file__).parents[2] / "docs"
BLOCK = re.compile(r"^```python\n(.*?)^```$", re.MULTILINE | re.DOTALL)


@pytest.mark.parametrize(
    "page",
    ["checkpoints.md", "coming-from-pytorch.md", "data.md", "extending.md", "multiprocessing.md"],
)
def test_the_blocks_run(page: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    found = BLOCK.findall((DOCS / page).read_text(encoding="utf-8"))
    assert found
    script = tmp_path / "page.py"
    script.write_text("\n".join(found), encoding="utf-8")
    known = set(OPS)
    try:
        exec(compile(script.read_text(), str(script), "exec"), {"__name__": "page"})  # noqa: S102  # our own page
    finally:
        for name in [n for n in OPS if "::" in n and n not in known]:
            del OPS[name]
