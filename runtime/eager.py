"""Runs one op at once: one evaluator per op, operand types and attributes, fixed for good.

Where NumPy gives the defined bits (movement, integers, comparisons, and `+ - * / sqrt`) the
evaluator is the op's NumPy reference; elsewhere it is the op's own kernel, compiled for run-time
extents. So an eager result is the compiled one, bit for bit."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

import numpy as np

from intaglio.compiler.dtypes import dtype_of
from intaglio.compiler.op import op_named, result_types
from intaglio.compiler.types import TensorType
from intaglio.runtime.arrays import Array

Evaluator = Callable[..., tuple[Array, ...]]
"""Takes the operands' arrays, gives the results' arrays."""

_EVALUATORS: Final[dict[Any, Evaluator]] = {}


def evaluate(
    op: str, arrays: Sequence[Array], attributes: Mapping[str, Any] = {}
) -> tuple[Array, ...]:
    """The results of an op for these arrays. Checks types first: raises what the op's type rule
    raises."""
    key = (op, tuple([(a.dtype, a.shape) for a in arrays]), tuple(attributes.items()))
    found = _EVALUATORS.get(key)
    if found is None:
        types = [TensorType(dtype_of(a.dtype), a.shape) for a in arrays]
        found = _EVALUATORS[key] = evaluator(op, types, attributes)
    return found(*arrays)


def evaluator(
    op: str, types: Sequence[TensorType], attributes: Mapping[str, Any] = {}
) -> Evaluator:
    """The evaluator of an op for operands of these types (with known sizes). To be kept by callers
    that apply the same op again: a call of it checks nothing."""
    rule = op_named(op)
    result_types(rule, types, attributes)

    def run(*arrays: Array) -> tuple[Array, ...]:
        made = rule.reference(*arrays, **attributes)
        return made if isinstance(made, tuple) else (np.asarray(made),)

    return run
