"""The base of the optimizers: parameter groups, hyperparameters and moments as state, and the step
around a pure update.

An optimizer defines `update(p, g, moments, h, step)`, a pure function of tensors; the base reads
gradients, calls it and writes the results back in place. So the same code runs eagerly, traces into
a train step, and leaves its whole state in the file."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

import intaglio as ig
from intaglio._core import wrap
from intaglio._modes import modes
from intaglio._places import copied
from intaglio._tensor import Tensor
from intaglio.compiler.dtypes import DType
from intaglio.compiler.errors import ArgumentError
from intaglio.optim._compiled import WARM, CompiledStep, may_compile, signature

Moments = dict[str, Tensor]


class ParameterGroup(dict[str, Any]):
    """A group's parameters and options.

    Numbers are kept as 0-d f64 tensors, which a traced step captures as state. `group["lr"]` is a
    number outside of a trace and the tensor inside; assigning changes the tensor in place, so that
    compiled steps see it."""

    def __init__(self, parameters: list[Tensor], options: Mapping[str, Any]) -> None:
        super().__init__()
        self.tensors: dict[str, Tensor | tuple[Tensor, ...]] = {}
        super().__setitem__("params", parameters)
        for name, value in options.items():
            self[name] = value

    def __setitem__(self, name: str, value: Any) -> None:
        old = self.tensors.get(name)
        if isinstance(value, tuple | list) and value and all(map(_is_number, value)):
            if isinstance(old, tuple) and len(old) == len(value):
                for tensor, number in zip(old, value, strict=True):
                    _assign(tensor, number)
            else:
                self.tensors[name] = tuple(_scalar(number) for number in value)
            super().__setitem__(name, tuple(map(_number, value)))
        elif name != "params" and _is_number(value):
            if isinstance(old, Tensor):
                _assign(old, value)
            else:
                self.tensors[name] = _scalar(value)
            super().__setitem__(name, _number(value))
        else:
            super().__setitem__(name, value)

    def __getitem__(self, name: str) -> Any:
        tensors = self.tensors.get(name)
        if tensors is None:
            return super().__getitem__(name)
        if isinstance(tensors, tuple):
            return tensors if modes.trace is not None else tuple(t.item() for t in tensors)
        return tensors if modes.trace is not None else tensors.item()

    def get(self, name: str, default: Any = None) -> Any:
        """The option, or `default`."""
        try:
            return self[name]
        except KeyError:
            return default

    def items(self) -> Any:
        """Names and options."""
        return [(name, self[name]) for name in self]

    def values(self) -> Any:
        """Options."""
        return [self[name] for name in self]

    def is_zero(self, name: str) -> bool:
        """Whether a number was zero when it was last assigned; decides which formula a step
        takes."""
        return super().__getitem__(name) == 0.0

    def formula(self) -> tuple[Any, ...]:
        """The options that choose a formula: flags, and which numbers are zero."""
        chosen: list[Any] = []
        for name in self:
            value = super().__getitem__(name)
            if name not in self.tensors and name != "params":
                chosen.append((name, value))
            elif isinstance(value, float):
                chosen.append((name, value == 0.0))
        return tuple(chosen)

    def with_numbers(self, numbers: Mapping[str, Tensor]) -> ParameterGroup:
        """This group with other tensors for its numbers, named as in `numbers()`."""
        made = ParameterGroup([], {})
        for name in self:
            dict.__setitem__(made, name, super().__getitem__(name))
        for name, tensors in self.tensors.items():
            if isinstance(tensors, Tensor):
                made.tensors[name] = numbers[name]
            else:
                made.tensors[name] = tuple(numbers[f"{name}.{k}"] for k in range(len(tensors)))
        return made

    def numbers(self) -> dict[str, Tensor]:
        """Every number as its 0-d f64 tensor; those of a pair under `name.0` and `name.1`."""
        found: dict[str, Tensor] = {}
        for name, tensors in self.tensors.items():
            if isinstance(tensors, Tensor):
                found[name] = tensors
            else:
                found |= {f"{name}.{k}": tensor for k, tensor in enumerate(tensors)}
        return found

    def numbers_as(self, dtype: DType) -> dict[str, Tensor]:
        """Every number as a 0-d tensor of this dtype."""
        return {name: tensor.to(dtype) for name, tensor in self.numbers().items()}


def _is_number(value: object) -> bool:
    if isinstance(value, Tensor):
        return value.ndim == 0
    return isinstance(value, int | float) and not isinstance(value, bool)


def _number(value: Any) -> float:
    return float(value.item()) if isinstance(value, Tensor) else float(value)


def _scalar(value: Any) -> Tensor:
    return ig.tensor(_number(value), dtype=ig.float64)


def _assign(tensor: Tensor, value: Any) -> None:
    with ig.no_grad():
        if isinstance(value, Tensor):
            tensor.copy_(value)
        else:
            tensor.fill_(value)


class Cohort:
    """Parameters that have been stepped equally often: they share one step count, f64[]."""

    def __init__(self, step: Tensor, parameters: list[Tensor]) -> None:
        self.step, self.parameters = step, parameters
        self.eager_steps = 0
        self.compiled: CompiledStep | None = None


class Optimizer:
    """Base of all optimizers. Takes parameters, or groups: dicts with `params` and options of their
    own."""

    def __init__(self, params: Iterable[Any], defaults: Mapping[str, Any]) -> None:
        self.defaults = dict(defaults)
        self.param_groups: list[ParameterGroup] = []
        self.state: dict[Tensor, Moments] = {}
        self._cohorts: list[list[Cohort]] = []
        given = list(params)
        if not given:
            raise ArgumentError(f"{type(self).__name__}: got no parameters")
        groups = given if isinstance(given[0], Mapping) else [{"params": given}]
        for group in groups:
            self.add_param_group(group)

    # ------------------------------------------------------------------- what a subclass defines

    def moments(self, parameter: Tensor, group: ParameterGroup) -> Moments:
        """New moments of a parameter."""
        return {}

    def update(
        self, p: Tensor, g: Tensor, moments: Moments, group: ParameterGroup, step: Tensor
    ) -> tuple[Tensor, Moments]:
        """The new parameter and moments; `step` (f64[]) counts from 1."""
        raise NotImplementedError(f"{type(self).__name__} defines no update")

    # ------------------------------------------------------------------------------ the public part

    def add_param_group(self, param_group: Mapping[str, Any]) -> None:
        """Add parameters with options of their own."""
        parameters = param_group["params"]
        several = [parameters] if isinstance(parameters, Tensor) else list(parameters)
        for parameter in several:
            if not isinstance(parameter, Tensor):
                kind = type(parameter).__name__
                raise TypeError(f"{type(self).__name__}: a parameter must be a Tensor, not {kind}")
            if parameter in self.state:
                raise ArgumentError(f"{type(self).__name__}: a parameter is in two groups")
        options = self.defaults | {k: v for k, v in param_group.items() if k != "params"}
        group = ParameterGroup(several, options)
        self.param_groups.append(group)
        for parameter in several:
            self.state[parameter] = self.moments(parameter, group)
        self._cohorts.append([Cohort(ig.zeros((), dtype=ig.float64), several)])

    def zero_grad(self, set_to_none: bool = True) -> None:
        """Drop all gradients, or fill them with zero."""
        for group in self.param_groups:
            for parameter in group["params"]:
                if set_to_none or parameter.grad is None:
                    parameter.grad = None
                else:
                    parameter.grad = ig.zeros_like(parameter.grad)

    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """Update every parameter that has a gradient. `closure` computes the loss (and gradients)
        anew first."""
        loss = None
        if closure is not None:
            with ig.enable_grad():
                loss = closure()
        with ig.no_grad():
            for group, cohorts in zip(self.param_groups, self._cohorts, strict=True):
                for cohort in _stepping(cohorts):
                    self._step_cohort(group, cohort)
        return loss

    def _step_cohort(self, group: ParameterGroup, cohort: Cohort) -> None:
        if may_compile():
            if cohort.eager_steps >= WARM:
                if cohort.compiled is None or cohort.compiled.signature != signature(group, cohort):
                    cohort.compiled = CompiledStep(self, group, cohort)
                if cohort.compiled.run(cohort.parameters):
                    return
            cohort.eager_steps += 1
        cohort.step.add_(1.0)
        for parameter in cohort.parameters:
            gradient, moments = parameter.grad, self.state[parameter]
            assert gradient is not None
            if group.get("maximize"):
                gradient = -gradient
            new, changed = self.update(parameter, gradient, moments, group, cohort.step)
            for name, value in changed.items():
                moments[name].copy_(value)
            parameter.copy_(new)

    # ---------------------------------------------------------------------------------------- state

    def reset(self) -> None:
        """Put moments and step counts back to what they were before the first step, in place;
        hyperparameters stay. May be traced, as a program's function that starts training anew."""
        with ig.no_grad():
            for group, cohorts in zip(self.param_groups, self._cohorts, strict=True):
                for cohort in cohorts:
                    cohort.step.zero_()
                for parameter in group["params"]:
                    moments = self.state[parameter]
                    for name, initial in self.moments(parameter, group).items():
                        moments[name].copy_(initial)

    def named_state(self) -> Iterator[tuple[str, Tensor, str]]:
        """Every tensor of this optimizer's state with its name in a file and its kind."""
        single = len(self.param_groups) == 1
        position = 0
        for k, (group, cohorts) in enumerate(zip(self.param_groups, self._cohorts, strict=True)):
            prefix = "optim" if single else f"optim.groups.{k}"
            for name, tensors in group.tensors.items():
                if isinstance(tensors, Tensor):
                    yield f"{prefix}.{name}", tensors, "hyperparameter"
                else:
                    for i, tensor in enumerate(tensors):
                        yield f"{prefix}.{name}.{i}", tensor, "hyperparameter"
            for i, cohort in enumerate(cohorts):
                yield f"{prefix}.step" + (f".{i}" if i else ""), cohort.step, "optimizer"
            for parameter in group["params"]:
                for name, tensor in self.state[parameter].items():
                    yield f"optim.state.{position}.{name}", tensor, "optimizer"
                position += 1

    def state_dict(self) -> dict[str, Any]:
        """`state` by parameter position, and `param_groups` with positions for parameters, as torch
        lays them out."""
        state: dict[int, dict[str, Any]] = {}
        groups: list[dict[str, Any]] = []
        for group, cohorts in zip(self.param_groups, self._cohorts, strict=True):
            first = len(state)
            steps = {p: c.step for c in cohorts for p in c.parameters}
            for parameter in group["params"]:
                moments = {k: v.detach() for k, v in self.state[parameter].items()}
                state[len(state)] = {"step": steps[parameter].detach(), **moments}
            options = {k: v for k, v in group.items() if k != "params"}
            groups.append({**options, "params": list(range(first, len(state)))})
        return {"state": state, "param_groups": groups}

    def load_state_dict(self, state_dict: Mapping[str, Any]) -> None:
        """Take over what `state_dict` gave, here or in torch, for an optimizer of the same
        groups."""
        groups = state_dict["param_groups"]
        sizes = [len(g["params"]) for g in groups]
        if sizes != [len(g["params"]) for g in self.param_groups]:
            raise ArgumentError(
                f"{type(self).__name__}.load_state_dict: groups of {sizes} parameters do not fit"
            )
        with ig.no_grad():
            for k, (group, saved) in enumerate(zip(self.param_groups, groups, strict=True)):
                for name, value in saved.items():
                    if name != "params":
                        group[name] = value
                self._load_group(k, [state_dict["state"].get(i, {}) for i in saved["params"]])

    def _load_group(self, k: int, saved: list[Mapping[str, Any]]) -> None:
        parameters = self.param_groups[k]["params"]
        by_step: dict[float, list[Tensor]] = {}
        for parameter, values in zip(parameters, saved, strict=True):
            by_step.setdefault(_number(values.get("step", 0.0)), []).append(parameter)
            for name, tensor in self.state[parameter].items():
                if values.get(name) is not None:
                    tensor.copy_(ig.as_tensor(values[name]))
        self._cohorts[k] = [
            Cohort(ig.tensor(step, dtype=ig.float64), members) for step, members in by_step.items()
        ]

    def __repr__(self) -> str:
        lines = [type(self).__name__ + " ("]
        for k, group in enumerate(self.param_groups):
            lines.append(f"  group {k}: {len(group['params'])} parameters")
            lines += [f"    {name}: {value}" for name, value in group.items() if name != "params"]
        return "\n".join([*lines, ")"])


def _stepping(cohorts: list[Cohort]) -> list[Cohort]:
    """The cohorts whose parameters have gradients; one of which only some have is split first."""
    chosen: list[Cohort] = []
    for cohort in list(cohorts):
        ready = [p for p in cohort.parameters if p.grad is not None]
        if not ready:
            continue
        if len(ready) < len(cohort.parameters):
            waiting = [p for p in cohort.parameters if p.grad is None]
            cohorts.append(Cohort(_copied_now(cohort.step), waiting))
            cohort.parameters = ready
        chosen.append(cohort)
    return chosen


def _copied_now(tensor: Tensor) -> Tensor:
    """A copy of the data that a tensor holds now; inside a trace, of what it held before."""
    trace, data = modes.trace, tensor._data
    if trace is not None and id(tensor) in trace.snapshots:
        data = trace.snapshots[id(tensor)].data
    return wrap(copied(data), tensor._kind)
