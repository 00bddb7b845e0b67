"""The usual program of a model in one call: forward, evaluation and training step."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from intaglio._modes import no_grad
from intaglio._program import Program
from intaglio.compiler.errors import ArgumentError


def _several(value: Any) -> tuple[Any, ...]:
    return tuple(value) if isinstance(value, tuple | list) else (value,)


def program(
    model: Any,
    *,
    inputs: Any,
    targets: Any = None,
    loss: Callable[..., Any] | None = None,
    optim: Any = None,
    metrics: Mapping[str, Callable[..., Any]] | None = None,
) -> Program:
    """A program with `forward(x)` in evaluation mode; with `loss` and `targets` also `eval(x, t)`,
    which gives the loss and the `metrics` (functions of output and target); with `optim` also
    `train_step(x, t)` in training mode, which gives the loss.

    `inputs` (one spec or example, or a tuple) are handed to the model, `targets` to the loss."""
    xs, ts = _several(inputs), () if targets is None else _several(targets)
    if loss is None and (optim is not None or metrics):
        raise ArgumentError("program: optim and metrics need a loss")
    if loss is not None and not ts:
        raise ArgumentError("program: a loss needs targets")
    if len(xs) > 1 or len(ts) > 1:
        raise ArgumentError(
            "program: one input and one target are understood; trace other functions with"
            " Program.trace"
        )
    was_training = bool(model.training)
    made = Program()
    try:
        model.eval()
        made.trace("forward", model, *xs)
        if loss is not None:
            made.trace("eval", _evaluation(model, loss, dict(metrics or {})), xs[0], ts[0])
        if loss is not None and optim is not None:
            model.train()
            made.trace("train_step", _training(model, loss, optim), xs[0], ts[0])
    finally:
        model.train(was_training)
    return made


def _evaluation(
    model: Any, loss: Callable[..., Any], metrics: Mapping[str, Callable[..., Any]]
) -> Callable[..., Any]:
    def evaluate(x: Any, t: Any) -> dict[str, Any]:
        with no_grad():
            y = model(x)
            return {"loss": loss(y, t)} | {name: f(y, t) for name, f in metrics.items()}

    return evaluate


def _training(model: Any, loss: Callable[..., Any], optim: Any) -> Callable[..., Any]:
    def train_step(x: Any, t: Any) -> dict[str, Any]:
        optim.zero_grad()
        value = loss(model(x), t)
        value.backward()
        optim.step()
        return {"loss": value}

    return train_step
