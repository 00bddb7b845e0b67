"""Training a loaded model on arrays: epochs, shuffled batches, evaluation, and a position that is
saved with the model.

Everything that the rest of a run depends on is in the model's state and in its metadata under
`training.*`: epochs done, batches done in the epoch begun, sums of its results, seed, batch size. A
run that goes on from there takes the very batches that an unbroken one takes, so it ends with the
same bits."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np

from intaglio.compiler.ir import Function, Program
from intaglio.runtime.batching import batching, cut, order
from intaglio.runtime.datasets import DataError, Tell
from intaglio.runtime.leaves import call_leaves, pick
from intaglio.runtime.model import Model

Array = np.ndarray[Any, Any]
PREFIX: Final = "training."
DEFAULT_BATCH: Final = 32


@dataclass
class Position:
    """How far a run is: whole epochs, batches of the next one, and what those batches gave."""

    epoch: int = 0
    step: int = 0
    seen: int = 0
    sums: dict[str, float] = field(default_factory=dict)

    def add(self, results: Mapping[str, float], rows: int) -> None:
        """Count a batch of so many rows."""
        for name, value in results.items():
            self.sums[name] = self.sums.get(name, 0.0) + value * rows
        self.seen += rows
        self.step += 1

    def means(self) -> dict[str, float]:
        """The results' means over the rows seen."""
        return {name: total / self.seen for name, total in self.sums.items()}


@dataclass(frozen=True)
class Settings:
    """What fixes the course of a run besides model and data. None stands for what the run being
    resumed had, or the default."""

    epochs: int = 1
    batch_size: int | None = None
    shuffle: bool | None = None
    seed: int | None = None
    function: str = ""
    eval_function: str = ""
    checkpoint_steps: int | None = None


@dataclass(frozen=True)
class Epoch:
    """What one epoch gave: means over its examples, and over those of the evaluation."""

    number: int
    metrics: Mapping[str, float]


def training_function(program: Program, wanted: str = "") -> Function:
    """The function that trains: the one wanted, else `train_step`, else the only one that updates a
    parameter."""
    if wanted or "train_step" in program.functions:
        return named_function(program, wanted or "train_step")
    parameters = {name for name, state in program.state.items() if state.kind == "parameter"}
    found = [f for f in program.functions.values() if parameters & set(f.updates)]
    if len(found) != 1:
        told = "none of its functions updates a parameter" if not found else "several could"
        raise DataError(f"the model has no function 'train_step', and {told}: name one")
    return found[0]


def named_function(program: Program, name: str) -> Function:
    """The function of this name; raises `DataError` when there is none."""
    if name not in program.functions:
        listed = ", ".join(map(repr, program.functions)) or "none"
        raise DataError(f"the model has no function {name!r}; it has {listed}")
    return program.functions[name]


class Run:
    """A training run of a model on data, from the beginning or from where the model's metadata say
    it is."""

    def __init__(
        self,
        model: Model,
        data: Mapping[str, Array],
        settings: Settings,
        *,
        eval_data: Mapping[str, Array] | None = None,
        resume: bool = False,
        tell: Tell,
    ) -> None:
        self.model, self.settings, self.tell = model, settings, tell
        function = training_function(model.program, settings.function)
        self.function = model.function(function.name)
        self.arrays = pick(function, data, tell)
        self.batching = batching(function, self.arrays)
        self.data_digest = digest(function.arguments, self.arrays)
        self.saved = _saved(model.metadata) if resume else {}
        if resume and "epoch" not in self.saved:
            raise DataError("this model was not saved by a training run: train without resuming")
        self._settle(function)
        self._evaluation = self._prepare_evaluation(eval_data)

    def _settle(self, function: Function) -> None:
        """Decide seed, order, batch size and position: what the caller says, else what was
        saved."""
        saved, wanted = self.saved, self.settings
        self.position = Position()
        if saved:
            self.position = _position(saved)
        shuffle = saved.get("shuffle") is not False
        self.seed = _whole(saved, "seed", 0) if wanted.seed is None else wanted.seed
        self.shuffle = shuffle if wanted.shuffle is None else wanted.shuffle
        if not 0 <= self.seed < 1 << 63:
            raise DataError(f"seed {self.seed}: from 0 to 2^63 - 1")
        size = wanted.batch_size
        if size is None and "batch_size" in saved:
            size = _whole(saved, "batch_size", 0)
        self.batch_size = self.batching.choose(size, DEFAULT_BATCH)
        self.spans = self.batching.spans(self.batch_size)
        if not self.spans:
            raise DataError(
                f"{self.batching.examples} rows are less than one batch of {self.batch_size}"
            )
        if self.position.step:
            self._check_middle(saved)
        dropped = self.batching.dropped(self.batch_size)
        if dropped:
            self.tell(
                f"the last {dropped} of {self.batching.examples} rows of an epoch are left out: "
                f"{function.name} takes batches of {self.batching.low} at least"
            )

    def _check_middle(self, saved: Mapping[str, object]) -> None:
        """Within an epoch nothing may differ from how it was begun."""
        now = self.metadata()
        for key in ("data", "seed", "shuffle", "batch_size", "function"):
            if saved.get(key) != now[PREFIX + key]:
                raise DataError(
                    f"the run was saved within epoch {self.position.epoch + 1}, and its {key} "
                    "differs now: resume with what it was begun with, or train anew"
                )
        if self.position.step > len(self.spans):
            raise DataError(f"the run is {self.position.step} batches into an epoch that has fewer")
        self.position.seen = self.spans[self.position.step - 1][1]

    def _prepare_evaluation(
        self, data: Mapping[str, Array] | None
    ) -> list[tuple[int, list[Array]]] | None:
        if data is None:
            return None
        name = self.settings.eval_function or "eval"
        function = named_function(self.model.program, name)
        arrays = pick(function, data, self.tell)
        cuts = batching(function, arrays)
        size = cuts.choose(None, self.batch_size)
        if dropped := cuts.dropped(size):
            self.tell(f"the last {dropped} rows of the evaluation are left out of its batches")
        self.eval_function = self.model.function(name)
        return list(cut(cuts, arrays, size))

    @property
    def steps(self) -> int:
        """Batches in an epoch."""
        return len(self.spans)

    def metadata(self) -> dict[str, str | int | float | bool]:
        """The model's metadata with this run's position and settings in it."""
        kept = {k: v for k, v in self.model.metadata.items() if not k.startswith(PREFIX)}
        at = self.position
        mine: dict[str, str | int | float | bool] = {
            "epoch": at.epoch,
            "step": at.step,
            "seed": self.seed,
            "shuffle": self.shuffle,
            "batch_size": self.batch_size,
            "function": self.function.name,
            "data": self.data_digest,
        }
        mine |= {f"sum.{name}": total.hex() for name, total in at.sums.items()}
        return {**kept, **{PREFIX + k: v for k, v in mine.items()}}  # type: ignore[dict-item]

    def epoch(
        self,
        step: Callable[[Position], None],
        save: Callable[[], None],
        stopped: Callable[[], bool],
    ) -> Epoch | None:
        """Run what is left of the present epoch; None when `stopped` said so between two batches.

        `step` is told of every batch done; `save` is called after every `checkpoint_steps` of
        them."""
        at, every = self.position, self.settings.checkpoint_steps
        rows = order(self.batching.examples, self.seed, at.epoch) if self.shuffle else None
        while at.step < self.steps:
            if stopped():
                return None
            begin, end = self.spans[at.step]
            chosen = slice(begin, end) if rows is None else rows[begin:end]
            results = call_leaves(self.function, self.batching.take(self.arrays, chosen))
            at.add(scalars(self.function.function, results), end - begin)
            step(at)
            if every and at.step % every == 0 and at.step < self.steps:
                save()
        metrics = at.means() | self.evaluate()
        self.position = Position(at.epoch + 1)
        return Epoch(at.epoch + 1, metrics)

    def evaluate(self) -> dict[str, float]:
        """Means of the evaluation's results over its rows, as `eval.NAME`; empty without
        evaluation data."""
        if self._evaluation is None:
            return {}
        total = Position()
        for rows, batch in self._evaluation:
            results = call_leaves(self.eval_function, batch)
            total.add(scalars(self.eval_function.function, results), rows)
        return {f"eval.{name}": value for name, value in total.means().items()}


def scalars(function: Function, results: Sequence[Array]) -> dict[str, float]:
    """The results that are single numbers, by name."""
    named = zip(function.results, results, strict=True)
    return {name: float(value) for name, value in named if np.ndim(value) == 0}


def digest(names: Sequence[str], arrays: Sequence[Array]) -> str:
    """SHA-256 over names, types, shapes and bytes of the data, as hexadecimal digits."""
    made = hashlib.sha256()
    for name, array in zip(names, arrays, strict=True):
        made.update(repr((name, array.dtype.name, array.shape)).encode())
        made.update(np.ascontiguousarray(array).view(np.uint8).data)
    return made.hexdigest()


def _saved(metadata: Mapping[str, object]) -> dict[str, object]:
    return {k.removeprefix(PREFIX): v for k, v in metadata.items() if k.startswith(PREFIX)}


def _whole(saved: Mapping[str, object], key: str, otherwise: int) -> int:
    """A saved whole number; raises `DataError` where it is none."""
    value = saved.get(key, otherwise)
    if not isinstance(value, int) or not 0 <= value < 1 << 63:
        raise _damaged()
    return value


def _position(saved: Mapping[str, object]) -> Position:
    """The saved position; raises `DataError` where the metadata make no sense."""
    sums = {}
    for key, value in saved.items():
        if key.startswith("sum."):
            try:
                sums[key.removeprefix("sum.")] = float.fromhex(str(value))
            except (ValueError, OverflowError):
                raise _damaged() from None
    return Position(_whole(saved, "epoch", -1), _whole(saved, "step", -1), 0, sums)


def _damaged() -> DataError:
    return DataError("the file's training.* metadata are damaged: train without resuming")


def show_number(value: float) -> str:
    """A metric as people read it."""
    return f"{value:.6g}" if math.isfinite(value) else str(value)
