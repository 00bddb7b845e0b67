"""The usual program of a model in one call: forward, evaluation, training step, schedule and a
fresh start, all over one state."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from typing import Any, Final

from intaglio._program import Program
from intaglio._recipe_functions import Recipe
from intaglio._recipe_init import beginning, left_out
from intaglio._recorded import parameter_names, spec
from intaglio.compiler.dtypes import float64
from intaglio.compiler.errors import ArgumentError, TraceError

LOG = logging.getLogger("intaglio")
PACES: Final = ("epoch", "step")


def program(
    model: Any,
    *,
    inputs: Any,
    targets: Any = None,
    loss: Callable[..., Any] | None = None,
    optim: Any = None,
    metrics: Mapping[str, Callable[..., Any]] | None = None,
    train_metrics: bool = False,
    scheduler: Any = None,
    schedule: str = "epoch",
    clip_grad_norm: float | None = None,
    ema: Any = None,
    init: Callable[[Any], Any] | None = None,
) -> Program:
    """A program over the state of `model` and all that trains it, for `save`, `intaglio train` and
    `ig.load`. It holds the functions

    - `forward(*inputs)`: the model in evaluation mode, without gradients;
    - with `loss` and `targets`, `eval(*inputs, *targets)`: a dict of the loss and the `metrics`;
    - with `optim` also `train_step(*inputs, *targets)` in training mode: it takes a step and gives
      the loss, with `train_metrics` also the metrics of the batch as the model saw it;
    - with `scheduler` and `schedule="epoch"` also `schedule()` for the end of an epoch, or
      `schedule(metric)` where the scheduler takes one. With `schedule="step"` the scheduler moves
      within `train_step`, and a metric is the loss of the batch;
    - with `optim` also `init()`, which draws all parameters anew from the state's random numbers
      and takes optimizer, schedule, average and buffers back to their start.

    `inputs` are a spec or an example, a tuple of them, or a dict of them by name; `targets`
    likewise, and `()` for a loss that has none. The names are those of the functions' parameters,
    and so of the data's keys. Inputs are called as the model's `forward` calls them, a target `t`,
    several `t0`, `t1`, ... A dict gives other names; its parts are handed on by name where all are
    parameters of the model's `forward`, otherwise in order.

    The model is called with the inputs; `loss` and each of the `metrics` with the model's result
    and the targets. `clip_grad_norm` bounds the norm of all gradients together before each step.
    `ema` is a model's moving average (such as `optim.swa_utils.AveragedModel`): `train_step`
    updates it, and `forward` and `eval` are then those of the average.

    `init()` calls the `reset_parameters` of every module in the order in which they are
    constructed, inner ones first, and then `init(model)` where given. Modules of whose parameters
    the optimizer trains none keep their weights. Where something trained would be left as it is, a
    given `init` is refused, and without one the function is left out with a warning.

    Raises `ArgumentError` for arguments that do not go together."""
    xs, ts = _inputs(model, inputs), _targets(targets)
    _check(xs, ts, targets, loss, optim, metrics, scheduler, schedule, clip_grad_norm, ema, init)
    parts = Recipe(
        model, _by_name(model, xs), tuple(xs), tuple(ts), loss, dict(metrics or {}), optim,
        train_metrics, scheduler, schedule, clip_grad_norm, ema,
    )  # fmt: skip
    made, modes = Program(), [(m, bool(m.training)) for m in (model, ema) if m is not None]
    try:
        _trace(made, parts, xs, ts)
        if optim is not None:
            _trace_init(made, parts, init)
    finally:
        for module, training in modes:
            module.train(training)
    return made


def _trace(made: Program, parts: Recipe, xs: Mapping[str, Any], ts: Mapping[str, Any]) -> None:
    made.name_states(parts.named_state())
    parts.served.eval()
    made.trace("forward", parts.forward(), **xs)
    if parts.loss is None:
        return
    made.trace("eval", parts.evaluation(), **xs, **ts)
    if parts.optim is None:
        return
    parts.model.train()
    made.trace("train_step", parts.training(), **xs, **ts)
    if parts.scheduler is not None and parts.pace == "epoch":
        metric = {"metric": spec((), float64)} if parts.takes_metric else {}
        made.trace("schedule", parts.schedule(), **metric)


def _trace_init(made: Program, parts: Recipe, init: Callable[[Any], Any] | None) -> None:
    """Add `init`, or say why there is none."""
    function = beginning(parts, made, init)
    try:
        missing = left_out(parts, function)
    except TraceError as error:
        if init is not None:
            raise
        LOG.warning("program: it has no init(), which can't be traced: %s", error)
        return
    if not missing:
        made.trace("init", function)
        return
    listed = ", ".join(missing[:8]) + (f" and {len(missing) - 8} more" if missing[8:] else "")
    if init is not None:
        raise ArgumentError(f"program: init leaves parameters as they are: {listed}")
    LOG.warning(
        "program: it has no init(), since no reset_parameters draws %s; give"
        " program(..., init=function of the model)",
        listed,
    )


# ------------------------------------------------------------------------------------- arguments


def _inputs(model: Any, inputs: Any) -> dict[str, Any]:
    if isinstance(inputs, Mapping):
        return _named(inputs, "inputs")
    several = tuple(inputs) if isinstance(inputs, tuple | list) else (inputs,)
    if not several:
        raise ArgumentError("program: a model without inputs")
    return dict(zip(parameter_names(model, len(several)), several, strict=True))


def _targets(targets: Any) -> dict[str, Any]:
    if targets is None:
        return {}
    if isinstance(targets, Mapping):
        return _named(targets, "targets")
    if isinstance(targets, tuple | list) and len(targets) != 1:
        return {f"t{k}": target for k, target in enumerate(targets)}
    return {"t": targets[0] if isinstance(targets, tuple | list) else targets}


def _named(given: Mapping[str, Any], what: str) -> dict[str, Any]:
    for name in given:
        if not isinstance(name, str) or not name.isidentifier():
            raise ArgumentError(f"program: {what}: {name!r} is no name of a parameter")
    return dict(given)


def _by_name(model: Any, xs: Mapping[str, Any]) -> bool:
    """Whether the model takes its inputs by name: all of them are names of its own."""
    import inspect

    kinds = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)
    own = inspect.signature(model.forward).parameters
    return all(name in own and own[name].kind in kinds for name in xs)


def _check(
    xs: Mapping[str, Any],
    ts: Mapping[str, Any],
    targets: Any,
    loss: Any,
    optim: Any,
    metrics: Mapping[str, Any] | None,
    scheduler: Any,
    schedule: str,
    clip_grad_norm: float | None,
    ema: Any,
    init: Any,
) -> None:
    """Raise `ArgumentError` for what does not go together."""
    if loss is None and (optim is not None or metrics):
        raise ArgumentError("program: optim and metrics need a loss")
    if loss is not None and targets is None:
        raise ArgumentError("program: a loss needs targets (targets=() where it takes none)")
    needs = {"scheduler": scheduler, "clip_grad_norm": clip_grad_norm, "ema": ema, "init": init}
    for name, value in needs.items():
        if value is not None and optim is None:
            raise ArgumentError(f"program: {name} needs optim")
    if schedule not in PACES:
        raise ArgumentError(f"program: schedule={schedule!r}: {' or '.join(map(repr, PACES))}")
    if clip_grad_norm is not None and not clip_grad_norm > 0:
        raise ArgumentError(f"program: clip_grad_norm={clip_grad_norm}: a number above 0")
    if both := [name for name in ts if name in xs]:
        raise ArgumentError(
            f"program: {both[0]!r} is the name of an input and of a target: give"
            " targets={'another name': ...}"
        )
    if metrics and "loss" in metrics:
        raise ArgumentError("program: a metric can't be called 'loss'")
