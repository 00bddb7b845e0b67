"""`intaglio train`: train a model on arrays from files, resumably."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import click

from intaglio.tools.atomic import check_writable
from intaglio.tools.history import History, check_endings
from intaglio.tools.options import (
    Examples,
    check_nan_option,
    hidden_bar,
    machine_options,
    model_argument,
    open_model,
    parse_pairs,
    progress_option,
)
from intaglio.tools.show import tell
from intaglio.tools.train_data import check_overwriting, check_streams, read_arrays
from intaglio.tools.train_options import course_options, judging_options

if TYPE_CHECKING:
    from intaglio.runtime.model import Model
    from intaglio.runtime.training import Settings


@click.command(
    cls=Examples,
    examples="""
    intaglio train model.ig --data train.npz --epochs 15 --out trained.ig
    intaglio train model.ig --data train.csv --eval-data test.csv --set optim.lr=3e-4 \\
        --best best.ig --patience 5 --metrics run.jsonl --plot curve.png --out trained.ig
    intaglio train trained.ig --data train.npz --epochs 30 --resume --out trained.ig
    intaglio train model.ig --init --seed 5 --data x=x.npy --data t=t.npy --out other.ig
    """,
)
@model_argument
@click.option(
    "--data",
    required=True,
    multiple=True,
    metavar="FILE|NAME=FILE",
    help="The examples: .npz, .npy or .csv, or - (repeatable).",
)
@click.option(
    "--eval-data",
    multiple=True,
    metavar="FILE|NAME=FILE",
    help="Examples to evaluate on (repeatable).",
)
@click.option("--out", required=True, type=click.Path(dir_okay=False), help="The trained model.")
@click.option("--best", type=click.Path(dir_okay=False), help="The model of the best epoch.")
@click.option("--resume", is_flag=True, help="Go on where the model's training was saved.")
@click.option("--init", is_flag=True, help="Start from new weights, drawn by the file's init.")
@click.option(
    "--set",
    "states",
    multiple=True,
    metavar="STATE=NUMBER",
    callback=parse_pairs,
    help="Set a number in the state, such as optim.lr=3e-4 (repeatable).",
)
@course_options
@judging_options
@click.option(
    "--metrics",
    type=click.Path(dir_okay=False),
    help="A .csv or .jsonl file, a line an epoch.",
)
@click.option(
    "--plot",
    type=click.Path(dir_okay=False),
    help="Draw the curves: .png, .svg or .pdf (needs intaglio[plot]).",
)
@progress_option
@check_nan_option
@machine_options
def train(
    model: str,
    data: tuple[str, ...],
    eval_data: tuple[str, ...],
    out: str,
    best: str | None,
    resume: bool,
    init: bool,
    states: dict[str, str],
    metrics: str | None,
    plot: str | None,
    progress: bool | None,
    device: str,
    threads: int | None,
    max_memory: int | None,
    check_nan: bool,
    **course: Any,
) -> None:
    """Train a model and save it after every epoch, and when interrupted.

    The data's keys are the parameters' names of the function that trains. A run that is resumed
    ends with the same bits as one that was never broken."""
    from intaglio.runtime.training import Run, begin_anew

    check_usage(metrics, plot, out, best, resume, init)
    check_streams(data, eval_data)
    check_overwriting([*data, *eval_data], [out, best, metrics, plot])
    settings = settings_of(course)
    loaded = open_model(model, device, threads, max_memory, check_nan)
    if init:
        begin_anew(loaded, settings.seed)
    set_states(loaded, states)
    for path in filter(None, (out, best)):
        check_writable(path)
    evaluation = read_arrays(eval_data) if eval_data else None
    run = Run(loaded, read_arrays(data), settings, eval_data=evaluation, resume=resume, tell=tell)
    if best is not None:
        run.need_watch("--best")
    history = History(metrics, plot, run.position.epoch if resume else 0)
    from intaglio.tools.train_run import Trainer

    Trainer(run, out, history, hidden_bar(progress), best).work()


def check_usage(
    metrics: str | None, plot: str | None, out: str, best: str | None, resume: bool, init: bool
) -> None:
    """A usage error for options that do not go together."""
    check_endings(metrics, plot)
    if resume and init:
        raise click.UsageError("--init starts anew, and --resume goes on: give one of them")
    if best is not None and os.path.realpath(best) == os.path.realpath(out):
        raise click.UsageError("--best and --out are two files: a run goes on from its last epoch")


def settings_of(course: dict[str, Any]) -> Settings:
    """The options as `Settings`: one epoch unless steps are counted."""
    from intaglio.runtime.training import Settings

    if course["epochs"] is None and course["steps"] is None:
        course["epochs"] = 1
    return Settings(**course)


def set_states(model: Model, settings: Mapping[str, str]) -> None:
    """Set single numbers in the model's state."""
    from intaglio.runtime.datasets import DataError, as_scalar

    names = model.state.names()
    for name, text in settings.items():
        if name not in names:
            hyper = [n for n, s in model.program.state.items() if s.kind == "hyperparameter"]
            raise DataError(f"--set {name}: there is no such state; there are {', '.join(hyper)}")
        model.state[name] = as_scalar(text, model.program.state[names[name]].type, name)
