"""Optimizers as pure functions: `init(params)` makes a state, `update(params, grads, state)` gives
new parameters and a new state, and nothing is written in place.

Parameters come as a nest of lists, tuples and dicts; gradients and states have its shape. The
formulas are those of the classes, so the values are the same bits. They work within `ig.jit`,
`ig.trace` and `ig.func`, also differentiated: by the learning rate, say."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import partial
from typing import Any, Final

import intaglio as ig
from intaglio._core import Tensor
from intaglio._structure import flatten, unflatten
from intaglio.compiler.errors import ArgumentError, ShapeError
from intaglio.optim import (
    _adafactor,
    _adam,
    _adam_like,
    _adaptive,
    _averaged,
    _muon,
    _sgd,
)
from intaglio.optim._groups import ParameterGroup, is_number
from intaglio.optim._optimizer import Optimizer


class Functional:
    """The pure form of an optimizer class with these options.

    >>> adam = ig.optim.functional.Adam(lr=1e-3)
    >>> state = adam.init(params)
    >>> params, state = adam.update(params, grads, state)
    """

    def __init__(self, optimizer: type[Optimizer], **options: Any) -> None:
        if optimizer.update is Optimizer.update:
            raise ArgumentError(f"{optimizer.__name__}: has no formula of its own to use alone")
        shape = (1, 1) if optimizer is _muon.Muon else ()
        self._optimizer = optimizer([ig.zeros(shape)], **options)
        self._group = self._optimizer.param_groups[0]

    def init(self, params: Any) -> Any:
        """The state before the first step: in each parameter's place a dict of its moments and
        `step`, f64[]."""
        leaves, structure = flatten(params)
        for leaf in leaves:
            if not isinstance(leaf, Tensor):
                raise ArgumentError(
                    f"{self._name}.init: parameters must be tensors, not {type(leaf).__name__}"
                )
        states = [
            {"step": ig.zeros((), dtype=ig.float64), **self._optimizer.moments(p, self._group)}
            for p in leaves
        ]
        return unflatten(structure, states)

    def update(
        self, params: Any, grads: Any, state: Any, hyper: Mapping[str, Any] | None = None
    ) -> tuple[Any, Any]:
        """One step. A parameter whose gradient is None stays as it is. `hyper` gives other numbers
        for this step: `{"lr": 0.1}`, `{"betas": (0.9, 0.99)}`; tensors f64[] may carry
        derivatives."""
        leaves, structure = flatten(params)
        group = self._with(hyper or {})
        new, states = [], []
        rows = zip(leaves, self._matched(params, grads), self._matched(params, state), strict=True)
        for p, g, own in rows:
            if g is None:
                new.append(p)
                states.append(own)
                continue
            if tuple(g.shape) != tuple(p.shape):
                raise ShapeError(
                    f"{self._name}.update: a gradient {g._kind} for a parameter {p._kind}"
                )
            moments = {name: value for name, value in own.items() if name != "step"}
            step = own["step"] + 1.0
            after, changed = self._optimizer.next(p, g, moments, group, step)
            new.append(after)
            states.append({"step": step, **moments, **changed})
        return unflatten(structure, new), unflatten(structure, states)

    @property
    def _name(self) -> str:
        return type(self._optimizer).__name__

    def _matched(self, params: Any, other: Any) -> list[Any]:
        """The parts of a nest that stand where the parameters have tensors."""
        return list(_parts(params, other, self._name))

    def _with(self, hyper: Mapping[str, Any]) -> ParameterGroup:
        numbers = self._group.numbers()
        given: dict[str, Any] = {}
        for name, value in hyper.items():
            if isinstance(value, tuple | list):
                given |= {f"{name}.{k}": part for k, part in enumerate(value)}
            else:
                given[name] = value
        unknown = [name for name in given if name not in numbers or not is_number(given[name])]
        if unknown:
            raise ArgumentError(
                f"{self._name}.update: hyper holds {unknown[0]!r}, which is none of the numbers"
                f" {sorted(numbers)}"
            )
        tensors = {name: _as_f64(value) for name, value in given.items()}
        group = self._group.with_numbers(numbers | tensors)
        switched = {name: _is_zero(given[name]) for name in group.switches if name in given}
        group.chosen = {**group.chosen, **switched}
        return group


def _as_f64(value: Any) -> Tensor:
    if isinstance(value, Tensor):
        return value.reshape(()).to(ig.float64)
    return ig.tensor(float(value), dtype=ig.float64)


def _is_zero(value: Any) -> bool:
    return not isinstance(value, Tensor) and float(value) == 0.0


def _parts(params: Any, other: Any, name: str) -> Iterator[Any]:
    if isinstance(params, Mapping):
        if not isinstance(other, Mapping) or set(params) != set(other):
            raise ArgumentError(f"{name}.update: a dict does not have the parameters' keys")
        for key, value in params.items():
            yield from _parts(value, other[key], name)
    elif isinstance(params, tuple | list):
        if not isinstance(other, tuple | list) or len(params) != len(other):
            raise ArgumentError(f"{name}.update: a list does not have the parameters' length")
        for one, two in zip(params, other, strict=True):
            yield from _parts(one, two, name)
    else:
        yield other


SGD: Final = partial(Functional, _sgd.SGD)
Adam: Final = partial(Functional, _adam.Adam)
AdamW: Final = partial(Functional, _adam.AdamW)
RMSprop: Final = partial(Functional, _adaptive.RMSprop)
Adagrad: Final = partial(Functional, _adaptive.Adagrad)
Adadelta: Final = partial(Functional, _adaptive.Adadelta)
Adafactor: Final = partial(Functional, _adafactor.Adafactor)
Adamax: Final = partial(Functional, _adam_like.Adamax)
NAdam: Final = partial(Functional, _adam_like.NAdam)
RAdam: Final = partial(Functional, _adam_like.RAdam)
Rprop: Final = partial(Functional, _averaged.Rprop)
ASGD: Final = partial(Functional, _averaged.ASGD)
Lion: Final = partial(Functional, _adam_like.Lion)
Muon: Final = partial(Functional, _muon.Muon)
