"""The base of the schedules: counters as state, and rates written in place.

A schedule's counters (`last_epoch`, ...) are 0-d tensors, and a step computes the next rates from
them with the ops of tensors, so that it gives the same bits eagerly, compiled and from a file.
Inside a trace a choice that depends on a counter can't be made in Python: what is written under
`where_chosen` goes through a `where`."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import intaglio as ig
from intaglio._modes import modes
from intaglio._tensor import Tensor
from intaglio.compiler.dtypes import DType
from intaglio.compiler.errors import ArgumentError
from intaglio.optim._optimizer import Optimizer

_choices: list[Tensor] = []
"""The conditions under which writes happen; used while a trace is recorded, which holds a lock."""


@contextmanager
def where_chosen(condition: Tensor) -> Iterator[None]:
    """Let `put` keep what was there wherever `condition` (bool[]) is false."""
    _choices.append(condition)
    try:
        yield
    finally:
        _choices.pop()


def put(tensor: Tensor, value: Any) -> None:
    """Write a number or tensor into a 0-d tensor, in place."""
    with ig.no_grad():
        for condition in _choices:
            value = ig.where(condition, value, tensor)
        if isinstance(value, Tensor):
            tensor.copy_(value.detach().reshape(()))
        else:
            tensor.fill_(value)


def called(function: Callable[[Any], Any], number: Tensor) -> Any:
    """A user's function of an epoch. It gets the f64[] tensor, whose arithmetic has the bits of a
    compiled step; where it can't do with that, eagerly, the Python number."""
    try:
        return function(number)
    except Exception:
        if modes.trace is not None:
            raise
        plain = number.item()
        return function(int(plain) if plain == int(plain) else plain)


class Counter:
    """An attribute kept as a 0-d tensor in the schedule's state: a Python number eagerly, the
    tensor inside a trace."""

    def __init__(self, dtype: DType | None = None) -> None:
        self.dtype = ig.int64 if dtype is None else dtype

    def __set_name__(self, owner: type, name: str) -> None:
        self.name = name

    def __get__(self, schedule: Any, owner: type | None = None) -> Any:
        if schedule is None:
            return self
        tensor = schedule._state.get(self.name)
        if tensor is None:
            raise AttributeError(f"{type(schedule).__name__} has no {self.name} yet")
        return tensor if modes.trace is not None else tensor.item()

    def __set__(self, schedule: Any, value: Any) -> None:
        tensor = schedule._state.get(self.name)
        if tensor is None:
            number = value.item() if isinstance(value, Tensor) else value
            schedule._state[self.name] = ig.tensor(number, dtype=self.dtype)
        else:
            put(tensor, value)


class LRScheduler:
    """Base of the schedules: sets `lr` of an optimizer's groups at each `step()`.

    A schedule of one's own defines `get_lr()`, which gives the next rate of each group from
    `self.last_epoch`, `self.base_lrs` and `self.optimizer.param_groups`. Inside a trace these are
    tensors. `last_epoch` other than -1 continues a schedule whose optimizer was restored."""

    last_epoch = Counter()
    _step_count = Counter()
    _not_saved: tuple[str, ...] = ("optimizer", "_state", "_is_initial", "_within_step")

    def __init__(self, optimizer: Optimizer, last_epoch: int = -1) -> None:
        self._attach(optimizer)
        for k, group in enumerate(optimizer.param_groups):
            if last_epoch == -1:
                if "initial_lr" not in group:
                    group["initial_lr"] = group["lr"]
            elif "initial_lr" not in group:
                raise KeyError(
                    f"{type(self).__name__}: last_epoch={last_epoch} continues a schedule, but"
                    f" param_groups[{k}] has no 'initial_lr'; load the optimizer's state first"
                )
        self.base_lrs = [group["initial_lr"] for group in optimizer.param_groups]
        self.last_epoch = last_epoch
        self._initial_step()

    def _attach(self, optimizer: Any) -> None:
        """Check the optimizer, and make room for counters."""
        if not isinstance(optimizer, Optimizer):
            raise TypeError(
                f"{type(self).__name__}: an Optimizer is wanted, not {type(optimizer).__name__}"
            )
        if "_state" in self.__dict__:
            return  # a subclass has done it, to have counters of its own
        self.optimizer = optimizer
        self._state: dict[str, Tensor] = {}
        # None rather than False, so that the plain values of a program leave them out
        self._is_initial: bool | None = None
        self._within_step: bool | None = None

    # --------------------------------------------------------------------------- lists in the state

    def _numbers(self, name: str) -> list[Tensor]:
        """One f64[] per group, of the schedule's own state."""
        count = len(self.optimizer.param_groups)
        return [self._state[f"{name}.{k}"] for k in range(count) if f"{name}.{k}" in self._state]

    def _set_numbers(self, name: str, values: Sequence[Any]) -> None:
        for k, value in enumerate(values):
            tensor = self._state.get(f"{name}.{k}")
            if tensor is None:
                number = value.item() if isinstance(value, Tensor) else float(value)
                self._state[f"{name}.{k}"] = ig.tensor(number, dtype=ig.float64)
            else:
                put(tensor, value)

    @property
    def base_lrs(self) -> list[Any]:
        """The rates that the schedule starts from: a number per group, inside a trace a tensor."""
        return shown(self._numbers("base_lrs"))

    @base_lrs.setter
    def base_lrs(self, values: Sequence[Any]) -> None:
        self._set_numbers("base_lrs", values)

    @property
    def _last_lr(self) -> list[Any]:
        return shown(self._numbers("last_lr"))

    def get_last_lr(self) -> list[Any]:
        """The rates that the last step set: a number per group, inside a trace a tensor."""
        return self._last_lr

    def _keep_last(self) -> None:
        self._set_numbers("last_lr", self._rates())

    def _rates(self, name: str = "lr") -> list[Tensor]:
        """A number of every group of the optimizer, as the tensors that the optimizer reads."""
        return [group.tensors[name] for group in self.optimizer.param_groups]  # type: ignore[misc]  # a single number

    @property
    def _epoch(self) -> Tensor:
        """`last_epoch` as f64[], also eagerly."""
        return self._state["last_epoch"].to(ig.float64)

    # ------------------------------------------------------------------------------------- the step

    def get_lr(self) -> list[Any]:
        """The next rate of each group; a schedule defines it."""
        raise NotImplementedError(f"{type(self).__name__} defines no get_lr")

    def _made(self, rates: Sequence[Any]) -> list[Any]:
        """Rates as `get_lr` gives them: tensors to a step, numbers to a user."""
        return list(rates) if self._within_step else shown(rates)

    def step(self, epoch: Any = None) -> None:
        """Go one epoch on and set the optimizer's rates; call it after the optimizer's step.

        `epoch` (torch calls it deprecated) goes to that epoch instead, by the schedule's closed
        form where it has one."""
        self._check_step()
        put(self._state["_step_count"], self._state["_step_count"] + 1)
        self._update_lr(epoch)

    def _check_step(self) -> None:
        """Refuse a step, before anything is changed."""

    def _update_lr(self, epoch: Any = None) -> None:
        closed = getattr(self, "_get_closed_form_lr", None)
        counter = self._state["last_epoch"]
        put(counter, counter + 1 if epoch is None else epoch)
        within, self._within_step = self._within_step, True
        try:
            made = self.get_lr() if epoch is None or closed is None else closed()
        finally:
            self._within_step = within
        for rate, value in zip(self._rates(), made, strict=True):
            put(rate, value)
        self._keep_last()

    def _initial_step(self) -> None:
        """The step that sets the rates of epoch 0."""
        self._step_count = 0
        self._is_initial = True
        try:
            self.step()
        finally:
            self._is_initial = None

    # ---------------------------------------------------------------------------------------- reset

    def reset(self) -> None:
        """Go back to the start: the counters, and the rates as they were when the schedule was
        made from `base_lrs`. Traceable."""
        for rate, base in zip(self._rates(), self._numbers("base_lrs"), strict=True):
            put(rate, base)
        self._rewind()

    def _rewind(self) -> None:
        """The counters as they were before the initial step; then that step."""
        self.last_epoch = -1
        self._initial_step()

    # ---------------------------------------------------------------------------------------- state

    def parts(self) -> Sequence[LRScheduler]:
        """The schedules that this one is made of."""
        return ()

    def named_state(self) -> Iterator[tuple[str, Tensor, str]]:
        """Every tensor of the state with its name in a file and its kind."""
        for name, tensor in self._state.items():
            kind = "hyperparameter" if name.startswith("base_lrs.") else "optimizer"
            yield f"schedule.{name.removeprefix('_')}", tensor, kind
        for k, part in enumerate(self.parts()):
            for name, tensor, kind in part.named_state():
                yield name.replace("schedule.", f"schedule.{k}.", 1), tensor, kind

    def state_dict(self) -> dict[str, Any]:
        """Counters, rates and options as plain values, under torch's names. Functions are left
        out; of callable objects the attributes are kept."""
        found = {k: v for k, v in self.__dict__.items() if k not in self._not_saved}
        for name, tensor in self._state.items():
            stem, _, number = name.partition(".")
            key = "_last_lr" if stem == "last_lr" else stem
            if number:
                found.setdefault(key, []).append(tensor.item())
            else:
                found[key] = tensor.item()
        return found

    def load_state_dict(self, state_dict: Mapping[str, Any]) -> None:
        """Take over what `state_dict` gave, here or in torch. The optimizer's rates are part of its
        own state."""
        lists = {n: list(state_dict[n]) for n in ("base_lrs", "_last_lr") if n in state_dict}
        for name, rates in lists.items():
            known = len(self._numbers(name.removeprefix("_"))) or len(self.optimizer.param_groups)
            if len(rates) != known:
                raise ArgumentError(
                    f"{type(self).__name__}.load_state_dict: {name} of {len(rates)} groups does not"
                    f" fit {known}"
                )
        for name, value in state_dict.items():
            if name in self._not_saved or name == "_get_lr_called_within_step":
                continue
            if name in lists:
                self._set_numbers(name.removeprefix("_"), lists[name])
            else:
                setattr(self, name, value)

    def __repr__(self) -> str:
        return f"<{type(self).__name__} at epoch {self._state['last_epoch']._data}>"


def shown(rates: Sequence[Any]) -> list[Any]:
    """Numbers for a user: Python's outside of a trace."""
    if modes.trace is not None:
        return list(rates)
    return [r.item() if isinstance(r, Tensor) else r for r in rates]


def per_group(name: str, optimizer: Optimizer, value: Any) -> list[float]:
    """A number for every group: the same for all, or one of each from a list."""
    count = len(optimizer.param_groups)
    if not isinstance(value, list | tuple):
        return [float(value)] * count
    if len(value) != count:
        raise ArgumentError(
            f"{name}: {len(value)} values were given for the {count} groups of the optimizer"
        )
    return [float(v) for v in value]


def functions_per_group(name: str, optimizer: Optimizer, given: Any) -> list[Callable[..., Any]]:
    """A function for every group: the same for all, or one of each from a list."""
    count = len(optimizer.param_groups)
    found = list(given) if isinstance(given, list | tuple) else [given] * count
    if len(found) != count:
        raise ArgumentError(f"{name}: expected {count} lr_lambdas, one per group, got {len(found)}")
    for function in found:
        if not callable(function):
            raise TypeError(f"{name}: lr_lambda is a function, not {type(function).__name__}")
    return found


def saved_function(function: Any) -> dict[str, Any] | None:
    """What is saved of a function: the attributes of a callable object, nothing of a plain one."""
    kept = getattr(function, "__dict__", None)
    return dict(kept) if kept and not hasattr(function, "__code__") else None
