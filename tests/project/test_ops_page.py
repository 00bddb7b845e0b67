"""docs/ops.md ends with a table that is made from the registry."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.project.ops_table import table

PAGE = Path(__file__).parents[2] / "docs" / "ops.md"
BEGIN = "<!-- made by tests/project/ops_table.py; pytest --update-golden writes it anew -->\n\n"


def test_the_table_of_ops_is_that_of_the_registry(request: pytest.FixtureRequest) -> None:
    text, _, held = PAGE.read_text().partition(BEGIN)
    made = table() + "\n"
    if request.config.getoption("--update-golden"):
        PAGE.write_text(text + BEGIN + made)
        return
    assert held == made, "run pytest tests/project/test_ops_page.py --update-golden"
