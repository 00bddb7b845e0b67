"""What several commands share: options, examples in their help, loading the model they speak of."""

from __future__ import annotations

import re
from collections.abc import Callable
from textwrap import dedent
from typing import TYPE_CHECKING, Any, TypeVar

import click

if TYPE_CHECKING:
    from intaglio.runtime.model import Model

F = TypeVar("F", bound=Callable[..., Any])


class Examples(click.Command):
    """A command whose help ends in a section of command lines to copy."""

    def __init__(self, *args: Any, examples: str, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.examples = dedent(examples).strip().splitlines()

    def format_epilog(self, context: click.Context, formatter: click.HelpFormatter) -> None:
        """The examples, each on a line of its own however long."""
        with formatter.section("Examples"):
            formatter.write("".join(f"  {line}\n" for line in self.examples))


def model_argument(command: F) -> F:
    """The model's file."""
    return click.argument("model", type=click.Path(), metavar="MODEL")(command)


def machine_options(command: F) -> F:
    """Where a model runs and what it may take."""
    options = [
        click.option(
            "--device",
            default="cpu",
            show_default=True,
            metavar="cpu|cuda",
            callback=_device,
            help="Where to run; cuda:1 is the second GPU.",
        ),
        click.option("--threads", type=click.IntRange(min=1), help="Threads (default: all cores)."),
        click.option(
            "--max-memory", metavar="SIZE", callback=_memory, help="Cap, such as 512MiB or 1GiB."
        ),
    ]
    for option in reversed(options):
        command = option(command)
    return command


def _device(context: click.Context, option: click.Parameter, text: str) -> str:
    if not re.fullmatch(r"cpu|cuda(:\d{1,3})?", text):
        raise click.BadParameter(f"{text!r} is neither cpu nor cuda")
    return text


def _memory(context: click.Context, option: click.Parameter, text: str | None) -> int | None:
    from intaglio.compiler.errors import ArgumentError
    from intaglio.runtime.settings import parse_bytes

    try:
        return None if text is None else parse_bytes(text)
    except ArgumentError as error:
        raise click.BadParameter(str(error)) from None


def check_nan_option(command: F) -> F:
    """Whether calls look for the op that made the first NaN."""
    return click.option(
        "--check-nan",
        is_flag=True,
        help="Stop at the op and line that a NaN comes from (slow).",
    )(command)


def progress_option(command: F) -> F:
    """Whether a progress bar is shown."""
    return click.option(
        "--progress/--no-progress",
        default=None,
        help="Show a progress bar (default: on a terminal).",
    )(command)


def hidden_bar(progress: bool | None) -> bool | None:
    """What tqdm calls `disable`: None leaves it to whether standard error is a terminal."""
    return None if progress is None else not progress


def parse_pairs(
    context: click.Context, option: click.Parameter, texts: tuple[str, ...]
) -> dict[str, str]:
    """`NAME=VALUE` options as a mapping."""
    found: dict[str, str] = {}
    for text in texts:
        name, equals, value = text.partition("=")
        if not (name and equals and value):
            raise click.BadParameter(f"{text!r}: NAME=VALUE is wanted")
        if name in found:
            raise click.BadParameter(f"{name!r} is given twice")
        found[name] = value
    return found


def size_option(command: F) -> F:
    """Values for symbolic sizes."""
    return click.option(
        "--size",
        "sizes",
        multiple=True,
        metavar="NAME=N",
        callback=_parse_sizes,
        help="Value of a symbolic size (repeatable).",
    )(command)


def _parse_sizes(
    context: click.Context, option: click.Parameter, texts: tuple[str, ...]
) -> dict[str, int]:
    found = {}
    for name, value in parse_pairs(context, option, texts).items():
        if not value.isdecimal():
            raise click.BadParameter(f"{name}={value}: a whole number is wanted")
        found[name] = int(value)
    return found


def open_model(
    path: str,
    device: str = "cpu",
    threads: int | None = None,
    max_memory: int | None = None,
    check_nan: bool = False,
) -> Model:
    """The model in a file."""
    from intaglio.runtime.model import load

    return load(path, device, threads, max_memory, check_nan=check_nan)
