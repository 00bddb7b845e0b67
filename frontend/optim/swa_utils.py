"""Averages of a model's weights over the steps of its training, equal (stochastic weight averaging,
Izmailov et al. 2018) or exponential.

An update is written in ops without a choice in Python, so that it traces into the train step: the
first one copies by a `where`. The averages and their count are buffers and parameters of a module
and are saved in the file."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterable
from itertools import chain
from typing import Any

import intaglio as ig
from intaglio._tensor import Tensor
from intaglio.compiler.errors import ArgumentError
from intaglio.nn._batchnorm_layers import _BatchNorm
from intaglio.nn._module import Module
from intaglio.optim._optimizer import Optimizer
from intaglio.optim._schedule import LRScheduler, per_group

__all__ = [
    "SWALR",
    "AveragedModel",
    "get_ema_avg_fn",
    "get_ema_multi_avg_fn",
    "get_swa_avg_fn",
    "get_swa_multi_avg_fn",
    "update_bn",
]

Average = Callable[[Tensor, Tensor, Any], Tensor]
Averages = Callable[[list[Tensor], list[Tensor], Any], None]


def _decay(decay: float) -> float:
    if not 0.0 <= decay <= 1.0:
        raise ArgumentError(f"an average's decay must lie in [0, 1], and is {decay}")
    return decay


def get_ema_avg_fn(decay: float = 0.999) -> Average:
    """The exponential moving average: decay * average + (1 - decay) * new."""
    kept = _decay(decay)

    def ema_update(average: Tensor, new: Tensor, num_averaged: Any) -> Tensor:
        with ig.no_grad():
            return average * kept + new * (1.0 - kept)

    return ema_update


def get_swa_avg_fn() -> Average:
    """The equal average: average + (new - average) / (num_averaged + 1)."""

    def swa_update(average: Tensor, new: Tensor, num_averaged: Any) -> Tensor:
        with ig.no_grad():
            return average + (new - average) / _count(num_averaged, average)

    return swa_update


def get_ema_multi_avg_fn(decay: float = 0.999) -> Averages:
    """The exponential moving average of lists of tensors, in place: average + (new - average) *
    (1 - decay) of floats."""
    share = 1.0 - _decay(decay)

    def ema_update(averages: list[Tensor], news: list[Tensor], num_averaged: Any) -> None:
        with ig.no_grad():
            for average, new in zip(averages, news, strict=True):
                if average.is_floating_point():
                    average.copy_(average + (new - average) * share)
                else:
                    average.copy_((average * (1.0 - share) + new * share).to(average.dtype))

    return ema_update


def get_swa_multi_avg_fn() -> Averages:
    """The equal average of lists of tensors, in place."""

    def swa_update(averages: list[Tensor], news: list[Tensor], num_averaged: Any) -> None:
        with ig.no_grad():
            for average, new in zip(averages, news, strict=True):
                made = average + (new - average) / _count(num_averaged, average)
                average.copy_(made.to(average.dtype))

    return swa_update


def _count(num_averaged: Any, like: Tensor) -> Any:
    """The number of models with the new one, in a dtype that leaves the average's as it is."""
    if not isinstance(num_averaged, Tensor):
        return num_averaged + 1
    return (num_averaged + 1).to(like.dtype if like.is_floating_point() else ig.float32)


class AveragedModel(Module):
    """A copy of a model whose parameters are averages of those that `update_parameters(model)` has
    seen: equal ones, or by `avg_fn(average, new, count)` or the in-place
    `multi_avg_fn(averages, news, count)`.

    The first update copies. Buffers are copied each time; with `use_buffers` they are averaged.
    `n_averaged` (i64[]) counts updates. In a train step the update traces; beside the model its
    state has the names `ema.*` in the file."""

    state_prefix = "ema"
    n_averaged: Tensor

    def __init__(
        self,
        model: Module,
        device: Any = None,
        avg_fn: Average | None = None,
        multi_avg_fn: Averages | None = None,
        use_buffers: bool = False,
    ) -> None:
        super().__init__()
        if avg_fn is not None and multi_avg_fn is not None:
            raise ArgumentError("AveragedModel: give avg_fn or multi_avg_fn, not both")
        self.module = copy.deepcopy(model)
        if device is not None:
            self.module = self.module.to(device)
        self.register_buffer("n_averaged", ig.tensor(0, dtype=ig.int64, device=device))
        self.avg_fn, self.multi_avg_fn, self.use_buffers = avg_fn, multi_avg_fn, use_buffers

    def forward(self, *inputs: Any, **keywords: Any) -> Any:
        """What the averaged model computes."""
        return self.module(*inputs, **keywords)

    def _pairs(self, model: Module) -> list[tuple[Tensor, Tensor]]:
        own: Iterable[Tensor] = self.module.parameters()
        new: Iterable[Tensor] = model.parameters()
        if self.use_buffers:
            own, new = chain(own, self.module.buffers()), chain(new, model.buffers())
        return [(a, b.detach().to(device=a.device)) for a, b in zip(own, new, strict=True)]

    def update_parameters(self, model: Module) -> None:
        """Take the present parameters of a model into the averages."""
        first = self.n_averaged == 0
        with ig.no_grad():
            pairs = self._pairs(model)
            if self.multi_avg_fn is not None or self.avg_fn is None:
                made = self._several(pairs)
            else:
                made = [self.avg_fn(a.detach(), b, self.n_averaged) for a, b in pairs]
            for (average, new), value in zip(pairs, made, strict=True):
                average.copy_(ig.where(first, new.to(average.dtype), value.to(average.dtype)))
            if not self.use_buffers:
                for own, given in zip(self.module.buffers(), model.buffers(), strict=True):
                    own.copy_(given.to(device=own.device))
            self.n_averaged.add_(1)

    def _several(self, pairs: list[tuple[Tensor, Tensor]]) -> list[Tensor]:
        """The averages by the in-place function, which gets lists of one dtype each."""
        function = self.multi_avg_fn or get_swa_multi_avg_fn()
        copies = [average.detach().clone() for average, _ in pairs]
        for dtype in dict.fromkeys(c.dtype for c in copies):
            places = [k for k, c in enumerate(copies) if c.dtype is dtype]
            averages, news = [copies[k] for k in places], [pairs[k][1] for k in places]
            function(averages, news, self.n_averaged)
        return copies


def update_bn(loader: Iterable[Any], model: Module, device: Any = None) -> None:
    """Compute the running statistics of a model's batch norms anew, as means over one pass through
    `loader`, whose batches are tensors, or tuples or lists that begin with one."""
    norms = [m for m in model.modules() if isinstance(m, _BatchNorm)]
    if not norms:
        return
    momenta, was_training = [m.momentum for m in norms], model.training
    try:
        model.train()
        for norm in norms:
            norm.reset_running_stats()
            norm.momentum = None
        with ig.no_grad():
            for batch in loader:
                x = batch[0] if isinstance(batch, list | tuple) else batch
                model(x if device is None else x.to(device))
    finally:
        for norm, momentum in zip(norms, momenta, strict=True):
            norm.momentum = momentum
        model.train(was_training)


class SWALR(LRScheduler):
    """lr goes to `swa_lr` in `anneal_epochs` epochs, on a cosine or a straight line, and stays."""

    def __init__(
        self,
        optimizer: Optimizer,
        swa_lr: float | list[float],
        anneal_epochs: int = 10,
        anneal_strategy: str = "cos",
        last_epoch: int = -1,
    ) -> None:
        if anneal_strategy not in ("cos", "linear"):
            raise ArgumentError(
                f"SWALR: anneal_strategy is 'cos' or 'linear', not {anneal_strategy!r}"
            )
        if not isinstance(anneal_epochs, int) or anneal_epochs < 0:
            raise ArgumentError(f"SWALR: anneal_epochs is 0 or more, not {anneal_epochs!r}")
        self._attach(optimizer)
        rates = per_group("SWALR: swa_lr", optimizer, swa_lr)
        for group, rate in zip(optimizer.param_groups, rates, strict=True):
            group["swa_lr"] = rate
        self.anneal_epochs, self._anneal_strategy = anneal_epochs, anneal_strategy
        super().__init__(optimizer, last_epoch)

    def anneal_func(self, t: Tensor) -> Tensor:
        """The share of the way at the share `t` of the epochs."""
        if self._anneal_strategy == "linear":
            return t
        return (1.0 - ig.cos(ig.pi * t)) / 2.0

    def get_lr(self) -> list[Any]:
        """The next rates, on the line from where the annealing began."""
        step = (self._state["_step_count"] - 1).to(ig.float64)
        length = float(max(1, self.anneal_epochs))
        if self.anneal_epochs == 0:
            step = ig.clamp(step, min=1.0)
        before = self.anneal_func(ig.clamp((step - 1.0) / length, 0.0, 1.0))
        now = self.anneal_func(ig.clamp(step / length, 0.0, 1.0))
        made, arrived = [], before == 1.0
        rest = ig.where(arrived, 1.0, 1.0 - before)
        for rate, goal in zip(self._rates(), self._rates("swa_lr"), strict=True):
            start = ig.where(arrived, goal, (rate - before * goal) / rest)
            made.append(goal * now + start * (1.0 - now))
        return self._made(made)
