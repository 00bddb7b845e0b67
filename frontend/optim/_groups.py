"""A group of parameters with its options: numbers as state that compiled steps read, the rest as
plain choices that decide which formula a step takes."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from numbers import Real
from typing import Any, Final

import intaglio as ig
from intaglio._core import Tensor
from intaglio._modes import modes
from intaglio._reach import PLAIN, same
from intaglio._trace_errors import at
from intaglio.compiler.dtypes import DType
from intaglio.compiler.errors import ArgumentError

OUTSIDE: Final = ("params", "param_names")
"""What a group holds beside its options."""


class ParameterGroup(dict[str, Any]):
    """A group's parameters and options.

    Numbers are kept as 0-d f64 tensors, which a traced step captures as state. `group["lr"]` is a
    number outside of a trace and the tensor inside; assigning changes the tensor in place, so that
    compiled steps see it. Of `switches` it matters whether they are zero; `constants` are numbers
    that shape the formula itself (a count of iterations) and stay as they are given.

    `chosen` holds what a compiled step rests on; `listener` is called when it changes."""

    def __init__(
        self,
        parameters: list[Tensor],
        options: Mapping[str, Any],
        switches: tuple[str, ...] = (),
        constants: tuple[str, ...] = (),
    ) -> None:
        super().__init__()
        self.tensors: dict[str, Tensor | tuple[Tensor, ...]] = {}
        self.chosen: dict[str, Any] = {}
        self.switches, self.constants = switches, constants
        self.listener: Callable[[], None] | None = None
        super().__setitem__("params", parameters)
        for name, value in options.items():
            self[name] = value

    # ---------------------------------------------------------------------------------- as a dict

    def __setitem__(self, name: str, value: Any) -> None:
        if name in OUTSIDE:
            super().__setitem__(name, value)
        elif name not in self.constants and _are_numbers(value):
            self._set_numbers(name, value)
        else:
            self.tensors.pop(name, None)
            super().__setitem__(name, value)
            self._choose(name, value)

    def _set_numbers(self, name: str, value: Any) -> None:
        several = value if isinstance(value, tuple | list) else (value,)
        traced = modes.trace is not None and any(isinstance(v, Tensor) for v in several)
        if name in self.switches and not traced:
            self._choose(name, _number(value) == 0.0)
        elif name in self.switches and self.chosen.get(name, False):
            raise at(
                f"{name} was zero, and steps leave out what it would do: a traced function can't"
                " set it; give it a value that is not zero before tracing"
            )
        old = self.tensors.get(name)
        known = (old,) if isinstance(old, Tensor) else old or ()
        if len(known) == len(several) and isinstance(old, Tensor) is (several is not value):
            for tensor, number in zip(known, several, strict=True):
                _assign(tensor, number)
        elif traced:
            raise at(f"{name}: a traced function can't give a group a new option")
        else:
            made = tuple(_scalar(number) for number in several)
            self.tensors[name] = made if several is value else made[0]
        numbers = [0.0 if traced else _number(number) for number in several]
        super().__setitem__(name, tuple(numbers) if several is value else numbers[0])

    def _choose(self, name: str, value: Any) -> None:
        if not isinstance(value, (*PLAIN, tuple, list)):
            return  # an author's own note: no formula asks for it
        before = self.chosen.get(name)
        self.chosen[name] = value
        if self.listener is not None and not same(before, value):
            self.listener()

    def __getitem__(self, name: str) -> Any:
        tensors = self.tensors.get(name)
        if tensors is None:
            return super().__getitem__(name)
        if isinstance(tensors, tuple):
            return tensors if modes.trace is not None else tuple(t.item() for t in tensors)
        return tensors if modes.trace is not None else tensors.item()

    def __iter__(self) -> Iterator[str]:
        return super().__iter__()  # so that dict(group) and {**group} read through __getitem__

    def __delitem__(self, name: str) -> None:
        self.tensors.pop(name, None)
        self.chosen.pop(name, None)
        super().__delitem__(name)

    def get(self, name: str, default: Any = None) -> Any:
        """The option, or `default`."""
        try:
            return self[name]
        except KeyError:
            return default

    def setdefault(self, name: str, default: Any = None) -> Any:
        """The option, set to `default` if there is none."""
        if name not in self:
            self[name] = default
        return self[name]

    def pop(self, name: str, *default: Any) -> Any:
        """The option, which is taken out."""
        if name not in self and default:
            return default[0]
        value = self[name]
        del self[name]
        return value

    def update(self, *others: Any, **options: Any) -> None:
        """Set several options."""
        for name, value in dict(*others, **options).items():
            self[name] = value

    def items(self) -> Any:
        """Names and options."""
        return [(name, self[name]) for name in self]

    def values(self) -> Any:
        """Options."""
        return [self[name] for name in self]

    def copy(self) -> dict[str, Any]:
        """A plain dict of the parameters and options."""
        return dict(self.items())

    def __reduce__(self) -> Any:
        options = {name: value for name, value in self.items() if name != "params"}
        return ParameterGroup, (self["params"], options, self.switches, self.constants)

    # ------------------------------------------------------------------------------- for the steps

    def is_zero(self, name: str) -> bool:
        """Whether a switch is zero, so that what it would do is left out of the formula."""
        return bool(self.chosen[name])

    def formula(self) -> tuple[Any, ...]:
        """The options that choose a formula: flags, and which switches are zero."""
        return tuple(self.chosen.items())

    def with_numbers(self, numbers: Mapping[str, Tensor]) -> ParameterGroup:
        """This group with other tensors for its numbers, named as in `numbers()`."""
        made = ParameterGroup([], {}, self.switches, self.constants)
        for name in self:
            dict.__setitem__(made, name, super().__getitem__(name))
        made.chosen = self.chosen
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


def _are_numbers(value: object) -> bool:
    if isinstance(value, tuple | list):
        return bool(value) and all(map(is_number, value))
    return is_number(value)


def is_number(value: object) -> bool:
    """Whether a value is one number: int, float (NumPy's too) or a tensor of one element."""
    if isinstance(value, Tensor):
        return value.ndim == 0 or value.numel() == 1
    return isinstance(value, Real) and not isinstance(value, bool)


def _number(value: Any) -> float:
    return float(value.item()) if isinstance(value, Tensor) else float(value)


def _scalar(value: Any) -> Tensor:
    return ig.tensor(_number(value), dtype=ig.float64)


def _assign(tensor: Tensor, value: Any) -> None:
    with ig.no_grad():
        if isinstance(value, Tensor):
            tensor.copy_(value.reshape(()))
        else:
            tensor.fill_(value)


def checked_parameters(what: str, given: Any, differentiable: bool) -> tuple[list[Tensor], Any]:
    """The parameters of a group, and their names if they came as pairs (name, parameter)."""
    if isinstance(given, set | frozenset):
        raise TypeError(f"{what}: the order of a set differs from run to run; give a list")
    several = [given] if isinstance(given, Tensor) else list(given)
    names = [entry[0] for entry in several if isinstance(entry, tuple)]
    if names and len(names) != len(several):
        raise ArgumentError(f"{what}: either all parameters have names or none has")
    parameters = [entry[1] if isinstance(entry, tuple) else entry for entry in several]
    for parameter in parameters:
        if not isinstance(parameter, Tensor):
            kind = type(parameter).__name__
            raise TypeError(f"{what}: a parameter must be a Tensor, not {kind}")
        if not (differentiable or parameter.is_leaf or parameter.retains_grad):
            raise ArgumentError(
                f"{what}: can't optimize {parameter._kind}, the result of an op (not a leaf);"
                " give the parameter that it was made of"
            )
    return parameters, names or None
