"""The wheel: complete, small, with its headers, its licence and its command."""

import os
import re
import shutil
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import pytest

from intaglio.runtime.version import __version__

ROOT = Path(__file__).parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
FOLDERS: dict[str, str] = PROJECT["tool"]["setuptools"]["package-dir"]
SHIPPED = {".py", ".pyi", ".h", ".c", ".proto", ".typed"}
MEGABYTES = 2

BUILD = "import sys; from setuptools.build_meta import build_wheel; print(build_wheel(sys.argv[1]))"


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A wheel built from a copy of the tree, so that no build folder is left in the tree itself."""
    pytest.importorskip("setuptools", minversion="77")
    copy, out = tmp_path_factory.mktemp("source"), tmp_path_factory.mktemp("wheel")
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, copy)
    for folder in FOLDERS.values():
        unwanted = shutil.ignore_patterns("__pycache__")
        shutil.copytree(ROOT / folder, copy / folder, ignore=unwanted)
    command = [sys.executable, "-c", BUILD, str(out)]
    done = subprocess.run(
        command, cwd=copy, env=dict(os.environ), capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return out / done.stdout.splitlines()[-1]


def test_wheel_holds_every_file(wheel: Path) -> None:
    expected = {
        str(Path(*name.split(".")) / f.relative_to(ROOT / folder))
        for name, folder in FOLDERS.items()
        for f in (ROOT / folder).rglob("*")
        if f.suffix in SHIPPED or f.name == "py.typed"
    }
    names = {n for n in zipfile.ZipFile(wheel).namelist() if ".dist-info/" not in n}
    assert names == expected


def test_wheel_has_its_licence_and_command(wheel: Path) -> None:
    archive = zipfile.ZipFile(wheel)
    info = f"intaglio-{__version__}.dist-info"
    assert b"Apache License" in archive.read(f"{info}/licenses/LICENSE")
    assert "intaglio = intaglio.tools.cli:main" in archive.read(f"{info}/entry_points.txt").decode()


def test_wheel_is_small_and_pure(wheel: Path) -> None:
    assert wheel.name.endswith("-py3-none-any.whl")
    assert wheel.stat().st_size < MEGABYTES * 2**20


def test_one_version() -> None:
    assert PROJECT["project"]["version"] == __version__
    changes = (ROOT / "CHANGELOG.md").read_text()
    assert re.search(rf"^## {re.escape(__version__)}\b", changes, re.MULTILINE)
