"""The loader runs nothing that a file says, and opens nothing but the file."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

from intaglio.runtime.file import write
from tests.runtime.file import samples

ROOT = Path(__file__).parents[3]
# Everything that stands between a file's bytes and a checked program.
LOADER = [
    *(ROOT / "runtime" / "file").glob("*.py"),
    *(ROOT / "compiler").glob("*.py"),
    *(ROOT / "compiler" / "ops").glob("*.py"),
]
RUNNER = [*(ROOT / "runtime").glob("*.py"), *(ROOT / "compiler").rglob("*.py")]
CALLS = {"eval", "exec", "compile", "__import__", "globals", "vars"}
MODULES = {"pickle", "marshal", "shelve", "dill", "cloudpickle", "code", "codeop", "runpy"}
# Reads and writes of arrays that pickle what they can't hold.
NUMPY = {"load", "save", "savez", "loadtxt", "fromregex", "genfromtxt"}


def dangers(source: str) -> list[str]:
    """What a module does that could run text as code or look a name up that comes from a file."""
    found = []
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            found += [a.name for a in node.names if a.name.split(".")[0] in MODULES]
        elif isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] in MODULES:
            found.append(str(node.module))
        elif isinstance(node, ast.Call):
            found += _danger_of_call(node)
    return found


def _danger_of_call(call: ast.Call) -> list[str]:
    function = call.func
    if isinstance(function, ast.Name):
        if function.id in CALLS:
            return [function.id]
        if function.id in ("getattr", "setattr", "delattr"):
            fixed = isinstance(call.args[1], ast.Constant)
            return [] if fixed else [f"{function.id} by a computed name"]
    if isinstance(function, ast.Attribute):
        owner = function.value.id if isinstance(function.value, ast.Name) else ""
        if owner == "np" and function.attr in NUMPY:
            return [f"np.{function.attr}"]
        if owner == "os" and function.attr in ("system", "popen"):
            return [f"os.{function.attr}"]
        if owner == "importlib" and not isinstance(call.args[0], ast.Constant):
            return ["an import by a computed name"]
    return []


@pytest.mark.parametrize("file", LOADER, ids=lambda f: str(f.relative_to(ROOT)))
def test_the_loader_runs_no_text_and_looks_no_name_up(file: Path) -> None:
    if file.name == "__init__.py" and file.parent.name == "compiler":
        return
    assert not dangers(file.read_text())


@pytest.mark.parametrize("file", RUNNER, ids=lambda f: str(f.relative_to(ROOT)))
def test_the_runner_runs_no_text(file: Path) -> None:
    assert not set(dangers(file.read_text())) & (CALLS | MODULES)


@pytest.mark.parametrize(
    "source",
    [
        "eval('1')",
        "exec(x)",
        "import pickle",
        "from marshal import loads",
        "getattr(module, name)",
        "np.load(path)",
        "import importlib\nimportlib.import_module(name)",
        "os.system(x)",
    ],
)
def test_the_rules_catch(source: str) -> None:
    assert len(dangers(source)) == 1


AUDITED = """
import sys
import intaglio.compiler.ops
from intaglio.runtime.file import read
read(sys.argv[1])  # what is imported on first use is there now
seen = []
QUIET = ("object.", "gc.", "sys._getframe", "builtins.id", "code.", "os.pread", "time.", "cpython.")
sys.addaudithook(lambda event, arguments: seen.append((event, arguments)))
read(sys.argv[1])
for event, arguments in list(seen):
    if not event.startswith(QUIET):
        print(event, *map(repr, arguments), sep="|")
"""


def test_only_the_file_is_opened(tmp_path: Path) -> None:
    path = tmp_path / "model.ig"
    program = samples.attention()
    write(path, program, samples.filled(program))
    command = [sys.executable, "-c", AUDITED, str(path)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    lines = [line.split("|") for line in done.stdout.splitlines()]
    assert [line[1] for line in lines if line[0] == "open"] == [repr(str(path))]
    assert {line[0] for line in lines} <= {"open"}, lines
