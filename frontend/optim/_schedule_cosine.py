"""Schedules along a cosine, once or with restarts (Loshchilov and Hutter 2016)."""

from __future__ import annotations

import math
from typing import Any

import intaglio as ig
from intaglio._tensor import Tensor
from intaglio.compiler.errors import ArgumentError
from intaglio.optim._optimizer import Optimizer
from intaglio.optim._schedule import Counter, LRScheduler, put


class CosineAnnealingLR(LRScheduler):
    """lr goes from base_lr to `eta_min` in `T_max` epochs along half a cosine, and back in the
    next.

    Each step scales what is above `eta_min` by the ratio of neighbouring values, as torch does, so
    that a rate changed by hand or by another schedule keeps its change."""

    def __init__(
        self, optimizer: Optimizer, T_max: int, eta_min: float = 0.0, last_epoch: int = -1
    ) -> None:
        self.T_max, self.eta_min = T_max, eta_min
        super().__init__(optimizer, last_epoch)

    def get_lr(self) -> list[Any]:
        """The rates of this epoch from those of the one before."""
        if self._is_initial:
            return self._made(self._rates())
        e, low = self._epoch, self.eta_min
        turning = (e - 1.0 - self.T_max) % (2.0 * self.T_max) == 0.0
        height = 1.0 + ig.cos(math.pi * e / self.T_max)
        before = 1.0 + ig.cos(math.pi * (e - 1.0) / self.T_max)
        ratio = height / ig.where(turning | (before == 0.0), 1.0, before)
        rise = (1.0 - math.cos(math.pi / self.T_max)) / 2.0
        made = []
        for rate, base in zip(self._rates(), self._numbers("base_lrs"), strict=True):
            up = rate + (base - low) * rise
            made.append(ig.where(turning, up, ratio * (rate - low) + low))
        return self._made(made)

    def _get_closed_form_lr(self) -> list[Any]:
        share = (1.0 + ig.cos(math.pi * self._epoch / self.T_max)) / 2.0
        low = self.eta_min
        return self._made([low + (base - low) * share for base in self._numbers("base_lrs")])


class CosineAnnealingWarmRestarts(LRScheduler):
    """lr goes from base_lr to `eta_min` along half a cosine in `T_0` epochs, then starts again,
    each time in `T_mult` times as many. `step(epoch)` takes fractions of an epoch too."""

    T_cur = Counter(ig.float64)
    T_i = Counter(ig.float64)

    def __init__(
        self,
        optimizer: Optimizer,
        T_0: int,
        T_mult: int = 1,
        eta_min: float = 0.0,
        last_epoch: int = -1,
    ) -> None:
        name = type(self).__name__
        if not isinstance(T_0, int) or T_0 <= 0:
            raise ArgumentError(f"{name}: T_0 is a positive integer, not {T_0!r}")
        if not isinstance(T_mult, int) or T_mult < 1:
            raise ArgumentError(f"{name}: T_mult is an integer of 1 or more, not {T_mult!r}")
        if not isinstance(eta_min, float | int):
            raise ArgumentError(f"{name}: eta_min is a number, not {eta_min!r}")
        self._attach(optimizer)
        self.T_0, self.T_mult, self.eta_min = T_0, T_mult, eta_min
        self.T_i, self.T_cur = T_0, last_epoch
        super().__init__(optimizer, last_epoch)

    def get_lr(self) -> list[Any]:
        """The rates at `T_cur` of `T_i`."""
        share = (1.0 + ig.cos(math.pi * self._state["T_cur"] / self._state["T_i"])) / 2.0
        low = self.eta_min
        return self._made([low + (base - low) * share for base in self._numbers("base_lrs")])

    def step(self, epoch: Any = None) -> None:
        """Go one epoch on, or to `epoch`: a number, or a tensor of one element."""
        put(self._state["_step_count"], self._state["_step_count"] + 1)
        self._update_lr(epoch)

    def _update_lr(self, epoch: Any = None) -> None:
        if epoch is None:
            self._go_on()
        else:
            self._go_to(epoch)
        within, self._within_step = self._within_step, True
        try:
            made = self.get_lr()
        finally:
            self._within_step = within
        for rate, value in zip(self._rates(), made, strict=True):
            put(rate, value)
        self._keep_last()

    def _go_on(self) -> None:
        position, length = self._state["T_cur"] + 1.0, self._state["T_i"].clone()
        n = self._state["last_epoch"]
        over = position >= length
        put(self._state["T_cur"], ig.where(over, position % length, position))
        put(self._state["T_i"], ig.where(over, length * float(self.T_mult), length))
        put(n, n + 1)

    def _go_to(self, epoch: Any) -> None:
        if not isinstance(epoch, Tensor):
            if epoch < 0:
                raise ArgumentError(f"{type(self).__name__}: epoch must not be negative: {epoch}")
            epoch = ig.tensor(float(epoch), dtype=ig.float64)
        epoch, first = epoch.reshape(()).to(ig.float64), float(self.T_0)
        if self.T_mult == 1:
            position, length = epoch % first, self._state["T_i"].clone()
        else:
            grown, mult = epoch / first * (self.T_mult - 1) + 1.0, float(self.T_mult)
            # restarts lie where this logarithm is whole, up to its rounding
            passed = ig.floor(ig.log(grown) / math.log(mult) + 1e-9)
            position = epoch - first * (mult**passed - 1.0) / (mult - 1.0)
            length = first * ig.round(mult**passed)
        inside = epoch < first
        put(self._state["T_cur"], ig.where(inside, epoch, position))
        put(self._state["T_i"], ig.where(inside, first, length))
        put(self._state["last_epoch"], ig.floor(epoch).to(ig.int64))

    def _rewind(self) -> None:
        self.T_i, self.T_cur = self.T_0, -1
        super()._rewind()
