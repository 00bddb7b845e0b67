"""The command line's frame: version, usage errors, exit codes."""

import os
import re
import shlex
import subprocess
import sys

import pytest

from intaglio.compiler.errors import FormatError
from intaglio.runtime.version import __version__
from intaglio.tools import cli
from intaglio.tools.completion import VARIABLE


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


@pytest.mark.parametrize("name", sorted(cli.commands.commands))
def test_every_command_has_help_with_examples_that_parse(
    name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert exit_code(name, "--help") == 0
    text = capsys.readouterr().out
    examples = text.partition("Examples:\n")[2].replace("\\\n", " ").splitlines()
    assert examples
    for line in examples:
        words = shlex.split(re.sub(r'[$()"]', " ", line), comments=True)
        words = words[words.index("intaglio") + 1 :]
        end = next((k for k, word in enumerate(words) if word in ("|", ">", ">>")), len(words))
        assert words[0] == name
        assert cli.commands.commands[name].make_context(name, words[1:end]).params


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_scripts(shell: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert exit_code("completion", shell) == 0
    text = capsys.readouterr().out
    assert VARIABLE in text
    assert "intaglio" in text


def test_the_shell_is_told_commands_and_options() -> None:
    for typed, wanted in (("we", "weights"), ("run model.ig --in", "--input")):
        words = ["intaglio", *typed.split()]
        found = subprocess.run(
            [sys.executable, "-m", "intaglio"], capture_output=True, text=True, check=True,
            env={**os.environ, VARIABLE: "bash_complete", "COMP_WORDS": " ".join(words),
                 "COMP_CWORD": str(len(words) - 1)},
        )  # fmt: skip
        assert wanted in found.stdout
