"""The command line's frame: version, usage errors, exit codes."""

import subprocess
import sys

import pytest

from intaglio.compiler.errors import FormatError
from intaglio.runtime.version import __version__
from intaglio.tools import cli


def exit_code(*arguments: str) -> int:
    with pytest.raises(SystemExit) as ended:
        cli.main(list(arguments))
    assert isinstance(ended.value.code, int)
    return ended.value.code


def test_version(capsys: pytest.CaptureFixture[str]) -> None:
    assert exit_code("--version") == 0
    assert __version__ in capsys.readouterr().out


def test_unknown_command_is_a_usage_error(capsys: pytest.CaptureFixture[str]) -> None:
    assert exit_code("engrave") == 2
    assert "engrave" in capsys.readouterr().err


def test_our_errors_end_without_a_traceback(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(**_: object) -> None:
        raise FormatError("model.ig: the header is cut off after 12 bytes")

    monkeypatch.setattr(cli.commands, "main", refuse)
    assert exit_code() == 1
    assert capsys.readouterr().err == "intaglio: model.ig: the header is cut off after 12 bytes\n"


def test_python_dash_m() -> None:
    command = [sys.executable, "-m", "intaglio", "--version"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stdout.strip().endswith(__version__)
