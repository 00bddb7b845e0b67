"""Schedules made of schedules: one after the other, or all at each step."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Mapping, Sequence
from typing import Any

import intaglio as ig
from intaglio._modes import modes
from intaglio._tensor import Tensor
from intaglio.compiler.errors import ArgumentError
from intaglio.optim._optimizer import Optimizer
from intaglio.optim._schedule import LRScheduler, put, where_chosen
from intaglio.optim._schedule_plateau import ReduceLROnPlateau


class _OfSeveral(LRScheduler):
    """A schedule made of others of the same optimizer."""

    _not_saved = (*LRScheduler._not_saved, "_schedulers")

    def _take(self, schedulers: Sequence[LRScheduler], optimizer: Optimizer | None) -> None:
        name, given = type(self).__name__, list(schedulers)
        if not given:
            raise ArgumentError(f"{name}: one schedule or more is wanted, and none was given")
        for k, part in enumerate(given):
            if not hasattr(part, "optimizer"):
                raise TypeError(f"{name}: the schedule {k} has no optimizer: {part!r}")
            if isinstance(part, ReduceLROnPlateau):
                raise ArgumentError(
                    f"{name}: the schedule {k} is a ReduceLROnPlateau, whose step needs a metric;"
                    " step it by itself"
                )
            if optimizer is None:
                optimizer = part.optimizer
            if part.optimizer is not optimizer:
                raise ArgumentError(f"{name}: the schedule {k} belongs to another optimizer")
        self._attach(optimizer)
        self._schedulers = given

    def parts(self) -> Sequence[LRScheduler]:
        """The schedules that this one is made of."""
        return self._schedulers

    def get_lr(self) -> list[Any]:
        """The rates set last."""
        return self._made(self._rates())

    def _back_to_start(self) -> None:
        for group in self.optimizer.param_groups:
            start: Any = group.tensors["initial_lr"]
            put(group.tensors["lr"], start)  # type: ignore[arg-type]  # a single number

    def reset(self) -> None:
        """Go back to the start: the counters of all, and the rates as they were. Traceable."""
        self._back_to_start()
        self._rewind()

    def state_dict(self) -> dict[str, Any]:
        """As every schedule's; `_schedulers` holds those of the parts."""
        return super().state_dict() | {"_schedulers": [s.state_dict() for s in self._schedulers]}

    def load_state_dict(self, state_dict: Mapping[str, Any]) -> None:
        """Take over what `state_dict` gave, here or in torch."""
        parts = state_dict["_schedulers"]
        if len(parts) != len(self._schedulers):
            raise ArgumentError(
                f"{type(self).__name__}.load_state_dict: {len(parts)} schedules do not fit"
                f" {len(self._schedulers)}"
            )
        super().load_state_dict(state_dict)
        for own, given in zip(self._schedulers, parts, strict=True):
            own.load_state_dict(given)


class SequentialLR(_OfSeveral):
    """One schedule after the other: the next one starts at each of the `milestones`."""

    def __init__(
        self,
        optimizer: Optimizer,
        schedulers: Sequence[LRScheduler],
        milestones: Sequence[int],
        last_epoch: int = -1,
    ) -> None:
        self._take(schedulers, optimizer)
        if len(milestones) != len(self._schedulers) - 1:
            raise ArgumentError(
                f"SequentialLR: {len(self._schedulers)} schedules need one milestone less, and"
                f" {len(milestones)} were given"
            )
        self._milestones = list(milestones)
        self.last_epoch = last_epoch + 1
        self._start()

    def _start(self) -> None:
        """The first schedule's initial step alone; the others' are undone."""
        self._back_to_start()
        self._undo(self)
        first = self._schedulers[bisect_right(self._milestones, 0)]
        first._initial_step()
        self._set_numbers("last_lr", first._numbers("last_lr"))

    @staticmethod
    def _undo(schedule: LRScheduler) -> None:
        if schedule.parts():
            for part in schedule.parts():
                SequentialLR._undo(part)
        else:
            counter = schedule._state["last_epoch"]
            put(counter, counter - 1)

    def _rewind(self) -> None:
        for part in self._schedulers:
            part._rewind()
        self.last_epoch = 0
        self._start()

    def step(self, epoch: Any = None) -> None:
        """Step the schedule whose turn it is."""
        if epoch is not None:
            raise ArgumentError("SequentialLR: step takes no epoch")
        counter = self._state["last_epoch"]
        put(counter, counter + 1)
        if modes.trace is None:
            now = counter.item()
            turn = bisect_right(self._milestones, now)
            self._step_part(turn, turn > 0 and self._milestones[turn - 1] == now)
            return
        turn_of = ig.zeros((), dtype=ig.int64)
        for milestone in self._milestones:
            turn_of = turn_of + (counter >= milestone).to(ig.int64)
        # A schedule that is not chosen writes nothing, so those that follow read what was there.
        for k in range(len(self._schedulers)):
            self._step_chosen(k, turn_of == k)

    def _step_chosen(self, k: int, chosen: Tensor) -> None:
        if k == 0:
            with where_chosen(chosen):
                self._step_part(0, False)
            return
        starts = self._state["last_epoch"] == self._milestones[k - 1]
        both = (chosen & starts, chosen & ~starts)
        for condition, at_start in zip(both, (True, False), strict=True):
            with where_chosen(condition):
                self._step_part(k, at_start)

    def _step_part(self, k: int, at_start: bool) -> None:
        part = self._schedulers[k]
        if at_start:
            part._update_lr(0)
        else:
            part.step()
        self._set_numbers("last_lr", part._numbers("last_lr"))


class ChainedScheduler(_OfSeveral):
    """Several schedules, all stepped at each step, each from the rates that the one before has
    set."""

    def __init__(
        self, schedulers: Sequence[LRScheduler], optimizer: Optimizer | None = None
    ) -> None:
        self._take(schedulers, optimizer)
        self._keep_last()

    def _rewind(self) -> None:
        for part in self._schedulers:
            part._rewind()
        self._keep_last()

    def step(self, epoch: Any = None) -> None:
        """Step all."""
        if epoch is not None:
            raise ArgumentError("ChainedScheduler: step takes no epoch")
        for part in self._schedulers:
            part.step()
        self._keep_last()
