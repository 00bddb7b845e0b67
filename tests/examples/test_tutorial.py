"""The tutorial's blocks, run in their order: each Python file as one namespace, shell lines by the
command line."""

import re
import shlex
from pathlib import Path

import numpy as np
import pytest

from tests.tools.commands import here

TUTORIAL = Path(__file__).parents[2] / "docs" / "tutorial.md"
BLOCK = re.compile(r"^```(python|sh)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def blocks() -> list[tuple[str, str]]:
    return [(found[1], found[2]) for found in BLOCK.finditer(TUTORIAL.read_text())]


def test_the_tutorial_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    files: dict[str, dict[str, object]] = {}
    for language, text in blocks():
        if language == "python":
            name = text.split("\n", 1)[0].removeprefix("# ")
            assert name.endswith(".py"), text
            (tmp_path / name).write_text(text)
            code = compile(text, str(tmp_path / name), "exec")
            exec(code, files.setdefault(name, {"__name__": name}))  # noqa: S102  # our own page
            continue
        for line in text.splitlines():
            program, *words = shlex.split(line, comments=True)
            assert program == "intaglio"
            done = here(*words)
            assert done.code == 0, (line, done.err)
    shown = capsys.readouterr().out
    assert "matmul" in shown
    assert "jumpy" in shown or "x.sum()" in shown
    assert np.load(tmp_path / "y.npy").shape == (100, 10)
    assert (tmp_path / "forward.svg").read_text().startswith("<svg")
    assert sorted(files) == ["data.py", "net.py", "serve.py"]


def test_every_block_is_of_a_known_kind() -> None:
    fences = TUTORIAL.read_text().count("```")
    assert fences == 2 * len(blocks())
