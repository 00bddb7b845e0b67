"""`init` of the usual program: a fresh start of everything that a training run changes."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

from intaglio._functions_create import tensor as as_constant
from intaglio._modes import no_grad
from intaglio._recipe_functions import Recipe
from intaglio._recorded import record

if TYPE_CHECKING:
    from intaglio._program import Program

RESETS = ("reset_parameters", "_reset_parameters")
"""What modules call the method that draws their parameters; torch's attention has the second."""


def beginning(
    parts: Recipe, made: Program, init: Callable[[Any], Any] | None
) -> Callable[[], None]:
    """The function that starts anew: modules from inside out, as they are constructed, then the
    author's `init`, then what the training step keeps beside the parameters. Buffers that no
    module resets get back the values that they have now."""
    model, optim, scheduler, ema = parts.model, parts.optim, parts.scheduler, parts.ema
    trained = {id(p) for _, p in parts.trained()}
    resets = [reset for _, module in parts.modules for reset in _resets(module, trained)]
    kept = _buffers_kept(made, parts, [*resets, *([] if init is None else [lambda: init(model)])])

    def begin() -> None:
        with no_grad():
            for buffer, value in kept:
                buffer.copy_(as_constant(value))
            for reset in resets:
                reset()
            if init is not None:
                init(model)
            optim.reset()
            if scheduler is not None:
                scheduler.reset()
            if ema is not None:
                restart_average(ema, model)

    return begin


def restart_average(ema: Any, model: Any) -> None:
    """Make an average that of a model's present weights, taken once never."""
    ema.n_averaged.zero_()
    averages = {**dict(ema.module.named_parameters()), **dict(ema.module.named_buffers())}
    for name, value in [*model.named_parameters(), *model.named_buffers()]:
        averages[name].copy_(value)


def left_out(parts: Recipe, begin: Callable[[], None]) -> list[str]:
    """The trained parameters that `begin` does not write."""
    written = {id(ref.tensor) for ref in record("init", begin, (), {}, grad=True).updates}
    return [name for name, p in parts.trained() if id(p) not in written]


def _resets(module: Any, trained: set[int]) -> Iterator[Callable[[], Any]]:
    """The methods that draw parameters, inner modules' first; not those of modules of which nothing
    is trained."""
    for child in module.children():
        yield from _resets(child, trained)
    parameters = list(module.parameters(recurse=False)) or list(module.parameters())
    if parameters and not any(id(p) in trained for p in parameters):
        return
    found = next((getattr(module, name) for name in RESETS if hasattr(module, name)), None)
    if found is not None:
        yield found


def _buffers_kept(
    made: Program, parts: Recipe, writers: list[Callable[[], Any]]
) -> list[tuple[Any, Any]]:
    """The buffers that `train_step` changes and no writer does, each with its value as an array."""
    changed = made.updated_tensors("train_step")
    buffers = [b for _, m in parts.modules for b in m.buffers() if id(b) in changed]
    if not buffers:
        return []

    def write() -> None:
        with no_grad():
            for writer in writers:
                writer()

    written = {id(ref.tensor) for ref in record("init", write, (), {}, grad=True).updates}
    return [(b, b.numpy().copy()) for b in buffers if id(b) not in written]
