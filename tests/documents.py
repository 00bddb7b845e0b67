"""Pages that are executed: what they tell to type is run, what they show is compared.

Blocks are run in their order, in one folder:

- `python`: a script; its first line names its file (`# net.py`). Blocks of one file share names.
- `text` right after it: what the script prints.
- `console`: lines after `$ ` are commands (a backslash at the end goes on), the others what the
  command prints, errors included.
- `sh`: commands whose output is not shown; each must succeed.

A comment in front of a block tells more: `<!-- numbers vary -->` compares its output with all
numbers, digests and widths of columns left out; `<!-- not run: why -->` skips it. A line `...` in
an output stands for any lines, `...` in a line for any characters."""

from __future__ import annotations

import contextlib
import io
import os
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from tests.tools.commands import here

FENCE = re.compile(
    r"(?:^<!-- (?P<note>[^\n]*?) -->\n)?^```(?P<kind>\w*)\n(?P<text>.*?)^```$",
    re.MULTILINE | re.DOTALL,
)
KINDS = {"python", "text", "console", "sh"}
VARY, SKIP = "numbers vary", "not run: "
DIGEST = re.compile(r"\b[0-9a-f]{12,}\b")
NUMBER = re.compile(r"[-+]?\b\d+(?:\.\d+)?(?:e[-+]?\d+)?(?:\s?(?:ns|us|ms|s)\b)?")
SHELL = re.compile(r"[|<>;&$`*]")


@dataclass(frozen=True)
class Block:
    """A fenced block: its kind, text, note and the line it begins at."""

    kind: str
    text: str
    note: str
    line: int

    @property
    def varies(self) -> bool:
        """Whether numbers are not compared."""
        return self.note == VARY


def blocks(page: str) -> Iterator[Block]:
    """The blocks of a page."""
    found = list(FENCE.finditer(page))
    assert page.count("```") == 2 * len(found), "a fence is not closed"
    for match in found:
        line = page.count("\n", 0, match.start("text"))
        yield Block(match["kind"], match["text"], match["note"] or "", line)


def run_page(path: Path, folder: Path) -> int:
    """Execute a page in a folder, which must be the current one; the number of blocks that were
    run. Raises `AssertionError` with the line of what is not as shown."""
    shell = Shell(folder)
    scripts: dict[str, dict[str, object]] = {}
    printed: str | None = None
    count = 0
    for block in blocks(path.read_text(encoding="utf-8")):
        at = f"{path.name}:{block.line}"
        assert block.kind in KINDS, f"{at}: blocks are {sorted(KINDS)}, and this is {block.kind!r}"
        assert block.note in ("", VARY) or block.note.startswith(SKIP), f"{at}: {block.note}"
        if block.note.startswith(SKIP):
            continue
        count += 1
        if block.kind == "text":
            assert printed is not None, f"{at}: there is no script before this output"
            compare(at, block.text, printed, block.varies)
        elif block.kind == "python":
            printed = run_script(at, block.text, folder, scripts)
        else:
            for command, shown in commands(block):
                code, output = shell.run(command)
                if block.kind == "console":
                    compare(f"{at}: $ {command}", shown, output, block.varies)
                else:
                    assert code == 0, f"{at}: {command}: {output}"
    return count


def run_script(at: str, text: str, folder: Path, scripts: dict[str, dict[str, object]]) -> str:
    """Run a block of Python as part of the file that its first line names; what it prints."""
    name = text.partition("\n")[0].removeprefix("# ").partition(":")[0]
    assert name.endswith(".py"), f"{at}: the first line names no file"
    with open(folder / name, "a", encoding="utf-8") as file:
        begin = file.tell()
        file.write(text)
    before = (folder / name).read_text(encoding="utf-8")[:begin].count("\n")
    code = compile("\n" * before + text, str(folder / name), "exec")
    out = io.StringIO()
    with contextlib.redirect_stdout(out):
        exec(code, scripts.setdefault(name, {"__name__": "__main__"}))  # noqa: S102  # our own page
    return out.getvalue()


def commands(block: Block) -> Iterator[tuple[str, str]]:
    """The commands of a block, each with the output shown below it."""
    if block.kind == "sh":
        for line in block.text.replace("\\\n", " ").splitlines():
            if shlex.split(line, comments=True):
                yield line, ""
        return
    parts = re.split(r"^\$ ", block.text.replace("\\\n", " "), flags=re.MULTILINE)
    assert not parts[0], f"line {block.line}: a transcript begins with a command"
    for part in parts[1:]:
        command, _, shown = part.partition("\n")
        yield command, shown


class Shell:
    """Runs commands in a folder: `intaglio` and `python` are those of these tests."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.programs = folder.parent / f"{folder.name}-programs"
        self.programs.mkdir(exist_ok=True)
        for name, words in (("python", ""), ("intaglio", "-m intaglio ")):
            script = self.programs / name
            script.write_text(f'#!/bin/sh\nexec "{sys.executable}" {words}"$@"\n')
            script.chmod(0o755)

    def run(self, command: str) -> tuple[int, str]:
        """The exit code of a command and what it prints."""
        words = shlex.split(command, comments=True)
        if words[0] == "intaglio" and "-" not in words and not SHELL.search(command):
            done = here(*words[1:])
            return done.code, done.err + done.out
        path = f"{self.programs}{os.pathsep}{os.environ['PATH']}"
        ended = subprocess.run(
            ["bash", "-c", command], cwd=self.folder, env={**os.environ, "PATH": path},
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=120, check=False,
        )  # fmt: skip
        return ended.returncode, ended.stdout


def plain(line: str) -> str:
    """A line without its numbers, digests and widths of columns."""
    line = NUMBER.sub("#", DIGEST.sub("#", line))
    return re.sub(r"\s+", " ", line).strip()


def compare(at: str, shown: str, printed: str, varies: bool) -> None:
    """Raise unless what is printed is what is shown."""
    wanted = [line.rstrip() for line in shown.rstrip().splitlines()]
    made = [line.rstrip() for line in printed.rstrip().splitlines()]
    if varies:
        wanted, made = [plain(line) for line in wanted], [plain(line) for line in made]
    pattern = "".join(
        r"(?:.*\n)*?" if line == "..." else ".*".join(map(re.escape, line.split("..."))) + r"\n"
        for line in wanted
    )
    text = "".join(f"{line}\n" for line in made)
    assert re.fullmatch(pattern, text), f"{at}\nshown:\n{shown}\nprinted:\n{printed}"
