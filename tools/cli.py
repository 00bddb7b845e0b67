"""The command `intaglio`: a group of subcommands, each of which parses its arguments and calls.

Exit codes: 0 all is well, 1 the model or the data is at fault, 2 the command line is.
"""

import sys

import click

from intaglio.compiler.errors import Error
from intaglio.runtime.version import __version__


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="intaglio")
def commands() -> None:
    """Look at, run and train models saved by intaglio."""


def main(arguments: list[str] | None = None) -> None:
    """Run a command line (by default the process's own) and end the process with its exit code."""
    try:
        commands.main(args=arguments, prog_name="intaglio")
    except Error as error:
        click.echo(f"intaglio: {error}", err=True)
        sys.exit(1)
