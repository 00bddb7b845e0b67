"""`intaglio completion`: the script that teaches a shell to complete intaglio's command lines."""

from __future__ import annotations

import click
from click.shell_completion import get_completion_class

from intaglio.tools.options import Examples

VARIABLE = "_INTAGLIO_COMPLETE"
"""The environment variable by which the script asks for completions."""


@click.command(
    cls=Examples,
    examples="""
    eval "$(intaglio completion bash)"                                  # now, in this shell
    intaglio completion bash >> ~/.bash_completion                      # for good
    intaglio completion zsh > ~/.zfunc/_intaglio
    intaglio completion fish > ~/.config/fish/completions/intaglio.fish
    """,
)
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
@click.pass_context
def completion(context: click.Context, shell: str) -> None:
    """Print the script that makes bash, zsh or fish complete commands, options and files."""
    kind = get_completion_class(shell)
    assert kind is not None
    click.echo(kind(context.find_root().command, {}, "intaglio", VARIABLE).source())
