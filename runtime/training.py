"""Training a loaded model on arrays: epochs, shuffled batches, evaluation, a schedule, the best
epoch, and a position that is saved with the model.

Everything that the rest of a run depends on is in the model's state and in its metadata under
`training.*`: what `Position` and `Watch` hold, seed, order and batch size. A run that goes on from
there takes the very batches that an unbroken one takes, so it ends with the same bits."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from intaglio.compiler.errors import IndexError, NaNError
from intaglio.compiler.ir import Function, Program
from intaglio.runtime.batching import batching, cut, order
from intaglio.runtime.datasets import DataError, Tell
from intaglio.runtime.leaves import call_leaves, pick
from intaglio.runtime.model import Model
from intaglio.runtime.position import (
    PREFIX,
    Position,
    Remarks,
    Watch,
    saved_remarks,
    watched,
    whole,
)

if TYPE_CHECKING:  # few runs have workers
    from intaglio.runtime.loading import Pool

Array = np.ndarray[Any, Any]
DEFAULT_BATCH: Final = 32
DIGEST_BYTES: Final = 1 << 24
INIT, SCHEDULE, EVAL = "init", "schedule", "eval"
"""The names of the functions that start anew, end an epoch, and evaluate."""
ROWS_TOLD: Final = 8


@dataclass(frozen=True)
class Settings:
    """What fixes the course of a run besides model and data. None stands for what the run being
    resumed had, or the default.

    `epochs` and `steps` (None: no bound) are counted from the run's first step on. `watch` names
    the result that is judged, as `watched` reads it; after `patience` evaluations in which it has
    not become better by more than `min_delta` the run is over. With `workers` as many processes
    fetch the batches ahead; the results do not depend on them."""

    epochs: int | None = 1
    batch_size: int | None = None
    shuffle: bool | None = None
    seed: int | None = None
    function: str = ""
    eval_function: str = ""
    checkpoint_steps: int | None = None
    steps: int | None = None
    eval_every: int = 1
    watch: str = ""
    patience: int | None = None
    min_delta: float = 0.0
    stop_on_nan: bool = False
    workers: int = 0


@dataclass(frozen=True)
class Epoch:
    """What one epoch gave: means over its examples, and over those of the evaluation; whether the
    result that is watched was the best so far."""

    number: int
    metrics: Mapping[str, float]
    best: bool = False


def training_function(program: Program, wanted: str = "") -> Function:
    """The function that trains: the one wanted, else `train_step`, else the only one that updates a
    parameter."""
    if wanted or "train_step" in program.functions:
        return named_function(program, wanted or "train_step")
    parameters = {name for name, state in program.state.items() if state.kind == "parameter"}
    found = [
        f for f in program.functions.values() if parameters & set(f.updates) and f.name != INIT
    ]
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


def begin_anew(model: Model, seed: int | None) -> None:
    """Call the file's `init`, which draws the parameters and takes all else back to its start; with
    a seed its random numbers are those of that seed. Raises `DataError` where there is none."""
    function = named_function(model.program, INIT)
    if function.arguments:
        raise DataError(f"init takes {', '.join(function.arguments)}: a start takes nothing")
    if seed is not None and "random.seed" in model.state:
        start = {"random.seed": np.int64(seed), "random.draw": np.int64(0)}
        model.state.update_all({n: v for n, v in start.items() if n in model.state})
    model.function(INIT)()


def scalar_names(function: Function) -> list[str]:
    """The names of the results that are single numbers."""
    named = zip(function.results, function.result_values, strict=True)
    return [name for name, value in named if not value.type.rank]


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
        self.saved = saved_remarks(model.metadata) if resume else {}
        if resume and "epoch" not in self.saved:
            raise DataError("this model was not saved by a training run: train without resuming")
        self._settle(function)
        self._evaluation = self._prepare_evaluation(eval_data)
        self.watch = self._watch()
        if settings.patience is not None:
            self.need_watch("patience")
        self._rates = changing_rates(model.program)
        self._schedule = self._find_schedule()
        self._pool: Pool | None = None

    def __enter__(self) -> Run:
        return self

    def __exit__(self, *_: object) -> None:
        if self._pool is not None:
            self._pool.close()
            self._pool = None

    # ------------------------------------------------------------------------------------ beginning

    def _settle(self, function: Function) -> None:
        """Decide seed, order, batch size and position: what the caller says, else what was
        saved."""
        saved, wanted = self.saved, self.settings
        self.position = Position.read(saved) if saved else Position()
        shuffle = saved.get("shuffle") is not False
        self.seed = whole(saved, "seed", 0) if wanted.seed is None else wanted.seed
        self.shuffle = shuffle if wanted.shuffle is None else wanted.shuffle
        if not 0 <= self.seed < 1 << 63:
            raise DataError(f"seed {self.seed}: from 0 to 2^63 - 1")
        size = wanted.batch_size
        if size is None and "batch_size" in saved:
            size = whole(saved, "batch_size", 0)
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
        now = self._course()
        for key in ("data", "seed", "shuffle", "batch_size", "function"):
            if saved.get(key) != now[key]:
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
        name = self.settings.eval_function or EVAL
        function = named_function(self.model.program, name)
        arrays = pick(function, data, self.tell)
        cuts = batching(function, arrays)
        size = cuts.choose(None, self.batch_size)
        if not cuts.spans(size):
            raise DataError(
                f"the evaluation's {cuts.examples} rows are less than one batch of {cuts.low}"
            )
        if dropped := cuts.dropped(size):
            self.tell(f"the last {dropped} rows of the evaluation are left out of its batches")
        self.eval_function = self.model.function(name)
        return list(cut(cuts, arrays, size))

    def _results(self) -> list[str]:
        """What an epoch's results are called."""
        names = scalar_names(self.function.function)
        if self._evaluation is not None:
            names += [f"eval.{n}" for n in scalar_names(self.eval_function.function)]
        return names

    def _watch(self) -> Watch | None:
        """The result to be watched, with what was saved of it: the one wanted, else the one that
        was watched before, else the loss (of the evaluation where there is one). One that was
        watched before and that this run does not have is only kept."""
        names, wanted, saved = self._results(), self.settings.watch, self.saved
        before = saved.get("watch")
        if not wanted and isinstance(before, str):
            wanted = f"{before}:{'max' if saved.get('watch.more') else 'min'}"
        if not wanted:
            wanted = next((n for n in ("eval.loss", "loss") if n in names), "")
        if not wanted:
            return None
        name, more = watched(wanted)
        if self.settings.watch and name not in names:
            raise DataError(
                f"there is no result {name!r} to be watched; there are {_listed(names)}"
            )
        made = Watch(name, more, self.settings.min_delta, self.settings.patience)
        if not made.restore(saved):
            self.tell(f"{name} is watched from now on: the best of {before} is forgotten")
        return made

    def need_watch(self, what: str) -> None:
        """Raise `DataError` where the run has no result by which it could be judged."""
        names = self._results()
        if self.watch is None or self.watch.name not in names:
            told = "a result" if self.watch is None else repr(self.watch.name)
            raise DataError(f"{what} needs {told}; say which of {_listed(names)} is to be watched")

    def _find_schedule(self) -> Function | None:
        """The function to be called at the end of an epoch."""
        found = self.model.program.functions.get(SCHEDULE)
        if found is None:
            return None
        values = found.argument_values
        if len(values) > 1 or any(v.type.rank or v.type.dtype.kind != "f" for v in values):
            raise DataError(
                "the function 'schedule', called after every epoch, takes nothing or one number, "
                f"and this one takes {', '.join(found.arguments)}"
            )
        if values:
            self.need_watch("the schedule")
        return found

    # ------------------------------------------------------------------------------------- position

    @property
    def steps(self) -> int:
        """Batches in an epoch."""
        return len(self.spans)

    def is_over(self) -> bool:
        """Whether as many epochs or steps are done as were wanted, or patience is at its end."""
        most, at = self.settings, self.position
        done = most.epochs is not None and at.epoch >= most.epochs
        return done or self._steps_done or (self.watch is not None and self.watch.over)

    @property
    def _steps_done(self) -> bool:
        most = self.settings.steps
        return most is not None and self.position.total >= most

    def _course(self) -> Remarks:
        return {
            "seed": self.seed,
            "shuffle": self.shuffle,
            "batch_size": self.batch_size,
            "function": self.function.name,
            "data": self.data_digest,
        }

    def metadata(self) -> Remarks:
        """The model's metadata with this run's position and settings in it."""
        kept = {k: v for k, v in self.model.metadata.items() if not k.startswith(PREFIX)}
        mine = self.position.remarks() | self._course()
        if self.watch is not None:
            mine |= self.watch.remarks()
        return {**kept, **{PREFIX + k: v for k, v in mine.items()}}  # type: ignore[dict-item]

    # --------------------------------------------------------------------------------------- course

    def epoch(
        self,
        step: Callable[[Position], None],
        save: Callable[[], None],
        stopped: Callable[[], bool],
    ) -> Epoch | None:
        """Run what is left of the present epoch; None when `stopped` said so between two batches,
        or all steps are done that were wanted.

        `step` is told of every batch done; `save` is called after every `checkpoint_steps` of
        them."""
        at, every = self.position, self.settings.checkpoint_steps
        for rows, batch in self._batches(stopped):
            if stopped() or self._steps_done:
                return None
            at.add(self._step(rows, batch), len(rows))
            step(at)
            if every and at.step % every == 0 and at.step < self.steps:
                save()
        return self._end_epoch() if at.step == self.steps else None

    def _batches(
        self, stopped: Callable[[], bool]
    ) -> Iterator[tuple[Sequence[int] | Array, list[Array]]]:
        """The batches that are left of the epoch, with the numbers of their rows."""
        at, cuts = self.position, self.batching
        rows = order(cuts.examples, self.seed, at.epoch) if self.shuffle else None
        left = self.spans[at.step :]
        if self.settings.workers and cuts.axis is not None:
            everything = np.arange(cuts.examples) if rows is None else rows
            yield from self._fetched([everything[begin:end] for begin, end in left], stopped)
            return
        for begin, end in left:
            if rows is None:
                yield range(begin, end), cuts.take(self.arrays, slice(begin, end))
            else:
                yield rows[begin:end], cuts.take(self.arrays, rows[begin:end])

    def _fetched(
        self, tasks: list[Array], stopped: Callable[[], bool]
    ) -> Iterator[tuple[Array, list[Array]]]:
        """The batches of these rows, gathered by the worker processes; none any more where the
        signal that asked this process to stop has ended the workers."""
        from intaglio.runtime.loading import ArrayFetcher, LoadingError, Pool

        batched = self.batching.batched
        if self._pool is None:
            cut_up = [a for a, is_cut in zip(self.arrays, batched, strict=True) if is_cut]
            self._pool = Pool(ArrayFetcher(cut_up), self.settings.workers)
        fetched: Iterator[Any] | None = None
        for rows in tasks:
            try:
                fetched = fetched or self._pool.run(tasks)
                following = iter(next(fetched))
            except LoadingError:
                if stopped():
                    return
                raise
            yield (
                rows,
                [
                    next(following) if is_cut else a
                    for a, is_cut in zip(self.arrays, batched, strict=True)
                ],
            )

    def _step(self, rows: Sequence[int] | Array, batch: list[Array]) -> dict[str, float]:
        """Train on a batch; an error says which rows it holds."""
        try:
            results = call_leaves(self.function, batch)
        except (IndexError, NaNError) as error:
            raise DataError(f"{error}; {self._place(rows)}") from error
        found = scalars(self.function.function, results)
        if self.settings.stop_on_nan:
            for name, value in found.items():
                if not math.isfinite(value):
                    raise DataError(
                        f"{name} became {value} in {self._place(rows)}; nothing of this step is "
                        "saved (--check-nan finds the operation)"
                    )
        return found

    def _place(self, rows: Sequence[int] | Array) -> str:
        """Where the run is, for a message."""
        at = self.position
        told = ", ".join(str(k) for k in rows[:ROWS_TOLD])
        more = ", ..." if len(rows) > ROWS_TOLD else ""
        return f"epoch {at.epoch + 1}, step {at.step + 1}, rows {told}{more} of the data"

    def _end_epoch(self) -> Epoch:
        """Evaluate, judge, move the schedule, and go on to the next epoch."""
        number = self.position.epoch + 1
        metrics = self.position.means()
        evaluated = number % self.settings.eval_every == 0
        if evaluated:
            metrics |= self.evaluate()
        metrics |= {shown: float(self.model.state[name]) for name, shown in self._rates.items()}
        best = self.watch is not None and self.watch.see(number, metrics)
        self._move_schedule(metrics)
        self.position = self.position.next_epoch()
        return Epoch(number, metrics, best)

    def _move_schedule(self, metrics: Mapping[str, float]) -> None:
        """Call the schedule, with the watched result if it takes one and the epoch has it."""
        if self._schedule is None:
            return
        function = self.model.function(SCHEDULE)
        if not self._schedule.arguments:
            function()
            return
        assert self.watch is not None
        if self.watch.name in metrics:
            dtype = self._schedule.argument_values[0].type.dtype.numpy
            function(np.array(metrics[self.watch.name], dtype))

    def evaluate(self) -> dict[str, float]:
        """Means of the evaluation's results over its rows, as `eval.NAME`; empty without
        evaluation data."""
        if self._evaluation is None:
            return {}
        total = Position()
        for rows, batch in self._evaluation:
            try:
                results = call_leaves(self.eval_function, batch)
            except (IndexError, NaNError) as error:
                at, end = self.position.epoch + 1, total.seen + rows - 1
                raise DataError(
                    f"{error}; evaluation after epoch {at}, rows {total.seen} to {end} of its data"
                ) from error
            total.add(scalars(self.eval_function.function, results), rows)
        return {f"eval.{name}": value for name, value in total.means().items()}


def changing_rates(program: Program) -> dict[str, str]:
    """The learning rates that some function changes, by the state's name, with the names they are
    shown under: `lr`, `lr.0`."""
    changed = {name for f in program.functions.values() if f.name != INIT for name in f.updates}
    made = {}
    for name, state in program.state.items():
        *path, last = name.split(".")
        if state.kind == "hyperparameter" and last == "lr" and name in changed:
            made[name] = ".".join(
                ["lr", *(part for part in path if part not in ("optim", "groups"))]
            )
    return made


def scalars(function: Function, results: Sequence[Array]) -> dict[str, float]:
    """The results that are single numbers, by name."""
    named = zip(function.results, results, strict=True)
    return {name: float(value) for name, value in named if np.ndim(value) == 0}


def digest(names: Sequence[str], arrays: Sequence[Array]) -> str:
    """SHA-256 over names, types, shapes and bytes of the data, as hexadecimal digits. Of mapped
    data a part at a time is in memory."""
    made = hashlib.sha256()
    for name, array in zip(names, arrays, strict=True):
        made.update(repr((name, array.dtype.name, array.shape)).encode())
        if array.flags.c_contiguous or not array.ndim:
            made.update(np.ascontiguousarray(array).reshape(-1).view(np.uint8).data)
            continue
        rows = max(1, DIGEST_BYTES * len(array) // max(array.nbytes, 1))
        for k in range(0, len(array), rows):
            made.update(np.ascontiguousarray(array[k : k + rows]).view(np.uint8).data)
    return made.hexdigest()


def _listed(names: Sequence[str]) -> str:
    return ", ".join(map(repr, names)) or "none"
