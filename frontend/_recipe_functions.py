"""The functions of the usual program: what each does with the model, as Python code to be
traced."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from intaglio._core import Tensor
from intaglio._modes import no_grad

Function = Callable[..., Any]


@dataclass(frozen=True)
class Recipe:
    """What the functions are made of: the model, the names of its inputs and targets, the loss, and
    what trains."""

    model: Any
    by_name: bool
    inputs: tuple[str, ...]
    targets: tuple[str, ...]
    loss: Function | None
    metrics: Mapping[str, Function]
    optim: Any
    train_metrics: bool
    scheduler: Any
    pace: str
    clip: float | None
    ema: Any

    @property
    def served(self) -> Any:
        """What `forward` and `eval` call: the average of the model where there is one."""
        return self.model if self.ema is None else self.ema

    @property
    def takes_metric(self) -> bool:
        """Whether a step of the schedule looks at a metric."""
        return "metrics" in inspect.signature(self.scheduler.step).parameters

    @property
    def modules(self) -> list[tuple[str, Any]]:
        """What may be trained, with the prefix of its names: the model, and a loss that is a
        module."""
        loss = [("loss.", self.loss)] if hasattr(self.loss, "named_parameters") else []
        return [("", self.model), *loss]

    def trained(self) -> list[tuple[str, Tensor]]:
        """The parameters that the optimizer changes, by name."""
        names = {
            id(p): prefix + name for prefix, m in self.modules for name, p in m.named_parameters()
        }
        return [
            (names.get(id(p), f"parameter {k} of group {g}"), p)
            for g, group in enumerate(self.optim.param_groups)
            for k, p in enumerate(group["params"])
            if p.requires_grad
        ]

    def named_state(self) -> Iterator[tuple[str, Tensor, str]]:
        """Name and kind of all state: the model's names as they are, those of a loss behind
        `loss.`, of the average behind `ema.`."""
        for prefix, module in self.modules:
            yield from _module_state(module, prefix)
        for part in (self.optim, self.scheduler):
            if part is not None:
                yield from part.named_state()
        if self.ema is not None:
            yield from _module_state(self.ema, "ema.")

    def forward(self) -> Function:
        """The model's result."""
        model, by_name = self.served, self.by_name

        def forward(**given: Any) -> Any:
            with no_grad():
                return called(model, by_name, given)

        return forward

    def evaluation(self) -> Function:
        """Loss and metrics."""
        model, by_name, inputs, targets = self.served, self.by_name, self.inputs, self.targets
        loss, metrics = self.loss, self.metrics
        assert loss is not None

        def evaluate(**given: Any) -> dict[str, Any]:
            with no_grad():
                y = called(model, by_name, {name: given[name] for name in inputs})
                ts = [given[name] for name in targets]
                return {"loss": loss(y, *ts)} | measured(metrics, y, ts)

        return evaluate

    def training(self) -> Function:
        """A step, and what it gave."""
        model, by_name, inputs, targets = self.model, self.by_name, self.inputs, self.targets
        loss, optim, ema = self.loss, self.optim, self.ema
        metrics = self.metrics if self.train_metrics else {}
        move = self.schedule() if self.scheduler is not None and self.pace == "step" else None
        takes, clip = move is not None and self.takes_metric, self.clip
        assert loss is not None

        def train_step(**given: Any) -> dict[str, Any]:
            optim.zero_grad()
            y = called(model, by_name, {name: given[name] for name in inputs})
            ts = [given[name] for name in targets]
            value = loss(y, *ts)
            value.backward()
            if clip is not None:
                clip_gradients(optim, clip)
            optim.step()
            if ema is not None:
                ema.update_parameters(model)
            if move is not None:
                move(value.detach()) if takes else move()
            with no_grad():
                return {"loss": value} | measured(metrics, y, ts)

        return train_step

    def schedule(self) -> Function:
        """A step of the schedule."""
        scheduler = self.scheduler

        def schedule_by(metric: Any) -> None:
            scheduler.step(metric)

        def schedule() -> None:
            scheduler.step()

        return schedule_by if self.takes_metric else schedule


def called(model: Any, by_name: bool, given: Mapping[str, Any]) -> Any:
    """The model's result for inputs by name."""
    return model(**given) if by_name else model(*given.values())


def measured(metrics: Mapping[str, Function], y: Any, ts: list[Any]) -> dict[str, Any]:
    """What the metrics say of a result and its targets."""
    return {name: metric(y, *ts) for name, metric in metrics.items()}


def clip_gradients(optim: Any, most: float) -> None:
    """Scale all gradients of an optimizer's parameters so that their norm is `most` at most."""
    from intaglio.nn.utils import clip_grad_norm_

    clip_grad_norm_([p for group in optim.param_groups for p in group["params"]], most)


def _module_state(module: Any, prefix: str) -> Iterator[tuple[str, Tensor, str]]:
    for name, parameter in module.named_parameters(remove_duplicate=False):
        yield prefix + name, parameter, "parameter"
    for path, part in module.named_modules():
        for name, buffer in part._buffers.items():
            if buffer is not None:
                yield prefix + (f"{path}.{name}" if path else name), buffer, "buffer"
