"""The base of the optimizers: parameter groups, hyperparameters and moments as state, and the step
around a pure update.

An optimizer defines `update(p, g, moments, group, step)`, a pure function of tensors; the base
reads gradients, calls it and writes the results back in place. So the same code runs eagerly,
traces into a train step, and leaves its whole state in the file."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, ClassVar

import intaglio as ig
from intaglio._core import wrap
from intaglio._modes import modes
from intaglio._places import copied
from intaglio._tensor import Tensor
from intaglio.compiler.errors import ArgumentError
from intaglio.nn._uninitialized import is_uninitialized
from intaglio.optim._compiled import WARM, CompiledStep, may_compile
from intaglio.optim._groups import ParameterGroup, checked_parameters
from intaglio.optim._hooks import EVENTS, Hooked, surrounded
from intaglio.optim._state import as_tensor, checked, option, packed, step_saved, taken_over

Moments = dict[str, Tensor]


class Cohort:
    """Parameters that have been stepped equally often: they share one step count, f64[]."""

    def __init__(self, step: Tensor, parameters: list[Tensor]) -> None:
        self.step, self.parameters = step, parameters
        self.eager_steps = 0
        self.compiled: CompiledStep | None = None

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "compiled": None, "eager_steps": 0}


class Optimizer(Hooked):
    """Base of all optimizers. Takes parameters, pairs (name, parameter), or groups: dicts with
    `params` and options of their own.

    A subclass defines `moments` and `update`; then its step compiles, traces and is saved. One that
    defines `step` itself, as torch's subclasses do, keeps what it likes in `self.state[p]`."""

    switches: ClassVar[tuple[str, ...]] = ("weight_decay",)
    """Numbers that leave a part out of the formula where they are zero."""
    constants: ClassVar[tuple[str, ...]] = ()
    """Options that are numbers and yet shape the formula: counts of iterations."""
    saves_step: ClassVar[bool] = True
    """Whether the state dict holds the step count, as torch's does."""

    def __init__(self, params: Iterable[Any], defaults: Mapping[str, Any]) -> None:
        name = type(self).__name__
        self._hooks, self._hook_changes = {event: {} for event in EVENTS}, None
        self.defaults = dict(defaults)
        self.param_groups: list[ParameterGroup] = []
        self.state: defaultdict[Tensor, dict[str, Any]] = defaultdict(dict)
        self._cohorts: list[list[Cohort]] = []
        self._layout = 0
        if isinstance(params, Tensor):
            raise TypeError(f"{name}: params must be a list of tensors or dicts, not one tensor")
        if hasattr(params, "parameters"):
            from intaglio.nn._kinds import KindError

            raise KindError(
                f"{name}: params must be a list of tensors or dicts, not a {type(params).__name__};"
                " give its parameters()"
            )
        given = list(params)
        if not given:
            raise ArgumentError(
                f"{name}: got no parameters; a generator gives them only once, and a module knows"
                " those that are its attributes or in a ModuleList, not in a plain list"
            )
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

    def next(
        self, p: Tensor, g: Tensor, moments: Moments, group: ParameterGroup, step: Tensor
    ) -> tuple[Tensor, Moments]:
        """`update` along the gradient, or against it with `maximize`."""
        return self.update(p, -g if group.get("maximize") else g, moments, group, step)

    def _first_moments(self, parameter: Tensor, group: ParameterGroup) -> Moments:
        """New moments; none as long as the parameter has no shape."""
        return {} if is_uninitialized(parameter) else self.moments(parameter, group)

    # ------------------------------------------------------------------------------ the public part

    def add_param_group(self, param_group: Mapping[str, Any]) -> None:
        """Add parameters with options of their own."""
        name = type(self).__name__
        if not isinstance(param_group, Mapping):
            raise TypeError(f"{name}: a group must be a dict, not {type(param_group).__name__}")
        parameters, names = checked_parameters(
            name, param_group["params"], bool(self.defaults.get("differentiable"))
        )
        if names is None:
            names = param_group.get("param_names")
        self._check_new(parameters, names)
        own = {k: v for k, v in param_group.items() if k not in ("params", "param_names")}
        if names is not None:
            own["param_names"] = list(names)
        options = self.defaults | own
        group = ParameterGroup(parameters, options, self.switches, self.constants)
        self.param_groups.append(group)
        for parameter in parameters:
            self.state[parameter].update(self._first_moments(parameter, group))
        self._cohorts.append([Cohort(ig.zeros((), dtype=ig.float64), parameters)])
        self._layout += 1
        self._listen()

    def _check_new(self, parameters: list[Tensor], names: Any) -> None:
        name = type(self).__name__
        seen = {id(p) for group in self.param_groups for p in group["params"]}
        for parameter in parameters:
            if id(parameter) in seen:
                raise ArgumentError(f"{name}: a parameter is given twice, or is in two groups")
            seen.add(id(parameter))
        if any(("param_names" in group) is not (names is not None) for group in self.param_groups):
            raise ArgumentError(f"{name}: either the parameters of all groups have names or none")

    def zero_grad(self, set_to_none: bool = True) -> None:
        """Drop all gradients, or fill them with zero."""
        for group in self.param_groups:
            for parameter in group["params"]:
                if set_to_none or parameter.grad is None:
                    parameter.grad = None
                else:
                    parameter.grad = ig.zeros_like(parameter.grad)

    @surrounded
    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """Update every parameter that has a gradient. `closure` computes the loss (and gradients)
        anew first."""
        loss = None
        if closure is not None:
            with ig.enable_grad():
                loss = closure()
        self._follow()
        with ig.no_grad():
            for group, cohorts in zip(self.param_groups, self._cohorts, strict=True):
                for cohort in self._stepping(cohorts):
                    self._step_cohort(group, cohort)
        return loss

    def _stepping(self, cohorts: list[Cohort]) -> list[Cohort]:
        """The cohorts whose parameters have gradients; one of which only some have is split
        first."""
        chosen: list[Cohort] = []
        for cohort in list(cohorts):
            ready = [p for p in cohort.parameters if p.grad is not None]
            if not ready:
                continue
            if len(ready) < len(cohort.parameters):
                waiting = [p for p in cohort.parameters if p.grad is None]
                cohorts.append(Cohort(_copied_now(cohort.step), waiting))
                cohort.parameters = ready
                self._layout += 1
            chosen.append(cohort)
        return chosen

    def _step_cohort(self, group: ParameterGroup, cohort: Cohort) -> None:
        if may_compile():
            if cohort.eager_steps >= WARM:
                compiled = cohort.compiled
                if compiled is None or not compiled.fits(cohort):
                    compiled = cohort.compiled = CompiledStep(self, group, cohort)
                if compiled.run(cohort.parameters):
                    return
            cohort.eager_steps += 1
        cohort.step.add_(1.0)
        for parameter in cohort.parameters:
            gradient, moments = parameter.grad, self.state[parameter]
            assert gradient is not None
            new, changed = self.next(parameter, gradient, moments, group, cohort.step)
            for name, value in changed.items():
                moments[name].copy_(value)
            parameter.copy_(new)

    def _follow(self) -> None:
        """Follow what an author did to the groups' lists of parameters and to `state`: parameters
        whose entries are gone (`opt.state.clear()`, another dict in its place), and new ones, get
        new moments and count their steps from the start."""
        if modes.trace is not None or not self._has_update():
            return
        counts = self._counts()
        for group, cohorts in zip(self.param_groups, self._cohorts, strict=True):
            held = {id(p) for cohort in cohorts for p in cohort.parameters}
            wanted = {id(p): p for p in group["params"]}
            fresh = [p for i, p in wanted.items() if i not in held or not self.state.get(p)]
            fresh = [p for p in fresh if id(p) not in held or not is_uninitialized(p)]
            if held == wanted.keys() and not (fresh and self.moments(fresh[0], group)):
                continue
            begun: dict[int, Cohort] = {}
            for parameter in fresh:
                moved = id(parameter) not in held and bool(self.state.get(parameter))
                step = counts.get(id(parameter)) if moved else None
                if not moved:
                    self.state[parameter].update(self._first_moments(parameter, group))
                if id(step) not in begun:
                    start = ig.zeros((), dtype=ig.float64) if step is None else _copied_now(step)
                    begun[id(step)] = Cohort(start, [])
                begun[id(step)].parameters.append(parameter)
            kept = wanted.keys() - set(map(id, fresh))
            for cohort in cohorts:
                cohort.parameters = [p for p in cohort.parameters if id(p) in kept]
            cohorts[:] = [*(c for c in cohorts if c.parameters), *begun.values()]
            self._layout += 1

    def _counts(self) -> dict[int, Tensor]:
        """The step counts by parameter."""
        several = [c for cohorts in self._cohorts for c in cohorts]
        return {id(p): cohort.step for cohort in several for p in cohort.parameters}

    # ---------------------------------------------------------------------------------------- state

    def reset(self) -> None:
        """Put moments and step counts back to what they were before the first step, in place;
        hyperparameters stay. May be traced, as a program's function that starts training anew."""
        self._follow()
        with ig.no_grad():
            for group, cohorts in zip(self.param_groups, self._cohorts, strict=True):
                for cohort in cohorts:
                    cohort.step.zero_()
                for parameter in group["params"]:
                    moments = self.state[parameter]
                    if not self._has_update():
                        moments.clear()
                    for name, initial in self._first_moments(parameter, group).items():
                        moments[name].copy_(initial)

    def named_state(self) -> Iterator[tuple[str, Tensor, str]]:
        """Every tensor of this optimizer's state with its name in a file and its kind."""
        self._follow()
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
                for name, value in self.state[parameter].items():
                    if isinstance(value, Tensor):
                        yield f"optim.state.{position}.{name}", value, "optimizer"
                position += 1

    def choices(self) -> Iterator[tuple[dict[Any, Any], Any, Any, str]]:
        """The values that a traced step rests on: (dict, key, value, what it is)."""
        yield self.__dict__, "_layout", self._layout, "which parameters have stepped equally often"
        yield self.__dict__, "_hook_changes", self._hook_changes, "the hooks of the step"
        yield from self._places_of_moments()
        for k, group in enumerate(self.param_groups):
            yield group, "params", group["params"], f"param_groups[{k}]['params']"
            for name, value in group.chosen.items():
                what = f"whether param_groups[{k}][{name!r}] is zero"
                if name not in group.tensors:
                    what = f"param_groups[{k}][{name!r}]"
                yield group.chosen, name, value, what

    def _places_of_moments(self) -> Iterator[tuple[dict[Any, Any], Any, Any, str]]:
        """Where the tensors of the state were found, which an author may replace."""
        if not self._has_update():
            return
        yield self.__dict__, "state", self.state, "state"
        position = 0
        for group in self.param_groups:
            for parameter in group["params"]:
                own = self.state[parameter]
                yield self.state, parameter, own, f"state[{position}]"
                for name, value in own.items():
                    yield own, name, value, f"state[{position}][{name!r}]"
                position += 1

    def state_dict(self) -> dict[str, Any]:
        """`state` by parameter position, and `param_groups` with positions for parameters, as torch
        lays them out. The tensors are this optimizer's own, not copies."""
        for hook in self._hooks["state_dict_pre"].values():
            hook(self)
        self._follow()
        made = packed(self)
        for hook in self._hooks["state_dict_post"].values():
            made = hook(self, made) or made
        return made

    def saved_state(self, parameter: Tensor, step: Tensor) -> dict[str, Any]:
        """What the state dict holds for a parameter: as in torch, nothing before its first step."""
        if not self._has_update():
            return dict(self.state[parameter])
        if step.item() == 0.0:
            return {}
        return {"step": step} | self.state[parameter] if self.saves_step else self.state[parameter]

    def steps_of(self, k: int) -> dict[Tensor, Tensor]:
        """The step count of each parameter of group k, f64[]."""
        return {p: cohort.step for cohort in self._cohorts[k] for p in cohort.parameters}

    def load_state_dict(self, state_dict: Mapping[str, Any]) -> None:
        """Take over what `state_dict` gave, here or in torch, for an optimizer of the same groups.
        The values are copied; what does not fit raises ArgumentError and changes nothing."""
        state_dict = dict(state_dict)
        for hook in self._hooks["load_pre"].values():
            state_dict = hook(self, state_dict) or state_dict
        self._follow()
        groups, values = checked(self, state_dict)
        with ig.no_grad():
            for k, (group, saved) in enumerate(zip(self.param_groups, groups, strict=True)):
                for name, value in saved.items():
                    if name != "params":
                        group[name] = option(value)
                self._load_group(k, values[k])
        for hook in self._hooks["load_post"].values():
            hook(self)

    def _load_group(self, k: int, values: list[Mapping[str, Any]]) -> None:
        group = self.param_groups[k]
        steps: dict[Tensor, float] = {}
        for parameter, saved in zip(group["params"], values, strict=True):
            own, initial = self.state[parameter], self._first_moments(parameter, group)
            for name, start in initial.items():
                given = saved.get(name)
                own[name].copy_(start if given is None else as_tensor(given))
            steps[parameter] = step_saved(saved, list(initial)) if self._has_update() else 0.0
            others = {name for name in saved if name not in initial}
            others -= {"step"} if self._has_update() else set()
            for name in set(own) - set(initial) - others:
                del own[name]
            own.update({name: taken_over(parameter, saved[name]) for name in others})
        self._set_steps(k, steps)

    def _set_steps(self, k: int, steps: Mapping[Tensor, float]) -> None:
        """Set the step counts of group k, in place where the same parameters go together."""
        cohorts = self._cohorts[k]
        counts = [{steps[p] for p in cohort.parameters} for cohort in cohorts]
        if all(len(several) <= 1 for several in counts):
            for cohort, several in zip(cohorts, counts, strict=True):
                cohort.step.fill_(max(several, default=0.0))
            return
        members: dict[float, list[Tensor]] = {}
        for parameter, step in steps.items():
            members.setdefault(step, []).append(parameter)
        self._cohorts[k] = [
            Cohort(ig.tensor(step, dtype=ig.float64), several) for step, several in members.items()
        ]
        self._layout += 1

    def _has_update(self) -> bool:
        return type(self).update is not Optimizer.update

    def _listen(self) -> None:
        for group in self.param_groups:
            group.listener = self._make_moments

    def _make_moments(self) -> None:
        """Make the moments that options need which have changed."""
        for group in self.param_groups:
            for parameter in group["params"]:
                for name, tensor in self._first_moments(parameter, group).items():
                    self.state[parameter].setdefault(name, tensor)

    def __getstate__(self) -> dict[str, Any]:
        return {name: value for name, value in self.__dict__.items() if name != "_hooks"}

    def __setstate__(self, state: Mapping[str, Any]) -> None:
        self.__dict__.update(state)
        self.__dict__.setdefault("_hooks", {event: {} for event in EVENTS})
        self.__dict__.setdefault("_hook_changes", None)
        self._listen()

    def __repr__(self) -> str:
        lines = [type(self).__name__ + " ("]
        for k, group in enumerate(self.param_groups):
            lines.append(f"Parameter Group {k}")
            lines += [f"    {name}: {group[name]}" for name in sorted(group) if name != "params"]
        return "\n".join([*lines, ")"])


def _copied_now(tensor: Tensor) -> Tensor:
    """A copy of the data that a tensor holds now; inside a trace, of what it held before."""
    trace, data = modes.trace, tensor._data
    if trace is not None and id(tensor) in trace.snapshots:
        data = trace.snapshots[id(tensor)].data
    return wrap(copied(data), tensor._kind)
