"""The packages and who may import whom: the tables below, held against every file."""

import ast
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SETUP = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]
FOLDERS: dict[str, str] = SETUP["package-dir"]

# What each package may import: of intaglio, and of others. Nothing lower knows what is above it.
INSIDE = {
    "intaglio.schemas": set[str](),
    "intaglio.compiler": set[str](),
    "intaglio.runtime": {"intaglio.compiler", "intaglio.schemas"},
    "intaglio": {"intaglio.compiler", "intaglio.runtime"},
    "intaglio.tools": {"intaglio", "intaglio.compiler", "intaglio.runtime", "intaglio.schemas"},
}
OUTSIDE = {
    "intaglio.schemas": {"google"},
    "intaglio.compiler": {"numpy", "networkx", "ml_dtypes"},
    "intaglio.runtime": {
        *("numpy", "ml_dtypes", "google", "pycuda", "safetensors", "scipy", "ziglang"),
    },
    "intaglio": {"numpy", "ml_dtypes", "tqdm", "scipy", "matplotlib", "IPython"},
    "intaglio.tools": {"numpy", "ml_dtypes", "click", "tqdm", "networkx", "matplotlib"},
}
# The compiler touches no file, device or process.
BANNED_IN_COMPILER = {
    *("ctypes", "fcntl", "glob", "mmap", "multiprocessing", "os", "pathlib", "shutil", "signal"),
    *("socket", "subprocess", "tempfile", "urllib"),
}
EXCEPTIONS = {
    ("frontend/__main__.py", "intaglio.tools")
}  # `python -m intaglio` is the command line


def owner(module: str) -> str | None:
    """The package of ours that a module belongs to: the longest mapped prefix of its name."""
    prefixes = [name for name in FOLDERS if module == name or module.startswith(name + ".")]
    return max(prefixes, key=len, default=None)


def imported(tree: ast.AST) -> Iterator[tuple[int, str]]:
    """Line and module of every import; `from a import b` counts as `a.b`, which may be a module."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"line {node.lineno}: write the import from its root, intaglio"
            yield from ((node.lineno, f"{node.module}.{alias.name}") for alias in node.names)


def broken_rules(package: str, file: str, source: str) -> list[str]:
    """One line for each import of a file that the tables do not allow."""
    found = []
    for line, module in imported(ast.parse(source)):
        home, top = owner(module), module.partition(".")[0]
        if home is not None:
            allowed = home == package or home in INSIDE[package] or (file, home) in EXCEPTIONS
        elif top in sys.stdlib_module_names:
            allowed = package != "intaglio.compiler" or top not in BANNED_IN_COMPILER
        else:
            allowed = top in OUTSIDE[package]
        if not allowed:
            found.append(f"{file}:{line}: {package} may not import {module}")
    return found


def opens_files(tree: ast.AST) -> list[int]:
    """Lines that call the built-in `open`."""
    calls = [node for node in ast.walk(tree) if isinstance(node, ast.Call)]
    return [c.lineno for c in calls if isinstance(c.func, ast.Name) and c.func.id == "open"]


@pytest.mark.parametrize("package", FOLDERS)
def test_imports_follow_the_table(package: str) -> None:
    files = sorted((ROOT / FOLDERS[package]).rglob("*.py"))
    assert files
    broken = [
        rule
        for f in files
        for rule in broken_rules(package, str(f.relative_to(ROOT)), f.read_text())
    ]
    assert not broken, "\n".join(broken)


def test_the_compiler_opens_no_file() -> None:
    files = (ROOT / "compiler").rglob("*.py")
    assert not [f for f in files if opens_files(ast.parse(f.read_text()))]
    assert opens_files(ast.parse("with open('a') as f: pass")) == [1]


@pytest.mark.parametrize(
    ("package", "source"),
    [
        ("intaglio.compiler", "import os"),
        ("intaglio.compiler", "from intaglio.runtime import load"),
        ("intaglio.compiler", "from intaglio import runtime"),
        ("intaglio.compiler", "def f():\n    import google.protobuf"),
        ("intaglio.runtime", "from intaglio import Tensor"),
        ("intaglio.runtime", "import intaglio.nn.functional"),
        ("intaglio.runtime", "import networkx"),
        ("intaglio", "from intaglio.tools.cli import main"),
        ("intaglio", "from intaglio.schemas import program_pb2"),
        ("intaglio.schemas", "import numpy"),
        ("intaglio.tools", "import torch"),
    ],
)
def test_the_rules_catch(package: str, source: str) -> None:
    assert len(broken_rules(package, "some.py", source)) == 1


def test_the_rules_allow() -> None:
    source = "from intaglio import Tensor\nfrom intaglio.runtime import load\nimport os, numpy\n"
    assert broken_rules("intaglio.tools", "some.py", source) == []


def test_every_package_is_listed() -> None:
    found = {
        ".".join([name, *f.parent.relative_to(ROOT / folder).parts])
        for name, folder in FOLDERS.items()
        for f in (ROOT / folder).rglob("__init__.py")
    }
    assert found == set(SETUP["packages"])


def test_every_module_is_in_a_package() -> None:
    bare = {
        str(f.parent.relative_to(ROOT))
        for folder in FOLDERS.values()
        for f in (ROOT / folder).rglob("*.py")
        if not (f.parent / "__init__.py").exists()
    }
    assert not bare, f"no __init__.py in {bare}"
