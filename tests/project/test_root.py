"""The lazy root: one table of names, the same for type checkers, true in any order of imports."""

import ast
import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

import intaglio

FRONTEND = Path(__file__).parents[2] / "frontend"
ROOT_FILE = FRONTEND / "__init__.py"
BLOCK = re.compile(r"(?<=--update-golden\n\n)(?:    .*\n)+")
ENTRY_POINT = "__main__"


def type_checking_block() -> str:
    """The imports that mirror the table, as ruff formats them."""
    lines = []
    groups = {"intaglio": " ".join(intaglio._SUBMODULES), **intaglio._NAMES}
    for home in sorted(groups):
        clauses = [f"{name} as {name}" for name in groups[home].split()]
        one = f"    from {home} import {', '.join(clauses)}"
        if len(one) <= 100 and len(clauses) == 1:
            lines.append(one)
        else:
            inner = [f"        {clause}," for clause in clauses]
            lines += [f"    from {home} import (", *inner, "    )"]
    return "\n".join(lines) + "\n"


def modules_of_the_front_end() -> list[str]:
    """Import names of every module below frontend/."""
    files = [f.relative_to(FRONTEND).with_suffix("") for f in FRONTEND.rglob("*.py")]
    parts = [f.parts[:-1] if f.name == "__init__" else f.parts for f in files]
    return sorted(".".join(("intaglio", *p)) for p in parts if p != (ENTRY_POINT,))


def test_type_checkers_see_the_table(request: pytest.FixtureRequest) -> None:
    source = ROOT_FILE.read_text()
    if request.config.getoption("--update-golden"):
        ROOT_FILE.write_text(BLOCK.sub(lambda _: type_checking_block(), source, count=1))
        return
    conditions = [n for n in ast.parse(source).body if isinstance(n, ast.If)]
    blocks = [n for n in conditions if ast.unparse(n.test) == "TYPE_CHECKING"]
    seen = {
        alias.asname: node.module
        for block in blocks
        for node in block.body
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
    }
    expected = {**intaglio._HOME, **dict.fromkeys(intaglio._SUBMODULES, "intaglio")}
    assert seen == expected, "run pytest tests/project/test_root.py --update-golden"


def test_no_name_has_two_homes() -> None:
    names = [name for group in intaglio._NAMES.values() for name in group.split()]
    assert len(names) == len(set(names))
    assert not set(names) & set(intaglio._SUBMODULES)


def test_no_module_shadows_a_public_name() -> None:
    modules = {f.stem for f in FRONTEND.iterdir() if f.suffix == ".py" or f.is_dir()}
    assert not modules & set(intaglio._HOME)
    assert set(intaglio._SUBMODULES) <= modules


def test_dir_and_unknown_names() -> None:
    assert dir(intaglio) == sorted({*intaglio._HOME, *intaglio._SUBMODULES})
    with pytest.raises(AttributeError, match="no attribute 'tracer'"):
        intaglio.tracer  # noqa: B018  # the access is what is tested


RESOLVE = """
import importlib, sys
import intaglio
def names():
    for name, home in intaglio._HOME.items():
        assert getattr(intaglio, name) is getattr(importlib.import_module(home), name), name
    for name in intaglio._SUBMODULES:
        assert getattr(intaglio, name) is sys.modules["intaglio." + name], name
def modules():
    for module in {modules!r}:
        importlib.import_module(module)
for step in {order!r}:
    globals()[step]()
print("resolved", len(intaglio._HOME))
"""


@pytest.mark.parametrize("order", [("names", "modules", "names"), ("modules", "names")], ids=str)
def test_every_name_resolves(order: tuple[str, ...]) -> None:
    code = RESOLVE.format(modules=modules_of_the_front_end(), order=order)
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout == f"resolved {len(intaglio._HOME)}\n"


LOADED = """
import json, sys, time
before, start = set(sys.modules), time.perf_counter()
import {module}
print(json.dumps([time.perf_counter() - start, sorted(set(sys.modules) - before)]))
"""


def loaded_by(module: str) -> tuple[float, set[str]]:
    """Seconds and modules of an import, in a fresh process that has NumPy already."""
    code = "import numpy\n" + LOADED.format(module=module)
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    seconds, names = json.loads(done.stdout)
    return seconds, set(names)


def test_runtime_loads_no_front_end() -> None:
    seconds, loaded = loaded_by("intaglio.runtime")
    print(f"import intaglio.runtime after NumPy: {seconds * 1e3:.1f} ms, {len(loaded)} modules")
    front_end = set(modules_of_the_front_end()) - {"intaglio"}
    assert "intaglio.runtime" in loaded
    assert not loaded & front_end
    assert not loaded & {"networkx", "click", "tqdm", "scipy", "matplotlib", "intaglio.tools"}


def test_front_end_loads_no_networkx() -> None:
    seconds, loaded = loaded_by("intaglio.nn, intaglio.optim, intaglio.data")
    print(f"import of the front end after NumPy: {seconds * 1e3:.1f} ms, {len(loaded)} modules")
    assert not loaded & {"networkx", "click", "scipy", "matplotlib", "intaglio.tools"}
