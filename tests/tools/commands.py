"""Running the command line in tests: in this process, or in one of its own that may import nothing
of the front end but the lazy root."""

import contextlib
import io
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import intaglio.tools.cli

GUARDED = """
import sys
class Guard:
    @staticmethod
    def find_spec(name, path=None, target=None):
        parts = name.split(".")
        if parts[0] == "intaglio" and len(parts) > 1:
            if parts[1] not in ("compiler", "runtime", "schemas", "tools"):
                raise AssertionError("the front end's " + name + " was imported")
        if parts[0] in {banned!r}:
            raise AssertionError(name + " was imported")
sys.meta_path.insert(0, Guard)
from intaglio.tools.cli import main
main()
"""


@dataclass
class Done:
    """What a command line gave."""

    code: int
    out: str
    err: str


def here(*arguments: object) -> Done:
    """Run a command line in this process."""
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        try:
            intaglio.tools.cli.main([str(a) for a in arguments])
        except SystemExit as ended:
            code = ended.code
    assert isinstance(code, int)
    return Done(code, out.getvalue(), err.getvalue())


def command(*arguments: object, banned: tuple[str, ...] = ()) -> list[str]:
    """The guarded command line of a process of its own."""
    code = GUARDED.format(banned=banned)
    return [sys.executable, "-c", code, *map(str, arguments)]


def alone(*arguments: object, folder: Path, banned: tuple[str, ...] = ()) -> Done:
    """Run a command line in a process of its own, in a folder that has no source."""
    done = subprocess.run(
        command(*arguments, banned=banned),
        cwd=folder,
        env=os.environ,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    return Done(done.returncode, done.stdout, done.stderr)
