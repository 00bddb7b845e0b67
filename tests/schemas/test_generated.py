import importlib.util
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


def test_generated_module_is_that_of_the_schema(tmp_path: Path) -> None:
    spec = importlib.util.spec_from_file_location(
        "regenerate", Path(__file__).with_name("regenerate.py")
    )
    assert spec and spec.loader
    regenerate = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(regenerate)
    if not regenerate.PYTHON.exists():
        pytest.skip("no .venv-protoc: run python tests/schemas/regenerate.py")
    regenerate.generate(tmp_path)
    for name in regenerate.FILES:
        assert (tmp_path / name).read_text() == (ROOT / "schemas" / name).read_text(), name


def test_no_map_fields() -> None:
    assert "map<" not in (ROOT / "schemas" / "program.proto").read_text()
