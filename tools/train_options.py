"""What of a training run may be chosen on the command line: the fields of its `Settings`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import click

F = TypeVar("F", bound=Callable[..., Any])
POSITIVE = click.IntRange(min=1)


def course_options(command: F) -> F:
    """Which steps are taken."""
    return _with(
        command,
        click.option(
            "--epochs",
            type=click.IntRange(min=0),
            help="Epochs in all, those before a resumption included (default: 1; with --steps: "
            "as many as that takes).",
        ),
        click.option("--steps", type=POSITIVE, help="Steps in all, likewise (default: no bound)."),
        click.option("--batch-size", type=POSITIVE, help="Rows per step (default: 32)."),
        click.option(
            "--shuffle/--no-shuffle", default=None, help="Mix the examples (default: yes)."
        ),
        click.option(
            "--seed",
            type=click.IntRange(min=0),
            help="Of the order of examples (default: 0); with --init of the file's draws too.",
        ),
        click.option("--function", default="", help="What trains (default: train_step)."),
        click.option(
            "--checkpoint-steps",
            type=POSITIVE,
            metavar="N",
            help="Save within epochs too, after every N steps.",
        ),
        click.option(
            "--workers",
            type=click.IntRange(min=0),
            default=0,
            metavar="N",
            help="Processes that fetch batches ahead (default: none).",
        ),
    )


def judging_options(command: F) -> F:
    """What is evaluated, and what comes of it."""
    return _with(
        command,
        click.option("--eval-function", default="", help="What evaluates (default: eval)."),
        click.option(
            "--eval-every",
            type=POSITIVE,
            default=1,
            metavar="N",
            help="Evaluate after every Nth epoch (default: every one).",
        ),
        click.option(
            "--best-by",
            "watch",
            default="",
            metavar="RESULT",
            help="The result that tells which epoch is best, such as eval.accuracy or x:min, x:max "
            "(default: eval.loss, else loss).",
        ),
        click.option(
            "--patience",
            type=POSITIVE,
            metavar="N",
            help="Stop when that result has not become better in N evaluations.",
        ),
        click.option(
            "--min-delta",
            type=click.FloatRange(min=0),
            default=0.0,
            metavar="X",
            help="By how much it has to become better to count (default: 0).",
        ),
        click.option(
            "--stop-on-nan", is_flag=True, help="End without saving when a result is not finite."
        ),
    )


def _with(command: F, *options: Callable[[F], F]) -> F:
    for option in reversed(options):
        command = option(command)
    return command
