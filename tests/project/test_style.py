"""How long files and functions may get; ruff and mypy hold the rest of the style."""

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
FOLDERS = ("frontend", "compiler", "runtime", "schemas", "tools")
FILE_LINES = 600
FUNCTION_LINES = 60
TABLES = {"frontend/__init__.py"}  # a list of public names, one to a line: no idea to split


def code_lines(function: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    """Lines of a function without its docstring."""
    total = (function.end_lineno or function.lineno) - function.lineno + 1
    first = function.body[0]
    if ast.get_docstring(function) is not None:
        total -= (first.end_lineno or first.lineno) - first.lineno + 1
    return total


def too_long(name: str, source: str) -> list[str]:
    """One line for the file and for each function that is over its limit."""
    found = []
    lines = source.count("\n")
    if lines >= FILE_LINES and name not in TABLES:
        found.append(f"{name}: {lines} lines, and {FILE_LINES} is the limit: split it by idea")
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            length = code_lines(node)
            if length >= FUNCTION_LINES:
                found.append(f"{name}:{node.lineno}: {node.name} has {length} lines of code")
    return found


@pytest.mark.parametrize("folder", FOLDERS)
def test_lengths(folder: str) -> None:
    files = [f for f in (ROOT / folder).rglob("*.py") if not f.stem.endswith("_pb2")]
    found = [row for f in files for row in too_long(str(f.relative_to(ROOT)), f.read_text())]
    assert not found, "\n".join(found)


def test_the_limits_catch() -> None:
    body = '    """Doc."""\n' + "    x = 1\n" * FUNCTION_LINES
    assert len(too_long("a.py", "def f():\n" + body)) == 1
    assert len(too_long("a.py", "x = 1\n" * FILE_LINES)) == 1
    assert too_long("a.py", "def f():\n" + '    """' + "\n" * 80 + '    """\n    x = 1\n') == []
