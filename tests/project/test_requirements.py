"""The oldest requirements that CI installs are the lower bounds that pyproject.toml states."""

import re
import tomllib
from pathlib import Path

ROOT = Path(__file__).parents[2]


def test_oldest_requirements_are_the_lower_bounds() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    bounds = [re.match(r"([\w-]+)>=([\d.]+)", line) for line in project["dependencies"]]
    stated = {match.group(1): match.group(2) for match in bounds if match}
    assert len(stated) == len(project["dependencies"]), "every requirement states a lower bound"
    lines = (ROOT / ".ci" / "oldest.txt").read_text().splitlines()
    pinned = dict(line.split("==") for line in lines if not line.startswith("#"))
    assert pinned == stated
