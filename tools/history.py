"""What a training run gave, epoch by epoch: kept in a file of metrics, drawn as curves."""

from __future__ import annotations

import csv
import io
import json
import math
import os
from typing import TYPE_CHECKING, Any

import click

from intaglio.tools.atomic import check_writable, replacing
from intaglio.tools.show import safe

if TYPE_CHECKING:
    from intaglio.runtime.training import Epoch

METRICS = (".csv", ".jsonl")
PICTURES = (".png", ".svg", ".pdf")
COUNT, TIME = "epoch", "seconds"
"""The columns that are no results."""
WIDTH, HEIGHT = 6.4, 3.2
"""Inches of one plot."""


class History:
    """Rows of an epoch each, in a `.csv` or `.jsonl` file if wanted, and a picture if wanted. Rows
    of the file that a resumed run builds on are kept."""

    def __init__(self, metrics: str | None, plot: str | None, epochs: int) -> None:
        self.metrics, self.plot = metrics, plot
        self.rows: list[dict[str, float]] = []
        if plot is not None:
            _matplotlib()
            check_writable(plot)
        if metrics is not None:
            if epochs and os.path.exists(metrics):
                self.rows = [
                    row for row in read_rows(metrics) if row.get(COUNT, math.inf) <= epochs
                ]
            check_writable(metrics)

    def add(self, epoch: Epoch, seconds: float) -> None:
        """Count an epoch, and write the file of metrics anew."""
        self.rows.append({COUNT: epoch.number, **epoch.metrics, TIME: round(seconds, 3)})
        if self.metrics is not None:
            text = as_csv(self.rows) if is_csv(self.metrics) else as_jsonl(self.rows)
            with replacing(self.metrics) as file:
                file.write(text.encode())

    def draw(self) -> None:
        """Draw the curves, where wanted and there is an epoch to be drawn."""
        if self.plot is not None and self.rows:
            from matplotlib import rc_context

            made = curves(self.rows)
            style = os.path.splitext(self.plot)[1].lower()[1:]
            # Text stays text in a .svg, and the same curves are the same bytes.
            dates = {"png": {}, "svg": {"Date": None}, "pdf": {"CreationDate": None}}[style]
            settings: Any = {"svg.fonttype": "none", "svg.hashsalt": "intaglio"}
            with replacing(self.plot) as file, rc_context(settings):
                made.savefig(file, format=style, metadata=dates)


def check_endings(metrics: str | None, plot: str | None) -> None:
    """A usage error for files of a kind that is not written."""
    for path, kinds, option in ((metrics, METRICS, "--metrics"), (plot, PICTURES, "--plot")):
        if path is not None and os.path.splitext(path)[1].lower() not in kinds:
            raise click.BadParameter(f"it ends in {' or '.join(kinds)}", param_hint=f"'{option}'")


def is_csv(path: str) -> bool:
    """Whether a file of metrics is a table, and not JSON lines."""
    return path.lower().endswith(".csv")


def read_rows(path: str) -> list[dict[str, float]]:
    """The rows of a file of metrics that was written before. Raises `DataError` for any other."""
    from intaglio.runtime.datasets import DataError

    try:
        with open(path, newline="", encoding="utf-8") as file:
            if is_csv(path):
                found: list[dict[str, Any]] = list(csv.DictReader(file, restval=""))
            else:
                found = [json.loads(line) for line in file if line.strip()]
        return [{k: float(v) for k, v in row.items() if v not in ("", None)} for row in found]
    except (ValueError, TypeError, AttributeError, csv.Error):
        raise DataError(f"{path} is no file of metrics: name another one") from None


def as_csv(rows: list[dict[str, float]]) -> str:
    """A line for every epoch below the names."""
    names = dict.fromkeys(name for row in rows for name in row if name != TIME)
    text = io.StringIO()
    writer = csv.DictWriter(text, [*names, TIME], restval="", lineterminator="\n")
    writer.writeheader()
    writer.writerows({name: _number(value) for name, value in row.items()} for row in rows)
    return text.getvalue()


def as_jsonl(rows: list[dict[str, float]]) -> str:
    """A JSON object for every epoch; NaN and infinities as JSON's users commonly write them."""
    return "".join(
        json.dumps({**row, COUNT: int(row[COUNT])}, ensure_ascii=True) + "\n" for row in rows
    )


def _number(value: float) -> str:
    return str(int(value)) if isinstance(value, int) or value.is_integer() else repr(value)


def _matplotlib() -> Any:
    """Matplotlib's figure, drawn without a screen and without its global state."""
    from intaglio.compiler.errors import MissingExtra

    try:
        from matplotlib.figure import Figure
    except ImportError:
        raise MissingExtra("Matplotlib", "plot", "--plot") from None
    return Figure


def curves(rows: list[dict[str, float]]) -> Any:
    """A figure with a plot for every result, that of the evaluation beside that of the training."""
    plots: dict[str, list[str]] = {}
    for name in dict.fromkeys(n for row in rows for n in row if n not in (COUNT, TIME)):
        plots.setdefault(name.removeprefix("eval."), []).append(name)
    figure = _matplotlib()(figsize=(WIDTH, HEIGHT * max(len(plots), 1)), layout="constrained")
    for number, (title, names) in enumerate(plots.items(), 1):
        axes = figure.add_subplot(len(plots), 1, number)
        for name in names:
            points = [(row[COUNT], row[name]) for row in rows if name in row]
            label, color = ("evaluation", "C1") if name.startswith("eval.") else ("training", "C0")
            axes.plot(*zip(*points, strict=True), marker=".", label=label, color=color)
        axes.set(xlabel="epoch", ylabel=_literal(title))
        axes.xaxis.get_major_locator().set_params(integer=True)
        axes.grid(alpha=0.3)
        axes.legend()
    return figure


def _literal(text: str) -> str:
    """A name as Matplotlib shows it as it stands: its dollar signs would begin a formula."""
    return safe(text).replace("$", r"\$")
