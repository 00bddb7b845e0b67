"""A training run on the screen and on the disk: progress, reports, the files it writes, and a good
end when it is interrupted."""

from __future__ import annotations

import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import TYPE_CHECKING, Any

import click

from intaglio.tools.history import History
from intaglio.tools.show import safe, show_time, tell

if TYPE_CHECKING:
    from intaglio.runtime.position import Position
    from intaglio.runtime.training import Epoch, Run


class Trainer:
    """Drives a run: shows progress, reports epochs, saves, and ends well when interrupted. `out` is
    the file that a run goes on from; `best` gets the model of the best epoch."""

    def __init__(
        self, run: Run, out: str, history: History, hidden: bool | None, best: str | None = None
    ) -> None:
        self.run, self.out, self.best = run, out, best
        self.history, self.hidden = history, hidden
        epochs = run.settings.epochs
        self.of = "" if epochs is None else f"/{epochs}"

    def save(self) -> None:
        """Write model and position."""
        self.run.model.save(self.out, metadata=self.run.metadata())

    def work(self) -> None:
        """Run the epochs that are left. Ends the process with 128 + the signal's number when one
        asked it to stop."""
        if self.run.is_over():
            self.tell_over()
            self.save()
            return
        with self.run, stopping() as asked:
            while not self.run.is_over():
                before = time.perf_counter()
                found = self.epoch(asked)
                if found is not None:
                    self.report(found, time.perf_counter() - before)
                elif asked:
                    self.stop(asked[0])
                else:
                    self.save()
        watch = self.run.watch
        if self.run.position.step or (watch is not None and watch.over):
            self.tell_over()
        self.history.draw()

    def epoch(self, asked: list[int]) -> Epoch | None:
        """The rest of one epoch, under a progress bar."""
        from tqdm import tqdm

        run = self.run
        label = f"epoch {run.position.epoch + 1}{self.of}"
        with tqdm(
            total=run.steps, initial=run.position.step, desc=label, unit="step", leave=False,
            disable=self.hidden,
        ) as bar:  # fmt: skip

            def step(position: Position) -> None:
                if not bar.disable:
                    bar.set_postfix_str(shown_mean(position), refresh=False)
                bar.update()

            return run.epoch(step, self.save, lambda: bool(asked))

    def report(self, epoch: Epoch, seconds: float) -> None:
        """Log, save and print an epoch that is done. The best one is saved first: a run that dies
        in between does the epoch again, and saves it again."""
        from intaglio.runtime.position import show_number

        self.history.add(epoch, seconds)
        if epoch.best and self.best is not None:
            self.run.model.save(self.best, metadata=self.run.metadata())
        self.save()
        told = " ".join(f"{safe(n)} {show_number(v)}" for n, v in epoch.metrics.items())
        best = " best" if epoch.best and self.best is not None else ""
        click.echo(f"epoch {epoch.number}{self.of}: {told}{best} ({show_time(seconds)})")

    def tell_over(self) -> None:
        """Say why the run is at its end."""
        at, watch, most = self.run.position, self.run.watch, self.run.settings
        if watch is not None and watch.over:
            from intaglio.runtime.position import show_number

            tell(
                f"stopped early after epoch {at.epoch}: {safe(watch.name)} has not become better "
                f"in {watch.waited} evaluations; "
                + (
                    f"the best is {show_number(watch.best)} in epoch {watch.best_epoch}"
                    if watch.best_epoch
                    else "it never was a number, so there is no best epoch"
                )
            )
        elif most.epochs is not None and at.epoch >= most.epochs:
            tell(f"{at.epoch} of {most.epochs} epochs are done already")
        else:
            tell(
                f"{at.total} steps are done, {at.step} of {self.run.steps} in epoch {at.epoch + 1}"
            )

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


def shown_mean(position: Position) -> str:
    """The mean of the loss so far, or of the first result there is."""
    from intaglio.runtime.position import show_number

    name = "loss" if "loss" in position.sums else next(iter(position.sums), "")
    return f"{safe(name)} {show_number(position.means()[name])}" if name else ""


@contextmanager
def stopping() -> Iterator[list[int]]:
    """A list that the numbers of SIGINT and SIGTERM are put into as they arrive, so that the work
    can end between two steps; the second one ends it at once."""
    asked: list[int] = []

    def ask(number: int, frame: FrameType | None) -> None:
        if asked:
            raise KeyboardInterrupt
        asked.append(number)

    before: dict[int, Any] = {n: signal.signal(n, ask) for n in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield asked
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
