"""Where a training run stands: what of it is done, and how that is kept in a file's metadata.

The metadata `training.*` hold whole epochs, batches of the next one and sums of their results, all
steps ever taken, and of the watched result the best value and how long ago it was. Floats are
written as hexadecimal, so that they come back as they were."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from intaglio.runtime.datasets import DataError

PREFIX: Final = "training."
Remark = str | int | float | bool
Remarks = dict[str, Remark]
LESS: Final = ("loss", "error", "perplexity")
"""What a result is called of which less is better."""
MORE: Final = ("accuracy", "acc", "precision", "recall", "f1", "auc", "score")
"""What one is called of which more is better."""


@dataclass
class Position:
    """How far a run is: whole epochs, batches of the next one, and what those batches gave; `total`
    counts the batches of all epochs."""

    epoch: int = 0
    step: int = 0
    seen: int = 0
    total: int = 0
    sums: dict[str, float] = field(default_factory=dict)

    def add(self, results: Mapping[str, float], rows: int) -> None:
        """Count a batch of so many rows."""
        for name, value in results.items():
            self.sums[name] = self.sums.get(name, 0.0) + value * rows
        self.seen += rows
        self.step += 1
        self.total += 1

    def means(self) -> dict[str, float]:
        """The results' means over the rows seen."""
        return {name: total / self.seen for name, total in self.sums.items()}

    def next_epoch(self) -> Position:
        """The beginning of the next epoch."""
        return Position(self.epoch + 1, total=self.total)

    def remarks(self) -> Remarks:
        """As metadata, without the prefix."""
        counts: Remarks = {"epoch": self.epoch, "step": self.step, "steps": self.total}
        return counts | {f"sum.{name}": total.hex() for name, total in self.sums.items()}

    @classmethod
    def read(cls, saved: Mapping[str, object]) -> Position:
        """The saved position; raises `DataError` where the metadata make no sense."""
        sums = {
            key.removeprefix("sum."): exact(saved, key) for key in saved if key.startswith("sum.")
        }
        epoch, step = whole(saved, "epoch", -1), whole(saved, "step", -1)
        return cls(epoch, step, total=whole(saved, "steps", step), sums=sums)


@dataclass
class Watch:
    """The result by which a run is judged: its best value so far and since when it has not become
    better.

    `waited` counts the evaluations since one was better by more than `min_delta` than the last of
    that kind; `best` is the very best, in `best_epoch` (counted from 1; 0: there is none)."""

    name: str
    more: bool
    min_delta: float = 0.0
    patience: int | None = None
    best: float = math.nan
    best_epoch: int = 0
    reference: float = math.nan
    waited: int = 0

    def see(self, epoch: int, metrics: Mapping[str, float]) -> bool:
        """Count what an epoch gave; whether it is the best so far."""
        value = metrics.get(self.name)
        if value is None:
            return False
        if self._better(value, self.reference, self.min_delta):
            self.reference, self.waited = value, 0
        else:
            self.waited += 1
        if not self._better(value, self.best, 0.0):
            return False
        self.best, self.best_epoch = value, epoch
        return True

    def _better(self, value: float, than: float, by: float) -> bool:
        if math.isnan(value) or math.isnan(than):
            return not math.isnan(value)
        return value > than + by if self.more else value < than - by

    @property
    def over(self) -> bool:
        """Whether patience is at its end."""
        return self.patience is not None and self.waited >= self.patience

    def remarks(self) -> Remarks:
        """As metadata, without the prefix."""
        return {
            "watch": self.name,
            "watch.more": self.more,
            "best": self.best.hex(),
            "best.epoch": self.best_epoch,
            "best.reference": self.reference.hex(),
            "waited": self.waited,
        }

    def restore(self, saved: Mapping[str, object]) -> bool:
        """Take over what was saved; False when that was about another result."""
        if "watch" not in saved:
            return True
        if (saved["watch"], saved.get("watch.more")) != (self.name, self.more):
            return False
        self.best, self.best_epoch = exact(saved, "best"), whole(saved, "best.epoch", -1)
        self.reference, self.waited = exact(saved, "best.reference"), whole(saved, "waited", -1)
        return True


def watched(text: str) -> tuple[str, bool]:
    """The name of a result, and whether more of it is better: `NAME`, `NAME:min` or `NAME:max`.
    Raises `DataError` for a name that does not tell."""
    name, colon, mode = text.rpartition(":")
    if colon and mode in ("min", "max"):
        return name, mode == "max"
    words = text.rpartition(".")[2].lower().replace("-", "_").split("_")
    for known, more in ((LESS, False), (MORE, True)):
        if any(word in known for word in words):
            return text, more
    raise DataError(f"whether less or more of {text!r} is better: say {text}:min or {text}:max")


def saved_remarks(metadata: Mapping[str, object]) -> dict[str, object]:
    """The remarks about training, without their prefix."""
    return {k.removeprefix(PREFIX): v for k, v in metadata.items() if k.startswith(PREFIX)}


def whole(saved: Mapping[str, object], key: str, otherwise: int) -> int:
    """A saved whole number; raises `DataError` where it is none."""
    value = saved.get(key, otherwise)
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value < 1 << 63:
        raise damaged()
    return value


def exact(saved: Mapping[str, object], key: str) -> float:
    """A number saved as hexadecimal; raises `DataError` where it is none."""
    try:
        return float.fromhex(str(saved.get(key)))
    except (ValueError, OverflowError):
        raise damaged() from None


def damaged() -> DataError:
    """What is raised where the metadata make no sense."""
    return DataError("the file's training.* metadata are damaged: train without resuming")


def show_number(value: float) -> str:
    """A metric as people read it."""
    return f"{value:.6g}" if math.isfinite(value) else str(value)
