"""The command `intaglio`: a group of subcommands, each of which parses its arguments and calls.

Exit codes: 0 all is well, 1 the model or the data is at fault, 2 the command line is; a run ended
by a signal gives 128 + its number, as the shell does.
"""

import builtins
import importlib.util
import io
import os
import sys

import click

from intaglio.compiler.errors import Error
from intaglio.runtime.version import __version__
from intaglio.tools.bench import bench
from intaglio.tools.completion import completion
from intaglio.tools.dump import dump
from intaglio.tools.info import info
from intaglio.tools.run import run
from intaglio.tools.show import one_line
from intaglio.tools.train import train
from intaglio.tools.weights import weights

INTERRUPTED = 130


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(__version__, prog_name="intaglio")
@click.option(
    "--ops",
    "files",
    multiple=True,
    type=click.Path(exists=True, dir_okay=False),
    metavar="FILE.py",
    help="Run this file first: it defines ops that the model names (repeatable).",
)
def commands(files: tuple[str, ...]) -> None:
    """Look at, run and train models saved by intaglio.

    `intaglio COMMAND --help` shows a command's options and examples. Exit codes: 0 all is well,
    1 the model or the data is at fault, 2 the command line is, 130 interrupted."""
    for number, file in enumerate(files):
        import_file(file, f"intaglio_ops_{number}")


for _command in (info, run, train, weights, dump, bench, completion):
    commands.add_command(_command)


def import_file(path: str, name: str) -> None:
    """Run a Python file of the user's, as a module of this name."""
    spec = importlib.util.spec_from_file_location(name, path)
    if spec is None or spec.loader is None:
        raise click.BadParameter(f"{path} is no Python file", param_hint="--ops")
    sys.modules[name] = module = importlib.util.module_from_spec(spec)
    try:
        spec.loader.exec_module(module)
    except Error:
        raise
    except Exception as error:
        raise click.ClickException(
            f"{path} failed with {type(error).__name__}: {one_line(error)}"
        ) from error


def main(arguments: list[str] | None = None) -> None:
    """Run a command line (by default the process's own) and end the process with its exit code."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    sys.exit(_run(arguments))


def _run(arguments: list[str] | None) -> int:
    """The exit code of a command line; every expected error is told in one line."""
    try:
        code = commands.main(args=arguments, prog_name="intaglio", standalone_mode=False)
        sys.stdout.flush()
        return code if isinstance(code, int) else 0
    except click.ClickException as error:
        error.show()
        return error.exit_code
    except (click.Abort, KeyboardInterrupt):
        click.echo("intaglio: interrupted", err=True)
        return INTERRUPTED
    except BrokenPipeError:
        # Whoever read the output has left: say nothing, also not when Python flushes at its end.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except (Error, OSError) as error:
        click.echo(f"intaglio: {one_line(error)}", err=True)
        return 1
    except builtins.MemoryError:
        click.echo("intaglio: there is not enough memory", err=True)
        return 1
