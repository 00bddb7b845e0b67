"""A schedule that watches a number: the rate falls when it no longer gets better."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import intaglio as ig
from intaglio._tensor import Tensor
from intaglio.compiler.errors import ArgumentError
from intaglio.optim._optimizer import Optimizer
from intaglio.optim._schedule import Counter, LRScheduler, per_group, put


class ReduceLROnPlateau(LRScheduler):
    """lr = max(lr * factor, min_lr) after more than `patience` steps without a better metric.

    Better means lower (`mode="min"`) or higher ("max") than the best so far by a `threshold`,
    relative ("rel") or absolute ("abs"). After a fall `cooldown` steps are not counted. A fall of
    `eps` or less is left out."""

    best = Counter(ig.float64)
    num_bad_epochs = Counter()
    cooldown_counter = Counter()

    def __init__(
        self,
        optimizer: Optimizer,
        mode: str = "min",
        factor: float = 0.1,
        patience: int = 10,
        threshold: float = 1e-4,
        threshold_mode: str = "rel",
        cooldown: int = 0,
        min_lr: float | list[float] = 0.0,
        eps: float = 1e-8,
    ) -> None:
        if factor >= 1.0:
            raise ArgumentError(f"ReduceLROnPlateau: factor must be below 1, and is {factor}")
        self._attach(optimizer)
        self.factor, self.patience, self.cooldown, self.eps = factor, patience, cooldown, eps
        self.min_lrs = per_group("ReduceLROnPlateau: min_lr", optimizer, min_lr)
        self.default_min_lr = None if isinstance(min_lr, list | tuple) else min_lr
        self.mode, self.threshold, self.threshold_mode = mode, threshold, threshold_mode
        self._check_mode()
        self.base_lrs = [group["lr"] for group in optimizer.param_groups]
        self.last_epoch = 0
        self._reset()
        self._keep_last()

    def _check_mode(self) -> None:
        if self.mode not in ("min", "max"):
            raise ArgumentError(f"ReduceLROnPlateau: mode is 'min' or 'max', not {self.mode!r}")
        if self.threshold_mode not in ("rel", "abs"):
            raise ArgumentError(
                f"ReduceLROnPlateau: threshold_mode is 'rel' or 'abs', not {self.threshold_mode!r}"
            )

    @property
    def mode_worse(self) -> float:
        """What every metric is better than."""
        return math.inf if self.mode == "min" else -math.inf

    def _reset(self) -> None:
        """Forget the best metric and the counts."""
        self.best = self.mode_worse
        self.cooldown_counter = 0
        self.num_bad_epochs = 0

    def _rewind(self) -> None:
        self.last_epoch = 0
        self._reset()
        self._keep_last()

    @property
    def in_cooldown(self) -> Any:
        """Whether steps are not counted at present."""
        return self.cooldown_counter > 0

    def is_better(self, metric: Tensor, best: Tensor) -> Tensor:
        """Whether a metric beats the best so far: bool[]."""
        lower = self.mode == "min"
        if self.threshold_mode == "rel":
            limit = best * (1.0 - self.threshold if lower else 1.0 + self.threshold)
        else:
            limit = best - self.threshold if lower else best + self.threshold
        return metric < limit if lower else metric > limit

    def step(self, metrics: Any = None, epoch: Any = None) -> None:  # type: ignore[override]  # torch's order
        """Look at a metric: a number, or a tensor of one element."""
        if metrics is None:
            raise ArgumentError("ReduceLROnPlateau: step needs a metric: step(loss)")
        if not isinstance(metrics, Tensor):
            metrics = ig.tensor(float(metrics), dtype=ig.float64)
        metric = metrics.detach().reshape(()).to(ig.float64)
        state, n = self._state, self._state["last_epoch"]
        put(n, n + 1 if epoch is None else epoch)
        better = self.is_better(metric, state["best"])
        bad = ig.where(better, 0, state["num_bad_epochs"] + 1)
        cooling = state["cooldown_counter"] > 0
        rest = ig.where(cooling, state["cooldown_counter"] - 1, state["cooldown_counter"])
        bad = ig.where(cooling, 0, bad)
        falls = bad > self.patience
        put(state["best"], ig.where(better, metric, state["best"]))
        put(state["num_bad_epochs"], ig.where(falls, 0, bad))
        put(state["cooldown_counter"], ig.where(falls, self.cooldown, rest))
        self._reduce(falls)
        self._keep_last()

    def _reduce(self, falls: Tensor) -> None:
        rates = self._rates()
        if len(self.min_lrs) != len(rates):
            if self.default_min_lr is None:
                raise ArgumentError(
                    f"ReduceLROnPlateau: the optimizer has {len(rates)} groups now, and min_lrs"
                    f" {len(self.min_lrs)} values; set min_lrs"
                )
            self.min_lrs = [self.default_min_lr] * len(rates)
        for rate, lowest in zip(rates, self.min_lrs, strict=True):
            new = ig.clamp(rate * self.factor, min=float(lowest))
            put(rate, ig.where(falls & (rate - new > self.eps), new, rate))

    def load_state_dict(self, state_dict: Mapping[str, Any]) -> None:
        """Take over what `state_dict` gave, here or in torch."""
        known = {k: v for k, v in state_dict.items() if k != "mode_worse"}
        super().load_state_dict(known)
        self._check_mode()
