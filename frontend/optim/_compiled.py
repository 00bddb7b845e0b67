"""The updates of many parameters as one native call.

Eagerly, a step is a dozen small ops for every parameter. Once an optimizer has stepped a few times
its `update` is recorded for all parameters of a cohort together and compiled; the moments,
parameters and step count are updated in place. The bits are those of the single ops."""

from __future__ import annotations

import os
from collections.abc import Sequence
from operator import is_
from typing import TYPE_CHECKING, Any

from intaglio._core import counter_of
from intaglio._kind import Kind
from intaglio._modes import modes
from intaglio._places import is_dense, is_writable, place_of
from intaglio._tensor import Tensor
from intaglio._trace import record_block
from intaglio.runtime.executor import compile_graph

if TYPE_CHECKING:
    from intaglio.optim._groups import ParameterGroup
    from intaglio.optim._optimizer import Cohort, Optimizer

WARM = 2
"""Steps that run as single ops before the rest are compiled: short runs never wait for a
compiler."""


def may_compile() -> bool:
    """Whether steps may be compiled here and now."""
    return modes.trace is None is modes.watch and os.environ.get("INTAGLIO_EAGER") != "1"


class CompiledStep:
    """The step of one cohort, for parameters of fixed types and options that choose one formula."""

    def __init__(self, optimizer: Optimizer, group: ParameterGroup, cohort: Cohort) -> None:
        self._optimizer, self._group = optimizer, group
        parameters = cohort.parameters
        self._signature = signature(group, cohort)
        self._numbers = list(group.numbers())
        moments: list[dict[str, Tensor]] = [optimizer.state[p] for p in parameters]
        self._names = [list(m) for m in moments]
        self._moments = [t for m in moments for t in m.values()]
        changed = [cohort.step, *parameters, *self._moments]
        self._changed = changed
        self._states = [*changed, *group.numbers().values()]
        kinds = [p._kind for p in parameters] + [t._kind for t in self._states]
        graph = record_block(self._function, kinds)
        first = len(parameters)
        self._executable = compile_graph(
            graph,
            updates={k: first + k for k in range(len(changed))},
            states=len(self._states),
            label=f"{type(optimizer).__name__}.step",
            device=place_of(kinds),
        )

    def _function(self, *inputs: Tensor) -> Sequence[Tensor]:
        """The new values of everything that a step changes, in order."""
        count = len(self._names)
        given = list(inputs)
        gradients, step, parameters = given[:count], given[count], given[count + 1 : 2 * count + 1]
        rest = given[2 * count + 1 :]
        numbers = dict(zip(self._numbers, rest[len(rest) - len(self._numbers) :], strict=True))
        group = self._group.with_numbers(numbers)
        advanced = step + 1.0
        new, changed = [], []
        for p, g, names in zip(parameters, gradients, self._names, strict=True):
            moments = {name: rest.pop(0) for name in names}
            updated, after = self._optimizer.next(p, g, moments, group, advanced)
            new.append(updated)
            changed += [after.get(name, moments[name]) for name in names]
        return [advanced, *new, *changed]

    def fits(self, cohort: Cohort) -> bool:
        """Whether it is still the step of this cohort, with the tensors that it writes to."""
        if self._signature != signature(self._group, cohort):
            return False
        state = self._optimizer.state
        now = [t for p in cohort.parameters for t in state[p].values()]
        return len(now) == len(self._moments) and all(map(is_, now, self._moments))

    def run(self, parameters: Sequence[Tensor]) -> bool:
        """Step; False when the tensors lie in memory in a way that compiled code can't write to."""
        for tensor in self._changed:
            data = tensor._data
            if tensor._view is not None or not is_dense(data) or not is_writable(data):
                return False
        arrays: list[Any] = [p.grad._data for p in parameters if p.grad is not None]
        arrays += [t._data for t in self._states]
        self._executable(arrays)
        for tensor in self._changed:
            counter = counter_of(tensor)
            counter[0] += 1
            tensor._seen = counter[0]
        return True


def signature(group: ParameterGroup, cohort: Cohort) -> tuple[Any, ...]:
    """What a compiled step rests on: it is made anew when this changes."""
    kinds: list[Kind] = [p._kind for p in cohort.parameters]
    gradients = [p.grad.dtype for p in cohort.parameters if p.grad is not None]
    return (tuple(map(id, cohort.parameters)), tuple(kinds), tuple(gradients), group.formula())
