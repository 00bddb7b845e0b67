"""Schedules of one formula: steps, ramps, decays, and functions of the epoch."""

from __future__ import annotations

from collections import Counter as Multiset
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import intaglio as ig
from intaglio._tensor import Tensor
from intaglio.compiler.errors import ArgumentError
from intaglio.optim._optimizer import Optimizer
from intaglio.optim._schedule import LRScheduler, called, functions_per_group, saved_function


class _ByFunctions(LRScheduler):
    """A schedule by functions of the epoch, one per group."""

    _not_saved = (*LRScheduler._not_saved, "lr_lambdas")

    def __init__(self, optimizer: Optimizer, lr_lambda: Any, last_epoch: int = -1) -> None:
        self._attach(optimizer)
        self.lr_lambdas: list[Callable[..., Any]] = functions_per_group(
            type(self).__name__, optimizer, lr_lambda
        )
        super().__init__(optimizer, last_epoch)

    def _factors(self) -> list[Any]:
        return [called(function, self._epoch) for function in self.lr_lambdas]

    def state_dict(self) -> dict[str, Any]:
        """As every schedule's; of functions that are objects, their attributes."""
        return super().state_dict() | {"lr_lambdas": [saved_function(f) for f in self.lr_lambdas]}

    def load_state_dict(self, state_dict: Mapping[str, Any]) -> None:
        """Take over what `state_dict` gave."""
        rest = {k: v for k, v in state_dict.items() if k != "lr_lambdas"}
        super().load_state_dict(rest)
        for function, kept in zip(self.lr_lambdas, state_dict.get("lr_lambdas", ()), strict=False):
            if kept is not None:
                function.__dict__.update(kept)


class LambdaLR(_ByFunctions):
    """lr = base_lr * lr_lambda(epoch), with one function for all groups or one for each.

    The function gets the epoch as an f64[] tensor (eagerly the int, where it can't do with that);
    inside a trace it must choose with `ig.where`, since `if` needs a value."""

    def get_lr(self) -> list[Any]:
        """The base rates times the functions' values."""
        bases = self._numbers("base_lrs")
        return self._made([b * f for b, f in zip(bases, self._factors(), strict=True)])


class MultiplicativeLR(_ByFunctions):
    """lr = lr * lr_lambda(epoch) at each step."""

    def get_lr(self) -> list[Any]:
        """The present rates times the functions' values."""
        if self._is_initial:
            return self._made(self._rates())
        rates = zip(self._rates(), self._factors(), strict=True)
        return self._made([rate * factor for rate, factor in rates])


class _Scaled(LRScheduler):
    """A schedule that multiplies the present rates of all groups by one factor."""

    def _factor(self) -> Any:
        """f64[] or a number."""
        raise NotImplementedError

    def get_lr(self) -> list[Any]:
        """The present rates times the factor of this epoch."""
        factor = self._factor()
        return self._made([rate * factor for rate in self._rates()])

    def _closed(self, factor: Any) -> list[Any]:
        return self._made([base * factor for base in self._numbers("base_lrs")])


class StepLR(_Scaled):
    """lr = lr * gamma every `step_size` epochs."""

    def __init__(
        self, optimizer: Optimizer, step_size: int, gamma: float = 0.1, last_epoch: int = -1
    ) -> None:
        self.step_size, self.gamma = step_size, gamma
        super().__init__(optimizer, last_epoch)

    def _factor(self) -> Any:
        n = self._state["last_epoch"]
        return ig.where((n == 0) | (n % self.step_size != 0), _like(1.0), self.gamma)

    def _get_closed_form_lr(self) -> list[Any]:
        return self._closed(self.gamma ** ig.floor(self._epoch / self.step_size))


class MultiStepLR(_Scaled):
    """lr = lr * gamma at each epoch of `milestones`; one listed twice counts twice."""

    def __init__(
        self,
        optimizer: Optimizer,
        milestones: Iterable[int],
        gamma: float = 0.1,
        last_epoch: int = -1,
    ) -> None:
        self.milestones, self.gamma = Multiset(milestones), gamma
        super().__init__(optimizer, last_epoch)

    def _factor(self) -> Any:
        factor = _like(1.0)
        for milestone, times in self.milestones.items():
            here = self._state["last_epoch"] == milestone
            factor = ig.where(here, self.gamma**times, factor)
        return factor

    def _get_closed_form_lr(self) -> list[Any]:
        passed = _like(0.0)
        for milestone, times in self.milestones.items():
            passed = passed + ig.where(self._epoch >= milestone, _like(float(times)), 0.0)
        return self._closed(self.gamma**passed)

    def load_state_dict(self, state_dict: Mapping[str, Any]) -> None:
        """Take over what `state_dict` gave, here or in torch."""
        super().load_state_dict(state_dict)
        self.milestones = Multiset({int(k): int(n) for k, n in self.milestones.items()})


class ConstantLR(_Scaled):
    """lr = base_lr * factor for `total_iters` epochs, then base_lr."""

    def __init__(
        self,
        optimizer: Optimizer,
        factor: float = 1.0 / 3,
        total_iters: int = 5,
        last_epoch: int = -1,
    ) -> None:
        if not 0.0 <= factor <= 1.0:
            raise ArgumentError(f"ConstantLR: factor must lie in [0, 1], and is {factor}")
        self.factor, self.total_iters = factor, total_iters
        super().__init__(optimizer, last_epoch)

    def get_lr(self) -> list[Any]:
        """The present rates, scaled at the start and scaled back at the end."""
        n, made = self._state["last_epoch"], []
        for rate, base in zip(self._rates(), self._numbers("base_lrs"), strict=True):
            back = rate * (1.0 / self.factor) if self.factor else base
            later = ig.where(n == self.total_iters, back, rate)
            made.append(ig.where(n == 0, rate * self.factor, later))
        return self._made(made)

    def _get_closed_form_lr(self) -> list[Any]:
        return self._closed(ig.where(self._epoch >= self.total_iters, _like(1.0), self.factor))


class LinearLR(_Scaled):
    """lr = base_lr times a factor that goes from `start_factor` to `end_factor` in a straight line
    over `total_iters` epochs."""

    def __init__(
        self,
        optimizer: Optimizer,
        start_factor: float = 1.0 / 3,
        end_factor: float = 1.0,
        total_iters: int = 5,
        last_epoch: int = -1,
    ) -> None:
        if not 0.0 < start_factor <= 1.0:
            raise ArgumentError(f"LinearLR: start_factor must lie in (0, 1], and is {start_factor}")
        if not 0.0 <= end_factor <= 1.0:
            raise ArgumentError(f"LinearLR: end_factor must lie in [0, 1], and is {end_factor}")
        self.start_factor, self.end_factor = start_factor, end_factor
        self.total_iters = total_iters
        super().__init__(optimizer, last_epoch)

    def _factor(self) -> Any:
        n, change = self._state["last_epoch"], self.end_factor - self.start_factor
        later: Any = _like(1.0)
        if not self._is_initial:
            inside = ig.clamp(self._epoch, min=1.0, max=max(1.0, float(self.total_iters)))
            before = self.total_iters * self.start_factor + (inside - 1.0) * change
            before = ig.where(before == 0.0, 1.0, before)
            later = ig.where(n > self.total_iters, later, 1.0 + change / before)
        return ig.where(n == 0, self.start_factor, later)

    def _get_closed_form_lr(self) -> list[Any]:
        share = ig.clamp(self._epoch, max=float(self.total_iters)) / self.total_iters
        return self._closed(self.start_factor + (self.end_factor - self.start_factor) * share)


class ExponentialLR(_Scaled):
    """lr = lr * gamma at each step."""

    def __init__(self, optimizer: Optimizer, gamma: float, last_epoch: int = -1) -> None:
        self.gamma = gamma
        super().__init__(optimizer, last_epoch)

    def _factor(self) -> Any:
        return 1.0 if self._is_initial else self.gamma

    def _get_closed_form_lr(self) -> list[Any]:
        return self._closed(self.gamma**self._epoch)


class PolynomialLR(_Scaled):
    """lr = base_lr * (1 - epoch / total_iters) ** power, and 0 after `total_iters` epochs."""

    def __init__(
        self, optimizer: Optimizer, total_iters: int = 5, power: float = 1.0, last_epoch: int = -1
    ) -> None:
        self.total_iters, self.power = total_iters, power
        super().__init__(optimizer, last_epoch)

    def _factor(self) -> Any:
        if self._is_initial or self.total_iters <= 0:
            return 1.0
        inside = ig.clamp(self._epoch, max=float(self.total_iters))
        rest, before = (1.0 - e / self.total_iters for e in (inside, inside - 1.0))
        past = self._epoch > self.total_iters
        return ig.where(past, _like(1.0), (rest / before) ** self.power)

    def _get_closed_form_lr(self) -> list[Any]:
        inside = ig.clamp(self._epoch, max=float(self.total_iters))
        return self._closed((1.0 - inside / self.total_iters) ** self.power)


def _like(number: float) -> Tensor:
    """f64[]: `where` of two Python numbers would be f32."""
    return ig.full((), number, dtype=ig.float64)
