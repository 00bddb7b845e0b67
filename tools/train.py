"""`intaglio train`: train a model on arrays from files, resumably."""

from __future__ import annotations

import signal
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from types import FrameType
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
from intaglio.tools.show import safe, show_time, tell

if TYPE_CHECKING:
    from intaglio.runtime.model import Model
    from intaglio.runtime.training import Epoch, Position, Run


@click.command(
    cls=Examples,
    examples="""
    intaglio train model.ig --data train.npz --epochs 15 --out trained.ig
    intaglio train model.ig --data train.csv --eval-data test.csv --set optim.lr=3e-4 \\
        --metrics run.jsonl --plot curve.png --out trained.ig
    intaglio train trained.ig --data train.npz --epochs 30 --resume --out trained.ig
    """,
)
@model_argument
@click.option("--data", required=True, type=click.Path(), help="The examples: .npz or .csv.")
@click.option("--eval-data", type=click.Path(), help="Examples to evaluate on after every epoch.")
@click.option(
    "--epochs",
    type=click.IntRange(min=0),
    default=1,
    show_default=True,
    help="Epochs in all, those before a resumption included.",
)
@click.option("--batch-size", type=click.IntRange(min=1), help="Rows per step (default: 32).")
@click.option("--out", required=True, type=click.Path(dir_okay=False), help="The trained model.")
@click.option("--resume", is_flag=True, help="Go on where the model's training was saved.")
@click.option("--shuffle/--no-shuffle", default=None, help="Mix the examples (default: yes).")
@click.option("--seed", type=click.IntRange(min=0), help="Of the order of examples (default: 0).")
@click.option(
    "--set",
    "settings",
    multiple=True,
    metavar="STATE=NUMBER",
    callback=parse_pairs,
    help="Set a number in the state, such as optim.lr=3e-4 (repeatable).",
)
@click.option("--function", default="", help="What trains (default: train_step).")
@click.option("--eval-function", default="", help="What evaluates (default: eval).")
@click.option(
    "--checkpoint-steps",
    type=click.IntRange(min=1),
    metavar="N",
    help="Save within epochs too, after every N steps.",
)
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
    data: str,
    eval_data: str | None,
    epochs: int,
    batch_size: int | None,
    out: str,
    resume: bool,
    shuffle: bool | None,
    seed: int | None,
    settings: dict[str, str],
    function: str,
    eval_function: str,
    checkpoint_steps: int | None,
    metrics: str | None,
    plot: str | None,
    progress: bool | None,
    **machine: Any,
) -> None:
    """Train a model and save it after every epoch, and when interrupted.

    The data's keys are the parameters' names of the function that trains. A run that is resumed
    ends with the same bits as one that was never broken."""
    from intaglio.runtime.datasets import read_named
    from intaglio.runtime.training import Run, Settings

    check_endings(metrics, plot)
    loaded = open_model(model, **machine)
    set_states(loaded, settings)
    check_writable(out)
    course = Settings(epochs, batch_size, shuffle, seed, function, eval_function, checkpoint_steps)
    evaluation = None if eval_data is None else read_named(eval_data)
    run = Run(loaded, read_named(data), course, eval_data=evaluation, resume=resume, tell=tell)
    history = History(metrics, plot, run.position.epoch if resume else 0)
    Trainer(run, epochs, out, history, hidden_bar(progress)).work()


def set_states(model: Model, settings: Mapping[str, str]) -> None:
    """Set single numbers in the model's state."""
    from intaglio.runtime.datasets import DataError, as_scalar

    names = model.state.names()
    for name, text in settings.items():
        if name not in names:
            hyper = [n for n, s in model.program.state.items() if s.kind == "hyperparameter"]
            raise DataError(f"--set {name}: there is no such state; there are {', '.join(hyper)}")
        model.state[name] = as_scalar(text, model.program.state[names[name]].type, name)


class Trainer:
    """Drives a run: shows progress, reports epochs, saves, and ends well when interrupted."""

    def __init__(
        self, run: Run, epochs: int, out: str, history: History, hidden: bool | None
    ) -> None:
        self.run, self.epochs, self.out = run, epochs, out
        self.history, self.hidden = history, hidden

    def save(self) -> None:
        """Write model and position."""
        self.run.model.save(self.out, metadata=self.run.metadata())

    def work(self) -> None:
        """Run the epochs that are left. Ends the process with 128 + the signal's number when one
        asked it to stop."""
        if self.run.position.epoch >= self.epochs:
            tell(f"{self.run.position.epoch} of {self.epochs} epochs are done already")
            self.save()
            return
        with stopping() as asked:
            while self.run.position.epoch < self.epochs:
                before = time.perf_counter()
                found = self.epoch(asked)
                if found is None:
                    self.stop(asked[0])
                else:
                    self.report(found, time.perf_counter() - before)
        self.history.draw()

    def epoch(self, asked: list[int]) -> Epoch | None:
        """The rest of one epoch, under a progress bar."""
        from tqdm import tqdm

        run = self.run
        label = f"epoch {run.position.epoch + 1}/{self.epochs}"
        with tqdm(
            total=run.steps, initial=run.position.step, desc=label, unit="step", leave=False,
            disable=self.hidden,
        ) as bar:  # fmt: skip

            def step(position: Position) -> None:
                bar.update()

            return run.epoch(step, self.save, lambda: bool(asked))

    def report(self, epoch: Epoch, seconds: float) -> None:
        """Log, save and print an epoch that is done."""
        from intaglio.runtime.training import show_number

        self.history.add(epoch, seconds)
        self.save()
        told = " ".join(f"{safe(n)} {show_number(v)}" for n, v in epoch.metrics.items())
        click.echo(f"epoch {epoch.number}/{self.epochs}: {told} ({show_time(seconds)})")

    def stop(self, number: int) -> None:
        """Save where the run is, say how to go on, end the process."""
        self.save()
        self.history.draw()
        at = self.run.position
        tell(
            f"stopped in epoch {at.epoch + 1} after {at.step} of {self.run.steps} steps; saved to "
            f"{self.out}. To go on: the same command on {self.out} with --resume"
        )
        raise click.exceptions.Exit(128 + number)


@contextmanager
def stopping() -> Iterator[list[int]]:
    """A list that the numbers of SIGINT and SIGTERM are put into as they arrive, so that the work
    can end between two steps; the second one ends it at once."""
    asked: list[int] = []

    def ask(number: int, frame: FrameType | None) -> None:
        if asked:
            raise KeyboardInterrupt
        asked.append(number)

    before = {n: signal.signal(n, ask) for n in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield asked
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
