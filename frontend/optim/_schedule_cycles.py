"""Schedules of cycles that move the rate up and down, and the momentum against it (Smith 2015 and
2017)."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

import intaglio as ig
from intaglio._modes import modes
from intaglio._tensor import Tensor
from intaglio.compiler.errors import ArgumentError
from intaglio.optim._optimizer import Optimizer
from intaglio.optim._schedule import LRScheduler, called, per_group, put, saved_function


class _Cycled(LRScheduler):
    """A schedule that may set the momentum, or the first of the `betas`, as well."""

    use_beta1: bool

    def _start_momenta(
        self, name: str, optimizer: Optimizer, highest: list[float], lowest: list[float], new: bool
    ) -> None:
        if "momentum" not in optimizer.defaults and "betas" not in optimizer.defaults:
            raise ArgumentError(
                f"{name}: cycle_momentum needs an optimizer with momentum or betas; give"
                " cycle_momentum=False"
            )
        self.use_beta1 = "betas" in optimizer.defaults
        if not new:
            return
        for group, high, low in zip(optimizer.param_groups, highest, lowest, strict=True):
            if self.use_beta1:
                group["betas"] = (high, *group["betas"][1:])
            else:
                group["momentum"] = high
            group["max_momentum"], group["base_momentum"] = high, low

    def _set_momenta(self, values: list[Tensor]) -> None:
        for group, value in zip(self.optimizer.param_groups, values, strict=True):
            tensors: Any = group.tensors
            put(tensors["betas"][0] if self.use_beta1 else tensors["momentum"], value)


MODES = ("triangular", "triangular2", "exp_range")


class CyclicLR(_Cycled):
    """lr goes from `base_lr` to `max_lr` and back in straight lines, again and again, usually per
    batch.

    The height of a cycle is scaled by `mode` ("triangular": 1, "triangular2": halved each cycle,
    "exp_range": gamma ** step) or by `scale_fn` of the cycle or of the step (`scale_mode`). With
    `cycle_momentum` the momentum goes the other way."""

    _not_saved = (*LRScheduler._not_saved, "_scale_fn_custom")

    def __init__(
        self,
        optimizer: Optimizer,
        base_lr: float | list[float],
        max_lr: float | list[float],
        step_size_up: int = 2000,
        step_size_down: int | None = None,
        mode: str = "triangular",
        gamma: float = 1.0,
        scale_fn: Callable[[Any], Any] | None = None,
        scale_mode: str = "cycle",
        cycle_momentum: bool = True,
        base_momentum: float | list[float] = 0.8,
        max_momentum: float | list[float] = 0.9,
        last_epoch: int = -1,
    ) -> None:
        self._attach(optimizer)
        lows = per_group("CyclicLR: base_lr", optimizer, base_lr)
        self.max_lrs = per_group("CyclicLR: max_lr", optimizer, max_lr)
        if mode not in MODES and scale_fn is None:
            raise ArgumentError(f"CyclicLR: mode is one of {', '.join(MODES)}, not {mode!r}")
        down = step_size_up if step_size_down is None else step_size_down
        self.total_size = float(step_size_up) + float(down)
        self.step_ratio = float(step_size_up) / self.total_size
        self.mode, self.gamma, self._scale_fn_custom = mode, gamma, scale_fn
        by_cycle = mode != "exp_range"
        self.scale_mode = scale_mode if scale_fn else "cycle" if by_cycle else "iterations"
        self.cycle_momentum = cycle_momentum
        if cycle_momentum:
            highest = per_group("CyclicLR: max_momentum", optimizer, max_momentum)
            lowest = per_group("CyclicLR: base_momentum", optimizer, base_momentum)
            self._start_momenta("CyclicLR", optimizer, highest, lowest, last_epoch == -1)
            self.base_momentums, self.max_momentums = lowest, highest
        if last_epoch == -1:
            for group, low in zip(optimizer.param_groups, lows, strict=True):
                group["lr"] = low
        super().__init__(optimizer, last_epoch)
        self.base_lrs = lows

    def scale_fn(self, x: Any) -> Any:
        """The height of a cycle as a share of the whole: of the number of the cycle, from 1, or of
        the step."""
        if self._scale_fn_custom is not None:
            return called(self._scale_fn_custom, x) if isinstance(x, Tensor) else x
        if self.mode == "triangular":
            return 1.0
        if self.mode == "triangular2":
            return 1.0 / 2.0 ** (x - 1.0)
        return self.gamma**x

    def get_lr(self) -> list[Any]:
        """The rates of this step; sets the momentum too."""
        n = self._epoch
        cycle = ig.floor(1.0 + n / self.total_size)
        x = 1.0 + n / self.total_size - cycle
        up = x / self.step_ratio if self.step_ratio else x
        down = (x - 1.0) / (self.step_ratio - 1.0) if self.step_ratio != 1.0 else x
        height = ig.where(x <= self.step_ratio, up, down)
        scale = self.scale_fn(cycle if self.scale_mode == "cycle" else n)
        if self.cycle_momentum and (self._within_step or modes.trace is not None):
            pairs = zip(self.base_momentums, self.max_momentums, strict=True)
            self._set_momenta([high - (high - low) * height * scale for low, high in pairs])
        bases = zip(self._numbers("base_lrs"), self.max_lrs, strict=True)
        return self._made([low + (high - low) * height * scale for low, high in bases])

    def state_dict(self) -> dict[str, Any]:
        """As every schedule's; of a `scale_fn` that is an object, its attributes."""
        return super().state_dict() | {"_scale_fn_custom": saved_function(self._scale_fn_custom)}

    def load_state_dict(self, state_dict: Mapping[str, Any]) -> None:
        """Take over what `state_dict` gave."""
        super().load_state_dict(state_dict)
        kept = state_dict.get("_scale_fn_custom")
        if kept is not None and self._scale_fn_custom is not None:
            self._scale_fn_custom.__dict__.update(kept)


class OneCycleLR(_Cycled):
    """One cycle over the whole training, stepped per batch: lr rises from max_lr / div_factor to
    `max_lr` in the first `pct_start` of the steps, then falls to its start / final_div_factor. With
    `three_phase` it first falls back as it rose. With `cycle_momentum` the momentum goes the other
    way."""

    def __init__(
        self,
        optimizer: Optimizer,
        max_lr: float | list[float],
        total_steps: int | None = None,
        epochs: int | None = None,
        steps_per_epoch: int | None = None,
        pct_start: float = 0.3,
        anneal_strategy: str = "cos",
        cycle_momentum: bool = True,
        base_momentum: float | list[float] = 0.85,
        max_momentum: float | list[float] = 0.95,
        div_factor: float = 25.0,
        final_div_factor: float = 1e4,
        three_phase: bool = False,
        last_epoch: int = -1,
    ) -> None:
        self._attach(optimizer)
        self.total_steps = _total(total_steps, epochs, steps_per_epoch)
        if not isinstance(pct_start, float) or not 0.0 <= pct_start <= 1.0:
            raise ArgumentError(f"OneCycleLR: pct_start is a float in [0, 1], not {pct_start!r}")
        if anneal_strategy not in ("cos", "linear"):
            raise ArgumentError(
                f"OneCycleLR: anneal_strategy is 'cos' or 'linear', not {anneal_strategy!r}"
            )
        self._anneal_func_type = anneal_strategy
        self._schedule_phases = _phases(pct_start, self.total_steps, three_phase)
        highest = per_group("OneCycleLR: max_lr", optimizer, max_lr)
        if last_epoch == -1:
            for group, high in zip(optimizer.param_groups, highest, strict=True):
                group["initial_lr"], group["max_lr"] = high / div_factor, high
                group["min_lr"] = high / div_factor / final_div_factor
        self.cycle_momentum = cycle_momentum
        if cycle_momentum:
            tops = per_group("OneCycleLR: max_momentum", optimizer, max_momentum)
            lows = per_group("OneCycleLR: base_momentum", optimizer, base_momentum)
            self._start_momenta("OneCycleLR", optimizer, tops, lows, last_epoch == -1)
        super().__init__(optimizer, last_epoch)

    def _check_step(self) -> None:
        if modes.trace is not None:
            return
        following = self._state["last_epoch"].item() + 1
        if following > self.total_steps:
            raise ArgumentError(
                f"OneCycleLR: this is step {following} of a schedule of {self.total_steps} steps;"
                " make it with a larger total_steps"
            )

    def _along(self, first: str, last: str, share: Tensor) -> list[Tensor]:
        """From one of the groups' numbers to another."""
        made = []
        for start, end in zip(self._rates(first), self._rates(last), strict=True):
            if self._anneal_func_type == "cos":
                made.append(end + (start - end) / 2.0 * (ig.cos(math.pi * share) + 1.0))
            else:
                made.append((end - start) * share + start)
        return made

    def get_lr(self) -> list[Any]:
        """The rates of this step; sets the momentum too."""
        n = ig.clamp(self._epoch, max=float(self.total_steps))  # beyond it only in traces
        rates: list[Tensor] = []
        momenta: list[Tensor] = []
        for k in reversed(range(len(self._schedule_phases))):
            phase = self._schedule_phases[k]
            start = self._schedule_phases[k - 1]["end_step"] if k else 0.0
            end = phase["end_step"]
            share = (n - start) / (end - start if end != start else 1.0)
            here = n <= end
            found = self._along(phase["start_lr"], phase["end_lr"], share)
            rates = _chosen(here, found, rates)
            if self.cycle_momentum:
                found = self._along(phase["start_momentum"], phase["end_momentum"], share)
                momenta = _chosen(here, found, momenta)
        if self.cycle_momentum and (self._within_step or modes.trace is not None):
            self._set_momenta(momenta)
        return self._made(rates)


def _chosen(here: Tensor, found: list[Tensor], others: list[Tensor]) -> list[Tensor]:
    if not others:
        return found
    return [ig.where(here, a, b) for a, b in zip(found, others, strict=True)]


def _total(total_steps: Any, epochs: Any, steps_per_epoch: Any) -> int:
    given = {"total_steps": total_steps}
    if total_steps is None:
        given = {"epochs": epochs, "steps_per_epoch": steps_per_epoch}
        if epochs is None or steps_per_epoch is None:
            raise ArgumentError("OneCycleLR: give total_steps, or epochs and steps_per_epoch")
    for name, value in given.items():
        if not isinstance(value, int) or value <= 0:
            raise ArgumentError(f"OneCycleLR: {name} is a positive integer, not {value!r}")
    return math.prod(given.values())


def _phases(pct_start: float, total_steps: int, three_phase: bool) -> list[dict[str, Any]]:
    """The last step of each phase, and between which of the groups' numbers it goes."""
    ups = (float(pct_start * total_steps) - 1.0, "initial_lr", "max_lr")
    rows: list[tuple[Any, ...]] = [(*ups, "max_momentum", "base_momentum")]
    if three_phase:
        end = float(2 * pct_start * total_steps) - 2.0
        rows.append((end, "max_lr", "initial_lr", "base_momentum", "max_momentum"))
        rows.append((total_steps - 1, "initial_lr", "min_lr", "max_momentum", "max_momentum"))
    else:
        rows.append((total_steps - 1, "max_lr", "min_lr", "base_momentum", "max_momentum"))
    names = ("end_step", "start_lr", "end_lr", "start_momentum", "end_momentum")
    return [dict(zip(names, row, strict=True)) for row in rows]
