"""An optimizer's state as torch lays it out, there and back.

`state` holds the moments by the number of their parameter, `param_groups` the options with those
numbers in the parameters' place. Loading checks everything first and then writes in place, so that
compiled steps go on with what was loaded, and what does not fit changes nothing."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

import intaglio as ig
from intaglio._core import Tensor
from intaglio.compiler.errors import ArgumentError
from intaglio.optim._groups import OUTSIDE, ParameterGroup

if TYPE_CHECKING:
    from intaglio.optim._optimizer import Optimizer

Saved = Mapping[Any, Any]


def packed(optimizer: Optimizer) -> dict[str, Any]:
    """The state dict."""
    state: dict[int, dict[str, Any]] = {}
    groups: list[dict[str, Any]] = []
    first = 0
    for k, group in enumerate(optimizer.param_groups):
        steps = optimizer.steps_of(k)
        for number, parameter in enumerate(group["params"], first):
            values = optimizer.saved_state(parameter, steps[parameter])
            if values:
                state[number] = {name: _detached(value) for name, value in values.items()}
        last = first + len(group["params"])
        options = {name: value for name, value in group.items() if name != "params"}
        groups.append({**options, "params": list(range(first, last))})
        first = last
    return {"state": state, "param_groups": groups}


def _detached(value: Any) -> Any:
    if isinstance(value, Tensor):
        return value.detach()
    return [_detached(v) for v in value] if isinstance(value, list) else value


def checked(optimizer: Optimizer, state_dict: Saved) -> tuple[list[Saved], list[list[Saved]]]:
    """The saved groups, and the saved state of each of their parameters; refused if they don't
    fit."""
    name = f"{type(optimizer).__name__}.load_state_dict"
    for part in ("state", "param_groups"):
        if part not in state_dict:
            raise ArgumentError(f"{name}: there is no {part!r} in what was given")
    groups = list(state_dict["param_groups"])
    sizes = [len(g["params"]) for g in groups]
    known = [len(g["params"]) for g in optimizer.param_groups]
    if sizes != known:
        raise ArgumentError(
            f"{name}: groups of {sizes} parameters do not fit this optimizer, whose groups have"
            f" {known}"
        )
    state = state_dict["state"]
    values = [[state.get(number, {}) for number in g["params"]] for g in groups]
    for group, options, parts in zip(optimizer.param_groups, groups, values, strict=True):
        changed = _changed_formula(group, options)
        for k, (parameter, saved) in enumerate(zip(group["params"], parts, strict=True)):
            own = optimizer.state[parameter]
            if changed is not None:
                own = {**own, **optimizer._first_moments(parameter, changed)}
            for key, tensor in own.items():
                given = saved.get(key)
                if isinstance(tensor, Tensor) and given is not None:
                    _check_shape(f"{name}: {key} of parameter {k}", tensor, given)
    return groups, values


def _changed_formula(group: ParameterGroup, saved: Saved) -> ParameterGroup | None:
    """The group with the saved options, if those make it want other moments."""
    options = {name: value for name, value in group.items() if name not in OUTSIDE}
    options |= {name: option(value) for name, value in saved.items() if name not in OUTSIDE}
    made = ParameterGroup([], options, group.switches, group.constants)
    return made if dict(made.formula()) != dict(group.formula()) else None


def _check_shape(what: str, tensor: Tensor, given: Any) -> None:
    shape = tuple(getattr(given, "shape", ()))
    if shape != tuple(tensor.shape):
        raise ArgumentError(f"{what} has the shape {shape}, and should have {tuple(tensor.shape)}")


def taken_over(parameter: Tensor, value: Any) -> Any:
    """What was saved for a parameter, as this optimizer's own: tensors are copied, floats to the
    parameter's dtype."""
    if isinstance(value, dict):
        return {key: taken_over(parameter, v) for key, v in value.items()}
    if isinstance(value, tuple | list):
        return type(value)(taken_over(parameter, v) for v in value)
    if hasattr(value, "shape"):
        copied = as_tensor(value).detach().clone()
        return copied.to(parameter.dtype) if copied.is_floating_point() else copied
    return value


def as_tensor(value: Any) -> Tensor:
    """A saved array as a tensor of the same dtype; another library's too."""
    if isinstance(value, Tensor | np.ndarray) or not hasattr(value, "__dlpack__"):
        return ig.as_tensor(value)
    return ig.from_dlpack(value.detach() if hasattr(value, "detach") else value)


def step_saved(saved: Saved, moments: Sequence[str]) -> float:
    """The step count that was saved for a parameter. Some optimizers save none: one who has
    moments has stepped."""
    step = saved.get("step")
    if step is None:
        return float(any(saved.get(name) is not None for name in moments))
    return float(step.item() if hasattr(step, "item") else step)


def option(value: Any) -> Any:
    """A saved option; one number in another library's tensor becomes a number."""
    if hasattr(value, "item") and hasattr(value, "shape") and tuple(value.shape) in ((), (1,)):
        return value.item()
    return type(value)(map(option, value)) if type(value) in (list, tuple) else value
